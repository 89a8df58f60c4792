//! A job in a Kubernetes cluster: in one that exists, which is used and never changed, or in one made for it.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;
use rust_decimal::Decimal;

use super::{SLACK, Task, ecs, impossible, matrix};
use crate::manifest::{ClusterChoice, Gpu, InstanceChoice, Located, Needs, Product};
use crate::model::address::{Address, Kind};
use crate::model::decision::{Decision, Rejected};
use crate::model::finding::{Finding, Severity};
use crate::model::money::Money;
use crate::model::offer::Fallback;
use crate::model::units::Size;
use crate::model::value::{Reference, Value};
use crate::pricing::clusters::ClusterFound;
use crate::pricing::estimate;
use crate::project::scripts::job::{JobSettings, pod_script};
use crate::resolve::app::json;
use crate::resolve::choose::{self, Wish};
use crate::resolve::error::ResolveError;
use crate::resolve::network::Network;
use crate::resolve::select::offers::NODE;
use crate::resolve::select::wants::{Wants, X86};
use crate::resolve::{Draft, release};
use crate::resources::cluster::{ClusterSpec, NODES_LABEL, PoolSpec, PoolSpot};
use crate::resources::desired::Node;
use crate::resources::kind::TAG_LINEAGE;
use crate::resources::kubernetes_job::KubernetesJobSpec;

/// The namespace of its Job: the only one that every cluster has.
const NAMESPACE: &str = "default";
/// The label by which Kubernetes tells what a node is.
const TYPE_LABEL: &str = "node.kubernetes.io/instance-type";
/// Mbit/s of a node that has to fetch something.
const FETCHING: u32 = 50;
/// How long a cluster takes to come at most, beyond what a job may take.
const COMING: u64 = 2400;

/// Where a job runs.
struct Place {
    cluster_id: Value<String>,
    /// The cluster as a resource, if it is made for the stack.
    made: Option<Address>,
    /// The label and the value of the nodes it needs.
    nodes: Option<(String, String)>,
}

/// Adds its resources.
pub(super) async fn add(draft: &mut Draft<'_>, network: &Network, task: &Task<'_>) -> Result<(), ResolveError> {
    let job = task.job;
    let name = job.name.value.clone();
    let place = match existing(draft, task).await? {
        Some(place) => place,
        None => made(draft, network, task).await?,
    };
    let image = image(draft, task);
    task.check_container(&image)?;
    let (bundle, bucket) = task.add_files(draft);
    let settings = JobSettings {
        stack: draft.manifest.stack.value.clone(),
        job: name.clone(),
        digest: task.digest.clone(),
        command: task.command.clone(),
        limit: task.limit,
        environment: task.plain.clone(),
        secrets: !task.secrets.is_empty(),
        outputs: task.outputs.clone(),
    };
    let requests = requests(task, place.made.is_some());
    let script = pod_script(&settings, &task.bundle.digest);
    let shares = matrix::runs(job);
    matrix::check_names(draft, task, &shares)?;
    for share in shares {
        let run = Address::new(Kind::KubernetesJob, &share.name);
        matrix::remember(draft, &run, &share);
        let spec = KubernetesJobSpec {
            job: share.name.clone(),
            digest: matrix::digest(&task.digest, &share),
            cluster_id: place.cluster_id.clone(),
            namespace: NAMESPACE.to_owned(),
            image: image.clone(),
            requests: requests.clone(),
            nodes: place.nodes.clone(),
            bucket: Value::Pending(Reference::new(bucket.clone(), "id")),
            bundle_key: Value::Pending(Reference::new(bundle.clone(), "key")),
            limit: task.limit,
            secrets: task.secrets.clone(),
            outputs: task.outputs.clone(),
            script: script.clone(),
            part: share.part,
        };
        let depends_on = [bundle.clone(), bucket.clone()].into_iter().chain(place.made.clone()).collect();
        draft.desired.nodes.insert(run.clone(), Node { spec: json(&spec), depends_on });
        if !job.keep {
            release::serve(&mut draft.passing, &run);
        }
    }
    Ok(())
}

