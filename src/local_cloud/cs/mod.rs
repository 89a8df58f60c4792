//! Container Service (ACK): clusters, node pools, kubeconfigs, and the tasks that their changes take. What happens
//! inside a cluster is the business of `kubernetes`.

mod create;
mod describe;
mod fees;
mod kubeconfig;
mod modify;
mod nodes;
pub(crate) mod pool;
mod pools;
pub(crate) mod task;
pub(crate) mod teardown;
mod version;

use http::Method;
use ipnet::Ipv4Net;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::dispatch::unknown_action;
use super::roa::RoaCall;
use super::store::World;
use super::wire::Response;
use super::wire::fault::Fault;
use super::wire::params::Tags;

/// A cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Cluster {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) region: String,
    pub(crate) zone: String,
    /// `ack.standard`, `ack.pro.small`.
    pub(crate) spec: String,
    pub(crate) kind: String,
    pub(crate) profile: String,
    /// `1.33.3-aliyun.1`.
    pub(crate) version: String,
    pub(crate) vpc: String,
    pub(crate) vswitches: Vec<String>,
    pub(crate) security_group: String,
    /// Whether the group was made for the cluster.
    pub(crate) own_group: bool,
    /// Where pods get their addresses with Flannel.
    pub(crate) container_cidr: Option<Ipv4Net>,
    /// Where pods get their addresses with Terway.
    pub(crate) pod_vswitches: Vec<String>,
    pub(crate) service_cidr: Ipv4Net,
    pub(crate) node_cidr_mask: String,
    pub(crate) proxy_mode: String,
    pub(crate) cluster_domain: String,
    pub(crate) timezone: String,
    pub(crate) public: bool,
    pub(crate) resource_group: String,
    pub(crate) deletion_protection: bool,
    pub(crate) maintenance_window: Json,
    pub(crate) operation_policy: Json,
    pub(crate) tags: Tags,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    pub(crate) running_at: Timestamp,
    /// Who may do everything inside: the account and whoever made it.
    pub(crate) rulers: Vec<String>,
    /// Set once it is deleted.
    pub(crate) deletion: Option<Deletion>,
}

/// How a cluster goes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Deletion {
    pub(crate) task: String,
    pub(crate) not_before: Timestamp,
    /// Resources that stay.
    pub(crate) retained: Vec<String>,
    /// Why it stopped.
    pub(crate) failure: Option<String>,
}

impl Cluster {
    /// What it is doing.
    pub(crate) fn state(&self, now: Timestamp) -> &'static str {
        match &self.deletion {
            Some(Deletion { failure: Some(_), .. }) => "delete_failed",
            Some(_) => "deleting",
            None if now < self.running_at => "initial",
            None => "running",
        }
    }

    /// Whether its API answers.
    pub(crate) fn serves(&self, now: Timestamp) -> bool {
        self.deletion.is_none() && now >= self.running_at
    }

    /// What certificates for this cluster carry.
    pub(crate) fn certificate_mark(&self) -> String {
        format!("aliform:cluster:{}", self.id)
    }

    /// Where its pods get their addresses.
    pub(crate) fn pod_network(&self, world: &World) -> Option<Ipv4Net> {
        let terway = || self.pod_vswitches.first().and_then(|id| world.vswitches.get(id)).map(|vswitch| vswitch.cidr);
        self.container_cidr.or_else(terway)
    }
}

/// Answers a call. Errors have a spelling of their own here.
pub(crate) async fn handle(call: &RoaCall<'_>) -> Result<Response, Fault> {
    match answer(call).await {
        Ok(body) => Ok(call.json(&body)),
        Err(fault) => {
            let body = json!({ "code": fault.code, "message": fault.message, "requestId": call.request_id, "status": fault.status });
            Ok(Response::json(fault.status, call.request_id, &body))
        }
    }
}

async fn answer(call: &RoaCall<'_>) -> Result<Json, Fault> {
    let (method, path) = call.route();
    match (method, path.as_slice()) {
        (&Method::POST, ["clusters"]) => create::cluster(call).await,
        (&Method::GET, ["clusters"]) => describe::all(call).await,
        (&Method::GET, ["api", "v1", "clusters"]) => describe::pages(call).await,
        (&Method::GET, ["clusters", id]) => describe::one(call, id).await,
        (&Method::PUT, ["api", "v2", "clusters", id]) => modify::cluster(call, id).await,
        (&Method::DELETE, ["clusters", id]) => teardown::cluster(call, id).await,
        (&Method::POST, ["clusters", id, "nodepools"]) => pools::create(call, id).await,
        (&Method::GET, ["clusters", id, "nodepools"]) => pools::describe_all(call, id).await,
        (&Method::GET, ["clusters", id, "nodepools", pool]) => pools::describe_one(call, id, pool).await,
        (&Method::POST, ["clusters", id, "nodepools", pool]) => pools::scale(call, id, pool).await,
        (&Method::DELETE, ["clusters", id, "nodepools", pool]) => pools::delete(call, id, pool).await,
        (&Method::GET, ["clusters", id, "nodes"]) => nodes::describe(call, id).await,
        (&Method::GET, ["k8s", id, "user_config"]) => kubeconfig::of_user(call, id).await,
        (&Method::GET, ["api", "v1", "metadata", "versions"]) => version::describe(call).await,
        (&Method::GET, ["tasks", id]) => task::describe(call, id).await,
        _ => Err(unknown_action()),
    }
}

/// A cluster that a call names. One of another region is not there.
pub(crate) fn find<'a>(call: &RoaCall, world: &'a World, id: &str) -> Result<&'a Cluster, Fault> {
    let missing = || Fault::missing("ErrorClusterNotFound", "cluster not found");
    let row = world.clusters.get(id).ok_or_else(missing)?;
    let region = call.region()?.id;
    // A host that is only an address says nothing about a region.
    let says_region = call.request.header("x-acs-region-id").is_some() || call.request.host.contains(region);
    if says_region && row.region != region { Err(missing()) } else { Ok(row) }
}

/// The same, in a state that takes changes.
pub(crate) fn find_running<'a>(call: &RoaCall, world: &'a World, id: &str, now: Timestamp) -> Result<&'a Cluster, Fault> {
    let row = find(call, world, id)?;
    match row.state(now) {
        "running" => Ok(row),
        state => {
            Err(Fault::bad("ErrorClusterState", format!("the state of the cluster is {state}, which does not support this operation")))
        }
    }
}

/// A moment as this product writes it.
pub(crate) fn moment(at: Timestamp) -> String {
    let east = super::time::after(at, std::time::Duration::from_secs(8 * 3600));
    east.strftime("%Y-%m-%dT%H:%M:%S+08:00").to_string()
}

/// Tags as this product carries them.
pub(crate) fn tags(tags: &Tags) -> Json {
    tags.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect()
}

/// Thirty-two hexadecimal digits that were never given before.
fn new_hex(world: &mut World, seed: u64) -> String {
    let number = world.next_number();
    super::store::ids::request(seed, "cs", number).replace('-', "").to_lowercase()
}

fn invalid(what: impl Into<String>) -> Fault {
    Fault::bad("InvalidParameter", what)
}
