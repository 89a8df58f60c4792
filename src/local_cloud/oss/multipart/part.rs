//! UploadPart and UploadPartCopy.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::super::content::{self, Held, Measured, keep, let_go, measure};
use super::super::copy::{self, Source};
use super::super::refusal::Refusal;
use super::super::rows::{Part, part_key};
use super::super::{Answer, Ask, description, read, xml};
use super::{HIGHEST_NUMBER, existing};
use crate::local_cloud::time::milliseconds;

/// UploadPart.
pub(in super::super) async fn upload(ask: &Ask<'_>) -> Result<Answer, Refusal> {
    let number = number(ask)?;
    existing(&ask.shared.world(), ask)?;
    let body = ask.request.body.clone();
    let measured = measure(&body).await?;
    description::check_md5(ask, measured.md5)?;
    let held = keep(ask.shared, body, &measured).await?;
    let answer = Answer::empty(200)
        .with("etag", format!("\"{}\"", measured.etag()))
        .with("content-md5", STANDARD.encode(measured.md5))
        .with("x-oss-hash-crc64ecma", measured.crc64.to_string());
    store(ask, number, measured, held).await?;
    Ok(answer)
}

/// UploadPartCopy: a part out of an object that is there.
pub(in super::super) async fn copy(ask: &Ask<'_>) -> Result<Answer, Refusal> {
    let number = number(ask)?;
    existing(&ask.shared.world(), ask)?;
    let Some(Source { object, held: source, .. }) = copy::source(ask)? else { return Ok(Answer::empty(304)) };
    let (from, to) = match ask.header("x-oss-copy-source-range") {
        None => (0, object.size),
        Some(text) => read::range(text, object.size).ok_or_else(|| {
            let refusal = Refusal::new(416, "InvalidRange", "The requested range cannot be satisfied.");
            refusal.with("ActualObjectSize", object.size.to_string())
        })?,
    };
    let bytes: Bytes = content::read(ask.shared, &object, from, to).await?;
    let measured = measure(&bytes).await?;
    let held = keep(ask.shared, bytes, &measured).await?;
    drop(source);
    let mut body = xml::Writer::document("CopyPartResult");
    body.leaf("LastModified", &milliseconds(ask.now)).leaf("ETag", &format!("\"{}\"", measured.etag()));
    store(ask, number, measured, held).await?;
    Ok(Answer::xml(body))
}

fn number(ask: &Ask) -> Result<u32, Refusal> {
    let text = ask.parameter("partNumber");
    let message = "PartNumber must be an integer between 1 and 10000, inclusive.";
    text.parse().ok().filter(|number| (1..=HIGHEST_NUMBER).contains(number)).ok_or_else(|| Refusal::argument("partNumber", text, message))
}

/// Puts a part in its place; an earlier one of the same number is gone.
async fn store(ask: &Ask<'_>, number: u32, measured: Measured, mut held: Held) -> Result<(), Refusal> {
    ask.commit(|world, now| {
        let id = existing(world, ask)?.id.clone();
        if let Some(old) = world.parts.remove(&part_key(&id, number)) {
            let_go(world, &old.digest);
        }
        let md5 = measured.etag();
        let part = Part { number, digest: measured.digest, size: measured.size, md5, crc64: measured.crc64, modified: now };
        world.parts.insert(part_key(&id, number), part);
        held.hand_over();
        Ok(())
    })
    .await
}
