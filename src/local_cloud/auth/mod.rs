//! Who asks, and whether it is really them: signatures are recomputed from what was sent, never trusted. This is an
//! own reading of the algorithms; it shares no code with the client's signing on purpose.

pub(crate) mod acs3;
pub(crate) mod nonce;
pub(crate) mod oss;
mod oss_v1;
mod oss_v4;
pub(crate) mod roa_v1;
pub(crate) mod rpc_v1;
pub(crate) mod session;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::config::{AccessKey, Config};
use super::keys::Keys;
use super::wire::Request;
use super::wire::fault::Fault;
use super::wire::params::Params;
use crate::model::secret::Secret;

/// How far a caller's clock may be off, and how long a nonce is remembered.
pub(crate) const SKEW: Duration = Duration::from_secs(15 * 60);

/// Who signed a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The access key's id; empty for a call that nobody signed.
    pub(crate) key: String,
    /// The RAM user, `None` for the account itself and for a role.
    pub(crate) user: Option<String>,
    /// The role that was assumed, with the session's name.
    pub(crate) role: Option<(String, String)>,
}

impl Caller {
    fn of(key: &AccessKey) -> Self {
        Caller { key: key.id.clone(), user: key.user.clone(), role: None }
    }

    /// Who it is, in the words of RAM.
    pub(crate) fn arn(&self, account: &str) -> String {
        match (&self.user, &self.role) {
            (_, Some((role, session))) => format!("acs:ram::{account}:assumed-role/{role}/{session}"),
            (Some(user), None) => format!("acs:ram::{account}:user/{user}"),
            (None, None) => format!("acs:ram::{account}:root"),
        }
    }
}

/// A key that is known: what requests are signed with, and whose it is.
#[derive(Clone, Debug)]
pub(crate) struct Credential {
    pub(crate) secret: Secret,
    pub(crate) caller: Caller,
}

/// Why a key does not count. Each product has its own words for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Nobody has such a key.
    UnknownKey,
    /// A temporary key without its token.
    MissingToken,
    /// A token that was never given.
    MalformedToken,
    /// The token of another key.
    ForeignToken,
    /// Its time is over.
    ExpiredToken,
    /// The cloud can't read its own keys.
    Unreadable(String),
}

impl Refused {
    /// As the gateway of all products but OSS says it.
    pub(crate) fn fault(self) -> Fault {
        let token = |code: &str, what: &str| Fault::bad(format!("InvalidSecurityToken.{code}"), format!("Specified SecurityToken {what}."));
        match self {
            Refused::UnknownKey => Fault::missing("InvalidAccessKeyId.NotFound", "Specified access key is not found."),
            Refused::MissingToken => Fault::mandatory("SecurityToken"),
            Refused::MalformedToken => token("Malformed", "is malformed"),
            Refused::ForeignToken => token("MismatchWithAccessKey", "mismatches with the AccessKey"),
            Refused::ExpiredToken => token("Expired", "is expired"),
            Refused::Unreadable(reason) => Fault::new(500, "InternalError", reason),
        }
    }
}

/// Finds the key of an id, and checks the token that came with it.
pub(crate) type Lookup<'a> = dyn Fn(&str, Option<&str>) -> Result<Credential, Refused> + 'a;

/// The key of `id`: a lasting one of the account, or a temporary one, which its token proves.
pub(crate) fn credential(config: &Config, keys: &Keys, id: &str, token: Option<&str>, now: Timestamp) -> Result<Credential, Refused> {
    let token = token.filter(|token| !token.is_empty());
    let lasting = key_of(config, id);
    if let (Some(key), None) = (lasting, token) {
        return Ok(Credential { secret: key.secret.clone(), caller: Caller::of(key) });
    }
    let Some(token) = token else {
        return Err(if session::is_temporary(id) { Refused::MissingToken } else { Refused::UnknownKey });
    };
    if lasting.is_none() && !session::is_temporary(id) {
        return Err(Refused::UnknownKey);
    }
    let key = keys.session_key().map_err(|error| Refused::Unreadable(error.to_string()))?;
    let (issued, session) = session::open(&key, token).ok_or(Refused::MalformedToken)?;
    if issued.id != id {
        return Err(Refused::ForeignToken);
    }
    if session.until <= now {
        return Err(Refused::ExpiredToken);
    }
    let caller = Caller { key: issued.id, user: None, role: Some((session.role, session.name)) };
    Ok(Credential { secret: issued.secret, caller })
}

/// A caller who proved it, and the nonce to be taken.
pub(crate) struct Proof<'a> {
    pub(crate) caller: Caller,
    pub(crate) nonce: &'a str,
}

