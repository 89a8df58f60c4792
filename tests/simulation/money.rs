//! Twenty runs of different lengths on machines of different types, by a local cloud in the same process under a clock that
//! jumps: what each cost by our account is what the cloud bills, and lies between the bounds that the plan said.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aliform::apply::lives::{Lives, cost};
use aliform::apply::remember::remembered;
use aliform::apply::run::apply;
use aliform::apply::world::World;
use aliform::cloud::credentials::Credentials;
use aliform::cloud::dates::{Dated, Dates};
use aliform::cloud::endpoint::Endpoint;
use aliform::cloud::http::HttpCloud;
use aliform::cloud::patient::Patient;
use aliform::cloud::retry::{RetryPolicy, Retrying, SeededJitter};
use aliform::local_cloud::LocalCloud;
use aliform::local_cloud::config::Config;
use aliform::local_cloud::machines::simulated::{Behaviour, Simulated};
use aliform::manifest;
use aliform::model::address::Kind;
use aliform::model::clock::{Clock, RuntimeClock};
use aliform::model::cost::Total;
use aliform::model::event::Silent;
use aliform::model::money::{Currency, Money};
use aliform::model::secret::Secret;
use aliform::plan::cost::Limits;
use aliform::plan::make::{Inputs, plan, to_price};
use aliform::plan::saved::Basis;
use aliform::pricing::lookup::CloudLookup;
use aliform::pricing::quote::quote_all;
use aliform::resolve::{Surroundings, resolve};
use aliform::resources::kind::Identity;
use aliform::state::lock::Owner;
use aliform::state::store::{Durability, OpenOptions, Store};
use tokio::sync::watch;

use crate::faulty::{BadLine, Dice};
use crate::history::NoSecrets;

/// What a run came to.
struct Ran {
    ours: Money,
    billed: Money,
    least: Money,
    most: Money,
}

