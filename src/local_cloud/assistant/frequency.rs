//! `Frequency` of a scheduled command: `rate(...)`, `at(...)` or a cron expression, each with its time zone.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

use super::cron::Cron;
use crate::local_cloud::time::{after, until};
use crate::local_cloud::wire::fault::Fault;

/// The shortest and the longest interval of a rate.
const INTERVALS: (u64, u64) = (60, 7 * 24 * 3600);

/// When a scheduled command runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frequency {
    /// Again and again, first after one interval.
    Rate(Duration),
    /// Once.
    At(Timestamp),
    /// Whenever an expression fits.
    Cron(Box<Cron>),
}

fn invalid() -> Fault {
    Fault::bad("InvalidParam.Frequency", "The specified frequency is invalid.")
}

impl Frequency {
    /// Reads one; no zone is UTC.
    pub(crate) fn read(text: &str) -> Result<Frequency, Fault> {
        let text = text.trim();
        let inside = |name: &str| text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
        let found = if let Some(rate) = inside("rate") {
            interval(rate.trim()).map(Frequency::Rate)
        } else if let Some(at) = inside("at") {
            moment(at.trim()).map(Frequency::At)
        } else {
            cron(text).map(|cron| Frequency::Cron(Box::new(cron)))
        };
        found.ok_or_else(invalid)
    }

    /// Whether a command with that timeout can be planned by it.
    pub(super) fn check(&self, timeout: u64, now: Timestamp) -> Result<(), Fault> {
        let fits = match self {
            Frequency::Rate(interval) => interval.as_secs() > timeout,
            Frequency::At(at) => *at > now,
            Frequency::Cron(cron) => cron.next(now).is_some(),
        };
        if fits { Ok(()) } else { Err(invalid()) }
    }

    /// The first time after `from` of what was planned at `start`.
    pub(super) fn next(&self, start: Timestamp, from: Timestamp) -> Option<Timestamp> {
        match self {
            Frequency::At(at) => Some(*at).filter(|at| *at > from),
            Frequency::Cron(cron) => cron.next(from.max(start)),
            Frequency::Rate(interval) => {
                let passed = until(start, from).as_nanos() / interval.as_nanos().max(1);
                let count = u32::try_from(passed + 1).ok()?;
                interval.checked_mul(count).map(|span| after(start, span))
            }
        }
    }

    /// Whether it comes more than once.
    pub(super) fn recurs(&self) -> bool {
        !matches!(self, Frequency::At(_))
    }
}

fn interval(text: &str) -> Option<Duration> {
    let unit = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        _ => return None,
    };
    let seconds = text[..text.len() - 1].trim().parse::<u64>().ok()?.checked_mul(unit)?;
    (INTERVALS.0..=INTERVALS.1).contains(&seconds).then(|| Duration::from_secs(seconds))
}

/// `2026-01-02 03:04:05 Asia/Shanghai`.
fn moment(text: &str) -> Option<Timestamp> {
    let mut words = text.split_whitespace();
    let (date, time) = (words.next()?, words.next()?);
    let zone = words.next().map_or(Some(TimeZone::UTC), zone)?;
    let civil: DateTime = format!("{date}T{time}").parse().ok()?;
    if words.next().is_some() { None } else { zone.to_timestamp(civil).ok() }
}

fn cron(text: &str) -> Option<Cron> {
    let words: Vec<&str> = text.split_whitespace().collect();
    // A year has digits or a star; a zone starts with a letter.
    let (fields, zone) = match words.split_last() {
        Some((last, fields)) if fields.len() >= 6 && last.starts_with(|c: char| c.is_ascii_alphabetic()) => (fields, zone(last)?),
        _ => (words.as_slice(), TimeZone::UTC),
    };
    Cron::read(fields, zone)
}

/// `Asia/Shanghai`, `UTC`, `GMT+8:00`.
fn zone(name: &str) -> Option<TimeZone> {
    if matches!(name, "UTC" | "GMT" | "Z") {
        return Some(TimeZone::UTC);
    }
    if let Some(offset) = name.strip_prefix("GMT").or_else(|| name.strip_prefix("UTC")) {
        let negative = offset.starts_with('-');
        let digits = offset.strip_prefix(['+', '-'])?;
        let (hours, minutes) = digits.split_once(':').unwrap_or((digits, "0"));
        let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
        if !(0..=14).contains(&hours) || !(0..60).contains(&minutes) {
            return None;
        }
        let seconds = hours * 3600 + minutes * 60;
        return Offset::from_seconds(if negative { -seconds } else { seconds }).ok().map(Offset::to_time_zone);
    }
    TimeZone::get(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(text: &str, start: &str, from: &str) -> Option<String> {
        let at = Frequency::read(text).ok()?.next(start.parse().unwrap(), from.parse().unwrap())?;
        Some(at.to_string())
    }

    #[test]
    fn rates_count_from_their_start() {
        let start = "2026-01-02T03:04:05Z";
        assert_eq!(next("rate(5m)", start, start).as_deref(), Some("2026-01-02T03:09:05Z"));
        assert_eq!(next("rate(60s)", start, "2026-01-02T03:06:05Z").as_deref(), Some("2026-01-02T03:07:05Z"));
        for bad in ["rate(59s)", "rate(8d)", "rate(5)", "rate(5w)", "rate(m)", "rate()", "rate(5m", ""] {
            assert!(Frequency::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn moments_and_expressions_have_zones() {
        let start = "2026-01-02T03:04:05Z";
        assert_eq!(next("at(2026-06-01 13:30:00 GMT+8:00)", start, start).as_deref(), Some("2026-06-01T05:30:00Z"));
        assert_eq!(next("at(2026-06-01 13:30:00)", start, start).as_deref(), Some("2026-06-01T13:30:00Z"));
        assert_eq!(next("at(2026-06-01 13:30:00)", start, "2026-07-01T00:00:00Z"), None);
        assert_eq!(next("0 0 12 * * ? GMT-3:30", start, start).as_deref(), Some("2026-01-02T15:30:00Z"));
        assert_eq!(next("0 0 12 * * ? 2027 UTC", start, start).as_deref(), Some("2027-01-01T12:00:00Z"));
        assert!(Frequency::read("at(2026-06-01)").is_err());
        assert!(Frequency::read("0 0 12 * * ? Nowhere/Land").is_err());
    }
}
