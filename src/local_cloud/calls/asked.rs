//! What a request asks for, as far as that can be told before anybody checks it: product, action, key, region. It must
//! never fail, whatever a request holds.

use super::super::catalog::Catalog;
use super::super::dispatch;
use super::super::wire::Request;
use super::super::wire::encoding::decode;
use super::super::wire::params::Params;

/// Names of identifiers that say where or how, not what.
const NOT_THE_RESOURCE: [&str; 8] =
    ["RegionId", "ZoneId", "ImageId", "ResourceGroupId", "ResourceOwnerId", "OwnerId", "AccessKeyId", "RequestId"];

/// What a request asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// `ecs`, `vpc`, `oss` and so on; empty if nobody knows it.
    pub(crate) product: String,
    /// `RunInstances`, `PutObject`.
    pub(crate) action: String,
    /// The access key's id, whether it fits or not.
    pub(crate) key: String,
    pub(crate) region: String,
    /// The resource that is named, if one is.
    pub(crate) resource: String,
    pub(crate) params: Params,
}

impl Asked {
    pub(crate) fn of(request: &Request, catalog: &Catalog) -> Asked {
        let params = Params::of(request);
        let action = request.header("x-acs-action").or_else(|| params.text("Action"));
        let version = request.header("x-acs-version").or_else(|| params.text("Version"));
        let named = params.text("RegionId").or_else(|| request.header("x-acs-region-id"));
        let of_host = || request.host_name().split('.').find(|label| catalog.regions.contains_key(label.trim_start_matches("oss-")));
        let region = named.or_else(of_host).unwrap_or_default().trim_start_matches("oss-").to_owned();
        let key = key(request, &params);
        if action.is_none() && version.is_none() {
            let (action, resource) = of_storage(request, catalog);
            return Asked { product: "oss".to_owned(), action, key, region, resource, params };
        }
        let product = version.and_then(dispatch::product_name).unwrap_or_default().to_lowercase();
        let action = action.map_or_else(|| format!("{} {}", request.method, request.path), str::to_owned);
        let resource = match identifier(&action, params.iter()) {
            // What a creation names is where it happens; what it makes, its answer tells.
            _ if creates(&action) => String::new(),
            Some(resource) => resource.to_owned(),
            // A ROA call names it in its path.
            None if request.path.len() > 1 => decode(&request.path),
            None => String::new(),
        };
        Asked { product, action, key, region, resource, params }
    }
}

/// Whether a call makes something.
pub(super) fn creates(action: &str) -> bool {
    ["Create", "Allocate", "RunInstances"].iter().any(|verb| action.starts_with(verb))
}

/// A value whose name is that of a resource's identifier: the one that the action speaks of, else the first.
pub(super) fn identifier<'a>(action: &str, named: impl Iterator<Item = (&'a str, &'a str)>) -> Option<&'a str> {
    let mut first = None;
    for (name, value) in named.filter(|(_, value)| !value.is_empty()) {
        let name = name.strip_suffix(".1").unwrap_or(name);
        let Some(stem) = name.strip_suffix("Id").or_else(|| name.strip_suffix("Ids")).filter(|_| !NOT_THE_RESOURCE.contains(&name)) else {
            continue;
        };
        if action.contains(stem) {
            return Some(value);
        }
        first = first.or(Some(value));
    }
    first
}

/// The key of any of the signatures.
fn key(request: &Request, params: &Params) -> String {
    let signed = request.header("authorization").and_then(|text| text.split_once("Credential=")).map(|(_, rest)| rest);
    let credential = signed.or_else(|| params.text("x-oss-credential")).or_else(|| params.text("AccessKeyId")).unwrap_or_default();
    credential.split(['/', ',']).next().unwrap_or_default().to_owned()
}

