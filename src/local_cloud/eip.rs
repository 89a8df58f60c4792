//! Elastic addresses: taken, bound to an instance, unbound, given back.

use std::net::Ipv4Addr;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::call::{Call, Outcome, vpc_tags};
use super::paging::Page;
use super::store::{Due, World, ids};
use super::time::{after, seconds};
use super::wire::fault::Fault;
use super::wire::params::Tags;
use super::{billing, price, vpc};

/// What an elastic address is bound to, or was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Binding {
    pub(crate) instance: String,
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

/// AllocateEipAddress.
pub(crate) fn allocate(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let params = call.params;
    if params.choice("InstanceChargeType", &["PostPaid", "PrePaid"], "PostPaid")? == "PrePaid" {
        return Err(Fault::bad("InvalidParameter", "The local cloud sells no subscriptions: InstanceChargeType must be PostPaid."));
    }
    let internet_charge = params.choice("InternetChargeType", &["PayByBandwidth", "PayByTraffic"], "PayByBandwidth")?;
    let bandwidth = params.number("Bandwidth")?.unwrap_or(5);
    let most = if internet_charge == "PayByTraffic" { 200 } else { 500 };
    if !(1..=most).contains(&bandwidth) {
        return Err(Fault::bad("InvalidBandwidth.ValueNotSupported", "The specified bandwidth is not supported."));
    }
    let isp = params.choice("ISP", &["BGP", "BGP_PRO"], "BGP")?;
    let (name, description, tags) = (call.name("Name")?, call.description()?, params.tags()?);
    if call.world.eips.values().filter(|eip| eip.region == region.id).count() >= call.config.quotas.eips {
        return Err(Fault::bad("QuotaExceeded.Eip", "Elastic IP address quota exceeded."));
    }
    call.check_balance()?;
    call.end_dry_run()?;
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
    let fee = call.catalog.rate(region.id, "eip:configuration", "hour").unwrap_or(Decimal::ZERO);
    let line = price::bandwidth(call.catalog, region.id, bandwidth, internet_charge, "hour").unwrap_or(Decimal::ZERO);
    billing::start(call.world, &id, "eip", region.id, fee + line, call.now);
    call.world.index.public.insert(address);
    let group = eip.resource_group.clone();
    call.world.eips.insert(id.clone(), eip);
    Ok(json!({ "AllocationId": id, "EipAddress": address.to_string(), "ResourceGroupId": group }))
}

/// AssociateEipAddress.
pub(crate) fn associate(call: &mut Call) -> Outcome {
    let params = call.params;
    let id = params.required("AllocationId")?.to_owned();
    let instance_id = params.required("InstanceId")?;
    let eip = find(call, &id)?;
    if params.choice("InstanceType", &["EcsInstance"], "EcsInstance").is_err() {
        return Err(Fault::bad("InvalidParameter", "The local cloud binds addresses to ECS instances only."));
    }
    let instance = call
        .world
        .instances
        .get(instance_id)
        .filter(|instance| instance.region == eip.region && !instance.is_released())
        .ok_or_else(|| Fault::missing("InvalidInstanceId.NotFound", "The specified instance does not exist."))?;
    if let Some(bound) = eip.bound(call.now)
        && bound.free_at.is_none()
        && bound.instance == instance_id
    {
        return Ok(json!({}));
    }
    if eip.status(call.now) != "Available" {
        return Err(Fault::bad("IncorrectEipStatus", "The current status of the elastic address does not support this operation."));
    }
    if !matches!(instance.status(call.now), "Running" | "Stopped") {
        return Err(Fault::bad("IncorrectInstanceStatus", "The current status of the instance does not support this operation."));
    }
    if instance.public_ip.is_some() {
        return Err(Fault::bad("InvalidStatus.InstanceHasBandWidth", "The instance has a public address of its own."));
    }
    if of_instance(call.world, instance_id, call.now).is_some() {
        return Err(Fault::bad("InvalidAssociation.Duplicated", "The instance has an elastic address already."));
    }
    let ready_at = after(call.now, call.config.latency.of(|latency| latency.eip));
    let binding = Binding { instance: instance_id.to_owned(), private_ip: instance.private_ip, ready_at, free_at: None };
    if let Some(eip) = call.world.eips.get_mut(&id) {
        eip.binding = Some(binding);
    }
    call.world.index.signal(instance_id);
    Ok(json!({}))
}

