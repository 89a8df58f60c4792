//! Plans carried out on a cloud of networks and instances that loses answers, fails and lags behind, under a clock that
//! stands still.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use aliform::apply::recover::recover;
use aliform::apply::remember::{remembered, take_over};
use aliform::apply::run::{Outcome, apply};
use aliform::apply::world::World;
use aliform::cloud::call::{Answer, Call, Cloud, Link};
use aliform::cloud::error::ApiError;
use aliform::model::address::Address;
use aliform::model::change::{Action, Reason};
use aliform::model::clock::RuntimeClock;
use aliform::model::clock::SystemClock;
use aliform::model::decision::Decision;
use aliform::model::event::Silent;
use aliform::model::secret::{Secret, SecretSource, Secrets};
use aliform::plan::cost::Limits;
use aliform::plan::make::{Inputs, plan};
use aliform::plan::saved::{Basis, Plan};
use aliform::pricing::quote::Quotes;
use aliform::resolve::bundles::Bundles;
use aliform::resources::desired::{Desired, Node};
use aliform::resources::kind::Identity;
use aliform::resources::refresh::observe;
use aliform::state::contents::Status;
use aliform::state::lock::Owner;
use aliform::state::record::Record;
use aliform::state::store::{Durability, OpenOptions, Store};
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value as Json, json};
use tokio::sync::watch;

use crate::stage::address;

