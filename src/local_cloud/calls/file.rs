//! The request log: a line of JSON for each call, in a file that does not grow without end.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::CallRecord;

/// How long the file may grow; then it becomes `requests.log.1`, and the one before that is gone.
const TURN_AT: u64 = 8 * 1024 * 1024;

/// The file, opened with the first call.
#[derive(Debug)]
pub(super) struct RequestLog {
    path: PathBuf,
    file: Mutex<Option<(File, u64)>>,
}

impl RequestLog {
    pub(super) fn new(path: &Path) -> RequestLog {
        RequestLog { path: path.to_owned(), file: Mutex::default() }
    }

    pub(super) fn write(&self, record: &CallRecord) {
        let Ok(mut line) = serde_json::to_vec(record) else { return };
        line.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // A disk that is full or a directory that is gone takes nothing from the call.
        if self.append(&mut file, &line).is_err() {
            *file = None;
        }
    }

    fn append(&self, slot: &mut Option<(File, u64)>, line: &[u8]) -> std::io::Result<()> {
        if slot.as_ref().is_some_and(|(_, length)| length + line.len() as u64 > TURN_AT) {
            *slot = None;
            std::fs::rename(&self.path, self.path.with_extension("log.1"))?;
        }
        if slot.is_none() {
            let file = OpenOptions::new().create(true).append(true).open(&self.path)?;
            let length = file.metadata()?.len();
            *slot = Some((file, length));
        }
        let Some((file, length)) = slot else { return Ok(()) };
        file.write_all(line)?;
        *length += line.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_turns_before_it_grows_too_long() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("requests.log");
        let log = RequestLog::new(&path);
        let line = vec![b'x'; 1024 * 1024];
        for _ in 0..20 {
            log.append(&mut log.file.lock().unwrap(), &line).unwrap();
        }
        let length = |path: &Path| std::fs::metadata(path).unwrap().len();
        assert_eq!((length(&path), length(&folder.path().join("requests.log.1"))), (4 * 1024 * 1024, TURN_AT));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
