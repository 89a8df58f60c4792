//! Nodes as they follow from the cluster's instances: there once the instance has joined, ready while it runs.

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use crate::local_cloud::cs::pool;
use crate::local_cloud::disk;
use crate::local_cloud::kubernetes::kind;
use crate::local_cloud::kubernetes::space::{Space, name_of};
use crate::local_cloud::runtime::Shared;
use crate::local_cloud::time::{after, seconds};

/// What a node keeps for itself: thousandths of a processor and MiB.
const RESERVED: (u64, u64) = (100, 512);
/// How many pods a node takes.
const PODS: u64 = 110;

/// Answers when the next instance joins or changes.
pub(super) fn sync(space: &mut Space, shared: &Shared) -> Option<Timestamp> {
    let mut next: Vec<Timestamp> = Vec::new();
    let mut wanted: Vec<String> = Vec::new();
    for (instance, pool) in pool::instances(space.world, space.cluster) {
        space.world.index.kubernetes.nodes.insert(instance.clone(), space.cluster.to_owned());
        let Some(row) = space.world.instances.get(&instance) else { continue };
        let joining = shared.config.latency.of(|latency| latency.node_joining);
        let first = row.timeline.iter().find(|(_, status)| *status == crate::local_cloud::instance::Status::Running).map(|(at, _)| *at);
        next.extend(row.next_change(space.now));
        let Some(joined) = first.map(|first| after(first, joining)).filter(|_| !row.is_released()) else { continue };
        if space.now < joined {
            next.push(joined);
            continue;
        }
        let node = node(space, shared, &instance, &pool, joined);
        wanted.push(name_of(&node).to_owned());
        match space.get(&kind::NODES, "", name_of(&node)).cloned() {
            None => drop(space.insert(&kind::NODES, node)),
            Some(known) => update(space, known, node),
        }
    }
    let gone: Vec<String> =
        space.all(&kind::NODES, None).iter().map(|node| name_of(node).to_owned()).filter(|name| !wanted.contains(name)).collect();
    for name in gone {
        space.remove(&kind::NODES, "", &name);
    }
    next.into_iter().filter(|at| *at > space.now).min()
}

/// Keeps what people said about a node.
fn update(space: &mut Space, known: Json, node: Json) {
    let now = seconds(space.now);
    let mut new = known.clone();
    let was = known["status"]["conditions"][0]["status"].clone();
    let is = node["status"]["conditions"][0]["status"].clone();
    if was != is {
        new["status"]["conditions"] = node["status"]["conditions"].clone();
        for condition in new["status"]["conditions"].as_array_mut().into_iter().flatten() {
            condition["lastTransitionTime"] = now.clone().into();
        }
    }
    // A node that is not ready takes nothing.
    let not_ready = json!({ "key": "node.kubernetes.io/not-ready", "effect": "NoExecute" });
    let others =
        known["spec"]["taints"].as_array().cloned().unwrap_or_default().into_iter().filter(|taint| taint["key"] != not_ready["key"]);
    let mut taints: Vec<Json> = others.collect();
    if is != "True" {
        taints.push(not_ready);
    }
    if taints.is_empty() {
        new["spec"].as_object_mut().map(|spec| spec.remove("taints"));
    } else {
        new["spec"]["taints"] = json!(taints);
    }
    space.replace(&kind::NODES, new);
}

fn node(space: &Space, shared: &Shared, instance: &str, pool: &str, joined: Timestamp) -> Json {
    let Some(row) = space.world.instances.get(instance) else { return json!({}) };
    let runs = row.running_since(space.now).is_some();
    let type_of = shared.catalog.types.get(&row.kind);
    let (vcpu, memory) = type_of.map_or((1, 1024), |kind| (u64::from(kind.vcpu), kind.memory_mib));
    let gpus = type_of.map_or(0, |kind| kind.gpus);
    let name = pool::node_name(row);
    let config = space.world.node_pools.get(pool).map(|row| row.spec["kubernetes_config"].clone()).unwrap_or_default();
    let mut labels = json!({
        "alibabacloud.com/nodepool-id": pool,
        "ack.aliyun.com": space.cluster,
        "kubernetes.io/arch": if type_of.is_some_and(|kind| kind.architecture == "ARM") { "arm64" } else { "amd64" },
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": row.kind,
        "topology.kubernetes.io/region": row.region,
        "topology.kubernetes.io/zone": row.zone,
    });
    for label in config["labels"].as_array().into_iter().flatten() {
        labels[label["key"].as_str().unwrap_or_default()] = label["value"].as_str().unwrap_or_default().into();
    }
    let taints: Vec<Json> = config["taints"].as_array().cloned().unwrap_or_default();
    let disks = disk::of_instance(space.world, &row.id);
    let disk: u64 = disks.iter().filter(|disk| disk.system).map(|disk| u64::from(disk.spec.size_gib)).sum();
    let mut capacity = json!({ "cpu": vcpu.to_string(), "memory": format!("{}Ki", memory * 1024), "pods": PODS.to_string(), "ephemeral-storage": format!("{}Ki", disk * 1024 * 1024) });
    let mut allocatable = capacity.clone();
    allocatable["cpu"] = format!("{}m", (vcpu * 1000).saturating_sub(RESERVED.0)).into();
    allocatable["memory"] = format!("{}Ki", memory.saturating_sub(RESERVED.1) * 1024).into();
    if gpus > 0 {
        capacity["nvidia.com/gpu"] = gpus.to_string().into();
        allocatable["nvidia.com/gpu"] = gpus.to_string().into();
    }
    let version = space.world.clusters.get(space.cluster).map(|row| row.version.clone()).unwrap_or_default();
    let joined = seconds(joined);
    let condition = |kind: &str, is: bool, reason: &str, message: &str| {
        json!({ "type": kind, "status": if is { "True" } else { "False" }, "reason": reason, "message": message,
            "lastHeartbeatTime": joined, "lastTransitionTime": joined })
    };
    let ready = if runs {
        condition("Ready", true, "KubeletReady", "kubelet is posting ready status")
    } else {
        condition("Ready", false, "KubeletNotReady", "the instance does not run")
    };
    let mut node = json!({
        "metadata": { "name": name, "labels": labels, "annotations": {} },
        "spec": { "providerID": format!("{}.{instance}", row.region) },
        "status": {
            "capacity": capacity,
            "allocatable": allocatable,
            "addresses": [{ "type": "InternalIP", "address": row.private_ip.to_string() }, { "type": "Hostname", "address": name }],
            "conditions": [
                ready,
                condition("MemoryPressure", false, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
                condition("DiskPressure", false, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
                condition("PIDPressure", false, "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            ],
            "nodeInfo": {
                "architecture": labels["kubernetes.io/arch"], "bootID": "", "containerRuntimeVersion": "containerd://1.6.39",
                "kernelVersion": "", "kubeProxyVersion": "", "kubeletVersion": format!("v{version}"), "machineID": instance,
                "operatingSystem": "linux", "osImage": row.image, "systemUUID": instance,
            },
        },
    });
    if !taints.is_empty() {
        node["spec"]["taints"] = json!(taints);
    }
    if config["unschedulable"] == true {
        node["spec"]["unschedulable"] = true.into();
    }
    node
}
