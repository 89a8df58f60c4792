//! A choice that was made for the user, with its reason and what was turned down.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was chosen and why. Kept in the state, so that the next plan does not flip when a price moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// The option that was taken, `cn-hangzhou`.
    pub chosen: String,
    /// Why it was: a lower-case fragment.
    pub because: String,
    /// What else was weighed, best first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<Rejected>,
}

/// An option that was weighed and not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rejected {
    /// The option.
    pub option: String,
    /// Why not: a lower-case fragment.
    pub because: String,
}
