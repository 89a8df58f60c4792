//! The durable side: a snapshot and a log of changes. A line of the log is one call's changes, all of them or none; it
//! is on disk before the call is answered, many calls with one sync. It knows rows as JSON and nothing of their meaning.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::table::Record;

const CHECKSUM: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);
/// How long a log may grow before it is folded into a snapshot, in bytes; a log also waits for half the snapshot's size.
const FOLD_AT: u64 = 8 * 1024 * 1024;
/// The version of what is written. Whatever an older program would misread, a row of a new kind among it, needs the next.
const FORMAT: u32 = 2;
/// The oldest that is read.
const OLDEST: u32 = 1;
/// The file that says so, before there is a snapshot.
const STAMP: &str = "store.version";

/// Why the store can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another server has it.
    #[error("`{0}` is in use by another local cloud; stop that one first")]
    InUse(PathBuf),
    /// The system said no.
    #[error("`{path}` can't be read or written")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A later program wrote it.
    #[error(
        "`{path}` says that a later version of aliform wrote this store (format {found}, this one reads up to {FORMAT}); use that version, or reset the local cloud"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The format that it names.
        found: u64,
    },
    /// What is there is not ours, or is damaged.
    #[error("`{path}` is not a local cloud's store: {reason}; move it away or reset the local cloud")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

#[derive(Debug, Default)]
struct Pending {
    lines: Vec<u8>,
    upto: u64,
}

#[derive(Debug)]
struct Files {
    dir: PathBuf,
    generation: u64,
    log: File,
    length: u64,
    snapshot_length: u64,
    /// Held as long as the store is open.
    _lock: File,
}

/// The log, open for appending.
#[derive(Debug)]
pub(crate) struct Log {
    pending: Mutex<Pending>,
    files: Arc<tokio::sync::Mutex<Files>>,
    durable: AtomicU64,
    failed: AtomicBool,
}

/// Gives every row there is; called to fold the log. It must hold off changes while `Log::covered` runs inside it.
pub(crate) type Snapshot = dyn Fn(&mut dyn FnMut(&[Record])) + Send + Sync;

