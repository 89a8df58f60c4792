//! Machines that start with the first thing that they have to do: until a command or a file comes, nothing runs on them
//! and nobody can tell them from ones that are up. A thousand idle instances are no process at all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::OwnedMutexGuard;

use super::processes::Processes;
use super::{
    CancellationSignal, CommandOutcome, CommandSpec, Ending, FileEntry, FileFault, FilePart, FileSpec, MachineError, MachineSpec, Machines,
    Opening, Progress,
};

/// What is to be booted when something is to be done.
type Asleep = Option<(MachineSpec, Vec<Opening>)>;

/// Processes that start with the first thing that they have to do.
pub struct OnDemand {
    processes: Arc<Processes>,
    machines: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<Asleep>>>>,
}

impl OnDemand {
    /// Over those processes.
    pub fn new(processes: Arc<Processes>) -> OnDemand {
        OnDemand { processes, machines: Mutex::default() }
    }

    /// Whoever holds this is alone with a machine.
    async fn alone(&self, id: &str) -> OwnedMutexGuard<Asleep> {
        let machine = self.machines.lock().unwrap_or_else(PoisonError::into_inner).entry(id.to_owned()).or_default().clone();
        machine.lock_owned().await
    }

    async fn awake(&self, id: &str) -> Result<(), MachineError> {
        let mut asleep = self.alone(id).await;
        if let Some((machine, openings)) = &*asleep {
            self.processes.boot(machine, openings).await?;
            *asleep = None;
        }
        Ok(())
    }
}

#[async_trait]
impl Machines for OnDemand {
    async fn boot(&self, machine: &MachineSpec, openings: &[Opening]) -> Result<(), MachineError> {
        let mut asleep = self.alone(&machine.id).await;
        if self.processes.is_up(&machine.id) {
            return self.processes.boot(machine, openings).await;
        }
        *asleep = Some((machine.clone(), openings.to_vec()));
        Ok(())
    }

    async fn run(&self, machine: &MachineSpec, command: CommandSpec, progress: Progress, stop: CancellationSignal) -> CommandOutcome {
        match self.awake(&machine.id).await {
            Ok(()) => self.processes.run(machine, command, progress, stop).await,
            Err(error) => CommandOutcome { ending: Ending::NotStarted(error.to_string()), output: Vec::new(), dropped: 0 },
        }
    }

    async fn follow(
        &self,
        machine: &MachineSpec,
        command: CommandSpec,
        seen: u64,
        progress: Progress,
        stop: CancellationSignal,
    ) -> CommandOutcome {
        match self.awake(&machine.id).await {
            Ok(()) => self.processes.follow(machine, command, seen, progress, stop).await,
            Err(error) => CommandOutcome { ending: Ending::NotStarted(error.to_string()), output: Vec::new(), dropped: 0 },
        }
    }

    async fn list_files(&self, machine: &MachineSpec, folder: &str) -> Result<Vec<FileEntry>, FileFault> {
        self.awake(&machine.id).await.map_err(|error| FileFault::ReadFailed(error.to_string()))?;
        self.processes.list_files(machine, folder).await
    }

    async fn fetch_file(&self, machine: &MachineSpec, path: &str) -> Result<Vec<u8>, FileFault> {
        self.awake(&machine.id).await.map_err(|error| FileFault::ReadFailed(error.to_string()))?;
        self.processes.fetch_file(machine, path).await
    }

    async fn write_file(&self, machine: &MachineSpec, file: FileSpec) -> Result<(), FileFault> {
        self.awake(&machine.id).await.map_err(|error| FileFault::CreateFailed(error.to_string()))?;
        self.processes.write_file(machine, file).await
    }

    async fn read_file(&self, machine: &MachineSpec, path: &str, from: u64, most: u64) -> Result<FilePart, MachineError> {
        self.awake(&machine.id).await?;
        self.processes.read_file(machine, path, from, most).await
    }

    async fn listens(&self, machine: &MachineSpec, port: u16) -> bool {
        // On a machine that sleeps nothing listens.
        self.processes.listens(machine, port).await
    }

    async fn exchange(
        &self,
        machine: &MachineSpec,
        port: u16,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, MachineError> {
        self.awake(&machine.id).await?;
        self.processes.exchange(machine, port, request).await
    }

    async fn open(&self, machine: &MachineSpec, openings: &[Opening]) -> Result<(), MachineError> {
        let mut asleep = self.alone(&machine.id).await;
        // A machine that never started was adopted as one that is up: it has nothing to be opened yet.
        if asleep.is_some() || !self.processes.was_started(&machine.id) {
            *asleep = Some((machine.clone(), openings.to_vec()));
            return Ok(());
        }
        self.processes.open(machine, openings).await
    }

    async fn halt(&self, id: &str) -> Result<(), MachineError> {
        let mut asleep = self.alone(id).await;
        *asleep = None;
        self.processes.halt(id).await
    }

    async fn remove(&self, id: &str) -> Result<(), MachineError> {
        let mut asleep = self.alone(id).await;
        *asleep = None;
        self.processes.remove(id).await?;
        self.machines.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        Ok(())
    }

    async fn adopt(&self, known: &[MachineSpec]) -> Result<Vec<String>, MachineError> {
        let mut alive = self.processes.adopt(known).await?;
        // Nothing ever ran on these, so nothing of them was lost.
        alive.extend(known.iter().map(|machine| &machine.id).filter(|id| !self.processes.was_started(id)).cloned());
        alive.sort();
        alive.dedup();
        Ok(alive)
    }
}
