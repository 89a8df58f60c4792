//! One history: manifests, applies, crashes, and what must hold at its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use aliform::apply::recover::recover;
use aliform::apply::remember::remembered;
use aliform::apply::run::apply;
use aliform::apply::world::World;
use aliform::cloud::credentials::Credentials;
use aliform::cloud::endpoint::Endpoint;
use aliform::cloud::http::HttpCloud;
use aliform::cloud::retry::{RetryPolicy, Retrying, SeededJitter};
use aliform::local_cloud::LocalCloud;
use aliform::local_cloud::config::Config;
use aliform::local_cloud::machines::simulated::{Behaviour, Simulated};
use aliform::manifest;
use aliform::model::clock::{Clock, RuntimeClock};
use aliform::model::event::Silent;
use aliform::model::secret::{Secret, SecretSource, Secrets};
use aliform::plan::cost::Limits;
use aliform::plan::make::{Inputs, plan, to_price};
use aliform::plan::saved::{Basis, Plan};
use aliform::pricing::lookup::CloudLookup;
use aliform::pricing::quote::quote_all;
use aliform::resolve::bundles::Bundles;
use aliform::resolve::{Surroundings, resolve};
use aliform::resources::desired::Desired;
use aliform::resources::kind::Identity;
use aliform::resources::refresh::observe;
use aliform::state::lock::Owner;
use aliform::state::store::{Durability, Moment, OpenOptions, Store, Verdict};
use tokio::sync::watch;

use crate::faulty::{BadLine, Dice};

/// What happened in a history, to be sure that something did.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) crashes: usize,
    pub(crate) lost: usize,
    pub(crate) refused: usize,
    pub(crate) destroyed: usize,
}

impl Seen {
    pub(crate) fn add(&mut self, other: &Seen) {
        self.crashes += other.crashes;
        self.lost += other.lost;
        self.refused += other.refused;
        self.destroyed += other.destroyed;
    }
}

pub(crate) struct NoSecrets;

impl Secrets for NoSecrets {
    fn read(&self, _source: &SecretSource) -> Option<Secret> {
        None
    }
}

pub(crate) fn run(seed: u64) -> Result<Seen, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(History::new(seed).live())
}

struct History {
    seed: u64,
    dice: Dice,
    folder: tempfile::TempDir,
    clock: Arc<dyn Clock>,
    line: Arc<BadLine>,
    cloud: Retrying<HttpCloud>,
    seen: Seen,
}

/// A small manifest: one or two applications, one or two replicas, perhaps with an elastic address.
fn text(dice: &Dice) -> String {
    let mut text = "version: 1\nstack: shop\nregion: cn-hangzhou\napps:\n".to_owned();
    let names: &[&str] = [&["web"][..], &["api"], &["web", "api"]][usize::try_from(dice.below(3)).unwrap()];
    for name in names {
        let public = ["", "    public: { bandwidth: 5Mbps }\n", "    public: { bandwidth: 5Mbps, eip: true }\n"]
            [usize::try_from(dice.below(3)).unwrap()];
        let machine = ["{ cpu: 2, memory: 4GiB }", "{ type: ecs.g7.large }"][usize::try_from(dice.below(2)).unwrap()];
        let (port, replicas) = (8080 + dice.below(2), 1 + dice.below(2));
        text += &format!("  {name}:\n    source: {name}\n    port: {port}\n    replicas: {replicas}\n    instance: {machine}\n{public}");
    }
    text
}

