//! `aliform cloud`: the local cloud as a process of its own, which outlives the command that started it.

use std::fs::{self, File, TryLockError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use aliform::local_cloud::LocalCloud;
use aliform::local_cloud::config::Config;
use aliform::local_cloud::machines::Machines;
use aliform::local_cloud::machines::processes::Processes;
use aliform::local_cloud::machines::simulated::Simulated;
use aliform::local_cloud::serve::{Listeners, serve};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};

use crate::args;
use crate::error::CommandError;
use crate::output::Output;
use crate::workspace::{Workspace, clock, random_hex};

/// How long the local cloud may take to come up or to go down.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a running local cloud is found.
#[derive(Debug, Serialize, Deserialize)]
struct Running {
    address: SocketAddr,
    /// Where it answers over TLS; servers of earlier versions did not.
    #[serde(default)]
    secure: Option<SocketAddr>,
    pid: u32,
    /// What is not isolated because the system forbids namespaces; empty if they are there.
    #[serde(default)]
    exposed: Vec<String>,
}

/// The files of a local cloud.
struct Home(PathBuf);

impl Home {
    fn new(state_directory: &Path) -> Self {
        Home(state_directory.join("cloud"))
    }

    fn server(&self) -> PathBuf {
        self.0.join("server.json")
    }

    fn log(&self) -> PathBuf {
        self.0.join("server.log")
    }

    fn authority(&self) -> PathBuf {
        self.0.join("ca.pem")
    }

    fn machines(&self) -> PathBuf {
        self.0.join("machines")
    }

    fn wrong(&self, what: &str, error: impl std::fmt::Display) -> CommandError {
        CommandError::failed(format!("{what} in `{}`", self.0.display())).because(error)
    }

