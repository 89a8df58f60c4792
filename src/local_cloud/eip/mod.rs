//! Elastic addresses: taken, bound to an instance or a NAT gateway, unbound, given back.

pub(crate) mod describe;

use std::net::Ipv4Addr;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::call::{Call, Outcome};
use super::nat::snat;
use super::store::{Due, World, ids};
use super::time::after;
use super::wire::fault::Fault;
use super::wire::params::Tags;
use super::{billing, price, vpc};

/// What kind of thing an elastic address is bound to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Target {
    /// An ECS instance.
    #[default]
    Instance,
    /// A NAT gateway.
    NatGateway,
}

impl Target {
    /// As parameters and descriptions spell it.
    fn name(self) -> &'static str {
        match self {
            Target::Instance => "EcsInstance",
            Target::NatGateway => "Nat",
        }
    }
}

/// What an elastic address is bound to, or was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Binding {
    /// The id of what it is bound to.
    pub(crate) instance: String,
    #[serde(default)]
    pub(crate) target: Target,
    pub(crate) private_ip: Ipv4Addr,
    /// Until then it is `Associating`.
    pub(crate) ready_at: Timestamp,
    /// When it is free again; set once it is being unbound.
    pub(crate) free_at: Option<Timestamp>,
}

/// An elastic address.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Eip {
    pub(crate) id: String,
    pub(crate) region: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) bandwidth: u32,
    pub(crate) internet_charge: String,
    pub(crate) isp: String,
    pub(crate) resource_group: String,
    pub(crate) created: Timestamp,
    pub(crate) tags: Tags,
    pub(crate) binding: Option<Binding>,
    /// When it is gone; set once it is released.
    pub(crate) gone_at: Option<Timestamp>,
}

impl Eip {
    /// What it is bound to, being bound or being unbound.
    pub(crate) fn bound(&self, now: Timestamp) -> Option<&Binding> {
        self.binding.as_ref().filter(|binding| binding.free_at.is_none_or(|free_at| now < free_at))
    }

    pub(crate) fn status(&self, now: Timestamp) -> &'static str {
        match self.bound(now) {
            _ if self.gone_at.is_some() => "Releasing",
            None => "Available",
            Some(binding) if binding.free_at.is_some() => "Unassociating",
            Some(binding) if now < binding.ready_at => "Associating",
            Some(_) => "InUse",
        }
    }
}

/// The elastic address of an instance.
pub(crate) fn of_instance<'a>(world: &'a World, instance: &str, now: Timestamp) -> Option<&'a Eip> {
    world.eips.values().find(|eip| eip.bound(now).is_some_and(|binding| binding.free_at.is_none() && binding.instance == instance))
}

/// A public address that nobody has, the same every time for the same id.
pub(crate) fn free_address(call: &Call, id: &str) -> Result<Ipv4Addr, Fault> {
    (0..1000)
        .map(|attempt| ids::public_address(&call.config.address_space, id, attempt))
        .find(|address| !call.world.index.public.contains(address))
        .ok_or_else(|| Fault::forbidden("InvalidOperation.PublicIpAddressNoStock", "There is no public address left."))
}

fn find<'a>(call: &'a Call, id: &str) -> Result<&'a Eip, Fault> {
    match call.world.eips.get(id) {
        Some(eip) if call.sees(&eip.region)? => Ok(eip),
        _ => Err(Fault::missing("InvalidAllocationId.NotFound", "The specified allocation ID does not exist.")),
    }
}

/// How much bandwidth an address may have.
fn bandwidth(call: &Call, internet_charge: &str) -> Result<Option<u32>, Fault> {
    let most = if internet_charge == "PayByTraffic" { 200 } else { 500 };
    match call.params.number("Bandwidth")? {
        Some(bandwidth) if !(1..=most).contains(&bandwidth) => {
            Err(Fault::bad("InvalidBandwidth.ValueNotSupported", "The specified bandwidth is not supported."))
        }
        bandwidth => Ok(bandwidth),
    }
}

/// What an address costs an hour, however little of it is used.
fn hourly(call: &Call, region: &str, bandwidth: u32, internet_charge: &str) -> Decimal {
    let fee = call.catalog.rate(region, "eip:configuration", "hour").unwrap_or(Decimal::ZERO);
    fee + price::bandwidth(call.catalog, region, bandwidth, internet_charge, "hour").unwrap_or(Decimal::ZERO)
}

