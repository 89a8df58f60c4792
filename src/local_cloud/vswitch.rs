//! vSwitches: pieces of a VPC in a zone, and the addresses in them.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::call::{Call, Outcome, vpc_tags};
use super::paging::Page;
use super::store::{Due, World};
use super::time::{after, seconds};
use super::vpc::{self, Vpc};
use super::wire::fault::Fault;
use super::wire::params::Tags;

/// A vSwitch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct VSwitch {
    pub(crate) id: String,
    pub(crate) vpc: String,
    pub(crate) region: String,
    pub(crate) zone: String,
    pub(crate) cidr: Ipv4Net,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) route_table: String,
    pub(crate) resource_group: String,
    pub(crate) created: Timestamp,
    pub(crate) tags: Tags,
    /// Until then it is `Pending`.
    pub(crate) ready_at: Timestamp,
    /// When it is gone; set once it is deleted.
    pub(crate) gone_at: Option<Timestamp>,
}

impl VSwitch {
    pub(crate) fn status(&self, now: Timestamp) -> &'static str {
        if now < self.ready_at || self.gone_at.is_some() { "Pending" } else { "Available" }
    }

    /// The addresses that instances may have: the first and the last three are the service's.
    fn range(&self) -> (u32, u32) {
        let (first, last) = (u32::from(self.cidr.network()), u32::from(self.cidr.broadcast()));
        (first + 1, last - 3)
    }

    /// How many addresses are left.
    pub(crate) fn left(&self, world: &World) -> usize {
        let (first, last) = self.range();
        let used = world.index.addresses.get(&self.id).map_or(0, |used| used.len());
        ((last - first) as usize + 1).saturating_sub(used)
    }

    /// The lowest addresses that are free.
    pub(crate) fn free(&self, world: &World, count: usize) -> Vec<Ipv4Addr> {
        let (first, last) = self.range();
        let used = world.index.addresses.get(&self.id);
        let is_free = |address: &Ipv4Addr| used.is_none_or(|used| !used.contains(address));
        // Behind the highest one in use all are free: a network that only grows is never searched.
        let top = used.and_then(|used| used.last()).map_or(first, |top| u32::from(*top) + 1);
        let room = (last + 1).saturating_sub(top) as usize >= count;
        let from = if room { top } else { first };
        (from..=last).map(Ipv4Addr::from).filter(is_free).take(count).collect()
    }

    /// Whether an instance may be given that address.
    pub(crate) fn is_free(&self, world: &World, address: Ipv4Addr) -> bool {
        let (first, last) = self.range();
        let used = world.index.addresses.get(&self.id).is_some_and(|used| used.contains(&address));
        (first..=last).contains(&u32::from(address)) && !used
    }
}

/// A vSwitch that a call names, visible in the call's region.
pub(crate) fn find<'a>(call: &'a Call, id: &str) -> Result<&'a VSwitch, Fault> {
    match call.world.vswitches.get(id) {
        Some(vswitch) if call.sees(&vswitch.region)? => Ok(vswitch),
        _ => Err(Fault::missing("InvalidVSwitchId.NotFound", "The specified vSwitch does not exist.")),
    }
}

/// The network that is asked for, or the first free one of `CidrMask`.
fn network(call: &Call, vpc: &Vpc) -> Result<Ipv4Net, Fault> {
    if let Some(text) = call.params.text("CidrBlock") {
        return vpc::network(text, 16, 29);
    }
    let mask: u8 = call.params.number("CidrMask")?.ok_or_else(|| Fault::mandatory("CidrBlock"))?;
    if !(16..=29).contains(&mask) {
        return Err(Fault::invalid("CidrMask"));
    }
    let taken = |net: &Ipv4Net| vpc::vswitches_of(call.world, &vpc.id).any(|other| overlap(net, &other.cidr));
    let mut free = vpc.cidr.subnets(mask).map_err(|_| Fault::invalid("CidrMask"))?.filter(|net| !taken(net));
    free.next().ok_or_else(|| Fault::bad("InvalidCidrBlock.Overlapped", "The VPC has no network of that size left."))
}