impl Log {
    /// Opens the store in `dir` and hands all that was written to `load`, oldest first.
    pub(crate) fn open(dir: &Path, mut load: impl FnMut(Record) -> Result<(), serde_json::Error>) -> Result<Log, StoreError> {
        std::fs::create_dir_all(dir).map_err(at(dir))?;
        let lock = lock(dir)?;
        let stamped = read_stamp(dir)?;
        let snapshot_path = dir.join("snapshot.json");
        let (generation, snapshot_length) = match std::fs::read(&snapshot_path) {
            Ok(bytes) => (read_snapshot(&snapshot_path, &bytes, &mut load)?, bytes.len() as u64),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (0, 0),
            Err(error) => return Err(at(&snapshot_path)(error)),
        };
        let path = log_path(dir, generation);
        let log = OpenOptions::new().read(true).append(true).create(true).open(&path).map_err(at(&path))?;
        let bytes = std::fs::read(&path).map_err(at(&path))?;
        let length = replay(&path, &bytes, &mut load)?;
        if length < bytes.len() as u64 {
            // The last line was being written when the server died: nobody was told of it.
            log.set_len(length).map_err(at(&path))?;
        }
        if stamped != Some(FORMAT) {
            // Only now: whatever is wrong with the store, it was not touched.
            let path = dir.join(STAMP);
            write_whole(&path, format!("{FORMAT}\n").as_bytes()).map_err(at(&path))?;
        }
        sync_dir(dir).map_err(at(dir))?;
        let files = Files { dir: dir.to_owned(), generation, log, length, snapshot_length, _lock: lock };
        Ok(Log {
            pending: Mutex::default(),
            files: Arc::new(tokio::sync::Mutex::new(files)),
            durable: AtomicU64::new(0),
            failed: AtomicBool::new(false),
        })
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues one call's changes and answers their number. To be called while the rows can't change.
    pub(crate) fn append(&self, records: &[Record]) -> u64 {
        let mut pending = self.pending();
        if !records.is_empty() {
            let json = serde_json::to_vec(records).expect("records are plain structures");
            let line = format!("{:08x} ", CHECKSUM.checksum(&json));
            pending.lines.extend_from_slice(line.as_bytes());
            pending.lines.extend_from_slice(&json);
            pending.lines.push(b'\n');
            pending.upto += 1;
        }
        pending.upto
    }

    /// Waits until the changes up to `number` are on disk. The first to come writes for all who wait.
    pub(crate) async fn settle(self: &Arc<Self>, number: u64, snapshot: Arc<Snapshot>) -> Result<(), String> {
        if self.is_durable(number)? {
            return Ok(());
        }
        let log = Arc::clone(self);
        // A task of its own: the caller may go away once the lines have left the queue, or be one of several futures of a
        // task that does not look at it for a while, and the files would be its own until it does.
        let written = tokio::spawn(async move {
            let mut files = Arc::clone(&log.files).lock_owned().await;
            if log.is_durable(number)? {
                return Ok(());
            }
            let flushed = tokio::task::spawn_blocking(move || log.flush(&mut files, snapshot.as_ref()));
            flushed.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
        });
        written.await.map_err(|error| error.to_string())?
    }

    fn is_durable(&self, number: u64) -> Result<bool, String> {
        if self.failed.load(Ordering::Acquire) {
            return Err("an earlier change could not be written".to_owned());
        }
        Ok(self.durable.load(Ordering::Acquire) >= number)
    }

    fn flush(&self, files: &mut Files, snapshot: &Snapshot) -> io::Result<()> {
        let result = self.write_pending(files).and_then(|()| {
            let full = files.length > FOLD_AT.max(files.snapshot_length / 2);
            if full { self.fold(files, snapshot) } else { Ok(()) }
        });
        if result.is_err() {
            // What is on disk is not what is in memory any more: nothing may be promised from here on.
            self.failed.store(true, Ordering::Release);
        }
        result
    }

    fn write_pending(&self, files: &mut Files) -> io::Result<()> {
        let Pending { lines, upto } = {
            let mut pending = self.pending();
            Pending { lines: std::mem::take(&mut pending.lines), upto: pending.upto }
        };
        files.log.write_all(&lines)?;
        files.log.sync_data()?;
        files.length += lines.len() as u64;
        self.durable.store(upto, Ordering::Release);
        Ok(())
    }

    /// Writes every row to a new snapshot and starts an empty log.
    fn fold(&self, files: &mut Files, snapshot: &Snapshot) -> io::Result<()> {
        let next = files.generation + 1;
        let mut bytes = format!("{{\"format\":{FORMAT},\"generation\":{next}}}\n").into_bytes();
        let mut covered = 0;
        snapshot(&mut |records| {
            for record in records {
                serde_json::to_writer(&mut bytes, record).expect("records are plain structures");
                bytes.push(b'\n');
            }
            // No row changes while this runs, so what is queued is in the snapshot already.
            let mut pending = self.pending();
            pending.lines.clear();
            covered = pending.upto;
        });
        let line = format!("end {:08x}\n", CHECKSUM.checksum(&bytes));
        bytes.extend_from_slice(line.as_bytes());
        let path = log_path(&files.dir, next);
        let log = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
        log.set_len(0)?;
        log.sync_all()?;
        write_whole(&files.dir.join("snapshot.json"), &bytes)?;
        let old = log_path(&files.dir, files.generation);
        (files.generation, files.log, files.length, files.snapshot_length) = (next, log, 0, bytes.len() as u64);
        self.durable.store(covered, Ordering::Release);
        // The snapshot names its log, so an old one that stays does no harm.
        drop(std::fs::remove_file(old));
        Ok(())
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> StoreError {
    move |source| StoreError::Io { path: path.to_owned(), source }
}

fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("store.lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(at(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(at(&path)(error)),
    }
}

fn log_path(dir: &Path, generation: u64) -> PathBuf {
    dir.join(format!("changes.{generation}.log"))
}

/// The format that the store says it has; none if nothing was said yet, as before there were stamps.
fn read_stamp(dir: &Path) -> Result<Option<u32>, StoreError> {
    let path = dir.join(STAMP);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => String::new(),
        Err(error) => return Err(at(&path)(error)),
    };
    match text.trim().parse() {
        Ok(format) => known_format(&path, format).map(Some),
        Err(_) => Err(StoreError::Damaged { path, reason: "it holds no format's number".to_owned() }),
    }
}

fn known_format(path: &Path, found: u64) -> Result<u32, StoreError> {
    match u32::try_from(found) {
        Ok(format) if (OLDEST..=FORMAT).contains(&format) => Ok(format),
        _ if found > u64::from(FORMAT) => Err(StoreError::Newer { path: path.to_owned(), found }),
        _ => Err(StoreError::Damaged { path: path.to_owned(), reason: format!("there is no format {found}") }),
    }
}

fn read_snapshot(path: &Path, bytes: &[u8], load: &mut impl FnMut(Record) -> Result<(), serde_json::Error>) -> Result<u64, StoreError> {
    let damaged = |reason: &str| StoreError::Damaged { path: path.to_owned(), reason: reason.to_owned() };
    let end = bytes.len().checked_sub("end 00000000\n".len()).ok_or_else(|| damaged("it is cut off"))?;
    let (body, tail) = bytes.split_at(end);
    if tail != format!("end {:08x}\n", CHECKSUM.checksum(body)).as_bytes() {
        return Err(damaged("its checksum does not fit"));
    }
    let mut lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let header: serde_json::Value =
        lines.next().and_then(|line| serde_json::from_slice(line).ok()).ok_or_else(|| damaged("it has no header"))?;
    known_format(path, header["format"].as_u64().ok_or_else(|| damaged("its header names no format"))?)?;
    for line in lines {
        serde_json::from_slice(line).and_then(&mut *load).map_err(|error| damaged(&error.to_string()))?;
    }
    header["generation"].as_u64().ok_or_else(|| damaged("it has no generation"))
}

/// Answers how many bytes of the log are whole lines.
fn replay(path: &Path, bytes: &[u8], load: &mut impl FnMut(Record) -> Result<(), serde_json::Error>) -> Result<u64, StoreError> {
    let mut whole = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Some(json) = checked(line) else { break };
        let damaged = |error: serde_json::Error| StoreError::Damaged { path: path.to_owned(), reason: error.to_string() };
        for record in serde_json::from_slice::<Vec<Record>>(json).map_err(damaged)? {
            load(record).map_err(damaged)?;
        }
        whole += line.len();
    }
    if bytes[whole..].split_inclusive(|byte| *byte == b'\n').skip(1).any(|line| checked(line).is_some()) {
        let reason = format!("a line at byte {whole} is damaged and others follow");
        return Err(StoreError::Damaged { path: path.to_owned(), reason });
    }
    Ok(whole as u64)
}

