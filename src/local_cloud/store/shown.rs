//! Rows as they were shown last, so that showing them again costs nothing. A row that is kept is never older than the
//! last change of the world, and never outlives the moment at which its own state changes with the clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

/// A row as it was shown.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) text: Arc<str>,
    /// The moment from which on it is no longer true.
    pub(crate) until: Timestamp,
}

/// The rows of instances.
#[derive(Debug, Default)]
pub(crate) struct ShownRows {
    rows: BTreeMap<String, Shown>,
    /// The ids of a region's rows in their order, so that counting them needs no look at each.
    regions: BTreeMap<String, Arc<[String]>>,
}

impl ShownRows {
    pub(crate) fn get(&self, id: &str, now: Timestamp) -> Option<Arc<str>> {
        self.rows.get(id).filter(|shown| now < shown.until).map(|shown| Arc::clone(&shown.text))
    }

    pub(crate) fn keep(&mut self, rows: Vec<(String, Shown)>) {
        self.rows.extend(rows);
    }

    pub(crate) fn of_region(&self, region: &str) -> Option<Arc<[String]>> {
        self.regions.get(region).cloned()
    }

    pub(crate) fn keep_region(&mut self, region: &str, ids: Arc<[String]>) {
        self.regions.insert(region.to_owned(), ids);
    }

    /// Something changed, whatever it was: rows tell of other rows, too.
    pub(crate) fn forget(&mut self) {
        self.rows.clear();
        self.regions.clear();
    }
}
