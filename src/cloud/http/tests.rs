//! One attempt against a loopback server and against a scripted exchange. It never asks anyone outside.

use std::sync::Mutex;

use bytes::Bytes;

use super::super::call::{Link, Repeat};
use super::super::credentials::error::{CredentialsError, Tried};
use super::loopback::{Loopback, Received, reply};
use super::transport::{Failure, Network};
use super::*;
use crate::model::secret::Secret;

/// A clock that stands still.
struct Still(Timestamp);

impl Clock for Still {
    fn now(&self) -> Timestamp {
        self.0
    }
}

struct Counting(Mutex<u32>);

impl Nonces for Counting {
    fn next(&self) -> String {
        let mut count = self.0.lock().unwrap();
        *count += 1;
        format!("nonce-{count}")
    }
}

fn session(token: &str) -> Credentials {
    Credentials {
        security_token: Some(Secret::new(token)),
        ..Credentials::lasting("testAccessKeyId", Secret::new("testAccessKeySecret"), "test")
    }
}

fn lasting() -> Credentials {
    Credentials::lasting("testAccessKeyId", Secret::new("testAccessKeySecret"), "test")
}

fn client(base: &str, credentials: impl CredentialSource + 'static) -> HttpCloud {
    let network = Arc::new(Network::new(user_agent(Some("caller/2"))));
    let clock = Arc::new(Still("2026-01-02T03:04:05Z".parse().unwrap()));
    HttpCloud::new(Endpoint::Fixed(base.to_owned()), Arc::new(credentials), network, clock)
        .with_nonces(Arc::new(Counting(Mutex::new(0))))
        .with_limit(Duration::from_secs(5))
}

fn call(product: Product, action: &'static str, query: &[(&str, &str)]) -> Call {
    Call {
        product,
        action,
        region: "cn-hangzhou".to_owned(),
        method: http::Method::POST,
        bucket: None,
        path: "/".to_owned(),
        query: query.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        headers: Vec::new(),
        body: Bytes::new(),
        repeat: Repeat::Safe,
    }
}

/// Signs what was received anew, over the headers that its signature names.
fn signed_anew(received: &Received) -> String {
    let authorization = received.header("authorization");
    let names = authorization.split("SignedHeaders=").nth(1).unwrap().split(',').next().unwrap();
    let signed: Vec<String> = names.split(';').map(str::to_owned).collect();
    let query = received.query();
    let parts = Parts { method: &received.method, path: received.uri.path(), query: &query, headers: &received.headers };
    let canonical = acs3::canonical_request(&parts, &signed, &sha256_hex(&received.body), acs3::QueryNames::Encoded);
    let signature = acs3::signature("testAccessKeySecret", &acs3::string_to_sign(&canonical));
    format!("ACS3-HMAC-SHA256 Credential=testAccessKeyId,SignedHeaders={names},Signature={signature}")
}

