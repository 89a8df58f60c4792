//! The real cloud: one signed HTTP exchange for each call. It repeats a call only where the first one was turned
//! away at the door for a wrong clock or a stale session; everything else is [`retry`](super::retry)'s.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use super::call::{Answer, Call, Cloud, Link, Product};
use super::credentials::{CredentialSource, Credentials};
use super::endpoint::{Endpoint, Location, billing_host, internal_host, is_mainland_site};
use super::error::ApiError;
use super::fc::LONGEST_CALL;
use super::sign::nonce::{Nonces, RandomNonces};
use super::sign::{Parts, acs3, encode_path, encode_query, oss_v4, sha256_hex};
use crate::model::clock::Clock;
use transport::Exchange;

mod answer;
#[cfg(test)]
pub(in crate::cloud) mod loopback;
pub mod transport;

/// Who calls: `aliform/<version>` and what `ALIBABA_CLOUD_USER_AGENT` adds.
pub fn user_agent(addition: Option<&str>) -> String {
    let own = concat!("aliform/", env!("CARGO_PKG_VERSION"));
    match addition.map(str::trim).filter(|text| !text.is_empty()) {
        Some(addition) => format!("{own} {addition}"),
        None => own.to_owned(),
    }
}

/// Alibaba Cloud over HTTP.
pub struct HttpCloud {
    endpoint: Endpoint,
    credentials: Arc<dyn CredentialSource>,
    exchange: Arc<dyn Exchange>,
    clock: Arc<dyn Clock>,
    nonces: Arc<dyn Nonces>,
    limit: Duration,
    /// Milliseconds that the service's clock is ahead of ours.
    skew: AtomicI64,
    /// Whether billing turned out to be at the other site than the region suggests.
    other_site: AtomicBool,
}

/// What one attempt came to, with the time that the service's answer bore.
struct Attempt {
    outcome: Result<Answer, ApiError>,
    date: Option<Timestamp>,
}

impl HttpCloud {
    /// A client that signs with `credentials` and gives each exchange 30 s.
    pub fn new(endpoint: Endpoint, credentials: Arc<dyn CredentialSource>, exchange: Arc<dyn Exchange>, clock: Arc<dyn Clock>) -> Self {
        HttpCloud {
            endpoint,
            credentials,
            exchange,
            clock,
            nonces: Arc::new(RandomNonces),
            limit: Duration::from_secs(30),
            skew: AtomicI64::new(0),
            other_site: AtomicBool::new(false),
        }
    }

    /// The same with another time limit for one exchange.
    #[must_use]
    pub fn with_limit(self, limit: Duration) -> Self {
        HttpCloud { limit, ..self }
    }

    /// The same with another source of nonces.
    #[must_use]
    pub fn with_nonces(self, nonces: Arc<dyn Nonces>) -> Self {
        HttpCloud { nonces, ..self }
    }

    /// Now by the service's clock, as far as it is known.
    fn now(&self) -> Timestamp {
        let skew = SignedDuration::from_millis(self.skew.load(Ordering::Relaxed));
        self.clock.now().saturating_add(skew).unwrap_or(Timestamp::MAX)
    }

    fn locate(&self, call: &Call) -> Location {
        if call.product == Product::Bss && self.other_site.load(Ordering::Relaxed) && self.endpoint == Endpoint::Public {
            let host = billing_host(!is_mainland_site(&call.region));
            return Location { base: format!("https://{host}"), bucket_in_path: false };
        }
        self.endpoint.locate(call.product, &call.region, call.bucket.as_deref())
    }

    async fn attempt(&self, call: &Call, credentials: &Credentials) -> Attempt {
        let lost = |reason, sent| Attempt { outcome: Err(ApiError::Lost { action: call.action, reason, sent }), date: None };
        let request = match self.request(call, credentials) {
            Ok(request) => request,
            Err(reason) => return lost(reason, false),
        };
        // A function answers when it is done.
        let limit = if call.action == "InvokeFunction" { self.limit.max(LONGEST_CALL) } else { self.limit };
        let response = match self.exchange.exchange(request, limit).await {
            Ok(response) => response,
            Err(failure) => return lost(failure.reason, failure.sent),
        };
        let text = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let headers = response.headers().iter().map(text).collect();
        let answer = Answer { status: response.status().as_u16(), headers, body: response.into_body() };
        let date = answer.header("date").and_then(|text| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok());
        let outcome = answer::outcome(call.product, call.action, answer).map_err(|error| credentials.redact_error(error));
        Attempt { outcome, date }
    }

    /// The signed request of a call.
    fn request(&self, call: &Call, credentials: &Credentials) -> Result<http::Request<bytes::Bytes>, String> {
        let location = self.locate(call);
        let host = location.base.split_once("://").map_or("", |(_, host)| host);
        let bucket = call.bucket.as_deref().filter(|_| location.bucket_in_path);
        let path = match bucket {
            Some(bucket) => format!("/{bucket}{}", encode_path(&call.path)),
            None => encode_path(&call.path),
        };
        let mut headers = call.headers.clone();
        headers.push(("host".to_owned(), host.to_owned()));
        let query = if call.product == Product::Oss {
            self.sign_oss(call, credentials, &mut headers);
            oss_v4::query_string(&call.query)
        } else {
            self.sign_rpc(call, credentials, &path, &mut headers);
            encode_query(&call.query)
        };
        let query = if query.is_empty() { query } else { format!("?{query}") };
        let mut request = http::Request::builder().method(call.method.clone()).uri(format!("{}{path}{query}", location.base));
        // The transport writes the host itself, from the address.
        for (name, value) in headers.iter().filter(|(name, _)| name != "host") {
            request = request.header(name, value);
        }
        request.body(call.body.clone()).map_err(|error| error.to_string())
    }

