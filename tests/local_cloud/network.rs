//! VPCs, vSwitches, security groups, addresses, tags.

use aliform::local_cloud::config::{Config, Latency};
use serde_json::Value as Json;

use crate::caller::{Caller, code, sleep, text};

fn caller() -> Caller {
    Caller::new(Config::default())
}

async fn vpc_status(caller: &Caller, id: &str) -> Option<String> {
    let answer = caller.vpc("DescribeVpcs", &[("VpcId", id)]).await.unwrap();
    answer.pointer("/Vpcs/Vpc/0").map(|row| text(row, "/Status"))
}

#[tokio::test(start_paused = true)]
async fn a_vpc_lives_from_pending_to_gone() {
    let caller = caller();
    let params = [("CidrBlock", "10.0.0.0/16"), ("VpcName", "shop"), ("Tag.1.Key", "owner"), ("Tag.1.Value", "a b")];
    let id = text(&caller.vpc("CreateVpc", &params).await.unwrap(), "/VpcId");
    assert_eq!(vpc_status(&caller, &id).await.as_deref(), Some("Pending"));
    assert_eq!(code(caller.vpc("DeleteVpc", &[("VpcId", &id)]).await), "IncorrectVpcStatus");
    sleep(301).await;
    let shown = caller.vpc("DescribeVpcAttribute", &[("VpcId", &id)]).await.unwrap();
    assert_eq!([text(&shown, "/Status"), text(&shown, "/VpcName"), text(&shown, "/CidrBlock")], ["Available", "shop", "10.0.0.0/16"]);
    assert_eq!(shown.pointer("/Tags/Tag/0/Key").and_then(Json::as_str), Some("owner"));
    assert_eq!(text(&shown, "/CreationTime"), "2026-01-02T03:04:05Z");
    caller.vpc("ModifyVpcAttribute", &[("VpcId", &id), ("VpcName", "market")]).await.unwrap();
    assert_eq!(text(&caller.vpc("DescribeVpcAttribute", &[("VpcId", &id)]).await.unwrap(), "/VpcName"), "market");
    caller.vpc("DeleteVpc", &[("VpcId", &id)]).await.unwrap();
    assert_eq!(vpc_status(&caller, &id).await.as_deref(), Some("Deleting"));
    sleep(101).await;
    assert_eq!(vpc_status(&caller, &id).await, None);
    let refusal = caller.vpc("DescribeVpcAttribute", &[("VpcId", &id)]).await.unwrap_err();
    assert_eq!((refusal.status, refusal.code.as_str()), (404, "InvalidVpcId.NotFound"));
    assert!(caller.cloud.resources().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_resource_is_seen_in_its_region_only() {
    let caller = caller();
    let id = text(&caller.vpc("CreateVpc", &[]).await.unwrap(), "/VpcId");
    let elsewhere = [("RegionId", "cn-beijing"), ("VpcId", id.as_str())];
    assert_eq!(code(caller.vpc("DescribeVpcAttribute", &elsewhere).await), "InvalidVpcId.NotFound");
    assert_eq!(caller.vpc("DescribeVpcs", &elsewhere).await.unwrap()["TotalCount"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_vswitch_must_fit_into_its_vpc_and_its_turn() {
    let caller = caller();
    let vpc = text(&caller.vpc("CreateVpc", &[("CidrBlock", "192.168.0.0/16")]).await.unwrap(), "/VpcId");
    let create =
        async |cidr: &str, zone: &str| caller.vpc("CreateVSwitch", &[("VpcId", &vpc), ("ZoneId", zone), ("CidrBlock", cidr)]).await;
    assert_eq!(code(create("192.168.1.0/24", "cn-hangzhou-h").await), "IncorrectVpcStatus");
    sleep(301).await;
    assert_eq!(code(create("10.0.0.0/24", "cn-hangzhou-h").await), "InvalidCidrBlock.Malformed");
    assert_eq!(code(create("192.168.1.1/24", "cn-hangzhou-h").await), "InvalidCidrBlock.Malformed");
    assert_eq!(code(create("192.168.1.0/30", "cn-hangzhou-h").await), "InvalidCidrBlock.Malformed");
    assert_eq!(code(create("192.168.1.0/24", "cn-beijing-a").await), "InvalidZoneId.NotFound");
    let id = text(&create("192.168.1.0/24", "cn-hangzhou-h").await.unwrap(), "/VSwitchId");
    // One change of a VPC at a time.
    assert_eq!(code(create("192.168.2.0/24", "cn-hangzhou-h").await), "TaskConflict");
    sleep(301).await;
    assert_eq!(code(create("192.168.0.0/17", "cn-hangzhou-h").await), "InvalidCidrBlock.Overlapped");
    let shown = caller.vpc("DescribeVSwitchAttributes", &[("VSwitchId", &id)]).await.unwrap();
    assert_eq!(text(&shown, "/Status"), "Available");
    assert_eq!(shown["AvailableIpAddressCount"], 252);

    // What is deleted lingers in its parent's mind.
    assert_eq!(code(caller.vpc("DeleteVpc", &[("VpcId", &vpc)]).await), "DependencyViolation.VSwitch");
    caller.vpc("DeleteVSwitch", &[("VSwitchId", &id)]).await.unwrap();
    sleep(150).await;
    assert_eq!(caller.vpc("DescribeVSwitches", &[("VpcId", &vpc)]).await.unwrap()["TotalCount"], 0);
    assert_eq!(text(&caller.vpc("DescribeVSwitchAttributes", &[("VSwitchId", &id)]).await.unwrap(), "/Status"), "");
    assert_eq!(code(caller.vpc("DeleteVSwitch", &[("VSwitchId", &id)]).await), "InvalidVSwitchId.NotFound");
    assert_eq!(code(caller.vpc("DeleteVpc", &[("VpcId", &vpc)]).await), "DependencyViolation.VSwitch");
    sleep(500).await;
    caller.vpc("DeleteVpc", &[("VpcId", &vpc)]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn pages_have_the_real_limits_and_cover_everything_once() {
    let caller = Caller::new(Config { latency: Latency { scale: 0.0, ..Latency::default() }, ..Config::default() });
    let mut made = Vec::new();
    for number in 0..120 {
        let owner = if number % 3 == 0 { "a" } else { "b" };
        let params = [("VpcName", "x"), ("Tag.1.Key", "owner"), ("Tag.1.Value", owner)];
        made.push(text(&caller.vpc("CreateVpc", &params).await.unwrap(), "/VpcId"));
    }
    made.sort_unstable();
    let mut seen = Vec::new();
    for page in ["1", "2", "3"] {
        let answer = caller.vpc("DescribeVpcs", &[("PageNumber", page), ("PageSize", "50")]).await.unwrap();
        assert_eq!(answer["TotalCount"], 120);
        seen.extend(answer["Vpcs"]["Vpc"].as_array().unwrap().iter().map(|row| text(row, "/VpcId")));
    }
    assert_eq!(seen, made);
    assert_eq!(code(caller.vpc("DescribeVpcs", &[("PageSize", "51")]).await), "InvalidParameter");
    assert_eq!(caller.vpc("DescribeVpcs", &[]).await.unwrap()["PageSize"], 10);
    let tagged = [("Tag.1.Key", "owner"), ("Tag.1.Value", "a"), ("PageSize", "50")];
    assert_eq!(caller.vpc("DescribeVpcs", &tagged).await.unwrap()["TotalCount"], 40);
    assert_eq!(code(caller.vpc("DescribeVpcs", &[("VpcId", &made[..21].join(","))]).await), "InvalidParameter");
    assert_eq!(caller.vpc("DescribeVpcs", &[("VpcId", &made[..20].join(","))]).await.unwrap()["TotalCount"], 20);

    // By token, until it is empty.
    for _ in 0..25 {
        caller.ecs("CreateSecurityGroup", &[("VpcId", &made[0])]).await.unwrap();
    }
    let (mut token, mut groups) = (String::new(), Vec::new());
    loop {
        let answer = caller.ecs("DescribeSecurityGroups", &[("MaxResults", "10"), ("NextToken", &token)]).await.unwrap();
        groups.extend(answer["SecurityGroups"]["SecurityGroup"].as_array().unwrap().iter().map(|row| text(row, "/SecurityGroupId")));
        token = text(&answer, "/NextToken");
        if token.is_empty() {
            break;
        }
    }
    groups.dedup();
    assert_eq!(groups.len(), 25);
}

#[tokio::test(start_paused = true)]
async fn quotas_hold() {
    let mut config = Config::default();
    config.quotas.vpcs = 1;
    let caller = Caller::new(config);
    caller.vpc("CreateVpc", &[]).await.unwrap();
    assert_eq!(code(caller.vpc("CreateVpc", &[]).await), "QuotaExceeded.Vpc");
    caller.vpc("CreateVpc", &[("RegionId", "cn-beijing")]).await.unwrap();
}

fn rules(answer: &Json) -> Vec<String> {
    let rows = answer["Permissions"]["Permission"].as_array().unwrap();
    let mut rules: Vec<String> = rows
        .iter()
        .map(|row| {
            let peer = if row["Direction"] == "ingress" { &row["SourceCidrIp"] } else { &row["DestCidrIp"] };
            let parts = [&row["Direction"], &row["IpProtocol"], &row["PortRange"], peer, &row["Policy"], &row["Priority"]];
            parts.map(|part| part.as_str().unwrap()).join(" ")
        })
        .collect();
    rules.sort_unstable();
    rules
}

#[tokio::test(start_paused = true)]
async fn rules_are_added_once_and_taken_away() {
    let caller = caller();
    let network = caller.network().await;
    let group = network.group.as_str();
    let web = [
        ("SecurityGroupId", group),
        ("Permissions.1.IpProtocol", "tcp"),
        ("Permissions.1.PortRange", "8080/8080"),
        ("Permissions.1.SourceCidrIp", "0.0.0.0/0"),
        ("Permissions.2.IpProtocol", "ICMP"),
        ("Permissions.2.PortRange", "-1/-1"),
        ("Permissions.2.SourceCidrIp", "10.0.0.0/8"),
        ("Permissions.2.Priority", "7"),
    ];
    caller.ecs("AuthorizeSecurityGroup", &web).await.unwrap();
    caller.ecs("AuthorizeSecurityGroup", &web).await.unwrap();
    let flat = [("SecurityGroupId", group), ("IpProtocol", "all"), ("PortRange", "-1/-1"), ("DestCidrIp", "1.2.3.4"), ("Policy", "drop")];
    caller.ecs("AuthorizeSecurityGroupEgress", &flat).await.unwrap();
    let shown = async || caller.ecs("DescribeSecurityGroupAttribute", &[("SecurityGroupId", group)]).await.unwrap();
    let expected =
        ["egress ALL -1/-1 1.2.3.4/32 Drop 1", "ingress ICMP -1/-1 10.0.0.0/8 Accept 7", "ingress TCP 8080/8080 0.0.0.0/0 Accept 1"];
    assert_eq!(rules(&shown().await), expected);
    let revoke = [
        ("SecurityGroupId", group),
        ("Permissions.1.IpProtocol", "TCP"),
        ("Permissions.1.PortRange", "8080/8080"),
        ("Permissions.1.SourceCidrIp", "0.0.0.0/0"),
    ];
    caller.ecs("RevokeSecurityGroup", &revoke).await.unwrap();
    // What is not there is taken away without a word, unless it is named by an id.
    caller.ecs("RevokeSecurityGroup", &revoke).await.unwrap();
    let by_id = [("SecurityGroupId", group), ("SecurityGroupRuleId.1", "sgr-none")];
    assert_eq!(code(caller.ecs("RevokeSecurityGroup", &by_id).await), "InvalidParam.SecurityGroupRuleId");
    assert_eq!(rules(&shown().await), expected[..2]);
    for (name, value, expected) in [
        ("Permissions.1.PortRange", "80", "InvalidParam.PortRange"),
        ("Permissions.1.PortRange", "90/80", "InvalidParam.PortRange"),
        ("Permissions.1.SourceCidrIp", "10.0.0.0/33", "InvalidParam.SourceCidrIp"),
        ("Permissions.1.Priority", "101", "InvalidPriority.ValueNotSupported"),
        ("Permissions.1.IpProtocol", "SCTP", "InvalidIpProtocol.Malformed"),
    ] {
        let mut params = revoke.to_vec();
        params.retain(|(other, _)| *other != name);
        params.push((name, value));
        assert_eq!(code(caller.ecs("AuthorizeSecurityGroup", &params).await), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_that_others_name_or_that_has_instances_stays() {
    let caller = caller();
    let network = caller.network().await;
    let other = text(&caller.ecs("CreateSecurityGroup", &[("VpcId", &network.vpc)]).await.unwrap(), "/SecurityGroupId");
    let rule = [
        ("SecurityGroupId", other.as_str()),
        ("Permissions.1.IpProtocol", "TCP"),
        ("Permissions.1.PortRange", "1/65535"),
        ("Permissions.1.SourceGroupId", &network.group),
    ];
    caller.ecs("AuthorizeSecurityGroup", &rule).await.unwrap();
    let delete = async |id: &str| caller.ecs("DeleteSecurityGroup", &[("SecurityGroupId", id)]).await;
    assert_eq!(code(delete(&network.group).await), "DependencyViolation");
    delete(&other).await.unwrap();
    let id = caller.running(&network).await;
    assert_eq!(code(delete(&network.group).await), "DependencyViolation");
    assert_eq!(code(caller.vpc("DeleteVSwitch", &[("VSwitchId", &network.vswitch)]).await), "DependencyViolation");
    assert_eq!(code(caller.vpc("DeleteVpc", &[("VpcId", &network.vpc)]).await), "DependencyViolation.VSwitch");
    caller.ecs("DeleteInstance", &[("InstanceId", &id), ("Force", "true")]).await.unwrap();
    sleep(301).await;
    assert_eq!(caller.status(&id).await, None);
    // The network interface of an instance that is gone lingers.
    assert_eq!(code(delete(&network.group).await), "DependencyViolation");
    sleep(500).await;
    delete(&network.group).await.unwrap();
    caller.vpc("DeleteVSwitch", &[("VSwitchId", &network.vswitch)]).await.unwrap();
    sleep(1000).await;
    caller.vpc("DeleteVpc", &[("VpcId", &network.vpc)]).await.unwrap();
    sleep(1000).await;
    assert_eq!(caller.cloud.resources(), []);
}

#[tokio::test(start_paused = true)]
async fn an_elastic_address_is_bound_and_freed() {
    let caller = caller();
    let network = caller.network().await;
    let params = [("Bandwidth", "10"), ("InternetChargeType", "PayByTraffic"), ("ClientToken", "e")];
    let answer = caller.vpc("AllocateEipAddress", &params).await.unwrap();
    let (id, address) = (text(&answer, "/AllocationId"), text(&answer, "/EipAddress"));
    assert!(address.starts_with("127."), "{address}");
    let instance = caller.run(&network, &[("InternetMaxBandwidthOut", "0")]).await.unwrap().remove(0);
    let bind = [("AllocationId", id.as_str()), ("InstanceId", &instance)];
    assert_eq!(code(caller.vpc("AssociateEipAddress", &bind).await), "IncorrectInstanceStatus");
    sleep(3000).await;
    caller.vpc("AssociateEipAddress", &bind).await.unwrap();
    let shown =
        async || caller.vpc("DescribeEipAddresses", &[("AllocationId", &id)]).await.unwrap()["EipAddresses"]["EipAddress"][0].clone();
    assert_eq!(text(&shown().await, "/Status"), "Associating");
    assert_eq!(text(&shown().await, "/Bandwidth"), "10");
    sleep(201).await;
    assert_eq!(text(&shown().await, "/Status"), "InUse");
    assert_eq!(text(&caller.instance(&instance).await.unwrap(), "/EipAddress/IpAddress"), address);
    let unbind = [("AllocationId", id.as_str())];
    assert_eq!(code(caller.vpc("ReleaseEipAddress", &unbind).await), "IncorrectEipStatus");
    caller.vpc("UnassociateEipAddress", &unbind).await.unwrap();
    assert_eq!(text(&shown().await, "/Status"), "Unassociating");
    sleep(201).await;
    assert_eq!(text(&shown().await, "/Status"), "Available");
    // Deleting an instance frees its address and keeps it.
    caller.vpc("AssociateEipAddress", &bind).await.unwrap();
    sleep(500).await;
    caller.ecs("DeleteInstance", &[("InstanceId", &instance), ("Force", "true")]).await.unwrap();
    sleep(500).await;
    assert_eq!(text(&shown().await, "/Status"), "Available");
    caller.vpc("ReleaseEipAddress", &unbind).await.unwrap();
    sleep(500).await;
    assert_eq!(code(caller.vpc("ReleaseEipAddress", &unbind).await), "InvalidAllocationId.NotFound");
}

#[tokio::test(start_paused = true)]
async fn tags_are_set_listed_and_removed_on_both_sides() {
    let caller = caller();
    let network = caller.network().await;
    let pair = |kind: &'static str, id| [("ResourceType", kind), ("ResourceId.1", id), ("Tag.1.Key", "k"), ("Tag.1.Value", "v")];
    caller.vpc("TagResources", &pair("VPC", &network.vpc)).await.unwrap();
    caller.ecs("TagResources", &pair("securitygroup", &network.group)).await.unwrap();
    let found = caller.vpc("ListTagResources", &[("ResourceType", "VPC"), ("Tag.1.Key", "k")]).await.unwrap();
    assert_eq!(text(&found, "/TagResources/TagResource/0/ResourceId"), network.vpc);
    let found =
        caller.ecs("ListTagResources", &[("ResourceType", "securitygroup"), ("Tag.1.Key", "k"), ("Tag.1.Value", "v")]).await.unwrap();
    assert_eq!(text(&found, "/TagResources/TagResource/0/TagValue"), "v");
    let untag = [("ResourceType", "VPC"), ("ResourceId.1", network.vpc.as_str()), ("TagKey.1", "k")];
    assert_eq!(code(caller.vpc("UntagResources", &untag).await), "InvalidAction.NotFound");
    caller.vpc("UnTagResources", &untag).await.unwrap();
    let found = caller.vpc("ListTagResources", &[("ResourceType", "VPC"), ("Tag.1.Key", "k")]).await.unwrap();
    assert_eq!(found["TagResources"]["TagResource"], serde_json::json!([]));
    assert_eq!(code(caller.ecs("TagResources", &pair("instance", "i-none")).await), "InvalidResourceId.NotFound");
}
