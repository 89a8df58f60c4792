//! The old ROA signature, `Authorization: acs <key>:<signature>`: HMAC-SHA1 over method, a few headers and the path.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use md5::{Digest, Md5};

use super::{Lookup, Proof, Refused, check_method, check_skew, fits_sha1, incomplete, mismatch, time_format};
use crate::local_cloud::wire::Request;
use crate::local_cloud::wire::encoding::pairs;
use crate::local_cloud::wire::fault::Fault;

/// Checks the signature in the `Authorization` header.
pub(crate) fn verify<'a>(request: &'a Request, lookup: &Lookup, now: Timestamp) -> Result<Proof<'a>, Fault> {
    let authorization = request.header("authorization").unwrap_or_default();
    let (id, signature) = authorization
        .strip_prefix("acs ")
        .and_then(|rest| rest.trim().split_once(':'))
        .ok_or_else(|| incomplete("Authorization is not of the form acs AccessKeyId:Signature"))?;
    let key = lookup(id, request.header("x-acs-security-token")).map_err(Refused::fault)?;
    let required = |name: &str| request.header(name).ok_or_else(|| Fault::mandatory(name));
    check_method(request.header("x-acs-signature-method").unwrap_or("HMAC-SHA1"))?;
    let date = rfc2822::parse(required("date")?).map_err(|_| time_format())?;
    check_skew(date.timestamp(), now)?;
    let nonce = required("x-acs-signature-nonce")?;
    // A body that was changed on its way does not fit; without the header nothing vouches for it.
    if request.header("content-md5").is_some_and(|told| told != STANDARD.encode(Md5::digest(&request.body))) {
        return Err(Fault::bad("ContentMD5NotMatched", "Specified content-md5 is not matched with the body."));
    }
    let text = string_to_sign(request);
    if !fits_sha1(key.secret.reveal(), &text, signature) {
        return Err(mismatch(&text));
    }
    Ok(Proof { caller: key.caller, nonce })
}

fn string_to_sign(request: &Request) -> String {
    let mut text = format!("{}\n", request.method);
    for name in ["accept", "content-md5", "content-type", "date"] {
        text.push_str(request.header(name).unwrap_or_default());
        text.push('\n');
    }
    let mut own: Vec<(&str, &str)> =
        request.headers.iter().filter(|(name, _)| name.starts_with("x-acs-")).map(|(name, value)| (name.as_str(), value.trim())).collect();
    own.sort_unstable();
    for (name, value) in own {
        text.push_str(&format!("{name}:{value}\n"));
    }
    let mut query = pairs(&request.query);
    query.sort_unstable();
    let query: Vec<String> =
        query.into_iter().map(|(name, value)| if value.is_empty() { name } else { format!("{name}={value}") }).collect();
    text.push_str(&request.path);
    if !query.is_empty() {
        text.push('?');
        text.push_str(&query.join("&"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local_cloud::auth::{Caller, Credential};
    use crate::model::secret::Secret;
    use bytes::Bytes;

    const SIGNED: &str = "acs testAccessKeyId:IvgDWzfYPknQTU3GfW1bQbpztJ0=";

    fn vector() -> Request {
        let headers = [
            ("accept", "application/json"),
            ("authorization", SIGNED),
            ("content-type", "application/json; charset=utf-8"),
            ("date", "Fri, 02 Jan 2026 03:04:05 GMT"),
            ("x-acs-action", "CreateCluster"),
            ("x-acs-signature-method", "HMAC-SHA1"),
            ("x-acs-signature-nonce", "3156853299f313e23d1673dc12e1703d"),
            ("x-acs-signature-version", "1.0"),
            ("x-acs-version", "2015-12-15"),
        ];
        Request {
            method: http::Method::POST,
            host: String::new(),
            path: "/clusters".to_owned(),
            query: "c=&b=2&a=x+y".to_owned(),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            body: Bytes::new(),
            peer: None,
        }
    }

    fn with(name: &str, value: &str) -> Request {
        let mut request = vector();
        request.headers.retain(|(header, _)| header != name);
        request.headers.push((name.to_owned(), value.to_owned()));
        request
    }

    fn check(request: &Request) -> Result<(), Fault> {
        let lookup = |id: &str, _: Option<&str>| {
            assert_eq!(id, "testAccessKeyId");
            Ok(Credential { secret: Secret::new("testAccessKeySecret"), caller: Caller::default() })
        };
        verify(request, &lookup, "2026-01-02T03:10:00Z".parse().unwrap()).map(drop)
    }

    #[test]
    fn the_golden_vector_fits_and_what_was_changed_does_not() {
        check(&vector()).unwrap();
        let code = |request: Request| check(&request).unwrap_err().code;
        assert_eq!(code(with("x-acs-action", "DeleteCluster")), "SignatureDoesNotMatch");
        assert_eq!(code(with("accept", "text/xml")), "SignatureDoesNotMatch");
        assert_eq!(code(with("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==")), "SignatureDoesNotMatch");
        assert_eq!(code(with("content-md5", "AAAA")), "ContentMD5NotMatched");
        assert_eq!(code(with("date", "Fri, 02 Jan 2026 02:04:05 GMT")), "InvalidTimeStamp.Expired");
        assert_eq!(code(with("date", "2026-01-02T03:04:05Z")), "InvalidTimeStamp.Format");
        assert_eq!(code(with("authorization", "acs testAccessKeyId")), "IncompleteSignature");
        assert_eq!(code(with("x-acs-signature-method", "HMAC-MD5")), "InvalidSignatureMethod");
        let mut query = vector();
        query.query = "a=x+y&b=3&c=".to_owned();
        assert_eq!(check(&query).unwrap_err().status, 400);
    }
}
