//! ListBuckets and ListObjectsV2.

use std::ops::ControlFlow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Answer, Ask, Object, xml};
use crate::local_cloud::time::milliseconds;
use crate::local_cloud::wire::encoding::encode;
use crate::local_cloud::wire::fault::Fault;

fn most(ask: &Ask, usual: usize) -> Result<usize, Fault> {
    let wrong = || Fault::bad("InvalidArgument", "Argument maxKeys must be an integer between 1 and 1000.");
    let Some(text) = ask.query.get("max-keys") else { return Ok(usual) };
    text.parse().ok().filter(|most| (1..=1000).contains(most)).ok_or_else(wrong)
}

/// ListBuckets.
pub(super) fn buckets(ask: &Ask) -> Result<Answer, Fault> {
    let most = most(ask, 100)?;
    let prefix = ask.query.get("prefix").map_or("", String::as_str);
    let marker = ask.query.get("marker").map_or("", String::as_str);
    let world = ask.shared.world();
    let mut rows = world.buckets.after(marker).filter(|(name, _)| name.starts_with(prefix));
    let page: Vec<_> = rows.by_ref().take(most).collect();
    let more = rows.next().is_some();
    let account = &ask.shared.config.account;
    let mut body = xml::Writer::document("ListAllMyBucketsResult");
    body.leaf("Prefix", prefix).leaf("Marker", marker).leaf("MaxKeys", &most.to_string()).leaf("IsTruncated", &more.to_string());
    if more && let Some((last, _)) = page.last() {
        body.leaf("NextMarker", last);
    }
    body.open("Owner").leaf("ID", account).leaf("DisplayName", account).close();
    body.open("Buckets");
    for (name, bucket) in page {
        body.open("Bucket")
            .leaf("Name", name)
            .leaf("Location", &format!("oss-{}", bucket.region))
            .leaf("Region", &bucket.region)
            .leaf("CreationDate", &milliseconds(bucket.created))
            .leaf("ExtranetEndpoint", &format!("oss-{}.aliyuncs.com", bucket.region))
            .leaf("IntranetEndpoint", &format!("oss-{}-internal.aliyuncs.com", bucket.region))
            .leaf("StorageClass", &bucket.storage_class)
            .leaf("ResourceGroupId", &bucket.resource_group)
            .close();
    }
    Ok(Answer::xml(body.finish()))
}

/// A page of a bucket's keys.
#[derive(Debug, Default, PartialEq, Eq)]
struct Page<T> {
    contents: Vec<(String, T)>,
    prefixes: Vec<String>,
    /// What the next page starts after; `None` on the last.
    next: Option<String>,
}

/// Cuts a page out of keys in their order: those after `start`, grouped up to the delimiter.
fn cut<T>(mut keys: impl Iterator<Item = (String, T)>, prefix: &str, delimiter: &str, start: &str, most: usize) -> Page<T> {
    let mut page = Page { contents: Vec::new(), prefixes: Vec::new(), next: None };
    let mut last = String::new();
    let group_done = |key: &str, group: &str| !delimiter.is_empty() && group.ends_with(delimiter) && key.starts_with(group);
    let flow = keys.try_for_each(|(key, row)| {
        if key.as_str() <= start || group_done(&key, start) || page.prefixes.last().is_some_and(|group| key.starts_with(group)) {
            return ControlFlow::Continue(());
        }
        if page.contents.len() + page.prefixes.len() == most {
            return ControlFlow::Break(());
        }
        let rest = &key[prefix.len()..];
        match rest.find(delimiter).filter(|_| !delimiter.is_empty()) {
            Some(at) => {
                let group = format!("{prefix}{}", &rest[..at + delimiter.len()]);
                last.clone_from(&group);
                page.prefixes.push(group);
            }
            None => {
                last.clone_from(&key);
                page.contents.push((key, row));
            }
        }
        ControlFlow::Continue(())
    });
    page.next = flow.is_break().then_some(last);
    page
}

