//! The OSS signature of version 1 (`Authorization: OSS ...`, HMAC-SHA1), in the header and in the query of a link.
//! aliform itself never sends it; older clients of the local cloud do.

use super::{Signer, header, header_lines, hmac_sha1_base64};

/// Query parameters that name a sub-resource and so are covered; all others are not.
const SUB_RESOURCES: [&str; 32] = [
    "acl",
    "append",
    "bucketInfo",
    "callback",
    "callback-var",
    "cloudboxes",
    "continuation-token",
    "delete",
    "location",
    "objectMeta",
    "partNumber",
    "position",
    "regionList",
    "resourceGroup",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "restore",
    "security-token",
    "sequential",
    "stat",
    "symlink",
    "tagging",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "x-oss-process",
];

/// What is covered of a request.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The HTTP method in upper case.
    pub method: &'a str,
    /// The bucket; `None` for the service itself.
    pub bucket: Option<&'a str>,
    /// The object's key, decoded, without a leading slash.
    pub key: &'a str,
    /// The query, decoded, in any order.
    pub query: &'a [(String, String)],
    /// The headers, names in lower case, in any order.
    pub headers: &'a [(String, String)],
}

/// What is signed. `date` is the value of `x-oss-date` or `date`; of a link, its `Expires`.
pub fn string_to_sign(parts: &Parts<'_>, date: &str) -> String {
    let mut sub: Vec<&(String, String)> =
        parts.query.iter().filter(|(key, _)| SUB_RESOURCES.binary_search(&key.as_str()).is_ok()).collect();
    sub.sort_unstable();
    let sub: Vec<String> = sub.iter().map(|(key, value)| if value.is_empty() { key.clone() } else { format!("{key}={value}") }).collect();
    let bucket = parts.bucket.map(|bucket| format!("{bucket}/")).unwrap_or_default();
    format!(
        "{}\n{}\n{}\n{date}\n{}/{bucket}{}{}{}",
        parts.method,
        header(parts.headers, "content-md5"),
        header(parts.headers, "content-type"),
        header_lines(parts.headers, |name| name.starts_with("x-oss-")),
        parts.key,
        if sub.is_empty() { "" } else { "?" },
        sub.join("&"),
    )
}

/// The signature in Base64.
pub fn signature(access_key_secret: &str, string_to_sign: &str) -> String {
    hmac_sha1_base64(access_key_secret.as_bytes(), string_to_sign.as_bytes())
}

/// The `Authorization` header of a request whose other headers are complete.
pub fn authorization(signer: Signer<'_>, parts: &Parts<'_>, date: &str) -> String {
    format!("OSS {}:{}", signer.access_key_id, signature(signer.access_key_secret, &string_to_sign(parts, date)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{TEST, pairs};
    use super::*;

    #[test]
    fn the_table_can_be_searched() {
        assert!(SUB_RESOURCES.is_sorted());
    }

    #[test]
    fn a_sub_resource_is_covered_and_other_parameters_are_not() {
        let headers = pairs(&[
            ("content-type", "text/plain"),
            ("content-md5", "XUFAKrxLKna5cZ2REBfFkg=="),
            ("x-oss-meta-owner", "me"),
            ("date", "Fri, 02 Jan 2026 03:04:05 GMT"),
        ]);
        let query = pairs(&[("tagging", ""), ("prefix", "not covered")]);
        let parts = Parts { method: "PUT", bucket: Some("examplebucket"), key: "exampleobject", query: &query, headers: &headers };
        assert_eq!(authorization(TEST, &parts, "Fri, 02 Jan 2026 03:04:05 GMT"), "OSS testAccessKeyId:Y2CYr8nni1H4JCXqsKZeRDmzwd8=");
    }

    #[test]
    fn a_link_is_signed_over_its_end() {
        let parts = Parts { method: "GET", bucket: Some("examplebucket"), key: "exampleobject", query: &[], headers: &[] };
        assert_eq!(signature(TEST.access_key_secret, &string_to_sign(&parts, "1767326645")), "Sg+Q+3MBzOREGjNlU1/Ehma0wkU=");
    }
}
