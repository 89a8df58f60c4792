//! CopyObject. The copy shares the bytes with its source.

use super::content::Held;
use super::object::store;
use super::refusal::Refusal;
use super::rows::{Object, ObjectKind};
use super::{Answer, Ask, description, read, xml};
use crate::local_cloud::time::milliseconds;
use crate::local_cloud::wire::encoding::decode;

/// What is copied, held until the copy is made.
pub(super) struct Source {
    pub(super) object: Object,
    pub(super) held: Held,
    /// Whether it is the target itself.
    is_target: bool,
}

/// The source that the request names, if it may be copied here and the conditions on it hold; `None` if nothing has
/// changed for the caller.
pub(super) fn source(ask: &Ask) -> Result<Option<Source>, Refusal> {
    let text = ask.header("x-oss-copy-source").unwrap_or_default();
    let wrong =
        || Refusal::argument("x-oss-copy-source", text, "Copy Source must mention the source bucket and key: /sourcebucket/sourcekey");
    let path = text.strip_prefix('/').ok_or_else(|| wrong().ec("0042-00000301"))?;
    if path.contains('?') {
        return Err(Refusal::not_implemented("versionId"));
    }
    let (bucket, key) = path.split_once('/').filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty()).ok_or_else(wrong)?;
    let (bucket, key) = (decode(bucket), decode(key));
    let regions = {
        let world = ask.shared.world();
        [bucket.as_str(), ask.bucket].map(|name| world.buckets.get(name).map(|bucket| bucket.region.clone()))
    };
    let [Some(from), Some(to)] = regions else { return Err(Refusal::no_bucket()) };
    if from != to {
        let message = "Target object does not reside in the same data center as source object.";
        return Err(Refusal::forbidden("AccessDenied", message));
    }
    let (object, held) = read::hold(ask, &bucket, &key)?;
    if !read::holds(ask, "x-oss-copy-source-", &object)? {
        return Ok(None);
    }
    read::check_readable(&object)?;
    if object.kind == ObjectKind::Appendable {
        let message = "The operation is not supported for this resource";
        return Err(Refusal::bad("OperationNotSupported", message).with("Detail", "An appendable object cannot be copied."));
    }
    Ok(Some(Source { object, held, is_target: bucket == ask.bucket && key == ask.key }))
}

/// Which of two a directive asks for.
fn replaces(ask: &Ask, name: &'static str) -> Result<bool, Refusal> {
    match ask.header(name) {
        None => Ok(false),
        Some(directive) if directive.eq_ignore_ascii_case("copy") => Ok(false),
        Some(directive) if directive.eq_ignore_ascii_case("replace") => Ok(true),
        Some(other) => Err(Refusal::argument(name, other, format!("{name} must be COPY or REPLACE."))),
    }
}

/// CopyObject.
pub(super) async fn object(ask: &Ask<'_>) -> Result<Answer, Refusal> {
    description::check_key(ask.key)?;
    let forbid = description::forbids_overwrite(ask)?;
    let (metadata, tags) = (replaces(ask, "x-oss-metadata-directive")?, replaces(ask, "x-oss-tagging-directive")?);
    let mut description = description::of_request(ask)?;
    let Some(Source { object, mut held, is_target }) = source(ask)? else { return Ok(Answer::empty(304)) };
    // A copy onto itself is how metadata is changed, whatever the directive says.
    if !metadata && !is_target {
        description.headers.clone_from(&object.description.headers);
    }
    if !tags {
        description.tags.clone_from(&object.description.tags);
    }
    let copy = Object { modified: ask.now, description, ..object };
    let mut body = xml::Writer::document("CopyObjectResult");
    body.leaf("LastModified", &milliseconds(copy.modified)).leaf("ETag", &format!("\"{}\"", copy.etag));
    let answer = Answer::xml(body).with("x-oss-hash-crc64ecma", copy.crc64.to_string());
    ask.commit(|world, _| {
        description::check_overwrite(world, ask, forbid)?;
        store(world, ask, copy, &mut held)
    })
    .await?;
    Ok(answer)
}
