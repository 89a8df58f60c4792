//! An Alibaba Cloud on your own machine: it speaks the real protocol, checks signatures, and behaves as the real one
//! does, states, quotas and mistakes included. Clients cannot tell it from the real one, and it must never know them.
//!
//! | file | what it does |
//! |---|---|
//! | [`config`] | the account, how long things take, what is in stock, what goes wrong |
//! | [`scenario`] | what of it can be chosen while it runs, and reading it |
//! | [`calls`] | what was asked of late |
//! | `clock`, `current` | the cloud's own time, the configuration that counts now |
//! | [`wire`] | requests, responses, parameters, envelopes |
//! | `auth` | signatures recomputed |
//! | `dispatch`, `call`, `roa` | which call it is, and its way through the world |
//! | `store` | the world and the log that outlives it |
//! | `runtime`, `keeper`, `delivery` | what goes on after a call was answered |
//! | `catalog` | what is sold, where, at what price |
//! | [`machines`] | what instances are made of |
//! | [`serve`], [`tls`], `control` | HTTP, plain and over TLS, and the paths that are no part of the real API |
//! | the others | one for each part of a product |
//!
//! On disk, below the directory it is given: `store.version`, `snapshot.json`, `changes.<n>.log`, `store.lock`,
//! `objects/`, `scenario.json`, `requests.log`, `ca.pem`, `ca.key`, `sts.key`.

mod account;
mod account_attributes;
mod assistant;
mod auth;
pub mod billing;
mod bss;
mod call;
pub mod calls;
mod catalog;
mod clock;
pub mod config;
mod control;
mod cs;
mod current;
mod delivery;
mod disk;
mod dispatch;
mod eip;
mod faults;
mod fc;
mod idempotency;
mod image;
mod instance;
mod instance_type;
mod keeper;
mod key_pair;
mod keys;
mod kubernetes;
pub mod machines;
mod market;
mod nat;
mod oss;
mod paging;
mod pai;
mod price;
mod region;
mod roa;
mod route;
mod runtime;
pub mod scenario;
mod security_group;
pub mod serve;
pub mod statement;
mod stock;
pub mod store;
mod sts;
mod tags;
mod time;
pub mod tls;
mod vpc;
mod vswitch;
pub mod wire;

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use rust_decimal::Decimal;
use serde::Serialize;
use tokio::sync::watch;

use crate::model::clock::Clock;
use billing::Bill;
use calls::CallRecord;
use calls::asked::Asked;
use config::{Config, Faults, ReclaimRule, StockRule};
use keys::Keys;
use machines::Machines;
use runtime::Shared;
use scenario::Scenario;
use statement::Statement;
use store::World;
use store::blobs::Blobs;
use store::log::{Log, StoreError};
use tls::TlsError;
use wire::{Request, Response};

/// The cloud. Dropping it ends all that goes on inside, each task at its next turn; a durable one can be opened again
/// once they have had it.
pub struct LocalCloud {
    shared: Arc<Shared>,
    /// Where it lives, if it outlives its server.
    directory: Option<PathBuf>,
    /// A word from it, or its end, is the end of all tasks.
    open: watch::Sender<()>,
}

/// A resource that is there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Listed {
    /// `vpc`, `vswitch`, `security_group`, `instance`, `disk`, `key_pair`, `command`, `eip`, `nat_gateway`, `snat_entry`,
    /// `bucket`, `object`, `multipart_upload`, `function`, `function_trigger`, `cluster`, `node_pool`, `workspace` or
    /// `training_job`.
    pub kind: &'static str,
    /// Its id; an object's is `bucket/key`, a multipart upload's `bucket/key?uploadId=id`, a trigger's `function/trigger`.
    pub id: String,
    /// The region.
    pub region: String,
    /// Its state as the product names it.
    pub status: String,
    /// Its tags.
    pub tags: std::collections::BTreeMap<String, String>,
}

impl LocalCloud {
    /// An empty cloud in memory.
    pub fn new(config: Config, clock: Arc<dyn Clock>, machines: Arc<dyn Machines>) -> LocalCloud {
        let seed = config.seed;
        LocalCloud::with(config, clock, machines, World::default(), (None, Blobs::in_memory(), Keys::in_memory(seed)))
    }

