//! Machines as processes of this computer: starts one agent for each, talks to it over its control socket, finds it
//! again after a restart. It runs nothing itself, and removes nothing but machines' directories that it made.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::sync::OnceCell;

use super::agent::ARGUMENT;
use super::identity::{Record, kill_carriers};
use super::isolation::Isolation;
use super::talk::{START, answers, ask, ask_within, connect, not_running, receive};
use super::wire::{HostEnvironment, Launch, LaunchReport, Reply, Request, RunRequest, SOCKET, write_frame};
use super::{
    CancellationSignal, CommandOutcome, CommandSpec, Ending, FileEntry, FileFault, FilePart, FileSpec, MachineError, MachineSpec, Machines,
    Opening, Progress, disk, exchange, limits,
};

/// How long an agent may take to list or read files.
const READING: Duration = Duration::from_secs(300);
/// How long a machine may take to end by itself before it is killed.
const FAREWELL: Duration = Duration::from_secs(8);
/// How long the kernel may take to end what was killed.
const END: Duration = Duration::from_secs(10);

/// How often it is tried to remove a machine's control groups: no event tells when the kernel lets go of them.
const GROUPS: usize = 50;

/// How a machine's ports stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Ports that answer on the public address, because an opening covers them and something listens.
    pub answering: Vec<u16>,
    /// Ports that should answer but can't, each with what the system said.
    pub refused: BTreeMap<u16, String>,
    /// How many commands are under way.
    pub commands: usize,
}

/// Machines as processes of this computer.
pub struct Processes {
    directory: PathBuf,
    executable: PathBuf,
    gateway: SocketAddr,
    host: HostEnvironment,
    isolation: OnceCell<Isolation>,
    doors: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Processes {
    /// Machines below `directory`, each run by `executable`, which must hand the argument `machine-agent` to
    /// [`super::agent::main`]. `gateway` is where the local cloud answers.
    pub fn new(directory: &Path, executable: PathBuf, gateway: SocketAddr) -> Processes {
        Processes {
            directory: directory.to_owned(),
            executable,
            gateway,
            host: host_environment(),
            isolation: OnceCell::new(),
            doors: Mutex::default(),
        }
    }

    /// The same without namespaces, whatever this system permits.
    pub fn without_namespaces(mut self) -> Processes {
        self.isolation = OnceCell::new_with(Some(Isolation::without_namespaces("they are switched off", limits::missing(&self.directory))));
        self
    }

    /// How far machines are isolated here. Tried once, by a machine that ends at once.
    pub async fn isolation(&self) -> Isolation {
        self.isolation.get_or_init(|| self.probe()).await.clone()
    }

    /// How a machine's ports stand.
    pub async fn status(&self, id: &str) -> Result<Status, MachineError> {
        let fail = |reason| MachineError { id: id.to_owned(), what: "tell its status", reason };
        let directory = self.machine(id).map_err(fail)?;
        match ask(&directory, &Request::Status, &[]).await.map_err(|error| fail(error.to_string()))? {
            Reply::Status(status) => Ok(status),
            other => Err(fail(format!("it answered {other:?}"))),
        }
    }

    /// Whether a machine's agent is there.
    pub(super) fn is_up(&self, id: &str) -> bool {
        self.machine(id).is_ok_and(|directory| Record::read(&directory).is_some_and(|record| record.is_alive()))
    }

    /// Whether a machine has been started since it was made.
    pub(super) fn was_started(&self, id: &str) -> bool {
        self.machine(id).is_ok_and(|directory| directory.exists())
    }

    async fn probe(&self) -> Isolation {
        if !cfg!(target_os = "linux") {
            return Isolation::without_namespaces("only Linux has them", limits::missing(&self.directory));
        }
        let name = format!(".probe-{}", std::process::id());
        let probed = async {
            let root = self.root().map_err(|error| error.to_string())?;
            let spec = MachineSpec {
                id: name.clone(),
                hostname: "probe".to_owned(),
                vcpu: 1,
                memory_mib: 1,
                public_ip: None,
                private_ip: std::net::Ipv4Addr::new(192, 168, 0, 1),
            };
            let missing = self.launch(&root.join(&name), &spec, &[], true, true).await?;
            disk::remove(&root.join(&name)).map_err(|error| error.to_string())?;
            Ok::<_, String>(missing)
        };
        match probed.await {
            Ok(missing) => Isolation::with_namespaces(missing, limits::missing(&self.directory)),
            Err(reason) => {
                let _ = disk::remove(&self.directory.join(&name));
                Isolation::without_namespaces(&reason, limits::missing(&self.directory))
            }
        }
    }

    /// The directory of all machines, made if it is missing. Nobody else may look in: it holds disks and sockets.
    fn root(&self) -> io::Result<PathBuf> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        self.directory.canonicalize()
    }

