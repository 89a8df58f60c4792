//! The names of the files of a stack, who may read them, and how a change of them is made to last.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::error::StateError;

/// Only the owner: a state holds scripts, addresses and names that are nobody else's business.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// People keep the manifest in Git and let a pipeline apply it. A state in Git would be a second copy without a lock,
/// stale as soon as anyone applies, and it is theirs to read who may read the repository. So it ignores itself.
const GITIGNORE: &str = "\
# Written by aliform. The state of a stack does not belong in version control: a copy there has no lock, is out of
# date after the next apply, and is readable by everyone who can read the repository.
*
";

/// The files of one stack.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) directory: PathBuf,
    pub(super) snapshot: PathBuf,
    pub(super) backup: PathBuf,
    pub(super) journal: PathBuf,
    pub(super) lock: PathBuf,
    /// What a run was approved with.
    pub(super) approved: PathBuf,
    /// Where the next snapshot and the next backup are made, under the lock.
    pub(super) new_snapshot: PathBuf,
    pub(super) new_backup: PathBuf,
}

impl Files {
    pub(super) fn of(directory: &Path, stack: &str) -> Result<Self, StateError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if stack.is_empty() || !stack.chars().all(plain) {
            return Err(StateError::StackName { stack: stack.to_owned() });
        }
        let file = |suffix: &str| directory.join(format!("{stack}.{suffix}"));
        Ok(Files {
            directory: directory.to_owned(),
            snapshot: file("state.json"),
            backup: file("state.json.backup"),
            journal: file("journal"),
            lock: file("lock"),
            approved: file("run.json"),
            new_snapshot: file("state.json.new"),
            new_backup: file("state.json.backup.new"),
        })
    }

    /// Makes the directory if it is missing, keeps others out of it, and tells Git to look away.
    pub(super) fn prepare(&self) -> Result<(), StateError> {
        let directory = &self.directory;
        DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory).or_fail("create", directory)?;
        let mut permissions = fs::metadata(directory).or_fail("read", directory)?.permissions();
        if permissions.mode() & 0o077 != 0 {
            permissions.set_mode(DIRECTORY_MODE);
            fs::set_permissions(directory, permissions).or_fail("keep others out of", directory)?;
        }
        let gitignore = directory.join(".gitignore");
        match open_new(&gitignore).and_then(|mut file| file.write_all(GITIGNORE.as_bytes())) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error).or_fail("write", &gitignore),
            _ => Ok(()),
        }
    }
}

fn open_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)
}

/// Opens a file of ours for reading and writing, and makes it if it is missing.
pub(super) fn open_or_create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(path)
}

/// Opens a file that grows at its end.
pub(super) fn open_to_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(FILE_MODE).open(path)
}

/// Opens a file whose old content, if any, is worth nothing.
pub(super) fn open_empty(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(path)
}

/// The content of a file, or `None` if there is none.
pub(super) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, StateError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).or_fail("read", path),
    }
}

/// Removes a file that may not be there.
pub(super) fn remove_if_there(path: &Path) -> Result<(), StateError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).or_fail("remove", path),
        _ => Ok(()),
    }
}

/// Makes names that came or went in a directory last.
pub(super) fn sync_directory(path: &Path) -> Result<(), StateError> {
    File::open(path).and_then(|directory| directory.sync_all()).or_fail("sync", path)
}

/// Says what was tried with which file.
pub(super) trait OrFail<T> {
    fn or_fail(self, action: &'static str, path: &Path) -> Result<T, StateError>;
}

impl<T> OrFail<T> for io::Result<T> {
    fn or_fail(self, action: &'static str, path: &Path) -> Result<T, StateError> {
        self.map_err(|source| StateError::Io { action, path: path.to_owned(), source })
    }
}
