//! The state loses nothing: crashes at every byte and every moment, locks, damage, and how much is written.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use aliform::model::address::{Address, Kind};
use aliform::model::change::Action;
use aliform::model::clock::Clock;
use aliform::model::decision::{Decision, Rejected};
use aliform::state::contents::{State, Status, json_schema};
use aliform::state::error::StateError;
use aliform::state::lock::{Owner, break_lock, look_at_lock};
use aliform::state::record::Record;
use aliform::state::store::{Durability, Moment, OpenOptions, Store, Verdict};
use aliform::state::token::client_token;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

const STACK: &str = "shop";
const LINEAGE: &str = "0123456789abcdef0123456789abcdef";

/// Goes on by a second each time it is asked, so that a time taken twice shows.
struct Ticking(Mutex<Timestamp>);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        let mut now = self.0.lock().unwrap();
        *now += SignedDuration::from_secs(1);
        *now
    }
}

fn options() -> OpenOptions {
    let owner = Owner { who: "lin".to_owned(), what: "apply".to_owned(), pid: std::process::id(), host: "desk".to_owned() };
    let clock = Arc::new(Ticking(Mutex::new("2026-01-02T03:04:05Z".parse().unwrap())));
    OpenOptions { owner, clock, lineage: LINEAGE.to_owned(), durability: Durability::None }
}

fn open(directory: &Path) -> Result<Store, StateError> {
    Store::open(directory, STACK, options())
}

fn read(directory: &Path) -> Result<Option<State>, StateError> {
    Store::read(directory, STACK)
}

/// Runs a future on a runtime of one thread whose time stands still, as the simulation does.
fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(future)
}

fn append(store: &Store, record: Record) -> Result<(), StateError> {
    run(store.append(record))
}

fn vpc(name: &str) -> Address {
    Address::new(Kind::Vpc, name)
}

fn intent(store: &Store, address: &Address, action: Action, spec: Json, depends_on: &[Address]) -> Record {
    let generation = store.allocate_generation();
    Record::Intent {
        address: address.clone(),
        action,
        generation,
        token: client_token(LINEAGE, address, generation),
        region: "cn-hangzhou".to_owned(),
        digest: format!("sha256:{generation:08}"),
        spec,
        depends_on: depends_on.to_vec(),
    }
}

fn got(address: &Address, id: &str) -> Record {
    Record::Got { address: address.clone(), id: id.to_owned() }
}

fn done(address: &Address, attributes: Json) -> Record {
    Record::Done { address: address.clone(), attributes }
}

fn failed(address: &Address) -> Record {
    Record::Failed { address: address.clone(), error: "the zone is sold out".to_owned() }
}

/// Creates a resource from beginning to end.
fn create(store: &Store, address: &Address, depends_on: &[Address]) {
    append(store, intent(store, address, Action::Create, json!({ "cidr": "10.0.0.0/8" }), depends_on)).unwrap();
    append(store, got(address, &format!("id-{}", address.name))).unwrap();
    append(store, done(address, json!({ "status": "Available" }))).unwrap();
}

fn journal(directory: &Path) -> PathBuf {
    directory.join("shop.journal")
}

fn refusal(result: Result<(), StateError>) -> String {
    match result {
        Err(error @ StateError::Illegal { .. }) => error.to_string(),
        other => panic!("not refused: {other:?}"),
    }
}

// ---- what a record does

#[test]
fn a_create_is_an_intent_an_identifier_and_an_end() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path()).unwrap();
    let main = vpc("main");
    append(&store, intent(&store, &main, Action::Create, json!({ "cidr": "10.0.0.0/8" }), &[])).unwrap();
    assert_eq!(store.open_intents()[0].id, None);
    append(&store, got(&main, "vpc-1")).unwrap();
    assert_eq!(store.open_intents()[0].id.as_deref(), Some("vpc-1"));
    assert!(store.list().is_empty(), "it is no resource before its end is known");
    append(&store, done(&main, json!({ "status": "Available" }))).unwrap();
    assert!(store.open_intents().is_empty());
    let state = store.state();
    let resource = &state.resources[&main];
    assert_eq!((resource.id.as_str(), &resource.status, resource.generation), ("vpc-1", &Status::Ready, 1));
    assert_eq!(resource.spec, json!({ "cidr": "10.0.0.0/8" }));
    assert_eq!(resource.attributes, json!({ "status": "Available" }));
    assert_eq!(state.next_generation, 2);
}

