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
use serde::Deserialize;

use super::outputs;
use super::planning::identity;
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

pub(crate) async fn run(workspace: &Workspace, out: &Output) -> Result<u8, CommandError> {
    let state = state(workspace)?;
    let client = workspace.connect(out).await?;
    let identity = identity(&state);
    let mut rows = Vec::new();
    let mut failed = false;
    for running in releases(&state, None) {
        let answer = on_machine(workspace, &client, &identity, &running, "the check of the application", &running.spec.verify_script).await;
        let health = match answer {
            Ok((0, _)) => "running".to_owned(),
            Ok((_, output)) => output
                .lines()
                .find(|line| line.starts_with("check=") && line.contains(" ok=0"))
                .map_or_else(|| "not running".to_owned(), |line| line.split_once("detail=").map_or(line, |(_, detail)| detail).to_owned()),
            Err(error) => error.message,
        };
        failed |= health != "running" || running.resource.status != Status::Ready;
        let unfinished = matches!(running.resource.status, Status::Unfinished { .. });
        let health = if unfinished { format!("{health}; the last apply did not finish") } else { health };
        let digest: String = running.spec.digest.chars().take(12).collect();
        let instance = running.spec.instance_id.known().cloned().unwrap_or_default();
        rows.push(vec![running.address.to_string(), digest, instance, health]);
    }
    out.table(&["release", "digest", "instance", "health"], rows);
    for (name, value) in outputs::values(&state) {
        out.note(&format!("{name} = {value}"));
    }
    Ok(if failed { FAILED } else { 0 })
}
