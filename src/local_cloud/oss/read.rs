//! GetObject, HeadObject and GetObjectMeta: conditions, ranges, and headers that the query replaces.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use super::content::{self, Held};
use super::refusal::Refusal;
use super::rows::{Object, ObjectKind};
use super::{Answer, Ask, description, object};
use crate::local_cloud::time;

/// Parameters of the query that replace headers of the answer.
const REPLACED: [(&str, &str); 6] = [
    ("response-content-type", "content-type"),
    ("response-content-language", "content-language"),
    ("response-cache-control", "cache-control"),
    ("response-content-disposition", "content-disposition"),
    ("response-content-encoding", "content-encoding"),
    ("response-expires", "expires"),
];

/// GetObject.
pub(super) async fn get(ask: &Ask<'_>) -> Result<Answer, Refusal> {
    let (object, _held) = hold(ask, ask.bucket, ask.key)?;
    if !holds(ask, "", &object)? {
        return Ok(describe(ask, &object, Answer::empty(304)));
    }
    check_readable(&object)?;
    let range = match ask.header("range") {
        Some(text) => range(text, object.size),
        None => None,
    };
    if range.is_none() && ask.header("range").is_some() && ask.header("x-oss-range-behavior") == Some("standard") {
        let refusal = Refusal::new(416, "InvalidRange", "The requested range cannot be satisfied.");
        return Err(refusal.with("ActualObjectSize", object.size.to_string()).header("content-range", format!("bytes */{}", object.size)));
    }
    let mut answer = describe(ask, &object, Answer::empty(if range.is_some() { 206 } else { 200 }));
    let (from, to) = range.unwrap_or((0, object.size));
    if range.is_some() {
        answer = answer.with("content-range", format!("bytes {from}-{}/{}", to - 1, object.size));
    }
    answer.body = content::read(ask.shared, &object, from, to).await?;
    Ok(answer)
}

/// HeadObject.
pub(super) fn head(ask: &Ask) -> Result<Answer, Refusal> {
    let world = ask.shared.world();
    let object = object::existing(&world, ask.bucket, ask.key)?;
    if !holds(ask, "", object)? {
        return Ok(describe(ask, object, Answer::empty(304)));
    }
    Ok(describe(ask, object, Answer::empty(200)).with("content-length", object.size.to_string()))
}

/// GetObjectMeta: the little of HeadObject that needs no metadata.
pub(super) fn meta(ask: &Ask) -> Result<Answer, Refusal> {
    let world = ask.shared.world();
    let object = object::existing(&world, ask.bucket, ask.key)?;
    let answer = Answer::empty(200)
        .with("etag", format!("\"{}\"", object.etag))
        .with("last-modified", time::http(object.modified))
        .with("x-oss-hash-crc64ecma", object.crc64.to_string());
    // A GET has no body either, and its length would not fit.
    Ok(if ask.request.method == http::Method::HEAD { answer.with("content-length", object.size.to_string()) } else { answer })
}

/// An object whose bytes are not forgotten as long as it is held.
pub(super) fn hold(ask: &Ask, bucket: &str, key: &str) -> Result<(Object, Held), Refusal> {
    let mut world = ask.shared.world();
    let object = object::existing(&world, bucket, key)?.clone();
    let held = Held::of(ask.shared, &mut world, object.content.digests());
    Ok((object, held))
}

/// Refuses to read what has to be restored first.
pub(super) fn check_readable(object: &Object) -> Result<(), Refusal> {
    if description::is_archived(&object.description.storage_class) {
        return Err(Refusal::forbidden("InvalidObjectState", "The operation is not valid for the object's state"));
    }
    Ok(())
}

fn describe(ask: &Ask, object: &Object, answer: Answer) -> Answer {
    let mut answer = object.description.headers.iter().fold(answer, |answer, (name, value)| answer.with(name, value));
    for (parameter, header) in REPLACED {
        if let Some(value) = ask.query.get(parameter) {
            answer.headers.retain(|(name, _)| name != header);
            answer = answer.with(header, value);
        }
    }
    answer = answer
        .with("etag", format!("\"{}\"", object.etag))
        .with("last-modified", time::http(object.modified))
        .with("accept-ranges", "bytes")
        .with("x-oss-hash-crc64ecma", object.crc64.to_string())
        .with("x-oss-object-type", object.kind.name())
        .with("x-oss-storage-class", &object.description.storage_class);
    if object.kind == ObjectKind::Normal {
        answer = answer.with("content-md5", STANDARD.encode(hex::decode(&object.etag).unwrap_or_default()));
    }
    if object.kind == ObjectKind::Appendable {
        answer = answer.with("x-oss-next-append-position", object.size.to_string());
    }
    match object.description.tags.len() {
        0 => answer,
        count => answer.with("x-oss-tagging-count", count.to_string()),
    }
}

/// Whether the conditions of the request hold, those whose names start with `prefix`: an error if the caller wanted
/// something else than what is there, `false` if nothing has changed for them.
pub(super) fn holds(ask: &Ask, prefix: &str, object: &Object) -> Result<bool, Refusal> {
    let header = |name: &str| ask.header(&format!("{prefix}{name}"));
    let names = |name: &str| {
        header(name).map(|tags| tags.split(',').map(|tag| tag.trim().trim_matches('"')).any(|tag| tag == "*" || tag == object.etag))
    };
    let moment = |name: &str| header(name).and_then(|text| jiff::fmt::rfc2822::parse(text).ok()).map(|at| at.timestamp());
    let modified = Timestamp::from_second(object.modified.as_second()).unwrap_or(object.modified);
    let failed = [
        ("if-match", names("if-match") == Some(false)),
        ("if-unmodified-since", moment("if-unmodified-since").is_some_and(|at| modified > at)),
    ];
    if let Some((condition, _)) = failed.iter().find(|(_, failed)| *failed) {
        let message = "At least one of the pre-conditions you specified did not hold.";
        return Err(Refusal::new(412, "PreconditionFailed", message).with("Condition", *condition));
    }
    Ok(names("if-none-match") != Some(true) && moment("if-modified-since").is_none_or(|at| modified > at))
}

/// The bytes that a range asks for, the last excluded; `None` if it makes no sense.
pub(super) fn range(text: &str, size: u64) -> Option<(u64, u64)> {
    let (from, to) = text.strip_prefix("bytes=")?.split_once('-')?;
    let (from, to) = match (from, to) {
        ("", last) => (size.saturating_sub(last.parse().ok().filter(|last| *last > 0)?), size),
        (from, "") => (from.parse().ok()?, size),
        (from, to) => (from.parse().ok()?, to.parse::<u64>().ok()?.saturating_add(1).min(size)),
    };
    (from < to).then_some((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_a_part_of_what_is_there_or_none() {
        assert_eq!(range("bytes=0-4", 10), Some((0, 5)));
        assert_eq!(range("bytes=4-", 10), Some((4, 10)));
        assert_eq!(range("bytes=-3", 10), Some((7, 10)));
        assert_eq!(range("bytes=-30", 10), Some((0, 10)));
        assert_eq!(range("bytes=8-18446744073709551615", 10), Some((8, 10)));
        for wrong in ["bytes=10-", "bytes=5-4", "bytes=-0", "bytes=a-b", "bytes=1-2,4-5", "0-4", "bytes=-"] {
            assert_eq!(range(wrong, 10), None, "{wrong}");
        }
        assert_eq!(range("bytes=0-0", 0), None);
    }
}