/// The cluster that exists and is used: the one that is named, else the one of the stack's name that is not its own.
async fn existing(draft: &mut Draft<'_>, task: &Task<'_>) -> Result<Option<Place>, ResolveError> {
    let job = task.job;
    let region = draft.desired.region.clone();
    let clusters = draft.around.lookup.clusters(&region).await?;
    let found = match &job.cluster {
        ClusterChoice::Existing(named) => {
            let of_name = |cluster: &&ClusterFound| cluster.id == named.value || cluster.name == named.value;
            match clusters.into_iter().find(|cluster| of_name(&cluster)) {
                Some(cluster) => cluster,
                None => return Err(missing(named, &region)),
            }
        }
        ClusterChoice::Own { .. } => {
            let lineage = (TAG_LINEAGE.to_owned(), draft.around.lineage.to_owned());
            let stack = &draft.manifest.stack.value;
            match clusters.into_iter().find(|cluster| cluster.name == *stack && !cluster.tags.contains(&lineage)) {
                Some(cluster) => cluster,
                None => return Ok(None),
            }
        }
    };
    let shown = format!("cluster `{}` (`{}`)", found.name, found.id);
    let other = "name another with `cluster: { name: ... }`, or give the stack another name to have one made";
    if found.state != "running" {
        let message = format!("{shown} is there for job `{}`, and its state is `{}`", job.name.value, found.state);
        return Err(impossible(job, message, &format!("wait until it runs, or {other}")));
    }
    let readiness = draft.around.lookup.readiness(&region, &found.id, NAMESPACE).await?;
    if readiness.ready_nodes == 0 {
        let message = format!("{shown} is there for job `{}`, and none of its nodes is ready", job.name.value);
        return Err(impossible(job, message, &format!("add a node to it, or {other}")));
    }
    if !readiness.forbidden.is_empty() {
        let forbidden = readiness.forbidden.join("`, `");
        let message = format!("job `{}` may not run in {shown}: in namespace `{NAMESPACE}` you may not `{forbidden}`", job.name.value);
        return Err(impossible(job, message, &format!("ask its owner for a role that allows that, or {other}")));
    }
    let accelerated = match &job.needs.gpu {
        Some(gpu) => Some(accelerated(draft, task, gpu, &readiness.types, &shown).await?),
        None => None,
    };
    let nodes = readiness.ready_nodes;
    draft.uses(
        "cluster",
        &found.id,
        format!("`{}`, {nodes} ready; used for job `{}`, never changed or deleted", found.name, job.name.value),
    );
    let nodes = accelerated.map(|instance_type| (TYPE_LABEL.to_owned(), instance_type));
    Ok(Some(Place { cluster_id: Value::Known(found.id), made: None, nodes }))
}

/// Which of the nodes that are there have the accelerators: the smallest type with as many as are needed. A pod that asked
/// for more than any node has would wait for ever.
async fn accelerated(
    draft: &mut Draft<'_>,
    task: &Task<'_>,
    gpu: &Gpu,
    there: &BTreeSet<String>,
    cluster: &str,
) -> Result<String, ResolveError> {
    let needs = Needs { gpu: Some(gpu.clone()), ..Needs::default() };
    let wants = Wants::new(&needs, X86, 0);
    let types = draft.around.lookup.types(&draft.desired.region).await?;
    let shapes = || types.iter().filter(|shape| there.contains(&shape.instance_type) && shape.gpus > 0);
    let mut fitting: Vec<_> = shapes().filter(|shape| wants.fit(shape)).collect();
    fitting.sort_by_key(|shape| (shape.gpus, shape.vcpu, &shape.instance_type));
    let Some(smallest) = fitting.first() else {
        let wanted = format!("{} x {}", gpu.count, gpu.model.as_ref().map_or("any GPU", |model| &model.value));
        let has: Vec<String> = shapes().map(|shape| format!("{} x {} (`{}`)", shape.gpus, shape.gpu, shape.instance_type)).collect();
        let has =
            if has.is_empty() { "none of its ready nodes has a GPU".to_owned() } else { format!("its nodes have {}", has.join(", ")) };
        let message = format!("{cluster} is there for job `{}`, which needs {wanted} on one node, and {has}", task.job.name.value);
        let hint = "add a node pool with such a GPU to it, or name another cluster with `cluster: { name: ... }`";
        return Err(impossible(task.job, message, hint));
    };
    let because = format!("a node of {cluster} with {} x {}", smallest.gpus, smallest.gpu);
    let others = fitting[1..].iter().map(|shape| Rejected { option: shape.instance_type.clone(), because: "larger".to_owned() });
    let decision = Decision { chosen: smallest.instance_type.clone(), because, rejected: others.collect() };
    Ok(draft.decide(&format!("jobs.{}.nodes", task.job.name.value), decision))
}