impl History {
    fn new(seed: u64) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(RuntimeClock::starting_at("2026-01-02T03:04:05Z".parse().unwrap()));
        let machines = Simulated::with(|_, command| {
            let verify = command.script.windows(6).any(|window| window == b"check=");
            let output = if verify { b"check=process ok=1 detail=simulated\n".to_vec() } else { Vec::new() };
            Behaviour { output, ..Behaviour::default() }
        });
        let local = LocalCloud::new(Config { seed, ..Config::default() }, clock.clone(), Arc::new(machines));
        let line = Arc::new(BadLine::new(Arc::new(local), seed));
        let key = Credentials::lasting("local", Secret::new("local"), "simulation");
        let http = HttpCloud::new(Endpoint::Fixed("http://127.0.0.1:1".to_owned()), Arc::new(key), line.clone(), clock.clone())
            .with_nonces(Arc::new(Dice::new(seed)));
        let cloud = Retrying::with(http, RetryPolicy::default(), SeededJitter::new(seed));
        let folder = tempfile::tempdir().unwrap();
        for app in ["web", "api"] {
            std::fs::create_dir_all(folder.path().join(app)).unwrap();
            std::fs::write(folder.path().join(app).join("index.html"), "<p>0</p>").unwrap();
        }
        History { seed, dice: Dice::new(seed ^ 0x5EED), folder, clock, line, cloud, seen: Seen::default() }
    }

    async fn live(mut self) -> Result<Seen, String> {
        for round in 0..1 + self.dice.below(3) {
            self.write_manifest();
            if self.dice.percent(40) {
                std::fs::write(self.folder.path().join("web/index.html"), format!("<p>{round}</p>")).unwrap();
            }
            let destroy = self.dice.percent(15);
            self.seen.destroyed += usize::from(destroy);
            let crash = self.dice.percent(60).then(|| self.dice.below(60));
            // Whatever this comes to, the last apply has to put it right.
            let _ = self.once(destroy, crash).await;
        }
        self.line.bad.store(false, Ordering::Relaxed);
        let destroy = self.dice.percent(25);
        self.once(destroy, None).await?;
        let (left, store) = self.plan(destroy).await?;
        drop(store);
        if !left.is_empty() {
            let changes: Vec<_> =
                left.actions().map(|change| format!("{} {:?} {:?}", change.address, change.action, change.reasons)).collect();
            return Err(format!("the plan after the last apply is not empty: {}", changes.join("; ")));
        }
        self.compare(&left)?;
        self.seen.lost = self.line.lost.load(Ordering::Relaxed);
        self.seen.refused = self.line.refused.load(Ordering::Relaxed);
        Ok(self.seen)
    }

    fn write_manifest(&self) {
        std::fs::write(self.folder.path().join("aliform.yaml"), text(&self.dice)).unwrap();
    }

    fn open(&self) -> Result<Store, String> {
        let owner = Owner { who: "simulation".to_owned(), what: "apply".to_owned(), pid: 1, host: "here".to_owned() };
        let lineage = format!("{:032x}", self.seed);
        let options = OpenOptions { owner, clock: self.clock.clone(), lineage, durability: Durability::None };
        Store::open(&self.folder.path().join(".aliform"), "shop", options).map_err(|error| format!("the state can't be opened: {error}"))
    }

    /// Recovers, looks, resolves and plans, as the commands do.
    async fn make(&self, store: &Store, destroy: bool) -> Result<(Plan, Bundles, BTreeMap<aliform::model::address::Address, u64>), String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let identity = identity(store);
        let nothing = Bundles::default();
        let world = self.world(store, &identity, &nothing, BTreeMap::new());
        recover(&world).await.map_err(|error| text(&error))?;
        let unsettled = world.unsettled.into_inner().unwrap();
        let state = store.state();
        let prior = remembered(&state);
        let observed = observe(&self.cloud, &identity, &prior).await.map_err(|error| text(&error))?;
        let lookup = CloudLookup::new(&self.cloud);
        let manifest = manifest::load(&self.folder.path().join("aliform.yaml")).map_err(|errors| format!("{errors:?}"))?;
        let (desired, bundles) = if destroy {
            (Desired { region: state.region.clone().unwrap_or_default(), ..Desired::default() }, Bundles::default())
        } else {
            let around = Surroundings { lookup: &lookup, decided: &state.decisions, lineage: &state.lineage };
            let resolved = resolve(&manifest, &around).await.map_err(|error| text(&error))?;
            (resolved.desired, resolved.bundles)
        };
        let wanted = to_price(&desired, &prior, &observed).map_err(|error| text(&error))?;
        let quotes = quote_all(&lookup, &desired.region, &wanted).await;
        let basis = Basis { stack: state.stack, lineage: state.lineage, serial: state.serial, manifest_digest: manifest.digest, destroy };
        let inputs = Inputs {
            desired: &desired,
            prior: &prior,
            observed: &observed,
            quotes: &quotes,
            limits: Limits::default(),
            balance: None,
            replace: &BTreeSet::new(),
            basis,
            now: self.clock.now(),
        };
        Ok((plan(inputs).map_err(|error| text(&error))?, bundles, unsettled))
    }

    fn world<'a>(
        &'a self,
        store: &'a Store,
        identity: &'a Identity,
        bundles: &'a Bundles,
        unsettled: BTreeMap<aliform::model::address::Address, u64>,
    ) -> World<'a> {
        World {
            cloud: &self.cloud,
            clock: &*self.clock,
            store,
            identity,
            events: &Silent,
            secrets: &NoSecrets,
            artifacts: bundles,
            explain: &|_| None,
            unsettled: Mutex::new(unsettled),
            keep_failed: false,
            detach: false,
            rescue_within: &|| std::time::Duration::from_secs(60),
        }
    }

    /// One run of the program: it may die at a journal record.
    async fn once(&mut self, destroy: bool, crash: Option<u64>) -> Result<(), String> {
        let store = self.open()?;
        if let Some(at) = crash {
            let mut records = 0;
            store.set_hook(Box::new(move |moment| {
                let counts =
                    matches!(moment, Moment::BeforeRecord(_) | Moment::AfterRecord(_) | Moment::SnapshotWritten | Moment::SnapshotInPlace);
                records += u64::from(counts);
                if counts && records > at { Verdict::Crash } else { Verdict::Continue }
            }));
        }
        let result = self.carry_out(&store, destroy).await;
        if result.as_ref().is_err_and(|error| error.contains("crash")) {
            self.seen.crashes += 1;
        }
        result
    }

    async fn carry_out(&self, store: &Store, destroy: bool) -> Result<(), String> {
        let (plan, bundles, unsettled) = self.make(store, destroy).await?;
        let identity = identity(store);
        let world = self.world(store, &identity, &bundles, unsettled);
        let (_stop, stopped) = watch::channel(false);
        let outcome = apply(&world, &plan, 4, stopped).await.map_err(|error| error.to_string())?;
        if outcome.failed.is_empty() { Ok(()) } else { Err(format!("{:?}", outcome.failed)) }
    }

    async fn plan(&self, destroy: bool) -> Result<(Plan, Store), String> {
        let store = self.open()?;
        let (plan, ..) = self.make(&store, destroy).await?;
        Ok((plan, store))
    }

    /// The cloud holds one resource for each one wanted, and nothing else.
    fn compare(&self, plan: &Plan) -> Result<(), String> {
        let mut wanted: BTreeMap<&str, usize> = BTreeMap::new();
        for address in plan.wanted.keys() {
            let word = address.kind.word();
            if matches!(word, "vpc" | "vswitch" | "security_group" | "instance" | "eip" | "bucket") {
                *wanted.entry(word).or_default() += 1;
            }
        }
        let listed = self.line.cloud.resources();
        let mut held: BTreeMap<&str, usize> = BTreeMap::new();
        for resource in listed.iter().filter(|resource| !matches!(resource.kind, "disk" | "object")) {
            *held.entry(resource.kind).or_default() += 1;
        }
        if held == wanted { Ok(()) } else { Err(format!("wanted {wanted:?}, the cloud holds {held:?}: {listed:#?}")) }
    }
}

fn identity(store: &Store) -> Identity {
    store.look(|state| Identity { stack: state.stack.clone(), lineage: state.lineage.clone() })
}