    /// A cloud that lives in `dir` and outlives its server. An answer that says that something happened is given only
    /// once it is on disk. Public addresses follow from the directory, whatever `config` says.
    ///
    /// # Errors
    /// If another server has the directory, if it can't be read or written, or if what is there is damaged.
    pub fn open(dir: &Path, config: Config, clock: Arc<dyn Clock>, machines: Arc<dyn Machines>) -> Result<LocalCloud, StoreError> {
        let mut world = World::default();
        let log = Log::open(dir, |record| world.load(record))?;
        let at = |source| StoreError::Io { path: dir.to_owned(), source };
        let blobs = Blobs::in_directory(dir.join("objects")).map_err(at)?;
        let of_parts = world.parts.values().map(|part| part.digest.as_str());
        let packages = world.functions.values().filter_map(|function| function.code.as_ref().map(|code| code.digest.as_str()));
        let of_objects = world.objects.values().flat_map(|object| object.content.digests());
        let named: std::collections::BTreeSet<&str> = of_objects.chain(of_parts).chain(packages).collect();
        blobs.keep_only(&|name| named.contains(name)).map_err(at)?;
        let address_space = std::fs::canonicalize(dir).map_err(at)?.display().to_string();
        let config = Config { address_space, ..config };
        let chosen = scenario::kept::read(dir)?;
        let config = chosen.iter().fold(config, |config, scenario| scenario.over(&config));
        let storage = (Some(Arc::new(log)), blobs, Keys::in_directory(dir.to_owned()));
        let mut cloud = LocalCloud::with(config, clock, machines, world, storage);
        cloud.shared.calls.write_to(&dir.join("requests.log"));
        cloud.directory = Some(dir.to_owned());
        Ok(cloud)
    }

    fn with(
        config: Config,
        clock: Arc<dyn Clock>,
        machines: Arc<dyn Machines>,
        world: World,
        storage: (Option<Arc<Log>>, Blobs, Keys),
    ) -> LocalCloud {
        let (open, closed) = watch::channel(());
        LocalCloud { shared: Shared::new(config, clock, machines, world, storage, closed), directory: None, open }
    }

    /// Takes up what an earlier server left: adopts machines, boots those that should run, goes on with commands. The
    /// first request does it too; a server does it before.
    pub async fn wake(&self) {
        self.shared.wake().await;
    }

    /// Answers a request. Needs a tokio runtime: machines are looked after by tasks of their own.
    pub async fn handle(&self, request: Request) -> Response {
        self.shared.wake().await;
        let (at, began) = (self.shared.wall_now(), tokio::time::Instant::now());
        let asked = Asked::of(&request, self.shared.catalog);
        let fate = self.shared.fate(&asked);
        if !fate.delay.is_zero() {
            tokio::time::sleep(fate.delay).await;
        }
        let response = if fate.lost_request {
            Response::lost()
        } else {
            let mut response = dispatch::answer(&self.shared, &request, &asked.params, fate.refused).await;
            response.dropped |= fate.lost_answer;
            if response.header("date").is_none() {
                response.headers.push(("date".to_owned(), time::http(self.shared.now())));
            }
            response
        };
        self.shared.calls.note(at, began.elapsed(), &request, asked, &response);
        response
    }

    /// The calls after a number, oldest first: at most so many of the newest.
    pub fn calls(&self, after: u64, most: usize) -> Vec<Arc<CallRecord>> {
        self.shared.calls.after(after, most)
    }

    /// What is chosen now.
    pub fn scenario(&self) -> Scenario {
        self.shared.scenario()
    }

    /// Lets all that a scenario says count from now on, and in a cloud that outlives its server also in the next one.
    ///
    /// # Errors
    /// If it can't be written down; then it does not count.
    pub async fn set_scenario(&self, scenario: &Scenario) -> Result<(), StoreError> {
        if let Some(directory) = &self.directory {
            scenario::kept::write(directory, scenario)?;
        }
        let number = self.shared.set_scenario(scenario);
        self.settle(number).await
    }

    /// Lets the cloud's time jump ahead.
    ///
    /// # Errors
    /// If that can't be written down.
    pub async fn advance_clock(&self, by: std::time::Duration) -> Result<(), StoreError> {
        let number = self.shared.advance(by);
        self.settle(number).await
    }

    /// The cloud's own time.
    pub fn now(&self) -> jiff::Timestamp {
        self.shared.now()
    }

    /// What the account has left, in CNY.
    pub fn balance(&self) -> Decimal {
        self.shared.config.balance - self.spent()
    }

    async fn settle(&self, number: u64) -> Result<(), StoreError> {
        let path = || self.directory.clone().unwrap_or_default();
        self.shared.settle(number).await.map_err(|reason| StoreError::Io { path: path(), source: std::io::Error::other(reason) })
    }

    /// Answers a request to the Kubernetes API of a cluster, whose path begins with `/_kubernetes/<cluster>/`. Who asks is
    /// the request's peer. The body may come bit by bit: a watch lasts as long as somebody reads it.
    pub async fn kubernetes(&self, request: Request) -> http::Response<BoxBody<Bytes, Infallible>> {
        self.shared.wake().await;
        let (_never, ending) = watch::channel(false);
        kubernetes::api::serve(&self.shared, &request, ending).await
    }

    /// The certificate, in PEM, that clients over TLS have to trust. Made with the first call; a durable cloud keeps it
    /// as `ca.pem` in its directory.
    ///
    /// # Errors
    /// If it can't be made, read or written.
    pub fn certificate_authority(&self) -> Result<String, TlsError> {
        Ok(self.shared.authority()?.pem().to_owned())
    }

    /// Everything that is there; empty when nothing is left.
    pub fn resources(&self) -> Vec<Listed> {
        let (outcome, _) = self.shared.commit(list);
        outcome
    }

