//! `aliform cloud resources`: what is in it, whether it runs or not.

use std::sync::Arc;

use aliform::local_cloud::LocalCloud;
use aliform::local_cloud::config::Config;
use aliform::local_cloud::machines::simulated::Simulated;
use serde_json::Value as Json;

use super::control;
use super::home::Home;
use crate::error::CommandError;
use crate::output::Output;
use crate::workspace::clock;

pub(super) async fn run(home: &Home, out: &Output) -> Result<(), CommandError> {
    let rows = match home.running().await? {
        Some(running) => control::get(home, &running, "resources").await?,
        None => stored(home).await?,
    };
    show(&rows, out);
    Ok(())
}

/// What a local cloud that does not run has on disk.
async fn stored(home: &Home) -> Result<Json, CommandError> {
    if !home.0.join("server.lock").exists() {
        return Ok(serde_json::json!([]));
    }
    let Some(_lock) = home.lock()? else { return Err(home.wrong("the local cloud was started just now", "try again")) };
    // Simulated machines: looking at what is stored must start nothing.
    let cloud = LocalCloud::open(&home.0, Config::default(), clock(), Arc::new(Simulated::default()))
        .map_err(|error| home.wrong("the local cloud can't be read", error))?;
    Ok(serde_json::json!(cloud.resources()))
}

fn show(rows: &Json, out: &Output) {
    if out.is_json() {
        out.json(rows);
        return;
    }
    let text = |row: &Json, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let tag = |row: &Json| row["tags"]["aliform:address"].as_str().unwrap_or_default().to_owned();
    let rows: Vec<Vec<String>> = rows
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| vec![text(row, "kind"), text(row, "id"), text(row, "region"), text(row, "status"), tag(row)])
        .collect();
    if rows.is_empty() {
        out.note("The local cloud is empty.");
    } else {
        out.table(&["kind", "id", "region", "status", "address"], rows);
    }
}
