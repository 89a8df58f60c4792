//! Packs a source folder into one archive that is the same, byte for byte, wherever and whenever it is packed.
//!
//! Secrets never go into it: `.env` files and keys stay at home and a finding says so, unless `.aliformignore` names
//! the file with `!`. Nothing from outside the folder goes into it either.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};
use tar::{EntryType, Header};

use super::walk::{self, EntryKind, WalkError};
use crate::model::change::SAVED_PLAN_KEY;
use crate::model::finding::{Evidence, Finding, Severity};

/// The most that a source folder may hold, in bytes, before packing.
pub const SIZE_LIMIT: u64 = 500 * 1024 * 1024;

/// The packed source of an application.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// The SHA-256 of the archive, 64 hexadecimal digits.
    pub digest: String,
    /// What is inside, ordered by path.
    pub files: Vec<BundledFile>,
    /// The gzipped tar archive.
    pub archive: Bytes,
    /// What was left out, and why.
    pub findings: Vec<Finding>,
}

/// One file of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundledFile {
    /// Its path inside the folder, `/` between the parts.
    pub path: String,
    /// The first 12 hexadecimal digits of the SHA-256 of its content; of its target for a symbolic link.
    pub digest: String,
    /// Its size in bytes.
    pub size: u64,
    /// Whether it may be run.
    pub executable: bool,
}

/// Why a folder could not be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// There is no such folder.
    #[error("the source folder `{}` does not exist; `source:` is relative to the manifest", .0.display())]
    NoFolder(PathBuf),
    /// Nothing is left to pack.
    #[error("nothing in `{}` to pack: it is empty, or its ignore files name all of it", .0.display())]
    Empty(PathBuf),
    /// It holds too much.
    #[error(
        "the source folder holds {} MB and the limit is {} MB; largest: {}; name what the app does not need in `.aliformignore`",
        total / 1_048_576, limit / 1_048_576, largest.join(", ")
    )]
    TooLarge {
        /// The bytes of all files.
        total: u64,
        /// The limit in bytes.
        limit: u64,
        /// The largest files with their sizes.
        largest: Vec<String>,
    },
    /// A link leads out of the folder, where the machine has nothing.
    #[error("the symbolic link `{path}` leads out of the source folder to `{target}`; replace it by a copy or name it in `.aliformignore`")]
    LinkLeaves {
        /// The link.
        path: String,
        /// Where it points.
        target: String,
    },
    /// The folder can't be listed.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// A file can't be read.
    #[error("could not read `{path}` for the bundle")]
    Read {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The archive can't be written.
    #[error("could not pack `{path}`")]
    Write {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Packs what `folder` holds.
///
/// # Errors
/// When the folder is missing, empty, unreadable or over [`SIZE_LIMIT`], or a symbolic link leaves it.
pub fn pack(folder: &Path) -> Result<Bundle, PackError> {
    pack_within(folder, SIZE_LIMIT)
}

/// A few files of a folder, and one that is nowhere yet.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Files by their paths inside the folder; they go along even if an ignore file names them.
    pub files: BTreeSet<String>,
    /// Folders inside it of which everything goes along that is not ignored.
    pub folders: BTreeSet<String>,
    /// The path and the text of a file that is written for the bundle.
    pub written: Option<(String, String)>,
}

/// Packs what is selected of `folder`.
///
/// # Errors
/// When something of it is missing, unreadable, or a symbolic link that leaves the folder.
pub fn pack_selected(folder: &Path, selection: &Selection) -> Result<Bundle, PackError> {
    let mut contents = BTreeMap::new();
    for path in &selection.files {
        contents.insert(path.clone(), read(path, &folder.join(path))?);
    }
    if !selection.folders.is_empty() {
        let inside =
            |path: &str| selection.folders.iter().any(|below| path.strip_prefix(below.as_str()).is_some_and(|rest| rest.starts_with('/')));
        for (path, entry) in walk::walk(folder)? {
            if !inside(&path) || sensitive(&path, &entry.full).is_some() || contents.contains_key(&path) {
                continue;
            }
            let content = match entry.kind {
                EntryKind::File => read(&path, &entry.full)?,
                EntryKind::Symlink => Content::Link { target: link_target(folder, &path, &entry.full)? },
                EntryKind::Other => continue,
            };
            contents.insert(path, content);
        }
    }
    if let Some((path, text)) = &selection.written {
        contents.insert(path.clone(), Content::File { bytes: text.clone().into_bytes(), executable: false });
    }
    archive(folder, contents.into_iter().map(Ok), Vec::new())
}

enum Content {
    File { bytes: Vec<u8>, executable: bool },
    Link { target: String },
}

fn pack_within(folder: &Path, limit: u64) -> Result<Bundle, PackError> {
    if !folder.is_dir() {
        return Err(PackError::NoFolder(folder.to_owned()));
    }
    let wanted = walk::explicitly_wanted(folder);
    let mut findings = Vec::new();
    let mut packed = Vec::new();
    for (path, entry) in walk::walk(folder)? {
        if let Some(what) = sensitive(&path, &entry.full)
            && !wanted.matched(&path, false).is_whitelist()
        {
            findings.push(left_out(&path, what));
            continue;
        }
        if entry.kind == EntryKind::File && is_saved_plan(&path, &entry.full)? {
            continue;
        }
        match entry.kind {
            EntryKind::File | EntryKind::Symlink => packed.push((path, entry)),
            EntryKind::Other => findings.push(not_a_file(&path)),
        }
    }
    if packed.is_empty() {
        return Err(PackError::Empty(folder.to_owned()));
    }
    refuse_too_large(&packed, limit)?;

    let contents = packed.into_iter().map(|(path, entry)| {
        let content = match entry.kind {
            EntryKind::Symlink => Content::Link { target: link_target(folder, &path, &entry.full)? },
            _ => read(&path, &entry.full)?,
        };
        Ok((path, content))
    });
    archive(folder, contents, findings)
}

fn archive(
    folder: &Path,
    contents: impl Iterator<Item = Result<(String, Content), PackError>>,
    findings: Vec<Finding>,
) -> Result<Bundle, PackError> {
    let gzip = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::default());
    let mut archive = tar::Builder::new(gzip);
    let mut files = Vec::new();
    for content in contents {
        let (path, content) = content?;
        files.push(append(&mut archive, path, &content)?);
    }
    let write = |source| PackError::Write { path: folder.display().to_string(), source };
    let mut gzip = archive.into_inner().map_err(write)?;
    gzip.flush().map_err(write)?;
    let archive = Bytes::from(gzip.finish().map_err(write)?);
    Ok(Bundle { digest: hex::encode(Sha256::digest(&archive)), files, archive, findings })
}