    /// The ids of all machines: those of instances, and of pods of clusters and of training jobs.
    pub fn machine_ids(&self) -> Vec<String> {
        let world = self.shared.world();
        let trained = world.jobs.values().flat_map(|job| job.machines());
        let pods = kubernetes::kubelet::machine::machines(&world).into_iter().chain(trained).map(|machine| machine.id);
        world.instances.values().map(|row| row.id.clone()).chain(pods).collect()
    }

    /// Ends all that goes on inside, as dropping it does, and keeps it readable. From now on a machine that ends was ended
    /// with the server, and none is started again for it.
    pub fn close(&self) {
        self.shared.world().index.closing = true;
        self.open.send_replace(());
    }

    /// Ends every instance of every function and takes no invocation any more: the server goes down. Whoever waits for
    /// one is told.
    pub async fn end_functions(&self) {
        fc::end_all(&self.shared).await;
    }

    /// The bill so far, line by line.
    pub fn bills(&self) -> Vec<Bill> {
        self.shared.world().bills.values().cloned().collect()
    }

    /// The bill as it is shown.
    pub fn statement(&self) -> Statement {
        Statement::new(self.bills().into_iter(), self.shared.config.balance, self.now())
    }

    /// What the account has spent so far, in CNY.
    pub fn spent(&self) -> Decimal {
        self.shared.world().index.spending.until(self.shared.now())
    }

    /// Replaces what differs from full stock.
    pub fn set_stock(&self, rules: Vec<StockRule>) {
        self.shared.world().index.stock = rules;
    }

    /// Replaces the rules by which spot instances are taken back; those that are there follow the new ones at once.
    pub fn set_reclaims(&self, rules: Vec<ReclaimRule>) {
        self.shared.commit(|world, now| instance::spot::set_rules(world, rules, now));
    }

    /// Lets other things go wrong from now on, drawn anew from the seed.
    pub fn set_faults(&self, faults: Option<Faults>) {
        self.shared.set_faults(faults);
    }
}

fn list(world: &mut World, now: jiff::Timestamp) -> Vec<Listed> {
    let mut all = Vec::new();
    let mut add = |kind, id: &str, region: &str, status: &str, tags: &wire::params::Tags| {
        all.push(Listed { kind, id: id.to_owned(), region: region.to_owned(), status: status.to_owned(), tags: tags.clone() });
    };
    world.vpcs.values().for_each(|row| add("vpc", &row.id, &row.region, row.status(now), &row.tags));
    world.vswitches.values().for_each(|row| add("vswitch", &row.id, &row.region, row.status(now), &row.tags));
    world.groups.values().for_each(|row| add("security_group", &row.id, &row.region, "Available", &row.tags));
    world.instances.values().for_each(|row| add("instance", &row.id, &row.region, row.status(now), &row.tags));
    // A disk that is attached goes with its instance.
    let alone = world.disks.values().filter(|row| row.instance.is_none());
    alone.for_each(|row| add("disk", &row.id, &row.region, "Available", &row.tags));
    world.key_pairs.values().for_each(|row| add("key_pair", &row.name, &row.region, "Available", &row.tags));
    world.commands.values().for_each(|row| add("command", &row.id, &row.region, "Available", &row.tags));
    world.eips.values().for_each(|row| add("eip", &row.id, &row.region, row.status(now), &row.tags));
    world.functions.values().for_each(|row| add("function", &row.name, &row.region, row.state(), &row.tags));
    world.nat_gateways.values().for_each(|row| add("nat_gateway", &row.id, &row.region, row.status(now), &row.tags));
    let untagged = wire::params::Tags::new();
    world.snat_entries.values().for_each(|row| add("snat_entry", &row.id, &row.region, row.status(now), &untagged));
    for row in world.function_triggers.values() {
        add("function_trigger", &format!("{}/{}", row.function, row.name), &row.region, "Available", &untagged);
    }
    world.buckets.values().for_each(|row| add("bucket", &row.name, &row.region, "Available", &row.tags));
    world.clusters.values().for_each(|row| add("cluster", &row.id, &row.region, row.state(now), &row.tags));
    for row in world.node_pools.values() {
        let region = world.clusters.get(&row.cluster).map_or("", |cluster| cluster.region.as_str());
        add("node_pool", &row.id, region, row.state(now), &row.tags());
    }
    pai::workspace::all(world).for_each(|row| add("workspace", &row.id, &row.region, row.status(now), &untagged));
    world.jobs.values().for_each(|row| add("training_job", &row.id, &row.region, row.status(now).name(), &row.tags));
    let region = |bucket: &str| world.buckets.get(bucket).map_or("", |bucket| bucket.region.as_str());
    for (id, object) in world.objects.iter() {
        let bucket = id.split_once('/').map_or("", |(bucket, _)| bucket);
        add("object", id, region(bucket), "Available", &object.description.tags);
    }
    for upload in world.uploads.values() {
        let id = format!("{}/{}?uploadId={}", upload.bucket, upload.key, upload.id);
        add("multipart_upload", &id, region(&upload.bucket), "InProgress", &upload.description.tags);
    }
    all
}
