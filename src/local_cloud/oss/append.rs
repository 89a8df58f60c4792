//! AppendObject. An appendable object is a list of runs; short ones at the end are joined, so that a log written line by
//! line does not become a list of lines.

use bytes::{Bytes, BytesMut};
use md5::{Digest, Md5};

use super::content::{self, Held, Measured, combine_crc64, keep, measure};
use super::object::{normal, store};
use super::refusal::Refusal;
use super::rows::{Content, Object, ObjectKind, Segment, row_key};
use super::{Answer, Ask, description, read};

/// A run that is shorter is joined with what is appended to it.
const SHORT: u64 = 1024 * 1024;
/// How large an appendable object may get.
const LARGEST: u64 = 5 * 1024 * 1024 * 1024;

/// AppendObject.
pub(super) async fn append(ask: &Ask<'_>) -> Result<Answer, Refusal> {
    description::check_key(ask.key)?;
    let position = position(ask)?;
    let description = description::of_request(ask)?;
    if matches!(description.storage_class.as_str(), "ColdArchive" | "DeepColdArchive") {
        let refusal =
            Refusal::argument("x-oss-storage-class", &description.storage_class, "An appendable object cannot be of this storage class.");
        return Err(refusal.ec("0016-00000503"));
    }
    let body = ask.request.body.clone();
    let measured = measure(&body).await?;
    description::check_md5(ask, measured.md5)?;
    let there = ask.shared.world().objects.contains(&row_key(ask.bucket, ask.key));
    // Held, so that its runs are there while they are joined.
    let (old, old_held) = if there { read::hold(ask, ask.bucket, ask.key).map(Some)? } else { None }.unzip();
    check_position(old.as_ref(), position)?;
    let seen = old.as_ref().map(|old| old.etag.clone());
    let (object, mut held) = match old {
        Some(old) => extended(ask, old, body, &measured).await?,
        None => {
            let held = keep(ask.shared, body, &measured).await?;
            let segment = Segment { digest: measured.digest.clone(), size: measured.size };
            let object = normal(ask, measured, description);
            (Object { content: Content::Segments(vec![segment]), kind: ObjectKind::Appendable, ..object }, held)
        }
    };
    drop(old_held);
    let answer = Answer::empty(200)
        .with("etag", format!("\"{}\"", object.etag))
        .with("x-oss-hash-crc64ecma", object.crc64.to_string())
        .with("x-oss-next-append-position", object.size.to_string());
    ask.commit(|world, _| {
        let now = world.objects.get(&row_key(ask.bucket, ask.key));
        check_position(now, position)?;
        // Another one of the same length took its place.
        if now.map(|now| &now.etag) != seen.as_ref() {
            return Err(not_at_end(now));
        }
        store(world, ask, object, &mut held)
    })
    .await?;
    Ok(answer)
}

fn position(ask: &Ask) -> Result<u64, Refusal> {
    let Some(text) = ask.query.get("position") else {
        return Err(Refusal::bad("MissingArgument", "Missing Some Required Arguments.")
            .ec("0016-00000501")
            .with("ArgumentName", "position"));
    };
    text.parse().map_err(|_| Refusal::argument("position", text, "Position must be a non-negative integer."))
}

/// Checks that `position` is the end of what is there.
fn check_position(object: Option<&Object>, position: u64) -> Result<(), Refusal> {
    if object.is_some_and(|object| object.kind != ObjectKind::Appendable) {
        return Err(Refusal::conflict("ObjectNotAppendable", "The object is not appendable").ec("0026-00000017"));
    }
    if object.map_or(0, |object| object.size) == position { Ok(()) } else { Err(not_at_end(object)) }
}

fn not_at_end(object: Option<&Object>) -> Refusal {
    let length = object.map_or(0, |object| object.size);
    let refusal = Refusal::conflict("PositionNotEqualToLength", "Position is not equal to file length").ec("0026-00000016");
    refusal.header("x-oss-next-append-position", length.to_string()).header("x-oss-object-type", "Appendable")
}

/// An object with `body` behind what it has.
async fn extended(ask: &Ask<'_>, old: Object, body: Bytes, added: &Measured) -> Result<(Object, Held), Refusal> {
    let size = old.size + added.size;
    if size > LARGEST {
        return Err(Refusal::bad("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size."));
    }
    let mut segments = match &old.content {
        Content::Segments(segments) => segments.clone(),
        Content::Whole(digest) => vec![Segment { digest: digest.clone(), size: old.size }],
    };
    let (bytes, measured) = match segments.pop_if(|last| last.size < SHORT) {
        None => (body, added.clone()),
        Some(last) => {
            let tail = content::read(ask.shared, &old, old.size - last.size, old.size).await?;
            let mut joined = BytesMut::with_capacity(tail.len() + body.len());
            joined.extend_from_slice(&tail);
            joined.extend_from_slice(&body);
            let joined = joined.freeze();
            let measured = measure(&joined).await?;
            (joined, measured)
        }
    };
    let mut held = keep(ask.shared, bytes, &measured).await?;
    held.also(segments.iter().map(|segment| segment.digest.as_str()));
    segments.push(Segment { digest: measured.digest, size: measured.size });
    let crc64 = combine_crc64(old.crc64, added.crc64, added.size);
    let etag = hex::encode_upper(Md5::new().chain_update(&old.etag).chain_update(added.md5).finalize());
    Ok((Object { content: Content::Segments(segments), size, etag, crc64, modified: ask.now, ..old }, held))
}
