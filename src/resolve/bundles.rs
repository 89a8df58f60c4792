//! The packed sources of a resolution, kept until an apply uploads them, and the place for what jobs bring back.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;

use crate::project::outputs;
use crate::resources::kind::Artifacts;

/// Archives by their digest.
#[derive(Clone, Debug, Default)]
pub struct Bundles {
    archives: BTreeMap<String, Bytes>,
    /// The manifest's folder; empty for the working directory.
    home: PathBuf,
}

impl Bundles {
    /// Nothing yet; outputs will lie in `outputs/` below `home`.
    pub fn at(home: PathBuf) -> Self {
        Bundles { archives: BTreeMap::new(), home }
    }

    /// Keeps an archive.
    pub fn keep(&mut self, digest: String, archive: Bytes) {
        self.archives.insert(digest, archive);
    }
}

impl Artifacts for Bundles {
    fn archive(&self, digest: &str) -> Option<Bytes> {
        self.archives.get(digest).cloned()
    }

    fn receive(&self, job: &str, archive: &[u8]) -> Result<String, String> {
        let place = PathBuf::from("outputs").join(job);
        let folder = self.home.join(&place);
        outputs::unpack(archive, &folder).map_err(|error| format!("the outputs can't be written to `{}`: {error}", folder.display()))?;
        Ok(place.display().to_string())
    }
}
