//! What everything costs as it stands there: a line for each priced part of a resource, from its start to its end.

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::store::World;

/// What of the time between its ends a line bills.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counted {
    /// Its seconds.
    #[default]
    Seconds,
    /// The hours of the clock that it has a part in, as CLB has it: 09:30 to 12:30 is four.
    HoursBegun,
    /// The hours of the clock that are whole, as the management of a Pro cluster has it: 10:20 to 13:40 is two.
    HoursWhole,
}

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
    /// What of the time is billed.
    #[serde(default)]
    pub counted: Counted,
}

impl Bill {
    /// What it comes to at `now`, in CNY.
    pub fn amount(&self, now: Timestamp) -> Decimal {
        let (from, to) = (self.from.as_second(), self.from.as_second() + self.seconds(now));
        let part = |second: i64| i64::from(second.rem_euclid(3600) > 0);
        let time = match self.counted {
            Counted::Seconds => self.hourly * Decimal::from(to - from) / Decimal::from(3600),
            Counted::HoursBegun => self.hourly * Decimal::from((to.div_euclid(3600) + part(to) - from.div_euclid(3600)).max(1)),
            Counted::HoursWhole => self.hourly * Decimal::from((to.div_euclid(3600) - from.div_euclid(3600) - part(from)).max(0)),
        };
        time + self.used
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
    /// What goes on and does not grow with every second.
    stepping: Vec<Bill>,
}

impl Spending {
    pub(crate) fn add(&mut self, bill: &Bill) {
        match bill.to {
            Some(_) => self.closed += bill.amount(bill.from),
            None if bill.counted != Counted::Seconds => self.stepping.push(bill.clone()),
            None => {
                self.hourly += bill.hourly;
                self.started += bill.hourly * Decimal::from(bill.from.as_second());
            }
        }
    }

    fn close(&mut self, bill: &Bill) {
        self.closed += bill.amount(bill.from);
        if bill.counted != Counted::Seconds {
            self.stepping.retain(|open| *open != Bill { to: None, ..bill.clone() });
            return;
        }
        self.hourly -= bill.hourly;
        self.started -= bill.hourly * Decimal::from(bill.from.as_second());
    }

    fn replace(&mut self, before: &Bill, after: &Bill) {
        self.closed += after.amount(after.from) - before.amount(before.from);
    }

    /// What was spent until `now`, in CNY.
    pub(crate) fn until(&self, now: Timestamp) -> Decimal {
        let stepping: Decimal = self.stepping.iter().map(|bill| bill.amount(now)).sum();
        self.closed + stepping + (self.hourly * Decimal::from(now.as_second()) - self.started) / Decimal::from(3600)
    }
}

/// Starts a line for a part of a resource.
pub(crate) fn start(world: &mut World, resource: &str, part: &str, region: &str, hourly: Decimal, from: Timestamp) {
    start_counted(world, (resource, part, region), hourly, Counted::Seconds, from);
}

/// The same for a part of which not every second is billed.
pub(crate) fn start_counted(
    world: &mut World,
    (resource, part, region): (&str, &str, &str),
    hourly: Decimal,
    counted: Counted,
    from: Timestamp,
) {
    let bill = Bill {
        resource: resource.to_owned(),
        part: part.to_owned(),
        region: region.to_owned(),
        hourly,
        from,
        to: None,
        used: Decimal::ZERO,
        counted,
    };
    world.index.spending.add(&bill);
    let number = world.next_number();
    world.bills.insert(format!("{resource}/{number:020}"), bill);
}

/// Puts what was used of a resource on its lines of the running hour, one for each part.
pub(crate) fn use_up(world: &mut World, resource: &str, region: &str, parts: &[(&str, Decimal)], now: Timestamp) {
    let start = now.as_second() - now.as_second().rem_euclid(3600);
    let from = Timestamp::from_second(start).unwrap_or(now);
    for (part, amount) in parts {
        let key = format!("{resource}/{start:020}/{part}");
        let used = world.bills.get(&key).map_or(Decimal::ZERO, |bill| bill.used) + amount;
        world.index.spending.closed += amount;
        let (resource, region, part) = (resource.to_owned(), region.to_owned(), (*part).to_owned());
        let (hourly, counted) = (Decimal::ZERO, Counted::Seconds);
        world.bills.insert(key, Bill { resource, part, region, hourly, from, to: Some(now), used, counted });
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
        counted: Counted::Seconds,
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
    fn what_is_used_adds_up() {
        let mut world = World::default();
        let at = |seconds: u64| after(Timestamp::UNIX_EPOCH, Duration::from_secs(seconds));
        let use_cpu = |world: &mut World, amount, now| use_up(world, "f", "cn-hangzhou", &[("cpu", Decimal::new(amount, 3))], now);
        let check = |world: &World, lines, sum| {
            let amounts: Vec<Decimal> = world.bills.values().map(|bill| bill.amount(at(9000))).collect();
            assert_eq!(
                (amounts.len(), amounts.iter().sum(), world.index.spending.until(at(9000))),
                (lines, Decimal::new(sum, 3), Decimal::new(sum, 3))
            );
            let mut again = World::default();
            world.bills.iter().for_each(|(key, bill)| again.bills.insert(key, bill.clone()));
            again.build_index();
            assert_eq!(again.index.spending.until(at(9000)), Decimal::new(sum, 3));
        };
        use_cpu(&mut world, 3, at(10));
        check(&world, 1, 3);
        use_cpu(&mut world, 9, at(3599));
        check(&world, 1, 12);
        use_cpu(&mut world, 1, at(3600));
        check(&world, 2, 13);
    }

    #[test]
    fn hours_of_the_clock_are_counted_while_they_go_on_and_when_they_are_over() {
        let at = |minutes: u64| after(Timestamp::UNIX_EPOCH, Duration::from_secs(minutes * 60));
        for (counted, running, over) in [(Counted::HoursBegun, 3, 4), (Counted::HoursWhole, 1, 2)] {
            let mut world = World::default();
            start_counted(&mut world, ("c", "fee", "cn-hangzhou"), Decimal::ONE, counted, at(20));
            start(&mut world, "c", "node", "cn-hangzhou", Decimal::ONE, at(20));
            let spent = |world: &World, now| world.index.spending.until(now).round_dp(6);
            assert_eq!(spent(&world, at(140)), Decimal::from(running + 2), "{counted:?}");
            stop(&mut world, "c", None, at(200));
            assert_eq!(spent(&world, at(900)), Decimal::from(over + 3), "{counted:?}");
        }
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
