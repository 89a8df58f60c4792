//! The money of a plan: now, afterwards, the difference, and whether the budget holds.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::address::Address;
use crate::model::change::{Action, Change};
use crate::model::cost::Total;
use crate::model::money::Money;

/// Limits that the manifest sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// For an hour.
    pub hourly: Option<Money>,
    /// For a month of 730 hours.
    pub monthly: Option<Money>,
    /// For all runs of jobs together.
    pub total: Option<Money>,
}

/// The sums of a plan, an hour each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// What everything costs now.
    pub before: Total,
    /// What everything will cost that stays.
    pub after: Total,
    /// What runs of jobs cost at most, once: their machines for as long as they may run.
    #[serde(default, skip_serializing_if = "Total::is_nothing")]
    pub once: Total,
    /// Limits that the sum exceeds; an apply is refused while there are any.
    pub exceeded: Vec<Exceeded>,
}

/// A limit that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Exceeded {
    /// `hourly`, `monthly` or `total`.
    pub period: String,
    /// The limit.
    pub limit: Money,
    /// What it would come to.
    pub would_be: Money,
}

/// Sums up. `passing` are the resources that are released again, with the seconds that they are needed at most. A price
/// in another currency than the limit's can't be compared; unknown prices don't count, both are flagged in the totals.
pub fn summarise(changes: &[Change], passing: &BTreeMap<&Address, u64>, limits: Limits) -> Summary {
    let mut summary = Summary::default();
    for change in changes {
        summary.before.merge(&change.cost_before.hourly());
        if let Some(seconds) = passing.get(&change.address) {
            summary.once.merge(&change.cost_after.hourly().times(Decimal::from(*seconds) / Decimal::from(3600)));
        } else if change.action != Action::Delete {
            summary.after.merge(&change.cost_after.hourly());
        }
    }
    let periods = [
        ("hourly", limits.hourly, summary.after.clone()),
        ("monthly", limits.monthly, summary.after.monthly()),
        ("total", limits.total, summary.once.clone()),
    ];
    for (period, limit, total) in periods {
        if let Some(limit) = limit {
            let would_be = total.in_currency(limit.currency);
            if would_be.amount > limit.amount {
                summary.exceeded.push(Exceeded { period: period.to_owned(), limit, would_be });
            }
        }
    }
    summary
}
