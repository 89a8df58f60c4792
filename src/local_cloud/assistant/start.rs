//! RunCommand, InvokeCommand and StopInvocation.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::command::{StoredCommand, parameter_names};
use super::frequency::Frequency;
use super::target::{on_instance, targets};
use super::{Invocation, Progress, Repeat, Run};
use crate::local_cloud::call::{Call, Outcome};
use crate::local_cloud::store::Task;
use crate::local_cloud::vpc;
use crate::local_cloud::wire::fault::Fault;
use crate::local_cloud::wire::params::Tags;

/// The longest timeout. No source states one; a day is ours.
pub(super) const LONGEST: u64 = 86_400;

/// When a command is to run, as a call asks for it.
struct When {
    repeat: Repeat,
    frequency: String,
    /// Everything is checked and nothing is run.
    dry: bool,
}

/// RunCommand: a command that is stored if the call says so, and run.
pub(crate) fn run(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let mut command = super::command::read(call, "PlainText")?;
    let keep = call.params.boolean("KeepCommand")?;
    if keep {
        super::command::check_quota(call, region.id)?;
    }
    let values = parameters(call, command.with_parameters)?;
    let order = check(call, &command)?;
    let tags = call.params.tags()?;
    let targets = targets(call, 100)?;
    fits_system(&command.kind)?;
    if order.dry {
        return Ok(json!({ "CommandId": "", "InvokeId": "" }));
    }
    command.id = call.new_id("c", region.id, 14);
    let id = begin(call, &command, order, values, targets, tags.clone());
    let command_id = command.id.clone();
    if keep {
        let name = if command.name.is_empty() { format!("cmd-{id}") } else { command.name.clone() };
        call.world.commands.insert(command_id.clone(), StoredCommand { invocations: 1, tags, name, ..command });
    }
    Ok(json!({ "CommandId": command_id, "InvokeId": id }))
}

/// InvokeCommand: runs what CreateCommand or RunCommand stored.
pub(crate) fn invoke(call: &mut Call) -> Outcome {
    call.region()?;
    let mut command = super::command::find(call, call.params.required("CommandId")?)?.clone();
    let values = parameters(call, command.with_parameters)?;
    if command.with_parameters {
        let names = parameter_names(&command);
        if let Some(missing) = names.iter().find(|name| !values.contains_key(*name)) {
            return Err(Fault::bad("Parameter.MissingValue", format!("The parameter {missing} of the command has no value.")));
        }
        if let Some(strange) = values.keys().find(|key| !names.contains(*key)) {
            return Err(Fault::forbidden("Parameter.NotMatched", format!("The command has no parameter {strange}.")));
        }
    }
    if let Some(timeout) = call.params.number("Timeout")? {
        if !(10..=LONGEST).contains(&timeout) {
            return Err(Fault::invalid("Timeout"));
        }
        command.timeout = timeout;
    }
    if let Some(directory) = call.params.text("WorkingDir") {
        super::command::check_directory(directory)?;
        directory.clone_into(&mut command.working_directory);
    }
    let order = check(call, &command)?;
    let tags = call.params.tags()?;
    let targets = targets(call, 100)?;
    fits_system(&command.kind)?;
    if order.dry {
        return Ok(json!({ "InvokeId": "" }));
    }
    if let Some(row) = call.world.commands.get_mut(&command.id) {
        row.invocations += 1;
    }
    let id = begin(call, &command, order, values, targets, tags);
    Ok(json!({ "InvokeId": id }))
}

/// What RunCommand and InvokeCommand share: how, as whom and when it runs.
fn check(call: &Call, command: &StoredCommand) -> Result<When, Fault> {
    let params = call.params;
    let termination = params.text("TerminationMode").unwrap_or("Process");
    if !matches!(termination, "Process" | "ProcessTree") {
        return Err(Fault::missing("InvalidTerminationMode.NotFound", "The specified TerminationMode does not exist."));
    }
    if params.text("Username").is_some_and(|name| name.chars().count() > 255) {
        return Err(Fault::forbidden("Username.ExceedLimit", "The length of the username exceeds the upper limit."));
    }
    if params.text("Launcher").is_some_and(|launcher| launcher.len() > 1024) {
        return Err(Fault::forbidden(
            "InvalidLauncher.LengthLimitExceeded",
            "The length of the parameter Launcher exceeds the limit of 1 KB.",
        ));
    }
    for name in ["Launcher", "ContainerId", "ContainerName", "OssOutputDelivery"] {
        if params.text(name).is_some() {
            return Err(Fault::forbidden("Operation.Forbidden", format!("The local cloud does not have {name}.")));
        }
    }
    when(call, command.timeout)
}

