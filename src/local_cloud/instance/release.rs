//! The end of an instance: asked for, or at its time. It stays in descriptions until its machine is gone.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::{Instance, LeftDisk, Status, find, leave, named, wrong_status};
use crate::local_cloud::call::{Call, Outcome};
use crate::local_cloud::store::{Due, World};
use crate::local_cloud::time::after;
use crate::local_cloud::wire::fault::Fault;
use crate::local_cloud::{billing, eip};

fn check(call: &Call, id: &str) -> Result<(), Fault> {
    let instance = find(call, id)?;
    if instance.deletion_protection {
        return Err(Fault::forbidden(
            "InvalidOperation.DeletionProtection",
            "The instance is protected from deletion; disable the protection first.",
        ));
    }
    let force = call.params.boolean("Force")?;
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
    let due = world.instances.get(id).and_then(Instance::release_at);
    if let Some(due) = due {
        world.index.due.remove(&(due, Due::Release(id.to_owned())));
    }
    release(world, id, after(now, stopping), now);
}

/// Releases an instance whose time has come.
pub(crate) fn release_on_time(world: &mut World, id: &str, at: Timestamp, now: Timestamp) {
    // The time may have been moved since it was written down.
    let due = world.instances.get(id).and_then(Instance::release_at);
    if due.is_some_and(|due| due <= now) {
        release(world, id, at, at);
    }
}

fn release(world: &mut World, id: &str, gone_at: Timestamp, now: Timestamp) {
    if let Some(instance) = world.instances.get_mut(id) {
        instance.gone_at = Some(gone_at);
        billing::stop(world, id, None, now);
        world.index.up.remove(id);
        world.index.signal(id);
    }
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
    for disk in instance.data.iter().filter(|disk| !disk.delete_with_instance) {
        let left = LeftDisk { region: instance.region.clone(), disk: disk.disk.clone(), tags: instance.tags.clone() };
        world.disks.insert(disk.id.clone(), left);
    }
    eip::unbind_all(world, id, now);
    world.index.forget_instance(id);
}
