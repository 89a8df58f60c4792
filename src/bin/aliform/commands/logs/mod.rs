//! `aliform logs`: what a run of a job wrote, or the end of an application's log, once or as it grows. It changes nothing,
//! and needs no lock: whoever follows a run may do so beside those who wait for it.

mod app;
pub(super) mod run;

use std::path::Path;

use aliform::state::contents::State;
use aliform::state::store::Store;
use serde_json::json;

use super::run::approved::{ambiguous, called};
use super::status::releases;
use crate::args::Logs;
use crate::error::{CommandError, INTERRUPTED, USAGE};
use crate::output::Output;
use crate::run_logs;
use crate::workspace::Workspace;

pub(crate) async fn run(workspace: &Workspace, arguments: &Logs, out: &Output) -> Result<u8, CommandError> {
    let name = arguments.name.as_deref();
    let mut runs = called(workspace, name);
    let state = match stack(workspace) {
        Ok(state) => state,
        Err(_) if !runs.is_empty() || run_logs::last(&workspace.directory, name).is_some() => None,
        Err(error) => return Err(error),
    };
    let running = state.as_ref().map(|state| releases(state, name)).unwrap_or_default();
    let followed = async {
        match (&state, runs.pop()) {
            (Some(state), Some(run)) if !running.is_empty() && name.is_some() => {
                let (app, stack) = (name.unwrap_or_default(), &run.stack);
                let message = format!("`{app}` is an application of stack `{}`, and a job of stack `{stack}` too", state.stack);
                Err(CommandError::new(USAGE, message).hint(format!("name the run by its stack: `{} logs {stack}`", out.program())))
            }
            (Some(state), _) if !running.is_empty() => app::logs(workspace, state, &running, arguments, out).await,
            (_, Some(found)) if runs.is_empty() => run::logs(workspace, &found, arguments, out).await,
            (_, Some(found)) => {
                runs.push(found);
                Err(ambiguous(&runs))
            }
            (_, None) => {
                // What ran here and is over has left what it wrote.
                if let Some((stack, log)) = run_logs::last(&workspace.directory, name) {
                    return kept(&stack, &log, arguments, out);
                }
                let message = name.map_or_else(
                    || "nothing runs".to_owned(),
                    |name| format!("neither an application nor a run called `{name}` is remembered here"),
                );
                Err(CommandError::failed(message).hint("see `aliform status`; the output of a run is kept here until it is released"))
            }
        }
    };
    if !arguments.follow {
        return followed.await;
    }
    tokio::select! {
        ended = followed => ended,
        // What is followed goes on.
        asked = tokio::signal::ctrl_c() => {
            asked.map_err(|error| CommandError::failed("Ctrl-C can't be waited for").because(error))?;
            Ok(INTERRUPTED)
        }
    }
}

/// Shows what a run wrote that is over and released.
fn kept(stack: &str, log: &Path, arguments: &Logs, out: &Output) -> Result<u8, CommandError> {
    let wrong = |error: std::io::Error| CommandError::failed(format!("`{}` can't be read", log.display())).because(error);
    let text = String::from_utf8_lossy(&std::fs::read(log).map_err(wrong)?).into_owned();
    let tail = arguments.tail.map_or(usize::MAX, |lines| usize::try_from(lines).unwrap_or(usize::MAX));
    let from = text.lines().count().saturating_sub(tail);
    let shown: String = text.lines().skip(from).map(|line| format!("{line}\n")).collect();
    if out.is_json() {
        out.json(&json!({ "stack": stack, "log": log.display().to_string(), "output": shown }));
    } else {
        out.text(&shown);
        out.note(&format!("The run of stack `{stack}` is over; this was kept in `{}`.", log.display()));
    }
    Ok(0)
}

/// The state of the stack with the applications, if there is one.
fn stack(workspace: &Workspace) -> Result<Option<State>, CommandError> {
    Ok(Store::read(&workspace.state_directory(), &workspace.stack()?)?)
}
