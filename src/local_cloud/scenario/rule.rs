//! A rule about calls: which ones, and what happens to them. It decides nothing by itself; `draws` does.

use std::time::Duration;

use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text;

/// A rule about calls.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CallRule {
    /// Which calls: `ecs:RunInstances`, `vpc:*`, `*:Describe*`, `oss:PutObject`. Upper and lower case are the same.
    #[serde(deserialize_with = "pattern")]
    #[schemars(regex(pattern = "^[^:]+:[^:]+$"))]
    pub call: String,
    /// How long each takes, `200ms`, or anything between two durations, `100ms..2s`. Of several rules the last counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub takes: Option<Takes>,
    /// The share that is refused with `Throttling.User`, half of them with a time to wait.
    #[serde(default, deserialize_with = "text::share", skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub throttled: f64,
    /// How many a second are let through, all calls of the rule together; the others get `Throttling.User`.
    #[serde(default, deserialize_with = "text::rate", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.001, max = 1_000_000.0))]
    pub per_second: Option<f64>,
    /// The share that is lost before it happens.
    #[serde(default, deserialize_with = "text::share", skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub lost_requests: f64,
    /// The share that happens and whose answer is lost.
    #[serde(default, deserialize_with = "text::share", skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub lost_answers: f64,
    /// An error that is answered instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fails: Option<Failure>,
}

/// An error that is answered instead of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// The error's code.
    pub code: String,
    /// The HTTP status; 400 without it.
    #[serde(default = "bad_request", deserialize_with = "status")]
    #[schemars(range(min = 400, max = 599))]
    pub status: u16,
    /// The error's message.
    #[serde(default = "usual_message")]
    pub message: String,
    /// The share of calls that fail; all of them without it.
    #[serde(default = "all", deserialize_with = "text::share")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub share: f64,
    /// How many fail until the rule is spent; without it, it never is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
}

impl Failure {
    /// Every call fails with that code.
    pub fn of(code: impl Into<String>) -> Failure {
        Failure { code: code.into(), status: bad_request(), message: usual_message(), share: all(), times: None }
    }
}

fn bad_request() -> u16 {
    400
}

fn usual_message() -> String {
    "The local cloud's scenario lets this call fail.".to_owned()
}

fn all() -> f64 {
    1.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands fields over by reference")]
fn is_zero(share: &f64) -> bool {
    *share == 0.0
}

fn status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    let status = u16::deserialize(deserializer)?;
    if (400..600).contains(&status) { Ok(status) } else { Err(D::Error::custom(format!("{status} is no status of an error, 400 to 599"))) }
}

fn pattern<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.split_once(':') {
        Some((product, action)) if !product.is_empty() && !action.is_empty() && !action.contains(':') => Ok(text),
        _ => Err(D::Error::custom(format!("`{text}` names no calls; write `product:Action`, with `*` for anything"))),
    }
}

impl CallRule {
    /// Whether the rule is about that call.
    pub(crate) fn fits(&self, product: &str, action: &str) -> bool {
        self.call
            .split_once(':')
            .is_some_and(|(of, named)| like(of.as_bytes(), product.as_bytes()) && like(named.as_bytes(), action.as_bytes()))
    }
}

/// Whether a name is like a pattern in which `*` stands for anything.
fn like(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) if like(rest, name) => true,
        (Some((b'*', _)), Some((_, name))) => like(pattern, name),
        (Some((wanted, rest)), Some((found, name))) => wanted.eq_ignore_ascii_case(found) && like(rest, name),
        _ => false,
    }
}

/// How long a call takes: anything between two durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Takes {
    /// At least.
    pub least: Duration,
    /// At most.
    pub most: Duration,
}

impl Serialize for Takes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (least, most) = (text::show(self.least), text::show(self.most));
        serializer.serialize_str(&if self.least == self.most { least } else { format!("{least}..{most}") })
    }
}

impl<'de> Deserialize<'de> for Takes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (least, most) = text.split_once("..").unwrap_or((&text, &text));
        let (least, most) = (text::parse(least).map_err(D::Error::custom)?, text::parse(most).map_err(D::Error::custom)?);
        if least > most { Err(D::Error::custom(format!("`{text}` ends before it begins"))) } else { Ok(Takes { least, most }) }
    }
}

impl JsonSchema for Takes {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Takes".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "description": "`200ms`, or `100ms..2s`" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_names_with_stars_and_any_case() {
        let rule = |call: &str| CallRule { call: call.to_owned(), ..CallRule::default() };
        assert!(rule("ecs:RunInstances").fits("ecs", "RunInstances"));
        assert!(rule("ECS:describe*").fits("ecs", "DescribeInstances"));
        assert!(rule("*:*Instance*").fits("ecs", "RunInstances"));
        assert!(!rule("ecs:RunInstance").fits("ecs", "RunInstances"));
        assert!(!rule("vpc:*").fits("ecs", "RunInstances"));
    }
}
