//! The bytes of objects, each kept once by its digest: in memory, or as files that are on disk before they are named.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
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

/// A run of the bytes of a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) digest: String,
    pub(crate) from: u64,
    pub(crate) length: u64,
}

impl Piece {
    fn of(&self, bytes: Option<&Bytes>) -> io::Result<Bytes> {
        let bytes = bytes.ok_or(io::ErrorKind::NotFound)?;
        let (from, length) = (usize::try_from(self.from), usize::try_from(self.length));
        let (from, length) = (from.map_err(io::Error::other)?, length.map_err(io::Error::other)?);
        let range = from..from.saturating_add(length);
        if range.end <= bytes.len() { Ok(bytes.slice(range)) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
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

    /// All bytes of a digest.
    pub(crate) async fn get(&self, digest: &str) -> io::Result<Bytes> {
        match self {
            Blobs::Memory(map) => lock(map).get(digest).cloned().ok_or_else(|| io::ErrorKind::NotFound.into()),
            Blobs::Directory(dir) => {
                let path = dir.join(digest);
                tokio::task::spawn_blocking(move || std::fs::read(path)).await.map_err(io::Error::other)?.map(Bytes::from)
            }
        }
    }

    /// Some bytes of several digests, one piece after the other. Only what is asked for is read.
    pub(crate) async fn read(&self, pieces: Vec<Piece>) -> io::Result<Bytes> {
        let length = pieces.iter().map(|piece| piece.length).sum::<u64>();
        let length = usize::try_from(length).map_err(io::Error::other)?;
        match self {
            Blobs::Memory(map) => {
                let slices = pieces.iter().map(|piece| piece.of(lock(map).get(&piece.digest)));
                let slices: Vec<Bytes> = slices.collect::<io::Result<_>>()?;
                if let [one] = slices.as_slice() {
                    return Ok(one.clone());
                }
                Ok(Bytes::from(slices.concat()))
            }
            Blobs::Directory(dir) => {
                let dir = dir.clone();
                let read = tokio::task::spawn_blocking(move || {
                    let mut bytes = Vec::with_capacity(length);
                    for piece in pieces {
                        let mut file = File::open(dir.join(&piece.digest))?;
                        file.seek(SeekFrom::Start(piece.from))?;
                        file.take(piece.length).read_to_end(&mut bytes)?;
                    }
                    if bytes.len() == length { Ok(bytes.into()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
                });
                read.await.map_err(io::Error::other)?
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pieces_are_read_one_after_the_other() {
        let dir = tempfile::tempdir().unwrap();
        for blobs in [Blobs::in_memory(), Blobs::in_directory(dir.path().to_owned()).unwrap()] {
            let [a, b] = [b"hello ".as_slice(), b"world"].map(|bytes| (Blobs::digest(bytes), Bytes::from(bytes)));
            for (digest, bytes) in [&a, &b] {
                blobs.put(digest, bytes.clone()).await.unwrap();
            }
            let piece = |digest: &str, from, length| Piece { digest: digest.to_owned(), from, length };
            assert_eq!(blobs.read(vec![piece(&a.0, 3, 3), piece(&b.0, 0, 2)]).await.unwrap(), "lo wo");
            assert_eq!(blobs.read(vec![piece(&b.0, 1, 4)]).await.unwrap(), "orld");
            assert_eq!(blobs.read(Vec::new()).await.unwrap(), "");
            assert_eq!(blobs.read(vec![piece(&b.0, 1, 5)]).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            blobs.forget(&b.0);
            assert_eq!(blobs.read(vec![piece(&b.0, 0, 1)]).await.unwrap_err().kind(), io::ErrorKind::NotFound);
        }
    }
}
