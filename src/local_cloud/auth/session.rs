//! Temporary keys. All there is to know of one is in its token, sealed with a key of the cloud's own; id and secret
//! follow from the same key. So none is written down, and an expired one is told from one that was never given.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::Mac;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::hmac_sha256;
use crate::model::secret::Secret;

/// What ids of temporary keys begin with.
const PREFIX: &str = "STS.";
/// What a token begins with before it is written as text: the real ones begin with `CAIS`.
const HEADER: [u8; 3] = [0x08, 0x02, 0x12];
const MAC_LENGTH: usize = 32;
const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A role that somebody assumed for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    /// Tells two sessions apart that are the same otherwise.
    #[serde(rename = "n")]
    pub(crate) number: u64,
    #[serde(rename = "r")]
    pub(crate) role: String,
    #[serde(rename = "s")]
    pub(crate) name: String,
    #[serde(rename = "u")]
    pub(crate) until: Timestamp,
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub(crate) source_identity: Option<String>,
}

/// The key of a session.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    pub(crate) id: String,
    pub(crate) secret: Secret,
    pub(crate) token: String,
}

/// Whether an id is that of a temporary key.
pub(crate) fn is_temporary(id: &str) -> bool {
    id.starts_with(PREFIX)
}

/// The key of a session, the same every time.
pub(crate) fn issue(key: &[u8], session: &Session) -> Issued {
    let payload = serde_json::to_vec(session).expect("a session is a plain structure");
    let mut token = HEADER.to_vec();
    token.extend_from_slice(&payload);
    token.extend_from_slice(&derive(key, "token", &payload));
    issued(key, &payload, STANDARD.encode(token))
}

/// The session of a token that was given here, with its key.
pub(crate) fn open(key: &[u8], token: &str) -> Option<(Issued, Session)> {
    let bytes = STANDARD.decode(token).ok()?;
    let sealed = bytes.strip_prefix(&HEADER)?;
    let (payload, mac) = sealed.split_at_checked(sealed.len().checked_sub(MAC_LENGTH)?)?;
    let expected = hmac_sha256(key, &labelled("token", payload));
    expected.verify_slice(mac).ok()?;
    let session = serde_json::from_slice(payload).ok()?;
    Some((issued(key, payload, token.to_owned()), session))
}

fn issued(key: &[u8], payload: &[u8], token: String) -> Issued {
    let id = letters(&derive(key, "id", payload), 25);
    let secret = [derive(key, "secret", payload), derive(key, "more of the secret", payload)].concat();
    Issued { id: format!("{PREFIX}{id}"), secret: Secret::new(letters(&secret, 44)), token }
}

fn labelled(label: &str, payload: &[u8]) -> Vec<u8> {
    [label.as_bytes(), &[0], payload].concat()
}

fn derive(key: &[u8], label: &str, payload: &[u8]) -> Vec<u8> {
    hmac_sha256(key, &labelled(label, payload)).finalize().into_bytes().to_vec()
}

fn letters(bytes: &[u8], count: usize) -> String {
    bytes.iter().take(count).map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_tokens_of_the_same_key_are_opened() {
        let session = Session {
            number: 7,
            role: "r".to_owned(),
            name: "s".to_owned(),
            until: Timestamp::UNIX_EPOCH,
            source_identity: Some("ann".to_owned()),
        };
        let issued = issue(b"key", &session);
        assert!(issued.token.starts_with("CAIS"), "{}", issued.token);
        assert_eq!((issued.id.len(), issued.secret.reveal().len()), (29, 44));
        let (again, opened) = open(b"key", &issued.token).unwrap();
        assert_eq!(opened, session);
        assert_eq!((again.id, again.secret), (issued.id, issued.secret));
        assert!(open(b"other", &issued.token).is_none());
        let bytes = STANDARD.decode(&issued.token).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(open(b"key", &STANDARD.encode(&changed)).is_none(), "byte {at}");
            assert!(open(b"key", &STANDARD.encode(&bytes[..at])).is_none(), "{at} bytes");
        }
    }
}
