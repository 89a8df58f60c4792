//! The packed sources of a resolution, kept until an apply uploads them, and the place for what jobs bring back.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;

use crate::project::outputs;
use crate::resources::kind::{Artifacts, Delivery, Ending, Received};

/// The folder of what jobs bring back.
const OUTPUTS: &str = "outputs";

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

    fn room(&self, place: &str) -> Result<(), String> {
        let above = self.home.join(OUTPUTS);
        outputs::room(&above, &above.join(place))
    }

    /// Only what a good run brought takes the place of what is there, and even that is kept until the next one.
    fn receive(&self, delivery: &Delivery<'_>) -> Result<Received, String> {
        let above = self.home.join(OUTPUTS);
        let folder = above.join(delivery.place);
        let (mut place, mut missing) = (String::new(), Vec::new());
        let unpacked = outputs::unpack(delivery.archive, &above, &folder, |new| {
            missing = delivery.promised.iter().filter(|output| new.join(output).symlink_metadata().is_err()).cloned().collect();
            let ending = match delivery.ending {
                Ending::Good if missing.is_empty() => "",
                Ending::Good | Ending::Bad => ".failed",
                Ending::Stopped => ".partial",
            };
            place = format!("{OUTPUTS}/{}{ending}", delivery.place);
            (self.home.join(&place), ending.is_empty())
        });
        let unpacked = unpacked.map_err(|error| format!("the outputs can't be written to `{}`: {error}", folder.display()))?;
        let mut notes: Vec<String> = unpacked.left_out.into_iter().map(|what| format!("left out of the outputs: {what}")).collect();
        if unpacked.before.is_some() {
            notes.push(format!("the outputs of the run before are in `{place}.previous`"));
        }
        Ok(Received { place, missing, notes })
    }
}
