//! Signs what is fuzzed, so that it gets beyond the gate. Nothing in here may fail, whatever it is given.

use aliform::local_cloud::wire::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha1::Sha1;
use sha2::{Digest, Sha256};

const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Who signs.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) token: Option<String>,
}

pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// A call of any product but OSS, signed with ACS3.
pub(crate) fn acs3(mut request: Request, key: &Key, version: &str, action: &str, nonce: u64, now: Timestamp) -> Request {
    let mut add = |name: &str, value: String| request.headers.push((name.to_owned(), value));
    add("x-acs-version", version.to_owned());
    add("x-acs-action", action.to_owned());
    add("x-acs-date", now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    add("x-acs-signature-nonce", nonce.to_string());
    if let Some(token) = &key.token {
        add("x-acs-security-token", token.clone());
    }
    request.headers.sort();
    let mut query = pairs(&request.query);
    query.sort();
    let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    let mut lines: Vec<String> = request.headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    lines.push(format!("host:{}\n", request.host));
    lines.sort();
    let names: Vec<&str> = lines.iter().filter_map(|line| Some(line.split_once(':')?.0)).collect();
    let names = names.join(";");
    let path = if request.path.is_empty() { "/" } else { &request.path };
    let canonical = format!("{}\n{path}\n{}\n{}\n{names}\n{}", request.method, query.join("&"), lines.concat(), sha256(&request.body));
    let text = format!("ACS3-HMAC-SHA256\n{}", sha256(canonical.as_bytes()));
    let signature = hex::encode(hmac(key.secret.as_bytes(), text.as_bytes()));
    let authorization = format!("ACS3-HMAC-SHA256 Credential={},SignedHeaders={names},Signature={signature}", key.id);
    request.headers.push(("authorization".to_owned(), authorization));
    request
}

/// The form of an RPC call, signed with HMAC-SHA1.
pub(crate) fn rpc_v1(mut params: Vec<(String, String)>, key: &Key, nonce: u64, now: Timestamp) -> String {
    let own = ["AccessKeyId", "SecurityToken", "Signature", "SignatureMethod", "SignatureNonce", "SignatureVersion", "Timestamp"];
    params.retain(|(name, _)| !own.contains(&name.as_str()));
    let mut add = |name: &str, value: String| params.push((name.to_owned(), value));
    add("AccessKeyId", key.id.clone());
    add("SignatureMethod", "HMAC-SHA1".to_owned());
    add("SignatureNonce", nonce.to_string());
    add("SignatureVersion", "1.0".to_owned());
    add("Timestamp", now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    if let Some(token) = &key.token {
        add("SecurityToken", token.clone());
    }
    // Of a name that comes twice, the last counts.
    let params: std::collections::BTreeMap<String, String> = params.into_iter().collect();
    let joined: Vec<String> = params.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    let joined = joined.join("&");
    let mut mac = Hmac::<Sha1>::new_from_slice(format!("{}&", key.secret).as_bytes()).expect("HMAC takes keys of any length");
    mac.update(format!("POST&%2F&{}", encode(&joined)).as_bytes());
    format!("{joined}&Signature={}", encode(&STANDARD.encode(mac.finalize().into_bytes())))
}

/// A request of OSS for `resource`, signed with OSS4.
pub(crate) fn oss4(mut request: Request, resource: &str, key: &Key, now: Timestamp) -> Request {
    let date = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    let day = date.get(..8).unwrap_or_default();
    request.headers.push(("x-oss-content-sha256".to_owned(), "UNSIGNED-PAYLOAD".to_owned()));
    request.headers.push(("x-oss-date".to_owned(), date.clone()));
    request.headers.sort();
    let mut query: Vec<(&str, &str)> =
        request.query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
    query.sort_unstable();
    let query: Vec<String> =
        query.iter().map(|(name, value)| if value.is_empty() { (*name).to_owned() } else { format!("{name}={value}") }).collect();
    let signed: String = request
        .headers
        .iter()
        .filter(|(name, _)| name.starts_with("x-oss-") || matches!(name.as_str(), "content-type" | "content-md5"))
        .map(|(name, value)| format!("{name}:{}\n", value.trim()))
        .collect();
    let resource: Vec<String> = resource.split('/').map(encode).collect();
    let canonical = format!("{}\n{}\n{}\n{signed}\n\nUNSIGNED-PAYLOAD", request.method, resource.join("/"), query.join("&"));
    let scope = format!("{day}/cn-hangzhou/oss/aliyun_v4_request");
    let text = format!("OSS4-HMAC-SHA256\n{date}\n{scope}\n{}", sha256(canonical.as_bytes()));
    let signing = [day, "cn-hangzhou", "oss", "aliyun_v4_request"]
        .iter()
        .fold(format!("aliyun_v4{}", key.secret).into_bytes(), |key, part| hmac(&key, part.as_bytes()));
    let signature = hex::encode(hmac(&signing, text.as_bytes()));
    request.headers.push(("authorization".to_owned(), format!("OSS4-HMAC-SHA256 Credential={}/{scope},Signature={signature}", key.id)));
    request
}

/// The pairs of a query, as the products read them.
pub(crate) fn pairs(text: &str) -> Vec<(String, String)> {
    let plain = |part: &str| percent_encoding::percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned();
    let parts = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    parts.map(|(name, value)| (plain(name), plain(value))).collect()
}

/// A request without a signature.
pub(crate) fn bare(method: &str, host: &str, target: &str, body: &str) -> Option<Request> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Some(Request {
        method: method.parse().ok()?,
        host: host.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: Vec::new(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        peer: None,
    })
}
