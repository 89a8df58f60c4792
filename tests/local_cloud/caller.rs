//! A caller of the tests' own: signs with nothing but the documented algorithm and reads plain JSON.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aliform::local_cloud::LocalCloud;
use aliform::local_cloud::config::Config;
use aliform::local_cloud::machines::simulated::Simulated;
use aliform::local_cloud::wire::{Request, Response};
use aliform::model::clock::{Clock, RuntimeClock};
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

pub(crate) const START: &str = "2026-01-02T03:04:05Z";
pub(crate) const TYPE: &str = "ecs.u1-c1m2.large";
pub(crate) const IMAGE: &str = "aliyun_3_x64_20G_alibase_20260513.vhd";

const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

pub(crate) fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// A local cloud and somebody who calls it.
pub(crate) struct Caller {
    pub(crate) cloud: Arc<LocalCloud>,
    pub(crate) clock: Arc<RuntimeClock>,
    pub(crate) machines: Arc<Simulated>,
    nonce: Arc<AtomicU64>,
    pub(crate) key: (String, String),
    /// What comes with a temporary key.
    pub(crate) token: Option<String>,
}

/// An error answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Caller {
    pub(crate) fn new(config: Config) -> Caller {
        Caller::with(config, Simulated::default())
    }

    pub(crate) fn with(config: Config, machines: Simulated) -> Caller {
        let clock = Arc::new(RuntimeClock::starting_at(START.parse().unwrap()));
        let machines = Arc::new(machines);
        let cloud = LocalCloud::new(config, clock.clone(), machines.clone());
        Caller::of(cloud, clock, machines)
    }

    pub(crate) fn of(cloud: LocalCloud, clock: Arc<RuntimeClock>, machines: Arc<Simulated>) -> Caller {
        // Nonces must differ between callers of the same store, too.
        let first = u64::try_from(clock.now().as_microsecond()).unwrap() * 1000;
        Caller {
            cloud: Arc::new(cloud),
            clock,
            machines,
            nonce: Arc::new(AtomicU64::new(first)),
            key: ("local".to_owned(), "local".to_owned()),
            token: None,
        }
    }

    /// Somebody else who calls the same cloud.
    pub(crate) fn with_key(&self, id: &str, secret: &str) -> Caller {
        let (cloud, clock, machines, nonce) = (self.cloud.clone(), self.clock.clone(), self.machines.clone(), self.nonce.clone());
        Caller { cloud, clock, machines, nonce, key: (id.to_owned(), secret.to_owned()), token: None }
    }

    pub(crate) fn now(&self) -> jiff::Timestamp {
        self.clock.now()
    }

    /// A signed request as the SDKs send it: everything in the query.
    pub(crate) fn request(&self, version: &str, action: &str, params: &[(&str, &str)]) -> Request {
        let params: BTreeMap<&str, &str> = params.iter().copied().collect();
        let query: Vec<String> = params.iter().map(|(key, value)| format!("{key}={}", encode(value))).collect();
        let query = query.join("&");
        let host = "127.0.0.1:8080";
        let date = self.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let nonce = self.nonce();
        let mut headers = BTreeMap::from([
            ("accept", "application/json".to_owned()),
            ("host", host.to_owned()),
            ("x-acs-action", action.to_owned()),
            ("x-acs-content-sha256", sha256(b"")),
            ("x-acs-date", date),
            ("x-acs-signature-nonce", nonce),
            ("x-acs-version", version.to_owned()),
        ]);
        headers.extend(self.token.clone().map(|token| ("x-acs-security-token", token)));
        let names = headers.keys().copied().collect::<Vec<_>>().join(";");
        let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let canonical = format!("POST\n/\n{query}\n{lines}\n{names}\n{}", sha256(b""));
        let text = format!("ACS3-HMAC-SHA256\n{}", sha256(canonical.as_bytes()));
        let signature = hex::encode(hmac(self.key.1.as_bytes(), text.as_bytes()));
        let mut headers: Vec<(String, String)> = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let authorization = format!("ACS3-HMAC-SHA256 Credential={},SignedHeaders={names},Signature={signature}", self.key.0);
        headers.push(("authorization".to_owned(), authorization));
        Request {
            method: http::Method::POST,
            host: host.to_owned(),
            path: "/".to_owned(),
            query,
            headers,
            body: bytes::Bytes::new(),
            peer: None,
        }
    }

    async fn call(&self, version: &str, action: &str, params: &[(&str, &str)]) -> Result<Json, Refusal> {
        read(&self.cloud.handle(self.request(version, action, params)).await)
    }

    pub(crate) async fn ecs(&self, action: &str, params: &[(&str, &str)]) -> Result<Json, Refusal> {
        self.call("2014-05-26", action, &with_region(params)).await
    }

    pub(crate) async fn vpc(&self, action: &str, params: &[(&str, &str)]) -> Result<Json, Refusal> {
        self.call("2016-04-28", action, &with_region(params)).await
    }

    pub(crate) async fn sts(&self, action: &str) -> Result<Json, Refusal> {
        self.sts_with(action, &[]).await
    }

    pub(crate) async fn sts_with(&self, action: &str, params: &[(&str, &str)]) -> Result<Json, Refusal> {
        self.call("2015-04-01", action, params).await
    }

    /// The same cloud called with the key of a session.
    pub(crate) fn with_session(&self, answer: &Json) -> Caller {
        let field = |name: &str| text(answer, &format!("/Credentials/{name}"));
        let mut caller = self.with_key(&field("AccessKeyId"), &field("AccessKeySecret"));
        caller.token = Some(field("SecurityToken"));
        caller
    }

    /// A number that was never used.
    pub(crate) fn nonce(&self) -> String {
        self.nonce.fetch_add(1, Ordering::Relaxed).to_string()
    }

    pub(crate) async fn bss(&self, action: &str) -> Result<Json, Refusal> {
        self.priced(action, &[]).await
    }

    /// A call of billing with parameters.
    pub(crate) async fn priced(&self, action: &str, params: &[(&str, &str)]) -> Result<Json, Refusal> {
        self.call("2017-12-14", action, params).await
    }

    /// A VPC, a vSwitch in zone h and a security group, ready to be used.
    pub(crate) async fn network(&self) -> Network {
        let vpc = text(&self.vpc("CreateVpc", &[("CidrBlock", "192.168.0.0/16")]).await.unwrap(), "/VpcId");
        sleep(1000).await;
        let params = [("VpcId", vpc.as_str()), ("ZoneId", "cn-hangzhou-h"), ("CidrBlock", "192.168.1.0/24")];
        let vswitch = text(&self.vpc("CreateVSwitch", &params).await.unwrap(), "/VSwitchId");
        sleep(1000).await;
        let group = text(&self.ecs("CreateSecurityGroup", &[("VpcId", &vpc)]).await.unwrap(), "/SecurityGroupId");
        Network { vpc, vswitch, group }
    }

    /// An instance with a public address, accepted.
    pub(crate) async fn run(&self, network: &Network, more: &[(&str, &str)]) -> Result<Vec<String>, Refusal> {
        let mut params = vec![
            ("ImageId", IMAGE),
            ("InstanceType", TYPE),
            ("VSwitchId", &network.vswitch),
            ("SecurityGroupId", &network.group),
            ("InternetMaxBandwidthOut", "5"),
        ];
        params.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
        params.extend_from_slice(more);
        let answer = self.ecs("RunInstances", &params).await?;
        Ok(answer["InstanceIdSets"]["InstanceIdSet"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect())
    }

    /// The same, running and with its agent awake.
    pub(crate) async fn running(&self, network: &Network) -> String {
        let id = self.run(network, &[]).await.unwrap().remove(0);
        sleep(3000).await;
        assert_eq!(self.status(&id).await.as_deref(), Some("Running"));
        id
    }

    /// An instance as it is described.
    pub(crate) async fn instance(&self, id: &str) -> Option<Json> {
        let answer = self.ecs("DescribeInstances", &[("InstanceIds", &format!("[\"{id}\"]"))]).await.unwrap();
        answer["Instances"]["Instance"].get(0).cloned()
    }

    pub(crate) async fn status(&self, id: &str) -> Option<String> {
        Some(text(&self.instance(id).await?, "/Status"))
    }
}