#[test]
fn a_failure_keeps_what_has_an_identifier_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path()).unwrap();
    let (lost, half) = (vpc("lost"), vpc("half"));
    append(&store, intent(&store, &lost, Action::Create, json!({}), &[])).unwrap();
    append(&store, failed(&lost)).unwrap();
    append(&store, intent(&store, &half, Action::Create, json!({ "v": 1 }), &[])).unwrap();
    append(&store, got(&half, "vpc-2")).unwrap();
    append(&store, failed(&half)).unwrap();
    assert_eq!(store.list(), std::slice::from_ref(&half));
    let unfinished = Status::Unfinished { because: "the zone is sold out".to_owned() };
    assert_eq!(store.look(|state| state.resources[&half].status.clone()), unfinished);

    append(&store, intent(&store, &half, Action::Update, json!({ "v": 2 }), &[])).unwrap();
    append(&store, done(&half, json!({}))).unwrap();
    let created_at = store.look(|state| state.resources[&half].created_at);
    append(&store, intent(&store, &half, Action::Update, json!({ "v": 3 }), &[])).unwrap();
    append(&store, failed(&half)).unwrap();
    store.look(|state| {
        let resource = &state.resources[&half];
        assert_eq!(resource.spec, json!({ "v": 2 }), "a failed update does not become the inputs applied last");
        assert_eq!(resource.status, unfinished);
        assert_eq!(resource.created_at, created_at);
        assert!(resource.updated_at > created_at);
    });
    append(&store, intent(&store, &half, Action::Delete, Json::Null, &[])).unwrap();
    append(&store, failed(&half)).unwrap();
    assert_eq!(store.list(), std::slice::from_ref(&half), "a delete that failed leaves the resource");
    append(&store, intent(&store, &half, Action::Delete, Json::Null, &[])).unwrap();
    append(&store, Record::Removed { address: half }).unwrap();
    assert!(store.list().is_empty() && store.open_intents().is_empty());
}

#[test]
fn records_that_cannot_follow_are_refused_and_change_nothing() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path()).unwrap();
    let (main, other) = (vpc("main"), vpc("other"));
    create(&store, &main, &[]);
    append(&store, intent(&store, &other, Action::Create, json!({}), &[])).unwrap();
    append(&store, got(&other, "vpc-9")).unwrap();
    append(&store, got(&other, "vpc-9")).unwrap();
    let (before, lines) = (store.state(), store.written().lines);
    let nowhere = vpc("nowhere");
    let pending = json!({ "vpc_id": { "$pending": "vpc.main.id" } });
    let reused = Record::Intent {
        address: main.clone(),
        action: Action::Update,
        generation: 1,
        token: String::new(),
        region: String::new(),
        digest: String::new(),
        spec: json!({}),
        depends_on: vec![],
    };
    let mut not_given_out = reused.clone();
    if let Record::Intent { generation, .. } = &mut not_given_out {
        *generation = 1000;
    }
    let cases = [
        (done(&main, json!({})), "a `Done` record for `vpc.main` is refused: no intent is open"),
        (failed(&main), "a `Failed` record for `vpc.main` is refused: no intent is open"),
        (got(&main, "vpc-1"), "no intent is open"),
        (got(&other, "vpc-10"), "has the identifier `vpc-9` already, and would lose it for `vpc-10`"),
        (got(&other, ""), "the identifier is empty"),
        (Record::Removed { address: nowhere.clone() }, "neither a resource nor an intent"),
        (Record::Observed { address: other.clone(), attributes: json!({}) }, "still open"),
        (Record::Observed { address: nowhere.clone(), attributes: json!({}) }, "no such resource"),
        (Record::Forgotten { address: other.clone() }, "still open"),
        (Record::Renamed { from: main.clone(), to: other.clone() }, "still open"),
        (Record::Renamed { from: main.clone(), to: Address::new(Kind::Eip, "main") }, "of another kind"),
        (Record::Renamed { from: nowhere.clone(), to: vpc("new") }, "no such resource"),
        (intent(&store, &main, Action::Create, json!({}), &[]), "exists already as `id-main`"),
        (intent(&store, &other, Action::Create, json!({}), &[]), "the intent of generation 2 for `vpc.other` is still open"),
        (intent(&store, &nowhere, Action::Update, json!({}), &[]), "no such resource"),
        (intent(&store, &nowhere, Action::Delete, json!({}), &[]), "no such resource"),
        (intent(&store, &main, Action::Replace, json!({}), &[]), "a delete and then a create"),
        (intent(&store, &main, Action::Keep, json!({}), &[]), "needs no intent"),
        (intent(&store, &main, Action::Update, pending, &[]), "the value of `vpc.main.id` is still pending"),
        (reused, "generation 1 was used for it before"),
        (not_given_out, "generation 1000 was never given out"),
    ];
    for (record, expected) in cases {
        let message = refusal(append(&store, record));
        assert!(message.contains(expected), "`{message}` does not say `{expected}`");
    }
    let delete = intent(&store, &main, Action::Delete, Json::Null, &[]);
    assert_eq!((store.state(), store.written().lines), (before, lines), "a refused record left a trace");
    append(&store, delete).unwrap();
    assert!(refusal(append(&store, got(&main, "vpc-1"))).contains("only what is being created"));
    assert!(refusal(append(&store, done(&main, json!({})))).contains("the end of a delete is `Removed`"));
    let unidentified = vpc("unidentified");
    append(&store, intent(&store, &unidentified, Action::Create, json!({}), &[])).unwrap();
    assert!(refusal(append(&store, done(&unidentified, json!({})))).contains("the identifier was never recorded"));
}

