//! VPCs: their life from `Pending` to gone, and who still depends on them.

use ipnet::Ipv4Net;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::call::{Call, Outcome, vpc_tags};
use super::nat;
use super::paging::Page;
use super::store::{Due, World};
use super::time::{after, seconds};
use super::vswitch::VSwitch;
use super::wire::fault::Fault;
use super::wire::params::Tags;

/// A VPC.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Vpc {
    pub(crate) id: String,
    pub(crate) region: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) cidr: Ipv4Net,
    pub(crate) router: String,
    pub(crate) route_table: String,
    pub(crate) resource_group: String,
    pub(crate) created: Timestamp,
    pub(crate) tags: Tags,
    /// Tags of its route table.
    #[serde(default)]
    pub(crate) route_table_tags: Tags,
    /// Networks that it treats as private ones.
    #[serde(default)]
    pub(crate) user_cidrs: Vec<String>,
    #[serde(default)]
    pub(crate) dns_hostname: bool,
    /// Until then it is `Pending`.
    pub(crate) ready_at: Timestamp,
    /// Until then a change inside it goes on and no other is taken.
    pub(crate) busy_until: Timestamp,
    /// When it is gone; set once it is deleted.
    pub(crate) gone_at: Option<Timestamp>,
}

impl Vpc {
    pub(crate) fn status(&self, now: Timestamp) -> &'static str {
        match self.gone_at {
            Some(_) => "Deleting",
            None if now < self.ready_at => "Pending",
            None => "Available",
        }
    }
}

/// A VPC that a call names, visible in the call's region.
pub(crate) fn find<'a>(call: &'a Call, id: &str) -> Result<&'a Vpc, Fault> {
    match call.world.vpcs.get(id) {
        Some(vpc) if call.sees(&vpc.region)? => Ok(vpc),
        _ => Err(Fault::missing("InvalidVpcId.NotFound", "The specified VPC does not exist.")),
    }
}

/// Refuses a change in a VPC that is not `Available` or has another change going on.
pub(crate) fn check_idle(vpc: &Vpc, now: Timestamp) -> Result<(), Fault> {
    if vpc.status(now) != "Available" {
        return Err(Fault::bad("IncorrectVpcStatus", "The current status of the VPC does not support this operation."));
    }
    if now < vpc.busy_until {
        return Err(Fault::bad("TaskConflict", "The operation conflicts with another task of the VPC in progress."));
    }
    Ok(())
}

/// The network that a parameter holds, its host part empty.
pub(crate) fn network(text: &str, shortest: u8, longest: u8) -> Result<Ipv4Net, Fault> {
    let malformed = || Fault::bad("InvalidCidrBlock.Malformed", "The specified CIDR block is not valid.");
    let net: Ipv4Net = text.parse().map_err(|_| malformed())?;
    if net.addr() != net.network() || !(shortest..=longest).contains(&net.prefix_len()) {
        return Err(malformed());
    }
    let never: [&str; 4] = ["100.64.0.0/10", "224.0.0.0/4", "127.0.0.0/8", "169.254.0.0/16"];
    let taken = |range: &str| range.parse::<Ipv4Net>().is_ok_and(|range| range.contains(&net) || net.contains(&range));
    if never.into_iter().any(taken) {
        return Err(malformed());
    }
    Ok(net)
}

/// What asks for addresses of the sixth version, which machines do not have.
pub(super) const NO_IPV6: [&str; 7] =
    ["EnableIpv6", "EnableIPv6", "Ipv6CidrBlock", "Ipv6CidrMask", "Ipv6Isp", "VpcIpv6CidrBlock", "Ipv6IpamPoolId"];

/// The networks of `UserCidr`, at most three.
fn user_cidrs(call: &Call) -> Result<Vec<String>, Fault> {
    let named = call.params.commas("UserCidr", 3)?.unwrap_or_default();
    let is_network = |text: &String| text.parse::<Ipv4Net>().is_ok_and(|net| net.addr() == net.network());
    if named.iter().all(is_network) {
        return Ok(named);
    }
    Err(Fault::bad("InvalidUserCidr.Malformed", "The specified UserCidr is not valid."))
}

