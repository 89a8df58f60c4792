//! What stops a command before anything is created, and in which words.

use std::fs::OpenOptions;
use std::process::Stdio;

use crate::stage::Stage;

fn scripted() -> Stage {
    let stage = Stage::empty();
    stage.write("hi.sh", "echo hi\n");
    stage
}

#[test]
fn an_option_that_can_not_be_read_is_wrong_usage_and_named() {
    let stage = scripted();
    let wrong = [
        ("--memory", "4"),
        ("--cpu", "9999"),
        ("--region", "mars"),
        ("--timeout", "5"),
        ("--budget", "x"),
        ("--product", "ecx"),
        ("--fetch", "/etc"),
        ("--env", "9=1"),
        ("--name", "Ä"),
    ];
    for (option, value) in wrong {
        let ran = stage.run(&["run", "hi.sh", option, value]).expect(64);
        assert!(ran.stderr.contains(&format!("`{option}`: ")), "{}", ran.stderr);
        assert!(!ran.stderr.contains("manifest of this run"), "{}", ran.stderr);
    }
    for (option, value) in [("--accept", "anything"), ("--parallelism", "0")] {
        let ran = stage.run(&["run", "hi.sh", option, value]).expect(64);
        assert!(ran.stderr.contains(&format!("'{value}'")), "{}", ran.stderr);
    }
}

#[test]
fn with_too_little_money_in_the_account_nothing_is_begun() {
    let stage = scripted();
    stage.write("poor.yaml", "balance: 5\n");
    stage.run(&["cloud", "start", "--scenario", "poor.yaml"]).expect(0);
    let ran = stage.run(&["run", "hi.sh", "--auto-approve"]).expect(3);
    assert!(ran.stderr.contains("the account has 5.00 CNY left") && ran.stderr.contains("--accept balance-low"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("creating"), "{}", ran.stderr);
    assert!(stage.resources().is_empty());
}

#[test]
fn a_plan_that_nobody_can_see_is_not_carried_out() {
    let stage = scripted();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ran = stage.command(&["run", "hi.sh", "--auto-approve"]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.code() == Some(1) && said.contains("the plan can't be shown"), "{said}");
    assert!(stage.resources().is_empty());
}

#[test]
fn validate_reads_the_scripts_too() {
    let stage = Stage::empty();
    stage.write("aliform.yaml", "version: 1\nstack: lab\njobs:\n  train: { script: train.py, product: ecs }\n");
    stage.write("train.py", "# later\n");
    let ran = stage.run(&["validate"]).expect(1);
    assert!(ran.stderr.contains("script-does-nothing") && ran.stderr.contains("train.py:1"), "{}", ran.stderr);
    stage.write("train.py", "print('trained')\n");
    stage.run(&["validate"]).expect(0);
}

#[test]
fn without_credentials_a_check_says_so_once() {
    let ran = Stage::empty().command(&["check"]).env_remove("ALIFORM_CLOUD").output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert_eq!(
        (ran.status.code(), said.matches("no credentials for Alibaba Cloud").count(), said.matches("skipped").count()),
        (Some(1), 1, 3)
    );
}
