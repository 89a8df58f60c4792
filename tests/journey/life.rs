//! From nothing to a running application and back.

use crate::stage::{Stage, get, processes_with, until};

#[test]
fn an_application_is_put_up_answers_and_is_taken_down() {
    let stage = Stage::example("hello-web");
    let marker = format!("marker-{}", std::process::id());
    stage.edit("aliform.yaml", "Hello from Alibaba Cloud", &marker);

    let shown = stage.type_in(&["apply"], "yes\n").expect(0);
    for address in ["vpc.main", "security_group.web", "instance.web-1", "bucket.main", "bundle.web", "command.web-1", "release.web-1"] {
        assert!(shown.stdout.contains(address), "{address} is not in the plan:\n{}", shown.stdout);
    }
    assert!(shown.stdout.contains("CNY"), "the plan shows no money:\n{}", shown.stdout);

    let url = stage.output("url");
    assert!(get(&url).unwrap().contains(&marker));
    assert!(!processes_with(&marker).is_empty(), "no process runs the application");
    assert!(stage.run(&["status"]).expect(0).stdout.contains("running"));
    assert!(stage.run(&["logs"]).expect(0).stdout.contains("GET"));
    assert_eq!(stage.run(&["plan", "--detailed-exitcode"]).expect(0).code, 0);

    stage.type_in(&["destroy"], "yes\n").expect(0);
    assert!(stage.resources().is_empty(), "{:?}", stage.resources());
    until("the end of every process of the application", || processes_with(&marker).is_empty());
    assert!(get(&url).is_err());
    assert_eq!(stage.run(&["state", "list", "--output", "json"]).expect(0).json(), serde_json::json!([]));
}

#[test]
fn nothing_happens_without_a_yes() {
    let stage = Stage::example("hello-web");
    for answer in ["", "no\n", "y\n", "YES\n"] {
        let ran = stage.type_in(&["apply"], answer).expect(1);
        assert!(ran.stderr.contains("not approved"), "{}", ran.stderr);
    }
    assert!(stage.resources().is_empty());
}

#[test]
fn the_result_of_an_apply_is_one_document_and_the_plan_is_shown_beside_it() {
    let stage = Stage::example("static-site");
    let json = ["--output", "json"];
    let applied = stage.type_in(&[&["apply"][..], &json].concat(), "yes\n").expect(0);
    assert!(applied.stderr.contains("Plan for stack") && applied.stderr.contains("to create"), "{}", applied.stderr);
    let end = applied.json();
    assert_eq!((end["failed"].as_array().map(Vec::len), end["running"].as_array().map(Vec::len)), (Some(0), Some(1)), "{end}");
    let again = stage.run(&[&["apply", "--auto-approve"][..], &json].concat()).expect(0).json();
    assert_eq!((&again["done"], &again["resources"]), (&0.into(), &end["resources"]), "{again}");
    let gone = stage.type_in(&[&["destroy"][..], &json].concat(), "yes\n").expect(0).json();
    assert_eq!((&gone["destroy"], &gone["resources"]), (&true.into(), &0.into()), "{gone}");
}

#[test]
fn over_the_budget_nothing_is_created() {
    let stage = Stage::example("hello-web");
    stage.edit("aliform.yaml", "apps:", "budget: { hourly: 0.01 CNY }\napps:");
    let ran = stage.run(&["apply", "--auto-approve"]).expect(3);
    assert!(ran.stderr.contains("budget"), "{}", ran.stderr);
    assert!(stage.resources().is_empty());
}

#[test]
fn a_static_site_and_a_node_server_run_too() {
    for example in ["static-site", "hello-node"] {
        let stage = Stage::example(example);
        stage.apply();
        let answer = get(&stage.output("url")).unwrap();
        assert!(answer.starts_with("HTTP/1.") && answer.contains("200"), "{example}: {answer}");
        stage.run(&["destroy", "--auto-approve"]).expect(0);
        assert!(stage.resources().is_empty());
    }
}

#[test]
fn without_credentials_both_ways_on_are_said() {
    let stage = Stage::example("hello-web");
    let output = stage.command(&["plan"]).env_remove("ALIFORM_CLOUD").env("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true").output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("aliyun configure") && text.contains("--local"), "{text}");
}