/// CreateVpc.
pub(crate) fn create(call: &mut Call) -> Outcome {
    let region = call.region()?;
    call.lacks(&NO_IPV6)?;
    call.lacks(&["Ipv4IpamPoolId", "Ipv4CidrMask", "Ipv6IpamPoolId"])?;
    let user_cidrs = user_cidrs(call)?;
    let dns_hostname = call.params.boolean("EnableDnsHostname")?;
    let cidr = network(call.params.text("CidrBlock").unwrap_or("172.16.0.0/12"), 8, 28)?;
    let (name, description) = (call.name("VpcName")?, call.description()?);
    let tags = call.params.tags()?;
    if call.world.vpcs.values().filter(|vpc| vpc.region == region.id).count() >= call.config.quotas.vpcs {
        return Err(Fault::bad("QuotaExceeded.Vpc", "VPC quota exceeded."));
    }
    call.end_dry_run()?;
    let id = call.new_id("vpc", region.id, 21);
    let vpc = Vpc {
        region: region.id.to_owned(),
        name,
        description,
        cidr,
        router: call.new_id("vrt", region.id, 21),
        route_table: call.new_id("vtb", region.id, 21),
        resource_group: resource_group(call),
        created: call.now,
        tags,
        route_table_tags: Tags::new(),
        user_cidrs,
        dns_hostname,
        ready_at: after(call.now, call.config.latency.of(|latency| latency.vpc_ready)),
        busy_until: call.now,
        gone_at: None,
        id: id.clone(),
    };
    let answer = json!({ "VpcId": id, "VRouterId": vpc.router, "RouteTableId": vpc.route_table, "ResourceGroupId": vpc.resource_group });
    call.world.vpcs.insert(id, vpc);
    Ok(answer)
}

/// The resource group that is asked for, or the account's usual one.
pub(crate) fn resource_group(call: &Call) -> String {
    call.params.text("ResourceGroupId").unwrap_or("rg-acfm0000000local").to_owned()
}

/// DescribeVpcs.
pub(crate) fn describe(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let page = Page::numbered(call.params, 50)?;
    let ids = call.params.commas("VpcId", 20)?;
    let (filter, name, group) = (call.params.tag_filter(), call.params.text("VpcName"), call.params.text("ResourceGroupId"));
    // No VPC is a default one, has addresses of the sixth version or a set of DHCP options.
    let special = call.params.boolean("IsDefault")? || call.params.boolean("EnableIpv6")? || call.params.text("DhcpOptionsSetId").is_some();
    let owned = call.params.text("VpcOwnerId").is_none_or(|owner| owner == call.config.account);
    call.end_dry_run()?;
    let rows = call.world.vpcs.among(ids.as_deref()).filter(|(_, vpc)| {
        vpc.region == region.id
            && !special
            && owned
            && name.is_none_or(|name| name == vpc.name)
            && group.is_none_or(|group| group == vpc.resource_group)
            && filter.fits(&vpc.tags)
    });
    let cut = page.cut(rows);
    let shown: Vec<Json> = cut.rows.iter().map(|vpc| row(call, vpc)).collect();
    let mut answer = json!({ "Vpcs": { "Vpc": shown } });
    cut.describe(&mut answer);
    Ok(answer)
}

/// The vSwitches of a VPC.
pub(crate) fn vswitches_of<'a>(world: &'a World, vpc: &str) -> impl Iterator<Item = &'a VSwitch> {
    world.index.vswitches.get(vpc).into_iter().flatten().filter_map(|id| world.vswitches.get(id))
}

fn row(call: &Call, vpc: &Vpc) -> Json {
    let vswitches: Vec<&str> = vswitches_of(call.world, &vpc.id).map(|vswitch| vswitch.id.as_str()).collect();
    let gateways: Vec<&str> = nat::of_vpc(call.world, &vpc.id).map(|gateway| gateway.id.as_str()).collect();
    json!({
        "VpcId": vpc.id,
        "RegionId": vpc.region,
        "Status": vpc.status(call.now),
        "VpcName": vpc.name,
        "CreationTime": seconds(vpc.created),
        "CidrBlock": vpc.cidr.to_string(),
        "Ipv6CidrBlock": "",
        "VRouterId": vpc.router,
        "Description": vpc.description,
        "IsDefault": false,
        "ResourceGroupId": vpc.resource_group,
        "OwnerId": call.config.account.parse::<u64>().unwrap_or(0),
        "EnabledIpv6": false,
        "DhcpOptionsSetId": "",
        "DhcpOptionsSetStatus": "",
        "DnsHostnameStatus": if vpc.dns_hostname { "ENABLED" } else { "DISABLED" },
        "CenStatus": "Detached",
        "VSwitchIds": { "VSwitchId": vswitches },
        "RouterTableIds": { "RouterTableIds": [vpc.route_table] },
        "NatGatewayIds": { "NatGatewayIds": gateways },
        "SecondaryCidrBlocks": { "SecondaryCidrBlock": [] },
        "UserCidrs": { "UserCidr": vpc.user_cidrs },
        "Ipv6CidrBlocks": { "Ipv6CidrBlock": [] },
        "Tags": vpc_tags(&vpc.tags),
    })
}

