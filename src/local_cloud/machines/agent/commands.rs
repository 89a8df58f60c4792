//! Runs scripts: each in a session of its own, with a clean environment, one stream of output, a time limit and a way
//! to stop it. A command goes on when nobody listens; whoever asks for its id again gets its output from the start.
//! What a script leaves running in the background lives on after it.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::{oneshot, watch};

use super::inside::Place;
use super::process::Surrender;
use super::reaper::Reaper;
use super::users::{Identities, User, find_user};
use crate::local_cloud::machines::wire::{BACKLOG, OUTPUT_LIMIT, RunRequest, WireEnding};

/// How long output is still read after the script's end while a background process holds its pipe.
const GRACE: Duration = Duration::from_millis(200);
/// Names a command to its processes, so that its whole tree can be found however it forked.
const MARK: &str = "ALIFORM_COMMAND";

/// The commands under way, and those whose outcome nobody has taken yet.
pub(super) struct Commands {
    place: Arc<Place>,
    reaper: Arc<Reaper>,
    proxy: String,
    scripts: AtomicU64,
    halting: AtomicBool,
    running: Mutex<BTreeMap<String, Arc<Running>>>,
}

/// One command.
pub(super) struct Running {
    output: Mutex<Output>,
    changed: watch::Sender<()>,
    stop: watch::Sender<bool>,
    /// Whether its newest output is kept instead of its first.
    followed: bool,
}

#[derive(Default)]
struct Output {
    kept: Vec<u8>,
    /// How many bytes came before those that are kept.
    before: u64,
    dropped: u64,
    ending: Option<WireEnding>,
}

impl Running {
    fn output(&self) -> MutexGuard<'_, Output> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of every change from now on.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// What was put out after the first `seen` bytes as far as it is kept, how many bytes there were until its end, and
    /// the ending with the number of bytes not kept once it is there.
    pub(super) fn since(&self, seen: u64) -> (Vec<u8>, u64, Option<(WireEnding, u64)>) {
        let output = self.output();
        let upto = output.before + output.kept.len() as u64;
        let skip = usize::try_from(seen.saturating_sub(output.before)).unwrap_or(usize::MAX);
        let piece = output.kept.get(skip..).unwrap_or_default().to_vec();
        (piece, upto.max(seen), output.ending.clone().map(|ending| (ending, output.dropped)))
    }

    /// Ends it.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    fn keep(&self, piece: &[u8]) {
        let mut output = self.output();
        if self.followed {
            output.kept.extend(piece);
            if output.kept.len() > 2 * BACKLOG {
                let old = output.kept.len() - BACKLOG;
                output.kept.drain(..old);
                output.before += old as u64;
            }
            drop(output);
            self.changed.send_replace(());
            return;
        }
        let room = OUTPUT_LIMIT.saturating_sub(output.kept.len()).min(piece.len());
        output.kept.extend(&piece[..room]);
        output.dropped += (piece.len() - room) as u64;
        drop(output);
        if room > 0 {
            self.changed.send_replace(());
        }
    }

    fn finish(&self, ending: WireEnding) {
        self.output().ending = Some(ending);
        self.changed.send_replace(());
    }
}