/// Whether the file is a saved plan: to save one beside the source must not change the source.
fn is_saved_plan(path: &str, full: &Path) -> Result<bool, PackError> {
    let mut start = [0; 64];
    let failed = |source| PackError::Read { path: path.to_owned(), source };
    let length = std::fs::File::open(full).and_then(|mut file| file.read(&mut start)).map_err(failed)?;
    let text: Vec<u8> = start[..length].iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    Ok(text.starts_with(format!("{{\"{SAVED_PLAN_KEY}\":").as_bytes()))
}

fn read(path: &str, full: &Path) -> Result<Content, PackError> {
    let failed = |source| PackError::Read { path: path.to_owned(), source };
    let bytes = std::fs::read(full).map_err(failed)?;
    let executable = is_executable(&std::fs::metadata(full).map_err(failed)?);
    Ok(Content::File { bytes, executable })
}

#[cfg(unix)]
fn is_executable(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn is_executable(_metadata: &std::fs::Metadata) -> bool {
    false
}

fn append<W: Write>(archive: &mut tar::Builder<W>, path: String, content: &Content) -> Result<BundledFile, PackError> {
    let mut header = Header::new_gnu();
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    let failed = |source| PackError::Write { path: path.clone(), source };
    let (bytes, executable) = match content {
        Content::File { bytes, executable } => {
            header.set_entry_type(EntryType::Regular);
            header.set_mode(if *executable { 0o755 } else { 0o644 });
            header.set_size(bytes.len() as u64);
            archive.append_data(&mut header, &path, bytes.as_slice()).map_err(failed)?;
            (bytes.as_slice(), *executable)
        }
        Content::Link { target } => {
            header.set_entry_type(EntryType::Symlink);
            header.set_mode(0o777);
            header.set_size(0);
            archive.append_link(&mut header, &path, target).map_err(failed)?;
            (target.as_bytes(), false)
        }
    };
    let digest = hex::encode(&Sha256::digest(bytes)[..6]);
    let size = if matches!(content, Content::File { .. }) { bytes.len() as u64 } else { 0 };
    Ok(BundledFile { path, digest, size, executable })
}

fn refuse_too_large(packed: &[(String, walk::Entry)], limit: u64) -> Result<(), PackError> {
    let mut sizes = Vec::new();
    for (path, entry) in packed {
        let metadata = std::fs::symlink_metadata(&entry.full).map_err(|source| PackError::Read { path: path.clone(), source })?;
        sizes.push((metadata.len(), path));
    }
    let total: u64 = sizes.iter().map(|(size, _)| size).sum();
    if total <= limit {
        return Ok(());
    }
    sizes.sort_by(|a, b| b.cmp(a));
    let largest = sizes.iter().take(3).map(|(size, path)| format!("`{path}` ({} MB)", size / 1_048_576)).collect();
    Err(PackError::TooLarge { total, limit, largest })
}

/// Where the link points, if that is inside the folder and stays so on another machine.
fn link_target(folder: &Path, path: &str, full: &Path) -> Result<String, PackError> {
    let target = std::fs::read_link(full).map_err(|source| PackError::Read { path: path.to_owned(), source })?;
    let text = target.to_string_lossy().into_owned();
    let leaves = || PackError::LinkLeaves { path: path.to_owned(), target: text.clone() };
    let mut depth = path.matches('/').count();
    for part in target.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir => depth = depth.checked_sub(1).ok_or_else(leaves)?,
            Component::RootDir | Component::Prefix(_) => return Err(leaves()),
        }
    }
    // A link through another link can still get out; only an existing target can be resolved.
    if let (Ok(real), Ok(root)) = (full.canonicalize(), folder.canonicalize())
        && !real.starts_with(root)
    {
        return Err(leaves());
    }
    Ok(text)
}

