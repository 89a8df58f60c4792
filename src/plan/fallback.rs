//! Which fallbacks a plan may promise: those that hold the budget even if every instance has to take its dearest one.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::cost::{self, Limits, Passing, Summary};
use crate::model::address::Address;
use crate::model::change::{Action, Change};
use crate::model::cost::{HOURS_A_MONTH, Total};
use crate::model::money::Money;
use crate::model::offer::Fallback;

/// Fallbacks by instance.
type Fallbacks = BTreeMap<Address, Vec<Fallback>>;

/// Keeps those of instances that are made now, as far as the limits allow: those of the stack and those of each job.
/// `passing` are the resources that are released again.
pub(super) fn within(
    all: &Fallbacks,
    changes: &[Change],
    passing: &BTreeMap<&Address, Passing>,
    limits: &Limits,
    cost: &Summary,
) -> Fallbacks {
    let made = changes.iter().filter(|change| matches!(change.action, Action::Create | Action::Replace));
    let chosen: BTreeMap<&Address, Total> = made.map(|change| (&change.address, change.cost_after.hourly())).collect();
    let mut kept: Fallbacks = all.clone();
    kept.retain(|address, _| chosen.contains_key(address));
    let hours = |passes: &Passing| Decimal::from(passes.seconds) / Decimal::from(3600);
    let stays = |address: &Address, times: u32| (!passing.contains_key(address)).then(|| Decimal::from(times));
    prune(&mut kept, &chosen, limits.total, &cost.once, &|address| passing.get(address).map(hours));
    prune(&mut kept, &chosen, limits.hourly, &cost.after, &|address| stays(address, 1));
    prune(&mut kept, &chosen, limits.monthly, &cost.after.monthly(), &|address| stays(address, HOURS_A_MONTH));
    let jobs = cost::by_job(changes, passing, &cost.traffic);
    for (job, limits) in &limits.jobs {
        let Some((hourly, total)) = jobs.get(job.as_str()) else { continue };
        let of_job = |address: &Address| passing.get(address).filter(|passes| passes.jobs.contains(job));
        prune(&mut kept, &chosen, limits.total, total, &|address| of_job(address).map(hours));
        prune(&mut kept, &chosen, limits.hourly, hourly, &|address| of_job(address).map(Passing::share));
        prune(&mut kept, &chosen, limits.monthly, &hourly.monthly(), &|address| {
            of_job(address).map(|passes| passes.share() * Decimal::from(HOURS_A_MONTH))
        });
    }
    kept.retain(|_, fallbacks| !fallbacks.is_empty());
    kept
}

/// Takes out the dearest until the rest holds the limit. `times` is how many hours count, none where the limit does not.
fn prune(
    kept: &mut Fallbacks,
    chosen: &BTreeMap<&Address, Total>,
    limit: Option<Money>,
    total: &Total,
    times: &dyn Fn(&Address) -> Option<Decimal>,
) {
    let Some(limit) = limit else { return };
    let more = |address: &Address, fallback: &Fallback| {
        let before = chosen.get(address)?.converted(limit.currency).amount;
        let more = (fallback.hourly.converted(limit.currency).amount - before) * times(address)?;
        (more > Decimal::ZERO).then_some(more)
    };
    loop {
        // The dearest of each instance.
        let worst: Vec<(Address, usize, Decimal)> = kept
            .iter()
            .filter_map(|(address, fallbacks)| {
                let rated = fallbacks.iter().enumerate().filter_map(|(at, fallback)| Some((at, more(address, fallback)?)));
                let (at, more) = rated.max_by_key(|(_, more)| *more)?;
                Some((address.clone(), at, more))
            })
            .collect();
        let sum: Decimal = worst.iter().map(|(_, _, more)| *more).sum();
        if total.converted(limit.currency).amount + sum <= limit.amount {
            return;
        }
        let Some((address, at, _)) = worst.into_iter().max_by_key(|(_, _, more)| *more) else { return };
        if let Some(fallbacks) = kept.get_mut(&address) {
            fallbacks.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::change::Reason;
    use crate::model::cost::{Charge, Cost, CostLine, PriceSource};

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    fn change(address: &str, action: Action) -> Change {
        let line = CostLine { item: "type".to_owned(), charge: Charge::hourly(money("1 CNY"), PriceSource::Quoted) };
        Change {
            address: address.parse().unwrap(),
            action,
            reasons: vec![Reason::NotYetCreated],
            id: None,
            fields: Vec::new(),
            effects: Vec::new(),
            cost_before: Cost::FREE,
            cost_after: Cost { lines: vec![line] },
        }
    }

    fn fallback(hourly: &str) -> Fallback {
        Fallback { zone: "z".to_owned(), instance_type: hourly.to_owned(), hourly: money(hourly), because: String::new() }
    }

    fn kept(limits: Limits, seconds: Option<u64>, action: Action) -> Vec<String> {
        let changes = [change("instance.a-1", action), change("instance.a-2", action)];
        let all: Fallbacks =
            changes.iter().map(|change| (change.address.clone(), ["1 CNY", "1.5 CNY", "1.2 CNY"].map(fallback).into())).collect();
        let addresses: Vec<Address> = changes.iter().map(|change| change.address.clone()).collect();
        let passes = |seconds| Passing { seconds, ends_after: None, jobs: ["a".to_owned()].into(), together: (1, 1) };
        let passing = addresses.iter().filter_map(|address| Some((address, passes(seconds?)))).collect();
        let cost = cost::summarise(&changes, &passing, &limits, BTreeMap::new());
        within(&all, &changes, &passing, &limits, &cost)
            .values()
            .map(|list| list.iter().map(|fallback| fallback.hourly.amount.to_string()).collect::<Vec<_>>().join(" "))
            .collect()
    }

    #[test]
    fn all_of_them_at_their_dearest_hold_the_budget() {
        let hourly = |text: &str| Limits { hourly: Some(money(text)), ..Limits::default() };
        assert_eq!(kept(Limits::default(), None, Action::Create), ["1 1.5 1.2", "1 1.5 1.2"]);
        assert_eq!(kept(hourly("3 CNY"), None, Action::Create), ["1 1.5 1.2", "1 1.5 1.2"]);
        assert_eq!(kept(hourly("2.75 CNY"), None, Action::Create), ["1 1.5 1.2", "1 1.2"]);
        assert_eq!(kept(hourly("2 CNY"), None, Action::Create), ["1", "1"]);
        // What passes is held against the total, for as long as it may take.
        let total = |text: &str| Limits { total: Some(money(text)), hourly: Some(money("0 CNY")), ..Limits::default() };
        assert_eq!(kept(total("1.2 CNY"), Some(1800), Action::Create), ["1 1.2", "1 1.2"]);
        // A job's own, in any currency, holds as well.
        let of_job = |limits: Limits| Limits { jobs: [("a".to_owned(), limits)].into(), ..Limits::default() };
        assert_eq!(kept(of_job(total("1.2 CNY")), Some(1800), Action::Create), ["1", "1"]);
        let dollars = Limits { total: Some(money("0.17 USD")), ..Limits::default() };
        assert_eq!(kept(of_job(dollars), Some(1800), Action::Create), ["1 1.2", "1 1.2"]);
    }

    #[test]
    fn what_is_there_already_needs_none() {
        assert_eq!(kept(Limits::default(), None, Action::Keep), Vec::<String>::new());
    }
}
