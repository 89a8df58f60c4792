//! The scheduler: steps as a graph, each started the moment what it waits for is done.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;

use super::end;
use super::fallback::{self, Deferred};
use super::order::{self, Phase, Step};
use super::remember;
use super::step::{self, Making, StepError};
use super::work::Work;
use super::world::World;
use crate::graph::{Graph, GraphError};
use crate::model::address::{Address, Kind};
use crate::model::change::Action;
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
    let left = take_all(world, plan, graph, concurrency, &stop, &mut progress).await?;
    let Progress { mut outcome, stopped, abandoned, .. } = progress;
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
}

/// A step that came to its end.
struct Ended {
    step: Step,
    lane: Option<Lane>,
    result: Result<(), StepError>,
}

/// Takes the steps of a plan as far as they can be taken, and gives back how many were never begun without anything
/// having failed. What can't be had moves at once to what may stand in for it, while everything else goes on.
async fn take_all(
    world: &World<'_>,
    approved: &Plan,
    graph: Graph<Step>,
    concurrency: usize,
    stop: &watch::Receiver<bool>,
    progress: &mut Progress,
) -> Result<usize, ApplyError> {
    let mut plan = Rc::new(approved.clone());
    let mut actions = actions_of(&plan);
    let mut under_way: BTreeSet<Step> = BTreeSet::new();
    let mut work = Work::new(graph, &under_way);
    let mut running = FuturesUnordered::new();
    let mut finished: VecDeque<Ended> = VecDeque::new();
    let mut busy: BTreeMap<Lane, usize> = BTreeMap::new();
    let mut given_up_for = false;
    loop {
        if *stop.borrow() && !given_up_for {
            (progress.outcome.interrupted, given_up_for) = (true, true);
            // What was there for a run only is released all the same: nobody shall pay for it.
            let given_up = work.give_up();
            (progress.stopped, progress.outcome.skipped) = (progress.stopped + given_up, progress.outcome.skipped + given_up);
        }
        // Runs are not counted: how many there are at once follows from the plan that was approved.
        while running.len() < concurrency + busy.values().sum::<usize>() {
            let free = |step: &Step| lane(&plan, step).is_none_or(|(lane, most)| busy.get(&lane).is_none_or(|now| *now < most));
            let Some(step) = work.take(free) else { break };
            let lane = lane(&plan, &step).map(|(lane, _)| lane);
            if let Some(lane) = &lane {
                *busy.entry(lane.clone()).or_default() += 1;
            }
            under_way.insert(step.clone());
            let changed = actions.get(&step.address).copied();
            running.push(perform(world, plan.clone(), (step, changed), lane, stop.clone()));
        }
        let Some(Ended { step, lane, result }) = (match finished.pop_front() {
            Some(ended) => Some(ended),
            None => running.next().await,
        }) else {
            break;
        };
        under_way.remove(&step);
        if let Some(now) = lane.and_then(|lane| busy.get_mut(&lane)) {
            *now -= 1;
        }
        let error = match result {
            Ok(()) => {
                progress.outcome.done += 1;
                if world.detach && step.phase == Phase::Make && step::goes_on(world, &step.address) {
                    progress.outcome.detached.push(step.address.clone());
                    work.hold(|of| serves(&plan, of, &step.address));
                }
                work.done(&step);
                continue;
            }
            Err(StepError::State(error)) => return Err(error.into()),
            Err(StepError::Resource(error)) => error,
        };
        let shortage = (step.phase == Phase::Make).then(|| fallback::shortage(world, &plan, &step.address, &error)).flatten();
        if let Some(shortage) = shortage {
            // The next plan does without the memory if it can't be written.
            drop(world.store.remember_shortage(shortage.clone()));
            progress.out.push(shortage);
            if fallback::may_stand_in(&plan, &step.address) {
                let left: BTreeSet<Step> = work.steps().chain(&under_way).chain([&step]).cloned().collect();
                let deferred = Deferred { address: step.address, error };
                let stopped = *stop.borrow();
                let rest = fallback::rest(world, (approved, &plan), work.graph(), (deferred, left), &progress.out, stopped);
                let rest = alongside(rest, &mut running, &mut finished).await?;
                progress.outcome.interrupted |= stopped;
                if stopped {
                    progress.stopped += rest.failed.len();
                } else {
                    progress.outcome.sold_out.extend(rest.failed.iter().map(|(address, _)| address.clone()));
                }
                progress.outcome.failed.extend(rest.failed);
                progress.outcome.skipped += rest.skipped;
                plan = Rc::new(rest.plan);
                actions = actions_of(&plan);
                work = Work::new(order::steps(&plan, &world.store.state())?, &under_way);
                continue;
            }
            progress.outcome.sold_out.push(step.address.clone());
        }
        give_up_on(world, &plan, &mut work, progress, (&step, &error), *stop.borrow());
    }
    Ok(work.len())
}

fn actions_of(plan: &Plan) -> BTreeMap<Address, Action> {
    plan.changes.iter().map(|change| (change.address.clone(), change.action)).collect()
}

