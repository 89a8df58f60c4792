//! Who may write a stack: one process at a time, held by the operating system, with a note that says who it is.
//!
//! The system frees the lock of a process that died, so no lock is ever stuck on this machine; the note that it left
//! behind is how the next one learns of it. The lock never waits.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::StateError;
use super::files::{Files, OrFail as _, open_or_create, read_if_there, remove_if_there};

/// Who works on a stack, as they say themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The user's name.
    pub who: String,
    /// The command, `apply`.
    pub what: String,
    /// The process.
    pub pid: u32,
    /// The machine.
    pub host: String,
}

/// Who holds a lock, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Who.
    #[serde(flatten)]
    pub owner: Owner,
    /// Since when.
    pub since: Timestamp,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Owner { who, what, pid, host } = &self.owner;
        write!(f, "`{what}` of {who} on `{host}` (process {pid}, since {:.0})", self.since)
    }
}

/// What a lock is found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockFound {
    /// Whether a living process holds it.
    pub held: bool,
    /// Who holds it or, when nobody does, who died without giving it back.
    pub holder: Option<Holder>,
}

/// A lock that is held; given back when dropped.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    /// Who held it before and died.
    pub(super) left_by: Option<Holder>,
}

impl Lock {
    /// Takes the lock, or says who has it.
    pub(super) fn take(files: &Files, stack: &str, holder: &Holder) -> Result<Self, StateError> {
        loop {
            let mut file = open_or_create(&files.lock).or_fail("open", &files.lock)?;
            if !try_lock(&file, &files.lock)? {
                return Err(StateError::Locked { stack: stack.to_owned(), holder: read_note(&files.lock)? });
            }
            // Between opening and locking the file may have been taken away by `break_lock`.
            if !is_at(&file, &files.lock)? {
                continue;
            }
            let left_by = read_note(&files.lock)?;
            // A holder is plain data, so it always has a JSON form.
            let note = serde_json::to_vec(holder).unwrap_or_default();
            let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(&note));
            written.or_fail("write", &files.lock)?;
            return Ok(Lock { file, left_by });
        }
    }

    /// Whether it still counts: nobody broke it.
    pub(super) fn check(&self, files: &Files, stack: &str) -> Result<(), StateError> {
        if is_at(&self.file, &files.lock)? { Ok(()) } else { Err(StateError::LockBroken { stack: stack.to_owned() }) }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // An empty note says that the lock was given back. If that fails, the next one is told that this one died.
        let _ = self.file.set_len(0);
        // Closing the file is not enough: a child process that is just being started has it open too, for a moment.
        let _ = self.file.unlock();
    }
}

/// Looks whether the stack is locked, and by whom.
pub fn look_at_lock(directory: &Path, stack: &str) -> Result<LockFound, StateError> {
    let files = Files::of(directory, stack)?;
    match File::open(&files.lock) {
        Ok(file) => {
            let held = !try_lock(&file, &files.lock)?;
            let holder = read_note(&files.lock)?;
            if !held {
                file.unlock().or_fail("unlock", &files.lock)?;
            }
            Ok(LockFound { held, holder })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(LockFound { held: false, holder: None }),
        Err(error) => Err(error).or_fail("open", &files.lock),
    }
}

/// Takes the lock away from whoever holds it, and says who that was. If they live, their next write fails with
/// [`StateError::LockBroken`]; a call they had sent to the cloud may still come through, and is settled by recovery.
pub fn break_lock(directory: &Path, stack: &str) -> Result<LockFound, StateError> {
    let found = look_at_lock(directory, stack)?;
    remove_if_there(&Files::of(directory, stack)?.lock)?;
    Ok(found)
}

fn try_lock(file: &File, path: &Path) -> Result<bool, StateError> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error).or_fail("lock", path),
    }
}

/// The note in the lock file; `None` if it is empty or half written.
fn read_note(path: &Path) -> Result<Option<Holder>, StateError> {
    Ok(read_if_there(path)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// Whether `path` still leads to the open file.
fn is_at(file: &File, path: &Path) -> Result<bool, StateError> {
    let ours = file.metadata().or_fail("read", path)?;
    match fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).or_fail("read", path),
    }
}
