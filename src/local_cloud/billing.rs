//! What everything costs as it stands there: a line for each priced part of a resource, from its start to its end.

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::store::World;

/// A line of the bill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bill {
    /// The resource's id.
    pub resource: String,
    /// What of it, `instanceType`, `systemDisk`, `bandwidth`, `eip`.
    pub part: String,
    /// The region.
    pub region: String,
    /// CNY an hour.
    pub hourly: Decimal,
    /// Since when.
    pub from: Timestamp,
    /// Until when; still running without it.
    pub to: Option<Timestamp>,
    /// CNY for what was used in that time, besides the time itself.
    #[serde(default)]
    pub used: Decimal,
}

impl Bill {
    /// What it comes to at `now`, in CNY.
    pub fn amount(&self, now: Timestamp) -> Decimal {
        self.hourly * Decimal::from(self.seconds(now)) / Decimal::from(3600) + self.used
    }

    /// How many seconds are billed: pay-as-you-go counts whole ones (alibabacloud.com/notice/ECS-0928, "charged by the
    /// second"), from the one in which it began up to the one in which it ended.
    pub fn seconds(&self, now: Timestamp) -> i64 {
        (self.to.unwrap_or(now).as_second() - self.from.as_second()).max(0)
    }
}

/// The sum of all bills, kept so that asking for it takes no time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spending {
    closed: Decimal,
    hourly: Decimal,
    /// Sum of rate times start, in CNY-seconds an hour.
    started: Decimal,
}

impl Spending {
    pub(crate) fn add(&mut self, bill: &Bill) {
        match bill.to {
            Some(_) => self.closed += bill.amount(bill.from),
            None => {
                self.hourly += bill.hourly;
                self.started += bill.hourly * Decimal::from(bill.from.as_second());
            }
        }
    }

    fn close(&mut self, bill: &Bill) {
        self.hourly -= bill.hourly;
        self.started -= bill.hourly * Decimal::from(bill.from.as_second());
        self.closed += bill.amount(bill.from);
    }

    fn replace(&mut self, before: &Bill, after: &Bill) {
        self.closed += after.amount(after.from) - before.amount(before.from);
    }

    /// What was spent until `now`, in CNY.
    pub(crate) fn until(&self, now: Timestamp) -> Decimal {
        self.closed + (self.hourly * Decimal::from(now.as_second()) - self.started) / Decimal::from(3600)
    }
}

/// Starts a line for a part of a resource.
pub(crate) fn start(world: &mut World, resource: &str, part: &str, region: &str, hourly: Decimal, from: Timestamp) {
    let bill = Bill {
        resource: resource.to_owned(),
        part: part.to_owned(),
        region: region.to_owned(),
        hourly,
        from,
        to: None,
        used: Decimal::ZERO,
    };
    world.index.spending.add(&bill);
    let number = world.next_number();
    world.bills.insert(format!("{resource}/{number:020}"), bill);
}

/// Puts what was used of a resource on its lines of the running hour, one for each part. If an hour of use costs at
/// least something, what is missing to that is a line too.
pub(crate) fn use_up(world: &mut World, resource: &str, region: &str, parts: &[(&str, Decimal)], least: Option<Decimal>, now: Timestamp) {
    let start = now.as_second() - now.as_second().rem_euclid(3600);
    let prefix = format!("{resource}/{start:020}/");
    let from = Timestamp::from_second(start).unwrap_or(now);
    let set = |world: &mut World, part: &str, change: &dyn Fn(Decimal) -> Decimal| {
        let key = format!("{prefix}{part}");
        let before = world.bills.get(&key).map_or(Decimal::ZERO, |bill| bill.used);
        let used = change(before);
        world.index.spending.closed += used - before;
        let (resource, region, part) = (resource.to_owned(), region.to_owned(), part.to_owned());
        world.bills.insert(key, Bill { resource, part, region, hourly: Decimal::ZERO, from, to: Some(now), used });
    };
    for (part, amount) in parts {
        set(world, part, &|before| before + amount);
    }
    if let Some(least) = least {
        let sum: Decimal = world.bills.starting_with(&prefix).filter(|(_, bill)| bill.part != "least").map(|(_, bill)| bill.used).sum();
        set(world, "least", &|_| (least - sum).max(Decimal::ZERO));
    }
}

/// Adds a line for what is paid at once for a span that lies ahead.
pub(crate) fn buy(world: &mut World, (resource, part, region): (&str, &str, &str), total: Decimal, from: Timestamp, to: Timestamp) {
    let seconds = to.duration_since(from).as_secs().max(1);
    let hourly = total * Decimal::from(3600) / Decimal::from(seconds);
    let bill = Bill {
        resource: resource.to_owned(),
        part: part.to_owned(),
        region: region.to_owned(),
        hourly,
        from,
        to: Some(to),
        used: Decimal::ZERO,
    };
    world.index.spending.add(&bill);
    let number = world.next_number();
    world.bills.insert(format!("{resource}/{number:020}"), bill);
}