/// Finds out who sent a call of any product but OSS. Its nonce is the caller's to be taken.
pub(crate) fn verify<'a>(
    request: &'a Request,
    params: &'a Params,
    is_roa: bool,
    lookup: &Lookup,
    now: Timestamp,
) -> Result<Proof<'a>, Fault> {
    match request.header("authorization") {
        Some(authorization) if is_roa && authorization.starts_with("acs ") => roa_v1::verify(request, lookup, now),
        Some(_) => acs3::verify(request, params, lookup, now),
        None => rpc_v1::verify(&request.method, params, lookup, now),
    }
}

fn key_of<'a>(config: &'a Config, id: &str) -> Option<&'a AccessKey> {
    config.keys.iter().find(|key| key.id == id)
}

fn hmac_sha256(key: &[u8], text: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text);
    mac
}

pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Compares a signature in hex without telling by the time how much of it fits.
fn fits_hex(mac: Hmac<Sha256>, signature: &str) -> bool {
    hex::decode(signature).is_ok_and(|bytes| mac.verify_slice(&bytes).is_ok())
}

/// The same for HMAC-SHA1 in Base64.
fn fits_sha1(key: &str, text: &str, signature: &str) -> bool {
    let mut mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    STANDARD.decode(signature).is_ok_and(|bytes| mac.verify_slice(&bytes).is_ok())
}

/// Checks a moment `YYYY-MM-DDThh:mm:ssZ` against the clock.
fn check_time(text: &str, now: Timestamp) -> Result<(), Fault> {
    let at: Timestamp = text.parse().map_err(|_| time_format())?;
    if !text.ends_with('Z') {
        return Err(time_format());
    }
    check_skew(at, now)
}

fn check_skew(at: Timestamp, now: Timestamp) -> Result<(), Fault> {
    if at.duration_since(now).unsigned_abs() > SKEW {
        return Err(Fault::bad("InvalidTimeStamp.Expired", "Specified time stamp or date value is expired."));
    }
    Ok(())
}

fn time_format() -> Fault {
    Fault::bad("InvalidTimeStamp.Format", "Specified time stamp or date value is not well formatted.")
}

fn check_method(method: &str) -> Result<(), Fault> {
    if method != "HMAC-SHA1" {
        return Err(Fault::bad("InvalidSignatureMethod", "Specified signature method is not supported."));
    }
    Ok(())
}

fn incomplete(what: &str) -> Fault {
    Fault::bad("IncompleteSignature", format!("The request signature does not conform to Aliyun standards: {what}."))
}

fn mismatch(string_to_sign: &str) -> Fault {
    Fault::bad(
        "SignatureDoesNotMatch",
        format!("Specified signature is not matched with our calculation. server string to sign is:{string_to_sign}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local_cloud::time::after;
    use session::Session;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn refused(keys: &Keys, id: &str, token: Option<&str>, now: Timestamp) -> Refused {
        credential(&Config::default(), keys, id, token, now).unwrap_err()
    }

    #[test]
    fn a_temporary_key_counts_with_its_own_token_in_its_time() {
        let keys = Keys::in_memory(1);
        let until = after(NOW, Duration::from_secs(900));
        let session = |number| Session { number, role: "deploy".to_owned(), name: "ann".to_owned(), until, source_identity: None };
        let key = keys.session_key().unwrap();
        let [one, two] = [1, 2].map(|number| session::issue(&key, &session(number)));
        assert_ne!(one.id, two.id);
        let found = credential(&Config::default(), &keys, &one.id, Some(&one.token), NOW).unwrap();
        assert_eq!(found.secret, one.secret);
        assert_eq!(found.caller.arn("1"), "acs:ram::1:assumed-role/deploy/ann");

        assert_eq!(refused(&keys, &one.id, None, NOW), Refused::MissingToken);
        assert_eq!(refused(&keys, &one.id, Some(""), NOW), Refused::MissingToken);
        assert_eq!(refused(&keys, &one.id, Some(&two.token), NOW), Refused::ForeignToken);
        assert_eq!(refused(&keys, "local", Some(&one.token), NOW), Refused::ForeignToken);
        assert_eq!(refused(&keys, "local", Some("CAIStoken"), NOW), Refused::MalformedToken);
        assert_eq!(refused(&keys, "nobody", Some(&one.token), NOW), Refused::UnknownKey);
        assert_eq!(refused(&keys, &one.id, Some(&one.token), until), Refused::ExpiredToken);
        assert_eq!(refused(&Keys::in_memory(2), &one.id, Some(&one.token), NOW), Refused::MalformedToken);
    }
}
