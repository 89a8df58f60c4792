//! Functions: CreateFunction, GetFunction, UpdateFunction, DeleteFunction, ListFunctions, GetFunctionCode and
//! PutConcurrencyConfig.

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::asynchronous::AsyncConfig;
use super::check::{self, Place};
use super::code::{Code, Input, Package, give_up};
use super::settings::{Settings, invalid};
use super::{arn, check_qualifier, commit, field, find, key_of, object, page};
use crate::local_cloud::call::{Call, Outcome};
use crate::local_cloud::config::Config;
use crate::local_cloud::roa::RoaCall;
use crate::local_cloud::time::{after, seconds};
use crate::local_cloud::wire::fault::Fault;
use crate::local_cloud::wire::params::Tags;

/// How long a link to a package is good.
const LINK: std::time::Duration = std::time::Duration::from_secs(600);
/// Where packages are fetched from: no bucket has such a name.
pub(super) const PACKAGES: &str = "/_function-code/";
/// How many functions a region may hold.
const MOST: usize = 5000;

/// A function.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) region: String,
    pub(crate) id: String,
    pub(crate) settings: Settings,
    /// `None` for a container.
    pub(crate) code: Option<Code>,
    pub(crate) tags: Tags,
    pub(crate) resource_group: String,
    pub(crate) created: Timestamp,
    pub(crate) modified: Timestamp,
    /// Raised by every update: instances of an earlier one take no more requests.
    pub(crate) generation: u64,
    /// How many instances it may have; as many as the region without it.
    pub(crate) reserved: Option<u32>,
    pub(crate) asynchronous: Option<AsyncConfig>,
}

impl Function {
    pub(crate) fn key(&self) -> String {
        key_of(&self.region, &self.name)
    }

    /// Why its image is not there; nothing if it is.
    pub(crate) fn image_fault(&self) -> Option<String> {
        let image = &self.settings.custom_container_config.as_ref()?.image;
        check::image_is_missing(image).then(|| format!("failed to pull image '{image}': it does not exist or may not be pulled"))
    }

    /// `Active`, or `Failed` if its image can't be pulled.
    pub(crate) fn state(&self) -> &'static str {
        if self.image_fault().is_some() { "Failed" } else { "Active" }
    }

    pub(crate) fn arn(&self, config: &Config) -> String {
        arn(&config.account, &self.region, &self.name)
    }

    fn describe(&self, config: &Config) -> Json {
        let mut body = serde_json::to_value(&self.settings).unwrap_or_default();
        let tags: Vec<Json> = self.tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
        body["functionName"] = self.name.clone().into();
        body["functionArn"] = self.arn(config).into();
        body["functionId"] = self.id.clone().into();
        body["codeSize"] = self.code.as_ref().map_or(0, |code| code.size).into();
        body["codeChecksum"] = self.code.as_ref().map_or("", |code| &code.checksum).into();
        body["createdTime"] = seconds(self.created).into();
        body["lastModifiedTime"] = seconds(self.modified).into();
        body["resourceGroupId"] = self.resource_group.clone().into();
        body["layers"] = json!([]);
        body["tags"] = tags.into();
        body["state"] = self.state().into();
        let fault = self.image_fault();
        body["lastUpdateStatus"] = if fault.is_some() { "Failed" } else { "Successful" }.into();
        if let Some(reason) = fault {
            for (name, text) in [("stateReason", &reason), ("lastUpdateStatusReason", &reason)] {
                body[name] = text.clone().into();
            }
            body["stateReasonCode"] = "ImagePullFailed".into();
            body["lastUpdateStatusReasonCode"] = "ImagePullFailed".into();
        }
        if let Some(container) = &self.settings.custom_container_config {
            body["customContainerConfig"]["resolvedImageUri"] = container.image.clone().into();
        }
        body
    }
}

fn tags_of(given: Option<Vec<Json>>) -> Result<Tags, Fault> {
    let mut tags = Tags::new();
    for tag in given.unwrap_or_default() {
        let key = tag["Key"].as_str().unwrap_or_default();
        let value = tag["Value"].as_str().unwrap_or_default();
        if key.is_empty() || key.len() > 128 || value.len() > 128 || key.starts_with("aliyun") || key.starts_with("acs:") {
            return Err(invalid(format!("tag '{key}' is invalid")));
        }
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(invalid(format!("tag '{key}' is given twice")));
        }
    }
    if tags.len() > 20 { Err(invalid("a function has at most 20 tags")) } else { Ok(tags) }
}

/// Fetches the package of a call; without one there is nothing to be fetched.
async fn package(call: &RoaCall<'_>, input: Option<Input>, region: &str) -> Result<Option<Package>, Fault> {
    match input {
        Some(input) => input.fetch(call.shared, region).await.map(Some),
        None => Ok(None),
    }
}

