//! What carries aliform's tags in the cloud, whoever remembers it. Each kind lists its own; this file says what such a find
//! is and reads the tags. It never takes what is not tagged for ours.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value as Json;

use super::kind::{TAG_ADDRESS, TAG_DEADLINE, TAG_LINEAGE, TAG_STACK};
use crate::model::address::Address;

/// A resource with tags. The spec is as far as the cloud tells it: enough to price it and to take it away.
#[derive(Clone, Debug)]
pub struct Tagged<S> {
    /// Its identifier.
    pub id: String,
    /// Its tags, ours and others.
    pub tags: BTreeMap<String, String>,
    /// When it came, as far as the cloud says so.
    pub created_at: Option<Timestamp>,
    /// When the cloud itself takes it away, if it does.
    pub ends_at: Option<Timestamp>,
    /// Whether it does nothing any more, and costs nothing.
    pub over: bool,
    /// What it is.
    pub spec: S,
}

impl<S> Tagged<S> {
    /// One that has no end of its own.
    pub fn new(id: &str, tags: BTreeMap<String, String>, created_at: &str, spec: S) -> Self {
        Tagged { id: id.to_owned(), tags, created_at: moment(created_at), ends_at: None, over: false, spec }
    }

    /// The same with its spec in another form.
    pub fn map<T>(self, change: impl FnOnce(S) -> T) -> Tagged<T> {
        let Tagged { id, tags, created_at, ends_at, over, spec } = self;
        Tagged { id, tags, created_at, ends_at, over, spec: change(spec) }
    }

    /// Whether it is aliform's.
    pub fn is_ours(&self) -> bool {
        self.lineage().is_some()
    }

    /// The stack it belongs to; empty if nothing says so.
    pub fn stack(&self) -> &str {
        self.tags.get(TAG_STACK).map(String::as_str).unwrap_or_default()
    }

    /// The lineage it belongs to: what tells it from everybody else's.
    pub fn lineage(&self) -> Option<&str> {
        self.tags.get(TAG_LINEAGE).map(String::as_str).filter(|lineage| !lineage.is_empty())
    }

    /// Its name in its stack.
    pub fn address(&self) -> Option<Address> {
        self.tags.get(TAG_ADDRESS)?.parse().ok()
    }

    /// From when on it serves nobody: what its tag says, or the cloud's own end of it, whichever is sooner.
    pub fn deadline(&self) -> Option<Timestamp> {
        let told = self.tags.get(TAG_DEADLINE).and_then(|text| moment(text));
        told.into_iter().chain(self.ends_at).min()
    }
}

/// A resource with tags, its spec as JSON.
pub type Found = Tagged<Json>;

/// A moment as any of the products writes it: to the minute, to the second or finer, in UTC or with an offset.
pub fn moment(text: &str) -> Option<Timestamp> {
    let whole = if text.len() == "2026-01-02T03:04Z".len() { text.replace('Z', ":00Z") } else { text.to_owned() };
    whole.parse().ok()
}

/// The tags of an answer, key and value.
pub fn tags(pairs: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, String> {
    pairs.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_product_has_its_way_to_write_a_moment() {
        let expected: Timestamp = "2026-01-02T03:04:00Z".parse().unwrap();
        for text in ["2026-01-02T03:04Z", "2026-01-02T03:04:00Z", "2026-01-02T03:04:00.000Z", "2026-01-02T11:04:00+08:00"] {
            assert_eq!(moment(text), Some(expected), "{text}");
        }
        assert_eq!(moment(""), None);
    }

    #[test]
    fn the_sooner_end_counts_and_what_has_no_lineage_is_not_ours() {
        let with = |pairs: &[(&str, &str)]| {
            Tagged::new("i-1", tags(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))), "", ())
        };
        let mut found = with(&[(TAG_LINEAGE, "0123"), (TAG_STACK, "lab"), (TAG_DEADLINE, "2026-01-02T03:04:05Z")]);
        assert_eq!(found.deadline(), moment("2026-01-02T03:04:05Z"));
        found.ends_at = moment("2026-01-02T03:00Z");
        assert_eq!(found.deadline(), moment("2026-01-02T03:00Z"));
        assert!(found.is_ours() && !with(&[(TAG_STACK, "lab")]).is_ours() && !with(&[(TAG_LINEAGE, "")]).is_ours());
    }
}