/// UnassociateEipAddress.
pub(crate) fn unassociate(call: &mut Call) -> Outcome {
    let id = call.params.required("AllocationId")?.to_owned();
    let eip = find(call, &id)?;
    let Some(bound) = eip.bound(call.now).filter(|bound| bound.free_at.is_none()) else {
        return Err(Fault::bad("IncorrectEipStatus", "The elastic address is not bound."));
    };
    if eip.status(call.now) != "InUse" {
        return Err(Fault::bad("IncorrectEipStatus", "The current status of the elastic address does not support this operation."));
    }
    if call.params.text("InstanceId").is_some_and(|instance| instance != bound.instance) {
        return Err(Fault::bad("InvalidBindingStatus", "The elastic address is not bound to the specified instance."));
    }
    let instance = bound.instance.clone();
    let free_at = after(call.now, call.config.latency.of(|latency| latency.eip));
    if let Some(binding) = call.world.eips.get_mut(&id).and_then(|eip| eip.binding.as_mut()) {
        binding.free_at = Some(free_at);
    }
    call.world.index.signal(&instance);
    Ok(json!({}))
}

/// Unbinds whatever is bound to an instance that is gone.
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
        return Err(Fault::bad("IncorrectEipStatus", "The current status of the elastic address does not support this operation."));
    }
    let gone_at = after(call.now, call.config.latency.of(|latency| latency.eip));
    if let Some(eip) = call.world.eips.get_mut(&id) {
        eip.gone_at = Some(gone_at);
    }
    billing::stop(call.world, &id, None, call.now);
    call.world.index.due.insert((gone_at, Due::Eip(id)));
    Ok(json!({}))
}

/// DescribeEipAddresses.
pub(crate) fn describe(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let params = call.params;
    let page = Page::numbered(params, 100)?;
    let ids = params.commas("AllocationId", 50)?;
    let addresses = params.commas("EipAddress", 50)?;
    let filter = params.tag_filter();
    call.end_dry_run()?;
    let now = call.now;
    let fits = |name: &str, own: &str| params.text(name).is_none_or(|wanted| wanted == own);
    let rows = call.world.eips.among(ids.as_deref()).filter(|(_, eip)| {
        let instance = eip.bound(now).map_or("", |bound| bound.instance.as_str());
        eip.region == region.id
            && addresses.as_ref().is_none_or(|all| all.iter().any(|wanted| *wanted == eip.address.to_string()))
            && fits("Status", eip.status(now))
            && fits("EipName", &eip.name)
            && fits("AssociatedInstanceId", instance)
            && fits("ResourceGroupId", &eip.resource_group)
            && fits("ISP", &eip.isp)
            && fits("ChargeType", "PostPaid")
            && filter.fits(&eip.tags)
    });
    let cut = page.cut(rows);
    let shown: Vec<Json> = cut.rows.iter().map(|eip| row(eip, now)).collect();
    let mut answer = json!({ "EipAddresses": { "EipAddress": shown } });
    cut.describe(&mut answer);
    Ok(answer)
}

fn row(eip: &Eip, now: Timestamp) -> Json {
    let bound = eip.bound(now);
    json!({
        "AllocationId": eip.id,
        "IpAddress": eip.address.to_string(),
        "Status": eip.status(now),
        "InstanceId": bound.map_or("", |bound| bound.instance.as_str()),
        "InstanceType": bound.map_or("", |_| "EcsInstance"),
        "InstanceRegionId": bound.map_or("", |_| eip.region.as_str()),
        "PrivateIpAddress": bound.map_or(String::new(), |bound| bound.private_ip.to_string()),
        "RegionId": eip.region,
        "Name": eip.name,
        "Description": eip.description,
        "Bandwidth": eip.bandwidth.to_string(),
        "EipBandwidth": eip.bandwidth.to_string(),
        "InternetChargeType": eip.internet_charge,
        "ChargeType": "PostPaid",
        "ISP": eip.isp,
        "Netmode": "public",
        "Mode": "NAT",
        "AllocationTime": seconds(eip.created),
        "ExpiredTime": "",
        "BusinessStatus": "Normal",
        "ResourceGroupId": eip.resource_group,
        "VpcId": "",
        "HasReservationData": "false",
        "ServiceManaged": 0,
        "SecondLimited": false,
        "DeletionProtection": false,
        "BandwidthPackageId": "",
        "BandwidthPackageType": "",
        "BandwidthPackageBandwidth": "",
        "Zone": "",
        "OperationLocks": { "LockReason": [] },
        "SecurityProtectionTypes": { "SecurityProtectionType": [] },
        "Tags": vpc_tags(&eip.tags),
    })
}
