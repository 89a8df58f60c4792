//! Reads what the cloud has of what the state remembers, many at a time.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use serde_json::Value as Json;

use super::error::ResourceError;
use super::kind::{Identity, ReadContext};
use super::registry;
use crate::cloud::call::Cloud;
use crate::model::address::{Address, Kind};

/// A resource that the state remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Its identifier in the cloud.
    pub id: String,
    /// The region it lives in.
    pub region: String,
    /// The spec applied last, every reference filled.
    pub spec: Json,
    /// What the cloud said last.
    pub attributes: Json,
    /// What it was built on.
    pub depends_on: Vec<Address>,
    /// Why it did not reach its end, if it did not.
    pub unfinished: Option<String>,
}

/// What the cloud says now, for each address remembered: `None` when it is gone.
pub type Observed = BTreeMap<Address, Option<Json>>;

/// Reads all of `remembered`: one batch for each kind and region, all at the same time.
pub async fn observe(
    cloud: &dyn Cloud,
    identity: &Identity,
    remembered: &BTreeMap<Address, Remembered>,
) -> Result<Observed, ResourceError> {
    type Batch = Vec<(Address, String, Json)>;
    let mut batches: BTreeMap<(Kind, &str), Batch> = BTreeMap::new();
    for (address, resource) in remembered {
        let batch = batches.entry((address.kind, &resource.region)).or_default();
        batch.push((address.clone(), resource.id.clone(), resource.attributes.clone()));
    }
    let reads = batches.into_iter().map(|((kind, region), batch)| async move {
        let mut found = registry::kind(kind).read_many(&ReadContext { cloud, region, identity }, &batch).await?;
        Ok::<_, ResourceError>(batch.into_iter().map(|(address, id, _)| (address, found.remove(&id))).collect::<Vec<_>>())
    });
    Ok(try_join_all(reads).await?.into_iter().flatten().collect())
}
