//! OSS4-HMAC-SHA256 (OSS version 4), in the header and in the query of a presigned link.

use super::super::call::Link;
use super::{Signer, encode, encode_path, header_lines, hmac_sha256, sha256_hex};

/// The algorithm's name, the first word of the `Authorization` header.
pub const ALGORITHM: &str = "OSS4-HMAC-SHA256";

/// The body is never covered: this stands where its hash could.
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// The longest life of a presigned link, in seconds.
pub const LONGEST_LINK: u64 = 7 * 24 * 3600;

/// What is covered of a request. A bucket is part of the path even where it travels in the host.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The HTTP method in upper case.
    pub method: &'a str,
    /// The bucket; `None` for the service itself.
    pub bucket: Option<&'a str>,
    /// The object's key, decoded, without a leading slash; empty for the bucket itself.
    pub key: &'a str,
    /// The query, decoded, in any order; of a presigned link all but `x-oss-signature`.
    pub query: &'a [(String, String)],
    /// The headers, names in lower case, in any order.
    pub headers: &'a [(String, String)],
    /// Lower-case names of headers that are covered besides those that always are.
    pub additional: &'a [String],
    /// `x-oss-content-sha256`, or [`UNSIGNED_PAYLOAD`].
    pub payload_hash: &'a str,
}

/// What a signature is good for: a day, a region.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The time of the request, `20260102T030405Z`; its day is the scope's.
    pub date: &'a str,
    /// The region, `cn-hangzhou`.
    pub region: &'a str,
}

impl Scope<'_> {
    fn day(&self) -> &str {
        self.date.get(..8).unwrap_or(self.date)
    }
}

impl std::fmt::Display for Scope<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/oss/aliyun_v4_request", self.day(), self.region)
    }
}

/// What is hashed: the request in one agreed form.
pub fn canonical_request(parts: &Parts<'_>) -> String {
    let path = match parts.bucket {
        Some(bucket) => encode_path(&format!("/{bucket}/{}", parts.key)),
        None => "/".to_owned(),
    };
    let mut additional: Vec<&str> = parts.additional.iter().map(String::as_str).collect();
    additional.sort_unstable();
    let covered = |name: &str| always_covered(name) || additional.binary_search(&name).is_ok();
    format!(
        "{}\n{path}\n{}\n{}\n{}\n{}",
        parts.method,
        query_string(parts.query),
        header_lines(parts.headers, covered),
        additional.join(";"),
        parts.payload_hash
    )
}

/// The query as OSS writes it: encoded, sorted, a parameter without value without its `=`.
pub fn query_string(query: &[(String, String)]) -> String {
    let mut query: Vec<(String, String)> = query.iter().map(|(key, value)| (encode(key), encode(value))).collect();
    query.sort_unstable();
    let pairs: Vec<String> = query.into_iter().map(|(key, value)| if value.is_empty() { key } else { format!("{key}={value}") }).collect();
    pairs.join("&")
}

fn always_covered(name: &str) -> bool {
    name.starts_with("x-oss-") || name == "content-type" || name == "content-md5"
}

/// What is signed.
pub fn string_to_sign(scope: Scope<'_>, canonical_request: &str) -> String {
    format!("{ALGORITHM}\n{}\n{scope}\n{}", scope.date, sha256_hex(canonical_request.as_bytes()))
}

/// The signature in lower-case hex; its key is derived for the scope.
pub fn signature(access_key_secret: &str, scope: Scope<'_>, string_to_sign: &str) -> String {
    let mut key = format!("aliyun_v4{access_key_secret}").into_bytes();
    for step in [scope.day(), scope.region, "oss", "aliyun_v4_request"] {
        key = hmac_sha256(&key, step.as_bytes());
    }
    hex::encode(hmac_sha256(&key, string_to_sign.as_bytes()))
}

