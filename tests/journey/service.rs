//! Services without a source: from nothing to a script that stays, comes back when it dies, and is taken down.

use std::process::Command;

use crate::stage::{Stage, get, processes_with, until};

/// The process that answers.
fn process(page: &str) -> String {
    let line = page.lines().find(|line| line.starts_with("process ")).unwrap();
    line.split([' ', ',']).nth(1).unwrap().to_owned()
}

#[test]
fn a_script_stays_comes_back_changes_and_is_taken_down() {
    let stage = Stage::example("service-script");
    let marker = format!("marker-{}", std::process::id());
    stage.edit("aliform.yaml", "Hello from a script that stays", &marker);
    stage.apply();
    let url = stage.output("url");
    let page = get(&url).unwrap();
    assert!(page.contains(&marker), "{page}");
    let ran = stage.run(&["logs", "page"]).expect(0).stdout;
    assert!(ran.contains("listening on port 8080") && ran.contains("GET / "), "{ran}");
    assert_eq!(stage.planned().len(), 0);

    stage.edit("page.py", "up since", "there since");
    let changes: Vec<(String, String)> = stage.planned().into_iter().collect();
    let changes: Vec<String> = changes.into_iter().map(|(address, action)| format!("{action} {address}")).collect();
    assert_eq!(changes, ["update bundle.page", "update release.page-1"]);
    let shown = stage.run(&["plan"]).expect(0).stdout;
    assert!(shown.contains("page.py") && !shown.contains("serve.py"), "{shown}");
    stage.apply();
    let page = get(&url).unwrap();
    assert!(page.contains("there since"), "{page}");

    let before = process(&page);
    let killed = processes_with(&marker);
    assert!(!killed.is_empty());
    for id in &killed {
        // A name in the machine may be another number here, so those that carry the marker are the ones to kill.
        Command::new("kill").args(["-9", id]).status().unwrap();
    }
    until("another process that answers", || get(&url).is_ok_and(|page| page.contains(&marker) && process(&page) != before));
    let status = stage.run(&["status"]).expect(0).stdout;
    assert!(status.contains("running, started again once"), "{status}");
    assert_eq!(stage.planned().len(), 0);

    // One that does not come up leaves the one before in its place.
    let text = std::fs::read_to_string(stage.file("page.py")).unwrap();
    stage.write("page.py", &format!("import nothing_of_this_name\n{text}"));
    let ran = stage.run(&["apply", "--auto-approve"]).expect(1);
    assert!(
        ran.stderr.contains("`nothing_of_this_name` is missing") && ran.stderr.contains("the release before runs again"),
        "{}",
        ran.stderr
    );
    assert!(get(&url).unwrap().contains("there since"));

    stage.run(&["destroy", "--auto-approve"]).expect(0);
    assert!(stage.resources().is_empty(), "{:?}", stage.resources());
    until("the end of every process of the service", || processes_with(&marker).is_empty());
    assert!(get(&url).is_err());
}

#[test]
fn a_script_that_can_not_stay_makes_nothing() {
    let stage = Stage::empty();
    stage.write("aliform.yaml", "version: 1\nstack: lab\napps:\n  page: { script: serve.py, port: 8080 }\n");
    for (text, said) in [("", "error[script-empty]"), ("#!/usr/bin/env python3\n# TODO\n", "error[script-does-nothing]")] {
        stage.write("serve.py", text);
        let ran = stage.run(&["apply", "--auto-approve"]).expect(1);
        assert!(ran.stderr.contains(said) && ran.stderr.contains("serve.py:"), "{}", ran.stderr);
    }
    assert!(stage.resources().is_empty());
}

#[test]
fn an_image_is_planned_where_it_can_be_pulled_and_fails_clearly_without_docker() {
    let stage = Stage::example("service-image");
    let shown = stage.run(&["plan"]).expect(0).stdout;
    assert!(shown.contains("ap-southeast-1") && shown.contains("docker pull 'nginx:1.27'"), "{shown}");
    assert!(!stage.run(&["plan", "--output", "json"]).expect(0).stdout.contains("image-hard-to-pull"));
    // No daemon answers inside a machine of the local cloud, whatever the host has.
    let ran = stage.run(&["apply", "--auto-approve"]).expect(5);
    assert!(ran.stderr.contains("docker does not run on the machine") && ran.stderr.contains("`os:`"), "{}", ran.stderr);
    stage.run(&["destroy", "--auto-approve"]).expect(0);
    assert!(stage.resources().is_empty(), "{:?}", stage.resources());
}
