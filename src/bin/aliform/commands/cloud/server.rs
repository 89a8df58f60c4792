//! The local cloud as a process: started, run in the foreground, stopped, emptied.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use aliform::local_cloud::LocalCloud;
use aliform::local_cloud::config::Config;
use aliform::local_cloud::machines::Machines;
use aliform::local_cloud::machines::on_demand::OnDemand;
use aliform::local_cloud::machines::processes::Processes;
use aliform::local_cloud::scenario::Scenario;
use aliform::local_cloud::serve::{Listeners, serve};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::home::{Home, PATIENCE, Running};
use crate::error::CommandError;
use crate::output::Output;
use crate::workspace::{clock, random_hex};

pub(super) async fn start(home: &Home, state_directory: &Path) -> Result<Running, CommandError> {
    let program = std::env::current_exe().map_err(|error| home.wrong("the program does not find itself", error))?;
    let directory = state_directory.parent().map_or_else(|| PathBuf::from("."), Path::to_owned);
    let directory = if directory.as_os_str().is_empty() { PathBuf::from(".") } else { directory };
    let log = File::options()
        .create(true)
        .append(true)
        .open(home.log())
        .map_err(|error| home.wrong("the local cloud's log can't be written", error))?;
    let mut child = tokio::process::Command::new(program)
        .arg("-C")
        .arg(directory)
        .args(["cloud", "serve", "--detach"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(|error| home.wrong("the local cloud can't be started", error))?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        let read = tokio::time::timeout(PATIENCE, BufReader::new(stdout).read_line(&mut line)).await;
        read.map_err(|_| home.wrong("the local cloud did not come up", format!("see `{}`", home.log().display())))?
            .map_err(|error| home.wrong("the local cloud did not come up", error))?;
    }
    // An empty line: another command was faster, or it failed.
    home.running().await?.ok_or_else(|| home.wrong("the local cloud did not come up", format!("see `{}`", home.log().display())))
}

pub(super) fn machines(home: &Home, gateway: SocketAddr) -> Result<Processes, CommandError> {
    let program = std::env::current_exe().map_err(|error| home.wrong("the program does not find itself", error))?;
    Ok(Processes::new(&home.machines(), program, gateway))
}

/// Where a server listens.
pub(super) struct Places {
    pub(super) listen: SocketAddr,
    pub(super) listen_tls: SocketAddr,
    /// Whether the second one is said.
    pub(super) say_tls: bool,
}

async fn bind(home: &Home, address: SocketAddr) -> Result<(TcpListener, SocketAddr), CommandError> {
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|error| home.wrong(&format!("the local cloud can't listen on {address}"), error))?;
    let address = listener.local_addr().map_err(|error| home.wrong("the local cloud has no address", error))?;
    Ok((listener, address))
}

pub(super) async fn foreground(
    home: &Home,
    places: &Places,
    scenario: Option<Scenario>,
    detach: bool,
    out: &Output,
) -> Result<(), CommandError> {
    let Some(lock) = home.lock()? else {
        return Err(home.wrong("a local cloud runs already", "see `aliform cloud status`"));
    };
    let (listener, address) = bind(home, places.listen).await?;
    let (listener_tls, secure) = bind(home, places.listen_tls).await?;
    let processes = Arc::new(machines(home, address)?);
    let machines = Arc::new(OnDemand::new(processes.clone()));
    // Ids are drawn from the seed: two local clouds must not give the same ones.
    let seed = u64::from_str_radix(&random_hex()?[..16], 16).unwrap_or_default();
    let config = Config { seed, ..Config::default() };
    let cloud = LocalCloud::open(&home.0, config, clock(), machines.clone())
        .map_err(|error| home.wrong("the local cloud can't be opened", error))?;
    if let Some(scenario) = scenario {
        cloud.set_scenario(&scenario).await.map_err(|error| home.wrong("the scenario can't be kept", error))?;
    }
    let isolation = processes.isolation().await;
    let exposed = if isolation.namespaces { Vec::new() } else { isolation.missing };
    let listeners =
        Listeners::with_tls(&cloud, listener, listener_tls).map_err(|error| home.wrong("the local cloud can't answer over TLS", error))?;
    let running = Running { address, secure: Some(secure), pid: std::process::id(), exposed };
    let text = serde_json::to_vec(&running).map_err(|error| home.wrong("the address can't be written", error))?;
    let beside = home.0.join("server.json.new");
    fs::write(&beside, text)
        .and_then(|()| fs::rename(&beside, home.server()))
        .map_err(|error| home.wrong("the address can't be written", error))?;
    let over_tls = format!("listening on https://{secure}, trust {}\n", home.authority().display());
    out.text(&format!("listening on http://{address}\n{}", if places.say_tls { over_tls.as_str() } else { "" }));
    if detach {
        leave_terminal(home)?;
    }
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| home.wrong("signals can't be heard", error))?;
    let cloud = Arc::new(cloud);
    let functions = cloud.clone();
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        // First of all: an invocation may take a day, and answers under way are waited for.
        functions.end_functions().await;
    };
    serve(cloud.clone(), listeners, shutdown).await;
    cloud.close();
    for id in cloud.machine_ids() {
        machines.halt(&id).await.map_err(|error| home.wrong("a machine can't be halted", error))?;
    }
    // Gone with the server, so that nobody calls an address that belongs to someone else by then.
    let removed = fs::remove_file(home.server());
    drop(lock);
    removed.map_err(|error| home.wrong("the address can't be removed", error))
}

/// Goes on without the terminal and the session of the command that started it.
pub(super) fn leave_terminal(home: &Home) -> Result<(), CommandError> {
    let log = File::options().create(true).append(true).open(home.log()).map_err(|error| home.wrong("the log can't be written", error))?;
    rustix::stdio::dup2_stdout(&log).map_err(|error| home.wrong("the terminal can't be left", error))?;
    // A failure means that it leads a session already, which is what is wanted.
    let _ = rustix::process::setsid();
    Ok(())
}

/// Stops the server and waits until it is gone; `false` if there was none.
pub(super) async fn stop(home: &Home) -> Result<bool, CommandError> {
    let Some(running) = home.running().await? else { return Ok(false) };
    let pid = i32::try_from(running.pid).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .map_err(|error| home.wrong("the local cloud can't be stopped", error))?;
    }
    let gone = async {
        while home.lock()?.is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok::<(), CommandError>(())
    };
    tokio::time::timeout(PATIENCE, gone)
        .await
        .unwrap_or_else(|_| Err(home.wrong("the local cloud does not stop", format!("process {}", running.pid))))?;
    Ok(true)
}

pub(super) async fn reset(home: &Home) -> Result<(), CommandError> {
    let Some(_lock) = home.lock()? else { return Err(home.wrong("a local cloud runs already", "it was started just now")) };
    let nobody = SocketAddr::from(([127, 0, 0, 1], 0));
    machines(home, nobody)?.adopt(&[]).await.map_err(|error| home.wrong("machines can't be removed", error))?;
    for entry in fs::read_dir(&home.0).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.file_name().is_some_and(|name| name != "server.lock") {
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(|error| home.wrong(&format!("`{}` can't be removed", path.display()), error))?;
        }
    }
    Ok(())
}