impl Commands {
    pub(super) fn new(place: Arc<Place>, reaper: Arc<Reaper>, proxy: String) -> Commands {
        Commands { place, reaper, proxy, scripts: AtomicU64::new(0), halting: AtomicBool::new(false), running: Mutex::default() }
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Running>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many are under way.
    pub(super) fn count(&self) -> usize {
        self.running().values().filter(|running| running.output().ending.is_none()).count()
    }

    /// From now on, a command that ends was ended by the machine's halt.
    pub(super) fn halt(&self) {
        self.halting.store(true, Ordering::Relaxed);
    }

    /// The command of that id: the one that is there, or a new one.
    pub(super) fn attach(self: &Arc<Self>, request: RunRequest, script: Vec<u8>) -> Arc<Running> {
        let mut all = self.running();
        if let Some(running) = all.get(&request.id) {
            return running.clone();
        }
        let running = Arc::new(Running {
            output: Mutex::default(),
            changed: watch::Sender::new(()),
            stop: watch::Sender::new(false),
            followed: request.follow.is_some(),
        });
        all.insert(request.id.clone(), running.clone());
        drop(all);
        tokio::spawn(self.clone().carry_out(request, script, running.clone()));
        running
    }

    /// Forgets a command whose outcome was delivered.
    pub(super) fn forget(&self, id: &str) {
        self.running().remove(id);
    }

    async fn carry_out(self: Arc<Self>, request: RunRequest, script: Vec<u8>, running: Arc<Running>) {
        let number = self.scripts.fetch_add(1, Ordering::Relaxed);
        let path = self.place.scripts.join(format!("{number}.script"));
        let ending = match self.start(&request, &script, &path) {
            Ok(started) => started.follow(&request, &running).await,
            Err(reason) => WireEnding::NotStarted(reason),
        };
        let _ = std::fs::remove_file(&path);
        let halted = self.halting.load(Ordering::Relaxed) && matches!(ending, WireEnding::Exited(_));
        running.finish(if halted { WireEnding::Stopped } else { ending });
    }

    fn start(&self, request: &RunRequest, script: &[u8], path: &Path) -> Result<Started, String> {
        let name = request.user.as_deref().unwrap_or("root");
        let root = || User { name: "root".to_owned(), uid: 0, gid: 0, home: "/root".to_owned(), groups: vec![0] };
        let user = find_user(name).or_else(|| (name == "root").then(root)).ok_or_else(|| format!("the user `{name}` does not exist"))?;
        let home = self.place.home(&user);
        let directory = match &request.working_directory {
            Some(directory) => self.place.locate(directory),
            None if Path::new(&home).is_dir() => PathBuf::from(&home),
            None => self.place.root.clone(),
        };
        if !directory.is_dir() {
            return Err(format!("the working directory `{}` does not exist", directory.display()));
        }
        let becomes = (self.place.identities == Identities::All && user.uid != 0).then(|| (user.uid, user.gid, user.groups.clone()));
        std::fs::write(path, script)
            .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o500)))
            .and_then(|()| match &becomes {
                Some((uid, gid, _)) => std::os::unix::fs::chown(path, Some(*uid), Some(*gid)),
                None => Ok(()),
            })
            .map_err(|error| format!("the script can't be written: {error}"))?;
        let (reader, writer) = std::io::pipe().map_err(|error| format!("no pipe: {error}"))?;
        let errors = writer.try_clone().map_err(|error| format!("no pipe: {error}"))?;

        let mut command = Command::new(&request.interpreter);
        command.arg(path).current_dir(&directory).env_clear();
        command.envs(self.environment(&user, &home)).envs(&request.environment).env(MARK, &request.id);
        command.stdin(Stdio::null()).stdout(writer).stderr(errors);
        let surrender = Surrender { capabilities: self.place.isolated, user: becomes };
        // SAFETY: `carry_out` makes system calls only and allocates nothing.
        unsafe {
            command.pre_exec(move || surrender.carry_out());
        }
        let (leader, exit) = self.reaper.spawn(&mut command).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => format!("the interpreter `{}` does not exist", request.interpreter),
            _ => format!("`{}` can't be started: {error}", request.interpreter),
        })?;
        let reader = pipe::Receiver::from_owned_fd(reader.into()).map_err(|error| format!("no pipe: {error}"))?;
        Ok(Started { leader, exit, reader })
    }

    fn environment(&self, user: &User, home: &str) -> BTreeMap<&'static str, String> {
        let place = &self.place;
        let mut variables = BTreeMap::from([
            ("PATH", place.search_path.clone()),
            ("HOME", home.to_owned()),
            ("USER", user.name.clone()),
            ("LOGNAME", user.name.clone()),
            ("LANG", "C.UTF-8".to_owned()),
            ("http_proxy", self.proxy.clone()),
            ("https_proxy", self.proxy.clone()),
            ("HTTP_PROXY", self.proxy.clone()),
            ("HTTPS_PROXY", self.proxy.clone()),
            ("no_proxy", place.no_proxy.clone()),
            ("NO_PROXY", place.no_proxy.clone()),
        ]);
        if !place.isolated {
            variables.insert("ALIFORM_ROOT", place.root.display().to_string());
            variables.insert("TMPDIR", place.root.join("tmp").display().to_string());
        }
        variables
    }
}

