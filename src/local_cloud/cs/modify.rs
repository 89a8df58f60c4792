//! ModifyCluster: what of a running cluster can be changed.

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::create::check_name;
use super::{fees, find_running, invalid, task};
use crate::local_cloud::roa::RoaCall;
use crate::local_cloud::wire::fault::Fault;
use crate::local_cloud::{billing, security_group, vswitch};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Request {
    cluster_name: Option<String>,
    cluster_spec: Option<String>,
    deletion_protection: Option<bool>,
    resource_group_id: Option<String>,
    security_group_id: Option<String>,
    vswitch_ids: Option<Vec<String>>,
    timezone: Option<String>,
    api_server_eip: Option<bool>,
    maintenance_window: Option<Json>,
    operation_policy: Option<Json>,
}

pub(super) async fn cluster(call: &RoaCall<'_>, id: &str) -> Result<Json, Fault> {
    let request: Request = call.body()?;
    call.commit(|inner| {
        let row = find_running(call, inner.world, id, inner.now)?.clone();
        if let Some(name) = &request.cluster_name {
            check_name(name)?;
            if inner.world.clusters.values().any(|other| other.id != id && other.region == row.region && other.name == *name) {
                return Err(Fault::bad("ErrorClusterNameAlreadyExist", "cluster name already exist"));
            }
        }
        if let Some(spec) = &request.cluster_spec
            && (!["ack.standard", "ack.pro.small"].contains(&spec.as_str()) || (row.spec == "ack.pro.small" && *spec != row.spec))
        {
            return Err(invalid(format!("cluster_spec can't be changed to {spec}")));
        }
        if let Some(group) = &request.security_group_id
            && security_group::find(inner, group)?.vpc != row.vpc
        {
            return Err(invalid(format!("security group {group} is not in VPC {}", row.vpc)));
        }
        for id in request.vswitch_ids.iter().flatten() {
            if vswitch::find(inner, id)?.vpc != row.vpc {
                return Err(invalid(format!("vSwitch {id} is not in VPC {}", row.vpc)));
            }
        }
        if request.vswitch_ids.as_ref().is_some_and(|ids| ids.is_empty() || ids.len() > 5) {
            return Err(invalid("vswitch_ids must name 1 to 5 vSwitches"));
        }
        let upgrades = request.cluster_spec.as_ref().is_some_and(|spec| *spec != row.spec);
        if upgrades {
            fees::start(inner, &row, fees::MANAGEMENT);
        }
        match request.api_server_eip {
            Some(true) if !row.public => fees::start(inner, &row, fees::ADDRESS),
            Some(false) => billing::stop(inner.world, id, Some(fees::ADDRESS.part), inner.now),
            _ => {}
        }
        if let Some(row) = inner.world.clusters.get_mut(id) {
            let Request { cluster_name, cluster_spec, deletion_protection, resource_group_id, .. } = request.clone();
            row.name = cluster_name.unwrap_or_else(|| std::mem::take(&mut row.name));
            row.spec = cluster_spec.unwrap_or_else(|| std::mem::take(&mut row.spec));
            row.deletion_protection = deletion_protection.unwrap_or(row.deletion_protection);
            row.resource_group = resource_group_id.unwrap_or_else(|| std::mem::take(&mut row.resource_group));
            row.timezone = request.timezone.clone().unwrap_or_else(|| std::mem::take(&mut row.timezone));
            row.vswitches = request.vswitch_ids.clone().unwrap_or_else(|| std::mem::take(&mut row.vswitches));
            row.public = request.api_server_eip.unwrap_or(row.public);
            row.maintenance_window = request.maintenance_window.clone().unwrap_or_else(|| std::mem::take(&mut row.maintenance_window));
            row.operation_policy = request.operation_policy.clone().unwrap_or_else(|| std::mem::take(&mut row.operation_policy));
            if let Some(group) = request.security_group_id.clone().filter(|group| *group != row.security_group) {
                // Whoever names another one takes care of the old one.
                row.security_group = group;
                row.own_group = false;
            }
            row.updated = inner.now;
        }
        let task = task::begin(inner, "cluster_modify", id, ("cluster", id), Some(inner.now));
        Ok(json!({ "cluster_id": id, "task_id": task, "request_id": call.request_id }))
    })
    .await
}
