//! Estimated against billed: runs on every product, each receipt beside the lines that the local cloud wrote for it, and
//! inside the bounds that its plan said.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::str::FromStr;

use rust_decimal::Decimal;
use serde_json::Value as Json;

use crate::stage::{Ran, Stage, control, until};

/// A job of each kind: its product, its name, and what else its manifest says.
const JOBS: [(&str, &str, &str); 10] = [
    ("ecs", "machine", "needs: { cpu: 2, memory: 4GiB }, timeout: 10m"),
    ("ecs", "larger", "needs: { cpu: 4, memory: 16GiB }, timeout: 20m"),
    ("ecs", "sweep", "needs: { cpu: 2, memory: 4GiB }, timeout: 5m, matrix: { n: [1, 2, 3] }, max_parallel: 2"),
    ("fc", "call", "needs: { cpu: 1, memory: 2GiB }, timeout: 30s"),
    ("fc", "task", "needs: { cpu: 2, memory: 8GiB }, timeout: 5m"),
    ("fc", "small", "needs: { memory: 512MiB }, timeout: 50s"),
    ("ack", "cluster", "needs: { cpu: 2, memory: 4GiB }, timeout: 10m"),
    ("ack", "managed", "needs: { cpu: 4, memory: 8GiB }, timeout: 10m, cluster: { edition: pro }"),
    ("pai", "pod", "needs: { cpu: 2, memory: 8GiB }, timeout: 10m"),
    ("pai", "pods", "needs: { cpu: 4, memory: 8GiB }, timeout: 20m, workers: 2"),
];