/// Changes the world with a package that is kept; gives it up again if the change is refused.
async fn with_code(call: &RoaCall<'_>, package: Option<Package>, change: impl FnOnce(&mut Call, Option<Code>) -> Outcome) -> Outcome {
    let code = match package {
        Some(package) => Some(package.keep(call.shared).await?),
        None => None,
    };
    commit(call, |inner| {
        let outcome = change(inner, code.clone());
        if let (Err(_), Some(code)) = (&outcome, &code) {
            give_up(inner.world, &code.digest);
        }
        outcome
    })
    .await
}

/// CreateFunction.
pub(super) async fn create(call: &RoaCall<'_>) -> Outcome {
    let region = call.region()?.id;
    let body = object(call)?;
    let name: String = field(&body, "functionName")?.ok_or_else(|| invalid("functionName is required"))?;
    check::name("functionName", &name, 64)?;
    let tags = tags_of(field(&body, "tags")?)?;
    let resource_group = field::<String>(&body, "resourceGroupId")?.unwrap_or_default();
    let mut settings = Settings::default().with(&body)?;
    let taken = Fault::new(409, "FunctionAlreadyExists", format!("function '{name}' already exists"));
    {
        let world = call.shared.world();
        check::settings(&mut settings, &Place { world: &world, region, account: &call.shared.config.account })?;
        // Before a package is fetched for nothing.
        if world.functions.contains(&key_of(region, &name)) {
            return Err(taken);
        }
    }
    let container = settings.runtime == "custom-container";
    let input: Option<Input> = field(&body, "code")?.filter(|_| !container);
    if input.is_none() && !container {
        return Err(invalid("code is required"));
    }
    let package = package(call, input, region).await?;
    with_code(call, package, |call, code| {
        let key = key_of(region, &name);
        if call.world.functions.contains(&key) {
            return Err(taken);
        }
        if call.world.functions.starting_with(&format!("{region}/")).count() >= MOST {
            return Err(Fault::bad("LimitExceededError", format!("a region has at most {MOST} functions")));
        }
        let number = call.world.next_number();
        let function = Function {
            id: uuid(call.config.seed, &key, number),
            name,
            region: region.to_owned(),
            settings,
            code,
            tags,
            resource_group,
            created: call.now,
            modified: call.now,
            generation: number,
            reserved: None,
            asynchronous: None,
        };
        let answer = function.describe(call.config);
        call.world.functions.insert(key, function);
        Ok(answer)
    })
    .await
}

/// Ids of functions, `aa715851-1c20-4b89-a8fb-...`.
pub(super) fn uuid(seed: u64, what: &str, number: u64) -> String {
    let hash = hex::encode(Sha256::digest(format!("{seed}/{what}/{number}")));
    format!("{}-{}-4{}-a{}-{}", &hash[..8], &hash[8..12], &hash[12..15], &hash[15..18], &hash[18..30])
}

/// GetFunction.
pub(super) fn get(call: &RoaCall<'_>, name: &str) -> Outcome {
    let world = call.shared.world();
    let function = find(&world, call.region()?.id, name)?;
    check_qualifier(call.params.text("qualifier"), name)?;
    Ok(function.describe(&call.shared.config))
}

/// UpdateFunction. What is not given stays as it is.
pub(super) async fn update(call: &RoaCall<'_>, name: &str) -> Outcome {
    let region = call.region()?.id;
    let body = object(call)?;
    let container = {
        let world = call.shared.world();
        let function = find(&world, region, name)?;
        let mut settings = function.settings.with(&body)?;
        check::settings(&mut settings, &Place { world: &world, region, account: &call.shared.config.account })?;
        settings.runtime == "custom-container"
    };
    let input: Option<Input> = field(&body, "code")?.filter(|_| !container);
    let package = package(call, input, region).await?;
    with_code(call, package, |call, code| {
        let key = key_of(region, name);
        let mut settings = find(call.world, region, name)?.settings.with(&body)?;
        check::settings(&mut settings, &Place { world: call.world, region, account: &call.config.account })?;
        let (now, generation) = (call.now, call.world.next_number());
        let Some(function) = call.world.functions.get_mut(&key) else { return Err(invalid("the function is gone")) };
        if code.is_none() && function.code.is_none() && settings.runtime != "custom-container" {
            return Err(invalid("code is required"));
        }
        function.settings = settings;
        function.modified = now;
        function.generation = generation;
        let old = if code.is_some() { std::mem::replace(&mut function.code, code) } else { None };
        let answer = function.describe(call.config);
        if let Some(old) = old {
            give_up(call.world, &old.digest);
        }
        call.world.index.functions.retire(&key, Some(generation));
        Ok(answer)
    })
    .await
}

