//! How requests to Alibaba Cloud are signed: one file for each scheme, all of them pure functions.
//!
//! Time and nonce are handed in with the headers. Each scheme offers its canonical form and its signature apart,
//! so that a server can compute from a received request what the client should have computed. Nothing here sends,
//! reads a clock or decides which scheme a product takes.

use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use sha1::Sha1;
use sha2::{Digest, Sha256};

pub mod acs3;
pub mod nonce;
pub mod oss_v1;
pub mod oss_v4;
pub mod roa_v1;
pub mod rpc_v1;

/// What every scheme covers of a request.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The HTTP method in upper case.
    pub method: &'a str,
    /// The path after the host as it is sent, percent-encoded.
    pub path: &'a str,
    /// The query, decoded, in any order.
    pub query: &'a [(String, String)],
    /// The headers, names in lower case, in any order.
    pub headers: &'a [(String, String)],
}

/// Whose signature it is, with the secret that makes it.
#[derive(Clone, Copy)]
pub struct Signer<'a> {
    /// The access key's public half.
    pub access_key_id: &'a str,
    /// The access key's secret half.
    pub access_key_secret: &'a str,
}

const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const UNRESERVED_AND_SLASH: &AsciiSet = &UNRESERVED.remove(b'/');

/// RFC 3986: letters, digits and `-_.~` stay, all other bytes become `%XX`.
pub fn encode(text: &str) -> String {
    percent_encode(text.as_bytes(), UNRESERVED).to_string()
}

/// As [`encode`], with `/` kept: a path whose segments hold no slash, an object's key.
pub fn encode_path(path: &str) -> String {
    percent_encode(path.as_bytes(), UNRESERVED_AND_SLASH).to_string()
}

/// The query as it stands in a URL, in the order given: encoded names and values, `=` even without a value.
pub fn encode_query(query: &[(String, String)]) -> String {
    let pairs: Vec<String> = query.iter().map(|(key, value)| format!("{}={}", encode(key), encode(value))).collect();
    pairs.join("&")
}

/// The SHA-256 of a body in lower-case hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn hmac_sha1_base64(key: &[u8], message: &[u8]) -> String {
    use base64::Engine as _;
    let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes())
}

/// The first header of that lower-case name, or the empty text.
fn header<'a>(headers: &'a [(String, String)], name: &str) -> &'a str {
    headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.trim())
}

/// `name:value` lines, sorted by name; the values of a repeated name are sorted and joined by commas.
fn header_lines(headers: &[(String, String)], wanted: impl Fn(&str) -> bool) -> String {
    let mut chosen: Vec<(&str, &str)> =
        headers.iter().filter(|(name, _)| wanted(name)).map(|(name, value)| (name.as_str(), value.trim())).collect();
    chosen.sort_unstable();
    let mut lines = String::new();
    for group in chosen.chunk_by(|left, right| left.0 == right.0) {
        let values: Vec<&str> = group.iter().map(|(_, value)| *value).collect();
        lines.push_str(&format!("{}:{}\n", group[0].0, values.join(",")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Owned pairs of literal ones.
    pub(in crate::cloud) fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
        of.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    pub(in crate::cloud) const TEST: Signer<'static> =
        Signer { access_key_id: "testAccessKeyId", access_key_secret: "testAccessKeySecret" };

    #[test]
    fn only_unreserved_characters_stay() {
        assert_eq!(encode("a b*~/+中"), "a%20b%2A~%2F%2B%E4%B8%AD");
        assert_eq!(encode_path("dir a/obj+1.txt"), "dir%20a/obj%2B1.txt");
        assert_eq!(encode_query(&pairs(&[("b", ""), ("a#", "1 2")])), "b=&a%23=1%202");
    }

    #[test]
    fn repeated_headers_are_joined() {
        let headers = pairs(&[("x-acs-b", " 2 "), ("x-acs-a", "z"), ("x-acs-b", "1"), ("other", "0")]);
        assert_eq!(header_lines(&headers, |name| name.starts_with("x-acs-")), "x-acs-a:z\nx-acs-b:1,2\n");
    }
}
