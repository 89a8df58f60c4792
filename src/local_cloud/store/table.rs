//! A table of rows that knows which of them changed since the last time somebody asked.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// A row as it is written down; without a value it is gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The table.
    #[serde(rename = "t")]
    pub(crate) table: String,
    /// The row's key.
    #[serde(rename = "k")]
    pub(crate) key: String,
    /// The row.
    #[serde(rename = "v", default, skip_serializing_if = "Option::is_none")]
    pub(crate) row: Option<Json>,
}

/// Rows by key.
#[derive(Clone, Debug)]
pub(crate) struct Table<T> {
    rows: BTreeMap<String, T>,
    touched: BTreeSet<String>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table { rows: BTreeMap::new(), touched: BTreeSet::new() }
    }
}

impl<T> Table<T> {
    pub(crate) fn get(&self, key: &str) -> Option<&T> {
        self.rows.get(key)
    }

    pub(crate) fn contains(&self, key: &str) -> bool {
        self.rows.contains_key(key)
    }

    /// A row to be changed.
    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut T> {
        let row = self.rows.get_mut(key)?;
        self.touched.insert(key.to_owned());
        Some(row)
    }

    pub(crate) fn insert(&mut self, key: impl Into<String>, row: T) {
        let key = key.into();
        self.touched.insert(key.clone());
        self.rows.insert(key, row);
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<T> {
        let row = self.rows.remove(key)?;
        self.touched.insert(key.to_owned());
        Some(row)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.rows.values()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.rows.iter().map(|(key, row)| (key.as_str(), row))
    }

    /// The rows of those keys, looked up one by one, or every row if none are named; in the order of keys.
    pub(crate) fn among<'a>(&'a self, keys: Option<&[String]>) -> Box<dyn Iterator<Item = (&'a str, &'a T)> + 'a> {
        let Some(keys) = keys else { return Box::new(self.iter()) };
        let sorted: BTreeSet<&String> = keys.iter().collect();
        let found: Vec<_> = sorted.into_iter().filter_map(|key| self.rows.get_key_value(key)).collect();
        Box::new(found.into_iter().map(|(key, row)| (key.as_str(), row)))
    }

    /// The rows whose keys come after `key`.
    pub(crate) fn after<'a>(&'a self, key: &str) -> impl Iterator<Item = (&'a str, &'a T)> + use<'a, T> {
        let from = (Bound::Excluded(key.to_owned()), Bound::Unbounded);
        self.rows.range(from).map(|(key, row)| (key.as_str(), row))
    }

    /// The rows whose keys start with `prefix`.
    pub(crate) fn starting_with<'a>(&'a self, prefix: &str) -> impl Iterator<Item = (&'a str, &'a T)> + use<'a, T> {
        let prefix = prefix.to_owned();
        let from = (Bound::Included(prefix.clone()), Bound::Unbounded);
        self.rows.range::<String, _>(from).take_while(move |(key, _)| key.starts_with(&prefix)).map(|(key, row)| (key.as_str(), row))
    }
}

impl<T: Serialize + DeserializeOwned> Table<T> {
    /// What changed since the last call.
    pub(crate) fn changes(&mut self, table: &str, out: &mut Vec<Record>) {
        for key in std::mem::take(&mut self.touched) {
            let row = self.rows.get(&key).map(json_of);
            out.push(Record { table: table.to_owned(), key, row });
        }
    }

    /// Every row.
    pub(crate) fn all(&self, table: &str, out: &mut Vec<Record>) {
        out.extend(self.rows.iter().map(|(key, row)| Record { table: table.to_owned(), key: key.clone(), row: Some(json_of(row)) }));
    }

    /// Takes a row that was written down.
    pub(crate) fn load(&mut self, key: String, row: Option<Json>) -> Result<(), serde_json::Error> {
        match row {
            Some(row) => drop(self.rows.insert(key, serde_json::from_value(row)?)),
            None => drop(self.rows.remove(&key)),
        }
        Ok(())
    }
}

fn json_of<T: Serialize>(row: &T) -> Json {
    serde_json::to_value(row).expect("rows are plain structures with text keys")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_written() {
        let mut table = Table::<u32>::default();
        table.insert("a", 1);
        table.insert("b", 2);
        let mut out = Vec::new();
        table.changes("t", &mut out);
        assert_eq!(out.len(), 2);
        out.clear();
        *table.get_mut("b").unwrap() += 1;
        table.remove("a");
        table.changes("t", &mut out);
        let text: Vec<String> = out.iter().map(|record| serde_json::to_string(record).unwrap()).collect();
        assert_eq!(text, [r#"{"t":"t","k":"a"}"#, r#"{"t":"t","k":"b","v":3}"#]);
        out.clear();
        table.changes("t", &mut out);
        assert!(out.is_empty());
    }

    #[test]
    fn a_page_starts_after_the_last_key() {
        let mut table = Table::<u32>::default();
        ["a", "b", "c"].into_iter().zip(0..).for_each(|(key, row)| table.insert(key, row));
        assert_eq!(table.after("a").map(|(key, _)| key).collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(table.starting_with("b").count(), 1);
        let named = ["c", "x", "a", "c"].map(str::to_owned);
        assert_eq!(table.among(Some(&named)).map(|(key, _)| key).collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(table.among(None).count(), 3);
    }
}
