//! The public side of an instance: its bandwidth, how that is charged, and its public address.

use rust_decimal::Decimal;
use serde_json::json;

use super::{Instance, Status, find, subscription, wrong_status};
use crate::local_cloud::call::{Call, Outcome};
use crate::local_cloud::wire::fault::Fault;
use crate::local_cloud::{billing, eip, price};

/// What a bandwidth costs an hour.
pub(super) fn price_of(call: &Call, instance: &Instance, mbps: u32, charge: &str) -> Result<Decimal, Fault> {
    price::bandwidth(call.catalog, &instance.region, mbps, charge, "hour")
        .ok_or_else(|| Fault::missing("PRICE.PRICING_PLAN_RESULT_NOT_FOUND", "pricing plan price result not found."))
}

/// Gives an instance another bandwidth and bills it. Answers whether a subscription paid for it.
pub(super) fn set(call: &mut Call, instance: &Instance, mbps: u32, charge: &str) -> Result<bool, Fault> {
    let hourly = price_of(call, instance, mbps, charge)?;
    let before = price_of(call, instance, instance.bandwidth_out, &instance.internet_charge)?;
    if let Some(row) = call.world.instances.get_mut(&instance.id) {
        row.bandwidth_out = mbps;
        charge.clone_into(&mut row.internet_charge);
    }
    let (id, region) = (instance.id.as_str(), instance.region.as_str());
    if let Some(term) = &instance.subscription {
        let hours = Decimal::from(term.until.duration_since(call.now).as_secs().max(0)) / Decimal::from(3600);
        if hourly > before {
            billing::buy(call.world, (id, "bandwidth", region), (hourly - before) * hours, call.now, term.until);
        }
        return Ok(true);
    }
    billing::stop(call.world, id, Some("bandwidth"), call.now);
    if !hourly.is_zero() {
        billing::start(call.world, id, "bandwidth", region, hourly, call.now);
    }
    Ok(false)
}

fn check_state(call: &Call, instance: &Instance) -> Result<(), Fault> {
    if matches!(instance.state(call.now), Status::Running | Status::Stopped) { Ok(()) } else { Err(wrong_status()) }
}

fn give_address(call: &mut Call, id: &str) -> Result<std::net::Ipv4Addr, Fault> {
    let address = eip::free_address(call, id)?;
    call.world.index.public.insert(address);
    if let Some(row) = call.world.instances.get_mut(id) {
        row.public_ip = Some(address);
    }
    call.world.index.signal(id);
    Ok(address)
}

/// AllocatePublicIpAddress.
pub(crate) fn allocate(call: &mut Call) -> Outcome {
    let params = call.params;
    let id = params.required("InstanceId")?.to_owned();
    let instance = find(call, &id)?.clone();
    check_state(call, &instance)?;
    if instance.public_ip.is_some() {
        return Err(Fault::forbidden("AllocatedAlready", "The specified instance already has a public IP address."));
    }
    if eip::of_instance(call.world, &id, call.now).is_some() {
        return Err(Fault::forbidden("OperationDenied.EipBound", "The specified instance has an elastic IP address."));
    }
    if params.text("IpAddress").is_some() || params.text("VlanId").is_some() {
        return Err(Fault::bad("InvalidParameter.NotSupported", "The local cloud chooses the public address itself."));
    }
    let address = give_address(call, &id)?;
    Ok(json!({ "IpAddress": address.to_string() }))
}

/// ModifyInstanceNetworkSpec: bandwidth, how it is charged, and whether there is a public address.
pub(crate) fn modify(call: &mut Call) -> Outcome {
    let params = call.params;
    let id = params.required("InstanceId")?.to_owned();
    let instance = find(call, &id)?.clone();
    check_state(call, &instance)?;
    let out: u32 = params.number("InternetMaxBandwidthOut")?.unwrap_or(instance.bandwidth_out);
    let within: u32 = params.number("InternetMaxBandwidthIn")?.unwrap_or(1);
    for (value, name) in [(out, "InternetMaxBandwidthOut"), (within, "InternetMaxBandwidthIn")] {
        if value > 100 {
            return Err(Fault::bad(format!("Invalid{name}.ValueNotSupported"), "The specified bandwidth is beyond the permitted range."));
        }
    }
    let charge = params
        .choice("NetworkChargeType", &["PayByTraffic", "PayByBandwidth"], &instance.internet_charge)
        .map_err(|_| Fault::bad("InvalidInternetChargeType.ValueNotSupported", "The specified NetworkChargeType is not valid."))?
        .to_owned();
    for name in ["StartTime", "EndTime", "ISP"] {
        if params.text(name).is_some() {
            return Err(Fault::bad("InvalidParameter.NotSupported", format!("The local cloud does not have {name}.")));
        }
    }
    let wants_address = params.boolean("AllocatePublicIp")? && instance.public_ip.is_none();
    if wants_address && eip::of_instance(call.world, &id, call.now).is_some() {
        return Err(Fault::forbidden("OperationDenied.EipBound", "The specified instance has an elastic IP address."));
    }
    if wants_address && out == 0 {
        return Err(Fault::bad("InvalidParameter.Bandwidth", "A public address needs bandwidth."));
    }
    let ordered = set(call, &instance, out, &charge)?;
    if wants_address {
        give_address(call, &id)?;
    }
    if out == 0
        && let Some(address) = instance.public_ip
    {
        // Without bandwidth the address goes back.
        call.world.index.public.remove(&address);
        if let Some(row) = call.world.instances.get_mut(&id) {
            row.public_ip = None;
        }
        call.world.index.signal(&id);
    }
    let order = if ordered { subscription::order_id(call) } else { String::new() };
    Ok(json!({ "OrderId": order }))
}
