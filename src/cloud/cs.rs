//! Container Service (ACK), version 2015-12-15: clusters, node pools, kubeconfigs.

#![expect(missing_docs, reason = "the fields carry the API's own names, which its reference explains")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::api::{list, roa};

roa! {
    CreateCluster => ClusterTask, Cs, Safe, "POST /clusters";
    DescribeClusterDetail => Cluster, Cs, Safe, "GET /clusters/{cluster_id}";
    DescribeClustersV1 => DescribeClustersV1Response, Cs, Safe, "GET /api/v1/clusters";
    DeleteCluster => ClusterTask, Cs, Safe, "DELETE /clusters/{cluster_id}";
    DescribeClusterUserKubeconfig => Kubeconfig, Cs, Safe, "GET /k8s/{cluster_id}/user_config";
    DeleteClusterNodepool => PoolTask, Cs, Safe, "DELETE /clusters/{cluster_id}/nodepools/{nodepool_id}";
    CreateClusterNodePool => CreateClusterNodePoolResponse, Cs, Unsafe, "POST /clusters/{cluster_id}/nodepools";
    DescribeClusterNodePools => DescribeClusterNodePoolsResponse, Cs, Safe, "GET /clusters/{cluster_id}/nodepools";
    DescribeClusterNodes => DescribeClusterNodesResponse, Cs, Safe, "GET /clusters/{cluster_id}/nodes";
    DescribeTaskInfo => TaskInfo, Cs, Safe, "GET /tasks/{task_id}";
}

/// Makes a cluster. Its tags are what it is found by again.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct CreateCluster {
    pub name: String,
    pub region_id: String,
    /// `ManagedKubernetes`.
    pub cluster_type: String,
    /// `ack.standard` is free of a fee, `ack.pro.small` is not.
    pub cluster_spec: String,
    pub kubernetes_version: Option<String>,
    pub vpcid: String,
    pub vswitch_ids: Vec<String>,
    pub container_cidr: String,
    pub service_cidr: String,
    pub snat_entry: bool,
    pub endpoint_public_access: bool,
    pub deletion_protection: bool,
    pub tags: Vec<ClusterTag>,
    pub nodepools: Vec<NodePool>,
    pub client_token: String,
}

/// A cluster's tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterTag {
    pub key: String,
    pub value: String,
}

/// Nodes of one kind.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct NodePool {
    pub nodepool_info: NodePoolInfo,
    pub scaling_group: ScalingGroup,
    pub kubernetes_config: KubernetesConfig,
}

/// How its nodes join the cluster.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct KubernetesConfig {
    pub labels: Vec<ClusterTag>,
}

/// A node pool's name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodePoolInfo {
    #[serde(default)]
    pub name: String,
}

/// What its nodes are.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct ScalingGroup {
    pub instance_types: Vec<String>,
    pub vswitch_ids: Vec<String>,
    pub system_disk_category: String,
    /// `PL0`; a category that has levels is `PL1` without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_disk_performance_level: Option<String>,
    pub system_disk_size: u32,
    pub desired_size: u32,
    pub instance_charge_type: String,
    pub image_type: Option<String>,
    /// Mbit/s to the internet for each node; 0 for no public address.
    pub internet_max_bandwidth_out: u32,
    /// `SpotAsPriceGo` or `SpotWithPriceLimit` for nodes that may be taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spot_strategy: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub spot_price_limit: Vec<SpotPriceLimit>,
}

/// What an hour of a type may cost at most.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct SpotPriceLimit {
    pub instance_type: String,
    /// CNY.
    pub price_limit: String,
}

/// What changes of a cluster answer.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ClusterTask {
    #[serde(default)]
    pub cluster_id: String,
    #[serde(default)]
    pub task_id: String,
}

/// Asks for a cluster.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DescribeClusterDetail {
    pub cluster_id: String,
}

/// A cluster as it is.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct Cluster {
    #[serde(default)]
    pub cluster_id: String,
    #[serde(default)]
    pub name: String,
    /// `initial`, `running`, `failed`, `deleting`, ...
    #[serde(default)]
    pub state: String,
    #[serde(default)]
    pub cluster_spec: String,
    #[serde(default)]
    pub region_id: String,
    /// With the offset of China.
    #[serde(default)]
    pub created: String,
    #[serde(default)]
    pub vpc_id: String,
    /// The addresses of its pods; empty where pods have addresses of the network.
    #[serde(default)]
    pub subnet_cidr: String,
    #[serde(default)]
    pub service_cidr: String,
    #[serde(default, deserialize_with = "list")]
    pub tags: Vec<ClusterTag>,
}

