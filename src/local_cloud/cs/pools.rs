//! The calls for node pools.

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::create::{Tag, check_name, read_tags};
use super::pool::{self, NodePool};
use super::{Cluster, find, find_running, invalid, moment, task, version};
use crate::local_cloud::call::Call;
use crate::local_cloud::kubernetes::kind;
use crate::local_cloud::roa::RoaCall;
use crate::local_cloud::vswitch;
use crate::local_cloud::wire::fault::Fault;

/// How many nodes one call may make.
const MOST: usize = 100;

/// A pool as CreateClusterNodePool and CreateCluster carry it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PoolRequest {
    nodepool_info: Json,
    scaling_group: Json,
    kubernetes_config: Json,
    auto_scaling: Json,
    management: Json,
    count: Option<usize>,
}

impl PoolRequest {
    pub(super) fn name(&self) -> &str {
        self.nodepool_info["name"].as_str().unwrap_or_default()
    }

    /// How many nodes it begins with.
    pub(super) fn desired(&self) -> usize {
        let size = self.scaling_group["desired_size"].as_u64().and_then(|size| usize::try_from(size).ok());
        size.or(self.count).unwrap_or(0)
    }

    /// What can be said without looking at the cloud.
    pub(super) fn check(&self) -> Result<(), Fault> {
        check_name(self.name())?;
        let group = &self.scaling_group;
        let filled = |field: &str| group[field].as_array().is_some_and(|list| !list.is_empty() && list.iter().all(Json::is_string));
        for field in ["instance_types", "vswitch_ids"] {
            if !filled(field) {
                return Err(invalid(format!("scaling_group.{field} is required")));
            }
        }
        let one_of = |place: &str, value: &Json, known: &[&str]| match value.as_str() {
            Some(text) if !text.is_empty() && !known.contains(&text) => Err(invalid(format!("{place} {text} is not supported"))),
            _ => Ok(()),
        };
        one_of("nodepool_info.type", &self.nodepool_info["type"], &["ess"])?;
        one_of("scaling_group.instance_charge_type", &group["instance_charge_type"], &["PostPaid"])?;
        one_of("scaling_group.multi_az_policy", &group["multi_az_policy"], &["PRIORITY", "COST_OPTIMIZED", "BALANCE"])?;
        one_of("kubernetes_config.runtime", &self.kubernetes_config["runtime"], &[version::RUNTIME.0])?;
        if self.desired() > MOST {
            return Err(invalid(format!("at most {MOST} nodes can be made at once")));
        }
        if self.auto_scaling["enable"] == true && group["desired_size"].is_u64() {
            return Err(invalid("scaling_group.desired_size can't be given with auto scaling"));
        }
        for taint in self.kubernetes_config["taints"].as_array().into_iter().flatten() {
            one_of("kubernetes_config.taints.effect", &taint["effect"], &["NoSchedule", "NoExecute", "PreferNoSchedule"])?;
        }
        let tags: Vec<Tag> = group
            .get("tags")
            .filter(|tags| !tags.is_null())
            .map_or(Ok(Vec::new()), Vec::deserialize)
            .map_err(|error| invalid(format!("scaling_group.tags: {error}")))?;
        read_tags(&tags).map(drop)
    }

    /// What is kept of it, with what it leaves out. A password is never kept.
    pub(super) fn spec(&self) -> Json {
        let mut group = if self.scaling_group.is_object() { self.scaling_group.clone() } else { json!({}) };
        group.as_object_mut().map(|group| group.remove("login_password"));
        let usual = [
            ("instance_charge_type", json!("PostPaid")),
            ("multi_az_policy", json!("BALANCE")),
            ("system_disk_category", json!("cloud_essd")),
            ("system_disk_size", json!(120)),
            ("spot_strategy", json!("NoSpot")),
            ("image_type", json!("AliyunLinux3")),
            ("platform", json!("AliyunLinux")),
            ("data_disks", json!([])),
            ("security_group_ids", json!([])),
            ("tags", json!([])),
        ];
        for (field, value) in usual {
            if group[field].is_null() || group[field] == "" {
                group[field] = value;
            }
        }
        let mut config = if self.kubernetes_config.is_object() { self.kubernetes_config.clone() } else { json!({}) };
        for (field, value) in [
            ("runtime", json!(version::RUNTIME.0)),
            ("runtime_version", json!(version::RUNTIME.1)),
            ("cpu_policy", json!("none")),
            ("labels", json!([])),
            ("taints", json!([])),
            ("unschedulable", json!(false)),
            ("cms_enabled", json!(false)),
        ] {
            if config[field].is_null() || config[field] == "" {
                config[field] = value;
            }
        }
        let or_off = |object: &Json| if object.is_object() { object.clone() } else { json!({ "enable": false }) };
        json!({
            "scaling_group": group,
            "kubernetes_config": config,
            "auto_scaling": or_off(&self.auto_scaling),
            "management": or_off(&self.management),
        })
    }
}

/// Checks what depends on the cluster.
fn check_places(call: &Call, cluster: &Cluster, request: &PoolRequest) -> Result<(), Fault> {
    for id in request.scaling_group["vswitch_ids"].as_array().into_iter().flatten().filter_map(Json::as_str) {
        if vswitch::find(call, id)?.vpc != cluster.vpc {
            return Err(invalid(format!("vSwitch {id} is not in VPC {}", cluster.vpc)));
        }
    }
    for kind in request.scaling_group["instance_types"].as_array().into_iter().flatten().filter_map(Json::as_str) {
        if !call.catalog.types.contains_key(kind) {
            return Err(invalid(format!("instance type {kind} does not exist")));
        }
    }
    Ok(())
}