    /// Takes the lock of the one server, or says that someone has it.
    fn lock(&self) -> Result<Option<File>, CommandError> {
        fs::create_dir_all(&self.0).map_err(|error| self.wrong("the local cloud can't be kept", error))?;
        let file = File::options().create(true).write(true).truncate(false).open(self.0.join("server.lock"));
        let file = file.map_err(|error| self.wrong("the local cloud can't be locked", error))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(self.wrong("the local cloud can't be locked", error)),
        }
    }

    /// The server that holds the lock, once it has written where it is.
    async fn running(&self) -> Result<Option<Running>, CommandError> {
        let wait = async {
            loop {
                if self.lock()?.is_some() {
                    return Ok(None);
                }
                if let Some(running) = fs::read(self.server()).ok().and_then(|text| serde_json::from_slice(&text).ok()) {
                    return Ok(Some(running));
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .unwrap_or_else(|_| Err(self.wrong("the local cloud is starting and does not get on", "no address yet")))
    }
}

/// The address of the local cloud as a base of links; started if it does not run. Whoever starts it is told when its
/// machines are no more than processes.
pub(crate) async fn ensure_running(state_directory: &Path, out: &Output) -> Result<String, CommandError> {
    let home = Home::new(state_directory);
    let running = match home.running().await? {
        Some(running) => running,
        None => {
            let running = start(&home, state_directory).await?;
            if !running.exposed.is_empty() {
                let exposed = running.exposed.iter().map(|exposed| format!("\n  not isolated: {exposed}")).collect::<String>();
                out.note(&format!("This system forbids namespaces: machines of the local cloud are plain processes of yours.{exposed}"));
            }
            running
        }
    };
    Ok(format!("http://{}", running.address))
}

async fn start(home: &Home, state_directory: &Path) -> Result<Running, CommandError> {
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

pub(crate) async fn run(workspace: &Workspace, arguments: &args::Cloud, out: &Output) -> Result<u8, CommandError> {
    let home = Home::new(&workspace.state_directory());
    match arguments {
        args::Cloud::Start => {
            let base = ensure_running(&workspace.state_directory(), out).await?;
            out.result(
                &format!("The local cloud answers at {base}. Access key `local`, secret `local`."),
                &serde_json::json!({ "endpoint": base }),
            );
        }
        args::Cloud::Stop => {
            let stopped = stop(&home).await?;
            out.note(if stopped {
                "The local cloud is stopped. Its machines are off, their disks are kept."
            } else {
                "The local cloud does not run."
            });
        }
        args::Cloud::Reset => {
            stop(&home).await?;
            reset(&home).await?;
            out.note("The local cloud is empty.");
        }
        args::Cloud::Status => status(&home, out).await?,
        args::Cloud::Resources => {
            let rows = match home.running().await? {
                Some(running) => control(&home, running.address, "resources").await?,
                None => stored(&home).await?,
            };
            resources(&rows, out);
        }
        args::Cloud::Serve { listen, tls, listen_tls, detach } => foreground(&home, (*listen, *listen_tls), *tls, *detach, out).await?,
    }
    Ok(0)
}

fn machines(home: &Home, gateway: SocketAddr) -> Result<Processes, CommandError> {
    let program = std::env::current_exe().map_err(|error| home.wrong("the program does not find itself", error))?;
    Ok(Processes::new(&home.machines(), program, gateway))
}

async fn bind(home: &Home, address: SocketAddr) -> Result<(TcpListener, SocketAddr), CommandError> {
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|error| home.wrong(&format!("the local cloud can't listen on {address}"), error))?;
    let address = listener.local_addr().map_err(|error| home.wrong("the local cloud has no address", error))?;
    Ok((listener, address))
}

async fn foreground(
    home: &Home,
    (listen, listen_tls): (SocketAddr, SocketAddr),
    tls: bool,
    detach: bool,
    out: &Output,
) -> Result<(), CommandError> {
    let Some(lock) = home.lock()? else {
        return Err(home.wrong("a local cloud runs already", "see `aliform cloud status`"));
    };
    let (listener, address) = bind(home, listen).await?;
    let (listener_tls, secure) = bind(home, listen_tls).await?;
    let machines = Arc::new(machines(home, address)?);
    // Ids are drawn from the seed: two local clouds must not give the same ones.
    let seed = u64::from_str_radix(&random_hex()?[..16], 16).unwrap_or_default();
    let config = Config { seed, ..Config::default() };
    let cloud = LocalCloud::open(&home.0, config, clock(), machines.clone())
        .map_err(|error| home.wrong("the local cloud can't be opened", error))?;
    let isolation = machines.isolation().await;
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
    out.text(&format!("listening on http://{address}\n{}", if tls { over_tls.as_str() } else { "" }));
    if detach {
        leave_terminal(home)?;
    }
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| home.wrong("signals can't be heard", error))?;
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    };
    let cloud = Arc::new(cloud);
    serve(cloud.clone(), listeners, shutdown).await;
    // Whoever looks after machines must not take their end for a failure.
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
fn leave_terminal(home: &Home) -> Result<(), CommandError> {
    let log = File::options().create(true).append(true).open(home.log()).map_err(|error| home.wrong("the log can't be written", error))?;
    rustix::stdio::dup2_stdout(&log).map_err(|error| home.wrong("the terminal can't be left", error))?;
    // A failure means that it leads a session already, which is what is wanted.
    let _ = rustix::process::setsid();
    Ok(())
}

/// Stops the server and waits until it is gone; `false` if there was none.
async fn stop(home: &Home) -> Result<bool, CommandError> {
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

async fn reset(home: &Home) -> Result<(), CommandError> {
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

async fn status(home: &Home, out: &Output) -> Result<(), CommandError> {
    let running = home.running().await?;
    let gateway = SocketAddr::from(([127, 0, 0, 1], 0));
    let isolation = machines(home, gateway)?.isolation().await;
    let mut lines = match &running {
        Some(running) => vec![format!("The local cloud answers at http://{} (process {}).", running.address, running.pid)],
        None => vec!["The local cloud does not run; `--local` starts it.".to_owned()],
    };
    let secure = running.as_ref().and_then(|running| running.secure);
    lines.extend(secure.map(|address| format!("Over TLS it answers at https://{address}; trust `{}`.", home.authority().display())));
    lines.push(if isolation.namespaces {
        "Machines are isolated by namespaces.".to_owned()
    } else {
        "Machines are plain processes: the system forbids namespaces.".to_owned()
    });
    lines.extend(isolation.missing.iter().map(|missing| format!("  not isolated: {missing}")));
    let endpoint = running.map(|running| format!("http://{}", running.address));
    let tls = secure.map(|address| {
        let authority = home.authority().display().to_string();
        serde_json::json!({ "endpoint": format!("https://{address}"), "certificate_authority": authority })
    });
    out.result(
        &lines.join("\n"),
        &serde_json::json!({ "endpoint": endpoint, "tls": tls, "namespaces": isolation.namespaces, "not_isolated": isolation.missing }),
    );
    Ok(())
}

/// What a local cloud that does not run has on disk.
async fn stored(home: &Home) -> Result<serde_json::Value, CommandError> {
    if !home.0.join("server.lock").exists() {
        return Ok(serde_json::json!([]));
    }
    let Some(_lock) = home.lock()? else { return Err(home.wrong("the local cloud was started just now", "try again")) };
    // Simulated machines: looking at what is stored must start nothing.
    let cloud = LocalCloud::open(&home.0, Config::default(), clock(), Arc::new(Simulated::default()))
        .map_err(|error| home.wrong("the local cloud can't be read", error))?;
    Ok(serde_json::json!(cloud.resources()))
}

/// Asks the running server something that is no part of the real API.
async fn control(home: &Home, address: SocketAddr, what: &str) -> Result<serde_json::Value, CommandError> {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(format!("GET /_aliform/{what} HTTP/1.0\r\nhost: {address}\r\n\r\n").as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = ask.await.map_err(|error| home.wrong("the local cloud does not answer", error))?;
    let body = answer.windows(4).position(|window| window == b"\r\n\r\n").map_or(&answer[..], |at| &answer[at + 4..]);
    serde_json::from_slice(body).map_err(|error| home.wrong("the local cloud answers something else", error))
}

fn resources(rows: &serde_json::Value, out: &Output) {
    if out.is_json() {
        out.json(rows);
        return;
    }
    let text = |row: &serde_json::Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let tag = |row: &serde_json::Value| row["tags"]["aliform:address"].as_str().unwrap_or_default().to_owned();
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
