//! CreateCluster: networks that exist and do not overlap, a security group, and the first node pools.

use std::time::Duration;

use ipnet::Ipv4Net;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::pool::{self, NodePool};
use super::pools::PoolRequest;
use super::{Cluster, fees, invalid, kubeconfig, new_hex, task, version};
use crate::local_cloud::call::Call;
use crate::local_cloud::catalog::Region;
use crate::local_cloud::idempotency::ticket;
use crate::local_cloud::roa::RoaCall;
use crate::local_cloud::security_group::rules::{self, Direction};
use crate::local_cloud::time::after;
use crate::local_cloud::wire::fault::Fault;
use crate::local_cloud::wire::params::{Params, Tags};
use crate::local_cloud::{security_group, vpc, vswitch};

/// What may be asked for. What is not here makes no difference to a cluster of this cloud.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Request {
    name: String,
    region_id: String,
    cluster_type: String,
    profile: String,
    cluster_spec: String,
    kubernetes_version: String,
    vpcid: String,
    vswitch_ids: Vec<String>,
    container_cidr: String,
    pod_vswitch_ids: Vec<String>,
    service_cidr: String,
    node_cidr_mask: String,
    proxy_mode: String,
    security_group_id: String,
    is_enterprise_security_group: bool,
    endpoint_public_access: bool,
    deletion_protection: bool,
    resource_group_id: String,
    cluster_domain: String,
    timezone: String,
    client_token: String,
    tags: Vec<Tag>,
    maintenance_window: Json,
    operation_policy: Json,
    nodepools: Vec<PoolRequest>,
}

/// A tag as this product carries it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Tag {
    pub(super) key: String,
    pub(super) value: String,
}

pub(super) fn read_tags(tags: &[Tag]) -> Result<Tags, Fault> {
    if tags.len() > 20 || tags.iter().any(|tag| tag.key.is_empty() || tag.key.chars().count() > 64 || tag.value.chars().count() > 128) {
        return Err(invalid("tags: at most 20, with keys of 1 to 64 characters"));
    }
    Ok(tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect())
}

/// A name: letters of any script, digits, dashes and underscores.
pub(super) fn check_name(name: &str) -> Result<(), Fault> {
    let fits = !name.starts_with('-') && name.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_');
    if name.is_empty() || name.chars().count() > 63 || !fits {
        return Err(invalid(format!("name {name:?} must have 1 to 63 letters, digits, underscores or dashes and not begin with a dash")));
    }
    Ok(())
}

/// Networks of a cluster.
struct Networks {
    container: Option<Ipv4Net>,
    service: Ipv4Net,
}

/// CreateCluster.
pub(super) async fn cluster(call: &RoaCall<'_>) -> Result<Json, Fault> {
    let request: Request = call.body()?;
    let user = kubeconfig::user(call);
    call.commit(|inner| {
        // The account's first secret keys the digests: it is there as long as its tokens matter.
        let secret = call.shared.config.keys.first().map_or("", |key| key.secret.reveal());
        let body = String::from_utf8_lossy(&call.request.body).into_owned();
        let told = [("ClientToken", request.client_token.clone()), ("RegionId", request.region_id.clone()), ("Body", body)];
        let told = Params::made_up(told.map(|(name, value)| (name.to_owned(), value)));
        let ticket = ticket("CreateCluster", &told, secret)?;
        if let Some(ticket) = &ticket
            && let Some(mut answer) = ticket.answered(inner.world, "CreateCluster")?
        {
            answer["request_id"] = call.request_id.into();
            return Ok(answer);
        }
        let mut answer = create(inner, &request, &user)?;
        if let Some(ticket) = ticket {
            ticket.keep(inner.world, &answer, inner.now);
        }
        answer["request_id"] = call.request_id.into();
        Ok(answer)
    })
    .await
}

fn one_of<'a>(name: &str, value: &'a str, known: &[&str], usual: &'a str) -> Result<&'a str, Fault> {
    let value = if value.is_empty() { usual } else { value };
    if known.contains(&value) { Ok(value) } else { Err(invalid(format!("{name} {value} is not supported"))) }
}

