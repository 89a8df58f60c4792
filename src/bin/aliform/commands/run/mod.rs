//! `aliform run`: one script or job, run on a machine that is gone again afterwards, and a receipt of it.

pub(super) mod manifest;

use aliform::apply::lives::Lives;
use aliform::manifest::{Job, Manifest, Work};
use aliform::model::address::{Address, Kind};
use aliform::model::cost::Total;
use aliform::plan::saved::Plan;
use aliform::resolve::region;
use aliform::resources::registry;
use aliform::state::contents::{Resource, State, Status};
use aliform::state::store::Store;

use super::apply::{Performing, carry_out, perform, review};
use super::planning::{Aim, Made, Manner, make};
use super::purse::Purse;
use crate::args;
use crate::error::{CommandError, FAILED, INTERRUPTED, PARTIAL, POLICY, USAGE};
use crate::output::Output;
use crate::render::money;
use crate::render::receipt::{Facts, Receipt, Result as How};
use crate::workspace::{Client, Workspace};

pub(crate) async fn run(workspace: &Workspace, arguments: &args::Run, out: &Output) -> Result<u8, CommandError> {
    if let Some(stack) = &arguments.release {
        return release(workspace, stack, arguments, out).await;
    }
    let target = arguments.target.as_deref().unwrap_or_default();
    if out.is_document() && !arguments.doing.auto_approve {
        return Err(CommandError::new(USAGE, "one JSON document has no place for a plan to approve")
            .hint("add `--auto-approve`, or take another `--output`"));
    }
    let manifest = manifest::read(workspace, target, &arguments.script)?;
    let Some(job) = manifest.jobs.values().next() else { return Err(CommandError::failed(format!("`{target}` is no job"))) };
    let store = workspace.open(&manifest.stack.value, "run", None)?;
    let ended = once(workspace, &store, &manifest, job, arguments, out).await;
    // However it ended: what is empty leaves no files.
    let removed = store.remove_if_empty();
    let code = ended?;
    removed?;
    Ok(code)
}

/// How many regions are tried at most.
const REGIONS: usize = 4;

/// One run, from the plan to the receipt; in another region if everything is sold out in one.
async fn once(
    workspace: &Workspace,
    store: &Store,
    manifest: &Manifest,
    job: &Job,
    arguments: &args::Run,
    out: &Output,
) -> Result<u8, CommandError> {
    let client = workspace.connect(out).await?;
    // Nothing but the memory of runs whose receipt was never written.
    let memory = store.look(|state| state.open.is_empty() && state.resources.keys().all(ends));
    for run in store.look(|state| state.resources.keys().filter(|_| memory).cloned().collect::<Vec<_>>()) {
        store.remove(&run)?;
    }
    let (mut tried, mut spent): (Vec<String>, Total) = (Vec::new(), Total::default());
    loop {
        let mut manner = Manner { spent: spent.clone(), ..Manner::default() };
        manner.replace.extend(store.look(worn));
        let elsewhere = region::next(manifest, &tried).filter(|_| !tried.is_empty());
        if let Some(decision) = &elsewhere {
            out.note(&moving(&tried, &decision.chosen, arguments.doing.auto_approve, &spent));
            manner.decided = Some([(region::KEY.to_owned(), decision.clone())].into());
        }
        let made = match make(workspace, &client, store, &Aim::Manifest(manifest), &manner, out.events()).await {
            Err(error) if error.sold_out.is_some() => {
                tried.extend(error.sold_out.as_deref().map(str::to_owned));
                if is_over(manifest, &tried) {
                    return Err(error);
                }
                continue;
            }
            made => made?,
        };
        tried.push(made.plan.region.clone());
        let last = is_over(manifest, &tried);
        if elsewhere.is_some() && !made.plan.cost.exceeded.is_empty() && !last {
            out.note(&format!("In `{}` the budget would be exceeded.", made.plan.region));
            continue;
        }
        let trying = Trying { manifest, job, made, last, spent: &spent };
        match attempt(workspace, &client, store, trying, arguments, out).await? {
            Ended::Finally(code) => return Ok(code),
            Ended::SoldOut(cost) => spent.merge(&cost),
        }
    }
}

