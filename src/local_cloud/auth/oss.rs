//! Who asks OSS, by whichever of its signatures: V4 or V1, in the header or in the query. What both have in common is
//! here; each algorithm has its own file. It decides nothing about what the caller may do.

use hmac::Mac;
use jiff::Timestamp;

use super::{Caller, Credential, Lookup, Refused, SKEW, oss_v1, oss_v4};
use crate::local_cloud::oss::refusal::Refusal;
use crate::local_cloud::time::milliseconds;
use crate::local_cloud::wire::Request;
use crate::local_cloud::wire::encoding::decode;
use crate::local_cloud::wire::fault::Fault;

/// Who asks, and the region that the request was signed for; V1 signs none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proof {
    pub(crate) caller: Caller,
    pub(crate) region: Option<String>,
}

/// Checks a request for `resource`, `/bucket/key` not encoded. `None` is nobody: the request is not signed at all.
pub(crate) fn verify(request: &Request, resource: &str, lookup: &Lookup, now: Timestamp) -> Result<Option<Proof>, Refusal> {
    let parts = Parts::new(request, resource);
    if let Some(version) = parts.parameter("x-oss-signature-version") {
        return if version == oss_v4::ALGORITHM { oss_v4::presigned(&parts, lookup, now).map(Some) } else { Err(unsupported(&version)) };
    }
    if ["OSSAccessKeyId", "Signature"].iter().any(|name| parts.parameter(name).is_some()) {
        return oss_v1::presigned(&parts, lookup, now).map(Some);
    }
    let Some(authorization) = request.header("authorization") else { return Ok(None) };
    if let Some(fields) = authorization.strip_prefix(oss_v4::ALGORITHM) {
        return oss_v4::signed(&parts, fields, lookup, now).map(Some);
    }
    match authorization.strip_prefix("OSS ") {
        Some(fields) => oss_v1::signed(&parts, fields, lookup, now).map(Some),
        None => Err(unsupported(authorization.split(' ').next().unwrap_or_default())),
    }
}

fn unsupported(kind: &str) -> Refusal {
    Refusal::bad("InvalidArgument", "Unsupported Authorization Type")
        .ec("0002-00000002")
        .with("ArgumentName", "Authorization")
        .with("ArgumentValue", kind)
}

/// A request as a signature looks at it.
pub(super) struct Parts<'a> {
    pub(super) request: &'a Request,
    /// `/`, `/bucket/` or `/bucket/key`, not encoded.
    pub(super) resource: &'a str,
    /// The query as it was sent.
    pub(super) query: Vec<(&'a str, &'a str)>,
}

impl<'a> Parts<'a> {
    pub(super) fn new(request: &'a Request, resource: &'a str) -> Self {
        let pairs = request.query.split('&').filter(|pair| !pair.is_empty());
        let query = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
        Parts { request, resource, query }
    }

    /// A parameter of the query, decoded.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        self.query.iter().find(|(key, _)| *key == name).map(|(_, value)| decode(value))
    }

    /// A header, empty if it is missing.
    pub(super) fn header(&self, name: &str) -> &str {
        self.request.header(name).unwrap_or_default().trim()
    }

    /// A header, unless it is missing or empty.
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        Some(self.header(name)).filter(|value| !value.is_empty())
    }

    /// The headers that are signed as sorted lines `name:value`.
    pub(super) fn lines(&self, is_signed: impl Fn(&str) -> bool) -> String {
        let headers = self.request.headers.iter().map(|(name, value)| (name.as_str(), value.trim()));
        // A request without a transport has its host beside its headers.
        let host = Some(("host", self.request.host.as_str())).filter(|_| self.request.header("host").is_none());
        let mut signed: Vec<(&str, &str)> = headers.chain(host).filter(|(name, _)| is_signed(name)).collect();
        signed.sort_unstable();
        signed.iter().map(|(name, value)| format!("{name}:{value}\n")).collect()
    }
}

/// The one place where a key's id and the security token that came with it become a key.
pub(super) fn find_key(lookup: &Lookup, id: &str, token: Option<&str>) -> Result<Credential, Refusal> {
    lookup(id, token).map_err(|refused| match refused {
        Refused::UnknownKey => {
            let message = "The OSS Access Key Id you provided does not exist in our records.";
            Refusal::forbidden("InvalidAccessKeyId", message).ec("0002-00000902").with("OSSAccessKeyId", id)
        }
        Refused::ExpiredToken => Refusal::forbidden("SecurityTokenExpired", "The security token you provided has expired."),
        Refused::MissingToken | Refused::MalformedToken | Refused::ForeignToken => {
            Refusal::forbidden("InvalidSecurityToken", "The security token you provided is invalid.")
        }
        Refused::Unreadable(reason) => Fault::new(500, "InternalError", reason).into(),
    })
}

/// Checks when a request was signed.
pub(super) fn check_skew(signed_at: Timestamp, now: Timestamp) -> Result<(), Refusal> {
    if signed_at.duration_since(now).unsigned_abs() <= SKEW {
        return Ok(());
    }
    let message = "The difference between the request time and the current time is too large.";
    let refusal = Refusal::forbidden("RequestTimeTooSkewed", message).ec("0002-00000504");
    Err(refusal.with("RequestTime", milliseconds(signed_at)).with("ServerTime", milliseconds(now)))
}

/// Checks until when a link is good.
pub(super) fn check_expiry(good_until: Timestamp, now: Timestamp) -> Result<(), Refusal> {
    if now <= good_until {
        return Ok(());
    }
    let refusal = Refusal::forbidden("AccessDenied", "Request has expired.").ec("0002-00000069");
    Err(refusal.with("Expires", milliseconds(good_until)).with("ServerTime", milliseconds(now)))
}

/// A signature that was made for something else, or with another secret.
pub(super) fn mismatch(key: &str, signature: &str, string_to_sign: &str) -> Refusal {
    let message = "The request signature we calculated does not match the signature you provided. Check your key and signing method.";
    let bytes: Vec<String> = string_to_sign.bytes().map(|byte| format!("{byte:02X}")).collect();
    Refusal::forbidden("SignatureDoesNotMatch", message)
        .with("OSSAccessKeyId", key)
        .with("SignatureProvided", signature)
        .with("StringToSign", string_to_sign)
        .with("StringToSignBytes", bytes.join(" "))
}

/// Whether `signature` is what the key makes of it, told in the same time whatever it is.
pub(super) fn fits<M: Mac>(mac: M, signature: Option<Vec<u8>>) -> bool {
    signature.is_some_and(|bytes| mac.verify_slice(&bytes).is_ok())
}
