//! A matrix of parameters where no machines are shared: invocations, Jobs of a cluster, training jobs. So many at once as
//! the manifest says, an end of each, its outputs by its parameters, and one receipt that is the bill.

use std::fs;

use serde_json::Value as Json;

use crate::stage::Stage;

const RUN: &str = "mkdir -p model && date +%s%N > model/begun && echo \"$lr $seed\" > model/weights && sleep 0.5; \
                   date +%s%N > model/ended; [ \"$lr,$seed\" != \"1,2\" ]";

/// A folder with one job of six runs on that product.
fn lab(product: &str, more: &str) -> Stage {
    let stage = Stage::empty();
    stage.write("notes.txt", "what a job is about");
    let matrix = "matrix: { lr: [0.1, 1], seed: [1, 2, 3] }, max_parallel: 2, outputs: [model/]";
    stage.write(
        "aliform.yaml",
        &format!(
            "version: 1\nstack: lab\nregion: cn-hangzhou\njobs:\n  sweep: {{ run: '{RUN}', product: {product}, \
             needs: {{ cpu: 2, memory: 4GiB }}, timeout: 5m, {matrix}{more} }}\n"
        ),
    );
    stage
}

#[track_caller]
fn number(text: &str) -> f64 {
    text.trim().trim_end_matches(" CNY").parse().unwrap()
}

/// How many runs went on at the same time at most, as they say themselves.
fn most_at_once(stage: &Stage, folders: &[String]) -> usize {
    let moment = |folder: &String, name: &str| number(&fs::read_to_string(stage.file(&format!("{folder}/model/{name}"))).unwrap());
    let lives: Vec<(f64, f64)> = folders.iter().map(|folder| (moment(folder, "begun"), moment(folder, "ended"))).collect();
    lives.iter().map(|(from, _)| lives.iter().filter(|(begun, ended)| begun <= from && from < ended).count()).max().unwrap()
}

/// Runs it, and holds its receipt against the outputs and the bill.
fn check(product: &str) -> Json {
    let stage = lab(product, ", budget: { total: 2 CNY }");
    let receipt = stage.run(&["run", "sweep", "--auto-approve", "--output", "json"]).expect(1).json();
    let runs = receipt["runs"].as_array().unwrap();
    assert_eq!((&receipt["product"], runs.len(), &receipt["result"]), (&product.into(), 6, &"failed".into()), "{receipt}");
    let mut folders = Vec::new();
    for (number, run) in runs.iter().enumerate() {
        let (lr, seed) = (["0.1", "1"][number / 3], number % 3 + 1);
        let failed = if number == 4 { ".failed" } else { "" };
        let folder = format!("outputs/sweep/lr={lr},seed={seed}{failed}");
        // One bad run keeps no other from running.
        assert_eq!(run["exit_code"], i64::from(number == 4), "{run}");
        assert_eq!(run["outputs"], folder.as_str());
        assert_eq!(fs::read_to_string(stage.file(&format!("{folder}/model/weights"))).unwrap(), format!("{lr} {seed}\n"));
        folders.push(folder);
    }
    assert!(most_at_once(&stage, &folders) <= 2, "more at once than the manifest allows");
    let bill = stage.run(&["cloud", "bill", "--output", "json"]).expect(0).json();
    let (cost, spent) = (number(receipt["cost"]["sums"][0].as_str().unwrap()), number(bill["spent"].as_str().unwrap()));
    assert!(spent <= 2.0 && (cost - spent).abs() < 0.01, "{receipt}\n{bill}");
    assert!(stage.resources().is_empty(), "{:?}", stage.resources());
    receipt
}

#[test]
fn every_combination_is_an_invocation() {
    let receipt = check("fc");
    assert_eq!((&receipt["machines"], &receipt["runs"][0]["machine"]), (&6.into(), &Json::Null));
}

#[test]
fn every_combination_is_a_job_of_one_cluster() {
    let receipt = check("ack");
    assert_eq!(receipt["machines"], 1);
}

#[test]
fn every_combination_is_a_training_job() {
    let receipt = check("pai");
    assert_eq!(receipt["machines"], 6);
}

#[test]
fn over_its_budget_a_matrix_begins_nothing_and_an_hour_counts_what_goes_on_at_once() {
    for product in ["fc", "ack", "pai"] {
        let stage = lab(product, ", budget: { total: 0.01 CNY }");
        let ran = stage.run(&["run", "sweep", "--auto-approve"]).expect(3);
        assert!(ran.stderr.contains("the total budget of 0.01 CNY of job `sweep` would be exceeded"), "{}", ran.stderr);
        assert!(stage.resources().is_empty());
        let once = |stage: &Stage| stage.run(&["plan", "--output", "json"]).expect(0).json()["cost"]["once"]["sums"][0].clone();
        let six = number(once(&stage).as_str().unwrap());
        stage.edit("aliform.yaml", ", budget: { total: 0.01 CNY }", ", budget: { hourly: 1.5 CNY }");
        let plan = stage.run(&["plan", "--output", "json"]).expect(0).json();
        // Two at once for three times five minutes: an hour of them is no more than four times the whole. Parts of a cluster
        // are paid by the hour begun; an hour of it all is less.
        let hour = if product == "ack" { 1.0 } else { six * 4.0 };
        assert!(plan["cost"]["exceeded"].as_array().unwrap().is_empty() == (hour <= 1.5), "{product}: {}", plan["cost"]);
    }
}
