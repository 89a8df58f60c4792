//! Scripts that can't do what they are for are stopped before anything is created.

use crate::stage::Stage;

/// The calls that made something, or the start of it.
fn creating(stage: &Stage) -> Vec<String> {
    let calls = stage.run(&["cloud", "calls", "-n", "10000", "--output", "json"]);
    if calls.code != 0 {
        // It was stopped before anybody asked the cloud anything.
        assert!(calls.stderr.contains("no call was ever made"), "{}", calls.stderr);
        return Vec::new();
    }
    let action = |call: &serde_json::Value| call["action"].as_str().unwrap().to_owned();
    let all: Vec<String> = calls.json().as_array().unwrap().iter().map(action).collect();
    let reading = |action: &String| ["Describe", "Get", "List", "Query", "Head"].iter().any(|verb| action.starts_with(verb));
    all.into_iter().filter(|action| !reading(action)).collect()
}

#[test]
fn what_can_not_run_makes_nothing() {
    let stage = Stage::empty();
    for (file, text) in [
        ("empty.py", ""),
        ("later.sh", "#!/bin/sh\n# TODO\n"),
        ("idle.py", "def main():\n    pass\n\nmain()\n"),
        ("apt.sh", "set -e\napt-get install -y jq\n"),
        ("lost.py", "import json\nimport torch\nprint(json.dumps(str(torch.zeros(1))))\n"),
    ] {
        stage.write(file, text);
    }
    for (file, code, said) in [
        ("absent.py", 1, &["error[path-missing]", "`absent.py` does not exist"][..]),
        ("empty.py", 1, &["error[script-empty]", "empty.py:1"]),
        ("later.sh", 1, &["error[script-does-nothing]", "later.sh:2", "# TODO"]),
        ("idle.py", 1, &["error[script-does-nothing]", "idle.py:1"]),
        ("apt.sh", 1, &["error[wrong-package-manager]", "apt.sh:2", "apt-get install -y jq", "dnf install -y"]),
        ("lost.py", 3, &["imports `torch` and calls nothing that trains (lost.py:2)", "loss.backward()", "--accept no-training-entry"]),
    ] {
        let ran = stage.run(&["run", file, "--auto-approve"]).expect(code);
        for said in said {
            assert!(ran.stderr.contains(said), "{file}: {}", ran.stderr);
        }
        assert_eq!(creating(&stage), Vec::<String>::new(), "{file}");
    }
    assert!(stage.resources().is_empty());
}

#[test]
fn a_risk_that_is_accepted_by_name_runs() {
    let stage = Stage::empty();
    stage.write("torch.py", "def zeros():\n    return 'nothing'\n");
    // The module is there, so that it runs; nothing in it trains.
    stage.write("look.py", "import torch\nprint('looked at', torch.zeros())\n");
    let ran = stage.run(&["run", "look.py", "--auto-approve"]).expect(3);
    assert!(ran.stdout.contains("high[no-training-entry]") && ran.stdout.contains("look.py:1"), "{}", ran.stdout);
    let ran = stage.run(&["run", "look.py", "--auto-approve", "--accept", "no-training-entry"]).expect(0);
    assert!(ran.stderr.contains("looked at nothing") || ran.stdout.contains("looked at nothing"), "{}\n{}", ran.stdout, ran.stderr);
    assert!(stage.resources().is_empty());
}