/// Whether no other region is tried any more.
fn is_over(manifest: &Manifest, tried: &[String]) -> bool {
    tried.len() >= REGIONS || region::next(manifest, tried).is_none()
}

/// What is said before a plan in another region.
fn moving(tried: &[String], next: &str, approved: bool, spent: &Total) -> String {
    let spent = if spent.sums.iter().all(|sum| sum.amount.is_zero()) {
        String::new()
    } else {
        format!(", of which {} are spent", money::amounts(spent, money::HOURLY))
    };
    let again = if approved { "`--auto-approve` approves it too" } else { "it has to be approved again" };
    format!(
        "What the run takes is sold out in `{}`, and nothing is left of it there. This is a new plan in `{next}`, within the same budget{spent}; {again}.",
        tried.join("`, `")
    )
}

/// One plan that is tried.
struct Trying<'a> {
    manifest: &'a Manifest,
    job: &'a Job,
    made: Made,
    /// Whether no other region is left.
    last: bool,
    /// What was spent in others.
    spent: &'a Total,
}

/// How that ended.
enum Ended {
    /// With this exit code.
    Finally(u8),
    /// Everything that was approved was sold out, and another region is left; what it cost none the less.
    SoldOut(Total),
}

/// One plan, approved and carried out.
async fn attempt(
    workspace: &Workspace,
    client: &Client,
    store: &Store,
    Trying { manifest, job, made, last, spent }: Trying<'_>,
    arguments: &args::Run,
    out: &Output,
) -> Result<Ended, CommandError> {
    let name = &job.name.value;
    let before = store.state();
    if !out.is_document() {
        out.plan(&made.plan, &before);
    }
    if arguments.keep_on_failure {
        out.note("If the job fails, what it runs on is not released (`--keep-on-failure`) and goes on costing money.");
    }
    review(workspace, &made, arguments.doing.auto_approve || made.plan.is_empty(), &arguments.accept, out)?;
    let lives = Lives::new(out.events(), client.dates(), &before);
    let purse = Purse::new(&lives, &made.plan, &made.limits);
    let (parallelism, keep_failed) = (arguments.doing.parallelism, arguments.keep_on_failure);
    let how = Performing { events: &lives, parallelism, keep_failed, purse: &purse };
    let outcome = perform(workspace, client, store, &made, how, out).await?;
    let after = store.state();
    // What could not be released stops everything else.
    let clean = after.resources.is_empty() && after.open.is_empty();
    if !outcome.sold_out.is_empty() && !outcome.interrupted && !purse.is_empty() && clean && !last {
        return Ok(Ended::SoldOut(lives.spending(&made.plan, None).spent));
    }
    let runs: Vec<Address> = made.plan.wanted.keys().filter(|address| ends(address)).cloned().collect();
    let run = runs.first().cloned().unwrap_or_else(|| Address::new(Kind::Run, name));
    let exit_code = worst(runs.iter().map(|run| exit_code(&after, run)));
    let ended = match (outcome.interrupted, exit_code) {
        _ if purse.is_empty() => How::OverBudget,
        (true, _) => How::Interrupted,
        (false, Some(0)) => How::Succeeded,
        (false, _) => How::Failed,
    };
    let payer = payer(&made.plan, &run);
    let facts = Facts {
        plan: &made.plan,
        outcome: &outcome,
        before: &before,
        after: &after,
        job: name,
        runs: &runs,
        payer: &payer,
        command: command(manifest, job),
        result: ended,
        exit_code,
        lives: &lives,
        elsewhere: spent,
        program: out.program(),
    };
    let receipt = Receipt::new(facts);
    for run in runs.iter().filter(|run| after.resources.contains_key(*run) && !after.open.contains_key(*run)) {
        // It is history, and its receipt is written: the next one runs again.
        store.remove(run)?;
    }
    store.finish()?;
    out.receipt(&receipt);
    Ok(Ended::Finally(match ended {
        How::OverBudget => POLICY,
        How::Interrupted => INTERRUPTED,
        How::Failed => FAILED,
        How::Succeeded if outcome.failed.is_empty() => 0,
        How::Succeeded => PARTIAL,
    }))
}

