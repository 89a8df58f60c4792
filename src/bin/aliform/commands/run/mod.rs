//! `aliform run`: one script or job, run on a machine that is gone again afterwards, and a receipt of it.

pub(super) mod approved;
mod course;
mod detach;
mod earlier;
pub(super) mod manifest;
pub(super) mod resume;

use aliform::apply::end::is_worn;
use aliform::manifest::{Job, Manifest, Work};
use aliform::model::address::{Address, Kind};
use aliform::model::change::Action;
use aliform::model::cost::Total;
use aliform::resolve::region;
use aliform::resources::{home, registry};
use aliform::state::contents::{Resource, State, Status};
use aliform::state::store::Store;
use jiff::Timestamp;

use self::approved::Approved;
use self::course::{Course, Ended, Manners};
use self::earlier::Earlier;
use super::apply::{carry_out, review};
use super::planning::{Aim, Made, Manner, make};
use crate::args;
use crate::error::CommandError;
use crate::output::Output;
use crate::render::money;
use crate::workspace::{Client, Workspace, clock};

pub(crate) async fn run(workspace: &Workspace, arguments: &args::Run, out: &Output) -> Result<u8, CommandError> {
    if let Some(stack) = &arguments.release {
        return release(workspace, stack, arguments, out).await;
    }
    if let Some(stack) = &arguments.resume {
        return resume::run(workspace, stack.as_deref(), arguments, out).await;
    }
    let target = arguments.target.as_deref().unwrap_or_default();
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
    let mut earlier = Earlier::look(workspace, store);
    let going = store.look(detach::going);
    if let Some(at) = going.values().next() {
        let held = store.look(|state| state.resources.values().any(|resource| home::held(&resource.attributes).is_some()));
        out.note(&if held {
            format!("The outputs of the run of job `{}` that ended at {at} are still in the cloud: this fetches them.", job.name.value)
        } else {
            format!("A run of job `{}` is under way since {at}: this goes on with it.", job.name.value)
        });
    }
    // Nothing but the memory of runs whose receipt was never written.
    let memory = going.is_empty() && store.look(|state| state.open.is_empty() && state.resources.keys().all(ends));
    for run in store.look(|state| state.resources.keys().filter(|_| memory).cloned().collect::<Vec<_>>()) {
        store.remove(&run)?;
    }
    let (mut tried, mut spent): (Vec<String>, Total) = (Vec::new(), Total::default());
    loop {
        let mut manner = Manner { spent: spent.clone(), ..Manner::default() };
        manner.replace.extend(store.look(|state| worn(state, clock().now())));
        let elsewhere = region::next(manifest, &tried).filter(|_| !tried.is_empty());
        if let Some(decision) = &elsewhere {
            out.note(&moving(&tried, &decision.chosen, arguments.doing.auto_approve, &spent));
            manner.decided = Some([(region::KEY.to_owned(), decision.clone())].into());
        }
        if arguments.detach {
            manner.also.extend(detach::decisions(job));
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
        detach::same(&made, &going, store, out)?;
        tried.push(made.plan.region.clone());
        let last = is_over(manifest, &tried);
        if elsewhere.is_some() && !made.plan.cost.exceeded.is_empty() && !last {
            out.note(&format!("In `{}` the budget would be exceeded.", made.plan.region));
            continue;
        }
        let trying = Trying { manifest, job, made, last, spent: &spent };
        match attempt(workspace, &client, store, trying, (arguments, &earlier), out).await? {
            Ended::Finally(code) => return Ok(code),
            Ended::SoldOut(cost) => {
                spent.merge(&cost);
                // It is in what was spent.
                earlier = Earlier::look(workspace, store);
            }
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

/// One plan, approved and carried out.
async fn attempt(
    workspace: &Workspace,
    client: &Client,
    store: &Store,
    Trying { manifest, job, made, last, spent }: Trying<'_>,
    (arguments, earlier): (&args::Run, &Earlier),
    out: &Output,
) -> Result<Ended, CommandError> {
    let name = &job.name.value;
    let before = store.state();
    out.proposal(&made.plan, &before)?;
    if arguments.keep_on_failure {
        out.note("If the job fails, what it runs on is not released (`--keep-on-failure`) and goes on costing money.");
    }
    if arguments.detach {
        detach::check(&made)?;
    }
    review(workspace, &made, arguments.doing.auto_approve || made.plan.is_empty(), &arguments.accept, out)?;
    let approved = Approved::new(name.clone(), command(manifest, job), arguments.keep_on_failure, made.limits.clone(), made.plan.clone());
    let makes = made.plan.changes.iter().any(|change| !matches!(change.action, Action::Keep | Action::Delete));
    if made.begun.is_empty() && makes {
        // What goes on was approved before, and what is only released keeps its prices.
        approved.keep(store)?;
    }
    let manners =
        Manners { parallelism: arguments.doing.parallelism, keep_failed: arguments.keep_on_failure, detach: arguments.detach, last };
    Course { workspace, client, store, earlier, out }.take(&made, &approved, manners, spent).await
}

/// Whether it comes to its end by itself.
pub(super) fn ends(address: &Address) -> bool {
    registry::kind(address.kind).ends()
}

/// The machines that an earlier run left behind, and that the cloud itself ends too soon for another run.
fn worn(state: &State, now: Timestamp) -> Vec<Address> {
    let unfinished = |(address, resource): (&Address, &Resource)| ends(address) && matches!(resource.status, Status::Unfinished { .. });
    if state.open.keys().any(ends) || state.resources.iter().any(unfinished) || !detach::going(state).is_empty() {
        return Vec::new();
    }
    let worn = state.resources.iter().filter(|(_, resource)| is_worn(resource, now));
    worn.map(|(address, _)| address.clone()).collect()
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
    if !detach::going(&state).is_empty() {
        let resume = format!("{} run --resume {stack}", out.program());
        out.note(&format!("The run of stack `{stack}` is ended, and what of it nobody fetched is lost; `{resume}` fetches it first."));
    }
    let client = workspace.connect(out).await?;
    let made = make(workspace, &client, &store, &Aim::Nothing, &Manner::default(), out.events()).await?;
    let code = carry_out(workspace, &client, &store, made, &arguments.doing, &[], out).await?;
    store.remove_if_empty()?;
    Ok(code)
}