    fn sign_rpc(&self, call: &Call, credentials: &Credentials, path: &str, headers: &mut Vec<(String, String)>) {
        let payload_hash = sha256_hex(&call.body);
        let mut add = |name: &str, value: &str| headers.push((name.to_owned(), value.to_owned()));
        add("accept", "application/json");
        add("x-acs-version", call.product.version());
        add("x-acs-action", call.action);
        add("x-acs-date", &self.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        add("x-acs-signature-nonce", &self.nonces.next());
        add("x-acs-content-sha256", &payload_hash);
        if let Some(token) = &credentials.security_token {
            add("x-acs-accesskey-id", &credentials.access_key_id);
            add("x-acs-security-token", token.reveal());
        }
        let parts = Parts { method: call.method.as_str(), path, query: &call.query, headers };
        let authorization = acs3::authorization(credentials.signer(), &parts, &payload_hash);
        headers.push(("authorization".to_owned(), authorization));
    }

    fn sign_oss(&self, call: &Call, credentials: &Credentials, headers: &mut Vec<(String, String)>) {
        let now = self.now();
        let date = oss_date(now);
        let mut add = |name: &str, value: &str| headers.push((name.to_owned(), value.to_owned()));
        add("x-oss-date", &date);
        add("date", &now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
        add("x-oss-content-sha256", oss_v4::UNSIGNED_PAYLOAD);
        if let Some(token) = &credentials.security_token {
            add("x-oss-security-token", token.reveal());
        }
        let parts = oss_v4::Parts {
            method: call.method.as_str(),
            bucket: call.bucket.as_deref(),
            key: call.path.strip_prefix('/').unwrap_or(&call.path),
            query: &call.query,
            headers,
            additional: &[],
            payload_hash: oss_v4::UNSIGNED_PAYLOAD,
        };
        let scope = oss_v4::Scope { date: &date, region: &call.region };
        let authorization = oss_v4::authorization(credentials.signer(), scope, &parts);
        headers.push(("authorization".to_owned(), authorization));
    }
}

fn oss_date(now: Timestamp) -> String {
    now.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Whether the service turned a call away because our clock is off.
fn is_clock_skew(error: &ApiError) -> bool {
    error.is(&["InvalidTimeStamp.Expired", "IllegalTimestamp", "RequestTimeTooSkewed"])
}

/// Whether it did because the session is over. Of a session's access key it may say that it knows none.
fn is_stale_session(error: &ApiError, credentials: &Credentials) -> bool {
    let said = error.code().is_some_and(|code| code.starts_with("InvalidSecurityToken") || code.starts_with("SecurityTokenExpired"));
    let unknown = error.is(&["InvalidAccessKeyId", "InvalidAccessKeyId.NotFound"]);
    said || (unknown && credentials.security_token.is_some())
}

#[async_trait]
impl Cloud for HttpCloud {
    async fn send(&self, call: Call) -> Result<Answer, ApiError> {
        let mut credentials = self.credentials.get().await?;
        let (mut clock_set, mut session_renewed, mut site_changed) = (false, false, false);
        loop {
            let Attempt { outcome, date } = self.attempt(&call, &credentials).await;
            let Err(error) = outcome else { return outcome };
            if !clock_set
                && is_clock_skew(&error)
                && let Some(date) = date
            {
                clock_set = true;
                let ahead = date.duration_since(self.clock.now()).as_millis();
                self.skew.store(i64::try_from(ahead).unwrap_or_default(), Ordering::Relaxed);
            } else if !session_renewed && is_stale_session(&error, &credentials) {
                session_renewed = true;
                let renewed = self.credentials.renew(&credentials).await?;
                if renewed == credentials {
                    return Err(error);
                }
                credentials = renewed;
            } else if !site_changed && call.product == Product::Bss && error.is(&["NotApplicable"]) && self.endpoint == Endpoint::Public {
                site_changed = true;
                self.other_site.fetch_xor(true, Ordering::Relaxed);
            } else {
                return Err(error);
            }
        }
    }

    /// The link leads to the region's internal host, which costs nothing inside the region. It lives at most seven
    /// days, and no longer than the session that signed it.
    async fn presign(&self, link: &Link<'_>) -> Result<String, ApiError> {
        let Link { region, bucket, key, .. } = *link;
        let credentials = self.credentials.get().await?;
        let date = oss_date(self.now());
        let scope = oss_v4::Scope { date: &date, region };
        let token = credentials.security_token.as_ref().map(|token| token.reveal());
        let link = Link { seconds: link.seconds.min(oss_v4::LONGEST_LINK), ..link.clone() };
        let query = oss_v4::presigned_query(credentials.signer(), token, scope, &link);
        Ok(format!("http://{bucket}.{}/{}?{query}", internal_host(Product::Oss, region), encode_path(key)))
    }
}

#[cfg(test)]
mod tests;
