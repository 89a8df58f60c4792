//! A stack that exists, and other wishes.

use aliform::model::change::{Action, Effect, Reason};

use crate::stage::{PUBLIC, Stage, actions, address, change, outline, paths, web};

fn applied(lines: &str) -> Stage {
    let mut stage = Stage::new(&web(lines));
    stage.applied();
    stage
}

#[test]
fn nothing_is_left_to_do_after_an_apply() {
    for lines in [
        PUBLIC,
        "port: 8080",
        "replicas: 3\nport: 8080\npublic: { eip: true }",
        "instance: { type: ecs.g7.large }\nport: 8080\nenv: { A: { from: env:A } }",
    ] {
        let stage = applied(lines);
        stage.lookup.asked.lock().unwrap().clear();
        let plan = stage.plan();
        assert_eq!(actions(&plan), Vec::<String>::new(), "{lines}");
        assert!(plan.is_empty() && plan.observed.is_empty());
        assert_eq!(plan.cost.before, plan.cost.after);
        assert_eq!(stage.lookup.asked.lock().unwrap().clone(), Vec::<String>::new(), "what was decided is not asked again");
    }
}

#[test]
fn another_page_is_another_bundle_and_another_release_and_nothing_else() {
    let stage = applied("port: 8080\nreplicas: 2\npublic: {}");
    stage.write("web/index.html", "<p>another page, with more words and other words</p>");
    let plan = stage.plan();
    assert_eq!(actions(&plan), ["update bundle.web", "update release.web-1", "update release.web-2"]);
    assert_eq!(paths(change(&plan, "bundle.web")), ["digest", "files.index.html", "size"]);
    let release = change(&plan, "release.web-1");
    assert_eq!(paths(release), ["bundle_key", "digest"]);
    assert_eq!(release.fields[0].after["$pending"], "bundle.web.key");
    assert!(release.effects.is_empty());
}

#[test]
fn another_port_is_another_rule_and_another_start_and_no_other_setup() {
    let stage = applied(PUBLIC);
    stage.manifest(&web("port: 9090\npublic: { bandwidth: 5Mbps }"));
    let plan = stage.plan();
    assert_eq!(actions(&plan), ["update security_group.web", "update release.web-1"]);
    assert_eq!(paths(change(&plan, "security_group.web")), ["rules"]);
    assert!(paths(change(&plan, "release.web-1")).contains(&"port"));
}

#[test]
fn another_type_is_changed_in_place_and_the_release_is_started_again() {
    let stage = applied("instance: { type: ecs.g7.large }\nport: 8080");
    let zone = |plan: &aliform::plan::saved::Plan| plan.wanted[&address("instance.web-1")].spec["zone"].clone();
    let before = zone(&stage.plan());
    stage.manifest(&web("instance: { type: ecs.r7.large }\nport: 8080"));
    let plan = stage.plan();
    assert_eq!(zone(&plan), before, "the zone stays as long as it has the type");
    assert_eq!(actions(&plan), ["update instance.web-1", "update release.web-1"]);
    assert_eq!(change(&plan, "instance.web-1").effects, ["stops and starts the instance"]);
    assert_eq!(paths(change(&plan, "release.web-1")), ["instance_started"]);
    assert_eq!(change(&plan, "release.web-1").fields[0].after["$pending"], "instance.web-1.started_at");
}

#[test]
fn a_type_that_the_zone_does_not_have_moves_the_instance() {
    let stage = applied("instance: { type: ecs.g7.large }\nport: 8080");
    stage.manifest(&web("instance: { type: ecs.g8i.large }\nport: 8080"));
    let plan = stage.plan();
    insta::assert_snapshot!(outline(&plan));
    assert_eq!(change(&plan, "instance.web-1").action, Action::Replace);
}

#[test]
fn fewer_replicas_take_the_last_ones_away() {
    let stage = applied("port: 8080\nreplicas: 2\npublic: { eip: true }");
    stage.manifest(&web("port: 8080\nreplicas: 1\npublic: { eip: true }"));
    let plan = stage.plan();
    assert_eq!(actions(&plan), ["delete release.web-2", "delete command.web-2", "delete eip.web-2", "delete instance.web-2"]);
    assert!(plan.actions().all(|change| change.reasons == [Reason::NotWanted]));
}

