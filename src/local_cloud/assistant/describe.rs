//! DescribeInvocations, DescribeInvocationResults and DescribeCloudAssistantStatus.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::schedule::past;
use super::{Invocation, Progress, Repeat, Run, overall};
use crate::local_cloud::call::{Call, Outcome, ecs_tags};
use crate::local_cloud::instance::Instance;
use crate::local_cloud::paging::Page;
use crate::local_cloud::store::World;
use crate::local_cloud::time::{after, seconds};
use crate::local_cloud::wire::fault::Fault;

fn at(moment: Option<Timestamp>) -> String {
    moment.map_or(String::new(), seconds)
}

/// Output and dropped bytes so far, in the encoding that is asked for.
fn output(call: &Call, invocation: &str, instance: &str, run: &Run) -> Result<(String, u64), Fault> {
    let plain = call.params.text("ContentEncoding").is_some_and(|encoding| encoding.eq_ignore_ascii_case("PlainText"));
    let live = call.world.index.live.get(&(invocation.to_owned(), instance.to_owned()));
    let (encoded, dropped) = match live {
        Some(live) if run.progress == Progress::Running => (STANDARD.encode(&live.output), live.dropped),
        _ => (run.output.clone(), run.dropped),
    };
    let text = |encoded: &str| String::from_utf8_lossy(&STANDARD.decode(encoded).unwrap_or_default()).into_owned();
    Ok((if plain { text(&encoded) } else { encoded }, dropped))
}

/// The state as it is shown: a run that is being stopped says so.
fn shown(run: &Run) -> &'static str {
    if run.progress == Progress::Running && run.stopped.is_some() { "Stopping" } else { run.progress.name() }
}

/// DescribeInvocations.
pub(crate) fn invocations(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let params = call.params;
    let page = Page::either(params, 10, 1, 50, 50)?;
    let filter = params.tag_filter();
    let with_output = params.boolean("IncludeOutput")?;
    if with_output && params.text("InvokeId").is_none() && params.text("InstanceId").is_none() {
        return Err(Fault::bad("MissingParam.InvokeId", "IncludeOutput needs InvokeId or InstanceId."));
    }
    let timed = params.flag("Timed")?;
    let fits = |name: &str, own: &str| params.text(name).is_none_or(|wanted| wanted == own);
    let named = params.text("InvokeId").map(|id| vec![id.to_owned()]);
    let rows = call.world.invocations.among(named.as_deref()).filter(|(_, invocation)| {
        invocation.region == region.id
            && fits("CommandId", &invocation.command)
            && fits("CommandName", &invocation.name)
            && fits("CommandType", &invocation.kind)
            && fits("RepeatMode", invocation.repeat.name())
            && fits("ResourceGroupId", &invocation.resource_group)
            && timed.is_none_or(|timed| timed == (invocation.repeat == Repeat::Period))
            && fits("InvokeStatus", old_overall(invocation))
            && params.text("InstanceId").is_none_or(|instance| invocation.runs.contains_key(instance))
            && filter.fits(&invocation.tags)
    });
    let cut = page.cut(rows);
    let rows = cut.rows.iter().map(|invocation| row(call, invocation, with_output)).collect::<Result<Vec<Json>, Fault>>()?;
    let mut answer = json!({ "Invocations": { "Invocation": rows } });
    cut.describe_with_token(&mut answer);
    Ok(answer)
}

fn old_overall(invocation: &Invocation) -> &'static str {
    match overall(invocation.runs.values().map(|run| run.progress)) {
        "Pending" | "Scheduled" | "Running" => "Running",
        "Success" => "Finished",
        other => other,
    }
}

fn row(call: &Call, invocation: &Invocation, with_output: bool) -> Result<Json, Fault> {
    let plain = call.params.text("ContentEncoding").is_some_and(|encoding| encoding.eq_ignore_ascii_case("PlainText"));
    let content = if plain {
        String::from_utf8_lossy(&STANDARD.decode(&invocation.content).unwrap_or_default()).into_owned()
    } else {
        invocation.content.clone()
    };
    let wanted = call.params.text("InstanceId");
    let mut runs = Vec::new();
    for (instance, run) in invocation.runs.iter().filter(|(instance, _)| wanted.is_none_or(|wanted| wanted == *instance)) {
        let (output, dropped) = if with_output { output(call, &invocation.id, instance, run)? } else { (String::new(), 0) };
        runs.push(json!({
            "InstanceId": instance,
            "InvocationStatus": shown(run),
            "InstanceInvokeStatus": run.progress.old_name(),
            "ExitCode": run.exit_code.unwrap_or(0),
            "ErrorCode": run.error_code,
            "ErrorInfo": run.error_info,
            "Output": output,
            "Dropped": dropped,
            "Repeats": run.repeats,
            "Timed": invocation.repeat == Repeat::Period,
            "CreationTime": seconds(invocation.created),
            "StartTime": at(run.started),
            "StopTime": at(run.stopped),
            "FinishTime": at(run.finished),
            "UpdateTime": seconds(run.updated),
        }));
    }
    Ok(json!({
        "InvokeId": invocation.id,
        "CommandId": invocation.command,
        "CommandName": invocation.name,
        "CommandDescription": invocation.description,
        "CommandType": invocation.kind,
        "CommandContent": content,
        "InvokeStatus": old_overall(invocation),
        "InvocationStatus": overall(invocation.runs.values().map(|run| run.progress)),
        "RepeatMode": invocation.repeat.name(),
        "Timed": invocation.repeat == Repeat::Period,
        "Frequency": invocation.frequency,
        "Timeout": invocation.timeout,
        "Parameters": invocation.parameters,
        "Username": invocation.user,
        "WorkingDir": invocation.working_directory,
        "TerminationMode": invocation.termination,
        "CreationTime": seconds(invocation.created),
        "InvokeInstances": { "InvokeInstance": runs },
        "Tags": ecs_tags(&invocation.tags),
    }))
}