/// AllocateEipAddress.
pub(crate) fn allocate(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let params = call.params;
    if params.choice("InstanceChargeType", &["PostPaid", "PrePaid"], "PostPaid")? == "PrePaid" {
        return Err(Fault::bad("InvalidParameter", "The local cloud sells no subscriptions: InstanceChargeType must be PostPaid."));
    }
    call.lacks(&["IpAddress", "InstanceId", "PublicIpAddressPoolId", "SecurityProtectionTypes", "Zone"])?;
    params.choice("Netmode", &["public"], "public")?;
    let internet_charge = params.choice("InternetChargeType", &["PayByBandwidth", "PayByTraffic"], "PayByBandwidth")?;
    let bandwidth = bandwidth(call, internet_charge)?.unwrap_or(5);
    let isp = params.choice("ISP", &["BGP", "BGP_PRO"], "BGP")?;
    let (name, description, tags) = (call.name("Name")?, call.description()?, params.tags()?);
    if call.world.eips.values().filter(|eip| eip.region == region.id).count() >= call.config.quotas.eips {
        return Err(Fault::bad("QuotaExceeded.Eip", "Elastic IP address quota exceeded."));
    }
    call.check_balance()?;
    let id = call.new_id("eip", region.id, 21);
    let address = free_address(call, &id)?;
    let eip = Eip {
        id: id.clone(),
        region: region.id.to_owned(),
        address,
        name,
        description,
        bandwidth,
        internet_charge: internet_charge.to_owned(),
        isp: isp.to_owned(),
        resource_group: vpc::resource_group(call),
        created: call.now,
        tags,
        binding: None,
        gone_at: None,
    };
    let hourly = hourly(call, region.id, bandwidth, internet_charge);
    billing::start(call.world, &id, "eip", region.id, hourly, call.now);
    call.world.index.public.insert(address);
    let group = eip.resource_group.clone();
    call.world.eips.insert(id.clone(), eip);
    Ok(json!({ "AllocationId": id, "EipAddress": address.to_string(), "ResourceGroupId": group }))
}

fn wrong_status() -> Fault {
    Fault::bad("IncorrectEipStatus", "The current status of the elastic address does not support this operation.")
}

/// ModifyEipAddressAttribute.
pub(crate) fn modify(call: &mut Call) -> Outcome {
    let id = call.params.required("AllocationId")?.to_owned();
    let eip = find(call, &id)?.clone();
    if !matches!(eip.status(call.now), "Available" | "InUse") {
        return Err(wrong_status());
    }
    let name = call.params.given("Name").map(|_| call.name("Name")).transpose()?;
    let description = call.params.given("Description").map(|_| call.description()).transpose()?;
    let bandwidth = bandwidth(call, &eip.internet_charge)?.filter(|bandwidth| *bandwidth != eip.bandwidth);
    if let Some(bandwidth) = bandwidth {
        let hourly = hourly(call, &eip.region, bandwidth, &eip.internet_charge);
        billing::stop(call.world, &id, None, call.now);
        billing::start(call.world, &id, "eip", &eip.region, hourly, call.now);
    }
    if let Some(eip) = call.world.eips.get_mut(&id) {
        eip.name = name.unwrap_or_else(|| std::mem::take(&mut eip.name));
        eip.description = description.unwrap_or_else(|| std::mem::take(&mut eip.description));
        eip.bandwidth = bandwidth.unwrap_or(eip.bandwidth);
    }
    Ok(json!({}))
}

/// The private address behind an instance that takes an elastic one.
fn instance_for(call: &Call, id: &str, region: &str) -> Result<Ipv4Addr, Fault> {
    let found = call.world.instances.get(id).filter(|instance| instance.region == region && !instance.is_released());
    let instance = found.ok_or_else(|| Fault::missing("InvalidInstanceId.NotFound", "The specified instance does not exist."))?;
    if !matches!(instance.status(call.now), "Running" | "Stopped") {
        return Err(Fault::bad("IncorrectInstanceStatus", "The current status of the instance does not support this operation."));
    }
    if instance.public_ip.is_some() {
        return Err(Fault::bad("InvalidStatus.InstanceHasBandWidth", "The instance has a public address of its own."));
    }
    if of_instance(call.world, id, call.now).is_some() {
        return Err(Fault::bad("InvalidAssociation.Duplicated", "The instance has an elastic address already."));
    }
    Ok(instance.private_ip)
}

/// The private address of a NAT gateway that takes an elastic one.
fn gateway_for(call: &Call, id: &str, region: &str) -> Result<Ipv4Addr, Fault> {
    let found = call.world.nat_gateways.get(id).filter(|gateway| gateway.region == region);
    let gateway = found.ok_or_else(|| Fault::missing("InvalidInstanceId.NotFound", "The specified NAT gateway does not exist."))?;
    if gateway.network != "internet" {
        return Err(Fault::bad("InvalidStatus.NotAllow", "A NAT gateway of a VPC takes no elastic address."));
    }
    if gateway.status(call.now) != "Available" {
        return Err(Fault::bad("IncorrectStatus.NatGateway", "The current status of the NAT gateway does not support this operation."));
    }
    Ok(gateway.private_ip)
}

