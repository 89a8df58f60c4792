//! `aliform plan`: shows what would be done, why, and what it costs.

use std::path::Path;

use aliform::plan::saved::Plan;

use super::planning::{Aim, Manner, make};
use crate::args;
use crate::error::{CommandError, PENDING};
use crate::output::Output;
use crate::workspace::Workspace;

pub(crate) async fn run(workspace: &Workspace, arguments: &args::Plan, out: &Output) -> Result<u8, CommandError> {
    let (manifest, stack) = if arguments.destroy {
        (None, workspace.stack()?)
    } else {
        let manifest = workspace.load()?;
        let stack = manifest.stack.value.clone();
        (Some(manifest), stack)
    };
    let store = workspace.open(&stack, "plan", None)?;
    let client = workspace.connect(out).await?;
    let aim = manifest.as_ref().map_or(Aim::Nothing, Aim::Manifest);
    let made = make(workspace, &client, &store, &aim, &manner(&arguments.planning), out.events()).await?;
    let state = store.state();
    store.finish()?;
    if let Some(file) = &arguments.out {
        save(file, &made.plan)?;
    }
    out.plan(&made.plan, &state);
    if let Some(file) = &arguments.out {
        out.note(&format!("The plan is saved. Apply exactly this with: aliform apply {}", file.display()));
    }
    Ok(if arguments.detailed_exitcode && !made.plan.is_empty() { PENDING } else { 0 })
}

/// The planning that the options ask for.
pub(crate) fn manner(planning: &args::Planning) -> Manner {
    Manner {
        reselect: planning.reselect,
        replace: planning.replace.iter().cloned().collect(),
        no_refresh: planning.no_refresh,
        ..Manner::default()
    }
}

fn save(file: &Path, plan: &Plan) -> Result<(), CommandError> {
    let wrong =
        |error: &dyn std::fmt::Display| CommandError::failed(format!("the plan can't be saved to `{}`", file.display())).because(error);
    let text = serde_json::to_string_pretty(plan).map_err(|error| wrong(&error))?;
    std::fs::write(file, text + "\n").map_err(|error| wrong(&error))
}
