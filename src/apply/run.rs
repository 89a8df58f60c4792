//! The scheduler: steps as a graph, each started the moment what it waits for is done.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;

use super::fallback::{self, Deferred, Held};
use super::order::{self, Phase, Step};
use super::remember;
use super::step::{self, Making, StepError};
use super::world::World;
use crate::graph::{Graph, GraphError};
use crate::model::address::{Address, Kind};
use crate::model::change::{Action, Change};
use crate::model::event::Event;
use crate::model::shortage::Shortage;
use crate::plan::saved::Plan;
use crate::resources::error::ResourceError;
use crate::resources::registry;
use crate::state::error::StateError;

/// How many steps are under way at once, unless told otherwise.
pub const CONCURRENCY: usize = 10;

/// How an apply ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Steps done.
    pub done: usize,
    /// Steps failed, each with its error.
    pub failed: Vec<(Address, String)>,
    /// Steps not begun, since something before them failed or the user stopped.
    pub skipped: usize,
    /// Instances that failed since nothing of what was approved is to be had.
    pub sold_out: Vec<Address>,
    /// Runs that were begun and left.
    pub detached: Vec<Address>,
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

/// What can be known to be missing before anything is made. Nothing is paid for what can't be finished.
fn missing(world: &World<'_>, plan: &Plan) -> Vec<(Address, Action, String)> {
    let made = plan.changes.iter().filter(|change| matches!(change.action, Action::Create | Action::Update | Action::Replace));
    // What has begun has all that it needs.
    let looked = made.filter(|change| !step::goes_on(world, &change.address)).filter_map(|change| {
        let spec = &plan.wanted.get(&change.address)?.spec;
        let error = registry::kind(change.address.kind).at_hand(&change.address, spec, world.secrets, world.artifacts).err()?;
        Some((change.address.clone(), change.action, error.to_string()))
    });
    looked.collect()
}

/// Says of a plan that can't be carried out why not. Nothing was done.
fn refuse(world: &World<'_>, graph: &Graph<Step>, missing: Vec<(Address, Action, String)>) -> Outcome {
    for (address, action, error) in &missing {
        world.events.emit(Event::StepFailed { address: address.clone(), action: *action, error: error.clone(), hint: None });
    }
    let failed: Vec<(Address, String)> = missing.into_iter().map(|(address, _, error)| (address, error)).collect();
    let skipped = graph.len().saturating_sub(failed.len());
    world.events.emit(Event::ApplyFinished { done: 0, failed: failed.len(), skipped });
    Outcome { failed, skipped, ..Outcome::default() }
}

/// Carries out `plan`. A failed step keeps what does not depend on it going. `stop` ends the starting of new steps;
/// what is under way is finished.
pub async fn apply(world: &World<'_>, plan: &Plan, concurrency: usize, stop: watch::Receiver<bool>) -> Result<Outcome, ApplyError> {
    let graph = order::steps(plan, &world.store.state())?;
    world.events.emit(Event::ApplyStarted { steps: graph.len() });
    let missing = missing(world, plan);
    if !missing.is_empty() {
        return Ok(refuse(world, &graph, missing));
    }
    remember::take_over(world.store, plan).await?;
    let mut progress = Progress::default();
    let mut held = pass(world, plan, &graph, concurrency, &stop, &mut progress).await?;
    let (mut plan_left, mut graph_left) = (plan.clone(), graph);
    while !held.deferred.is_empty() {
        let stopped = *stop.borrow();
        progress.outcome.interrupted |= stopped;
        let rest = fallback::rest(world, (plan, &plan_left), &graph_left, held, &progress.out, stopped).await?;
        if stopped {
            progress.stopped += rest.failed.len();
        } else {
            progress.outcome.sold_out.extend(rest.failed.iter().map(|(address, _)| address.clone()));
        }
        progress.outcome.failed.extend(rest.failed);
        progress.outcome.skipped += rest.skipped;
        plan_left = rest.plan;
        graph_left = order::steps(&plan_left, &world.store.state())?;
        held = pass(world, &plan_left, &graph_left, concurrency, &stop, &mut progress).await?;
    }
    let Progress { mut outcome, stopped, abandoned, left, .. } = progress;
    outcome.skipped += left;
    // Whoever asked to stop when the last step was under way stopped nothing.
    outcome.interrupted &= stopped > 0 || abandoned || left > 0;
    world.events.emit(Event::ApplyFinished { done: outcome.done, failed: outcome.failed.len(), skipped: outcome.skipped });
    remember::let_go(world.store, plan).await?;
    world.store.finish()?;
    Ok(outcome)
}