/// Whether it comes to its end by itself.
fn ends(address: &Address) -> bool {
    registry::kind(address.kind).ends()
}

/// The machines that an earlier run left behind: their end is set, and may come before that of another run.
fn worn(state: &State) -> Vec<Address> {
    let unfinished = |(address, resource): (&Address, &Resource)| ends(address) && matches!(resource.status, Status::Unfinished { .. });
    if state.open.keys().any(ends) || state.resources.iter().any(unfinished) {
        return Vec::new();
    }
    let worn = state.resources.iter().filter(|(_, resource)| !resource.spec["release_after"].is_null());
    worn.map(|(address, _)| address.clone()).collect()
}

/// What the run is paid by: of everything that passes with it, and itself, what costs most an hour.
fn payer(plan: &Plan, run: &Address) -> Address {
    let cost = |address: &Address| {
        let change = plan.changes.iter().find(|change| change.address == *address);
        change.and_then(|change| change.cost_after.hourly().sums.first().map(|sum| sum.amount)).unwrap_or_default()
    };
    let kept = plan.wanted.keys().filter(|address| matches!(address.kind, Kind::Instance | Kind::Cluster));
    let passing = plan.released.keys().chain(kept).chain([run]);
    passing.max_by_key(|address| cost(address)).unwrap_or(run).clone()
}

/// What several runs ended with: the first that is no 0, nothing if one did not come to its end.
fn worst(codes: impl Iterator<Item = Option<i64>>) -> Option<i64> {
    let codes: Option<Vec<i64>> = codes.collect();
    let codes = codes.filter(|codes| !codes.is_empty())?;
    Some(codes.into_iter().find(|code| *code != 0).unwrap_or(0))
}

/// What the run ended with, if it came to an end.
fn exit_code(state: &State, run: &Address) -> Option<i64> {
    let resource = state.resources.get(run)?;
    (resource.status == Status::Ready).then(|| resource.attributes["exit_code"].as_i64())?
}

/// What runs, in the user's words.
fn command(manifest: &Manifest, job: &Job) -> String {
    match &job.work {
        Work::Run(text) => text.value.trim().to_owned(),
        Work::Script(path) => {
            let base = manifest.base.canonicalize().unwrap_or_else(|_| manifest.base.clone());
            path.strip_prefix(&base).unwrap_or(path).display().to_string()
        }
    }
}

/// Takes away what a run left.
async fn release(workspace: &Workspace, stack: &str, arguments: &args::Run, out: &Output) -> Result<u8, CommandError> {
    let state = Store::read(&workspace.state_directory(), stack)?
        .ok_or_else(|| CommandError::failed(format!("stack `{stack}` has no state here, so nothing is left of it")))?;
    if state.resources.keys().any(|address| address.kind == Kind::Release) {
        return Err(
            CommandError::failed(format!("stack `{stack}` has applications; it is not that of a run")).hint("see `aliform destroy`")
        );
    }
    let store = workspace.open(stack, "run --release", None)?;
    let client = workspace.connect(out).await?;
    let made = make(workspace, &client, &store, &Aim::Nothing, &Manner::default(), out.events()).await?;
    let code = carry_out(workspace, &client, &store, made, &arguments.doing, &[], out).await?;
    store.remove_if_empty()?;
    Ok(code)
}
