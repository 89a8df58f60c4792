//! `aliform cloud`: the local cloud as a process of its own, which outlives the command that started it.

mod bill;
mod calls;
mod control;
mod home;
mod resources;
mod scenario;
mod server;
mod status;

use std::path::Path;

use aliform::state::shortages;

use crate::args;
use crate::error::CommandError;
use crate::output::Output;
use crate::workspace::Workspace;
use home::Home;

/// The address of the local cloud as a base of links; started if it does not run. Whoever starts it is told when its
/// machines are no more than processes.
pub(crate) async fn ensure_running(state_directory: &Path, out: &Output) -> Result<String, CommandError> {
    let home = Home::new(state_directory);
    let running = match home.running().await? {
        Some(running) => running,
        None => {
            let running = server::start(&home, state_directory).await?;
            if !running.exposed.is_empty() {
                let exposed = running.exposed.iter().map(|exposed| format!("\n  not isolated: {exposed}")).collect::<String>();
                out.note(&format!("This system forbids namespaces: machines of the local cloud are plain processes of yours.{exposed}"));
            }
            running
        }
    };
    Ok(format!("http://{}", running.address))
}

pub(crate) async fn run(workspace: &Workspace, arguments: &args::Cloud, out: &Output) -> Result<u8, CommandError> {
    let home = Home::new(&workspace.state_directory());
    match arguments {
        args::Cloud::Start { scenario } => {
            // Read first: nothing is started for a file that can't be.
            let chosen = scenario.as_deref().map(scenario::from_file).transpose()?;
            let base = ensure_running(&workspace.state_directory(), out).await?;
            if let (Some(chosen), Some(running)) = (chosen, home.running().await?) {
                control::put(&home, &running, "scenario", &serde_json::json!(chosen)).await?;
            }
            out.result(
                &format!("The local cloud answers at {base}. Access key `local`, secret `local`."),
                &serde_json::json!({ "endpoint": base }),
            );
        }
        args::Cloud::Stop => {
            let stopped = server::stop(&home).await?;
            let text = if stopped {
                "The local cloud is stopped. Its machines are off, their disks are kept."
            } else {
                "The local cloud does not run."
            };
            out.result(text, &serde_json::json!({ "stopped": stopped }));
        }
        args::Cloud::Reset => {
            server::stop(&home).await?;
            server::reset(&home).await?;
            // Another cloud has other stock.
            shortages::forget(&workspace.state_directory());
            out.result("The local cloud is empty.", &serde_json::json!({ "empty": true }));
        }
        args::Cloud::Status => status::status(&home, out).await?,
        args::Cloud::Resources => resources::run(&home, out).await?,
        args::Cloud::Bill => bill::run(&home, out).await?,
        args::Cloud::Scenario { scenario, clear } => scenario::run(&home, scenario.as_deref(), *clear, out).await?,
        args::Cloud::Calls { lines, follow } => calls::run(&home, *lines, *follow, out).await?,
        args::Cloud::Serve { listen, scenario, tls, listen_tls, detach } => {
            let chosen = scenario.as_deref().map(scenario::from_file).transpose()?;
            let places = server::Places { listen: *listen, listen_tls: *listen_tls, say_tls: *tls };
            server::foreground(&home, &places, chosen, *detach, out).await?;
        }
    }
    Ok(0)
}