/// DescribeInvocationResults, one level deeper than the others.
pub(crate) fn results(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let params = call.params;
    let page = Page::either(params, 10, 1, 50, 50)?;
    let filter = params.tag_filter();
    let history = params.boolean("IncludeHistory")?;
    let fits = |name: &str, own: &str| params.text(name).is_none_or(|wanted| wanted == own);
    // Named ones are looked up; only a call that names nothing reads them all.
    let of_instance = params.text("InstanceId").map(|id| call.world.index.invoked.get(id).cloned().unwrap_or_default());
    let named = params.text("InvokeId").map(|id| vec![id.to_owned()]).or(of_instance);
    let invocations = call.world.invocations.among(named.as_deref()).map(|(_, invocation)| invocation);
    let mut rows: Vec<(String, Json)> = Vec::new();
    for invocation in invocations {
        if invocation.region != region.id || !fits("CommandId", &invocation.command) || !fits("ResourceGroupId", &invocation.resource_group)
        {
            continue;
        }
        if !filter.fits(&invocation.tags) {
            continue;
        }
        for (instance, run) in invocation.runs.iter().filter(|(instance, _)| fits("InstanceId", instance)) {
            let all = past(call.world, &invocation.id, instance);
            // What waits for its next time shows its last run, which is the newest of the past ones.
            let mut shown: Vec<&Run> = if history && !all.is_empty() { all } else { vec![run] };
            if history && shown.last().is_some_and(|last| last.repeats < run.repeats) {
                shown.push(run);
            }
            for run in shown.into_iter().filter(|run| fits("InvokeRecordStatus", run.progress.old_name())) {
                let key = format!("{} {instance} {:010}", invocation.id, run.repeats);
                rows.push((key, result(call, invocation, instance, run)?));
            }
        }
    }
    let cut = page.cut(rows.iter().map(|(key, row)| (key.as_str(), row)));
    let mut inner = json!({ "InvocationResults": { "InvocationResult": cut.rows } });
    cut.describe_with_token(&mut inner);
    Ok(json!({ "Invocation": inner }))
}

fn result(call: &Call, invocation: &Invocation, instance: &str, run: &Run) -> Result<Json, Fault> {
    let (output, dropped) = output(call, &invocation.id, instance, run)?;
    Ok(json!({
        "InvokeId": invocation.id,
        "CommandId": invocation.command,
        "InstanceId": instance,
        "InvocationStatus": shown(run),
        "InvokeRecordStatus": run.progress.old_name(),
        "ExitCode": run.exit_code.unwrap_or(0),
        "ErrorCode": run.error_code,
        "ErrorInfo": run.error_info,
        "Output": output,
        "Dropped": dropped,
        "Repeats": run.repeats,
        "StartTime": at(run.started),
        "StopTime": at(run.stopped),
        "FinishedTime": at(run.finished),
        "Username": invocation.user,
        "TerminationMode": invocation.termination,
        "Tags": ecs_tags(&invocation.tags),
    }))
}

/// Whether an instance's agent answers: it runs long enough, and its machine is up.
pub(crate) fn agent_ready(world: &World, instance: &Instance, agent: std::time::Duration, now: Timestamp) -> bool {
    instance.running_since(now).is_some_and(|since| after(since, agent) <= now) && world.index.up.contains(&instance.id)
}

/// DescribeCloudAssistantStatus.
pub(crate) fn status(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let params = call.params;
    let ids = params.list("InstanceId", 100)?;
    let page = if ids.is_empty() { Page::either(params, 10, 1, 50, 50)? } else { Page::Token { after: String::new(), size: 100 } };
    let linux = params.text("OSType").is_none_or(|system| system.eq_ignore_ascii_case("Linux"));
    let agent = call.config.latency.of(|latency| latency.agent);
    let named = Some(ids.as_slice()).filter(|ids| !ids.is_empty());
    let rows = call.world.instances.among(named).filter(|(_, instance)| instance.region == region.id && linux && !instance.is_released());
    let cut = page.cut(rows);
    let shown: Vec<Json> = cut
        .rows
        .iter()
        .map(|instance| {
            let ready = agent_ready(call.world, instance, agent, call.now);
            let ids = call.world.index.invoked.get(&instance.id);
            let runs = || ids.into_iter().flatten().filter_map(|id| call.world.invocations.get(id)?.runs.get(&instance.id));
            json!({
                "InstanceId": instance.id,
                "CloudAssistantStatus": ready.to_string(),
                "CloudAssistantVersion": if ready { "2.2.3.900" } else { "" },
                "OSType": "Linux",
                "InvocationCount": runs().count(),
                "ActiveTaskCount": runs().filter(|run| run.progress == Progress::Running).count(),
                "LastInvokedTime": at(runs().filter_map(|run| run.started).max()),
                "LastHeartbeatTime": if ready { seconds(call.now) } else { String::new() },
                "SupportSessionManager": false,
            })
        })
        .collect();
    let mut answer = json!({ "InstanceCloudAssistantStatusSet": { "InstanceCloudAssistantStatus": shown } });
    cut.describe_with_token(&mut answer);
    Ok(answer)
}
