//! Applications that die and programs that are killed.

use std::io::{BufRead, BufReader};

use crate::stage::{Stage, get};

#[test]
fn an_application_that_dies_at_start_is_named_with_its_reason() {
    let stage = Stage::example("hello-web");
    let code = std::fs::read_to_string(stage.file("app.py")).unwrap();
    stage.write("app.py", &format!("import a_module_that_nobody_has\n{code}"));
    let ran = stage.run(&["apply", "--auto-approve"]).expect(1);
    assert!(ran.stderr.contains("a_module_that_nobody_has"), "{}", ran.stderr);

    let left = stage.planned();
    assert_eq!(left.keys().collect::<Vec<_>>(), ["release.web-1"], "{left:?}");
    let shown = stage.run(&["state", "show", "release.web-1"]).expect(0).stdout;
    assert!(shown.contains("unfinished"), "{shown}");

    stage.write("app.py", &code);
    stage.apply();
    assert!(get(&stage.output("url")).unwrap().contains("200"));
}

#[test]
fn a_bad_release_goes_back_to_the_one_before() {
    let stage = Stage::example("hello-web");
    stage.apply();
    let code = std::fs::read_to_string(stage.file("app.py")).unwrap();
    stage.write("app.py", &format!("raise SystemExit('broken on purpose')\n{code}"));
    stage.run(&["apply", "--auto-approve"]).expect(1);
    assert!(get(&stage.output("url")).unwrap().contains("200"), "the release before does not answer");
}

#[test]
fn killed_in_the_middle_and_applied_again_there_is_one_of_each() {
    // Killed at a different event each time.
    for (event, address) in [
        ("step_started", "vpc.main"),
        ("step_identified", "instance.web-1"),
        ("step_started", "instance.web-1"),
        ("step_started", "release.web-1"),
    ] {
        let stage = Stage::example("hello-web");
        let mut child = stage.spawn(&["apply", "--auto-approve", "--output", "ndjson"]);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let reached =
            lines.map_while(Result::ok).any(|line| line.contains(&format!("\"{event}\"")) && line.contains(&format!("\"{address}\"")));
        assert!(reached, "{event} of {address} did not come");
        child.kill().unwrap();
        child.wait().unwrap();

        stage.apply();
        let resources = stage.resources();
        for kind in ["vpc", "vswitch", "security_group", "instance", "bucket"] {
            assert_eq!(resources.get(kind), Some(&1), "after {event} of {address}: {resources:?}");
        }
        assert!(stage.planned().is_empty());
        assert!(get(&stage.output("url")).unwrap().contains("200"));
        stage.run(&["destroy", "--auto-approve"]).expect(0);
        assert!(stage.resources().is_empty());
    }
}

#[test]
fn interrupted_it_finishes_what_is_under_way_and_the_next_apply_does_the_rest() {
    let stage = Stage::example("hello-web");
    let mut child = stage.spawn(&["apply", "--auto-approve", "--output", "ndjson"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("\"step_identified\"") && line.contains("\"instance.web-1\"")));
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let rest: Vec<String> = lines.collect();
    assert!(rest.iter().any(|line| line.contains("\"step_finished\"") && line.contains("\"instance.web-1\"")), "{rest:?}");
    assert!(!rest.iter().any(|line| line.contains("\"step_started\"") && line.contains("release.web-1")), "{rest:?}");
    assert_eq!(child.wait().unwrap().code(), Some(130));

    stage.apply();
    assert_eq!(stage.resources().get("instance"), Some(&1));
    assert!(get(&stage.output("url")).unwrap().contains("200"));
}