#[test]
fn a_resource_can_be_renamed_and_forgotten_with_everything_that_names_it() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path()).unwrap();
    let (main, hub) = (vpc("main"), vpc("hub"));
    let subnet = Address::new(Kind::VSwitch, "a");
    let begun = Address::new(Kind::SecurityGroup, "web");
    create(&store, &main, &[]);
    create(&store, &subnet, std::slice::from_ref(&main));
    append(&store, intent(&store, &begun, Action::Create, json!({}), std::slice::from_ref(&main))).unwrap();
    store.rename(&main, &hub).unwrap();
    store.look(|state| {
        assert_eq!(state.resources[&subnet].depends_on, std::slice::from_ref(&hub));
        assert_eq!(state.open[&begun].depends_on, std::slice::from_ref(&hub));
        assert_eq!(state.resources[&hub].id, "id-main");
    });
    assert_eq!(store.list(), [hub.clone(), subnet.clone()]);
    assert!(refusal(store.rename(&subnet, &Address::new(Kind::VSwitch, "a"))).contains("taken"));
    store.remove(&hub).unwrap();
    store.look(|state| assert!(state.resources[&subnet].depends_on.is_empty()));
    let expected = store.state();
    drop(store);
    assert_eq!(open(home.path()).unwrap().state(), expected, "both are on disk");
}

#[test]
fn an_observation_counts_as_a_change_only_if_it_says_something_new() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path()).unwrap();
    let main = vpc("main");
    create(&store, &main, &[]);
    let before = store.state();
    append(&store, Record::Observed { address: main.clone(), attributes: json!({ "status": "Available" }) }).unwrap();
    assert_eq!(store.state(), before);
    append(&store, Record::Observed { address: main.clone(), attributes: json!({ "status": "Gone" }) }).unwrap();
    store.look(|state| assert!(state.resources[&main].updated_at > before.resources[&main].updated_at));
}

#[test]
fn generations_never_come_twice_even_when_the_resource_is_long_gone() {
    let home = tempfile::tempdir().unwrap();
    let main = vpc("main");
    let mut seen = Vec::new();
    for round in 0..3 {
        let store = open(home.path()).unwrap();
        create(&store, &main, &[]);
        seen.push(store.look(|state| state.resources[&main].generation));
        append(&store, intent(&store, &main, Action::Delete, Json::Null, &[])).unwrap();
        append(&store, Record::Removed { address: main.clone() }).unwrap();
        if round > 0 {
            store.finish().unwrap();
        }
    }
    assert_eq!(seen, [1, 3, 5]);
}

// ---- crashes

/// What a random history is made of: which resource, what is tried with it. Much of it is refused, which is part of it.
type Attempt = (u8, u8);

