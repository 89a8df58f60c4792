//! Object Storage Service: buckets and objects over its own REST and XML.

use bytes::Bytes;
use serde::Deserialize;

use super::api::Tag;
use super::call::{Call, Cloud, Product, Repeat};
use super::error::ApiError;

/// An object as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Object {
    /// The whole key.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// `2026-01-02T03:04:05.000Z`.
    pub last_modified: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListBucketResult {
    #[serde(default)]
    contents: Vec<Object>,
    #[serde(default)]
    next_continuation_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListAllMyBucketsResult {
    #[serde(default)]
    buckets: Buckets,
    #[serde(default)]
    next_marker: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Buckets {
    #[serde(default)]
    bucket: Vec<Bucket>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Bucket {
    name: String,
    /// `oss-cn-hangzhou`.
    location: String,
    #[serde(default)]
    creation_date: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tagging {
    #[serde(default)]
    tag_set: TagSet,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TagSet {
    #[serde(default)]
    tag: Vec<Tag>,
}

fn call(action: &'static str, method: http::Method, region: &str, bucket: &str, key: &str) -> Call {
    Call {
        product: Product::Oss,
        action,
        region: region.to_owned(),
        method,
        bucket: Some(bucket.to_owned()),
        path: format!("/{key}"),
        query: Vec::new(),
        headers: Vec::new(),
        body: Bytes::new(),
        repeat: Repeat::Safe,
    }
}

/// Every bucket of the region whose name begins so: its name, and when it was made.
pub async fn list_buckets(cloud: &dyn Cloud, region: &str, prefix: &str) -> Result<Vec<(String, String)>, ApiError> {
    let (mut all, mut marker) = (Vec::new(), None::<String>);
    loop {
        let mut call = Call { bucket: None, ..call("ListBuckets", http::Method::GET, region, "", "") };
        call.query.push(("prefix".to_owned(), prefix.to_owned()));
        call.query.push(("max-keys".to_owned(), "1000".to_owned()));
        call.query.extend(marker.take().map(|marker| ("marker".to_owned(), marker)));
        let page: ListAllMyBucketsResult = xml("ListBuckets", &cloud.send(call).await?.body)?;
        // One endpoint lists the buckets of all regions.
        let here = page.buckets.bucket.into_iter().filter(|bucket| bucket.location.trim_start_matches("oss-") == region);
        all.extend(here.map(|bucket| (bucket.name, bucket.creation_date)));
        marker = page.next_marker.filter(|marker| !marker.is_empty());
        if marker.is_none() {
            return Ok(all);
        }
    }
}

/// The tags of a bucket, key and value; none if it is gone.
pub async fn bucket_tags(cloud: &dyn Cloud, region: &str, bucket: &str) -> Result<Vec<(String, String)>, ApiError> {
    let mut call = call("GetBucketTags", http::Method::GET, region, bucket, "");
    call.query.push(("tagging".to_owned(), String::new()));
    match cloud.send(call).await {
        Ok(answer) => {
            let found: Tagging = xml("GetBucketTags", &answer.body)?;
            Ok(found.tag_set.tag.into_iter().map(|tag| (tag.key, tag.value)).collect())
        }
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Reads a document.
fn xml<T: serde::de::DeserializeOwned>(action: &'static str, body: &[u8]) -> Result<T, ApiError> {
    let unreadable = |reason: String| ApiError::Unreadable { action, reason };
    let text = std::str::from_utf8(body).map_err(|error| unreadable(error.to_string()))?;
    quick_xml::de::from_str(text).map_err(|error| unreadable(error.to_string()))
}

/// Makes a private bucket; repeating it as the owner is no error. `tags` as pairs of key and value.
pub async fn put_bucket(cloud: &dyn Cloud, region: &str, bucket: &str, tags: &[(String, String)]) -> Result<(), ApiError> {
    let encode = |text: &String| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    let tagging = tags.iter().map(|(key, value)| format!("{}={}", encode(key), encode(value))).collect::<Vec<_>>().join("&");
    let mut call = call("PutBucket", http::Method::PUT, region, bucket, "");
    call.headers.push(("x-oss-acl".to_owned(), "private".to_owned()));
    call.headers.push(("x-oss-bucket-tagging".to_owned(), tagging));
    cloud.send(call).await.map(drop)
}

/// Whether the bucket exists and is ours. A bucket of someone else is the error `AccessDenied`.
pub async fn bucket_exists(cloud: &dyn Cloud, region: &str, bucket: &str) -> Result<bool, ApiError> {
    let mut call = call("GetBucketInfo", http::Method::GET, region, bucket, "");
    call.query.push(("bucketInfo".to_owned(), String::new()));
    match cloud.send(call).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Deletes an empty bucket; one that is gone is no error.
pub async fn delete_bucket(cloud: &dyn Cloud, region: &str, bucket: &str) -> Result<(), ApiError> {
    absent_is_fine(cloud.send(call("DeleteBucket", http::Method::DELETE, region, bucket, "")).await)
}

/// Writes an object.
pub async fn put_object(cloud: &dyn Cloud, region: &str, bucket: &str, key: &str, body: Bytes) -> Result<(), ApiError> {
    let mut call = call("PutObject", http::Method::PUT, region, bucket, key);
    call.headers.push(("content-type".to_owned(), "application/octet-stream".to_owned()));
    call.body = body;
    cloud.send(call).await.map(drop)
}

/// Reads an object.
pub async fn get_object(cloud: &dyn Cloud, region: &str, bucket: &str, key: &str) -> Result<Bytes, ApiError> {
    Ok(cloud.send(call("GetObject", http::Method::GET, region, bucket, key)).await?.body)
}

/// Reads an object from byte `from` on, at most `most` of it. Nothing lies beyond its end.
pub async fn read_object(cloud: &dyn Cloud, region: &str, bucket: &str, key: &str, from: u64, most: u64) -> Result<Bytes, ApiError> {
    let mut call = call("GetObject", http::Method::GET, region, bucket, key);
    call.headers.push(("range".to_owned(), format!("bytes={from}-{}", from.saturating_add(most.max(1)) - 1)));
    call.headers.push(("x-oss-range-behavior".to_owned(), "standard".to_owned()));
    match cloud.send(call).await {
        Ok(answer) => Ok(answer.body),
        Err(error) if error.is(&["InvalidRange"]) => Ok(Bytes::new()),
        Err(error) => Err(error),
    }
}

/// The size of an object in bytes, or `None` if there is none.
pub async fn object_size(cloud: &dyn Cloud, region: &str, bucket: &str, key: &str) -> Result<Option<u64>, ApiError> {
    match cloud.send(call("HeadObject", http::Method::HEAD, region, bucket, key)).await {
        Ok(answer) => Ok(answer.header("content-length").and_then(|length| length.parse().ok())),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Deletes an object; one that is gone is no error.
pub async fn delete_object(cloud: &dyn Cloud, region: &str, bucket: &str, key: &str) -> Result<(), ApiError> {
    absent_is_fine(cloud.send(call("DeleteObject", http::Method::DELETE, region, bucket, key)).await)
}

/// Every object below a prefix, 1,000 a page; none if the bucket is gone.
pub async fn list_objects(cloud: &dyn Cloud, region: &str, bucket: &str, prefix: &str) -> Result<Vec<Object>, ApiError> {
    let mut objects = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let mut call = call("ListObjectsV2", http::Method::GET, region, bucket, "");
        let mut parameter = |key: &str, value: &str| call.query.push((key.to_owned(), value.to_owned()));
        parameter("list-type", "2");
        parameter("max-keys", "1000");
        parameter("prefix", prefix);
        if let Some(token) = &token {
            parameter("continuation-token", token);
        }
        let answer = match cloud.send(call).await {
            Ok(answer) => answer,
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let page: ListBucketResult = xml("ListObjectsV2", &answer.body)?;
        objects.extend(page.contents);
        token = page.next_continuation_token.filter(|token| !token.is_empty());
        if token.is_none() {
            return Ok(objects);
        }
    }
}

fn absent_is_fine<T>(answer: Result<T, ApiError>) -> Result<(), ApiError> {
    match answer {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}
