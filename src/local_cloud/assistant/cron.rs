//! Cron expressions as Cloud Assistant's agent reads them: second, minute, hour, day, month, weekday and, if given, year.

use std::collections::BTreeSet;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
/// How many days are looked through for the next time: a leap day may be eight years away.
const HORIZON: usize = 9 * 366;

/// When something happens again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cron {
    seconds: BTreeSet<i16>,
    minutes: BTreeSet<i16>,
    hours: BTreeSet<i16>,
    /// `None` for any.
    days: Option<BTreeSet<i16>>,
    months: BTreeSet<i16>,
    weekdays: Option<BTreeSet<i16>>,
    years: Option<BTreeSet<i16>>,
    zone: TimeZone,
}

impl Cron {
    /// Six or seven fields; `None` if they are none that the agent knows.
    pub(super) fn read(fields: &[&str], zone: TimeZone) -> Option<Cron> {
        let [second, minute, hour, day, month, weekday, year @ ..] = fields else { return None };
        let any = |field: &str| matches!(field, "*" | "?");
        let weekdays = |field: &str| {
            let set = set(field, 0, 7, &WEEKDAYS, 0)?;
            // 7 is Sunday as 0 is.
            Some(set.into_iter().map(|day| day % 7).collect::<BTreeSet<i16>>())
        };
        let years = match year {
            [] => None,
            [year] if any(year) => None,
            [year] => Some(set(year, 1970, 2099, &[], 0)?),
            _ => return None,
        };
        Some(Cron {
            seconds: set(second, 0, 59, &[], 0)?,
            minutes: set(minute, 0, 59, &[], 0)?,
            hours: set(hour, 0, 23, &[], 0)?,
            days: if any(day) { None } else { Some(set(day, 1, 31, &[], 0)?) },
            months: set(month, 1, 12, &MONTHS, 1)?,
            weekdays: if any(weekday) { None } else { Some(weekdays(weekday)?) },
            years,
            zone,
        })
    }

    fn fits(&self, date: Date) -> bool {
        let weekday = i16::from(date.weekday().to_sunday_zero_offset());
        let day = self.days.as_ref().map(|days| days.contains(&i16::from(date.day())));
        let week = self.weekdays.as_ref().map(|days| days.contains(&weekday));
        // If both are limited, one of them is enough.
        let either = match (day, week) {
            (Some(day), Some(week)) => day || week,
            (day, week) => day.or(week).unwrap_or(true),
        };
        either && self.months.contains(&i16::from(date.month())) && self.years.as_ref().is_none_or(|years| years.contains(&date.year()))
    }

    /// The first time after `from`.
    pub(super) fn next(&self, from: Timestamp) -> Option<Timestamp> {
        let mut date = from.to_zoned(self.zone.clone()).date();
        for _ in 0..HORIZON {
            if self.fits(date)
                && let Some(at) = self.on(date, from)
            {
                return Some(at);
            }
            date = date.checked_add(1.day()).ok()?;
        }
        None
    }

    fn on(&self, date: Date, from: Timestamp) -> Option<Timestamp> {
        for hour in &self.hours {
            for minute in &self.minutes {
                // A whole minute that has passed needs no look at its seconds.
                let last = self.at(date, *hour, *minute, 59)?;
                if last <= from {
                    continue;
                }
                let found = self.seconds.iter().filter_map(|second| self.at(date, *hour, *minute, *second)).find(|at| *at > from);
                if found.is_some() {
                    return found;
                }
            }
        }
        None
    }

    fn at(&self, date: Date, hour: i16, minute: i16, second: i16) -> Option<Timestamp> {
        let small = |number: i16| i8::try_from(number).ok();
        let time = Time::new(small(hour)?, small(minute)?, small(second)?, 0).ok()?;
        self.zone.to_timestamp(date.to_datetime(time)).ok()
    }
}

/// The values of a field: `*`, `a`, `a-b`, `a/n`, `*/n` and lists of them.
fn set(field: &str, least: i16, most: i16, names: &[&str], first: i16) -> Option<BTreeSet<i16>> {
    let number = |text: &str| {
        let named = names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let value = match named {
            Some(place) => i16::try_from(place).ok()? + first,
            None => text.parse().ok()?,
        };
        (least..=most).contains(&value).then_some(value)
    };
    let mut all = BTreeSet::new();
    for item in field.split(',') {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<usize>().ok().filter(|step| *step > 0)?)),
            None => (item, None),
        };
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (number(from)?, number(to)?),
            None if matches!(range, "*" | "?") => (least, most),
            None => {
                let value = number(range)?;
                (value, if step.is_some() { most } else { value })
            }
        };
        if from > to {
            return None;
        }
        all.extend((from..=to).step_by(step.unwrap_or(1)));
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(expression: &str, from: &str) -> Option<String> {
        let fields: Vec<&str> = expression.split(' ').collect();
        Some(Cron::read(&fields, TimeZone::UTC)?.next(from.parse().unwrap())?.to_string())
    }

    #[test]
    fn the_next_time_is_the_first_that_fits_all_fields() {
        // A Friday.
        let from = "2026-01-02T03:04:05Z";
        for (expression, expected) in [
            ("0 */20 * * * ?", "2026-01-02T03:20:00Z"),
            ("5 4 3 * * ?", "2026-01-03T03:04:05Z"),
            ("0 0 12 ? * WED", "2026-01-07T12:00:00Z"),
            ("0 0 12 ? * 0", "2026-01-04T12:00:00Z"),
            ("0 0 12 ? * 7", "2026-01-04T12:00:00Z"),
            ("0 0 12 29 2 ?", "2028-02-29T12:00:00Z"),
            ("10-20/5,50 4 3 2 JAN ?", "2026-01-02T03:04:10Z"),
            ("0 0 0 1 * MON", "2026-01-05T00:00:00Z"),
            ("0 0 0 1 1 ? 2030", "2030-01-01T00:00:00Z"),
        ] {
            assert_eq!(next(expression, from).as_deref(), Some(expected), "{expression}");
        }
        assert_eq!(next("0 0 0 1 1 ? 2020", from), None);
    }

    #[test]
    fn what_the_agent_does_not_know_is_refused() {
        for expression in ["* * * * *", "60 * * * * ?", "a * * * * ?", "5-1 * * * * ?", "*/0 * * * * ?", "0 0 0 L * ?", "1 2 3 4 5 6 7 8"] {
            assert_eq!(next(expression, "2026-01-02T03:04:05Z"), None, "{expression}");
        }
    }
}
