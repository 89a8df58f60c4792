//! PutObject, GetObject, HeadObject and DeleteObject.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use md5::{Digest, Md5};

use super::{Answer, Ask, Object, no_bucket, row_key, settled};
use crate::local_cloud::store::blobs::Blobs;
use crate::local_cloud::store::{Task, World};
use crate::local_cloud::time;
use crate::local_cloud::wire::fault::Fault;

const CRC64: crc::Crc<u64> = crc::Crc::<u64>::new(&crc::CRC_64_XZ);

/// Headers of a request that are given back with the object, besides `x-oss-meta-*`.
const KEPT: [&str; 6] = ["content-type", "cache-control", "content-disposition", "content-encoding", "content-language", "expires"];

/// PutObject.
pub(super) async fn put(ask: &Ask<'_>, bucket: &str, key: &str) -> Result<Answer, Fault> {
    if key.len() > 1023 || key.starts_with('/') || key.starts_with('\\') {
        return Err(Fault::bad("InvalidObjectName", "The specified object is not valid."));
    }
    let forbid = match ask.header("x-oss-forbid-overwrite") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Fault::bad("InvalidArgument", "x-oss-forbid-overwrite must be true or false.")),
    };
    let body = ask.request.body.clone();
    let md5 = Md5::digest(&body);
    if ask.header("content-md5").is_some_and(|told| told != STANDARD.encode(md5)) {
        return Err(Fault::bad("InvalidDigest", "The Content-MD5 you specified is not valid."));
    }
    let storage_class = {
        let world = ask.shared.world();
        let home = world.buckets.get(bucket).ok_or_else(no_bucket)?;
        ask.header("x-oss-storage-class").unwrap_or(&home.storage_class).to_owned()
    };
    let mut headers: std::collections::BTreeMap<String, String> =
        ask.request.headers.iter().filter(|(name, _)| KEPT.contains(&name.as_str()) || name.starts_with("x-oss-meta-")).cloned().collect();
    headers.entry("content-type".to_owned()).or_insert_with(|| "application/octet-stream".to_owned());
    let object = Object {
        digest: Blobs::digest(&body),
        size: body.len() as u64,
        md5: hex::encode_upper(md5),
        crc64: CRC64.checksum(&body),
        storage_class,
        modified: ask.now,
        headers,
    };
    let answer = Answer::empty(200)
        .with("etag", format!("\"{}\"", object.md5))
        .with("content-md5", STANDARD.encode(md5))
        .with("x-oss-hash-crc64ecma", object.crc64.to_string());
    // The bytes count as used before they are written, so that nobody forgets them in between.
    let digest = object.digest.clone();
    *ask.shared.world().index.blobs.entry(digest.clone()).or_default() += 1;
    let kept = ask.shared.blobs.put(&digest, body).await;
    let (outcome, number) = ask.shared.commit(|world, _| {
        let outcome = match kept {
            Err(error) => Err(Fault::new(500, "InternalError", error.to_string())),
            Ok(()) if !world.buckets.contains(bucket) => Err(no_bucket()),
            Ok(()) if forbid && world.objects.contains(&row_key(bucket, key)) => {
                Err(Fault::new(409, "FileAlreadyExists", "The object you specified already exists and can not be overwritten."))
            }
            Ok(()) => Ok(()),
        };
        if outcome.is_err() {
            give_up(world, &digest);
            return outcome;
        }
        if let Some(old) = world.objects.remove(&row_key(bucket, key)) {
            give_up(world, &old.digest);
        }
        world.objects.insert(row_key(bucket, key), object);
        Ok(())
    });
    outcome?;
    settled(ask, number).await?;
    Ok(answer)
}

/// One object less names those bytes.
fn give_up(world: &mut World, digest: &str) {
    if let Some(uses) = world.index.blobs.get_mut(digest) {
        *uses -= 1;
        if *uses == 0 {
            world.index.blobs.remove(digest);
            world.index.tasks.push(Task::Forget(digest.to_owned()));
        }
    }
}

