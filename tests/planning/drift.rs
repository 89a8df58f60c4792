//! The cloud has something else than what was applied, or an apply did not reach its end.

use aliform::model::change::{Action, Effect, Reason};
use serde_json::{Value as Json, json};

use crate::stage::{PUBLIC, Stage, actions, address, change, paths, web};

fn applied() -> Stage {
    let mut stage = Stage::new(&web(PUBLIC));
    stage.applied();
    stage
}

fn drifted(path: &str) -> Reason {
    Reason::Drifted { path: path.to_owned(), effect: Effect::InPlace }
}

#[test]
fn a_rule_that_someone_added_is_closed_again() {
    let mut stage = applied();
    let mut rules = stage.prior[&address("security_group.web")].attributes["rules"].clone();
    rules.as_array_mut().unwrap().push(json!({ "protocol": "tcp", "ports": "22/22", "source": "0.0.0.0/0", "policy": "accept" }));
    stage.drift("security_group.web", "rules", rules);
    let plan = stage.plan();
    assert_eq!(actions(&plan), ["update security_group.web"]);
    assert_eq!(change(&plan, "security_group.web").reasons, [drifted("rules")]);
}

#[test]
fn the_order_of_rules_means_nothing() {
    let mut stage = Stage::new(&web("port: 8080\npublic: { allow: [10.0.0.0/8, 203.0.113.0/24] }"));
    stage.applied();
    let mut rules = stage.prior[&address("security_group.web")].attributes["rules"].clone();
    rules.as_array_mut().unwrap().reverse();
    stage.drift("security_group.web", "rules", rules);
    assert_eq!(actions(&stage.plan()), Vec::<String>::new());
}

#[test]
fn an_instance_in_another_group_besides_is_taken_out_of_it() {
    let mut stage = applied();
    stage.drift("instance.web-1", "more_security_groups", json!(["sg-open"]));
    let plan = stage.plan();
    assert_eq!(actions(&plan), ["update instance.web-1"]);
    assert_eq!(change(&plan, "instance.web-1").fields[0].before, "sg-open");
    assert_eq!(change(&plan, "instance.web-1").reasons, [drifted("security_group_id")]);
}

#[test]
fn an_instance_stopped_behind_our_back_is_started_with_its_release() {
    let mut stage = applied();
    stage.drift("instance.web-1", "status", json!("Stopped"));
    let plan = stage.plan();
    assert_eq!(actions(&plan), ["update instance.web-1", "update release.web-1"]);
    assert_eq!(change(&plan, "instance.web-1").reasons, [drifted("power")]);
    assert_eq!(paths(change(&plan, "release.web-1")), ["instance_started"]);
}

#[test]
fn a_release_on_an_instance_that_was_started_anew_is_started_again() {
    let mut stage = applied();
    stage.drift("instance.web-1", "started_at", json!("2026-01-05T00:00Z"));
    let plan = stage.plan();
    assert_eq!(actions(&plan), ["update release.web-1"]);
    assert_eq!(change(&plan, "release.web-1").reasons, [drifted("instance_started")]);
    assert_eq!(change(&plan, "release.web-1").fields[0].after, "2026-01-05T00:00Z");
    // References are filled from the state, so the apply has to learn what the plan saw; else it would never be content.
    assert_eq!(plan.observed[&address("instance.web-1")]["started_at"], "2026-01-05T00:00Z");
}

#[test]
fn what_is_gone_is_made_anew_with_all_that_was_on_it() {
    let mut stage = applied();
    stage.lose("instance.web-1");
    let plan = stage.plan();
    assert_eq!(actions(&plan), ["create instance.web-1", "replace command.web-1", "replace release.web-1"]);
    assert_eq!(change(&plan, "instance.web-1").reasons, [Reason::Gone]);
    assert!(change(&plan, "release.web-1").reasons.contains(&Reason::DependencyReplaced { address: address("instance.web-1") }));
    let pending = change(&plan, "release.web-1").fields.iter().find(|field| field.path == "instance_id").unwrap();
    assert_eq!(pending.after["$pending"], "instance.web-1.id");
}

#[test]
fn what_is_gone_and_not_wanted_is_only_forgotten_and_costs_nothing() {
    let mut stage = applied();
    stage.lose("instance.web-1");
    let plan = stage.destroy();
    assert_eq!(change(&plan, "instance.web-1").reasons, [Reason::Gone]);
    assert_eq!(change(&plan, "release.web-1").reasons, [Reason::NotWanted]);
    assert!(plan.cost.before.sums.is_empty(), "{:?}", plan.cost.before);
}

#[test]
fn what_was_not_finished_is_finished_even_if_nothing_differs() {
    let mut stage = applied();
    stage.unfinished("instance.web-1", None);
    let plan = stage.plan();
    assert_eq!(actions(&plan), ["update instance.web-1"]);
    assert_eq!(change(&plan, "instance.web-1").reasons, [Reason::Unfinished { because: "it rained".to_owned() }]);
}

#[test]
fn a_release_that_did_not_come_up_is_unfinished_in_the_next_plan() {
    // The first one: nothing runs.
    let mut stage = applied();
    stage.unfinished("release.web-1", Some(Json::Null));
    stage.drift("release.web-1", "digest", json!(""));
    let plan = stage.plan();
    assert_eq!(actions(&plan), ["update release.web-1"]);
    assert_eq!(change(&plan, "release.web-1").reasons[0], Reason::Unfinished { because: "it rained".to_owned() });
    // A later one: the one before runs again.
    let mut stage = applied();
    stage.write("web/index.html", "<p>broken</p>");
    stage.unfinished("release.web-1", None);
    let plan = stage.plan();
    let release = change(&plan, "release.web-1");
    assert_eq!((release.action, &release.reasons[0]), (Action::Update, &Reason::Unfinished { because: "it rained".to_owned() }));
    assert!(paths(release).contains(&"digest"));
}

#[test]
fn a_creation_that_left_nothing_is_told_from_one_that_someone_undid() {
    let mut stage = applied();
    stage.unfinished("instance.web-1", Some(Json::Null));
    stage.lose("instance.web-1");
    let plan = stage.plan();
    assert_eq!(change(&plan, "instance.web-1").action, Action::Create);
    assert_eq!(change(&plan, "instance.web-1").reasons, [Reason::Unfinished { because: "it rained".to_owned() }]);
}

#[test]
fn an_elastic_address_moves_to_the_new_instance() {
    let mut stage = Stage::new(&web("port: 8080\npublic: { eip: true }"));
    stage.applied();
    stage.lose("instance.web-1");
    let plan = stage.plan();
    assert_eq!(change(&plan, "eip.web-1").action, Action::Update);
    // Taken off by hand: bound again, and nothing else.
    let mut stage = Stage::new(&web("port: 8080\npublic: { eip: true }"));
    stage.applied();
    stage.drift("eip.web-1", "instance_id", json!(""));
    assert_eq!(actions(&stage.plan()), ["update eip.web-1"]);
}