/// DescribeVpcAttribute.
pub(crate) fn describe_attribute(call: &mut Call) -> Outcome {
    call.region()?;
    let vpc = find(call, call.params.required("VpcId")?)?;
    call.end_dry_run()?;
    let mut answer = row(call, vpc);
    let fields = answer.as_object_mut().expect("a row is an object");
    // These two are told by the list only.
    for listed in ["CenStatus", "RouterTableIds", "NatGatewayIds"] {
        fields.remove(listed);
    }
    let vswitches = vswitches_of(call.world, &vpc.id).count();
    let gateways = nat::of_vpc(call.world, &vpc.id).count();
    answer["ClassicLinkEnabled"] = false.into();
    answer["SupportIpv4Gateway"] = true.into();
    answer["Ipv4GatewayId"] = "".into();
    answer["AssociatedCens"] = json!({ "AssociatedCen": [] });
    answer["AssociatedPropagationSources"] = json!({ "AssociatedPropagationSources": [] });
    answer["CloudResources"] = json!({ "CloudResourceSetType": [
        { "ResourceType": "VRouter", "ResourceCount": 1 },
        { "ResourceType": "RouteTable", "ResourceCount": 1 },
        { "ResourceType": "VSwitch", "ResourceCount": vswitches },
        { "ResourceType": "NatGateway", "ResourceCount": gateways },
    ] });
    Ok(answer)
}

/// ModifyVpcAttribute.
pub(crate) fn modify(call: &mut Call) -> Outcome {
    let id = call.params.required("VpcId")?.to_owned();
    let vpc = find(call, &id)?;
    if vpc.status(call.now) != "Available" {
        return Err(Fault::bad("IncorrectVpcStatus", "The current status of the VPC does not support this operation."));
    }
    call.lacks(&NO_IPV6)?;
    let dns_hostname = call.params.flag("EnableDnsHostname")?;
    let name = call.params.given("VpcName").map(|_| call.name("VpcName")).transpose()?;
    let description = call.params.given("Description").map(|_| call.description()).transpose()?;
    if let Some(text) = call.params.text("CidrBlock")
        && network(text, 8, 28)? != vpc.cidr
    {
        return Err(Fault::bad("OperationFailed.CidrBlock", "The CIDR block of a VPC can't be changed."));
    }
    if let Some(vpc) = call.world.vpcs.get_mut(&id) {
        vpc.name = name.unwrap_or_else(|| std::mem::take(&mut vpc.name));
        vpc.description = description.unwrap_or_else(|| std::mem::take(&mut vpc.description));
        vpc.dns_hostname = dns_hostname.unwrap_or(vpc.dns_hostname);
    }
    Ok(json!({}))
}

/// DeleteVpc.
pub(crate) fn delete(call: &mut Call) -> Outcome {
    let id = call.params.required("VpcId")?.to_owned();
    let vpc = find(call, &id)?;
    if vpc.status(call.now) != "Available" {
        return Err(Fault::bad("IncorrectVpcStatus", "The current status of the VPC does not support this operation."));
    }
    let depends = |kind: &str, what: &str| {
        Fault::bad(format!("DependencyViolation.{kind}"), format!("The specified VPC still has dependent {what}."))
    };
    if vswitches_of(call.world, &id).next().is_some() || call.world.index.haunted(&id, "VSwitch", call.now) {
        return Err(depends("VSwitch", "vSwitches"));
    }
    let has_group = call.world.groups.values().any(|group| group.vpc == id);
    if has_group || call.world.index.haunted(&id, "SecurityGroup", call.now) {
        return Err(depends("SecurityGroup", "security groups"));
    }
    call.end_dry_run()?;
    let gone_at = after(call.now, call.config.latency.of(|latency| latency.network_deleting));
    if let Some(vpc) = call.world.vpcs.get_mut(&id) {
        vpc.gone_at = Some(gone_at);
    }
    call.world.index.due.insert((gone_at, Due::Vpc(id)));
    Ok(json!({}))
}