/// An OSS operation by method, level and sub-resource, as its documentation names it: `PutObject`, `GetBucketInfo`.
fn of_storage(request: &Request, catalog: &Catalog) -> (String, String) {
    let label = request.host_name().split_once('.').map(|(first, rest)| (first, rest.starts_with("oss-") || rest.starts_with("localhost")));
    let service = |label: &str| catalog.regions.contains_key(label.trim_start_matches("oss-").trim_end_matches("-internal"));
    let path = request.path.trim_start_matches('/');
    let resource = match label {
        Some((bucket, true)) if !service(bucket) => format!("{bucket}/{path}"),
        _ => path.to_owned(),
    };
    let (bucket, object) = resource.split_once('/').unwrap_or((&resource, ""));
    let has = |name: &str| request.query.split('&').any(|pair| pair.split('=').next() == Some(name));
    let sub = SUB_RESOURCES.iter().find(|name| has(name)).copied().unwrap_or_default();
    let copies = request.header("x-oss-copy-source").is_some();
    let verb = match request.method.as_str() {
        "PUT" => "Put",
        "DELETE" => "Delete",
        "POST" => "Post",
        "HEAD" => "Head",
        _ => "Get",
    };
    let action = match (verb, bucket.is_empty(), object.is_empty(), sub) {
        (_, true, _, _) => "ListBuckets".to_owned(),
        ("Get", _, true, "uploads") => "ListMultipartUploads".to_owned(),
        ("Get", _, true, "versions") => "ListObjectVersions".to_owned(),
        ("Get", _, true, "") if has("list-type") => "ListObjectsV2".to_owned(),
        ("Get", _, true, "") => "ListObjects".to_owned(),
        ("Post", _, true, "delete") => "DeleteMultipleObjects".to_owned(),
        ("Get", _, true, "bucketInfo") => "GetBucketInfo".to_owned(),
        (verb, _, true, sub) => format!("{verb}Bucket{}", capital(sub)),
        ("Post", _, _, "uploads") => "InitiateMultipartUpload".to_owned(),
        ("Post", _, _, "uploadId") => "CompleteMultipartUpload".to_owned(),
        ("Delete", _, _, "uploadId") => "AbortMultipartUpload".to_owned(),
        ("Get", _, _, "uploadId") => "ListParts".to_owned(),
        ("Put", _, _, "partNumber") if copies => "UploadPartCopy".to_owned(),
        ("Put", _, _, "partNumber") => "UploadPart".to_owned(),
        ("Post", _, _, "append") => "AppendObject".to_owned(),
        ("Get", _, _, "objectMeta") => "GetObjectMeta".to_owned(),
        (verb @ ("Put" | "Get"), _, _, "symlink") => format!("{verb}Symlink"),
        ("Put", _, _, "") if copies => "CopyObject".to_owned(),
        (verb, _, _, sub) => format!("{verb}Object{}", capital(sub)),
    };
    (action, decode(&resource))
}

/// What an operation may be told by in its query; a part before an upload, since parts name both.
const SUB_RESOURCES: [&str; 24] = [
    "acl",
    "append",
    "bucketInfo",
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
    "tagging",
    "uploadId",
    "uploads",
    "versioning",
    "versions",
    "website",
    "inventory",
    "worm",
];

fn capital(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn asked(method: &str, host: &str, path: &str, query: &str, headers: &[(&str, &str)]) -> Asked {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (host, path, query) = (host.to_owned(), path.to_owned(), query.to_owned());
        Asked::of(
            &Request { method: method.parse().unwrap(), host, path, query, headers, body: Bytes::new(), peer: None },
            Catalog::embedded(),
        )
    }

    #[test]
    fn a_call_is_told_by_its_headers_or_its_parameters() {
        let authorization = ("authorization", "ACS3-HMAC-SHA256 Credential=AK,SignedHeaders=host,Signature=0");
        let headers = [("x-acs-action", "DescribeVpcAttribute"), ("x-acs-version", "2016-04-28"), authorization];
        let new = asked("POST", "127.0.0.1:80", "/", "RegionId=cn-beijing&VpcId=vpc-1", &headers);
        let told = |asked: &Asked| [&asked.product, &asked.action, &asked.key, &asked.region, &asked.resource].map(String::to_owned);
        assert_eq!(told(&new), ["vpc", "DescribeVpcAttribute", "AK", "cn-beijing", "vpc-1"]);
        let old =
            asked("GET", "ecs.cn-beijing.aliyuncs.com", "/", "Action=StopInstances&Version=2014-05-26&InstanceId.1=i-1&AccessKeyId=K", &[]);
        assert_eq!(told(&old), ["ecs", "StopInstances", "K", "cn-beijing", "i-1"]);
        let roa = asked("DELETE", "cs.cn-beijing.aliyuncs.com", "/clusters/c1", "", &[("x-acs-version", "2015-12-15"), headers[2]]);
        assert_eq!(told(&roa), ["cs", "DELETE /clusters/c1", "AK", "cn-beijing", "/clusters/c1"]);
    }

    #[test]
    fn an_operation_on_storage_has_the_name_that_its_documentation_gives_it() {
        let host = "b1.oss-cn-beijing.aliyuncs.com";
        let of = |method: &str, host: &str, path: &str, query: &str, action: &str, resource: &str| {
            let asked = asked(method, host, path, query, &[]);
            assert_eq!((asked.product.as_str(), asked.action.as_str(), asked.resource.as_str()), ("oss", action, resource));
        };
        of("GET", "oss-cn-beijing.aliyuncs.com", "/", "", "ListBuckets", "");
        of("PUT", host, "/", "", "PutBucket", "b1/");
        of("GET", host, "/", "list-type=2&prefix=a", "ListObjectsV2", "b1/");
        of("GET", host, "/", "bucketInfo", "GetBucketInfo", "b1/");
        of("PUT", host, "/a%20b", "", "PutObject", "b1/a b");
        of("PUT", "127.0.0.1:8080", "/b1/k", "partNumber=1&uploadId=u", "UploadPart", "b1/k");
        of("HEAD", host, "/k", "", "HeadObject", "b1/k");
        of("DELETE", host, "/k", "tagging", "DeleteObjectTagging", "b1/k");
    }
}