/// CreateClusterNodePool.
pub(super) async fn create(call: &RoaCall<'_>, id: &str) -> Result<Json, Fault> {
    let request: PoolRequest = call.body()?;
    call.commit(|inner| {
        let cluster = find_running(call, inner.world, id, inner.now)?.clone();
        request.check()?;
        check_places(inner, &cluster, &request)?;
        if pool::of_cluster(inner.world, id).any(|other| other.name == request.name()) {
            return Err(Fault::bad("ErrorNodePoolNameAlreadyExist", "node pool name already exist"));
        }
        inner.check_balance()?;
        let (pool, task) = pool::add(inner, &cluster, &request, request.desired());
        Ok(json!({ "nodepool_id": pool, "task_id": task, "request_id": call.request_id }))
    })
    .await
}

fn pool_of<'a>(inner: &'a Call, cluster: &str, id: &str) -> Result<&'a NodePool, Fault> {
    let found = inner.world.node_pools.get(id).filter(|pool| pool.cluster == cluster);
    found.ok_or_else(|| Fault::missing("ErrorNodePoolNotFound", "node pool not found"))
}

/// A pool as descriptions show it.
fn row(inner: &Call, cluster: &Cluster, pool: &NodePool) -> Json {
    let nodes_ready = |instance: &crate::local_cloud::instance::Instance| is_ready(inner, cluster, &pool::node_name(instance));
    let mut status = pool::counts(inner.world, pool, &nodes_ready);
    status["state"] = pool.state(inner.now).into();
    let mut group = pool.spec["scaling_group"].clone();
    group["desired_size"] = pool.desired.into();
    group["scaling_group_id"] = format!("asg-{}", &pool.id[2..22]).into();
    group["security_group_id"] = cluster.security_group.clone().into();
    json!({
        "nodepool_info": {
            "nodepool_id": pool.id,
            "name": pool.name,
            "type": "ess",
            "is_default": pool.is_default,
            "region_id": cluster.region,
            "resource_group_id": pool.resource_group,
            "created": moment(pool.created),
            "updated": moment(pool.updated),
        },
        "status": status,
        "scaling_group": group,
        "kubernetes_config": pool.spec["kubernetes_config"],
        "auto_scaling": pool.spec["auto_scaling"],
        "management": pool.spec["management"],
        "tee_config": { "tee_enable": false },
        "node_config": {},
        "interconnect_mode": "basic",
        "max_nodes": 0,
    })
}

/// Whether a node is there and ready.
pub(super) fn is_ready(inner: &Call, cluster: &Cluster, node: &str) -> bool {
    let key = format!("{}/{}//{node}", cluster.id, kind::NODES.id());
    inner.world.kubernetes.get(&key).is_some_and(|node| node["status"]["conditions"][0]["status"] == "True")
}

/// DescribeClusterNodePools.
pub(super) async fn describe_all(call: &RoaCall<'_>, id: &str) -> Result<Json, Fault> {
    let name = call.params.text("NodepoolName").unwrap_or_default().to_owned();
    call.commit(|inner| {
        let cluster = find(call, inner.world, id)?.clone();
        let fitting = pool::of_cluster(inner.world, id).filter(|pool| name.is_empty() || pool.name == name);
        let rows: Vec<Json> = fitting.map(|pool| row(inner, &cluster, pool)).collect();
        Ok(json!({ "nodepools": rows }))
    })
    .await
}

/// DescribeClusterNodePoolDetail.
pub(super) async fn describe_one(call: &RoaCall<'_>, id: &str, pool: &str) -> Result<Json, Fault> {
    call.commit(|inner| {
        let cluster = find(call, inner.world, id)?.clone();
        Ok(row(inner, &cluster, pool_of(inner, id, pool)?))
    })
    .await
}

/// ScaleClusterNodePool: so many nodes more.
pub(super) async fn scale(call: &RoaCall<'_>, id: &str, pool: &str) -> Result<Json, Fault> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Request {
        count: usize,
    }
    let Request { count } = call.body()?;
    call.commit(|inner| {
        let cluster = find_running(call, inner.world, id, inner.now)?.clone();
        let row = pool_of(inner, id, pool)?;
        if row.state(inner.now) != "active" {
            return Err(Fault::bad("ErrorNodePoolState", format!("the node pool is {}", row.state(inner.now))));
        }
        if !(1..=MOST).contains(&count) {
            return Err(invalid(format!("count must be between 1 and {MOST}")));
        }
        inner.check_balance()?;
        Ok(json!({ "task_id": pool::grow(inner, &cluster, pool, count, "nodepool_scaleout") }))
    })
    .await
}

/// DeleteClusterNodepool: its nodes are released first.
pub(super) async fn delete(call: &RoaCall<'_>, id: &str, pool: &str) -> Result<Json, Fault> {
    call.params.boolean("force")?;
    call.commit(|inner| {
        find_running(call, inner.world, id, inner.now)?;
        let known = pool_of(inner, id, pool)?.deletion.clone();
        let task = match known {
            Some(task) => task,
            None => task::begin(inner, "nodepool_delete", id, ("nodepool", pool), None),
        };
        if let Some(row) = inner.world.node_pools.get_mut(pool) {
            row.deletion = Some(task.clone());
            row.updated = inner.now;
        }
        let stopping = inner.config.latency.of(|latency| latency.instance_stopping);
        pool::release_all(inner.world, pool, stopping, inner.now);
        inner.world.index.kubernetes.wake(id);
        Ok(json!({ "task_id": task, "request_id": call.request_id }))
    })
    .await
}
