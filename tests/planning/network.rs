//! Networks and instances that exist already, and subnets that are named.

use aliform::model::address::Kind;
use aliform::pricing::existing::Existing;

use crate::stage::{PUBLIC, Stage, address, outline, web};

fn with_existing(manifest: &str) -> Stage {
    let mut stage = Stage::new(manifest);
    let text = str::to_owned;
    stage.lookup.existing.insert("vpc-0aaaaaaaaaaaaaaaaaaaa", Existing::Vpc { cidr: text("10.0.0.0/8") });
    let switch = Existing::VSwitch { vpc_id: text("vpc-0aaaaaaaaaaaaaaaaaaaa"), zone: text("cn-hangzhou-j"), cidr: text("10.1.0.0/24") };
    stage.lookup.existing.insert("vsw-0aaaaaaaaaaaaaaaaaaaa", switch);
    stage.lookup.existing.insert("sg-0aaaaaaaaaaaaaaaaaaaa", Existing::SecurityGroup { vpc_id: text("vpc-0bbbbbbbbbbbbbbbbbbbb") });
    let instance = |status: &str| Existing::Instance {
        status: status.to_owned(),
        vpc_id: text("vpc-0aaaaaaaaaaaaaaaaaaaa"),
        private_ip: text("10.1.0.9"),
        public_ip: Some(text("203.0.113.4")),
        started_at: text("2026-01-01T00:00Z"),
    };
    stage.lookup.existing.insert("i-0aaaaaaaaaaaaaaaaaaaa", instance("Running"));
    stage.lookup.existing.insert("i-0bbbbbbbbbbbbbbbbbbbb", instance("Stopped"));
    stage
}

#[test]
fn an_existing_network_is_used_and_never_a_resource() {
    let text = web(PUBLIC) + "network: { vpc: { id: vpc-0aaaaaaaaaaaaaaaaaaaa }, vswitch: vsw-0aaaaaaaaaaaaaaaaaaaa }\n";
    let plan = with_existing(&text).plan();
    assert!(plan.changes.iter().all(|change| !matches!(change.address.kind, Kind::Vpc | Kind::VSwitch)));
    let spec = &plan.wanted[&address("instance.web-1")].spec;
    assert_eq!((spec["vswitch_id"].as_str(), spec["zone"].as_str()), (Some("vsw-0aaaaaaaaaaaaaaaaaaaa"), Some("cn-hangzhou-j")));
    assert_eq!(plan.wanted[&address("security_group.web")].spec["vpc_id"], "vpc-0aaaaaaaaaaaaaaaaaaaa");
    let used: Vec<&str> = plan.used.iter().map(|used| used.id.as_str()).collect();
    assert_eq!(used, ["vpc-0aaaaaaaaaaaaaaaaaaaa", "vsw-0aaaaaaaaaaaaaaaaaaaa"]);
}

#[test]
fn what_lies_in_another_network_or_nowhere_is_refused() {
    for (network, said) in [
        ("{ vpc: { id: vpc-0cccccccccccccccccccc } }", "there is no network `vpc-0cccccccccccccccccccc` in `cn-hangzhou`"),
        (
            "{ vpc: { id: vpc-0aaaaaaaaaaaaaaaaaaaa }, security_group: sg-0aaaaaaaaaaaaaaaaaaaa }",
            "security group `sg-0aaaaaaaaaaaaaaaaaaaa` belongs to the network `vpc-0bbbbbbbbbbbbbbbbbbbb`",
        ),
    ] {
        let refusal = with_existing(&(web(PUBLIC) + "network: " + network + "\n")).refusal();
        assert!(refusal.starts_with(said), "{refusal}");
    }
}

#[test]
fn an_existing_instance_gets_the_application_and_nothing_else() {
    let mut stage = with_existing(&web("port: 8080\ninstance: { id: i-0aaaaaaaaaaaaaaaaaaaa }"));
    insta::assert_snapshot!(outline(&stage.plan()));
    stage.applied();
    assert!(stage.plan().is_empty());
    let stopped = with_existing(&web("port: 8080\ninstance: { id: i-0bbbbbbbbbbbbbbbbbbbb }"));
    assert!(stopped.refusal().starts_with("the instance `i-0bbbbbbbbbbbbbbbbbbbb` is `Stopped`"), "{}", stopped.refusal());
}

#[test]
fn listed_subnets_decide_the_zone_and_the_range() {
    let network = "network: { vpc: { cidr: 10.0.0.0/16 }, vswitches: [{ zone: cn-hangzhou-j, cidr: 10.0.7.0/24 }] }\n";
    let plan = Stage::new(&(web("port: 8080\ninstance: { type: ecs.g7.large }") + network)).plan();
    assert_eq!(plan.wanted[&address("vswitch.cn-hangzhou-j")].spec["cidr"], "10.0.7.0/24");
    assert_eq!(plan.wanted[&address("instance.web-1")].spec["zone"], "cn-hangzhou-j");
    let rejected = &plan.decisions["apps.web.zone"].rejected;
    assert_eq!((rejected[0].option.as_str(), rejected[0].because.as_str()), ("cn-hangzhou-h", "the network has no subnet there"));
    let refused = Stage::new(&(web("instance: { type: ecs.c7.xlarge }") + network)).refusal();
    assert!(refused.starts_with("`ecs.c7.xlarge` is out of stock in `cn-hangzhou-j`"), "{refused}");
}

#[test]
fn a_subnet_keeps_its_range_when_another_zone_joins() {
    let range = |text: &str, zone: &str| {
        let plan = Stage::new(text).plan();
        plan.wanted[&address(&format!("vswitch.{zone}"))].spec["cidr"].as_str().unwrap().to_owned()
    };
    let one = web("port: 8080\ninstance: { type: ecs.g8i.large }");
    let both = one.clone() + "  api:\n    source: api\n    instance: { type: ecs.c7.xlarge }\n";
    assert_eq!(range(&one, "cn-hangzhou-j"), range(&both, "cn-hangzhou-j"));
    assert_ne!(range(&both, "cn-hangzhou-j"), range(&both, "cn-hangzhou-h"));
}
