//! The bytes of objects, each kept once by its digest: in memory, or as files that are on disk before they are named.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// Where bytes are.
#[derive(Debug)]
pub(crate) enum Blobs {
    /// In memory.
    Memory(std::sync::Mutex<BTreeMap<String, Bytes>>),
    /// One file for each digest.
    Directory(PathBuf),
}

impl Blobs {
    pub(crate) fn in_memory() -> Self {
        Blobs::Memory(std::sync::Mutex::default())
    }

    pub(crate) fn in_directory(dir: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&dir)?;
        Ok(Blobs::Directory(dir))
    }

    /// The name that bytes are kept under.
    pub(crate) fn digest(bytes: &[u8]) -> String {
        hex::encode(Sha256::digest(bytes))
    }

    /// Keeps bytes under their digest. Somebody must have said that it is in use, or it may be forgotten meanwhile.
    pub(crate) async fn put(&self, digest: &str, bytes: Bytes) -> io::Result<()> {
        match self {
            Blobs::Memory(map) => drop(lock(map).insert(digest.to_owned(), bytes)),
            Blobs::Directory(dir) => {
                let path = dir.join(digest);
                let written = tokio::task::spawn_blocking(move || match path.try_exists() {
                    Ok(true) => Ok(()),
                    _ => super::log::write_whole(&path, &bytes),
                });
                written.await.map_err(io::Error::other)??;
            }
        }
        Ok(())
    }

    /// The bytes of a digest.
    pub(crate) async fn get(&self, digest: &str) -> io::Result<Bytes> {
        match self {
            Blobs::Memory(map) => lock(map).get(digest).cloned().ok_or_else(|| io::ErrorKind::NotFound.into()),
            Blobs::Directory(dir) => {
                let path = dir.join(digest);
                let read = tokio::task::spawn_blocking(move || std::fs::read(path));
                read.await.map_err(io::Error::other)?.map(Bytes::from)
            }
        }
    }

    /// Forgets the bytes of a digest that nothing names any more. What stays behind by mistake does no harm.
    pub(crate) fn forget(&self, digest: &str) {
        match self {
            Blobs::Memory(map) => drop(lock(map).remove(digest)),
            Blobs::Directory(dir) => drop(std::fs::remove_file(dir.join(digest))),
        }
    }

    /// Forgets all files but those of `known`: what a server left that died between writing and naming.
    pub(crate) fn keep_only(&self, known: &dyn Fn(&str) -> bool) -> io::Result<()> {
        if let Blobs::Directory(dir) = self {
            for entry in std::fs::read_dir(dir)? {
                let entry = entry?;
                if !entry.file_name().to_str().is_some_and(known) {
                    std::fs::remove_file(entry.path())?;
                }
            }
        }
        Ok(())
    }
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
