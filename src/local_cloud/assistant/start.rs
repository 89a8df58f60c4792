//! RunCommand and StopInvocation.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{Invocation, Progress, Run};
use crate::local_cloud::call::{Call, Outcome};
use crate::local_cloud::instance::Status;
use crate::local_cloud::store::Task;
use crate::local_cloud::wire::fault::Fault;

/// How long a command's content may be, in Base64.
const MOST_CONTENT: usize = 24 * 1024;
/// The longest timeout. No source states one; a day is ours.
const LONGEST: u64 = 86_400;

static NOTHING: LazyLock<BTreeMap<String, String>> = LazyLock::new(BTreeMap::new);

/// RunCommand.
pub(crate) fn run(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let params = call.params;
    let kind = params.required("Type")?;
    if !matches!(kind, "RunShellScript" | "RunBatScript" | "RunPowerShellScript") {
        return Err(Fault::invalid("Type"));
    }
    let script = content(call)?;
    let repeat = params.text("RepeatMode").unwrap_or("Once");
    match repeat {
        "Once" | "DryRun" => {}
        "Period" | "NextRebootOnly" | "EveryReboot" => {
            return Err(Fault::forbidden("Operation.Forbidden", "The local cloud runs commands once: RepeatMode must be Once."));
        }
        _ => return Err(Fault::missing("InvalidRepeatMode.NotFound", "The specified RepeatMode does not exist.")),
    }
    let termination = params.text("TerminationMode").unwrap_or("Process");
    if !matches!(termination, "Process" | "ProcessTree") {
        return Err(Fault::missing("InvalidTerminationMode.NotFound", "The specified TerminationMode does not exist."));
    }
    let timeout: u64 = params.number("Timeout")?.unwrap_or(60);
    if !(1..=LONGEST).contains(&timeout) {
        return Err(Fault::invalid("Timeout"));
    }
    for (name, most, code) in [
        ("WorkingDir", 200, "InvalidParameter.WorkingDir"),
        ("Username", 255, "Username.ExceedLimit"),
        ("Name", 128, "InvalidParameter"),
        ("Description", 512, "InvalidParameter"),
    ] {
        if params.text(name).is_some_and(|text| text.chars().count() > most) {
            return Err(Fault::bad(code, format!("The specified parameter {name} is too long.")));
        }
    }
    let with_parameters = params.boolean("EnableParameter")?;
    let values = parameters(call, with_parameters)?;
    let tags = params.tags()?;
    let targets = targets(call, 100)?;
    if kind != "RunShellScript" {
        return Err(Fault::bad("InvalidInstance.NotMatch", "The type of the command does not fit the operating system of the instance."));
    }
    if repeat == "DryRun" {
        return Ok(json!({ "CommandId": "", "InvokeId": "" }));
    }
    let command = call.new_id("c", region.id, 14);
    let id = call.new_id("t", region.id, 14);
    let now = call.now;
    let mut runs = BTreeMap::new();
    for target in targets {
        let run = on_instance(call, &target);
        if !run.progress.is_over() {
            call.world.index.tasks.push(Task::Deliver(id.clone(), target.clone()));
        }
        call.world.index.invoked.entry(target.clone()).or_default().push(id.clone());
        runs.insert(target, run);
    }
    let invocation = Invocation {
        id: id.clone(),
        command: command.clone(),
        region: region.id.to_owned(),
        name: params.text("Name").map_or_else(|| format!("cmd-{id}"), str::to_owned),
        description: params.owned("Description"),
        kind: kind.to_owned(),
        content: STANDARD.encode(&script),
        working_directory: params.owned("WorkingDir"),
        user: params.owned("Username"),
        timeout,
        termination: termination.to_owned(),
        parameters: json!(values).to_string(),
        with_parameters,
        created: now,
        tags,
        runs,
    };
    call.world.invocations.insert(id.clone(), invocation);
    Ok(json!({ "CommandId": command, "InvokeId": id }))
}

/// The script's bytes.
fn content(call: &Call) -> Result<Vec<u8>, Fault> {
    let text = call.params.required("CommandContent")?;
    let encoded = call.params.text("ContentEncoding").is_some_and(|encoding| encoding.eq_ignore_ascii_case("Base64"));
    let script = if encoded {
        STANDARD.decode(text).map_err(|_| Fault::bad("InvalidParameter", "The specified parameter CommandContent is not valid Base64."))?
    } else {
        text.as_bytes().to_vec()
    };
    if STANDARD.encode(&script).len() > MOST_CONTENT {
        return Err(Fault::forbidden("CmdContent.ExceedLimit", "The length of the command content exceeds the limit."));
    }
    Ok(script)
}

/// The values that fill the script.
fn parameters(call: &Call, enabled: bool) -> Result<BTreeMap<String, String>, Fault> {
    let Some(text) = call.params.text("Parameters") else { return Ok(NOTHING.clone()) };
    let values: BTreeMap<String, String> = serde_json::from_str(text)
        .map_err(|_| Fault::bad("InvalidParameter.Parameters", "The specified parameter Parameters is not valid."))?;
    if !enabled && !values.is_empty() {
        return Err(Fault::bad("Parameter.Disabled", "Parameters are given but EnableParameter is false."));
    }
    if values.len() > 10 {
        return Err(Fault::forbidden("ParameterCount.ExceedLimit", "The number of parameters exceeds the limit of 10."));
    }
    let fits = |key: &String| key.len() <= 64 && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if !values.keys().all(fits) {
        return Err(Fault::forbidden("ParameterKey.ExceedLimit", "The key of a parameter is not valid."));
    }
    Ok(values)
}

