//! The older signature of OSS: HMAC-SHA1, in the header (`OSS <key>:<signature>`) or in the query of a link.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha1::Sha1;

use super::Lookup;
use super::oss::{Parts, Proof, check_expiry, check_skew, find_key, fits, mismatch};
use crate::local_cloud::oss::refusal::Refusal;
use crate::local_cloud::wire::encoding::decode;

/// The parameters of a query that belong to the resource; the others are not signed.
const SUB_RESOURCES: [&str; 66] = [
    "accessmonitor",
    "acl",
    "append",
    "asyncFetch",
    "bucketInfo",
    "callback",
    "callback-var",
    "cleanRestoredObject",
    "cloudboxes",
    "cname",
    "comp",
    "continuation-token",
    "cors",
    "delete",
    "encryption",
    "endTime",
    "group",
    "img",
    "inventory",
    "inventoryId",
    "lifecycle",
    "link",
    "live",
    "location",
    "logging",
    "metaQuery",
    "objectInfo",
    "objectMeta",
    "partNumber",
    "policy",
    "policyStatus",
    "position",
    "publicAccessBlock",
    "qos",
    "qosInfo",
    "referer",
    "regionList",
    "replication",
    "replicationLocation",
    "replicationProgress",
    "requestPayment",
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
    "startTime",
    "stat",
    "status",
    "style",
    "styleName",
    "symlink",
    "tagging",
    "transferAcceleration",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "vod",
    "website",
];

/// Further ones, by what they start with.
const SUB_RESOURCE_PREFIXES: [&str; 3] = ["x-oss-process", "x-oss-traffic-limit", "worm"];

/// Checks what follows `OSS ` in the `Authorization` header.
pub(super) fn signed(parts: &Parts, fields: &str, lookup: &Lookup, now: Timestamp) -> Result<Proof, Refusal> {
    let (key, signature) = fields.trim().split_once(':').ok_or_else(|| {
        let message = "Authorization header is invalid, it must be of the form `OSS AccessKeyId:Signature`.";
        Refusal::bad("InvalidArgument", message).ec("0002-00000002")
    })?;
    let date = parts.given("x-oss-date").unwrap_or_else(|| parts.header("date"));
    let at = jiff::fmt::rfc2822::parse(date)
        .map_err(|_| Refusal::forbidden("AccessDenied", "OSS authentication requires a valid Date.").ec("0002-00000502"))?;
    check_skew(at.timestamp(), now)?;
    let token = parts.given("x-oss-security-token").or_else(|| parts.given("security-token"));
    check(parts, (key, token), date, signature, lookup)
}

/// Checks a link.
pub(super) fn presigned(parts: &Parts, lookup: &Lookup, now: Timestamp) -> Result<Proof, Refusal> {
    let missing = || {
        let message = "Query-string authentication requires the Signature, Expires and OSSAccessKeyId parameters";
        Refusal::forbidden("AccessDenied", message).ec("0002-00000067")
    };
    let field = |name: &str| parts.parameter(name).filter(|value| !value.is_empty()).ok_or_else(missing);
    let (key, expires, signature) = (field("OSSAccessKeyId")?, field("Expires")?, field("Signature")?);
    let moment = expires.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    let good_until = moment.ok_or_else(|| {
        let message = format!("Invalid date (should be seconds since epoch): {expires}");
        Refusal::forbidden("AccessDenied", message).ec("0002-00000070")
    })?;
    check_expiry(good_until, now)?;
    check(parts, (&key, parts.parameter("security-token").as_deref()), &expires, &signature, lookup)
}

fn check(parts: &Parts, (id, token): (&str, Option<&str>), date: &str, signature: &str, lookup: &Lookup) -> Result<Proof, Refusal> {
    let key = find_key(lookup, id, token)?;
    let text = string_to_sign(parts, date);
    let mut mac = Hmac::<Sha1>::new_from_slice(key.secret.reveal().as_bytes()).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    if !fits(mac, STANDARD.decode(signature).ok()) {
        return Err(mismatch(id, signature, &text).ec("0002-00000040"));
    }
    Ok(Proof { caller: key.caller, region: None })
}

