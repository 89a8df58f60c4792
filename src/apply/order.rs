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
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.address, if self.phase == Phase::Make { "make" } else { "remove" })
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
    let removed = |dependency: &Address| {
        plan.changes.iter().any(|change| change.address == *dependency && matches!(change.action, Action::Delete | Action::Replace))
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
