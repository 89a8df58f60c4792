//! What was sold out a moment ago. It is forgotten after some minutes, since stock comes back.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// How long a shortage counts.
const LASTS: SignedDuration = SignedDuration::from_mins(10);

/// Something that could not be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shortage {
    /// The region.
    pub region: String,
    /// The zone; `None` for all of the region.
    pub zone: Option<String>,
    /// The type; `None` for all of them.
    pub instance_type: Option<String>,
    /// What the cloud said: the error's code.
    pub code: String,
    /// When.
    pub at: Timestamp,
}

impl Shortage {
    /// Whether it counts still.
    pub fn counts(&self, now: Timestamp) -> bool {
        let age = now.duration_since(self.at);
        age < LASTS && age > -LASTS
    }

    /// Whether that type in that zone is meant.
    pub fn covers(&self, region: &str, zone: &str, instance_type: &str) -> bool {
        self.region == region
            && self.zone.as_ref().is_none_or(|out| out == zone)
            && self.instance_type.as_ref().is_none_or(|out| out == instance_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_means_what_it_names_for_some_minutes() {
        let at: Timestamp = "2026-01-02T03:00:00Z".parse().unwrap();
        let out = |zone: Option<&str>, instance_type: Option<&str>| Shortage {
            region: "r".to_owned(),
            zone: zone.map(str::to_owned),
            instance_type: instance_type.map(str::to_owned),
            code: String::new(),
            at,
        };
        assert!(out(Some("a"), Some("x")).covers("r", "a", "x"));
        assert!(!out(Some("a"), Some("x")).covers("r", "a", "y") && !out(Some("a"), Some("x")).covers("r", "b", "x"));
        assert!(out(Some("a"), None).covers("r", "a", "y") && out(None, Some("x")).covers("r", "b", "x"));
        assert!(!out(None, None).covers("s", "a", "x"));
        assert!(out(None, None).counts(at + SignedDuration::from_mins(9)));
        assert!(!out(None, None).counts(at + SignedDuration::from_mins(11)));
        assert!(!out(None, None).counts(at - SignedDuration::from_hours(1)), "a clock that was set back");
    }
}