    fn machine(&self, id: &str) -> Result<PathBuf, String> {
        let sound = !id.starts_with('.') && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if id.is_empty() || !sound {
            return Err("the id is not one that a directory can have".to_owned());
        }
        self.root().map(|root| root.join(id)).map_err(|error| format!("`{}` can't be used: {error}", self.directory.display()))
    }

    /// One thing at a time is done to a machine's life.
    fn door(&self, id: &str) -> Arc<tokio::sync::Mutex<()>> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner).entry(id.to_owned()).or_default().clone()
    }

    async fn launch(
        &self,
        directory: &Path,
        spec: &MachineSpec,
        openings: &[Opening],
        isolated: bool,
        probe: bool,
    ) -> Result<Vec<String>, String> {
        let launch = Launch {
            id: spec.id.clone(),
            hostname: spec.hostname.clone(),
            private_ip: spec.private_ip,
            public_ip: spec.public_ip,
            doors: openings.iter().map(Into::into).collect(),
            vcpu: spec.vcpu,
            memory_mib: spec.memory_mib,
            directory: directory.to_owned(),
            hidden: directory.parent().unwrap_or(directory).to_owned(),
            isolated,
            probe,
            gateway: self.gateway,
            host: self.host.clone(),
        };
        let launch = serde_json::to_vec(&launch).map_err(|error| error.to_string())?;
        let started = async {
            let mut child = tokio::process::Command::new(&self.executable)
                .arg(ARGUMENT)
                // What the server's environment holds, keys among it, is none of a machine's business.
                .env_clear()
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()?;
            if let Some(mut input) = child.stdin.take() {
                input.write_all(&launch).await?;
            }
            child.wait_with_output().await
        };
        let output = tokio::time::timeout(START, started)
            .await
            .map_err(|_| format!("the agent was not up within {} s", START.as_secs()))?
            .map_err(|error| format!("`{}` can't be run: {error}", self.executable.display()))?;
        match serde_json::from_slice(&output.stdout) {
            Ok(LaunchReport::Ready { missing }) => Ok(missing),
            Ok(LaunchReport::Failed(reason)) => Err(reason),
            Err(_) => Err(format!("`{}` is not an agent: it ended with {}", self.executable.display(), output.status)),
        }
    }

    /// Ends an agent: asks it, then kills it. Whatever happens, its record is gone afterwards.
    async fn end(&self, directory: &Path, politely: bool) -> Result<(), String> {
        let Some(record) = Record::read(directory) else { return Ok(()) };
        if record.is_alive() {
            let asked = politely
                && tokio::time::timeout(FAREWELL, ask(directory, &Request::Halt, &[])).await.is_ok_and(|answer| answer.is_ok())
                && record.supervisor.wait_until_gone(FAREWELL).await;
            // Without namespaces, killing the agent would leave its commands behind: it must end them itself.
            let plain = record.init == record.supervisor;
            if !asked && plain && !politely {
                let _ = tokio::time::timeout(FAREWELL, ask(directory, &Request::Halt, &[])).await;
                record.supervisor.wait_until_gone(FAREWELL).await;
            }
            if !record.end(END).await {
                return Err(format!("its processes {} and {} do not end", record.init.pid, record.supervisor.pid));
            }
        }
        if record.init == record.supervisor {
            let mut variable = b"ALIFORM_ROOT=".to_vec();
            variable.extend(disk::folder(directory).as_os_str().as_encoded_bytes());
            kill_carriers(&variable);
        }
        Record::remove(directory);
        for _ in 0..GROUPS {
            if limits::leave(directory) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let _ = std::fs::remove_file(directory.join(SOCKET));
        Ok(())
    }

    async fn attend(
        &self,
        directory: &Path,
        request: RunRequest,
        script: &[u8],
        progress: Progress,
        mut stop: CancellationSignal,
    ) -> io::Result<CommandOutcome> {
        let (mut reader, mut writer) = connect(directory).await?.into_split();
        let whole = request.follow.is_none();
        write_frame(&mut writer, &Request::Run(request), script).await?;
        let stopping = async {
            if stop.wait_for(|stop| *stop).await.is_err() || write_frame(&mut writer, &Request::Stop, &[]).await.is_err() {
                // Nobody can stop it any more: only its end ends it.
            }
            std::future::pending::<std::convert::Infallible>().await
        };
        let reading = async {
            let mut output = Vec::new();
            loop {
                let received = match receive(&mut reader).await {
                    // It ran, and its machine ended under it.
                    Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
                        return Ok(CommandOutcome { ending: Ending::Stopped, output, dropped: 0 });
                    }
                    received => received?,
                };
                match received {
                    (Reply::Output, piece) => {
                        progress(&piece);
                        if whole {
                            output.extend(piece);
                        }
                    }
                    (Reply::Ended { ending, dropped }, _) => return Ok(CommandOutcome { ending: ending.into(), output, dropped }),
                    (other, _) => return Err(io::Error::new(io::ErrorKind::InvalidData, format!("the machine answered {other:?}"))),
                }
            }
        };
        tokio::select! {
            outcome = reading => outcome,
            never = stopping => match never {},
        }
    }
}

