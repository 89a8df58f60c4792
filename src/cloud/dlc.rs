//! PAI-DLC, version 2020-12-03: training jobs, their pods and logs.

#![expect(missing_docs, reason = "the fields carry the API's own names, which its reference explains")]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::api::{CommaList, list, roa};

roa! {
    CreateJob => JobResponse, Dlc, Unsafe, "POST /api/v1/jobs";
    GetJob => Job, Dlc, Safe, "GET /api/v1/jobs/{job_id}";
    ListJobs => ListJobsResponse, Dlc, Safe, "GET /api/v1/jobs";
    StopJob => JobResponse, Dlc, Safe, "POST /api/v1/jobs/{job_id}/stop";
    DeleteJob => JobResponse, Dlc, Safe, "DELETE /api/v1/jobs/{job_id}";
    ListEcsSpecs => ListEcsSpecsResponse, Dlc, Safe, "GET /api/v1/ecsspecs";
    GetPodLogs => GetPodLogsResponse, Dlc, Safe, "GET /api/v1/jobs/{job_id}/pods/{pod_id}/logs";
    GetPodEvents => GetPodEventsResponse, Dlc, Safe, "GET /api/v1/jobs/{job_id}/pods/{pod_id}/events";
    GetJobEvents => GetJobEventsResponse, Dlc, Safe, "GET /api/v1/jobs/{job_id}/events";
}

/// Starts a job. Without a token: before it is sent again it has to be looked for by its tags.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateJob {
    pub workspace_id: String,
    pub display_name: String,
    /// `PyTorchJob`, `TFJob`, `ElasticBatchJob`, ...
    pub job_type: String,
    pub job_specs: Vec<JobSpec>,
    pub user_command: String,
    pub envs: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub data_sources: Vec<DataSource>,
    pub job_max_running_time_minutes: u32,
    pub settings: Settings,
}

/// One role of a job and how many pods of it.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct JobSpec {
    /// `Worker`, `Master`, ...
    #[serde(rename = "Type")]
    pub role: String,
    pub image: String,
    pub pod_count: u32,
    pub ecs_spec: String,
    pub restart_policy: Option<String>,
}

/// What is mounted in each pod.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DataSource {
    /// `oss://bucket.oss-cn-hangzhou-internal.aliyuncs.com/prefix/`.
    pub uri: String,
    pub mount_path: String,
    /// `RO` or `RW`.
    pub mount_access: String,
}

/// What else a job has.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Settings {
    pub tags: BTreeMap<String, String>,
}

/// What calls about one job answer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct JobResponse {
    #[serde(default)]
    pub job_id: String,
}

/// Asks for a job with its pods.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GetJob {
    #[serde(rename = "job_id")]
    pub job_id: String,
    pub need_detail: bool,
}

/// A job as it is.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Job {
    pub job_id: String,
    #[serde(default)]
    pub display_name: String,
    /// `Creating`, `Queuing`, `EnvPreparing`, `Running`, ...; final are `Succeeded`, `Failed` and `Stopped`.
    #[serde(default)]
    pub status: String,
    #[serde(default)]
    pub reason_code: String,
    #[serde(default)]
    pub reason_message: String,
    /// Seconds.
    #[serde(default)]
    pub duration: i64,
    #[serde(default)]
    pub gmt_running_time: String,
    #[serde(default)]
    pub gmt_finish_time: String,
    #[serde(default, deserialize_with = "list")]
    pub pods: Vec<Pod>,
    #[serde(default)]
    pub settings: Option<JobSettings>,
}

/// What else a job that is there has.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct JobSettings {
    #[serde(default, deserialize_with = "list")]
    pub tags: BTreeMap<String, String>,
}

/// One of a job's pods.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Pod {
    pub pod_id: String,
    #[serde(default)]
    pub pod_uid: String,
    #[serde(default, rename = "Type")]
    pub role: String,
    /// `Pending`, `Running`, `Succeeded`, `Failed`, `Unknown`.
    #[serde(default)]
    pub status: String,
}

/// Looks for jobs; `tags` is a JSON object as text.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListJobs {
    pub workspace_id: Option<String>,
    pub display_name: Option<String>,
    pub job_ids: Option<CommaList>,
    pub tags: Option<String>,
    pub page_number: u32,
    pub page_size: u32,
}

/// A page of jobs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListJobsResponse {
    #[serde(default, deserialize_with = "list")]
    pub jobs: Vec<ListedJob>,
    #[serde(default)]
    pub total_count: i64,
}

/// A job in a list.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListedJob {
    pub job_id: String,
    #[serde(default)]
    pub display_name: String,
    #[serde(default)]
    pub status: String,
    #[serde(default)]
    pub reason_code: String,
    #[serde(default)]
    pub reason_message: String,
    pub job_max_running_time_minutes: Option<u32>,
    #[serde(default)]
    pub workspace_id: String,
    #[serde(default)]
    pub job_type: String,
    #[serde(default)]
    pub gmt_create_time: String,
    #[serde(default)]
    pub gmt_running_time: String,
    #[serde(default, deserialize_with = "list")]
    pub job_specs: Vec<RoleThere>,
    #[serde(default)]
    pub settings: Option<JobSettings>,
}

/// A role of a job that is there.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RoleThere {
    #[serde(default)]
    pub pod_count: u32,
    #[serde(default)]
    pub ecs_spec: String,
}

/// Stops a job that is not over.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct StopJob {
    pub job_id: String,
}

/// Deletes a job that is over.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DeleteJob {
    pub job_id: String,
}

/// Asks what jobs can run on.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListEcsSpecs {
    /// `CPU` or `GPU`.
    pub accelerator_type: Option<String>,
    /// Only these, at most 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_types: Option<CommaList>,
    pub page_number: u32,
    pub page_size: u32,
}

/// A page of specs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListEcsSpecsResponse {
    #[serde(default, deserialize_with = "list")]
    pub ecs_specs: Vec<EcsSpec>,
    #[serde(default)]
    pub total_count: i64,
}

/// Something a pod can run on.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct EcsSpec {
    pub instance_type: String,
    #[serde(default)]
    pub cpu: u32,
    /// GiB.
    #[serde(default)]
    pub memory: u32,
    #[serde(default)]
    pub gpu: u32,
    #[serde(default)]
    pub gpu_type: String,
    #[serde(default)]
    pub is_available: bool,
}

/// Asks for a pod's log.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GetPodLogs {
    #[serde(rename = "job_id")]
    pub job_id: String,
    #[serde(rename = "pod_id")]
    pub pod_id: String,
    pub max_lines: u32,
    pub start_time: Option<String>,
    pub end_time: Option<String>,
}

/// The lines.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GetPodLogsResponse {
    #[serde(default, deserialize_with = "list")]
    pub logs: Vec<String>,
}

/// Asks for a pod's events.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GetPodEvents {
    #[serde(rename = "job_id")]
    pub job_id: String,
    #[serde(rename = "pod_id")]
    pub pod_id: String,
    pub max_events_num: u32,
}

/// The events, a text each.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GetPodEventsResponse {
    #[serde(default, deserialize_with = "list")]
    pub events: Vec<String>,
}

/// Asks for what happened to a job as a whole; while it waits for its place it has no pods.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GetJobEvents {
    #[serde(rename = "job_id")]
    pub job_id: String,
    pub max_events_num: u32,
}

/// The events, a text each.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GetJobEventsResponse {
    #[serde(default, deserialize_with = "list")]
    pub events: Vec<String>,
}
