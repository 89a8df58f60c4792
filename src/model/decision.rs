//! Choices that aliform made for the user, with what spoke for and against.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A choice, kept in the state so that the next plan does not flip when a price moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Decision {
    /// What was taken.
    pub chosen: String,
    /// Why: a lower-case fragment.
    pub because: String,
    /// What else was looked at.
    pub rejected: Vec<Rejected>,
}

/// An option that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rejected {
    /// The option.
    pub option: String,
    /// Why not.
    pub because: String,
}
