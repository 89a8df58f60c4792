//! GetJob, and what ListJobs shows of each.

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::create::not_found;
use super::job::{Job, Life, Phase, Pod, Status, moment};
use crate::local_cloud::call::{Call, Outcome};
use crate::local_cloud::roa::RoaCall;
use crate::local_cloud::store::World;
use crate::local_cloud::time::seconds;
use crate::local_cloud::wire::fault::Fault;

/// A job of a region.
pub(super) fn find<'a>(world: &'a World, region: &str, id: &str) -> Result<&'a Job, Fault> {
    world.jobs.get(id).filter(|job| job.region == region).ok_or_else(|| not_found("JobId", id))
}

/// GetJob.
pub(super) async fn job(call: &RoaCall<'_>, id: &str) -> Outcome {
    let region = call.region()?.id;
    call.commit(|call| {
        let detail = call.params.flag("NeedDetail")?.unwrap_or(true);
        let job = find(call.world, region, id)?;
        let mut row = common(call, job);
        row["RestartTimes"] = restarts(job).into();
        let requested = requested(job);
        row["RequestCPU"] = requested.0.into();
        row["RequestGPU"] = requested.1.into();
        row["RequestMemory"] = json!(requested.2);
        row["StatusHistory"] = history(job, call.now);
        if detail {
            row["Pods"] = job.pods.iter().map(|pod| described(job, pod, call.now)).collect();
            copy(job, &mut row, "CredentialConfig");
            copy(job, &mut row, "CustomEnvs");
            copy(job, &mut row, "ThirdpartyLibs");
            copy(job, &mut row, "Description");
            for env in row["CustomEnvs"].as_array_mut().into_iter().flatten().filter(|env| env["Visible"] == "private") {
                env["Value"] = "".into();
            }
        }
        Ok(row)
    })
    .await
}

/// What GetJob and ListJobs have in common.
pub(super) fn common(call: &Call, job: &Job) -> Json {
    let now = call.now;
    let step = job.step(now);
    let ended = step.status.is_final().then_some(step.at);
    let mut row = json!({
        "JobId": job.id,
        "DisplayName": job.display_name,
        "JobType": job.job_type,
        "Status": step.status.name(),
        "SubStatus": "",
        "ReasonCode": step.code,
        "ReasonMessage": step.message,
        "WorkspaceId": job.workspace,
        "WorkspaceName": call.world.workspaces.get(&job.workspace).map_or("", |workspace| workspace.name.as_str()),
        "UserId": call.config.account,
        "TenantId": call.config.account,
        "ClusterId": "",
        "Priority": job.priority,
        "ResourceId": "",
        "ResourceLevel": "L0",
        "ResourceType": "ECS",
        "EnabledDebugger": false,
        "ThirdpartyLibDir": "",
        "Accessibility": "PRIVATE",
        "UserCommand": "",
        "Duration": ended.unwrap_or(now).duration_since(job.created).as_secs(),
        "GmtCreateTime": seconds(job.created),
        "GmtSubmittedTime": moment(job.since(Status::Queuing, now)),
        "GmtRunningTime": moment(job.since(Status::Running, now)),
        "GmtFinishTime": moment(ended),
        "GmtSuccessedTime": moment(job.since(Status::Succeeded, now)),
        "GmtFailedTime": moment(job.since(Status::Failed, now)),
        "GmtStoppedTime": moment(job.since(Status::Stopped, now)),
        "DataSources": job.sources.iter().map(|source| json!({ "MountPath": source.path, "Uri": source.uri })).collect::<Vec<_>>(),
        "CodeSource": { "CodeSourceId": "", "MountPath": "" },
        "Settings": {},
    });
    for name in ["JobSpecs", "Settings", "UserCommand", "Envs", "UserVpc", "ElasticSpec", "ThirdpartyLibDir", "Accessibility"] {
        copy(job, &mut row, name);
    }
    row
}

/// Takes over a part of the request, if it had that part.
fn copy(job: &Job, row: &mut Json, name: &str) {
    if let Some(value) = job.asked.get(name) {
        row[name] = value.clone();
    }
}

/// How often pods were started again, and how often they may be.
pub(super) fn restarts(job: &Job) -> String {
    format!("{}/{}", job.restarts(), super::job::MOST_RESTARTS as usize * job.pods.len().max(1))
}

/// Processors, accelerators and GiB of memory of all pods.
pub(super) fn requested(job: &Job) -> (u32, u32, f64) {
    let sum = |of: fn(&super::job::Role) -> u32| job.roles.iter().map(|role| of(role) * role.count).sum();
    let mebibytes: f64 = job.roles.iter().map(|role| role.memory_mib as f64 * f64::from(role.count)).sum();
    (sum(|role| role.vcpu), sum(|role| role.gpus), mebibytes / 1024.0)
}

fn history(job: &Job, now: Timestamp) -> Json {
    let past: Vec<_> = job.steps.iter().filter(|step| step.at <= now).collect();
    let ends = past.iter().skip(1).map(|step| Some(step.at)).chain([None]);
    past.iter()
        .zip(ends)
        .map(|(step, end)| {
            json!({
                "Status": step.status.name(),
                "ReasonCode": step.code,
                "ReasonMessage": step.message,
                "StartTime": seconds(step.at),
                "EndTime": moment(end),
            })
        })
        .collect()
}

fn described(job: &Job, pod: &Pod, now: Timestamp) -> Json {
    let life = |life: &Life| {
        let end = life.finished.unwrap_or(now);
        json!({
            "PodId": pod.id,
            "PodUid": life.uid,
            "Type": pod.kind,
            "Status": life.phase.name(),
            "SubStatus": if life.evicted { "Evicted" } else { "Normal" },
            "ResourceType": "ECS",
            "Ip": if life.phase == Phase::Pending { String::new() } else { pod.ip.to_string() },
            "NodeName": format!("{}.{}", job.region, pod.ip),
            "GmtCreateTime": seconds(life.created),
            "GmtStartTime": moment(life.started),
            "GmtFinishTime": moment(life.finished),
            "Duration": end.duration_since(life.created).as_secs(),
        })
    };
    let mut row = life(&pod.life);
    row["HistoryPods"] = pod.past.iter().map(life).collect();
    row
}
