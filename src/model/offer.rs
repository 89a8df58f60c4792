//! What could be bought: what was compared before something was chosen, and what an apply may take in place of the
//! chosen should that be sold out by then.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::money::Money;

/// What an apply may take for an instance when the chosen one can't be had. It is part of what was approved: nothing
/// that is not in the list may be taken, and the list is walked in its order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fallback {
    /// The zone it would stand in; always of the plan's region.
    pub zone: String,
    /// Its type; the chosen one in another zone, or another one that has what is needed.
    pub instance_type: String,
    /// What an hour of it costs, its disk included.
    pub hourly: Money,
    /// What speaks for it and what it costs more: a lower-case fragment.
    pub because: String,
}
