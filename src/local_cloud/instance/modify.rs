//! Changes to an instance that is there: names, groups, type, bandwidth, release time.

use serde_json::json;

use super::{Instance, Status, find, join, leave, login, network, order, plan_events, run, wrong_status};
use crate::local_cloud::call::{Call, Outcome};
use crate::local_cloud::config::Stock;
use crate::local_cloud::wire::fault::Fault;
use crate::local_cloud::{billing, market, price, security_group, stock};

/// ModifyInstanceAttribute.
pub(crate) fn attribute(call: &mut Call) -> Outcome {
    let params = call.params;
    let id = params.required("InstanceId")?.to_owned();
    let instance = find(call, &id)?.clone();
    let name = params.text("InstanceName").map(|_| call.name("InstanceName")).transpose()?;
    let description = params.given("Description").map(|_| call.description()).transpose()?;
    let protection = params.flag("DeletionProtection")?;
    check_attributes(call, &instance)?;
    let mut groups = params.list("SecurityGroupIds", 16)?;
    groups.sort_unstable();
    groups.dedup();
    if groups.len() > order::MOST_GROUPS {
        return Err(Fault::forbidden("InstanceSecurityGroupLimitExceed", "An instance can be in five security groups at most."));
    }
    for group in &groups {
        if !instance.groups.contains(group) && security_group::room(call.world, group) == 0 {
            return Err(Fault::forbidden("SecurityGroupInstanceLimitExceed", "The security group takes no more instances."));
        }
        if security_group::find(call, group)?.vpc != instance.vpc {
            let message = "The specified security group is not in the VPC of the instance.";
            return Err(Fault::forbidden("OperationDenied.InconsistentNetwork", message));
        }
    }
    if let Some(row) = call.world.instances.get_mut(&id) {
        row.name = name.unwrap_or_else(|| std::mem::take(&mut row.name));
        row.description = description.unwrap_or_else(|| std::mem::take(&mut row.description));
        row.host_name = params.text("HostName").map_or_else(|| std::mem::take(&mut row.host_name), str::to_owned);
        row.user_data = params.text("UserData").map_or_else(|| std::mem::take(&mut row.user_data), str::to_owned);
        row.settings.credit = params.text("CreditSpecification").map_or_else(|| std::mem::take(&mut row.settings.credit), str::to_owned);
        row.deletion_protection = protection.unwrap_or(row.deletion_protection);
        if !groups.is_empty() {
            row.groups.clone_from(&groups);
        }
    }
    if !groups.is_empty() {
        leave(call.world, &id, &instance.groups);
        join(call.world, &id, &groups);
        call.world.index.signal(&id);
    }
    Ok(json!({}))
}

/// What of the attributes has a form to keep, and what an instance of the local cloud does not have.
fn check_attributes(call: &Call, instance: &Instance) -> Result<(), Fault> {
    let params = call.params;
    order::check_host_name(params.text("HostName").unwrap_or_default())?;
    login::check(call)?;
    order::check_user_data(params.text("UserData"))?;
    if params.text("UserData").is_some() && instance.state(call.now) != Status::Stopped {
        return Err(wrong_status());
    }
    let bursts = call.catalog.types.get(&instance.kind).is_some_and(|kind| kind.level == "CreditEntryLevel");
    if params.choice("CreditSpecification", &["Standard", "Unlimited", ""], "").is_err()
        || (!bursts && params.text("CreditSpecification").is_some())
    {
        return Err(Fault::forbidden("InvalidCreditSpecification.NotSupported", "The instance type has no CPU credits."));
    }
    let absent = ["CpuOptions.Core", "CpuOptions.ThreadsPerCore", "CpuOptions.NestedVirtualization", "CpuOptions.TopologyType"];
    let switches = ["EnableJumboFrame", "EnableNetworkEncryption", "Recyclable"];
    let on = switches.iter().map(|name| params.boolean(name)).collect::<Result<Vec<bool>, Fault>>()?;
    if absent.iter().any(|name| params.text(name).is_some()) || on.contains(&true) {
        return Err(Fault::bad("InvalidParameter.NotSupported", "The local cloud does not have the specified feature."));
    }
    Ok(())
}

