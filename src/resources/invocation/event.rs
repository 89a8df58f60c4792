//! What an invocation is told: the command, the environment with its secrets, and the links that it writes to. It is made
//! for one invocation, handed to the cloud, and must never be kept or shown.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Method;
use serde::Serialize;

use super::InvocationSpec;
use crate::cloud::call::Link;
use crate::resources::error::ResourceError;
use crate::resources::kind::{Context, needed};
use crate::resources::name;
use crate::resources::part::Part;

/// What it wrote.
pub(super) const LOG: &str = "log";
/// How it ended.
pub(super) const RESULT: &str = "result";
/// The outputs that were there.
pub(super) const OUTPUTS: &str = "outputs.tar.gz";
/// Which attempt is the one that counts.
pub(super) const TICKET: &str = "ticket";
/// An attempt that began, and one that is known to do nothing any more; the attempt follows.
pub(super) const BEGUN: &str = "begun-";
pub(super) const GONE: &str = "gone-";
/// How long links are good for after the cloud has ended the invocation, in seconds: it may have waited for its turn.
const LINK_SLACK: u64 = 2 * 3600;
/// The most bytes of the event of a task. Source: Function Compute, limits.
const LARGEST_TASK: usize = 128 * 1024;

/// Where an invocation is, and where it writes.
pub(super) struct Place<'a> {
    /// The function's name.
    pub(super) function: &'a str,
    /// What tells this run from others, and what the names of its tasks begin with.
    pub(super) run: &'a str,
    pub(super) bucket: &'a str,
    /// What the keys of its objects begin with.
    pub(super) prefix: String,
}

impl<'a> Place<'a> {
    /// The place of the invocation with that identifier.
    pub(super) fn of(id: &'a str, spec: &'a InvocationSpec) -> Result<Self, ResourceError> {
        let strange = || ResourceError::InTheWay(format!("`{id}` is not the identifier of an invocation"));
        let (function, run) = id.split_once('/').ok_or_else(strange)?;
        Ok(Place { function, run, bucket: needed(&spec.bucket)?, prefix: format!("{}{run}/", name::runs(&spec.job)) })
    }

    /// The key of one of its objects.
    pub(super) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    async fn link(&self, context: &Context<'_>, method: Method, name: &str, seconds: u64) -> Result<String, ResourceError> {
        let link = Link { method, region: context.region, bucket: self.bucket, key: &self.key(name), seconds };
        Ok(context.cloud.presign(&link).await?)
    }
}

#[derive(Serialize)]
struct Event<'a> {
    command: &'a str,
    limit: u64,
    environment: BTreeMap<&'a str, String>,
    outputs: &'a [String],
    links: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<&'a str>,
}

/// The event of an invocation. With `attempt` it runs only if that is the attempt that counts.
pub(super) async fn event(
    context: &Context<'_>,
    spec: &InvocationSpec,
    place: &Place<'_>,
    attempt: Option<&str>,
) -> Result<Bytes, ResourceError> {
    let seconds = u64::from(spec.timeout) + LINK_SLACK;
    let mut links = BTreeMap::new();
    for (name, key) in [("log", LOG), ("result", RESULT), ("outputs", OUTPUTS)] {
        links.insert(name, place.link(context, Method::PUT, key, seconds).await?);
    }
    if let Some(attempt) = attempt {
        links.insert("begun", place.link(context, Method::PUT, &format!("{BEGUN}{attempt}"), seconds).await?);
        links.insert("gone", place.link(context, Method::PUT, &format!("{GONE}{attempt}"), seconds).await?);
        links.insert("ticket", place.link(context, Method::GET, TICKET, seconds).await?);
    }
    let variables = spec.part.as_ref().map(Part::variables).unwrap_or_default();
    let plain = spec.environment.iter().chain(&variables);
    let mut environment: BTreeMap<&str, String> = plain.map(|(name, value)| (name.as_str(), value.clone())).collect();
    for (name, source) in &spec.secrets {
        let missing = || ResourceError::SecretMissing { variable: source.variable.clone(), address: context.address.to_string() };
        environment.insert(name, context.secrets.read(source).ok_or_else(missing)?.reveal().to_owned());
    }
    let (command, limit, outputs) = (spec.command.as_str(), spec.limit, spec.outputs.as_slice());
    let event = Event { command, limit, environment, outputs, links, ticket: attempt };
    // The reason of a failure could quote a value.
    let bytes = serde_json::to_vec(&event).map_err(|_| ResourceError::InTheWay("the event of the job can't be written".to_owned()))?;
    if spec.asynchronous && bytes.len() > LARGEST_TASK {
        return Err(ResourceError::InTheWay(format!(
            "the command and the environment of job `{}` come to {} bytes, and a task of Function Compute takes {LARGEST_TASK}: \
             put what is long into files",
            spec.job,
            bytes.len()
        )));
    }
    Ok(Bytes::from(bytes))
}
