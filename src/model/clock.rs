//! Where the time comes from. The engine is handed a clock; only the binary and the tests make one.

use jiff::Timestamp;

/// A source of the present moment.
pub trait Clock: Send + Sync {
    /// Now, in UTC.
    fn now(&self) -> Timestamp;
}

/// A clock that follows tokio's time from a fixed start, so that it stands still and jumps with a paused runtime.
#[derive(Debug)]
pub struct RuntimeClock {
    start: Timestamp,
    origin: tokio::time::Instant,
}

impl RuntimeClock {
    /// A clock that reads `start` now.
    pub fn starting_at(start: Timestamp) -> Self {
        RuntimeClock { start, origin: tokio::time::Instant::now() }
    }
}

impl Clock for RuntimeClock {
    fn now(&self) -> Timestamp {
        let elapsed = self.origin.elapsed();
        self.start.saturating_add(jiff::SignedDuration::try_from(elapsed).unwrap_or(jiff::SignedDuration::MAX)).unwrap_or(Timestamp::MAX)
    }
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one owner of the system's clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