fn checked(line: &[u8]) -> Option<&[u8]> {
    let (sum, json) = line.strip_suffix(b"\n")?.split_at_checked(9)?;
    let expected = u32::from_str_radix(std::str::from_utf8(sum).ok()?.trim_end(), 16).ok()?;
    (CHECKSUM.checksum(json) == expected).then_some(json)
}

/// Writes a file so that it is there whole or not at all, on disk when this returns.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync_dir(dir)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_and_is_not_looked_at_keeps_nobody_from_writing() {
        let dir = tempfile::tempdir().unwrap();
        let log = Arc::new(Log::open(dir.path(), |_| Ok(())).unwrap());
        let busy = Arc::clone(&log.files).lock_owned().await;
        let first = log.append(&[record("a", 1)]);
        let mut waiting = Box::pin(log.settle(first, nothing()));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(busy);
        let second = log.append(&[record("b", 2)]);
        tokio::time::timeout(std::time::Duration::from_secs(60), log.settle(second, nothing())).await.unwrap().unwrap();
        waiting.await.unwrap();
    }

    fn record(key: &str, row: u32) -> Record {
        Record { table: "t".to_owned(), key: key.to_owned(), row: Some(row.into()) }
    }

    fn read(dir: &Path) -> Result<Vec<Record>, StoreError> {
        let mut all = Vec::new();
        Log::open(dir, |record| {
            all.push(record);
            Ok(())
        })?;
        Ok(all)
    }

    fn nothing() -> Arc<Snapshot> {
        Arc::new(|_: &mut dyn FnMut(&[Record])| panic!("no need to fold"))
    }

    #[tokio::test]
    async fn a_change_that_was_settled_is_there_again_and_a_torn_tail_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let log = Arc::new(Log::open(dir.path(), |_| Ok(())).unwrap());
        let first = log.append(&[record("a", 1), record("b", 2)]);
        let second = log.append(&[record("a", 3)]);
        assert_eq!((first, second), (1, 2));
        log.settle(second, nothing()).await.unwrap();
        assert!(matches!(read(dir.path()), Err(StoreError::InUse(_))));
        drop(log);
        let path = log_path(dir.path(), 0);
        let mut bytes = std::fs::read(&path).unwrap();
        let whole = bytes.len();
        bytes.extend_from_slice(b"deadbeef [{\"t\":\"t\"");
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(read(dir.path()).unwrap(), [record("a", 1), record("b", 2), record("a", 3)]);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), whole as u64);
    }

    #[test]
    fn a_store_of_a_later_version_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let stamp = dir.path().join(STAMP);
        read(dir.path()).unwrap();
        assert_eq!(std::fs::read_to_string(&stamp).unwrap(), format!("{FORMAT}\n"));
        std::fs::write(&stamp, "99\n").unwrap();
        let error = read(dir.path()).unwrap_err();
        assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
        assert!(error.to_string().contains("store.version") && error.to_string().contains("later version"), "{error}");
        std::fs::write(&stamp, "soup").unwrap();
        assert!(matches!(read(dir.path()), Err(StoreError::Damaged { path, .. }) if path == stamp));
        assert_eq!(std::fs::read_to_string(&stamp).unwrap(), "soup");
        // Before there were stamps.
        std::fs::remove_file(&stamp).unwrap();
        read(dir.path()).unwrap();
        let body = b"{\"format\":3,\"generation\":0}\n";
        let snapshot = [&body[..], format!("end {:08x}\n", CHECKSUM.checksum(body)).as_bytes()].concat();
        std::fs::write(dir.path().join("snapshot.json"), snapshot).unwrap();
        assert!(matches!(read(dir.path()), Err(StoreError::Newer { found: 3, .. })));
    }

    #[tokio::test]
    async fn damage_in_the_middle_is_told_and_not_cut() {
        let dir = tempfile::tempdir().unwrap();
        let log = Arc::new(Log::open(dir.path(), |_| Ok(())).unwrap());
        log.append(&[record("a", 1)]);
        let last = log.append(&[record("b", 2)]);
        log.settle(last, nothing()).await.unwrap();
        drop(log);
        let path = log_path(dir.path(), 0);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[12] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(matches!(read(dir.path()), Err(StoreError::Damaged { .. })));
    }

    #[tokio::test]
    async fn folding_keeps_every_row_once() {
        let dir = tempfile::tempdir().unwrap();
        let log = Arc::new(Log::open(dir.path(), |_| Ok(())).unwrap());
        let last = log.append(&[record("a", 1)]);
        log.settle(last, nothing()).await.unwrap();
        log.append(&[record("a", 2)]);
        {
            let mut files = log.files.lock().await;
            log.fold(&mut files, &|each: &mut dyn FnMut(&[Record])| each(&[record("a", 2)])).unwrap();
        }
        let after = log.append(&[record("b", 1)]);
        log.settle(after, nothing()).await.unwrap();
        drop(log);
        assert_eq!(read(dir.path()).unwrap(), [record("a", 2), record("b", 1)]);
        assert!(!log_path(dir.path(), 0).exists());
    }
}
