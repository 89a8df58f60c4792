//! Files of the machine: written the way Cloud Assistant's SendFile does, whole, with owner, group and permissions;
//! listed and read as they are. It never follows a link out of the folder it was asked for.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

use super::users::{Identities, find_group, find_user};
use crate::local_cloud::machines::FileEntry;
use crate::local_cloud::machines::wire::{FileRequest, PAYLOAD_LIMIT, WireFault};

/// Writes it below `root`, which is `/` inside a machine of its own.
pub(super) fn write(root: &Path, identities: Identities, file: &FileRequest, content: &[u8]) -> Result<(), WireFault> {
    let path = resolve(root, &file.path)?;
    let owner = find_user(&file.owner).ok_or(WireFault::UserGroupNotExists)?.uid;
    let group = find_group(&file.group).ok_or(WireFault::UserGroupNotExists)?;
    let failed = |error: io::Error| WireFault::CreateFailed(format!("`{}`: {error}", file.path));
    match fs::symlink_metadata(&path) {
        Ok(found) if found.is_dir() => return Err(WireFault::CreateFailed(format!("`{}` is a folder", file.path))),
        Ok(_) if !file.overwrite => return Err(WireFault::AlreadyExists),
        _ => {}
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Err(WireFault::PathInvalid) };
    DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(failed)?;
    // Beside its place and then renamed: a reader sees the old file or the new one, never half of it.
    let mut draft_name = std::ffi::OsString::from(".");
    draft_name.push(name);
    draft_name.push(".sending");
    let draft = folder.join(draft_name);
    let written = (|| {
        let _ = fs::remove_file(&draft);
        let mut output = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        output.write_all(content)?;
        if identities == Identities::All {
            std::os::unix::fs::chown(&draft, Some(owner), Some(group))?;
        }
        output.set_permissions(Permissions::from_mode(file.mode & 0o7777))?;
        fs::rename(&draft, &path)
    })();
    written.map_err(|error| {
        let _ = fs::remove_file(&draft);
        failed(error)
    })
}

/// How much of a file without a length, such as those of `/proc`, is read.
const WITHOUT_LENGTH: u64 = 64 * 1024;

/// The file's length, and the last `most` bytes of what it has after its first `from`.
pub(super) fn read(root: &Path, path: &str, from: u64, most: u64) -> io::Result<(u64, Vec<u8>)> {
    let path = resolve(root, path).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // Opening a pipe would wait for its other end.
    if !fs::metadata(&path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
    }
    let mut file = fs::File::open(path)?;
    let size = file.metadata()?.len();
    let mut bytes = Vec::new();
    if size == 0 {
        file.take(WITHOUT_LENGTH).read_to_end(&mut bytes)?;
        let start = from.max((bytes.len() as u64).saturating_sub(most)).min(bytes.len() as u64);
        return Ok((bytes.len() as u64, bytes.split_off(start as usize)));
    }
    let start = from.max(size.saturating_sub(most)).min(size);
    file.seek(SeekFrom::Start(start))?;
    file.take(size - start).read_to_end(&mut bytes)?;
    Ok((size, bytes))
}

/// The regular files below a folder, links left out; none if there is no such folder.
pub(super) fn list(root: &Path, folder: &str) -> Result<Vec<FileEntry>, WireFault> {
    let top = resolve(root, folder.trim_end_matches('/'))?;
    let failed = |error: io::Error| WireFault::ReadFailed(format!("`{folder}`: {error}"));
    let (mut found, mut pending) = (Vec::new(), vec![top.clone()]);
    while let Some(place) = pending.pop() {
        let entries = match fs::read_dir(&place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(failed)?,
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            let path = entry.path();
            if kind.is_dir() {
                pending.push(path);
            } else if kind.is_file()
                && let Some(name) = path.strip_prefix(&top).ok().and_then(Path::to_str)
            {
                let mut digest = Sha256::new();
                let mut file = fs::File::open(&path).map_err(failed)?;
                io::copy(&mut file, &mut Hashing(&mut digest)).map_err(failed)?;
                found.push(FileEntry { path: name.to_owned(), digest: hex::encode(digest.finalize()) });
            }
        }
    }
    found.sort();
    Ok(found)
}

