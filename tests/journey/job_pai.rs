//! A job as a training job of PAI: its output as it comes, its exit code, its outputs, and nothing left of it.

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout};

use serde_json::Value as Json;

use crate::stage::{Ran, Stage};

const SECRET: &str = "s3cr3t-planted-by-the-test-9876543210";

const SCRIPT: &str = "import os, pathlib, sys, time
pathlib.Path('model').mkdir(exist_ok=True)
with open('model/starts', 'a') as starts:
    starts.write('started ')
for epoch in range(int(os.environ.get('EPOCHS', '2'))):
    print('epoch', epoch, 'with a token', os.environ.get('TOKEN', 'of nobody'))
    time.sleep(float(os.environ.get('PAUSE', '0.1')))
print('no end of line', end='')
sys.exit(int(os.environ.get('CODE', '0')))
";

fn lab() -> Stage {
    let stage = Stage::empty();
    stage.write("train.py", SCRIPT);
    stage
}

const RUN: &[&str] = &["run", "train.py", "--product", "pai", "--region", "cn-hangzhou", "--cpu", "2", "--timeout", "10m"];

fn run(stage: &Stage, more: &[&str]) -> Ran {
    let mut command = stage.command(&[RUN, &["--auto-approve"], more].concat());
    let output = command.env("TOKEN", SECRET).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[track_caller]
fn nothing_is_left(stage: &Stage) {
    assert!(stage.resources().is_empty(), "{:?}", stage.resources());
}

/// Files of the program's own that hold the secret; what the cloud keeps is the cloud's.
fn holding(stage: &Stage) -> Vec<String> {
    let files = fs::read_dir(stage.file(".aliform")).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let holds = |bytes: Vec<u8>| bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
    files.filter(|path| holds(fs::read(path).unwrap())).map(|path| path.display().to_string()).collect()
}

#[test]
fn a_script_runs_as_a_training_job_and_leaves_its_outputs_and_nothing_else() {
    let stage = lab();
    let ran = run(&stage, &["--env", "TOKEN", "--fetch", "model/", "--fetch", "nothing"]).expect(1);
    for said in ["epoch 0 with a token ***", "epoch 1 with a token ***", "no end of line", "there is no output `nothing`"] {
        assert_eq!(ran.stderr.matches(said).count(), 1, "`{said}` in\n{}", ran.stderr);
    }
    for said in [
        "Job `train` failed: exit code 0, but the output `nothing` was not there.",
        "on PAI in cn-hangzhou",
        "left     nothing",
        "outputs  ",
    ] {
        assert!(ran.stdout.contains(said), "`{said}` is not in\n{}", ran.stdout);
    }
    assert!(!ran.stderr.contains(SECRET) && !ran.stdout.contains(SECRET) && !ran.stderr.contains("exit="), "{}", ran.stderr);
    assert_eq!(fs::read_to_string(stage.file("outputs/train.failed/model/starts")).unwrap(), "started ");
    nothing_is_left(&stage);

    // The same again: neither the name of its workspace nor that of its job is in the way.
    let again = run(&stage, &["--env", "CODE=3", "--output", "json"]).expect(1).json();
    assert_eq!((&again["exit_code"], &again["result"], &again["left"]), (&3.into(), &"failed".into(), &Json::Array(Vec::new())));
    assert_eq!((&again["product"], &again["zone"]), (&"pai".into(), &Json::Null));
    assert!(again["cost"]["sums"].as_array().is_some_and(|sums| !sums.is_empty()), "{again}");
    nothing_is_left(&stage);
    assert_eq!(holding(&stage), Vec::<String>::new());
}

#[test]
fn the_example_runs_on_two_workers_and_each_line_says_whose_it_is() {
    let stage = Stage::example("job-pai");
    let ran = stage.apply();
    for worker in ["master-0", "worker-0"] {
        assert_eq!(ran.stderr.matches(&format!("{worker} | epoch 2: loss")).count(), 1, "{}", ran.stderr);
    }
    assert!(ran.stdout.contains(", 2 pods of training"), "{}", ran.stdout);
    let model: Json = serde_json::from_str(&fs::read_to_string(stage.file("outputs/train/model/weights.json")).unwrap()).unwrap();
    assert!((model["slope"].as_f64().unwrap() - 3.0).abs() < 1.0, "{model}");
    nothing_is_left(&stage);
    // What ran is not run again.
    stage.run(&["plan", "--detailed-exitcode"]).expect(0);
    stage.edit("aliform.yaml", "EPOCHS: '3'", "EPOCHS: '1'");
    assert_eq!(stage.planned()["training_job.train"], "replace");
    stage.apply();
    nothing_is_left(&stage);
}

/// Starts a run that takes long, and waits until it has written something.
fn begun(stage: &Stage, arguments: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = stage.spawn(&[RUN, &["--auto-approve", "--fetch", "model/", "--output", "ndjson"], arguments].concat());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.by_ref().map_while(Result::ok).any(|line| line.contains("epoch 0")), "the job did not begin");
    (child, lines)
}

#[test]
fn killed_while_it_runs_the_next_run_goes_on_with_the_same_job() {
    let stage = lab();
    let long = ["--env", "EPOCHS=8", "--env", "PAUSE=0.5"];
    let (mut child, _lines) = begun(&stage, &long);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(stage.resources().get("training_job"), Some(&1));
    let ran = run(&stage, &[&["--fetch", "model/"], &long[..]].concat()).expect(0);
    assert!(ran.stderr.contains("epoch 7"), "{}", ran.stderr);
    assert_eq!(fs::read_to_string(stage.file("outputs/train/model/starts")).unwrap(), "started ", "it ran once");
    nothing_is_left(&stage);
}

#[test]
fn interrupted_it_is_stopped_and_everything_is_released() {
    let stage = lab();
    let (mut child, lines) = begun(&stage, &["--env", "EPOCHS=100000"]);
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let last = lines.map_while(Result::ok).last().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{last}");
    assert!(last.contains("\"result\":\"interrupted\"") && last.contains("\"left\":[]"), "{last}");
    nothing_is_left(&stage);
}