/// How far an apply is.
#[derive(Default)]
struct Progress {
    outcome: Outcome,
    /// How many steps were given up since the user stopped.
    stopped: usize,
    /// Whether a run was left since the user stopped.
    abandoned: bool,
    /// What was sold out since the beginning. It counts to the end, however long that takes.
    out: Vec<Shortage>,
    /// How many steps were never begun without anything having failed.
    left: usize,
}

/// Takes the steps of a plan as far as they can be taken.
async fn pass(
    world: &World<'_>,
    plan: &Plan,
    graph: &Graph<Step>,
    concurrency: usize,
    stop: &watch::Receiver<bool>,
    progress: &mut Progress,
) -> Result<Held, ApplyError> {
    let changes: BTreeMap<&Address, &Change> = plan.changes.iter().map(|change| (&change.address, change)).collect();
    let mut waiting: BTreeMap<&Step, usize> = graph.nodes().map(|step| (step, graph.dependencies_of(step).len())).collect();
    let mut ready: BTreeSet<&Step> = waiting.iter().filter(|(_, count)| **count == 0).map(|(step, _)| *step).collect();
    let mut running = FuturesUnordered::new();
    let mut held = Held::default();
    let outcome = &mut progress.outcome;
    let mut given_up_for = false;
    let mut failed: Vec<&Step> = Vec::new();
    let mut busy: BTreeSet<&Address> = BTreeSet::new();
    loop {
        if *stop.borrow() && !given_up_for {
            (outcome.interrupted, given_up_for) = (true, true);
            // What was there for a run only is released all the same: nobody shall pay for it.
            let given_up = give_up(graph, &mut waiting, &mut ready);
            (progress.stopped, outcome.skipped) = (progress.stopped + given_up, outcome.skipped + given_up);
        }
        // Runs are not counted: how many there are at once follows from the machines that the plan approved.
        while running.len() < concurrency + busy.len() {
            let free = |step: &&Step| queue(plan, step).is_none_or(|machine| !busy.contains(machine));
            let Some(step) = ready.iter().copied().find(free) else { break };
            ready.remove(step);
            waiting.remove(step);
            busy.extend(queue(plan, step));
            running.push(perform(world, plan, changes[&step.address], step, stop.clone()));
        }
        let Some((step, result)) = running.next().await else { break };
        if let Some(machine) = queue(plan, step) {
            busy.remove(machine);
        }
        match result {
            Ok(()) => {
                outcome.done += 1;
                if world.detach && step.phase == Phase::Make && step::goes_on(world, &step.address) {
                    outcome.detached.push(step.address.clone());
                    held_by(plan, &mut waiting, &mut ready, &step.address, &|_| true);
                }
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
                let shortage = (step.phase == Phase::Make).then(|| fallback::shortage(world, plan, &step.address, &error)).flatten();
                if let Some(shortage) = shortage {
                    // The next plan does without the memory if it can't be written.
                    drop(world.store.remember_shortage(shortage.clone()));
                    progress.out.push(shortage);
                    if fallback::may_stand_in(plan, &step.address) {
                        held.deferred.push(Deferred { address: step.address.clone(), error });
                        held.steps.extend(fallback::hold_back(graph, &mut waiting, &mut ready, step));
                        continue;
                    }
                    outcome.sold_out.push(step.address.clone());
                }
                progress.stopped += usize::from(matches!(error, ResourceError::Stopped));
                outcome.failed.push((step.address.clone(), error.to_string()));
                let because = format!("`{}` failed", step.address);
                if step.phase == Phase::Make && is_passing_run(plan, &step.address) {
                    if step::holds_outputs(world, &step.address) {
                        outcome.skipped += hold_outputs(world, plan, &mut waiting, &mut ready, &step.address);
                    }
                    if *stop.borrow() {
                        // It was left; who stopped it wants nothing kept.
                        progress.abandoned = true;
                    } else if world.keep_failed {
                        outcome.skipped += hold(world, plan, &mut waiting, &mut ready, &step.address);
                    }
                }
                outcome.skipped += skip(world, graph, &mut waiting, &mut ready, step, &because);
                failed.push(step);
            }
        }
    }
    // What waits for something that may yet stand in, and needed something else that failed.
    for step in failed {
        for dependent in graph.all_dependents_of(step).into_iter().filter(|dependent| dependent.phase != Phase::Release) {
            if held.steps.remove(dependent) {
                outcome.skipped += 1;
                let because = format!("`{}` failed", step.address);
                world.events.emit(Event::StepSkipped { address: dependent.address.clone(), because });
            }
        }
    }
    progress.left += waiting.len();
    Ok(held)
}

