//! `aliform logs`: what a run of a job wrote, or the end of an application's log, once or as it grows. It changes nothing,
//! and needs no lock: whoever follows a run may do so beside those who wait for it.

mod app;
pub(super) mod run;

use aliform::state::contents::State;
use aliform::state::store::Store;
use serde_json::json;

use super::run::approved::{Found, ambiguous, called};
use super::status::releases;
use crate::args::Logs;
use crate::error::{CommandError, INTERRUPTED, USAGE};
use crate::output::Output;
use crate::run_logs::{self, Kept};
use crate::workspace::Workspace;

pub(crate) async fn run(workspace: &Workspace, arguments: &Logs, out: &Output) -> Result<u8, CommandError> {
    let name = arguments.name.as_deref();
    let mut runs: Vec<Found> = called(workspace, name).into_iter().map(|found| found.only(name)).collect();
    let last = run_logs::last(&workspace.directory, name);
    let state = match stack(workspace) {
        Ok(state) => state,
        Err(_) if !runs.is_empty() || last.is_some() => None,
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
            (_, Some(found)) if runs.is_empty() => match &last {
                // Nobody can be asked any more about what is over: what it wrote is here.
                Some(last) if run::is_over(&found) => kept(last, arguments, out),
                _ => run::logs(workspace, &found, arguments, out).await,
            },
            (_, Some(found)) => {
                runs.push(found);
                Err(ambiguous(&runs))
            }
            (_, None) => {
                // What ran here and is over has left what it wrote.
                if let Some(last) = &last {
                    return kept(last, arguments, out);
                }
                let message = name.map_or_else(
                    || "nothing runs".to_owned(),
                    |name| format!("neither an application nor a run called `{name}` is remembered here"),
                );
                Err(CommandError::failed(message)
                    .hint(format!("`{0} status` shows what runs; the last runs are kept in `.aliform/runs`", out.program())))
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

/// Shows what runs wrote that are over.
fn kept(last: &Kept, arguments: &Logs, out: &Output) -> Result<u8, CommandError> {
    let tail = arguments.tail.map_or(usize::MAX, |lines| usize::try_from(lines).unwrap_or(usize::MAX));
    let mut runs = Vec::new();
    for (run, log) in &last.logs {
        let wrong = |error: std::io::Error| CommandError::failed(format!("`{}` can't be read", log.display())).because(error);
        let text = String::from_utf8_lossy(&std::fs::read(log).map_err(wrong)?).into_owned();
        let from = text.lines().count().saturating_sub(tail);
        let name = if last.logs.len() > 1 { format!("{run} | ") } else { String::new() };
        let line = |line: &str| if out.is_json() { format!("{line}\n") } else { format!("{name}{line}\n") };
        let shown: String = text.lines().skip(from).map(line).collect();
        if !out.is_json() {
            out.text(&shown);
        }
        runs.push(json!({ "run": run, "log": log.display().to_string(), "output": shown }));
    }
    if out.is_json() {
        out.json(&json!({ "stack": last.stack, "runs": runs }));
        return Ok(0);
    }
    let places: Vec<String> = last.logs.iter().map(|(_, log)| format!("`{}`", log.display())).collect();
    out.note(&format!("What ran in stack `{}` is over; this was kept in {}.", last.stack, places.join(", ")));
    Ok(0)
}

/// The state of the stack with the applications, if there is one.
fn stack(workspace: &Workspace) -> Result<Option<State>, CommandError> {
    Ok(Store::read(&workspace.state_directory(), &workspace.stack()?)?)
}
