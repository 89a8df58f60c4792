//! Watches the money while a plan is carried out: an estimate may be wrong, a machine may take long to come or to go, and
//! a total budget holds all the same. It stops what goes on; it never lets anything go on that was stopped.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aliform::apply::lives::Lives;
use aliform::model::money::Money;
use aliform::plan::cost::Limits;
use aliform::plan::saved::Plan;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

/// How long releasing everything may take, in seconds: what that costs is never spent on running.
const RESERVE: u64 = 60;
/// How often it looks again at the latest: machines come and go.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// The money that runs may spend.
pub(crate) struct Purse<'a> {
    lives: &'a Lives<'a>,
    plan: &'a Plan,
    /// Each limit with the job it is for, `None` for all together, and what of it is left for what is there.
    limits: Vec<(Option<String>, Money, Money)>,
    empty: AtomicBool,
}

impl<'a> Purse<'a> {
    pub(crate) fn new(lives: &'a Lives<'a>, plan: &'a Plan, limits: &Limits) -> Self {
        let jobs = limits.jobs.iter().filter_map(|(job, limits)| Some((Some(job.clone()), limits.total?)));
        let limits = limits.total.map(|total| (None, total)).into_iter().chain(jobs);
        // What is sent is billed later and seen by nobody here: it is put aside.
        let aside = |job: &Option<String>, limit: Money| {
            let sent = plan.cost.traffic.iter().filter(|(of, _)| job.as_ref().is_none_or(|job| job == *of));
            let sum: Decimal = sent.map(|(_, money)| money.converted(limit.currency).amount).sum();
            Money { amount: limit.amount - sum, ..limit }
        };
        let limits = limits
            .map(|(job, limit)| {
                let own = aside(&job, limit);
                (job, limit, own)
            })
            .collect();
        Purse { lives, plan, limits, empty: AtomicBool::new(false) }
    }

    /// Whether a limit was reached.
    pub(crate) fn is_empty(&self) -> bool {
        self.empty.load(Ordering::Relaxed)
    }

    /// Resolves when spending on would pass a limit, and says which; never without one.
    pub(crate) async fn emptied(&self) -> Money {
        loop {
            let mut pause = LOOK_AGAIN;
            for (job, limit, own) in &self.limits {
                let now = self.lives.spending(self.plan, job.as_deref());
                let hourly = now.hourly.converted(limit.currency).amount;
                let left = own.amount - now.spent.converted(limit.currency).amount;
                let reserve = hourly * Decimal::from(RESERVE) / Decimal::from(3600);
                if !hourly.is_zero() && left <= reserve {
                    self.empty.store(true, Ordering::Relaxed);
                    return *limit;
                }
                let until = if hourly.is_zero() { None } else { ((left - reserve) * Decimal::from(3600) / hourly).to_f64() };
                pause = pause.min(until.map_or(LOOK_AGAIN, |seconds| Duration::from_secs_f64(seconds.clamp(0.01, 3600.0))));
            }
            if self.limits.is_empty() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(pause).await;
        }
    }
}