/// What `InstanceType` says, `None` if it is not given.
fn target(call: &Call) -> Result<Option<Target>, Fault> {
    match call.params.text("InstanceType") {
        None => Ok(None),
        Some("EcsInstance") => Ok(Some(Target::Instance)),
        Some("Nat") => Ok(Some(Target::NatGateway)),
        Some(_) => Err(Fault::bad("InvalidParameter", "The local cloud binds addresses to ECS instances and NAT gateways only.")),
    }
}

/// AssociateEipAddress.
pub(crate) fn associate(call: &mut Call) -> Outcome {
    let params = call.params;
    let id = params.required("AllocationId")?.to_owned();
    let instance = params.required("InstanceId")?;
    let eip = find(call, &id)?;
    let target = target(call)?.unwrap_or_default();
    params.choice("Mode", &["NAT"], "NAT")?;
    if params.text("InstanceRegionId").is_some_and(|region| region != eip.region) {
        return Err(Fault::missing("InvalidInstanceId.NotFound", "The specified instance is not in the region of the address."));
    }
    if let Some(bound) = eip.bound(call.now)
        && bound.free_at.is_none()
        && bound.instance == instance
    {
        return Ok(json!({}));
    }
    if eip.status(call.now) != "Available" {
        return Err(wrong_status());
    }
    let private_ip = match target {
        Target::Instance => instance_for(call, instance, &eip.region)?,
        Target::NatGateway => gateway_for(call, instance, &eip.region)?,
    };
    if params.text("PrivateIpAddress").is_some_and(|address| address != private_ip.to_string()) {
        return Err(Fault::bad("InvalidPrivateIpAddress.NotFound", "The specified private address is not that of the instance."));
    }
    let ready_at = after(call.now, call.config.latency.of(|latency| latency.eip));
    let binding = Binding { instance: instance.to_owned(), target, private_ip, ready_at, free_at: None };
    if let Some(eip) = call.world.eips.get_mut(&id) {
        eip.binding = Some(binding);
    }
    call.world.index.signal(instance);
    Ok(json!({}))
}

/// UnassociateEipAddress.
pub(crate) fn unassociate(call: &mut Call) -> Outcome {
    let params = call.params;
    let id = params.required("AllocationId")?.to_owned();
    let eip = find(call, &id)?;
    let Some(bound) = eip.bound(call.now).filter(|bound| bound.free_at.is_none()) else {
        return Err(Fault::bad("IncorrectEipStatus", "The elastic address is not bound."));
    };
    if eip.status(call.now) != "InUse" {
        return Err(wrong_status());
    }
    let private_ip = bound.private_ip.to_string();
    let wrong = params.text("InstanceId").is_some_and(|instance| instance != bound.instance)
        || target(call)?.is_some_and(|target| target != bound.target)
        || params.text("PrivateIpAddress").is_some_and(|address| address != private_ip);
    if wrong {
        return Err(Fault::bad("InvalidBindingStatus", "The elastic address is not bound to the specified instance."));
    }
    let (address, instance) = (eip.address, bound.instance.clone());
    let free_at = after(call.now, call.config.latency.of(|latency| latency.eip));
    if snat::uses(call.world, address) {
        if !params.boolean("Force")? {
            return Err(Fault::bad("InvalidIpStatus.HasBeenUsedBySnatTable", "The elastic address is used by a SNAT entry."));
        }
        snat::forget(call.world, address, free_at);
    }
    if let Some(binding) = call.world.eips.get_mut(&id).and_then(|eip| eip.binding.as_mut()) {
        binding.free_at = Some(free_at);
    }
    call.world.index.signal(&instance);
    Ok(json!({}))
}

/// Unbinds whatever is bound to something that is gone, or is gone at `now`.
pub(crate) fn unbind_all(world: &mut World, instance: &str, now: Timestamp) {
    let bound: Vec<String> = world
        .eips
        .values()
        .filter(|eip| eip.binding.as_ref().is_some_and(|binding| binding.instance == instance))
        .map(|eip| eip.id.clone())
        .collect();
    for id in bound {
        if let Some(binding) = world.eips.get_mut(&id).and_then(|eip| eip.binding.as_mut()) {
            binding.free_at = Some(binding.free_at.map_or(now, |free_at| free_at.min(now)));
        }
    }
}

/// ReleaseEipAddress.
pub(crate) fn release(call: &mut Call) -> Outcome {
    let id = call.params.required("AllocationId")?.to_owned();
    if find(call, &id)?.status(call.now) != "Available" {
        return Err(wrong_status());
    }
    let gone_at = after(call.now, call.config.latency.of(|latency| latency.eip));
    if let Some(eip) = call.world.eips.get_mut(&id) {
        eip.gone_at = Some(gone_at);
    }
    billing::stop(call.world, &id, None, call.now);
    call.world.index.due.insert((gone_at, Due::Eip(id)));
    Ok(json!({}))
}
