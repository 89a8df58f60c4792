//! Instances from acceptance to release, their stock, their openings.

use aliform::local_cloud::config::{Config, Stock, StockRule};
use rust_decimal::Decimal;

use crate::caller::{Caller, IMAGE, TYPE, code, sleep, text};

fn caller() -> Caller {
    Caller::new(Config::default())
}

#[tokio::test(start_paused = true)]
async fn an_instance_lives_from_pending_to_gone() {
    let caller = caller();
    let network = caller.network().await;
    let id = caller.run(&network, &[("InstanceName", "web"), ("Tag.1.Key", "a"), ("Tag.1.Value", "b")]).await.unwrap().remove(0);
    let delete = [("InstanceId", id.as_str()), ("Force", "true")];
    assert_eq!(caller.status(&id).await.as_deref(), Some("Pending"));
    assert_eq!(code(caller.ecs("DeleteInstance", &delete).await), "IncorrectInstanceStatus.Initializing");
    sleep(301).await;
    assert_eq!(caller.status(&id).await.as_deref(), Some("Starting"));
    sleep(700).await;
    let shown = caller.instance(&id).await.unwrap();
    assert_eq!([text(&shown, "/Status"), text(&shown, "/InstanceName"), text(&shown, "/ZoneId")], ["Running", "web", "cn-hangzhou-h"]);
    assert_eq!((&shown["Cpu"], &shown["Memory"]), (&2.into(), &4096.into()));
    assert_eq!(text(&shown, "/VpcAttributes/PrivateIpAddress/IpAddress/0"), "192.168.1.1");
    assert_eq!(text(&shown, "/Tags/Tag/0/TagKey"), "a");
    assert_eq!(text(&shown, "/SecurityGroupIds/SecurityGroupId/0"), network.group);
    let address = text(&shown, "/PublicIpAddress/IpAddress/0");
    assert!(address.starts_with("127."), "{address}");
    assert_eq!(caller.machines.alive(), std::slice::from_ref(&id));

    let one = [("InstanceId", id.as_str())];
    assert_eq!(code(caller.ecs("StartInstance", &one).await), "IncorrectInstanceStatus");
    assert_eq!(code(caller.ecs("DeleteInstance", &one).await), "IncorrectInstanceStatus");
    caller.ecs("StopInstance", &one).await.unwrap();
    assert_eq!(caller.status(&id).await.as_deref(), Some("Stopping"));
    sleep(301).await;
    assert_eq!(caller.status(&id).await.as_deref(), Some("Stopped"));
    assert!(caller.machines.alive().is_empty());
    let start = caller.ecs("StartInstances", &[("InstanceId.1", &id)]).await.unwrap();
    let response = &start["InstanceResponses"]["InstanceResponse"][0];
    assert_eq!(
        [text(response, "/PreviousStatus"), text(response, "/CurrentStatus"), text(response, "/Code")],
        ["Stopped", "Starting", "200"]
    );
    sleep(2000).await;
    assert_eq!(caller.machines.alive(), std::slice::from_ref(&id));
    assert_eq!(text(&caller.instance(&id).await.unwrap(), "/PublicIpAddress/IpAddress/0"), address);
    caller.ecs("RebootInstance", &one).await.unwrap();
    assert_eq!(caller.status(&id).await.as_deref(), Some("Stopping"));
    sleep(2000).await;
    assert_eq!(caller.status(&id).await.as_deref(), Some("Running"));

    caller.ecs("ModifyInstanceAttribute", &[("InstanceId", &id), ("DeletionProtection", "true")]).await.unwrap();
    assert_eq!(code(caller.ecs("DeleteInstance", &delete).await), "InvalidOperation.DeletionProtection");
    caller.ecs("ModifyInstanceAttribute", &[("InstanceId", &id), ("DeletionProtection", "false")]).await.unwrap();
    caller.ecs("DeleteInstance", &delete).await.unwrap();
    sleep(301).await;
    assert_eq!(caller.instance(&id).await, None);
    assert!(caller.machines.alive().is_empty());
    let refusal = caller.ecs("DeleteInstance", &delete).await.unwrap_err();
    assert_eq!((refusal.status, refusal.code.as_str()), (404, "InvalidInstanceId.NotFound"));
}

