//! What a request says of the object that it makes: metadata, storage class, access list, tags; and the rules for names
//! and for what may be overwritten.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};

use super::refusal::Refusal;
use super::rows::{Description, row_key};
use super::{Ask, access, tagging};
use crate::local_cloud::store::World;

/// Headers of a request that are given back with the object, besides `x-oss-meta-*`.
const KEPT: [&str; 6] = ["content-type", "cache-control", "content-disposition", "content-encoding", "content-language", "expires"];
/// The classes that a bucket or an object may be stored in.
const STORAGE_CLASSES: [&str; 5] = ["Standard", "IA", "Archive", "ColdArchive", "DeepColdArchive"];
/// How long a key may be, in bytes.
const LONGEST_KEY: usize = 1023;

pub(super) fn is_storage_class(name: &str) -> bool {
    STORAGE_CLASSES.contains(&name)
}

/// Whether an object of that class must be restored before it is read.
pub(super) fn is_archived(storage_class: &str) -> bool {
    matches!(storage_class, "Archive" | "ColdArchive" | "DeepColdArchive")
}

/// What the request says of the object that it makes.
pub(super) fn of_request(ask: &Ask) -> Result<Description, Refusal> {
    let storage_class = match ask.header("x-oss-storage-class") {
        Some(class) if is_storage_class(class) => class.to_owned(),
        Some(class) => return Err(Refusal::argument("x-oss-storage-class", class, "no such storage class")),
        None => ask.shared.world().buckets.get(ask.bucket).ok_or_else(Refusal::no_bucket)?.storage_class.clone(),
    };
    let acl = access::of_object(ask)?.filter(|acl| *acl != access::DEFAULT).map(str::to_owned);
    let tags = ask.header("x-oss-tagging").map_or_else(|| Ok(BTreeMap::new()), tagging::of_text)?;
    Ok(Description { storage_class, headers: headers(ask), acl, tags })
}

/// The metadata among the headers.
pub(super) fn headers(ask: &Ask) -> BTreeMap<String, String> {
    let kept = |name: &str| KEPT.contains(&name) || name.starts_with("x-oss-meta-");
    let mut headers: BTreeMap<String, String> = ask.request.headers.iter().filter(|(name, _)| kept(name)).cloned().collect();
    headers.entry("content-type".to_owned()).or_insert_with(|| "application/octet-stream".to_owned());
    headers
}

/// Checks the key of an object to be made.
pub(super) fn check_key(key: &str) -> Result<(), Refusal> {
    if key.len() > LONGEST_KEY {
        return Err(Refusal::bad("InvalidObjectName", "The Length of Object name must be less than 1024.").with("ObjectName", key));
    }
    if key.starts_with('/') || key.starts_with('\\') {
        return Err(Refusal::bad("InvalidObjectName", "The specified object is not valid.").with("ObjectName", key));
    }
    Ok(())
}

/// Checks the `Content-MD5` that was told against the bytes' own.
pub(super) fn check_md5(ask: &Ask, md5: [u8; 16]) -> Result<(), Refusal> {
    match ask.header("content-md5") {
        Some(told) if told != STANDARD.encode(md5) => {
            Err(Refusal::bad("InvalidDigest", "The Content-MD5 you specified was invalid.").with("Content-MD5", told))
        }
        _ => Ok(()),
    }
}

/// The body of a request that is a document, its `Content-MD5` checked.
pub(super) fn document<'a>(ask: &'a Ask) -> Result<&'a [u8], Refusal> {
    check_md5(ask, Md5::digest(&ask.request.body).into())?;
    Ok(&ask.request.body)
}

/// Whether the request forbids to overwrite.
pub(super) fn forbids_overwrite(ask: &Ask) -> Result<bool, Refusal> {
    match ask.header("x-oss-forbid-overwrite") {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => {
            Err(Refusal::argument("x-oss-forbid-overwrite", other, "x-oss-forbid-overwrite must be true or false.").ec("0017-00000279"))
        }
    }
}

/// Refuses to overwrite what is there if the request forbids it.
pub(super) fn check_overwrite(world: &World, ask: &Ask, forbid: bool) -> Result<(), Refusal> {
    if forbid && world.objects.contains(&row_key(ask.bucket, ask.key)) {
        let message = "The object you specified already exists and can not be overwritten.";
        return Err(Refusal::conflict("FileAlreadyExists", message).ec("0026-00000002").with("Key", ask.key));
    }
    Ok(())
}