/// Looks for clusters.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct DescribeClustersV1 {
    pub name: Option<String>,
    pub region_id: Option<String>,
    pub page_number: u32,
    pub page_size: u32,
}

/// A page of clusters.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct DescribeClustersV1Response {
    #[serde(default, deserialize_with = "list")]
    pub clusters: Vec<Cluster>,
    #[serde(default)]
    pub page_info: PageInfo,
}

/// Where a page is.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct PageInfo {
    #[serde(default)]
    pub total_count: i64,
}

/// Deletes a cluster with what it made.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DeleteCluster {
    pub cluster_id: String,
    pub retain_all_resources: bool,
}

/// Asks for a way in.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeClusterUserKubeconfig {
    #[serde(rename = "cluster_id")]
    pub cluster_id: String,
    pub private_ip_address: bool,
    pub temporary_duration_minutes: u32,
}

/// The way in: YAML with a key in it, never to be shown or kept.
#[derive(Deserialize, JsonSchema)]
pub struct Kubeconfig {
    pub config: String,
    #[serde(default)]
    pub expiration: String,
}

impl std::fmt::Debug for Kubeconfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubeconfig").field("expiration", &self.expiration).finish_non_exhaustive()
    }
}

/// Adds nodes of another kind.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct CreateClusterNodePool {
    pub cluster_id: String,
    pub nodepool_info: NodePoolInfo,
    pub scaling_group: ScalingGroup,
    pub kubernetes_config: KubernetesConfig,
}

/// Takes nodes of a kind away.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct DeleteClusterNodepool {
    pub cluster_id: String,
    pub nodepool_id: String,
    pub force: bool,
}

/// What that answers.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct PoolTask {
    #[serde(default)]
    pub task_id: String,
}

/// Which pool it is.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct CreateClusterNodePoolResponse {
    #[serde(default)]
    pub nodepool_id: String,
    #[serde(default)]
    pub task_id: String,
}

/// Asks for a cluster's pools.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DescribeClusterNodePools {
    pub cluster_id: String,
}

/// The pools.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct DescribeClusterNodePoolsResponse {
    #[serde(default, deserialize_with = "list")]
    pub nodepools: Vec<PoolThere>,
}

/// A pool as it is.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct PoolThere {
    #[serde(default)]
    pub nodepool_info: PoolInfo,
    #[serde(default)]
    pub scaling_group: PoolGroup,
    #[serde(default)]
    pub status: PoolStatus,
}

/// What its nodes are.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct PoolGroup {
    #[serde(default, deserialize_with = "list")]
    pub instance_types: Vec<String>,
    #[serde(default, deserialize_with = "list")]
    pub vswitch_ids: Vec<String>,
    #[serde(default)]
    pub system_disk_category: String,
    #[serde(default)]
    pub system_disk_performance_level: Option<String>,
    #[serde(default)]
    pub system_disk_size: u32,
    #[serde(default)]
    pub internet_max_bandwidth_out: u32,
    /// `NoSpot`, `SpotAsPriceGo` or `SpotWithPriceLimit`.
    #[serde(default)]
    pub spot_strategy: Option<String>,
}

/// Its name and identifier.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct PoolInfo {
    #[serde(default)]
    pub nodepool_id: String,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub created: String,
}

/// How its nodes are.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct PoolStatus {
    /// `active`, `scaling`, ...
    #[serde(default)]
    pub state: String,
    #[serde(default)]
    pub healthy_nodes: i64,
    #[serde(default)]
    pub total_nodes: i64,
}

/// Asks for a cluster's nodes.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DescribeClusterNodes {
    #[serde(rename = "cluster_id")]
    pub cluster_id: String,
    pub page_number: String,
    pub page_size: String,
}

/// A page of nodes.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct DescribeClusterNodesResponse {
    #[serde(default, deserialize_with = "list")]
    pub nodes: Vec<ClusterNode>,
}

/// A node as the cluster sees it.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ClusterNode {
    #[serde(default)]
    pub instance_id: String,
    #[serde(default)]
    pub instance_type: String,
    #[serde(default)]
    pub node_name: String,
    /// `Ready`, `NotReady`, `Unknown`, `Offline`.
    #[serde(default)]
    pub node_status: String,
    #[serde(default)]
    pub state: String,
}

/// Asks how a task goes.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DescribeTaskInfo {
    pub task_id: String,
}

/// How it goes.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct TaskInfo {
    /// `running`, `success`, `fail` or `failed`.
    #[serde(default)]
    pub state: String,
    #[serde(default)]
    pub error: Option<TaskError>,
}

/// Why it failed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct TaskError {
    #[serde(default)]
    pub code: String,
    #[serde(default)]
    pub message: String,
}
