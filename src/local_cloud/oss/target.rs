//! Which bucket and key a request means: its host and path say so.

use crate::local_cloud::wire::Request;
use crate::local_cloud::wire::encoding::decode;

/// What a request is about.
pub(super) struct Target {
    pub(super) bucket: Option<String>,
    /// Empty for the bucket itself.
    pub(super) key: String,
    /// The region that the host names.
    pub(super) region: Option<String>,
}

impl Target {
    /// Virtual-host addressing when the host is a bucket's, else the path's first part is the bucket.
    pub(super) fn of(request: &Request) -> Target {
        let host = request.host_name();
        let mut labels = host.split('.');
        let (first, second) = (labels.next().unwrap_or_default(), labels.next().unwrap_or_default());
        let region = |label: &str| label.strip_prefix("oss-").map(|rest| rest.trim_end_matches("-internal").to_owned());
        let path = request.path.strip_prefix('/').unwrap_or(&request.path);
        let local = host.ends_with(".localhost") && first != "localhost" && !first.starts_with("oss-");
        if second.starts_with("oss-") || local {
            return Target { bucket: Some(first.to_owned()), key: decode(path), region: region(second) };
        }
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let bucket = Some(decode(bucket)).filter(|bucket| !bucket.is_empty());
        Target { bucket, key: decode(key), region: region(first) }
    }

    /// What is signed: `/`, `/bucket/` or `/bucket/key`.
    pub(super) fn resource(&self) -> String {
        self.bucket.as_ref().map_or_else(|| "/".to_owned(), |bucket| format!("/{bucket}/{}", self.key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

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
        of("oss-logs.oss-cn-hangzhou.aliyuncs.com", "/k", Some("oss-logs"), "k", Some("cn-hangzhou"), "/oss-logs/k");
        of("b1.oss-cn-hangzhou.localhost:80", "/k", Some("b1"), "k", Some("cn-hangzhou"), "/b1/k");
        of("oss-cn-beijing.localhost", "/b1/k", Some("b1"), "k", Some("cn-beijing"), "/b1/k");
        of("oss-cn-beijing.aliyuncs.com", "/", None, "", Some("cn-beijing"), "/");
        of("127.0.0.1:8080", "/b1/k+1", Some("b1"), "k+1", None, "/b1/k+1");
        of("127.0.0.1:8080", "/b1", Some("b1"), "", None, "/b1/");
        of("127.0.0.1", "/", None, "", None, "/");
        of("b1.localhost:8080", "/k", Some("b1"), "k", None, "/b1/k");
    }
}
