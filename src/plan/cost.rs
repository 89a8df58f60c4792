//! The money of a plan: now, afterwards, the difference, and whether the budget holds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
}

/// The sums of a plan, an hour each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// What everything costs now.
    pub before: Total,
    /// What everything will cost.
    pub after: Total,
    /// Limits that the sum exceeds; an apply is refused while there are any.
    pub exceeded: Vec<Exceeded>,
}

/// A limit that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Exceeded {
    /// `hourly` or `monthly`.
    pub period: String,
    /// The limit.
    pub limit: Money,
    /// What it would come to.
    pub would_be: Money,
}

/// Sums up. A price in another currency than the limit's can't be compared; unknown prices don't count, both are
/// flagged in the totals.
pub fn summarise(changes: &[Change], limits: Limits) -> Summary {
    let mut summary = Summary::default();
    for change in changes {
        summary.before.merge(&change.cost_before.hourly());
        if change.action != Action::Delete {
            summary.after.merge(&change.cost_after.hourly());
        }
    }
    let periods = [("hourly", limits.hourly, summary.after.clone()), ("monthly", limits.monthly, summary.after.monthly())];
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
