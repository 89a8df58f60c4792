//! Starting, stopping and rebooting.

use serde_json::{Value as Json, json};

use super::{Status, find, named, wrong_status};
use crate::local_cloud::call::{Call, Outcome};
use crate::local_cloud::time::after;
use crate::local_cloud::wire::fault::Fault;
use crate::local_cloud::{billing, market};

/// What is to be done to instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Switch {
    /// From `Stopped` to `Running`.
    Start,
    /// From `Running` to `Stopped`.
    Stop,
    /// From `Running` through `Stopped` to `Running`.
    Reboot,
}

impl Switch {
    fn from(self) -> Status {
        match self {
            Switch::Start => Status::Stopped,
            Switch::Stop | Switch::Reboot => Status::Running,
        }
    }
}

fn check(call: &Call, id: &str, switch: Switch) -> Result<(), Fault> {
    let instance = find(call, id)?;
    if instance.state(call.now) == switch.from() { Ok(()) } else { Err(wrong_status()) }
}

fn turn(call: &mut Call, id: &str, switch: Switch) -> Result<(), Fault> {
    let now = call.now;
    let economical = switch == Switch::Stop
        && call.params.choice("StoppedMode", &["StopCharging", "KeepCharging", "Not-applicable"], "KeepCharging")? == "StopCharging";
    let latency = &call.config.latency;
    let off = after(now, latency.of(|latency| latency.instance_stopping));
    let starting = latency.of(|latency| latency.instance_starting);
    let Some(instance) = call.world.instances.get_mut(id) else { return Ok(()) };
    instance.timeline = match switch {
        Switch::Start => vec![(now, Status::Starting), (after(now, starting), Status::Running)],
        Switch::Stop => vec![(now, Status::Stopping), (off, Status::Stopped)],
        Switch::Reboot => vec![(now, Status::Stopping), (off, Status::Starting), (after(off, starting), Status::Running)],
    };
    let was_economical = std::mem::replace(&mut instance.economical, economical);
    let instance = instance.clone();
    if economical {
        billing::stop(call.world, id, Some("instanceType"), now);
    }
    let kind = call.catalog.types.get(&instance.kind).filter(|_| was_economical);
    if let Some(kind) = kind
        && let Some(price) = market::hourly(call.world, &instance, kind, now)
    {
        let price = price * call.config.price_factor(&instance.region, &kind.name);
        billing::start(call.world, id, "instanceType", &instance.region, price, now);
    }
    call.world.index.up.remove(id);
    call.world.index.signal(id);
    Ok(())
}

/// StartInstance, StopInstance and RebootInstance.
pub(crate) fn one(call: &mut Call, switch: Switch) -> Outcome {
    let id = call.params.required("InstanceId")?.to_owned();
    check(call, &id, switch)?;
    call.end_dry_run()?;
    turn(call, &id, switch)?;
    Ok(json!({}))
}

/// StartInstances and StopInstances.
pub(crate) fn many(call: &mut Call, switch: Switch) -> Outcome {
    call.region()?;
    let ids = named(call, 100)?;
    let together = call.params.choice("BatchOptimization", &["AllTogether", "SuccessFirst"], "AllTogether")? == "AllTogether";
    let checks: Vec<Result<(), Fault>> = ids.iter().map(|id| check(call, id, switch)).collect();
    if together && let Some(fault) = checks.iter().find_map(|check| check.as_ref().err()) {
        return Err(fault.clone());
    }
    if call.params.boolean("DryRun")? {
        return Err(Fault::bad("DRYRUN.SUCCESS", "The dry run has succeeded."));
    }
    let mut responses: Vec<Json> = Vec::new();
    for (id, check) in ids.iter().zip(checks) {
        let status = |call: &Call| call.world.instances.get(id).map_or("", |instance| instance.status(call.now));
        let previous = status(call);
        let (code, message) = match check {
            Ok(()) => {
                turn(call, id, switch)?;
                ("200".to_owned(), "success".to_owned())
            }
            Err(fault) => (fault.code, fault.message),
        };
        responses.push(json!({
            "InstanceId": id, "PreviousStatus": previous, "CurrentStatus": status(call), "Code": code, "Message": message,
        }));
    }
    Ok(json!({ "InstanceResponses": { "InstanceResponse": responses } }))
}
