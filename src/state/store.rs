//! The state of a stack while a command works on it: in memory, and on disk before anyone relies on it.
//!
//! A store holds the stack's lock as long as it lives. It never retries a write that failed: after a failed fsync
//! nobody knows what is on disk, so it stops, and the next command reads what is really there.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::contents::{OpenIntent, State};
use super::error::StateError;
use super::files::{Files, OrFail as _, open_empty, open_or_create, open_to_append, read_if_there, remove_if_there, sync_directory};
use super::journal::{self, Entry, Line};
use super::lock::{Holder, Lock, Owner};
use super::record::Record;
use super::shortages;
use super::snapshot::{Loaded, load, put_in_place, write_beside};
use crate::model::address::Address;
use crate::model::clock::Clock;
use crate::model::shortage::Shortage;

/// How a store is opened.
#[derive(Clone)]
pub struct OpenOptions {
    /// Who opens it, for those who find it locked.
    pub owner: Owner,
    /// Where the times of the records come from.
    pub clock: Arc<dyn Clock>,
    /// The lineage of a state that is new: 128 random bits in hexadecimal.
    pub lineage: String,
    /// How sure a record is.
    pub durability: Durability,
}

/// How sure a record is once `append` has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It survives a loss of power.
    Fsync,
    /// It survives the end of the process. For tests and simulations.
    None,
}

/// A place where a test may look on or demand a crash.
#[derive(Clone, Copy, Debug)]
pub enum Moment<'a> {
    /// The record is about to be written.
    BeforeRecord(&'a Record),
    /// The record is on disk, and nobody was told.
    AfterRecord(&'a Record),
    /// The new snapshot is written beside the old one.
    SnapshotWritten,
    /// The new snapshot is in place; the journal still holds what is in it.
    SnapshotInPlace,
    /// The journal is gone, and nobody was told.
    JournalRemoved,
}

/// What a test demands at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Continue,
    /// The process dies here: every call from now on fails with [`StateError::Crashed`].
    Crash,
    /// Before a record: the process dies when so many bytes of its line are written. Elsewhere the same as `Crash`.
    Tear(usize),
}

/// Called at each moment with the store held, so it must not call the store.
pub type Hook = Box<dyn FnMut(Moment<'_>) -> Verdict + Send>;

/// What a store has written since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes, of journal and snapshot together.
    pub bytes: u64,
    /// Lines of the journal; each took one fsync.
    pub lines: u64,
}

/// The open state of a stack.
pub struct Store {
    stack: String,
    files: Files,
    lock: Lock,
    clock: Arc<dyn Clock>,
    durability: Durability,
    torn: u64,
    inner: Mutex<Inner>,
}

struct Inner {
    state: State,
    /// The next generation that `allocate_generation` gives out.
    next_generation: u64,
    journal: Option<File>,
    /// The sequence of the next line.
    sequence: u64,
    /// Applied in memory, not on disk.
    waiting: Vec<Entry>,
    /// How many records were ever taken, and how many of them are on disk.
    taken: u64,
    durable: u64,
    /// Why nothing is written any more.
    stopped: Option<Stop>,
    written: Written,
    hook: Option<Hook>,
}

enum Stop {
    Crashed,
    Failed(String),
}

impl Store {
    /// Locks the stack, loads the snapshot and replays the journal. Never waits for the lock.
    pub fn open(directory: &Path, stack: &str, options: OpenOptions) -> Result<Store, StateError> {
        let OpenOptions { owner, clock, lineage, durability } = options;
        let files = Files::of(directory, stack)?;
        files.prepare()?;
        let lock = Lock::take(&files, stack, &Holder { owner, since: clock.now() })?;
        let Loaded { state, sequence, stale_journal, sound, torn, .. } = load(&files, stack, &lineage)?;
        if stale_journal {
            remove_if_there(&files.journal)?;
        } else if torn > 0 {
            // What comes next must not stand behind half a line.
            let cut = open_or_create(&files.journal).and_then(|file| file.set_len(sound).and_then(|()| file.sync_all()));
            cut.or_fail("cut the torn end off", &files.journal)?;
        }
        let inner = Inner {
            next_generation: state.next_generation,
            state,
            journal: None,
            sequence,
            waiting: Vec::new(),
            taken: 0,
            durable: 0,
            stopped: None,
            written: Written::default(),
            hook: None,
        };
        Ok(Store { stack: stack.to_owned(), files, lock, clock, durability, torn, inner: Mutex::new(inner) })
    }

    /// The state as it is on disk, without the lock; `None` if nothing was ever recorded. Changes nothing.
    pub fn read(directory: &Path, stack: &str) -> Result<Option<State>, StateError> {
        let loaded = load(&Files::of(directory, stack)?, stack, "")?;
        Ok((!loaded.is_new).then_some(loaded.state))
    }

    /// A copy of the state. It is as large as the stack; to look something up use [`Store::look`].
    pub fn state(&self) -> State {
        self.inner().state.clone()
    }