fn attempt(store: &Store, (which, what): Attempt) -> Record {
    let address = vpc(&format!("n{which}"));
    let spec = json!({ "text": "line\nbreak \u{1f600} \"quoted\"", "which": which });
    match what {
        0..=2 => intent(store, &address, Action::Create, spec, &[vpc("n0")]),
        3 => intent(store, &address, Action::Update, spec, &[]),
        4 => intent(store, &address, Action::Delete, Json::Null, &[]),
        5..=7 => got(&address, &format!("id-{which}")),
        8..=10 => done(&address, json!({ "seen": which })),
        11 => failed(&address),
        12 => Record::Removed { address },
        13 => Record::Forgotten { address },
        14 => Record::Renamed { from: address, to: vpc("n9") },
        15 => Record::Decided {
            key: format!("k{which}"),
            decision: Decision { chosen: "a".to_owned(), because: "b".to_owned(), rejected: vec![] },
        },
        16 => Record::Undecided { key: format!("k{which}") },
        17 => Record::Observed { address, attributes: json!({ "which": which }) },
        18 => {
            let (generation, region) = (store.allocate_generation(), "cn-beijing".to_owned());
            let (attributes, depends_on) = (json!({}), vec![]);
            Record::Adopted { address, id: "found".to_owned(), generation, region, spec, attributes, depends_on }
        }
        _ => Record::Settings {
            region: Some("cn-hangzhou".to_owned()),
            manifest_digest: (which % 2 == 0).then(|| "d".to_owned()),
            outputs: Default::default(),
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_byte_the_journal_ends_at_exactly_what_was_acknowledged_is_there(
        history in proptest::collection::vec((0u8..4, 0u8..20), 1..40), finish_at in 0usize..40,
    ) {
        let home = tempfile::tempdir().unwrap();
        let store = open(home.path()).unwrap();
        // The length of the journal when each state was acknowledged.
        let mut acknowledged: Vec<(u64, State)> = vec![(0, store.state())];
        for (i, step) in history.into_iter().enumerate() {
            if i == finish_at {
                store.finish().unwrap();
                acknowledged = vec![(0, store.state())];
            }
            match append(&store, attempt(&store, step)) {
                Ok(()) => acknowledged.push((fs::metadata(journal(home.path())).unwrap().len(), store.state())),
                Err(StateError::Illegal { .. }) => prop_assert_eq!(&store.state(), &acknowledged.last().unwrap().1),
                Err(error) => panic!("{error}"),
            }
        }
        drop(store);
        let bytes = fs::read(journal(home.path())).unwrap_or_default();
        for length in 0..=bytes.len() {
            fs::write(journal(home.path()), &bytes[..length]).unwrap();
            let (at, expected) = acknowledged.iter().rev().find(|(at, _)| *at <= length as u64).unwrap();
            let state = read(home.path()).unwrap().unwrap_or_else(|| State::new(STACK, LINEAGE));
            prop_assert_eq!(&state, expected, "read after {} bytes", length);
            // Opening writes, so it is done where it matters: around the ends of lines and now and then.
            if length as u64 - at < 3 || length % 97 == 0 {
                let store = open(home.path()).unwrap();
                prop_assert_eq!(&store.state(), expected, "opened after {} bytes", length);
                prop_assert_eq!(store.torn_bytes(), length as u64 - at);
                append(&store, Record::Undecided { key: "after".to_owned() }).unwrap();
                drop(store);
                prop_assert_eq!(&read(home.path()).unwrap().unwrap(), expected, "a record behind the torn one is readable");
            }
        }
    }
}

/// Works on a store until a hook demands a crash: two resources and a snapshot, the second with work left open.
fn work(store: &Store) -> Result<(), StateError> {
    let (one, two) = (vpc("one"), vpc("two"));
    for address in [&one, &two] {
        append(store, intent(store, address, Action::Create, json!({ "cidr": "10.0.0.0/8" }), &[]))?;
        append(store, got(address, &format!("id-{}", address.name)))?;
        append(store, done(address, json!({})))?;
    }
    append(store, intent(store, &two, Action::Update, json!({ "cidr": "10.1.0.0/16" }), &[]))?;
    store.finish()
}

#[test]
fn a_crash_at_any_moment_leaves_what_was_there_before_or_after_the_record() {
    let everything = {
        let home = tempfile::tempdir().unwrap();
        let store = open(home.path()).unwrap();
        let moments = Arc::new(Mutex::new(0));
        let counted = moments.clone();
        store.set_hook(Box::new(move |_| {
            *counted.lock().unwrap() += 1;
            Verdict::Continue
        }));
        work(&store).unwrap();
        *moments.lock().unwrap()
    };
    assert_eq!(everything, 2 * 7 + 3);
    for crash_at in 0..everything {
        for verdict in [Verdict::Crash, Verdict::Tear(1), Verdict::Tear(40), Verdict::Tear(usize::MAX)] {
            let home = tempfile::tempdir().unwrap();
            let store = open(home.path()).unwrap();
            let (mut moment, durable) = (0, Arc::new(Mutex::new(0)));
            let seen = durable.clone();
            store.set_hook(Box::new(move |at| {
                *seen.lock().unwrap() += u32::from(matches!(at, Moment::AfterRecord(_)));
                moment += 1;
                if moment - 1 == crash_at { verdict } else { Verdict::Continue }
            }));
            assert!(matches!(work(&store), Err(StateError::Crashed)), "moment {crash_at}");
            assert!(matches!(append(&store, Record::Undecided { key: "x".to_owned() }), Err(StateError::Crashed)));
            assert!(matches!(store.finish(), Err(StateError::Crashed)));
            drop(store);

            // The same work up to the records that became durable, without any crash.
            let witness_home = tempfile::tempdir().unwrap();
            let witness = open(witness_home.path()).unwrap();
            let mut left = *durable.lock().unwrap();
            witness.set_hook(Box::new(move |at| match at {
                Moment::BeforeRecord(_) if left == 0 => Verdict::Crash,
                Moment::BeforeRecord(_) => {
                    left -= 1;
                    Verdict::Continue
                }
                Moment::SnapshotWritten => Verdict::Crash,
                _ => Verdict::Continue,
            }));
            assert!(work(&witness).is_err());
            drop(witness);
            let mut expected = open(witness_home.path()).unwrap().state();
            let store = open(home.path()).unwrap();
            expected.serial = store.state().serial;
            assert_eq!(store.state(), expected, "moment {crash_at}, {verdict:?}");
            assert_eq!(store.state().serial, u64::from(crash_at >= 15), "the snapshot counts from the moment it is in place");
            // And it goes on from there.
            append(&store, Record::Decided { key: "k".to_owned(), decision: decision() }).unwrap();
            store.finish().unwrap();
            let last = store.state();
            drop(store);
            assert_eq!(read(home.path()).unwrap().unwrap(), last);
        }
    }
}

#[test]
fn open_intents_survive_the_snapshot() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path()).unwrap();
    work(&store).unwrap();
    let open_before = store.open_intents();
    assert_eq!(open_before.len(), 1);
    drop(store);
    assert!(!journal(home.path()).exists());
    assert_eq!(open(home.path()).unwrap().open_intents(), open_before);
}