/// The instances that a command or file goes to, at most `most`.
pub(super) fn targets(call: &Call, most: usize) -> Result<Vec<String>, Fault> {
    let ids = call
        .params
        .list("InstanceId", most)
        .map_err(|_| Fault::forbidden("InstanceIds.ExceedLimit", format!("The number of instance IDs exceeds the limit of {most}.")))?;
    let tags = call.params.structs("ResourceTag");
    if !ids.is_empty() && !tags.is_empty() {
        return Err(Fault::bad("InvalidResourceTag.ConflictWithInstanceIds", "ResourceTag and InstanceId can't be used together."));
    }
    if tags.len() > 10 {
        return Err(Fault::bad("NumberExceed.ResourceTags", "The number of ResourceTag exceeds the limit of 10."));
    }
    let region = call.region()?;
    let here = |id: &str| call.world.instances.get(id).is_some_and(|instance| instance.region == region.id && !instance.is_released());
    let mut found = if tags.is_empty() {
        if ids.is_empty() {
            return Err(Fault::bad("MissingParam.InstanceId", "The parameter InstanceId is missing."));
        }
        if let Some(id) = ids.iter().find(|id| !here(id)) {
            return Err(Fault::missing("InvalidInstance.NotFound", format!("The specified instance {id} does not exist.")));
        }
        ids
    } else {
        let fits = |own: &BTreeMap<String, String>| {
            tags.iter().all(|tag| {
                let value = tag.text("Key").and_then(|key| own.get(key));
                value.is_some_and(|value| tag.given("Value").is_none_or(|wanted| wanted == value))
            })
        };
        let rows = call.world.instances.iter().filter(|(id, instance)| here(id) && fits(&instance.tags));
        let found: Vec<String> = rows.take(most).map(|(id, _)| id.to_owned()).collect();
        if found.is_empty() {
            return Err(Fault::bad("InvalidResourceTag.InstanceNotFound", "No instance has the specified ResourceTag."));
        }
        found
    };
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// How a command or file starts out on an instance: one that is off does not get it.
pub(super) fn on_instance(call: &Call, id: &str) -> Run {
    let run = Run::pending(call.now);
    let off = |status: Status| matches!(status, Status::Stopping | Status::Stopped);
    match call.world.instances.get(id) {
        Some(instance) if !off(instance.state(call.now)) => run,
        _ => run.ended(Progress::Aborted, "InstanceNotRunning", "the instance is not running", call.now),
    }
}

/// The script of an invocation as one instance runs it, its parameters filled in.
pub(crate) fn script_for(invocation: &Invocation, account: &str, instance: &str, instance_name: &str) -> Vec<u8> {
    let script = STANDARD.decode(&invocation.content).unwrap_or_default();
    if !invocation.with_parameters {
        return script;
    }
    let Ok(mut text) = String::from_utf8(script.clone()) else { return script };
    let own: BTreeMap<String, String> = serde_json::from_str(&invocation.parameters).unwrap_or_default();
    let built_in = [
        ("ACS::RegionId", invocation.region.as_str()),
        ("ACS::AccountId", account),
        ("ACS::InstanceId", instance),
        ("ACS::InstanceName", instance_name),
        ("ACS::InvokeId", invocation.id.as_str()),
        ("ACS::CommandId", invocation.command.as_str()),
    ];
    for (key, value) in own.iter().map(|(key, value)| (key.as_str(), value.as_str())).chain(built_in) {
        text = text.replace(&format!("{{{{{key}}}}}"), value);
    }
    text.into_bytes()
}

/// StopInvocation: what has not started is cancelled, what runs is ended.
pub(crate) fn stop(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let id = call.params.required("InvokeId")?.to_owned();
    let ids = call.params.list("InstanceId", 50)?;
    let invocation = call.world.invocations.get(&id).filter(|invocation| invocation.region == region.id);
    let Some(invocation) = invocation else {
        return Err(Fault::missing("InvalidInvokeId.NotFound", "The specified InvokeId does not exist."));
    };
    if ids.iter().any(|id| !invocation.runs.contains_key(id)) {
        return Err(Fault::missing("InvalidInstanceId.NotFound", "The specified instance is not one of the invocation."));
    }
    let (world, now) = (&mut *call.world, call.now);
    let Some(invocation) = world.invocations.get_mut(&id) else { return Ok(json!({})) };
    for (instance, run) in invocation.runs.iter_mut().filter(|(instance, _)| ids.is_empty() || ids.contains(instance)) {
        match run.progress {
            Progress::Pending => {
                *run = run.clone().ended(Progress::Cancelled, "", "", now);
                run.stopped = Some(now);
                world.index.signal(instance);
            }
            Progress::Running => {
                run.stopped.get_or_insert(now);
                if let Some(stop) = world.index.stops.get(&(id.clone(), instance.clone())) {
                    stop.send_replace(true);
                }
            }
            _ => {}
        }
    }
    Ok(json!({}))
}
