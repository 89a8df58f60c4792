//! Puts pods on nodes: those that are ready, that the pod tolerates and asks for, and that have enough left.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use crate::local_cloud::kubernetes::kind;
use crate::local_cloud::kubernetes::pod::{PodSpec, Toleration, is_extended, measured};
use crate::local_cloud::kubernetes::space::{Space, is_deleting, items, name_of, namespace_of, text};
use crate::local_cloud::time::seconds;

/// What a node has left: thousandths of a processor, bytes, pods, and what else it offers by name.
#[derive(Clone, Debug, Default)]
struct Room {
    cpu: u64,
    memory: u64,
    pods: u64,
    extended: BTreeMap<String, u64>,
}

pub(super) fn sync(space: &mut Space) {
    let waits = |pod: &&Json| {
        text(pod, "/spec/nodeName").is_empty() && !is_deleting(pod) && text(pod, "/spec/schedulerName") == "default-scheduler"
    };
    let waiting: Vec<Json> = space.all(&kind::PODS, None).into_iter().filter(waits).cloned().collect();
    for pod in waiting {
        place(space, &pod);
    }
}

fn place(space: &mut Space, pod: &Json) {
    let spec = PodSpec::of(pod);
    let mut rooms = rooms(space);
    let mut refused: BTreeMap<String, usize> = BTreeMap::new();
    let mut best: Option<(u64, String)> = None;
    let nodes: Vec<Json> = space.all(&kind::NODES, None).into_iter().cloned().collect();
    for node in &nodes {
        let name = name_of(node);
        let room = rooms.remove(name).unwrap_or_default();
        let problems = problems(node, &spec, &room);
        if problems.is_empty() {
            // The emptiest; of equals the first by name.
            if best.as_ref().is_none_or(|(most, _)| room.cpu > *most) {
                best = Some((room.cpu, name.to_owned()));
            }
        }
        problems.into_iter().for_each(|problem| *refused.entry(problem).or_default() += 1);
    }
    let (namespace, name) = (namespace_of(pod), name_of(pod));
    let now = seconds(space.now);
    let Some((_, node)) = best else {
        let problems: Vec<String> = refused.into_iter().map(|(problem, count)| format!("{count} {problem}")).collect();
        let tail = if problems.is_empty() {
            "no nodes available to schedule pods".to_owned()
        } else {
            format!("0/{} nodes are available: {}.", nodes.len(), problems.join(", "))
        };
        let known = items(pod, "/status/conditions").iter().any(|condition| text(condition, "/message") == tail);
        if !known {
            space.edit(&kind::PODS, namespace, name, |pod| {
                set_condition(pod, "PodScheduled", false, "Unschedulable", &tail, &now);
            });
            space.event(pod, true, "FailedScheduling", &tail, "default-scheduler");
        }
        return;
    };
    space.edit(&kind::PODS, namespace, name, |pod| {
        pod["spec"]["nodeName"] = node.clone().into();
        set_condition(pod, "PodScheduled", true, "", "", &now);
    });
    space.event(pod, false, "Scheduled", &format!("Successfully assigned {namespace}/{name} to {node}"), "default-scheduler");
}

/// What each node has left.
fn rooms(space: &Space) -> BTreeMap<String, Room> {
    let mut rooms: BTreeMap<String, Room> = BTreeMap::new();
    for node in space.all(&kind::NODES, None) {
        let has = |resource: &str| measured(resource, &node["status"]["allocatable"][resource]).unwrap_or(0);
        let offered = node["status"]["allocatable"].as_object().into_iter().flatten();
        let extended = offered.filter(|(resource, _)| is_extended(resource));
        let extended = extended.filter_map(|(resource, value)| Some((resource.clone(), measured(resource, value)?))).collect();
        rooms.insert(name_of(node).to_owned(), Room { cpu: has("cpu"), memory: has("memory"), pods: has("pods"), extended });
    }
    for pod in space.all(&kind::PODS, None) {
        let over = ["Succeeded", "Failed"].contains(&text(pod, "/status/phase"));
        if let Some(room) = rooms.get_mut(text(pod, "/spec/nodeName")).filter(|_| !over) {
            let spec = PodSpec::of(pod);
            let (cpu, memory) = spec.requests();
            room.cpu = room.cpu.saturating_sub(cpu);
            room.memory = room.memory.saturating_sub(memory);
            room.pods = room.pods.saturating_sub(1);
            for (resource, count) in spec.extended() {
                room.extended.entry(resource).and_modify(|left| *left = left.saturating_sub(count));
            }
        }
    }
    rooms
}

fn tolerates(toleration: &Toleration, taint: &Json) -> bool {
    if !toleration.effect.is_empty() && toleration.effect != text(taint, "/effect") {
        return false;
    }
    let key = toleration.key == text(taint, "/key");
    match toleration.operator.as_str() {
        "Exists" => key || toleration.key.is_empty(),
        _ => key && toleration.value == text(taint, "/value"),
    }
}

/// Why a pod can't be on a node.
fn problems(node: &Json, spec: &PodSpec, room: &Room) -> BTreeSet<String> {
    let (cpu, memory) = spec.requests();
    let mut found = BTreeSet::new();
    let labels = &node["metadata"]["labels"];
    if node["spec"]["unschedulable"] == true {
        found.insert("node(s) were unschedulable".to_owned());
    }
    for taint in items(node, "/spec/taints") {
        let counts = text(taint, "/effect") != "PreferNoSchedule" && text(taint, "/key") != "node.kubernetes.io/unschedulable";
        if counts && !spec.tolerations.iter().any(|toleration| tolerates(toleration, taint)) {
            found.insert(format!("node(s) had untolerated taint {{{}: {}}}", text(taint, "/key"), text(taint, "/value")));
        }
    }
    if spec.node_selector.iter().any(|(key, value)| labels.get(key).and_then(Json::as_str) != Some(value)) {
        found.insert("node(s) didn't match Pod's node affinity/selector".to_owned());
    }
    if cpu > room.cpu {
        found.insert("Insufficient cpu".to_owned());
    }
    if memory > room.memory {
        found.insert("Insufficient memory".to_owned());
    }
    if room.pods == 0 {
        found.insert("Too many pods".to_owned());
    }
    for (resource, count) in spec.extended() {
        if count > room.extended.get(&resource).copied().unwrap_or(0) {
            found.insert(format!("Insufficient {resource}"));
        }
    }
    found
}

/// Sets one of an object's conditions; the time of its last change stays where it does not change.
pub(crate) fn set_condition(object: &mut Json, kind: &str, is: bool, reason: &str, message: &str, now: &str) {
    let status = if is { "True" } else { "False" };
    let mut condition = json!({ "type": kind, "status": status, "lastTransitionTime": now, "lastProbeTime": null });
    if !reason.is_empty() {
        condition["reason"] = reason.into();
    }
    if !message.is_empty() {
        condition["message"] = message.into();
    }
    if !object["status"]["conditions"].is_array() {
        object["status"]["conditions"] = json!([]);
    }
    let Some(all) = object["status"]["conditions"].as_array_mut() else { return };
    match all.iter_mut().find(|known| known["type"] == kind) {
        Some(known) => {
            if known["status"] == status {
                condition["lastTransitionTime"] = known["lastTransitionTime"].clone();
            }
            *known = condition;
        }
        None => all.push(condition),
    }
}