fn create(call: &mut Call, request: &Request, user: &str) -> Result<Json, Fault> {
    check_name(&request.name)?;
    let unknown = || Fault::missing("InvalidRegionId.NotFound", "The specified RegionId does not exist.");
    let region: &'static Region = call.catalog.regions.get(request.region_id.as_str()).ok_or_else(unknown)?;
    let kind = one_of("cluster_type", &request.cluster_type, &["ManagedKubernetes"], "ManagedKubernetes")?;
    let profile = one_of("profile", &request.profile, &["Default"], "Default")?;
    let spec = one_of("cluster_spec", &request.cluster_spec, &["ack.standard", "ack.pro.small"], "ack.standard")?;
    let proxy_mode = one_of("proxy_mode", &request.proxy_mode, &["iptables", "ipvs"], "ipvs")?;
    let version = version::choose(&request.kubernetes_version)?;
    let tags = read_tags(&request.tags)?;
    if call.world.clusters.values().any(|other| other.name == request.name && other.region == region.id) {
        return Err(Fault::bad("ErrorClusterNameAlreadyExist", "cluster name already exist"));
    }
    let zone = places(call, region, request)?;
    let networks = networks(call, request)?;
    request.nodepools.iter().try_for_each(|pool| pool.check())?;
    call.check_balance()?;
    let id = format!("c{}", new_hex(call.world, call.config.seed));
    let (security_group, own_group) = group(call, region, request, &id, networks.container)?;
    let running_at = after(call.now, call.config.latency.of(|latency| latency.cluster_creating));
    let mut rulers = vec![call.config.account.clone(), user.to_owned()];
    rulers.dedup();
    let row = Cluster {
        id: id.clone(),
        name: request.name.clone(),
        region: region.id.to_owned(),
        zone,
        spec: spec.to_owned(),
        kind: kind.to_owned(),
        profile: profile.to_owned(),
        version: version.to_owned(),
        vpc: request.vpcid.clone(),
        vswitches: request.vswitch_ids.clone(),
        security_group,
        own_group,
        container_cidr: networks.container,
        pod_vswitches: request.pod_vswitch_ids.clone(),
        service_cidr: networks.service,
        node_cidr_mask: if request.node_cidr_mask.is_empty() { "26".to_owned() } else { request.node_cidr_mask.clone() },
        proxy_mode: proxy_mode.to_owned(),
        cluster_domain: if request.cluster_domain.is_empty() { "cluster.local".to_owned() } else { request.cluster_domain.clone() },
        timezone: if request.timezone.is_empty() { "Asia/Shanghai".to_owned() } else { request.timezone.clone() },
        public: request.endpoint_public_access,
        resource_group: if request.resource_group_id.is_empty() { vpc::resource_group(call) } else { request.resource_group_id.clone() },
        deletion_protection: request.deletion_protection,
        maintenance_window: request.maintenance_window.clone(),
        operation_policy: request.operation_policy.clone(),
        tags,
        created: call.now,
        updated: call.now,
        running_at,
        rulers,
        deletion: None,
    };
    fees::start(call, &row, fees::LOAD_BALANCER);
    if row.public {
        fees::start(call, &row, fees::ADDRESS);
    }
    if spec.starts_with("ack.pro") {
        fees::start(call, &row, fees::MANAGEMENT);
    }
    call.world.clusters.insert(id.clone(), row.clone());
    call.world.index.tasks.push(crate::local_cloud::store::Task::Govern(id.clone()));
    for pool in &request.nodepools {
        let made = pool::add(call, &row, pool, pool.desired());
        default_first(call, &made.0);
    }
    let task = task::begin(call, "cluster_create", &id, ("cluster", &id), Some(running_at));
    Ok(json!({ "cluster_id": id, "task_id": task }))
}

/// The pools that come with a cluster are its default ones.
fn default_first(call: &mut Call, pool: &str) {
    if let Some(row) = call.world.node_pools.get_mut(pool) {
        let row: &mut NodePool = row;
        row.is_default = true;
    }
}

/// Checks that VPC and vSwitches are there, together and ready. Answers the zone.
fn places(call: &Call, region: &Region, request: &Request) -> Result<String, Fault> {
    if request.vpcid.is_empty() {
        return Err(invalid("vpcid is required: the local cloud makes no networks by itself"));
    }
    if request.vswitch_ids.is_empty() || request.vswitch_ids.len() > 5 {
        return Err(invalid("vswitch_ids must name 1 to 5 vSwitches"));
    }
    let home = vpc::find(call, &request.vpcid)?;
    if home.region != region.id {
        return Err(Fault::missing("InvalidVpcId.NotFound", "The specified VPC does not exist."));
    }
    let mut zone = String::new();
    for id in request.vswitch_ids.iter().chain(&request.pod_vswitch_ids) {
        let row = vswitch::find(call, id)?;
        if row.vpc != home.id {
            return Err(invalid(format!("vSwitch {id} is not in VPC {}", home.id)));
        }
        if row.status(call.now) != "Available" {
            return Err(Fault::bad("IncorrectVSwitchStatus", "The current status of the vSwitch does not support this operation."));
        }
        if zone.is_empty() {
            zone.clone_from(&row.zone);
        }
    }
    Ok(zone)
}