fn charge_type_violation() -> Fault {
    Fault::forbidden("ChargeTypeViolation", "The operation is not permitted due to charge type of the instance.")
}

/// ModifyInstanceSpec: the type of a stopped instance, or the bandwidth of any.
pub(crate) fn spec(call: &mut Call) -> Outcome {
    let params = call.params;
    let id = params.required("InstanceId")?.to_owned();
    let instance = find(call, &id)?.clone();
    let bandwidth: Option<u32> = params.number("InternetMaxBandwidthOut")?;
    let state = instance.state(call.now);
    for name in ["SystemDisk.Category", "Disk.1.DiskId", "Temporary.InternetMaxBandwidthOut", "ModifyMode"] {
        if params.text(name).is_some() {
            return Err(Fault::bad("InvalidParameter.NotSupported", format!("The local cloud does not have {name}.")));
        }
    }
    for name in ["AllowMigrateAcrossZone", "Async"] {
        params.boolean(name)?;
    }
    if instance.subscription.is_some() {
        return Err(charge_type_violation());
    }
    match (params.text("InstanceType"), bandwidth) {
        (Some(_), Some(_)) => Err(Fault::bad("InvalidParameter.Conflict", "InstanceType and bandwidth can't be changed by the same call.")),
        (None, None) => Err(Fault::mandatory("InstanceType")),
        (Some(name), None) => {
            let kind = price::kind_of(call, name)?;
            if state != Status::Stopped {
                return Err(wrong_status());
            }
            let image = call.catalog.images.get(&instance.image);
            if image.is_some_and(|image| !kind.runs(image.architecture)) {
                return Err(Fault::bad(
                    "ImageNotSupportInstanceType",
                    "The image of the instance does not support the specified InstanceType.",
                ));
            }
            let region = &call.catalog.regions[instance.region.as_str()];
            let available = match stock::level(call.world, region, &instance.zone, kind) {
                Stock::Plenty | Stock::Vanishing => true,
                Stock::Limited(limit) => stock::left(call.world, &instance.zone, kind, limit) > 0,
                Stock::SoldOut | Stock::Misreported | Stock::NotSold => false,
            };
            let factor = call.config.price_factor(&instance.region, &kind.name);
            let price = market::hourly(call.world, &instance, kind, call.now).filter(|_| available);
            let Some(price) = price.map(|price| price * factor) else {
                return Err(Fault::forbidden("OperationDenied.NoStock", "The requested resource is sold out in the zone of the instance."));
            };
            call.end_dry_run()?;
            if let Some(row) = call.world.instances.get_mut(&id) {
                row.kind.clone_from(&kind.name);
            }
            if !instance.economical {
                billing::stop(call.world, &id, Some("instanceType"), call.now);
                billing::start(call.world, &id, "instanceType", &instance.region, price, call.now);
            }
            Ok(json!({}))
        }
        (None, Some(bandwidth)) => {
            if !matches!(state, Status::Running | Status::Stopped) {
                return Err(wrong_status());
            }
            if bandwidth > 100 || (bandwidth == 0) != (instance.bandwidth_out == 0) {
                // The public address is given at creation; this call neither gives nor takes one.
                let message = "The specified bandwidth is beyond the permitted range.";
                return Err(Fault::bad("InvalidInternetMaxBandwidthOut.ValueNotSupported", message));
            }
            let charge = instance.internet_charge.clone();
            network::price_of(call, &instance, bandwidth, &charge)?;
            call.end_dry_run()?;
            network::set(call, &instance, bandwidth, &charge)?;
            Ok(json!({}))
        }
    }
}

/// ModifyInstanceAutoReleaseTime.
pub(crate) fn auto_release(call: &mut Call) -> Outcome {
    let id = call.params.required("InstanceId")?.to_owned();
    let prepaid = find(call, &id)?.subscription.is_some();
    if prepaid {
        return Err(charge_type_violation());
    }
    let at = call.params.text("AutoReleaseTime").map(|text| run::auto_release(text, call.now)).transpose()?;
    if let Some(instance) = call.world.instances.get_mut(&id) {
        instance.auto_release = at;
        plan_events(call.world, &id);
    }
    Ok(json!({}))
}
