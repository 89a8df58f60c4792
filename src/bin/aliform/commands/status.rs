//! `aliform status`: what runs where, asked on the machines themselves.

use std::time::Duration;

use aliform::model::address::{Address, Kind};
use aliform::model::event::Silent;
use aliform::resolve::bundles::Bundles;
use aliform::resources::kind::{Context, Identity};
use aliform::resources::release::ReleaseSpec;
use aliform::resources::script::{self, Script};
use aliform::state::contents::{Resource, State, Status};
use aliform::state::store::Store;
use futures_util::future::join_all;
use serde::Deserialize;

use super::logs::run::{Line, look};
use super::outputs;
use super::planning::identity;
use super::run::approved::{self, Found};
use super::run::ends;
use crate::error::{CommandError, FAILED};
use crate::output::Output;
use crate::workspace::{Client, Workspace, clock, random_hex};

/// A release that the state remembers.
pub(crate) struct Running<'a> {
    pub(crate) address: &'a Address,
    pub(crate) resource: &'a Resource,
    pub(crate) spec: ReleaseSpec,
}

/// The releases of a state, all of them or those of one application.
pub(crate) fn releases<'a>(state: &'a State, app: Option<&str>) -> Vec<Running<'a>> {
    let found = state.resources.iter().filter(|(address, _)| address.kind == Kind::Release);
    let typed =
        found.filter_map(|(address, resource)| Some(Running { address, resource, spec: ReleaseSpec::deserialize(&resource.spec).ok()? }));
    typed.filter(|running| app.is_none_or(|app| running.spec.app == app)).collect()
}

/// The state of the stack, which has to be there.
pub(crate) fn state(workspace: &Workspace) -> Result<State, CommandError> {
    let stack = workspace.stack()?;
    Store::read(&workspace.state_directory(), &stack)?
        .ok_or_else(|| CommandError::failed(format!("stack `{stack}` has no state yet")).hint("run `aliform apply` first"))
}

/// The columns of a release, and of a run.
const RELEASE: [&str; 4] = ["release", "digest", "instance", "health"];
const RUN: [&str; 5] = ["run", "stack", "state", "begun", "next"];

/// Asks how runs are.
async fn status_of(workspace: &Workspace, client: &Client, runs: &[Found]) -> Vec<Vec<Line>> {
    join_all(runs.iter().map(|found| look(workspace, client, found))).await
}

/// Shows runs behind the releases, in one array for programs.
fn show_runs(runs: &[Found], lines: Vec<Vec<Line>>, releases: Vec<Vec<String>>, out: &Output) {
    let mut rows = Vec::new();
    for (found, lines) in runs.iter().zip(lines) {
        for line in lines {
            let attributes = found.state.resources.get(&line.address).map(|run| &run.attributes);
            let begun = attributes.and_then(|attributes| attributes["begun_at"].as_str());
            let since = begun.or_else(|| attributes?["ended_at"].as_str()).unwrap_or("-").to_owned();
            let (state, next) = match found.resumable {
                true => (line.words(), "resume"),
                false => (format!("{}; what it ran on is kept", line.words()), "release"),
            };
            rows.push(vec![
                line.address.to_string(),
                found.stack.clone(),
                state,
                since,
                format!("{} run --{next} {}", out.program(), found.stack),
            ]);
        }
    }
    let tables = [(&RELEASE[..], releases), (&RUN[..], rows)];
    out.tables(&tables.into_iter().filter(|(_, rows)| !rows.is_empty()).collect::<Vec<_>>());
}

/// Runs a script beside a release, and gives back its exit code and output.
pub(crate) async fn on_machine(
    workspace: &Workspace,
    client: &Client,
    identity: &Identity,
    running: &Running<'_>,
    what: &str,
    text: &str,
) -> Result<(i64, String), CommandError> {
    let token = random_hex()?;
    let nothing = Bundles::default();
    let clock = clock();
    let context = Context {
        cloud: client,
        clock: &*clock,
        region: &running.resource.region,
        identity,
        address: running.address,
        token: &token,
        deadline: None,
        events: &Silent,
        secrets: workspace,
        artifacts: &nothing,
    };
    let instance = running.spec.instance_id.known().map(String::as_str).unwrap_or_default();
    let script =
        Script { what, text, timeout: Duration::from_secs(running.spec.within.saturating_add(30)), instance, step: "ask", tell: false };
    let run = script::start(&context, &script).await?;
    let ran = script::follow(&context, &script, &run).await?;
    Ok((ran.exit_code, ran.output))
}

/// What the check of the process says of its having ended and come back.
fn came_back(output: &str) -> String {
    let process = output.lines().find(|line| line.starts_with("check=process ok=1"));
    process.and_then(|line| line.split_once(", started again")).map(|(_, rest)| format!(", started again{rest}")).unwrap_or_default()
}

pub(crate) async fn run(workspace: &Workspace, out: &Output) -> Result<u8, CommandError> {
    let mut runs = approved::all(workspace);
    let own = workspace.stack().ok();
    // Where a run of its own is over and something is there still, it was kept, and costs money.
    let is_kept = |found: &Found| own.as_ref() != Some(&found.stack) && found.state.resources.keys().any(|address| !ends(address));
    runs.retain(|found| found.resumable || is_kept(found));
    let state = match state(workspace) {
        Ok(state) => state,
        // Runs are all that is here.
        Err(_) if !runs.is_empty() => {
            let client = workspace.connect(out).await?;
            show_runs(&runs, status_of(workspace, &client, &runs).await, Vec::new(), out);
            return Ok(0);
        }
        Err(error) => return Err(error),
    };
    let client = workspace.connect(out).await?;
    let identity = identity(&state);
    let mut rows = Vec::new();
    let mut failed = false;
    for running in releases(&state, None) {
        let answer = on_machine(workspace, &client, &identity, &running, "the check of the application", &running.spec.verify_script).await;
        let health = match answer {
            Ok((0, output)) => format!("running{}", came_back(&output)),
            Ok((_, output)) => output
                .lines()
                .find(|line| line.starts_with("check=") && line.contains(" ok=0"))
                .map_or_else(|| "not running".to_owned(), |line| line.split_once("detail=").map_or(line, |(_, detail)| detail).to_owned()),
            Err(error) => error.message,
        };
        failed |= !health.starts_with("running") || running.resource.status != Status::Ready;
        let unfinished = matches!(running.resource.status, Status::Unfinished { .. });
        let health = if unfinished { format!("{health}; the last apply did not finish") } else { health };
        let digest: String = running.spec.digest.chars().take(12).collect();
        let instance = running.spec.instance_id.known().cloned().unwrap_or_default();
        rows.push(vec![running.address.to_string(), digest, instance, health]);
    }
    let lines = status_of(workspace, &client, &runs).await;
    if runs.is_empty() {
        out.table(&RELEASE, rows);
    } else {
        show_runs(&runs, lines, rows, out);
    }
    for (name, value) in outputs::values(&state) {
        out.note(&format!("{name} = {value}"));
    }
    Ok(if failed { FAILED } else { 0 })
}
