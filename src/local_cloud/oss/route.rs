//! Which operation a request is: its method, whether it is about the service, a bucket or an object, the name of a
//! sub-resource in the query, and the source of a copy in a header.

use super::access::Need;
use super::refusal::Refusal;
use super::{Answer, Ask, append, bucket, copy, list, multipart, object, read, tagging};

/// The operations that this cloud has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    ListBuckets,
    DescribeRegions,
    PutBucket,
    DeleteBucket,
    GetBucketInfo,
    GetBucketStat,
    GetBucketLocation,
    GetBucketAcl,
    PutBucketAcl,
    GetBucketTags,
    PutBucketTags,
    DeleteBucketTags,
    ListObjects,
    ListObjectsV2,
    ListMultipartUploads,
    DeleteMultipleObjects,
    PutObject,
    CopyObject,
    AppendObject,
    GetObject,
    HeadObject,
    GetObjectMeta,
    DeleteObject,
    GetObjectAcl,
    PutObjectAcl,
    GetObjectTagging,
    PutObjectTagging,
    DeleteObjectTagging,
    InitiateMultipartUpload,
    UploadPart,
    UploadPartCopy,
    ListParts,
    CompleteMultipartUpload,
    AbortMultipartUpload,
}

/// Query keys of operations that this cloud does not have.
const ELSEWHERE: [&str; 58] = [
    "accessmonitor",
    "accessPoint",
    "accessPointPolicy",
    "asyncFetch",
    "bucketArchiveDirectRead",
    "callback",
    "cleanRestoredObject",
    "cloudboxes",
    "cname",
    "comp",
    "cors",
    "dataPipeline",
    "encryption",
    "httpsConfig",
    "inventory",
    "legalHold",
    "lifecycle",
    "live",
    "logging",
    "metadataConfiguration",
    "metadataInventoryTable",
    "metadataJournalTable",
    "metaQuery",
    "MetaQuery",
    "objectWorm",
    "overwriteConfig",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "qosInfo",
    "quota",
    "redundancyTransition",
    "referer",
    "regionList",
    "replication",
    "replicationLocation",
    "replicationProgress",
    "requestPayment",
    "resourceGroup",
    "resourcePool",
    "restore",
    "retention",
    "rtc",
    "seal",
    "style",
    "symlink",
    "transferAcceleration",
    "userDefinedLogFieldsConfig",
    "versionId",
    "versioning",
    "versions",
    "vod",
    "website",
    "worm",
    "wormExtend",
    "wormId",
    "x-oss-async-process",
    "x-oss-process",
];

/// Headers of features that this cloud does not have; to drop them silently would be to promise them.
const HEADERS_ELSEWHERE: [&str; 6] = [
    "x-oss-callback",
    "x-oss-object-worm-legal-hold",
    "x-oss-object-worm-mode",
    "x-oss-server-side-data-encryption",
    "x-oss-server-side-encryption",
    "x-oss-server-side-encryption-key-id",
];

/// The sub-resources by which operations are told apart.
const SUB_RESOURCES: [&str; 10] =
    ["acl", "append", "bucketInfo", "delete", "location", "objectMeta", "regions", "stat", "tagging", "uploads"];

/// The operation that is asked for.
pub(super) fn find(ask: &Ask) -> Result<Operation, Refusal> {
    if let Some(name) = ELSEWHERE.iter().find(|name| ask.has(name)) {
        return Err(Refusal::not_implemented(name));
    }
    if let Some(name) = HEADERS_ELSEWHERE.iter().find(|name| ask.header(name).is_some()) {
        return Err(Refusal::not_implemented(name));
    }
    let method = ask.request.method.as_str();
    let sub = SUB_RESOURCES.iter().find(|name| ask.has(name)).copied().unwrap_or_default();
    let found = match (ask.bucket, ask.key) {
        ("", _) => of_service(method, sub),
        (_, "") => of_bucket(ask, method, sub),
        _ => of_object(ask, method, sub),
    };
    found.ok_or_else(|| {
        let refusal = Refusal::new(405, "MethodNotAllowed", "The specified method is not allowed against this resource.");
        refusal.with("Method", method).with("ResourceType", if ask.key.is_empty() { "Bucket" } else { "Object" })
    })
}

fn of_service(method: &str, sub: &str) -> Option<Operation> {
    match (method, sub) {
        ("GET", "") => Some(Operation::ListBuckets),
        ("GET", "regions") => Some(Operation::DescribeRegions),
        _ => None,
    }
}

