//! A job as a function: its output as it comes, its outputs, its receipt, and nothing left, however it ends.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout};

use crate::stage::{Ran, Stage, processes_with, until};

/// Says who it is, waits, and leaves that behind.
const WAITING: &str = "import os, pathlib, time, uuid
this = uuid.uuid4().hex
print('this is', this, flush=True)
time.sleep(float(os.environ['SECONDS']))
pathlib.Path('this').write_text(this)
print('over')
";

fn run(stage: &Stage, more: &[&str]) -> Ran {
    let small = ["--product", "fc", "--region", "cn-hangzhou", "--auto-approve"];
    stage.run(&[&["run"], more, &small].concat())
}

/// The receipt, which is the last part.
fn receipt(ran: &Ran) -> &str {
    ran.stdout.rsplit_once("\n\n").map_or(&*ran.stdout, |(_, receipt)| receipt)
}

#[track_caller]
fn nothing_is_left(stage: &Stage) {
    assert_eq!(stage.resources(), BTreeMap::new());
}

/// No file below `folder` holds `text`.
#[track_caller]
fn nowhere(folder: &std::path::Path, text: &str) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            nowhere(&path, text);
        } else if let Ok(bytes) = fs::read(&path) {
            assert!(!String::from_utf8_lossy(&bytes).contains(text), "{} holds the secret", path.display());
        }
    }
}

#[test]
fn the_example_runs_and_leaves_its_outputs_and_nothing_else() {
    let stage = Stage::example("job-fc");
    let ran = stage.run(&["run", "primes", "--auto-approve"]).expect(0);
    assert!(ran.stdout.contains("at most 0.0429 CNY"), "{}", ran.stdout);
    assert!(ran.stderr.contains("9592 primes up to 100000, the largest is 99991"), "{}", ran.stderr);
    let text = receipt(&ran);
    for said in ["is done: exit code 0", "function of 1 vCPU, 2 GiB in cn-hangzhou", "outputs/primes", "left     nothing"] {
        assert!(text.contains(said), "`{said}` is not in the receipt:\n{text}");
    }
    assert!(fs::read_to_string(stage.file("outputs/primes/primes.txt")).unwrap().ends_with("\n99991\n"));
    nothing_is_left(&stage);

    // More than a minute: a task, which has to be configured first; the configuration goes before its function.
    let calls = stage.run(&["cloud", "calls", "--output", "json"]).expect(0).json();
    let actions: Vec<&str> = calls.as_array().unwrap().iter().filter_map(|call| call["action"].as_str()).collect();
    let at = |action: &str| actions.iter().position(|asked| *asked == action).unwrap_or_else(|| panic!("no {action}: {actions:?}"));
    let order = ["CreateFunction", "PutAsyncInvokeConfig", "InvokeFunction", "GetAsyncTask", "DeleteAsyncInvokeConfig", "DeleteFunction"];
    assert!(order.is_sorted_by_key(|action| at(action)), "{actions:?}");
}

#[test]
fn a_short_one_is_a_call_and_tells_its_secret_to_nobody() {
    let stage = Stage::empty();
    let script = "import os, sys\nprint('the token is', os.environ['TOKEN'])\nprint('in', os.getcwd(), file=sys.stderr)\nsys.exit(7)\n";
    stage.write("tell.py", script);
    let words = ["run", "tell.py", "--product", "fc", "--timeout", "30s", "--env", "TOKEN", "--fetch", "none", "--region", "cn-hangzhou"];
    let output = stage.command(&[&words[..], &["--auto-approve"]].concat()).env("TOKEN", "s3cret-of-mine").output().unwrap();
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1), "{stdout}{stderr}");
    assert!(stdout.contains("a call is waited for up to 60 s") && stdout.contains("failed: exit code 7"), "{stdout}");
    assert!(stderr.contains("the token is ***") && stderr.contains("there is no output `none`"), "{stderr}");
    assert!(!stdout.contains("s3cret-of-mine") && !stderr.contains("s3cret-of-mine"));
    nowhere(&stage.file(".aliform"), "s3cret-of-mine");
    nothing_is_left(&stage);
}

