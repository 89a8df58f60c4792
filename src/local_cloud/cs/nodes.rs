//! DescribeClusterNodes: the instances of a cluster and what they are as nodes.

use serde_json::{Value as Json, json};

use super::pools::is_ready;
use super::{find, invalid, moment, pool};
use crate::local_cloud::call::Call;
use crate::local_cloud::instance::Status;
use crate::local_cloud::paging::Page;
use crate::local_cloud::roa::RoaCall;
use crate::local_cloud::wire::fault::Fault;
use crate::local_cloud::wire::params::Params;

pub(super) async fn describe(call: &RoaCall<'_>, id: &str) -> Result<Json, Fault> {
    let params = &call.params;
    let number = |name: &str, usual: &str| params.text(name).unwrap_or(usual).to_owned();
    let told = [("PageNumber", number("pageNumber", "1")), ("PageSize", number("pageSize", "10"))];
    let page = Page::numbered(&Params::made_up(told.map(|(name, value)| (name.to_owned(), value))), 100)?;
    let (ids, ips, names) = (params.commas("instanceIds", 100)?, params.commas("nodeIps", 100)?, params.commas("nodeNames", 100)?);
    let state = params.text("state").unwrap_or("all").to_owned();
    if !["all", "running", "removing", "initial", "failed"].contains(&state.as_str()) {
        return Err(invalid(format!("state {state} is not valid")));
    }
    let wanted = params.text("nodepool_id").unwrap_or_default().to_owned();
    call.commit(|inner| {
        find(call, inner.world, id)?;
        let mut rows: Vec<(String, Json)> = pool::instances(inner.world, id)
            .into_iter()
            .filter(|(_, pool)| wanted.is_empty() || *pool == wanted)
            .filter_map(|(instance, pool)| Some((instance.clone(), row(inner, id, &instance, &pool)?)))
            .filter(|(instance, row)| {
                let named = |list: &Option<Vec<String>>, own: &str| list.as_ref().is_none_or(|list| list.iter().any(|item| item == own));
                named(&ids, instance)
                    && named(&ips, row["ip_address"][0].as_str().unwrap_or_default())
                    && named(&names, row["node_name"].as_str().unwrap_or_default())
                    && (state == "all" || row["state"] == state.as_str())
            })
            .collect();
        rows.sort_by(|one, other| one.0.cmp(&other.0));
        let cut = page.cut(rows.iter().map(|(key, row)| (key.as_str(), row)));
        let info = json!({ "page_number": cut.number, "page_size": cut.size, "total_count": cut.total });
        Ok(json!({ "nodes": cut.rows, "page": info }))
    })
    .await
}

fn row(inner: &Call, cluster: &str, instance: &str, pool: &str) -> Option<Json> {
    let row = inner.world.instances.get(instance)?;
    let cluster = inner.world.clusters.get(cluster)?;
    let node = pool::node_name(row);
    let ready = is_ready(inner, cluster, &node);
    let known = inner.world.kubernetes.contains(&format!("{}/nodes//{node}", cluster.id));
    let state = match () {
        () if row.is_released() => "removing",
        () if known => "running",
        () if matches!(row.state(inner.now), Status::Pending | Status::Starting | Status::Running) => "initial",
        () => "failed",
    };
    let family = inner.catalog.types.get(&row.kind).map(|kind| kind.family.clone()).unwrap_or_default();
    Some(json!({
        "instance_id": row.id,
        "instance_name": row.name,
        "instance_type": row.kind,
        "instance_type_family": family,
        "instance_role": "Worker",
        "instance_status": row.status(inner.now),
        "instance_charge_type": "PostPaid",
        "image_id": row.image,
        "host_name": row.host_name,
        "ip_address": [row.private_ip.to_string()],
        "is_aliyun_node": true,
        "node_name": if known { node.as_str() } else { "" },
        "node_status": if ready { "Ready" } else if known { "NotReady" } else { "Unknown" },
        "nodepool_id": pool,
        "source": "ess_attach",
        "spot_strategy": row.spot.strategy,
        "state": state,
        "creation_time": moment(row.created),
        "expired_time": "2099-12-31T23:59:00+08:00",
        "error_message": "",
    }))
}
