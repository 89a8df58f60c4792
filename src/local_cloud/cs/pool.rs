//! Node pools: instances that are a cluster's nodes. They are bought, tagged, billed and released as any others are.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::create::nodes_ready;
use super::pools::PoolRequest;
use super::{Cluster, new_hex, task};
use crate::local_cloud::call::{Call, Outcome};
use crate::local_cloud::instance::{Instance, release, run};
use crate::local_cloud::kubernetes::space::Space;
use crate::local_cloud::runtime::Shared;
use crate::local_cloud::store::World;
use crate::local_cloud::wire::fault::Fault;
use crate::local_cloud::wire::params::{Params, Tags};

/// The tag by which a node's pool is known.
const POOL_TAG: &str = "ack.alibabacloud.com/nodepool-id";

/// A node pool.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NodePool {
    pub(crate) id: String,
    pub(crate) cluster: String,
    pub(crate) name: String,
    pub(crate) is_default: bool,
    pub(crate) resource_group: String,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    /// What was asked for, without secrets: `scaling_group`, `kubernetes_config`, `auto_scaling`, `management`.
    pub(crate) spec: Json,
    pub(crate) instances: Vec<String>,
    /// How many nodes there should be.
    pub(crate) desired: usize,
    /// Until then its nodes come.
    pub(crate) busy_until: Timestamp,
    /// The task that deletes it.
    pub(crate) deletion: Option<String>,
}

impl NodePool {
    pub(crate) fn state(&self, now: Timestamp) -> &'static str {
        match () {
            () if self.deletion.is_some() => "deleting",
            () if now < self.busy_until => "scaling",
            () => "active",
        }
    }

    /// The tags of its instances.
    pub(crate) fn tags(&self) -> Tags {
        let listed = self.spec["scaling_group"]["tags"].as_array().into_iter().flatten();
        listed.filter_map(|tag| Some((tag["key"].as_str()?.to_owned(), tag["value"].as_str().unwrap_or_default().to_owned()))).collect()
    }
}

/// The pools of a cluster.
pub(crate) fn of_cluster<'a>(world: &'a World, cluster: &'a str) -> impl Iterator<Item = &'a NodePool> {
    world.node_pools.values().filter(move |pool| pool.cluster == cluster)
}

/// The instances of a cluster, each with its pool.
pub(crate) fn instances(world: &World, cluster: &str) -> Vec<(String, String)> {
    of_cluster(world, cluster).flat_map(|pool| pool.instances.iter().map(|id| (id.clone(), pool.id.clone()))).collect()
}

/// The name that an instance has as a node.
pub(crate) fn node_name(instance: &Instance) -> String {
    format!("{}.{}", instance.region, instance.private_ip)
}

/// The instance that is a node of that name.
pub(crate) fn instance_of_node(world: &World, cluster: &str, node: &str) -> Option<String> {
    let mut all = instances(world, cluster).into_iter().map(|(id, _)| id);
    all.find(|id| world.instances.get(id).is_some_and(|row| node_name(row) == node))
}

