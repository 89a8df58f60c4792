//! What asks a command to stop: Ctrl-C, a service manager or a CI that ends it, a terminal or a connection that closes.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask for an end. From the moment this exists none of them ends the process by itself.
pub(crate) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
    /// None where a closed terminal is to be outlived.
    hangup: Option<Signal>,
}

impl Interrupts {
    pub(crate) fn new() -> io::Result<Self> {
        let hangup = (!outlives_its_terminal()).then(|| signal(SignalKind::hangup())).transpose()?;
        Ok(Interrupts { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())?, hangup })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hangup => {}
        }
    }
}

/// Whether it was started to go on without its terminal, as `nohup` does it: by ignoring the signal. Where the system does
/// not tell, the signal keeps its meaning.
fn outlives_its_terminal() -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return true };
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_none_or(|mask| mask & 1 == 1)
}
