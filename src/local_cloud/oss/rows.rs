//! What OSS remembers: buckets, objects, and multipart uploads that are not finished.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::local_cloud::wire::params::Tags;

/// A bucket.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Bucket {
    pub(crate) name: String,
    pub(crate) region: String,
    pub(crate) acl: String,
    pub(crate) storage_class: String,
    pub(crate) redundancy: String,
    pub(crate) resource_group: String,
    pub(crate) created: Timestamp,
    pub(crate) tags: Tags,
}

/// An object; its bytes are kept by digest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Object {
    #[serde(rename = "digest")]
    pub(crate) content: Content,
    pub(crate) size: u64,
    /// In upper-case hex; the MD5 of the bytes only if `kind` is `Normal`.
    #[serde(alias = "md5")]
    pub(crate) etag: String,
    pub(crate) crc64: u64,
    #[serde(default)]
    pub(crate) kind: ObjectKind,
    pub(crate) modified: Timestamp,
    #[serde(flatten)]
    pub(crate) description: Description,
}

/// How an object came to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ObjectKind {
    /// In one piece.
    #[default]
    Normal,
    /// In parts that were put together.
    Multipart,
    /// Piece by piece, and it may go on.
    Appendable,
}

impl ObjectKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            ObjectKind::Normal => "Normal",
            ObjectKind::Multipart => "Multipart",
            ObjectKind::Appendable => "Appendable",
        }
    }
}

/// What is said of an object besides its bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Description {
    pub(crate) storage_class: String,
    /// `content-type`, `x-oss-meta-*` and others that are given back.
    pub(crate) headers: BTreeMap<String, String>,
    /// Its own access list; without one the bucket's counts.
    #[serde(default)]
    pub(crate) acl: Option<String>,
    #[serde(default)]
    pub(crate) tags: Tags,
}

/// Where an object's bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Content {
    /// All under one digest.
    Whole(String),
    /// One after the other.
    Segments(Vec<Segment>),
}

/// A run of bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Segment {
    pub(crate) digest: String,
    pub(crate) size: u64,
}

impl Content {
    /// The digests that are named, a digest as often as it is.
    pub(crate) fn digests(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match self {
            Content::Whole(digest) => Box::new(std::iter::once(digest.as_str())),
            Content::Segments(segments) => Box::new(segments.iter().map(|segment| segment.digest.as_str())),
        }
    }
}

/// An upload in parts that is neither completed nor aborted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Upload {
    pub(crate) id: String,
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) initiated: Timestamp,
    #[serde(flatten)]
    pub(crate) description: Description,
}

/// A part of an upload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) number: u32,
    pub(crate) digest: String,
    pub(crate) size: u64,
    /// In upper-case hex.
    pub(crate) md5: String,
    pub(crate) crc64: u64,
    pub(crate) modified: Timestamp,
}

/// The key of an object's row.
pub(crate) fn row_key(bucket: &str, key: &str) -> String {
    format!("{bucket}/{key}")
}

/// The key of a part's row: parts of an upload are in the order of their numbers.
pub(crate) fn part_key(upload: &str, number: u32) -> String {
    format!("{upload}/{number:05}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_the_first_version_are_read() {
        let row = r#"{"digest":"d","size":1,"md5":"M","crc64":18446744073709551615,"storage_class":"IA",
            "modified":"2026-01-02T03:04:05Z","headers":{"content-type":"text/plain"}}"#;
        let object: Object = serde_json::from_str(row).unwrap();
        assert_eq!((object.content, object.etag.as_str(), object.crc64), (Content::Whole("d".to_owned()), "M", u64::MAX));
        assert_eq!((object.kind, object.description.acl.as_deref()), (ObjectKind::Normal, None));
    }
}