fn missing(named: &Located<String>, region: &str) -> ResolveError {
    ResolveError::Impossible {
        location: named.location.clone(),
        message: format!("there is no cluster `{}` in `{region}`", named.value),
        hint: "check the name and the `region`, or leave `cluster` out to have one made".to_owned(),
    }
}

/// The cluster of the stack, with nodes for this job in it.
async fn made(draft: &mut Draft<'_>, network: &Network, task: &Task<'_>) -> Result<Place, ResolveError> {
    let job = task.job;
    let (name, stack) = (job.name.value.clone(), draft.manifest.stack.value.clone());
    let at_once = matrix::at_once(job);
    let choice = InstanceChoice::Needs(node_needs(&job.needs));
    let wish = Wish {
        key: format!("jobs.{name}"),
        location: &job.name.location,
        choice: &choice,
        image: None,
        disk: None,
        spot: job.spot.as_ref(),
        seconds: Some(task.limit * job.runs()),
        keeps: job.keep,
        product: Product::Ack,
    };
    let machine = choose::machine(draft, &wish, &network.zones(draft)).await?;
    let address = Address::new(Kind::Cluster, "main");
    let machine = draft.placed(&address, machine);
    // The cluster brings the system of its nodes itself.
    let image = format!("jobs.{name}.image[");
    draft.desired.decisions.retain(|key, _| !key.starts_with(&image));
    let (vpc_id, mut depends_on) = network.vpc(draft);
    let (vswitch_id, subnet) = network.vswitch(draft, &machine.zone);
    depends_on.extend(subnet);
    let pool = PoolSpec {
        job: name.clone(),
        instance_type: machine.instance_type,
        zone: machine.zone,
        vswitch_id,
        disk_category: machine.disk_category,
        disk_level: machine.disk_level,
        disk_size: machine.disk_size,
        bandwidth: if task.fetcher().fetches().is_some() { FETCHING } else { 0 },
        // As many as runs go on at once: of a node there is little more than one of them asks for.
        nodes: u32::try_from(at_once).unwrap_or(u32::MAX),
        spot: job.spot.as_ref().map(|spot| PoolSpot { cap: spot.value.cap }),
    };
    let needed_for = (!job.keep).then_some(task.limit * job.runs().div_ceil(at_once) + SLACK + COMING);
    let pro = matches!(job.cluster, ClusterChoice::Own { pro: true });
    if draft.desired.nodes.contains_key(&address) {
        // Which of several pools could not be had, a list for the whole cluster can't tell.
        draft.desired.fallbacks.remove(&address);
    } else {
        let fee = estimate::cluster(&draft.desired.region, pro);
        let fallbacks = machine.fallbacks.into_iter().map(|fallback| of_cluster(fallback, fee, at_once));
        draft.desired.fallbacks.insert(address.clone(), fallbacks.collect());
    }
    if let Some(node) = draft.desired.nodes.get_mut(&address)
        && let Ok(mut spec) = serde_json::from_value::<ClusterSpec>(node.spec.clone())
    {
        // One cluster serves all jobs of the stack, as long as the longest of them needs it.
        spec.pools.push(pool);
        spec.pro |= pro;
        spec.needed_for = spec.needed_for.zip(needed_for).map(|(one, other)| one.max(other));
        node.spec = json(&spec);
        node.depends_on.extend(depends_on);
    } else {
        let ranges = ranges(draft, network).await?;
        let [pod_cidr, service_cidr] = ranges.map(|range| range.to_string());
        let spec = ClusterSpec { name: stack, pro, vpc_id, pod_cidr, service_cidr, pools: vec![pool], needed_for };
        draft.desired.nodes.insert(address.clone(), Node { spec: json(&spec), depends_on });
        draft.desired.findings.push(no_end(&address));
        draft.desired.findings.extend(job.spot.as_ref().map(|spot| ecs::reclaimable(&address, spot)));
    }
    let nodes = Some((NODES_LABEL.to_owned(), name));
    Ok(Place { cluster_id: Value::Pending(Reference::new(address.clone(), "id")), made: Some(address), nodes })
}

