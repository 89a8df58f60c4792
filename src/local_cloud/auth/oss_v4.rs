//! `OSS4-HMAC-SHA256`, in the header or in the query of a presigned link.

use std::time::Duration;

use hmac::Mac;
use jiff::Timestamp;

use super::{Caller, SKEW, fits_hex, hmac_sha256, key_of, sha256_hex};
use crate::local_cloud::config::Config;
use crate::local_cloud::time::{after, until};
use crate::local_cloud::wire::Request;
use crate::local_cloud::wire::encoding::{decode, encode_path};
use crate::local_cloud::wire::fault::Fault;

const ALGORITHM: &str = "OSS4-HMAC-SHA256";
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
/// How long a presigned link may be valid.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// Who asks for an object, and the region that the request was signed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proof {
    pub(crate) caller: Caller,
    pub(crate) region: String,
}

/// Checks a request for `resource`, `/bucket/key` not encoded.
pub(crate) fn verify(request: &Request, resource: &str, config: &Config, now: Timestamp) -> Result<Proof, Fault> {
    let query: Vec<(&str, &str)> =
        request.query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
    let of_query = |name: &str| query.iter().find(|(key, _)| *key == name).map(|(_, value)| decode(value));
    if of_query("x-oss-signature-version").as_deref() == Some(ALGORITHM) {
        return presigned(request, resource, &query, &of_query, config, now);
    }
    let Some(authorization) = request.header("authorization") else {
        return Err(Fault::forbidden("AccessDenied", "You have no right to access this object because of bucket acl."));
    };
    let fields =
        authorization.strip_prefix(ALGORITHM).ok_or_else(|| Fault::bad("InvalidArgument", "Authorization must be of OSS4-HMAC-SHA256."))?;
    let field = |name: &str| fields.split(',').find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='));
    let malformed = |what: &str| Fault::bad("InvalidArgument", format!("Authorization has no valid {what}."));
    let date = request.header("x-oss-date").ok_or_else(|| Fault::forbidden("AccessDenied", "x-oss-date is missing."))?;
    let signed_at = moment(date)?;
    let scope = Scope::of(field("Credential").ok_or_else(|| malformed("Credential"))?, date)?;
    if signed_at.duration_since(now).unsigned_abs() > SKEW {
        return Err(Fault::forbidden("RequestTimeTooSkewed", "The difference between the request time and the current time is too large."));
    }
    let hash = request.header("x-oss-content-sha256").ok_or_else(|| malformed("x-oss-content-sha256"))?;
    if hash != UNSIGNED && hash != sha256_hex(&request.body) {
        return Err(Fault::bad("InvalidDigest", "The x-oss-content-sha256 you specified did not match what we received."));
    }
    let additional = field("AdditionalHeaders").unwrap_or_default();
    let canonical = canonical(request, resource, query, additional, hash);
    let signature = field("Signature").ok_or_else(|| malformed("Signature"))?;
    scope.check(&canonical, date, signature, config)
}

fn presigned(
    request: &Request,
    resource: &str,
    query: &[(&str, &str)],
    of_query: &dyn Fn(&str) -> Option<String>,
    config: &Config,
    now: Timestamp,
) -> Result<Proof, Fault> {
    let field = |name: &str| of_query(name).ok_or_else(|| Fault::forbidden("AccessDenied", format!("The query has no {name}.")));
    let date = field("x-oss-date")?;
    let signed_at = moment(&date)?;
    let scope = Scope::of(&field("x-oss-credential")?, &date)?;
    let seconds = field("x-oss-expires")?.parse().map(Duration::from_secs);
    let lifetime = seconds
        .ok()
        .filter(|lifetime| *lifetime <= LONGEST)
        .ok_or_else(|| Fault::bad("InvalidArgument", "x-oss-expires must be at most 604800 seconds."))?;
    if now > after(signed_at, lifetime) {
        return Err(Fault::forbidden("AccessDenied", "Request has expired."));
    }
    if until(now, signed_at) > SKEW {
        return Err(Fault::forbidden("AccessDenied", "Request is not valid yet."));
    }
    let signed = query.iter().copied().filter(|(key, _)| *key != "x-oss-signature").collect();
    let additional = of_query("x-oss-additional-headers").unwrap_or_default();
    let hash = request.header("x-oss-content-sha256").unwrap_or(UNSIGNED);
    let canonical = canonical(request, resource, signed, &additional, hash);
    scope.check(&canonical, &date, &field("x-oss-signature")?, config)
}

