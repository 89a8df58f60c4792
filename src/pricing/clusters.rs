//! Which clusters there are already, and whether a job can run in one of them. It changes none.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::cloud::api::ask;
use crate::cloud::call::Cloud;
use crate::cloud::cs::{DescribeClusterNodes, DescribeClustersV1};
use crate::cloud::error::ApiError;
use crate::cloud::kubernetes::{KubernetesError, connect};

/// The most clusters of a page, and the most nodes.
const PAGE: u32 = 50;
/// What a run does in a cluster: verb, group, resource.
const NEEDED: &[(&str, &str, &str)] =
    &[("create", "batch", "jobs"), ("delete", "batch", "jobs"), ("create", "", "secrets"), ("list", "", "pods"), ("get", "", "pods/log")];

/// A cluster that exists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterFound {
    /// Its identifier.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `running`, or why it is of no use.
    pub state: String,
    /// Its network.
    pub vpc_id: String,
    /// The addresses of its pods and of its services, as far as they have ranges of their own.
    pub ranges: Vec<String>,
    /// Its tags, key and value.
    pub tags: Vec<(String, String)>,
}

/// Whether a job can run in a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// How many of its nodes are ready.
    pub ready_nodes: usize,
    /// What those are, as far as the first of them were looked at: `ecs.gn6i-c4g1.xlarge`, each type once.
    pub types: BTreeSet<String>,
    /// What we may not do there, `create batch/jobs`; empty if we may do all that is needed.
    pub forbidden: Vec<String>,
}

pub(super) async fn list(cloud: &dyn Cloud, region: &str) -> Result<Vec<ClusterFound>, ApiError> {
    let mut all = Vec::new();
    for page_number in 1.. {
        let query = DescribeClustersV1 { name: None, region_id: Some(region.to_owned()), page_number, page_size: PAGE };
        let page = ask(cloud, region, &query).await?;
        let last = page.clusters.is_empty();
        all.extend(page.clusters.into_iter().map(|cluster| ClusterFound {
            id: cluster.cluster_id,
            name: cluster.name,
            state: cluster.state,
            vpc_id: cluster.vpc_id,
            ranges: [cluster.subnet_cidr, cluster.service_cidr].into_iter().filter(|range| !range.is_empty()).collect(),
            tags: cluster.tags.into_iter().map(|tag| (tag.key, tag.value)).collect(),
        }));
        if last || i64::try_from(all.len()).is_ok_and(|length| length >= page.page_info.total_count) {
            break;
        }
    }
    all.retain(|cluster| !matches!(cluster.state.as_str(), "deleting" | "deleted"));
    Ok(all)
}

pub(super) async fn readiness(cloud: &dyn Cloud, region: &str, id: &str, namespace: &str) -> Result<Readiness, KubernetesError> {
    // One that is ready is enough: of a large cluster the first page has one.
    let query = DescribeClusterNodes { cluster_id: id.to_owned(), page_number: "1".to_owned(), page_size: PAGE.to_string() };
    let nodes = ask(cloud, region, &query).await?.nodes;
    let api = connect(cloud, region, id, Duration::ZERO).await?;
    let mut forbidden = Vec::new();
    for (verb, group, resource) in NEEDED {
        if !api.may(namespace, verb, group, resource).await? {
            let group = if group.is_empty() { String::new() } else { format!("{group}/") };
            forbidden.push(format!("{verb} {group}{resource}"));
        }
    }
    let ready = || nodes.iter().filter(|node| node.node_status == "Ready");
    let types = ready().map(|node| node.instance_type.clone()).collect();
    Ok(Readiness { ready_nodes: ready().count(), types, forbidden })
}