/// A command whose process exists.
struct Started {
    leader: i32,
    exit: oneshot::Receiver<i32>,
    reader: pipe::Receiver,
}

impl Started {
    async fn follow(mut self, request: &RunRequest, running: &Arc<Running>) -> WireEnding {
        let mut stop = running.stop.subscribe();
        let deadline = tokio::time::sleep(request.timeout);
        tokio::pin!(deadline);
        let mut buffer = vec![0; 16 * 1024];
        let mut open = true;
        let mut cut_short = None;
        let code = loop {
            tokio::select! {
                read = self.reader.read(&mut buffer), if open => match read {
                    Ok(0) | Err(_) => open = false,
                    Ok(length) => running.keep(&buffer[..length]),
                },
                code = &mut self.exit => break code.unwrap_or(-1),
                () = &mut deadline, if cut_short.is_none() => {
                    cut_short = Some(WireEnding::TimedOut);
                    kill(self.leader, request);
                }
                _ = stop.wait_for(|stop| *stop), if cut_short.is_none() => {
                    cut_short = Some(WireEnding::Stopped);
                    kill(self.leader, request);
                }
            }
        };
        let grace = tokio::time::sleep(GRACE);
        tokio::pin!(grace);
        while open {
            tokio::select! {
                // What is there is read even when the time is up.
                biased;
                read = self.reader.read(&mut buffer) => match read {
                    Ok(0) | Err(_) => open = false,
                    Ok(length) => running.keep(&buffer[..length]),
                },
                () = &mut grace => break,
            }
            if grace.is_elapsed() {
                break;
            }
        }
        if open {
            // A background process still writes here. Closing the pipe would kill it at its next line.
            tokio::spawn(async move { while matches!(self.reader.read(&mut buffer).await, Ok(1..)) {} });
        }
        cut_short.unwrap_or(WireEnding::Exited(code))
    }
}

/// Kills the script's process group, and all that descends from it if the command says so.
fn kill(leader: i32, request: &RunRequest) {
    if request.kill_tree {
        let tree = processes::tree(leader, &format!("{MARK}={}", request.id));
        for process in tree {
            signal(process, Signal::KILL);
        }
    }
    if let Some(group) = Pid::from_raw(leader) {
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
    }
}

fn signal(process: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(process) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Sends a signal to all that descends from `ancestor`, whatever session it went to. Only for machines without a
/// process namespace: in one, the kernel does it.
pub(super) fn signal_descendants(ancestor: i32, what: Signal) {
    for process in processes::tree(ancestor, "") {
        if process != ancestor {
            signal(process, what);
        }
    }
}

#[cfg(target_os = "linux")]
mod processes {
    use super::BTreeSet;

    /// A process, all its descendants, and every process that carries the mark in its environment.
    pub(super) fn tree(leader: i32, mark: &str) -> BTreeSet<i32> {
        let mut found = BTreeSet::from([leader]);
        let Ok(entries) = std::fs::read_dir("/proc") else { return found };
        let mut parents = Vec::new();
        for entry in entries.flatten() {
            let Some(process) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
            let Ok(status) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
            let parent = status.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().nth(1)?.parse().ok());
            parents.push((process, parent.unwrap_or(0)));
            let marked = !mark.is_empty()
                && std::fs::read(entry.path().join("environ"))
                    .is_ok_and(|environment| environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes()));
            if marked {
                found.insert(process);
            }
        }
        loop {
            let before = found.len();
            for (process, parent) in &parents {
                if found.contains(parent) {
                    found.insert(*process);
                }
            }
            if found.len() == before {
                return found;
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod processes {
    use super::BTreeSet;

    /// Without `/proc` only the process itself is known; its group is killed besides.
    pub(super) fn tree(leader: i32, _mark: &str) -> BTreeSet<i32> {
        BTreeSet::from([leader])
    }
}
