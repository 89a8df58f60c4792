//! An elastic public address, bound to an instance. It outlives the instance and is given back on its own.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::error::ResourceError;
use super::kind::{Context, Priced, ReadContext, ResourceKind, needed};
use super::tagged::{Tagged, tags};
use super::wait::{self, Look};
use crate::cloud::api::{CommaList, ask};
use crate::cloud::vpc::{
    AllocateEipAddress, AssociateEipAddress, DescribeEipAddresses, EipAddress, ReleaseEipAddress, Tags, UnassociateEipAddress,
};
use crate::model::address::{Address, Kind};
use crate::model::change::Effect;
use crate::model::value::Value;

/// The most identifiers of a DescribeEipAddresses.
const IDS_A_CALL: usize = 50;
/// The most of a page.
const PAGE: u32 = 100;
const LIMIT: Duration = Duration::from_secs(120);
const BUSY: &[&str] = &[
    "OperationConflict",
    "LastTokenProcessing",
    "IncorrectStatus",
    "IncorrectEipStatus",
    "IncorrectInstanceStatus",
    "InvalidBindingStatus",
    "InvalidStatus.EcsStatusNotSupport",
    "InvalidStatus.EniStatusNotSupport",
    "OperationFailed.EcsMigrating",
    "TaskConflict",
    "SystemBusy",
    "FrequentPurchase.EIP",
];

/// What is wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EipSpec {
    /// Its name in the console.
    pub name: String,
    /// Mbit/s, paid by traffic.
    pub bandwidth: u32,
    /// The instance it is bound to.
    pub instance_id: Value<String>,
}

/// What the cloud says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EipAttributes {
    /// `eip-...`
    pub id: String,
    /// The address.
    pub public_ip: String,
    /// The instance it is bound to; empty if none.
    pub instance_id: String,
    /// Mbit/s.
    pub bandwidth: u32,
    /// Its name.
    pub name: String,
    /// `Available`, `Associating`, `InUse`, `Unassociating`.
    pub status: String,
}

/// The kind.
pub struct EipKind;

fn attributes(eip: EipAddress) -> EipAttributes {
    EipAttributes {
        id: eip.allocation_id,
        public_ip: eip.ip_address,
        instance_id: eip.instance_id,
        bandwidth: eip.bandwidth.parse().unwrap_or(0),
        name: eip.name,
        status: eip.status,
    }
}

async fn describe(context: &ReadContext<'_>, mut query: DescribeEipAddresses) -> Result<Vec<EipAttributes>, ResourceError> {
    query.region_id = context.region.to_owned();
    (query.page_number, query.page_size) = (1, 100);
    let answer = ask(context.cloud, context.region, &query).await?;
    Ok(answer.eip_addresses.eip_address.into_iter().map(attributes).collect())
}

async fn read(context: &ReadContext<'_>, id: &str) -> Result<Option<EipAttributes>, ResourceError> {
    let query = DescribeEipAddresses { allocation_id: CommaList(vec![id.to_owned()]), ..Default::default() };
    Ok(describe(context, query).await?.into_iter().find(|eip| eip.id == id))
}

