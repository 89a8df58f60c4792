//! What containers put out: kept with the moment of each line, bounded, and written down once the container has ended.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::local_cloud::store::World;

/// How much of one container's output is kept; the oldest lines go first. A real node keeps 10 MiB and more.
const KEPT: usize = 2 << 20;

/// A line, with its end if that has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line(pub(crate) Timestamp, pub(crate) String);

/// The lines of one run of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Log {
    pub(crate) lines: VecDeque<Line>,
    /// How many lines were before these.
    pub(crate) gone: usize,
    bytes: usize,
    /// The beginning of a character whose end has not come.
    #[serde(skip)]
    rest: Vec<u8>,
}

impl Log {
    /// Takes a piece of output. What is no text is replaced as everywhere.
    pub(crate) fn write(&mut self, now: Timestamp, piece: &[u8]) {
        self.rest.extend_from_slice(piece);
        let complete = match std::str::from_utf8(&self.rest) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => self.rest.len(),
        };
        let bytes: Vec<u8> = self.rest.drain(..complete).collect();
        for part in String::from_utf8_lossy(&bytes).split_inclusive('\n') {
            self.bytes += part.len();
            match self.lines.back_mut() {
                Some(line) if !line.1.ends_with('\n') => line.1.push_str(part),
                _ => self.lines.push_back(Line(now, part.to_owned())),
            }
        }
        while self.bytes > KEPT && self.lines.len() > 1 {
            if let Some(line) = self.lines.pop_front() {
                self.bytes -= line.1.len();
                self.gone += 1;
            }
        }
    }

    /// The end of the output, at most so many lines and bytes: what a termination message falls back to.
    pub(crate) fn end(&self, lines: usize, bytes: usize) -> String {
        let text: String = self.lines.iter().skip(self.lines.len().saturating_sub(lines)).map(|line| line.1.as_str()).collect();
        let mut from = text.len().saturating_sub(bytes);
        while !text.is_char_boundary(from) {
            from += 1;
        }
        text[from..].to_owned()
    }
}

/// Output of a container that runs, and whoever follows it.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) log: Log,
    signal: watch::Sender<Growth>,
}

/// Tells whoever follows that there is more; at the end it is the whole log, since the pod and all that was kept of it may
/// be gone before anybody looks.
pub(crate) type Growth = Option<Arc<Log>>;

impl Default for Live {
    fn default() -> Self {
        Live { log: Log::default(), signal: watch::Sender::new(None) }
    }
}

/// What the log of one run is kept by.
pub(crate) fn key(cluster: &str, uid: &str, container: &str, attempt: u64) -> String {
    format!("{cluster}/{uid}/{container}/{attempt:06}")
}

/// Begins the log of a run.
pub(crate) fn begin(world: &mut World, key: &str) {
    world.index.kubernetes.logs.insert(key.to_owned(), Live::default());
}

/// Takes a piece of output of a run.
pub(crate) fn write(world: &mut World, key: &str, now: Timestamp, piece: &[u8]) {
    if let Some(live) = world.index.kubernetes.logs.get_mut(key) {
        live.log.write(now, piece);
        live.signal.send_replace(None);
    }
}

/// Writes the log of a run down that has ended; of earlier runs of the container only the last is kept.
pub(crate) fn finish(world: &mut World, key: &str) {
    let Some(live) = world.index.kubernetes.logs.remove(key) else { return };
    let run = key.rsplit_once('/').map_or(key, |(container, _)| container).to_owned() + "/";
    let older: Vec<String> = world.kubernetes_logs.starting_with(&run).map(|(key, _)| key.to_owned()).collect();
    for old in older.iter().rev().skip(1) {
        world.kubernetes_logs.remove(old);
    }
    let log = Arc::new(live.log);
    world.kubernetes_logs.insert(key, Log::clone(&log));
    live.signal.send_replace(Some(log));
}

/// Forgets all logs whose key begins so.
pub(crate) fn forget(world: &mut World, prefix: &str) {
    let old: Vec<String> = world.kubernetes_logs.starting_with(prefix).map(|(key, _)| key.to_owned()).collect();
    old.iter().for_each(|key| drop(world.kubernetes_logs.remove(key)));
    let logs = &mut world.index.kubernetes.logs;
    let live: Vec<String> = logs.keys().filter(|key| key.starts_with(prefix)).cloned().collect();
    for key in live {
        if let Some(live) = logs.remove(&key) {
            live.signal.send_replace(Some(Arc::new(live.log)));
        }
    }
}

/// A run's log, and what tells of its growth as long as it runs.
pub(crate) fn find<'a>(world: &'a World, key: &str) -> Option<(&'a Log, Option<watch::Receiver<Growth>>)> {
    if let Some(live) = world.index.kubernetes.logs.get(key) {
        return Some((&live.log, Some(live.signal.subscribe())));
    }
    world.kubernetes_logs.get(key).map(|log| (log, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_together_from_pieces_and_the_oldest_go() {
        let at = Timestamp::UNIX_EPOCH;
        let mut log = Log::default();
        log.write(at, b"one\ntw");
        log.write(at, "o \u{e9}".as_bytes().split_last().unwrap().1);
        log.write(at, &["\u{e9}".as_bytes()[1], b'\n', 0xff]);
        let texts: Vec<&str> = log.lines.iter().map(|line| line.1.as_str()).collect();
        assert_eq!(texts, ["one\n", "two \u{e9}\n", "\u{fffd}"]);
        assert_eq!(log.end(2, 3), "\u{fffd}");
        log.write(at, &vec![b'x'; KEPT]);
        assert_eq!((log.gone, log.lines.len()), (2, 1));
    }
}