fn overlap(one: &Ipv4Net, other: &Ipv4Net) -> bool {
    one.contains(other) || other.contains(one)
}

/// CreateVSwitch.
pub(crate) fn create(call: &mut Call) -> Outcome {
    call.optional_region()?;
    let params = call.params;
    let vpc = vpc::find(call, params.required("VpcId")?)?.clone();
    let zone = params.required("ZoneId")?;
    call.lacks(&vpc::NO_IPV6)?;
    let cidr = network(call, &vpc)?;
    if call.catalog.region_of_zone(zone).is_none_or(|region| region.id != vpc.region) {
        return Err(Fault::missing("InvalidZoneId.NotFound", "The specified zone does not exist."));
    }
    let (name, description, tags) = (call.name("VSwitchName")?, call.description()?, params.tags()?);
    vpc::check_idle(&vpc, call.now)?;
    if !vpc.cidr.contains(&cidr) {
        return Err(Fault::bad("InvalidCidrBlock.Malformed", "The specified CIDR block is not inside that of the VPC."));
    }
    let siblings = || vpc::vswitches_of(call.world, &vpc.id);
    if siblings().any(|sibling| overlap(&sibling.cidr, &cidr)) {
        return Err(Fault::bad("InvalidCidrBlock.Overlapped", "The specified CIDR block overlapped with other subnets."));
    }
    if siblings().count() >= call.config.quotas.vswitches {
        return Err(Fault::bad("QuotaExceeded.VSwitch", "The number of vSwitches in the VPC exceeds the limit."));
    }
    call.end_dry_run()?;
    let id = call.new_id("vsw", &vpc.region, 21);
    let ready_at = after(call.now, call.config.latency.of(|latency| latency.vswitch_ready));
    let vswitch = VSwitch {
        id: id.clone(),
        vpc: vpc.id.clone(),
        region: vpc.region,
        zone: zone.to_owned(),
        cidr,
        name,
        description,
        route_table: vpc.route_table,
        resource_group: vpc.resource_group,
        created: call.now,
        tags,
        ready_at,
        gone_at: None,
    };
    call.world.index.vswitches.entry(vpc.id.clone()).or_default().insert(id.clone());
    call.world.vswitches.insert(id.clone(), vswitch);
    occupy(call, &vpc.id, ready_at);
    Ok(json!({ "VSwitchId": id }))
}

/// Keeps other changes out of a VPC until then.
fn occupy(call: &mut Call, vpc: &str, until: Timestamp) {
    if let Some(vpc) = call.world.vpcs.get_mut(vpc) {
        vpc.busy_until = until;
    }
}

/// DescribeVSwitches.
pub(crate) fn describe(call: &mut Call) -> Outcome {
    let params = call.params;
    if params.text("VpcId").is_none() && params.text("VSwitchId").is_none() {
        call.region()?;
    }
    let page = Page::numbered(params, 50)?;
    let filter = params.tag_filter();
    let region = call.optional_region()?;
    let ids = params.commas("VSwitchId", 20)?;
    // No vSwitch is a default one or has addresses of the sixth version.
    let special = params.boolean("IsDefault")? || params.boolean("EnableIpv6")?;
    let owned = params.text("VSwitchOwnerId").is_none_or(|owner| owner == call.config.account);
    call.end_dry_run()?;
    let fits = |name: &str, own: &str| params.text(name).is_none_or(|wanted| wanted == own);
    let rows = call.world.vswitches.among(ids.as_deref()).filter(|(_, vswitch)| {
        region.is_none_or(|region| region.id == vswitch.region)
            && !special
            && owned
            && fits("VpcId", &vswitch.vpc)
            && fits("ZoneId", &vswitch.zone)
            && fits("VSwitchName", &vswitch.name)
            && fits("ResourceGroupId", &vswitch.resource_group)
            && fits("RouteTableId", &vswitch.route_table)
            && filter.fits(&vswitch.tags)
    });
    let cut = page.cut(rows);
    let shown: Vec<Json> = cut.rows.iter().map(|vswitch| row(call, vswitch)).collect();
    let mut answer = json!({ "VSwitches": { "VSwitch": shown } });
    cut.describe(&mut answer);
    Ok(answer)
}

