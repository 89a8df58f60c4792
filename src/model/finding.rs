//! What aliform noticed and a person should know before saying yes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::address::Address;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Likely to hurt.
    Warning,
    /// Dangerous; a reviewer should stop here.
    High,
}

/// A place in a file of the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// The file, relative to the manifest.
    pub file: String,
    /// The line, from 1; 0 when the file as a whole is meant.
    pub line: u32,
    /// The line itself, trimmed.
    pub text: String,
}

/// One thing noticed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// A stable name in kebab case, `management-port-open`.
    pub id: String,
    /// Its weight.
    pub severity: Severity,
    /// The resource it is about, if one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// What was noticed: a lower-case fragment.
    pub message: String,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}
