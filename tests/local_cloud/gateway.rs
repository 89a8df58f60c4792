//! NAT gateways, SNAT entries, the addresses bound to them and the routes that lead to them.

use aliform::local_cloud::config::{Config, Quotas};
use rust_decimal::Decimal;
use serde_json::Value as Json;

use crate::caller::{Caller, Network, code, sleep, text};

fn caller() -> Caller {
    Caller::new(Config::default())
}

/// A gateway and its SNAT table, available.
async fn gateway(caller: &Caller, network: &Network) -> (String, String) {
    let params = [("VpcId", network.vpc.as_str()), ("VSwitchId", network.vswitch.as_str()), ("NatType", "Enhanced")];
    let made = caller.vpc("CreateNatGateway", &params).await.unwrap();
    sleep(401).await;
    (text(&made, "/NatGatewayId"), text(&made, "/SnatTableIds/SnatTableId/0"))
}

/// An address that is bound to a gateway: its id and itself.
async fn bound(caller: &Caller, gateway: &str) -> (String, String) {
    let made = caller.vpc("AllocateEipAddress", &[]).await.unwrap();
    let id = text(&made, "/AllocationId");
    let params = [("AllocationId", id.as_str()), ("InstanceId", gateway), ("InstanceType", "Nat")];
    caller.vpc("AssociateEipAddress", &params).await.unwrap();
    sleep(201).await;
    (id, text(&made, "/EipAddress"))
}

async fn described(caller: &Caller, id: &str) -> Option<Json> {
    let answer = caller.vpc("DescribeNatGateways", &[("NatGatewayId", id)]).await.unwrap();
    answer.pointer("/NatGateways/NatGateway/0").cloned()
}

async fn eip_status(caller: &Caller, id: &str) -> String {
    let answer = caller.vpc("DescribeEipAddresses", &[("AllocationId", id)]).await.unwrap();
    text(&answer, "/EipAddresses/EipAddress/0/Status")
}

#[tokio::test(start_paused = true)]
async fn a_gateway_lives_from_creating_to_gone_and_takes_an_address_of_its_vswitch() {
    let caller = caller();
    let network = caller.network().await;
    let left = async || {
        caller.vpc("DescribeVSwitchAttributes", &[("VSwitchId", &network.vswitch)]).await.unwrap()["AvailableIpAddressCount"].clone()
    };
    assert_eq!(left().await, 252);
    let params = [("VpcId", network.vpc.as_str()), ("VSwitchId", network.vswitch.as_str()), ("Name", "out"), ("NatIp", "192.168.1.77")];
    let id = text(&caller.vpc("CreateNatGateway", &params).await.unwrap(), "/NatGatewayId");
    assert!(id.starts_with("ngw-"), "{id}");
    let shown = described(&caller, &id).await.unwrap();
    assert_eq!([text(&shown, "/Status"), text(&shown, "/NatType"), text(&shown, "/NetworkType")], ["Creating", "Enhanced", "internet"]);
    assert_eq!(text(&shown, "/NatGatewayPrivateInfo/PrivateIpAddress"), "192.168.1.77");
    assert_eq!(left().await, 251);
    assert_eq!(code(caller.vpc("DeleteNatGateway", &[("NatGatewayId", &id)]).await), "IncorrectStatus.NATGW");
    sleep(401).await;
    assert_eq!(text(&described(&caller, &id).await.unwrap(), "/Status"), "Available");
    let vpc = caller.vpc("DescribeVpcs", &[("VpcId", &network.vpc)]).await.unwrap();
    assert_eq!(text(&vpc, "/Vpcs/Vpc/0/NatGatewayIds/NatGatewayIds/0"), id);
    assert!(caller.cloud.resources().iter().any(|row| row.kind == "nat_gateway" && row.id == id && row.status == "Available"));

    // Nothing around it goes before it is gone, and believed to be.
    let delete = async || caller.vpc("DeleteVSwitch", &[("VSwitchId", &network.vswitch)]).await;
    assert_eq!(code(delete().await), "DependencyViolation.EnhancedNatgw");
    caller.vpc("DeleteNatGateway", &[("NatGatewayId", &id)]).await.unwrap();
    assert_eq!(text(&described(&caller, &id).await.unwrap(), "/Status"), "Deleting");
    sleep(401).await;
    assert!(described(&caller, &id).await.is_none());
    assert_eq!(left().await, 252);
    assert_eq!(code(delete().await), "DependencyViolation.EnhancedNatgw");
    sleep(500).await;
    delete().await.unwrap();
    let refusal = caller.vpc("DeleteNatGateway", &[("NatGatewayId", &id)]).await.unwrap_err();
    assert_eq!((refusal.status, refusal.code.as_str()), (404, "InvalidNatGatewayId.NotFound"));
    assert!(!caller.cloud.resources().iter().any(|row| row.kind == "nat_gateway"));
}

