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
pub(crate) struct ShownRows(BTreeMap<String, Shown>);

impl ShownRows {
    pub(crate) fn get(&self, id: &str, now: Timestamp) -> Option<Arc<str>> {
        self.0.get(id).filter(|shown| now < shown.until).map(|shown| Arc::clone(&shown.text))
    }

    pub(crate) fn keep(&mut self, rows: Vec<(String, Shown)>) {
        self.0.extend(rows);
    }

    /// Something changed, whatever it was: rows tell of other rows, too.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }
}
