//! How asynchronous invocations of a function are carried out: PutAsyncInvokeConfig, GetAsyncInvokeConfig and
//! DeleteAsyncInvokeConfig.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::function::Function;
use super::settings::invalid;
use super::{check_qualifier, commit, field, find, key_of, object};
use crate::local_cloud::call::Outcome;
use crate::local_cloud::config::Config;
use crate::local_cloud::roa::RoaCall;
use crate::local_cloud::store::World;
use crate::local_cloud::time::seconds;
use crate::local_cloud::wire::fault::Fault;

/// What a function that was told nothing does. Source: PutAsyncInvokeConfig.
pub(crate) const USUAL: (u64, u32) = (86_400, 3);

/// How asynchronous invocations are carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AsyncConfig {
    /// Whether what becomes of them can be asked for.
    pub(crate) task: bool,
    /// In seconds.
    pub(crate) oldest: u64,
    pub(crate) retries: u32,
    /// The function that is told of successes.
    pub(crate) on_success: Option<String>,
    /// The function that is told of failures.
    pub(crate) on_failure: Option<String>,
    pub(crate) created: Timestamp,
    pub(crate) modified: Timestamp,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Destinations {
    on_success: Option<Destination>,
    on_failure: Option<Destination>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Destination {
    destination: Option<String>,
}

/// The name of the function that an ARN is, in the region.
pub(super) fn target<'a>(config: &Config, region: &str, arn: &'a str) -> Option<&'a str> {
    let rest = arn.strip_prefix(&format!("acs:fc:{region}:{}:functions/", config.account))?;
    let name = rest.strip_suffix("/LATEST").unwrap_or(rest);
    (!name.contains('/')).then_some(name)
}

fn check_target(world: &World, config: &Config, function: &Function, given: Option<Destination>) -> Result<Option<String>, Fault> {
    let Some(arn) = given.and_then(|given| given.destination).filter(|arn| !arn.is_empty()) else { return Ok(None) };
    let Some(name) = target(config, &function.region, &arn) else {
        let kinds = "in this local cloud a destination is the ARN of a function of the same account and region";
        return Err(invalid(format!("destination '{arn}' is invalid: {kinds}")));
    };
    if name == function.name {
        return Err(invalid(format!("destination '{arn}' is the function itself")));
    }
    if find(world, &function.region, name).is_err() {
        return Err(invalid(format!("destination '{arn}' does not exist")));
    }
    Ok(Some(arn))
}

fn describe(config: &AsyncConfig, arn: &str) -> Json {
    let destination = |arn: &Option<String>| arn.as_ref().map_or_else(|| json!({}), |arn| json!({ "destination": arn }));
    json!({
        "asyncTask": config.task,
        "maxAsyncEventAgeInSeconds": config.oldest,
        "maxAsyncRetryAttempts": config.retries,
        "destinationConfig": { "onSuccess": destination(&config.on_success), "onFailure": destination(&config.on_failure) },
        "functionArn": arn,
        "createdTime": seconds(config.created),
        "lastModifiedTime": seconds(config.modified),
    })
}

/// PutAsyncInvokeConfig.
pub(super) async fn put(call: &RoaCall<'_>, name: &str) -> Outcome {
    let region = call.region()?.id;
    let body = object(call)?;
    let task: bool = field(&body, "asyncTask")?.unwrap_or(false);
    let oldest: u64 = field(&body, "maxAsyncEventAgeInSeconds")?.unwrap_or(USUAL.0);
    let retries: u32 = field(&body, "maxAsyncRetryAttempts")?.unwrap_or(USUAL.1);
    let destinations: Destinations = field(&body, "destinationConfig")?.unwrap_or_default();
    if !(1..=604_800).contains(&oldest) {
        return Err(invalid(format!("maxAsyncEventAgeInSeconds {oldest} is invalid: 1 to 604800")));
    }
    if retries > 8 {
        return Err(invalid(format!("maxAsyncRetryAttempts {retries} is invalid: 0 to 8")));
    }
    commit(call, |call| {
        let function = find(call.world, region, name)?;
        check_qualifier(call.params.text("qualifier"), name)?;
        let config = AsyncConfig {
            task,
            oldest,
            retries,
            on_success: check_target(call.world, call.config, function, destinations.on_success)?,
            on_failure: check_target(call.world, call.config, function, destinations.on_failure)?,
            created: function.asynchronous.as_ref().map_or(call.now, |old| old.created),
            modified: call.now,
        };
        let answer = describe(&config, &function.arn(call.config));
        if let Some(function) = call.world.functions.get_mut(&key_of(region, name)) {
            function.asynchronous = Some(config);
        }
        Ok(answer)
    })
    .await
}

fn missing(name: &str) -> Fault {
    Fault::missing("AsyncConfigNotExists", format!("AsyncConfig for {name}:LATEST does not exist."))
}

/// GetAsyncInvokeConfig.
pub(super) fn get(call: &RoaCall<'_>, name: &str) -> Outcome {
    let world = call.shared.world();
    let function = find(&world, call.region()?.id, name)?;
    check_qualifier(call.params.text("qualifier"), name)?;
    let config = function.asynchronous.as_ref().ok_or_else(|| missing(name))?;
    Ok(describe(config, &function.arn(&call.shared.config)))
}

/// DeleteAsyncInvokeConfig.
pub(super) async fn delete(call: &RoaCall<'_>, name: &str) -> Outcome {
    let region = call.region()?.id;
    commit(call, |call| {
        find(call.world, region, name)?;
        check_qualifier(call.params.text("qualifier"), name)?;
        let function = call.world.functions.get_mut(&key_of(region, name));
        function.and_then(|function| function.asynchronous.take()).map(|_| Json::Null).ok_or_else(|| missing(name))
    })
    .await
}