/// ListObjectsV2.
pub(super) fn objects(ask: &Ask, bucket: &str) -> Result<Answer, Fault> {
    let query = |name: &str| ask.query.get(name).map_or("", String::as_str);
    if query("list-type") != "2" {
        return Err(Fault::new(501, "NotImplemented", "The local cloud lists objects with list-type=2 only."));
    }
    let most = most(ask, 100)?;
    let (prefix, delimiter, token) = (query("prefix"), query("delimiter"), query("continuation-token"));
    let wrong = || Fault::bad("InvalidArgument", "The continuation-token is not valid.");
    let resumed = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(wrong)?;
    let start = if token.is_empty() { query("start-after") } else { &resumed };
    let by_url = match query("encoding-type") {
        "" => false,
        "url" => true,
        _ => return Err(Fault::bad("InvalidArgument", "The encoding-type must be url.")),
    };
    let shown = |text: &str| if by_url { encode(text) } else { text.to_owned() };
    let world = ask.shared.world();
    let area = super::row_key(bucket, prefix);
    let skip = bucket.len() + 1;
    let keys = world.objects.starting_with(&area).map(|(key, object): (&str, &Object)| (key[skip..].to_owned(), object));
    let page = cut(keys, prefix, delimiter, start, most);
    let mut body = xml::Writer::document("ListBucketResult");
    body.leaf("Name", bucket)
        .leaf("Prefix", &shown(prefix))
        .leaf("StartAfter", &shown(query("start-after")))
        .leaf("MaxKeys", &most.to_string());
    body.leaf("Delimiter", &shown(delimiter)).leaf("IsTruncated", &page.next.is_some().to_string());
    body.leaf("KeyCount", &(page.contents.len() + page.prefixes.len()).to_string());
    if by_url {
        body.leaf("EncodingType", "url");
    }
    if !token.is_empty() {
        body.leaf("ContinuationToken", token);
    }
    if let Some(next) = &page.next {
        body.leaf("NextContinuationToken", &URL_SAFE_NO_PAD.encode(next));
    }
    for (key, object) in &page.contents {
        body.open("Contents")
            .leaf("Key", &shown(key))
            .leaf("LastModified", &milliseconds(object.modified))
            .leaf("ETag", &format!("\"{}\"", object.md5))
            .leaf("Type", "Normal")
            .leaf("Size", &object.size.to_string())
            .leaf("StorageClass", &object.storage_class);
        if query("fetch-owner") == "true" {
            let account = &ask.shared.config.account;
            body.open("Owner").leaf("ID", account).leaf("DisplayName", account).close();
        }
        body.close();
    }
    for group in &page.prefixes {
        body.open("CommonPrefixes").leaf("Prefix", &shown(group)).close();
    }
    Ok(Answer::xml(body.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_cover_all_keys_and_groups_once() {
        let keys = ["a/1", "a/2", "b", "c/1", "c/2/x", "d"];
        let of = |prefix: &str, delimiter: &str, start: &str, most| {
            let rows = keys.iter().filter(|key| key.starts_with(prefix)).map(|key| ((*key).to_owned(), ()));
            let page = cut(rows, prefix, delimiter, start, most);
            (page.contents.into_iter().map(|(key, ())| key).collect::<Vec<_>>().join(" "), page.prefixes.join(" "), page.next)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(of("", "", "", 4), ("a/1 a/2 b c/1".to_owned(), String::new(), some("c/1")));
        assert_eq!(of("", "", "c/1", 4), ("c/2/x d".to_owned(), String::new(), None));
        assert_eq!(of("", "/", "", 2), ("b".to_owned(), "a/".to_owned(), some("b")));
        assert_eq!(of("", "/", "b", 1), (String::new(), "c/".to_owned(), some("c/")));
        assert_eq!(of("", "/", "c/", 9), ("d".to_owned(), String::new(), None));
        assert_eq!(of("c/", "/", "", 9), ("c/1".to_owned(), "c/2/".to_owned(), None));
    }
}