/// Counts a step as over for those that wait for it however it ends; gives back those that wait for its success.
fn over<'a>(
    graph: &'a Graph<Step>,
    waiting: &mut BTreeMap<&'a Step, usize>,
    ready: &mut BTreeSet<&'a Step>,
    step: &'a Step,
) -> Vec<&'a Step> {
    let mut others = Vec::new();
    for dependent in graph.dependents_of(step) {
        if dependent.phase != Phase::Release {
            others.push(dependent);
        } else if let Some(count) = waiting.get_mut(dependent) {
            *count -= 1;
            if *count == 0 {
                ready.insert(dependent);
            }
        }
    }
    others
}

/// Skips everything that needed `failed`, and lets what is released in any case go on. Gives back how many were skipped.
fn skip<'a>(
    world: &World<'_>,
    graph: &'a Graph<Step>,
    waiting: &mut BTreeMap<&'a Step, usize>,
    ready: &mut BTreeSet<&'a Step>,
    failed: &'a Step,
    because: &str,
) -> usize {
    let mut skipped = 0;
    let mut open = over(graph, waiting, ready, failed);
    while let Some(step) = open.pop() {
        ready.remove(step);
        if waiting.remove(step).is_some() {
            skipped += 1;
            world.events.emit(Event::StepSkipped { address: step.address.clone(), because: because.to_owned() });
            open.extend(over(graph, waiting, ready, step));
        }
    }
    skipped
}

/// The machine whose runs queue up, if the step is one of them: several at once would share its processors and its time.
fn queue<'a>(plan: &'a Plan, step: &Step) -> Option<&'a Address> {
    let kind = registry::kind(step.address.kind);
    let host = kind.goes_with().filter(|host| *host == Kind::Instance && kind.ends() && step.phase == Phase::Make)?;
    plan.wanted.get(&step.address)?.depends_on.iter().find(|dependency| dependency.kind == host)
}

/// Whether it is a run with which everything goes that it needed.
fn is_passing_run(plan: &Plan, address: &Address) -> bool {
    plan.released.values().any(|runs| runs.contains(address))
}

/// Gives up the release of what a failed run needed. Gives back how many steps that were.
fn hold<'a>(
    world: &World<'_>,
    plan: &Plan,
    waiting: &mut BTreeMap<&'a Step, usize>,
    ready: &mut BTreeSet<&'a Step>,
    failed: &Address,
) -> usize {
    let held = held_by(plan, waiting, ready, failed, &|_| true);
    for step in &held {
        world.events.emit(Event::StepSkipped { address: step.address.clone(), because: format!("`{failed}` failed, and it is kept") });
    }
    held.len()
}

/// Gives up the release of the bucket that a run's outputs are still in: machines cost money, outputs next to none. Gives back
/// how many steps that were.
fn hold_outputs<'a>(
    world: &World<'_>,
    plan: &Plan,
    waiting: &mut BTreeMap<&'a Step, usize>,
    ready: &mut BTreeSet<&'a Step>,
    run: &Address,
) -> usize {
    let held = held_by(plan, waiting, ready, run, &|address| address.kind == Kind::Bucket);
    for step in &held {
        let because = format!("the outputs of `{run}` are in it, and could not be written here");
        world.events.emit(Event::StepSkipped { address: step.address.clone(), because });
    }
    held.len()
}