/// What makes a file one that must not leave this computer; `None` for an ordinary one.
fn sensitive(path: &str, full: &Path) -> Option<&'static str> {
    const KEYS: &[&str] = &[".pem", ".key", ".p12", ".pfx", ".jks", ".keystore", ".ppk"];
    const SSH: &[&str] = &["id_rsa", "id_dsa", "id_ecdsa", "id_ed25519"];
    const CREDENTIALS: &[&str] =
        &["credentials", "credentials.json", "credentials.csv", "AccessKey.csv", ".netrc", ".pypirc", ".git-credentials", "kubeconfig"];
    const TEMPLATES: &[&str] = &["example", "sample", "template", "dist", "defaults"];
    let name = path.rsplit('/').next().unwrap_or(path);
    if name == ".env" || name == ".envrc" {
        return Some("an environment file");
    }
    if let Some(suffix) = name.strip_prefix(".env.") {
        // `.env.example` is documentation and holds no secret.
        return (!TEMPLATES.contains(&suffix)).then_some("an environment file");
    }
    if KEYS.iter().any(|suffix| name.ends_with(suffix)) || SSH.contains(&name) {
        return Some("a key");
    }
    if CREDENTIALS.contains(&name) || path.split('/').any(|part| matches!(part, ".ssh" | ".aws" | ".aliyun")) {
        return Some("a credentials file");
    }
    let holds_token = |text: String| text.contains("_auth") || text.contains("_password");
    if name == ".npmrc" && std::fs::read_to_string(full).is_ok_and(holds_token) {
        return Some("a file with a registry token");
    }
    None
}

fn left_out(path: &str, what: &str) -> Finding {
    Finding {
        id: "secret-file-left-out".to_owned(),
        severity: Severity::Warning,
        address: None,
        message: format!("`{path}` looks like {what} and is left out of the bundle"),
        evidence: Some(Evidence { file: path.to_owned(), line: 0, text: String::new() }),
        hint: Some(format!(
            "hand secrets over as `env: {{ NAME: {{ from: env:NAME }} }}`; if the app needs the file itself, write `!{path}` in `.aliformignore`"
        )),
    }
}

