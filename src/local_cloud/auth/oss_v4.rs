//! `OSS4-HMAC-SHA256`, in the header or in the query of a presigned link.

use std::time::Duration;

use hmac::Mac;
use jiff::Timestamp;

use super::oss::{Parts, Proof, check_expiry, check_skew, find_key, fits, mismatch};
use super::{Lookup, SKEW, hmac_sha256, sha256_hex};
use crate::local_cloud::oss::refusal::Refusal;
use crate::local_cloud::time::{after, until};
use crate::local_cloud::wire::encoding::encode_path;

pub(super) const ALGORITHM: &str = "OSS4-HMAC-SHA256";
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
/// How long a presigned link may be valid.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// Checks what follows the algorithm in the `Authorization` header.
pub(super) fn signed(parts: &Parts, fields: &str, lookup: &Lookup, now: Timestamp) -> Result<Proof, Refusal> {
    let field = |name: &str| fields.split(',').find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='));
    let malformed = |what: &str| Refusal::bad("InvalidArgument", format!("Authorization has no valid {what}."));
    let date = parts.given("x-oss-date").ok_or_else(|| Refusal::forbidden("AccessDenied", "x-oss-date is missing."))?;
    let signed_at = moment(date)?;
    let scope = Scope::of(field("Credential").ok_or_else(|| malformed("Credential"))?, date)?;
    check_skew(signed_at, now)?;
    let hash = parts.given("x-oss-content-sha256").ok_or_else(|| malformed("x-oss-content-sha256"))?;
    if hash != UNSIGNED && hash != sha256_hex(&parts.request.body) {
        return Err(Refusal::bad("InvalidDigest", "The x-oss-content-sha256 you specified did not match what we received."));
    }
    let additional = field("AdditionalHeaders").unwrap_or_default();
    let canonical = canonical(parts, additional, hash);
    let signature = field("Signature").ok_or_else(|| malformed("Signature"))?;
    scope.check(&canonical, date, signature, parts.given("x-oss-security-token"), lookup)
}

/// Checks a link.
pub(super) fn presigned(parts: &Parts, lookup: &Lookup, now: Timestamp) -> Result<Proof, Refusal> {
    let missing = |name: &str| Refusal::forbidden("AccessDenied", format!("The query has no {name}."));
    let field = |name: &str| parts.parameter(name).filter(|value| !value.is_empty()).ok_or_else(|| missing(name));
    let date = field("x-oss-date")?;
    let signed_at = moment(&date)?;
    let scope = Scope::of(&field("x-oss-credential")?, &date)?;
    let seconds = field("x-oss-expires")?.parse().map(Duration::from_secs).ok();
    let lifetime = seconds
        .filter(|lifetime| *lifetime <= LONGEST)
        .ok_or_else(|| Refusal::bad("InvalidArgument", "x-oss-expires must be at most 604800 seconds."))?;
    check_expiry(after(signed_at, lifetime), now)?;
    if until(now, signed_at) > SKEW {
        return Err(Refusal::forbidden("AccessDenied", "Request is not valid yet.").ec("0002-00000235"));
    }
    let additional = parts.parameter("x-oss-additional-headers").unwrap_or_default();
    let canonical = canonical(parts, &additional, parts.given("x-oss-content-sha256").unwrap_or(UNSIGNED));
    let token = parts.parameter("x-oss-security-token");
    scope.check(&canonical, &date, &field("x-oss-signature")?, token.as_deref(), lookup)
}

fn moment(text: &str) -> Result<Timestamp, Refusal> {
    let wrong = || Refusal::forbidden("AccessDenied", "x-oss-date must be of the form 20260102T030405Z.");
    if text.len() != 16 || !text.ends_with('Z') {
        return Err(wrong());
    }
    text.parse().map_err(|_| wrong())
}

/// What a credential says: `<key>/<day>/<region>/oss/aliyun_v4_request`.
struct Scope {
    key: String,
    day: String,
    region: String,
}