/// A job of so many seconds on a machine of that size, with nobody to be reached between those seconds.
async fn once(seed: u64, (cpu, memory): (u32, u32), seconds: u64, limit: u64, outages: &[(u64, u64)]) -> Ran {
    // The cloud's clock is an hour ahead of ours: only what its answers say can be right.
    let ours: Arc<dyn Clock> = Arc::new(RuntimeClock::starting_at("2026-01-02T03:04:05.7Z".parse().unwrap()));
    let began = tokio::time::Instant::now();
    let machines = Simulated::with(move |_, command| {
        let script = String::from_utf8_lossy(&command.script).into_owned();
        let output = match () {
            () if script.contains("OFFSET=") && began.elapsed() >= Duration::from_secs(seconds) => b"exit=0\n0\n".to_vec(),
            () if script.contains("OFFSET=") => b"running\n0\n".to_vec(),
            () => Vec::new(),
        };
        Behaviour { output, ..Behaviour::default() }
    });
    let local = Arc::new(LocalCloud::new(Config { seed, ..Config::default() }, ours.clone(), Arc::new(machines)));
    let line = Arc::new(BadLine::new(local.clone(), seed));
    line.bad.store(false, std::sync::atomic::Ordering::Relaxed);
    let after = |seconds: u64| began + Duration::from_secs(seconds);
    line.outages.lock().unwrap().extend(outages.iter().map(|(from, to)| (after(*from), after(*to))));
    let key = Credentials::lasting("local", Secret::new("local"), "simulation");
    let http = HttpCloud::new(Endpoint::Fixed("http://127.0.0.1:1".to_owned()), Arc::new(key), line, ours.clone())
        .with_nonces(Arc::new(Dice::new(seed)));
    let dates = Arc::new(Dates::new(ours.clone()));
    let cloud = Retrying::with(Dated::new(http, dates.clone()), RetryPolicy::default(), SeededJitter::new(seed));
    local.advance_clock(Duration::from_secs(3600)).await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("notes.txt"), "files").unwrap();
    let text = format!(
        "version: 1\nstack: lab\nregion: cn-hangzhou\njobs:\n  one: {{ product: ecs, run: work, needs: {{ cpu: {cpu}, memory: {memory}GiB }}, timeout: {limit}s }}\n"
    );
    let manifest = manifest::parse("aliform.yaml", &text, folder.path()).unwrap();
    let owner = Owner { who: "simulation".to_owned(), what: "run".to_owned(), pid: 1, host: "here".to_owned() };
    let options = OpenOptions { owner, clock: ours.clone(), lineage: format!("{seed:032x}"), durability: Durability::None };
    let store = Store::open(&folder.path().join(".aliform"), "lab", options).unwrap();
    let state = store.state();
    let lookup = CloudLookup::new(&cloud);
    let around = Surroundings { lookup: &lookup, decided: &state.decisions, lineage: &state.lineage };
    let resolved = resolve(&manifest, &around).await.unwrap();
    let (desired, prior, observed) = (resolved.desired, remembered(&state), std::collections::BTreeMap::new());
    let quotes = quote_all(&lookup, &desired.region, &to_price(&desired, &prior, &observed).unwrap()).await;
    let basis = Basis {
        stack: "lab".to_owned(),
        lineage: state.lineage.clone(),
        serial: state.serial,
        manifest_digest: String::new(),
        destroy: false,
    };
    let plan = plan(Inputs {
        desired: &desired,
        prior: &prior,
        observed: &observed,
        quotes: &quotes,
        limits: Limits::default(),
        balance: None,
        replace: &BTreeSet::new(),
        basis,
        now: ours.now(),
    })
    .unwrap();
    let identity = Identity { stack: "lab".to_owned(), lineage: state.lineage.clone() };
    let lives = Lives::new(&Silent, &dates, &state);
    let told = Mutex::new(Vec::new());
    let tell = |line| told.lock().unwrap().push(line);
    let patient = Patient::new(&cloud, &tell);
    let world = World {
        cloud: &patient,
        clock: &*dates,
        store: &store,
        identity: &identity,
        events: &lives,
        secrets: &NoSecrets,
        artifacts: &resolved.bundles,
        explain: &|_| None,
        unsettled: Mutex::default(),
        keep_failed: false,
        detach: false,
        rescue_within: &|| Duration::from_secs(60),
    };
    let (_stop, stopped) = watch::channel(false);
    let outcome = apply(&world, &plan, 4, stopped).await.unwrap();
    assert!(outcome.failed.is_empty(), "{:?}", outcome.failed);
    assert_eq!(told.lock().unwrap().len(), outages.len() * 2, "{told:?}");
    assert!(local.resources().iter().all(|resource| resource.kind != "instance"));
    let mut ours = Total::default();
    for address in plan.released.keys().filter(|address| address.kind == Kind::Instance) {
        ours.merge(&cost(&plan, address, lives.of(address).unwrap().span(lives.now())));
    }
    Ran {
        ours: ours.in_currency(Currency::Cny),
        billed: Money::cny(local.statement().spent),
        least: Money::cny(0.into()),
        most: plan.cost.unattended.in_currency(Currency::Cny),
    }
}

#[test]
fn twenty_runs_cost_what_is_billed_for_them() {
    let shapes = [(1, 1), (2, 4), (4, 16), (8, 16), (16, 64)];
    let mut checked = 0;
    for (number, seconds) in
        [3, 59, 60, 61, 299, 300, 301, 599, 600, 1234, 1799, 1800, 119, 120, 121, 450, 1000, 1500, 2222, 3601].into_iter().enumerate()
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let ran = runtime.block_on(once(number as u64, shapes[number % shapes.len()], seconds, seconds + 60, &[]));
        assert_eq!(ran.ours, ran.billed, "{seconds} s on {:?}", shapes[number % shapes.len()]);
        assert!(ran.least < ran.billed && ran.billed <= ran.most, "{} is not in {}..{}", ran.billed, ran.least, ran.most);
        checked += 1;
    }
    assert_eq!(checked, 20);
}

#[test]
fn an_outage_of_minutes_ends_no_run_and_keeps_no_machine() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    // While it is followed; when it is over and its machine has to go.
    let ran = runtime.block_on(once(3, (2, 4), 600, 700, &[(200, 420), (590, 800)]));
    assert_eq!(ran.ours, ran.billed);
    assert!(ran.billed <= ran.most, "{} is more than {}", ran.billed, ran.most);
}