/// DeleteFunction. Its instances end, and what waits for it is never carried out.
pub(super) async fn delete(call: &RoaCall<'_>, name: &str) -> Outcome {
    let region = call.region()?.id;
    commit(call, |call| {
        let key = key_of(region, name);
        find(call.world, region, name)?;
        let below = format!("{key}/");
        if call.world.function_triggers.starting_with(&below).next().is_some() {
            return Err(Fault::bad("FunctionNotEmpty", format!("function '{name}' has active triggers")));
        }
        let tasks: Vec<String> = call.world.function_tasks.starting_with(&below).map(|(key, _)| key.to_owned()).collect();
        for task in tasks {
            call.world.function_tasks.remove(&task);
            call.world.index.functions.stop(&task);
        }
        if let Some(code) = call.world.functions.remove(&key).and_then(|function| function.code) {
            give_up(call.world, &code.digest);
        }
        call.world.index.functions.retire(&key, None);
        Ok(Json::Null)
    })
    .await
}

/// ListFunctions.
pub(super) fn list(call: &RoaCall<'_>) -> Outcome {
    let region = call.region()?.id;
    let text = |name| call.params.text(name);
    let version_two = match text("fcVersion") {
        None | Some("v3") => false,
        Some("v2") => true,
        Some(other) => return Err(invalid(format!("fcVersion '{other}' is invalid: v2 or v3"))),
    };
    let wanted: Vec<Json> = match text("tags") {
        Some(tags) => serde_json::from_str(tags).map_err(|_| invalid("tags is not a JSON list"))?,
        None => Vec::new(),
    };
    let world = call.shared.world();
    let fits = |function: &Function| {
        let settings = &function.settings;
        let gpu = settings.gpu_config.as_ref().map_or("", |gpu| &gpu.gpu_type);
        !version_two
            && text("prefix").is_none_or(|prefix| function.name.starts_with(prefix))
            && text("functionName").is_none_or(|part| function.name.contains(part))
            && text("description").is_none_or(|part| settings.description.contains(part))
            && text("runtime").is_none_or(|runtime| settings.runtime == runtime)
            && text("gpuType").is_none_or(|wanted| gpu == wanted)
            && text("resourceGroupId").is_none_or(|group| function.resource_group == group)
            && wanted.iter().all(|tag| {
                let own = tag["Key"].as_str().and_then(|key| function.tags.get(key));
                own.is_some_and(|own| tag["Value"].as_str().is_none_or(|value| value.is_empty() || value == own))
            })
    };
    let prefix = format!("{region}/");
    let rows = world.functions.starting_with(&prefix).filter(|(_, function)| fits(function));
    let (functions, next) = page(call, "nextToken", 20, rows)?;
    let functions: Vec<Json> = functions.into_iter().map(|function| function.describe(&call.shared.config)).collect();
    Ok(json!({ "functions": functions, "nextToken": next }))
}

/// What signs a link: it names the bytes and the time until when.
fn signature(config: &Config, digest: &str, expires: i64) -> String {
    let secret = config.keys.first().map_or("", |key| key.secret.reveal());
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(format!("function code {digest} until {expires}").as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

/// GetFunctionCode: a link that is good for ten minutes.
pub(super) fn code(call: &RoaCall<'_>, name: &str) -> Outcome {
    let world = call.shared.world();
    let function = find(&world, call.region()?.id, name)?;
    check_qualifier(call.params.text("qualifier"), name)?;
    let Some(code) = &function.code else { return Err(invalid(format!("function '{name}' is a container and has no code package"))) };
    let expires = after(call.shared.now(), LINK).as_second();
    let signature = signature(&call.shared.config, &code.digest, expires);
    let url = format!("http://{}{PACKAGES}{}?Expires={expires}&Signature={signature}", call.request.host, code.digest);
    Ok(json!({ "url": url, "checksum": code.checksum }))
}

/// Whether a link to a package is one that was given and is still good.
pub(super) fn link_is_good(config: &Config, digest: &str, expires: i64, told: &str, now: Timestamp) -> bool {
    expires >= now.as_second() && signature(config, digest, expires) == told
}

/// PutConcurrencyConfig.
pub(super) async fn put_concurrency(call: &RoaCall<'_>, name: &str) -> Outcome {
    let region = call.region()?.id;
    let reserved: u32 = field(&object(call)?, "reservedConcurrency")?.ok_or_else(|| invalid("reservedConcurrency is required"))?;
    if reserved as usize > call.shared.config.quotas.function_instances {
        return Err(invalid(format!("reservedConcurrency {reserved} exceeds the instances of the region")));
    }
    commit(call, |call| {
        let answer = json!({ "functionArn": find(call.world, region, name)?.arn(call.config), "reservedConcurrency": reserved });
        if let Some(function) = call.world.functions.get_mut(&key_of(region, name)) {
            function.reserved = Some(reserved);
        }
        call.world.index.functions.signal();
        Ok(answer)
    })
    .await
}