/// A folder with all of the jobs, and a cloud whose clock has no full hour near: what the hour that is begun costs then
/// does not hang on a second.
fn lab() -> Stage {
    let stage = Stage::empty();
    stage.write("notes.txt", "what a job is about");
    let mut text = "version: 1\nstack: lab\nregion: cn-hangzhou\njobs:\n".to_owned();
    for (product, name, more) in JOBS {
        text += &format!("  {name}: {{ product: {product}, run: 'echo from {name}; sleep 1.2', {more} }}\n");
    }
    stage.write("aliform.yaml", &text);
    stage.run(&["cloud", "start"]).expect(0);
    let now: jiff::Timestamp = bill(&stage)["now"].as_str().unwrap().parse().unwrap();
    let ahead = 3600 - now.as_second().rem_euclid(3600) + 300;
    control(&stage, "POST", "clock", &format!(r#"{{"advance":"{ahead}s"}}"#));
    stage
}

#[track_caller]
fn bill(stage: &Stage) -> Json {
    stage.run(&["cloud", "bill", "--output", "json"]).expect(0).json()
}

fn decimal(json: &Json) -> Decimal {
    Decimal::from_str(json.as_str().unwrap()).unwrap()
}

/// What a total has in CNY.
fn cny(total: &Json) -> Decimal {
    let sums = total["sums"].as_array().unwrap();
    assert_eq!(sums.len(), 1, "{total}");
    Decimal::from_str(sums[0].as_str().unwrap().strip_suffix(" CNY").unwrap()).unwrap()
}

/// The plan and the receipt of a run.
fn plan_and_receipt(ran: &Ran) -> (Json, Json) {
    let lines: Vec<Json> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let plan = lines.iter().find(|line| line["type"] == "plan").unwrap()["plan"].clone();
    (plan, lines.last().unwrap()["result"].clone())
}

/// What was billed for resources that `known` does not have yet.
fn newly_billed(bill: &Json, known: &mut BTreeSet<String>) -> (Decimal, Vec<Json>) {
    let resource = |line: &Json| line["resource"].as_str().unwrap().to_owned();
    let lines: Vec<Json> = bill["lines"].as_array().unwrap().iter().filter(|line| !known.contains(&resource(line))).cloned().collect();
    known.extend(lines.iter().map(resource));
    assert!(lines.iter().all(|line| !line["to"].is_null()), "something is still billed: {bill}");
    (lines.iter().map(|line| decimal(&line["amount"])).sum(), lines)
}

#[test]
fn twenty_runs_on_all_products_cost_what_is_billed_for_them_and_no_more_than_was_said() {
    let stage = lab();
    let (mut known, mut sum, mut checked) = (BTreeSet::new(), Decimal::ZERO, 0);
    for round in 0..2 {
        for (product, name, _) in JOBS {
            let what = format!("{name} on {product}, round {round}");
            let ran = stage.run(&["run", name, "--auto-approve", "--output", "ndjson"]).expect(0);
            let (plan, receipt) = plan_and_receipt(&ran);
            let (billed, lines) = newly_billed(&bill(&stage), &mut known);
            let cost = cny(&receipt["cost"]);
            assert_eq!(receipt["product"], product, "{what}");
            // Where the cloud says how long something ran, the two are the same. A machine's life is told by the dates of
            // answers, which are cut to seconds: each may be one off, and the nodes of a cluster come a little later than they
            // are asked for.
            let machines = Decimal::from(receipt["machines"].as_u64().unwrap());
            let late = Decimal::from(if product == "ack" { 2 } else { 0 });
            let second = cny(&receipt["hourly"]) / Decimal::from(3600);
            let off = if matches!(product, "fc" | "pai") {
                Decimal::ZERO
            } else {
                second * (machines + late) + Decimal::new(lines.len() as i64, 6)
            };
            assert!((cost - billed).abs() <= off, "{what}: the receipt has {cost}, the bill {billed}: {lines:?}");
            assert!(off < Decimal::new(5, 3), "{what}: {off} is more than half a fen");
            let bounds = [cny(&plan["cost"]["once"]), plan["cost"].get("unattended").map_or(Decimal::MAX, cny)];
            assert!(Decimal::ZERO < billed && billed <= bounds[1] && bounds[0] <= bounds[1], "{what}: {billed} is not in {bounds:?}");
            sum += billed;
            checked += 1;
        }
    }
    assert_eq!(checked, 20);
    // Nothing was billed that no receipt is about.
    assert_eq!(decimal(&bill(&stage)["spent"]), sum);
    assert!(stage.resources().is_empty(), "{:?}", stage.resources());
}

#[test]
fn a_cluster_is_billed_for_what_its_plan_names_and_its_balancer_for_the_hours_that_it_begins() {
    let stage = lab();
    let plan = stage.run(&["run", "managed", "--auto-approve"]).expect(0).stdout;
    for said in ["load balancer of the cluster's API, each hour begun (tariff)", "management of a Pro cluster, whole hours only (tariff)"] {
        assert!(plan.contains(said), "`{said}` is not in\n{plan}");
    }
    assert!(plan.contains("unknown: capacity (LCU) of the load balancer (cluster.main)"), "{plan}");
    assert!(plan.contains("system disk cloud_essd PL0, 40 GiB"), "{plan}");
    let bill = bill(&stage);
    let line = |part: &str| bill["lines"].as_array().unwrap().iter().find(|line| line["part"] == part).unwrap().clone();
    assert_eq!((&line("loadBalancer")["amount"], &line("loadBalancer")["counted"]), (&"0.147".into(), &"hours_begun".into()));
    assert_eq!(decimal(&line("clusterManagement")["amount"]), Decimal::ZERO, "not a whole hour: {bill}");
    // 40 GiB of cloud_essd PL0, as the plan has it.
    assert_eq!(decimal(&line("systemDisk")["hourly"]), Decimal::new(42, 3));
    let shown = stage.run(&["cloud", "bill"]).expect(0).stdout;
    assert!(shown.contains("0.147, hours begun") && shown.contains("0.64, whole hours"), "{shown}");
}

#[test]
fn an_apply_says_of_each_job_what_is_billed_for_it_and_nothing_of_earlier_ones() {
    let stage = Stage::empty();
    let job =
        |product: &str| format!("{{ product: {product}, run: 'sleep 1.2; exit 3', needs: {{ cpu: 2, memory: 4GiB }}, timeout: 10m }}");
    stage.write(
        "aliform.yaml",
        &format!("version: 1\nstack: lab\nregion: cn-hangzhou\njobs:\n  call: {}\n  pod: {}\n", job("fc"), job("pai")),
    );
    let mut before = Decimal::ZERO;
    // What failed is run again, and paid again.
    for _ in 0..2 {
        let summary = stage.run(&["apply", "--auto-approve", "--output", "json"]).expect(1).json();
        let jobs = summary["jobs"].as_array().unwrap();
        let said: Decimal = jobs.iter().map(|job| cny(&job["cost"])).sum();
        let spent = decimal(&bill(&stage)["spent"]);
        assert_eq!((jobs.len(), said), (2, spent - before), "{summary} {}", bill(&stage));
        assert_eq!(summary["hourly"]["sums"], serde_json::json!([]), "{summary}");
        before = spent;
    }
}

#[test]
fn a_machine_that_the_cloud_ended_is_in_the_receipt_of_the_next_command() {
    let stage = Stage::empty();
    stage.write("long.sh", "sleep 1000\n");
    stage.run(&["cloud", "start"]).expect(0);
    stage.write(".aliform/scenario.yaml", "clock: { speed: 60 }\n");
    stage.run(&["cloud", "scenario", ".aliform/scenario.yaml"]).expect(0);
    let run: &[&str] =
        &["run", "long.sh", "--auto-approve", "--region", "cn-hangzhou", "--cpu", "2", "--memory", "4GiB", "--timeout", "1m"];
    let mut child = stage.spawn(&[run, &["--output", "ndjson"]].concat());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("step_identified") && line.contains("run.long")), "it did not begin");
    child.kill().unwrap();
    child.wait().unwrap();
    until("the end of the machine", || !stage.resources().contains_key("instance"));
    stage.write("long.sh", "echo over\n");
    let ran = stage.run(&[run, &["--output", "ndjson"]].concat()).expect(0);
    let (_, receipt) = plan_and_receipt(&ran);
    let (said, spent) = (cny(&receipt["cost"]), decimal(&bill(&stage)["spent"]));
    assert_eq!(receipt["earlier"]["machines"], 1, "{receipt}");
    // Half an hour of it was paid; two seconds of ours are two minutes of the cloud's.
    assert!(spent > Decimal::new(13, 2) && (said - spent).abs() < Decimal::new(1, 2), "{said} {spent}: {receipt}");
    assert!(stage.resources().is_empty(), "{:?}", stage.resources());
}