pub(crate) struct Network {
    pub(crate) vpc: String,
    pub(crate) vswitch: String,
    pub(crate) group: String,
}

fn with_region<'a>(params: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut params = params.to_vec();
    if !params.iter().any(|(name, _)| *name == "RegionId") {
        params.push(("RegionId", "cn-hangzhou"));
    }
    params
}

/// An answer, or the error in it.
pub(crate) fn read(response: &Response) -> Result<Json, Refusal> {
    assert!(!response.dropped, "the answer is lost");
    let body: Json = serde_json::from_slice(&response.body).unwrap();
    let request_id = body["RequestId"].as_str().unwrap();
    assert_eq!(response.header("x-acs-request-id"), Some(request_id));
    if response.status < 400 {
        return Ok(body);
    }
    for field in ["HostId", "Recommend"] {
        assert!(body[field].is_string(), "{body}");
    }
    Err(Refusal { status: response.status, code: text(&body, "/Code"), message: text(&body, "/Message") })
}

pub(crate) fn text(json: &Json, pointer: &str) -> String {
    json.pointer(pointer).and_then(Json::as_str).unwrap_or_else(|| panic!("no text at {pointer} of {json}")).to_owned()
}

/// Lets so many milliseconds pass; with paused time they take none.
pub(crate) async fn sleep(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

/// The code of an error, or the answer that should have been one.
pub(crate) fn code(result: Result<Json, Refusal>) -> String {
    match result {
        Err(refusal) => refusal.code,
        Ok(answer) => format!("answered: {answer}"),
    }
}
