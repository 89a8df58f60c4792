//! What a plan looks like.

use aliform::model::change::Action;
use aliform::model::cost::{Charge, Cost, CostLine};
use aliform::model::finding::{Evidence, Finding, Severity};
use aliform::plan::cost::Limits;
use aliform::resources::desired::Used;
use aliform::resources::kind::Priced;
use insta::assert_snapshot;
use serde_json::json;

use super::*;
use crate::render::samples::{Sample, address, hourly, money, script};

const WIDTH: usize = 90;

fn shown(sample: &Sample) -> String {
    let known = sample.desired.decisions.clone();
    let options = PlanOptions { known: (!sample.prior.is_empty()).then_some(&known), ..PlanOptions::default() };
    plan(&sample.plan(), &options, &Style::plain(WIDTH))
}

/// What another port changes everywhere.
fn another_port(sample: &mut Sample, replicas: usize) {
    let rules = json!([
        { "protocol": "tcp", "ports": "9090/9090", "source": "0.0.0.0/0", "policy": "accept" },
    ]);
    sample.edit("security_group.web", |spec| spec["rules"] = rules);
    for number in 1..=replicas {
        sample.edit(&format!("command.web-{number}"), |spec| spec["script"] = script("installs what is missing for", 9090).into());
        sample.edit(&format!("release.web-{number}"), |spec| {
            spec["port"] = 9090.into();
            for (field, what) in
                [("start", "starts"), ("stop", "stops"), ("verify", "checks"), ("rollback", "goes back"), ("logs", "shows the log")]
            {
                spec[format!("{field}_script")] = script(what, 9090).into();
            }
        });
    }
}

#[test]
fn a_whole_application_is_created() {
    assert_snapshot!(shown(&Sample::shop(2)));
}

#[test]
fn a_changed_page_is_named_and_no_digest_is_shown_in_full() {
    let mut sample = Sample::shop(2).applied();
    let digest = "b2".repeat(32);
    sample.edit("bundle.web", |spec| {
        spec["digest"] = digest.clone().into();
        spec["size"] = 35_000.into();
        spec["files"] = json!({ "app.py": "0a0a0a0a0a0a", "page.html": "ffffffffffff", "a.js": "dddddddddddd" });
    });
    for number in 1..=2 {
        sample.edit(&format!("release.web-{number}"), |spec| spec["digest"] = digest.clone().into());
    }
    let text = shown(&sample);
    assert!(text.contains("files changed: a.js (new), old.js (gone), page.html (changed)"), "{text}");
    assert!(!text.contains("ffffffffffff") && !text.contains(&"a1".repeat(7)), "{text}");
    assert_snapshot!(text);
}

#[test]
fn another_port_shows_rules_and_scripts_as_differences_once() {
    let mut sample = Sample::shop(2).applied();
    another_port(&mut sample, 2);
    assert_snapshot!(shown(&sample));
}

#[test]
fn another_type_says_that_the_instance_stops_and_what_it_costs_then() {
    let mut sample = Sample::shop(1).applied();
    sample.edit("instance.web-1", |spec| spec["instance_type"] = "ecs.u1-c1m2.xlarge".into());
    assert_snapshot!(shown(&sample));
}

#[test]
fn what_is_built_on_something_replaced_says_so() {
    let mut sample = Sample::shop(1).applied();
    sample.edit("instance.web-1", |spec| spec["image_id"] = "aliyun_3_x64_20G_alibase_20261101.vhd".into());
    assert_snapshot!(shown(&sample));
}

#[test]
fn drift_a_deletion_outside_and_an_unfinished_apply_are_told_apart() {
    let mut sample = Sample::shop(1).applied();
    sample.drift("instance.web-1", "bandwidth", 1.into());
    let open = json!([
        { "protocol": "tcp", "ports": "22/22", "source": "0.0.0.0/0", "policy": "accept" },
        { "protocol": "tcp", "ports": "8080/8080", "source": "0.0.0.0/0", "policy": "accept" },
    ]);
    sample.drift("security_group.web", "rules", open);
    sample.prior.get_mut(&address("release.web-1")).unwrap().unfinished = Some("the start script failed on `i-1`: exit code 1".to_owned());
    sample.observed.insert(address("bundle.web"), None);
    assert_snapshot!(shown(&sample));
}

#[test]
fn what_the_manifest_no_longer_wants_is_deleted() {
    let mut sample = Sample::shop(2).applied();
    for name in ["instance.web-2", "command.web-2", "release.web-2"] {
        sample.desired.nodes.remove(&address(name));
    }
    assert_snapshot!(shown(&sample));
}

#[test]
fn taking_everything_down_says_what_it_saves() {
    assert_snapshot!(shown(&Sample::shop(1).applied().destroyed()));
}

#[test]
fn an_unknown_price_is_said_and_never_counted_as_nothing() {
    let mut sample = Sample::shop(2);
    sample.price = |priced| {
        let because = "no tariff for `cn-hongkong` is known".to_owned();
        let unknown = CostLine { item: "ecs.e-c1m2.large".to_owned(), charge: Charge::Unknown { because } };
        Cost { lines: if matches!(priced, Priced::Instance { .. }) { vec![unknown] } else { Vec::new() } }
    };
    let text = shown(&sample);
    assert!(!text.contains("0.0000"), "{text}");
    assert_snapshot!(cost_of(&text));
}

#[test]
fn a_budget_that_does_not_hold_is_named_with_what_it_would_be() {
    let mut sample = Sample::shop(2);
    sample.limits = Limits { hourly: Some(money("0.5 CNY")), monthly: Some(money("300 CNY")), ..Limits::default() };
    assert_snapshot!(cost_of(&shown(&sample)));
}

