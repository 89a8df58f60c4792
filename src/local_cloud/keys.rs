//! What the cloud keeps to itself: the key of its certificate authority, and the one that temporary access keys follow
//! from. Made when they are first needed; a durable cloud has them in its directory, where only its owner can read them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::tls::TlsError;
use super::tls::authority::{Authority, write_private};

/// A key that others are derived from.
pub(crate) type SessionKey = [u8; 32];

/// The keys of one cloud.
pub(crate) struct Keys {
    /// Where they are kept; a cloud in memory forgets them.
    dir: Option<PathBuf>,
    seed: u64,
    authority: Mutex<Option<Arc<Authority>>>,
    session: Mutex<Option<SessionKey>>,
}

impl Keys {
    /// Kept in a directory.
    pub(crate) fn in_directory(dir: PathBuf) -> Self {
        Keys { dir: Some(dir), ..Keys::in_memory(0) }
    }

    /// Kept nowhere: temporary keys follow from the seed, so that a history can be repeated.
    pub(crate) fn in_memory(seed: u64) -> Self {
        Keys { dir: None, seed, authority: Mutex::default(), session: Mutex::default() }
    }

    /// The certificate authority.
    pub(crate) fn authority(&self, now: Timestamp) -> Result<Arc<Authority>, TlsError> {
        let mut known = lock(&self.authority);
        if let Some(authority) = known.as_ref() {
            return Ok(Arc::clone(authority));
        }
        let authority = Arc::new(Authority::open(self.dir.as_deref(), now)?);
        *known = Some(Arc::clone(&authority));
        Ok(authority)
    }

    /// What temporary access keys follow from.
    pub(crate) fn session_key(&self) -> io::Result<SessionKey> {
        let mut known = lock(&self.session);
        if let Some(key) = *known {
            return Ok(key);
        }
        let key = match &self.dir {
            Some(dir) => kept(dir)?,
            None => Sha256::new().chain_update("sessions").chain_update(self.seed.to_be_bytes()).finalize().into(),
        };
        *known = Some(key);
        Ok(key)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn kept(dir: &Path) -> io::Result<SessionKey> {
    let path = dir.join("sts.key");
    match std::fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut key = SessionKey::default();
            getrandom::fill(&mut key).map_err(|error| io::Error::other(error.to_string()))?;
            let beside = dir.join("sts.key.new");
            write_private(&beside, hex::encode(key).as_bytes())?;
            std::fs::rename(&beside, &path)?;
            Ok(key)
        }
        Err(error) => Err(error),
        Ok(text) => {
            let mut key = SessionKey::default();
            let damaged = |_| io::Error::new(io::ErrorKind::InvalidData, format!("`{}` is damaged", path.display()));
            hex::decode_to_slice(text.trim_ascii(), &mut key).map_err(damaged)?;
            Ok(key)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_session_key_is_made_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let key = || Keys::in_directory(dir.path().to_owned()).session_key();
        let first = key().unwrap();
        assert_eq!(key().unwrap(), first);
        let path = dir.path().join("sts.key");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        std::fs::write(&path, "x").unwrap();
        assert_eq!(key().unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_ne!(Keys::in_memory(1).session_key().unwrap(), Keys::in_memory(2).session_key().unwrap());
    }
}
