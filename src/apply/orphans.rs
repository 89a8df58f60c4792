//! What of aliform's in the cloud serves nobody any more, and why: judged from what was found there, the states that are
//! here, and the time. Pure; it takes nothing away. What is in doubt is never expired.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value as Json;

use crate::model::address::{Address, Kind};
use crate::resources::tagged::Found;
use crate::state::contents::State;

/// Something with aliform's tags.
#[derive(Clone, Debug)]
pub struct Find {
    /// What it is.
    pub kind: Kind,
    /// Where it is.
    pub region: String,
    /// What the cloud says of it.
    pub found: Found,
}

/// Why nobody may need it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It was made for a run, and the time of the run is over.
    Expired,
    /// The state of its stack is here and does not remember it.
    Forgotten,
    /// No state here is that of its stack: the state was lost, or lies somewhere else and holds it.
    Unknown,
}

/// What may have been left behind.
#[derive(Clone, Debug, Serialize)]
pub struct Orphan {
    /// What it is.
    pub kind: Kind,
    /// Its identifier.
    pub id: String,
    /// Where it is.
    pub region: String,
    /// Its stack; empty if nothing says so.
    pub stack: String,
    /// The lineage of its stack.
    pub lineage: String,
    /// Its name in its stack.
    pub address: Address,
    /// When it came.
    pub created_at: Option<Timestamp>,
    /// From when on it serves nobody.
    pub deadline: Option<Timestamp>,
    /// Why it is here.
    pub why: Why,
    /// Whether a state here remembers it all the same.
    pub held: bool,
    /// Whether it does nothing any more, and costs nothing.
    #[serde(skip)]
    pub over: bool,
    /// What it is, as far as the cloud tells.
    #[serde(skip)]
    pub spec: Json,
}

/// Whether things of its stack stand on it or lie in it, and it costs next to nothing by itself: it is needed as long as
/// anything of its stack is.
pub(super) fn is_ground(kind: Kind) -> bool {
    matches!(kind, Kind::Vpc | Kind::VSwitch | Kind::SecurityGroup | Kind::Bucket | Kind::Workspace)
}

/// The kinds in the order in which they can be taken away: the ground last, a network after all that is in it.
pub(super) fn in_order() -> impl Iterator<Item = Kind> {
    let backwards = || Kind::ALL.into_iter().rev();
    backwards().filter(|kind| !is_ground(*kind)).chain(backwards().filter(|kind| is_ground(*kind)))
}

/// What the states that are here remember.
struct Memory<'a> {
    states: BTreeMap<&'a str, &'a State>,
    ids: BTreeSet<&'a str>,
}

impl<'a> Memory<'a> {
    fn of(states: &'a [State]) -> Self {
        let ids = |state: &'a State| {
            let begun = state.open.values().filter_map(|intent| intent.id.as_deref());
            state.resources.values().map(|resource| resource.id.as_str()).chain(begun)
        };
        Memory { ids: states.iter().flat_map(ids).collect(), states: states.iter().map(|state| (state.lineage.as_str(), state)).collect() }
    }

    /// Whether one of them holds it. What was begun and got no identifier yet is held by its name.
    fn holds(&self, lineage: &str, address: &Address, id: &str) -> bool {
        self.ids.contains(id)
            || self.states.get(lineage).is_some_and(|state| state.open.get(address).is_some_and(|intent| intent.id.is_none()))
    }
}