fn when(call: &Call, timeout: u64) -> Result<When, Fault> {
    let params = call.params;
    let frequency = params.owned("Frequency");
    // The older switch says the same as the mode Period; a frequency alone does, too.
    let planned = params.boolean("Timed")? || !frequency.is_empty();
    let mode = params.text("RepeatMode").unwrap_or(if planned { "Period" } else { "Once" });
    let modes = [Repeat::Once, Repeat::Period, Repeat::NextRebootOnly, Repeat::EveryReboot];
    let dry = mode == "DryRun";
    let repeat = if dry { Some(Repeat::Once) } else { modes.into_iter().find(|repeat| repeat.name() == mode) };
    let repeat = repeat.ok_or_else(|| Fault::missing("InvalidRepeatMode.NotFound", "The specified repeat mode does not exist."))?;
    if repeat != Repeat::Period {
        return Ok(When { repeat, frequency: String::new(), dry });
    }
    if frequency.is_empty() {
        return Err(Fault::bad("MissingParam.Frequency", "The frequency must be specified when you create a timed task."));
    }
    Frequency::read(&frequency)?.check(timeout, call.now)?;
    Ok(When { repeat, frequency, dry })
}

/// Machines of the local cloud run Linux.
fn fits_system(kind: &str) -> Result<(), Fault> {
    if kind == "RunShellScript" {
        return Ok(());
    }
    Err(Fault::bad("InvalidInstance.NotMatch", "The type of the command does not fit the operating system of the instance."))
}

fn begin(
    call: &mut Call,
    command: &StoredCommand,
    when: When,
    values: BTreeMap<String, String>,
    targets: Vec<String>,
    tags: Tags,
) -> String {
    let id = call.new_id("t", &command.region, 14);
    let mut runs = BTreeMap::new();
    for target in targets {
        let run = match when.repeat {
            Repeat::Once => on_instance(call, &target),
            _ => Run { progress: Progress::Scheduled, ..Run::pending(call.now) },
        };
        if run.progress == Progress::Pending {
            call.world.index.tasks.push(Task::Deliver(id.clone(), target.clone()));
        }
        call.world.index.invoked.entry(target.clone()).or_default().push(id.clone());
        runs.insert(target, run);
    }
    if when.repeat == Repeat::Period {
        call.world.index.tasks.push(Task::Schedule(id.clone()));
    }
    let params = call.params;
    let invocation = Invocation {
        id: id.clone(),
        command: command.id.clone(),
        region: command.region.clone(),
        name: if command.name.is_empty() { format!("cmd-{id}") } else { command.name.clone() },
        description: command.description.clone(),
        kind: command.kind.clone(),
        content: command.content.clone(),
        working_directory: command.working_directory.clone(),
        user: params.owned("Username"),
        timeout: command.timeout,
        termination: params.text("TerminationMode").unwrap_or("Process").to_owned(),
        parameters: json!(values).to_string(),
        with_parameters: command.with_parameters,
        repeat: when.repeat,
        frequency: when.frequency,
        resource_group: vpc::resource_group(call),
        created: call.now,
        tags,
        runs,
    };
    call.world.invocations.insert(id.clone(), invocation);
    id
}

/// The values that fill the script.
fn parameters(call: &Call, enabled: bool) -> Result<BTreeMap<String, String>, Fault> {
    let Some(text) = call.params.text("Parameters") else { return Ok(BTreeMap::new()) };
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
    let distinct: BTreeSet<String> = values.keys().map(|key| key.to_ascii_lowercase()).collect();
    if distinct.len() < values.len() {
        return Err(Fault::forbidden("ParameterKey.Duplicate", "The keys of parameters must differ in more than case."));
    }
    Ok(values)
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
            Progress::Pending | Progress::Scheduled => {
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
