//! Reads what exists already and is to be used by its identifier, never changed.

use crate::cloud::api::{CommaList, JsonList, ask};
use crate::cloud::call::Cloud;
use crate::cloud::ecs::instance::DescribeInstances;
use crate::cloud::ecs::security_group::DescribeSecurityGroups;
use crate::cloud::error::ApiError;
use crate::cloud::vpc::{DescribeVSwitches, DescribeVpcs};

/// Something of the user's own.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the cloud's own words")]
pub enum Existing {
    Vpc { cidr: String },
    VSwitch { vpc_id: String, zone: String, cidr: String },
    SecurityGroup { vpc_id: String },
    Instance { status: String, vpc_id: String, private_ip: String, public_ip: Option<String>, started_at: String },
}

/// Finds it by its identifier, whose prefix says what it is; `None` if the region has none of that name.
pub(super) async fn find(cloud: &dyn Cloud, region: &str, id: &str) -> Result<Option<Existing>, ApiError> {
    match ask_for(cloud, region, id).await {
        // Some lists leave out what they don't know, others refuse it.
        Err(error) if error.is_not_found() && error.code() != Some("InvalidRegionId.NotFound") => Ok(None),
        other => other,
    }
}

async fn ask_for(cloud: &dyn Cloud, region: &str, id: &str) -> Result<Option<Existing>, ApiError> {
    let region_id = region.to_owned();
    if id.starts_with("vpc-") {
        let query = DescribeVpcs { region_id, vpc_id: CommaList(vec![id.to_owned()]), page_number: 1, page_size: 50, ..Default::default() };
        let found = ask(cloud, region, &query).await?.vpcs.vpc.into_iter().find(|vpc| vpc.vpc_id == id);
        return Ok(found.map(|vpc| Existing::Vpc { cidr: vpc.cidr_block }));
    }
    if id.starts_with("vsw-") {
        let query = DescribeVSwitches { region_id, v_switch_id: Some(id.to_owned()), page_number: 1, page_size: 50, ..Default::default() };
        let found = ask(cloud, region, &query).await?.v_switches.v_switch.into_iter().find(|switch| switch.v_switch_id == id);
        return Ok(found.map(|switch| Existing::VSwitch { vpc_id: switch.vpc_id, zone: switch.zone_id, cidr: switch.cidr_block }));
    }
    if id.starts_with("sg-") {
        let ids = Some(JsonList(vec![id.to_owned()]));
        let query = DescribeSecurityGroups { region_id, security_group_ids: ids, max_results: 10, ..Default::default() };
        let found =
            ask(cloud, region, &query).await?.security_groups.security_group.into_iter().find(|group| group.security_group_id == id);
        return Ok(found.map(|group| Existing::SecurityGroup { vpc_id: group.vpc_id }));
    }
    let query = DescribeInstances { region_id, instance_ids: Some(JsonList(vec![id.to_owned()])), max_results: 10, ..Default::default() };
    let found = ask(cloud, region, &query).await?.instances.instance.into_iter().find(|instance| instance.instance_id == id);
    Ok(found.map(|instance| {
        let elastic = instance.eip_address.map(|eip| eip.ip_address).filter(|address| !address.is_empty());
        Existing::Instance {
            status: instance.status,
            vpc_id: instance.vpc_attributes.vpc_id,
            private_ip: instance.vpc_attributes.private_ip_address.ip_address.into_iter().next().unwrap_or_default(),
            public_ip: instance.public_ip_address.ip_address.into_iter().find(|address| !address.is_empty()).or(elastic),
            started_at: instance.start_time,
        }
    }))
}
