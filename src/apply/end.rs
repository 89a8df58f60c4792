//! How long what serves nothing but runs is needed at most. It becomes a tag of what is made, and tells of a state what of
//! it should be gone by now. It ends nothing.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;

use crate::model::address::{Address, Kind};
use crate::plan::saved::{Plan, Wanted};
use crate::plan::worn::ends_too_soon;
use crate::resources::registry;
use crate::resources::runs;
use crate::state::contents::{Resource, State, Status};

/// What coming and going may take at most, beyond what runs may: a cluster with its nodes is the slowest to come.
const AROUND: u64 = 4200;
/// How much longer a training job may wait for its place.
const QUEUE: u64 = 7200;
/// How long outputs wait for whoever left their run.
const FETCHED_WITHIN: u64 = 7 * 86_400;
/// Ends are rounded up to this: an attempt that is repeated says the same as the one before.
const STEP: i64 = 3600;

/// How many seconds of its life a resource says that it is needed.
fn own(spec: &Json) -> Option<u64> {
    let number = |field: &str| spec.get(field).and_then(Json::as_u64);
    number("needed_for").or_else(|| number("release_after"))
}

/// How many seconds a run may take.
fn limit(spec: &Json) -> Option<u64> {
    let number = |field: &str| spec.get(field).and_then(Json::as_u64);
    let minutes = number("max_minutes").map(|minutes| minutes.saturating_mul(60));
    number("limit").max(minutes)
}

/// What a run may take besides its own time.
fn around(run: &Address) -> u64 {
    if run.kind == Kind::TrainingJob { AROUND + QUEUE } else { AROUND }
}

/// For how many seconds from now a resource of the plan serves anybody; `None` for what stays.
pub(super) fn needed_for(plan: &Plan, address: &Address) -> Option<u64> {
    let spec = |address: &Address| plan.wanted.get(address).map(|wanted: &Wanted| &wanted.spec);
    if let Some(seconds) = spec(address).and_then(own) {
        return Some(seconds);
    }
    let whole = |run: &Address| Some(spec(run).and_then(limit)?.saturating_add(around(run)));
    let runs = match plan.released.get(address) {
        // One after another, should they come to that.
        Some(runs) => runs.iter().filter_map(whole).fold(0, u64::saturating_add),
        None if is_passing(plan, address) => whole(address)?,
        None => return None,
    };
    let others = plan.released.keys().filter_map(|address| spec(address).and_then(own)).max().unwrap_or_default();
    Some(runs.max(others))
}

/// Whether it is a run with which what it needed goes.
fn is_passing(plan: &Plan, address: &Address) -> bool {
    plan.released.values().any(|runs| runs.contains(address))
}

/// The end of something that is needed for so long from `now` on, rounded up. Where nobody waits for the run, what does not
/// cost money by the hour stays some days longer: its outputs are to be fetched yet.
pub(super) fn end(now: Timestamp, seconds: u64, kind: Kind, detached: bool) -> Option<Timestamp> {
    let waits = detached && !matches!(kind, Kind::Cluster | Kind::Instance);
    let end = after(now, seconds.saturating_add(if waits { FETCHED_WITHIN } else { 0 }))?.as_second();
    Timestamp::from_second(end.checked_add(STEP - 1)? / STEP * STEP).ok()
}

fn after(start: Timestamp, seconds: u64) -> Option<Timestamp> {
    start.checked_add(SignedDuration::from_secs(i64::try_from(seconds).ok()?)).ok()
}

/// Something that a run left in a state, and that should be gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Its name in the stack.
    pub address: Address,
    /// Its identifier, if one is known.
    pub id: Option<String>,
    /// From when on it serves nobody.
    pub since: Timestamp,
}

/// What of a state should be gone by `now`, as far as the state alone can tell: what says how long it is needed, and runs
/// that were never seen to end.
pub fn left(state: &State, now: Timestamp) -> Vec<Left> {
    let mut found = BTreeMap::new();
    let mut look = |address: &Address, id: Option<&String>, start: Timestamp, seconds: Option<u64>| {
        if let Some(since) = seconds.and_then(|seconds| after(start, seconds)).filter(|since| *since <= now) {
            let left = Left { address: address.clone(), id: id.cloned(), since };
            found.insert(address.clone(), left);
        }
    };
    let run = |address: &Address, spec: &Json| {
        registry::kind(address.kind).ends().then(|| limit(spec)).flatten().map(|seconds| seconds.saturating_add(around(address)))
    };
    for (address, resource) in &state.resources {
        // A run that ended is history.
        let open = resource.status != Status::Ready;
        let seconds = own(&resource.spec).or_else(|| run(address, &resource.spec).filter(|_| open));
        look(address, Some(&resource.id), resource.created_at, seconds);
    }
    for (address, intent) in &state.open {
        look(address, intent.id.as_ref(), intent.since, own(&intent.spec).or_else(|| run(address, &intent.spec)));
    }
    found.into_values().collect()
}

