//! What a pod's machine is: its name, its size, and its address in the cluster's network.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::{Value as Json, json};

use super::{is_over, machine_id};
use crate::local_cloud::cs::pool;
use crate::local_cloud::kubernetes::kind;
use crate::local_cloud::kubernetes::pod::PodSpec;
use crate::local_cloud::kubernetes::space::{Space, name_of, text, uid_of};
use crate::local_cloud::machines::MachineSpec;
use crate::local_cloud::store::World;

/// The machine of a pod that has one.
pub(super) fn machine_of(pod: &Json) -> Option<MachineSpec> {
    let private_ip: Ipv4Addr = text(pod, "/status/podIP").parse().ok()?;
    let spec = PodSpec::of(pod);
    let (cpu, memory) = spec.requests();
    let hostname = if spec.hostname.is_empty() { name_of(pod) } else { &spec.hostname };
    let hostname = hostname.split('.').next().unwrap_or_default();
    Some(MachineSpec {
        id: machine_id(uid_of(pod)),
        hostname: hostname[..hostname.len().min(63)].trim_end_matches('-').to_owned(),
        vcpu: u32::try_from(cpu.div_ceil(1000)).unwrap_or(1).max(1),
        memory_mib: (memory >> 20).max(64),
        public_ip: None,
        private_ip,
    })
}

/// The machines of all pods of all clusters that have one.
pub(crate) fn machines(world: &World) -> Vec<MachineSpec> {
    let pods = world.kubernetes.iter().filter(|(key, pod)| key.split('/').nth(1) == Some("pods") && !is_over(pod));
    pods.filter_map(|(_, pod)| machine_of(pod)).collect()
}

/// Gives a pod an address of its cluster's network.
pub(super) fn network(space: &mut Space, pod: &mut Json) {
    let node = text(pod, "/spec/nodeName").to_owned();
    let host = pool::instance_of_node(space.world, space.cluster, &node).and_then(|id| space.world.instances.get(&id));
    let host = host.map(|row| row.private_ip.to_string()).unwrap_or_default();
    let own = uid_of(pod).to_owned();
    let used: BTreeSet<String> = space
        .all(&kind::PODS, None)
        .into_iter()
        .filter(|other| uid_of(other) != own && !is_over(other))
        .map(|other| text(other, "/status/podIP").to_owned())
        .collect();
    let network = space.world.clusters.get(space.cluster).and_then(|row| row.pod_network(space.world));
    let address = network.into_iter().flat_map(|network| network.hosts().skip(9)).find(|address| !used.contains(&address.to_string()));
    if let Some(address) = address {
        pod["status"]["hostIP"] = host.clone().into();
        pod["status"]["hostIPs"] = json!([{ "ip": host }]);
        pod["status"]["podIP"] = address.to_string().into();
        pod["status"]["podIPs"] = json!([{ "ip": address.to_string() }]);
    }
}
