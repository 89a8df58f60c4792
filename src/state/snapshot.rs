//! The snapshot: the whole state in one file that is replaced as a whole, and how state and journal are read together.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use serde::Deserialize;

use super::contents::{State, VERSION};
use super::error::StateError;
use super::files::{Files, OrFail as _, open_empty, read_if_there, remove_if_there, sync_directory};
use super::journal::{self, Lines};

/// What is on disk.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) state: State,
    /// Whether there is anything to remember: a snapshot or a record.
    pub(super) is_new: bool,
    /// The sequence of the next line of the journal.
    pub(super) sequence: u64,
    /// The journal holds nothing but what is in the snapshot already: a crash came before it was removed.
    pub(super) stale_journal: bool,
    /// Where the sound part of the journal ends, and how much of a torn line follows.
    pub(super) sound: u64,
    pub(super) torn: u64,
}

/// Reads the snapshot and replays the journal. A state that is not there begins with `lineage`.
pub(super) fn load(files: &Files, stack: &str, lineage: &str) -> Result<Loaded, StateError> {
    // The journal first: a snapshot read after it is at least as new, and says so with its serial. The other way
    // round, a reader without the lock could miss what moved from one to the other in between.
    let bytes = read_if_there(&files.journal)?.unwrap_or_default();
    let Lines { lines, sound, torn } = journal::decode(&files.journal, &bytes)?;
    let snapshot = read(files, stack)?;
    let is_new = snapshot.is_none() && lines.is_empty();
    let mut state = match (snapshot, lines.first()) {
        (Some(state), _) => state,
        (None, Some(line)) if line.serial == 0 => State::new(stack, &line.lineage),
        (None, Some(_)) => return Err(missing(files, "the journal follows it")),
        (None, None) if files.backup.exists() => return Err(missing(files, "there is a backup of it")),
        (None, None) => State::new(stack, lineage),
    };
    let (mut sequence, mut stale_journal) = (0, false);
    for (i, line) in lines.iter().enumerate() {
        let broken = |because: String| StateError::BrokenJournal { path: files.journal.clone(), line: i + 1, because };
        if line.stack != stack || line.lineage != state.lineage {
            return Err(broken(format!("it belongs to the stack `{}` with lineage {}", line.stack, line.lineage)));
        }
        if line.serial < state.serial {
            stale_journal = true;
            continue;
        }
        if line.serial > state.serial {
            return Err(broken(format!("it follows a snapshot of serial {}, and the snapshot has serial {}", line.serial, state.serial)));
        }
        if line.sequence != sequence {
            return Err(broken(format!("lines are missing: this is number {}, expected was number {sequence}", line.sequence)));
        }
        sequence += 1;
        for entry in &line.entries {
            let refused = |because| broken(format!("its `{}` record can't follow: {because}", entry.happened.name()));
            state.apply(&entry.happened, entry.at).map_err(refused)?;
        }
    }
    Ok(Loaded { state, is_new, sequence, stale_journal, sound, torn })
}

fn missing(files: &Files, because: &str) -> StateError {
    StateError::Missing { path: files.snapshot.clone(), because: because.to_owned(), backup: files.backup.clone() }
}

fn read(files: &Files, stack: &str) -> Result<Option<State>, StateError> {
    let Some(bytes) = read_if_there(&files.snapshot)? else { return Ok(None) };
    check_version(&bytes, &files.snapshot)?;
    let corrupted = |because| StateError::Corrupted { path: files.snapshot.clone(), because, backup: files.backup.clone() };
    let state: State = serde_json::from_slice(&bytes).map_err(|error| corrupted(error.to_string()))?;
    match state.contradiction(stack) {
        Some(because) => Err(corrupted(because)),
        None => Ok(Some(state)),
    }
}

/// Refuses what a newer aliform wrote, before any of it is looked at: its fields may mean anything.
pub(super) fn check_version(json: &[u8], path: &Path) -> Result<(), StateError> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u64,
    }
    match serde_json::from_slice::<Versioned>(json) {
        Ok(Versioned { version }) if version > u64::from(VERSION) => {
            Err(StateError::Newer { path: path.to_owned(), found: version, known: VERSION })
        }
        _ => Ok(()),
    }
}

/// Writes the state beside the snapshot. Returns how many bytes that took.
pub(super) fn write_beside(files: &Files, state: &State, fsync: bool) -> Result<u64, StateError> {
    let path = &files.new_snapshot;
    let written = || -> io::Result<u64> {
        let mut bytes = serde_json::to_vec(state)?;
        bytes.push(b'\n');
        let mut file = open_empty(path)?;
        file.write_all(&bytes)?;
        if fsync {
            file.sync_all()?;
        }
        Ok(bytes.len() as u64)
    };
    written().or_fail("write", path)
}

/// Puts what was written beside the snapshot in its place. The old one becomes the backup; at no moment is there no
/// snapshot.
pub(super) fn put_in_place(files: &Files, fsync: bool) -> Result<(), StateError> {
    if files.snapshot.exists() {
        // A link costs no bytes; a file system without links gets a copy.
        remove_if_there(&files.new_backup)?;
        fs::hard_link(&files.snapshot, &files.new_backup)
            .or_else(|_| fs::copy(&files.snapshot, &files.new_backup).map(drop))
            .or_fail("write", &files.new_backup)?;
        fs::rename(&files.new_backup, &files.backup).or_fail("replace", &files.backup)?;
        // Renaming one name of a file onto another name of it does nothing at all (POSIX), so the first may be left.
        remove_if_there(&files.new_backup)?;
    }
    fs::rename(&files.new_snapshot, &files.snapshot).or_fail("replace", &files.snapshot)?;
    if fsync { sync_directory(&files.directory) } else { Ok(()) }
}
