//! Runs that are left: begun with `--detach`, looked at with `logs` and `status`, brought to their end with `--resume`, or
//! released. Nothing of it may be lost, and nothing may be left.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::stage::{Ran, Stage, get, processes_with, until};

const SECRET: &str = "s3cret-of-mine";

/// Counts its starts, waits, says its secret, and leaves something behind.
const SCRIPT: &str = "import os, sys, time
with open('starts', 'a') as starts:
    starts.write('started ')
for line in ['one', 'two', 'begun']:
    print(line)
end = time.time() + float(os.environ['SECONDS'])
while time.time() < end and not os.path.exists('go'):
    time.sleep(0.05)
print('the token is', os.environ['TOKEN'])
print('over')
sys.exit(int(os.environ.get('CODE', '0')))
";

fn scripted() -> Stage {
    let stage = Stage::empty();
    stage.write("wait.py", SCRIPT);
    stage
}

/// Begins a run with the secret in the environment, as nobody has it who comes later.
fn begin(stage: &Stage, product: &str, more: &[&str]) -> Ran {
    let small = ["run", "wait.py", "--product", product, "--region", "cn-hangzhou", "--cpu", "2", "--memory", "4GiB", "--timeout", "10m"];
    let what = ["--env", "TOKEN", "--fetch", "starts", "--auto-approve"];
    let output = stage.command(&[&small[..], &what, more].concat()).env("TOKEN", SECRET).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn states(stage: &Stage) -> Vec<String> {
    let names = fs::read_dir(stage.file(".aliform")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("run-")).collect()
}

/// Nothing in the cloud, and no file of a stack.
#[track_caller]
fn nothing_is_left(stage: &Stage) {
    assert_eq!(stage.resources(), BTreeMap::new());
    assert!(states(stage).is_empty(), "{:?}", states(stage));
}

/// Lets the run on the only machine come to its end.
fn go(folder: &Path) -> bool {
    let mut entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let found = |path: PathBuf| match path.file_name().is_some_and(|name| name == "starts") {
        true => fs::write(path.with_file_name("go"), "").is_ok(),
        false => path.is_dir() && !path.is_symlink() && go(&path),
    };
    entries.any(found)
}

/// What `status` says of the only run.
#[track_caller]
fn standing(stage: &Stage) -> String {
    let shown = stage.run(&["status", "--output", "json"]).expect(0).json();
    let runs: Vec<&Json> = shown.as_array().unwrap().iter().filter(|row| !row["run"].is_null()).collect();
    assert_eq!(runs.len(), 1, "{shown}");
    runs[0]["state"].as_str().unwrap().to_owned()
}

#[track_caller]
fn left_followed_and_brought_to_its_end(product: &str) {
    let stage = scripted();
    let begun = begin(&stage, product, &["--env", "SECONDS=4", "--env", "CODE=3", "--detach", "--output", "json"]).expect(0);
    let begun = begun.json();
    assert_eq!((&begun["result"], &begun["product"]), (&"detached".into(), &product.into()), "{begun}");
    assert!(begun["ends_at"].is_string() && !begun["hourly"]["sums"].as_array().unwrap().is_empty(), "{begun}");
    assert_eq!(begun["resume"], "aliform run --resume run-wait");
    assert!(!stage.resources().is_empty());

    // Whoever follows it sees all of it, and changes nothing.
    let followed = stage.run(&["logs", "wait", "-f"]).expect(0);
    let lines: Vec<&str> = followed.stdout.lines().collect();
    assert!(lines.starts_with(&["one", "two", "begun"]) && lines.ends_with(&["over"]), "{}", followed.stdout);
    assert!(followed.stderr.contains("aliform run --resume run-wait"), "{}", followed.stderr);
    assert!(!stage.file("outputs").exists());
    assert_eq!(stage.run(&["logs", "run-wait", "--tail", "1"]).expect(0).stdout, "over\n");
    let document = stage.run(&["logs", "--output", "json"]).expect(0).json();
    let run = &document["runs"][0];
    assert_eq!((&run["state"], &run["exit_code"]), (&"over".into(), &3.into()), "{document}");
    assert!(run["output"].as_str().unwrap().starts_with("one\ntwo\nbegun\n"), "{document}");
    assert!(standing(&stage).starts_with("over"), "{}", standing(&stage));

    // Its secret is in no environment any more, and it is over long since.
    let resumed = stage.run(&["run", "--resume"]).expect(1);
    assert!(resumed.stderr.contains("one") && resumed.stderr.contains("over"), "{}", resumed.stderr);
    assert!(resumed.stdout.contains("failed: exit code 3") && resumed.stdout.contains("left     nothing"), "{}", resumed.stdout);
    assert_eq!(fs::read_to_string(stage.file("outputs/wait.failed/starts")).unwrap(), "started ");
    nothing_is_left(&stage);

    let none = stage.run(&["run", "--resume"]).expect(1);
    assert!(none.stderr.contains("no run is under way here") && none.stderr.contains("--detach"), "{}", none.stderr);
    assert!(stage.run(&["logs", "run-wait"]).expect(0).stdout.contains("over\n"));
}

#[test]
fn on_a_machine_it_is_left_followed_and_brought_to_its_end() {
    left_followed_and_brought_to_its_end("ecs");
}

#[test]
fn as_a_function_it_is_left_followed_and_brought_to_its_end() {
    left_followed_and_brought_to_its_end("fc");
}

#[test]
fn in_a_cluster_it_is_left_followed_and_brought_to_its_end() {
    left_followed_and_brought_to_its_end("ack");
}

#[test]
fn as_a_training_job_it_is_left_followed_and_brought_to_its_end() {
    left_followed_and_brought_to_its_end("pai");
}

#[test]
fn killed_while_it_is_waited_for_it_can_be_resumed_again_and_ran_once() {
    let stage = scripted();
    let begun = begin(&stage, "ecs", &["--env", "SECONDS=500", "--detach"]).expect(0);
    for said in [
        "is begun and goes on in the cloud",
        "an hour until it is resumed or released",
        "at most",
        "the cloud ends the machine itself at 20",
    ] {
        assert!(begun.stdout.contains(said), "`{said}` is not in:\n{}", begun.stdout);
    }
    for command in ["aliform logs run-wait -f", "aliform run --resume run-wait", "aliform run --release run-wait"] {
        assert!(begun.stdout.contains(command), "`{command}` is not in:\n{}", begun.stdout);
    }

    // The same again finds it; another one does not take its place.
    let again = begin(&stage, "ecs", &["--env", "SECONDS=500", "--detach", "--output", "json"]).expect(0);
    assert!(again.stderr.contains("is under way since"), "{}", again.stderr);
    assert_eq!(again.json()["result"], "detached");
    let other = begin(&stage, "ecs", &["--env", "SECONDS=501"]).expect(1);
    assert!(other.stderr.contains("another run of `wait` is under way") && other.stderr.contains("--name"), "{}", other.stderr);
    assert_eq!(stage.resources().get("instance"), Some(&1));

    let mut child = stage.spawn(&["run", "--resume", "wait", "--output", "ndjson"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.by_ref().map_while(Result::ok).any(|line| line.contains("begun")), "nothing was told");
    // Who waits for it holds the stack, and whoever only looks needs no lock.
    stage.run(&["run", "--resume", "wait"]).expect(4);
    assert!(stage.run(&["logs", "wait"]).expect(0).stdout.starts_with("one\n"));
    child.kill().unwrap();
    child.wait().unwrap();

    until("the machine's folder", || go(&stage.file(".aliform/cloud")));
    let resumed = stage.run(&["run", "--resume", "run-wait", "--output", "json"]).expect(0).json();
    assert_eq!((&resumed["result"], &resumed["exit_code"], &resumed["command"]), (&"succeeded".into(), &0.into(), &"wait.py".into()));
    assert_eq!(fs::read_to_string(stage.file("outputs/wait/starts")).unwrap(), "started ");
    nothing_is_left(&stage);
}

#[test]
fn a_run_whose_program_was_killed_is_resumed_without_the_command_that_began_it() {
    let stage = scripted();
    let arguments = ["run", "wait.py", "--product", "ack", "--timeout", "10m", "--env", "SECONDS=6", "--env", "TOKEN", "--auto-approve"];
    let mut child = stage.command(&[&arguments[..], &["--output", "ndjson"]].concat()).env("TOKEN", SECRET).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.by_ref().map_while(Result::ok).any(|line| line.contains("begun\\n")), "it did not begin");
    child.kill().unwrap();
    child.wait().unwrap();
    let resumed = stage.command(&["run", "--resume"]).env("TOKEN", SECRET).output().unwrap();
    let (stdout, stderr) = (String::from_utf8(resumed.stdout).unwrap(), String::from_utf8(resumed.stderr).unwrap());
    assert_eq!(resumed.status.code(), Some(0), "{stdout}{stderr}");
    assert!(stderr.contains("the token is ***") && stdout.contains("is done: exit code 0"), "{stdout}{stderr}");
    nothing_is_left(&stage);
}

#[test]
fn released_it_is_ended_and_nothing_of_it_goes_on() {
    for product in ["ecs", "fc"] {
        let stage = scripted();
        let seconds = format!("SECONDS=1000.{}", std::process::id());
        begin(&stage, product, &["--env", &seconds, "--detach"]).expect(0);
        until("the beginning of the script", || standing(&stage) == "running");
        let mut child = stage.spawn(&["logs", "wait", "-f"]);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.by_ref().map_while(Result::ok).any(|line| line == "begun"));
        // Who follows it stops nothing by going away.
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert_eq!(standing(&stage), "running");

        let released = stage.run(&["run", "--release", "run-wait", "--auto-approve"]).expect(0);
        assert!(released.stderr.contains("`aliform run --resume run-wait` fetches it first"), "{}", released.stderr);
        nothing_is_left(&stage);
        until("the end of the script", || processes_with(&seconds).is_empty());
    }
}