#[tokio::test(start_paused = true)]
async fn whatever_is_wrong_with_an_order_has_its_own_code() {
    let caller = caller();
    let network = caller.network().await;
    let other = text(&caller.vpc("CreateVpc", &[("CidrBlock", "10.0.0.0/8")]).await.unwrap(), "/VpcId");
    sleep(1000).await;
    let strange = text(&caller.ecs("CreateSecurityGroup", &[("VpcId", &other)]).await.unwrap(), "/SecurityGroupId");
    let params = [("VpcId", other.as_str()), ("ZoneId", "cn-hangzhou-i"), ("CidrBlock", "10.0.0.0/24")];
    let fresh = text(&caller.vpc("CreateVSwitch", &params).await.unwrap(), "/VSwitchId");
    for (name, value, expected) in [
        ("InstanceType", "ecs.none.large", "InvalidInstanceType.ValueNotSupported"),
        // Sold in other regions only.
        ("InstanceType", "ecs.c1.large", "InvalidResourceType.NotSupported"),
        ("InstanceType", "ecs.c8y.large", "ImageNotSupportInstanceType"),
        ("ImageId", "none", "InvalidImageId.NotFound"),
        ("VSwitchId", "vsw-none", "InvalidVSwitchId.NotFound"),
        ("VSwitchId", &fresh, "IncorrectVSwitchStatus"),
        ("SecurityGroupId", "sg-none", "InvalidSecurityGroupId.NotFound"),
        ("SecurityGroupId", &strange, "OperationDenied.InconsistentNetwork"),
        ("ZoneId", "cn-hangzhou-i", "InvalidParameter.NotMatch"),
        ("Amount", "101", "InvalidAmount.NotSupported"),
        ("SystemDisk.Category", "cloud_floppy", "InvalidSystemDiskCategory.ValueNotSupported"),
        ("SystemDisk.Size", "10", "InvalidSystemDiskSize.ValueNotSupported"),
        ("AutoReleaseTime", "2026-01-02T03:10:00Z", "InvalidAutoReleaseTime.Malformed"),
        ("InternetMaxBandwidthOut", "101", "InvalidInternetMaxBandwidthOut.ValueNotSupported"),
        ("UserData", "%", "InvalidUserData.Base64FormatInvalid"),
        ("PrivateIpAddress", "192.168.1.253", "InvalidPrivateIpAddress.Duplicated"),
        ("DryRun", "true", "DryRunOperation"),
    ] {
        let refusal = caller.run(&network, &[(name, value)]).await.unwrap_err();
        assert_eq!(refusal.code, expected, "{name}={value}: {}", refusal.message);
    }
    assert!(!caller.cloud.resources().iter().any(|listed| listed.kind == "instance"));
}

#[tokio::test(start_paused = true)]
async fn many_are_made_or_none_and_addresses_run_out() {
    let caller = caller();
    let network = caller.network().await;
    let params = [("VpcId", network.vpc.as_str()), ("ZoneId", "cn-hangzhou-h"), ("CidrBlock", "192.168.2.0/29")];
    let small = text(&caller.vpc("CreateVSwitch", &params).await.unwrap(), "/VSwitchId");
    sleep(1000).await;
    // Eight addresses, four of them the service's.
    assert_eq!(caller.run(&network, &[("VSwitchId", &small), ("Amount", "5")]).await.unwrap_err().code, "InvalidVSwitchId.IpNotEnough");
    let made =
        caller.run(&network, &[("VSwitchId", &small), ("Amount", "4"), ("InstanceName", "n"), ("UniqueSuffix", "true")]).await.unwrap();
    assert_eq!(made.len(), 4);
    let shown = caller.ecs("DescribeInstances", &[("InstanceName", "n00*"), ("MaxResults", "100")]).await.unwrap();
    assert_eq!(shown["TotalCount"], 4);
    assert_eq!(caller.run(&network, &[("VSwitchId", &small)]).await.unwrap_err().code, "InvalidVSwitchId.IpNotEnough");
    let ids: Vec<String> = (0..101).map(|number| format!("\"i-{number}\"")).collect();
    let many = format!("[{}]", ids.join(","));
    assert_eq!(code(caller.ecs("DescribeInstances", &[("InstanceIds", &many)]).await), "InvalidInstanceIds.Malformed");
    sleep(3000).await;
    let mut all: Vec<(String, &str)> = made.iter().zip(1..).map(|(id, number)| (format!("InstanceId.{number}"), id.as_str())).collect();
    all.push(("InstanceId.9".to_owned(), "i-none"));
    let mut refused: Vec<(&str, &str)> = all.iter().map(|(name, id)| (name.as_str(), *id)).collect();
    refused.push(("Force", "true"));
    assert_eq!(code(caller.ecs("DeleteInstances", &refused).await), "InvalidInstanceId.NotFound");
    assert_eq!(caller.machines.alive().len(), 4);
    refused.retain(|(_, id)| *id != "i-none");
    caller.ecs("DeleteInstances", &refused).await.unwrap();
    sleep(1000).await;
    assert!(caller.machines.alive().is_empty());
}

