//! A source folder as detection sees it: the files that the bundle would carry, read on demand, and quotes from them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::model::finding::Evidence;
use crate::project::walk::{self, EntryKind, WalkError};

/// Larger files are data, not a description of how to run something.
const READ_LIMIT: u64 = 1024 * 1024;

pub(super) struct Source {
    root: PathBuf,
    files: BTreeSet<String>,
}

impl Source {
    pub(super) fn open(root: &Path) -> Result<Self, WalkError> {
        let entries = walk::walk(root)?;
        let files = entries.into_iter().filter(|(_, entry)| entry.kind != EntryKind::Other).map(|(path, _)| path).collect();
        Ok(Source { root: root.to_owned(), files })
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.files.contains(path)
    }

    /// The first of `names` that is there.
    pub(super) fn first<'a>(&self, names: &[&'a str]) -> Option<&'a str> {
        names.iter().copied().find(|name| self.has(name))
    }

    /// Files right in the root whose name ends with `suffix`.
    pub(super) fn in_root<'a>(&'a self, suffix: &'a str) -> impl Iterator<Item = &'a str> {
        self.all(suffix).filter(|path| !path.contains('/'))
    }

    /// Files anywhere whose path ends with `suffix`.
    pub(super) fn all<'a>(&'a self, suffix: &'a str) -> impl Iterator<Item = &'a str> {
        self.files.iter().map(String::as_str).filter(move |path| path.ends_with(suffix))
    }

    /// Whether any file lies under the folder `name`.
    pub(super) fn has_folder(&self, name: &str) -> bool {
        let prefix = format!("{name}/");
        self.files.range(prefix.clone()..).next().is_some_and(|path| path.starts_with(&prefix))
    }

    /// The text of a file; empty when it is missing, too large or unreadable.
    pub(super) fn read(&self, path: &str) -> String {
        let full = self.root.join(path);
        let small = std::fs::metadata(&full).is_ok_and(|metadata| metadata.is_file() && metadata.len() <= READ_LIMIT);
        if !small || !self.has(path) {
            return String::new();
        }
        std::fs::read(full).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Quotes the first line of `path` that `fits`.
    pub(super) fn quote(&self, path: &str, fits: impl Fn(&str) -> bool) -> Option<Evidence> {
        let text = self.read(path);
        let (number, line) = text.lines().enumerate().find(|(_, line)| fits(line))?;
        Some(quoted(path, number, line))
    }

    /// Points at a file as a whole.
    pub(super) fn whole(&self, path: &str) -> Evidence {
        Evidence { file: path.to_owned(), line: 0, text: String::new() }
    }

    /// The first line of `path` that holds `needle`, or else the file as a whole.
    pub(super) fn quote_or_whole(&self, path: &str, needle: &str) -> Evidence {
        self.quote(path, |line| line.contains(needle)).unwrap_or_else(|| self.whole(path))
    }
}

/// The line with the number `index`, counted from 0.
pub(super) fn quoted(path: &str, index: usize, line: &str) -> Evidence {
    let text: String = line.trim().chars().take(160).collect();
    Evidence { file: path.to_owned(), line: u32::try_from(index + 1).unwrap_or(u32::MAX), text }
}