fn overlap(one: &Ipv4Net, other: &Ipv4Net) -> bool {
    one.contains(other) || other.contains(one)
}

fn private(name: &str, text: &str) -> Result<Ipv4Net, Fault> {
    let net: Ipv4Net = text.parse().map_err(|_| invalid(format!("{name} {text} is not a CIDR block")))?;
    let ranges = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];
    let inside = ranges.iter().any(|range| range.parse::<Ipv4Net>().is_ok_and(|range| range.contains(&net)));
    if !inside || net.addr() != net.network() || !(12..=24).contains(&net.prefix_len()) {
        return Err(invalid(format!("{name} {text} must be a private network with 12 to 24 bits")));
    }
    Ok(net)
}

fn networks(call: &Call, request: &Request) -> Result<Networks, Fault> {
    if request.container_cidr.is_empty() == request.pod_vswitch_ids.is_empty() {
        return Err(invalid("either container_cidr (Flannel) or pod_vswitch_ids (Terway) must be given"));
    }
    let container = (!request.container_cidr.is_empty()).then(|| private("container_cidr", &request.container_cidr)).transpose()?;
    let service = private("service_cidr", if request.service_cidr.is_empty() { "172.19.0.0/20" } else { &request.service_cidr })?;
    let home = vpc::find(call, &request.vpcid)?.cidr;
    let conflict = |what: &str, one: &Ipv4Net, other: &Ipv4Net| {
        Err(Fault::bad("InvalidCidrBlock.Overlapped", format!("{what} {one} overlaps with {other}")))
    };
    if overlap(&service, &home) {
        return conflict("service_cidr", &service, &home);
    }
    if let Some(container) = &container {
        for other in [&home, &service] {
            if overlap(container, other) {
                return conflict("container_cidr", container, other);
            }
        }
        let neighbours = call.world.clusters.values().filter(|other| other.vpc == request.vpcid).filter_map(|other| other.container_cidr);
        for other in neighbours {
            if overlap(container, &other) {
                return conflict("container_cidr", container, &other);
            }
        }
    }
    Ok(Networks { container, service })
}

/// The security group that is named, or a new one for the cluster.
fn group(call: &mut Call, region: &Region, request: &Request, id: &str, container: Option<Ipv4Net>) -> Result<(String, bool), Fault> {
    if !request.security_group_id.is_empty() {
        let group = security_group::find(call, &request.security_group_id)?;
        if group.vpc != request.vpcid {
            return Err(invalid(format!("security group {} is not in VPC {}", group.id, request.vpcid)));
        }
        return Ok((request.security_group_id.clone(), false));
    }
    let kind = if request.is_enterprise_security_group { "enterprise" } else { "normal" };
    let made = pool::with(
        call,
        &[
            ("RegionId", region.id),
            ("VpcId", &request.vpcid),
            ("SecurityGroupName", &format!("alicloud-cs-auto-created-security-group-{id}")),
            ("Description", "security group of an ACK cluster"),
            ("SecurityGroupType", kind),
            ("Tag.1.Key", "ack.aliyun.com"),
            ("Tag.1.Value", id),
        ],
        security_group::create,
    )?;
    let group = made["SecurityGroupId"].as_str().unwrap_or_default().to_owned();
    let mut open = vec![("ICMP", "0.0.0.0/0".to_owned())];
    open.extend(container.map(|container| ("ALL", container.to_string())));
    for (protocol, source) in open {
        pool::with(
            call,
            &[
                ("RegionId", region.id),
                ("SecurityGroupId", &group),
                ("IpProtocol", protocol),
                ("PortRange", "-1/-1"),
                ("SourceCidrIp", &source),
            ],
            |call| rules::authorize(call, Direction::Ingress),
        )?;
    }
    Ok((group, true))
}

/// The longest that a pool's nodes take, with all that comes before.
pub(super) fn nodes_ready(call: &Call, row: &Cluster) -> jiff::Timestamp {
    let latency = &call.config.latency;
    let parts: [Duration; 3] = [
        latency.of(|latency| latency.instance_pending),
        latency.of(|latency| latency.instance_starting),
        latency.of(|latency| latency.node_joining),
    ];
    after(call.now, parts.iter().sum()).max(row.running_at)
}
