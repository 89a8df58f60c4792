//! A managed Kubernetes cluster with its nodes, made for the jobs of a stack. It is made and deleted, never changed. What
//! runs in it is no concern of this kind.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::error::ResourceError;
use super::kind::{Context, Priced, ReadContext, ResourceKind, TAG_DEADLINE, needed};
use super::node_pools::{self, Pools};
use super::tagged::{Tagged, tags};
use super::wait::{self, Look};
use crate::cloud::api::{Tag, ask};
use crate::cloud::cs::{
    Cluster, ClusterTag, CreateCluster, DeleteCluster, DescribeClusterDetail, DescribeClusterNodePools, DescribeClustersV1, PoolThere,
};
use crate::model::address::{Address, Kind};
use crate::model::change::Effect;
use crate::model::money::Money;
use crate::model::units;
use crate::model::value::Value;

/// A cluster takes 5 to 15 minutes, its nodes some more.
const LIMIT: Duration = Duration::from_secs(2400);
/// The most clusters of a page.
const PAGE: u32 = 50;
/// Refusals that only mean that what was made a moment ago is not ready for it.
const BUSY: &[&str] = &["IncorrectVSwitchStatus", "IncorrectVpcStatus", "IdempotentProcessing", "LastTokenProcessing"];
/// Refusals of a deletion as long as the cluster is being made, or something in it is.
const LINGERING: &[&str] = &["ErrorClusterState", "ErrorCheckAcl", "StateError", "ErrorClusterStateNotRunning"];
/// The label by which pods find the nodes made for their job.
pub const NODES_LABEL: &str = "aliform/job";

/// What is wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClusterSpec {
    /// Its name: no two clusters of a region share one.
    pub name: String,
    /// Whether its control plane is that of the Pro edition, which has a fee.
    pub pro: bool,
    /// Its network.
    pub vpc_id: Value<String>,
    /// The addresses of its pods.
    pub pod_cidr: String,
    /// The addresses of its services.
    pub service_cidr: String,
    /// Its nodes, of one kind for each job.
    pub pools: Vec<PoolSpec>,
    /// For how many seconds it is needed at most; without it, it stays. The cloud ends no cluster by itself: this becomes
    /// a tag that says from when on it serves nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needed_for: Option<u64>,
}

/// The nodes of one job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PoolSpec {
    /// The job.
    pub job: String,
    /// `ecs.u1-c1m2.large`.
    pub instance_type: String,
    /// The zone they stand in.
    pub zone: String,
    /// Their subnet.
    pub vswitch_id: Value<String>,
    /// `cloud_essd`.
    pub disk_category: String,
    /// `PL0`, where the category has levels.
    pub disk_level: Option<String>,
    /// GiB.
    pub disk_size: u32,
    /// Mbit/s to the internet, paid by traffic; 0 means no public address.
    pub bandwidth: u32,
    /// How many.
    pub nodes: u32,
    /// Whether they are bought at the price of the market, and may be taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spot: Option<PoolSpot>,
}

/// Nodes at the price of the market.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PoolSpot {
    /// What an hour of one may cost at most, its disk aside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<Money>,
}

/// What the cloud says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClusterAttributes {
    /// `c` and 32 digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `initial`, `running`, `failed`, `deleting`, ...
    pub status: String,
    /// Its network.
    pub vpc_id: String,
    /// When it was made.
    #[serde(default)]
    pub created_at: String,
    /// When its last nodes were asked for: what they cost counts from then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes_from: Option<String>,
}

/// The kind.
pub struct ClusterKind;

fn attributes(cluster: Cluster) -> ClusterAttributes {
    let Cluster { cluster_id: id, name, state: status, vpc_id, created: created_at, .. } = cluster;
    ClusterAttributes { id, name, status, vpc_id, created_at, nodes_from: None }
}

/// Every cluster of the region.
async fn list(context: &ReadContext<'_>) -> Result<Vec<Cluster>, ResourceError> {
    let mut all = Vec::new();
    for page_number in 1.. {
        let query = DescribeClustersV1 { name: None, region_id: Some(context.region.to_owned()), page_number, page_size: PAGE };
        let page = ask(context.cloud, context.region, &query).await?;
        let last = page.clusters.is_empty();
        all.extend(page.clusters);
        if last || i64::try_from(all.len()).is_ok_and(|length| length >= page.page_info.total_count) {
            break;
        }
    }
    all.retain(|cluster| cluster.state != "deleted");
    Ok(all)
}

