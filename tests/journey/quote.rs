//! What could run it, side by side: the five kinds of work without a product, a GPU by need, regions, spot machines.

use serde_json::Value as Json;

use crate::stage::{Ran, Stage};

fn quote(stage: &Stage, more: &[&str]) -> Ran {
    stage.run(&[&["quote"], more].concat()).expect(0)
}

/// The comparison of a script with these lines, as people see it. The region rule has its own tests.
fn golden(name: &str, script: &str, more: &[&str]) {
    let stage = Stage::empty();
    stage.write("work.py", script);
    let shown = quote(&stage, &[&["work.py", "--region", "cn-hangzhou"], more].concat()).stdout;
    insta::assert_snapshot!(name, shown);
    assert!(!stage.file(".aliform/run-work.state.json").exists(), "a quote remembers nothing");
    assert!(stage.resources().is_empty(), "and makes nothing");
}

const TRAINING: &str = "import torch\nmodel = torch.nn.Linear(2, 1)\nloss = model(torch.ones(2)).sum()\nloss.backward()\n";

#[test]
fn a_general_script() {
    golden("a_general_script", "print('hello')\n", &["--cpu", "2", "--memory", "4GiB"]);
}

#[test]
fn a_training_script() {
    golden("a_training_script", TRAINING, &["--cpu", "4", "--memory", "16GiB", "--timeout", "2h"]);
}

#[test]
fn a_training_script_with_a_gpu() {
    golden("a_training_script_with_a_gpu", TRAINING, &["--gpu", "NVIDIA T4", "--timeout", "2h"]);
}

#[test]
fn a_training_script_with_a_gpu_and_an_image() {
    let image = "registry.cn-hangzhou.aliyuncs.com/lab/train:1";
    golden("a_training_script_with_a_gpu_and_an_image", TRAINING, &["--gpu", "NVIDIA T4", "--timeout", "2h", "--image", image]);
}

#[test]
fn containers() {
    golden("containers", "import subprocess\nsubprocess.run('docker run --rm alpine echo hello', shell=True)\n", &["--timeout", "30m"]);
}

#[test]
fn a_service() {
    golden("a_service", "from http.server import HTTPServer\nHTTPServer(('', 80), None).serve_forever()\n", &["--timeout", "12h"]);
}

#[test]
fn regions_are_compared_and_the_cheapest_comes_first() {
    let stage = Stage::empty();
    let shown = quote(&stage, &["--cpu", "2", "--memory", "4GiB", "--region", "all", "--output", "json"]).json();
    let offers = shown["jobs.quote"]["offers"].as_array().unwrap().clone();
    let text = |offer: &Json, key: &str| offer[key].as_str().unwrap_or_default().to_owned();
    let amount = |offer: &Json| text(offer, "hourly").split(' ').next().unwrap().parse::<f64>().ok();
    let prices: Vec<f64> = offers.iter().map_while(amount).collect();
    assert!(prices.len() > 20 && prices.windows(2).all(|pair| pair[0] <= pair[1]), "{prices:?}");
    let regions: std::collections::BTreeSet<String> = offers.iter().map(|offer| text(offer, "region")).collect();
    assert_eq!(regions.len(), 30);
    assert_eq!(offers.iter().filter(|offer| offer["chosen"] == true).count(), 1);
    assert!(offers.iter().all(|offer| !text(offer, "because").is_empty()), "every loser has a reason");
    let human = quote(&stage, &["--cpu", "2", "--memory", "4GiB", "--region", "cn-beijing,us-east-1"]).stdout;
    assert!(human.contains("cn-beijing") && human.contains("us-east-1") && human.contains("not chosen: "), "{human}");
    let wrong = stage.run(&["quote", "--cpu", "2", "--region", "cn-beijing,mars"]).expect(64);
    assert!(wrong.stderr.contains("`mars` is not a region"), "{}", wrong.stderr);
    let lines = quote(&stage, &["--cpu", "2", "--region", "cn-beijing", "--output", "ndjson"]).stdout;
    assert!(lines.lines().last().unwrap().starts_with(r#"{"type":"result""#), "{lines}");
}

#[test]
fn a_gpu_and_arm_processors_are_found_by_what_is_needed() {
    let stage = Stage::empty();
    stage.write("work.sh", "echo hello\n");
    let kind = |more: &[&str]| {
        let base = ["quote", "work.sh", "--region", "cn-hangzhou", "--output", "json"];
        stage.run(&[&base, more].concat()).expect(0).json()["jobs.work"]["offers"][0]["what"].as_str().unwrap().to_owned()
    };
    assert!(kind(&["--gpu", "NVIDIA T4"]).starts_with("ecs.gn6i-"), "{}", kind(&["--gpu", "NVIDIA T4"]));
    assert!(kind(&["--gpu", "2 x NVIDIA A10"]).starts_with("ecs.gn7i-"), "{}", kind(&["--gpu", "2 x NVIDIA A10"]));
    assert!(kind(&["--arch", "arm"]).contains('y') || kind(&["--arch", "arm"]).contains('r'), "{}", kind(&["--arch", "arm"]));
    let none = stage.run(&["run", "work.sh", "--gpu", "NVIDIA T5", "--region", "cn-hangzhou"]).expect(1);
    assert!(none.stderr.contains("GPU `NVIDIA T5`") && none.stderr.contains("NVIDIA T4"), "{}", none.stderr);
}

#[test]
fn a_spot_machine_is_bought_at_the_market_and_the_plan_says_what_that_means() {
    let stage = Stage::empty();
    stage.write("work.sh", "echo hello\n");
    let small = ["--region", "cn-hangzhou", "--cpu", "2", "--memory", "4GiB", "--timeout", "10m", "--auto-approve"];
    let ran = stage.run(&[&["run", "work.sh", "--spot"], &small[..]].concat()).expect(0);
    assert!(ran.stdout.contains("spot-may-be-reclaimed") && ran.stdout.contains("(spot)"), "{}", ran.stdout);
    assert!(stage.resources().is_empty());
    let low = stage.run(&[&["run", "work.sh", "--spot=0.001 CNY"], &small[..]].concat()).expect(1);
    assert!(low.stderr.contains("the market asks more than 0.001 CNY an hour"), "{}", low.stderr);
    stage.run(&[&["run", "work.sh", "--spot=5 CNY"], &small[..]].concat()).expect(0);
    assert!(stage.resources().is_empty());
}

#[test]
fn what_can_not_be_had_or_paid_is_no_success() {
    let stage = Stage::empty();
    stage.write("hi.sh", "echo hi\n");
    let nothing = stage.run(&["quote", "--cpu", "1000"]).expect(1);
    assert!(nothing.stdout.contains("nothing with 1000 vCPU") && nothing.stderr.contains("is to be had"), "{}", nothing.stderr);
    let typo = stage.run(&["quote", "hi.sh", "--gpu", "2x NVIDIA T4", "--region", "cn-hangzhou"]).expect(1);
    assert!(typo.stdout.contains("there is no instance type with a GPU `2x NVIDIA T4`"), "{}", typo.stdout);
    let low = stage.run(&["quote", "hi.sh", "--spot=0.001 CNY", "--region", "cn-hangzhou"]).expect(1);
    assert!(low.stdout.contains("no price of up to 0.001 CNY an hour") && !low.stdout.contains(" >  "), "{}", low.stdout);
    let dear = stage.run(&["quote", "hi.sh", "--budget", "0.01 CNY"]).expect(3);
    assert!(dear.stdout.contains("chosen") && dear.stderr.contains("the total budget of 0.01 CNY would be exceeded"), "{}", dear.stderr);
}
