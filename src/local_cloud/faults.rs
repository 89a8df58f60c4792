//! What goes wrong on purpose: draws from a seed, one set for each call, so that a history can be repeated.

use std::time::Duration;

use super::config::Faults;
use super::wire::fault::Fault;

/// What happens to one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fate {
    /// It is lost before it happens.
    pub(crate) lost_request: bool,
    /// It is refused and does not happen.
    pub(crate) refused: Option<Fault>,
    /// It happens and the answer is lost.
    pub(crate) lost_answer: bool,
    /// It takes so long.
    pub(crate) delay: Duration,
}

/// The refusal of a caller who asks too often.
pub(crate) fn throttled(wait: Option<Duration>) -> Fault {
    let mut fault = Fault::bad("Throttling.User", "Request was denied due to user flow control.");
    fault.retry_after = wait.and_then(|wait| u64::try_from(wait.as_millis()).ok());
    fault
}

/// A small generator of even numbers (SplitMix64).
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Dice(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// An even draw from 0 up to, not with, 1.
    pub(crate) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// The fate of the next call. Always draws as often, so that one probability does not shift the others.
    pub(crate) fn fate(&mut self, faults: &Faults) -> Fate {
        let [lost_request, throttle, server_error, lost_answer, kind, delay] = std::array::from_fn(|_| self.share());
        let refused = if throttle < faults.throttle {
            Some(throttled((kind < 0.5).then_some(Duration::from_millis(200))))
        } else if server_error < faults.server_error {
            Some(if kind < 0.5 {
                Fault::new(500, "InternalError", "The request processing has failed due to some unknown error.")
            } else {
                Fault::new(503, "ServiceUnavailable", "The request has failed due to a temporary failure of the server.")
            })
        } else {
            None
        };
        Fate {
            lost_request: lost_request < faults.lost_request,
            refused,
            lost_answer: lost_answer < faults.lost_answer,
            delay: faults.latency.mul_f64(delay),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_fates_about_as_often_as_asked() {
        let faults = Faults { seed: 7, throttle: 0.1, server_error: 0.1, lost_answer: 0.2, lost_request: 0.05, latency: Duration::ZERO };
        let fates = |seed| {
            let mut dice = Dice::new(seed);
            (0..10_000).map(|_| dice.fate(&faults)).collect::<Vec<_>>()
        };
        assert_eq!(fates(7), fates(7));
        assert_ne!(fates(7), fates(8));
        let lost = fates(7).iter().filter(|fate| fate.lost_answer).count();
        assert!((1_800..2_200).contains(&lost), "{lost} of 10000");
        let throttled = fates(7).iter().filter(|fate| fate.refused.as_ref().is_some_and(|fault| fault.code == "Throttling.User")).count();
        assert!((850..1_150).contains(&throttled), "{throttled} of 10000");
    }
}
