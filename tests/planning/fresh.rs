//! A stack that does not exist yet.

use aliform::model::change::Action;
use aliform::model::finding::Severity;

use crate::stage::{PUBLIC, Stage, actions, address, change, outline, web};

#[test]
fn a_public_application_needs_this() {
    let stage = Stage::new(&web(PUBLIC));
    insta::assert_snapshot!(outline(&stage.plan()));
}

#[test]
fn two_replicas_with_elastic_addresses_need_this() {
    let stage = Stage::new(&web("port: 80\nreplicas: 2\npublic: { bandwidth: 10Mbps, eip: true }"));
    insta::assert_snapshot!(outline(&stage.plan()));
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let stage = Stage::new(&web(PUBLIC));
    let bytes = serde_json::to_vec(&stage.plan()).unwrap();
    assert_eq!(bytes, serde_json::to_vec(&stage.plan()).unwrap());
    // Another folder, and the files made in another order: neither is an input.
    let other = Stage::new(&web(PUBLIC));
    other.delete("web/index.html");
    other.write("web/index.html", "<p>hello</p>");
    assert_eq!(bytes, serde_json::to_vec(&other.plan()).unwrap());
}

#[test]
fn a_saved_plan_that_was_edited_is_refused() {
    let stage = Stage::new(&web(PUBLIC));
    let made = stage.plan();
    let mut plan = serde_json::from_slice(&serde_json::to_vec(&made).unwrap()).unwrap();
    assert_eq!(made, plan);
    assert_eq!(made.check(&made.basis), Ok(()));
    plan.region = "cn-beijing".to_owned();
    assert_eq!(plan.check(&made.basis).unwrap_err().to_string(), "the plan is not the one that was made: its digest does not fit");
}

#[test]
fn batches_wait_for_each_other() {
    let stage = Stage::new(&web("port: 8080\nreplicas: 5\nrollout: { batch: 2 }"));
    let plan = stage.plan();
    let releases = |name: &str| -> Vec<String> {
        let needs = &plan.wanted[&address(name)].depends_on;
        needs.iter().map(ToString::to_string).filter(|needed| needed.starts_with("release.")).collect()
    };
    for (name, waits) in [
        ("release.web-1", &[][..]),
        ("release.web-2", &[]),
        ("release.web-3", &["release.web-1", "release.web-2"]),
        ("release.web-4", &["release.web-1", "release.web-2"]),
        ("release.web-5", &["release.web-3", "release.web-4"]),
    ] {
        assert_eq!(releases(name), waits, "{name}");
    }
}

#[test]
fn two_applications_share_the_network_and_the_bucket() {
    let text = web("port: 8080") + "  api:\n    source: api\n    port: 9090\n    public: {}\n";
    let plan = Stage::new(&text).plan();
    let count = |kind: &str| plan.changes.iter().filter(|change| change.address.kind.word() == kind).count();
    assert_eq!(["vpc", "vswitch", "security_group", "bucket", "bundle"].map(count), [1, 1, 2, 1, 2]);
    let rules = |name: &str| plan.wanted[&address(name)].spec["rules"].to_string();
    assert!(rules("security_group.web").contains("192.168.0.0/16"), "an application that is not public is open to its network");
    assert!(rules("security_group.api").contains("9090/9090") && rules("security_group.api").contains("0.0.0.0/0"));
}

#[test]
fn a_management_port_open_to_the_world_is_a_high_finding() {
    let finding = |lines: &str| {
        let findings = Stage::new(&web(lines)).plan().findings;
        findings.into_iter().find(|finding| finding.id == "management-port-open").map(|finding| (finding.severity, finding.address))
    };
    assert_eq!(finding("port: 22\npublic: {}"), Some((Severity::High, Some(address("security_group.web")))));
    assert_eq!(finding("port: 5432\npublic: {}").map(|found| found.0), Some(Severity::High));
    assert_eq!(finding("port: 22\npublic: { allow: [203.0.113.0/24] }"), None);
    assert_eq!(finding("port: 22"), None);
    assert_eq!(finding(PUBLIC), None);
}

#[test]
fn a_secret_is_there_by_the_name_of_its_source_only() {
    let stage = Stage::new(&web("port: 8080\nenv: { GREETING: hello, API_KEY: { from: env:SHOP_KEY } }"));
    let spec = &stage.plan().wanted[&address("release.web-1")].spec;
    assert_eq!(spec["secrets"]["API_KEY"], "env:SHOP_KEY");
    assert!(spec["start_script"].as_str().unwrap().contains("GREETING='hello'"));
    assert!(!spec["start_script"].as_str().unwrap().contains("API_KEY='"), "a secret is no plain variable");
}

#[test]
fn outputs_name_what_is_not_known_yet() {
    let text =
        web("port: 80\npublic: {}") + "outputs:\n  where: \"at ${apps.web.url} (${apps.web.private_ip})\"\n  again: ${outputs.where}\n";
    let plan = Stage::new(&text).plan();
    let where_ = "at http://${instance.web-1.public_ip} (${instance.web-1.private_ip})";
    assert_eq!(plan.outputs["where"], where_);
    assert_eq!(plan.outputs["again"], where_);
    assert_eq!(plan.outputs["apps.web.url"], "http://${instance.web-1.public_ip}");
    let elastic = Stage::new(&web("port: 8080\npublic: { eip: true }")).plan();
    assert_eq!(elastic.outputs["apps.web.url"], "http://${eip.web-1.public_ip}:8080");
}

#[test]
fn a_script_that_cloud_assistant_does_not_take_is_refused_before_anything_is_made() {
    let stage = Stage::new(&web(&format!("port: 8080\nenv: {{ LONG: {} }}", "x".repeat(17_000))));
    assert!(stage.refusal().starts_with("the start script of app `web` has "), "{}", stage.refusal());
}

#[test]
fn nothing_is_kept_of_what_does_not_exist() {
    let plan = Stage::new(&web(PUBLIC)).plan();
    assert!(plan.changes.iter().all(|change| change.action == Action::Create && change.id.is_none()));
    assert_eq!(actions(&plan).len(), plan.changes.len());
    assert!(change(&plan, "instance.web-1").cost_before.lines.is_empty());
}
