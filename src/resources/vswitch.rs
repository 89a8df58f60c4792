//! A subnet of a VPC in one zone.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::error::ResourceError;
use super::kind::{Context, ReadContext, ResourceKind, TAG_LINEAGE, needed};
use super::tagged::{Tagged, tags};
use super::wait::{self, Look};
use crate::cloud::api::{Tag, ask};
use crate::cloud::vpc::{CreateVSwitch, DeleteVSwitch, DescribeVSwitches, ModifyVSwitchAttribute, Tags, VSwitch};
use crate::model::address::{Address, Kind};
use crate::model::change::Effect;
use crate::model::value::Value;

const PAGE: u32 = 50;
const LIMIT: Duration = Duration::from_secs(120);
const BUSY: &[&str] = &[
    "TaskConflict",
    "OperationConflict",
    "IncorrectStatus",
    "IncorrectVpcStatus",
    "IncorrectVSwitchStatus",
    "IncorrectStatus.cbnStatus",
    "InvalidStatus.RouteEntry",
    "OperationFailed.IdempotentTokenProcessing",
    "OperationFailed.DistibuteLock",
    "OperationFailed.NotifyCenCreate",
    "LastTokenProcessing",
    "OperationFailed.LastTokenProcessing",
    "IncorrectStatus.VSwitch",
    "IncorrectStatus.VpcRouteEntry",
    "IncorrectRouteEntryStatus",
    "OperationDenied.OtherSubnetProcessing",
    "SystemBusy",
];
const LINGERING: &[&str] = &[
    "DependencyViolation",
    "DependencyViolation.NetworkInterface",
    "DependencyViolation.Instance",
    "OperationConflict",
    "TaskConflict",
    "IncorrectRouteEntryStatus",
    "IncorrectVSwitchStatus",
    "LastTokenProcessing",
    "OperationDenied.OtherSubnetProcessing",
    "SystemBusy",
];

/// What is wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VSwitchSpec {
    /// Its name in the console.
    pub name: String,
    /// The network it belongs to.
    pub vpc_id: Value<String>,
    /// The zone, `cn-hangzhou-j`.
    pub zone: String,
    /// Its address range, inside the network's.
    pub cidr: String,
}

/// What the cloud says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VSwitchAttributes {
    /// `vsw-...`
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its network.
    pub vpc_id: String,
    /// Its zone.
    pub zone: String,
    /// Its address range.
    pub cidr: String,
    /// `Pending` or `Available`.
    pub status: String,
}

/// The kind.
pub struct VSwitchKind;

fn attributes(switch: VSwitch) -> VSwitchAttributes {
    VSwitchAttributes {
        id: switch.v_switch_id,
        name: switch.v_switch_name,
        vpc_id: switch.vpc_id,
        zone: switch.zone_id,
        cidr: switch.cidr_block,
        status: switch.status,
    }
}

async fn read(context: &ReadContext<'_>, id: &str) -> Result<Option<VSwitchAttributes>, ResourceError> {
    let query = DescribeVSwitches {
        region_id: context.region.to_owned(),
        v_switch_id: Some(id.to_owned()),
        page_number: 1,
        page_size: PAGE,
        ..Default::default()
    };
    let answer = ask(context.cloud, context.region, &query).await?;
    Ok(answer.v_switches.v_switch.into_iter().find(|switch| switch.v_switch_id == id).map(attributes))
}

/// Every subnet with these tags, page by page.
async fn tagged(context: &ReadContext<'_>, tag: Vec<Tag>) -> Result<Vec<VSwitch>, ResourceError> {
    let mut query = DescribeVSwitches { region_id: context.region.to_owned(), tag, page_number: 1, page_size: PAGE, ..Default::default() };
    let mut all = Vec::new();
    loop {
        let answer = ask(context.cloud, context.region, &query).await?;
        let full = answer.v_switches.v_switch.len() as u32 == PAGE;
        all.extend(answer.v_switches.v_switch);
        if !full {
            return Ok(all);
        }
        query.page_number += 1;
    }
}

#[async_trait(?Send)]
impl ResourceKind for VSwitchKind {
    const KIND: Kind = Kind::VSwitch;
    type Spec = VSwitchSpec;
    type Attributes = VSwitchAttributes;

    fn effect(path: &str, _before: &Json, _after: &Json) -> Effect {
        if path == "name" { Effect::InPlace } else { Effect::ForcesReplace }
    }

    /// Two ranges of one network must not overlap.
    fn excludes(coming: &VSwitchSpec, going: &VSwitchSpec) -> bool {
        let range = |spec: &VSwitchSpec| spec.cidr.parse::<ipnet::Ipv4Net>();
        match (range(coming), range(going)) {
            (Ok(coming), Ok(going)) => coming.contains(&going) || going.contains(&coming),
            _ => true,
        }
    }

