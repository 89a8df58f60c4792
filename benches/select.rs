//! How long it takes to weigh every type of every region: `cargo bench --bench select`. The cloud is the local one in
//! the same process, so every call is signed, checked and answered for real.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aliform::cloud::count::Counted;
use aliform::cloud::credentials::Credentials;
use aliform::cloud::endpoint::Endpoint;
use aliform::cloud::http::HttpCloud;
use aliform::cloud::http::transport::{Exchange, Failure};
use aliform::local_cloud::LocalCloud;
use aliform::local_cloud::config::{Config, Latency};
use aliform::local_cloud::machines::simulated::Simulated;
use aliform::local_cloud::wire::Request;
use aliform::manifest;
use aliform::model::clock::SystemClock;
use aliform::model::region::REGIONS;
use aliform::model::secret::Secret;
use aliform::pricing::lookup::CloudLookup;
use aliform::resolve::Surroundings;
use aliform::resolve::select::quote::quote;
use async_trait::async_trait;
use bytes::Bytes;
use divan::Bencher;

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

fn cloud() -> Counted<HttpCloud> {
    let config = Config { latency: Latency { scale: 0.0, ..Latency::default() }, ..Config::default() };
    let local = LocalCloud::new(config, Arc::new(SystemClock), Arc::new(Simulated::default()));
    let key = Arc::new(Credentials::lasting("local", Secret::new("local"), "bench"));
    let endpoint = Endpoint::Fixed("http://127.0.0.1:1".to_owned());
    Counted::new(HttpCloud::new(endpoint, key, Arc::new(InProcess(local)), Arc::new(SystemClock)))
}

#[divan::bench(args = ["{ cpu: 2, memory: 4GiB }", "{ gpu: { model: NVIDIA T4 } }"], sample_count = 5, sample_size = 1)]
fn all_regions(bencher: Bencher<'_, '_>, needs: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let cloud = cloud();
    let text = format!("version: 1\nstack: lab\njobs:\n  work: {{ run: echo hello, product: ecs, needs: {needs} }}\n");
    let manifest = manifest::parse("aliform.yaml", &text, Path::new("benches")).expect("a manifest");
    let regions: Vec<String> = REGIONS.iter().filter(|region| !region.closing).map(|region| region.id.to_owned()).collect();
    bencher.bench_local(|| {
        let (lookup, none) = (CloudLookup::new(&cloud), BTreeMap::new());
        let around = Surroundings { lookup: &lookup, decided: &none, lineage: "" };
        let before = cloud.total();
        let found = runtime.block_on(quote(&manifest, &regions, &around)).expect("a comparison");
        let calls = cloud.total() - before;
        assert!(calls <= 4 * regions.len() + 1, "{calls} calls for {} regions", regions.len());
        found
    });
}
