//! Enhanced NAT gateways: their life from `Creating` to gone, and what still depends on them. They hold elastic addresses
//! and SNAT entries and are billed by the hour; traffic never passes through them, machines go out as their host does.

pub(crate) mod describe;
pub(crate) mod snat;

use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::call::{Call, Outcome};
use super::eip::{self, Eip};
use super::store::{Due, World};
use super::time::after;
use super::vpc::Vpc;
use super::vswitch::{self, VSwitch};
use super::wire::fault::Fault;
use super::wire::params::Tags;
use super::{billing, price, vpc};
use snat::SnatEntry;

/// A NAT gateway.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NatGateway {
    pub(crate) id: String,
    pub(crate) region: String,
    pub(crate) zone: String,
    pub(crate) vpc: String,
    pub(crate) vswitch: String,
    pub(crate) name: String,
    pub(crate) description: String,
    /// `internet` or `intranet`.
    pub(crate) network: String,
    pub(crate) private_ip: Ipv4Addr,
    /// The id of its network interface.
    pub(crate) interface: String,
    pub(crate) snat_table: String,
    pub(crate) forward_table: String,
    /// The route entry that sends everything to it; the first internet gateway of a VPC gets one.
    pub(crate) default_route: Option<String>,
    pub(crate) icmp_reply: bool,
    pub(crate) resource_group: String,
    pub(crate) created: Timestamp,
    pub(crate) tags: Tags,
    /// Until then it is `Creating`.
    pub(crate) ready_at: Timestamp,
    /// When it is gone; set once it is deleted.
    pub(crate) gone_at: Option<Timestamp>,
}

impl NatGateway {
    pub(crate) fn status(&self, now: Timestamp) -> &'static str {
        match self.gone_at {
            Some(_) => "Deleting",
            None if now < self.ready_at => "Creating",
            None => "Available",
        }
    }
}

/// The gateways of a VPC, in the order of their ids.
pub(crate) fn of_vpc<'a>(world: &'a World, vpc: &'a str) -> impl Iterator<Item = &'a NatGateway> {
    world.nat_gateways.values().filter(move |gateway| gateway.vpc == vpc)
}

/// The elastic addresses that are bound to a gateway, being bound or being unbound.
fn addresses<'a>(world: &'a World, gateway: &'a str, now: Timestamp) -> impl Iterator<Item = &'a Eip> {
    world.eips.values().filter(move |eip| eip.bound(now).is_some_and(|binding| binding.instance == gateway))
}

/// The SNAT entries of a gateway.
fn entries<'a>(world: &'a World, gateway: &'a str) -> impl Iterator<Item = &'a SnatEntry> {
    world.snat_entries.values().filter(move |entry| entry.gateway == gateway)
}

fn find<'a>(call: &'a Call, id: &str) -> Result<&'a NatGateway, Fault> {
    match call.world.nat_gateways.get(id) {
        Some(gateway) if call.sees(&gateway.region)? => Ok(gateway),
        _ => Err(Fault::missing("InvalidNatGatewayId.NotFound", "The specified NAT gateway does not exist.")),
    }
}

/// Refuses a change to a gateway that is being made or deleted.
fn check_available(gateway: &NatGateway, now: Timestamp) -> Result<(), Fault> {
    if gateway.status(now) == "Available" {
        return Ok(());
    }
    Err(Fault::bad("IncorrectStatus.NATGW", "The current status of the NAT gateway does not support this operation."))
}

/// A text of 2 to `most` characters that is not a link; nothing is a text, too.
fn text(call: &Call, parameter: &str, most: usize, code: &str) -> Result<String, Fault> {
    let text = call.params.owned(parameter);
    let link = text.starts_with("http://") || text.starts_with("https://");
    if !text.is_empty() && (link || !(2..=most).contains(&text.chars().count())) {
        return Err(Fault::bad(code, format!("The specified parameter {parameter} is not valid.")));
    }
    Ok(text)
}

/// The private address that is asked for, or the lowest free one.
fn private_ip(call: &Call, vswitch: &VSwitch) -> Result<Ipv4Addr, Fault> {
    let Some(text) = call.params.text("NatIp") else {
        let none = || Fault::forbidden("InvalidVSwitchId.IpNotEnough", "The specified vSwitch has not enough IP addresses.");
        return vswitch.free(call.world, 1).first().copied().ok_or_else(none);
    };
    let address = text.parse().map_err(|_| Fault::bad("InvalidNatIp.Malformed", "The specified NatIp is not an address."))?;
    if !vswitch.is_free(call.world, address) {
        return Err(Fault::bad("OperationFailed.NatIpNotAvailable", "The specified NatIp is not a free address of the vSwitch."));
    }
    Ok(address)
}

/// Checks what kind of gateway is asked for, and answers whether it is an `internet` or an `intranet` one. Parameters of
/// subscriptions (`Spec`, `Duration`, `PricingCycle`, `AutoPay`) mean nothing any more, with the real service too.
fn network_type<'a>(call: &Call<'a>) -> Result<&'a str, Fault> {
    let params = call.params;
    call.lacks(&["AccessMode", "Ipv4Prefix", "PrivateLinkEnabled", "SecurityProtectionEnabled"])?;
    params.choice("InstanceChargeType", &["PostPaid"], "PostPaid")?;
    params.choice("InternetChargeType", &["PayByLcu"], "PayByLcu")?;
    params.choice("NatType", &["Enhanced"], "Enhanced")?;
    params.choice("EipBindMode", &["MULTI_BINDED"], "MULTI_BINDED")?;
    params.choice("AvailabilityMode", &["zonal"], "zonal")?;
    params.choice("NetworkType", &["internet", "intranet"], "internet")
}

