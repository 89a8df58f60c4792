//! Objects for other products of the cloud: the same rules as for those who ask over HTTP, without a signature.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::Method;

use super::{Ask, object, row_key};
use crate::local_cloud::runtime::Shared;
use crate::local_cloud::wire::Request;
use crate::local_cloud::wire::fault::Fault;

/// The objects below a prefix: what follows it in their keys, and their digests. `None` if there is no such bucket.
pub(crate) fn below(shared: &Shared, bucket: &str, prefix: &str) -> Option<Vec<(String, String)>> {
    let world = shared.world();
    world.buckets.get(bucket)?;
    let start = row_key(bucket, prefix);
    Some(world.objects.starting_with(&start).map(|(key, object)| (key[start.len()..].to_owned(), object.digest.clone())).collect())
}

/// Puts an object.
pub(crate) async fn put(shared: &Arc<Shared>, region: &str, bucket: &str, key: &str, body: Bytes) -> Result<(), Fault> {
    let request = request(Method::PUT, body);
    object::put(&ask(shared, &request, region), bucket, key).await.map(drop)
}

/// Deletes an object.
pub(crate) async fn delete(shared: &Arc<Shared>, region: &str, bucket: &str, key: &str) -> Result<(), Fault> {
    let request = request(Method::DELETE, Bytes::new());
    object::delete(&ask(shared, &request, region), bucket, key).await.map(drop)
}

fn request(method: Method, body: Bytes) -> Request {
    Request { method, host: String::new(), path: String::new(), query: String::new(), headers: Vec::new(), body }
}

fn ask<'a>(shared: &'a Arc<Shared>, request: &'a Request, region: &str) -> Ask<'a> {
    Ask { shared, request, query: BTreeMap::new(), now: shared.now(), region: region.to_owned() }
}