#[test]
fn a_function_with_a_gpu_runs_in_a_container_and_its_card_is_billed() {
    // Too long for a call.
    for timeout in ["30s", "5m"] {
        let stage = Stage::empty();
        let script = "import os, pathlib, sys\nprint('given', sys.argv[1:], os.access('tool.sh', os.X_OK))\npathlib.Path('model').write_text('42')\n";
        stage.write("train.py", script);
        stage.write("tool.sh", "true\n");
        fs::set_permissions(stage.file("tool.sh"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let image = "registry.cn-hangzhou.aliyuncs.com/lab/train:1";
        let ran = run(&stage, &["train.py", "--gpu", "NVIDIA T4", "--image", image, "--timeout", timeout, "--fetch", "model"]).expect(0);
        for said in ["4 vCPU of a function", "16 GiB of its NVIDIA T4", "fc.gpu.tesla.1", image] {
            assert!(ran.stdout.contains(said), "`{said}` is not in the plan:\n{}", ran.stdout);
        }
        assert!(ran.stderr.contains("given [] True"), "{}", ran.stderr);
        assert_eq!(fs::read_to_string(stage.file("outputs/train/model")).unwrap(), "42");
        let bill = stage.run(&["cloud", "bill", "--output", "json"]).expect(0).json();
        assert!(bill["lines"].as_array().unwrap().iter().any(|line| line["part"] == "gpu-tesla"), "{bill}");
        nothing_is_left(&stage);
    }
}

#[test]
fn an_image_that_is_not_there_says_so_and_leaves_nothing() {
    let stage = Stage::empty();
    stage.write("train.py", "print('hello')\n");
    let image = "registry.cn-hangzhou.aliyuncs.com/lab/no-such-image:1";
    let ran = run(&stage, &["train.py", "--gpu", "NVIDIA T4", "--image", image, "--timeout", "30s"]).expect(1);
    assert!(ran.stdout.contains("failed to pull image"), "{}\n{}", ran.stdout, ran.stderr);
    nothing_is_left(&stage);
}

#[test]
fn a_script_of_node_runs_on_the_runtime_of_node() {
    let stage = Stage::empty();
    stage.write("ask.js", "require('fs').writeFileSync('answer', '42');\nconsole.log('on', process.release.name);\n");
    let ran = run(&stage, &["ask.js", "--timeout", "30s", "--fetch", "answer"]).expect(0);
    assert!(ran.stdout.contains("nodejs20") && ran.stderr.contains("on node"), "{}\n{}", ran.stdout, ran.stderr);
    assert_eq!(fs::read_to_string(stage.file("outputs/ask/answer")).unwrap(), "42");
    nothing_is_left(&stage);
}

#[test]
fn what_takes_too_long_is_ended_and_says_so() {
    let stage = Stage::empty();
    stage.write("wait.sh", "echo waiting\nsleep 1000\n");
    let ran = run(&stage, &["wait.sh", "--timeout", "1s"]).expect(1);
    assert!(ran.stderr.contains("waiting") && ran.stdout.contains("its time was up"), "{}\n{}", ran.stdout, ran.stderr);
    nothing_is_left(&stage);
}

#[test]
fn a_function_that_is_kept_costs_nothing_and_goes_with_all_that_it_wrote() {
    let stage = Stage::empty();
    stage.write("fail.sh", "echo no\nexit 2\n");
    let ran = run(&stage, &["fail.sh", "--timeout", "30s", "--keep-on-failure"]).expect(1);
    assert!(receipt(&ran).contains("left     bucket.main, function.fail\n           costs nothing by the hour"), "{}", receipt(&ran));
    assert_eq!(stage.resources().get("function"), Some(&1));
    stage.run(&["run", "--release", "run-fail", "--auto-approve"]).expect(0);
    nothing_is_left(&stage);
}

/// Kills the runtime that it runs in, as the service does where memory runs out.
const CRASH: &str = "import os
print('before the crash', flush=True)
process = os.getpid()
while 'bootstrap' not in open(f'/proc/{process}/cmdline').read():
    process = int(open(f'/proc/{process}/stat').read().rsplit(')', 1)[1].split()[1])
os.kill(process, 9)
";

#[test]
fn a_function_that_breaks_says_why_and_leaves_nothing() {
    for timeout in ["30s", "5m"] {
        let stage = Stage::empty();
        stage.write("crash.py", CRASH);
        let ran = run(&stage, &["crash.py", "--timeout", timeout]).expect(1);
        assert!(ran.stdout.contains("Process exited unexpectedly before completing request"), "{}\n{}", ran.stdout, ran.stderr);
        nothing_is_left(&stage);
    }
}

/// Starts a run, and waits until it has said who it is.
fn begun(stage: &Stage, timeout: &str, seconds: &str) -> (Child, Lines<BufReader<ChildStdout>>, String) {
    stage.write("wait.py", WAITING);
    let seconds = format!("SECONDS={seconds}");
    let mut child = stage.spawn(&[
        "run",
        "wait.py",
        "--product",
        "fc",
        "--timeout",
        timeout,
        "--env",
        &seconds,
        "--fetch",
        "this",
        "--auto-approve",
        "--output",
        "ndjson",
    ]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = Vec::new();
    for line in lines.by_ref().map_while(Result::ok) {
        if let Some((_, this)) = line.split_once("this is ") {
            let this = this.chars().take_while(char::is_ascii_hexdigit).collect();
            return (child, lines, this);
        }
        said.push(line);
    }
    panic!("it did not begin:\n{}\n{}", said.join("\n"), String::from_utf8_lossy(&child.wait_with_output().unwrap().stderr));
}

#[test]
fn killed_while_it_runs_the_next_one_finds_the_same_run() {
    // A call, and a task.
    for timeout in ["50s", "5m"] {
        let stage = Stage::empty();
        let (mut child, _lines, this) = begun(&stage, timeout, "4");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(stage.resources().get("function"), Some(&1));
        let again = ["run", "wait.py", "--product", "fc", "--timeout", timeout, "--env", "SECONDS=4", "--fetch", "this", "--auto-approve"];
        let ran = stage.run(&again).expect(0);
        assert!(ran.stderr.contains(&this) && ran.stderr.contains("over"), "{timeout}: {}", ran.stderr);
        assert_eq!(fs::read_to_string(stage.file("outputs/wait/this")).unwrap(), this, "{timeout}: it ran once");
        nothing_is_left(&stage);
    }
}

#[test]
fn stopped_it_has_a_receipt_and_nothing_goes_on() {
    for timeout in ["50s", "30m"] {
        let stage = Stage::empty();
        let (mut child, lines, _) = begun(&stage, timeout, "1000");
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let last = lines.map_while(Result::ok).last().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{last}");
        assert!(last.contains("\"result\":\"interrupted\"") && last.contains("\"left\":[]"), "{last}");
        nothing_is_left(&stage);
        let folder = stage.path().display().to_string();
        until("the end of the script", || !processes_with("SECONDS=1000").iter().any(|id| of(id, &folder)));
    }
}

/// Whether a process is of the local cloud in that folder.
fn of(id: &str, folder: &str) -> bool {
    let told = ["environ", "cmdline"].iter().filter_map(|file| fs::read(format!("/proc/{id}/{file}")).ok()).flatten().collect::<Vec<u8>>();
    String::from_utf8_lossy(&told).contains(folder)
}
