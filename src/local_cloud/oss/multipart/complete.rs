//! CompleteMultipartUpload. The object names the bytes of its parts one after the other: nothing is copied, however
//! large it is.

use jiff::Timestamp;
use md5::{Digest, Md5};
use serde::Deserialize;

use super::super::content::{Held, combine_crc64};
use super::super::object::store;
use super::super::refusal::Refusal;
use super::super::rows::{Content, Description, Object, ObjectKind, Part, Segment, part_key};
use super::super::{Answer, Ask, access, description, xml};
use super::{existing, forget, parts_of, shown};
use crate::local_cloud::store::World;
use crate::local_cloud::wire::encoding::encode_path;

/// How short a part may be that is not the last, in bytes.
const SHORTEST: u64 = 100 * 1024;

#[derive(Deserialize)]
struct Wanted {
    #[serde(rename = "Part", default)]
    parts: Vec<WantedPart>,
}

#[derive(Deserialize)]
struct WantedPart {
    #[serde(rename = "PartNumber")]
    number: u32,
    #[serde(rename = "ETag")]
    etag: String,
}

/// CompleteMultipartUpload.
pub(in super::super) async fn complete(ask: &Ask<'_>) -> Result<Answer, Refusal> {
    let forbid = description::forbids_overwrite(ask)?;
    let acl = access::of_object(ask)?;
    let wanted = wanted(ask)?;
    let by_url = ask.by_url()?;
    // Dropped after the commit at the earliest: to let go of bytes is a change of its own.
    let mut hold = None;
    let (etag, crc64) = ask
        .commit(|world, now| {
            let upload = existing(world, ask)?.clone();
            description::check_overwrite(world, ask, forbid)?;
            let parts = match &wanted {
                Some(wanted) => wanted_parts(world, &upload.id, wanted)?,
                None => parts_of(world, &upload.id).cloned().collect(),
            };
            check_sizes(&parts)?;
            let mut description = upload.description;
            if let Some(acl) = acl {
                description.acl = Some(acl.to_owned()).filter(|acl| acl != access::DEFAULT);
            }
            let object = assembled(parts, description, now);
            let told = (object.etag.clone(), object.crc64);
            let held = hold.insert(Held::of(ask.shared, world, object.content.digests()));
            forget(world, &upload.id);
            store(world, ask, object, held)?;
            Ok(told)
        })
        .await?;
    let mut body = xml::Writer::document("CompleteMultipartUploadResult");
    if by_url {
        body.leaf("EncodingType", "url");
    }
    let location = format!("http://{}{}", ask.request.host, encode_path(&format!("/{}", ask.request.path.trim_start_matches('/'))));
    body.leaf("Location", &location).leaf("Bucket", ask.bucket).leaf("Key", &shown(ask.key, by_url)).leaf("ETag", &format!("\"{etag}\""));
    Ok(Answer::xml(body).with("etag", format!("\"{etag}\"")).with("x-oss-hash-crc64ecma", crc64.to_string()))
}

/// The parts that the request names; `None` if it wants all there are.
fn wanted(ask: &Ask) -> Result<Option<Vec<WantedPart>>, Refusal> {
    let body = description::document(ask)?;
    match ask.header("x-oss-complete-all") {
        Some("yes") if body.is_empty() => Ok(None),
        Some("yes") => {
            let message = "x-oss-complete-all and a list of parts cannot be given together.";
            Err(Refusal::argument("x-oss-complete-all", "yes", message))
        }
        Some(other) => Err(Refusal::argument("x-oss-complete-all", other, "x-oss-complete-all must be yes.")),
        None => {
            let wanted: Wanted = xml::read(body, "CompleteMultipartUpload").map_err(|refusal| refusal.ec("0042-00000205"))?;
            if wanted.parts.is_empty() {
                return Err(Refusal::malformed_xml("there is no part.").ec("0042-00000205"));
            }
            Ok(Some(wanted.parts))
        }
    }
}

fn wanted_parts(world: &World, id: &str, wanted: &[WantedPart]) -> Result<Vec<Part>, Refusal> {
    if wanted.is_sorted_by(|one, next| one.number < next.number) {
        return wanted.iter().map(|wanted| one_part(world, id, wanted)).collect();
    }
    let message = "The list of parts was not in ascending order. Parts list must be specified in order by part number.";
    Err(Refusal::bad("InvalidPartOrder", message).with("UploadId", id))
}

fn one_part(world: &World, id: &str, wanted: &WantedPart) -> Result<Part, Refusal> {
    let told = wanted.etag.trim().trim_matches('"');
    world.parts.get(&part_key(id, wanted.number)).filter(|part| part.md5.eq_ignore_ascii_case(told)).cloned().ok_or_else(|| {
        let message = "One or more of the specified parts could not be found or the specified entity tag might not have matched the part's entity tag.";
        Refusal::bad("InvalidPart", message).with("UploadId", id).with("PartNumber", wanted.number.to_string()).with("PartEtag", told)
    })
}

fn check_sizes(parts: &[Part]) -> Result<(), Refusal> {
    let Some((_, all_but_last)) = parts.split_last() else {
        return Err(Refusal::bad("InvalidPart", "The upload has no parts."));
    };
    let Some(part) = all_but_last.iter().find(|part| part.size < SHORTEST) else { return Ok(()) };
    let message = "Your proposed upload smaller than the minimum allowed size.";
    Err(Refusal::bad("EntityTooSmall", message)
        .with("ProposedSize", part.size.to_string())
        .with("MinSizeAllowed", SHORTEST.to_string())
        .with("PartNumber", part.number.to_string())
        .with("ETag", &part.md5))
}

/// The object that parts make.
fn assembled(parts: Vec<Part>, description: Description, modified: Timestamp) -> Object {
    let mut hash = Md5::new();
    let (mut size, mut crc64, count) = (0, 0, parts.len());
    for part in &parts {
        hash.update(hex::decode(&part.md5).unwrap_or_default());
        crc64 = combine_crc64(crc64, part.crc64, part.size);
        size += part.size;
    }
    let segments = parts.into_iter().map(|part| Segment { digest: part.digest, size: part.size }).collect();
    let etag = format!("{}-{count}", hex::encode_upper(hash.finalize()));
    Object { content: Content::Segments(segments), size, etag, crc64, kind: ObjectKind::Multipart, modified, description }
}