#[test]
fn a_dropped_append_reaches_the_disk_with_the_next_one() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path()).unwrap();
    run(async {
        let record = Record::Decided { key: "cancelled".to_owned(), decision: decision() };
        // Polled once, it has put its record down and stepped aside; then it is dropped.
        tokio::select! { biased; _ = store.append(record) => panic!("too early"), () = async {} => {} }
        assert!(read(home.path()).unwrap().is_none());
        store.append(Record::Decided { key: "next".to_owned(), decision: decision() }).await.unwrap();
    });
    assert_eq!(read(home.path()).unwrap().unwrap().decisions.len(), 2);
    assert_eq!(store.written().lines, 1);
}

// ---- what is written

#[test]
fn tasks_that_append_at_once_share_one_line() {
    let home = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(home.path(), STACK, OpenOptions { durability: Durability::Fsync, ..options() }).unwrap());
    run(async {
        let mut tasks = tokio::task::JoinSet::new();
        for i in 0..100 {
            let store = store.clone();
            tasks.spawn(async move { store.append(intent(&store, &vpc(&format!("n{i}")), Action::Create, json!({}), &[])).await });
        }
        while let Some(result) = tasks.join_next().await {
            result.unwrap().unwrap();
        }
    });
    assert_eq!(store.written().lines, 1);
    assert_eq!(read(home.path()).unwrap().unwrap().open.len(), 100);
}

#[test]
fn a_crash_fails_every_task_that_shares_the_line() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path()).unwrap();
    store.set_hook(Box::new(|moment| match moment {
        Moment::BeforeRecord(Record::Undecided { key }) if key == "b" => Verdict::Crash,
        _ => Verdict::Continue,
    }));
    let undecided = |key: &str| Record::Undecided { key: key.to_owned() };
    let (a, b) = run(async { tokio::join!(store.append(undecided("a")), store.append(undecided("b"))) });
    assert!(matches!((a, b), (Err(StateError::Crashed), Err(StateError::Crashed))));
}

/// A spec and attributes of the size of a real instance.
fn realistic(i: usize) -> (Json, Json) {
    let spec = json!({
        "image_id": "aliyun_3_x64_20G_alibase_20260101.vhd", "instance_type": "ecs.u1-c1m2.large", "zone": "cn-hangzhou-k",
        "security_groups": ["sg-bp1fg655nh68xyz9i0kq"], "vswitch_id": "vsw-bp1s5fnvk4gn2tws03624", "name": format!("web-{i}"),
        "system_disk": { "category": "cloud_essd", "size": 40, "performance_level": "PL0" }, "bandwidth_out": 5,
        "charge_type": "PostPaid", "tags": { "aliform:stack": STACK, "aliform:address": format!("instance.web-{i}"), "aliform:lineage": LINEAGE },
    });
    let attributes = json!({
        "status": "Running", "public_ip": "47.96.1.2", "private_ip": "192.168.1.17", "cpu": 2, "memory": 4096,
        "creation_time": "2026-01-02T03:04Z", "host_name": format!("web-{i}"), "serial_number": "51d1353b-22bf-4567-a176-8b3e12e43135",
    });
    (spec, attributes)
}

/// Bytes written by an apply that creates `count` instances, a batch of 8 at a time.
fn bytes_of_an_apply(count: usize) -> u64 {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path()).unwrap();
    let needed = [Address::new(Kind::VSwitch, "main"), Address::new(Kind::SecurityGroup, "web")];
    run(async {
        let one = async |i: usize| {
            let address = Address::new(Kind::Instance, format!("web-{i}"));
            let (spec, attributes) = realistic(i);
            store.append(intent(&store, &address, Action::Create, spec, &needed)).await?;
            store.append(got(&address, &format!("i-bp67acfmxazb4p{i:06}"))).await?;
            store.append(done(&address, attributes)).await
        };
        for start in (0..count).step_by(8) {
            let batch = (start..count.min(start + 8)).map(one);
            futures_util::future::try_join_all(batch).await.unwrap();
        }
    });
    store.finish().unwrap();
    let written = store.written();
    let on_disk = fs::metadata(home.path().join("shop.state.json")).unwrap().len();
    assert!(written.bytes > 2 * on_disk, "the counter misses something: {written:?}");
    assert_eq!(written.lines, 3 * count.div_ceil(8) as u64);
    written.bytes
}

#[test]
fn an_apply_writes_at_most_4_kib_for_each_resource_however_many_there_are() {
    let (small, large) = (bytes_of_an_apply(100), bytes_of_an_apply(1000));
    assert!(small <= 100 * 4096, "{small} bytes for 100");
    assert!(large <= 1000 * 4096, "{large} bytes for 1000");
    assert!(large <= small * 11, "not linear: {small} bytes for 100, {large} for 1000");
}

#[test]
fn nothing_is_written_where_nothing_happened() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path()).unwrap();
    store.finish().unwrap();
    drop(store);
    assert_eq!(read(home.path()).unwrap(), None);
    assert!(!home.path().join("shop.state.json").exists());
}

