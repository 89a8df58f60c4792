//! The packed source of an application: one object for each digest, uploaded once.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::error::ResourceError;
use super::kind::{Artifacts, Context, ReadContext, ResourceKind, needed};
use crate::cloud::oss;
use crate::model::address::{Address, Kind};
use crate::model::change::Effect;
use crate::model::secret::Secrets;
use crate::model::value::Value;

/// As many bundles stay in the bucket as releases stay on an instance.
const KEPT: usize = 5;

/// What is wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BundleSpec {
    /// The bucket it lies in.
    pub bucket: Value<String>,
    /// The application.
    pub app: String,
    /// SHA-256 of the archive, in hex.
    pub digest: String,
    /// Bytes of the archive.
    pub size: u64,
    /// Every file with the beginning of its SHA-256, so that a plan can name those that changed.
    pub files: BTreeMap<String, String>,
}

/// What the cloud says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BundleAttributes {
    /// `bucket/app`.
    pub id: String,
    /// The object's key.
    pub key: String,
    /// Whether the object was there when it was read last.
    pub digest: String,
}

/// The kind.
pub struct BundleKind;

fn prefix(app: &str) -> String {
    format!("bundles/{app}/")
}

/// The key of a bundle.
pub fn key(app: &str, digest: &str) -> String {
    format!("{}{digest}.tar.gz", prefix(app))
}

#[async_trait(?Send)]
impl ResourceKind for BundleKind {
    const KIND: Kind = Kind::Bundle;
    type Spec = BundleSpec;
    type Attributes = BundleAttributes;

    fn effect(path: &str, _before: &Json, _after: &Json) -> Effect {
        if path == "bucket" { Effect::ForcesReplace } else { Effect::InPlace }
    }

    fn at_hand(address: &Address, spec: &BundleSpec, _secrets: &dyn Secrets, artifacts: &dyn Artifacts) -> Result<(), ResourceError> {
        match artifacts.archive(&spec.digest) {
            Some(_) => Ok(()),
            None => Err(ResourceError::BundleChanged { address: address.to_string(), digest: spec.digest.clone() }),
        }
    }

    fn unsettles(paths: &[&str]) -> &'static [&'static str] {
        if paths.contains(&"digest") { &["key", "digest"] } else { &[] }
    }

    fn observed(spec: BundleSpec, attributes: &BundleAttributes) -> BundleSpec {
        BundleSpec { digest: attributes.digest.clone(), ..spec }
    }

    async fn read_many(
        context: &ReadContext<'_>,
        known: &[(Address, String, Json)],
    ) -> Result<BTreeMap<String, BundleAttributes>, ResourceError> {
        let mut listings: BTreeMap<String, Vec<oss::Object>> = BTreeMap::new();
        let mut found = BTreeMap::new();
        for (_, id, attributes) in known {
            let (Some((bucket, _)), Ok(attributes)) = (id.split_once('/'), BundleAttributes::deserialize(attributes)) else { continue };
            if !listings.contains_key(bucket) {
                listings.insert(bucket.to_owned(), oss::list_objects(context.cloud, context.region, bucket, "bundles/").await?);
            }
            if listings[bucket].iter().any(|object| object.key == attributes.key) {
                found.insert(id.clone(), attributes);
            }
        }
        Ok(found)
    }

    async fn create(_context: &Context<'_>, spec: &BundleSpec) -> Result<String, ResourceError> {
        Ok(format!("{}/{}", needed(&spec.bucket)?, spec.app))
    }

    async fn converge(context: &Context<'_>, id: &str, spec: &BundleSpec) -> Result<BundleAttributes, ResourceError> {
        let bucket = needed(&spec.bucket)?;
        let key = key(&spec.app, &spec.digest);
        if oss::object_size(context.cloud, context.region, bucket, &key).await? != Some(spec.size) {
            let archive = context
                .artifacts
                .archive(&spec.digest)
                .ok_or_else(|| ResourceError::BundleChanged { address: context.address.to_string(), digest: spec.digest.clone() })?;
            oss::put_object(context.cloud, context.region, bucket, &key, archive).await?;
        }
        let mut others = oss::list_objects(context.cloud, context.region, bucket, &prefix(&spec.app)).await?;
        others.retain(|object| object.key != key);
        others.sort_by(|a, b| b.last_modified.cmp(&a.last_modified));
        for old in others.iter().skip(KEPT - 1) {
            oss::delete_object(context.cloud, context.region, bucket, &old.key).await?;
        }
        Ok(BundleAttributes { id: id.to_owned(), key, digest: spec.digest.clone() })
    }

    async fn delete(context: &Context<'_>, _id: &str, spec: &BundleSpec) -> Result<(), ResourceError> {
        let bucket = needed(&spec.bucket)?;
        for object in oss::list_objects(context.cloud, context.region, bucket, &prefix(&spec.app)).await? {
            oss::delete_object(context.cloud, context.region, bucket, &object.key).await?;
        }
        Ok(())
    }

    async fn find(context: &Context<'_>, spec: &BundleSpec) -> Result<Option<String>, ResourceError> {
        let Some(bucket) = spec.bucket.known() else { return Ok(None) };
        let objects = oss::list_objects(context.cloud, context.region, bucket, &prefix(&spec.app)).await?;
        Ok((!objects.is_empty()).then(|| format!("{bucket}/{}", spec.app)))
    }
}
