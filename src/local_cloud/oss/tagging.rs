//! Tags of buckets and objects.

use serde::Deserialize;

use super::object::{existing, existing_mut};
use super::refusal::Refusal;
use super::{Answer, Ask, description, xml};
use crate::local_cloud::wire::encoding::pairs;
use crate::local_cloud::wire::params::Tags;

/// How many tags an object may have.
const MOST_OF_OBJECT: usize = 10;
/// How many tags a bucket may have.
const MOST_OF_BUCKET: usize = 20;

#[derive(Deserialize)]
struct Tagging {
    #[serde(rename = "TagSet")]
    set: TagSet,
}

#[derive(Deserialize)]
struct TagSet {
    #[serde(rename = "Tag", default)]
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
struct Tag {
    #[serde(rename = "Key")]
    key: String,
    #[serde(rename = "Value", default)]
    value: String,
}

fn checked(pairs: impl IntoIterator<Item = (String, String)>, most: usize) -> Result<Tags, Refusal> {
    let mut tags = Tags::new();
    for (key, value) in pairs {
        if key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256 {
            return Err(Refusal::bad("InvalidTag", "The TagKey or TagValue you have provided is invalid.").with("TagKey", key));
        }
        if tags.insert(key.clone(), value).is_some() {
            return Err(Refusal::bad("InvalidTag", "Cannot provide multiple Tags with the same key.").with("TagKey", key));
        }
    }
    if tags.len() > most {
        return Err(Refusal::bad("InvalidTag", format!("The number of tags must not exceed {most}.")));
    }
    Ok(tags)
}

/// The tags of an object to be made, `k=v&...` encoded as a query.
pub(super) fn of_text(text: &str) -> Result<Tags, Refusal> {
    checked(pairs(text), MOST_OF_OBJECT)
}

/// The tags of a bucket to be made.
pub(super) fn of_text_for_bucket(text: &str) -> Result<Tags, Refusal> {
    checked(pairs(text), MOST_OF_BUCKET)
}

fn of_body(ask: &Ask, most: usize) -> Result<Tags, Refusal> {
    let body: Tagging = xml::read(description::document(ask)?, "Tagging")?;
    checked(body.set.tags.into_iter().map(|tag| (tag.key, tag.value)), most)
}

fn answer(tags: &Tags) -> Answer {
    let mut body = xml::Writer::document("Tagging");
    body.open("TagSet");
    for (key, value) in tags {
        body.open("Tag").leaf("Key", key).leaf("Value", value).close();
    }
    Answer::xml(body)
}

/// GetObjectTagging.
pub(super) fn of_object(ask: &Ask) -> Result<Answer, Refusal> {
    let world = ask.shared.world();
    Ok(answer(&existing(&world, ask.bucket, ask.key)?.description.tags))
}

/// PutObjectTagging.
pub(super) async fn put_of_object(ask: &Ask<'_>) -> Result<Answer, Refusal> {
    let tags = of_body(ask, MOST_OF_OBJECT)?;
    set_of_object(ask, tags, 200).await
}

/// DeleteObjectTagging.
pub(super) async fn delete_of_object(ask: &Ask<'_>) -> Result<Answer, Refusal> {
    set_of_object(ask, Tags::new(), 204).await
}

async fn set_of_object(ask: &Ask<'_>, tags: Tags, status: u16) -> Result<Answer, Refusal> {
    ask.commit(|world, _| {
        existing_mut(world, ask)?.description.tags = tags;
        Ok(())
    })
    .await?;
    Ok(Answer::empty(status))
}

/// GetBucketTags.
pub(super) fn of_bucket(ask: &Ask) -> Result<Answer, Refusal> {
    let world = ask.shared.world();
    Ok(answer(&world.buckets.get(ask.bucket).ok_or_else(Refusal::no_bucket)?.tags))
}

/// PutBucketTags.
pub(super) async fn put_of_bucket(ask: &Ask<'_>) -> Result<Answer, Refusal> {
    let tags = of_body(ask, MOST_OF_BUCKET)?;
    ask.commit(|world, _| {
        world.buckets.get_mut(ask.bucket).ok_or_else(Refusal::no_bucket)?.tags = tags;
        Ok(())
    })
    .await?;
    Ok(Answer::empty(200))
}

/// DeleteBucketTags: all of them, or those whose keys the query names.
pub(super) async fn delete_of_bucket(ask: &Ask<'_>) -> Result<Answer, Refusal> {
    let named: Vec<&str> = ask.parameter("tagging").split(',').filter(|key| !key.is_empty()).collect();
    ask.commit(|world, _| {
        let bucket = world.buckets.get_mut(ask.bucket).ok_or_else(Refusal::no_bucket)?;
        bucket.tags.retain(|key, _| !named.is_empty() && !named.contains(&key.as_str()));
        Ok(())
    })
    .await?;
    Ok(Answer::empty(204))
}
