//! Bytes on their way in and out: measured once, kept by digest for as long as somebody names them, read in ranges.
//! Large bodies are shared and sliced, never copied.

use std::sync::Arc;

use bytes::Bytes;
use md5::{Digest, Md5};

use super::refusal::Refusal;
use super::rows::{Content, Object};
use crate::local_cloud::runtime::Shared;
use crate::local_cloud::store::blobs::{Blobs, Piece};
use crate::local_cloud::store::{Task, World};

static CRC64: crc::Crc<u64, crc::Table<16>> = crc::Crc::<u64, crc::Table<16>>::new(&crc::CRC_64_XZ);
/// The reflected polynomial of ECMA-182.
const POLYNOMIAL: u64 = 0xC96C_5795_D787_0F42;
/// From this size on bytes are hashed where nobody else has to wait.
const LARGE: usize = 256 * 1024;

/// What follows from some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Measured {
    pub(super) digest: String,
    pub(super) size: u64,
    pub(super) md5: [u8; 16],
    pub(super) crc64: u64,
}

impl Measured {
    fn of(bytes: &[u8]) -> Self {
        Measured { digest: Blobs::digest(bytes), size: bytes.len() as u64, md5: Md5::digest(bytes).into(), crc64: CRC64.checksum(bytes) }
    }

    /// The MD5 as entity tags have it.
    pub(super) fn etag(&self) -> String {
        hex::encode_upper(self.md5)
    }
}

pub(super) async fn measure(bytes: &Bytes) -> Result<Measured, Refusal> {
    if bytes.len() < LARGE {
        return Ok(Measured::of(bytes));
    }
    let bytes = bytes.clone();
    let measured = tokio::task::spawn_blocking(move || Measured::of(&bytes)).await;
    measured.map_err(|error| std::io::Error::other(error).into())
}

/// Digests that must not be forgotten meanwhile. Dropping it lets go of them, unless rows name them by then.
pub(crate) struct Held {
    shared: Arc<Shared>,
    digests: Vec<String>,
}

impl Held {
    /// Holds what an object or a part names. To be called while the world can't change.
    pub(crate) fn of<'a>(shared: &Arc<Shared>, world: &mut World, digests: impl Iterator<Item = &'a str>) -> Self {
        let mut held = Held { shared: shared.clone(), digests: Vec::new() };
        held.add(world, digests);
        held
    }

    /// Holds more. Whoever calls it has a hold on them already, or they may be gone.
    pub(super) fn also<'a>(&mut self, digests: impl Iterator<Item = &'a str>) {
        let shared = self.shared.clone();
        self.add(&mut shared.world(), digests);
    }

    fn add<'a>(&mut self, world: &mut World, digests: impl Iterator<Item = &'a str>) {
        for digest in digests {
            *world.index.blobs.entry(digest.to_owned()).or_default() += 1;
            self.digests.push(digest.to_owned());
        }
    }

    /// From here on a row names them.
    pub(super) fn hand_over(&mut self) {
        self.digests.clear();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let digests = std::mem::take(&mut self.digests);
        // Without a runtime the cloud is going down; the next one clears up what nothing names.
        if !digests.is_empty() && tokio::runtime::Handle::try_current().is_ok() {
            self.shared.commit(|world, _| digests.iter().for_each(|digest| let_go(world, digest)));
        }
    }
}

/// One name less for those bytes.
pub(super) fn let_go(world: &mut World, digest: &str) {
    if let Some(uses) = world.index.blobs.get_mut(digest) {
        *uses -= 1;
        if *uses == 0 {
            world.index.blobs.remove(digest);
            world.index.tasks.push(Task::Forget(digest.to_owned()));
        }
    }
}

/// Keeps bytes, held until a row names them.
pub(super) async fn keep(shared: &Arc<Shared>, bytes: Bytes, measured: &Measured) -> Result<Held, Refusal> {
    // They count as used before they are written, so that nobody forgets them in between.
    let held = Held::of(shared, &mut shared.world(), std::iter::once(measured.digest.as_str()));
    shared.blobs.put(&measured.digest, bytes).await?;
    Ok(held)
}

/// The bytes `from..to` of an object that is held.
pub(crate) async fn read(shared: &Shared, object: &Object, from: u64, to: u64) -> Result<Bytes, Refusal> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut add = |digest: &str, size: u64| {
        let (first, last) = (from.max(start), to.min(start + size));
        if first < last {
            pieces.push(Piece { digest: digest.to_owned(), from: first - start, length: last - first });
        }
        start += size;
    };
    match &object.content {
        Content::Whole(digest) => add(digest, object.size),
        Content::Segments(segments) => segments.iter().for_each(|segment| add(&segment.digest, segment.size)),
    }
    Ok(shared.blobs.read(pieces).await?)
}

/// The CRC-64 of two runs of bytes, one after the other; `length` is that of the second.
pub(super) fn combine_crc64(first: u64, second: u64, mut length: u64) -> u64 {
    let times = |matrix: &[u64; 64], vector: u64| (0..64).filter(|bit| vector >> bit & 1 == 1).fold(0, |sum, bit| sum ^ matrix[bit]);
    let square = |matrix: &[u64; 64]| matrix.map(|row| times(matrix, row));
    // What one zero bit does to a checksum; squared three times, what one zero byte does.
    let mut zeros: [u64; 64] = std::array::from_fn(|bit| if bit == 0 { POLYNOMIAL } else { 1 << (bit - 1) });
    for _ in 0..3 {
        zeros = square(&zeros);
    }
    let mut sum = first;
    while length > 0 {
        if length & 1 == 1 {
            sum = times(&zeros, sum);
        }
        zeros = square(&zeros);
        length >>= 1;
    }
    sum ^ second
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_that_sdks_compute() {
        assert_eq!(Measured::of(b"123456789").crc64, 11_051_210_869_376_104_954);
        let hello = Measured::of(b"hello world");
        assert_eq!((hello.crc64, hello.etag().as_str()), (5_981_764_153_023_615_706, "5EB63BBBE01EEED093CB22BB8F5ACDC3"));
        assert_eq!(Measured::of(b"").crc64, 0);
    }

    #[test]
    fn checksums_of_parts_give_that_of_the_whole() {
        let all: Vec<u8> = (0..5000_u32).map(|number| (number * 31 % 251) as u8).collect();
        for cut in [0, 1, 7, 256, 4096, 5000] {
            let (first, second) = all.split_at(cut);
            let whole = combine_crc64(CRC64.checksum(first), CRC64.checksum(second), second.len() as u64);
            assert_eq!(whole, CRC64.checksum(&all), "{cut}");
        }
    }
}
