//! Values that a scenario writes in words, and the bounds of its numbers.

use std::time::Duration;

use jiff::SignedDuration;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// The longest that anything may take.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// A duration such as `300ms`, `1.5s` or `2m`.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration; write it like `300ms`, `1.5s` or `2m`");
    let parsed: SignedDuration = text.trim().parse().map_err(|_| wrong())?;
    let parsed = Duration::try_from(parsed).map_err(|_| wrong())?;
    if parsed > LONGEST { Err(format!("`{text}` is longer than 30 days")) } else { Ok(parsed) }
}

/// Durations as text.
pub(crate) mod duration {
    use super::{Deserialize, Deserializer, Duration, Error, parse};
    use serde::Serializer;

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::show(*duration))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// The text that `parse` reads again.
pub(crate) fn show(duration: Duration) -> String {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    match (seconds, nanos) {
        (seconds, 0) => format!("{seconds}s"),
        (0, nanos) if nanos % 1_000_000 == 0 => format!("{}ms", nanos / 1_000_000),
        (0, nanos) if nanos % 1_000 == 0 => format!("{}us", nanos / 1_000),
        (seconds, nanos) => format!("{}s", format!("{seconds}.{nanos:09}").trim_end_matches('0')),
    }
}

/// A probability.
pub(crate) fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    within(deserializer, "share", 0.0, 1.0)
}

/// How fast time goes.
pub(crate) fn speed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    within(deserializer, "speed", 0.001, 1_000_000.0)
}

/// Calls in a second.
pub(crate) fn rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    within(deserializer, "rate", 0.001, 1_000_000.0).map(Some)
}

fn within<'de, D: Deserializer<'de>>(deserializer: D, what: &str, least: f64, most: f64) -> Result<f64, D::Error> {
    let number = f64::deserialize(deserializer)?;
    if (least..=most).contains(&number) {
        Ok(number)
    } else {
        Err(D::Error::custom(format!("{number} is no {what} between {least} and {most}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_they_are_shown() {
        for text in ["0s", "300ms", "20us", "2s", "1.5s", "90s"] {
            assert_eq!(show(parse(text).unwrap()), text);
        }
        assert_eq!(parse("2m").unwrap(), Duration::from_secs(120));
        for wrong in ["", "5", "-1s", "fast", "721h"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
