//! An Alibaba Cloud on your own machine: it speaks the real protocol, checks signatures, and behaves as the real one
//! does, states, quotas and mistakes included. Clients cannot tell it from the real one, and it must never know them.
//!
//! | file | what it does |
//! |---|---|
//! | [`config`] | the account, how long things take, what is in stock, what goes wrong |
//! | [`wire`] | requests, responses, parameters, envelopes |
//! | `auth` | signatures recomputed |
//! | `dispatch`, `call`, `roa` | which call it is, and its way through the world |
//! | `store` | the world and the log that outlives it |
//! | `runtime`, `keeper`, `delivery` | what goes on after a call was answered |
//! | `catalog` | what is sold, where, at what price |
//! | [`machines`] | what instances are made of |
//! | [`serve`] | HTTP |
//! | the others | one for each part of a product |
//!
//! On disk, below the directory it is given: `snapshot.json`, `changes.<n>.log`, `store.lock`, `objects/`.

mod account;
mod account_attributes;
mod assistant;
mod auth;
pub mod billing;
mod bss;
mod call;
mod catalog;
pub mod config;
mod cs;
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
mod security_group;
pub mod serve;
mod stock;
pub mod store;
mod tags;
mod time;
mod vpc;
mod vswitch;
pub mod wire;

use std::path::Path;
use std::sync::Arc;

use rust_decimal::Decimal;
use serde::Serialize;
use tokio::sync::watch;

use crate::model::clock::Clock;
use billing::Bill;
use config::{Config, Faults, ReclaimRule, StockRule};
use machines::Machines;
use runtime::Shared;
use store::World;
use store::blobs::Blobs;
use store::log::{Log, StoreError};
use wire::{Request, Response};

/// The cloud. Dropping it ends all that goes on inside, each task at its next turn; a durable one can be opened again
/// once they have had it.
pub struct LocalCloud {
    shared: Arc<Shared>,
    /// Its end is the end of all tasks.
    _open: watch::Sender<()>,
}

/// A resource that is there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Listed {
    /// `vpc`, `vswitch`, `security_group`, `instance`, `disk`, `key_pair`, `command`, `eip`, `nat_gateway`, `snat_entry`,
    /// `bucket`, `object` or `multipart_upload`.
    pub kind: &'static str,
    /// Its id; an object's is `bucket/key`, a multipart upload's `bucket/key?uploadId=id`.
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
        LocalCloud::with(config, clock, machines, World::default(), (None, Blobs::in_memory()))
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
        let named: std::collections::BTreeSet<&str> =
            world.objects.values().flat_map(|object| object.content.digests()).chain(of_parts).collect();
        blobs.keep_only(&|name| named.contains(name)).map_err(at)?;
        let address_space = std::fs::canonicalize(dir).map_err(at)?.display().to_string();
        let config = Config { address_space, ..config };
        Ok(LocalCloud::with(config, clock, machines, world, (Some(Arc::new(log)), blobs)))
    }

    fn with(
        config: Config,
        clock: Arc<dyn Clock>,
        machines: Arc<dyn Machines>,
        world: World,
        storage: (Option<Arc<Log>>, Blobs),
    ) -> LocalCloud {
        let (open, closed) = watch::channel(());
        LocalCloud { shared: Shared::new(config, clock, machines, world, storage, closed), _open: open }
    }

    /// Takes up what an earlier server left: adopts machines, boots those that should run, goes on with commands. The
    /// first request does it too; a server does it before.
    pub async fn wake(&self) {
        self.shared.wake().await;
    }

    /// Answers a request. Needs a tokio runtime: machines are looked after by tasks of their own.
    pub async fn handle(&self, request: Request) -> Response {
        self.shared.wake().await;
        let fate = self.shared.fate();
        if !fate.delay.is_zero() {
            tokio::time::sleep(fate.delay).await;
        }
        if fate.lost_request {
            return Response::lost();
        }
        let mut response = dispatch::answer(&self.shared, &request, fate.refused).await;
        response.dropped |= fate.lost_answer;
        response
    }

    /// Everything that is there; empty when nothing is left.
    pub fn resources(&self) -> Vec<Listed> {
        let (outcome, _) = self.shared.commit(list);
        outcome
    }

    /// The ids of all instances.
    pub fn machine_ids(&self) -> Vec<String> {
        self.shared.world().instances.values().map(|row| row.id.clone()).collect()
    }

    /// The bill so far, line by line.
    pub fn bills(&self) -> Vec<Bill> {
        self.shared.world().bills.values().cloned().collect()
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
    world.nat_gateways.values().for_each(|row| add("nat_gateway", &row.id, &row.region, row.status(now), &row.tags));
    let untagged = wire::params::Tags::new();
    world.snat_entries.values().for_each(|row| add("snat_entry", &row.id, &row.region, row.status(now), &untagged));
    world.buckets.values().for_each(|row| add("bucket", &row.name, &row.region, "Available", &row.tags));
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