fn row(call: &Call, vswitch: &VSwitch) -> Json {
    json!({
        "VSwitchId": vswitch.id,
        "VpcId": vswitch.vpc,
        "ZoneId": vswitch.zone,
        "Status": vswitch.status(call.now),
        "CidrBlock": vswitch.cidr.to_string(),
        "Ipv6CidrBlock": "",
        "AvailableIpAddressCount": vswitch.left(call.world),
        "VSwitchName": vswitch.name,
        "Description": vswitch.description,
        "CreationTime": seconds(vswitch.created),
        "IsDefault": false,
        "ResourceGroupId": vswitch.resource_group,
        "NetworkAclId": "",
        "ShareType": "",
        "OwnerId": call.config.account.parse::<u64>().unwrap_or(0),
        "EnabledIpv6": false,
        "RouteTable": { "RouteTableId": vswitch.route_table, "RouteTableType": "System" },
        "Tags": vpc_tags(&vswitch.tags),
    })
}

/// DescribeVSwitchAttributes. One that is gone answers empty fields, as the real service does.
pub(crate) fn describe_attributes(call: &mut Call) -> Outcome {
    let id = call.params.required("VSwitchId")?;
    call.end_dry_run()?;
    match find(call, id) {
        Ok(vswitch) => Ok(row(call, vswitch)),
        Err(_) => Ok(json!({ "VSwitchId": "", "VpcId": "", "Status": "", "ZoneId": "", "CidrBlock": "" })),
    }
}

/// ModifyVSwitchAttribute.
pub(crate) fn modify(call: &mut Call) -> Outcome {
    let id = call.params.required("VSwitchId")?.to_owned();
    if find(call, &id)?.status(call.now) != "Available" {
        return Err(Fault::bad("IncorrectStatus.VSwitch", "The status of the vSwitch does not support this operation."));
    }
    call.lacks(&vpc::NO_IPV6)?;
    let name = call.params.given("VSwitchName").map(|_| call.name("VSwitchName")).transpose()?;
    let description = call.params.given("Description").map(|_| call.description()).transpose()?;
    if let Some(vswitch) = call.world.vswitches.get_mut(&id) {
        vswitch.name = name.unwrap_or_else(|| std::mem::take(&mut vswitch.name));
        vswitch.description = description.unwrap_or_else(|| std::mem::take(&mut vswitch.description));
    }
    Ok(json!({}))
}

/// DeleteVSwitch.
pub(crate) fn delete(call: &mut Call) -> Outcome {
    let id = call.params.required("VSwitchId")?.to_owned();
    let vswitch = find(call, &id)?.clone();
    if vswitch.status(call.now) != "Available" {
        return Err(Fault::bad("IncorrectVSwitchStatus", "The current status of the vSwitch does not support this operation."));
    }
    if call.world.nat_gateways.values().any(|gateway| gateway.vswitch == id) || call.world.index.haunted(&id, "NatGateway", call.now) {
        return Err(Fault::bad("DependencyViolation.EnhancedNatgw", "The specified vSwitch still has NAT gateways."));
    }
    if call.world.snat_entries.values().any(|entry| entry.vswitch == id) {
        return Err(Fault::bad("DependencyViolation.SnatEntry", "The specified vSwitch is the source of a SNAT entry."));
    }
    let used = call.world.index.addresses.get(&id).is_some_and(|used| !used.is_empty());
    if used || call.world.index.haunted(&id, "Instance", call.now) {
        return Err(Fault::bad("DependencyViolation", "The specified vSwitch still has dependent instances."));
    }
    if let Some(vpc) = call.world.vpcs.get(&vswitch.vpc) {
        vpc::check_idle(vpc, call.now)?;
    }
    call.end_dry_run()?;
    let gone_at = after(call.now, call.config.latency.of(|latency| latency.network_deleting));
    if let Some(vswitch) = call.world.vswitches.get_mut(&id) {
        vswitch.gone_at = Some(gone_at);
    }
    call.world.index.due.insert((gone_at, Due::VSwitch(id)));
    occupy(call, &vswitch.vpc, gone_at);
    Ok(json!({}))
}
