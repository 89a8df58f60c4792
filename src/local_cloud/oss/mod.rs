//! OSS: buckets and objects over its own REST and XML. Which bucket and key a request means follows from its host and
//! path; everything else from the method and the query.

mod bucket;
mod list;
mod object;
mod xml;

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::auth::oss_v4;
use super::runtime::Shared;
use super::time;
use super::wire::encoding::{decode, pairs};
use super::wire::fault::Fault;
use super::wire::params::Tags;
use super::wire::{Request, Response};

/// A bucket.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Bucket {
    pub(crate) name: String,
    pub(crate) region: String,
    pub(crate) acl: String,
    pub(crate) storage_class: String,
    pub(crate) redundancy: String,
    pub(crate) resource_group: String,
    pub(crate) created: Timestamp,
    pub(crate) tags: Tags,
}

/// An object; its bytes are kept by digest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Object {
    pub(crate) digest: String,
    pub(crate) size: u64,
    /// In upper-case hex.
    pub(crate) md5: String,
    pub(crate) crc64: u64,
    pub(crate) storage_class: String,
    pub(crate) modified: Timestamp,
    /// `content-type`, `x-oss-meta-*` and others that are given back.
    pub(crate) headers: BTreeMap<String, String>,
}

/// The key of an object's row.
fn row_key(bucket: &str, key: &str) -> String {
    format!("{bucket}/{key}")
}

/// What a request is about.
struct Target {
    bucket: Option<String>,
    /// Empty for the bucket itself.
    key: String,
    /// The region that the host names.
    region: Option<String>,
}

impl Target {
    /// Virtual-host addressing when the host is a bucket's, else the path's first part is the bucket.
    fn of(request: &Request) -> Target {
        let host = request.host_name();
        let mut labels = host.split('.');
        let (first, second) = (labels.next().unwrap_or_default(), labels.next().unwrap_or_default());
        let region = |label: &str| label.strip_prefix("oss-").map(|rest| rest.trim_end_matches("-internal").to_owned());
        let path = request.path.strip_prefix('/').unwrap_or(&request.path);
        let local = host.ends_with(".localhost") && first != "localhost";
        if !first.starts_with("oss-") && (second.starts_with("oss-") || local) {
            return Target { bucket: Some(first.to_owned()), key: decode(path), region: region(second) };
        }
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let bucket = Some(decode(bucket)).filter(|bucket| !bucket.is_empty());
        Target { bucket, key: decode(key), region: region(first) }
    }

    /// What is signed: `/`, `/bucket/` or `/bucket/key`.
    fn resource(&self) -> String {
        self.bucket.as_ref().map_or_else(|| "/".to_owned(), |bucket| format!("/{bucket}/{}", self.key))
    }
}

/// One request on its way through.
struct Ask<'a> {
    shared: &'a Arc<Shared>,
    request: &'a Request,
    query: BTreeMap<String, String>,
    now: Timestamp,
    /// The region that was signed for.
    region: String,
}

impl Ask<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.request.header(name)
    }

    fn has(&self, name: &str) -> bool {
        self.query.contains_key(name)
    }
}

/// What an operation answers: status, headers, body.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Answer {
    fn empty(status: u16) -> Self {
        Answer { status, headers: Vec::new(), body: Bytes::new() }
    }

    fn xml(body: String) -> Self {
        Answer { status: 200, headers: vec![("content-type".to_owned(), "application/xml".to_owned())], body: Bytes::from(body) }
    }

    fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// Query keys of operations that this cloud does not have.
const ELSEWHERE: [&str; 18] = [
    "append",
    "cors",
    "delete",
    "encryption",
    "lifecycle",
    "location",
    "logging",
    "objectMeta",
    "partNumber",
    "policy",
    "referer",
    "restore",
    "stat",
    "symlink",
    "uploadId",
    "uploads",
    "versioning",
    "website",
];

/// Answers an OSS request.
pub(crate) async fn handle(shared: &Arc<Shared>, request: &Request, request_id: &str, refused: Option<Fault>) -> Response {
    let now = shared.now();
    // OSS ids are 24 digits.
    let id: String = request_id.chars().filter(|c| *c != '-').take(24).collect();
    let target = Target::of(request);
    let outcome = match refused {
        // OSS has its own words for it.
        Some(fault) if fault.code.starts_with("Throttling") => {
            Err(Fault::new(503, "ServiceUnavailable", "Please reduce your request rate."))
        }
        Some(fault) => Err(fault),
        None => operate(shared, request, &target, now).await,
    };
    let mut response = match outcome {
        Ok(answer) => Response { status: answer.status, headers: answer.headers, body: answer.body, dropped: false },
        Err(fault) => refusal(request, &target, &id, &fault),
    };
    response.headers.push(("x-oss-request-id".to_owned(), id));
    response.headers.push(("date".to_owned(), time::http(now)));
    response.headers.push(("server".to_owned(), "AliyunOSS".to_owned()));
    response
}

