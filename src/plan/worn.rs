//! Machines that the cloud itself ends at a moment which is set when they are made. It decides nothing: whoever wants to
//! use one again asks here whether that is worth it.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;

/// How much of the time that a machine was given may be gone when a run begins on it. It was given half an hour more than
/// its runs may take, and the other half of that is for its files and its outputs.
const MAY_BE_GONE: SignedDuration = SignedDuration::from_mins(15);

/// When the cloud ends a machine, if that is too soon for another run of what it was made for; of one that it does not
/// end, and of anything else, nothing.
pub fn ends_too_soon(spec: &Json, attributes: &Json, now: Timestamp) -> Option<String> {
    let given = SignedDuration::from_secs(i64::try_from(spec["release_after"].as_u64()?).ok()?);
    let said = attributes["release_at"].as_str().filter(|said| !said.is_empty());
    let Some(said) = said else { return Some("a time that is not known".to_owned()) };
    // The cloud says the minute.
    let whole = if said.len() == "2026-01-02T03:04Z".len() { said.replace('Z', ":00Z") } else { said.to_owned() };
    let left = whole.parse::<Timestamp>().ok().map(|end| end.duration_since(now));
    let enough = left.is_some_and(|left| left >= given - MAY_BE_GONE);
    (!enough).then(|| said.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_machine_is_used_again_as_long_as_its_end_leaves_time_for_the_run() {
        let (spec, now) = (json!({ "release_after": 5400 }), "2026-01-02T03:04:05Z".parse().unwrap());
        let at = |said: &str| ends_too_soon(&spec, &json!({ "release_at": said }), now);
        assert_eq!(at("2026-01-02T04:34Z"), None, "made a moment ago");
        assert_eq!(at("2026-01-02T04:20Z"), None);
        assert_eq!(at("2026-01-02T04:19Z").as_deref(), Some("2026-01-02T04:19Z"));
        assert!(at("").is_some() && at("soon").is_some() && ends_too_soon(&spec, &Json::Null, now).is_some());
        assert_eq!(ends_too_soon(&json!({ "release_after": null }), &json!({ "release_at": "" }), now), None);
    }
}