/// Everything that may have been left behind, in the order in which it can be taken away.
pub fn judge(finds: Vec<Find>, states: &[State], now: Timestamp) -> Vec<Orphan> {
    let memory = Memory::of(states);
    let stacks = stacks(&finds, states);
    let whole: BTreeSet<(Kind, String)> = finds.iter().filter_map(|find| Some((find.kind, find.found.lineage()?.to_owned()))).collect();
    let mut all: Vec<Orphan> = Vec::new();
    for Find { kind, region, found } in finds {
        let Some(lineage) = found.lineage().map(str::to_owned) else { continue };
        let address = found.address().unwrap_or_else(|| Address::new(kind, "unknown"));
        // A part of something that is there goes with it, as nodes with their cluster.
        if address.kind != kind && whole.contains(&(address.kind, lineage.clone())) {
            continue;
        }
        all.push(Orphan {
            stack: stacks.get(&lineage).cloned().unwrap_or_default(),
            created_at: found.created_at,
            deadline: found.deadline(),
            why: if memory.states.contains_key(lineage.as_str()) { Why::Forgotten } else { Why::Unknown },
            held: memory.holds(&lineage, &address, &found.id),
            over: found.over,
            id: found.id,
            spec: found.spec,
            kind,
            region,
            lineage,
            address,
        });
    }
    inherit(&mut all);
    let alive: BTreeSet<(String, String)> =
        all.iter().filter(|orphan| is_alive(orphan, now)).map(|orphan| (orphan.lineage.clone(), orphan.region.clone())).collect();
    for orphan in &mut all {
        let needed = is_ground(orphan.kind) && alive.contains(&(orphan.lineage.clone(), orphan.region.clone()));
        if !needed && orphan.deadline.is_some_and(|deadline| deadline <= now) {
            orphan.why = Why::Expired;
        }
    }
    all.retain(|orphan| !orphan.held || orphan.why == Why::Expired);
    let place = |kind: Kind| in_order().position(|other| other == kind);
    all.sort_by(|a, b| {
        (&a.region, &a.stack, &a.lineage, place(a.kind), &a.id).cmp(&(&b.region, &b.stack, &b.lineage, place(b.kind), &b.id))
    });
    all
}

/// The name of the stack of each lineage.
fn stacks(finds: &[Find], states: &[State]) -> BTreeMap<String, String> {
    let told = finds.iter().map(|find| &find.found).filter(|found| !found.stack().is_empty());
    let told = told.filter_map(|found| Some((found.lineage()?.to_owned(), found.stack().to_owned())));
    states.iter().map(|state| (state.lineage.clone(), state.stack.clone())).chain(told).collect()
}

/// A workspace can't say how long it is needed: as long as the rest of its stack there, if all of that has an end.
fn inherit(all: &mut [Orphan]) {
    let mut ends: BTreeMap<(String, String), Option<Timestamp>> = BTreeMap::new();
    for orphan in all.iter().filter(|orphan| orphan.kind != Kind::Workspace) {
        let end = ends.entry((orphan.lineage.clone(), orphan.region.clone())).or_insert(orphan.deadline);
        *end = end.zip(orphan.deadline).map(|(one, other)| one.max(other));
    }
    for orphan in all.iter_mut().filter(|orphan| orphan.kind == Kind::Workspace && orphan.deadline.is_none()) {
        orphan.deadline = ends.get(&(orphan.lineage.clone(), orphan.region.clone())).copied().flatten();
    }
}

