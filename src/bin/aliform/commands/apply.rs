//! `aliform apply`: shows the plan, asks, carries it out.

use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use aliform::apply::lives::Lives;
use aliform::apply::remember::take_over;
use aliform::apply::run::{Outcome, apply};
use aliform::apply::world::World;
use aliform::cloud::patient::{Line, PATIENCE, Patient};
use aliform::manifest::Manifest;
use aliform::model::address::Kind;
use aliform::model::event::EventSink;
use aliform::model::finding::Severity;
use aliform::plan::saved::Plan;
use aliform::resources::error::ResourceError;
use aliform::resources::registry;
use aliform::state::store::Store;
use tokio::sync::watch;

use super::alternatives::Way;
use super::planning::{Aim, Made, Manner, basis, explain, identity, make};
use super::purse::Purse;
use crate::args::{self, BY_NAME};
use crate::error::{CommandError, FAILED, INTERRUPTED, PARTIAL, POLICY};
use crate::interrupt::Interrupts;
use crate::output::Output;
use crate::render::jobs::jobs;
use crate::render::receipt::OVER_BUDGET;
use crate::run_logs::RunLogs;
use crate::workspace::{Client, Workspace};

/// How long fetching what a stopped run left may take; and where its budget is spent: the purse's reserve is for this too.
const RESCUE: Duration = Duration::from_secs(120);
const RESCUE_SPENT: Duration = Duration::from_secs(20);

pub(crate) async fn run(workspace: &Workspace, arguments: &args::Apply, out: &Output) -> Result<u8, CommandError> {
    let manifest = workspace.load()?;
    let saved = arguments.plan.as_deref().map(read).transpose()?;
    let lineage = saved.as_ref().map(|plan| plan.basis.lineage.clone());
    let store = workspace.open(&manifest.stack.value, "apply", lineage)?;
    let client = workspace.connect(out).await?;
    let made = match saved {
        None => {
            make(workspace, &client, &store, &Aim::Manifest(&manifest), &super::plan::manner(&arguments.planning), out.events()).await?
        }
        Some(plan) => from_saved(workspace, &client, &store, &manifest, plan, out).await?,
    };
    carry_out(workspace, &client, &store, made, &arguments.doing, &arguments.accept, out).await
}

fn read(file: &Path) -> Result<Plan, CommandError> {
    let wrong = |error: &dyn std::fmt::Display| {
        CommandError::failed(format!("`{}` is not a plan that this version can apply", file.display())).because(error)
    };
    let text = std::fs::read(file).map_err(|error| wrong(&error))?;
    let plan: Plan = serde_json::from_slice(&text).map_err(|error| wrong(&error))?;
    if plan.format != Plan::FORMAT {
        return Err(wrong(&format!("its format is {}, this version knows {}", plan.format, Plan::FORMAT)));
    }
    Ok(plan)
}

/// Takes a saved plan, unless what it was made from has moved since.
async fn from_saved(
    workspace: &Workspace,
    client: &Client,
    store: &Store,
    manifest: &Manifest,
    plan: Plan,
    out: &Output,
) -> Result<Made, CommandError> {
    let nothing = Aim::Nothing;
    let aim = if plan.basis.destroy { &nothing } else { &Aim::Manifest(manifest) };
    let stale = |reason: &dyn std::fmt::Display| {
        CommandError::failed("the saved plan is out of date and was not applied")
            .because(reason)
            .hint("make a new one with `aliform plan -o FILE` and review it")
    };
    plan.check(&basis(&store.state(), aim)).map_err(|reason| stale(&reason))?;
    if !store.open_intents().is_empty() {
        return Err(stale(&"an apply was interrupted since"));
    }
    let manner = Manner { decided: Some(plan.decisions.clone()), no_refresh: true, ..Manner::default() };
    let fresh = make(workspace, client, store, aim, &manner, out.events()).await?;
    if fresh.plan.wanted != plan.wanted {
        return Err(stale(&"the source files or something that the manifest uses changed since"));
    }
    Ok(Made { plan, ..fresh })
}

