//! What is sold out for clusters, training jobs and functions: what the plan approved stands in for it, then a new plan in
//! the next region within what is left of the budget. The product never changes, and nothing is left.

use serde_json::Value as Json;

use crate::stage::{Ran, Stage};

/// A folder with one job on that product; the region is open.
fn lab(product: &str, more: &str) -> Stage {
    let stage = Stage::empty();
    stage.write("notes.txt", "what a job is about");
    let job = format!("run: echo ran, product: {product}, needs: {{ cpu: 2, memory: 4GiB }}, timeout: 10m{more}");
    stage.write("aliform.yaml", &format!("version: 1\nstack: lab\njobs:\n  work: {{ {job}, budget: {{ total: 5 CNY }} }}\n"));
    stage.run(&["cloud", "start"]).expect(0);
    stage
}

fn scenario(stage: &Stage, text: &str) {
    stage.write(".aliform/scenario.yaml", text);
    stage.run(&["cloud", "scenario", ".aliform/scenario.yaml"]).expect(0);
}

fn plan(stage: &Stage) -> Json {
    stage.run(&["plan", "--output", "json"]).expect(0).json()
}

/// What may stand in for a resource: zone and type.
fn fallbacks(plan: &Json, address: &str) -> Vec<(String, String)> {
    let text = |json: &Json, key: &str| json[key].as_str().unwrap().to_owned();
    let list = plan["fallbacks"][address].as_array().cloned().unwrap_or_default();
    list.iter().map(|fallback| (text(fallback, "zone"), text(fallback, "instance_type"))).collect()
}

fn run(stage: &Stage) -> Ran {
    stage.run(&["run", "work", "--auto-approve", "--output", "ndjson"])
}

/// The last line of what was said.
#[track_caller]
fn receipt(ran: &Ran) -> Json {
    let line: Json = serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
    line["result"].clone()
}

/// The calls of an action: which region each went to is not told, but how many there were.
fn calls(stage: &Stage, action: &str) -> usize {
    let calls = stage.run(&["cloud", "calls", "-n", "10000", "--output", "json"]).expect(0).json();
    calls.as_array().unwrap().iter().filter(|call| call["action"] == action).count()
}

#[track_caller]
fn number(json: &Json) -> f64 {
    json.as_str().unwrap().trim_end_matches(" CNY").parse().unwrap()
}

/// It is the bill, and nothing is left.
#[track_caller]
fn settled(stage: &Stage, receipt: &Json) {
    let bill = stage.run(&["cloud", "bill", "--output", "json"]).expect(0).json();
    let cost = &receipt["cost"]["sums"][0];
    assert!((number(cost) - number(&bill["spent"])).abs() < 0.005, "{receipt}\n{bill}");
    assert!(stage.resources().is_empty(), "{:?}", stage.resources());
}

#[test]
fn a_cluster_gets_its_nodes_in_the_next_zone_and_is_made_once() {
    let stage = lab("ack", "");
    let planned = plan(&stage);
    let pool = &planned["wanted"]["cluster.main"]["spec"]["pools"][0];
    let others = fallbacks(&planned, "cluster.main");
    assert!(pool["zone"] != others[0].0.as_str() && others[0].1 == pool["instance_type"], "{others:?}");
    scenario(&stage, &format!("stock:\n- {{ place: {}, stock: misreported }}\n", pool["zone"]));
    let ran = run(&stage).expect(0);
    let said = format!("\"zone\":\"{}\"", others[0].0);
    let fell_back = ran.stdout.lines().find(|line| line.contains("step_fell_back")).unwrap_or_default();
    assert!(fell_back.contains(&said) && fell_back.contains("OperationDenied.NoStock"), "{}", ran.stdout);
    let receipt = receipt(&ran);
    assert_eq!((&receipt["product"], &receipt["zone"]), (&"ack".into(), &others[0].0.clone().into()), "{receipt}");
    assert_eq!((calls(&stage, "CreateCluster"), calls(&stage, "CreateClusterNodePool")), (1, 2));
    settled(&stage, &receipt);
}

#[test]
fn a_cluster_gets_nodes_of_a_sibling_type_where_nothing_else_is_left() {
    let stage = lab("ack", ", matrix: { n: [1, 2, 3] }, max_parallel: 2");
    let planned = plan(&stage);
    let kind = planned["wanted"]["cluster.main"]["spec"]["pools"][0]["instance_type"].clone();
    let others = fallbacks(&planned, "cluster.main");
    let sibling = others.iter().position(|(_, other)| kind != other.as_str()).expect("a sibling");
    scenario(&stage, &format!("stock:\n- {{ instance_type: {kind}, stock: misreported }}\n"));
    let receipt = receipt(&run(&stage).expect(0));
    assert_eq!((&receipt["instance_type"], &receipt["runs"][2]["exit_code"]), (&others[sibling].1.clone().into(), &0.into()), "{receipt}");
    assert_eq!((calls(&stage, "CreateCluster"), calls(&stage, "CreateClusterNodePool")), (1, sibling + 2));
    settled(&stage, &receipt);
}