/// The `Authorization` header of a request whose other headers are complete.
pub fn authorization(signer: Signer<'_>, scope: Scope<'_>, parts: &Parts<'_>) -> String {
    let signature = signature(signer.access_key_secret, scope, &string_to_sign(scope, &canonical_request(parts)));
    let mut additional = parts.additional.to_vec();
    additional.sort_unstable();
    let additional = if additional.is_empty() { String::new() } else { format!(",AdditionalHeaders={}", additional.join(";")) };
    format!("{ALGORITHM} Credential={}/{scope}{additional},Signature={signature}", signer.access_key_id)
}

/// The query of a link that needs no further proof, encoded for a URL. Longer than [`LONGEST_LINK`] is refused by the
/// service.
pub fn presigned_query(signer: Signer<'_>, security_token: Option<&str>, scope: Scope<'_>, link: &Link<'_>) -> String {
    let mut query = vec![
        ("x-oss-credential".to_owned(), format!("{}/{scope}", signer.access_key_id)),
        ("x-oss-date".to_owned(), scope.date.to_owned()),
        ("x-oss-expires".to_owned(), link.seconds.to_string()),
        ("x-oss-signature-version".to_owned(), ALGORITHM.to_owned()),
    ];
    query.extend(security_token.map(|token| ("x-oss-security-token".to_owned(), token.to_owned())));
    let parts = Parts {
        method: link.method.as_str(),
        bucket: Some(link.bucket),
        key: link.key,
        query: &query,
        headers: &[],
        additional: &[],
        payload_hash: UNSIGNED_PAYLOAD,
    };
    let signature = signature(signer.access_key_secret, scope, &string_to_sign(scope, &canonical_request(&parts)));
    format!("{}&x-oss-signature={signature}", query_string(&query))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{TEST, pairs};
    use super::*;

    const SCOPE: Scope<'static> = Scope { date: "20260102T030405Z", region: "cn-hangzhou" };

    fn link() -> Link<'static> {
        Link { method: http::Method::GET, region: "cn-hangzhou", bucket: "examplebucket", key: "exampleobject", seconds: 3600 }
    }

    fn parts<'a>(method: &'a str, key: &'a str, query: &'a [(String, String)], headers: &'a [(String, String)]) -> Parts<'a> {
        Parts { method, bucket: Some("examplebucket"), key, query, headers, additional: &[], payload_hash: UNSIGNED_PAYLOAD }
    }

    /// Holds canonical form, its hash and the signature against the golden ones.
    fn holds(parts: &Parts<'_>, canonical: &str, hash: &str, expected: &str) {
        let request = canonical_request(parts);
        assert_eq!(request, canonical);
        let to_sign = string_to_sign(SCOPE, &request);
        assert_eq!(to_sign, format!("OSS4-HMAC-SHA256\n20260102T030405Z\n20260102/cn-hangzhou/oss/aliyun_v4_request\n{hash}"));
        assert_eq!(signature(TEST.access_key_secret, SCOPE, &to_sign), expected);
    }

    #[test]
    fn an_upload_is_signed() {
        let headers = pairs(&[
            ("x-oss-meta-owner", "me"),
            ("content-type", "text/plain"),
            ("content-md5", "XUFAKrxLKna5cZ2REBfFkg=="),
            ("x-oss-forbid-overwrite", "true"),
            ("x-oss-date", "20260102T030405Z"),
            ("x-oss-content-sha256", UNSIGNED_PAYLOAD),
            ("date", "Fri, 02 Jan 2026 03:04:05 GMT"),
        ]);
        let parts = parts("PUT", "dir a/obj+1.txt", &[], &headers);
        holds(
            &parts,
            "PUT\n/examplebucket/dir%20a/obj%2B1.txt\n\ncontent-md5:XUFAKrxLKna5cZ2REBfFkg==\ncontent-type:text/plain\n\
             x-oss-content-sha256:UNSIGNED-PAYLOAD\nx-oss-date:20260102T030405Z\nx-oss-forbid-overwrite:true\nx-oss-meta-owner:me\n\n\n\
             UNSIGNED-PAYLOAD",
            "b0176621d34360367d9a4aa12364fb68a19152b7739c24b75a7a8b574b034bca",
            "43703b6a13d9906e2ef5366f900a6a960c8894f7788d1e230cc3942eca213365",
        );
        assert_eq!(
            authorization(TEST, SCOPE, &parts),
            "OSS4-HMAC-SHA256 Credential=testAccessKeyId/20260102/cn-hangzhou/oss/aliyun_v4_request,\
             Signature=43703b6a13d9906e2ef5366f900a6a960c8894f7788d1e230cc3942eca213365"
        );
    }

    #[test]
    fn a_listing_with_session_and_additional_header_is_signed() {
        let headers = pairs(&[
            ("host", "examplebucket.oss-cn-hangzhou.aliyuncs.com"),
            ("x-oss-date", "20260102T030405Z"),
            ("x-oss-content-sha256", UNSIGNED_PAYLOAD),
            ("x-oss-security-token", "CAIStoken=="),
        ]);
        let query = pairs(&[("list-type", "2"), ("prefix", "dir a/"), ("max-keys", "100"), ("delimiter", "/")]);
        let additional = ["host".to_owned()];
        let parts = Parts { additional: &additional, ..parts("GET", "", &query, &headers) };
        holds(
            &parts,
            "GET\n/examplebucket/\ndelimiter=%2F&list-type=2&max-keys=100&prefix=dir%20a%2F\nhost:examplebucket.oss-cn-hangzhou.aliyuncs.com\n\
             x-oss-content-sha256:UNSIGNED-PAYLOAD\nx-oss-date:20260102T030405Z\nx-oss-security-token:CAIStoken==\n\nhost\nUNSIGNED-PAYLOAD",
            "1cf2a043994de4f14e8093e3baa42b861c86a01fdc6c3662bd9b4980ef80f8be",
            "56343c7d91b648ac502f41142ea4b044b2914356524448e08c1253df0d25772e",
        );
        assert!(authorization(TEST, SCOPE, &parts).contains("/aliyun_v4_request,AdditionalHeaders=host,Signature=5634"));
    }

    #[test]
    fn a_link_is_presigned() {
        assert_eq!(
            presigned_query(TEST, None, SCOPE, &link()),
            "x-oss-credential=testAccessKeyId%2F20260102%2Fcn-hangzhou%2Foss%2Faliyun_v4_request&x-oss-date=20260102T030405Z\
             &x-oss-expires=3600&x-oss-signature-version=OSS4-HMAC-SHA256\
             &x-oss-signature=09c824726b68af75e75ffe99bf6f207d35a519fa5f48ab0d3a889bd279587923"
        );
        let with_session = presigned_query(TEST, Some("a+b="), SCOPE, &link());
        assert!(with_session.contains("&x-oss-security-token=a%2Bb%3D&"));
        assert!(!with_session.contains("09c82472"), "the session is covered");
    }

    #[test]
    fn the_service_itself_has_no_bucket() {
        let headers = pairs(&[("x-oss-date", "20260102T030405Z"), ("x-oss-content-sha256", UNSIGNED_PAYLOAD)]);
        holds(
            &Parts { bucket: None, ..parts("GET", "", &[], &headers) },
            "GET\n/\n\nx-oss-content-sha256:UNSIGNED-PAYLOAD\nx-oss-date:20260102T030405Z\n\n\nUNSIGNED-PAYLOAD",
            "1688d5c4fe00f6529ef641f3862ea77b9c8e1e9e4f6c435d8d8b941bad2b1d87",
            "ae91fcb75e327c0bb22b0df3078d2a5d2a8dc38c7958c1c3379ee0cb50ba8056",
        );
    }

    #[test]
    fn a_parameter_without_value_has_no_equals_sign() {
        let query = pairs(&[("bucketInfo", "")]);
        assert!(canonical_request(&parts("GET", "", &query, &[])).starts_with("GET\n/examplebucket/\nbucketInfo\n"));
    }
}
