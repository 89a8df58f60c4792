//! Collects every child that ends: a machine's first process inherits all orphans. It never kills anything.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{WaitOptions, WaitStatus};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};

/// Who waits for which child, and whether there is any child at all.
pub(super) struct Reaper {
    waiting: Mutex<BTreeMap<i32, oneshot::Sender<i32>>>,
    children: watch::Sender<bool>,
}

impl Reaper {
    /// Starts collecting. Must be called before the first child is spawned.
    pub(super) fn start() -> std::io::Result<Arc<Reaper>> {
        let signal = signal(SignalKind::child())?;
        let reaper = Arc::new(Reaper { waiting: Mutex::default(), children: watch::Sender::new(false) });
        tokio::spawn(reaper.clone().collect(signal));
        Ok(reaper)
    }

    /// Spawns a child. Its exit code comes through the receiver: 128 and the signal's number if a signal ended it.
    ///
    /// Spawning and noting the child happen without a pause between them, on the only thread: the child can't be
    /// collected before somebody waits for it.
    pub(super) fn spawn(&self, command: &mut std::process::Command) -> std::io::Result<(i32, oneshot::Receiver<i32>)> {
        let child = command.spawn()?.id() as i32;
        let (sender, receiver) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(child, sender);
        self.children.send_replace(true);
        Ok((child, receiver))
    }

    /// Tells whether any process is left besides this one.
    pub(super) fn children(&self) -> watch::Receiver<bool> {
        self.children.subscribe()
    }

    async fn collect(self: Arc<Reaper>, mut signal: Signal) {
        while signal.recv().await.is_some() {
            loop {
                match rustix::process::wait(WaitOptions::NOHANG) {
                    Ok(Some((pid, status))) => self.ended(pid.as_raw_nonzero().get(), status),
                    Ok(None) => break,
                    Err(rustix::io::Errno::INTR) => {}
                    Err(_) => {
                        self.children.send_replace(false);
                        break;
                    }
                }
            }
        }
    }

    fn ended(&self, pid: i32, status: WaitStatus) {
        let Some(code) = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal)) else { return };
        if let Some(sender) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&pid) {
            let _ = sender.send(code);
        }
    }
}