impl Processes {
    async fn carry_out(
        &self,
        machine: &MachineSpec,
        request: RunRequest,
        script: &[u8],
        progress: Progress,
        stop: CancellationSignal,
    ) -> CommandOutcome {
        let attended = match self.machine(&machine.id) {
            Ok(directory) => self.attend(&directory, request, script, progress, stop).await.map_err(|error| not_running(&error)),
            Err(reason) => Err(reason),
        };
        attended.unwrap_or_else(|reason| CommandOutcome { ending: Ending::NotStarted(reason), output: Vec::new(), dropped: 0 })
    }

    /// Asks for files. Their listing reads all of them, so it may take longer than other answers.
    async fn fetch(&self, machine: &MachineSpec, request: Request) -> Result<(Reply, Vec<u8>), FileFault> {
        let directory = self.machine(&machine.id).map_err(FileFault::ReadFailed)?;
        match ask_within(READING, &directory, &request, &[]).await.map_err(|error| FileFault::ReadFailed(not_running(&error)))? {
            (Reply::Refused(fault), _) => Err(fault.into()),
            other => Ok(other),
        }
    }
}

#[async_trait]
impl Machines for Processes {
    async fn boot(&self, machine: &MachineSpec, openings: &[Opening]) -> Result<(), MachineError> {
        let fail = |reason| MachineError { id: machine.id.clone(), what: "boot", reason };
        let directory = self.machine(&machine.id).map_err(fail)?;
        let door = self.door(&machine.id);
        let _alone = door.lock().await;
        if Record::read(&directory).is_some_and(|record| record.is_alive()) {
            if answers(&directory).await {
                return self.open(machine, openings).await;
            }
            self.end(&directory, false).await.map_err(fail)?;
        }
        let isolated = self.isolation().await.namespaces;
        self.launch(&directory, machine, openings, isolated, false).await.map(drop).map_err(fail)
    }

    async fn run(&self, machine: &MachineSpec, command: CommandSpec, progress: Progress, stop: CancellationSignal) -> CommandOutcome {
        let script = command.script.clone();
        self.carry_out(machine, command.into(), &script, progress, stop).await
    }

    async fn follow(
        &self,
        machine: &MachineSpec,
        command: CommandSpec,
        seen: u64,
        progress: Progress,
        stop: CancellationSignal,
    ) -> CommandOutcome {
        let script = command.script.clone();
        let request = RunRequest { follow: Some(seen), ..command.into() };
        self.carry_out(machine, request, &script, progress, stop).await
    }

    async fn list_files(&self, machine: &MachineSpec, folder: &str) -> Result<Vec<FileEntry>, FileFault> {
        match self.fetch(machine, Request::ListFiles(folder.to_owned())).await? {
            (Reply::Files, list) => serde_json::from_slice(&list).map_err(|error| FileFault::ReadFailed(error.to_string())),
            (other, _) => Err(FileFault::ReadFailed(format!("the machine answered {other:?}"))),
        }
    }

    async fn fetch_file(&self, machine: &MachineSpec, path: &str) -> Result<Vec<u8>, FileFault> {
        match self.fetch(machine, Request::FetchFile(path.to_owned())).await? {
            (Reply::Whole, content) => Ok(content),
            (other, _) => Err(FileFault::ReadFailed(format!("the machine answered {other:?}"))),
        }
    }

    async fn write_file(&self, machine: &MachineSpec, file: FileSpec) -> Result<(), FileFault> {
        let directory = self.machine(&machine.id).map_err(FileFault::CreateFailed)?;
        match ask(&directory, &Request::WriteFile((&file).into()), &file.content).await {
            Ok(Reply::Done) => Ok(()),
            Ok(Reply::Refused(fault)) => Err(fault.into()),
            Ok(other) => Err(FileFault::CreateFailed(format!("the machine answered {other:?}"))),
            Err(error) => Err(FileFault::CreateFailed(not_running(&error))),
        }
    }

    async fn read_file(&self, machine: &MachineSpec, path: &str, from: u64, most: u64) -> Result<FilePart, MachineError> {
        let fail = |reason| MachineError { id: machine.id.clone(), what: "read a file", reason };
        let directory = self.machine(&machine.id).map_err(fail)?;
        match ask_within(START, &directory, &Request::ReadFile { path: path.to_owned(), from, most }, &[]).await {
            Ok((Reply::Content { size }, bytes)) => Ok(FilePart { size, bytes }),
            Ok((Reply::Missing(reason), _)) => Err(fail(reason)),
            Ok((other, _)) => Err(fail(format!("it answered {other:?}"))),
            Err(error) => Err(fail(not_running(&error))),
        }
    }

