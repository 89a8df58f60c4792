//! A job of Container Service from nothing to its outputs: a cluster made for it and gone again, or one that was there
//! before and stays.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout};

use crate::stage::{Ran, Stage, processes_with, until};

const MANIFEST: &str = "version: 1
stack: lab
region: cn-hangzhou
jobs:
  train:
    script: train.py
    product: ack
    needs: { cpu: 2, memory: 4GiB }
    timeout: 10m
    outputs: [model/]
    env: { EPOCHS: '3', TOKEN: { from: env:TOKEN } }
";

/// Counts its starts, trains, says its secret, and leaves a model behind.
const SCRIPT: &str = "import os, pathlib, time
model = pathlib.Path('model')
model.mkdir(exist_ok=True)
with (model / 'starts').open('a') as starts:
    starts.write('started\\n')
print('token', os.environ['TOKEN'], len(os.environ['TOKEN']))
print('links', [name for name in os.environ if name.startswith('ALIFORM_') and name.endswith('URL')])
for epoch in range(int(os.environ['EPOCHS'])):
    print('epoch', epoch)
    time.sleep(0.5)
(model / 'weights').write_text('42')
raise SystemExit(int(os.environ.get('CODE', '0')))
";

const SECRET: &str = "s3cret-value";

fn lab() -> Stage {
    let stage = Stage::empty();
    stage.write("aliform.yaml", MANIFEST);
    stage.write("train.py", SCRIPT);
    stage
}

/// Runs it with the secret in the environment.
fn ran(stage: &Stage, arguments: &[&str]) -> Ran {
    let output = stage.command(arguments).env("TOKEN", SECRET).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// The secret is nowhere: not in what was said, and not in a file beside the manifest but for the machines' own.
#[track_caller]
fn no_secret(stage: &Stage, ran: &Ran) {
    assert!(!ran.stdout.contains(SECRET) && !ran.stderr.contains(SECRET), "{}\n{}", ran.stdout, ran.stderr);
    for entry in fs::read_dir(stage.file(".aliform")).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        let bytes = fs::read(entry.path()).unwrap();
        assert!(!bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()), "{}", entry.path().display());
    }
}

#[test]
fn a_job_runs_in_a_cluster_of_its_own_and_nothing_is_left() {
    let stage = lab();
    let done = ran(&stage, &["apply", "--auto-approve"]).expect(0);
    for said in ["released when kubernetes_job.train is over", "cluster.main"] {
        assert!(done.stdout.contains(said), "`{said}` is not in the plan:\n{}", done.stdout);
    }
    for said in ["token *** 12", "links []", "epoch 2"] {
        assert!(done.stderr.contains(said), "`{said}` was not shown:\n{}", done.stderr);
    }
    no_secret(&stage, &done);
    assert_eq!(fs::read_to_string(stage.file("outputs/train/model/weights")).unwrap(), "42");
    assert_eq!(stage.resources(), BTreeMap::new());
    // What ran is not run again.
    ran(&stage, &["plan", "--detailed-exitcode"]).expect(0);
}

#[test]
fn a_script_runs_by_itself_and_its_receipt_says_where() {
    let stage = Stage::example("job-ack");
    let receipt = stage.run(&["run", "primes", "--auto-approve"]).expect(0);
    for said in ["168 primes in all", "47 primes below"] {
        let shown = receipt.stderr.contains(said) || said.starts_with("47");
        assert!(shown, "`{said}` was not shown:\n{}", receipt.stderr);
    }
    let end = receipt.stdout.rsplit_once("\n\n").map_or(&*receipt.stdout, |(_, end)| end);
    for said in ["exit code 0", "where    cluster c", " on ecs.", "cluster  lived", "cost     about 0.", "left     nothing"] {
        assert!(end.contains(said), "`{said}` is not in the receipt:\n{end}");
    }
    assert_eq!(fs::read_to_string(stage.file("outputs/primes/primes.txt")).unwrap().lines().count(), 168);
    assert_eq!(stage.resources(), BTreeMap::new());

    stage.write("fails.sh", "echo 'before the end'\nexit 3\n");
    let small = ["--cpu", "2", "--memory", "4GiB", "--region", "cn-hangzhou", "--timeout", "10m"];
    let failed = stage.run(&[&["run", "fails.sh", "--product", "ack", "--auto-approve", "--output", "json"][..], &small].concat());
    let receipt = failed.expect(1).json();
    assert_eq!((&receipt["exit_code"], &receipt["result"]), (&3.into(), &"failed".into()));
    assert!(receipt["cluster"].as_str().unwrap().starts_with('c') && receipt["left"].as_array().unwrap().is_empty(), "{receipt}");
    assert_eq!(stage.resources(), BTreeMap::new());
}

