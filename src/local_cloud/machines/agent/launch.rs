//! From a launch to a running machine: prepares the disk, leaves the server's session, and becomes the supervisor. It
//! knows the order of things; how namespaces are made is in `namespaces`, what then runs in `inside` and `host`.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, PipeWriter, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use rustix::fs::Mode;

use super::inside::{Inside, Place};
use super::outbound::Connector;
use super::process::{Fork, fork, wait_for};
use super::routes::Routes;
use super::{note, users};
use crate::local_cloud::machines::disk;
use crate::local_cloud::machines::identity::Record;
use crate::local_cloud::machines::limits::{self, Limits};
use crate::local_cloud::machines::wire::{Launch, LaunchReport, SOCKET};

/// Starts the machine and waits until it is up. Answers what could not be isolated.
pub(super) fn launch(launch: Launch) -> Result<Vec<String>, String> {
    let hosts = format!("127.0.0.1 localhost\n::1 localhost\n{} {}\n", launch.private_ip, launch.hostname);
    disk::prepare(&launch.directory, &launch.hostname, &hosts)
        .map_err(|error| format!("the disk in `{}` can't be made: {error}", launch.directory.display()))?;
    let (reader, writer) = io::pipe().map_err(|error| format!("no pipe: {error}"))?;
    match fork().map_err(|error| format!("no process: {error}"))? {
        Fork::Parent(supervisor) => {
            drop(writer);
            let mut line = String::new();
            let read = BufReader::new(reader).read_line(&mut line);
            if launch.probe {
                wait_for(supervisor);
            }
            read.map_err(|error| format!("the supervisor can't be heard: {error}"))?;
            match serde_json::from_str(&line) {
                Ok(LaunchReport::Ready { missing }) => Ok(missing),
                Ok(LaunchReport::Failed(reason)) => Err(reason),
                Err(_) => Err(format!("the supervisor ended early; see `{}`", launch.directory.join("agent.log").display())),
            }
        }
        Fork::Child => {
            drop(reader);
            let mut report = Report(writer);
            let code = match supervise(launch, &mut report) {
                Ok(()) => 0,
                Err(reason) => {
                    note(&reason);
                    report.say(&LaunchReport::Failed(reason));
                    1
                }
            };
            std::process::exit(code)
        }
    }
}

/// The way back to the launching process, which waits for one line.
pub(super) struct Report(PipeWriter);

impl Report {
    pub(super) fn say(&mut self, report: &LaunchReport) {
        if let Ok(mut line) = serde_json::to_vec(report) {
            line.push(b'\n');
            // The launching process may be gone with the server: the machine goes on.
            let _ = self.0.write_all(&line);
        }
    }
}

fn supervise(launch: Launch, report: &mut Report) -> Result<(), String> {
    let say = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    rustix::process::setsid().map_err(|error| format!("no session of its own: {error}"))?;
    rustix::process::chdir(&launch.directory).map_err(|error| format!("can't enter the machine's directory: {error}"))?;
    let log = redirect().map_err(say("the log can't be opened"))?;
    drop(log);
    // Held by every process of the machine until its end: two agents can never share a disk.
    let lock = OpenOptions::new().create(true).append(true).mode(0o600).open("agent.lock").map_err(say("the lock can't be opened"))?;
    lock.try_lock().map_err(|error| format!("another agent holds this machine: {error}"))?;
    let listener = listen().map_err(say("the control socket can't be bound"))?;
    let outcome = if launch.isolated { isolated(&launch, listener, report) } else { plain(&launch, listener, report) };
    let _ = std::fs::remove_file(launch.directory.join(SOCKET));
    Record::remove(&launch.directory);
    drop(lock);
    outcome
}

/// Points the standard streams away from the server's.
fn redirect() -> io::Result<File> {
    let nothing = File::open("/dev/null")?;
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open("agent.log")?;
    rustix::stdio::dup2_stdin(nothing.as_fd())?;
    rustix::stdio::dup2_stdout(log.as_fd())?;
    rustix::stdio::dup2_stderr(log.as_fd())?;
    Ok(log)
}

/// Binds the control socket by its bare name, which fits whatever the directory's path: an address has 108 bytes.
fn listen() -> io::Result<UnixListener> {
    let _ = std::fs::remove_file(SOCKET);
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(SOCKET);
    rustix::process::umask(before);
    let listener = listener?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[cfg(target_os = "linux")]
fn isolated(launch: &Launch, listener: UnixListener, report: &mut Report) -> Result<(), String> {
    let enclosed = super::namespaces::enclose(launch, listener)?;
    let ready = LaunchReport::Ready { missing: enclosed.missing.clone() };
    if !launch.probe {
        let own = std::process::id() as i32;
        Record::new(own, enclosed.init)
            .and_then(|record| record.write(&launch.directory))
            .map_err(|error| format!("the agent's record can't be written: {error}"))?;
        report.say(&ready);
        let runtime = runtime()?;
        let served = runtime.block_on(super::host::serve(launch, enclosed.channel));
        drop(runtime);
        wait_for(enclosed.container);
        return served.map_err(|error| format!("the host's half stopped: {error}"));
    }
    drop(enclosed.channel);
    wait_for(enclosed.container);
    report.say(&ready);
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn isolated(_: &Launch, _: UnixListener, _: &mut Report) -> Result<(), String> {
    Err("this system has no namespaces".to_owned())
}

/// Gives a process and all its children the limits of the machine. Without them the machine comes up all the same: that
/// there are none was told when the server looked.
pub(super) fn limit(launch: &Launch, process: i32) {
    let limits = Limits { vcpu: launch.vcpu, memory_mib: launch.memory_mib };
    if !launch.probe
        && let Err(reason) = limits::enter(&launch.directory, limits, process)
    {
        note(&format!("the machine has no limits: {reason}"));
    }
}

/// Without namespaces: one process that runs commands on the host itself.
fn plain(launch: &Launch, listener: UnixListener, report: &mut Report) -> Result<(), String> {
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).map_err(|error| format!("can't adopt orphans: {error}"))?;
    let own = std::process::id() as i32;
    limit(launch, own);
    Record::new(own, own)
        .and_then(|record| record.write(&launch.directory))
        .map_err(|error| format!("the agent's record can't be written: {error}"))?;
    let runtime = runtime()?;
    runtime.block_on(async {
        let connector = Connector::Direct(Arc::new(Routes::new(launch.gateway, &launch.host)));
        let place = Place::host(launch, users::Identities::Own);
        let inside = Inside::start(place, connector).await.map_err(|error| format!("the agent can't start: {error}"))?;
        report.say(&LaunchReport::Ready { missing: Vec::new() });
        inside.serve(listener).await;
        Ok(())
    })
}

/// A runtime of one thread. Must come after the last fork.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| format!("no runtime: {error}"))
}
