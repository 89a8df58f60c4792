//! Selection against the whole catalogue of the local cloud, in this process: how much it asks, that it asks at once,
//! and that it finds the cheapest.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aliform::cloud::call::{Answer, Call, Cloud, Link};
use aliform::cloud::credentials::Credentials;
use aliform::cloud::endpoint::Endpoint;
use aliform::cloud::error::ApiError;
use aliform::cloud::http::HttpCloud;
use aliform::cloud::http::transport::{Exchange, Failure};
use aliform::local_cloud::LocalCloud;
use aliform::local_cloud::config::{Config, Latency};
use aliform::local_cloud::machines::simulated::Simulated;
use aliform::local_cloud::wire::Request;
use aliform::manifest;
use aliform::model::clock::SystemClock;
use aliform::model::offer::{Comparison, Offer};
use aliform::model::region::REGIONS;
use aliform::model::secret::Secret;
use aliform::pricing::lookup::CloudLookup;
use aliform::resolve::Surroundings;
use aliform::resolve::select::quote::quote;
use async_trait::async_trait;
use bytes::Bytes;

use crate::stage::wait;

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

/// Counts calls by region, and how many were under way at once.
struct Watched {
    inner: HttpCloud,
    calls: Mutex<BTreeMap<(String, &'static str), usize>>,
    open: AtomicUsize,
    most: AtomicUsize,
}

#[async_trait]
impl Cloud for Watched {
    async fn send(&self, call: Call) -> Result<Answer, ApiError> {
        *self.calls.lock().unwrap().entry((call.region.clone(), call.action)).or_default() += 1;
        let open = self.open.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(open, Ordering::SeqCst);
        // Whoever asks at once comes in before the first answer goes out.
        tokio::task::yield_now().await;
        let answer = self.inner.send(call).await;
        self.open.fetch_sub(1, Ordering::SeqCst);
        answer
    }

    async fn presign(&self, link: &Link<'_>) -> Result<String, ApiError> {
        self.inner.presign(link).await
    }
}

fn cloud() -> Watched {
    let config = Config { latency: Latency { scale: 0.0, ..Latency::default() }, ..Config::default() };
    let local = LocalCloud::new(config, Arc::new(SystemClock), Arc::new(Simulated::default()));
    let key = Arc::new(Credentials::lasting("local", Secret::new("local"), "test"));
    let endpoint = Endpoint::Fixed("http://127.0.0.1:1".to_owned());
    let inner = HttpCloud::new(endpoint, key, Arc::new(InProcess(local)), Arc::new(SystemClock));
    Watched { inner, calls: Mutex::default(), open: AtomicUsize::new(0), most: AtomicUsize::new(0) }
}

/// Compares for a job with these needs.
fn compared(cloud: &Watched, needs: &str, regions: &[&str]) -> Comparison {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("version: 1\nstack: lab\njobs:\n  work: {{ run: echo hello, product: ecs, needs: {needs}, timeout: 1h }}\n");
    let manifest = manifest::parse("aliform.yaml", &text, folder.path()).unwrap();
    let (lookup, none) = (CloudLookup::new(cloud), BTreeMap::new());
    let around = Surroundings { lookup: &lookup, decided: &none, lineage: "" };
    let regions: Vec<String> = regions.iter().map(|region| (*region).to_owned()).collect();
    wait(quote(&manifest, &regions, &around)).unwrap().remove("jobs.work").unwrap()
}

#[test]
fn all_regions_and_types_take_four_calls_a_region_and_one_for_the_types_all_at_once() {
    let cloud = cloud();
    let all: Vec<&str> = REGIONS.iter().filter(|region| !region.closing).map(|region| region.id).collect();
    let found = compared(&cloud, "{ cpu: 2, memory: 4GiB }", &all);
    let mut by_region: BTreeMap<String, usize> = BTreeMap::new();
    let mut types = 0;
    for ((region, action), count) in cloud.calls.lock().unwrap().iter() {
        if *action == "DescribeInstanceTypes" { types += count } else { *by_region.entry(region.clone()).or_default() += count }
    }
    assert_eq!(types, 1);
    assert!(by_region.len() == 30 && by_region.values().all(|calls| *calls <= 4), "{by_region:?}");
    let most = cloud.most.load(Ordering::SeqCst);
    assert!(most >= 28, "{most} at once");
    let chosen: Vec<&Offer> = found.offers.iter().filter(|offer| offer.chosen).collect();
    assert_eq!(chosen.len(), 1);
    let cheapest = found.offers.iter().filter_map(|offer| offer.total).map(|total| total.amount).min();
    assert_eq!(chosen[0].total.map(|total| total.amount), cheapest);
    // Where nothing is sold that is said.
    assert!(found.offers.iter().any(|offer| offer.because == "nothing with 2 vCPU, 4GiB is in stock there"), "{:?}", found.offers.last());
}

#[test]
fn needs_are_held_by_whatever_is_chosen() {
    let cloud = cloud();
    let first = |needs: &str| {
        let offer = compared(&cloud, needs, &["cn-hangzhou"]).offers.remove(0);
        assert!(offer.chosen, "{needs}: {}", offer.because);
        format!("{} {} {} {} {}", offer.what, offer.vcpu, offer.memory, offer.gpu.unwrap_or_default(), offer.architecture)
    };
    let t4 = first("{ gpu: { model: NVIDIA T4 } }");
    assert_eq!(t4, "ecs.gn6i-c4g1.xlarge 4 15GiB 1 x NVIDIA T4 X86", "a slice of a card is cheaper, and no card");
    assert_eq!(first("{ gpu: { model: T4 } }"), t4, "the last word of a model is enough");
    assert!(first("{ cpu: 32, gpu: { model: NVIDIA T4, count: 2 } }").contains("2 x NVIDIA T4"));
    assert!(first("{ cpu: 2, memory: 4GiB, arch: arm }").ends_with(" ARM"));
    assert!(first("{ cpu: 2, memory: 4GiB }").ends_with(" X86"));
    assert!(first("{ cpu: 3, memory: 5GiB }").contains(" 4 8GiB "));
}