#[test]
fn an_application_more_or_less_leaves_the_other_alone() {
    let both = web(PUBLIC) + "  api:\n    source: api\n    port: 9090\n";
    let mut stage = Stage::new(&both);
    stage.applied();
    stage.manifest(&web(PUBLIC));
    let plan = stage.plan();
    let mut gone: Vec<String> = actions(&plan);
    gone.sort();
    assert_eq!(
        gone,
        ["delete bundle.api", "delete command.api-1", "delete instance.api-1", "delete release.api-1", "delete security_group.api"]
    );
}

#[test]
fn another_range_of_the_network_replaces_all_that_stands_in_it() {
    let mut stage = Stage::new(&(web(PUBLIC) + "network: { vpc: { cidr: 192.168.0.0/16 } }\n"));
    stage.applied();
    stage.manifest(&(web(PUBLIC) + "network: { vpc: { cidr: 10.0.0.0/16 } }\n"));
    let plan = stage.plan();
    for name in ["vpc.main", "vswitch.cn-hangzhou-h", "security_group.web", "instance.web-1", "command.web-1", "release.web-1"] {
        assert_eq!(change(&plan, name).action, Action::Replace, "{name}");
    }
    assert_eq!(change(&plan, "bundle.web").action, Action::Keep);
    assert!(change(&plan, "instance.web-1").reasons.contains(&Reason::DependencyReplaced { address: address("vswitch.cn-hangzhou-h") }));
}

#[test]
fn what_is_asked_for_is_made_anew_and_with_it_what_cannot_let_go() {
    let mut stage = applied(PUBLIC);
    stage.replace.insert(address("release.web-1"));
    assert_eq!(actions(&stage.plan()), ["replace release.web-1"]);
    // A security group can't be deleted as long as an instance is in it.
    stage.replace = [address("security_group.web")].into();
    let plan = stage.plan();
    assert_eq!(actions(&plan), ["replace security_group.web", "replace instance.web-1", "replace command.web-1", "replace release.web-1"]);
    assert_eq!(change(&plan, "instance.web-1").reasons, [Reason::DependencyReplaced { address: address("security_group.web") }]);
    assert_eq!(change(&plan, "instance.web-1").fields[0].effect, Effect::ForcesReplace);
}

#[test]
fn another_region_replaces_everything_and_keeps_no_choice_of_the_old_one() {
    let mut stage = Stage::new(&web("port: 8080\ninstance: { type: ecs.c7.xlarge }"));
    stage.applied();
    let moved = web("port: 8080\ninstance: { type: ecs.c7.xlarge }").replace("cn-hangzhou", "cn-beijing");
    stage.manifest(&moved);
    let plan = stage.plan();
    assert_eq!(plan.region, "cn-beijing");
    assert!(plan.changes.iter().all(|change| change.action != Action::Keep && change.action != Action::Update), "{}", outline(&plan));
    let spec = &plan.wanted[&address("instance.web-1")].spec;
    assert_eq!((spec["zone"].as_str(), spec["image_id"].as_str()), (Some("cn-beijing-a"), Some("m-cn-beijing")));
    let vpc = change(&plan, "vpc.main");
    assert_eq!(paths(vpc), ["region"]);
    assert_eq!(vpc.reasons, [Reason::FieldChanged { path: "region".to_owned(), effect: Effect::ForcesReplace }]);
    assert_eq!(change(&plan, "vswitch.cn-hangzhou-h").action, Action::Delete);
}

#[test]
fn a_destroy_takes_dependents_first() {
    let mut stage = Stage::new(&web("port: 8080\nreplicas: 2\npublic: { eip: true }"));
    stage.applied();
    let plan = stage.destroy();
    assert!(plan.changes.iter().all(|change| change.action == Action::Delete));
    assert_eq!(plan.changes.len(), stage.prior.len());
    let place = |name: &str| plan.changes.iter().position(|change| change.address == address(name)).unwrap();
    for (first, then) in [
        ("release.web-2", "release.web-1"),
        ("release.web-1", "command.web-1"),
        ("release.web-1", "bundle.web"),
        ("command.web-1", "instance.web-1"),
        ("eip.web-1", "instance.web-1"),
        ("instance.web-1", "vswitch.cn-hangzhou-h"),
        ("instance.web-1", "security_group.web"),
        ("vswitch.cn-hangzhou-h", "vpc.main"),
        ("security_group.web", "vpc.main"),
        ("bundle.web", "bucket.main"),
    ] {
        assert!(place(first) < place(then), "{first} before {then}");
    }
    assert!(plan.cost.after.sums.iter().all(|sum| sum.amount.is_zero()));
    assert_eq!(plan.cost.before.sums[0].to_string(), "0.50 CNY");
}