/// Ends what was paid ahead: the rest of it is given back.
pub(crate) fn refund(world: &mut World, resource: &str, now: Timestamp) {
    let prefix = format!("{resource}/");
    let ahead: Vec<String> =
        world.bills.starting_with(&prefix).filter(|(_, bill)| bill.to.is_some_and(|to| to > now)).map(|(key, _)| key.to_owned()).collect();
    for key in ahead {
        if let Some(bill) = world.bills.get_mut(&key) {
            let before = bill.clone();
            bill.to = Some(now.max(bill.from));
            let after = bill.clone();
            world.index.spending.replace(&before, &after);
        }
    }
}

/// Ends the lines of a resource, of one part or of all.
pub(crate) fn stop(world: &mut World, resource: &str, part: Option<&str>, to: Timestamp) {
    let prefix = format!("{resource}/");
    let open: Vec<String> = world
        .bills
        .starting_with(&prefix)
        .filter(|(_, bill)| bill.to.is_none() && part.is_none_or(|part| part == bill.part))
        .map(|(key, _)| key.to_owned())
        .collect();
    for key in open {
        if let Some(bill) = world.bills.get_mut(&key) {
            bill.to = Some(to.max(bill.from));
            let bill = bill.clone();
            world.index.spending.close(&bill);
        }
    }
}

/// Goes on with a part of a resource at another rate, if it is being billed.
pub(crate) fn reprice(world: &mut World, resource: &str, part: &str, hourly: Decimal, at: Timestamp) {
    let prefix = format!("{resource}/");
    let open = world.bills.starting_with(&prefix).find(|(_, bill)| bill.to.is_none() && bill.part == part);
    let Some(region) = open.filter(|(_, bill)| bill.hourly != hourly && bill.from < at).map(|(_, bill)| bill.region.clone()) else {
        return;
    };
    stop(world, resource, Some(part), at);
    start(world, resource, part, &region, hourly, at);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local_cloud::time::after;
    use std::time::Duration;

    #[test]
    fn what_is_used_adds_up_and_costs_the_least_at_least() {
        let mut world = World::default();
        let at = |seconds: u64| after(Timestamp::UNIX_EPOCH, Duration::from_secs(seconds));
        let least = Some(Decimal::new(1, 2));
        let use_cpu = |world: &mut World, amount, now| use_up(world, "f", "cn-hangzhou", &[("cpu", Decimal::new(amount, 3))], least, now);
        let check = |world: &World, sum| {
            let lines: Decimal = world.bills.values().map(|bill| bill.amount(at(9000))).sum();
            assert_eq!((lines, world.index.spending.until(at(9000))), (Decimal::new(sum, 3), Decimal::new(sum, 3)));
            let mut again = World::default();
            world.bills.iter().for_each(|(key, bill)| again.bills.insert(key, bill.clone()));
            again.build_index();
            assert_eq!(again.index.spending.until(at(9000)), Decimal::new(sum, 3));
        };
        use_cpu(&mut world, 3, at(10));
        check(&world, 10);
        use_cpu(&mut world, 9, at(3599));
        check(&world, 12);
        use_cpu(&mut world, 1, at(3600));
        check(&world, 22);
    }

    #[test]
    fn the_running_sum_is_the_sum_of_the_lines() {
        let mut world = World::default();
        let start_of = |minutes: u64| after(Timestamp::UNIX_EPOCH, Duration::from_secs(minutes * 60));
        start(&mut world, "i-1", "instanceType", "cn-hangzhou", Decimal::new(6, 1), start_of(0));
        start(&mut world, "i-1", "systemDisk", "cn-hangzhou", Decimal::new(12, 2), start_of(10));
        start(&mut world, "i-2", "instanceType", "cn-hangzhou", Decimal::ONE, start_of(20));
        stop(&mut world, "i-1", Some("instanceType"), start_of(30));
        let now = start_of(70);
        let sum: Decimal = world.bills.values().map(|bill| bill.amount(now)).sum();
        // 0.6 for half an hour, 0.12 for an hour, 1 for fifty minutes.
        assert_eq!(sum.round_dp(6), Decimal::new(1_253_333, 6));
        assert_eq!(world.index.spending.until(now).round_dp(6), sum.round_dp(6));
        let mut again = World::default();
        world.bills.iter().for_each(|(key, bill)| again.bills.insert(key, bill.clone()));
        again.build_index();
        assert_eq!(again.index.spending.until(now).round_dp(6), sum.round_dp(6));
    }
}
