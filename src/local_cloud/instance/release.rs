//! The end of an instance: asked for, or at its time. It stays in descriptions until its machine is gone.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::{Status, find, leave, named, wrong_status};
use crate::local_cloud::assistant::schedule;
use crate::local_cloud::call::{Call, Outcome};
use crate::local_cloud::catalog::Catalog;
use crate::local_cloud::store::World;
use crate::local_cloud::time::after;
use crate::local_cloud::wire::fault::Fault;
use crate::local_cloud::{billing, disk, eip};

fn check(call: &Call, id: &str) -> Result<(), Fault> {
    let instance = find(call, id)?;
    if instance.deletion_protection {
        return Err(Fault::forbidden(
            "InvalidOperation.DeletionProtection",
            "The instance is protected from deletion; disable the protection first.",
        ));
    }
    if let Some(term) = &instance.subscription {
        // What was paid ahead can be given back when it has expired, and no earlier.
        if term.until > call.now || !call.params.boolean("TerminateSubscription")? {
            let message = "The operation is not permitted due to charge type of the instance.";
            return Err(Fault::forbidden("ChargeTypeViolation", message));
        }
    }
    let force = call.params.boolean("Force")?;
    call.params.boolean("ForceStop")?;
    match instance.state(call.now) {
        Status::Pending | Status::Starting => {
            Err(Fault::forbidden("IncorrectInstanceStatus.Initializing", "The specified instance status does not support this operation."))
        }
        Status::Running | Status::Stopping if !force => Err(wrong_status()),
        _ => Ok(()),
    }
}

/// DeleteInstance.
pub(crate) fn one(call: &mut Call) -> Outcome {
    let id = call.params.required("InstanceId")?.to_owned();
    check(call, &id)?;
    call.end_dry_run()?;
    begin(call, &id);
    Ok(json!({}))
}

/// DeleteInstances: all or none.
pub(crate) fn many(call: &mut Call) -> Outcome {
    call.region()?;
    let ids = named(call, 100)?;
    ids.iter().try_for_each(|id| check(call, id))?;
    call.end_dry_run()?;
    ids.iter().for_each(|id| begin(call, id));
    Ok(json!({}))
}

fn begin(call: &mut Call, id: &str) {
    let stopping = call.config.latency.of(|latency| latency.instance_stopping);
    by_owner(call.world, id, stopping, call.now);
}

/// Releases an instance for the service whose part it is, whatever it does.
pub(crate) fn by_owner(world: &mut World, id: &str, stopping: Duration, now: Timestamp) {
    release(world, id, after(now, stopping), now);
}

/// Releases an instance: from `now` on nothing is billed for it, and from `gone_at` on it may be gone.
pub(super) fn release(world: &mut World, id: &str, gone_at: Timestamp, now: Timestamp) {
    let Some(instance) = world.instances.get_mut(id) else { return };
    let prepaid = instance.subscription.is_some();
    instance.gone_at = Some(gone_at);
    billing::stop(world, id, None, now);
    if !prepaid {
        let stay: Vec<_> = disk::of_instance(world, id).into_iter().filter(|disk| stays(disk)).cloned().collect();
        stay.iter().for_each(|disk| disk::change::bill_alone(world, Catalog::embedded(), disk, now));
    }
    world.index.up.remove(id);
    world.index.signal(id);
}

/// Whether a disk outlives its instance.
fn stays(disk: &disk::Volume) -> bool {
    !disk.system && !disk.delete_with_instance
}

/// Takes an instance out of the world once its machine is gone.
pub(crate) fn erase(world: &mut World, id: &str, now: Timestamp, consistency: Duration) {
    let Some(instance) = world.instances.remove(id) else { return };
    if let Some(used) = world.index.addresses.get_mut(&instance.vswitch) {
        used.remove(&instance.private_ip);
    }
    if let Some(address) = instance.public_ip {
        world.index.public.remove(&address);
    }
    leave(world, id, &instance.groups);
    let until = after(now, consistency);
    world.index.linger(&instance.vswitch, "Instance", until);
    for group in &instance.groups {
        world.index.linger(group, "Instance", until);
    }
    let disks: Vec<_> = disk::of_instance(world, id).into_iter().cloned().collect();
    for disk in disks {
        if !stays(&disk) {
            world.disks.remove(&disk.id);
        } else if let Some(row) = world.disks.get_mut(&disk.id) {
            row.instance = None;
            row.detached = Some(now);
            row.prepaid = false;
            if disk.prepaid {
                // Its time was paid with the subscription; now it pays for itself.
                disk::change::bill_alone(world, Catalog::embedded(), &disk, now);
            }
        }
    }
    schedule::forget(world, id, now);
    eip::unbind_all(world, id, now);
    world.index.forget_instance(id);
}
