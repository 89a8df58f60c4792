//! The nodes of a cluster: a pool for each job, made by a call of its own, since only its task says why nodes don't come.
//! A pool that has to be another one goes first. It never leaves one behind that it was not told to have.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::cluster::{NODES_LABEL, PoolSpec, PoolSpot};
use super::error::ResourceError;
use super::kind::{Context, needed};
use crate::cloud::api::ask;
use crate::cloud::cs::{
    ClusterTag, CreateClusterNodePool, DeleteClusterNodepool, DescribeClusterNodePools, DescribeTaskInfo, KubernetesConfig, NodePoolInfo,
    PoolThere, ScalingGroup, SpotPriceLimit,
};
use crate::model::value::Value;

/// Refusals that only mean that the cluster is busy, or that the pool is there already.
const LATER: &[&str] = &["ErrorClusterState", "ErrorNodePoolNameAlreadyExist", "ErrorNodePoolState", "StateError"];

/// What is known of the pools that are being made: the task of each, by its job.
#[derive(Default)]
pub(super) struct Pools {
    tasks: BTreeMap<String, String>,
    /// When the last one was made, as it says.
    pub(super) last: Option<String>,
}

fn group(spec: &PoolSpec) -> Result<ScalingGroup, ResourceError> {
    let cap = spec.spot.as_ref().and_then(|spot| spot.cap);
    let strategy = spec.spot.as_ref().map(|_| if cap.is_some() { "SpotWithPriceLimit" } else { "SpotAsPriceGo" });
    let limit = |cap: crate::model::money::Money| SpotPriceLimit {
        instance_type: spec.instance_type.clone(),
        price_limit: cap.amount.normalize().to_string(),
    };
    Ok(ScalingGroup {
        instance_types: vec![spec.instance_type.clone()],
        vswitch_ids: vec![needed(&spec.vswitch_id)?.clone()],
        system_disk_category: spec.disk_category.clone(),
        system_disk_performance_level: spec.disk_level.clone(),
        system_disk_size: spec.disk_size,
        desired_size: spec.nodes,
        instance_charge_type: "PostPaid".to_owned(),
        image_type: Some("AliyunLinux3".to_owned()),
        internet_max_bandwidth_out: spec.bandwidth,
        spot_strategy: strategy.map(str::to_owned),
        spot_price_limit: cap.map(limit).into_iter().collect(),
    })
}

/// A pool as a spec, as far as it says so itself.
pub(super) fn there(pool: PoolThere) -> PoolSpec {
    let group = pool.scaling_group;
    PoolSpec {
        job: pool.nodepool_info.name,
        instance_type: group.instance_types.into_iter().next().unwrap_or_default(),
        zone: String::new(),
        vswitch_id: Value::Known(group.vswitch_ids.into_iter().next().unwrap_or_default()),
        disk_category: group.system_disk_category,
        disk_level: group.system_disk_performance_level.filter(|level| !level.is_empty()),
        disk_size: group.system_disk_size,
        bandwidth: group.internet_max_bandwidth_out,
        nodes: u32::try_from(pool.status.total_nodes).unwrap_or(0),
        spot: group.spot_strategy.filter(|strategy| strategy.starts_with("Spot")).map(|_| PoolSpot { cap: None }),
    }
}

/// When the last of them was made.
pub(super) fn last(pools: &[PoolThere]) -> Option<String> {
    let moments =
        pools.iter().filter_map(|pool| Some((pool.nodepool_info.created.parse::<Timestamp>().ok()?, &pool.nodepool_info.created)));
    moments.max().map(|(_, created)| created.clone())
}

/// Whether a pool has the nodes that are wanted, or is to have them.
fn is_wanted(there: &PoolThere, spec: &PoolSpec) -> Result<bool, ResourceError> {
    let group = &there.scaling_group;
    Ok(group.instance_types == [spec.instance_type.clone()] && group.vswitch_ids == [needed(&spec.vswitch_id)?.clone()])
}

impl Pools {
    /// Brings them closer to what is wanted; what is waited for, and nothing once every node is ready.
    pub(super) async fn settle(
        &mut self,
        context: &Context<'_>,
        cluster: &str,
        wanted: &[PoolSpec],
    ) -> Result<Option<String>, ResourceError> {
        let there = ask(context.cloud, context.region, &DescribeClusterNodePools { cluster_id: cluster.to_owned() }).await?.nodepools;
        self.last = last(&there);
        let (mut ready, mut all) = (0, 0);
        for spec in wanted {
            all += i64::from(spec.nodes);
            let pool = there.iter().find(|pool| pool.nodepool_info.name == spec.job);
            let Some(pool) = pool else {
                self.make(context, cluster, spec).await?;
                continue;
            };
            if pool.status.state == "deleting" {
                continue;
            }
            let task = self.tasks.get(&spec.job).cloned();
            // Why its nodes don't come is known only to who made it.
            let silent = task.is_none() && pool.status.state == "active" && pool.status.total_nodes < i64::from(spec.nodes);
            if silent || !is_wanted(pool, spec)? {
                remove(context, cluster, pool).await?;
                continue;
            }
            if let Some(task) = task {
                failed(context, spec, task).await?;
            }
            ready += pool.status.healthy_nodes;
        }
        Ok((ready < all).then(|| format!("{ready} of {all} nodes ready")))
    }

    async fn make(&mut self, context: &Context<'_>, cluster: &str, spec: &PoolSpec) -> Result<(), ResourceError> {
        let call = CreateClusterNodePool {
            cluster_id: cluster.to_owned(),
            nodepool_info: NodePoolInfo { name: spec.job.clone() },
            scaling_group: group(spec)?,
            kubernetes_config: KubernetesConfig { labels: vec![ClusterTag { key: NODES_LABEL.to_owned(), value: spec.job.clone() }] },
        };
        match ask(context.cloud, context.region, &call).await.map_err(ResourceError::from) {
            Ok(made) => drop(self.tasks.insert(spec.job.clone(), made.task_id)),
            Err(ResourceError::Api(error)) if error.is(LATER) => {}
            // The next look tells whether it came.
            Err(error) if error.is_uncertain() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Fails if the task of a pool did, with its reason.
async fn failed(context: &Context<'_>, spec: &PoolSpec, task_id: String) -> Result<(), ResourceError> {
    let task = ask(context.cloud, context.region, &DescribeTaskInfo { task_id }).await?;
    if !matches!(task.state.as_str(), "fail" | "failed") {
        return Ok(());
    }
    let error = task.error.unwrap_or_default();
    let what = format!("the nodes for job `{}`", spec.job);
    Err(ResourceError::Denied { what, code: error.code, message: error.message })
}

async fn remove(context: &Context<'_>, cluster: &str, pool: &PoolThere) -> Result<(), ResourceError> {
    let call = DeleteClusterNodepool { cluster_id: cluster.to_owned(), nodepool_id: pool.nodepool_info.nodepool_id.clone(), force: true };
    match ask(context.cloud, context.region, &call).await {
        Err(error) if !error.is_not_found() && !error.is(LATER) => Err(error.into()),
        _ => Ok(()),
    }
}