/// What a node made for the job must have: never less than its own pods leave room in.
fn node_needs(needs: &Needs) -> Needs {
    let least = Size::of(u64::from(NODE.1) * 1024);
    let cpu = needs.cpu.or(needs.gpu.as_ref().map(|_| NODE.0)).map(|cpu| cpu.max(NODE.0));
    let memory = needs.memory.or(needs.gpu.as_ref().map(|_| least)).map(|memory| memory.max(least));
    Needs { cpu, memory, ..needs.clone() }
}

/// What may stand in for the nodes of a cluster, at the price of the cluster with them.
fn of_cluster(node: Fallback, fee: Money, nodes: u64) -> Fallback {
    let amount = node.hourly.amount * Decimal::from(nodes) + fee.converted(node.hourly.currency).amount;
    let because = if nodes > 1 { format!("{}, for each of {nodes} nodes", node.because) } else { node.because };
    Fallback { hourly: Money { amount, ..node.hourly }, because, ..node }
}

/// What a plan with a new cluster has to say besides its price.
fn no_end(address: &Address) -> Finding {
    Finding {
        id: "cluster-without-end".to_owned(),
        severity: Severity::Info,
        address: Some(address.clone()),
        message: "nothing in the cloud ends this cluster: if aliform is killed, the next command in this folder releases it, and \
                  `aliform sweep --expired` does from anywhere"
            .to_owned(),
        evidence: None,
        hint: Some(
            "let `aliform sweep --expired --auto-approve --region all` run every hour, or use a cluster that exists: `cluster: { name: ... }`"
                .to_owned(),
        ),
    }
}

/// Ranges for pods and services that overlap neither with the network nor with those of its other clusters.
async fn ranges(draft: &Draft<'_>, network: &Network) -> Result<[Ipv4Net; 2], ResolveError> {
    let mut taken = vec![network.cidr];
    if let Value::Known(vpc) = &network.vpc_id {
        let others = draft.around.lookup.clusters(&draft.desired.region).await?;
        let lineage = (TAG_LINEAGE.to_owned(), draft.around.lineage.to_owned());
        let beside = others.iter().filter(|cluster| cluster.vpc_id == *vpc && !cluster.tags.contains(&lineage));
        taken.extend(beside.flat_map(|cluster| &cluster.ranges).filter_map(|range| range.parse::<Ipv4Net>().ok()));
    }
    Ok(free(&taken))
}

