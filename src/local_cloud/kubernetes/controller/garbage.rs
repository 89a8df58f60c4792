//! Cleans up: objects whose owners are gone, owners that wait for what depends on them, pods without a node, old events.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::jobs::TRACKING;
use crate::local_cloud::kubernetes::api::delete::{self, FOREGROUND, ORPHAN};
use crate::local_cloud::kubernetes::kind::{self, Kind};
use crate::local_cloud::kubernetes::log;
use crate::local_cloud::kubernetes::space::{Space, finalizers, is_deleting, items, name_of, namespace_of, text, uid_of};
use crate::local_cloud::time::after;

/// How long events are kept.
const EVENTS: Duration = Duration::from_secs(3600);

/// Answers when the next event is old.
pub(super) fn sync(space: &mut Space) -> Option<Timestamp> {
    owners(space);
    dependents(space);
    lost_pods(space);
    logs(space);
    events(space)
}

fn owned_by(object: &Json, uid: &str) -> bool {
    items(object, "/metadata/ownerReferences").iter().any(|owner| text(owner, "/uid") == uid)
}

fn lift(space: &mut Space, kind: &Kind, object: &Json, finalizer: &str) {
    space.edit(kind, namespace_of(object), name_of(object), |object| remove_finalizer(object, finalizer));
}

/// Takes a finalizer away from an object.
pub(super) fn remove_finalizer(object: &mut Json, finalizer: &str) {
    let left: Vec<String> = finalizers(object).into_iter().filter(|name| *name != finalizer).map(str::to_owned).collect();
    if left.is_empty() {
        object["metadata"].as_object_mut().map(|metadata| metadata.remove("finalizers"));
    } else {
        object["metadata"]["finalizers"] = json!(left);
    }
}

/// Owners that are to go wait until their dependents are gone, or let go of.
fn owners(space: &mut Space) {
    let waits = |object: &Json| is_deleting(object) && finalizers(object).iter().any(|name| [FOREGROUND, ORPHAN].contains(name));
    let waiting: Vec<(&'static Kind, Json)> =
        space.everything().into_iter().filter(|(_, object)| waits(object)).map(|(kind, object)| (kind, object.clone())).collect();
    for (kind, owner) in waiting {
        let uid = uid_of(&owner);
        let all = space.everything().into_iter().filter(|(_, object)| owned_by(object, uid));
        let dependents: Vec<(&'static Kind, String, String)> =
            all.map(|(kind, object)| (kind, namespace_of(object).to_owned(), name_of(object).to_owned())).collect();
        if finalizers(&owner).contains(&ORPHAN) {
            for (kind, namespace, name) in dependents {
                space.edit(kind, &namespace, &name, |object| {
                    let owners = items(object, "/metadata/ownerReferences").iter().filter(|owner| text(owner, "/uid") != uid);
                    object["metadata"]["ownerReferences"] = owners.cloned().collect();
                });
            }
            lift(space, kind, &owner, ORPHAN);
        } else if dependents.is_empty() {
            lift(space, kind, &owner, FOREGROUND);
        } else {
            for (kind, namespace, name) in dependents {
                delete::by_controller(space, kind, &namespace, &name, None);
            }
        }
    }
}

/// Objects none of whose owners is there go as well.
fn dependents(space: &mut Space) {
    let is_lost = |object: &&Json| {
        let owners = items(object, "/metadata/ownerReferences");
        !owners.is_empty()
            && owners.iter().all(|owner| {
                let kind = kind::of_object(text(owner, "/apiVersion"), text(owner, "/kind"));
                let Some(kind) = kind else { return false };
                let place = if kind.namespaced { namespace_of(object) } else { "" };
                space.get(kind, place, text(owner, "/name")).is_none_or(|found| uid_of(found) != text(owner, "/uid"))
            })
    };
    let all = space.everything().into_iter().filter(|(_, object)| is_lost(object));
    let lost: Vec<(&'static Kind, String, String)> =
        all.map(|(kind, object)| (kind, namespace_of(object).to_owned(), name_of(object).to_owned())).collect();
    for (kind, namespace, name) in lost {
        delete::by_controller(space, kind, &namespace, &name, None);
    }
}

/// Pods that no job counts any more, and pods whose node is gone.
fn lost_pods(space: &mut Space) {
    let pods: Vec<Json> = space.all(&kind::PODS, None).into_iter().cloned().collect();
    for pod in pods {
        let owners = items(&pod, "/metadata/ownerReferences");
        let counted = owners.iter().any(|owner| {
            space.get(&kind::JOBS, namespace_of(&pod), text(owner, "/name")).is_some_and(|job| uid_of(job) == text(owner, "/uid"))
        });
        if finalizers(&pod).contains(&TRACKING) && !counted {
            lift(space, &kind::PODS, &pod, TRACKING);
        }
        let node = text(&pod, "/spec/nodeName");
        if !node.is_empty() && space.get(&kind::NODES, "", node).is_none() {
            let over = ["Succeeded", "Failed"].contains(&text(&pod, "/status/phase"));
            if !over {
                space.edit(&kind::PODS, namespace_of(&pod), name_of(&pod), |pod| {
                    pod["status"]["phase"] = "Failed".into();
                    pod["status"]["reason"] = "NodeLost".into();
                    pod["status"]["message"] = format!("node {node} is gone").into();
                });
            }
            delete::by_controller(space, &kind::PODS, namespace_of(&pod), name_of(&pod), Some(0));
        }
    }
}

/// What pods put out goes with them.
fn logs(space: &mut Space) {
    let known: BTreeSet<String> = space.all(&kind::PODS, None).into_iter().map(|pod| uid_of(pod).to_owned()).collect();
    let prefix = format!("{}/", space.cluster);
    let all = space.world.kubernetes_logs.starting_with(&prefix).filter_map(|(key, _)| key.split('/').nth(1));
    let lost: BTreeSet<String> = all.filter(|uid| !known.contains(*uid)).map(str::to_owned).collect();
    for uid in lost {
        log::forget(space.world, &format!("{prefix}{uid}/"));
    }
}

fn events(space: &mut Space) -> Option<Timestamp> {
    let mut next: Option<Timestamp> = None;
    let mut old = Vec::new();
    for event in space.all(&kind::EVENTS, None) {
        let Ok(last) = text(event, "/lastTimestamp").parse::<Timestamp>() else { continue };
        let end = after(last, EVENTS);
        if end <= space.now {
            old.push((namespace_of(event).to_owned(), name_of(event).to_owned()));
        } else {
            next = Some(next.map_or(end, |next| next.min(end)));
        }
    }
    for (namespace, name) in old {
        space.remove(&kind::EVENTS, &namespace, &name);
    }
    next
}
