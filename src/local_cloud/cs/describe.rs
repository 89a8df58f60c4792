//! Clusters as descriptions show them.

use serde_json::{Value as Json, json};

use super::{Cluster, find, kubeconfig, moment, pool, tags, version};
use crate::local_cloud::call::Call;
use crate::local_cloud::paging::Page;
use crate::local_cloud::roa::RoaCall;
use crate::local_cloud::wire::fault::Fault;
use crate::local_cloud::wire::params::Params;

/// What every description says.
fn common(call: &RoaCall, inner: &Call, row: &Cluster) -> Json {
    let world = &*inner.world;
    let server = kubeconfig::server(call, &row.id);
    let master = json!({ "api_server_endpoint": if row.public { server.as_str() } else { "" }, "intranet_api_server_endpoint": server });
    let network = if row.container_cidr.is_some() { "flannel" } else { "terway-eniip" };
    let meta = json!({ "Addons": [{ "name": network }], "Runtime": version::RUNTIME.0, "RuntimeVersion": version::RUNTIME.1, "PublicSLB": row.public });
    json!({
        "cluster_id": row.id,
        "name": row.name,
        "state": row.state(inner.now),
        "cluster_type": row.kind,
        "profile": row.profile,
        "region_id": row.region,
        "zone_id": row.zone,
        "vpc_id": row.vpc,
        "vswitch_id": row.vswitches.join(","),
        "security_group_id": row.security_group,
        "created": moment(row.created),
        "updated": moment(row.updated),
        "current_version": row.version,
        "init_version": row.version,
        "size": pool::instances(world, &row.id).len(),
        "network_mode": "vpc",
        "subnet_cidr": row.container_cidr.map(|cidr| cidr.to_string()).unwrap_or_default(),
        "private_zone": false,
        "deletion_protection": row.deletion_protection,
        "resource_group_id": row.resource_group,
        "worker_ram_role_name": format!("KubernetesWorkerRole-{}", &row.id[1..]),
        "external_loadbalancer_id": "",
        "docker_version": "",
        "master_url": master.to_string(),
        "meta_data": meta.to_string(),
        "tags": tags(&row.tags),
    })
}

/// What the newer descriptions say besides.
fn newer(call: &RoaCall, inner: &Call, row: &Cluster) -> Json {
    let mut shown = common(call, inner, row);
    let more = json!({
        "cluster_spec": row.spec,
        "container_cidr": row.container_cidr.map(|cidr| cidr.to_string()).unwrap_or_default(),
        "service_cidr": row.service_cidr.to_string(),
        "proxy_mode": row.proxy_mode,
        "cluster_domain": row.cluster_domain,
        "timezone": row.timezone,
        "ip_stack": "ipv4",
        "next_version": version::after(&row.version),
        "vswitch_ids": row.vswitches,
        "maintenance_window": if row.maintenance_window.is_object() { row.maintenance_window.clone() } else { json!({ "enable": false }) },
        "operation_policy": if row.operation_policy.is_object() { row.operation_policy.clone() } else { json!({ "cluster_auto_upgrade": { "enabled": false } }) },
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        shown[field] = value.clone();
    }
    shown
}

/// DescribeClusters.
pub(super) async fn all(call: &RoaCall<'_>) -> Result<Json, Fault> {
    let wanted = |name: &str| call.params.text(name).unwrap_or_default().to_owned();
    let (name, kind, group) = (wanted("name"), wanted("clusterType"), wanted("resource_group_id"));
    call.commit(|inner| {
        let fits = |row: &&Cluster| {
            row.name.contains(&name) && (kind.is_empty() || row.kind == kind) && (group.is_empty() || row.resource_group == group)
        };
        let rows = inner.world.clusters.values().filter(fits).map(|row| {
            let mut shown = common(call, inner, row);
            let cidr = row.vswitches.first().and_then(|id| inner.world.vswitches.get(id)).map(|vswitch| vswitch.cidr.to_string());
            shown["vswitch_cidr"] = cidr.unwrap_or_default().into();
            shown["data_disk_category"] = "".into();
            shown["data_disk_size"] = 0.into();
            shown
        });
        Ok(rows.collect())
    })
    .await
}

/// DescribeClustersV1.
pub(super) async fn pages(call: &RoaCall<'_>) -> Result<Json, Fault> {
    let params = &call.params;
    let number = |name: &str, usual: &str| params.text(name).unwrap_or(usual).to_owned();
    let told = [("PageNumber", number("page_number", "1")), ("PageSize", number("page_size", "10"))];
    let page = Page::numbered(&Params::made_up(told.map(|(name, value)| (name.to_owned(), value))), 100)?;
    let wanted = |name: &str| params.text(name).unwrap_or_default().to_owned();
    let name = wanted("name");
    let exact = ["cluster_id", "cluster_type", "cluster_spec", "profile", "region_id"].map(wanted);
    call.commit(|inner| {
        let fits = |row: &Cluster| {
            let own = [&row.id, &row.kind, &row.spec, &row.profile, &row.region];
            row.name.contains(&name) && exact.iter().zip(own).all(|(wanted, own)| wanted.is_empty() || wanted == own)
        };
        let cut = page.cut(inner.world.clusters.iter().filter(|(_, row)| fits(row)));
        let rows: Vec<Json> = cut.rows.iter().map(|row| newer(call, inner, row)).collect();
        let info = json!({ "page_number": cut.number, "page_size": cut.size, "total_count": cut.total });
        Ok(json!({ "clusters": rows, "page_info": info }))
    })
    .await
}

/// DescribeClusterDetail.
pub(super) async fn one(call: &RoaCall<'_>, id: &str) -> Result<Json, Fault> {
    call.commit(|inner| {
        let row = find(call, inner.world, id)?;
        let mut shown = newer(call, inner, row);
        shown["node_cidr_mask"] = row.node_cidr_mask.clone().into();
        shown["parameters"] = json!({});
        shown["rrsa_config"] = json!({ "enabled": false });
        shown["extra_sans"] = json!([]);
        Ok(shown)
    })
    .await
}
