//! `aliform cloud calls`: what clients asked of the local cloud of late.

use std::time::Duration;

use serde_json::Value as Json;

use super::control;
use super::home::Home;
use crate::error::CommandError;
use crate::output::Output;

/// How often those who follow look again.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Shows the last calls, and with `follow` all that come.
pub(super) async fn run(home: &Home, lines: u32, follow: bool, out: &Output) -> Result<(), CommandError> {
    let mut after = 0;
    let mut limit = u64::from(lines);
    loop {
        let Some(running) = home.running().await? else {
            let log = home.0.join("requests.log");
            let hint = if log.exists() { format!("earlier calls are in `{}`", log.display()) } else { "no call was ever made".to_owned() };
            return Err(CommandError::failed("the local cloud does not run").hint(hint));
        };
        let calls = control::get(home, &running, &format!("calls?after={after}&limit={limit}")).await?;
        let calls = calls.as_array().map_or(&[][..], Vec::as_slice);
        show(calls, after == 0 && !follow, out);
        if !follow {
            return Ok(());
        }
        after = calls.last().and_then(|call| call["number"].as_u64()).unwrap_or(after);
        limit = u64::MAX;
        tokio::select! {
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

fn show(calls: &[Json], whole: bool, out: &Output) {
    if out.is_json() {
        if whole {
            out.json(&calls);
        } else {
            // One line for each, as they come.
            calls.iter().for_each(|call| out.text(&format!("{call}\n")));
        }
        return;
    }
    if whole && calls.is_empty() {
        out.note("No call was made since the local cloud started.");
    } else if whole {
        out.table(&["time", "key", "call", "region", "resource", "result", "ms"], calls.iter().map(row).collect());
    } else {
        calls.iter().for_each(|call| out.text(&format!("{}\n", row(call).join("  "))));
    }
}

fn row(call: &Json) -> Vec<String> {
    let text = |key: &str| call[key].as_str().unwrap_or_default().to_owned();
    // The time of day is what one looks for.
    let time = text("at").get(11..19).unwrap_or_default().to_owned();
    let result = match (call["lost"] == true, text("code")) {
        (true, _) => "lost".to_owned(),
        (false, code) if code.is_empty() => call["status"].to_string(),
        (false, code) => code,
    };
    let milliseconds = format!("{:.1}", call["milliseconds"].as_f64().unwrap_or_default());
    let named = format!("{}:{}", text("product"), text("action"));
    vec![time, text("key"), named, text("region"), text("resource"), result, milliseconds]
}