/// What is written to it is only added to a digest.
struct Hashing<'a>(&'a mut Sha256);

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The content of a file that is not a link.
pub(super) fn fetch(root: &Path, path: &str) -> Result<Vec<u8>, WireFault> {
    let failed = |error: io::Error| WireFault::ReadFailed(format!("`{path}`: {error}"));
    let place = resolve(root, path)?;
    let found = fs::symlink_metadata(&place).map_err(failed)?;
    if !found.is_file() || found.len() > PAYLOAD_LIMIT as u64 {
        return Err(WireFault::ReadFailed(format!("`{path}` is no file, or a too large one")));
    }
    fs::read(&place).map_err(failed)
}

/// The path on this side of `root`. Must be absolute and climb nowhere.
fn resolve(root: &Path, path: &str) -> Result<PathBuf, WireFault> {
    let mut resolved = root.to_owned();
    let mut components = Path::new(path).components();
    if components.next() != Some(Component::RootDir) || path.ends_with('/') || path.contains('\0') {
        return Err(WireFault::PathInvalid);
    }
    for component in components {
        match component {
            Component::Normal(name) => resolved.push(name),
            _ => return Err(WireFault::PathInvalid),
        }
    }
    if resolved == root { Err(WireFault::PathInvalid) } else { Ok(resolved) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str, overwrite: bool) -> FileRequest {
        FileRequest { path: path.to_owned(), owner: "root".to_owned(), group: "root".to_owned(), mode: 0o640, overwrite }
    }

    #[test]
    fn a_file_is_written_whole_and_replaced_only_when_told() {
        let root = tempfile::tempdir().unwrap();
        let send = |overwrite, content: &[u8]| write(root.path(), Identities::Own, &request("/opt/app/config", overwrite), content);
        send(false, b"one").unwrap();
        let path = root.path().join("opt/app/config");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
        assert_eq!(send(false, b"two"), Err(WireFault::AlreadyExists));
        assert_eq!(fs::read(&path).unwrap(), b"one");
        send(true, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(root.path().join("opt/app")).unwrap().count(), 1);
    }

    #[test]
    fn a_part_of_a_file_is_read_from_its_end() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("log"), b"0123456789").unwrap();
        assert_eq!(read(root.path(), "/log", 0, 100).unwrap(), (10, b"0123456789".to_vec()));
        assert_eq!(read(root.path(), "/log", 4, 100).unwrap(), (10, b"456789".to_vec()));
        assert_eq!(read(root.path(), "/log", 4, 3).unwrap(), (10, b"789".to_vec()));
        assert_eq!(read(root.path(), "/log", u64::MAX, 3).unwrap(), (10, Vec::new()));
        assert!(read(root.path(), "/", 0, 1).is_err());
        assert!(read(root.path(), "/../log", 0, 1).is_err());
    }

    #[test]
    fn paths_that_climb_or_name_no_file_are_refused() {
        let root = tempfile::tempdir().unwrap();
        for path in ["relative", "/../etc/passwd", "/opt/../../x", "/", "/opt/", ""] {
            assert_eq!(write(root.path(), Identities::Own, &request(path, true), b""), Err(WireFault::PathInvalid), "{path}");
        }
    }

    #[test]
    fn files_are_listed_without_links_and_read() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("mnt/data");
        fs::create_dir_all(folder.join("deep")).unwrap();
        fs::write(folder.join("deep/file"), b"hello world").unwrap();
        fs::write(root.path().join("outside"), b"x").unwrap();
        std::os::unix::fs::symlink("../../outside", folder.join("link")).unwrap();
        let digest = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9".to_owned();
        assert_eq!(list(root.path(), "/mnt/data/").unwrap(), [FileEntry { path: "deep/file".to_owned(), digest }]);
        assert_eq!(list(root.path(), "/mnt/none").unwrap(), []);
        assert_eq!(fetch(root.path(), "/mnt/data/deep/file").unwrap(), b"hello world");
        assert!(matches!(fetch(root.path(), "/mnt/data/link"), Err(WireFault::ReadFailed(_))));
        assert_eq!(fetch(root.path(), "/mnt/../outside"), Err(WireFault::PathInvalid));
    }

    #[test]
    fn an_owner_that_nobody_knows_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let file = FileRequest { owner: "no-such-user".to_owned(), ..request("/opt/x", true) };
        assert_eq!(write(root.path(), Identities::Own, &file, b""), Err(WireFault::UserGroupNotExists));
        assert!(!root.path().join("opt").exists());
    }
}
