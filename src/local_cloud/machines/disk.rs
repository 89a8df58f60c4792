//! A machine's disk: the folders that are its own, made once and kept while it is halted. It never leaves the machine's
//! directory, and never follows a link out of it.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// The folders of the root that a machine has for itself. The rest of the system is seen read-only. `code` is where
/// instances of functions have what they run, `ml` and `mnt` where training jobs have their data.
pub(crate) const OWN: [&str; 8] = ["code", "ml", "mnt", "opt", "root", "srv", "tmp", "var"];

/// Where a machine's own folders lie.
pub(super) fn folder(directory: &Path) -> PathBuf {
    directory.join("disk")
}

/// What a machine's topmost folder is: the places where other folders are shown, and what the machine puts beside them.
pub(super) fn top(directory: &Path) -> PathBuf {
    directory.join("top")
}

/// Makes what is missing of the disk and of the files around it.
pub(super) fn prepare(directory: &Path, hostname: &str, hosts: &str) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    for name in ["disk", "top", "mount", "etc", "scripts"] {
        make(&directory.join(name), 0o755)?;
    }
    let disk = folder(directory);
    make(&disk.join("root"), 0o700)?;
    make(&disk.join("tmp"), 0o1777)?;
    for name in [
        "code",
        "ml",
        "mnt",
        "opt",
        "srv",
        "var",
        "var/lib",
        "var/log",
        "var/cache",
        "var/spool",
        "var/local",
        "var/opt",
        "var/empty",
        "var/www",
    ] {
        make(&disk.join(name), 0o755)?;
    }
    make(&disk.join("var/tmp"), 0o1777)?;
    for (name, target) in [("var/run", "/run"), ("var/lock", "/run/lock")] {
        match symlink(target, disk.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    for (name, text) in [("etc/hostname", format!("{hostname}\n").as_str()), ("etc/hosts", hosts)] {
        fs::write(directory.join(name), text)?;
        fs::set_permissions(directory.join(name), Permissions::from_mode(0o644))?;
    }
    Ok(())
}

/// Makes a folder with exactly these permissions; one that is there stays as the machine left it.
fn make(path: &Path, mode: u32) -> io::Result<()> {
    match fs::create_dir(path) {
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(mode)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes a directory and all in it, also what its permissions protect. Nothing there is fine.
pub(super) fn remove(directory: &Path) -> io::Result<()> {
    let mut pending = vec![(directory.to_owned(), false)];
    while let Some((path, emptied)) = pending.pop() {
        if emptied {
            fs::remove_dir(&path).or_else(ignore_missing)?;
            continue;
        }
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if !metadata.is_dir() {
            fs::remove_file(&path).or_else(ignore_missing)?;
            continue;
        }
        // A folder that its owner made unreadable or read-only would keep what is in it.
        if metadata.permissions().mode() & 0o700 != 0o700 {
            fs::set_permissions(&path, Permissions::from_mode(0o700))?;
        }
        pending.push((path.clone(), true));
        for entry in fs::read_dir(&path)? {
            pending.push((entry?.path(), false));
        }
    }
    Ok(())
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_made_once_and_kept() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("i-1");
        prepare(&directory, "one", "127.0.0.1 localhost\n").unwrap();
        fs::write(directory.join("disk/opt/kept"), "kept").unwrap();
        fs::set_permissions(directory.join("disk/srv"), Permissions::from_mode(0o700)).unwrap();
        prepare(&directory, "two", "127.0.0.1 localhost\n").unwrap();
        assert_eq!(fs::read_to_string(directory.join("disk/opt/kept")).unwrap(), "kept");
        assert_eq!(fs::metadata(directory.join("disk/srv")).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(directory.join("disk/tmp")).unwrap().permissions().mode() & 0o7777, 0o1777);
        assert_eq!(fs::read_to_string(directory.join("etc/hostname")).unwrap(), "two\n");
    }

    #[test]
    fn removal_passes_protected_folders_and_leaves_what_links_point_at() {
        let scratch = tempfile::tempdir().unwrap();
        let outside = scratch.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("file"), "stays").unwrap();
        let directory = scratch.path().join("i-1");
        fs::create_dir_all(directory.join("a/b/c")).unwrap();
        fs::write(directory.join("a/b/c/file"), "goes").unwrap();
        symlink(&outside, directory.join("a/link")).unwrap();
        fs::set_permissions(directory.join("a/b/c"), Permissions::from_mode(0o500)).unwrap();
        fs::set_permissions(directory.join("a/b"), Permissions::from_mode(0o000)).unwrap();
        remove(&directory).unwrap();
        assert!(!directory.exists());
        assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "stays");
        remove(&directory).unwrap();
    }
}