    fn observed(_spec: VSwitchSpec, attributes: &VSwitchAttributes) -> VSwitchSpec {
        VSwitchSpec {
            name: attributes.name.clone(),
            vpc_id: Value::Known(attributes.vpc_id.clone()),
            zone: attributes.zone.clone(),
            cidr: attributes.cidr.clone(),
        }
    }

    /// The call takes one identifier only, so many are read by the stack's tag; who lost the tag is asked for alone.
    async fn read_many(
        context: &ReadContext<'_>,
        known: &[(Address, String, Json)],
    ) -> Result<BTreeMap<String, VSwitchAttributes>, ResourceError> {
        let mut found = BTreeMap::new();
        if known.len() > 1 {
            let lineage = Tag { key: TAG_LINEAGE.to_owned(), value: context.identity.lineage.clone() };
            let switches = tagged(context, vec![lineage]).await?;
            found.extend(switches.into_iter().map(|switch| (switch.v_switch_id.clone(), attributes(switch))));
        }
        for (_, id, _) in known {
            if !found.contains_key(id)
                && let Some(attributes) = read(context, id).await?
            {
                found.insert(id.clone(), attributes);
            }
        }
        Ok(found)
    }

    async fn create(context: &Context<'_>, spec: &VSwitchSpec) -> Result<String, ResourceError> {
        let call = CreateVSwitch {
            region_id: context.region.to_owned(),
            vpc_id: needed(&spec.vpc_id)?.clone(),
            zone_id: spec.zone.clone(),
            cidr_block: spec.cidr.clone(),
            v_switch_name: spec.name.clone(),
            client_token: context.token.to_owned(),
            tag: context.new_tags(),
        };
        wait::while_refused(context, "create the subnet", BUSY, LIMIT, async || ask(context.cloud, context.region, &call).await)
            .await
            .map(|answer| answer.v_switch_id)
    }

    async fn converge(context: &Context<'_>, id: &str, spec: &VSwitchSpec) -> Result<VSwitchAttributes, ResourceError> {
        let available = async || {
            wait::until(context, "the subnet", LIMIT, async || {
                Ok(match read(&context.reading(), id).await? {
                    Some(switch) if switch.status == "Available" => Look::Ready(switch),
                    Some(switch) => Look::NotYet(switch.status),
                    None => Look::Absent(id.to_owned()),
                })
            })
            .await
        };
        let switch = available().await?;
        if switch.name == spec.name {
            return Ok(switch);
        }
        let call =
            ModifyVSwitchAttribute { region_id: context.region.to_owned(), v_switch_id: id.to_owned(), v_switch_name: spec.name.clone() };
        wait::while_refused(context, "rename the subnet", BUSY, LIMIT, async || ask(context.cloud, context.region, &call).await).await?;
        wait::until(context, "its new name", LIMIT, async || {
            Ok(match read(&context.reading(), id).await? {
                Some(switch) if switch.name == spec.name => Look::Ready(switch),
                Some(switch) => Look::NotYet(switch.status),
                None => Look::Absent(id.to_owned()),
            })
        })
        .await
    }

    async fn delete(context: &Context<'_>, id: &str, _spec: &VSwitchSpec) -> Result<(), ResourceError> {
        let call = DeleteVSwitch { region_id: context.region.to_owned(), v_switch_id: id.to_owned() };
        match wait::while_refused(context, "delete the subnet", LINGERING, LIMIT, async || ask(context.cloud, context.region, &call).await)
            .await
        {
            Err(ResourceError::Api(error)) if error.is_not_found() => return Ok(()),
            other => other?,
        };
        wait::until(context, "the subnet to be gone", LIMIT, async || {
            Ok(match read(&context.reading(), id).await? {
                None => Look::Ready(()),
                Some(switch) => Look::NotYet(switch.status),
            })
        })
        .await
    }

    async fn find(context: &Context<'_>, _spec: &VSwitchSpec) -> Result<Option<String>, ResourceError> {
        let found = tagged(&context.reading(), context.tags()).await?;
        Ok(found.into_iter().next().map(|switch| switch.v_switch_id))
    }

    async fn tagged(context: &ReadContext<'_>) -> Result<Vec<Tagged<VSwitchSpec>>, ResourceError> {
        let mut all: Vec<_> = tagged(context, Vec::new())
            .await?
            .into_iter()
            .map(|switch| {
                let vpc_id = Value::Known(switch.vpc_id);
                let spec = VSwitchSpec { name: switch.v_switch_name, vpc_id, zone: switch.zone_id, cidr: switch.cidr_block };
                Tagged::new(&switch.v_switch_id, tags(Tags::pairs(switch.tags)), &switch.creation_time, spec)
            })
            .collect();
        all.retain(Tagged::is_ours);
        Ok(all)
    }
}
