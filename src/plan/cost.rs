//! The money of a plan: now, afterwards, the difference, and whether the budget holds.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::{Decimal, RoundingStrategy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::address::Address;
use crate::model::change::{Action, Change};
use crate::model::cost::{Charge, Total};
use crate::model::money::Money;
use crate::pricing::tariff::TRAFFIC;

/// Limits that the manifest sets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// For an hour.
    pub hourly: Option<Money>,
    /// For a month of 730 hours.
    pub monthly: Option<Money>,
    /// For all runs of jobs together.
    pub total: Option<Money>,
    /// For each job that has limits of its own: an hour of what runs for it, and all of its runs together.
    pub jobs: BTreeMap<String, Limits>,
}

impl Limits {
    /// Every limit that is set.
    pub(super) fn all(&self) -> Vec<Money> {
        let own = [self.hourly, self.monthly, self.total].into_iter().flatten();
        own.chain(self.jobs.values().flat_map(Limits::all)).collect()
    }
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
    /// What they cost if nobody but the cloud itself ends what they run on, at the times it is told when it makes it; and
    /// with all that a cluster may take to come and to go. No bill is above it.
    #[serde(default, skip_serializing_if = "Total::is_nothing")]
    pub unattended: Total,
    /// What the traffic costs that jobs say they send to the internet; it is in the sums for runs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub traffic: BTreeMap<String, Money>,
    /// Limits that the sum exceeds; an apply is refused while there are any.
    pub exceeded: Vec<Exceeded>,
}

/// A limit that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Exceeded {
    /// `hourly`, `monthly` or `total`.
    pub period: String,
    /// The job whose limit it is; the limit is the stack's without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// The limit.
    pub limit: Money,
    /// What it would come to, in the limit's currency.
    pub would_be: Money,
}

/// How long something is needed that is released again, and by whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passing {
    /// In seconds, at most.
    pub seconds: u64,
    /// After how many the cloud itself ends it, if it was told to; and how long what it does not end is needed at most.
    pub ends_after: Option<u64>,
    /// The jobs.
    pub jobs: BTreeSet<String>,
    /// How many of how many like it are there at once.
    pub together: (u64, u64),
}

impl Passing {
    /// The part of it that counts in an hour of its job.
    pub(super) fn share(&self) -> Decimal {
        let (most, of) = self.together;
        // Rounded down, so that all of them together are never more than there are at once.
        let part = || (Decimal::from(most) / Decimal::from(of)).round_dp_with_strategy(20, RoundingStrategy::ToZero);
        if most < of { part() } else { Decimal::ONE }
    }
}

/// What the traffic of jobs costs, `sent` in MiB, where something that is there for them has a price for traffic.
pub(super) fn traffic(changes: &[Change], passing: &BTreeMap<&Address, Passing>, sent: &BTreeMap<String, u64>) -> BTreeMap<String, Money> {
    let price = |job: &String| {
        let of_job = changes.iter().filter(|change| passing.get(&change.address).is_some_and(|passes| passes.jobs.contains(job)));
        of_job.flat_map(|change| &change.cost_after.lines).find_map(|line| match &line.charge {
            Charge::Usage { price, .. } if line.item == TRAFFIC => Some(*price),
            _ => None,
        })
    };
    let costs = |(job, mebibytes): (&String, &u64)| {
        let sum = price(job)?.times(Decimal::from(*mebibytes) / Decimal::from(1024));
        Some((job.clone(), Money { amount: sum.amount.normalize(), ..sum }))
    };
    sent.iter().filter_map(costs).collect()
}

/// What a resource that passes costs for so many seconds at most.
fn sum(change: &Change, seconds: u64) -> Total {
    change.cost_after.at_most(seconds)
}

/// What each job costs an hour while as much of it is there as may be at once, and altogether.
pub(super) fn by_job<'a>(
    changes: &[Change],
    passing: &'a BTreeMap<&Address, Passing>,
    traffic: &'a BTreeMap<String, Money>,
) -> BTreeMap<&'a str, (Total, Total)> {
    let mut jobs: BTreeMap<&str, (Total, Total)> = BTreeMap::new();
    for (job, money) in traffic {
        jobs.entry(job).or_default().1.add(*money);
    }
    for change in changes {
        let Some(passes) = passing.get(&change.address) else { continue };
        for job in &passes.jobs {
            let (hourly, total) = jobs.entry(job).or_default();
            hourly.merge(&change.cost_after.hourly().times(passes.share()));
            total.merge(&sum(change, passes.seconds));
        }
    }
    jobs
}

/// Sums up. `passing` are the resources that are released again. A price in another currency than the limit's is held
/// against it at the stated rate; unknown prices don't count, and are flagged in the totals.
pub fn summarise(changes: &[Change], passing: &BTreeMap<&Address, Passing>, limits: &Limits, traffic: BTreeMap<String, Money>) -> Summary {
    let mut summary = Summary { traffic, ..Summary::default() };
    for money in summary.traffic.values() {
        summary.once.add(*money);
        summary.unattended.add(*money);
    }
    for change in changes {
        summary.before.merge(&change.cost_before.hourly());
        if let Some(passes) = passing.get(&change.address) {
            summary.once.merge(&sum(change, passes.seconds));
            summary.unattended.merge(&sum(change, passes.ends_after.unwrap_or(passes.seconds).max(passes.seconds)));
        } else if change.action != Action::Delete {
            summary.after.merge(&change.cost_after.hourly());
        }
    }
    let jobs = by_job(changes, passing, &summary.traffic);
    let whole = [
        (None, "hourly", limits.hourly, summary.after.clone()),
        (None, "monthly", limits.monthly, summary.after.monthly()),
        (None, "total", limits.total, summary.once.clone()),
    ];
    let of_jobs = limits.jobs.iter().flat_map(|(job, limits)| {
        let (hourly, total) = jobs.get(job.as_str()).cloned().unwrap_or_default();
        let monthly = hourly.monthly();
        [("hourly", limits.hourly, hourly), ("monthly", limits.monthly, monthly), ("total", limits.total, total)]
            .map(|(period, limit, total)| (Some(job.clone()), period, limit, total))
    });
    let mut exceeded = Vec::new();
    for (job, period, limit, total) in whole.into_iter().chain(of_jobs) {
        if let Some(limit) = limit {
            let would_be = total.converted(limit.currency);
            if would_be.amount > limit.amount {
                exceeded.push(Exceeded { period: period.to_owned(), job, limit, would_be });
            }
        }
    }
    summary.exceeded = exceeded;
    summary
}
