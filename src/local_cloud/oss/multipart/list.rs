//! ListMultipartUploads and ListParts.

use super::super::refusal::Refusal;
use super::super::rows::Upload;
use super::super::{Answer, Ask, xml};
use super::{existing, parts_of, shown};
use crate::local_cloud::time::milliseconds;

/// ListParts.
pub(in super::super) fn parts(ask: &Ask) -> Result<Answer, Refusal> {
    let most = ask.most("max-parts", 1000)?;
    let by_url = ask.by_url()?;
    let marker: u32 = match ask.parameter("part-number-marker") {
        "" => 0,
        text => text.parse().map_err(|_| Refusal::argument("part-number-marker", text, "part-number-marker must be an integer."))?,
    };
    let world = ask.shared.world();
    let upload = existing(&world, ask)?;
    let mut rows = parts_of(&world, &upload.id).filter(|part| part.number > marker);
    let page: Vec<_> = rows.by_ref().take(most).collect();
    let mut body = xml::Writer::document("ListPartsResult");
    if by_url {
        body.leaf("EncodingType", "url");
    }
    body.leaf("Bucket", ask.bucket)
        .leaf("Key", &shown(ask.key, by_url))
        .leaf("UploadId", &upload.id)
        .leaf("StorageClass", &upload.description.storage_class)
        .leaf("PartNumberMarker", &marker.to_string())
        .leaf("NextPartNumberMarker", &page.last().map_or(marker, |part| part.number).to_string())
        .leaf("MaxParts", &most.to_string())
        .leaf("IsTruncated", &rows.next().is_some().to_string());
    for part in page {
        body.open("Part")
            .leaf("PartNumber", &part.number.to_string())
            .leaf("LastModified", &milliseconds(part.modified))
            .leaf("ETag", &format!("\"{}\"", part.md5))
            .leaf("HashCrc64ecma", &part.crc64.to_string())
            .leaf("Size", &part.size.to_string())
            .close();
    }
    Ok(Answer::xml(body))
}

/// A page of uploads.
#[derive(Debug, Default, PartialEq, Eq)]
struct Page<'a> {
    /// Keys with ids.
    uploads: Vec<(&'a str, &'a str)>,
    prefixes: Vec<String>,
    /// What the next page starts after, `None` on the last.
    next: Option<(String, String)>,
}

/// Cuts a page out of uploads in the order of keys and ids: those after `marker`, grouped up to the delimiter.
fn cut<'a>(uploads: &[(&'a str, &'a str)], prefix: &str, delimiter: &str, marker: (&str, &str), most: usize) -> Page<'a> {
    let mut page = Page::default();
    let mut last = (String::new(), String::new());
    for (key, id) in uploads.iter().filter(|(key, _)| key.starts_with(prefix)) {
        let in_group = |group: &str| !delimiter.is_empty() && group.ends_with(delimiter) && key.starts_with(group);
        // Without an id all uploads of the marked key are done.
        let done = *key < marker.0 || *key == marker.0 && (marker.1.is_empty() || *id <= marker.1);
        if done || in_group(marker.0) || page.prefixes.last().is_some_and(|group| in_group(group)) {
            continue;
        }
        if page.uploads.len() + page.prefixes.len() == most {
            page.next = Some(last);
            return page;
        }
        match key[prefix.len()..].find(delimiter).filter(|_| !delimiter.is_empty()) {
            Some(at) => {
                let group = key[..prefix.len() + at + delimiter.len()].to_owned();
                last = (group.clone(), String::new());
                page.prefixes.push(group);
            }
            None => {
                last = ((*key).to_owned(), (*id).to_owned());
                page.uploads.push((*key, *id));
            }
        }
    }
    page
}

/// ListMultipartUploads.
pub(in super::super) fn uploads(ask: &Ask) -> Result<Answer, Refusal> {
    let most = ask.most("max-uploads", 1000)?;
    let by_url = ask.by_url()?;
    let (prefix, delimiter) = (ask.parameter("prefix"), ask.parameter("delimiter"));
    let marker = (ask.parameter("key-marker"), ask.parameter("upload-id-marker"));
    let world = ask.shared.world();
    let of_bucket = world.uploads.values().filter(|upload| upload.bucket == ask.bucket);
    let mut all: Vec<(&str, &str)> = of_bucket.map(|upload: &Upload| (upload.key.as_str(), upload.id.as_str())).collect();
    all.sort_unstable();
    let page = cut(&all, prefix, delimiter, marker, most);
    let mut body = xml::Writer::document("ListMultipartUploadsResult");
    if by_url {
        body.leaf("EncodingType", "url");
    }
    let (next_key, next_id) = page.next.clone().unwrap_or_default();
    body.leaf("Bucket", ask.bucket)
        .leaf("KeyMarker", &shown(marker.0, by_url))
        .leaf("UploadIdMarker", marker.1)
        .leaf("NextKeyMarker", &shown(&next_key, by_url))
        .leaf("NextUploadIdMarker", &next_id)
        .leaf("Delimiter", &shown(delimiter, by_url))
        .leaf("Prefix", &shown(prefix, by_url))
        .leaf("MaxUploads", &most.to_string())
        .leaf("IsTruncated", &page.next.is_some().to_string());
    for (key, id) in &page.uploads {
        let Some(upload) = world.uploads.get(id) else { continue };
        body.open("Upload")
            .leaf("Key", &shown(key, by_url))
            .leaf("UploadId", id)
            .leaf("StorageClass", &upload.description.storage_class)
            .leaf("Initiated", &milliseconds(upload.initiated))
            .close();
    }
    for group in &page.prefixes {
        body.open("CommonPrefixes").leaf("Prefix", &shown(group, by_url)).close();
    }
    Ok(Answer::xml(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_cover_all_uploads_and_groups_once() {
        let all = [("a", "1"), ("a", "2"), ("b/x", "3"), ("b/y", "4"), ("c", "5")];
        let of = |delimiter: &str, marker, most| {
            let page = cut(&all, "", delimiter, marker, most);
            let ids = page.uploads.iter().map(|(_, id)| *id).collect::<String>();
            (ids, page.prefixes.join(" "), page.next)
        };
        let some = |key: &str, id: &str| Some((key.to_owned(), id.to_owned()));
        assert_eq!(of("", ("", ""), 1), ("1".to_owned(), String::new(), some("a", "1")));
        assert_eq!(of("", ("a", "1"), 9), ("2345".to_owned(), String::new(), None));
        assert_eq!(of("", ("a", ""), 9), ("345".to_owned(), String::new(), None));
        assert_eq!(of("/", ("a", "2"), 1), (String::new(), "b/".to_owned(), some("b/", "")));
        assert_eq!(of("/", ("b/", ""), 1), ("5".to_owned(), String::new(), None));
    }
}
