//! Moments as the products write them, and states that follow from the clock.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::wire::fault::Fault;
use super::wire::params::Params;

/// `from`, and `by` later.
pub(crate) fn after(from: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| from.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

/// How long it is from `now` to `then`; nothing if it has passed.
pub(crate) fn until(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or_default()
}

/// `2026-01-02T03:04:05Z`.
pub(crate) fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `2026-01-02T03:04Z`.
pub(crate) fn minutes(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%MZ").to_string()
}

/// `2026-01-02T03:04:05.000Z`.
pub(crate) fn milliseconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string()
}

/// `Fri, 02 Jan 2026 03:04:05 GMT`.
pub(crate) fn http(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Reads a moment in UTC, with or without seconds.
pub(crate) fn read(text: &str) -> Option<Timestamp> {
    let whole = if text.len() == "2026-01-02T03:04Z".len() { text.replace('Z', ":00Z") } else { text.to_owned() };
    if whole.ends_with('Z') { whole.parse().ok() } else { None }
}

/// `Filter.N` with `CreationStartTime` and `CreationEndTime`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CreationFilter {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl CreationFilter {
    pub(crate) fn read(params: &Params) -> Result<CreationFilter, Fault> {
        let mut filter = CreationFilter::default();
        for (given, number) in params.structs("Filter").iter().zip(1..) {
            let value = || read(&given.owned("Value")).ok_or_else(|| Fault::invalid(&format!("Filter.{number}.Value")));
            match given.text("Key") {
                Some("CreationStartTime") => filter.from = Some(value()?),
                Some("CreationEndTime") => filter.to = Some(value()?),
                _ => return Err(Fault::invalid(&format!("Filter.{number}.Key"))),
            }
        }
        Ok(filter)
    }

    /// Whether something was made within the span.
    pub(crate) fn fits(self, created: Timestamp) -> bool {
        self.from.is_none_or(|from| created >= from) && self.to.is_none_or(|to| created <= to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_the_products_do() {
        let at: Timestamp = "2026-01-02T03:04:05.678Z".parse().unwrap();
        assert_eq!(seconds(at), "2026-01-02T03:04:05Z");
        assert_eq!(minutes(at), "2026-01-02T03:04Z");
        assert_eq!(milliseconds(at), "2026-01-02T03:04:05.000Z");
        assert_eq!(http(at), "Fri, 02 Jan 2026 03:04:05 GMT");
        assert_eq!(until(after(at, Duration::from_secs(2)), at), Duration::ZERO);
        assert_eq!(until(at, after(at, Duration::from_secs(2))), Duration::from_secs(2));
    }
}