/// Takes away those of the steps that would release what a run needs, and gives them back.
fn held_by<'a>(
    plan: &Plan,
    waiting: &mut BTreeMap<&'a Step, usize>,
    ready: &mut BTreeSet<&'a Step>,
    run: &Address,
    which: &dyn Fn(&Address) -> bool,
) -> Vec<&'a Step> {
    let served = |step: &Step| step.phase == Phase::Release && plan.released.get(&step.address).is_some_and(|runs| runs.contains(run));
    let held: Vec<&Step> = waiting.keys().copied().filter(|step| served(step) && which(&step.address)).collect();
    for step in &held {
        waiting.remove(step);
        ready.remove(step);
    }
    held
}

/// Gives up every step but the releases. Gives back how many.
fn give_up<'a>(graph: &'a Graph<Step>, waiting: &mut BTreeMap<&'a Step, usize>, ready: &mut BTreeSet<&'a Step>) -> usize {
    let given_up: Vec<&Step> = waiting.keys().copied().filter(|step| step.phase != Phase::Release).collect();
    for step in &given_up {
        waiting.remove(step);
        ready.remove(step);
        over(graph, waiting, ready, step);
    }
    given_up.len()
}

/// Resolves when the user wants to stop; never if nobody can any more.
async fn asked_to_stop(mut stop: watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn perform<'a>(
    world: &World<'_>,
    plan: &Plan,
    change: &Change,
    step: &'a Step,
    stop: watch::Receiver<bool>,
) -> (&'a Step, Result<(), StepError>) {
    let address = &step.address;
    let action = match (step.phase, change.action) {
        (Phase::Remove | Phase::Release, _) => Action::Delete,
        (Phase::Make, Action::Update) => Action::Update,
        (Phase::Make, _) => Action::Create,
    };
    if step.phase == Phase::Release && !world.store.look(|state| state.resources.contains_key(address)) {
        // What never came needs no release.
        return (step, Ok(()));
    }
    world.events.emit(Event::StepStarted { address: address.clone(), action });
    let started = tokio::time::Instant::now();
    let result = match plan.wanted.get(address) {
        Some(wanted) if step.phase == Phase::Make => {
            let making = Making { address, region: &plan.region, spec: &wanted.spec, depends_on: &wanted.depends_on };
            let made = async {
                if action == Action::Update { step::update(world, &making).await } else { step::create_anew(world, &making).await }
            };
            if is_passing_run(plan, address) {
                // A run may go on for hours: whoever stops it means it.
                tokio::select! {
                    made = made => made,
                    () = asked_to_stop(stop) => step::abandon(world, address).await,
                }
            } else {
                made.await
            }
        }
        _ => step::delete(world, plan, address).await,
    };
    match &result {
        Ok(()) if step.phase == Phase::Make && step::goes_on(world, address) => {
            world.events.emit(Event::StepDetached { address: address.clone() });
        }
        Ok(()) => {
            let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            world.events.emit(Event::StepFinished { address: address.clone(), action, milliseconds });
        }
        // Whether it failed is not settled as long as something may stand in for it.
        Err(StepError::Resource(error))
            if step.phase == Phase::Make
                && fallback::may_stand_in(plan, address)
                && fallback::shortage(world, plan, address, error).is_some() => {}
        Err(StepError::Resource(error)) => {
            let explanation = error.output().and_then(world.explain);
            if let Some(output) = error.output().filter(|output| !output.is_empty()) {
                world.events.emit(Event::StepOutput { address: address.clone(), text: output.to_owned() });
            }
            let (reason, hint) = match explanation {
                Some(explanation) => (format!("{error}: {}", explanation.message), Some(explanation.hint)),
                None => (error.to_string(), error.hint()),
            };
            world.events.emit(Event::StepFailed { address: address.clone(), action, error: reason, hint });
        }
        Err(StepError::State(_)) => {}
    }
    (step, result)
}
