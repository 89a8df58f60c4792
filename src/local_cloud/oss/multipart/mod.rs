//! Uploads in parts: begun here, and given up here. What was uploaded costs until one of the two ends comes.

pub(super) mod complete;
pub(super) mod list;
pub(super) mod part;

use super::content::let_go;
use super::refusal::Refusal;
use super::rows::{Part, Upload, part_key};
use super::{Answer, Ask, description, xml};
use crate::local_cloud::store::{World, ids};
use crate::local_cloud::wire::encoding::encode;

/// The highest number that a part may have.
const HIGHEST_NUMBER: u32 = 10_000;

/// InitiateMultipartUpload.
pub(super) async fn initiate(ask: &Ask<'_>) -> Result<Answer, Refusal> {
    description::check_key(ask.key)?;
    let forbid = description::forbids_overwrite(ask)?;
    let description = description::of_request(ask)?;
    let by_url = ask.by_url()?;
    let id = ask
        .commit(|world, now| {
            if !world.buckets.contains(ask.bucket) {
                return Err(Refusal::no_bucket());
            }
            description::check_overwrite(world, ask, forbid)?;
            let id = ids::upload(ask.shared.config.seed, world.next_number());
            let (bucket, key) = (ask.bucket.to_owned(), ask.key.to_owned());
            world.uploads.insert(id.clone(), Upload { id: id.clone(), bucket, key, initiated: now, description });
            Ok(id)
        })
        .await?;
    let mut body = xml::Writer::document("InitiateMultipartUploadResult");
    if by_url {
        body.leaf("EncodingType", "url");
    }
    body.leaf("Bucket", ask.bucket).leaf("Key", &shown(ask.key, by_url)).leaf("UploadId", &id);
    Ok(Answer::xml(body))
}

/// AbortMultipartUpload.
pub(super) async fn abort(ask: &Ask<'_>) -> Result<Answer, Refusal> {
    ask.commit(|world, _| {
        existing(world, ask)?;
        forget(world, ask.parameter("uploadId"));
        Ok(())
    })
    .await?;
    Ok(Answer::empty(204))
}

/// The upload that the request names.
fn existing<'a>(world: &'a World, ask: &Ask) -> Result<&'a Upload, Refusal> {
    world.buckets.get(ask.bucket).ok_or_else(Refusal::no_bucket)?;
    let id = ask.parameter("uploadId");
    world.uploads.get(id).filter(|upload| upload.bucket == ask.bucket && upload.key == ask.key).ok_or_else(|| {
        let message =
            "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.";
        Refusal::missing("NoSuchUpload", message).with("UploadId", id)
    })
}

/// The parts of an upload in the order of their numbers.
fn parts_of<'a>(world: &'a World, id: &'a str) -> impl Iterator<Item = &'a Part> {
    world.parts.after(&format!("{id}/")).take_while(move |(key, _)| key.starts_with(id)).map(|(_, part)| part)
}

/// Removes an upload with its parts.
fn forget(world: &mut World, id: &str) {
    let parts: Vec<(u32, String)> = parts_of(world, id).map(|part| (part.number, part.digest.clone())).collect();
    for (number, digest) in parts {
        world.parts.remove(&part_key(id, number));
        let_go(world, &digest);
    }
    world.uploads.remove(id);
}

fn shown(text: &str, by_url: bool) -> String {
    if by_url { encode(text) } else { text.to_owned() }
}
