//! What can go wrong with a state on disk, and what to do about it.

use std::io;
use std::path::PathBuf;

use super::lock::Holder;

/// A state that can't be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another command holds the stack.
    #[error("the state of `{stack}` is locked by {}", holder.as_ref().map_or_else(|| "another process".to_owned(), Holder::to_string))]
    Locked {
        /// The stack.
        stack: String,
        /// Who holds it; `None` if they have not said so yet.
        holder: Option<Holder>,
    },
    /// The lock was broken by `state unlock` while this process held it.
    #[error("the lock of `{stack}` was broken while this command held it; nothing more is written")]
    LockBroken {
        /// The stack.
        stack: String,
    },
    /// The file was written by a newer aliform.
    #[error("`{}` has format version {found}, and this aliform knows versions up to {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The newest version known here.
        known: u32,
    },
    /// The snapshot is no snapshot of this stack.
    #[error("`{}` can't be read as the state of this stack: {because}", path.display())]
    Corrupted {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        because: String,
        /// The snapshot before it.
        backup: PathBuf,
    },
    /// The snapshot is gone although there was one.
    #[error("`{}` is missing, but {because}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What shows that it was there.
        because: String,
        /// The snapshot before it.
        backup: PathBuf,
    },
    /// A line of the journal is damaged, and others follow it.
    #[error("`{}`, line {line}: {because}", path.display())]
    BrokenJournal {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        because: String,
    },
    /// The record can't follow from what is known.
    #[error("a `{record}` record{} is refused: {because}", address.as_ref().map(|address| format!(" for `{address}`")).unwrap_or_default())]
    Illegal {
        /// The record's name.
        record: &'static str,
        /// The resource, if one.
        address: Option<String>,
        /// Why it can't.
        because: String,
    },
    /// The name can't be part of a file name.
    #[error("`{stack}` can't be the name of a stack")]
    StackName {
        /// The name.
        stack: String,
    },
    /// The file system refused.
    #[error("can't {action} `{}`", path.display())]
    Io {
        /// What was tried, `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An earlier write failed; what is on disk after it is unknown until the state is opened anew.
    #[error("nothing more is recorded in this state: {because}")]
    Stopped {
        /// What went wrong then.
        because: String,
    },
    /// A test demanded a crash.
    #[error("a crash was demanded")]
    Crashed,
}

impl StateError {
    /// What to do about it, if anything can be done.
    pub fn hint(&self) -> Option<String> {
        match self {
            StateError::Locked { holder, .. } => Some(match holder {
                Some(holder) => format!(
                    "wait for process {} on `{}` to end; if it can't be reached any more, `aliform state unlock --force` breaks its lock",
                    holder.owner.pid, holder.owner.host
                ),
                None => "try again; if it stays so, `aliform state unlock --force` breaks the lock".to_owned(),
            }),
            StateError::LockBroken { .. } => {
                Some("what this command had begun is settled by the next `aliform plan` or `aliform apply`".to_owned())
            }
            StateError::Newer { .. } => Some("use the newer aliform that wrote it".to_owned()),
            StateError::Corrupted { path, backup, .. } | StateError::Missing { path, backup, .. } => {
                let (path, backup) = (path.display(), backup.display());
                Some(format!(
                    "the state before it is kept in `{backup}`: `cp {backup} {path}` brings it back; without it, `aliform recover` rebuilds the state from the tags in the cloud"
                ))
            }
            StateError::BrokenJournal { path, line, .. } => Some(format!(
                "move `{}` away, keeping it, and run `aliform recover`: it finds by their tags the resources that line {line} and those after it speak of",
                path.display()
            )),
            StateError::Io { .. } | StateError::Stopped { .. } => {
                Some("what was begun is on disk and settled by the next `aliform plan` or `aliform apply`".to_owned())
            }
            StateError::StackName { .. } => Some("use lower-case letters, digits and hyphens".to_owned()),
            StateError::Illegal { .. } | StateError::Crashed => None,
        }
    }
}
