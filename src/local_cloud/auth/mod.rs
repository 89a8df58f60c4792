//! Who asks, and whether it is really them: signatures are recomputed from what was sent, never trusted. This is an
//! own reading of the algorithms; it shares no code with the client's signing on purpose.

pub(crate) mod acs3;
pub(crate) mod nonce;
pub(crate) mod oss_v4;
pub(crate) mod rpc_v1;

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::config::{AccessKey, Config};
use super::wire::fault::Fault;

/// How far a caller's clock may be off, and how long a nonce is remembered.
pub(crate) const SKEW: Duration = Duration::from_secs(15 * 60);

/// Who signed a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The access key's id.
    pub(crate) key: String,
    /// The RAM user, `None` for the account itself.
    pub(crate) user: Option<String>,
}

impl Caller {
    fn of(key: &AccessKey) -> Self {
        Caller { key: key.id.clone(), user: key.user.clone() }
    }
}

fn key_of<'a>(config: &'a Config, id: &str) -> Option<&'a AccessKey> {
    config.keys.iter().find(|key| key.id == id)
}

fn known_key<'a>(config: &'a Config, id: &str) -> Result<&'a AccessKey, Fault> {
    key_of(config, id).ok_or_else(|| Fault::missing("InvalidAccessKeyId.NotFound", "Specified access key is not found."))
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

/// Checks a moment `YYYY-MM-DDThh:mm:ssZ` against the clock.
fn check_time(text: &str, now: Timestamp) -> Result<(), Fault> {
    let format = || Fault::bad("InvalidTimeStamp.Format", "Specified time stamp or date value is not well formatted.");
    let at: Timestamp = text.parse().map_err(|_| format())?;
    if !text.ends_with('Z') {
        return Err(format());
    }
    if at.duration_since(now).unsigned_abs() > SKEW {
        return Err(Fault::bad("InvalidTimeStamp.Expired", "Specified time stamp or date value is expired."));
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