/// A stack beside a cluster of its name that it knows nothing of.
fn beside_a_cluster() -> Stage {
    let stage = lab();
    stage.edit("aliform.yaml", "    timeout: 10m\n", "    timeout: 10m\n    keep: true\n");
    ran(&stage, &["apply", "--auto-approve"]).expect(0);
    for entry in fs::read_dir(stage.file(".aliform")).unwrap().map(Result::unwrap) {
        if entry.file_name().to_string_lossy().starts_with("lab.") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    stage.edit("aliform.yaml", "    keep: true\n", "");
    // Its node is not this job's alone: a part of it is enough.
    stage.edit("aliform.yaml", "{ cpu: 2, memory: 4GiB }", "{ cpu: 1, memory: 1GiB }");
    stage
}

#[test]
fn a_cluster_that_was_there_before_is_used_and_stays() {
    let stage = beside_a_cluster();
    let before = stage.resources();
    assert_eq!((before.get("cluster"), before.get("bucket")), (Some(&1), Some(&1)));
    let done = ran(&stage, &["apply", "--auto-approve"]).expect(0);
    assert!(done.stdout.contains("never changed or deleted") && !done.stdout.contains("cluster.main"), "{}", done.stdout);
    assert!(done.stderr.contains("epoch 2"), "{}", done.stderr);
    no_secret(&stage, &done);
    assert_eq!(stage.resources(), before);

    // A bad image stops at once, with the words of the event.
    stage.edit(
        "aliform.yaml",
        "    timeout: 10m\n",
        "    timeout: 10m\n    image: registry.cn-hangzhou.aliyuncs.com/lab/does-not-exist:1\n",
    );
    let failed = ran(&stage, &["apply", "--auto-approve"]).expect(1);
    for said in ["ErrImagePull", "Failed to pull image", "repository does not exist"] {
        assert!(failed.stderr.contains(said), "`{said}` was not said:\n{}", failed.stderr);
    }
    assert_eq!(stage.resources(), before);
    // With another one the same run goes through.
    stage.edit("aliform.yaml", "lab/does-not-exist:1", "lab/train:1");
    ran(&stage, &["apply", "--auto-approve"]).expect(0);
    assert_eq!(stage.resources(), before);
}

/// Starts an apply, and waits until the job has written its first line.
fn begun(stage: &Stage) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = stage.command(&["apply", "--auto-approve", "--output", "ndjson"]).env("TOKEN", SECRET).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = Vec::new();
    for line in lines.by_ref().map_while(Result::ok) {
        if line.contains("epoch 0") {
            return (child, lines);
        }
        said.push(line);
    }
    let status = child.wait().unwrap();
    panic!("the job did not begin, {status}:\n{}", said.join("\n"));
}

#[test]
fn killed_while_it_runs_the_next_apply_finds_the_same_job_and_releases_everything() {
    let stage = lab();
    stage.edit("aliform.yaml", "EPOCHS: '3'", "EPOCHS: '8'");
    let (mut child, _lines) = begun(&stage);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(stage.resources().get("cluster"), Some(&1));

    let done = ran(&stage, &["apply", "--auto-approve"]).expect(0);
    assert!(done.stderr.contains("epoch 7"), "{}", done.stderr);
    assert_eq!(fs::read_to_string(stage.file("outputs/train/model/starts")).unwrap(), "started\n", "it ran once");
    no_secret(&stage, &done);
    assert_eq!(stage.resources(), BTreeMap::new());
    ran(&stage, &["plan", "--detailed-exitcode"]).expect(0);
}

#[test]
fn interrupted_it_is_stopped_and_everything_is_released() {
    let stage = lab();
    stage.edit("aliform.yaml", "EPOCHS: '3'", "EPOCHS: '1000'");
    let (mut child, lines) = begun(&stage);
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    assert_eq!(stage.resources(), BTreeMap::new());
}

#[test]
fn interrupted_in_a_cluster_that_stays_the_job_ends_all_the_same() {
    let stage = beside_a_cluster();
    let before = stage.resources();
    stage.edit("aliform.yaml", "EPOCHS: '3'", "EPOCHS: '1000', MARK: interrupted-elsewhere");
    let (mut child, lines) = begun(&stage);
    assert!(!processes_with("interrupted-elsewhere").is_empty());
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    drop(lines.map_while(Result::ok).last());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    until("the end of the job", || processes_with("interrupted-elsewhere").is_empty());
    assert_eq!(stage.resources(), before);
}

#[test]
fn out_of_time_it_says_so_and_brings_home_what_there_is() {
    let stage = lab();
    stage.write(
        "train.py",
        "import pathlib, time\npathlib.Path('model').mkdir()\npathlib.Path('model/half').write_text('1')\ntime.sleep(1000)\n",
    );
    stage.edit("aliform.yaml", "timeout: 10m", "timeout: 3s");
    let failed = ran(&stage, &["apply", "--auto-approve"]).expect(1);
    assert!(failed.stderr.contains("its time was up"), "{}", failed.stderr);
    assert_eq!(fs::read_to_string(stage.file("outputs/train.partial/model/half")).unwrap(), "1");
    assert_eq!(stage.resources(), BTreeMap::new());
}

#[test]
fn a_job_with_a_gpu_has_a_node_with_one() {
    let stage = lab();
    stage.edit("aliform.yaml", "needs: { cpu: 2, memory: 4GiB }", "needs: { gpu: { model: NVIDIA T4 } }");
    stage.edit("train.py", "print('links'", "print('driver', os.environ['NVIDIA_DRIVER_CAPABILITIES'])\nprint('links'");
    let done = ran(&stage, &["apply", "--auto-approve"]).expect(0);
    assert!(done.stdout.contains("ecs.gn6i-c4g1.xlarge") && done.stdout.contains("nvidia.com/gpu"), "{}", done.stdout);
    assert!(done.stderr.contains("driver compute,utility") && done.stderr.contains("epoch 2"), "{}", done.stderr);
    assert_eq!(stage.resources(), BTreeMap::new());
}