/// Whether it shows that somebody still needs its stack: it goes on, or it is ground without an end.
fn is_alive(orphan: &Orphan, now: Timestamp) -> bool {
    if is_ground(orphan.kind) {
        return orphan.deadline.is_none() && orphan.kind != Kind::Workspace;
    }
    !orphan.over && orphan.deadline.is_none_or(|deadline| deadline > now)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::change::Action;
    use crate::resources::kind::{TAG_ADDRESS, TAG_DEADLINE, TAG_LINEAGE, TAG_STACK};
    use crate::resources::tagged::{Tagged, tags};
    use crate::state::contents::OpenIntent;

    const NOW: &str = "2026-01-02T12:00:00Z";
    const BEFORE: &str = "2026-01-02T11:00:00Z";
    const LATER: &str = "2026-01-02T13:00:00Z";

    fn find(address: &str, id: &str, lineage: &str, deadline: Option<&str>) -> Find {
        let mut own = vec![(TAG_STACK, "lab"), (TAG_LINEAGE, lineage), (TAG_ADDRESS, address)];
        own.extend(deadline.map(|deadline| (TAG_DEADLINE, deadline)));
        let own = tags(own.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())));
        let kind = address.parse::<Address>().unwrap().kind;
        Find { kind, region: "cn-hangzhou".to_owned(), found: Tagged::new(id, own, "", json!({})) }
    }

    fn shown(finds: Vec<Find>, states: &[State]) -> Vec<String> {
        let all = judge(finds, states, NOW.parse().unwrap());
        all.iter().map(|orphan| format!("{} {:?}{}", orphan.id, orphan.why, if orphan.held { " held" } else { "" })).collect()
    }

    #[test]
    fn a_run_past_its_end_leaves_all_of_it_in_the_order_it_can_go() {
        let all = ["vpc.main", "vswitch.cn-hangzhou-j", "bucket.main", "cluster.main"];
        let finds = || all.iter().enumerate().map(|(i, address)| find(address, &format!("x-{i}"), "a", Some(BEFORE))).collect();
        assert_eq!(shown(finds(), &[]), ["x-3 Expired", "x-2 Expired", "x-1 Expired", "x-0 Expired"]);
    }

    #[test]
    fn ground_is_needed_as_long_as_anything_on_it_goes_on() {
        let ground = || find("vpc.main", "vpc-1", "a", Some(BEFORE));
        for alive in
            [find("instance.web-1", "i-1", "a", None), find("cluster.main", "c-1", "a", Some(LATER)), find("bucket.main", "b", "a", None)]
        {
            let id = alive.found.id.clone();
            assert_eq!(shown(vec![ground(), alive], &[]).iter().filter(|line| line.ends_with("Expired")).count(), 0, "{id}");
        }
        // A stack that stays keeps its ground; the cluster of its run goes.
        let finds = vec![find("vpc.main", "vpc-1", "a", None), find("cluster.main", "c-1", "a", Some(BEFORE))];
        assert_eq!(shown(finds, &[]), ["c-1 Expired", "vpc-1 Unknown"]);
        // Somebody else's does not keep it.
        assert_eq!(shown(vec![ground(), find("instance.web-1", "i-1", "b", None)], &[]), ["vpc-1 Expired", "i-1 Unknown"]);
    }

    #[test]
    fn what_a_state_here_holds_is_no_orphan_before_its_end() {
        let intent = |address: &str, id: Option<&str>| {
            let address: Address = address.parse().unwrap();
            let open = OpenIntent {
                address: address.clone(),
                action: Action::Create,
                generation: 1,
                token: String::new(),
                region: String::new(),
                digest: String::new(),
                came_at: None,
                spec: Json::Null,
                depends_on: Vec::new(),
                id: id.map(str::to_owned),
                since: NOW.parse().unwrap(),
            };
            (address, open)
        };
        let mut state = State::new("lab", "a");
        state.open =
            BTreeMap::from([intent("instance.web-1", Some("i-1")), intent("instance.web-2", None), intent("cluster.main", Some("c-1"))]);
        let states = [state];
        let finds = vec![
            find("instance.web-1", "i-1", "a", None),
            find("instance.web-2", "i-2", "a", None),
            find("instance.web-3", "i-3", "a", None),
            find("cluster.main", "c-1", "a", Some(BEFORE)),
            find("instance.web-2", "i-4", "b", None),
        ];
        assert_eq!(shown(finds, &states), ["c-1 Expired held", "i-3 Forgotten", "i-4 Unknown"]);
    }

    #[test]
    fn parts_go_with_their_whole_and_a_workspace_with_the_rest() {
        let node = || {
            let mut node = find("cluster.main", "i-1", "a", Some(BEFORE));
            node.kind = Kind::Instance;
            node
        };
        assert_eq!(shown(vec![node(), find("cluster.main", "c-1", "a", Some(BEFORE))], &[]), ["c-1 Expired"]);
        assert_eq!(shown(vec![node()], &[]), ["i-1 Expired"]);
        let workspace = || find("workspace.main", "7", "a", None);
        assert_eq!(shown(vec![workspace(), find("bucket.main", "b", "a", Some(BEFORE))], &[]), ["7 Expired", "b Expired"]);
        assert_eq!(shown(vec![workspace(), find("bucket.main", "b", "a", None)], &[]), ["7 Unknown", "b Unknown"]);
        assert_eq!(shown(vec![workspace()], &[]), ["7 Unknown"]);
    }

    #[test]
    fn what_is_not_tagged_by_us_is_not_looked_at() {
        let mut other = find("vpc.main", "vpc-1", "a", Some(BEFORE));
        other.found.tags.remove(TAG_LINEAGE);
        assert!(shown(vec![other], &[]).is_empty());
    }
}
