//! Money: what the local cloud bills is what a receipt says, and no budget is passed whatever happens.

use std::fs;
use std::io::{BufRead, BufReader, Read};

use serde_json::Value as Json;

use crate::stage::{Stage, control};

const SMALL: &str = "needs: { cpu: 2, memory: 4GiB }";

/// A folder with one job.
fn lab(job: &str) -> Stage {
    let stage = Stage::empty();
    stage.write("notes.txt", "what a job is about");
    stage.write("aliform.yaml", &format!("version: 1\nstack: lab\nregion: cn-hangzhou\njobs:\n{job}"));
    stage
}

#[track_caller]
fn bill(stage: &Stage) -> Json {
    stage.run(&["cloud", "bill", "--output", "json"]).expect(0).json()
}

#[track_caller]
fn number(json: &Json) -> f64 {
    json.as_str().unwrap().parse().unwrap()
}

/// What a receipt says that the run cost, in CNY.
#[track_caller]
fn cost(receipt: &Json) -> f64 {
    receipt["cost"]["sums"][0].as_str().unwrap().strip_suffix(" CNY").unwrap().parse().unwrap()
}

#[test]
fn a_receipt_is_the_bill_and_the_bill_outlives_the_server() {
    let stage = lab(&format!("  one: {{ run: sleep 2, {SMALL}, timeout: 10m }}\n"));
    assert!(stage.run(&["cloud", "bill"]).expect(0).stderr.contains("Nothing was billed yet."));
    let receipt = stage.run(&["run", "one", "--auto-approve", "--output", "json"]).expect(0).json();
    let bill = bill(&stage);
    let lines = bill["lines"].as_array().unwrap();
    let parts: Vec<&str> = lines.iter().map(|line| line["part"].as_str().unwrap()).collect();
    assert_eq!(parts, ["instanceType", "systemDisk"]);
    assert!(lines.iter().all(|line| !line["to"].is_null()), "{bill}");
    // The answers' dates are cut to seconds, and a second of this machine is far below a fen.
    assert!((cost(&receipt) - number(&bill["spent"])).abs() < 0.005, "{receipt}\n{bill}");
    assert!((receipt["seconds"].as_i64().unwrap() - lines[0]["seconds"].as_i64().unwrap()).abs() <= 1, "{receipt}\n{bill}");
    assert!((number(&bill["balance"]) + number(&bill["spent"]) - 10_000.0).abs() < 1e-9);

    stage.run(&["cloud", "stop"]).expect(0);
    let stopped = stage.run(&["cloud", "bill", "--output", "json"]).expect(0).json();
    assert_eq!((&stopped["lines"], &stopped["spent"]), (&bill["lines"], &bill["spent"]));
    let shown = stage.run(&["cloud", "bill"]).expect(0).stdout;
    assert!(shown.contains("instanceType") && shown.contains(&format!("Spent {} CNY", bill["spent"].as_str().unwrap())), "{shown}");
}

#[test]
fn over_its_budget_a_job_is_not_begun_and_what_would_fit_is_priced() {
    let job = "  big: { run: echo hi, needs: { cpu: 8, memory: 32GiB }, timeout: 2h, budget: { total: 1 CNY } }\n";
    let stage = lab(job);
    for command in [&["apply", "--auto-approve"][..], &["run", "big", "--auto-approve"]] {
        let ran = stage.run(command).expect(3);
        assert!(ran.stderr.contains("the total budget of 1 CNY of job `big` would be exceeded"), "{}", ran.stderr);
        assert!(ran.stderr.contains("hint: `timeout: ") && ran.stderr.contains("each run is ended after "), "{}", ran.stderr);
        assert!(ran.stderr.contains("hint: `{ cpu: ") && ran.stderr.contains(" vCPU and "), "{}", ran.stderr);
    }
    assert!(stage.resources().is_empty());
    // What is offered holds.
    let said = stage.run(&["apply", "--auto-approve"]).expect(3).stderr;
    let timeout = said.split("`timeout: ").nth(1).unwrap().split('`').next().unwrap().to_owned();
    stage.edit("aliform.yaml", "timeout: 2h", &format!("timeout: {timeout}"));
    let plan = stage.run(&["plan", "--output", "json"]).expect(0).json();
    assert!(plan["cost"]["exceeded"].as_array().unwrap().is_empty(), "{}", plan["cost"]);

    // A dollar is not a yuan.
    stage.edit("aliform.yaml", "total: 1 CNY", "total: 1 USD");
    let plan = stage.run(&["plan"]).expect(0).stdout;
    assert!(plan.contains("held against it at 7.10 CNY a dollar"), "{plan}");
}

