//! What could be bought: what was compared before something was chosen, and what an apply may take in place of the
//! chosen should that be sold out by then.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::address::Address;
use super::decision::Rejected;
use super::money::Money;
use super::units::Size;

/// What could run what is wanted, where, and for how much: one row of a comparison. The chosen one is a row too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// `ecs`, `fc`, `ack` or `pai`.
    pub product: String,
    /// The region.
    pub region: String,
    /// The zone, where the product knows zones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// What it is: an instance type, a function of some size.
    pub what: String,
    /// Its vCPUs.
    pub vcpu: u32,
    /// Its memory.
    pub memory: Size,
    /// Its accelerators, `1 x NVIDIA T4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<String>,
    /// `X86` or `ARM`.
    pub architecture: String,
    /// What an hour of it costs with all that belongs to it; none if nobody can tell.
    pub hourly: Option<Money>,
    /// What it comes to for `seconds`.
    pub total: Option<Money>,
    /// How long it is reckoned to run: a job's timeout, a month for what stays.
    pub seconds: u64,
    /// What there is of it, in words.
    pub stock: String,
    /// How long it takes until it runs something, in seconds; as a rule, not as a promise.
    pub starts_in: u64,
    /// What has to be set up for it, in words.
    pub set_up: String,
    /// What goes again afterwards, and how, in words.
    pub clean_up: String,
    /// Whether it is the one.
    pub chosen: bool,
    /// Why it is the one, or why not: a lower-case fragment.
    pub because: String,
}

/// Everything that was weighed for one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// Why these products and no others: a lower-case fragment.
    pub because: String,
    /// The offers, best first.
    pub offers: Vec<Offer>,
    /// Products that did not come into question, and why.
    pub excluded: Vec<Rejected>,
}

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

/// The name of the decision that an instance stands elsewhere than where the zone and type chosen for it would put it:
/// a fallback was taken. Its answer is the zone and the type, a space between them.
pub fn place_key(address: &Address, zone: &str, instance_type: &str) -> String {
    format!("place[{address}][{zone} {instance_type}]")
}
