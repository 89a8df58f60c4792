//! A virtual private network.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::error::ResourceError;
use super::kind::{Context, ReadContext, ResourceKind};
use super::tagged::{Tagged, tags};
use super::wait::{self, Look};
use crate::cloud::api::{CommaList, ask};
use crate::cloud::vpc::{CreateVpc, DeleteVpc, DescribeVpcs, ModifyVpcAttribute, Tags, Vpc};
use crate::model::address::{Address, Kind};
use crate::model::change::Effect;

/// The most identifiers that one DescribeVpcs takes.
const IDS_A_CALL: usize = 20;
/// The most of a page.
const PAGE: u32 = 50;
const LIMIT: Duration = Duration::from_secs(120);
const BUSY: &[&str] = &[
    "TaskConflict",
    "OperationConflict",
    "IncorrectStatus",
    "IncorrectVpcStatus",
    "LastTokenProcessing",
    "OperationFailed.LastTokenProcessing",
    "SystemBusy",
];
/// Refusals of a deletion that pass: a dependency that is gone is still remembered for up to a minute.
const LINGERING: &[&str] = &[
    "DependencyViolation",
    "DependencyViolation.VSwitch",
    "DependencyViolation.SecurityGroup",
    "IncorrectVpcStatus",
    "TaskConflict",
    "OperationConflict",
];

/// What is wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VpcSpec {
    /// Its name in the console.
    pub name: String,
    /// Its address range, `192.168.0.0/16`.
    pub cidr: String,
}

/// What the cloud says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VpcAttributes {
    /// `vpc-...`
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its address range.
    pub cidr: String,
    /// `Pending` or `Available`.
    pub status: String,
}

/// The kind.
pub struct VpcKind;

fn attributes(vpc: Vpc) -> VpcAttributes {
    VpcAttributes { id: vpc.vpc_id, name: vpc.vpc_name, cidr: vpc.cidr_block, status: vpc.status }
}

async fn read(context: &Context<'_>, id: &str) -> Result<Option<VpcAttributes>, ResourceError> {
    let query = DescribeVpcs {
        region_id: context.region.to_owned(),
        vpc_id: CommaList(vec![id.to_owned()]),
        page_number: 1,
        page_size: 50,
        ..Default::default()
    };
    let answer = ask(context.cloud, context.region, &query).await?;
    Ok(answer.vpcs.vpc.into_iter().find(|vpc| vpc.vpc_id == id).map(attributes))
}

#[async_trait(?Send)]
impl ResourceKind for VpcKind {
    const KIND: Kind = Kind::Vpc;
    type Spec = VpcSpec;
    type Attributes = VpcAttributes;

    fn effect(path: &str, _before: &Json, _after: &Json) -> Effect {
        if path == "name" { Effect::InPlace } else { Effect::ForcesReplace }
    }

    fn observed(_spec: VpcSpec, attributes: &VpcAttributes) -> VpcSpec {
        VpcSpec { name: attributes.name.clone(), cidr: attributes.cidr.clone() }
    }

    async fn read_many(
        context: &ReadContext<'_>,
        known: &[(Address, String, Json)],
    ) -> Result<BTreeMap<String, VpcAttributes>, ResourceError> {
        let mut found = BTreeMap::new();
        for chunk in known.chunks(IDS_A_CALL) {
            let query = DescribeVpcs {
                region_id: context.region.to_owned(),
                vpc_id: CommaList(chunk.iter().map(|(_, id, _)| id.clone()).collect()),
                page_number: 1,
                page_size: 50,
                ..Default::default()
            };
            let answer = ask(context.cloud, context.region, &query).await?;
            found.extend(answer.vpcs.vpc.into_iter().map(|vpc| (vpc.vpc_id.clone(), attributes(vpc))));
        }
        Ok(found)
    }

    async fn create(context: &Context<'_>, spec: &VpcSpec) -> Result<String, ResourceError> {
        let call = CreateVpc {
            region_id: context.region.to_owned(),
            cidr_block: spec.cidr.clone(),
            vpc_name: spec.name.clone(),
            client_token: context.token.to_owned(),
            tag: context.new_tags(),
        };
        wait::while_refused(context, "create the network", BUSY, LIMIT, async || ask(context.cloud, context.region, &call).await)
            .await
            .map(|answer| answer.vpc_id)
    }

    async fn converge(context: &Context<'_>, id: &str, spec: &VpcSpec) -> Result<VpcAttributes, ResourceError> {
        let available = async || {
            wait::until(context, "the network", LIMIT, async || {
                Ok(match read(context, id).await? {
                    Some(vpc) if vpc.status == "Available" => Look::Ready(vpc),
                    Some(vpc) => Look::NotYet(vpc.status),
                    None => Look::Absent(id.to_owned()),
                })
            })
            .await
        };
        let vpc = available().await?;
        if vpc.name == spec.name {
            return Ok(vpc);
        }
        let call = ModifyVpcAttribute { region_id: context.region.to_owned(), vpc_id: id.to_owned(), vpc_name: spec.name.clone() };
        wait::while_refused(context, "rename the network", BUSY, LIMIT, async || ask(context.cloud, context.region, &call).await).await?;
        wait::until(context, "its new name", LIMIT, async || {
            Ok(match read(context, id).await? {
                Some(vpc) if vpc.name == spec.name => Look::Ready(vpc),
                Some(vpc) => Look::NotYet(vpc.status),
                None => Look::Absent(id.to_owned()),
            })
        })
        .await
    }

    async fn delete(context: &Context<'_>, id: &str, _spec: &VpcSpec) -> Result<(), ResourceError> {
        let call = DeleteVpc { region_id: context.region.to_owned(), vpc_id: id.to_owned() };
        match wait::while_refused(context, "delete the network", LINGERING, LIMIT, async || ask(context.cloud, context.region, &call).await)
            .await
        {
            Err(ResourceError::Api(error)) if error.is_not_found() => return Ok(()),
            other => other?,
        };
        wait::until(context, "the network to be gone", LIMIT, async || {
            Ok(match read(context, id).await? {
                None => Look::Ready(()),
                Some(vpc) => Look::NotYet(vpc.status),
            })
        })
        .await
    }

    async fn find(context: &Context<'_>, _spec: &VpcSpec) -> Result<Option<String>, ResourceError> {
        let query =
            DescribeVpcs { region_id: context.region.to_owned(), tag: context.tags(), page_number: 1, page_size: 50, ..Default::default() };
        let answer = ask(context.cloud, context.region, &query).await?;
        Ok(answer.vpcs.vpc.into_iter().next().map(|vpc| vpc.vpc_id))
    }

    async fn tagged(context: &ReadContext<'_>) -> Result<Vec<Tagged<VpcSpec>>, ResourceError> {
        let mut query = DescribeVpcs { region_id: context.region.to_owned(), page_number: 1, page_size: PAGE, ..Default::default() };
        let mut all = Vec::new();
        loop {
            let page = ask(context.cloud, context.region, &query).await?.vpcs.vpc;
            let full = page.len() as u32 == PAGE;
            all.extend(page.into_iter().map(|vpc| {
                let spec = VpcSpec { name: vpc.vpc_name, cidr: vpc.cidr_block };
                Tagged::new(&vpc.vpc_id, tags(Tags::pairs(vpc.tags)), &vpc.creation_time, spec)
            }));
            if !full {
                all.retain(Tagged::is_ours);
                return Ok(all);
            }
            query.page_number += 1;
        }
    }
}