#[tokio::test(start_paused = true)]
async fn stock_differs_by_zone_and_type_as_told() {
    let caller = caller();
    let network = caller.network().await;
    let rule = |stock| vec![StockRule { place: Some("cn-hangzhou-h".to_owned()), instance_type: Some(TYPE.to_owned()), stock }];
    let told = async || {
        let params = [("DestinationResource", "InstanceType"), ("InstanceType", TYPE)];
        let answer = caller.ecs("DescribeAvailableResource", &params).await.unwrap();
        let zones = answer["AvailableZones"]["AvailableZone"].as_array().unwrap().clone();
        let zone = zones.iter().find(|zone| zone["ZoneId"] == "cn-hangzhou-h").cloned();
        assert!(zones.iter().any(|zone| zone["ZoneId"] == "cn-hangzhou-i" && zone["Status"] == "Available"));
        zone.map(|zone| text(&zone, "/AvailableResources/AvailableResource/0/SupportedResources/SupportedResource/0/StatusCategory"))
    };
    for (stock, expected, shown) in [
        (Stock::SoldOut, "OperationDenied.NoStock", Some("WithoutStock")),
        (Stock::NotSold, "InvalidResourceType.NotSupported", None),
        (Stock::Misreported, "OperationDenied.NoStock", Some("WithStock")),
        (Stock::Limited(0), "OperationDenied.NoStock", Some("WithoutStock")),
    ] {
        caller.cloud.set_stock(rule(stock));
        let refusal = caller.run(&network, &[]).await.unwrap_err();
        assert_eq!((refusal.status, refusal.code.as_str()), (403, expected));
        assert_eq!(told().await.as_deref(), shown, "{stock:?}");
    }
    caller.cloud.set_stock(rule(Stock::Limited(3)));
    assert_eq!(caller.run(&network, &[("Amount", "4")]).await.unwrap_err().code, "OperationDenied.NoStock");
    assert_eq!(caller.run(&network, &[("Amount", "4"), ("MinAmount", "2")]).await.unwrap().len(), 3);
    // What was accepted may vanish again.
    caller.cloud.set_stock(rule(Stock::Vanishing));
    let id = caller.run(&network, &[]).await.unwrap().remove(0);
    assert_eq!(caller.status(&id).await.as_deref(), Some("Pending"));
    sleep(1000).await;
    assert_eq!(caller.status(&id).await, None);
}

#[tokio::test(start_paused = true)]
async fn the_release_time_really_releases() {
    let caller = caller();
    let network = caller.network().await;
    let at = (caller.now() + jiff::SignedDuration::from_mins(40)).strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let id = caller.run(&network, &[("AutoReleaseTime", &at)]).await.unwrap().remove(0);
    let other = caller.run(&network, &[("AutoReleaseTime", &at)]).await.unwrap().remove(0);
    sleep(3000).await;
    caller.ecs("ModifyInstanceAutoReleaseTime", &[("InstanceId", &other)]).await.unwrap();
    sleep(38 * 60 * 1000).await;
    assert_eq!(caller.status(&id).await.as_deref(), Some("Running"));
    // Nobody asks: the machine ends all the same.
    sleep(3 * 60 * 1000).await;
    assert_eq!(caller.machines.alive(), std::slice::from_ref(&other));
    assert_eq!(caller.status(&id).await, None);
    assert_eq!(caller.status(&other).await.as_deref(), Some("Running"));
}