#[test]
fn two_currencies_are_never_added_up() {
    let mut sample = Sample::shop(1).applied();
    sample.price = |priced| match priced {
        Priced::Instance { instance_type, .. } => Cost { lines: vec![hourly(instance_type, "0.2 CNY"), hourly("bandwidth", "0.01 USD")] },
        _ => Cost::FREE,
    };
    sample.edit("instance.web-1", |spec| spec["name"] = "web".into());
    let text = shown(&sample);
    assert!(text.contains("0.2000 CNY/h + 0.0100 USD/h\n"), "{text}");
    assert_snapshot!(cost_of(&text));
}

#[test]
fn findings_come_with_evidence_and_the_most_dangerous_first() {
    let mut sample = Sample::shop(1);
    let finding = |id: &str, severity, evidence, hint: Option<&str>| Finding {
        id: id.to_owned(),
        severity,
        address: None,
        message: format!("about {id}"),
        evidence,
        hint: hint.map(str::to_owned),
    };
    let place = |file: &str, line, text: &str| Some(Evidence { file: file.to_owned(), line, text: text.to_owned() });
    sample.desired.findings = vec![
        finding("left-out", Severity::Info, place(".env", 0, ""), None),
        finding("other-start", Severity::Warning, place("README.md", 12, "run `python serve.py`"), Some("say `start:`")),
        Finding {
            address: Some(address("security_group.web")),
            ..finding("management-port-open", Severity::High, None, Some("name networks"))
        },
    ];
    sample.desired.used =
        vec![Used { what: "vpc".to_owned(), id: "vpc-1".to_owned(), note: "10.0.0.0/8; used, never changed or deleted".to_owned() }];
    let text = shown(&sample);
    let section = &text[text.find("Decided").unwrap()..text.find("Cost, pay").unwrap()];
    assert_snapshot!(section);
}

#[test]
fn decisions_that_the_state_holds_already_are_not_told_again() {
    let sample = Sample::shop(1);
    let mut known = sample.desired.decisions.clone();
    let options = PlanOptions { known: Some(&known), ..PlanOptions::default() };
    assert!(!plan(&sample.plan(), &options, &Style::plain(WIDTH)).contains("Decided"));
    known.remove("region");
    let options = PlanOptions { known: Some(&known), ..PlanOptions::default() };
    let text = plan(&sample.plan(), &options, &Style::plain(WIDTH));
    assert!(text.contains("Decided\n  region: cn-hangzhou") && !text.contains("instance_type: ecs"), "{text}");
}

#[test]
fn nothing_to_do_is_said_in_a_line() {
    assert_snapshot!(shown(&Sample::shop(1).applied()), @r"
    Plan for stack `shop` in `cn-hangzhou`: nothing is fetched from hosts overseas

    No changes. All 8 resources are as the manifest wants them. It costs 0.2670 CNY an hour, 194.91 CNY a month of 730 h, and what is charged by usage.
    ");
    assert_snapshot!(shown(&Sample { destroy: true, ..Sample::shop(0) }.destroyed()), @r"
    Plan to take down stack `shop` in `cn-hangzhou`: everything that aliform made is deleted

    No changes. There is nothing to take down.
    ");
}

#[test]
fn a_replacement_that_was_asked_for_says_so() {
    let mut sample = Sample::shop(1).applied();
    sample.replace.insert(address("command.web-1"));
    let text = shown(&sample);
    assert!(text.contains("because it was asked for"), "{text}");
}

#[test]
fn everything_on_request_shows_the_checks_and_every_file() {
    let mut sample = Sample::shop(1);
    let files: serde_json::Map<String, serde_json::Value> = (0..30).map(|i| (format!("f{i:02}.js"), "0a0a0a0a0a0a".into())).collect();
    sample.edit("bundle.web", |spec| spec["files"] = files.into());
    let short = shown(&sample);
    assert!(short.contains("f09.js and 20 more") && !short.contains("# aliform checks"), "{short}");
    assert!(short.contains("start_script:    7 lines (shown with --full)") && !short.contains("# aliform starts"), "{short}");
    let full = plan(&sample.plan(), &PlanOptions { full: true, known: None }, &Style::plain(WIDTH));
    assert!(full.contains("# aliform starts") && full.contains("# aliform stops") && full.contains("# aliform installs"), "{full}");
    assert!(full.contains("f29.js") && full.contains("# aliform checks") && full.contains("# aliform goes back"), "{full}");
}

#[test]
fn a_script_can_neither_pass_for_the_plan_nor_hide_a_command() {
    let mut sample = Sample::shop(1);
    let script = "true\n\nPlan: 0 to create\n\u{1b}[8mrm -rf /\u{1b}[0m\n\u{202e}# tressa\n";
    sample.edit("release.web-1", |spec| spec["start_script"] = script.into());
    let text = plan(&sample.plan(), &PlanOptions { full: true, known: None }, &Style::plain(WIDTH));
    assert!(text.contains("\n  | Plan: 0 to create\n  | \\u{1b}[8mrm -rf /\\u{1b}[0m\n  | \\u{202e}# tressa\n"), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("Plan:")).count(), 1);
}

#[test]
fn colours_only_repeat_what_the_words_say() {
    let mut sample = Sample::shop(1).applied();
    another_port(&mut sample, 1);
    let made = sample.plan();
    assert!(made.changes.iter().any(|change| change.action == Action::Replace));
    let coloured = plan(&made, &PlanOptions::default(), &Style { colour: true, width: WIDTH });
    let plain = plan(&made, &PlanOptions::default(), &Style::plain(WIDTH));
    assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
    assert_snapshot!(coloured.replace('\u{1b}', "ESC"));
}

fn cost_of(text: &str) -> &str {
    &text[text.find("Cost").unwrap()..]
}
