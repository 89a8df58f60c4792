//! ListBuckets, ListObjects and ListObjectsV2.

use std::ops::ControlFlow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::refusal::Refusal;
use super::rows::{Bucket, Object, row_key};
use super::{Answer, Ask, xml};
use crate::local_cloud::store::World;
use crate::local_cloud::time::milliseconds;
use crate::local_cloud::wire::encoding::encode;

/// ListBuckets.
pub(super) fn buckets(ask: &Ask) -> Result<Answer, Refusal> {
    let most = ask.most("max-keys", 100)?;
    let (prefix, marker) = (ask.parameter("prefix"), ask.parameter("marker"));
    let (key, value) = (ask.query.get("tag-key"), ask.query.get("tag-value"));
    if key.is_none() && value.is_some() {
        return Err(Refusal::argument("tag-key", "", "tag-value needs a tag-key."));
    }
    let group = ask.header("x-oss-resource-group-id");
    let wanted = |bucket: &Bucket| {
        let tag = |key: &String| bucket.tags.get(key).is_some_and(|own| value.is_none_or(|value| value == own));
        bucket.name.starts_with(prefix) && key.is_none_or(tag) && group.is_none_or(|group| group == bucket.resource_group)
    };
    let world = ask.shared.world();
    let mut rows = world.buckets.after(marker).filter(|(_, bucket)| wanted(bucket));
    let page: Vec<_> = rows.by_ref().take(most).collect();
    let more = rows.next().is_some();
    let mut body = xml::Writer::document("ListAllMyBucketsResult");
    body.leaf("Prefix", prefix).leaf("Marker", marker).leaf("MaxKeys", &most.to_string()).leaf("IsTruncated", &more.to_string());
    if more && let Some((last, _)) = page.last() {
        body.leaf("NextMarker", last);
    }
    body.owner(&ask.shared.config.account).open("Buckets");
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
    Ok(Answer::xml(body))
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

/// The keys of the request's bucket that may be on its page: those with its prefix, without what is long over.
fn keys<'a>(world: &'a World, ask: &'a Ask, start: &str) -> impl Iterator<Item = (String, &'a Object)> {
    let area = row_key(ask.bucket, ask.parameter("prefix"));
    let skip = ask.bucket.len() + 1;
    let from = row_key(ask.bucket, start);
    // A key that equals the prefix comes after nothing but itself.
    let first = world.objects.get(&area).filter(|_| from < area).map(|object| (area.clone(), object));
    let others = world.objects.after(if from < area { &area } else { &from }).map(|(key, object)| (key.to_owned(), object));
    let in_area = first.into_iter().chain(others).take_while(move |(key, _)| key.starts_with(&area));
    in_area.map(move |(key, object)| (key[skip..].to_owned(), object))
}

/// ListObjects.
pub(super) fn objects(ask: &Ask) -> Result<Answer, Refusal> {
    let most = ask.most("max-keys", 100)?;
    let shown = shown(ask)?;
    let (prefix, delimiter, marker) = (ask.parameter("prefix"), ask.parameter("delimiter"), ask.parameter("marker"));
    let world = ask.shared.world();
    let page = cut(keys(&world, ask, marker), prefix, delimiter, marker, most);
    let mut body = xml::Writer::document("ListBucketResult");
    body.leaf("Name", ask.bucket)
        .leaf("Prefix", &shown(prefix))
        .leaf("Marker", &shown(marker))
        .leaf("MaxKeys", &most.to_string())
        .leaf("Delimiter", &shown(delimiter));
    if ask.has("encoding-type") {
        body.leaf("EncodingType", "url");
    }
    body.leaf("IsTruncated", &page.next.is_some().to_string());
    if let Some(next) = &page.next {
        body.leaf("NextMarker", &shown(next));
    }
    write(&mut body, &page, Some(&ask.shared.config.account), shown);
    Ok(Answer::xml(body))
}

/// ListObjectsV2.
pub(super) fn objects_v2(ask: &Ask) -> Result<Answer, Refusal> {
    let most = ask.most("max-keys", 100)?;
    let shown = shown(ask)?;
    let (prefix, delimiter, token) = (ask.parameter("prefix"), ask.parameter("delimiter"), ask.parameter("continuation-token"));
    let wrong = || Refusal::argument("continuation-token", token, "The continuation-token is not valid.");
    let resumed = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(wrong)?;
    let start = if token.is_empty() { ask.parameter("start-after") } else { &resumed };
    let world = ask.shared.world();
    let page = cut(keys(&world, ask, start), prefix, delimiter, start, most);
    let mut body = xml::Writer::document("ListBucketResult");
    body.leaf("Name", ask.bucket)
        .leaf("Prefix", &shown(prefix))
        .leaf("StartAfter", &shown(ask.parameter("start-after")))
        .leaf("MaxKeys", &most.to_string())
        .leaf("Delimiter", &shown(delimiter))
        .leaf("IsTruncated", &page.next.is_some().to_string())
        .leaf("KeyCount", &(page.contents.len() + page.prefixes.len()).to_string());
    if ask.has("encoding-type") {
        body.leaf("EncodingType", "url");
    }
    if !token.is_empty() {
        body.leaf("ContinuationToken", token);
    }
    if let Some(next) = &page.next {
        body.leaf("NextContinuationToken", &URL_SAFE_NO_PAD.encode(next));
    }
    let owner = Some(ask.shared.config.account.as_str()).filter(|_| ask.parameter("fetch-owner").eq_ignore_ascii_case("true"));
    write(&mut body, &page, owner, shown);
    Ok(Answer::xml(body))
}

/// How names are written.
fn shown(ask: &Ask) -> Result<fn(&str) -> String, Refusal> {
    Ok(if ask.by_url()? { encode } else { str::to_owned })
}

fn write(body: &mut xml::Writer, page: &Page<&Object>, owner: Option<&str>, shown: fn(&str) -> String) {
    for (key, object) in &page.contents {
        body.open("Contents")
            .leaf("Key", &shown(key))
            .leaf("LastModified", &milliseconds(object.modified))
            .leaf("ETag", &format!("\"{}\"", object.etag))
            .leaf("Type", object.kind.name())
            .leaf("Size", &object.size.to_string())
            .leaf("StorageClass", &object.description.storage_class);
        if let Some(account) = owner {
            body.owner(account);
        }
        body.close();
    }
    for group in &page.prefixes {
        body.open("CommonPrefixes").leaf("Prefix", &shown(group)).close();
    }
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
