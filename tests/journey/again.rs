//! `aliform run` once more after something went wrong with the first: what was paid is in the receipt, what is of use is
//! used, what can't be released is said at once.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout};

use serde_json::Value as Json;

use crate::stage::{Stage, processes_with, until};

const RUN: &[&str] = &["run", "slow.sh", "--region", "cn-hangzhou", "--cpu", "2", "--memory", "4GiB", "--timeout", "10m", "--auto-approve"];

/// Starts it, and reads until a line of it holds all of `words`.
fn begun(stage: &Stage, arguments: &[&str], words: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = stage.spawn(&[arguments, &["--output", "ndjson"]].concat());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = Vec::new();
    for line in lines.by_ref().map_while(Result::ok) {
        if words.iter().all(|word| line.contains(word)) {
            return (child, lines);
        }
        said.push(line);
    }
    panic!("{words:?} did not come:\n{}\n{}", said.join("\n"), String::from_utf8_lossy(&child.wait_with_output().unwrap().stderr));
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn scenario(stage: &Stage, text: &str) {
    stage.write(".aliform/scenario.yaml", text);
    stage.run(&["cloud", "scenario", ".aliform/scenario.yaml"]).expect(0);
}

/// What the receipt says that it cost, and what the cloud bills for how many machines, in CNY.
#[track_caller]
fn paid(stage: &Stage, receipt: &Json) -> (f64, f64, usize) {
    let bill = stage.run(&["cloud", "bill", "--output", "json"]).expect(0).json();
    let cost: f64 = receipt["cost"]["sums"][0].as_str().unwrap().strip_suffix(" CNY").unwrap().parse().unwrap();
    let machines = bill["lines"].as_array().unwrap().iter().filter(|line| line["part"] == "instanceType").count();
    (cost, bill["spent"].as_str().unwrap().parse().unwrap(), machines)
}

#[test]
fn another_script_after_a_kill_begins_when_the_first_one_is_stopped() {
    for product in ["ecs", "fc", "ack", "pai"] {
        let stage = Stage::empty();
        let first = format!("1000.{}1", std::process::id());
        stage.write("slow.sh", &format!("echo begun\nsleep {first}\n"));
        let arguments = ["run", "slow.sh", "--product", product, "--timeout", "10m", "--auto-approve"];
        let (child, _lines) = begun(&stage, &arguments, &["\"text\":\"begun"]);
        kill(child);
        assert!(!processes_with(&first).is_empty(), "{product}: nothing goes on");

        stage.write("slow.sh", "echo other\nsleep 3\necho over\nexit 7\n");
        let (mut child, lines) = begun(&stage, &arguments, &["\"text\":\"other"]);
        assert!(processes_with(&first).is_empty(), "{product}: the first one goes on beside the second");
        let last = lines.map_while(Result::ok).last().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1), "{product}: {last}");
        assert!(last.contains("\"exit_code\":7"), "{product}: {last}");
        assert!(stage.resources().is_empty(), "{product}: {:?}", stage.resources());
    }
}

#[test]
fn killed_while_its_machine_goes_the_receipt_has_the_machine_and_says_that_nothing_ran() {
    // Whether the machine is gone when the second command looks, or not.
    for goes in [true, false] {
        let stage = Stage::empty();
        stage.write("slow.sh", "echo begun\nsleep 4\n");
        let (child, lines) = begun(&stage, RUN, &["\"text\":\"begun"]);
        if goes {
            scenario(&stage, "calls:\n- { call: 'ecs:DescribeInstances', takes: 60s }\n");
        }
        let mut lines = lines.map_while(Result::ok);
        assert!(lines.any(|line| line.contains("step_started") && line.contains("instance.slow") && line.contains("\"delete\"")));
        if goes {
            until("the end of the machine", || !stage.resources().contains_key("instance"));
        }
        kill(child);
        stage.run(&["cloud", "scenario", "--clear"]).expect(0);

        let again = stage.run(&[RUN, &["--output", "json"]].concat()).expect(0);
        let receipt = again.json();
        assert!(receipt["ended_before"].as_str().is_some_and(|at| at.starts_with("20")), "{receipt}");
        assert_eq!((&receipt["machines"], &receipt["exit_code"]), (&1.into(), &0.into()), "{receipt}");
        assert!(receipt["seconds"].as_u64().unwrap() >= 4, "{receipt}");
        let (cost, spent, machines) = paid(&stage, &receipt);
        assert_eq!(machines, 1);
        assert!(cost > 0.0 && (cost - spent).abs() < 0.0005, "{cost} is not {spent}: {receipt}");
        assert!(stage.resources().is_empty(), "{:?}", stage.resources());
    }
}

#[test]
fn killed_before_it_ran_the_machine_is_used_by_the_next_command() {
    let stage = Stage::empty();
    stage.write("slow.sh", "echo ran >> ran\ncat ran\n");
    let (child, _lines) = begun(&stage, RUN, &["step_started", "run.slow"]);
    kill(child);
    let receipt = stage.run(&[RUN, &["--output", "json"]].concat()).expect(0).json();
    assert_eq!((&receipt["machines"], &receipt["ended_before"]), (&1.into(), &Json::Null), "{receipt}");
    let (cost, spent, machines) = paid(&stage, &receipt);
    assert_eq!(machines, 1, "the machine was replaced: {receipt}");
    assert!((cost - spent).abs() < 0.0005, "{cost} is not {spent}: {receipt}");
    assert!(stage.resources().is_empty(), "{:?}", stage.resources());
}

#[test]
fn what_a_machine_stands_on_is_not_tried_when_the_machine_can_not_be_released() {
    let stage = Stage::empty();
    stage.write("slow.sh", "echo hi\n");
    stage.run(&["cloud", "start"]).expect(0);
    scenario(&stage, "calls:\n- call: ecs:DeleteInstance\n  fails: { code: OperationDenied.Locked, status: 403 }\n");
    let ran = stage.run(RUN);
    assert_ne!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("`instance.slow` could not be released, and needs it"), "{}", ran.stderr);
    let calls = stage.run(&["cloud", "calls", "-n", "1000"]).expect(0).stdout;
    assert!(calls.contains("DeleteInstance"), "{calls}");
    for call in ["DeleteVSwitch", "DeleteSecurityGroup", "DeleteVpc"] {
        assert!(!calls.contains(call), "{call} was tried:\n{calls}");
    }
    stage.run(&["cloud", "scenario", "--clear"]).expect(0);
    stage.run(&["run", "--release", "run-slow", "--auto-approve"]).expect(0);
    assert!(stage.resources().is_empty(), "{:?}", stage.resources());
}