#[test]
fn nodes_of_a_cluster_count_from_when_they_come_also_in_the_receipt_of_another_command() {
    let stage = lab();
    // The cluster takes its minutes, of which ten pass in one.
    stage.write(".aliform/scenario.yaml", "latency: { cluster_creating: 90s }\nclock: { speed: 10 }\n");
    stage.run(&["cloud", "scenario", ".aliform/scenario.yaml"]).expect(0);
    let run: &[&str] = &["run", "cluster", "--auto-approve", "--output", "ndjson"];
    let resume: &[&str] = &["run", "--resume", "lab-cluster", "--output", "ndjson"];
    let mut before = Decimal::ZERO;
    for commands in [&[run][..], &[&[run, &["--detach"]].concat()[..], resume][..]] {
        let all: Vec<_> = commands.iter().map(|arguments| stage.run(arguments).expect(0)).collect();
        let last: Json = serde_json::from_str(all[all.len() - 1].stdout.lines().last().unwrap()).unwrap();
        let receipt = &last["result"];
        assert!(receipt["seconds"].as_u64().unwrap() >= 90, "{receipt}");
        let spent = decimal(&bill(&stage)["spent"]);
        // A tenth of a second of ours is one of the cloud's; ninety of a node would be 0.0067 CNY.
        let off = cny(&receipt["hourly"]) * Decimal::from(15) / Decimal::from(3600);
        assert!((cny(&receipt["cost"]) - (spent - before)).abs() <= off, "{off}: {receipt} {}", bill(&stage));
        before = spent;
    }
}

#[test]
fn a_function_abroad_has_a_price_and_its_bill_is_that_at_the_clouds_rate() {
    let stage = lab();
    fs::remove_file(stage.file("aliform.yaml")).unwrap();
    stage.write("hi.py", "print('hi')\n");
    let arguments = ["run", "hi.py", "--product", "fc", "--region", "ap-southeast-1", "--timeout", "5m", "--auto-approve"];
    let ran = stage.run(&[&arguments[..], &["--output", "ndjson"]].concat()).expect(0);
    let (plan, receipt) = plan_and_receipt(&ran);
    let cost = receipt["cost"]["sums"][0].as_str().unwrap().strip_suffix(" USD").unwrap_or_else(|| panic!("{receipt}")).parse::<Decimal>();
    let change = plan["changes"].as_array().unwrap().iter().find(|change| change["address"] == "invocation.hi").unwrap();
    assert!(change["cost_after"].as_array().unwrap().iter().all(|line| line["charge"] != "unknown"), "{change}");
    let rate = Decimal::new(67_153, 4);
    let (billed, lines) = newly_billed(&bill(&stage), &mut BTreeSet::new());
    // Each line is rounded to six digits, here in dollars, there in yuan.
    assert!((cost.unwrap() * rate - billed).abs() <= Decimal::new(lines.len() as i64 * 5, 6), "{receipt} {lines:?}");
}

#[test]
fn a_function_with_a_card_costs_what_is_billed_for_it() {
    let stage = lab();
    fs::remove_file(stage.file("aliform.yaml")).unwrap();
    stage.write("card.py", "import time\ntime.sleep(1.2)\n");
    let image = "registry.cn-hangzhou.aliyuncs.com/lab/train:1";
    let mut known = BTreeSet::new();
    // A call, and a task.
    for timeout in ["30s", "5m"] {
        let arguments = ["run", "card.py", "--product", "fc", "--gpu", "NVIDIA T4", "--image", image, "--timeout", timeout];
        let ran = stage.run(&[&arguments[..], &["--auto-approve", "--output", "ndjson"]].concat()).expect(0);
        let (_, receipt) = plan_and_receipt(&ran);
        let (billed, lines) = newly_billed(&bill(&stage), &mut known);
        assert_eq!(cny(&receipt["cost"]), billed, "{receipt} {lines:?}");
        // 33.6 of its 40 CU a second are the card's.
        let card = lines.iter().find(|line| line["part"] == "gpu-tesla").unwrap_or_else(|| panic!("{lines:?}"));
        assert!(decimal(&card["amount"]) > billed * Decimal::new(8, 1), "{lines:?}");
    }
}
