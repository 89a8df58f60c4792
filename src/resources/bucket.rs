//! An OSS bucket that holds the bundles of a stack.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::error::ResourceError;
use super::kind::{Context, Priced, ReadContext, ResourceKind};
use super::tagged::{Tagged, tags};
use super::wait;
use crate::cloud::oss;
use crate::model::address::{Address, Kind};
use crate::model::change::Effect;

/// What the name of every bucket of ours begins with.
const OURS: &str = "aliform-";

/// What is wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BucketSpec {
    /// Its name, unique in the world.
    pub name: String,
}

/// What the cloud says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BucketAttributes {
    /// Its name.
    pub id: String,
}

/// The kind.
pub struct BucketKind;

#[async_trait(?Send)]
impl ResourceKind for BucketKind {
    const KIND: Kind = Kind::Bucket;
    type Spec = BucketSpec;
    type Attributes = BucketAttributes;

    fn effect(_path: &str, _before: &Json, _after: &Json) -> Effect {
        Effect::ForcesReplace
    }

    fn observed(_spec: BucketSpec, attributes: &BucketAttributes) -> BucketSpec {
        BucketSpec { name: attributes.id.clone() }
    }

    fn priced(_spec: &BucketSpec) -> Option<Priced> {
        Some(Priced::Bucket)
    }

    async fn read_many(
        context: &ReadContext<'_>,
        known: &[(Address, String, Json)],
    ) -> Result<BTreeMap<String, BucketAttributes>, ResourceError> {
        let mut found = BTreeMap::new();
        for (_, id, _) in known {
            if oss::bucket_exists(context.cloud, context.region, id).await? {
                found.insert(id.clone(), BucketAttributes { id: id.clone() });
            }
        }
        Ok(found)
    }

    async fn create(context: &Context<'_>, spec: &BucketSpec) -> Result<String, ResourceError> {
        let tags: Vec<(String, String)> = context.new_tags().into_iter().map(|tag| (tag.key, tag.value)).collect();
        oss::put_bucket(context.cloud, context.region, &spec.name, &tags).await?;
        Ok(spec.name.clone())
    }

    async fn converge(_context: &Context<'_>, id: &str, _spec: &BucketSpec) -> Result<BucketAttributes, ResourceError> {
        Ok(BucketAttributes { id: id.to_owned() })
    }

    async fn delete(context: &Context<'_>, id: &str, _spec: &BucketSpec) -> Result<(), ResourceError> {
        // Only bundles of this stack lie in it, and only a deletion that was approved comes here.
        for object in oss::list_objects(context.cloud, context.region, id, "").await? {
            oss::delete_object(context.cloud, context.region, id, &object.key).await?;
        }
        wait::while_refused(context, "delete the bucket", &["BucketNotEmpty"], Duration::from_secs(60), async || {
            oss::delete_bucket(context.cloud, context.region, id).await
        })
        .await
    }

    async fn find(context: &Context<'_>, spec: &BucketSpec) -> Result<Option<String>, ResourceError> {
        Ok(oss::bucket_exists(context.cloud, context.region, &spec.name).await?.then(|| spec.name.clone()))
    }

    async fn tagged(context: &ReadContext<'_>) -> Result<Vec<Tagged<BucketSpec>>, ResourceError> {
        let mut all = Vec::new();
        for (name, came) in oss::list_buckets(context.cloud, context.region, OURS).await? {
            let own = tags(oss::bucket_tags(context.cloud, context.region, &name).await?);
            all.push(Tagged::new(&name.clone(), own, &came, BucketSpec { name }));
        }
        all.retain(Tagged::is_ours);
        Ok(all)
    }
}
