//! The scenario beside the store, so that it counts in the next server, too.

use std::io::ErrorKind;
use std::path::Path;

use super::Scenario;
use crate::local_cloud::store::log::{StoreError, write_whole};

const NAME: &str = "scenario.json";

pub(crate) fn read(directory: &Path) -> Result<Option<Scenario>, StoreError> {
    let path = directory.join(NAME);
    match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| StoreError::Damaged { path, reason: error.to_string() }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StoreError::Io { path, source }),
    }
}

pub(crate) fn write(directory: &Path, scenario: &Scenario) -> Result<(), StoreError> {
    let path = directory.join(NAME);
    let text = serde_json::to_vec_pretty(scenario).map_err(|error| StoreError::Io { path: path.clone(), source: error.into() })?;
    write_whole(&path, &text).map_err(|source| StoreError::Io { path, source })
}