#[test]
fn others_are_kept_out_and_git_looks_away() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join(".aliform");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let store = open(&directory).unwrap();
    work(&store).unwrap();
    append(&store, Record::Decided { key: "k".to_owned(), decision: decision() }).unwrap();
    assert_eq!(mode(&directory), 0o700);
    let names: BTreeMap<String, u32> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), mode(&entry.path())))
        .collect();
    let expected = [".gitignore", "shop.journal", "shop.lock", "shop.state.json"].map(|name| (name.to_owned(), 0o600));
    assert_eq!(names, BTreeMap::from(expected));
    assert!(fs::read_to_string(directory.join(".gitignore")).unwrap().lines().any(|line| line == "*"));

    drop(store);
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(directory.join(".gitignore"), "mine").unwrap();
    drop(open(&directory).unwrap());
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(fs::read_to_string(directory.join(".gitignore")).unwrap(), "mine", "what the user wrote stays");
}

// ---- damage

/// A directory with a snapshot of serial 2, its backup of serial 1, and a journal of three lines.
fn lived_in() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path()).unwrap();
    create(&store, &vpc("first"), &[]);
    store.finish().unwrap();
    create(&store, &vpc("second"), &[]);
    store.finish().unwrap();
    create(&store, &vpc("third"), &[]);
    home
}

fn complaint(home: &Path) -> (String, String) {
    let read = read(home).unwrap_err();
    let opened = open(home).unwrap_err();
    assert_eq!(read.to_string(), opened.to_string());
    (opened.to_string(), opened.hint().unwrap_or_default())
}

#[test]
fn damage_in_the_middle_of_the_journal_is_an_error_with_file_and_line() {
    let home = lived_in();
    let path = journal(home.path());
    let sound = fs::read(&path).unwrap();
    let second_line = sound.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let mut damaged = sound.clone();
    damaged[second_line + 30] ^= 1;
    fs::write(&path, &damaged).unwrap();
    let (message, hint) = complaint(home.path());
    assert!(message.contains("shop.journal`, line 2: the line is damaged"), "{message}");
    assert!(hint.contains("aliform recover") && hint.contains("shop.journal"), "{hint}");
    assert_eq!(fs::read(&path).unwrap(), damaged, "a damaged journal is left as it is");

    fs::write(&path, &sound[second_line..]).unwrap();
    assert!(complaint(home.path()).0.contains("line 1: lines are missing: this is number 1, expected was number 0"));

    let mut twice = sound.clone();
    twice.extend(&sound);
    fs::write(&path, twice).unwrap();
    assert!(complaint(home.path()).0.contains("line 4: lines are missing"));
}

