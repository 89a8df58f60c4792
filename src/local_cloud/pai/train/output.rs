//! Follows a pod's command and keeps what it writes, as it comes: whole lines as far as possible, many at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::local_cloud::machines::{CancellationSignal, CommandOutcome, CommandSpec, MachineSpec, Progress};
use crate::local_cloud::pai::log;
use crate::local_cloud::runtime::Shared;

/// How long output is gathered before it is written down.
const GATHERING: Duration = Duration::from_millis(100);
/// How long a line may be before it is written down in parts.
const LONGEST_LINE: usize = 64 * 1024;

#[derive(Default)]
struct Gathered {
    bytes: Mutex<Vec<u8>>,
    news: Notify,
}

impl Gathered {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, piece: &[u8]) {
        if !piece.is_empty() {
            self.bytes().extend_from_slice(piece);
            self.news.notify_one();
        }
    }

    /// What is to be written down: up to the last line's end, or all of it.
    fn take(&self, all: bool) -> Vec<u8> {
        let mut bytes = self.bytes();
        let end = match bytes.iter().rposition(|byte| *byte == b'\n') {
            _ if all || bytes.len() > LONGEST_LINE => bytes.len(),
            Some(last) => last + 1,
            None => 0,
        };
        bytes.drain(..end).collect()
    }
}

async fn keep(shared: &Arc<Shared>, uid: &str, bytes: Vec<u8>) {
    if !bytes.is_empty() {
        // What could not be written down comes again from the machine.
        super::commit(shared, |world, now| log::keep(world, uid, &bytes, now)).await;
    }
}

/// Runs a command or goes on with it; its output is kept under the command's id.
pub(super) async fn follow(shared: &Arc<Shared>, machine: &MachineSpec, command: CommandSpec, stop: CancellationSignal) -> CommandOutcome {
    let uid = command.id.clone();
    let gathered = Arc::new(Gathered::default());
    let progress: Progress = {
        let gathered = Arc::clone(&gathered);
        Arc::new(move |piece: &[u8]| gathered.add(piece))
    };
    let seen = log::received(&shared.world(), &uid);
    let writing = async {
        loop {
            gathered.news.notified().await;
            tokio::time::sleep(GATHERING).await;
            keep(shared, &uid, gathered.take(false)).await;
        }
    };
    let outcome = tokio::select! {
        biased;
        outcome = shared.machines.follow(machine, command, seen, progress, stop) => outcome,
        never = writing => never,
    };
    keep(shared, &uid, gathered.take(true)).await;
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_kept_whole_unless_it_is_too_long() {
        let gathered = Gathered::default();
        gathered.add(b"one\ntw");
        assert_eq!(gathered.take(false), b"one\n");
        gathered.add(b"o");
        assert_eq!(gathered.take(false), b"");
        assert_eq!(gathered.take(true), b"two");
        gathered.add(&vec![b'x'; LONGEST_LINE + 1]);
        assert_eq!(gathered.take(false).len(), LONGEST_LINE + 1);
    }
}
