//! An approved run, from its first step to its receipt, or to the moment when it goes on without this program.

use aliform::apply::lives::Lives;
use aliform::model::address::{Address, Kind};
use aliform::model::change::Action;
use aliform::model::cost::Total;
use aliform::plan::saved::Plan;
use aliform::resources::home;
use aliform::state::contents::{State, Status};
use aliform::state::store::Store;

use super::approved::Approved;
use super::detach::most;
use super::earlier::Earlier;
use super::ends;
use crate::commands::apply::{Performing, perform};
use crate::commands::planning::Made;
use crate::commands::purse::Purse;
use crate::error::{CommandError, FAILED, INTERRUPTED, PARTIAL, POLICY};
use crate::output::Output;
use crate::render::detached::Detached;
use crate::render::receipt::{Facts, Receipt, Result as How};
use crate::run_logs::RunLogs;
use crate::workspace::{Client, Workspace};

/// Where a run takes place.
pub(super) struct Course<'a> {
    pub(super) workspace: &'a Workspace,
    pub(super) client: &'a Client,
    pub(super) store: &'a Store,
    pub(super) earlier: &'a Earlier,
    pub(super) out: &'a Output,
}

/// How it is taken.
#[derive(Clone, Copy)]
pub(super) struct Manners {
    pub(super) parallelism: usize,
    /// Whether what a failed run ran on stays.
    pub(super) keep_failed: bool,
    /// Whether it is left once it has begun.
    pub(super) detach: bool,
    /// Whether no other region is tried.
    pub(super) last: bool,
}

/// How it ended.
pub(super) enum Ended {
    /// With this exit code.
    Finally(u8),
    /// Everything that was approved was sold out, and another region is left; what it cost none the less.
    SoldOut(Total),
}

impl Course<'_> {
    /// Takes it. `spent` is what it cost in other regions before.
    pub(super) async fn take(&self, made: &Made, approved: &Approved, manners: Manners, spent: &Total) -> Result<Ended, CommandError> {
        let (store, out, plan) = (self.store, self.out, &made.plan);
        let before = store.state();
        let logs = RunLogs::new(out.events(), &self.workspace.directory, &before.stack);
        let lives = Lives::new(&logs, self.client.dates(), &before);
        self.earlier.tell(&lives, &before);
        let purse = Purse::new(&lives, plan, &made.limits);
        let Manners { parallelism, keep_failed, detach, last } = manners;
        let how = Performing { events: &lives, parallelism, keep_failed, detach, purse: &purse };
        let outcome = perform(self.workspace, self.client, store, made, how, out).await?;
        let after = store.state();
        // What could not be released stops everything else.
        let clean = after.resources.is_empty() && after.open.is_empty();
        if !outcome.sold_out.is_empty() && !outcome.interrupted && !purse.is_empty() && clean && !last {
            return Ok(Ended::SoldOut(lives.spending(plan, None).spent));
        }
        let runs: Vec<Address> = plan.wanted.keys().filter(|address| ends(address)).cloned().collect();
        let run = runs.first().cloned().unwrap_or_else(|| Address::new(Kind::Run, &approved.job));
        let payer = payer(plan, &run, &lives);
        let exit_code = worst(runs.iter().map(|run| exit_code(&after, run)));
        let left = !outcome.detached.is_empty();
        let ended = match (outcome.interrupted, exit_code) {
            _ if purse.is_empty() => How::OverBudget,
            (true, _) => How::Interrupted,
            _ if left => How::Detached,
            // What was promised has to be here, too.
            (false, Some(0)) if runs.iter().all(|run| !outcome.failed.iter().any(|(failed, _)| failed == run)) => How::Succeeded,
            (false, _) => How::Failed,
        };
        let facts = Facts {
            plan,
            outcome: &outcome,
            before: &before,
            after: &after,
            job: &approved.job,
            runs: &runs,
            payer: &payer,
            stood: self.earlier.spec(&payer),
            ended_before: ended_before(plan, &before, &runs),
            command: approved.command.clone(),
            result: ended,
            exit_code,
            lives: &lives,
            log: &|run| logs.of(run),
            elsewhere: spent,
            program: out.program(),
        };
        let receipt = Receipt::new(facts);
        if ended == How::Detached {
            store.finish()?;
            out.detached(&Detached::new(receipt, most(plan), &after, &outcome.detached, out.program()));
            return Ok(Ended::Finally(if outcome.failed.is_empty() { 0 } else { PARTIAL }));
        }
        let over = |run: &&Address| after.resources.get(*run).is_some_and(|run| home::held(&run.attributes).is_none());
        for run in runs.iter().filter(over).filter(|run| !after.open.contains_key(*run)) {
            // It is history, and its receipt is written: the next one runs again.
            store.remove(run)?;
        }
        store.finish()?;
        out.receipt(&receipt);
        Ok(Ended::Finally(match ended {
            How::OverBudget => POLICY,
            How::Interrupted => INTERRUPTED,
            How::Failed => FAILED,
            How::Succeeded | How::Detached if outcome.failed.is_empty() => 0,
            How::Succeeded | How::Detached => PARTIAL,
        }))
    }
}

/// What the run is paid by: of everything that passes with it, and itself, what costs most an hour. What an earlier command
/// left of it is only deleted, or is gone already.
fn payer(plan: &Plan, run: &Address, lives: &Lives<'_>) -> Address {
    let past = lives.past(plan);
    let cost = |address: &Address| {
        let stood = || past.iter().find(|past| past.address == *address).map(|past| past.cost.hourly()).unwrap_or_default();
        let hourly = Some(lives.hourly(plan, address)).filter(|hourly| !hourly.sums.is_empty()).unwrap_or_else(stood);
        hourly.sums.first().map(|sum| sum.amount).unwrap_or_default()
    };
    let is_machine = |address: &&Address| matches!(address.kind, Kind::Instance | Kind::Cluster);
    let kept = plan.wanted.keys().filter(is_machine);
    let deleted = plan.changes.iter().filter(|change| change.action == Action::Delete).map(|change| &change.address).filter(is_machine);
    let gone = past.iter().map(|past| &past.address).filter(is_machine);
    let passing = plan.released.keys().chain(kept).chain(deleted).chain(gone).chain([run]);
    passing.max_by_key(|address| cost(address)).unwrap_or(run).clone()
}

/// When the last of the runs was over, if all of them were before this command began.
fn ended_before(plan: &Plan, before: &State, runs: &[Address]) -> Option<String> {
    let ended = |run: &Address| {
        let kept = plan.changes.iter().any(|change| change.address == *run && change.action == Action::Keep);
        let resource = before.resources.get(run).filter(|resource| kept && resource.status == Status::Ready)?;
        resource.attributes["ended_at"].as_str().map(str::to_owned)
    };
    let ended: Option<Vec<String>> = runs.iter().map(ended).collect();
    ended?.into_iter().max()
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