/// GetObject and HeadObject.
pub(super) async fn get(ask: &Ask<'_>, bucket: &str, key: &str) -> Result<Answer, Fault> {
    let object = {
        let world = ask.shared.world();
        world.buckets.get(bucket).ok_or_else(no_bucket)?;
        world.objects.get(&row_key(bucket, key)).cloned()
    };
    let object = object.ok_or_else(|| Fault::missing("NoSuchKey", "The specified key does not exist."))?;
    if let Some(answer) = precondition(ask, &object)? {
        return Ok(answer);
    }
    let range = range(ask, object.size)?;
    let mut answer = describe(&object, Answer::empty(if range.is_some() { 206 } else { 200 }));
    for (parameter, header) in [
        ("response-content-type", "content-type"),
        ("response-content-language", "content-language"),
        ("response-cache-control", "cache-control"),
        ("response-content-disposition", "content-disposition"),
        ("response-content-encoding", "content-encoding"),
        ("response-expires", "expires"),
    ] {
        if let Some(value) = ask.query.get(parameter) {
            answer.headers.retain(|(name, _)| name != header);
            answer = answer.with(header, value);
        }
    }
    if ask.request.method == http::Method::HEAD {
        return Ok(answer.with("content-length", object.size.to_string()));
    }
    let bytes: Bytes = ask.shared.blobs.get(&object.digest).await.map_err(|error| Fault::new(500, "InternalError", error.to_string()))?;
    answer.body = match range {
        None => bytes,
        Some((from, to)) => {
            answer = answer.with("content-range", format!("bytes {from}-{to}/{}", object.size));
            bytes.slice(usize::try_from(from).unwrap_or(0)..usize::try_from(to + 1).unwrap_or(bytes.len()))
        }
    };
    Ok(answer)
}

fn describe(object: &Object, answer: Answer) -> Answer {
    let answer = object.headers.iter().fold(answer, |answer, (name, value)| answer.with(name, value));
    let md5 = hex::decode(&object.md5).unwrap_or_default();
    answer
        .with("etag", format!("\"{}\"", object.md5))
        .with("last-modified", time::http(object.modified))
        .with("content-md5", STANDARD.encode(md5))
        .with("accept-ranges", "bytes")
        .with("x-oss-hash-crc64ecma", object.crc64.to_string())
        .with("x-oss-object-type", "Normal")
        .with("x-oss-storage-class", &object.storage_class)
}

/// An answer or an error when a condition of the request does not hold.
fn precondition(ask: &Ask, object: &Object) -> Result<Option<Answer>, Fault> {
    let failed = || Fault::new(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold.");
    let names = |header: &str| {
        ask.header(header).map(|tags| {
            tags.split(',').any(|tag| matches!(tag.trim().trim_matches('"'), "*") || tag.trim().trim_matches('"') == object.md5)
        })
    };
    let moment = |header: &str| ask.header(header).and_then(|text| jiff::fmt::rfc2822::parse(text).ok()).map(|at| at.timestamp());
    let modified = Timestamp::from_second(object.modified.as_second()).unwrap_or(object.modified);
    if names("if-match") == Some(false) || moment("if-unmodified-since").is_some_and(|at| modified > at) {
        return Err(failed());
    }
    if names("if-none-match") == Some(true) || moment("if-modified-since").is_some_and(|at| modified <= at) {
        return Ok(Some(describe(object, Answer::empty(304))));
    }
    Ok(None)
}

/// The first and last byte that are asked for. A range that makes no sense means everything, unless the request wants
/// the standard's behaviour.
fn range(ask: &Ask, size: u64) -> Result<Option<(u64, u64)>, Fault> {
    let Some(text) = ask.header("range") else { return Ok(None) };
    let parsed = text.strip_prefix("bytes=").and_then(|range| range.split_once('-')).and_then(|(from, to)| match (from, to) {
        ("", last) => last.parse::<u64>().ok().filter(|last| *last > 0).map(|last| (size.saturating_sub(last), size.wrapping_sub(1))),
        (from, "") => Some((from.parse().ok()?, size.wrapping_sub(1))),
        (from, to) => Some((from.parse().ok()?, to.parse::<u64>().ok()?.min(size.wrapping_sub(1)))),
    });
    let valid = parsed.filter(|(from, to)| size > 0 && from <= to && *to < size);
    if valid.is_none() && ask.header("x-oss-range-behavior") == Some("standard") {
        return Err(Fault::new(416, "InvalidRange", "The requested range cannot be satisfied."));
    }
    Ok(valid)
}

/// DeleteObject. A key that is not there is fine.
pub(super) async fn delete(ask: &Ask<'_>, bucket: &str, key: &str) -> Result<Answer, Fault> {
    let ((), number) = ask.shared.commit(|world, _| {
        if let Some(old) = world.objects.remove(&row_key(bucket, key)) {
            give_up(world, &old.digest);
        }
    });
    settled(ask, number).await?;
    Ok(Answer::empty(204))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_that_sdks_compute() {
        assert_eq!(CRC64.checksum(b"123456789"), 11_051_210_869_376_104_954);
        assert_eq!(CRC64.checksum(b"hello world"), 5_981_764_153_023_615_706);
        assert_eq!(hex::encode_upper(Md5::digest(b"hello world")), "5EB63BBBE01EEED093CB22BB8F5ACDC3");
    }
}