#[tokio::test(start_paused = true)]
async fn a_gateway_is_paid_by_the_hour() {
    let caller = caller();
    let network = caller.network().await;
    let (id, _) = gateway(&caller, &network).await;
    sleep(3_600_000 - 401).await;
    assert_eq!(caller.cloud.spent().round_dp(4), Decimal::new(1950, 4));
    caller.vpc("DeleteNatGateway", &[("NatGatewayId", &id)]).await.unwrap();
    sleep(3_600_000).await;
    assert_eq!(caller.cloud.spent().round_dp(4), Decimal::new(1950, 4));
}

#[tokio::test(start_paused = true)]
async fn an_entry_needs_a_bound_address_and_holds_it() {
    let caller = caller();
    let network = caller.network().await;
    let (gateway, table) = gateway(&caller, &network).await;
    let create = async |more: &[(&str, &str)]| caller.vpc("CreateSnatEntry", &[&[("SnatTableId", table.as_str())], more].concat()).await;
    let vswitch = ("SourceVSwitchId", network.vswitch.as_str());
    assert_eq!(code(create(&[vswitch]).await), "MissingSnatIp");
    assert_eq!(code(create(&[vswitch, ("SnatIp", "x")]).await), "InvalidSnatIp.Malformed");
    let free = caller.vpc("AllocateEipAddress", &[]).await.unwrap();
    assert_eq!(code(create(&[vswitch, ("SnatIp", &text(&free, "/EipAddress"))]).await), "EIP_NOT_IN_GATEWAY");
    let (eip, address) = bound(&caller, &gateway).await;
    let ip = ("SnatIp", address.as_str());
    assert_eq!(code(create(&[ip]).await), "INVALID_PARAMETER");
    assert_eq!(code(create(&[ip, vswitch, ("SourceCIDR", "192.168.1.0/24")]).await), "INVALID_PARAMETER");
    assert_eq!(code(create(&[ip, ("SourceCIDR", "192.168.1.1/24")]).await), "INVALID_PARAMETER");
    assert_eq!(code(create(&[ip, vswitch, ("DryRun", "true")]).await), "DryRunOperation");
    let entry = text(&create(&[ip, vswitch, ("SnatEntryName", "all")]).await.unwrap(), "/SnatEntryId");
    assert_eq!(code(create(&[ip, vswitch]).await), "Forbidden.SourceVSwitchId.Duplicated");
    assert_eq!(code(create(&[ip, ("SourceCIDR", "192.168.1.0/24")]).await), "Forbidden.SourceVSwitchId.Duplicated");
    let shown = caller.vpc("DescribeSnatTableEntries", &[("SnatTableId", &table)]).await.unwrap();
    let row = shown.pointer("/SnatTableEntries/SnatTableEntry/0").unwrap();
    assert_eq!([text(row, "/Status"), text(row, "/SnatIp"), text(row, "/SourceCIDR")], ["Pending", &address, "192.168.1.0/24"]);
    let delete = async || caller.vpc("DeleteSnatEntry", &[("SnatTableId", &table), ("SnatEntryId", &entry)]).await;
    assert_eq!(code(delete().await), "IncorretSnatEntryStatus");
    sleep(201).await;
    let list = &described(&caller, &gateway).await.unwrap()["IpLists"]["IpList"][0];
    assert_eq!([text(list, "/IpAddress"), text(list, "/UsingStatus")], [address.as_str(), "UsedBySnatTable"]);

    // Each holds the next: entry, address, gateway.
    let unbind = [("AllocationId", eip.as_str()), ("InstanceId", gateway.as_str()), ("InstanceType", "Nat")];
    assert_eq!(code(caller.vpc("UnassociateEipAddress", &unbind).await), "InvalidIpStatus.HasBeenUsedBySnatTable");
    assert_eq!(code(caller.vpc("DeleteNatGateway", &[("NatGatewayId", &gateway)]).await), "DependencyViolation.SnatEntry");
    delete().await.unwrap();
    sleep(201).await;
    assert_eq!(code(delete().await), "InvalidSnatEntryId.NotFound");
    assert_eq!(code(caller.vpc("DeleteNatGateway", &[("NatGatewayId", &gateway)]).await), "DependencyViolation.EIPS");
    assert_eq!(code(caller.vpc("ReleaseEipAddress", &[("AllocationId", &eip)]).await), "IncorrectEipStatus");
    let instance = [("AllocationId", eip.as_str()), ("InstanceType", "EcsInstance")];
    assert_eq!(code(caller.vpc("UnassociateEipAddress", &instance).await), "InvalidBindingStatus");
    caller.vpc("UnassociateEipAddress", &unbind).await.unwrap();
    sleep(201).await;
    caller.vpc("DeleteNatGateway", &[("NatGatewayId", &gateway)]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn force_takes_entries_along_and_frees_addresses() {
    let caller = caller();
    let network = caller.network().await;
    let (gateway, table) = gateway(&caller, &network).await;
    let (one, first) = bound(&caller, &gateway).await;
    let (other, second) = bound(&caller, &gateway).await;
    let both = format!("{first},{second}");
    for (cidr, ips) in [("192.168.1.0/25", both.as_str()), ("192.168.1.128/25", second.as_str())] {
        let params = [("SnatTableId", table.as_str()), ("SourceCIDR", cidr), ("SnatIp", ips)];
        caller.vpc("CreateSnatEntry", &params).await.unwrap();
    }
    sleep(201).await;
    // An address that is forced away leaves the entries that have another.
    caller.vpc("UnassociateEipAddress", &[("AllocationId", &other), ("Force", "true")]).await.unwrap();
    sleep(201).await;
    let entries = caller.vpc("DescribeSnatTableEntries", &[("NatGatewayId", &gateway)]).await.unwrap();
    assert_eq!(entries["TotalCount"], 1);
    assert_eq!(text(&entries, "/SnatTableEntries/SnatTableEntry/0/SnatIp"), first);
    caller.vpc("DeleteNatGateway", &[("NatGatewayId", &gateway), ("Force", "true")]).await.unwrap();
    assert_eq!(eip_status(&caller, &one).await, "Unassociating");
    sleep(401).await;
    assert_eq!(eip_status(&caller, &one).await, "Available");
    assert!(!caller.cloud.resources().iter().any(|row| row.kind == "snat_entry"));
}

#[tokio::test(start_paused = true)]
async fn the_routes_of_a_vpc_follow_from_what_is_in_it() {
    let caller = caller();
    let network = caller.network().await;
    let list = caller.vpc("DescribeRouteTableList", &[("VpcId", &network.vpc)]).await.unwrap();
    let table = text(&list, "/RouterTableList/RouterTableListType/0/RouteTableId");
    assert_eq!(text(&list, "/RouterTableList/RouterTableListType/0/VSwitchIds/VSwitchId/0"), network.vswitch);
    let routes = async |more: &[(&str, &str)]| -> Vec<[String; 3]> {
        let answer = caller.vpc("DescribeRouteTables", &[&[("RouteTableId", table.as_str())], more].concat()).await.unwrap();
        let rows = answer["RouteTables"]["RouteTable"][0]["RouteEntrys"]["RouteEntry"].as_array().unwrap().clone();
        rows.iter().map(|row| ["/DestinationCidrBlock", "/Type", "/NextHopType"].map(|field| text(row, field))).collect()
    };
    let system = [["192.168.1.0/24", "System", "local"], ["100.64.0.0/10", "System", "service"]];
    assert_eq!(routes(&[]).await, system);
    let (first, _) = gateway(&caller, &network).await;
    let (second, _) = gateway(&caller, &network).await;
    assert_eq!(routes(&[("Type", "Custom")]).await, [["0.0.0.0/0", "Custom", "NatGateway"]]);
    assert_eq!(routes(&[("Type", "System")]).await, system);
    // Only the first is routed to; it takes its route along.
    caller.vpc("DeleteNatGateway", &[("NatGatewayId", &second)]).await.unwrap();
    sleep(401).await;
    assert_eq!(routes(&[]).await.len(), 3);
    caller.vpc("DeleteNatGateway", &[("NatGatewayId", &first)]).await.unwrap();
    sleep(401).await;
    assert_eq!(routes(&[]).await, system);
    assert_eq!(code(caller.vpc("DescribeRouteTables", &[]).await), "MissingParameter");
}

#[tokio::test(start_paused = true)]
async fn whatever_is_wrong_with_a_gateway_has_its_own_code() {
    let quotas = Quotas { nat_gateways: 1, snat_entries: 1, ..Quotas::default() };
    let caller = Caller::new(Config { quotas, ..Config::default() });
    let network = caller.network().await;
    let create = async |more: &[(&str, &str)]| {
        let mut params = vec![("VpcId", network.vpc.as_str()), ("VSwitchId", network.vswitch.as_str())];
        params.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
        code(caller.vpc("CreateNatGateway", &[&params, more].concat()).await)
    };
    for (parameter, value, refused) in [
        ("VpcId", "vpc-none", "InvalidVpcId.NotFound"),
        ("VSwitchId", "vsw-none", "InvalidVSwitchId.NotFound"),
        ("VSwitchId", "", "MissingVSwitchId"),
        ("NatType", "Normal", "InvalidParameter"),
        ("InstanceChargeType", "PrePaid", "InvalidParameter"),
        ("PrivateLinkEnabled", "true", "InvalidParameter"),
        ("Name", "x", "InvalidParameter.Name.Malformed"),
        ("Description", "http://x", "InvalidParameter.Description.Malformed"),
        ("NatIp", "192.168.1.0", "OperationFailed.NatIpNotAvailable"),
        ("NatIp", "here", "InvalidNatIp.Malformed"),
    ] {
        assert_eq!(create(&[(parameter, value)]).await, refused, "{parameter}={value}");
    }
    let other = text(&caller.vpc("CreateVpc", &[]).await.unwrap(), "/VpcId");
    assert_eq!(create(&[("VpcId", &other)]).await, "OperationFailed.VswNotBelongToVpc");
    let (gateway, table) = gateway(&caller, &network).await;
    assert_eq!(create(&[]).await, "QuotaExceeded.NatGateway");
    let (_, address) = bound(&caller, &gateway).await;
    let entry = async |cidr: &str| {
        let params = [("SnatTableId", table.as_str()), ("SnatIp", &address), ("SourceCIDR", cidr)];
        caller.vpc("CreateSnatEntry", &params).await
    };
    entry("10.0.0.0/24").await.unwrap();
    assert_eq!(code(entry("10.0.1.0/24").await), "Forbidden.SnatEntryCountLimited");
    assert_eq!(code(caller.vpc("CreateSnatEntry", &[("SnatTableId", "stb-none")]).await), "InvalidSnatTableId.NotFound");
    assert_eq!(code(caller.vpc("DescribeSnatTableEntries", &[]).await), "MissingParameter");
}

#[tokio::test(start_paused = true)]
async fn an_address_can_be_changed_while_it_is_used() {
    let caller = caller();
    let id = text(&caller.vpc("AllocateEipAddress", &[("Bandwidth", "5")]).await.unwrap(), "/AllocationId");
    let modify =
        async |more: &[(&str, &str)]| caller.vpc("ModifyEipAddressAttribute", &[&[("AllocationId", id.as_str())], more].concat()).await;
    sleep(3_600_000).await;
    // 0.02 for the address and 5 times 0.0625.
    assert_eq!(caller.cloud.spent().round_dp(4), Decimal::new(3325, 4));
    modify(&[("Bandwidth", "10"), ("Name", "door")]).await.unwrap();
    sleep(3_600_000).await;
    // And 5 times 0.25 on top.
    assert_eq!(caller.cloud.spent().round_dp(4), Decimal::new(3325 + 3325 + 12500, 4));
    let shown = caller.vpc("DescribeEipAddresses", &[("EipName", "door")]).await.unwrap();
    assert_eq!(text(&shown, "/EipAddresses/EipAddress/0/Bandwidth"), "10");
    assert_eq!(code(modify(&[("Bandwidth", "501")]).await), "InvalidBandwidth.ValueNotSupported");
    caller.vpc("ReleaseEipAddress", &[("AllocationId", &id)]).await.unwrap();
    assert_eq!(code(modify(&[("Name", "x")]).await), "IncorrectEipStatus");
}

#[tokio::test(start_paused = true)]
async fn a_vswitch_may_ask_for_a_size_instead_of_a_network() {
    let caller = caller();
    let vpc = text(&caller.vpc("CreateVpc", &[("CidrBlock", "192.168.0.0/23")]).await.unwrap(), "/VpcId");
    sleep(301).await;
    let mut made = Vec::new();
    for _ in 0..2 {
        let params = [("VpcId", vpc.as_str()), ("ZoneId", "cn-hangzhou-h"), ("CidrMask", "24")];
        let id = text(&caller.vpc("CreateVSwitch", &params).await.unwrap(), "/VSwitchId");
        sleep(301).await;
        made.push(text(&caller.vpc("DescribeVSwitchAttributes", &[("VSwitchId", &id)]).await.unwrap(), "/CidrBlock"));
    }
    assert_eq!(made, ["192.168.0.0/24", "192.168.1.0/24"]);
    let params = [("VpcId", vpc.as_str()), ("ZoneId", "cn-hangzhou-h"), ("CidrMask", "28")];
    assert_eq!(code(caller.vpc("CreateVSwitch", &params).await), "InvalidCidrBlock.Overlapped");
    assert_eq!(code(caller.vpc("CreateVpc", &[("EnableIpv6", "true")]).await), "InvalidParameter");
}