/// Shows a plan, asks, does it, and says how it ended.
pub(crate) async fn carry_out(
    workspace: &Workspace,
    client: &Client,
    store: &Store,
    made: Made,
    doing: &args::Doing,
    accepted: &[String],
    out: &Output,
) -> Result<u8, CommandError> {
    out.proposal(&made.plan, &store.state())?;
    if made.plan.is_empty() {
        // Without a step there can still be something new: another output, another decision.
        take_over(store, &made.plan).await?;
        store.finish()?;
        if out.is_json() {
            out.applied(&made.plan, &Outcome::default(), &store.state(), Vec::new());
        }
        return Ok(0);
    }
    review(workspace, &made, doing.auto_approve, accepted, out)?;
    let logs = RunLogs::new(out.events(), &workspace.directory, &made.plan.basis.stack);
    let lives = Lives::new(&logs, client.dates(), &store.state());
    let purse = Purse::new(&lives, &made.plan, &made.limits);
    let performing = Performing { events: &lives, parallelism: doing.parallelism, keep_failed: false, detach: false, purse: &purse };
    let mut outcome = perform(workspace, client, store, &made, performing, out).await?;
    if purse.is_empty() {
        // Nobody but this program stopped them.
        let stopped = ResourceError::Stopped.to_string();
        outcome.failed.iter_mut().filter(|(_, error)| *error == stopped).for_each(|(_, error)| OVER_BUDGET.clone_into(error));
    }
    let state = store.state();
    out.applied(&made.plan, &outcome, &state, jobs(&made.plan, &state, &lives, &|run| logs.of(run)));
    Ok(match () {
        () if purse.is_empty() => POLICY,
        () if outcome.interrupted => INTERRUPTED,
        () if outcome.failed.is_empty() => 0,
        // An application that does not answer, or a job that fails, is the failure; that its machines stood is no consolation.
        () if outcome.done == 0
            || outcome.failed.iter().any(|(address, _)| address.kind == Kind::Release || registry::kind(address.kind).ends()) =>
        {
            FAILED
        }
        () => PARTIAL,
    })
}

/// Lets a plan that was shown pass only if nothing forbids it, nothing is missing, and somebody approves.
pub(crate) fn review(workspace: &Workspace, made: &Made, approved: bool, accepted: &[String], out: &Output) -> Result<(), CommandError> {
    gate(&made.plan, accepted, &made.ways)?;
    check_at_hand(workspace, made)?;
    if approved || approves(&made.plan, out) {
        return Ok(());
    }
    Err(CommandError::failed("not approved; nothing was changed").hint("answer `yes`, or use `--auto-approve` where nobody can answer"))
}

/// What must not happen even if it is approved.
fn gate(plan: &Plan, accepted: &[String], ways: &[Way]) -> Result<(), CommandError> {
    if let Some(exceeded) = plan.cost.exceeded.first() {
        let whose = exceeded.job.as_ref().map(|job| format!(" of job `{job}`")).unwrap_or_default();
        let (period, limit, would_be) = (&exceeded.period, exceeded.limit, exceeded.would_be.rounded(4));
        let error = CommandError::new(POLICY, format!("the {period} budget of {limit}{whose} would be exceeded: {would_be}"));
        let error = ways.iter().fold(error, |error, way| error.hint(way.to_string()));
        return Err(error.hint("ask for less, or raise the budget"));
    }
    let open = plan.findings.iter().find(|finding| {
        finding.severity == Severity::High && BY_NAME.contains(&finding.id.as_str()) && !accepted.iter().any(|risk| risk == &finding.id)
    });
    match open {
        Some(finding) => {
            let place = finding.evidence.as_ref().map(|evidence| format!(" ({}:{})", evidence.file, evidence.line)).unwrap_or_default();
            let mut error = CommandError::new(POLICY, format!("{}{place}", finding.message));
            error.hints.extend(finding.hint.clone());
            Err(error.hint(format!("accept the risk with `--accept {}`", finding.id)))
        }
        None => Ok(()),
    }
}

