//! The ROA signature of version 1 (`Authorization: acs ...`, HMAC-SHA1): older clients of REST-like products.

use super::{Parts, Signer, header, header_lines, hmac_sha1_base64};

/// What is signed. It covers the date, the content's type and digest, and all of `x-acs-`.
pub fn string_to_sign(parts: &Parts<'_>) -> String {
    let field = |name| header(parts.headers, name);
    format!(
        "{}\n{}\n{}\n{}\n{}\n{}{}",
        parts.method,
        field("accept"),
        field("content-md5"),
        field("content-type"),
        field("date"),
        header_lines(parts.headers, |name| name.starts_with("x-acs-")),
        resource(parts),
    )
}

/// The path and the sorted query, values as they are; an empty value leaves the `=` out.
fn resource(parts: &Parts<'_>) -> String {
    if parts.query.is_empty() {
        return parts.path.to_owned();
    }
    let mut sorted: Vec<&(String, String)> = parts.query.iter().collect();
    sorted.sort_unstable();
    let pairs: Vec<String> =
        sorted.iter().map(|(key, value)| if value.is_empty() { key.clone() } else { format!("{key}={value}") }).collect();
    format!("{}?{}", parts.path, pairs.join("&"))
}

/// The signature in Base64.
pub fn signature(access_key_secret: &str, string_to_sign: &str) -> String {
    hmac_sha1_base64(access_key_secret.as_bytes(), string_to_sign.as_bytes())
}

/// The `Authorization` header of a request whose other headers are complete.
pub fn authorization(signer: Signer<'_>, parts: &Parts<'_>) -> String {
    format!("acs {}:{}", signer.access_key_id, signature(signer.access_key_secret, &string_to_sign(parts)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{TEST, pairs};
    use super::*;

    #[test]
    fn query_values_stay_as_they_are() {
        let headers = pairs(&[
            ("accept", "application/json"),
            ("content-type", "application/json; charset=utf-8"),
            ("date", "Fri, 02 Jan 2026 03:04:05 GMT"),
            ("host", "cs.cn-hangzhou.aliyuncs.com"),
            ("x-acs-signature-nonce", "3156853299f313e23d1673dc12e1703d"),
            ("x-acs-signature-method", "HMAC-SHA1"),
            ("x-acs-signature-version", "1.0"),
            ("x-acs-version", "2015-12-15"),
            ("x-acs-action", "CreateCluster"),
        ]);
        let query = pairs(&[("c", ""), ("a", "x y"), ("b", "2")]);
        let parts = Parts { method: "POST", path: "/clusters", query: &query, headers: &headers };
        assert!(string_to_sign(&parts).ends_with("\n/clusters?a=x y&b=2&c"));
        assert_eq!(authorization(TEST, &parts), "acs testAccessKeyId:IvgDWzfYPknQTU3GfW1bQbpztJ0=");
    }
}