#[test]
fn killed_and_never_run_again_the_cloud_itself_ends_the_machine_and_its_bill() {
    let stage = lab(&format!("  wait: {{ run: 'echo begun; sleep 1000', {SMALL}, timeout: 10m }}\n"));
    let mut child = stage.spawn(&["run", "wait", "--auto-approve", "--output", "ndjson"]);
    let mut said = String::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        said += &line;
        said.push('\n');
        if line.contains("\"text\":\"begun") {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(said.contains("\"check\":\"end\"") && said.contains("the cloud itself releases it at "), "{said}");
    assert_eq!(stage.resources().get("instance"), Some(&1));
    // 10 minutes and half an hour for all else.
    control(&stage, "POST", "clock", r#"{"advance":"3h"}"#);
    crate::stage::until("the end of the machine", || !stage.resources().contains_key("instance"));
    let bill = bill(&stage);
    for line in bill["lines"].as_array().unwrap() {
        let seconds = line["seconds"].as_i64().unwrap();
        assert!((2400..=2520).contains(&seconds), "{line}");
    }
}

#[test]
fn a_storm_of_failures_does_not_pass_the_budget() {
    let total = 0.05;
    let stage = lab(&format!("  one: {{ run: sleep 3, {SMALL}, timeout: 10m, budget: {{ total: {total} CNY }} }}\n"));
    stage.write(
        "storm.yaml",
        "calls:\n  - { call: 'ecs:*', throttled: 0.2, lost_requests: 0.05, lost_answers: 0.1 }\n  - { call: 'ecs:RunInstances', throttled: 0.3, lost_answers: 0.4 }\n  - { call: 'vpc:*', throttled: 0.1, lost_answers: 0.1 }\n",
    );
    stage.run(&["cloud", "start", "--scenario", "storm.yaml"]).expect(0);
    let mut ended = Vec::new();
    for _ in 0..4 {
        let ran = stage.run(&["run", "one", "--auto-approve", "--output", "json"]);
        ended.push(ran.code);
        if ran.code == 0 {
            break;
        }
    }
    stage.run(&["cloud", "scenario", "--clear"]).expect(0);
    if ended.last() != Some(&0) {
        stage.run(&["run", "one", "--auto-approve", "--output", "json"]).expect(0);
    }
    let bill = bill(&stage);
    assert!(number(&bill["spent"]) <= total * ended.len() as f64, "{bill}");
    let machines: std::collections::BTreeSet<&str> =
        bill["lines"].as_array().unwrap().iter().map(|line| line["resource"].as_str().unwrap()).collect();
    assert!(machines.len() <= ended.len() + 1, "more machines than runs: {bill}");
    assert!(bill["lines"].as_array().unwrap().iter().all(|line| !line["to"].is_null()), "something is still billed: {bill}");
}

#[test]
fn a_run_stops_before_it_passes_its_budget() {
    let job = "  slow: { run: 'echo begun; sleep 3600', needs: { cpu: 2, memory: 4GiB }, timeout: 10m, budget: { total: 0.046 CNY } }\n";
    let stage = lab(job);
    let mut child = stage.spawn(&["run", "slow", "--auto-approve", "--output", "ndjson"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    lines.by_ref().find(|line| line.contains("\"text\":\"begun")).expect("it began");
    // Whatever takes the time, a fetch or a boot that hangs: the money is what counts.
    control(&stage, "POST", "clock", r#"{"advance":"9m"}"#);
    let last = lines.last().unwrap();
    let code = child.wait().unwrap().code();
    let mut error = String::new();
    child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    assert_eq!(code, Some(3), "{last}\n{error}");
    assert!(last.contains("\"result\":\"over_budget\"") && last.contains("\"left\":[]"), "{last}");
    assert!(error.contains("the total budget of 0.046 CNY is about to be spent"), "{error}");
    assert!(number(&bill(&stage)["spent"]) <= 0.046);
    assert!(stage.resources().is_empty());
}

/// The most machines that lived at the same time, by the bill.
fn most_at_once(bill: &Json) -> usize {
    let lines: Vec<&Json> = bill["lines"].as_array().unwrap().iter().filter(|line| line["part"] == "instanceType").collect();
    let moment = |line: &Json, key: &str| line[key].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let lives: Vec<_> = lines.iter().map(|line| (moment(line, "from"), moment(line, "to"))).collect();
    lives.iter().map(|(from, _)| lives.iter().filter(|(born, gone)| born <= from && from < gone).count()).max().unwrap_or(0)
}

#[test]
fn forty_runs_share_eight_machines_and_stay_inside_their_budget() {
    let matrix = "matrix: { lr: [0.1, 0.01, 0.001, 1], seed: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10] }, max_parallel: 8";
    let run = "mkdir -p model && echo \"$lr $seed\" > model/weights && [ \"$lr,$seed\" != \"1,7\" ]";
    let job = format!("  sweep: {{ run: '{run}', {SMALL}, timeout: 5m, {matrix}, budget: {{ total: 5 CNY }}, outputs: [model/] }}\n");
    let stage = lab(&job);
    let plan = stage.run(&["plan"]).expect(0).stdout;
    assert!(plan.contains("+ run.sweep-02") && plan.contains("lr=0.1, seed=2"), "{plan}");
    assert_eq!(plan.matches("start_script:").count(), 1, "{plan}");
    let ran = stage.run(&["run", "sweep", "--auto-approve", "--output", "json"]).expect(1);
    let receipt = ran.json();
    let runs = receipt["runs"].as_array().unwrap();
    assert_eq!((runs.len(), &receipt["machines"], &receipt["result"]), (40, &8.into(), &"failed".into()));
    let failed: Vec<String> = runs.iter().filter(|run| run["exit_code"] != 0).map(|run| run["parameters"].to_string()).collect();
    assert_eq!(failed, [r#"{"lr":"1","seed":"7"}"#], "one bad run keeps no other from running");
    for (number, run) in runs.iter().enumerate() {
        let (lr, seed) = (["0.1", "0.01", "0.001", "1"][number / 10], number % 10 + 1);
        let failed = if run["exit_code"] == 0 { "" } else { ".failed" };
        let folder = format!("outputs/sweep/lr={lr},seed={seed}{failed}");
        assert_eq!(run["outputs"], folder.as_str());
        assert_eq!(fs::read_to_string(stage.file(&format!("{folder}/model/weights"))).unwrap(), format!("{lr} {seed}\n"));
    }
    let bill = bill(&stage);
    assert!(number(&bill["spent"]) <= 5.0 && most_at_once(&bill) <= 8, "{bill}");
    assert!((cost(&receipt) - number(&bill["spent"])).abs() < 0.01, "{} {}", receipt["cost"], bill["spent"]);
    assert!(stage.resources().is_empty());
}

#[test]
fn machines_that_stand_where_a_fallback_put_them_are_accounted_at_their_own_price() {
    let job = format!("  many: {{ product: ecs, run: 'echo $n', {SMALL}, timeout: 10m, matrix: {{ n: [1, 2, 3] }}, max_parallel: 2 }}\n");
    let stage = lab(&job);
    let plan = stage.run(&["plan", "--output", "json"]).expect(0).json();
    let kind = plan["wanted"]["instance.many-1"]["spec"]["instance_type"].as_str().unwrap();
    let fallbacks = plan["fallbacks"]["instance.many-1"].as_array().unwrap();
    let sibling = fallbacks.iter().find(|fallback| fallback["instance_type"] != kind).expect("a sibling");
    stage.write("sold-out.yaml", &format!("stock:\n- {{ instance_type: {kind}, stock: misreported }}\n"));
    stage.run(&["cloud", "scenario", "sold-out.yaml"]).expect(0);
    let receipt = stage.run(&["run", "many", "--auto-approve", "--output", "json"]).expect(0).json();
    assert_eq!((&receipt["zone"], &receipt["instance_type"]), (&sibling["zone"], &sibling["instance_type"]));
    assert_eq!((&receipt["machines"], &receipt["hourly"]["sums"][0]), (&2.into(), &sibling["hourly"]));
    assert!(receipt["runs"].as_array().unwrap().iter().all(|run| run["exit_code"] == 0), "{receipt}");
    let bill = bill(&stage);
    assert!((cost(&receipt) - number(&bill["spent"])).abs() < 0.005, "{receipt}\n{bill}");
    assert!(stage.resources().is_empty());
}
