//! How long it takes to look at a thousand instances in a cloud and to plan that nothing changed: `cargo bench --bench
//! refresh`. The cloud is the local one in the same process, so every call is signed, checked and answered for real.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use aliform::cloud::api::{Tag, ask};
use aliform::cloud::count::Counted;
use aliform::cloud::credentials::Credentials;
use aliform::cloud::ecs::instance::{RunInstances, SystemDisk};
use aliform::cloud::ecs::security_group::CreateSecurityGroup;
use aliform::cloud::endpoint::Endpoint;
use aliform::cloud::http::HttpCloud;
use aliform::cloud::http::transport::{Exchange, Failure};
use aliform::cloud::vpc::{CreateVSwitch, CreateVpc};
use aliform::local_cloud::LocalCloud;
use aliform::local_cloud::config::{Config, Latency, Quotas};
use aliform::local_cloud::machines::simulated::Simulated;
use aliform::local_cloud::wire::Request;
use aliform::model::address::{Address, Kind};
use aliform::model::clock::SystemClock;
use aliform::model::secret::Secret;
use aliform::plan::cost::Limits;
use aliform::plan::make::{Inputs, plan};
use aliform::plan::saved::Basis;
use aliform::resources::desired::{Desired, Node};
use aliform::resources::kind::Identity;
use aliform::resources::refresh::{Remembered, observe};
use async_trait::async_trait;
use bytes::Bytes;
use divan::Bencher;
use serde_json::json;

const REGION: &str = "cn-hangzhou";
const INSTANCES: usize = 1_000;
/// The most that one RunInstances makes.
const AT_ONCE: usize = 100;

fn main() {
    divan::main();
}

struct InProcess(LocalCloud);

#[async_trait]
impl Exchange for InProcess {
    async fn exchange(&self, request: http::Request<Bytes>, _limit: Duration) -> Result<http::Response<Bytes>, Failure> {
        let (head, body) = request.into_parts();
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let request = Request {
            method: head.method,
            host: head.uri.authority().map(ToString::to_string).unwrap_or_default(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect(),
            body,
            peer: None,
        };
        let response = self.0.handle(request).await;
        let answer = http::Response::builder().status(response.status).body(response.body);
        answer.map_err(|error| Failure { reason: error.to_string(), sent: true })
    }
}

struct World {
    cloud: Counted<HttpCloud>,
    desired: Desired,
    prior: BTreeMap<Address, Remembered>,
    identity: Identity,
}

/// A cloud with a thousand instances, and the state that remembers them.
async fn world() -> World {
    let latency = Latency { scale: 0.0, ..Latency::default() };
    let config = Config { latency, quotas: Quotas { vcpus: Some(10_000), ..Quotas::default() }, ..Config::default() };
    let local = LocalCloud::new(config, Arc::new(SystemClock), Arc::new(Simulated::default()));
    let key = Arc::new(Credentials::lasting("local", Secret::new("local"), "bench"));
    let cloud = Counted::new(HttpCloud::new(
        Endpoint::Fixed("http://127.0.0.1:1".to_owned()),
        key,
        Arc::new(InProcess(local)),
        Arc::new(SystemClock),
    ));
    let region_id = || REGION.to_owned();
    let network = CreateVpc { region_id: region_id(), cidr_block: "10.0.0.0/8".to_owned(), ..Default::default() };
    let vpc = ask(&cloud, REGION, &network).await.expect("a network").vpc_id;
    let subnet = CreateVSwitch {
        region_id: region_id(),
        vpc_id: vpc.clone(),
        zone_id: "cn-hangzhou-b".to_owned(),
        cidr_block: "10.0.0.0/16".to_owned(),
        ..Default::default()
    };
    let subnet = ask(&cloud, REGION, &subnet).await.expect("a subnet").v_switch_id;
    let group = CreateSecurityGroup { region_id: region_id(), vpc_id: vpc, security_group_name: "bench".to_owned(), ..Default::default() };
    let group = ask(&cloud, REGION, &group).await.expect("a group").security_group_id;
    let mut ids = Vec::new();
    for batch in 0..INSTANCES / AT_ONCE {
        let run = RunInstances {
            region_id: region_id(),
            zone_id: "cn-hangzhou-b".to_owned(),
            image_id: "aliyun_3_x64_20G_alibase_20260513.vhd".to_owned(),
            instance_type: "ecs.e-c1m2.large".to_owned(),
            security_group_id: group.clone(),
            v_switch_id: subnet.clone(),
            instance_name: "bench".to_owned(),
            host_name: "bench".to_owned(),
            instance_charge_type: "PostPaid".to_owned(),
            internet_charge_type: "PayByTraffic".to_owned(),
            system_disk: SystemDisk { category: "cloud_essd".to_owned(), size: "40".to_owned(), performance_level: Some("PL0".to_owned()) },
            amount: u32::try_from(AT_ONCE).expect("a small number"),
            client_token: format!("bench-{batch}"),
            tag: vec![Tag { key: "bench".to_owned(), value: batch.to_string() }],
            ..Default::default()
        };
        ids.extend(ask(&cloud, REGION, &run).await.expect("instances").instance_id_sets.instance_id_set);
    }
    let identity = Identity { stack: "bench".to_owned(), lineage: "0".to_owned() };
    let (mut desired, mut prior) = (Desired { region: REGION.to_owned(), ..Desired::default() }, BTreeMap::new());
    let wanted = json!({
        "name": "bench", "zone": "cn-hangzhou-b", "instance_type": "ecs.e-c1m2.large", "image_id": "aliyun_3_x64_20G_alibase_20260513.vhd",
        "vswitch_id": subnet, "security_group_id": group, "bandwidth": 0, "power": "running",
        "system_disk": { "category": "cloud_essd", "performance_level": "PL0", "size": 40 },
    });
    for (number, id) in ids.into_iter().enumerate() {
        let address = Address::new(Kind::Instance, format!("b-{number}"));
        desired.nodes.insert(address.clone(), Node { spec: wanted.clone(), depends_on: BTreeSet::new() });
        let attributes = json!(null);
        let known = Remembered { id, region: region_id(), spec: wanted.clone(), attributes, depends_on: Vec::new(), unfinished: None };
        prior.insert(address, known);
    }
    World { cloud, desired, prior, identity }
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn a_thousand_instances_looked_at_and_planned(bencher: Bencher<'_, '_>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let world = runtime.block_on(world());
    let before = world.cloud.total();
    runtime.block_on(observe(&world.cloud, &world.identity, &world.prior)).expect("a look");
    let calls = world.cloud.total() - before;
    assert!(calls * 40 <= INSTANCES, "{calls} calls for {INSTANCES} resources");
    bencher.bench_local(|| {
        let observed = runtime.block_on(observe(&world.cloud, &world.identity, &world.prior)).expect("a look");
        let basis = Basis { stack: "bench".to_owned(), lineage: "0".to_owned(), serial: 1, manifest_digest: String::new(), destroy: false };
        let inputs = Inputs {
            desired: &world.desired,
            prior: &world.prior,
            observed: &observed,
            quotes: &BTreeMap::new(),
            limits: Limits::default(),
            balance: None,
            replace: &BTreeSet::new(),
            basis,
            now: jiff::Timestamp::UNIX_EPOCH,
        };
        let made = plan(inputs).expect("a plan");
        assert!(made.is_empty(), "{:?}", made.actions().next());
        made
    });
}
