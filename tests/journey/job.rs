//! A job from nothing to its outputs, and everything it needed gone again, however it ends.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout};

use rustix::process::Signal;

use crate::stage::Stage;

const MANIFEST: &str = "version: 1
stack: lab
jobs:
  train:
    script: train.py
    product: ecs
    needs: { cpu: 2, memory: 4GiB }
    timeout: 10m
    outputs: [model/]
    env: { EPOCHS: '3' }
";

/// Counts its starts, trains, and leaves a model behind.
const SCRIPT: &str = "import os, pathlib, time
model = pathlib.Path('model')
model.mkdir(exist_ok=True)
with (model / 'starts').open('a') as starts:
    starts.write('started\\n')
for epoch in range(int(os.environ['EPOCHS'])):
    print('epoch', epoch)
    time.sleep(0.5)
(model / 'weights').write_text('42')
";

fn lab() -> Stage {
    let stage = Stage::empty();
    stage.write("aliform.yaml", MANIFEST);
    stage.write("train.py", SCRIPT);
    stage
}

/// Starts an apply, and waits until the job has written its first line.
fn begun(stage: &Stage) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = stage.spawn(&["apply", "--auto-approve", "--output", "ndjson"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.by_ref().map_while(Result::ok).any(|line| line.contains("epoch 0")), "the job did not begin");
    (child, lines)
}

#[test]
fn a_job_runs_brings_its_outputs_home_and_leaves_nothing() {
    let stage = lab();
    let ran = stage.apply();
    for said in ["released when run.train is over", "at most 0.0445 CNY"] {
        assert!(ran.stdout.contains(said), "`{said}` is not in the plan:\n{}", ran.stdout);
    }
    assert!(ran.stderr.contains("epoch 2"), "{}", ran.stderr);
    for said in ["train: exit code 0; about 0.0", "outputs  outputs/train\n", "log      .aliform/runs/lab/"] {
        assert!(ran.stdout.contains(said), "`{said}` is not in the summary:\n{}", ran.stdout);
    }
    assert!(stage.run(&["state", "list"]).expect(0).stdout.contains("  done"));
    assert_eq!(std::fs::read_to_string(stage.file("outputs/train/model/weights")).unwrap(), "42");
    assert!(stage.resources().is_empty(), "{:?}", stage.resources());

    // What ran is not run again, until it is another run.
    stage.run(&["plan", "--detailed-exitcode"]).expect(0);
    stage.edit("aliform.yaml", "EPOCHS: '3'", "EPOCHS: '1'");
    assert_eq!(stage.planned()["run.train"], "replace");
    stage.apply();
    assert!(stage.resources().is_empty());
}

#[test]
fn a_job_that_fails_says_so_and_leaves_nothing_either() {
    let stage = lab();
    stage.write("train.py", "print('before the end')\nraise SystemExit(3)\n");
    let ran = stage.run(&["apply", "--auto-approve"]).expect(1);
    assert!(ran.stderr.contains("before the end") && ran.stderr.contains("exit code 3"), "{}", ran.stderr);
    assert!(ran.stdout.contains("train: exit code 3; about 0.0"), "{}", ran.stdout);
    assert!(stage.run(&["state", "list"]).expect(0).stdout.contains("  failed"));
    assert!(stage.resources().is_empty(), "{:?}", stage.resources());
    let plan = stage.run(&["plan"]).expect(0).stdout;
    assert!(plan.contains("its last run did not end well: exit code 3"), "{plan}");
}

#[test]
fn killed_while_it_runs_the_next_apply_finds_the_same_run_and_releases_everything() {
    let stage = lab();
    stage.edit("aliform.yaml", "EPOCHS: '3'", "EPOCHS: '8'");
    let (mut child, _lines) = begun(&stage);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(stage.resources().get("instance"), Some(&1));

    let ran = stage.apply();
    assert!(ran.stderr.contains("epoch 7"), "{}", ran.stderr);
    assert_eq!(std::fs::read_to_string(stage.file("outputs/train/model/starts")).unwrap(), "started\n", "it ran once");
    assert!(stage.resources().is_empty(), "{:?}", stage.resources());
    stage.run(&["plan", "--detailed-exitcode"]).expect(0);
}

#[test]
fn interrupted_it_is_stopped_and_everything_is_released() {
    let stage = lab().in_a_terminal();
    stage.edit("aliform.yaml", "EPOCHS: '3'", "EPOCHS: '1000'");
    // Ctrl-C, a service manager, a closed terminal.
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let (mut child, lines) = begun(&stage);
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
        let rest: Vec<String> = lines.map_while(Result::ok).collect();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{signal:?}: {rest:?}");
        assert!(stage.resources().is_empty(), "{signal:?}: {:?}", stage.resources());
    }
}