#[tokio::test(start_paused = true)]
async fn machines_are_open_as_their_groups_say() {
    let caller = caller();
    let network = caller.network().await;
    let id = caller.running(&network).await;
    let openings = || {
        let all = caller.machines.openings(&id);
        all.iter().map(|opening| format!("{}-{} {}", opening.from, opening.to, opening.source)).collect::<Vec<_>>()
    };
    assert!(openings().is_empty());
    let rule = |ports: &'static str, source: &'static str, policy: &'static str, priority: &'static str| {
        [
            ("Permissions.1.IpProtocol", "TCP"),
            ("Permissions.1.PortRange", ports),
            ("Permissions.1.SourceCidrIp", source),
            ("Permissions.1.Policy", policy),
            ("Permissions.1.Priority", priority),
        ]
    };
    let authorize = async |rule: [(&str, &str); 5]| {
        let params: Vec<_> = rule.into_iter().chain([("SecurityGroupId", network.group.as_str())]).collect();
        caller.ecs("AuthorizeSecurityGroup", &params).await.unwrap();
        sleep(1).await;
    };
    authorize(rule("8000/8100", "0.0.0.0/0", "accept", "10")).await;
    assert_eq!(openings(), ["8000-8100 0.0.0.0/0"]);
    authorize(rule("8022/8022", "0.0.0.0/0", "drop", "1")).await;
    assert_eq!(openings(), ["8000-8021 0.0.0.0/0", "8023-8100 0.0.0.0/0"]);
    // A refusal with a higher number comes too late.
    authorize(rule("8050/8050", "0.0.0.0/0", "drop", "20")).await;
    assert_eq!(openings(), ["8000-8021 0.0.0.0/0", "8023-8100 0.0.0.0/0"]);
    let other = text(&caller.ecs("CreateSecurityGroup", &[("VpcId", &network.vpc)]).await.unwrap(), "/SecurityGroupId");
    caller.ecs("ModifyInstanceAttribute", &[("InstanceId", &id), ("SecurityGroupIds.1", &other)]).await.unwrap();
    sleep(1).await;
    assert!(openings().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_type_of_a_stopped_instance_can_be_changed() {
    let caller = caller();
    let network = caller.network().await;
    let id = caller.running(&network).await;
    let change = [("InstanceId", id.as_str()), ("InstanceType", "ecs.u1-c1m2.xlarge")];
    assert_eq!(code(caller.ecs("ModifyInstanceSpec", &change).await), "IncorrectInstanceStatus");
    caller.ecs("StopInstance", &[("InstanceId", &id)]).await.unwrap();
    sleep(1000).await;
    caller.ecs("ModifyInstanceSpec", &change).await.unwrap();
    assert_eq!(text(&caller.instance(&id).await.unwrap(), "/InstanceType"), "ecs.u1-c1m2.xlarge");
    let bandwidth = [("InstanceId", id.as_str()), ("InternetMaxBandwidthOut", "20")];
    caller.ecs("ModifyInstanceSpec", &bandwidth).await.unwrap();
    assert_eq!(caller.instance(&id).await.unwrap()["InternetMaxBandwidthOut"], 20);
}

#[tokio::test(start_paused = true)]
async fn the_bill_follows_what_runs_and_money_runs_out() {
    let caller = Caller::new(Config { balance: Decimal::from(101), ..Config::default() });
    let network = caller.network().await;
    let price =
        [("InstanceType", TYPE), ("SystemDisk.Category", "cloud_essd"), ("SystemDisk.PerformanceLevel", "PL0"), ("SystemDisk.Size", "40")];
    let hourly = caller.ecs("DescribePrice", &price).await.unwrap()["PriceInfo"]["Price"]["TradePrice"].as_f64().unwrap();
    let disk = [("SystemDisk.Category", "cloud_essd"), ("SystemDisk.PerformanceLevel", "PL0"), ("ImageId", IMAGE)];
    let id = caller.run(&network, &disk).await.unwrap().remove(0);
    sleep(2 * 3600 * 1000).await;
    let spent: f64 = caller.cloud.spent().try_into().unwrap();
    assert!((spent - 2.0 * hourly).abs() < 1e-3, "{spent} for two hours at {hourly}");
    // Stopped to save money, it pays for its disk only.
    caller.ecs("StopInstance", &[("InstanceId", &id), ("StoppedMode", "StopCharging")]).await.unwrap();
    sleep(3600 * 1000).await;
    let saved: f64 = caller.cloud.spent().try_into().unwrap();
    assert!((saved - spent - 40.0 * 0.00105).abs() < 1e-3, "{saved} after {spent}");
    caller.ecs("StartInstance", &[("InstanceId", &id)]).await.unwrap();
    sleep(10 * 3600 * 1000).await;
    let refusal = caller.run(&network, &[]).await.unwrap_err();
    assert_eq!((refusal.status, refusal.code.as_str()), (403, "InvalidAccountStatus.NotEnoughBalance"));
    caller.ecs("DeleteInstance", &[("InstanceId", &id), ("Force", "true")]).await.unwrap();
    let ended = caller.cloud.spent();
    sleep(3600 * 1000).await;
    assert_eq!(caller.cloud.spent().round_dp(6), ended.round_dp(6));
    assert!(caller.cloud.bills().iter().all(|bill| bill.to.is_some()));
}
