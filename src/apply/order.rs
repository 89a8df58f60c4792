//! In which order the steps of a plan are taken: pure, from the plan and the state to a graph. It takes none of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::graph::{Graph, GraphError};
use crate::model::address::{Address, Kind};
use crate::model::change::{Action, Change};
use crate::plan::saved::Plan;
use crate::resources::registry;
use crate::state::contents::State;

/// What happens to a resource in one step. A replacement is two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// It is taken away.
    Remove,
    /// It is made or changed.
    Make,
    /// It is taken away since what it served is over, however that ended.
    Release,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Step {
    pub(super) address: Address,
    pub(super) phase: Phase,
}

impl Step {
    fn make(address: &Address) -> Step {
        Step { address: address.clone(), phase: Phase::Make }
    }

    fn remove(address: &Address) -> Step {
        Step { address: address.clone(), phase: Phase::Remove }
    }

    fn release(address: &Address) -> Step {
        Step { address: address.clone(), phase: Phase::Release }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match self.phase {
            Phase::Remove => "remove",
            Phase::Make => "make",
            Phase::Release => "release",
        };
        write!(f, "{} ({phase})", self.address)
    }
}

fn phases(change: &Change) -> &'static [Phase] {
    match change.action {
        Action::Keep => &[],
        Action::Create | Action::Update => &[Phase::Make],
        Action::Replace => &[Phase::Remove, Phase::Make],
        Action::Delete => &[Phase::Remove],
    }
}

/// Whether a resource is taken away together with one that takes it along: nothing of it is left then, whatever its
/// own farewell comes to.
pub(super) fn goes_along(plan: &Plan, state: &State, address: &Address) -> bool {
    let Some(host) = registry::kind(address.kind).goes_with() else { return false };
    // Another one takes its place before its host goes: until then nothing may be left of it.
    let replaced = plan.changes.iter().any(|change| change.address == *address && change.action == Action::Replace);
    let removed = |dependency: &Address| {
        (!replaced && plan.released.contains_key(dependency))
            || plan.changes.iter().any(|change| change.address == *dependency && matches!(change.action, Action::Delete | Action::Replace))
    };
    let depends_on = state.resources.get(address).map(|resource| &resource.depends_on);
    depends_on.into_iter().flatten().any(|dependency| dependency.kind == host && removed(dependency))
}

/// The steps with what each waits for.
pub(super) fn steps(plan: &Plan, state: &State) -> Result<Graph<Step>, GraphError> {
    let all: BTreeSet<Step> = plan
        .changes
        .iter()
        .flat_map(|change| phases(change).iter().map(|phase| Step { address: change.address.clone(), phase: *phase }))
        .chain(plan.released.keys().map(Step::release))
        .collect();
    let mut waits: BTreeMap<Step, BTreeSet<Step>> = all.iter().map(|step| (step.clone(), BTreeSet::new())).collect();
    let mut wait = |step: Step, first: Step| {
        if all.contains(&first)
            && let Some(list) = waits.get_mut(&step)
        {
            list.insert(first);
        }
    };
    let mut going: BTreeMap<Kind, Vec<&Address>> = BTreeMap::new();
    for change in plan.changes.iter().filter(|change| change.action == Action::Delete) {
        going.entry(change.address.kind).or_default().push(&change.address);
    }
    for change in &plan.changes {
        let address = &change.address;
        wait(Step::make(address), Step::remove(address));
        for dependency in plan.wanted.get(address).map(|wanted| &wanted.depends_on).into_iter().flatten() {
            wait(Step::make(address), Step::make(dependency));
        }
        for dependency in state.resources.get(address).map(|resource| &resource.depends_on).into_iter().flatten() {
            // What was built on a resource goes before it, or lets go of it by its own change: when the resource
            // comes back, that change waits for it, and what held it is content with its coming back.
            let lets_go = change.action == Action::Update && !all.contains(&Step::make(dependency));
            wait(Step::remove(dependency), if lets_go { Step::make(address) } else { Step::remove(address) });
        }
        for rival in going.get(&address.kind).into_iter().flatten().filter(|going| in_the_way(plan, state, change, going)) {
            wait(Step::make(address), Step::remove(rival));
        }
    }
    for (address, runs) in &plan.released {
        wait(Step::release(address), Step::make(address));
        for run in runs {
            wait(Step::release(address), Step::make(run));
        }
        for dependency in plan.wanted.get(address).map(|wanted| &wanted.depends_on).into_iter().flatten() {
            wait(Step::release(dependency), Step::release(address));
        }
    }
    Graph::build(waits)
}

