//! What a run brings home: its outputs and what it wrote. Nothing good is lost by a run that fails, is stopped, or finds no
//! room, and nothing that was promised is missing in silence.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use serde_json::Value as Json;

use crate::stage::{Ran, Stage};

const SMALL: [&str; 8] = ["--region", "cn-hangzhou", "--cpu", "2", "--memory", "4GiB", "--timeout", "10m"];

fn run(stage: &Stage, script: &str, more: &[&str]) -> Ran {
    stage.run(&[&["run", script, "--auto-approve"], &SMALL[..], more].concat())
}

fn text(stage: &Stage, file: &str) -> String {
    fs::read_to_string(stage.file(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn a_run_that_fails_leaves_the_last_good_outputs_where_they_are() {
    let stage = Stage::empty();
    stage.write("p.sh", "mkdir o\necho good > o/model\n");
    run(&stage, "p.sh", &["--fetch", "o"]).expect(0);
    stage.write("outputs/p/notes", "mine");
    stage.write("p.sh", "mkdir o\necho half > o/part\nexit 3\n");
    let ran = run(&stage, "p.sh", &["--fetch", "o"]).expect(1);
    assert!(ran.stdout.contains("outputs  outputs/p.failed (of a run that failed; `outputs/p` is as it was)"), "{}", ran.stdout);
    assert_eq!((text(&stage, "outputs/p/o/model"), text(&stage, "outputs/p/notes")), ("good\n".to_owned(), "mine".to_owned()));
    assert_eq!(text(&stage, "outputs/p.failed/o/part"), "half\n");
    stage.write("p.sh", "mkdir o\necho better > o/model\nln -s /etc/passwd o/passwd\nln -s model o/last\n");
    let ran = run(&stage, "p.sh", &["--fetch", "o"]).expect(0);
    assert!(ran.stderr.contains("the outputs of the run before are in `outputs/p.previous`"), "{}", ran.stderr);
    assert_eq!((text(&stage, "outputs/p/o/model"), text(&stage, "outputs/p.previous/o/model")), ("better\n".into(), "good\n".into()));
    // A link is made only if it leads to another output.
    assert!(ran.stderr.contains("`o/passwd` is a link that leads out of the outputs, to `/etc/passwd`"), "{}", ran.stderr);
    assert!(text(&stage, "outputs/p/o/last") == "better\n" && stage.file("outputs/p/o/passwd").symlink_metadata().is_err());
}

#[test]
fn outputs_that_can_t_be_written_are_noticed_before_anything_is_made() {
    let stage = Stage::empty();
    stage.write("p.sh", "echo 1 > model\n");
    stage.write("outputs", "x");
    let ran = run(&stage, "p.sh", &["--fetch", "model"]).expect(1);
    assert!(ran.stderr.contains("there is no room for the outputs of `p`") && ran.stderr.contains("is no folder"), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: make `outputs` beside the manifest a folder"), "{}", ran.stderr);
    let calls = stage.run(&["cloud", "calls", "--output", "json"]).expect(0).stdout;
    assert!(!calls.contains("RunInstances") && !calls.contains("PutBucket"), "{calls}");
}

#[test]
fn outputs_that_can_t_be_written_after_all_stay_in_the_bucket_until_they_are_fetched() {
    let stage = Stage::empty();
    stage.write("p.sh", "echo begun\nsleep 3\nmkdir o\necho good > o/model\n");
    let arguments = [&["run", "p.sh", "--auto-approve", "--fetch", "o", "--output", "ndjson"], &SMALL[..]].concat();
    let mut child = stage.spawn(&arguments);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.by_ref().any(|line| line.contains("\"text\":\"begun")));
    // Meanwhile something takes the place.
    stage.write("outputs", "x");
    let last: Json = serde_json::from_str(&lines.last().unwrap()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{last}");
    let receipt = &last["result"];
    assert_eq!((&receipt["exit_code"], &receipt["fetch"]), (&0.into(), &"aliform run --resume run-p".into()), "{receipt}");
    let left = stage.resources();
    assert!(!left.contains_key("instance") && left.contains_key("bucket"), "{left:?}");
    // Still no room: they stay.
    let ran = stage.run(&["run", "--resume"]).expect(1);
    assert!(ran.stdout.contains("its outputs could not be written here: exit code 0"), "{}", ran.stdout);
    assert_eq!(stage.resources(), left);
    fs::remove_file(stage.file("outputs")).unwrap();
    let receipt = stage.run(&["run", "--resume", "--output", "json"]).expect(0).json();
    assert_eq!((&receipt["outputs"], &receipt["fetch"]), (&"outputs/p".into(), &Json::Null), "{receipt}");
    assert_eq!(text(&stage, "outputs/p/o/model"), "good\n");
    assert!(stage.resources().is_empty(), "{:?}", stage.resources());
}

#[test]
fn an_output_that_is_missing_is_named_and_is_a_failure_whatever_it_ran_on() {
    let stage = Stage::empty();
    stage.write("p.sh", "echo 1 > there.txt\n");
    let ran = run(&stage, "p.sh", &["--fetch", "there.txt", "--fetch", "nope.txt"]).expect(1);
    assert!(ran.stdout.contains("Job `p` failed: exit code 0, but the output `nope.txt` was not there."), "{}", ran.stdout);
    assert!(ran.stdout.contains("missing  nope.txt") && ran.stdout.contains("left     nothing"), "{}", ran.stdout);
    assert_eq!(text(&stage, "outputs/p.failed/there.txt"), "1\n");
    let products: [&[&str]; 3] = [
        &["--product", "fc", "--timeout", "30s", "--region", "cn-hangzhou"],
        &["--product", "pai", "--timeout", "10m", "--region", "cn-hangzhou"],
        &["--product", "ack", "--timeout", "10m", "--region", "cn-hangzhou"],
    ];
    for product in products {
        let what = ["run", "p.sh", "--auto-approve", "--fetch", "nope.txt", "--output", "json"];
        let receipt = stage.run(&[&what[..], product].concat()).expect(1).json();
        assert_eq!((&receipt["exit_code"], &receipt["missing"]), (&0.into(), &serde_json::json!(["nope.txt"])), "{product:?}: {receipt}");
        assert!(receipt["left"].as_array().unwrap().is_empty(), "{product:?}: {receipt}");
    }
    assert!(stage.resources().is_empty());
}

#[test]
fn what_a_run_wrote_is_kept_and_shown_again() {
    let stage = Stage::empty();
    stage.write("p.sh", "echo first\necho \"key $KEY\"\nseq -f 'line %06.0f of a long output' 1 60000\nprintf last\n");
    let mut command = stage.command(&[&["run", "p.sh", "--auto-approve", "--output", "json", "--env", "KEY"], &SMALL[..]].concat());
    let output = command.env("KEY", "s3cret-of-mine").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let receipt: Json = serde_json::from_slice(&output.stdout).unwrap();
    let file = receipt["log"].as_str().unwrap();
    let log = text(&stage, file);
    let expected: String = (1..=60_000).map(|number| format!("line {number:06} of a long output\n")).collect();
    assert!(log == format!("first\nkey ***\n{expected}last"), "{} bytes, {:?}", log.len(), &log[..log.len().min(200)]);
    let found = fs::metadata(stage.file(file)).unwrap();
    assert_eq!((found.permissions().mode() & 0o777, found.nlink()), (0o600, 1));
    let shown = stage.run(&["logs", "p", "--tail", "2"]).expect(0);
    assert_eq!(shown.stdout, "line 060000 of a long output\nlast\n");
    assert!(shown.stderr.contains("is over; this was kept in"), "{}", shown.stderr);
    assert_eq!(stage.run(&["logs", "run-p", "--output", "json"]).expect(0).json()["stack"], "run-p");
}

#[test]
fn a_run_that_is_stopped_brings_home_what_there_is() {
    let stage = Stage::empty();
    stage.write("p.sh", "mkdir o\necho good > o/model\n");
    run(&stage, "p.sh", &["--fetch", "o"]).expect(0);
    stage.write("p.sh", "mkdir o\necho half > o/model\necho begun\nsleep 1000\n");
    let arguments = [&["run", "p.sh", "--auto-approve", "--fetch", "o", "--output", "ndjson"], &SMALL[..]].concat();
    let mut child = stage.spawn(&arguments);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.by_ref().any(|line| line.contains("\"text\":\"begun")));
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let last: Json = serde_json::from_str(&lines.last().unwrap()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{last}");
    assert_eq!((&last["result"]["result"], &last["result"]["outputs"]), (&"interrupted".into(), &"outputs/p.partial".into()), "{last}");
    assert_eq!((text(&stage, "outputs/p.partial/o/model"), text(&stage, "outputs/p/o/model")), ("half\n".into(), "good\n".into()));
    assert!(stage.resources().is_empty(), "{:?}", stage.resources());
    // Its time is no other matter.
    let small = ["run", "p.sh", "--auto-approve", "--fetch", "o", "--region", "cn-hangzhou", "--cpu", "2", "--memory", "4GiB"];
    let ran = stage.run(&[&small[..], &["--timeout", "10s"]].concat()).expect(1);
    assert!(ran.stdout.contains("outputs/p.partial (as far as they were when it was stopped"), "{}", ran.stdout);
}