/// What is missing, a secret or a bundle, is said before anybody is asked to approve.
fn check_at_hand(workspace: &Workspace, made: &Made) -> Result<(), CommandError> {
    for change in made.plan.actions().filter(|change| !made.begun.contains(&change.address)) {
        if let Some(wanted) = made.plan.wanted.get(&change.address) {
            registry::kind(change.address.kind).at_hand(&change.address, &wanted.spec, workspace, &made.bundles)?;
        }
    }
    Ok(())
}

/// Asks. Only `yes` is a yes; silence and the end of input are a no.
fn approves(plan: &Plan, out: &Output) -> bool {
    ask(if plan.basis.destroy { "Delete all of this? Only `yes` is a yes: " } else { "Do all of this? Only `yes` is a yes: " }, out)
}

/// Asks that question.
pub(super) fn ask(question: &str, out: &Output) -> bool {
    out.prompt(question);
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    // The answer's own line end is the terminal's; without one the next line would run into the question.
    if answer.is_empty() {
        let _ = writeln!(std::io::stderr());
    }
    read.is_ok_and(|length| length > 0) && answer.trim() == "yes"
}

/// How an approved plan is carried out.
pub(crate) struct Performing<'a> {
    /// Who is told.
    pub(crate) events: &'a dyn EventSink,
    /// How many steps are under way at once.
    pub(crate) parallelism: usize,
    /// Whether what a failed run needed stays.
    pub(crate) keep_failed: bool,
    /// Whether runs are left once they have begun.
    pub(crate) detach: bool,
    /// What runs may spend.
    pub(crate) purse: &'a Purse<'a>,
}

/// What is said of the line to the cloud.
fn line_note(line: Line) -> String {
    match line {
        Line::Down(reason) => format!(
            "The cloud can't be reached: {reason}. It is tried again for up to {} minutes; what runs there goes on.",
            PATIENCE.as_secs() / 60
        ),
        Line::Up(after) => format!("The cloud can be reached again, after {} s.", after.as_secs()),
    }
}

/// Carries out an approved plan. Ctrl-C stops it, the second time at once.
pub(crate) async fn perform(
    workspace: &Workspace,
    client: &Client,
    store: &Store,
    made: &Made,
    how: Performing<'_>,
    out: &Output,
) -> Result<Outcome, CommandError> {
    let identity = identity(&store.state());
    let tell = |line| out.note(&line_note(line));
    // What is under way costs money: an outage must not end it, nor keep it from being released.
    let cloud = Patient::new(client, &tell);
    let world = World {
        cloud: &cloud,
        clock: client.dates(),
        store,
        identity: &identity,
        events: how.events,
        secrets: workspace,
        artifacts: &made.bundles,
        explain: &explain,
        unsettled: Mutex::new(made.unsettled.clone()),
        keep_failed: how.keep_failed,
        detach: how.detach,
        rescue_within: &|| if how.purse.is_empty() { RESCUE_SPENT } else { RESCUE },
    };
    let (stop, stopped) = watch::channel(false);
    let mut interrupts =
        Interrupts::new().map_err(|error| CommandError::failed(format!("the signals that stop it can't be heard: {error}")))?;
    let interrupt = async {
        loop {
            interrupts.next().await;
            if stop.send_replace(true) {
                // The second time: leave at once. Everything that matters is in the journal.
                out.note("Left at once. What exists is in the state and may cost money: the same command, or one that destroys or releases, goes on from there.");
                std::process::exit(i32::from(INTERRUPTED));
            }
            let then = if made.plan.released.is_empty() {
                "what is under way is finished, nothing new is started; the next apply does the rest"
            } else {
                "what runs is ended, its outputs are fetched as far as they can be, and what it needed is released"
            };
            out.note(&format!("Stopping: {then}. Press Ctrl-C again to leave at once."));
        }
    };
    let spent = async {
        let limit = how.purse.emptied().await;
        out.note(&format!("Stopping: the total budget of {limit} is about to be spent. What runs is ended and released."));
        stop.send_replace(true);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = spent => Err(CommandError::new(POLICY, "the budget is spent")),
        outcome = apply(&world, &made.plan, how.parallelism, stopped) => Ok(outcome?),
        () = interrupt => Err(CommandError::new(INTERRUPTED, "interrupted")),
    }
}