#[test]
fn every_flipped_bit_is_noticed_or_only_costs_the_last_line() {
    let home = lived_in();
    let path = journal(home.path());
    let sound = fs::read(&path).unwrap();
    let last_line = sound[..sound.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for at in (0..sound.len()).step_by(3) {
        let mut damaged = sound.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(&path, damaged).unwrap();
        match read(home.path()) {
            Err(StateError::BrokenJournal { .. }) => {}
            Ok(Some(state)) => {
                assert!(at >= last_line, "a flipped bit at {at} went unseen");
                assert_eq!(state.open[&vpc("third")].id.as_deref(), Some("id-third"));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_damaged_snapshot_names_its_backup_and_the_backup_helps() {
    let home = lived_in();
    let (snapshot, backup) = (home.path().join("shop.state.json"), home.path().join("shop.state.json.backup"));
    let whole = fs::read_to_string(&snapshot).unwrap();
    fs::write(&snapshot, &whole[..whole.len() / 2]).unwrap_or_default();
    let (message, hint) = complaint(home.path());
    assert!(message.contains("shop.state.json` can't be read as the state of this stack: EOF"), "{message}");
    assert!(hint.contains(&format!("cp {} {}", backup.display(), snapshot.display())), "{hint}");
    let kept: State = serde_json::from_slice(&fs::read(&backup).unwrap()).unwrap();
    assert_eq!((kept.serial, kept.resources.len()), (1, 1));

    fs::copy(&backup, &snapshot).unwrap();
    assert!(complaint(home.path()).0.contains("it follows a snapshot of serial 2, and the snapshot has serial 1"));
    fs::remove_file(journal(home.path())).unwrap();
    assert_eq!(open(home.path()).unwrap().list(), [vpc("first")]);
}

#[test]
fn a_snapshot_that_vanished_is_not_taken_for_a_new_stack() {
    let home = lived_in();
    fs::remove_file(home.path().join("shop.state.json")).unwrap();
    assert!(complaint(home.path()).0.contains("is missing, but the journal follows it"));
    fs::remove_file(journal(home.path())).unwrap();
    let (message, hint) = complaint(home.path());
    assert!(message.contains("is missing, but there is a backup of it"), "{message}");
    assert!(hint.contains("shop.state.json.backup"), "{hint}");
}

#[test]
fn only_an_empty_state_is_removed_and_then_nothing_of_it_is_left() {
    let home = lived_in();
    let store = open(home.path()).unwrap();
    let held = store.list();
    assert!(!store.remove_if_empty().unwrap());
    let store = open(home.path()).unwrap();
    held.iter().for_each(|address| store.remove(address).unwrap());
    assert!(store.remove_if_empty().unwrap());
    let left: Vec<_> = fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [".gitignore"]);
    assert!(open(home.path()).unwrap().list().is_empty(), "a new one can begin");
}

#[test]
fn a_snapshot_with_a_different_meaning_is_refused() {
    let home = lived_in();
    let snapshot = home.path().join("shop.state.json");
    let whole: Json = serde_json::from_slice(&fs::read(&snapshot).unwrap()).unwrap();
    let complain = |change: &dyn Fn(&mut Json)| {
        let mut changed = whole.clone();
        change(&mut changed);
        fs::write(&snapshot, changed.to_string()).unwrap();
        complaint(home.path())
    };
    let (message, hint) = complain(&|state| {
        state["version"] = 2.into();
        state["invented_later"] = true.into();
    });
    assert!(message.ends_with("has format version 2, and this aliform knows versions up to 1"), "{message}");
    assert!(hint.contains("newer aliform"), "{hint}");
    assert!(complain(&|state| state["invented"] = 1.into()).0.contains("unknown field `invented`"));
    assert!(complain(&|state| state["resources"]["vpc.first"]["colour"] = 1.into()).0.contains("unknown field `colour`"));
    assert!(complain(&|state| state["stack"] = "other".into()).0.contains("it is the state of the stack `other`"));
    assert!(complain(&|state| state["next_generation"] = 1.into()).0.contains("a larger one was given out"));
    assert!(complain(&|state| state["lineage"] = "else".into()).0.contains("it belongs to the stack `shop` with lineage"));
}

#[test]
fn a_stack_name_cannot_leave_the_directory() {
    let home = tempfile::tempdir().unwrap();
    for name in ["", "../up", "a/b", "a.b"] {
        assert!(matches!(Store::open(home.path(), name, options()), Err(StateError::StackName { .. })), "{name:?} was taken");
    }
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn after_a_failed_write_nothing_more_is_recorded() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path()).unwrap();
    fs::create_dir(journal(home.path())).unwrap();
    let undecided = || Record::Undecided { key: "k".to_owned() };
    assert!(matches!(append(&store, undecided()), Err(StateError::Io { action: "open", .. })));
    fs::remove_dir(journal(home.path())).unwrap();
    let error = append(&store, undecided()).unwrap_err();
    assert!(error.to_string().starts_with("nothing more is recorded in this state: can't open"), "{error}");
    assert!(matches!(store.finish(), Err(StateError::Stopped { .. })));
}

// ---- the lock

#[test]
fn a_second_store_is_refused_and_told_by_whom() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path()).unwrap();
    let error = open(home.path()).unwrap_err();
    let pid = std::process::id();
    assert_eq!(
        error.to_string(),
        format!("the state of `shop` is locked by `apply` of lin on `desk` (process {pid}, since 2026-01-02T03:04:06Z)")
    );
    assert!(error.hint().unwrap().contains("aliform state unlock"));
    assert!(Store::open(home.path(), "other", options()).is_ok(), "stacks do not lock each other");
    drop(store);
    let store = open(home.path()).unwrap();
    assert_eq!(store.left_by(), None, "it was given back");
}

#[test]
fn a_broken_lock_stops_its_holder_and_lets_the_next_in() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path()).unwrap();
    create(&store, &vpc("main"), &[]);
    let found = look_at_lock(home.path(), STACK).unwrap();
    assert!(found.held && open(home.path()).is_err(), "looking breaks nothing");
    assert_eq!(break_lock(home.path(), STACK).unwrap(), found);
    assert_eq!(found.holder.unwrap().owner.who, "lin");
    let next = open(home.path()).unwrap();
    assert!(matches!(append(&store, Record::Undecided { key: "k".to_owned() }), Err(StateError::LockBroken { .. })));
    assert!(matches!(store.finish(), Err(StateError::Stopped { .. })));
    drop(store);
    assert_eq!(next.list(), [vpc("main")]);
    append(&next, Record::Undecided { key: "k".to_owned() }).unwrap();
    assert!(matches!(open(home.path()), Err(StateError::Locked { .. })), "the old holder gave back its own lock, not this one");
    let free = tempfile::tempdir().unwrap();
    assert_eq!(break_lock(free.path(), STACK).unwrap().holder, None);
}

/// Says where the process that the next test starts opens its store.
const HOLDER_DIRECTORY: &str = "ALIFORM_TEST_HOLDER_DIRECTORY";