/// Uses an operation of another part of the cloud, with parameters that no request carried.
pub(super) fn with(call: &mut Call, pairs: &[(&str, &str)], operation: impl FnOnce(&mut Call) -> Outcome) -> Outcome {
    let params = Params::made_up(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let (config, catalog, now, caller) = (call.config, call.catalog, call.now, call.caller);
    operation(&mut Call { world: &mut *call.world, config, catalog, keys: call.keys, now, caller, params: &params })
}

/// Makes a pool with its first nodes. Answers its id and the task that makes them; it fails if they can't be had.
pub(super) fn add(call: &mut Call, cluster: &Cluster, request: &PoolRequest, count: usize) -> (String, String) {
    let id = format!("np{}", new_hex(call.world, call.config.seed));
    let row = NodePool {
        id: id.clone(),
        cluster: cluster.id.clone(),
        name: request.name().to_owned(),
        is_default: false,
        resource_group: cluster.resource_group.clone(),
        created: call.now,
        updated: call.now,
        spec: request.spec(),
        instances: Vec::new(),
        desired: 0,
        busy_until: call.now,
        deletion: None,
    };
    call.world.node_pools.insert(id.clone(), row);
    let task = grow(call, cluster, &id, count, "nodepool_create");
    (id, task)
}

/// Buys nodes for a pool. Answers the task.
pub(super) fn grow(call: &mut Call, cluster: &Cluster, pool: &str, count: usize, kind: &str) -> String {
    let ends = nodes_ready(call, cluster);
    let task = task::begin(call, kind, &cluster.id, ("nodepool", pool), Some(ends));
    let mut failure = None;
    for number in 0..count {
        match buy(call, cluster, pool, number) {
            Ok(id) => {
                call.world.index.kubernetes.nodes.insert(id.clone(), cluster.id.clone());
                if let Some(row) = call.world.node_pools.get_mut(pool) {
                    row.instances.push(id);
                }
            }
            Err(fault) => {
                failure = Some((fault.code, fault.message));
                break;
            }
        }
    }
    if let Some(row) = call.world.node_pools.get_mut(pool) {
        row.desired += count;
        row.busy_until = ends;
        row.updated = call.now;
    }
    task::end(call.world, &task, ends, failure);
    call.world.index.kubernetes.wake(&cluster.id);
    task
}

/// Whether another type or zone may have what this one has not.
fn is_elsewhere(fault: &Fault) -> bool {
    ["OperationDenied.NoStock", "InvalidResourceType.NotSupported", "InvalidVSwitchId.IpNotEnough"].contains(&fault.code.as_str())
}

/// Buys one instance: the first type that can be had, in the zones by turns or by their order.
fn buy(call: &mut Call, cluster: &Cluster, pool: &str, number: usize) -> Result<String, Fault> {
    let row = call.world.node_pools.get(pool).cloned();
    let row = row.ok_or_else(|| Fault::missing("ErrorNodePoolNotFound", "node pool not found"))?;
    let group = &row.spec["scaling_group"];
    let texts = |field: &str| -> Vec<String> {
        group[field].as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect()
    };
    let mut places = texts("vswitch_ids");
    if group["multi_az_policy"] == "BALANCE" && !places.is_empty() {
        let first = (row.instances.len() + number) % places.len();
        places.rotate_left(first);
    }
    let mut last = Fault::bad("InvalidParameter", "scaling_group.instance_types is required");
    for kind in texts("instance_types") {
        for place in &places {
            match run_one(call, cluster, &row, &kind, place) {
                Ok(id) => return Ok(id),
                Err(fault) if is_elsewhere(&fault) => last = fault,
                Err(fault) => return Err(fault),
            }
        }
    }
    Err(last)
}

fn run_one(call: &mut Call, cluster: &Cluster, pool: &NodePool, kind: &str, vswitch: &str) -> Result<String, Fault> {
    let group = &pool.spec["scaling_group"];
    let text = |field: &str| group[field].as_str().unwrap_or_default().to_owned();
    let arm = call.catalog.types.get(kind).is_some_and(|kind| kind.architecture == "ARM");
    let family = if arm { "acs:alibaba_cloud_linux_3_2104_lts_arm64" } else { "acs:alibaba_cloud_linux_3_2104_lts_x64" };
    let mut pairs: Vec<(String, String)> = vec![
        ("RegionId".to_owned(), cluster.region.clone()),
        ("InstanceType".to_owned(), kind.to_owned()),
        ("VSwitchId".to_owned(), vswitch.to_owned()),
        ("InstanceName".to_owned(), format!("worker-k8s-for-cs-{}", cluster.id)),
        ("SystemDisk.Category".to_owned(), text("system_disk_category")),
        ("SystemDisk.Size".to_owned(), group["system_disk_size"].to_string()),
        ("SystemDisk.PerformanceLevel".to_owned(), text("system_disk_performance_level")),
        ("SpotStrategy".to_owned(), text("spot_strategy")),
        ("InternetMaxBandwidthOut".to_owned(), group["internet_max_bandwidth_out"].as_u64().unwrap_or(0).to_string()),
        ("InternetChargeType".to_owned(), text("internet_charge_type")),
    ];
    let limits = group["spot_price_limit"].as_array().into_iter().flatten();
    if let Some(limit) = limits.filter(|limit| limit["instance_type"] == kind).find_map(|limit| limit["price_limit"].as_str()) {
        pairs.push(("SpotPriceLimit".to_owned(), limit.to_owned()));
    }
    pairs.push(match text("image_id") {
        image if image.is_empty() => ("ImageFamily".to_owned(), family.to_owned()),
        image => ("ImageId".to_owned(), image),
    });
    let own = group["security_group_ids"].as_array().into_iter().flatten().filter_map(Json::as_str);
    let groups: Vec<&str> = own.chain([cluster.security_group.as_str()]).collect();
    pairs.extend(groups.iter().enumerate().map(|(number, id)| (format!("SecurityGroupIds.{}", number + 1), (*id).to_owned())));
    for (number, disk) in group["data_disks"].as_array().into_iter().flatten().enumerate() {
        let field = |field: &str| disk[field].as_str().unwrap_or_default().to_owned();
        pairs.push((format!("DataDisk.{}.Category", number + 1), field("category")));
        pairs.push((format!("DataDisk.{}.Size", number + 1), disk["size"].to_string()));
        pairs.push((format!("DataDisk.{}.PerformanceLevel", number + 1), field("performance_level")));
    }
    let mut tags = pool.tags();
    tags.insert("ack.aliyun.com".to_owned(), cluster.id.clone());
    tags.insert(POOL_TAG.to_owned(), pool.id.clone());
    for (number, (key, value)) in tags.into_iter().enumerate() {
        pairs.push((format!("Tag.{}.Key", number + 1), key));
        pairs.push((format!("Tag.{}.Value", number + 1), value));
    }
    pairs.retain(|(_, value)| !value.is_empty() && value != "null");
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let made = with(call, &pairs, run::run)?;
    Ok(made["InstanceIdSets"]["InstanceIdSet"][0].as_str().unwrap_or_default().to_owned())
}

/// Releases what instances there are of a pool.
pub(super) fn release_all(world: &mut World, pool: &str, stopping: std::time::Duration, now: Timestamp) {
    let ids = world.node_pools.get(pool).map(|row| row.instances.clone()).unwrap_or_default();
    for id in ids {
        if world.instances.get(&id).is_some_and(|row| !row.is_released()) {
            release::by_owner(world, &id, stopping, now);
        }
    }
}

/// Lets go of instances that are gone, and of pools that are deleted and have none left.
pub(crate) fn go_on(space: &mut Space, _shared: &Shared) -> Option<Timestamp> {
    let pools: Vec<NodePool> = of_cluster(space.world, space.cluster).cloned().collect();
    let mut next = None;
    for pool in pools {
        let left: Vec<String> = pool.instances.iter().filter(|id| space.world.instances.contains(id)).cloned().collect();
        if left.len() != pool.instances.len()
            && let Some(row) = space.world.node_pools.get_mut(&pool.id)
        {
            row.instances.clone_from(&left);
            // Whoever releases a node by hand wants one fewer.
            row.desired = row.desired.min(left.len());
        }
        match &pool.deletion {
            Some(task) if left.is_empty() => {
                space.world.node_pools.remove(&pool.id);
                task::end(space.world, task, space.now, None);
            }
            _ if pool.busy_until > space.now => next = Some(next.map_or(pool.busy_until, |next: Timestamp| next.min(pool.busy_until))),
            _ => {}
        }
    }
    next
}

/// How a pool's nodes stand.
pub(super) fn counts(world: &World, pool: &NodePool, ready: &dyn Fn(&Instance) -> bool) -> Json {
    let rows: Vec<&Instance> = pool.instances.iter().filter_map(|id| world.instances.get(id)).collect();
    let removing = rows.iter().filter(|row| row.is_released()).count();
    let healthy = rows.iter().filter(|row| ready(row)).count();
    json!({
        "total_nodes": rows.len(),
        "healthy_nodes": healthy,
        "serving_nodes": healthy,
        "initial_nodes": rows.len() - removing - healthy,
        "removing_nodes": removing,
        "failed_nodes": 0,
        "offline_nodes": 0,
    })
}
