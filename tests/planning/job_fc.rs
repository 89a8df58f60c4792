//! Jobs as functions: what they become, what that costs, and what a function can't have.

use aliform::model::change::Action;
use serde_json::json;

use crate::stage::{Stage, address, change};

fn lab(lines: &str) -> String {
    let indented: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    format!("version: 1\nstack: lab\nregion: cn-hangzhou\njobs:\n  train:\n    product: fc\n    run: echo hello\n{indented}")
}

#[test]
fn a_function_its_bucket_and_no_network_are_released_with_the_invocation() {
    let plan = Stage::new(&lab("needs: { cpu: 1, memory: 2GiB }\ntimeout: 30m")).plan();
    let wanted: Vec<String> = plan.wanted.keys().map(ToString::to_string).collect();
    assert_eq!(wanted, ["bucket.main", "function.train", "invocation.train"]);
    let released: Vec<String> = plan.released.keys().map(ToString::to_string).collect();
    assert_eq!(released, ["bucket.main", "function.train"]);
    // (1 + 2 x 0.15) CU a second, for at most half an hour; nothing of it stays.
    assert_eq!(plan.cost.once.sums[0].rounded(4).to_string(), "0.2574 CNY");
    assert!(plan.cost.after.sums.is_empty() && !plan.cost.once.unknown);
    // The cloud itself ends the invocation if nobody else does, and takes no file of a job for what runs it.
    let spec = &plan.wanted[&address("function.train")].spec;
    assert_eq!((&spec["timeout"], &spec["handler"], &spec["disk"]), (&json!(2100), &json!("index.handler"), &json!(512)));
    assert!(spec["name"].as_str().unwrap().starts_with("aliform-lab-train-"), "{spec}");
}

#[test]
fn up_to_a_minute_it_is_a_call_and_above_a_task() {
    for (timeout, asynchronous) in [("60s", false), ("61s", true), ("1d", true)] {
        let plan = Stage::new(&lab(&format!("timeout: {timeout}"))).plan();
        for resource in ["function.train", "invocation.train"] {
            assert_eq!(plan.wanted[&address(resource)].spec["asynchronous"], json!(asynchronous), "{timeout} {resource}");
        }
    }
    // The last of the longest day is for delivering.
    let plan = Stage::new(&lab("timeout: 1d")).plan();
    let spec = &plan.wanted[&address("invocation.train")].spec;
    assert_eq!((&spec["limit"], &spec["timeout"]), (&json!(86_100), &json!(86_400)));
}

#[test]
fn needs_that_a_function_can_not_have_are_raised_and_that_is_said() {
    let plan = Stage::new(&lab("needs: { cpu: 1, memory: 8GiB }")).plan();
    let decision = &plan.decisions["jobs.train.function[1 vCPU, 8GiB]"];
    assert_eq!(decision.chosen, "2 vCPU, 8 GiB");
    assert!(decision.because.contains("1 to 4 GiB for each vCPU"), "{}", decision.because);
    let spec = &plan.wanted[&address("function.train")].spec;
    assert_eq!((&spec["cpu"], &spec["memory"]), (&json!("2"), &json!(8192)));
}

#[test]
fn what_no_function_has_is_refused_with_its_place() {
    for (needs, message) in [
        ("needs: { cpu: 32 }", "at most 16 vCPU and 32 GiB"),
        ("needs: { memory: 64GiB }", "at most 16 vCPU and 32 GiB"),
        ("needs: { gpu: { count: 1 } }", "no GPU"),
    ] {
        let error = Stage::new(&lab(needs)).try_resolve().unwrap_err();
        assert!(error.to_string().contains(message) && error.hint().is_some(), "{error}");
        let location = error.location().unwrap();
        assert_eq!((location.file.as_str(), location.line), ("aliform.yaml", 6), "{needs}");
    }
}

#[test]
fn packages_of_an_unknown_size_get_the_large_disk() {
    let stage = Stage::new(&lab("timeout: 30s"));
    stage.write("requirements.txt", "numpy\n");
    let plan = stage.plan();
    assert_eq!(plan.wanted[&address("function.train")].spec["disk"], json!(10_240));
    assert_eq!(plan.decisions["jobs.train.disk"].chosen, "10 GiB");
}

#[test]
fn abroad_a_function_has_the_international_price_and_what_has_none_is_unknown() {
    let plan = Stage::new(&lab("").replace("cn-hangzhou", "ap-southeast-1")).plan();
    // An hour of (1 + 2 x 0.15) CU a second, 0.00002 USD each; requests to the bucket have no known price there.
    assert_eq!(plan.cost.once.sums[0].rounded(4).to_string(), "0.0936 USD");
    assert!(plan.cost.once.unknown && !change(&plan, "invocation.train").cost_after.hourly().unknown, "{:?}", plan.cost);
}

#[test]
fn an_invocation_that_is_over_wants_nothing_and_a_changed_one_runs_again() {
    let mut stage = Stage::new(&lab(""));
    stage.applied();
    stage.prior.retain(|address, _| address.to_string() == "invocation.train");
    let plan = stage.plan();
    assert_eq!(plan.changes.iter().map(|change| change.action).collect::<Vec<_>>(), [Action::Keep]);
    stage.manifest(&lab("env: { EPOCHS: '2' }"));
    let plan = stage.plan();
    assert_eq!(change(&plan, "invocation.train").action, Action::Replace);
    assert_eq!(change(&plan, "function.train").action, Action::Create);
}

#[test]
fn what_a_job_sends_is_in_its_budget_and_that_it_does_not_say_so_is_said() {
    let ids = |plan: &aliform::plan::saved::Plan| -> Vec<String> {
        plan.findings.iter().map(|finding| finding.id.clone()).filter(|id| id.contains("traffic")).collect()
    };
    let once = |plan: &aliform::plan::saved::Plan| plan.cost.once.sums[0].rounded(4).to_string();
    let silent = Stage::new(&lab("timeout: 5m\nneeds: { cpu: 1, memory: 2GiB }\nbudget: { total: 1 CNY }")).plan();
    assert_eq!((ids(&silent), once(&silent)), (vec!["budget-without-traffic".to_owned()], "0.0429 CNY".to_owned()));
    // 5 GB at 0.80 CNY.
    let told = Stage::new(&lab("timeout: 5m\nneeds: { cpu: 1, memory: 2GiB }\nbudget: { total: 1 CNY }\ntraffic: 5GiB")).plan();
    assert_eq!((ids(&told), once(&told)), (Vec::new(), "4.0429 CNY".to_owned()));
    assert_eq!(told.cost.exceeded[0].job.as_deref(), Some("train"));
    assert_eq!(told.cost.traffic["train"].to_string(), "4 CNY");
    // Who has no budget is not asked.
    assert_eq!(ids(&Stage::new(&lab("timeout: 5m")).plan()), Vec::<String>::new());
}

#[test]
fn the_time_after_which_the_cloud_ends_it_is_the_upper_bound() {
    let plan = Stage::new(&lab("timeout: 5m\nneeds: { cpu: 1, memory: 2GiB }")).plan();
    // 300 s more than the job may take.
    let sum = |total: &aliform::model::cost::Total| total.sums[0].rounded(4).to_string();
    assert_eq!((sum(&plan.cost.once), sum(&plan.cost.unattended)), ("0.0429 CNY".to_owned(), "0.0858 CNY".to_owned()));
}
