//! `aliform cloud scenario`: what is chosen, and choosing something else while the local cloud runs.

use std::path::Path;

use aliform::local_cloud::scenario::{Scenario, read};
use aliform::model::diagnostic::Diagnostic;
use serde_json::json;

use super::control;
use super::home::Home;
use crate::error::CommandError;
use crate::output::Output;

/// Shows the scenario, or applies another one.
pub(super) async fn run(home: &Home, file: Option<&Path>, clear: bool, out: &Output) -> Result<(), CommandError> {
    let chosen = match file {
        Some(file) => Some(from_file(file)?),
        None => clear.then(Scenario::default),
    };
    let Some(running) = home.running().await? else {
        return Err(CommandError::failed("the local cloud does not run").hint("start it with `aliform cloud start --scenario FILE`"));
    };
    let now = match &chosen {
        Some(scenario) => control::put(home, &running, "scenario", &json!(scenario)).await?,
        None => control::get(home, &running, "scenario").await?,
    };
    if chosen.is_some() {
        out.note("The scenario counts from the next call on, also after a restart.");
    }
    out.result(&format!("{now:#}"), &now);
    Ok(())
}

/// A scenario as a person wrote it.
pub(super) fn from_file(file: &Path) -> Result<Scenario, CommandError> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| {
        let message = format!("`{name}` can't be read: {error}");
        let hints = vec!["name a scenario file; `aliform schema scenario` prints what it may hold".to_owned()];
        CommandError::diagnostics(vec![Diagnostic { code: "unreadable-scenario", message, location: None, hints }])
    })?;
    read::read(&name, &text).map_err(|complaint| CommandError::diagnostics(vec![*complaint]))
}
