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
        let ending = match delivery.ending {
            Ending::Good => "",
            Ending::Bad => ".failed",
            Ending::Stopped => ".partial",
        };
        let place = format!("{OUTPUTS}/{}{ending}", delivery.place);
        let (above, folder) = (self.home.join(OUTPUTS), self.home.join(&place));
        let unpacked = outputs::unpack(delivery.archive, &above, &folder, delivery.ending == Ending::Good)
            .map_err(|error| format!("the outputs can't be written to `{}`: {error}", folder.display()))?;
        let mut notes: Vec<String> = unpacked.left_out.into_iter().map(|what| format!("left out of the outputs: {what}")).collect();
        if unpacked.before.is_some() {
            notes.push(format!("the outputs of the run before are in `{place}.previous`"));
        }
        let missing = delivery.promised.iter().filter(|output| folder.join(output).symlink_metadata().is_err()).cloned().collect();
        Ok(Received { place, missing, notes })
    }
}