/// The VPC and the vSwitch that a new gateway goes into.
fn place(call: &Call) -> Result<(Vpc, VSwitch), Fault> {
    let vpc = vpc::find(call, call.params.required("VpcId")?)?.clone();
    let vswitch = vswitch::find(call, call.params.required("VSwitchId")?)?.clone();
    if vswitch.vpc != vpc.id {
        return Err(Fault::bad("OperationFailed.VswNotBelongToVpc", "The specified vSwitch is not in the VPC of the NAT gateway."));
    }
    if vpc.status(call.now) != "Available" {
        return Err(Fault::bad("VpcStatusError", "The VPC is not available."));
    }
    if vswitch.status(call.now) != "Available" {
        return Err(Fault::bad("VswitchStatusError", "The vSwitch is not available."));
    }
    Ok((vpc, vswitch))
}

/// CreateNatGateway.
pub(crate) fn create(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let network = network_type(call)?;
    let name = text(call, "Name", 128, "InvalidParameter.Name.Malformed")?;
    let description = text(call, "Description", 256, "InvalidParameter.Description.Malformed")?;
    let tags = call.params.tags()?;
    let icmp_reply = call.params.flag("IcmpReplyEnabled")?.unwrap_or(true);
    let (vpc, vswitch) = place(call)?;
    let address = private_ip(call, &vswitch)?;
    if of_vpc(call.world, &vpc.id).count() >= call.config.quotas.nat_gateways {
        return Err(Fault::bad("QuotaExceeded.NatGateway", "The number of NAT gateways in the VPC exceeds the limit."));
    }
    let fee = call.catalog.rate(region.id, "nat:instance", "hour").ok_or_else(price::unpriced)?;
    call.check_balance()?;
    let is_first = network == "internet" && of_vpc(call.world, &vpc.id).all(|other| other.default_route.is_none());
    let id = call.new_id("ngw", region.id, 21);
    let gateway = NatGateway {
        region: region.id.to_owned(),
        zone: vswitch.zone,
        vpc: vpc.id,
        vswitch: vswitch.id,
        name,
        description,
        network: network.to_owned(),
        private_ip: address,
        interface: call.new_id("eni", region.id, 20),
        snat_table: call.new_id("stb", region.id, 21),
        forward_table: call.new_id("ftb", region.id, 21),
        default_route: is_first.then(|| call.new_id("rte", region.id, 21)),
        icmp_reply,
        resource_group: vpc.resource_group,
        created: call.now,
        tags,
        ready_at: after(call.now, call.config.latency.of(|latency| latency.nat_gateway)),
        gone_at: None,
        id: id.clone(),
    };
    let answer = json!({
        "NatGatewayId": id,
        "SnatTableIds": { "SnatTableId": [gateway.snat_table] },
        "ForwardTableIds": { "ForwardTableId": [gateway.forward_table] },
        "FullNatTableIds": { "FullNatTableId": [] },
    });
    billing::start(call.world, &id, "natGateway", region.id, fee, call.now);
    call.world.index.addresses.entry(gateway.vswitch.clone()).or_default().insert(address);
    call.world.nat_gateways.insert(id, gateway);
    Ok(answer)
}

/// DeleteNatGateway. With `Force` its SNAT entries go with it and its elastic addresses are unbound.
pub(crate) fn delete(call: &mut Call) -> Outcome {
    call.region()?;
    let id = call.params.required("NatGatewayId")?.to_owned();
    let gateway = find(call, &id)?;
    check_available(gateway, call.now)?;
    let force = call.params.boolean("Force")?;
    if !force && entries(call.world, &id).next().is_some() {
        return Err(Fault::bad("DependencyViolation.SnatEntry", "The specified NAT gateway still has SNAT entries."));
    }
    if !force && addresses(call.world, &id, call.now).next().is_some() {
        return Err(Fault::bad("DependencyViolation.EIPS", "The specified NAT gateway still has elastic addresses."));
    }
    let gone_at = after(call.now, call.config.latency.of(|latency| latency.nat_gateway));
    let held: Vec<String> = entries(call.world, &id).map(|entry| entry.id.clone()).collect();
    for entry in held {
        snat::end(call.world, &entry, gone_at);
    }
    eip::unbind_all(call.world, &id, gone_at);
    if let Some(gateway) = call.world.nat_gateways.get_mut(&id) {
        gateway.gone_at = Some(gone_at);
    }
    billing::stop(call.world, &id, None, call.now);
    call.world.index.due.insert((gone_at, Due::NatGateway(id)));
    Ok(json!({}))
}

/// Takes a gateway out of the world; its vSwitch believes in it until `until`.
pub(crate) fn erase(world: &mut World, id: &str, until: Timestamp) {
    let Some(gateway) = world.nat_gateways.remove(id) else { return };
    if let Some(used) = world.index.addresses.get_mut(&gateway.vswitch) {
        used.remove(&gateway.private_ip);
    }
    world.index.linger(&gateway.vswitch, "NatGateway", until);
}