/// Free ranges: 65,536 addresses for pods, 4,096 for services. The service's own usual ones come first.
fn free(taken: &[Ipv4Net]) -> [Ipv4Net; 2] {
    let wide = |a: u8, b: u8, bits: u8| Ipv4Net::new_assert(std::net::Ipv4Addr::new(a, b, 0, 0), bits);
    let candidates = || (20..32).chain(16..20).map(|b| (172, b)).chain((0..=255).map(|b| (10, b))).chain([(192, 168)]);
    let overlaps = |one: &Ipv4Net, other: &Ipv4Net| one.contains(other) || other.contains(one);
    let is_free = |range: &Ipv4Net, taken: &[Ipv4Net]| !taken.iter().any(|other| overlaps(range, other));
    let find = |bits: u8, taken: &[Ipv4Net]| {
        let found = candidates().map(|(a, b)| wide(a, b, bits)).find(|range| is_free(range, taken));
        // Nothing is left of all private ranges: the cloud says so in words of its own.
        found.unwrap_or(wide(172, 20, bits))
    };
    let pods = find(16, taken);
    let mut taken = taken.to_vec();
    taken.push(pods);
    [pods, find(20, &taken)]
}

/// What its pod asks of a node. A node made for it is all its own, but for what the node itself needs: the half is had
/// in any case. Of other people's nodes it asks for what it needs.
fn requests(task: &Task<'_>, own: bool) -> BTreeMap<String, String> {
    let needs = &task.job.needs;
    let (cpu, memory) = match (needs.cpu, needs.memory) {
        (None, None) if !own => (500, 1024),
        (cpu, memory) => {
            let cpu = cpu.unwrap_or(2);
            let memory = memory.map_or(u64::from(cpu) * 2048, |memory| memory.mebibytes());
            if own { (u64::from(cpu) * 500, memory / 2) } else { (u64::from(cpu) * 1000, memory) }
        }
    };
    let mut requests = BTreeMap::from([("cpu".to_owned(), format!("{cpu}m")), ("memory".to_owned(), format!("{memory}Mi"))]);
    if let Some(gpu) = &needs.gpu {
        requests.insert("nvidia.com/gpu".to_owned(), gpu.count.to_string());
    }
    requests
}

/// Its image: the manifest's, else one of Alibaba Cloud's own for what runs it, in the registry of the region.
fn image(draft: &mut Draft<'_>, task: &Task<'_>) -> String {
    if let Some(image) = &task.job.image {
        return image.value.clone();
    }
    let (image, what) = match task.command.split_whitespace().next().unwrap_or_default() {
        program if program.starts_with("python") || program.starts_with("pip") => ("python:3.11.1", "Python"),
        "node" | "npm" | "npx" | "yarn" | "pnpm" => ("node:20.16", "Node.js"),
        _ if task.bundle.files.iter().any(|file| file.path == "requirements.txt") => ("python:3.11.1", "Python"),
        _ => ("alinux3:latest", "a shell script"),
    };
    // Source: the images of Alibaba Cloud Linux 3 in Container Registry.
    let chosen = format!("alibaba-cloud-linux-3-registry.{}.cr.aliyuncs.com/alinux3/{image}", draft.desired.region);
    let mut because = format!("Alibaba Cloud's own image for {what}; `image` names another");
    if task.job.needs.gpu.is_some() {
        because += "; it has no CUDA of its own: the node brings the driver, and packages such as torch the rest";
    }
    draft.decide(&format!("jobs.{}.container", task.job.name.value), Decision { chosen, because, rejected: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_overlap_neither_with_the_network_nor_with_each_other() {
        let shown = |taken: &[&str]| {
            let taken: Vec<Ipv4Net> = taken.iter().map(|range| range.parse().unwrap()).collect();
            free(&taken).map(|range| range.to_string())
        };
        assert_eq!(shown(&["192.168.0.0/16"]), ["172.20.0.0/16", "172.21.0.0/20"]);
        assert_eq!(shown(&["172.16.0.0/12"]), ["10.0.0.0/16", "10.1.0.0/20"]);
        assert_eq!(shown(&["192.168.0.0/16", "172.20.0.0/16", "172.22.8.0/22"]), ["172.21.0.0/16", "172.23.0.0/20"]);
    }
}
