//! Machines without a body, for simulated histories: they come up at once, and a function of the script says how a
//! command ends. Nothing is ever run. All waits are tokio's, so that a paused clock jumps over them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{
    CancellationSignal, CommandOutcome, CommandSpec, Ending, FileEntry, FileFault, FilePart, FileSpec, MachineError, MachineSpec, Machines,
    Opening, Progress,
};

/// How a simulated command behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// How long it runs.
    pub takes: Duration,
    /// What it writes, at once when it starts.
    pub output: Vec<u8>,
    /// Its exit code.
    pub exit_code: i32,
}

impl Default for Behaviour {
    fn default() -> Self {
        Behaviour { takes: Duration::from_millis(200), output: Vec::new(), exit_code: 0 }
    }
}

/// Says how a command on a machine behaves.
pub type Script = dyn Fn(&MachineSpec, &CommandSpec) -> Behaviour + Send + Sync;

/// How much output of a command is kept, in bytes.
const KEPT: usize = 24 * 1024;
/// What stands for the interpreter of a request to a port; the path stands for the working directory.
pub const SIMULATED_HTTP: &str = "http";

#[derive(Debug, Default)]
struct Known {
    alive: BTreeSet<String>,
    openings: BTreeMap<String, Vec<Opening>>,
    files: BTreeMap<(String, String), Vec<u8>>,
}

/// Machines that exist only as a table.
pub struct Simulated {
    script: Arc<Script>,
    known: Mutex<Known>,
}

impl Default for Simulated {
    fn default() -> Self {
        Simulated::with(|_, _| Behaviour::default())
    }
}

impl Simulated {
    /// Machines whose commands behave as `script` says.
    pub fn with(script: impl Fn(&MachineSpec, &CommandSpec) -> Behaviour + Send + Sync + 'static) -> Self {
        Simulated { script: Arc::new(script), known: Mutex::default() }
    }

    /// The ids of the machines that are up.
    pub fn alive(&self) -> Vec<String> {
        self.known().alive.iter().cloned().collect()
    }

    /// What is open on a machine.
    pub fn openings(&self, id: &str) -> Vec<Opening> {
        self.known().openings.get(id).cloned().unwrap_or_default()
    }

    /// The bytes of a file on a machine.
    pub fn file(&self, id: &str, path: &str) -> Option<Vec<u8>> {
        self.known().files.get(&(id.to_owned(), path.to_owned())).cloned()
    }

    /// Puts a file on a machine, as a command that ran there would.
    pub fn put_file(&self, id: &str, path: &str, content: &[u8]) {
        self.known().files.insert((id.to_owned(), path.to_owned()), content.to_vec());
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, id: &str, with_disk: bool) {
        let mut known = self.known();
        known.alive.remove(id);
        if with_disk {
            known.openings.remove(id);
            known.files.retain(|(machine, _), _| machine != id);
        }
    }
}

#[async_trait]
impl Machines for Simulated {
    async fn boot(&self, machine: &MachineSpec, openings: &[Opening]) -> Result<(), MachineError> {
        let mut known = self.known();
        known.alive.insert(machine.id.clone());
        known.openings.insert(machine.id.clone(), openings.to_vec());
        Ok(())
    }