#[test]
fn the_lock_of_a_killed_process_is_free_and_says_who_it_was() {
    if let Some(directory) = std::env::var_os(HOLDER_DIRECTORY) {
        // This is the other process: it begins something and waits until it is killed.
        let store = open(Path::new(&directory)).unwrap();
        append(&store, intent(&store, &vpc("main"), Action::Create, json!({}), &[])).unwrap();
        writeln!(std::io::stderr(), "held").unwrap();
        let _ = std::io::stdin().read_line(&mut String::new());
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_lock_of_a_killed_process_is_free_and_says_who_it_was", "--nocapture"])
        .env(HOLDER_DIRECTORY, home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(holder.stderr.take().unwrap()).lines().map_while(Result::ok).find(|line| line.contains("held"));
    assert!(said.is_some(), "the other process never held the lock");
    match open(home.path()) {
        Err(StateError::Locked { holder: Some(found), .. }) => assert_eq!(found.owner.pid, holder.id()),
        other => panic!("not locked: {other:?}"),
    }
    assert_eq!(read(home.path()).unwrap().unwrap().open.len(), 1, "reading needs no lock");
    holder.kill().unwrap();
    holder.wait().unwrap();
    let found = look_at_lock(home.path(), STACK).unwrap();
    assert_eq!((found.held, found.holder.map(|it| it.owner.pid)), (false, Some(holder.id())));
    let store = open(home.path()).unwrap();
    assert_eq!(store.left_by().unwrap().owner.pid, holder.id());
    assert_eq!(store.open_intents()[0].address, vpc("main"), "what it had begun is known");
    match open(home.path()) {
        Err(StateError::Locked { holder: Some(found), .. }) => assert_eq!(found.owner.pid, std::process::id()),
        other => panic!("not locked: {other:?}"),
    }
}

// ---- the format

fn decision() -> Decision {
    Decision {
        chosen: "cn-hangzhou".to_owned(),
        because: "no script downloads from overseas".to_owned(),
        rejected: vec![Rejected { option: "ap-southeast-1".to_owned(), because: "farther away".to_owned() }],
    }
}

/// A state in which every field of the format occurs.
fn small(directory: &Path) -> Json {
    let store = open(directory).unwrap();
    let (main, subnet) = (vpc("main"), Address::new(Kind::VSwitch, "main"));
    let settings = Record::Settings {
        region: Some("cn-hangzhou".to_owned()),
        manifest_digest: Some("sha256:00".to_owned()),
        outputs: [("url".to_owned(), "http://${instance.web-1.public_ip}".to_owned())].into(),
    };
    append(&store, settings).unwrap();
    append(&store, Record::Decided { key: "region".to_owned(), decision: decision() }).unwrap();
    create(&store, &main, &[]);
    append(&store, intent(&store, &subnet, Action::Create, json!({ "vpc_id": "id-main" }), std::slice::from_ref(&main))).unwrap();
    append(&store, got(&subnet, "vsw-1")).unwrap();
    append(&store, failed(&subnet)).unwrap();
    append(&store, intent(&store, &subnet, Action::Update, json!({ "vpc_id": "id-main", "v": 2 }), std::slice::from_ref(&main))).unwrap();
    let eip = Address::new(Kind::Eip, "web");
    append(&store, intent(&store, &eip, Action::Create, json!({ "bandwidth": 5 }), &[])).unwrap();
    append(&store, got(&eip, "eip-1")).unwrap();
    store.finish().unwrap();
    serde_json::from_slice(&fs::read(directory.join("shop.state.json")).unwrap()).unwrap()
}

#[test]
fn the_format_is_this() {
    let home = tempfile::tempdir().unwrap();
    insta::assert_json_snapshot!(small(home.path()));
}

#[test]
fn a_journal_of_today_is_readable_tomorrow() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path()).unwrap();
    let main = vpc("main");
    create(&store, &main, &[]);
    append(&store, intent(&store, &main, Action::Update, json!({ "v": 2 }), &[vpc("other")])).unwrap();
    append(&store, failed(&main)).unwrap();
    append(&store, Record::Observed { address: main.clone(), attributes: json!({ "status": "Pending" }) }).unwrap();
    store.rename(&main, &vpc("hub")).unwrap();
    append(&store, Record::Removed { address: vpc("hub") }).unwrap();
    let (generation, region, depends_on) = (store.allocate_generation(), "cn-beijing".to_owned(), vec![]);
    let (id, spec, attributes) = ("vpc-7".to_owned(), json!({}), json!({ "status": "Available" }));
    append(&store, Record::Adopted { address: main.clone(), id, generation, region, spec, attributes, depends_on }).unwrap();
    store.remove(&main).unwrap();
    append(&store, Record::Decided { key: "region".to_owned(), decision: decision() }).unwrap();
    append(&store, Record::Undecided { key: "region".to_owned() }).unwrap();
    append(&store, Record::Settings { region: Some("cn-hangzhou".to_owned()), manifest_digest: None, outputs: Default::default() })
        .unwrap();
    // A change here means that a journal left by a crash before an upgrade can't be settled after it.
    insta::assert_snapshot!(fs::read_to_string(journal(home.path())).unwrap());
}

#[test]
fn the_schema_is_published_and_a_state_follows_it() {
    let schema = json_schema();
    let home = tempfile::tempdir().unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let state = small(home.path());
    assert_eq!(validator.iter_errors(&state).map(|error| error.to_string()).collect::<Vec<_>>(), [""; 0]);
    let mut wrong = state;
    wrong["invented"] = true.into();
    assert!(!validator.is_valid(&wrong));

    let text = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
    let published = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/state.schema.json");
    if fs::read_to_string(&published).unwrap_or_default() != text {
        let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join("state.schema.json");
        fs::write(&made, text).unwrap();
        panic!("the code and schemas/state.schema.json differ; look at both, then: cp {} {}", made.display(), published.display());
    }
}
