//! Triggers of functions: CreateTrigger, GetTrigger, ListTriggers and DeleteTrigger. Only HTTP triggers are there; what
//! comes in at their address is the business of `visitor`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::function::{Function, uuid};
use super::settings::invalid;
use super::{check, check_qualifier, commit, field, find, key_of, object, page};
use crate::local_cloud::call::Outcome;
use crate::local_cloud::config::Config;
use crate::local_cloud::roa::RoaCall;
use crate::local_cloud::time::seconds;
use crate::local_cloud::wire::fault::Fault;

/// What the service has and this cloud does not.
const ELSEWHERE: [&str; 9] = ["timer", "oss", "log", "tablestore", "cdn_events", "mns_topic", "eventbridge", "sls_alert", "rocketmq"];
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS"];

/// An HTTP trigger.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Trigger {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) region: String,
    pub(crate) function: String,
    pub(crate) description: String,
    /// As it was sent.
    pub(crate) config: String,
    pub(crate) methods: Vec<String>,
    pub(crate) disable_internet: bool,
    /// The first part of its address.
    pub(crate) label: String,
    pub(crate) created: Timestamp,
    pub(crate) modified: Timestamp,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HttpConfig {
    auth_type: Option<String>,
    methods: Option<Vec<String>>,
    #[serde(rename = "disableURLInternet")]
    disable_url_internet: Option<bool>,
}

impl HttpConfig {
    /// Reads it; only what is answered as told is taken.
    fn read(text: &str) -> Result<HttpConfig, Fault> {
        let config: HttpConfig = serde_json::from_str(text).map_err(|error| invalid(format!("triggerConfig is invalid: {error}")))?;
        match config.auth_type.as_deref() {
            Some("anonymous") => {}
            Some(known @ ("function" | "jwt")) => {
                return Err(invalid(format!("authType '{known}' is not available in this local cloud; anonymous is")));
            }
            _ => return Err(invalid("triggerConfig is invalid: authType is anonymous, function or jwt")),
        }
        let methods = config.methods.as_deref().unwrap_or_default();
        if methods.is_empty() || methods.iter().any(|method| !METHODS.contains(&method.as_str())) {
            return Err(invalid(format!("triggerConfig is invalid: methods are some of {}", METHODS.join(", "))));
        }
        Ok(config)
    }
}

impl Trigger {
    fn describe(&self, function: &Function, config: &Config) -> Json {
        let url = |kind: &str| format!("https://{}.{}{kind}.fcapp.run", self.label, self.region);
        let mut http = json!({ "urlIntranet": url("-vpc") });
        if !self.disable_internet {
            http["urlInternet"] = url("").into();
        }
        json!({
            "triggerName": self.name,
            "triggerId": self.id,
            "triggerType": "http",
            "triggerConfig": self.config,
            "description": self.description,
            "qualifier": "LATEST",
            "sourceArn": "",
            "invocationRole": "",
            "targetArn": function.arn(config),
            "status": "",
            "httpTrigger": http,
            "createdTime": seconds(self.created),
            "lastModifiedTime": seconds(self.modified),
        })
    }
}

fn trigger_key(region: &str, function: &str, name: &str) -> String {
    format!("{}/{name}", key_of(region, function))
}

/// CreateTrigger.
pub(super) async fn create(call: &RoaCall<'_>, function: &str) -> Outcome {
    let region = call.region()?.id;
    let body = object(call)?;
    let text = |name| field::<String>(&body, name).map(Option::unwrap_or_default);
    let (name, kind, config) = (text("triggerName")?, text("triggerType")?, text("triggerConfig")?);
    let description = text("description")?;
    check::name("triggerName", &name, 128)?;
    check_qualifier(Some(&text("qualifier")?), function)?;
    if ELSEWHERE.contains(&kind.as_str()) || kind.starts_with("mns") {
        return Err(invalid(format!("triggerType '{kind}' is not available in this local cloud; http is")));
    }
    if kind != "http" {
        return Err(invalid(format!("triggerType '{kind}' is invalid")));
    }
    let http = HttpConfig::read(&config)?;
    commit(call, |call| {
        find(call.world, region, function)?;
        let key = trigger_key(region, function, &name);
        if call.world.function_triggers.contains(&key) {
            return Err(Fault::new(409, "TriggerAlreadyExists", format!("trigger '{name}' already exists")));
        }
        let below = format!("{}/", key_of(region, function));
        if call.world.function_triggers.starting_with(&below).next().is_some() {
            return Err(Fault::bad("LimitExceededError", "a function has at most one HTTP trigger"));
        }
        let number = call.world.next_number();
        let id = uuid(call.config.seed, &key, number);
        let readable: String = function.to_ascii_lowercase().chars().map(|c| if c == '_' { '-' } else { c }).take(20).collect();
        let trigger = Trigger {
            label: format!(
                "{}-{}",
                readable.trim_matches('-'),
                id.chars().filter(char::is_ascii_alphanumeric).take(10).collect::<String>()
            ),
            name,
            id,
            region: region.to_owned(),
            function: function.to_owned(),
            description,
            config,
            methods: http.methods.unwrap_or_default(),
            disable_internet: http.disable_url_internet.unwrap_or(false),
            created: call.now,
            modified: call.now,
        };
        let answer = trigger.describe(find(call.world, region, function)?, call.config);
        call.world.function_triggers.insert(key, trigger);
        Ok(answer)
    })
    .await
}

fn missing(name: &str) -> Fault {
    Fault::missing("TriggerNotFound", format!("trigger '{name}' does not exist"))
}

/// GetTrigger.
pub(super) fn get(call: &RoaCall<'_>, function: &str, name: &str) -> Outcome {
    let world = call.shared.world();
    let region = call.region()?.id;
    let owner = find(&world, region, function)?;
    let trigger = world.function_triggers.get(&trigger_key(region, function, name)).ok_or_else(|| missing(name))?;
    Ok(trigger.describe(owner, &call.shared.config))
}

/// ListTriggers.
pub(super) fn list(call: &RoaCall<'_>, function: &str) -> Outcome {
    let world = call.shared.world();
    let region = call.region()?.id;
    let owner = find(&world, region, function)?;
    let prefix = trigger_key(region, function, call.params.text("prefix").unwrap_or_default());
    let (rows, next) = page(call, "nextToken", 20, world.function_triggers.starting_with(&prefix))?;
    let rows: Vec<Json> = rows.into_iter().map(|trigger| trigger.describe(owner, &call.shared.config)).collect();
    Ok(json!({ "triggers": rows, "nextToken": next }))
}

/// DeleteTrigger.
pub(super) async fn delete(call: &RoaCall<'_>, function: &str, name: &str) -> Outcome {
    let region = call.region()?.id;
    commit(call, |call| {
        find(call.world, region, function)?;
        let removed = call.world.function_triggers.remove(&trigger_key(region, function, name));
        removed.map(|_| Json::Null).ok_or_else(|| missing(name))
    })
    .await
}
