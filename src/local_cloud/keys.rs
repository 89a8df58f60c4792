//! What the cloud keeps to itself: the key of its certificate authority. Made when it is first needed; a durable cloud
//! has it in its directory, where only its owner can read it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use super::tls::TlsError;
use super::tls::authority::Authority;

/// The keys of one cloud.
#[derive(Default)]
pub(crate) struct Keys {
    /// Where they are kept; a cloud in memory forgets them.
    dir: Option<PathBuf>,
    authority: Mutex<Option<Arc<Authority>>>,
}

impl Keys {
    pub(crate) fn in_directory(dir: PathBuf) -> Self {
        Keys { dir: Some(dir), ..Keys::default() }
    }

    /// The certificate authority.
    pub(crate) fn authority(&self, now: Timestamp) -> Result<Arc<Authority>, TlsError> {
        let mut known = self.authority.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(authority) = known.as_ref() {
            return Ok(Arc::clone(authority));
        }
        let authority = Arc::new(Authority::open(self.dir.as_deref(), now)?);
        *known = Some(Arc::clone(&authority));
        Ok(authority)
    }
}