fn refusal(request: &Request, target: &Target, id: &str, fault: &Fault) -> Response {
    // Codes of our own within OSS's numbering: clients show them and do not read them.
    let ec = format!("0000-{:08}", fault.status);
    let mut body = xml::Writer::document("Error");
    body.leaf("Code", &fault.code).leaf("Message", &fault.message).leaf("RequestId", id).leaf("HostId", &request.host);
    if fault.code == "NoSuchKey" {
        body.leaf("Key", &target.key);
    }
    if let Some(bucket) = &target.bucket {
        body.leaf("BucketName", bucket);
    }
    body.leaf("EC", &ec).leaf("RecommendDoc", &format!("https://api.aliyun.com/troubleshoot?q={}", fault.code));
    let body = body.finish();
    let mut headers = vec![("content-type".to_owned(), "application/xml".to_owned()), ("x-oss-ec".to_owned(), ec)];
    if request.method == http::Method::HEAD {
        headers.push(("x-oss-err".to_owned(), STANDARD.encode(&body)));
        return Response { status: fault.status, headers, body: Bytes::new(), dropped: false };
    }
    Response { status: fault.status, headers, body: Bytes::from(body), dropped: false }
}

async fn operate(shared: &Arc<Shared>, request: &Request, target: &Target, now: Timestamp) -> Result<Answer, Fault> {
    let proof = oss_v4::verify(request, &target.resource(), &shared.config, now);
    let region = match proof {
        Ok(proof) => proof.region,
        // What is public may be read by anyone.
        Err(fault) if fault.code == "AccessDenied" && is_public(shared, request, target) => target.region.clone().unwrap_or_default(),
        Err(fault) => return Err(fault),
    };
    let ask = Ask { shared, request, query: pairs(&request.query).into_iter().collect(), now, region };
    if ELSEWHERE.iter().any(|name| ask.has(name)) || ask.header("x-oss-copy-source").is_some() {
        return Err(Fault::new(501, "NotImplemented", "The local cloud does not have this operation."));
    }
    let Some(bucket) = &target.bucket else {
        return match request.method {
            http::Method::GET => list::buckets(&ask),
            _ => Err(not_allowed()),
        };
    };
    match (request.method.as_str(), target.key.as_str()) {
        ("PUT", "") => bucket::put(&ask, bucket, target.region.as_deref()).await,
        (_, _) => {
            check_region(&ask, bucket, target.region.as_deref())?;
            match (request.method.as_str(), target.key.as_str()) {
                ("GET", "") if ask.has("bucketInfo") => bucket::info(&ask, bucket),
                ("GET", "") => list::objects(&ask, bucket),
                ("DELETE", "") => bucket::delete(&ask, bucket).await,
                ("PUT", key) if !key.is_empty() => object::put(&ask, bucket, key).await,
                ("GET" | "HEAD", key) if !key.is_empty() => object::get(&ask, bucket, key).await,
                ("DELETE", key) => object::delete(&ask, bucket, key).await,
                _ => Err(not_allowed()),
            }
        }
    }
}

fn is_public(shared: &Shared, request: &Request, target: &Target) -> bool {
    let unsigned = request.header("authorization").is_none() && !request.query.contains("x-oss-signature");
    let read = matches!(request.method, http::Method::GET | http::Method::HEAD) && !target.key.is_empty();
    let public = |name: &String| shared.world().buckets.get(name).is_some_and(|bucket| bucket.acl.starts_with("public-read"));
    unsigned && read && target.bucket.as_ref().is_some_and(public)
}

fn not_allowed() -> Fault {
    Fault::new(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
}

fn no_bucket() -> Fault {
    Fault::missing("NoSuchBucket", "The specified bucket does not exist.")
}

/// A bucket is there, and asked for in its own region.
fn check_region(ask: &Ask, bucket: &str, host_region: Option<&str>) -> Result<(), Fault> {
    let world = ask.shared.world();
    let home = &world.buckets.get(bucket).ok_or_else(no_bucket)?.region;
    if host_region.is_some_and(|region| region != home) || ask.region != *home {
        let message = "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint.";
        return Err(Fault::forbidden("AccessDenied", message));
    }
    Ok(())
}

/// Waits until a change is on disk.
async fn settled(ask: &Ask<'_>, number: u64) -> Result<(), Fault> {
    ask.shared.settle(number).await.map_err(|reason| Fault::new(500, "InternalError", reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(host: &str, path: &str) -> (Option<String>, String, Option<String>, String) {
        let request = Request {
            method: http::Method::GET,
            host: host.to_owned(),
            path: path.to_owned(),
            query: String::new(),
            headers: Vec::new(),
            body: Bytes::new(),
            peer: None,
        };
        let target = Target::of(&request);
        let resource = target.resource();
        (target.bucket, target.key, target.region, resource)
    }

    #[test]
    fn host_or_path_say_which_bucket_and_key() {
        let some = |text: &str| Some(text.to_owned());
        let of = |host, path, bucket: Option<&str>, key: &str, region: Option<&str>, resource: &str| {
            let expected = (bucket.map(str::to_owned), key.to_owned(), region.map(str::to_owned), resource.to_owned());
            assert_eq!(target(host, path), expected, "{host}{path}");
        };
        of("b1.oss-cn-hangzhou.aliyuncs.com", "/a%20b/c", some("b1").as_deref(), "a b/c", Some("cn-hangzhou"), "/b1/a b/c");
        of("b1.oss-cn-hangzhou-internal.aliyuncs.com:80", "/", Some("b1"), "", Some("cn-hangzhou"), "/b1/");
        of("oss-cn-beijing.aliyuncs.com", "/", None, "", Some("cn-beijing"), "/");
        of("127.0.0.1:8080", "/b1/k+1", Some("b1"), "k+1", None, "/b1/k+1");
        of("127.0.0.1:8080", "/b1", Some("b1"), "", None, "/b1/");
        of("127.0.0.1", "/", None, "", None, "/");
        of("b1.localhost:8080", "/k", Some("b1"), "k", None, "/b1/k");
    }
}