async fn read(context: &ReadContext<'_>, id: &str) -> Result<Option<ClusterAttributes>, ResourceError> {
    match ask(context.cloud, context.region, &DescribeClusterDetail { cluster_id: id.to_owned() }).await {
        Ok(cluster) => Ok(Some(cluster).filter(|cluster| cluster.state != "deleted").map(attributes)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn cluster_tags(tags: Vec<Tag>) -> Vec<ClusterTag> {
    tags.into_iter().map(|tag| ClusterTag { key: tag.key, value: tag.value }).collect()
}

/// The nodes of a cluster, pool by pool.
async fn pools(context: &ReadContext<'_>, cluster: &Cluster) -> Result<Vec<PoolThere>, ResourceError> {
    match ask(context.cloud, context.region, &DescribeClusterNodePools { cluster_id: cluster.cluster_id.clone() }).await {
        Ok(answer) => Ok(answer.nodepools),
        // It is on its way out, or has never come.
        Err(error) if error.is_not_found() || cluster.state != "running" => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// A cluster as a spec, as far as it says so itself.
async fn there(context: &ReadContext<'_>, cluster: Cluster) -> Result<ClusterSpec, ResourceError> {
    let pools = pools(context, &cluster).await?;
    Ok(ClusterSpec {
        pools: pools.into_iter().map(node_pools::there).collect(),
        pro: cluster.cluster_spec.contains("pro"),
        name: cluster.name,
        vpc_id: Value::Known(cluster.vpc_id),
        pod_cidr: cluster.subnet_cidr,
        service_cidr: cluster.service_cidr,
        needed_for: None,
    })
}

#[async_trait(?Send)]
impl ResourceKind for ClusterKind {
    const KIND: Kind = Kind::Cluster;
    type Spec = ClusterSpec;
    type Attributes = ClusterAttributes;

    fn effect(path: &str, _before: &Json, _after: &Json) -> Effect {
        // How long it is needed is written once; a longer job needs no other cluster.
        if path == "needed_for" { Effect::InPlace } else { Effect::ForcesReplace }
    }

    fn observed(spec: ClusterSpec, attributes: &ClusterAttributes) -> ClusterSpec {
        ClusterSpec { name: attributes.name.clone(), vpc_id: Value::Known(attributes.vpc_id.clone()), ..spec }
    }

    fn priced(spec: &ClusterSpec) -> Option<Priced> {
        let node = |pool: &PoolSpec| Priced::Instance {
            instance_type: pool.instance_type.clone(),
            zone: pool.zone.clone(),
            disk_category: pool.disk_category.clone(),
            disk_level: pool.disk_level.clone(),
            disk_size: pool.disk_size,
            bandwidth: pool.bandwidth,
            spot: pool.spot.is_some(),
        };
        let nodes = spec.pools.iter().flat_map(|pool| std::iter::repeat_n(node(pool), usize::try_from(pool.nodes).unwrap_or(0)));
        Some(Priced::Cluster { pro: spec.pro, nodes: nodes.collect() })
    }

    /// Nothing does. Releasing its nodes would not help: a node pool replaces a node that is released behind its back, "which
    /// can cause unexpected costs". Source: help of ACK, "Scale a node pool"; CreateCluster knows no end either.
    fn last_resort(spec: &ClusterSpec) -> Option<String> {
        let after = units::Duration::of(spec.needed_for?);
        Some(format!("nothing in the cloud ends it: `aliform sweep --expired` does, from {after} after it came (tag {TAG_DEADLINE})"))
    }

    async fn read_many(
        context: &ReadContext<'_>,
        known: &[(Address, String, Json)],
    ) -> Result<BTreeMap<String, ClusterAttributes>, ResourceError> {
        let mut found = BTreeMap::new();
        for cluster in list(context).await?.into_iter().filter(|cluster| known.iter().any(|(_, id, _)| *id == cluster.cluster_id)) {
            let nodes_from = node_pools::last(&pools(context, &cluster).await?);
            found.insert(cluster.cluster_id.clone(), ClusterAttributes { nodes_from, ..attributes(cluster) });
        }
        Ok(found)
    }

    async fn create(context: &Context<'_>, spec: &ClusterSpec) -> Result<String, ResourceError> {
        let mut vswitches: Vec<String> =
            spec.pools.iter().map(|pool| needed(&pool.vswitch_id).cloned()).collect::<Result<_, ResourceError>>()?;
        vswitches.dedup();
        let call = CreateCluster {
            name: spec.name.clone(),
            region_id: context.region.to_owned(),
            cluster_type: "ManagedKubernetes".to_owned(),
            cluster_spec: if spec.pro { "ack.pro.small" } else { "ack.standard" }.to_owned(),
            kubernetes_version: None,
            vpcid: needed(&spec.vpc_id)?.clone(),
            vswitch_ids: vswitches,
            container_cidr: spec.pod_cidr.clone(),
            service_cidr: spec.service_cidr.clone(),
            snat_entry: false,
            // Whoever starts the job stands outside of the network.
            endpoint_public_access: true,
            deletion_protection: false,
            tags: cluster_tags(context.new_tags()),
            // They come one by one, once it runs.
            nodepools: Vec::new(),
            client_token: context.token.to_owned(),
        };
        let made = wait::while_refused(context, "create the cluster", BUSY, Duration::from_secs(120), async || {
            ask(context.cloud, context.region, &call).await
        })
        .await?;
        Ok(made.cluster_id)
    }

    async fn converge(context: &Context<'_>, id: &str, spec: &ClusterSpec) -> Result<ClusterAttributes, ResourceError> {
        let mut pools = Pools::default();
        wait::until(context, "the cluster and its nodes", LIMIT, async || {
            let Some(cluster) = read(&context.reading(), id).await? else { return Ok(Look::Absent(id.to_owned())) };
            match cluster.status.as_str() {
                "running" => {}
                "failed" | "delete_failed" | "deleting" => {
                    return Err(ResourceError::Stuck {
                        what: format!("cluster `{id}`"),
                        because: format!("its state is `{}`; its task log in the Container Service console says why", cluster.status),
                    });
                }
                status => return Ok(Look::NotYet(status.to_owned())),
            }
            Ok(match pools.settle(context, id, &spec.pools).await? {
                None => Look::Ready(ClusterAttributes { nodes_from: pools.last.take(), ..cluster }),
                Some(status) => Look::NotYet(status),
            })
        })
        .await
    }

    async fn delete(context: &Context<'_>, id: &str, _spec: &ClusterSpec) -> Result<(), ResourceError> {
        let call = DeleteCluster { cluster_id: id.to_owned(), retain_all_resources: false };
        match wait::while_refused(context, "delete the cluster", LINGERING, LIMIT, async || ask(context.cloud, context.region, &call).await)
            .await
        {
            Err(ResourceError::Api(error)) if error.is_not_found() => return Ok(()),
            other => other?,
        };
        wait::until(context, "the cluster and its nodes to be gone", LIMIT, async || match read(&context.reading(), id).await? {
            None => Ok(Look::Ready(())),
            Some(cluster) if cluster.status == "delete_failed" => Err(ResourceError::Stuck {
                what: format!("the deletion of cluster `{id}`"),
                because: "something in it holds it back; its task log in the Container Service console says what".to_owned(),
            }),
            Some(cluster) => Ok(Look::NotYet(cluster.status)),
        })
        .await
    }

    async fn find(context: &Context<'_>, _spec: &ClusterSpec) -> Result<Option<String>, ResourceError> {
        let wanted = cluster_tags(context.tags());
        let own = |cluster: &Cluster| wanted.iter().all(|tag| cluster.tags.contains(tag));
        Ok(list(&context.reading()).await?.into_iter().find(own).map(|cluster| cluster.cluster_id))
    }

    async fn tagged(context: &ReadContext<'_>) -> Result<Vec<Tagged<ClusterSpec>>, ResourceError> {
        let mut found = Vec::new();
        for cluster in list(context).await? {
            let own = tags(cluster.tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())));
            let bare = Tagged::new(&cluster.cluster_id, own, &cluster.created, ());
            if bare.is_ours() {
                let spec = there(context, cluster).await?;
                found.push(bare.map(|()| spec));
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_is_priced() {
        let pool = PoolSpec {
            job: "train".to_owned(),
            instance_type: "ecs.c7.large".to_owned(),
            zone: "cn-hangzhou-h".to_owned(),
            vswitch_id: Value::Known("vsw-1".to_owned()),
            disk_category: "cloud_essd".to_owned(),
            disk_level: Some("PL0".to_owned()),
            disk_size: 40,
            bandwidth: 0,
            nodes: 2,
            spot: None,
        };
        let spec = ClusterSpec {
            name: "lab".to_owned(),
            pro: true,
            vpc_id: Value::Known("vpc-1".to_owned()),
            pod_cidr: "172.20.0.0/16".to_owned(),
            service_cidr: "172.21.0.0/20".to_owned(),
            pools: vec![pool],
            needed_for: None,
        };
        let Some(Priced::Cluster { pro: true, nodes }) = ClusterKind::priced(&spec) else { panic!("it has a price") };
        assert_eq!(nodes.len(), 2);
    }
}