/// Does without a step that failed, and without what needed it.
fn give_up_on(
    world: &World<'_>,
    plan: &Plan,
    work: &mut Work,
    progress: &mut Progress,
    (step, error): (&Step, &ResourceError),
    stopped: bool,
) {
    let skipped = |address: &Address, because: String| world.events.emit(Event::StepSkipped { address: address.clone(), because });
    progress.stopped += usize::from(matches!(error, ResourceError::Stopped));
    progress.outcome.failed.push((step.address.clone(), error.to_string()));
    if step.phase == Phase::Make && is_passing_run(plan, &step.address) {
        if step::holds_outputs(world, &step.address) {
            // Machines cost money, outputs next to none: the bucket that they are still in stays.
            let held = work.hold(|of| of.address.kind == Kind::Bucket && serves(plan, of, &step.address));
            progress.outcome.skipped += held.len();
            let because = || format!("the outputs of `{}` are in it, and could not be written here", step.address);
            held.iter().for_each(|held| skipped(&held.address, because()));
        }
        if stopped {
            // It was left; who stopped it wants nothing kept.
            progress.abandoned = true;
        } else if world.keep_failed {
            // What a failed run needed is not released.
            let held = work.hold(|of| serves(plan, of, &step.address));
            progress.outcome.skipped += held.len();
            held.iter().for_each(|held| skipped(&held.address, format!("`{}` failed, and it is kept", step.address)));
        }
    }
    let because = match step.phase {
        Phase::Release => format!("`{}` could not be released, and needs it", step.address),
        Phase::Make | Phase::Remove => format!("`{}` failed", step.address),
    };
    for other in work.skip(step) {
        progress.outcome.skipped += 1;
        skipped(&other.address, because.clone());
    }
}

/// Waits for something while what is under way goes on; what ends meanwhile is kept for later.
async fn alongside<T>(
    awaited: impl Future<Output = T>,
    running: &mut FuturesUnordered<impl Future<Output = Ended>>,
    finished: &mut VecDeque<Ended>,
) -> T {
    let mut awaited = std::pin::pin!(awaited);
    loop {
        tokio::select! {
            biased;
            value = &mut awaited => return value,
            Some(ended) = running.next() => finished.push_back(ended),
        }
    }
}

/// Where runs wait for each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    /// On a machine: several at once would share its processors and its time.
    Machine(Address),
    /// Among the runs of a job.
    Job(String),
}

/// Where a step waits for others, if it is a run that does, and how many go on there at once.
fn lane(plan: &Plan, step: &Step) -> Option<(Lane, usize)> {
    let kind = registry::kind(step.address.kind);
    if step.phase != Phase::Make || !kind.ends() {
        return None;
    }
    let wanted = plan.wanted.get(&step.address)?;
    if kind.goes_with() == Some(Kind::Instance) {
        let machine = wanted.depends_on.iter().find(|dependency| dependency.kind == Kind::Instance)?;
        return Some((Lane::Machine(machine.clone()), 1));
    }
    let part = &wanted.spec["part"];
    Some((Lane::Job(part["job"].as_str()?.to_owned()), usize::try_from(part["at_once"].as_u64()?).ok()?.max(1)))
}

/// Whether it is a run with which everything goes that it needed.
fn is_passing_run(plan: &Plan, address: &Address) -> bool {
    plan.released.values().any(|runs| runs.contains(address))
}

/// Whether a step releases what a run needs.
fn serves(plan: &Plan, step: &Step, run: &Address) -> bool {
    step.phase == Phase::Release && plan.released.get(&step.address).is_some_and(|runs| runs.contains(run))
}

/// Resolves when the user wants to stop; never if nobody can any more.
async fn asked_to_stop(mut stop: watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn perform(
    world: &World<'_>,
    plan: Rc<Plan>,
    (step, changed): (Step, Option<Action>),
    lane: Option<Lane>,
    stop: watch::Receiver<bool>,
) -> Ended {
    let result = perform_step(world, &plan, (&step, changed), stop).await;
    Ended { step, lane, result }
}

async fn perform_step(
    world: &World<'_>,
    plan: &Plan,
    (step, changed): (&Step, Option<Action>),
    stop: watch::Receiver<bool>,
) -> Result<(), StepError> {
    let address = &step.address;
    let action = match (step.phase, changed) {
        (Phase::Remove | Phase::Release, _) => Action::Delete,
        (Phase::Make, Some(Action::Update)) => Action::Update,
        (Phase::Make, _) => Action::Create,
    };
    if step.phase == Phase::Release && !world.store.look(|state| state.resources.contains_key(address)) {
        // What never came needs no release.
        return Ok(());
    }
    world.events.emit(Event::StepStarted { address: address.clone(), action });
    let started = tokio::time::Instant::now();
    let result = match plan.wanted.get(address) {
        Some(wanted) if step.phase == Phase::Make => {
            let needed_for = end::needed_for(plan, address);
            let making = Making { address, region: &plan.region, spec: &wanted.spec, depends_on: &wanted.depends_on, needed_for };
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
    result
}