#[test]
fn a_cluster_whose_region_is_sold_out_is_planned_in_the_next_with_what_is_left_of_the_budget() {
    let stage = lab("ack", ", cluster: { edition: pro }");
    scenario(&stage, "stock:\n- { place: cn-hangzhou, stock: misreported }\n");
    let ran = run(&stage).expect(0);
    for said in ["new plan in `cn-shanghai`, within the same budget, of which 0.", "are spent"] {
        assert!(ran.stderr.contains(said), "`{said}` is not in\n{}", ran.stderr);
    }
    let receipt = receipt(&ran);
    assert_eq!((&receipt["product"], &receipt["region"]), (&"ack".into(), &"cn-shanghai".into()), "{receipt}");
    // The fee of the first cluster is in the receipt, as it is on the bill.
    assert!(number(&receipt["elsewhere"]["sums"][0]) > 0.0 && calls(&stage, "CreateCluster") == 2, "{receipt}");
    settled(&stage, &receipt);
}

#[test]
fn pods_of_a_training_job_run_on_the_next_type_that_was_approved() {
    let stage = lab("pai", "");
    let others = fallbacks(&plan(&stage), "training_job.work");
    assert!(others.iter().all(|(place, _)| place == "cn-hangzhou") && others.len() > 1, "{others:?}");
    let no_stock = "{ code: OperationDenied.NoStock, status: 403, message: It is sold out., times: 2 }";
    scenario(&stage, &format!("calls:\n- call: pai-dlc:CreateJob\n  fails: {no_stock}\n"));
    let ran = run(&stage).expect(0);
    assert_eq!(ran.stdout.matches("step_fell_back").count(), 2, "{}", ran.stdout);
    let receipt = receipt(&ran);
    assert_eq!((&receipt["product"], &receipt["instance_type"]), (&"pai".into(), &others[1].1.clone().into()), "{receipt}");
    assert_eq!(calls(&stage, "CreateJob"), 3);
    settled(&stage, &receipt);
}

#[test]
fn training_and_functions_go_on_in_the_next_region() {
    let sold_out = "stock:\n- { place: cn-hangzhou, stock: sold_out }\n";
    let exhausted = "calls:\n- call: fc:CreateFunction\n  fails: { code: ResourceExhausted, status: 429, message: No room., times: 5 }\n";
    for (product, text) in [("pai", sold_out), ("fc", exhausted)] {
        let stage = lab(product, "");
        scenario(&stage, text);
        let ran = run(&stage).expect(0);
        assert!(ran.stderr.contains("new plan in `cn-shanghai`, within the same budget"), "{}", ran.stderr);
        let receipt = receipt(&ran);
        assert_eq!((&receipt["product"], &receipt["region"]), (&product.into(), &"cn-shanghai".into()), "{receipt}");
        settled(&stage, &receipt);
    }
}

#[test]
fn a_quota_and_an_unknown_code_stop_every_product() {
    for (product, call) in [("ack", "cs:CreateClusterNodePool"), ("pai", "pai-dlc:CreateJob"), ("fc", "fc:CreateFunction")] {
        for (code, said) in [
            (if product == "fc" { "LimitExceededError" } else { "QuotaExceed.ElasticQuota" }, "in the Quota Center"),
            ("OperationDenied.Mysterious", "OperationDenied.Mysterious: The moon is full. (HTTP 403, RequestId "),
        ] {
            let stage = lab(product, "");
            scenario(&stage, &format!("calls:\n- call: {call}\n  fails: {{ code: {code}, status: 403, message: The moon is full. }}\n"));
            let ran = run(&stage).expect(1);
            assert!(ran.stdout.contains(said), "{product}: {}", ran.stdout);
            assert!(!ran.stdout.contains("step_fell_back") && !ran.stderr.contains("cn-shanghai"), "{}", ran.stderr);
            assert_eq!(calls(&stage, call.split_once(':').unwrap().1), 1);
            assert!(stage.resources().is_empty(), "{:?}", stage.resources());
        }
    }
}

#[test]
fn what_was_decided_before_may_be_stood_in_for_as_well() {
    for (product, address) in [("ecs", "instance.work"), ("ack", "cluster.main"), ("pai", "training_job.work")] {
        let stage = lab(product, "");
        let before = fallbacks(&plan(&stage), address);
        stage.apply();
        stage.edit("aliform.yaml", "echo ran", "echo ran again");
        let again = plan(&stage);
        assert_eq!((fallbacks(&again, address), before.is_empty()), (before, false), "{product}");
    }
}

#[test]
fn nodes_are_bought_on_the_spot_market_and_the_budget_knows_it() {
    let stage = lab("ack", ", spot: true");
    let ran = stage.run(&["run", "work", "--auto-approve"]).expect(0);
    assert!(ran.stdout.contains("spot-may-be-reclaimed") && ran.stdout.contains("(spot)"), "{}", ran.stdout);
    assert!(stage.resources().is_empty());
    // A job over its budget is told what the market would ask.
    let stage = lab("ecs", "");
    let whole = number(&plan(&stage)["cost"]["once"]["sums"][0]);
    stage.edit("aliform.yaml", "total: 5 CNY", &format!("total: {:.4} CNY", whole * 0.7));
    let over = stage.run(&["apply", "--auto-approve"]).expect(3);
    assert!(over.stderr.contains("hint: `spot: true` for job `work` would fit with "), "{}", over.stderr);
    stage.edit("aliform.yaml", "run: echo ran,", "run: echo ran, spot: true,");
    assert!(plan(&stage)["cost"]["exceeded"].as_array().unwrap().is_empty());
}
