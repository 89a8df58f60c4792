//! The scheduler: steps as a graph, each started the moment what it waits for is done.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;

use super::step::{self, Making, StepError};
use super::world::World;
use crate::graph::{Graph, GraphError};
use crate::model::address::Address;
use crate::model::change::{Action, Change};
use crate::model::event::Event;
use crate::plan::saved::Plan;
use crate::state::contents::State;
use crate::state::error::StateError;
use crate::state::record::Record;

/// How many steps are under way at once, unless told otherwise.
pub const CONCURRENCY: usize = 10;

/// What happens to a resource in one step. A replacement is two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// It is taken away.
    Remove,
    /// It is made or changed.
    Make,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Step {
    address: Address,
    phase: Phase,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.address, if self.phase == Phase::Make { "make" } else { "remove" })
    }
}

/// How an apply ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Steps done.
    pub done: usize,
    /// Steps failed, each with its error.
    pub failed: Vec<(Address, String)>,
    /// Steps not begun, since something before them failed or the user stopped.
    pub skipped: usize,
    /// Whether the user stopped it.
    pub interrupted: bool,
}

/// An apply that could not go on at all.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The state could not be written.
    #[error(transparent)]
    State(#[from] StateError),
    /// The steps wait for each other.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

fn phases(change: &Change) -> &'static [Phase] {
    match change.action {
        Action::Keep => &[],
        Action::Create | Action::Update => &[Phase::Make],
        Action::Replace => &[Phase::Remove, Phase::Make],
        Action::Delete => &[Phase::Remove],
    }
}

/// The steps with what each waits for.
fn steps(plan: &Plan, state: &State) -> Result<Graph<Step>, GraphError> {
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
    let make = |address: &Address| Step { address: address.clone(), phase: Phase::Make };
    let remove = |address: &Address| Step { address: address.clone(), phase: Phase::Remove };
    for change in &plan.changes {
        let address = &change.address;
        wait(make(address), remove(address));
        for dependency in plan.wanted.get(address).map(|wanted| &wanted.depends_on).into_iter().flatten() {
            wait(make(address), make(dependency));
        }
        for dependency in state.resources.get(address).map(|resource| &resource.depends_on).into_iter().flatten() {
            // What was built on a resource goes before it, or lets go of it by its own change.
            let stays =
                change.action == Action::Update && !state.resources.get(dependency).is_some_and(|_| all.contains(&make(dependency)));
            wait(remove(dependency), if stays { make(address) } else { remove(address) });
        }
    }
    Graph::build(waits)
}

/// Carries out `plan`. A failed step keeps what does not depend on it going. `stop` ends the starting of new steps;
/// what is under way is finished.
pub async fn apply(world: &World<'_>, plan: &Plan, concurrency: usize, stop: watch::Receiver<bool>) -> Result<Outcome, ApplyError> {
    let graph = steps(plan, &world.store.state())?;
    let changes: BTreeMap<&Address, &Change> = plan.changes.iter().map(|change| (&change.address, change)).collect();
    world.events.emit(Event::ApplyStarted { steps: graph.len() });
    let settings = Record::Settings {
        region: Some(plan.region.clone()).filter(|region| !region.is_empty()),
        manifest_digest: Some(plan.basis.manifest_digest.clone()),
        outputs: plan.outputs.clone(),
    };
    if !plan.is_empty() {
        world.store.append(settings).await?;
        settle_decisions(world, plan).await?;
    }
    let mut waiting: BTreeMap<&Step, usize> = graph.nodes().map(|step| (step, graph.dependencies_of(step).len())).collect();
    let mut ready: BTreeSet<&Step> = waiting.iter().filter(|(_, count)| **count == 0).map(|(step, _)| *step).collect();
    let mut running = FuturesUnordered::new();
    let mut outcome = Outcome::default();
    loop {
        outcome.interrupted = *stop.borrow();
        while !outcome.interrupted && running.len() < concurrency {
            let Some(step) = ready.pop_first() else { break };
            waiting.remove(step);
            running.push(perform(world, plan, changes[&step.address], step));
        }
        let Some((step, result)) = running.next().await else { break };
        match result {
            Ok(()) => {
                outcome.done += 1;
                for dependent in graph.dependents_of(step) {
                    if let Some(count) = waiting.get_mut(dependent) {
                        *count -= 1;
                        if *count == 0 {
                            ready.insert(dependent);
                        }
                    }
                }
            }
            Err(StepError::State(error)) => return Err(error.into()),
            Err(StepError::Resource(error)) => {
                outcome.failed.push((step.address.clone(), error.to_string()));
                for dependent in graph.all_dependents_of(step) {
                    ready.remove(dependent);
                    if waiting.remove(dependent).is_some() {
                        outcome.skipped += 1;
                        let because = format!("`{}` failed", step.address);
                        world.events.emit(Event::StepSkipped { address: dependent.address.clone(), because });
                    }
                }
            }
        }
    }
    outcome.skipped += waiting.len();
    drop(running);
    world.events.emit(Event::ApplyFinished { done: outcome.done, failed: outcome.failed.len(), skipped: outcome.skipped });
    world.store.finish()?;
    Ok(outcome)
}

