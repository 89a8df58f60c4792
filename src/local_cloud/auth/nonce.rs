//! Remembers which nonces were used, for as long as a signature stays valid.

use std::collections::{BTreeSet, VecDeque};

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::SKEW;
use crate::local_cloud::time::after;
use crate::local_cloud::wire::fault::Fault;

/// The nonces of the last minutes, as the first bytes of their digests: millions fit into memory.
#[derive(Debug, Default)]
pub(crate) struct Nonces {
    seen: BTreeSet<u64>,
    by_age: VecDeque<(Timestamp, u64)>,
}

impl Nonces {
    /// Takes a nonce, or refuses one that was used.
    pub(crate) fn take(&mut self, key: &str, nonce: &str, now: Timestamp) -> Result<(), Fault> {
        while let Some((until, old)) = self.by_age.front().copied().filter(|(until, _)| *until < now) {
            debug_assert!(until < now);
            self.seen.remove(&old);
            self.by_age.pop_front();
        }
        let digest = Sha256::new().chain_update(key).chain_update([0]).chain_update(nonce).finalize();
        let short = digest.iter().take(8).fold(0_u64, |short, byte| short << 8 | u64::from(*byte));
        if !self.seen.insert(short) {
            return Err(Fault::bad("SignatureNonceUsed", "Specified signature nonce was used already."));
        }
        // A request may be dated up to SKEW ahead and stays valid SKEW after its date.
        self.by_age.push_back((after(after(now, SKEW), SKEW), short));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_nonce_counts_once_until_its_time_is_over() {
        let mut nonces = Nonces::default();
        let now = Timestamp::UNIX_EPOCH;
        nonces.take("a", "1", now).unwrap();
        nonces.take("b", "1", now).unwrap();
        assert_eq!(nonces.take("a", "1", after(now, SKEW)).unwrap_err().code, "SignatureNonceUsed");
        nonces.take("a", "1", after(now, Duration::from_secs(31 * 60))).unwrap();
        assert_eq!(nonces.by_age.len(), 1);
    }
}
