//! What an edit comes to.

use std::collections::BTreeMap;

use crate::stage::{Stage, get};

fn only(changes: &[(&str, &str)]) -> BTreeMap<String, String> {
    changes.iter().map(|(address, action)| ((*address).to_owned(), (*action).to_owned())).collect()
}

#[test]
fn an_edit_changes_what_it_concerns_and_nothing_else() {
    let stage = Stage::example("hello-web");
    stage.apply();
    assert_eq!(stage.planned(), only(&[]));

    let page = std::fs::read_to_string(stage.file("page.html")).unwrap();
    stage.write("page.html", &page.replace("</body>", "<p>edited page</p></body>"));
    assert_eq!(stage.planned(), only(&[("bundle.web", "update"), ("release.web-1", "update")]));
    let shown = stage.run(&["plan"]).expect(0).stdout;
    assert!(shown.contains("page.html") && !shown.contains("app.py"), "{shown}");
    stage.apply();
    assert!(get(&stage.output("url")).unwrap().contains("edited page"));
    assert_eq!(stage.planned(), only(&[]));

    stage.edit("aliform.yaml", "port: 8080", "port: 9090");
    assert_eq!(stage.planned(), only(&[("release.web-1", "update"), ("security_group.web", "update")]));
    stage.apply();
    let url = stage.output("url");
    assert!(url.ends_with(":9090"), "{url}");
    assert!(get(&url).unwrap().contains("edited page"));
    assert!(get(&url.replace("9090", "8080")).is_err(), "the old port still answers");

    stage.edit("aliform.yaml", "{ cpu: 2, memory: 4GiB }", "{ type: ecs.g7.large }");
    assert_eq!(stage.planned(), only(&[("instance.web-1", "update"), ("release.web-1", "update")]));
    let shown = stage.run(&["plan"]).expect(0).stdout;
    assert!(shown.contains("stops and starts the instance"), "{shown}");
    stage.apply();
    assert!(get(&stage.output("url")).unwrap().contains("edited page"));
    assert_eq!(stage.planned(), only(&[]));
}

#[test]
fn a_saved_plan_is_refused_once_the_world_moved() {
    let stage = Stage::example("hello-web");
    stage.run(&["plan", "-o", "p.json"]).expect(0);
    let saved = std::fs::read_to_string(stage.file("p.json")).unwrap();
    let key = format!("{{\n  \"{}\"", aliform::model::change::SAVED_PLAN_KEY);
    assert!(saved.starts_with(&key), "a saved plan is not known for one");
    stage.apply();
    let refused = stage.run(&["apply", "p.json", "--auto-approve"]).expect(1);
    assert!(refused.stderr.contains("serial"), "{}", refused.stderr);

    stage.edit("aliform.yaml", "port: 8080", "port: 9090");
    stage.run(&["plan", "-o", "p.json"]).expect(0);
    stage.edit("aliform.yaml", "port: 9090", "port: 9091");
    let refused = stage.run(&["apply", "p.json", "--auto-approve"]).expect(1);
    assert!(refused.stderr.contains("manifest"), "{}", refused.stderr);

    stage.edit("aliform.yaml", "port: 9091", "port: 9090");
    stage.run(&["apply", "p.json", "--auto-approve"]).expect(0);
    assert!(stage.output("url").ends_with(":9090"));
}
