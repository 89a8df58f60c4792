//! Which process a machine's agent is, so that a number used again by another process is never taken for it. It reads
//! and signals processes; it never decides which one should go.

use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

use super::wire::PROTOCOL;

/// The record's name in a machine's directory.
const RECORD: &str = "agent.json";

/// A process: its number and when it was started, which together are never used twice between two boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) pid: i32,
    /// Ticks since the system's boot (`/proc/<pid>/stat`, field 22); 0 where there is no such file.
    started: u64,
}

impl Identity {
    /// The process that has this number now.
    pub(super) fn of(pid: i32) -> io::Result<Identity> {
        Ok(Identity { pid, started: start_time(pid)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))? })
    }

    /// Whether that very process still runs.
    pub(super) fn is_alive(self) -> bool {
        matches!(start_time(self.pid), Ok(Some(started)) if started == self.started)
    }

    /// Kills it, if it is still the same one.
    pub(super) fn kill(self) {
        if self.is_alive()
            && let Some(pid) = Pid::from_raw(self.pid)
        {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }

    /// Waits until it is gone; whether it went in time.
    pub(super) async fn wait_until_gone(self, limit: Duration) -> bool {
        tokio::time::timeout(limit, self.gone()).await.is_ok() || !self.is_alive()
    }

    #[cfg(target_os = "linux")]
    async fn gone(self) {
        use tokio::io::Interest;
        use tokio::io::unix::AsyncFd;

        let handle = Pid::from_raw(self.pid).and_then(|pid| rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok());
        // SAFETY: the handle is owned here: it stays open, and the same, for as long as it is registered.
        let register = |fd| unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
        if let Some(handle) = handle.and_then(|fd| register(fd).ok()) {
            // Checked after the handle was opened: from here on the number can't come to mean another process.
            if !self.is_alive() {
                return;
            }
            let _ = handle.readable().await;
        }
        self.poll_until_gone().await;
    }

    #[cfg(not(target_os = "linux"))]
    async fn gone(self) {
        self.poll_until_gone().await;
    }

    /// The end of another's child raises no event where there are no handles of processes.
    async fn poll_until_gone(self) {
        while self.is_alive() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Which processes a machine has, kept beside its disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) protocol: u32,
    /// The half that stays on the host.
    pub(super) supervisor: Identity,
    /// The first process of the machine; the same as the supervisor without namespaces.
    pub(super) init: Identity,
}

impl Record {
    pub(super) fn new(supervisor: i32, init: i32) -> io::Result<Record> {
        Ok(Record { protocol: PROTOCOL, supervisor: Identity::of(supervisor)?, init: Identity::of(init)? })
    }

    /// Reads the record of a machine's directory; `None` without one, or with one that can't be read.
    pub(super) fn read(directory: &Path) -> Option<Record> {
        serde_json::from_slice(&std::fs::read(directory.join(RECORD)).ok()?).ok()
    }

    /// Writes it, whole or not at all.
    pub(super) fn write(&self, directory: &Path) -> io::Result<()> {
        let draft = directory.join("agent.json.new");
        std::fs::write(&draft, serde_json::to_vec(self)?)?;
        std::fs::rename(draft, directory.join(RECORD))
    }

    pub(super) fn remove(directory: &Path) {
        let _ = std::fs::remove_file(directory.join(RECORD));
    }

    pub(super) fn is_alive(&self) -> bool {
        self.supervisor.is_alive() || self.init.is_alive()
    }

    /// Kills both halves and waits; whether they went in time. The first process takes all others with it.
    pub(super) async fn end(&self, limit: Duration) -> bool {
        self.init.kill();
        let init = self.init.wait_until_gone(limit).await;
        self.supervisor.kill();
        self.supervisor.wait_until_gone(limit).await && init
    }
}

/// Kills every process that carries this variable in its environment, again and again until there is none: one may fork
/// while it is looked for. For machines without namespaces, whose processes nothing else holds together.
#[cfg(target_os = "linux")]
pub(super) fn kill_carriers(variable: &[u8]) {
    let carries = |path: &Path| {
        let environment = std::fs::read(path.join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|found| found == variable)
    };
    for _ in 0..100 {
        let Ok(entries) = std::fs::read_dir("/proc") else { return };
        let mut found = false;
        for entry in entries.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            if carries(&entry.path())
                && let Ok(identity) = Identity::of(pid)
            {
                found = true;
                identity.kill();
            }
        }
        if !found {
            return;
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn kill_carriers(_variable: &[u8]) {}

/// When a process was started; `None` if there is none, or only what its parent has not yet collected.
#[cfg(target_os = "linux")]
fn start_time(pid: i32) -> io::Result<Option<u64>> {
    let text = match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
        Err(error) => return Err(error),
    };
    // The name in the second field may hold spaces and brackets: everything else comes after its last bracket.
    let mut fields = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace();
    if matches!(fields.next(), None | Some("Z" | "X" | "x")) {
        return Ok(None);
    }
    let started = fields.nth(18).and_then(|field| field.parse().ok());
    started.map(Some).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("`/proc/{pid}/stat` has no start time")))
}

#[cfg(not(target_os = "linux"))]
fn start_time(pid: i32) -> io::Result<Option<u64>> {
    let alive = Pid::from_raw(pid).is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok());
    Ok(alive.then_some(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_is_itself_and_gone_after_its_end() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let identity = Identity::of(child.id() as i32).unwrap();
        assert!(identity.is_alive());
        identity.kill();
        assert!(identity.wait_until_gone(Duration::from_secs(10)).await);
        child.wait().unwrap();
        assert!(!identity.is_alive());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_number_used_again_is_not_the_same_process() {
        let identity = Identity::of(std::process::id() as i32).unwrap();
        let other = Identity { started: identity.started + 1, ..identity };
        assert!(identity.is_alive());
        assert!(!other.is_alive());
    }
}