/// The decisions of the plan replace those of the state.
async fn settle_decisions(world: &World<'_>, plan: &Plan) -> Result<(), StateError> {
    let old = world.store.look(|state| state.decisions.clone());
    for key in old.keys().filter(|key| !plan.decisions.contains_key(*key)) {
        world.store.append(Record::Undecided { key: key.clone() }).await?;
    }
    for (key, decision) in &plan.decisions {
        if old.get(key) != Some(decision) {
            world.store.append(Record::Decided { key: key.clone(), decision: decision.clone() }).await?;
        }
    }
    Ok(())
}

async fn perform<'a>(world: &World<'_>, plan: &Plan, change: &Change, step: &'a Step) -> (&'a Step, Result<(), StepError>) {
    let address = &step.address;
    let action = match (step.phase, change.action) {
        (Phase::Remove, _) => Action::Delete,
        (Phase::Make, Action::Update) => Action::Update,
        (Phase::Make, _) => Action::Create,
    };
    world.events.emit(Event::StepStarted { address: address.clone(), action });
    let started = tokio::time::Instant::now();
    let result = match plan.wanted.get(address) {
        Some(wanted) if step.phase == Phase::Make => {
            let making = Making { address, region: &plan.region, spec: &wanted.spec, depends_on: &wanted.depends_on };
            if action == Action::Update { step::update(world, &making).await } else { recreate(world, &making).await }
        }
        _ => step::delete(world, address).await,
    };
    match &result {
        Ok(()) => {
            let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            world.events.emit(Event::StepFinished { address: address.clone(), action, milliseconds });
        }
        Err(StepError::Resource(error)) => {
            let explanation = error.output().and_then(world.explain);
            if let Some(output) = error.output().filter(|output| !output.is_empty()) {
                world.events.emit(Event::StepOutput { address: address.clone(), text: output.to_owned() });
            }
            let (reason, hint) = match explanation {
                Some(explanation) => (format!("{error}: {}", explanation.message), Some(explanation.hint)),
                None => (error.to_string(), None),
            };
            world.events.emit(Event::StepFailed { address: address.clone(), action, error: reason, hint });
        }
        Err(StepError::State(_)) => {}
    }
    (step, result)
}

/// Creates. What the state remembers but the cloud has no more is dropped from the state first.
async fn recreate(world: &World<'_>, making: &Making<'_>) -> Result<(), StepError> {
    if world.store.look(|state| state.resources.contains_key(making.address)) {
        world.store.append(Record::Forgotten { address: making.address.clone() }).await?;
    }
    step::create(world, making).await
}