fn string_to_sign(parts: &Parts, date: &str) -> String {
    let is_signed = |name: &str| SUB_RESOURCES.contains(&name) || SUB_RESOURCE_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    let query = parts.query.iter().map(|(name, value)| (decode(name), decode(value)));
    let mut query: Vec<(String, String)> = query.filter(|(name, _)| is_signed(name)).collect();
    query.sort_unstable();
    let query: Vec<String> =
        query.into_iter().map(|(name, value)| if value.is_empty() { name } else { format!("{name}={value}") }).collect();
    let mark = if query.is_empty() { "" } else { "?" };
    format!(
        "{}\n{}\n{}\n{date}\n{}{}{mark}{}",
        parts.request.method,
        parts.header("content-md5"),
        parts.header("content-type"),
        parts.lines(|name| name.starts_with("x-oss-")),
        parts.resource,
        query.join("&")
    )
}

#[cfg(test)]
mod tests {
    use super::super::credential;
    use super::super::oss::verify;
    use super::*;
    use crate::local_cloud::config::{AccessKey, Config};
    use crate::local_cloud::keys::Keys;
    use crate::local_cloud::wire::Request;
    use crate::model::secret::Secret;
    use bytes::Bytes;

    fn check(method: &str, query: &str, headers: &[(&str, &str)], now: &str) -> Result<Option<Proof>, Refusal> {
        let key = AccessKey { id: "testAccessKeyId".to_owned(), secret: Secret::new("testAccessKeySecret"), user: None };
        let config = Config { keys: vec![key], ..Config::default() };
        let (now, keys): (Timestamp, _) = (now.parse().unwrap(), Keys::in_memory(0));
        let lookup = |id: &str, token: Option<&str>| credential(&config, &keys, id, token, now);
        let request = Request {
            method: method.parse().unwrap(),
            host: "examplebucket.oss-cn-hangzhou.aliyuncs.com".to_owned(),
            path: "/exampleobject".to_owned(),
            query: query.to_owned(),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            body: Bytes::new(),
            peer: None,
        };
        verify(&request, "/examplebucket/exampleobject", &lookup, now)
    }

    const NOW: &str = "2026-01-02T03:10:00Z";
    const HEADERS: [(&str, &str); 5] = [
        ("authorization", "OSS testAccessKeyId:Y2CYr8nni1H4JCXqsKZeRDmzwd8="),
        ("content-md5", "XUFAKrxLKna5cZ2REBfFkg=="),
        ("content-type", "text/plain"),
        ("date", "Fri, 02 Jan 2026 03:04:05 GMT"),
        ("x-oss-meta-owner", "me"),
    ];
    const LINK: &str = "OSSAccessKeyId=testAccessKeyId&Expires=1767326645&Signature=Sg%2BQ%2B3MBzOREGjNlU1%2FEhma0wkU%3D";

    #[test]
    fn golden_vectors_fit() {
        assert_eq!(check("PUT", "tagging", &HEADERS, NOW).unwrap().unwrap().region, None);
        assert!(check("GET", LINK, &[], NOW).unwrap().is_some());
        // What is no part of the resource is not signed.
        assert!(check("GET", &format!("{LINK}&max-keys=3"), &[], NOW).is_ok());
        assert_eq!(check("GET", "", &[], NOW), Ok(None));
    }

    #[test]
    fn whatever_does_not_fit_is_refused_with_its_code() {
        let code = |result: Result<Option<Proof>, Refusal>| result.unwrap_err().code;
        assert_eq!(code(check("PUT", "acl", &HEADERS, NOW)), "SignatureDoesNotMatch");
        assert_eq!(code(check("GET", &format!("{LINK}&acl"), &[], NOW)), "SignatureDoesNotMatch");
        assert_eq!(code(check("PUT", "tagging", &HEADERS, "2026-01-02T03:20:00Z")), "RequestTimeTooSkewed");
        assert_eq!(code(check("PUT", "tagging", &HEADERS[..3], NOW)), "AccessDenied");
        let expired = check("GET", LINK, &[], "2026-01-02T04:04:06Z").unwrap_err();
        assert_eq!((expired.status, expired.message.as_str()), (403, "Request has expired."));
        assert_eq!(code(check("GET", "OSSAccessKeyId=testAccessKeyId", &[], NOW)), "AccessDenied");
        assert_eq!(code(check("GET", &LINK.replace("testAccessKeyId", "who"), &[], NOW)), "InvalidAccessKeyId");
        assert_eq!(code(check("GET", &format!("{LINK}&security-token=x"), &[], NOW)), "InvalidSecurityToken");
        assert_eq!(code(check("GET", "", &[("authorization", "Basic eDp5")], NOW)), "InvalidArgument");
    }
}