fn not_a_file(path: &str) -> Finding {
    Finding {
        id: "not-a-regular-file".to_owned(),
        severity: Severity::Info,
        address: None,
        message: format!("`{path}` is neither a file nor a link and is left out of the bundle"),
        evidence: None,
        hint: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let full = folder.path().join(path);
            fs::create_dir_all(full.parent().unwrap()).unwrap();
            fs::write(full, text).unwrap();
        }
        folder
    }

    fn paths(bundle: &Bundle) -> Vec<&str> {
        bundle.files.iter().map(|file| file.path.as_str()).collect()
    }

    #[test]
    fn equal_folders_give_equal_archives_and_a_changed_byte_another() {
        let long = format!("{}/deep.txt", "a".repeat(120));
        let files = [("b.txt", "two"), ("a/one.txt", "one"), ("app.py", "print(1)"), (long.as_str(), "deep")];
        let (first, second) = (folder(&files), folder(&files));
        // Modes and times that a checkout leaves to chance do not count.
        fs::set_permissions(second.path().join("b.txt"), fs::Permissions::from_mode(0o600)).unwrap();
        let (first, second) = (pack(first.path()).unwrap(), pack(second.path()).unwrap());
        assert_eq!(first.digest, second.digest);
        assert_eq!(first.archive, second.archive);
        assert_eq!(&first.archive[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255], "the gzip header holds no time");
        assert_eq!(first.digest, hex::encode(Sha256::digest(&first.archive)));

        let changed = folder(&[("b.txt", "two!"), files[1], files[2], files[3]]);
        assert_ne!(pack(changed.path()).unwrap().digest, first.digest);
    }

    #[test]
    fn the_archive_is_sorted_and_its_modes_are_plain() {
        let folder = folder(&[("z.sh", "#!/bin/sh\n"), ("a.txt", "a"), ("m/x.txt", "x")]);
        fs::set_permissions(folder.path().join("z.sh"), fs::Permissions::from_mode(0o700)).unwrap();
        let bundle = pack(folder.path()).unwrap();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&bundle.archive[..]));
        let entries: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                let path = entry.path().unwrap().display().to_string();
                (path, header.mode().unwrap(), header.mtime().unwrap(), header.uid().unwrap())
            })
            .collect();
        assert_eq!(entries, [("a.txt".into(), 0o644, 0, 0), ("m/x.txt".into(), 0o644, 0, 0), ("z.sh".into(), 0o755, 0, 0)]);
        assert!(bundle.files[2].executable && !bundle.files[0].executable);
    }

    #[test]
    fn ignored_and_rebuilt_files_stay_at_home() {
        let folder = folder(&[
            ("app.py", ""),
            (".gitignore", "*.log\nbuild/\n"),
            (".aliformignore", "notes/\n"),
            ("run.log", ""),
            ("build/out", ""),
            ("notes/todo.md", ""),
            ("node_modules/a/index.js", ""),
            ("pkg/__pycache__/a.pyc", ""),
            ("env3/pyvenv.cfg", ""),
            ("env3/bin/python", ""),
            (".git/HEAD", ""),
            (".aliform/stack.state.json", "{}"),
            ("aliform.yaml", "version: 1"),
            ("conf/aliform.yaml", "kept: true"),
        ]);
        assert_eq!(paths(&pack(folder.path()).unwrap()), [".gitignore", "app.py", "conf/aliform.yaml"]);
    }

    #[test]
    fn secrets_are_left_out_and_named() {
        let folder = folder(&[
            ("app.py", ""),
            (".env", "KEY=1"),
            (".env.production", "KEY=1"),
            (".env.example", "KEY="),
            ("tls/server.key", ""),
            ("tls/server.pem", ""),
            ("id_rsa", ""),
            (".npmrc", "//registry/:_authToken=abc"),
            ("web/.npmrc", "save-exact=true"),
            ("ca.pem", ""),
            (".aliformignore", "!ca.pem\n"),
        ]);
        let bundle = pack(folder.path()).unwrap();
        assert_eq!(paths(&bundle), [".env.example", "app.py", "ca.pem", "web/.npmrc"]);
        let left_out: Vec<&str> = bundle.findings.iter().map(|finding| finding.evidence.as_ref().unwrap().file.as_str()).collect();
        assert_eq!(left_out, [".env", ".env.production", ".npmrc", "id_rsa", "tls/server.key", "tls/server.pem"]);
    }

    #[test]
    fn links_may_not_leave_the_folder() {
        let inside = folder(&[("a/data.txt", "x")]);
        symlink("a/data.txt", inside.path().join("latest")).unwrap();
        assert_eq!(paths(&pack(inside.path()).unwrap()), ["a/data.txt", "latest"]);
        for target in ["../outside", "/etc/hostname", "a/../../x"] {
            let folder = folder(&[("a/data.txt", "x")]);
            symlink(target, folder.path().join("latest")).unwrap();
            let error = pack(folder.path()).unwrap_err();
            assert!(matches!(error, PackError::LinkLeaves { .. }), "{target}: {error}");
        }
    }

    #[test]
    fn a_selection_holds_what_is_named_and_no_secret() {
        let folder = folder(&[
            ("serve.py", "print(1)"),
            ("other.py", ""),
            (".gitignore", "serve.py\n*.log\n"),
            ("lib/a.py", ""),
            ("lib/a.log", ""),
            ("lib/server.key", ""),
            ("library.py", ""),
        ]);
        let set = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
        let written = Some(("run.sh".to_owned(), "python3 serve.py\n".to_owned()));
        let selection = Selection { files: set(&["serve.py"]), folders: set(&["lib"]), written };
        let bundle = pack_selected(folder.path(), &selection).unwrap();
        assert_eq!(paths(&bundle), ["lib/a.py", "run.sh", "serve.py"]);
        let missing = Selection { files: set(&["none.py"]), ..selection };
        assert!(matches!(pack_selected(folder.path(), &missing), Err(PackError::Read { .. })));
    }

    #[test]
    fn a_folder_that_is_missing_empty_or_too_large_is_refused() {
        let empty = folder(&[("aliform.yaml", "")]);
        assert!(matches!(pack(empty.path()), Err(PackError::Empty(_))));
        assert!(matches!(pack(&empty.path().join("none")), Err(PackError::NoFolder(_))));
        let large = folder(&[("big.bin", "0123456789"), ("app.py", "")]);
        let error = pack_within(large.path(), 9).unwrap_err();
        assert!(matches!(&error, PackError::TooLarge { total: 10, largest, .. } if largest[0].contains("big.bin")), "{error}");
    }
}
