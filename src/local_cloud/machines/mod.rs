//! What an instance is made of: something that can be booted, runs commands, takes files and answers on the ports
//! that its security groups open. The cloud around it knows only this trait; it never asks how a machine is isolated.

pub mod agent;
pub(crate) mod disk;
mod exchange;
mod identity;
pub mod isolation;
mod limits;
pub mod on_demand;
pub mod processes;
pub mod simulated;
mod talk;
mod wire;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

/// What an instance's machine needs to know to come up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineSpec {
    /// The instance's id, `i-bp1...`.
    pub id: String,
    /// The name that the machine gives itself.
    pub hostname: String,
    /// How many processors the instance type has.
    pub vcpu: u32,
    /// How much memory the instance type has, in MiB.
    pub memory_mib: u64,
    /// The loopback address that stands for its public one; `None` without one.
    pub public_ip: Option<Ipv4Addr>,
    /// Its address inside the VPC.
    pub private_ip: Ipv4Addr,
}

/// An opening of the security group: TCP ports from..=to, for peers inside `source`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Opening {
    /// The first port.
    pub from: u16,
    /// The last port.
    pub to: u16,
    /// Who may come in.
    pub source: Ipv4Net,
}

/// A command as Cloud Assistant hands it to a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandSpec {
    /// Unique among all commands of the machine.
    pub id: String,
    /// The script's bytes.
    pub script: Vec<u8>,
    /// What runs it: `/bin/sh`, or bash if its first line says so.
    pub interpreter: &'static str,
    /// Where it runs; the user's home without it.
    pub working_directory: Option<String>,
    /// As whom it runs; root without it.
    pub user: Option<String>,
    /// Variables besides the machine's own.
    pub environment: BTreeMap<String, String>,
    /// How long it may run.
    pub timeout: Duration,
    /// Whether its whole process tree ends when it is stopped or out of time; else only the script's own process.
    pub kill_tree: bool,
}

/// How a command came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with that exit code.
    Exited(i32),
    /// Its time was up.
    TimedOut,
    /// Somebody stopped it.
    Stopped,
    /// It never ran, and why.
    NotStarted(String),
}

/// What a command left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandOutcome {
    /// How it ended.
    pub ending: Ending,
    /// Output and error output as one stream; the first 24 KiB are kept.
    pub output: Vec<u8>,
    /// How many bytes of output were not kept.
    pub dropped: u64,
}

/// A file to be written on a machine.
#[derive(Clone, PartialEq, Eq)]
pub struct FileSpec {
    /// The absolute path.
    pub path: String,
    /// The bytes. They may hold secrets: never log them.
    pub content: Vec<u8>,
    /// The owner's name.
    pub owner: String,
    /// The group's name.
    pub group: String,
    /// The permission bits.
    pub mode: u32,
    /// Whether a file that is there already may be replaced.
    pub overwrite: bool,
}

impl std::fmt::Debug for FileSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileSpec")
            .field("path", &self.path)
            .field("bytes", &self.content.len())
            .field("owner", &self.owner)
            .field("group", &self.group)
            .field("mode", &self.mode)
            .field("overwrite", &self.overwrite)
            .finish()
    }
}

/// Why a file was not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileFault {
    /// There is a file already and it may not be replaced.
    #[error("the file exists already")]
    AlreadyExists,
    /// The path is not one that a file can have.
    #[error("the path is not valid")]
    PathInvalid,
    /// It could not be read, and why.
    #[error("the file can't be read: {0}")]
    ReadFailed(String),
    /// The machine could not make it, and why.
    #[error("the file can't be made: {0}")]
    CreateFailed(String),
    /// The machine does not know that owner or group.
    #[error("the owner or the group is not known")]
    UserGroupNotExists,
}

/// A part of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilePart {
    /// How long the whole file is.
    pub size: u64,
    /// The bytes that were asked for.
    pub bytes: Vec<u8>,
}

/// A file that a machine has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its path below the folder that was asked for, `a/b.txt`.
    pub path: String,
    /// SHA-256 of its content, in hex.
    pub digest: String,
}

/// Why a machine did not do what it was told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("machine `{id}` can't {what}: {reason}")]
pub struct MachineError {
    /// The machine.
    pub id: String,
    /// What it was told, `boot`.
    pub what: &'static str,
    /// What the system said.
    pub reason: String,
}

/// Turns true when a command is to be stopped.
pub type CancellationSignal = tokio::sync::watch::Receiver<bool>;

/// Takes each piece of output as it comes.
pub type Progress = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// The machines behind the instances.
#[async_trait]
pub trait Machines: Send + Sync {
    /// Brings a machine up. Idempotent; the process may be started as late as the first command.
    async fn boot(&self, machine: &MachineSpec, openings: &[Opening]) -> Result<(), MachineError>;

    /// Runs a command to its end, hands each piece of output to `progress`, and ends it early when `stop` turns true.
    async fn run(&self, machine: &MachineSpec, command: CommandSpec, progress: Progress, stop: CancellationSignal) -> CommandOutcome;

    /// Runs a command that may write much: `progress` gets all its output after the first `seen` bytes, the outcome holds
    /// none. Asked for again it goes on where it was, as `run` does.
    async fn follow(
        &self,
        machine: &MachineSpec,
        command: CommandSpec,
        seen: u64,
        progress: Progress,
        stop: CancellationSignal,
    ) -> CommandOutcome;

    /// The regular files below a folder; none if there is no such folder.
    async fn list_files(&self, machine: &MachineSpec, folder: &str) -> Result<Vec<FileEntry>, FileFault>;

    /// The content of a file.
    async fn fetch_file(&self, machine: &MachineSpec, path: &str) -> Result<Vec<u8>, FileFault>;

    /// Writes a file.
    async fn write_file(&self, machine: &MachineSpec, file: FileSpec) -> Result<(), FileFault>;

    /// Reads the last `most` bytes of what a file has after its first `from` bytes.
    async fn read_file(&self, machine: &MachineSpec, path: &str, from: u64, most: u64) -> Result<FilePart, MachineError>;

    /// Whether something listens on a port of the machine's own loopback.
    async fn listens(&self, machine: &MachineSpec, port: u16) -> bool;

    /// Sends one HTTP request to a port of the machine's own loopback, from within. It may take as long as it takes;
    /// giving up the waiting closes the connection.
    async fn exchange(
        &self,
        machine: &MachineSpec,
        port: u16,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, MachineError>;

    /// Replaces the set of openings.
    async fn open(&self, machine: &MachineSpec, openings: &[Opening]) -> Result<(), MachineError>;

    /// Ends all processes and keeps the disk.
    async fn halt(&self, id: &str) -> Result<(), MachineError>;

    /// Ends all processes and removes the disk.
    async fn remove(&self, id: &str) -> Result<(), MachineError>;

    /// At the server's start: machines of `known` that are still alive are adopted, machines that nobody knows are ended
    /// and removed. Answers the ids that are alive.
    async fn adopt(&self, known: &[MachineSpec]) -> Result<Vec<String>, MachineError>;
}