#[tokio::test]
async fn a_call_arrives_signed_as_a_server_computes_it() {
    let server = Loopback::serve(|_| reply(200, r#"{"RequestId":"R"}"#)).await;
    let cloud = client(&server.base, session("CAIS+token/1=="));
    let answer = cloud.send(call(Product::Ecs, "RunInstances", &[("InstanceName", "a b*~/+中"), ("Tag.1.Value", "")])).await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (200, &br#"{"RequestId":"R"}"#[..]));

    let received = &server.received()[0];
    assert_eq!((received.method.as_str(), received.uri.path()), ("POST", "/"));
    assert_eq!(received.parameter("InstanceName"), "a b*~/+中");
    for (name, value) in [
        ("host", server.base.strip_prefix("http://").unwrap()),
        ("x-acs-action", "RunInstances"),
        ("x-acs-version", "2014-05-26"),
        ("x-acs-date", "2026-01-02T03:04:05Z"),
        ("x-acs-signature-nonce", "nonce-1"),
        ("x-acs-accesskey-id", "testAccessKeyId"),
        ("x-acs-security-token", "CAIS+token/1=="),
        ("accept", "application/json"),
        ("user-agent", concat!("aliform/", env!("CARGO_PKG_VERSION"), " caller/2")),
    ] {
        assert_eq!(received.header(name), value, "{name}");
    }
    assert_eq!(received.header("authorization"), signed_anew(received));
    assert!(received.header("authorization").contains("x-acs-security-token"));
}

#[tokio::test]
async fn an_object_travels_in_the_path_and_is_signed() {
    let server = Loopback::serve(|_| reply(200, "")).await;
    let put = Call {
        bucket: Some("examplebucket".to_owned()),
        path: "/dir a/obj+1.txt".to_owned(),
        method: http::Method::PUT,
        headers: vec![
            ("content-type".to_owned(), "text/plain".to_owned()),
            ("content-md5".to_owned(), "XUFAKrxLKna5cZ2REBfFkg==".to_owned()),
            ("x-oss-forbid-overwrite".to_owned(), "true".to_owned()),
            ("x-oss-meta-owner".to_owned(), "me".to_owned()),
        ],
        body: Bytes::from_static(b"hello world"),
        ..call(Product::Oss, "PutObject", &[])
    };
    client(&server.base, lasting()).send(put).await.unwrap();
    let received = &server.received()[0];
    assert_eq!(received.uri.path(), "/examplebucket/dir%20a/obj%2B1.txt");
    assert_eq!(&received.body[..], b"hello world");
    assert_eq!(received.header("date"), "Fri, 02 Jan 2026 03:04:05 GMT");
    // The golden signature of the scheme: neither host nor body is covered.
    assert!(received.header("authorization").ends_with("Signature=43703b6a13d9906e2ef5366f900a6a960c8894f7788d1e230cc3942eca213365"));
}

#[tokio::test]
async fn a_sub_resource_has_no_equals_sign() {
    let server = Loopback::serve(|_| reply(200, "")).await;
    let get =
        Call { bucket: Some("b".to_owned()), method: http::Method::GET, ..call(Product::Oss, "GetBucketInfo", &[("bucketInfo", "")]) };
    client(&server.base, lasting()).send(get).await.unwrap();
    assert_eq!(server.received()[0].uri.to_string(), "/b/?bucketInfo");
}

#[tokio::test]
async fn a_refusal_keeps_the_words_of_the_service_but_no_secret() {
    let server = Loopback::serve(|_| {
        let body = r#"{"Code":"SignatureDoesNotMatch","Message":"server string to sign is:x-acs-security-token:CAIS+token/1==","RequestId":"R-1"}"#;
        http::Response::builder().status(400).header("x-acs-retry-after", "40").body(body.to_owned()).unwrap()
    })
    .await;
    let error = client(&server.base, session("CAIS+token/1==")).send(call(Product::Sts, "GetCallerIdentity", &[])).await.unwrap_err();
    assert_eq!(
        error,
        ApiError::Refused {
            action: "GetCallerIdentity",
            status: 400,
            code: "SignatureDoesNotMatch".to_owned(),
            message: "server string to sign is:x-acs-security-token:***".to_owned(),
            request_id: "R-1".to_owned(),
            retry_after: Some(Duration::from_millis(40)),
        }
    );
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_once_and_stays_so() {
    let server = Loopback::serve(|received| match received.header("x-acs-date") {
        "2026-01-02T04:04:05Z" => reply(200, "{}"),
        _ => {
            let refused = http::Response::builder().status(400).header("date", "Fri, 02 Jan 2026 04:04:05 GMT");
            refused.body(r#"{"Code":"InvalidTimeStamp.Expired","Message":"m"}"#.to_owned()).unwrap()
        }
    })
    .await;
    let cloud = client(&server.base, lasting());
    cloud.send(call(Product::Ecs, "DescribeRegions", &[])).await.unwrap();
    cloud.send(call(Product::Ecs, "DescribeRegions", &[])).await.unwrap();
    let received = server.received();
    let nonces: Vec<&str> = received.iter().map(|request| request.header("x-acs-signature-nonce")).collect();
    assert_eq!(nonces, ["nonce-1", "nonce-2", "nonce-3"], "each attempt is signed anew, the second call needs no correction");
}

#[tokio::test]
async fn a_clock_that_cannot_be_corrected_is_an_error() {
    let server = Loopback::serve(|_| {
        let refused = http::Response::builder().status(403).header("date", "Fri, 02 Jan 2026 04:04:05 GMT");
        refused.body("<Error><Code>RequestTimeTooSkewed</Code><Message>m</Message></Error>".to_owned()).unwrap()
    })
    .await;
    let error = client(&server.base, lasting()).send(call(Product::Oss, "ListBuckets", &[])).await.unwrap_err();
    assert_eq!((error.code(), server.received().len()), (Some("RequestTimeTooSkewed"), 2));
}

/// Hands out one session after another.
struct Sessions(Mutex<Vec<&'static str>>);

#[async_trait]
impl CredentialSource for Sessions {
    async fn get(&self) -> Result<Credentials, CredentialsError> {
        Ok(session(self.0.lock().unwrap()[0]))
    }

    async fn renew(&self, _: &Credentials) -> Result<Credentials, CredentialsError> {
        let mut tokens = self.0.lock().unwrap();
        if tokens.len() > 1 {
            tokens.remove(0);
        }
        Ok(session(tokens[0]))
    }
}

async fn with_sessions(tokens: &[&'static str]) -> (Result<Answer, ApiError>, usize) {
    let server = Loopback::serve(|received| match received.header("x-acs-security-token") {
        "token-good" => reply(200, "{}"),
        _ => reply(400, r#"{"Code":"InvalidSecurityToken.Expired","Message":"m"}"#),
    })
    .await;
    let outcome = client(&server.base, Sessions(Mutex::new(tokens.to_vec()))).send(call(Product::Ecs, "DescribeRegions", &[])).await;
    (outcome, server.received().len())
}

#[tokio::test]
async fn a_stale_session_is_renewed_once() {
    let (outcome, requests) = with_sessions(&["token-old", "token-good"]).await;
    assert_eq!((outcome.unwrap().status, requests), (200, 2));
    let (outcome, requests) = with_sessions(&["token-old", "token-older", "token-good"]).await;
    assert_eq!((outcome.unwrap_err().code(), requests), (Some("InvalidSecurityToken.Expired"), 2));
    let (outcome, requests) = with_sessions(&["token-old"]).await;
    assert_eq!((outcome.unwrap_err().code(), requests), (Some("InvalidSecurityToken.Expired"), 1), "there is no other session");
}

/// Refuses connections, answers billing's mainland site with the wrong site, all else with 200.
struct Wires(Mutex<Vec<String>>);

#[async_trait]
impl Exchange for Wires {
    async fn exchange(&self, request: http::Request<Bytes>, _: Duration) -> Result<http::Response<Bytes>, Failure> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        self.0.lock().unwrap().push(host.clone());
        match host.as_str() {
            "business.aliyuncs.com" => Ok(http::Response::new(Bytes::from_static(br#"{"Success":false,"Code":"NotApplicable"}"#))),
            "sts.cn-hangzhou.aliyuncs.com" => Err(Failure { reason: "refused".to_owned(), sent: false }),
            _ => Ok(http::Response::new(Bytes::from_static(br#"{"Success":true}"#))),
        }
    }
}

#[tokio::test]
async fn billing_is_asked_at_the_other_site_and_that_is_remembered() {
    let wires = Arc::new(Wires(Mutex::default()));
    let exchange: Arc<dyn Exchange> = wires.clone();
    let cloud = HttpCloud::new(Endpoint::Public, Arc::new(lasting()), exchange, Arc::new(Still(Timestamp::UNIX_EPOCH)));
    for _ in 0..2 {
        cloud.send(call(Product::Bss, "QueryAccountBalance", &[])).await.unwrap();
    }
    let international = "business.ap-southeast-1.aliyuncs.com";
    assert_eq!(*wires.0.lock().unwrap(), ["business.aliyuncs.com", international, international]);
    let lost = cloud.send(call(Product::Sts, "GetCallerIdentity", &[])).await.unwrap_err();
    assert_eq!(lost, ApiError::Lost { action: "GetCallerIdentity", reason: "refused".to_owned(), sent: false });
}

fn link<'a>(bucket: &'a str, key: &'a str, seconds: u64) -> Link<'a> {
    Link { method: http::Method::GET, region: "cn-hangzhou", bucket, key, seconds }
}

#[tokio::test]
async fn a_link_leads_to_the_internal_host_even_at_a_fixed_address() {
    let cloud = client("http://127.0.0.1:1", lasting());
    let short = cloud.presign(&link("examplebucket", "exampleobject", 3600)).await.unwrap();
    assert!(short.starts_with("http://examplebucket.oss-cn-hangzhou-internal.aliyuncs.com/exampleobject?x-oss-credential="), "{short}");
    assert!(short.ends_with("&x-oss-signature=09c824726b68af75e75ffe99bf6f207d35a519fa5f48ab0d3a889bd279587923"), "{short}");
    let long = cloud.presign(&link("b", "dir a/k", 1_000_000)).await.unwrap();
    assert!(long.contains("/dir%20a/k?") && long.contains("x-oss-expires=604800&"), "{long}");
}

struct Nobody;

#[async_trait]
impl CredentialSource for Nobody {
    async fn get(&self) -> Result<Credentials, CredentialsError> {
        Err(CredentialsError { tried: vec![Tried { provider: "environment", reason: "`X` is not set".to_owned() }] })
    }

    async fn renew(&self, _: &Credentials) -> Result<Credentials, CredentialsError> {
        self.get().await
    }
}

#[tokio::test]
async fn without_credentials_nothing_is_sent() {
    let server = Loopback::serve(|_| reply(200, "{}")).await;
    let error = client(&server.base, Nobody).send(call(Product::Ecs, "DescribeRegions", &[])).await.unwrap_err();
    assert!(matches!(&error, ApiError::Credentials(text) if text.contains("environment: `X` is not set")), "{error}");
    assert!(server.received().is_empty());
}
