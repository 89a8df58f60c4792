//! The views: plans, events, errors and results as text for people or JSON for programs.
//!
//! They turn data into text and decide nothing. Results belong on standard output, everything that only accompanies
//! them (progress, errors, notes) on standard error; only `progress` writes by itself, the rest hands back text.

pub(crate) mod detached;
pub(crate) mod diagnostic;
pub(crate) mod jobs;
pub(crate) mod json;
pub(crate) mod money;
pub(crate) mod ndjson;
pub(crate) mod offers;
pub(crate) mod orphans;
pub(crate) mod plan;
pub(crate) mod progress;
pub(crate) mod receipt;
#[cfg(test)]
mod samples;
pub(crate) mod style;
pub(crate) mod summary;
pub(crate) mod table;