#[test]
fn stopped_while_it_is_waited_for_it_is_ended_and_released() {
    let stage = scripted();
    begin(&stage, "fc", &["--env", "SECONDS=1000", "--detach"]).expect(0);
    let mut child = stage.spawn(&["run", "--resume", "--output", "ndjson"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.by_ref().map_while(Result::ok).any(|line| line.contains("begun")));
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let last = lines.map_while(Result::ok).last().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{last}");
    assert!(last.contains("\"result\":\"interrupted\"") && last.contains("\"left\":[]"), "{last}");
    nothing_is_left(&stage);
}

#[test]
fn what_the_cloud_ended_at_its_deadline_is_said_to_be_lost_and_the_rest_is_released() {
    let stage = scripted();
    begin(&stage, "ecs", &["--env", "SECONDS=1000", "--detach"]).expect(0);
    stage.write("fast.yaml", "clock: { speed: 3600 }\n");
    stage.run(&["cloud", "scenario", "fast.yaml"]).expect(0);
    until("the deadline", || standing(&stage).starts_with("gone: its machine"));
    let resumed = stage.run(&["run", "--resume"]).expect(1);
    assert!(resumed.stdout.contains("what it wrote and nobody fetched went with it"), "{}", resumed.stdout);
    nothing_is_left(&stage);
}

#[test]
fn a_budget_that_nobody_watches_is_not_begun() {
    let stage = scripted();
    // Enough for its ten minutes, and not for the half hour more until the cloud ends its machine.
    let refused = begin(&stage, "ecs", &["--env", "SECONDS=1", "--detach", "--budget", "0.1 CNY"]).expect(3);
    assert!(refused.stderr.contains("can't be held with nobody to watch it"), "{}", refused.stderr);
    nothing_is_left(&stage);
}

#[test]
fn the_log_of_an_application_is_followed_until_nobody_wants_it_any_more() {
    let stage = Stage::example("hello-web");
    stage.apply();
    let url = stage.output("url");
    stage.run(&["logs", "-f", "--output", "json"]).expect(64);
    let mut child = stage.spawn(&["logs", "web", "-f", "--tail", "1"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let first = lines.next().unwrap();
    get(&format!("{url}/asked-for-while-followed")).unwrap();
    assert!(!first.contains("asked-for") && lines.any(|line| line.contains("asked-for-while-followed")));
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    // Runs and applications are in one list.
    stage.write("wait.py", SCRIPT);
    begin(&stage, "fc", &["--env", "SECONDS=1000", "--detach"]).expect(0);
    let shown = stage.run(&["status", "--output", "json"]).expect(0).json();
    let of = |key: &str| shown.as_array().unwrap().iter().filter(|row| row[key].is_string()).count();
    assert_eq!((of("release"), of("run")), (1, 1), "{shown}");
    // A run under way is in nobody's way.
    stage.run(&["plan"]).expect(0);
    stage.run(&["run", "--release", "run-wait", "--auto-approve"]).expect(0);
    stage.run(&["destroy", "--auto-approve"]).expect(0);
    nothing_is_left(&stage);
}