/// Takes the address off whatever holds it and waits until it is free. `None` if it is gone.
async fn unbound(context: &Context<'_>, id: &str) -> Result<Option<EipAttributes>, ResourceError> {
    wait::until(context, "the address to be free", LIMIT, async || {
        let Some(eip) = read(&context.reading(), id).await? else { return Ok(Look::Ready(None)) };
        if eip.status == "Available" && eip.instance_id.is_empty() {
            return Ok(Look::Ready(Some(eip)));
        }
        if eip.status == "InUse" {
            let call = UnassociateEipAddress {
                region_id: context.region.to_owned(),
                allocation_id: id.to_owned(),
                instance_id: eip.instance_id.clone(),
                instance_type: "EcsInstance".to_owned(),
            };
            match ask(context.cloud, context.region, &call).await {
                Ok(_) => {}
                // Its instance goes away at the same moment, and the address with it becomes free.
                Err(error) if error.is(BUSY) || error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Look::NotYet(eip.status))
    })
    .await
}

/// Waits until the address neither comes nor goes.
async fn settled(context: &Context<'_>, id: &str) -> Result<EipAttributes, ResourceError> {
    wait::until(context, "the address", LIMIT, async || {
        Ok(match read(&context.reading(), id).await? {
            Some(eip) if matches!(eip.status.as_str(), "Available" | "InUse") => Look::Ready(eip),
            Some(eip) => Look::NotYet(eip.status),
            None => Look::Absent(id.to_owned()),
        })
    })
    .await
}

#[async_trait(?Send)]
impl ResourceKind for EipKind {
    const KIND: Kind = Kind::Eip;
    type Spec = EipSpec;
    type Attributes = EipAttributes;

    fn effect(path: &str, _before: &Json, _after: &Json) -> Effect {
        if path == "instance_id" { Effect::InPlace } else { Effect::ForcesReplace }
    }

    fn observed(spec: EipSpec, attributes: &EipAttributes) -> EipSpec {
        EipSpec { name: spec.name, bandwidth: attributes.bandwidth, instance_id: Value::Known(attributes.instance_id.clone()) }
    }

    fn priced(_spec: &EipSpec) -> Option<Priced> {
        Some(Priced::Eip)
    }

    async fn read_many(
        context: &ReadContext<'_>,
        known: &[(Address, String, Json)],
    ) -> Result<BTreeMap<String, EipAttributes>, ResourceError> {
        let mut found = BTreeMap::new();
        for chunk in known.chunks(IDS_A_CALL) {
            let ids = CommaList(chunk.iter().map(|(_, id, _)| id.clone()).collect());
            let eips = describe(context, DescribeEipAddresses { allocation_id: ids, ..Default::default() }).await?;
            found.extend(eips.into_iter().map(|eip| (eip.id.clone(), eip)));
        }
        Ok(found)
    }

    async fn create(context: &Context<'_>, spec: &EipSpec) -> Result<String, ResourceError> {
        let call = AllocateEipAddress {
            region_id: context.region.to_owned(),
            bandwidth: spec.bandwidth.to_string(),
            internet_charge_type: "PayByTraffic".to_owned(),
            name: spec.name.clone(),
            client_token: context.token.to_owned(),
            tag: context.new_tags(),
        };
        wait::while_refused(context, "rent the address", BUSY, LIMIT, async || ask(context.cloud, context.region, &call).await)
            .await
            .map(|answer| answer.allocation_id)
    }

    async fn converge(context: &Context<'_>, id: &str, spec: &EipSpec) -> Result<EipAttributes, ResourceError> {
        let instance = needed(&spec.instance_id)?;
        let eip = settled(context, id).await?;
        if eip.status == "InUse" && &eip.instance_id == instance {
            return Ok(eip);
        }
        unbound(context, id).await?.ok_or_else(|| ResourceError::Vanished { id: id.to_owned() })?;
        let call = AssociateEipAddress {
            region_id: context.region.to_owned(),
            allocation_id: id.to_owned(),
            instance_id: instance.clone(),
            instance_type: "EcsInstance".to_owned(),
        };
        wait::while_refused(context, "bind the address", BUSY, LIMIT, async || ask(context.cloud, context.region, &call).await).await?;
        // The call returns first; the address is bound some moments later.
        wait::until(context, "the address to be bound", LIMIT, async || {
            Ok(match read(&context.reading(), id).await? {
                Some(eip) if eip.status == "InUse" && &eip.instance_id == instance => Look::Ready(eip),
                Some(eip) => Look::NotYet(eip.status),
                None => Look::Absent(id.to_owned()),
            })
        })
        .await
    }

    async fn delete(context: &Context<'_>, id: &str, _spec: &EipSpec) -> Result<(), ResourceError> {
        if unbound(context, id).await?.is_none() {
            return Ok(());
        }
        let call = ReleaseEipAddress { region_id: context.region.to_owned(), allocation_id: id.to_owned() };
        match wait::while_refused(context, "give the address back", BUSY, LIMIT, async || ask(context.cloud, context.region, &call).await)
            .await
        {
            Err(ResourceError::Api(error)) if error.is_not_found() => return Ok(()),
            other => other?,
        };
        wait::until(context, "the address to be gone", LIMIT, async || {
            Ok(match read(&context.reading(), id).await? {
                None => Look::Ready(()),
                Some(eip) => Look::NotYet(eip.status),
            })
        })
        .await
    }

    async fn find(context: &Context<'_>, _spec: &EipSpec) -> Result<Option<String>, ResourceError> {
        let query = DescribeEipAddresses { tag: context.tags(), ..Default::default() };
        Ok(describe(&context.reading(), query).await?.into_iter().next().map(|eip| eip.id))
    }

    async fn tagged(context: &ReadContext<'_>) -> Result<Vec<Tagged<EipSpec>>, ResourceError> {
        let region_id = context.region.to_owned();
        let mut query = DescribeEipAddresses { region_id, page_number: 1, page_size: PAGE, ..Default::default() };
        let mut all = Vec::new();
        loop {
            let page = ask(context.cloud, context.region, &query).await?.eip_addresses.eip_address;
            let full = page.len() as u32 == PAGE;
            all.extend(page.into_iter().map(|mut eip| {
                let (own, came) = (tags(Tags::pairs(eip.tags.take())), std::mem::take(&mut eip.allocation_time));
                let eip = attributes(eip);
                let spec = EipSpec { name: eip.name, bandwidth: eip.bandwidth, instance_id: Value::Known(eip.instance_id) };
                Tagged::new(&eip.id, own, &came, spec)
            }));
            if !full {
                all.retain(Tagged::is_ours);
                return Ok(all);
            }
            query.page_number += 1;
        }
    }
}
