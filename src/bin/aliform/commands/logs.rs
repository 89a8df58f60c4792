//! `aliform logs`: the end of an application's log, read on its machines.

use super::planning::identity;
use super::status::{on_machine, releases, state};
use crate::args::Logs;
use crate::error::CommandError;
use crate::output::Output;
use crate::workspace::Workspace;

pub(crate) async fn run(workspace: &Workspace, arguments: &Logs, out: &Output) -> Result<u8, CommandError> {
    let state = state(workspace)?;
    let running = releases(&state, arguments.app.as_deref());
    if running.is_empty() {
        let message =
            arguments.app.as_ref().map_or_else(|| "nothing runs".to_owned(), |app| format!("no release of app `{app}` is in the state"));
        return Err(CommandError::failed(message).hint("see `aliform status`"));
    }
    let client = workspace.connect(out).await?;
    let identity = identity(&state);
    let several = running.len() > 1;
    for running in &running {
        let text = format!("LINES_WANTED={}\n{}", arguments.lines, running.spec.logs_script);
        let (_, output) = on_machine(workspace, &client, &identity, running, "reading the log", &text).await?;
        if several {
            out.note(&format!("== {}", running.address));
        }
        out.text(&output);
    }
    Ok(0)
}
