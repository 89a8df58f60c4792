//! The process behind a machine: this binary, run again. It is started by `Processes`, outlives the server, and ends
//! with its machine. Three processes share the work: the supervisor stays on the host and holds the public ports, a
//! middle one enters the namespaces, and the first process of the machine runs commands and keeps house. Nothing here
//! is used by the server itself, and nothing of the server's environment but what `wire::Launch` names gets in.

mod commands;
mod control;
mod files;
mod inside;
mod launch;
mod outbound;
mod process;
mod reaper;
mod routes;
mod users;

#[cfg(target_os = "linux")]
mod channel;
#[cfg(target_os = "linux")]
mod host;
#[cfg(target_os = "linux")]
mod inbound;
#[cfg(target_os = "linux")]
mod loopback;
#[cfg(target_os = "linux")]
mod namespaces;
#[cfg(target_os = "linux")]
mod root;
#[cfg(target_os = "linux")]
mod sockets;

use std::io::{Read, Write};
use std::process::ExitCode;

use super::wire::LaunchReport;

/// The hidden first argument that makes the binary an agent.
pub const ARGUMENT: &str = "machine-agent";

/// Starts a machine as told on standard input, reports on standard output, and leaves the machine running.
/// Must be called before any thread exists: it forks.
pub fn main() -> ExitCode {
    process::close_inherited();
    let mut text = Vec::new();
    let launched = std::io::stdin()
        .read_to_end(&mut text)
        .map_err(|error| format!("the launch can't be read: {error}"))
        .and_then(|_| serde_json::from_slice(&text).map_err(|error| format!("the launch can't be understood: {error}")))
        .and_then(launch::launch);
    let (report, code) = match launched {
        Ok(missing) => (LaunchReport::Ready { missing }, ExitCode::SUCCESS),
        Err(reason) => (LaunchReport::Failed(reason), ExitCode::FAILURE),
    };
    let _ = serde_json::to_writer(std::io::stdout(), &report);
    code
}

/// Writes a line to the agent's log, which is where its error output goes.
fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
