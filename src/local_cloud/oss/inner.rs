//! Objects for other products of the cloud: the same rules as for those who ask over HTTP, without a signature.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::Method;

use super::refusal::Refusal;
use super::rows::row_key;
use super::{Ask, content, object, read};
use crate::local_cloud::runtime::Shared;
use crate::local_cloud::wire::Request;

/// The objects below a prefix: what follows it in their keys. `None` if there is no such bucket.
pub(crate) fn below(shared: &Shared, bucket: &str, prefix: &str) -> Option<Vec<String>> {
    let world = shared.world();
    world.buckets.get(bucket)?;
    let start = row_key(bucket, prefix);
    Some(world.objects.starting_with(&start).map(|(key, _)| key[start.len()..].to_owned()).collect())
}

/// The bytes of an object.
pub(crate) async fn get(shared: &Arc<Shared>, bucket: &str, key: &str) -> Result<Bytes, Refusal> {
    let request = request(Method::GET, Bytes::new());
    // As long as it is held its bytes are not forgotten.
    let (object, _held) = read::hold(&ask(shared, &request, "", bucket, key), bucket, key)?;
    content::read(shared, &object, 0, object.size).await
}

/// Puts an object.
pub(crate) async fn put(shared: &Arc<Shared>, region: &str, bucket: &str, key: &str, body: Bytes) -> Result<(), Refusal> {
    let request = request(Method::PUT, body);
    object::put(&ask(shared, &request, region, bucket, key)).await.map(drop)
}

/// Deletes an object.
pub(crate) async fn delete(shared: &Arc<Shared>, region: &str, bucket: &str, key: &str) -> Result<(), Refusal> {
    let request = request(Method::DELETE, Bytes::new());
    object::delete(&ask(shared, &request, region, bucket, key)).await.map(drop)
}

fn request(method: Method, body: Bytes) -> Request {
    Request { method, host: String::new(), path: String::new(), query: String::new(), headers: Vec::new(), body, peer: None }
}

fn ask<'a>(shared: &'a Arc<Shared>, request: &'a Request, region: &str, bucket: &'a str, key: &'a str) -> Ask<'a> {
    Ask { shared, request, query: BTreeMap::new(), now: shared.now(), bucket, key, region: Some(region.to_owned()) }
}