impl Scope {
    fn of(credential: &str, date: &str) -> Result<Self, Refusal> {
        let wrong = || Refusal::bad("InvalidArgument", "The Credential is not of the form key/day/region/oss/aliyun_v4_request.");
        let mut parts = credential.rsplit('/');
        let (Some("aliyun_v4_request"), Some("oss"), Some(region), Some(day)) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong());
        };
        let key: Vec<&str> = parts.rev().collect();
        if !date.starts_with(day) || day.len() != 8 {
            return Err(wrong());
        }
        Ok(Scope { key: key.join("/"), day: day.to_owned(), region: region.to_owned() })
    }

    fn check(self, canonical: &str, date: &str, signature: &str, token: Option<&str>, lookup: &Lookup) -> Result<Proof, Refusal> {
        let key = find_key(lookup, &self.key, token)?;
        let (text, mac) = self.sign(canonical, date, key.secret.reveal());
        if !fits(mac, hex::decode(signature).ok()) {
            return Err(mismatch(&self.key, signature, &text).ec("0002-00000201").with("CanonicalRequest", canonical));
        }
        Ok(Proof { caller: key.caller, region: Some(self.region) })
    }

    /// What is signed, and what the key makes of it.
    fn sign(&self, canonical: &str, date: &str, secret: &str) -> (String, impl Mac) {
        let scope = format!("{}/{}/oss/aliyun_v4_request", self.day, self.region);
        let text = format!("{ALGORITHM}\n{date}\n{scope}\n{}", sha256_hex(canonical.as_bytes()));
        let signing = [self.day.as_str(), self.region.as_str(), "oss", "aliyun_v4_request"]
            .iter()
            .fold(format!("aliyun_v4{secret}").into_bytes(), |key, part| {
                hmac_sha256(&key, part.as_bytes()).finalize().into_bytes().to_vec()
            });
        let mac = hmac_sha256(&signing, text.as_bytes());
        (text, mac)
    }
}

