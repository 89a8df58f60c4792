//! The lines of the journal: how records become bytes, and how bytes become records or a complaint.
//!
//! A line is what was made durable at once: `length checksum json`, both numbers in eight hexadecimal digits, ended
//! by a newline that the JSON can't hold. A line is written only after the one before it is on disk, so a crash can
//! tear the last line and no other: that one was acknowledged to nobody and is dropped. Damage anywhere else is
//! somebody else's doing, and never passed over.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::contents::VERSION;
use super::error::StateError;
use super::record::Record;

/// Castagnoli's polynomial, as ext4, iSCSI and LevelDB use it.
const CHECKSUM: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);

/// `length checksum ` before the JSON.
const PREFIX: usize = 18;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    pub(super) version: u32,
    pub(super) stack: String,
    pub(super) lineage: String,
    /// The serial of the snapshot that the records follow. When a newer snapshot is there, they are in it already.
    pub(super) serial: u64,
    /// Counts from 0 after each snapshot, so that a missing line shows.
    pub(super) sequence: u64,
    pub(super) entries: Vec<Entry>,
}

/// A record with its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) at: Timestamp,
    pub(super) happened: Record,
}

/// A journal as it was read.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Lines {
    pub(super) lines: Vec<Line>,
    /// How many bytes they take.
    pub(super) sound: u64,
    /// How many bytes of a torn line follow.
    pub(super) torn: u64,
}

/// The bytes of a line.
pub(super) fn encode(line: &Line) -> Result<Vec<u8>, serde_json::Error> {
    let json = serde_json::to_vec(line)?;
    let mut bytes = format!("{:08x} {:08x} ", json.len(), CHECKSUM.checksum(&json)).into_bytes();
    bytes.extend(json);
    bytes.push(b'\n');
    Ok(bytes)
}

/// Reads a journal; `path` is for the messages.
pub(super) fn decode(path: &Path, bytes: &[u8]) -> Result<Lines, StateError> {
    let mut read = Lines::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n');
        let text = &rest[..end.unwrap_or(rest.len())];
        let next = end.map_or(&[][..], |end| &rest[end + 1..]);
        let broken = |because: String| StateError::BrokenJournal { path: path.to_owned(), line: read.lines.len() + 1, because };
        match unwrap_line(text).filter(|_| end.is_some()) {
            Some(json) => read.lines.push(parse(json, path, broken)?),
            None if next.is_empty() => {
                read.torn = rest.len() as u64;
                break;
            }
            None => return Err(broken("the line is damaged: its length or checksum does not fit".to_owned())),
        }
        read.sound += (rest.len() - next.len()) as u64;
        rest = next;
    }
    Ok(read)
}

/// The JSON of a line, if length and checksum fit.
fn unwrap_line(text: &[u8]) -> Option<&[u8]> {
    let (prefix, json) = text.split_at_checked(PREFIX)?;
    let fits = format!("{:08x} {:08x} ", json.len(), CHECKSUM.checksum(json));
    (prefix == fits.as_bytes()).then_some(json)
}

fn parse(json: &[u8], path: &Path, broken: impl Fn(String) -> StateError) -> Result<Line, StateError> {
    super::snapshot::check_version(json, path)?;
    let line: Line = serde_json::from_slice(json).map_err(|error| broken(error.to_string()))?;
    if line.version == VERSION { Ok(line) } else { Err(broken(format!("format version {} never was", line.version))) }
}