    async fn run(&self, machine: &MachineSpec, command: CommandSpec, progress: Progress, mut stop: CancellationSignal) -> CommandOutcome {
        let Behaviour { takes, mut output, exit_code } = (self.script)(machine, &command);
        progress(&output);
        let dropped = output.len().saturating_sub(KEPT);
        output.truncate(KEPT);
        let stopped = async {
            // A sender that went away will never stop anything.
            if stop.wait_for(|stop| *stop).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let ending = tokio::select! {
            biased;
            () = stopped => Ending::Stopped,
            () = tokio::time::sleep(takes.min(command.timeout)) => if takes > command.timeout { Ending::TimedOut } else { Ending::Exited(exit_code) },
        };
        CommandOutcome { ending, output, dropped: dropped as u64 }
    }

    async fn follow(
        &self,
        machine: &MachineSpec,
        command: CommandSpec,
        seen: u64,
        progress: Progress,
        stop: CancellationSignal,
    ) -> CommandOutcome {
        let rest: Progress = Arc::new(move |piece: &[u8]| {
            // All of it comes as one piece.
            progress(piece.get(usize::try_from(seen).unwrap_or(usize::MAX)..).unwrap_or_default());
        });
        let outcome = self.run(machine, command, rest, stop).await;
        CommandOutcome { output: Vec::new(), dropped: 0, ..outcome }
    }

    async fn list_files(&self, machine: &MachineSpec, folder: &str) -> Result<Vec<FileEntry>, FileFault> {
        let prefix = format!("{}/", folder.trim_end_matches('/'));
        let known = self.known();
        let own = known.files.iter().filter(|((id, _), _)| *id == machine.id);
        let found = own.filter_map(|((_, path), content)| {
            let path = path.strip_prefix(&prefix)?.to_owned();
            Some(FileEntry { path, digest: hex::encode(Sha256::digest(content)) })
        });
        Ok(found.collect())
    }

    async fn fetch_file(&self, machine: &MachineSpec, path: &str) -> Result<Vec<u8>, FileFault> {
        self.file(&machine.id, path).ok_or_else(|| FileFault::ReadFailed(format!("`{path}` is not there")))
    }

    async fn write_file(&self, machine: &MachineSpec, file: FileSpec) -> Result<(), FileFault> {
        let mut known = self.known();
        let place = (machine.id.clone(), file.path.clone());
        if !file.path.starts_with('/') {
            return Err(FileFault::PathInvalid);
        }
        if !file.overwrite && known.files.contains_key(&place) {
            return Err(FileFault::AlreadyExists);
        }
        known.files.insert(place, file.content);
        Ok(())
    }

    async fn read_file(&self, machine: &MachineSpec, path: &str, from: u64, most: u64) -> Result<FilePart, MachineError> {
        let missing = || MachineError { id: machine.id.clone(), what: "read a file", reason: "there is no such file".to_owned() };
        let bytes = self.file(&machine.id, path).ok_or_else(missing)?;
        let size = bytes.len() as u64;
        let start = from.max(size.saturating_sub(most)).min(size);
        Ok(FilePart { size, bytes: bytes[start as usize..].to_vec() })
    }

    async fn listens(&self, machine: &MachineSpec, _port: u16) -> bool {
        self.known().alive.contains(&machine.id)
    }

    /// The script says what happens, as if the request were a command: `http` is its interpreter, the path its
    /// directory, the body its script, the headers its environment. Exit code 0 is an answer of 200 with the output,
    /// any other one of 500; a negative one breaks the connection off.
    async fn exchange(
        &self,
        machine: &MachineSpec,
        port: u16,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, MachineError> {
        let fail = |reason: &str| MachineError { id: machine.id.clone(), what: "answer", reason: reason.to_owned() };
        if !self.listens(machine, port).await {
            return Err(fail("the machine is not running"));
        }
        let text = |value: &http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let environment: BTreeMap<String, String> =
            request.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        let command = CommandSpec {
            id: environment.get("x-fc-request-id").cloned().unwrap_or_default(),
            script: request.body().to_vec(),
            interpreter: SIMULATED_HTTP,
            working_directory: Some(request.uri().path().to_owned()),
            user: None,
            environment,
            timeout: Duration::MAX,
            kill_tree: true,
        };
        let Behaviour { takes, output, exit_code } = (self.script)(machine, &command);
        tokio::time::sleep(takes).await;
        if exit_code < 0 || !self.listens(machine, port).await {
            return Err(fail("the connection broke off"));
        }
        let status = if exit_code == 0 { http::StatusCode::OK } else { http::StatusCode::INTERNAL_SERVER_ERROR };
        let mut response = http::Response::new(Bytes::from(output));
        *response.status_mut() = status;
        Ok(response)
    }

    async fn open(&self, machine: &MachineSpec, openings: &[Opening]) -> Result<(), MachineError> {
        self.known().openings.insert(machine.id.clone(), openings.to_vec());
        Ok(())
    }

    async fn halt(&self, id: &str) -> Result<(), MachineError> {
        self.end(id, false);
        Ok(())
    }

    async fn remove(&self, id: &str) -> Result<(), MachineError> {
        self.end(id, true);
        Ok(())
    }

    async fn adopt(&self, known: &[MachineSpec]) -> Result<Vec<String>, MachineError> {
        let mut table = self.known();
        table.alive.retain(|id| known.iter().any(|machine| machine.id == *id));
        Ok(table.alive.iter().cloned().collect())
    }
}