    async fn listens(&self, machine: &MachineSpec, port: u16) -> bool {
        let Ok(directory) = self.machine(&machine.id) else { return false };
        matches!(ask(&directory, &Request::Connect { port }, &[]).await, Ok(Reply::Done))
    }

    async fn exchange(
        &self,
        machine: &MachineSpec,
        port: u16,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, MachineError> {
        let fail = |reason| MachineError { id: machine.id.clone(), what: "answer", reason };
        let directory = self.machine(&machine.id).map_err(fail)?;
        let connected = async {
            let mut stream = connect(&directory).await?;
            write_frame(&mut stream, &Request::Connect { port }, &[]).await?;
            let (reply, _) = receive(&mut stream).await?;
            Ok((stream, reply))
        };
        let connected = tokio::time::timeout(START, connected).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut));
        match connected.and_then(|connected| connected) {
            Ok((stream, Reply::Done)) => exchange::send(stream, request).await.map_err(fail),
            Ok((_, Reply::Missing(reason))) => Err(fail(reason)),
            Ok((_, other)) => Err(fail(format!("it answered {other:?}"))),
            Err(error) => Err(fail(not_running(&error))),
        }
    }

    async fn open(&self, machine: &MachineSpec, openings: &[Opening]) -> Result<(), MachineError> {
        let fail = |reason| MachineError { id: machine.id.clone(), what: "open its ports", reason };
        let directory = self.machine(&machine.id).map_err(fail)?;
        let doors = openings.iter().map(Into::into).collect();
        match ask(&directory, &Request::Open(doors), &[]).await {
            Ok(Reply::Done) => Ok(()),
            Ok(other) => Err(fail(format!("it answered {other:?}"))),
            Err(error) => Err(fail(not_running(&error))),
        }
    }

    async fn halt(&self, id: &str) -> Result<(), MachineError> {
        let fail = |reason| MachineError { id: id.to_owned(), what: "halt", reason };
        let directory = self.machine(id).map_err(fail)?;
        let door = self.door(id);
        let _alone = door.lock().await;
        self.end(&directory, true).await.map_err(fail)
    }

    async fn remove(&self, id: &str) -> Result<(), MachineError> {
        let fail = |reason| MachineError { id: id.to_owned(), what: "be removed", reason };
        let directory = self.machine(id).map_err(fail)?;
        let door = self.door(id);
        let _alone = door.lock().await;
        self.end(&directory, false).await.map_err(fail)?;
        let removed = tokio::task::spawn_blocking(move || disk::remove(&directory)).await;
        removed.map_err(|error| fail(error.to_string()))?.map_err(|error| fail(format!("its disk stays: {error}")))?;
        self.doors.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        Ok(())
    }

    async fn adopt(&self, known: &[MachineSpec]) -> Result<Vec<String>, MachineError> {
        let fail = |reason: String| MachineError { id: String::new(), what: "be adopted", reason };
        let root = self.root().map_err(|error| fail(format!("`{}` can't be used: {error}", self.directory.display())))?;
        let mut alive = Vec::new();
        let entries = std::fs::read_dir(&root).map_err(|error| fail(format!("`{}` can't be read: {error}", root.display())))?;
        for entry in entries {
            let path = entry.map_err(|error| fail(error.to_string()))?.path();
            let Some(id) = path.file_name().and_then(|name| name.to_str()).map(str::to_owned) else { continue };
            // Only what a launch made is a machine; a probe that was cut short starts with a dot.
            if !path.join("disk").is_dir() || !path.join("mount").is_dir() || id.starts_with('.') {
                continue;
            }
            if !known.iter().any(|machine| machine.id == id) {
                self.remove(&id).await?;
            } else if Record::read(&path).is_some_and(|record| record.is_alive()) {
                if answers(&path).await {
                    alive.push(id);
                } else {
                    self.halt(&id).await?;
                }
            }
        }
        alive.sort();
        Ok(alive)
    }
}

/// Takes from the server's environment what its machines need to know: where programs are, and the way out.
fn host_environment() -> HostEnvironment {
    let read = |names: &[&str]| {
        let value = names.iter().find_map(std::env::var_os).and_then(|value| value.into_string().ok());
        value.filter(|value| !value.is_empty())
    };
    HostEnvironment {
        path: read(&["PATH"]),
        http_proxy: read(&["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]),
        https_proxy: read(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
        no_proxy: read(&["no_proxy", "NO_PROXY"]),
    }
}