/// What goes wrong with the next call of an action.
#[derive(Clone)]
enum Trouble {
    /// It does not arrive.
    LostThere,
    /// It happens, and the answer is lost.
    LostBack,
    /// It happens, and the service says that it failed.
    FailedAfter,
    /// It is refused.
    Refused(&'static str),
}

#[derive(Default)]
struct Held {
    /// Networks by identifier: name, range, attempt.
    networks: BTreeMap<String, (String, String, String)>,
    instances: BTreeSet<String>,
    /// What each token made.
    tokens: BTreeMap<String, String>,
    troubles: Vec<(&'static str, Trouble)>,
    /// How many more lists leave everything out.
    lag: usize,
    calls: Vec<(&'static str, BTreeMap<String, String>)>,
}

#[derive(Default)]
struct SmallCloud(Mutex<Held>);

fn refused(action: &'static str, status: u16, code: &str) -> ApiError {
    let text = || "no".to_owned();
    ApiError::Refused { action, status, code: code.to_owned(), message: text(), request_id: text(), retry_after: None }
}

impl Held {
    fn answer(&mut self, action: &'static str, query: &BTreeMap<String, String>) -> Result<Json, ApiError> {
        Ok(match action {
            "CreateVpc" => {
                let next = format!("vpc-{}", self.networks.len() + 1);
                let id = self.tokens.entry(query["ClientToken"].clone()).or_insert(next).clone();
                let attempt = (1..=4).find_map(|i| {
                    (query.get(&format!("Tag.{i}.Key"))? == "aliform:attempt").then(|| query[&format!("Tag.{i}.Value")].clone())
                });
                self.networks.insert(id.clone(), (query["VpcName"].clone(), query["CidrBlock"].clone(), attempt.unwrap()));
                json!({ "VpcId": id })
            }
            "DescribeVpcs" => {
                let lagging = self.lag > 0;
                self.lag = self.lag.saturating_sub(1);
                let wanted = |id: &str, attempt: &str| {
                    !lagging
                        && query.get("VpcId").is_none_or(|ids| ids.split(',').any(|known| known == id))
                        && (!query.contains_key("Tag.1.Key") || query.values().any(|value| value == attempt))
                };
                let listed = self.networks.iter().filter(|(id, (_, _, attempt))| wanted(id, attempt));
                let listed: Vec<Json> = listed
                    .map(|(id, (name, range, _))| json!({ "VpcId": id, "VpcName": name, "CidrBlock": range, "Status": "Available" }))
                    .collect();
                json!({ "Vpcs": { "Vpc": listed }, "TotalCount": 0 })
            }
            "DeleteVpc" => {
                self.networks.remove(&query["VpcId"]).ok_or_else(|| refused(action, 404, "InvalidVpcId.NotFound"))?;
                json!({})
            }
            "DescribeInstances" => json!({ "Instances": { "Instance": [] } }),
            "DeleteInstance" => {
                self.instances.remove(&query["InstanceId"]);
                json!({})
            }
            other => panic!("{other} was not expected"),
        })
    }
}

#[async_trait]
impl Cloud for SmallCloud {
    async fn send(&self, call: Call) -> Result<Answer, ApiError> {
        let mut held = self.0.lock().unwrap();
        let query: BTreeMap<String, String> = call.query.into_iter().collect();
        held.calls.push((call.action, query.clone()));
        let trouble = held.troubles.iter().position(|(action, _)| *action == call.action).map(|at| held.troubles.remove(at).1);
        let lost = || ApiError::Lost { action: call.action, reason: "reset".to_owned(), sent: true };
        match &trouble {
            Some(Trouble::LostThere) => return Err(lost()),
            Some(Trouble::Refused(code)) => return Err(refused(call.action, 403, code)),
            _ => {}
        }
        let mut body = held.answer(call.action, &query)?;
        body["RequestId"] = json!("0");
        match trouble {
            Some(Trouble::LostBack) => Err(lost()),
            Some(Trouble::FailedAfter) => Err(refused(call.action, 500, "InternalError")),
            _ => Ok(Answer { status: 200, headers: Vec::new(), body: Bytes::from(body.to_string()) }),
        }
    }

    async fn presign(&self, _link: &Link<'_>) -> Result<String, ApiError> {
        Ok("http://127.0.0.1/".to_owned())
    }
}

struct NoSecrets;

impl Secrets for NoSecrets {
    fn read(&self, _source: &SecretSource) -> Option<Secret> {
        None
    }
}

/// A cloud, the state on disk, and what the last recovery left unsettled.
struct House {
    folder: tempfile::TempDir,
    cloud: SmallCloud,
    unsettled: BTreeMap<Address, u64>,
}

impl House {
    fn new() -> Self {
        House { folder: tempfile::tempdir().unwrap(), cloud: SmallCloud::default(), unsettled: BTreeMap::new() }
    }

    fn trouble(&self, action: &'static str, trouble: Trouble) {
        self.cloud.0.lock().unwrap().troubles.push((action, trouble));
    }

    fn networks(&self) -> usize {
        self.cloud.0.lock().unwrap().networks.len()
    }

    fn calls(&self, action: &str) -> Vec<BTreeMap<String, String>> {
        let held = self.cloud.0.lock().unwrap();
        held.calls.iter().filter(|(called, _)| *called == action).map(|(_, query)| query.clone()).collect()
    }

    fn world<'a>(&'a self, store: &'a Store, identity: &'a Identity, bundles: &'a Bundles) -> World<'a> {
        World {
            cloud: &self.cloud,
            clock: &SystemClock,
            store,
            identity,
            events: &Silent,
            secrets: &NoSecrets,
            artifacts: bundles,
            explain: &|_| None,
            unsettled: Mutex::new(self.unsettled.clone()),
            keep_failed: false,
            detach: false,
            rescue_within: &|| std::time::Duration::from_secs(60),
        }
    }

    /// Recovers, looks, plans.
    async fn plan(&mut self, store: &Store, desired: &Desired) -> Plan {
        let (identity, bundles) = (identity(store), Bundles::default());
        let world = self.world(store, &identity, &bundles);
        recover(&world).await.unwrap();
        let unsettled = world.unsettled.into_inner().unwrap();
        self.unsettled = unsettled;
        let state = store.state();
        let prior = remembered(&state);
        let observed = observe(&self.cloud, &identity, &prior).await.unwrap();
        let basis = Basis {
            stack: state.stack,
            lineage: state.lineage,
            serial: state.serial,
            manifest_digest: String::new(),
            destroy: desired.nodes.is_empty(),
        };
        plan(Inputs {
            desired,
            prior: &prior,
            observed: &observed,
            quotes: &Quotes::new(),
            limits: Limits::default(),
            balance: None,
            replace: &BTreeSet::new(),
            basis,
            now: "2026-01-02T03:04:05Z".parse().unwrap(),
        })
        .unwrap()
    }

    async fn carry_out(&self, store: &Store, plan: &Plan) -> Outcome {
        let (identity, bundles) = (identity(store), Bundles::default());
        let (_stop, stopped) = watch::channel(false);
        apply(&self.world(store, &identity, &bundles), plan, 4, stopped).await.unwrap()
    }

    /// One run of the program.
    async fn run(&mut self, desired: &Desired) -> (Plan, Outcome) {
        let store = open(self.folder.path());
        let plan = self.plan(&store, desired).await;
        let outcome = self.carry_out(&store, &plan).await;
        (plan, outcome)
    }
}

fn identity(store: &Store) -> Identity {
    store.look(|state| Identity { stack: state.stack.clone(), lineage: state.lineage.clone() })
}

fn open(folder: &Path) -> Store {
    let owner = Owner { who: "test".to_owned(), what: "apply".to_owned(), pid: 1, host: "here".to_owned() };
    let clock = Arc::new(RuntimeClock::starting_at("2026-01-02T03:04:05Z".parse().unwrap()));
    let options = OpenOptions { owner, clock, lineage: "00".repeat(16), durability: Durability::None };
    Store::open(folder, "shop", options).unwrap()
}

fn one_network() -> Desired {
    let node = Node { spec: json!({ "name": "aliform-shop-main", "cidr": "10.0.0.0/16" }), depends_on: BTreeSet::new() };
    let decision = Decision { chosen: "cn-hangzhou".to_owned(), because: "so".to_owned(), rejected: Vec::new() };
    Desired {
        region: "cn-hangzhou".to_owned(),
        nodes: [(address("vpc.main"), node)].into(),
        decisions: [("region".to_owned(), decision)].into(),
        ..Desired::default()
    }
}

fn nothing() -> Desired {
    Desired { region: "cn-hangzhou".to_owned(), ..Desired::default() }
}

#[tokio::test(start_paused = true)]
async fn a_creation_whose_answer_says_nothing_is_found_again_and_not_repeated() {
    for trouble in [Trouble::LostBack, Trouble::FailedAfter, Trouble::Refused("IdempotentProcessing")] {
        let mut house = House::new();
        house.trouble("CreateVpc", trouble.clone());
        let (_, outcome) = house.run(&one_network()).await;
        if !matches!(trouble, Trouble::Refused(_)) {
            // It shows at once, and goes on as if nothing had been lost.
            assert_eq!((outcome.done, outcome.failed.len(), house.networks(), house.calls("CreateVpc").len()), (1, 0, 1, 1));
            continue;
        }
        assert_eq!(outcome.failed.len(), 1);
        // The call that it repeats arrives after all.
        let query = house.calls("CreateVpc").remove(0);
        house.cloud.0.lock().unwrap().answer("CreateVpc", &query).unwrap();
        let (plan, outcome) = house.run(&one_network()).await;
        assert_eq!(plan.changes[0].action, Action::Update, "it exists and is finished");
        assert!(outcome.failed.is_empty(), "{outcome:?}");
        assert_eq!((house.networks(), house.calls("CreateVpc").len()), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_creation_that_cannot_be_found_is_repeated_with_its_token() {
    let mut house = House::new();
    house.trouble("CreateVpc", Trouble::LostThere);
    assert_eq!(house.run(&one_network()).await.1.failed.len(), 1);
    let (plan, outcome) = house.run(&one_network()).await;
    assert_eq!((plan.changes[0].action, outcome.done), (Action::Create, 1));
    let tokens: Vec<String> = house.calls("CreateVpc").into_iter().map(|query| query["ClientToken"].clone()).collect();
    assert_eq!(tokens.len(), 2);
    assert_eq!(tokens[0], tokens[1]);
}

#[tokio::test(start_paused = true)]
async fn a_deletion_whose_answer_is_lost_is_looked_after_before_anything_is_planned() {
    let mut house = House::new();
    house.run(&one_network()).await;
    house.trouble("DeleteVpc", Trouble::LostBack);
    assert_eq!(house.run(&nothing()).await.1.failed.len(), 1);
    // Wanted again: what is gone is made anew, not taken for something that is there.
    let (plan, outcome) = house.run(&one_network()).await;
    assert_eq!((plan.changes[0].action, &plan.changes[0].reasons[..]), (Action::Create, &[Reason::NotYetCreated][..]));
    assert!(outcome.failed.is_empty());
    // The call did not arrive: it is still there, and finished rather than replaced.
    house.trouble("DeleteVpc", Trouble::LostThere);
    house.run(&nothing()).await;
    let (plan, outcome) = house.run(&one_network()).await;
    assert_eq!((plan.changes[0].action, outcome.failed.len(), house.networks()), (Action::Update, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_is_certain_leaves_nothing_open_and_the_next_try_is_a_new_one() {
    let mut house = House::new();
    house.trouble("CreateVpc", Trouble::Refused("QuotaExceeded.Vpc"));
    house.run(&one_network()).await;
    assert!(open(house.folder.path()).open_intents().is_empty());
    house.run(&one_network()).await;
    let tokens: BTreeSet<String> = house.calls("CreateVpc").into_iter().map(|query| query["ClientToken"].clone()).collect();
    assert_eq!((tokens.len(), house.networks()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_list_that_lags_behind_a_creation_is_borne() {
    let mut house = House::new();
    house.cloud.0.lock().unwrap().lag = 5;
    let (_, outcome) = house.run(&one_network()).await;
    assert!(outcome.failed.is_empty(), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_list_left_out_for_a_moment_is_not_made_twice() {
    let mut house = House::new();
    house.run(&one_network()).await;
    house.cloud.0.lock().unwrap().lag = 1;
    let (plan, outcome) = house.run(&one_network()).await;
    assert_eq!(plan.changes[0].action, Action::Create, "the plan could not know better");
    assert!(outcome.failed.is_empty());
    assert_eq!((house.networks(), house.calls("CreateVpc").len()), (1, 1));
    assert!(house.run(&one_network()).await.0.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_really_gone_is_made_anew() {
    let mut house = House::new();
    house.run(&one_network()).await;
    house.cloud.0.lock().unwrap().networks.clear();
    let (_, outcome) = house.run(&one_network()).await;
    assert!(outcome.failed.is_empty());
    assert_eq!(house.networks(), 1);
    assert!(house.run(&one_network()).await.0.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_plan_after_a_recovery_is_not_out_of_date() {
    let mut house = House::new();
    house.trouble("CreateVpc", Trouble::LostBack);
    house.run(&one_network()).await;
    let store = open(house.folder.path());
    let plan = house.plan(&store, &one_network()).await;
    store.finish().unwrap();
    assert_eq!(plan.basis.serial, store.state().serial);
}

#[tokio::test(start_paused = true)]
async fn a_destroy_keeps_what_was_decided_until_everything_is_gone() {
    let mut house = House::new();
    house.run(&one_network()).await;
    let decisions = |house: &House| open(house.folder.path()).state().decisions.len();
    assert_eq!(decisions(&house), 1);
    house.trouble("DeleteVpc", Trouble::Refused("Forbidden.RAM"));
    let (_, outcome) = house.run(&nothing()).await;
    assert_eq!((outcome.failed.len(), decisions(&house)), (1, 1));
    let state = open(house.folder.path()).state();
    assert!(matches!(state.resources[&address("vpc.main")].status, Status::Unfinished { .. }));
    assert_eq!(state.region.as_deref(), Some("cn-hangzhou"));
    house.run(&nothing()).await;
    let state = open(house.folder.path()).state();
    assert!(state.resources.is_empty() && state.decisions.is_empty() && state.region.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_the_plan_saw_is_taken_into_the_state() {
    let mut house = House::new();
    house.run(&one_network()).await;
    let store = open(house.folder.path());
    let old = json!({ "id": "vpc-1", "name": "aliform-shop-main", "cidr": "10.0.0.0/16", "status": "Pending" });
    store.append(Record::Observed { address: address("vpc.main"), attributes: old }).await.unwrap();
    let plan = house.plan(&store, &one_network()).await;
    assert!(plan.is_empty());
    take_over(&store, &plan).await.unwrap();
    assert_eq!(store.state().resources[&address("vpc.main")].attributes["status"], "Available");
}

#[tokio::test(start_paused = true)]
async fn a_stop_before_the_first_step_skips_all_and_after_the_last_stops_nothing() {
    let mut house = House::new();
    let store = open(house.folder.path());
    let plan = house.plan(&store, &one_network()).await;
    let (identity, bundles) = (identity(&store), Bundles::default());
    let (stop, stopped) = watch::channel(true);
    let outcome = apply(&house.world(&store, &identity, &bundles), &plan, 4, stopped.clone()).await.unwrap();
    assert_eq!((outcome.interrupted, outcome.skipped, house.networks()), (true, 1, 0));
    let empty = Plan { changes: Vec::new(), ..plan };
    let outcome = apply(&house.world(&store, &identity, &bundles), &empty, 4, stopped).await.unwrap();
    assert!(!outcome.interrupted);
    drop(stop);
}

/// A release on an instance, as the state remembers them.
async fn with_release(store: &Store, secrets: &[(&str, &str)]) -> Desired {
    let secrets: BTreeMap<&str, &str> = secrets.iter().copied().collect();
    let release = json!({
        "app": "web", "instance_id": "i-1", "instance_started": "then", "digest": "d", "bucket": "b", "bundle_key": "k", "port": 80,
        "within": 1, "secrets": secrets, "rollback": true, "start_script": "", "stop_script": "", "verify_script": "",
        "rollback_script": "", "logs_script": "",
    });
    let instance = json!({
        "name": "n", "zone": "cn-hangzhou-h", "instance_type": "t", "image_id": "m", "vswitch_id": "v", "security_group_id": "s",
        "system_disk": { "category": "cloud_essd", "performance_level": "PL0", "size": 40 }, "bandwidth": 0, "power": "running",
    });
    let mut desired = nothing();
    let all = [("instance.web-1", "i-1", instance, vec![]), ("release.web-1", "i-1/web", release, vec![address("instance.web-1")])];
    for (name, id, spec, depends_on) in all {
        let generation = store.allocate_generation();
        let (address, region, attributes) = (address(name), "cn-hangzhou".to_owned(), json!({ "id": id, "digest": "d" }));
        desired.nodes.insert(address.clone(), Node { spec: spec.clone(), depends_on: depends_on.iter().cloned().collect() });
        store.append(Record::Adopted { address, id: id.to_owned(), generation, region, spec, attributes, depends_on }).await.unwrap();
    }
    desired
}

#[tokio::test(start_paused = true)]
async fn a_release_that_cannot_be_stopped_goes_with_its_instance() {
    let mut house = House::new();
    let store = open(house.folder.path());
    with_release(&store, &[]).await;
    house.trouble("RunCommand", Trouble::Refused("Operation.Forbidden"));
    let plan = house.plan(&store, &nothing()).await;
    let outcome = house.carry_out(&store, &plan).await;
    assert!(outcome.failed.is_empty(), "{outcome:?}");
    assert_eq!(house.calls("DeleteInstance").len(), 1);
    assert!(store.state().resources.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_release_that_cannot_be_stopped_stays_where_its_instance_stays() {
    let mut house = House::new();
    let store = open(house.folder.path());
    with_release(&store, &[]).await;
    store.remove(&address("instance.web-1")).unwrap();
    house.trouble("RunCommand", Trouble::Refused("Operation.Forbidden"));
    let plan = house.plan(&store, &nothing()).await;
    assert_eq!(house.carry_out(&store, &plan).await.failed.len(), 1);
    assert!(store.state().resources.contains_key(&address("release.web-1")));
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_missing_is_said_before_anything_is_made() {
    let mut house = House::new();
    let store = open(house.folder.path());
    let mut desired = with_release(&store, &[("API_KEY", "env:SHOP_KEY")]).await;
    store.remove(&address("instance.web-1")).unwrap();
    desired.nodes.remove(&address("instance.web-1"));
    let release = desired.nodes.get_mut(&address("release.web-1")).unwrap();
    (release.spec["digest"], release.depends_on) = (json!("e"), BTreeSet::new());
    desired.nodes.extend(one_network().nodes);
    let plan = house.plan(&store, &desired).await;
    let outcome = house.carry_out(&store, &plan).await;
    assert_eq!(
        outcome.failed,
        [(address("release.web-1"), "`SHOP_KEY` is not set in the environment, and `release.web-1` needs it".to_owned())]
    );
    assert_eq!((outcome.done, house.networks()), (0, 0));
}