fn moment(text: &str) -> Result<Timestamp, Fault> {
    let wrong = || Fault::forbidden("AccessDenied", "x-oss-date must be of the form 20260102T030405Z.");
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
    fn of(credential: &str, date: &str) -> Result<Self, Fault> {
        let wrong = || Fault::bad("InvalidArgument", "The Credential is not of the form key/day/region/oss/aliyun_v4_request.");
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

    fn check(self, canonical: &str, date: &str, signature: &str, config: &Config) -> Result<Proof, Fault> {
        let Some(key) = key_of(config, &self.key) else {
            return Err(Fault::forbidden("InvalidAccessKeyId", "The OSS Access Key Id you provided does not exist in our records."));
        };
        let scope = format!("{}/{}/oss/aliyun_v4_request", self.day, self.region);
        let text = format!("{ALGORITHM}\n{date}\n{scope}\n{}", sha256_hex(canonical.as_bytes()));
        let secret = format!("aliyun_v4{}", key.secret.reveal());
        let signing = [self.day.as_str(), self.region.as_str(), "oss", "aliyun_v4_request"]
            .iter()
            .fold(secret.into_bytes(), |key, part| hmac_sha256(&key, part.as_bytes()).finalize().into_bytes().to_vec());
        if !fits_hex(hmac_sha256(&signing, text.as_bytes()), signature) {
            let message = format!(
                "The request signature we calculated does not match the signature you provided. Check your key and signing method. \
                 server string to sign is:{text}\nserver canonical request is:{canonical}"
            );
            return Err(Fault::forbidden("SignatureDoesNotMatch", message));
        }
        Ok(Proof { caller: Caller::of(key), region: self.region })
    }
}

fn canonical(request: &Request, resource: &str, mut query: Vec<(&str, &str)>, additional: &str, hash: &str) -> String {
    query.sort_unstable();
    let query: Vec<String> =
        query.iter().map(|(key, value)| if value.is_empty() { (*key).to_owned() } else { format!("{key}={value}") }).collect();
    let named: Vec<&str> = additional.split(';').filter(|name| !name.is_empty()).collect();
    let mut headers: Vec<(&str, &str)> = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.trim()))
        .filter(|(name, _)| name.starts_with("x-oss-") || matches!(*name, "content-type" | "content-md5") || named.contains(name))
        .collect();
    if named.contains(&"host") && request.header("host").is_none() {
        headers.push(("host", &request.host));
    }
    headers.sort_unstable();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    format!("{}\n{}\n{}\n{headers}\n{additional}\n{hash}", request.method, encode_path(resource), query.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local_cloud::config::AccessKey;
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

    fn check_at(request: &Request, resource: &str, now: &str) -> Result<Proof, Fault> {
        let key = AccessKey { id: "testAccessKeyId".to_owned(), secret: Secret::new("testAccessKeySecret"), user: None };
        verify(request, resource, &Config { keys: vec![key], ..Config::default() }, now.parse().unwrap())
    }

    fn check(request: &Request, resource: &str) -> Result<Proof, Fault> {
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
        assert_eq!(proof.region, "cn-hangzhou");

        let list = authorization(",AdditionalHeaders=host", "56343c7d91b648ac502f41142ea4b044b2914356524448e08c1253df0d25772e");
        let headers = [DATE, HASH, ("x-oss-security-token", "CAIStoken=="), ("authorization", &list)];
        check(&request("GET", "list-type=2&prefix=dir%20a%2F&max-keys=100&delimiter=%2F", &headers), "/examplebucket/").unwrap();

        let root = authorization("", "ae91fcb75e327c0bb22b0df3078d2a5d2a8dc38c7958c1c3379ee0cb50ba8056");
        check(&request("GET", "", &[DATE, HASH, ("authorization", &root)]), "/").unwrap();

        check(&request("GET", PRESIGNED, &[]), "/examplebucket/exampleobject").unwrap();
    }

    #[test]
    fn whatever_does_not_fit_is_refused_with_its_code() {
        let object = "/examplebucket/exampleobject";
        let link = request("GET", PRESIGNED, &[]);
        let code = |result: Result<Proof, Fault>| result.unwrap_err().code;
        assert_eq!(code(check(&link, "/examplebucket/other")), "SignatureDoesNotMatch");
        let expired = check_at(&link, object, "2026-01-02T04:04:06Z").unwrap_err();
        assert_eq!((expired.status, expired.code.as_str()), (403, "AccessDenied"));
        assert!(expired.message.contains("Request has expired"));
        assert_eq!(code(check(&request("GET", &PRESIGNED.replace("3600", "604801"), &[]), object)), "InvalidArgument");
        assert_eq!(code(check(&request("GET", &PRESIGNED.replace("testAccessKeyId", "who"), &[]), object)), "InvalidAccessKeyId");
        assert_eq!(code(check(&request("GET", "", &[]), object)), "AccessDenied");
        let root = authorization("", "ae91fcb75e327c0bb22b0df3078d2a5d2a8dc38c7958c1c3379ee0cb50ba8056");
        let late = check_at(&request("GET", "", &[DATE, HASH, ("authorization", &root)]), "/", "2026-01-02T03:30:00Z");
        assert_eq!(code(late), "RequestTimeTooSkewed");
    }
}
