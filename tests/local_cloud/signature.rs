//! Every signature that the products take, in every way that it can fail, and the envelopes of the answers.

use std::collections::BTreeMap;

use aliform::local_cloud::config::Config;
use aliform::local_cloud::wire::{Request, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use crate::caller::{Caller, encode, read, sleep, text};

/// A signature with the places of its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// ACS3 over an RPC call.
    Acs3,
    /// ACS3 over a ROA call.
    Acs3Roa,
    /// HMAC-SHA1, everything in the query.
    RpcQuery,
    /// HMAC-SHA1, everything in the form.
    RpcForm,
    /// `Authorization: acs`.
    Roa,
}

const STYLES: [Style; 5] = [Style::Acs3, Style::Acs3Roa, Style::RpcQuery, Style::RpcForm, Style::Roa];

fn sha1(key: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// What a request is to be like.
struct Ask<'a> {
    caller: &'a Caller,
    style: Style,
    /// What is signed instead of what is right: parameter or header, and its value.
    changed: Option<(&'static str, String)>,
    /// What is left out before signing.
    missing: Option<&'static str>,
    format: Option<&'static str>,
}

impl<'a> Ask<'a> {
    fn new(caller: &'a Caller, style: Style) -> Self {
        Ask { caller, style, changed: None, missing: None, format: Some("JSON") }
    }

    fn changed(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.changed = Some((name, value.into()));
        self
    }

    fn missing(mut self, name: &'static str) -> Self {
        self.missing = Some(name);
        self
    }

    fn adjust(&self, values: &mut BTreeMap<String, String>) {
        if let Some((name, value)) = &self.changed
            && values.contains_key(*name)
        {
            values.insert((*name).to_owned(), value.clone());
        }
        if let Some(name) = self.missing {
            values.remove(name);
        }
    }

    fn request(&self) -> Request {
        match self.style {
            Style::Acs3 | Style::Acs3Roa => self.acs3(),
            Style::RpcQuery | Style::RpcForm => self.rpc(),
            Style::Roa => self.roa(),
        }
    }

    fn acs3(&self) -> Request {
        let (version, action, path) = match self.style {
            Style::Acs3Roa => ("2020-12-03", "DescribeNothing", "/nothing"),
            _ => ("2014-05-26", "DescribeRegions", "/"),
        };
        let mut headers = BTreeMap::from(
            [
                ("host", "127.0.0.1"),
                ("x-acs-action", action),
                ("x-acs-date", &self.caller.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
                ("x-acs-signature-nonce", &self.caller.nonce()),
                ("x-acs-version", version),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        headers.extend(self.caller.token.clone().map(|token| ("x-acs-security-token".to_owned(), token)));
        headers.extend(self.format.map(|format| ("accept".to_owned(), format!("application/{}", format.to_lowercase()))));
        self.adjust(&mut headers);
        let names = headers.keys().map(String::as_str).collect::<Vec<_>>().join(";");
        let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let canonical = format!("POST\n{path}\n\n{lines}\n{names}\n{}", crate::caller::sha256(b""));
        let to_sign = format!("ACS3-HMAC-SHA256\n{}", crate::caller::sha256(canonical.as_bytes()));
        let signature = hex::encode(crate::caller::hmac(self.caller.key.1.as_bytes(), to_sign.as_bytes()));
        let mut parts = vec![("Credential", self.caller.key.0.as_str()), ("SignedHeaders", &names), ("Signature", &signature)];
        parts.retain(|(name, _)| self.missing != Some(name));
        let parts: Vec<String> = parts.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        headers.insert("authorization".to_owned(), format!("ACS3-HMAC-SHA256 {}", parts.join(",")));
        request(path, "", headers, "")
    }

    fn rpc(&self) -> Request {
        let mut params = BTreeMap::from(
            [
                ("AccessKeyId", self.caller.key.0.as_str()),
                ("Action", "DescribeRegions"),
                ("RegionId", "cn-hangzhou a*b~c/+中"),
                ("SignatureMethod", "HMAC-SHA1"),
                ("SignatureNonce", &self.caller.nonce()),
                ("SignatureVersion", "1.0"),
                ("Timestamp", &self.caller.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
                ("Version", "2014-05-26"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        params.extend(self.caller.token.clone().map(|token| ("SecurityToken".to_owned(), token)));
        params.extend(self.format.map(|format| ("Format".to_owned(), format.to_owned())));
        self.adjust(&mut params);
        let joined = |params: &BTreeMap<String, String>| {
            params.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect::<Vec<_>>().join("&")
        };
        let to_sign = format!("POST&%2F&{}", encode(&joined(&params)));
        if self.missing != Some("Signature") {
            params.insert("Signature".to_owned(), sha1(&format!("{}&", self.caller.key.1), &to_sign));
        }
        if self.style == Style::RpcQuery {
            return request("/", &joined(&params), BTreeMap::new(), "");
        }
        let form = BTreeMap::from([("content-type".to_owned(), "application/x-www-form-urlencoded; charset=utf-8".to_owned())]);
        request("/", "", form, &joined(&params))
    }

    fn roa(&self) -> Request {
        let mut headers = BTreeMap::from(
            [
                ("accept", "application/json"),
                ("content-type", "application/json; charset=utf-8"),
                ("date", &self.caller.now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()),
                ("x-acs-action", "DescribeNothing"),
                ("x-acs-signature-method", "HMAC-SHA1"),
                ("x-acs-signature-nonce", &self.caller.nonce()),
                ("x-acs-version", "2020-12-03"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        headers.extend(self.caller.token.clone().map(|token| ("x-acs-security-token".to_owned(), token)));
        self.adjust(&mut headers);
        let mut to_sign = "POST\n".to_owned();
        for name in ["accept", "content-md5", "content-type", "date"] {
            to_sign += &format!("{}\n", headers.get(name).map_or("", String::as_str));
        }
        for (name, value) in headers.iter().filter(|(name, _)| name.starts_with("x-acs-")) {
            to_sign += &format!("{name}:{value}\n");
        }
        to_sign += "/nothing/a%20b?a=x y&b";
        let (key, secret) = &self.caller.key;
        let signature = if self.missing == Some("Signature") { String::new() } else { format!(":{}", sha1(secret, &to_sign)) };
        headers.insert("authorization".to_owned(), format!("acs {key}{signature}"));
        request("/nothing/a%20b", "b=&a=x+y", headers, "{}")
    }

    async fn answer(&self) -> Response {
        self.caller.cloud.handle(self.request()).await
    }

    async fn refusal(&self) -> (u16, String) {
        let refusal = read(&self.answer().await).unwrap_err();
        (refusal.status, refusal.code)
    }

    /// Whether the call got beyond its signature: the RPC call names a region that is not there, the ROA one nothing.
    async fn is_accepted(&self) -> bool {
        match self.style {
            Style::Acs3 => self.answer().await.status == 200,
            Style::RpcQuery | Style::RpcForm => ["InvalidRegionId.NotFound", "answered"].contains(&self.code().await.as_str()),
            Style::Acs3Roa | Style::Roa => self.code().await == "InvalidAction.NotFound",
        }
    }

    async fn code(&self) -> String {
        read(&self.answer().await).map_or_else(|refusal| refusal.code, |_| "answered".to_owned())
    }
}

fn request(path: &str, query: &str, headers: BTreeMap<String, String>, body: &str) -> Request {
    Request {
        method: http::Method::POST,
        host: "127.0.0.1".to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: headers.into_iter().collect(),
        body: bytes::Bytes::copy_from_slice(body.as_bytes()),
        peer: None,
    }
}

#[tokio::test(start_paused = true)]
async fn every_style_is_accepted_with_lasting_and_temporary_keys() {
    let user = Caller::new(Config::default()).with_key("local-user", "local-user");
    let role = [("RoleArn", "acs:ram::1000000000000001:role/deploy"), ("RoleSessionName", "test")];
    let session = user.with_session(&user.sts_with("AssumeRole", &role).await.unwrap());
    let mut keys = vec![user.with_key("local", "local"), user];
    keys.push(session);
    for caller in &keys {
        for style in STYLES {
            assert!(Ask::new(caller, style).is_accepted().await, "{style:?} of {}", caller.key.0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_style_fails_in_its_own_words() {
    let caller = Caller::new(Config::default());
    for style in STYLES {
        let refused = async |ask: Ask<'_>, status: u16, code: &str| {
            assert_eq!(ask.refusal().await, (status, code.to_owned()), "{style:?}");
        };
        let ask = || Ask::new(&caller, style);
        let stranger = caller.with_key("stranger", "local");
        refused(Ask::new(&stranger, style), 404, "InvalidAccessKeyId.NotFound").await;
        let thief = caller.with_key("local", "guess");
        refused(Ask::new(&thief, style), 400, "SignatureDoesNotMatch").await;
        let mut forger = caller.with_key("local", "local");
        forger.token = Some("CAISnonsense".to_owned());
        refused(Ask::new(&forger, style), 400, "InvalidSecurityToken.Malformed").await;
        let unknown = caller.with_key("STS.none", "local");
        refused(Ask::new(&unknown, style), 400, "MissingSecurityToken").await;

        let (date, nonce, old, odd) = match style {
            Style::Acs3 | Style::Acs3Roa => ("x-acs-date", "x-acs-signature-nonce", "2026-01-02T02:49:04Z", "2026-01-02 03:04:05"),
            Style::RpcQuery | Style::RpcForm => ("Timestamp", "SignatureNonce", "2026-01-02T03:19:06Z", "1767323045"),
            Style::Roa => ("date", "x-acs-signature-nonce", "Fri, 02 Jan 2026 02:49:04 GMT", "yesterday"),
        };
        refused(ask().changed(date, old), 400, "InvalidTimeStamp.Expired").await;
        refused(ask().changed(date, odd), 400, "InvalidTimeStamp.Format").await;
        refused(ask().missing(date), 400, &format!("Missing{date}")).await;
        refused(ask().missing(nonce), 400, &format!("Missing{nonce}")).await;
        let code = if matches!(style, Style::RpcQuery | Style::RpcForm) { "MissingSignature" } else { "IncompleteSignature" };
        refused(ask().missing("Signature"), 400, code).await;

        // Sent twice; and a moment at the edge of what is allowed.
        let twice = ask().request();
        let first = caller.cloud.handle(twice.clone()).await;
        assert!(first.status < 400 || !String::from_utf8_lossy(&first.body).contains("Signature"), "{style:?}");
        let again = read(&caller.cloud.handle(twice).await).unwrap_err();
        assert_eq!((again.status, again.code.as_str()), (400, "SignatureNonceUsed"), "{style:?}");
    }
    for method in [Style::RpcQuery, Style::RpcForm] {
        let ask = Ask::new(&caller, method).changed("SignatureMethod", "HMAC-MD5");
        assert_eq!(ask.refusal().await, (400, "InvalidSignatureMethod".to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_is_good_for_a_quarter_of_an_hour() {
    let caller = Caller::new(Config::default());
    for style in STYLES {
        let early = Ask::new(&caller, style).request();
        let late = Ask::new(&caller, style).request();
        sleep(15 * 60 * 1000).await;
        let refusal = |response: Response| read(&response).err().map(|refusal| refusal.code);
        let outcome = refusal(caller.cloud.handle(early).await);
        assert!(outcome.as_deref().is_none_or(|code| !code.starts_with("InvalidTimeStamp")), "{style:?}: {outcome:?}");
        sleep(1000).await;
        assert_eq!(refusal(caller.cloud.handle(late).await).as_deref(), Some("InvalidTimeStamp.Expired"), "{style:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn rpc_answers_are_in_the_form_that_is_asked_for() {
    let caller = Caller::new(Config::default());
    let as_text = |response: &Response| {
        let kind = response.header("content-type").unwrap().to_owned();
        (response.status, kind, String::from_utf8(response.body.to_vec()).unwrap())
    };
    for style in [Style::Acs3, Style::RpcQuery, Style::RpcForm] {
        for format in [Some("XML"), None] {
            let mut ask = Ask::new(&caller, style).changed("RegionId", "cn-hangzhou");
            ask.format = format;
            let (status, kind, body) = as_text(&ask.answer().await);
            assert_eq!((status, kind.as_str()), (200, "text/xml;charset=utf-8"), "{style:?} {format:?}: {body}");
            assert!(body.starts_with("<?xml version='1.0' encoding='UTF-8'?><DescribeRegionsResponse>"), "{body}");
            assert!(body.contains("<RegionId>cn-hangzhou</RegionId>") && body.contains("<RequestId>"), "{body}");

            let thief = caller.with_key("local", "guess");
            let mut ask = Ask::new(&thief, style);
            ask.format = format;
            let response = ask.answer().await;
            let (status, kind, body) = as_text(&response);
            assert_eq!((status, kind.as_str()), (400, "text/xml;charset=utf-8"), "{style:?} {format:?}: {body}");
            let id = response.header("x-acs-request-id").unwrap();
            assert!(body.contains(&format!("<RequestId>{id}</RequestId>")), "{body}");
            assert!(body.contains("<Error><Code>SignatureDoesNotMatch</Code><HostId>127.0.0.1</HostId><Message>"), "{body}");
        }
    }
    let mut odd = Ask::new(&caller, Style::RpcQuery);
    odd.format = Some("YAML");
    let (status, _, body) = as_text(&odd.answer().await);
    assert!(status == 400 && body.contains("<Code>InvalidParameter.Format</Code>"), "{body}");
    // ROA calls know JSON only.
    let thief = caller.with_key("local", "guess");
    let refusal = Ask::new(&thief, Style::Roa).answer().await;
    assert_eq!(text(&serde_json::from_slice(&refusal.body).unwrap(), "/Code"), "SignatureDoesNotMatch");
}
