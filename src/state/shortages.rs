//! What was sold out of late, in one small file for all stacks of a folder. It is a memory and no state: what can't be
//! read is forgotten, and nothing is lost with it.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::error::StateError;
use super::files::{OrFail as _, open_empty, read_if_there};
use crate::model::shortage::Shortage;

fn file(directory: &Path) -> PathBuf {
    directory.join("sold-out.json")
}

/// Those that count still.
pub fn read(directory: &Path, now: Timestamp) -> Vec<Shortage> {
    let bytes = read_if_there(&file(directory)).ok().flatten().unwrap_or_default();
    let all: Vec<Shortage> = serde_json::from_slice(&bytes).unwrap_or_default();
    all.into_iter().filter(|shortage| shortage.counts(now)).collect()
}

/// Adds one. Of two commands that do so at once, one may be forgotten.
pub(super) fn add(directory: &Path, shortage: Shortage, now: Timestamp) -> Result<(), StateError> {
    let same = |other: &Shortage| {
        (&other.region, &other.zone, &other.instance_type) == (&shortage.region, &shortage.zone, &shortage.instance_type)
    };
    let mut all = read(directory, now);
    all.retain(|other| !same(other));
    all.push(shortage);
    let (path, new) = (file(directory), directory.join("sold-out.json.new"));
    let bytes = serde_json::to_vec_pretty(&all).map_err(std::io::Error::from).or_fail("write", &path)?;
    open_empty(&new).and_then(|mut file| file.write_all(&bytes)).or_fail("write", &new)?;
    std::fs::rename(&new, &path).or_fail("write", &path)
}

/// Forgets all of them, of all stacks of that folder. What can't be removed is forgotten after some minutes.
pub fn forget(directory: &Path) {
    drop(std::fs::remove_file(file(directory)));
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn what_is_old_or_unreadable_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let now: Timestamp = "2026-01-02T03:00:00Z".parse().unwrap();
        let out = |zone: &str, at| Shortage { region: "r".into(), zone: Some(zone.into()), instance_type: None, code: "c".into(), at };
        assert!(read(folder.path(), now).is_empty());
        add(folder.path(), out("a", now), now).unwrap();
        add(folder.path(), out("a", now), now).unwrap();
        let later = now + SignedDuration::from_mins(7);
        add(folder.path(), out("b", later), later).unwrap();
        assert_eq!(read(folder.path(), later).len(), 2);
        let elsewhere = tempfile::tempdir().unwrap();
        add(elsewhere.path(), out("a", now), now).unwrap();
        forget(elsewhere.path());
        forget(elsewhere.path());
        assert!(read(elsewhere.path(), now).is_empty());
        assert_eq!(read(folder.path(), now + SignedDuration::from_mins(12)), [out("b", later)]);
        std::fs::write(folder.path().join("sold-out.json"), "[{").unwrap();
        assert!(read(folder.path(), now).is_empty());
    }
}