fn of_bucket(ask: &Ask, method: &str, sub: &str) -> Option<Operation> {
    Some(match (method, sub) {
        ("PUT", "") => Operation::PutBucket,
        ("PUT", "acl") => Operation::PutBucketAcl,
        ("PUT", "tagging") => Operation::PutBucketTags,
        ("GET", "") if ask.parameter("list-type") == "2" => Operation::ListObjectsV2,
        ("GET", "") => Operation::ListObjects,
        ("GET", "acl") => Operation::GetBucketAcl,
        ("GET", "bucketInfo") => Operation::GetBucketInfo,
        ("GET", "location") => Operation::GetBucketLocation,
        ("GET", "stat") => Operation::GetBucketStat,
        ("GET", "tagging") => Operation::GetBucketTags,
        ("GET", "uploads") => Operation::ListMultipartUploads,
        ("DELETE", "") => Operation::DeleteBucket,
        ("DELETE", "tagging") => Operation::DeleteBucketTags,
        ("POST", "delete") => Operation::DeleteMultipleObjects,
        _ => return None,
    })
}

fn of_object(ask: &Ask, method: &str, sub: &str) -> Option<Operation> {
    let copies = ask.header("x-oss-copy-source").is_some();
    Some(match (method, sub) {
        ("PUT", "") if ask.has("uploadId") && copies => Operation::UploadPartCopy,
        ("PUT", "") if ask.has("uploadId") => Operation::UploadPart,
        ("PUT", "") if copies => Operation::CopyObject,
        ("PUT", "") => Operation::PutObject,
        ("PUT", "acl") => Operation::PutObjectAcl,
        ("PUT", "tagging") => Operation::PutObjectTagging,
        ("POST", "append") => Operation::AppendObject,
        ("POST", "uploads") => Operation::InitiateMultipartUpload,
        ("POST", "") if ask.has("uploadId") => Operation::CompleteMultipartUpload,
        ("GET", "acl") => Operation::GetObjectAcl,
        ("GET", "tagging") => Operation::GetObjectTagging,
        ("GET", "") if ask.has("uploadId") => Operation::ListParts,
        ("GET", "") => Operation::GetObject,
        ("HEAD" | "GET", "objectMeta") => Operation::GetObjectMeta,
        ("HEAD", "") => Operation::HeadObject,
        ("DELETE", "tagging") => Operation::DeleteObjectTagging,
        ("DELETE", "") if ask.has("uploadId") => Operation::AbortMultipartUpload,
        ("DELETE", "") => Operation::DeleteObject,
        _ => return None,
    })
}

impl Operation {
    /// What an access list must allow.
    pub(super) fn need(self) -> Need {
        use Operation as O;
        match self {
            O::GetObject | O::HeadObject | O::GetObjectMeta => Need::Read,
            O::PutObject
            | O::AppendObject
            | O::DeleteObject
            | O::InitiateMultipartUpload
            | O::UploadPart
            | O::CompleteMultipartUpload
            | O::AbortMultipartUpload => Need::Write,
            _ => Need::Own,
        }
    }
}

/// Does it.
pub(super) async fn run(ask: &Ask<'_>, operation: Operation) -> Result<Answer, Refusal> {
    use Operation as O;
    match operation {
        O::ListBuckets => list::buckets(ask),
        O::DescribeRegions => bucket::regions(ask),
        O::PutBucket => bucket::put(ask).await,
        O::DeleteBucket => bucket::delete(ask).await,
        O::GetBucketInfo => bucket::info(ask),
        O::GetBucketStat => bucket::stat(ask),
        O::GetBucketLocation => bucket::location(ask),
        O::GetBucketAcl => bucket::acl(ask),
        O::PutBucketAcl => bucket::put_acl(ask).await,
        O::GetBucketTags => tagging::of_bucket(ask),
        O::PutBucketTags => tagging::put_of_bucket(ask).await,
        O::DeleteBucketTags => tagging::delete_of_bucket(ask).await,
        O::ListObjects => list::objects(ask),
        O::ListObjectsV2 => list::objects_v2(ask),
        O::ListMultipartUploads => multipart::list::uploads(ask),
        O::DeleteMultipleObjects => object::delete_multiple(ask).await,
        O::PutObject => object::put(ask).await,
        O::CopyObject => copy::object(ask).await,
        O::AppendObject => append::append(ask).await,
        O::GetObject => read::get(ask).await,
        O::HeadObject => read::head(ask),
        O::GetObjectMeta => read::meta(ask),
        O::DeleteObject => object::delete(ask).await,
        O::GetObjectAcl => object::acl(ask),
        O::PutObjectAcl => object::put_acl(ask).await,
        O::GetObjectTagging => tagging::of_object(ask),
        O::PutObjectTagging => tagging::put_of_object(ask).await,
        O::DeleteObjectTagging => tagging::delete_of_object(ask).await,
        O::InitiateMultipartUpload => multipart::initiate(ask).await,
        O::UploadPart => multipart::part::upload(ask).await,
        O::UploadPartCopy => multipart::part::copy(ask).await,
        O::ListParts => multipart::list::parts(ask),
        O::CompleteMultipartUpload => multipart::complete::complete(ask).await,
        O::AbortMultipartUpload => multipart::abort(ask).await,
    }
}
