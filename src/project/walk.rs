//! Which files of a source folder count: those that the bundle carries and that detection may look at.
//! `.gitignore` and `.aliformignore` are honoured, in a git work tree or not; nothing outside the folder is followed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use ignore::{DirEntry, WalkBuilder};

/// The file in which a project says what stays at home, in the words of `.gitignore`.
pub(super) const IGNORE_FILE: &str = ".aliformignore";

/// Folders that are rebuilt on the machine or belong to tools.
const NEVER_FOLDERS: &[&str] = &[
    ".git",
    ".hg",
    ".svn",
    ".aliform",
    "node_modules",
    "__pycache__",
    ".venv",
    "venv",
    ".tox",
    ".nox",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".gradle",
    ".idea",
    ".vscode",
];

/// What a walk met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryKind {
    File,
    Symlink,
    /// A socket, a pipe, a device.
    Other,
}

/// One entry of the folder.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) full: PathBuf,
    pub(super) kind: EntryKind,
}

/// A folder that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("could not read the source folder at `{path}`")]
pub struct WalkError {
    /// The folder, or the place in it.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: ignore::Error,
}

/// Every entry that is not ignored, by its path inside `folder` with `/` between the parts.
pub(super) fn walk(folder: &Path) -> Result<BTreeMap<String, Entry>, WalkError> {
    let mut builder = WalkBuilder::new(folder);
    builder
        .standard_filters(false)
        .git_ignore(true)
        .require_git(false)
        .parents(false)
        .follow_links(false)
        .add_custom_ignore_filename(IGNORE_FILE)
        .filter_entry(|entry| entry.depth() == 0 || !is_left_at_home(entry));
    let mut entries = BTreeMap::new();
    for entry in builder.build() {
        let entry = entry.map_err(|source| WalkError { path: folder.to_owned(), source })?;
        let Some(kind) = entry.file_type().filter(|kind| entry.depth() > 0 && !kind.is_dir()) else { continue };
        let Ok(inside) = entry.path().strip_prefix(folder) else { continue };
        let path = inside.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/");
        let kind = match kind {
            kind if kind.is_file() => EntryKind::File,
            kind if kind.is_symlink() => EntryKind::Symlink,
            _ => EntryKind::Other,
        };
        entries.insert(path, Entry { full: entry.into_path(), kind });
    }
    Ok(entries)
}

/// The project's own word that a file comes along although aliform would leave it out: `!name` in `.aliformignore`.
pub(super) fn explicitly_wanted(folder: &Path) -> Gitignore {
    let mut builder = GitignoreBuilder::new(folder);
    // An unreadable file has made the walk fail already; an absent one wants nothing.
    let _absent = builder.add(folder.join(IGNORE_FILE));
    builder.build().unwrap_or_else(|_| Gitignore::empty())
}

fn is_left_at_home(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    if entry.file_type().is_some_and(|kind| kind.is_dir()) {
        // A virtual environment can have any name; this file marks it.
        return NEVER_FOLDERS.contains(&&*name) || entry.path().join("pyvenv.cfg").is_file();
    }
    // The manifest says how to run the code and is no part of it: a larger disk must not be a new release.
    let manifest = entry.depth() == 1 && (name == "aliform.yaml" || name == "aliform.yml");
    manifest || name == IGNORE_FILE || name == ".DS_Store" || name.ends_with(".pyc")
}
