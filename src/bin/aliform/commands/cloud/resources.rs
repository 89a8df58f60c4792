//! `aliform cloud resources`: what is in it, whether it runs or not.

use serde_json::Value as Json;

use super::control;
use super::home::Home;
use crate::error::CommandError;
use crate::output::Output;

pub(super) async fn run(home: &Home, out: &Output) -> Result<(), CommandError> {
    let rows = match home.running().await? {
        Some(running) => control::get(home, &running, "resources").await?,
        None => home.stored()?.map_or_else(|| serde_json::json!([]), |stored| serde_json::json!(stored.cloud.resources())),
    };
    show(&rows, out);
    Ok(())
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
