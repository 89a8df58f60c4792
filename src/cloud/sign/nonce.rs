//! Numbers used once: a service refuses a signed request that it has seen before.

/// Where nonces come from.
pub trait Nonces: Send + Sync {
    /// A text that was never given before.
    fn next(&self) -> String;
}

/// 128 random bits each, in hex.
#[derive(Clone, Copy, Debug, Default)]
pub struct RandomNonces;

impl Nonces for RandomNonces {
    fn next(&self) -> String {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("a system without a random source can make no TLS connection either");
        hex::encode(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_differ() {
        let (one, other) = (RandomNonces.next(), RandomNonces.next());
        assert_eq!(one.len(), 32);
        assert_ne!(one, other);
    }
}
