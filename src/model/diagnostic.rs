//! An error or warning about a text the user wrote, with its place.

use serde::Serialize;

/// A place in a file: line and column from 1, as editors count.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Location {
    /// The file as the user named it.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Length in characters of what is meant; at least 1.
    pub length: u32,
    /// The line itself, without its end.
    pub text: String,
}

/// One complaint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// A stable name in kebab case, `unknown-key`.
    pub code: &'static str,
    /// What is wrong: a lower-case fragment without a full stop, names in backticks.
    pub message: String,
    /// Where; `None` only when the whole file is meant and it could not be read.
    pub location: Option<Location>,
    /// What to do about it.
    pub hints: Vec<String>,
}
