//! PutObject, DeleteObject, DeleteMultipleObjects and the access lists of objects.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::content::{Held, Measured, keep, let_go, measure};
use super::refusal::Refusal;
use super::rows::{Content, Description, Object, ObjectKind, row_key};
use super::{Answer, Ask, access, description, xml};
use crate::local_cloud::store::World;
use crate::local_cloud::wire::encoding::encode;

/// How many keys a request may delete.
const MOST_DELETED: usize = 1000;

/// PutObject.
pub(super) async fn put(ask: &Ask<'_>) -> Result<Answer, Refusal> {
    description::check_key(ask.key)?;
    let forbid = description::forbids_overwrite(ask)?;
    let description = description::of_request(ask)?;
    let body = ask.request.body.clone();
    let measured = measure(&body).await?;
    description::check_md5(ask, measured.md5)?;
    let mut held = keep(ask.shared, body, &measured).await?;
    let answer = Answer::empty(200)
        .with("etag", format!("\"{}\"", measured.etag()))
        .with("content-md5", STANDARD.encode(measured.md5))
        .with("x-oss-hash-crc64ecma", measured.crc64.to_string());
    let object = normal(ask, measured, description);
    ask.commit(|world, _| {
        description::check_overwrite(world, ask, forbid)?;
        store(world, ask, object, &mut held)
    })
    .await?;
    Ok(answer)
}

/// An object in one piece.
pub(super) fn normal(ask: &Ask, measured: Measured, description: Description) -> Object {
    Object {
        etag: measured.etag(),
        content: Content::Whole(measured.digest),
        size: measured.size,
        crc64: measured.crc64,
        kind: ObjectKind::Normal,
        modified: ask.now,
        description,
    }
}

/// Puts an object in its place, and lets go of what was there.
pub(super) fn store(world: &mut World, ask: &Ask, object: Object, held: &mut Held) -> Result<(), Refusal> {
    if !world.buckets.contains(ask.bucket) {
        return Err(Refusal::no_bucket());
    }
    remove(world, ask.bucket, ask.key);
    world.objects.insert(row_key(ask.bucket, ask.key), object);
    held.hand_over();
    Ok(())
}

fn remove(world: &mut World, bucket: &str, key: &str) {
    if let Some(old) = world.objects.remove(&row_key(bucket, key)) {
        old.content.digests().for_each(|digest| let_go(world, digest));
    }
}

/// An object that must be there.
pub(super) fn existing<'a>(world: &'a World, bucket: &str, key: &str) -> Result<&'a Object, Refusal> {
    world.buckets.get(bucket).ok_or_else(Refusal::no_bucket)?;
    world.objects.get(&row_key(bucket, key)).ok_or_else(|| Refusal::no_key(key))
}

/// The same, to be changed.
pub(super) fn existing_mut<'a>(world: &'a mut World, ask: &Ask) -> Result<&'a mut Object, Refusal> {
    existing(world, ask.bucket, ask.key)?;
    world.objects.get_mut(&row_key(ask.bucket, ask.key)).ok_or_else(|| Refusal::no_key(ask.key))
}

/// DeleteObject. A key that is not there is fine.
pub(super) async fn delete(ask: &Ask<'_>) -> Result<Answer, Refusal> {
    ask.commit(|world, _| {
        remove(world, ask.bucket, ask.key);
        Ok(())
    })
    .await?;
    Ok(Answer::empty(204))
}

#[derive(Deserialize)]
struct Delete {
    #[serde(rename = "Quiet", default)]
    quiet: bool,
    #[serde(rename = "Object", default)]
    objects: Vec<ToDelete>,
}

#[derive(Deserialize)]
struct ToDelete {
    #[serde(rename = "Key")]
    key: String,
    #[serde(rename = "VersionId")]
    version: Option<String>,
}

/// DeleteMultipleObjects.
pub(super) async fn delete_multiple(ask: &Ask<'_>) -> Result<Answer, Refusal> {
    if ask.header("content-md5").is_none() {
        let refusal = Refusal::bad("MissingArgument", "Missing Some Required Arguments.").ec("0016-00000606");
        return Err(refusal.with("ArgumentName", "Content-MD5"));
    }
    let body: Delete = xml::read(description::document(ask)?, "Delete")?;
    if body.objects.is_empty() || body.objects.len() > MOST_DELETED {
        return Err(Refusal::malformed_xml("The number of objects must be between 1 and 1000.").ec("0016-00000608"));
    }
    if body.objects.iter().any(|object| object.version.is_some()) {
        return Err(Refusal::not_implemented("VersionId"));
    }
    let by_url = ask.by_url()?;
    ask.commit(|world, _| {
        body.objects.iter().for_each(|object| remove(world, ask.bucket, &object.key));
        Ok(())
    })
    .await?;
    if body.quiet {
        return Ok(Answer::empty(200));
    }
    let mut answer = xml::Writer::document("DeleteResult");
    if by_url {
        answer.leaf("EncodingType", "url");
    }
    for object in &body.objects {
        answer.open("Deleted").leaf("Key", &if by_url { encode(&object.key) } else { object.key.clone() }).close();
    }
    Ok(Answer::xml(answer))
}

/// GetObjectACL.
pub(super) fn acl(ask: &Ask) -> Result<Answer, Refusal> {
    let world = ask.shared.world();
    let object = existing(&world, ask.bucket, ask.key)?;
    Ok(Answer::xml(xml::access_list(&ask.shared.config.account, object.description.acl.as_deref().unwrap_or(access::DEFAULT))))
}

/// PutObjectACL.
pub(super) async fn put_acl(ask: &Ask<'_>) -> Result<Answer, Refusal> {
    let acl = access::of_object(ask)?.ok_or_else(|| Refusal::argument("x-oss-object-acl", "", "x-oss-object-acl is missing."))?;
    ask.commit(|world, _| {
        existing_mut(world, ask)?.description.acl = Some(acl).filter(|acl| *acl != access::DEFAULT).map(str::to_owned);
        Ok(())
    })
    .await?;
    Ok(Answer::empty(200))
}
