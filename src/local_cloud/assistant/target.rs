//! The instances that a command or a file goes to.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Progress, Run};
use crate::local_cloud::call::Call;
use crate::local_cloud::instance::Status;
use crate::local_cloud::store::World;
use crate::local_cloud::wire::fault::Fault;

/// The instances that a command or file goes to, at most `most`.
pub(super) fn targets(call: &Call, most: usize) -> Result<Vec<String>, Fault> {
    let ids = call
        .params
        .list("InstanceId", most)
        .map_err(|_| Fault::forbidden("InstanceIds.ExceedLimit", format!("The number of instance IDs exceeds the limit of {most}.")))?;
    let tags = call.params.structs("ResourceTag");
    if !ids.is_empty() && !tags.is_empty() {
        return Err(Fault::bad("InvalidResourceTag.ConflictWithInstanceIds", "ResourceTag and InstanceId can't be used together."));
    }
    if tags.len() > 10 {
        return Err(Fault::bad("NumberExceed.ResourceTags", "The number of ResourceTag exceeds the limit of 10."));
    }
    let region = call.region()?;
    let here = |id: &str| call.world.instances.get(id).is_some_and(|instance| instance.region == region.id && !instance.is_released());
    let mut found = if tags.is_empty() {
        if ids.is_empty() {
            return Err(Fault::bad("MissingParam.InstanceId", "The parameter InstanceId is missing."));
        }
        if let Some(id) = ids.iter().find(|id| !here(id)) {
            return Err(Fault::missing("InvalidInstance.NotFound", format!("The specified instance {id} does not exist.")));
        }
        ids
    } else {
        let fits = |own: &BTreeMap<String, String>| {
            tags.iter().all(|tag| {
                let value = tag.text("Key").and_then(|key| own.get(key));
                value.is_some_and(|value| tag.given("Value").is_none_or(|wanted| wanted == value))
            })
        };
        let rows = call.world.instances.iter().filter(|(id, instance)| here(id) && fits(&instance.tags));
        let found: Vec<String> = rows.take(most).map(|(id, _)| id.to_owned()).collect();
        if found.is_empty() {
            return Err(Fault::bad("InvalidResourceTag.InstanceNotFound", "No instance has the specified ResourceTag."));
        }
        found
    };
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// How a command or file starts out on an instance: one that is off does not get it.
pub(super) fn on_instance(call: &Call, id: &str) -> Run {
    let run = Run::pending(call.now);
    if is_off(call.world, id, call.now) {
        run.ended(Progress::Aborted, "InstanceNotRunning", "the instance is not running", call.now)
    } else {
        run
    }
}

/// Whether an instance is off, or not there at all.
pub(super) fn is_off(world: &World, id: &str, now: Timestamp) -> bool {
    let off = |status: Status| matches!(status, Status::Stopping | Status::Stopped);
    world.instances.get(id).is_none_or(|instance| instance.is_released() || off(instance.state(now)))
}
