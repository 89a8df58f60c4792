//! What has to hold for a run that nobody waits for, and for a second one that finds it under way.

use std::collections::{BTreeMap, BTreeSet};

use aliform::manifest::Job;
use aliform::model::address::{Address, Kind};
use aliform::model::change::Action;
use aliform::model::cost::Total;
use aliform::model::decision::Decision;
use aliform::plan::saved::Plan;
use aliform::resources::{registry, runs};
use aliform::state::contents::State;
use aliform::state::store::Store;
use serde_json::Value as Json;

use rust_decimal::Decimal;

use crate::commands::planning::Made;
use crate::error::{CommandError, POLICY, USAGE};
use crate::output::Output;

/// The runs that were begun and that nobody has brought to their end, with when they were.
pub(super) fn going(state: &State) -> BTreeMap<Address, String> {
    let going = state.resources.iter().filter(|(_, resource)| runs::goes_on(&resource.attributes));
    let at = |run: &Json| run["begun_at"].as_str().or_else(|| run["ended_at"].as_str()).unwrap_or_default().to_owned();
    going.map(|(address, run)| (address.clone(), at(&run.attributes))).collect()
}

/// What is decided for a job since nobody waits for it: a call of a function lasts as long as somebody does.
pub(super) fn decisions(job: &Job) -> BTreeMap<String, Decision> {
    let because = "it goes on without this program (`--detach`), and a call has to be waited for".to_owned();
    let decision = Decision { chosen: "a task".to_owned(), because, rejected: Vec::new() };
    [(format!("jobs.{}.invocation", job.name.value), decision)].into()
}

/// What a run costs if nobody does anything: as long as the cloud lets it and its machine go on.
pub(crate) fn most(plan: &Plan) -> Total {
    let mut most = Total::default();
    for (run, wanted) in &plan.wanted {
        let seconds = registry::run(run.kind).and_then(|kind| kind.ends_after(run, &wanted.spec).ok()?);
        let change = plan.changes.iter().find(|change| change.address == *run).filter(|change| !change.cost_after.lines.is_empty());
        if let (Some(seconds), Some(change)) = (seconds, change) {
            most.merge(&change.cost_after.hourly().times(Decimal::from(seconds) / Decimal::from(3600)));
        }
    }
    // A run that costs nothing itself is paid by what it is on.
    if most.is_nothing() { plan.cost.unattended.clone() } else { most }
}

/// Refuses to leave what has to be looked after.
pub(super) fn check(made: &Made) -> Result<(), CommandError> {
    let plan = &made.plan;
    let mut machines = BTreeSet::new();
    for run in plan.wanted.keys().filter(|address| address.kind == Kind::Run) {
        let machine = plan.wanted[run].depends_on.iter().find(|dependency| dependency.kind == Kind::Instance);
        if machine.is_some_and(|machine| !machines.insert(machine)) {
            return Err(CommandError::new(USAGE, "runs that wait for each other's machine can't be left: somebody has to begin the next")
                .hint("leave `--detach` out, or raise `max_parallel` to the number of runs"));
        }
    }
    for run in plan.wanted.keys().filter(|address| registry::kind(address.kind).ends()) {
        let part = &plan.wanted[run].spec["part"];
        let of_job = plan.wanted.values().filter(|other| other.spec["part"]["job"] == part["job"]).count() as u64;
        if part["at_once"].as_u64().is_some_and(|most| most < of_job) {
            return Err(CommandError::new(USAGE, "runs of which only some go on at once can't be left: somebody has to begin the next")
                .hint("leave `--detach` out, or raise `max_parallel` to the number of runs"));
        }
    }
    let limits = &made.limits;
    let Some(limit) = limits.total.iter().chain(limits.jobs.values().filter_map(|job| job.total.as_ref())).min_by_key(|limit| limit.amount)
    else {
        return Ok(());
    };
    let endless = plan.released.keys().find(|address| address.kind == Kind::Cluster);
    if let Some(cluster) = endless {
        return Err(CommandError::new(
            POLICY,
            format!("no total budget can be held for `{cluster}` with nobody to watch it: no cloud ends a cluster by itself"),
        )
        .hint("leave `--detach` or the budget out, or name a cluster that is there"));
    }
    let most = most(plan).converted(limit.currency);
    if most.amount > limit.amount {
        let most = most.rounded(4);
        return Err(CommandError::new(POLICY, format!("the total budget of {limit} can't be held with nobody to watch it: the cloud ends the run itself only when {most} are spent"))
            .hint("shorten `--timeout`, raise the budget, or leave `--detach` out"));
    }
    Ok(())
}

/// Refuses to take the place of a run that is under way.
pub(super) fn same(made: &Made, going: &BTreeMap<Address, String>, store: &Store, out: &Output) -> Result<(), CommandError> {
    let kept = |run: &Address| made.plan.changes.iter().any(|change| change.address == *run && change.action == Action::Update);
    let Some((run, at)) = going.iter().find(|(run, _)| !kept(run)) else { return Ok(()) };
    let (stack, program) = (store.look(|state| state.stack.clone()), out.program());
    Err(CommandError::failed(format!("another run of `{}` is under way since {at}, with other files or options", run.name))
        .hint(format!("go on with that one: `{program} run --resume {stack}`"))
        .hint(format!("or end it: `{program} run --release {stack}`"))
        .hint("or give this one a name of its own: `--name NAME`"))
}