/// Whether `going` has to go before `change` can make its own, which takes its place as a subnet takes its addresses.
fn in_the_way(plan: &Plan, state: &State, change: &Change, going: &Address) -> bool {
    if !matches!(change.action, Action::Create | Action::Replace) {
        return false;
    }
    let (coming, going) = (plan.wanted.get(&change.address), state.resources.get(going));
    // A spec that can't be read says nothing; the step itself will tell.
    coming.zip(going).is_some_and(|(coming, going)| {
        registry::kind(change.address.kind).excludes(&change.address, &coming.spec, &going.spec).unwrap_or(false)
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::model::cost::Cost;
    use crate::plan::cost::Summary;
    use crate::plan::saved::{Basis, Wanted};
    use crate::state::contents::{Resource, Status};

    /// A resource: its address, what happens to it, what it was built on, and what it is to be built on.
    struct Case(&'static str, Action, &'static [&'static str], &'static [&'static str], Json);

    fn case(name: &'static str, action: Action, before: &'static [&'static str], after: &'static [&'static str]) -> Case {
        Case(name, action, before, after, Json::Null)
    }

    fn addresses(names: &[&str]) -> Vec<Address> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn world(cases: &[Case]) -> (Plan, State) {
        let mut state = State::new("shop", "0123");
        let mut plan = Plan {
            format: Plan::FORMAT,
            digest: String::new(),
            basis: Basis { stack: "shop".into(), lineage: "0123".into(), serial: 0, manifest_digest: String::new(), destroy: false },
            made_at: Timestamp::UNIX_EPOCH,
            region: "cn-hangzhou".into(),
            changes: Vec::new(),
            cost: Summary::default(),
            wanted: BTreeMap::new(),
            released: BTreeMap::new(),
            offers: BTreeMap::new(),
            standby: BTreeMap::new(),
            fallbacks: BTreeMap::new(),
            decisions: BTreeMap::new(),
            used: Vec::new(),
            findings: Vec::new(),
            outputs: BTreeMap::new(),
            observed: BTreeMap::new(),
        };
        for Case(name, action, before, after, spec) in cases {
            let address: Address = name.parse().unwrap();
            if *action != Action::Create {
                let resource = Resource {
                    id: (*name).into(),
                    spec: spec.clone(),
                    attributes: Json::Null,
                    depends_on: addresses(before),
                    generation: 1,
                    region: "cn-hangzhou".into(),
                    status: Status::Ready,
                    created_at: Timestamp::UNIX_EPOCH,
                    updated_at: Timestamp::UNIX_EPOCH,
                };
                state.resources.insert(address.clone(), resource);
            }
            if *action != Action::Delete {
                plan.wanted.insert(address.clone(), Wanted { spec: spec.clone(), depends_on: addresses(after) });
            }
            plan.changes.push(Change {
                address,
                action: *action,
                reasons: Vec::new(),
                id: None,
                fields: Vec::new(),
                effects: Vec::new(),
                cost_before: Cost::FREE,
                cost_after: Cost::FREE,
            });
        }
        (plan, state)
    }

    fn order(cases: &[Case]) -> Vec<String> {
        let (plan, state) = world(cases);
        steps(&plan, &state).unwrap().order().map(ToString::to_string).collect()
    }

    #[test]
    fn a_replacement_takes_down_from_the_top_and_builds_from_the_ground() {
        let steps = order(&[
            case("vpc.main", Action::Replace, &[], &[]),
            case("vswitch.a", Action::Replace, &["vpc.main"], &["vpc.main"]),
            case("instance.web-1", Action::Replace, &["vswitch.a"], &["vswitch.a"]),
        ]);
        assert_eq!(
            steps,
            [
                "instance.web-1 (remove)",
                "vswitch.a (remove)",
                "vpc.main (remove)",
                "vpc.main (make)",
                "vswitch.a (make)",
                "instance.web-1 (make)"
            ]
        );
    }

    #[test]
    fn what_lets_go_by_its_own_change_does_so_before_the_old_thing_goes() {
        let steps = order(&[
            case("security_group.new", Action::Create, &[], &[]),
            case("security_group.old", Action::Delete, &[], &[]),
            case("instance.web-1", Action::Update, &["security_group.old"], &["security_group.new"]),
        ]);
        assert_eq!(steps, ["security_group.new (make)", "instance.web-1 (make)", "security_group.old (remove)"]);
    }

    #[test]
    fn what_follows_a_replaced_thing_waits_for_the_new_one() {
        let steps = order(&[
            case("instance.web-1", Action::Replace, &[], &[]),
            case("eip.web-1", Action::Update, &["instance.web-1"], &["instance.web-1"]),
        ]);
        assert_eq!(steps, ["instance.web-1 (remove)", "instance.web-1 (make)", "eip.web-1 (make)"]);
    }

    #[test]
    fn what_is_kept_waits_for_nothing_and_holds_nothing_up() {
        let steps = order(&[
            case("vpc.main", Action::Keep, &[], &[]),
            case("security_group.web", Action::Update, &["vpc.main"], &["vpc.main"]),
            case("instance.web-1", Action::Keep, &["vpc.main"], &["vpc.main"]),
        ]);
        assert_eq!(steps, ["security_group.web (make)"]);
    }

    #[test]
    fn a_subnet_comes_only_when_the_one_with_its_addresses_has_gone() {
        let switch = |zone: &str, cidr: &str| json!({ "name": zone, "vpc_id": "v", "zone": zone, "cidr": cidr });
        let steps = |cidr: &str| {
            order(&[
                Case("vswitch.a", Action::Create, &[], &[], switch("a", cidr)),
                Case("vswitch.b", Action::Delete, &[], &[], switch("b", "10.0.0.0/24")),
            ])
        };
        assert_eq!(steps("10.0.0.128/25"), ["vswitch.b (remove)", "vswitch.a (make)"]);
        assert_eq!(steps("10.0.1.0/24"), ["vswitch.a (make)", "vswitch.b (remove)"]);
    }

    #[test]
    fn what_is_on_an_instance_goes_along_only_if_the_instance_goes() {
        let release = "release.web-1".parse().unwrap();
        for (action, goes) in [(Action::Delete, true), (Action::Replace, true), (Action::Update, false), (Action::Keep, false)] {
            let (plan, state) =
                world(&[case("instance.web-1", action, &[], &[]), case("release.web-1", Action::Delete, &["instance.web-1"], &[])]);
            assert_eq!(goes_along(&plan, &state, &release), goes, "{action:?}");
        }
    }
}