fn canonical(parts: &Parts, additional: &str, hash: &str) -> String {
    let mut query: Vec<(&str, &str)> = parts.query.iter().copied().filter(|(name, _)| *name != "x-oss-signature").collect();
    query.sort_unstable();
    let query: Vec<String> =
        query.iter().map(|(key, value)| if value.is_empty() { (*key).to_owned() } else { format!("{key}={value}") }).collect();
    let named: Vec<&str> = additional.split(';').collect();
    let headers = parts.lines(|name| name.starts_with("x-oss-") || matches!(name, "content-type" | "content-md5") || named.contains(&name));
    format!("{}\n{}\n{}\n{headers}\n{additional}\n{hash}", parts.request.method, encode_path(parts.resource), query.join("&"))
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

    fn request(method: &str, query: &str, headers: &[(&str, &str)]) -> Request {
        Request {
            method: method.parse().unwrap(),
            host: "examplebucket.oss-cn-hangzhou.aliyuncs.com".to_owned(),
            path: "/".to_owned(),
            query: query.to_owned(),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            body: Bytes::new(),
            peer: None,
        }
    }

    fn check_at(request: &Request, resource: &str, now: &str) -> Result<Proof, Refusal> {
        let key = AccessKey { id: "testAccessKeyId".to_owned(), secret: Secret::new("testAccessKeySecret"), user: None };
        let config = Config { keys: vec![key], ..Config::default() };
        let (now, keys): (Timestamp, _) = (now.parse().unwrap(), Keys::in_memory(0));
        let lookup = |id: &str, token: Option<&str>| credential(&config, &keys, id, token, now);
        verify(request, resource, &lookup, now).map(|proof| proof.expect("it is signed"))
    }

    fn check(request: &Request, resource: &str) -> Result<Proof, Refusal> {
        check_at(request, resource, "2026-01-02T03:05:00Z")
    }

    fn authorization(additional: &str, signature: &str) -> String {
        format!("{ALGORITHM} Credential=testAccessKeyId/20260102/cn-hangzhou/oss/aliyun_v4_request{additional},Signature={signature}")
    }

    const DATE: (&str, &str) = ("x-oss-date", "20260102T030405Z");
    const HASH: (&str, &str) = ("x-oss-content-sha256", UNSIGNED);
    const PRESIGNED: &str = "x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-date=20260102T030405Z&x-oss-expires=3600\
         &x-oss-credential=testAccessKeyId%2F20260102%2Fcn-hangzhou%2Foss%2Faliyun_v4_request\
         &x-oss-signature=09c824726b68af75e75ffe99bf6f207d35a519fa5f48ab0d3a889bd279587923";

    #[test]
    fn golden_vectors_fit() {
        let put = authorization("", "43703b6a13d9906e2ef5366f900a6a960c8894f7788d1e230cc3942eca213365");
        let headers = [
            DATE,
            HASH,
            ("content-type", "text/plain"),
            ("content-md5", "XUFAKrxLKna5cZ2REBfFkg=="),
            ("x-oss-forbid-overwrite", "true"),
            ("x-oss-meta-owner", "me"),
            ("authorization", &put),
        ];
        let proof = check(&request("PUT", "", &headers), "/examplebucket/dir a/obj+1.txt").unwrap();
        assert_eq!(proof.region.as_deref(), Some("cn-hangzhou"));

        // With a token, which only temporary keys have.
        let headers = [DATE, HASH, ("x-oss-security-token", "CAIStoken==")];
        let list = request("GET", "list-type=2&prefix=dir%20a%2F&max-keys=100&delimiter=%2F", &headers);
        let scope = Scope::of("testAccessKeyId/20260102/cn-hangzhou/oss/aliyun_v4_request", DATE.1).unwrap();
        let canonical = canonical(&Parts::new(&list, "/examplebucket/"), "host", UNSIGNED);
        let (_, mac) = scope.sign(&canonical, DATE.1, "testAccessKeySecret");
        assert!(fits(mac, hex::decode("56343c7d91b648ac502f41142ea4b044b2914356524448e08c1253df0d25772e").ok()));

        let root = authorization("", "ae91fcb75e327c0bb22b0df3078d2a5d2a8dc38c7958c1c3379ee0cb50ba8056");
        check(&request("GET", "", &[DATE, HASH, ("authorization", &root)]), "/").unwrap();

        check(&request("GET", PRESIGNED, &[]), "/examplebucket/exampleobject").unwrap();
    }

    #[test]
    fn whatever_does_not_fit_is_refused_with_its_code() {
        let object = "/examplebucket/exampleobject";
        let link = request("GET", PRESIGNED, &[]);
        let code = |result: Result<Proof, Refusal>| result.unwrap_err().code;
        assert_eq!(code(check(&link, "/examplebucket/other")), "SignatureDoesNotMatch");
        let expired = check_at(&link, object, "2026-01-02T04:04:06Z").unwrap_err();
        assert_eq!((expired.status, expired.code.as_str()), (403, "AccessDenied"));
        assert!(expired.message.contains("Request has expired"));
        assert_eq!(code(check(&request("GET", &PRESIGNED.replace("3600", "604801"), &[]), object)), "InvalidArgument");
        assert_eq!(code(check(&request("GET", &PRESIGNED.replace("testAccessKeyId", "who"), &[]), object)), "InvalidAccessKeyId");
        let early = check_at(&link, object, "2026-01-02T02:48:00Z").unwrap_err();
        assert_eq!((early.status, early.code.as_str()), (403, "AccessDenied"));
        let token = format!("{PRESIGNED}&x-oss-security-token=x");
        assert_eq!(code(check(&request("GET", &token, &[]), object)), "InvalidSecurityToken");
        let root = authorization("", "ae91fcb75e327c0bb22b0df3078d2a5d2a8dc38c7958c1c3379ee0cb50ba8056");
        let late = check_at(&request("GET", "", &[DATE, HASH, ("authorization", &root)]), "/", "2026-01-02T03:30:00Z");
        assert_eq!(code(late), "RequestTimeTooSkewed");
    }
}
