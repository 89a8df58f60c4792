//! `aliform run`: a script without a manifest, or one job of it, its receipt, and nothing left.

use std::collections::BTreeMap;
use std::process::{Child, ChildStdout};
use std::{fs, io::BufRead, io::BufReader, io::Lines};

use crate::stage::{Ran, Stage};

const SCRIPT: &str = "import os, pathlib, sys, time
pathlib.Path('model').mkdir(exist_ok=True)
pathlib.Path('model/weights').write_text(os.environ.get('EPOCHS', '0'))
pathlib.Path('model/moment').write_text(str(time.time_ns()))
print('token of', len(os.environ.get('TOKEN', '')))
sys.exit(int(os.environ.get('CODE', '0')))
";

fn scripted() -> Stage {
    let stage = Stage::empty();
    stage.write("train.py", SCRIPT);
    stage
}

fn run(stage: &Stage, more: &[&str]) -> Ran {
    let small = ["--region", "cn-hangzhou", "--cpu", "2", "--memory", "4GiB", "--timeout", "10m", "--auto-approve"];
    stage.run(&[&["run"], more, &small].concat())
}

/// Nothing in the cloud, and no state of a stack.
#[track_caller]
fn nothing_is_left(stage: &Stage) {
    assert_eq!(stage.resources(), BTreeMap::new());
    let states: Vec<String> = fs::read_dir(stage.file(".aliform"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| [".state.json", ".journal", ".lock", ".backup"].iter().any(|end| name.ends_with(end)) && name.starts_with("run-"))
        .collect();
    assert!(states.is_empty(), "{states:?}");
}

/// What differs from run to run has a name in golden texts.
fn golden(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\b(\d+h )?(\d+m )?\d+s\b", "TIME");
    settings.add_filter(r"\.aliform/runs/(\S+)/\d+T\d+Z-", ".aliform/runs/$1/MOMENT-");
    settings.add_filter(r"about \d+\.\d+ CNY", "about COST");
    settings.add_filter(r"\d+\.\d+ CNY where so short", "COST where so short");
    settings.add_filter(r"20\d\d-\d\d-\d\dT\d\d:\d\dZ", "MOMENT");
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// The receipt, which is the last part.
fn receipt(ran: &Ran) -> &str {
    ran.stdout.rsplit_once("\n\n").map_or(&*ran.stdout, |(_, receipt)| receipt)
}

#[test]
fn a_script_runs_without_a_manifest_and_leaves_its_outputs_and_nothing_else() {
    let stage = scripted();
    let ran = {
        let mut command =
            stage.command(&["run", "train.py", "--cpu", "2", "--memory", "4GiB", "--region", "cn-hangzhou", "--auto-approve"]);
        command.args(["--env", "EPOCHS=42", "--env", "TOKEN", "--fetch", "model/", "--timeout", "10m"]).env("TOKEN", "s3cret-value");
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }.expect(0)
    };
    assert!(ran.stdout.contains("at most 0.0445 CNY"), "{}", ran.stdout);
    assert!(ran.stderr.contains("token of 12") && !ran.stderr.contains("s3cret-value"), "{}", ran.stderr);
    golden("a_script_is_done", receipt(&ran));
    assert_eq!(fs::read_to_string(stage.file("outputs/train/model/weights")).unwrap(), "42");
    nothing_is_left(&stage);

    // The same again is another run.
    let again = run(&stage, &["./train.py", "--output", "ndjson"]).expect(0);
    let last: serde_json::Value = serde_json::from_str(again.stdout.lines().last().unwrap()).unwrap();
    assert_eq!((&last["type"], &last["result"]["exit_code"]), (&"result".into(), &0.into()));
    assert!(last["result"]["seconds"].as_u64().unwrap() >= 1 && last["result"]["left"].as_array().unwrap().is_empty());
    nothing_is_left(&stage);
}

#[test]
fn a_job_of_a_manifest_runs_alone_and_the_app_stays_as_it_is() {
    let stage = Stage::example("hello-web");
    stage.write("train.py", SCRIPT);
    stage.apply();
    let before = stage.resources();
    let manifest = fs::read_to_string(stage.file("aliform.yaml")).unwrap();
    let job = "jobs:\n  train: { script: train.py, needs: { cpu: 2, memory: 4GiB }, timeout: 10m, outputs: [model/] }\n";
    stage.write("aliform.yaml", &(manifest.clone() + job));

    stage.write("train", "");
    let both = stage.run(&["run", "train", "--auto-approve"]).expect(64);
    assert!(both.stderr.contains("a job of the manifest too") && both.stderr.contains("`./train`"), "{}", both.stderr);
    fs::remove_file(stage.file("train")).unwrap();
    let none = stage.run(&["run", "trian", "--auto-approve"]).expect(1);
    assert!(none.stderr.contains("the manifest has `train`"), "{}", none.stderr);
    stage.run(&["run", "train", "--cpu", "4", "--auto-approve"]).expect(64);

    let receipt = stage.run(&["run", "train", "--auto-approve", "--output", "json"]).expect(0).json();
    assert_eq!((&receipt["stack"], &receipt["result"]), (&"hello-web-train".into(), &"succeeded".into()));
    assert_eq!(receipt["command"], "train.py");
    assert_eq!(fs::read_to_string(stage.file("outputs/train/model/weights")).unwrap(), "0");
    assert_eq!(stage.resources(), before);
    stage.write("aliform.yaml", &manifest);
    stage.run(&["status"]).expect(0);
    stage.run(&["destroy", "--auto-approve"]).expect(0);
    assert_eq!(stage.resources(), BTreeMap::new());
}

#[test]
fn a_script_that_fails_has_a_receipt_too() {
    let stage = scripted();
    let ran = run(&stage, &["train.py", "--env", "CODE=3"]).expect(1);
    golden("a_script_failed", receipt(&ran));
    nothing_is_left(&stage);
    // No `yes`, no run.
    stage.type_in(&["run", "train.py"], "no\n").expect(1);
    let refused = stage.type_in(&["run", "train.py", "--output", "json"], "no\n").expect(1);
    assert!(refused.stderr.contains("Plan for stack `run-train`"), "{}", refused.stderr);
    let error = &refused.json()["error"];
    assert!(error["code"] == 1 && error["message"].as_str().is_some_and(|message| message.starts_with("not approved")), "{error}");
    let missing = stage.run(&["run", "trian.py"]).expect(1);
    assert!(missing.stderr.contains("did you mean `train.py`?") && !missing.stderr.contains("options of this run"), "{}", missing.stderr);
    let secret = stage.run(&["run", "train.py", "--env", "API_KEY=abcdefghijklmnop"]).expect(64);
    assert!(secret.stderr.contains("`--env NAME`, without a value") && !secret.stderr.contains("abcdefghijklmnop"), "{}", secret.stderr);
    nothing_is_left(&stage);
}

#[test]
fn what_would_cost_too_much_is_not_begun() {
    let stage = scripted();
    let ran = run(&stage, &["train.py", "--budget", "0.0001 CNY"]).expect(3);
    assert!(ran.stderr.contains("the total budget of 0.0001 CNY would be exceeded"), "{}", ran.stderr);
    nothing_is_left(&stage);
}

#[test]
fn what_a_failed_run_ran_on_is_kept_if_asked_for_and_released_when_told() {
    let stage = scripted();
    let ran = run(&stage, &["train.py", "--env", "CODE=3", "--keep-on-failure"]).expect(1);
    golden("a_failed_run_is_kept", receipt(&ran));
    assert_eq!(stage.resources().get("instance"), Some(&1));

    // The next one has a machine of its own, which is kept in place of the first.
    let machine = || fs::read_to_string(stage.file(".aliform/run-train.state.json")).unwrap();
    let first = machine();
    run(&stage, &["train.py", "--env", "CODE=3", "--keep-on-failure"]).expect(1);
    assert_ne!(first, machine());
    assert_eq!(stage.resources().get("instance"), Some(&1));

    stage.run(&["run", "--release", "run-train", "--auto-approve"]).expect(0);
    nothing_is_left(&stage);
    stage.run(&["run", "--release", "run-train"]).expect(1);
}

/// Starts a run that takes long, and waits until it has written something.
fn begun(stage: &Stage, seconds: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
    stage.write(
        "wait.py",
        &format!("import time\nopen('starts', 'a').write('started ')\nprint('begun')\ntime.sleep({seconds})\nprint('over')\n"),
    );
    let mut child = stage.spawn(&[
        "run",
        "wait.py",
        "--timeout",
        "10m",
        "--fetch",
        "starts",
        "--auto-approve",
        "--keep-on-failure",
        "--output",
        "ndjson",
    ]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = Vec::new();
    for line in lines.by_ref().map_while(Result::ok) {
        if line.contains("\"text\":\"begun") {
            return (child, lines);
        }
        said.push(line);
    }
    panic!("it did not begin:\n{}\n{}", said.join("\n"), String::from_utf8_lossy(&child.wait_with_output().unwrap().stderr));
}

#[test]
fn stopped_it_has_a_receipt_and_nothing_is_kept() {
    let stage = Stage::empty();
    let (mut child, lines) = begun(&stage, "1000");
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let last = lines.map_while(Result::ok).last().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{last}");
    assert!(last.contains("\"result\":\"interrupted\"") && last.contains("\"left\":[]"), "{last}");
    nothing_is_left(&stage);
}

#[test]
fn killed_the_next_run_goes_on_with_the_same_one() {
    let stage = Stage::empty();
    let (mut child, _lines) = begun(&stage, "6");
    child.kill().unwrap();
    child.wait().unwrap();
    let again = ["run", "wait.py", "--timeout", "10m", "--fetch", "starts", "--auto-approve", "--output", "json"];
    let receipt = stage.run(&again).expect(0).json();
    assert_eq!(fs::read_to_string(stage.file("outputs/wait/starts")).unwrap(), "started ", "it ran once");
    assert!(receipt["seconds"].as_u64().unwrap() >= 6, "the machine is the first one's: {receipt}");
    nothing_is_left(&stage);
}

#[test]
fn what_stays_by_the_manifest_is_used_again_and_released_when_told() {
    let stage = scripted();
    let job = "{ script: train.py, needs: { cpu: 2, memory: 4GiB }, timeout: 10m, keep: true, env: { CODE: '3' }, outputs: [model/] }";
    stage.write("aliform.yaml", &format!("version: 1\nstack: lab\njobs:\n  train: {job}\n"));
    let ran = |code: i32| stage.run(&["run", "train", "--auto-approve", "--output", "json"]).expect(code).json();
    let machine = |receipt: &serde_json::Value| {
        let left = receipt["left"].as_array().unwrap().clone();
        left.into_iter().find(|left| left["address"] == "instance.train").expect("the machine is left")["id"].clone()
    };
    let first = ran(1);
    assert_eq!((&first["exit_code"], &first["ends_at"]), (&3.into(), &serde_json::Value::Null));
    let moment = || fs::read_to_string(stage.file("outputs/train.failed/model/moment")).unwrap();
    let before = moment();
    // The same files on the same machine: it really runs again.
    let second = ran(1);
    assert_eq!(machine(&first), machine(&second));
    assert_ne!(before, moment());
    stage.run(&["run", "--release", "lab-train", "--auto-approve"]).expect(0);
    nothing_is_left(&stage);
}
