//! The packed sources of a resolution, kept until an apply uploads them.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::resources::kind::Artifacts;

/// Archives by their digest.
#[derive(Clone, Debug, Default)]
pub struct Bundles(BTreeMap<String, Bytes>);

impl Bundles {
    /// Keeps an archive.
    pub fn keep(&mut self, digest: String, archive: Bytes) {
        self.0.insert(digest, archive);
    }
}

impl Artifacts for Bundles {
    fn archive(&self, digest: &str) -> Option<Bytes> {
        self.0.get(digest).cloned()
    }
}