    /// Looks at the state in place. `look` must not call the store.
    pub fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.inner().state)
    }

    /// What was begun and is not settled, in the order of the addresses.
    pub fn open_intents(&self) -> Vec<OpenIntent> {
        self.look(|state| state.open.values().cloned().collect())
    }

    /// Every resource, in the order of the addresses.
    pub fn list(&self) -> Vec<Address> {
        self.look(|state| state.resources.keys().cloned().collect())
    }

    /// Who held the lock before and died without giving it back.
    pub fn left_by(&self) -> Option<&Holder> {
        self.lock.left_by.as_ref()
    }

    /// How many bytes of a torn last line were dropped when the journal was read: a crash came while it was written.
    pub fn torn_bytes(&self) -> u64 {
        self.torn
    }

    /// What was written since the store was opened.
    pub fn written(&self) -> Written {
        self.inner().written
    }

    /// Lets a test look on and demand crashes.
    pub fn set_hook(&self, hook: Hook) {
        self.inner().hook = Some(hook);
    }

    /// A generation that was never given out before. It is used up when an intent with it is recorded; one that was
    /// given out and never recorded was never seen by the cloud, and may come again after a restart.
    pub fn allocate_generation(&self) -> u64 {
        let mut inner = self.inner();
        let generation = inner.next_generation;
        inner.next_generation += 1;
        generation
    }

    /// Records that something happened. It is on disk when this returns. Tasks that append at the same time share one
    /// write and one fsync: each puts its record down and steps aside once, and the first to come back writes for all.
    ///
    /// A future that is dropped half-way leaves its record to the next write.
    pub async fn append(&self, record: Record) -> Result<(), StateError> {
        let ticket = self.take(record)?;
        tokio::task::yield_now().await;
        let mut inner = self.inner();
        if inner.durable >= ticket { Ok(()) } else { self.flush(&mut inner) }
    }

    /// What was sold out of late, for any stack of the folder.
    pub fn shortages(&self) -> Vec<Shortage> {
        shortages::read(&self.files.directory, self.clock.now())
    }

    /// Remembers for some minutes that something was sold out.
    pub fn remember_shortage(&self, shortage: Shortage) -> Result<(), StateError> {
        shortages::add(&self.files.directory, shortage, self.clock.now())
    }

    /// Forgets a resource, which goes on existing in the cloud. Nothing depends on it any more.
    pub fn remove(&self, address: &Address) -> Result<(), StateError> {
        self.append_now(Record::Forgotten { address: address.clone() })
    }

    /// Gives a resource another name, also where others depend on it. Its tags in the cloud are the caller's to change.
    pub fn rename(&self, from: &Address, to: &Address) -> Result<(), StateError> {
        self.append_now(Record::Renamed { from: from.clone(), to: to.clone() })
    }

    /// Writes the snapshot and starts an empty journal. Does nothing if nothing was recorded since the last one. Open
    /// intents are part of the snapshot. A crash inside leaves either the old snapshot with its journal or the new one.
    pub fn finish(&self) -> Result<(), StateError> {
        let mut inner = self.inner();
        self.flush(&mut inner)?;
        if inner.sequence == 0 {
            return Ok(());
        }
        let result = self.lock.check(&self.files, &self.stack).and_then(|()| self.write_snapshot(&mut inner));
        self.stop_on_error(&mut inner, result)
    }

    /// Removes the files of a state that holds nothing any more: no resource and nothing begun. Says whether it did. What
    /// it held besides, its lineage and its decisions, is gone with it.
    pub fn remove_if_empty(self) -> Result<bool, StateError> {
        if self.look(|state| !state.resources.is_empty() || !state.open.is_empty()) {
            return Ok(false);
        }
        // A crash between two of these leaves a whole, empty state: what follows a snapshot goes before it.
        self.finish()?;
        self.lock.check(&self.files, &self.stack)?;
        for file in [&self.files.approved, &self.files.journal, &self.files.backup, &self.files.snapshot, &self.files.lock] {
            remove_if_there(file)?;
        }
        sync_directory(&self.files.directory)?;
        Ok(true)
    }

    /// Keeps beside the state what a run was approved with, for whoever brings it to its end. It lasts when this returns.
    pub fn keep_approved(&self, document: &[u8]) -> Result<(), StateError> {
        let (file, new) = (&self.files.approved, self.files.approved.with_extension("json.new"));
        self.lock.check(&self.files, &self.stack)?;
        let written = open_empty(&new).and_then(|mut open| open.write_all(document).and_then(|()| open.sync_all()));
        written.or_fail("write", &new)?;
        std::fs::rename(&new, file).or_fail("put in place", file)?;
        sync_directory(&self.files.directory)
    }

    /// What a run of the stack was approved with, without the lock; `None` if none was.
    pub fn approved(directory: &Path, stack: &str) -> Result<Option<Vec<u8>>, StateError> {
        read_if_there(&Files::of(directory, stack)?.approved)
    }

    fn append_now(&self, record: Record) -> Result<(), StateError> {
        self.take(record)?;
        self.flush(&mut self.inner())
    }

    /// Applies a record in memory and puts it down for the next write. Returns its number.
    fn take(&self, record: Record) -> Result<u64, StateError> {
        let mut inner = self.inner();
        inner.check_running()?;
        let at = self.clock.now();
        let refuse =
            |because: String| StateError::Illegal { record: record.name(), address: record.address().map(Address::to_string), because };
        if let Some(generation) = record.generation().filter(|generation| *generation >= inner.next_generation) {
            return Err(refuse(format!("generation {generation} was never given out")));
        }
        inner.state.apply(&record, at).map_err(refuse)?;
        inner.waiting.push(Entry { at, happened: record });
        inner.taken += 1;
        Ok(inner.taken)
    }

    /// Puts everything that waits on disk.
    fn flush(&self, inner: &mut Inner) -> Result<(), StateError> {
        inner.check_running()?;
        if inner.waiting.is_empty() {
            return Ok(());
        }
        let result = self.lock.check(&self.files, &self.stack).and_then(|()| self.write_line(inner));
        self.stop_on_error(inner, result)
    }

    fn write_line(&self, inner: &mut Inner) -> Result<(), StateError> {
        let path = &self.files.journal;
        let line = Line {
            version: inner.state.version,
            stack: self.stack.clone(),
            lineage: inner.state.lineage.clone(),
            serial: inner.state.serial,
            sequence: inner.sequence,
            entries: std::mem::take(&mut inner.waiting),
        };
        let bytes = journal::encode(&line).map_err(std::io::Error::from).or_fail("write", path)?;
        let torn = line.entries.iter().find_map(|entry| inner.ask(Moment::BeforeRecord(&entry.happened)).err());
        let bytes = torn.map_or(&bytes[..], |torn| &bytes[..torn.min(bytes.len() - 1)]);
        let is_first = inner.journal.is_none();
        if is_first {
            inner.journal = Some(open_to_append(path).or_fail("open", path)?);
        }
        if let Some(file) = inner.journal.as_mut() {
            file.write_all(bytes).or_fail("write", path)?;
            if self.durability == Durability::Fsync && torn.is_none() {
                file.sync_data().or_fail("sync", path)?;
                if is_first {
                    sync_directory(&self.files.directory)?;
                }
            }
        }
        if torn.is_some() {
            return Err(StateError::Crashed);
        }
        inner.written.bytes += bytes.len() as u64;
        inner.written.lines += 1;
        inner.sequence += 1;
        for entry in &line.entries {
            inner.ask(Moment::AfterRecord(&entry.happened)).map_err(|_| StateError::Crashed)?;
        }
        inner.durable = inner.taken;
        Ok(())
    }

    fn write_snapshot(&self, inner: &mut Inner) -> Result<(), StateError> {
        let fsync = self.durability == Durability::Fsync;
        inner.state.serial += 1;
        inner.written.bytes += write_beside(&self.files, &inner.state, fsync)?;
        inner.ask(Moment::SnapshotWritten).map_err(|_| StateError::Crashed)?;
        put_in_place(&self.files, fsync)?;
        inner.ask(Moment::SnapshotInPlace).map_err(|_| StateError::Crashed)?;
        // Removed rather than emptied: someone reading without the lock keeps a whole file in hand.
        inner.journal = None;
        remove_if_there(&self.files.journal)?;
        inner.sequence = 0;
        inner.ask(Moment::JournalRemoved).map_err(|_| StateError::Crashed)
    }

    fn stop_on_error(&self, inner: &mut Inner, result: Result<(), StateError>) -> Result<(), StateError> {
        match &result {
            Ok(()) => {}
            Err(StateError::Crashed) => inner.stopped = Some(Stop::Crashed),
            Err(error) => {
                let cause = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
                inner.stopped = Some(Stop::Failed(format!("{error}{cause}")));
            }
        }
        result
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere leaves the state as the last whole record made it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn check_running(&self) -> Result<(), StateError> {
        match &self.stopped {
            None => Ok(()),
            Some(Stop::Crashed) => Err(StateError::Crashed),
            Some(Stop::Failed(because)) => Err(StateError::Stopped { because: because.clone() }),
        }
    }

    /// Asks the hook; an error is a crash, with the number of bytes that it leaves of the line.
    fn ask(&mut self, moment: Moment<'_>) -> Result<(), usize> {
        match self.hook.as_mut().map_or(Verdict::Continue, |hook| hook(moment)) {
            Verdict::Continue => Ok(()),
            Verdict::Crash => Err(0),
            Verdict::Tear(bytes) => Err(bytes),
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("stack", &self.stack).field("directory", &self.files.directory).finish_non_exhaustive()
    }
}