/// Whether a run of it was left in the cloud and nobody has brought it to its end.
pub fn is_detached(state: &State) -> bool {
    state.resources.values().any(|resource| runs::goes_on(&resource.attributes))
}

/// Whether what an earlier run left behind is not to serve another one: its end is set, and comes too soon for a run as long
/// as the one it was made for.
pub fn is_worn(resource: &Resource, now: Timestamp) -> bool {
    let set = |field: &str| resource.spec.get(field).is_some_and(|seconds| !seconds.is_null());
    ends_too_soon(&resource.spec, &resource.attributes, now).is_some()
        || set("needed_for") && after(resource.created_at, AROUND).is_none_or(|half| half <= now)
}

/// Whether a state is that of runs only, so that `run --release` takes all of it away.
pub fn is_of_runs(state: &State) -> bool {
    let app = |address: &Address| matches!(address.kind, Kind::Release | Kind::Eip);
    !state.resources.keys().chain(state.open.keys()).any(app)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn moment(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn resource(spec: Json, status: Status) -> Resource {
        let at = moment("2026-01-02T03:00:00Z");
        let (id, region) = ("x-1".to_owned(), "cn-hangzhou".to_owned());
        let attributes = Json::Null;
        Resource { id, spec, attributes, depends_on: Vec::new(), generation: 1, region, status, created_at: at, updated_at: at }
    }

    #[test]
    fn an_end_is_a_full_hour_and_never_too_early() {
        let at = |now, seconds, kind, detached| end(moment(now), seconds, kind, detached);
        assert_eq!(at("2026-01-02T03:00:00Z", 3600, Kind::Bucket, false), Some(moment("2026-01-02T04:00:00Z")));
        assert_eq!(at("2026-01-02T03:00:01Z", 3600, Kind::Bucket, false), Some(moment("2026-01-02T05:00:00Z")));
        assert_eq!(at("2026-01-02T03:00:00Z", u64::MAX, Kind::Bucket, false), None);
        // Whoever left a run has a week to fetch what it brought; a cluster does not wait for that.
        assert_eq!(at("2026-01-02T03:00:00Z", 3600, Kind::Bucket, true), Some(moment("2026-01-09T04:00:00Z")));
        assert_eq!(at("2026-01-02T03:00:00Z", 3600, Kind::Cluster, true), Some(moment("2026-01-02T04:00:00Z")));
    }

    #[test]
    fn what_may_end_before_another_run_serves_none() {
        let worn = |spec, now| is_worn(&resource(spec, Status::Ready), moment(now));
        assert!(worn(json!({ "release_after": 2400 }), "2026-01-02T03:00:01Z"));
        assert!(!worn(json!({ "needed_for": 4800 }), "2026-01-02T04:09:59Z"));
        assert!(worn(json!({ "needed_for": 4800 }), "2026-01-02T04:10:00Z"));
        assert!(!worn(json!({ "cidr": "10.0.0.0/8" }), "2026-02-02T04:10:00Z"));
    }

    #[test]
    fn only_what_is_past_its_time_is_left_behind() {
        let mut state = State::new("lab", "0123");
        let unfinished = || Status::Unfinished { because: "interrupted".to_owned() };
        let mut put = |address: &str, spec: Json, status| drop(state.resources.insert(address.parse().unwrap(), resource(spec, status)));
        put("cluster.main", json!({ "needed_for": 600 }), Status::Ready);
        put("cluster.kept", json!({}), Status::Ready);
        put("vpc.main", json!({ "name": "x" }), Status::Ready);
        put("run.over", json!({ "limit": 60 }), Status::Ready);
        put("run.lost", json!({ "limit": 60 }), unfinished());
        let names = |now| left(&state, moment(now)).into_iter().map(|left| left.address.to_string()).collect::<Vec<_>>();
        assert!(names("2026-01-02T03:09:59Z").is_empty());
        assert_eq!(names("2026-01-02T03:10:00Z"), ["cluster.main"]);
        assert_eq!(names("2026-01-02T04:11:00Z"), ["cluster.main", "run.lost"]);
        assert_eq!(left(&state, moment("2026-01-02T04:11:00Z"))[0].since, moment("2026-01-02T03:10:00Z"));
        assert!(is_of_runs(&state));
    }
}
