//! Cloud Assistant: scripts and files sent into instances.

#![expect(missing_docs, reason = "the fields carry the API's own names, which its reference explains")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cloud::api::{Tag, list, rpc};

rpc! {
    RunCommand => RunCommandResponse, Ecs, Safe;
    DescribeInvocationResults => DescribeInvocationResultsResponse, Ecs, Safe;
    SendFile => SendFileResponse, Ecs, Safe;
    DescribeSendFileResults => DescribeSendFileResultsResponse, Ecs, Safe;
    DescribeCloudAssistantStatus => DescribeCloudAssistantStatusResponse, Ecs, Safe;
}

/// Runs a script on instances; at most 24 KB after Base64.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RunCommand {
    pub region_id: String,
    /// `RunShellScript`.
    pub r#type: String,
    pub command_content: String,
    /// `Base64`.
    pub content_encoding: String,
    pub instance_id: Vec<String>,
    pub name: String,
    /// Seconds.
    pub timeout: u64,
    pub working_dir: Option<String>,
    pub termination_mode: Option<String>,
    pub client_token: String,
    pub tag: Vec<Tag>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RunCommandResponse {
    pub invoke_id: String,
}

/// Reads how a run went on an instance.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeInvocationResults {
    pub region_id: String,
    pub invoke_id: String,
    pub max_results: u32,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeInvocationResultsResponse {
    pub invocation: Invocation,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Invocation {
    pub invocation_results: InvocationResults,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct InvocationResults {
    #[serde(default, deserialize_with = "list")]
    pub invocation_result: Vec<InvocationResult>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct InvocationResult {
    pub instance_id: String,
    pub invocation_status: String,
    #[serde(default)]
    pub exit_code: Option<i64>,
    #[serde(default)]
    pub error_code: String,
    #[serde(default)]
    pub error_info: String,
    /// Base64.
    #[serde(default)]
    pub output: String,
    #[serde(default)]
    pub dropped: u64,
}

/// Writes a file on instances; at most 32 KB after Base64.
#[derive(Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct SendFile {
    pub region_id: String,
    pub instance_id: Vec<String>,
    pub name: String,
    pub target_dir: String,
    pub content: String,
    /// `Base64`.
    pub content_type: String,
    pub file_mode: String,
    pub overwrite: bool,
    /// Seconds.
    pub timeout: u64,
    pub client_token: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct SendFileResponse {
    pub invoke_id: String,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeSendFileResults {
    pub region_id: String,
    pub invoke_id: String,
    pub max_results: u32,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeSendFileResultsResponse {
    pub invocations: SentFiles,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct SentFiles {
    #[serde(default, deserialize_with = "list")]
    pub invocation: Vec<SentFile>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct SentFile {
    pub invoke_instances: SentFileTargets,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct SentFileTargets {
    #[serde(default, deserialize_with = "list")]
    pub invoke_instance: Vec<SentFileTarget>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct SentFileTarget {
    pub instance_id: String,
    pub invocation_status: String,
    #[serde(default)]
    pub error_code: String,
    #[serde(default)]
    pub error_info: String,
}

/// Asks whether the agents answer; at most 50 instances a page.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeCloudAssistantStatus {
    pub region_id: String,
    pub instance_id: Vec<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeCloudAssistantStatusResponse {
    pub instance_cloud_assistant_status_set: AssistantStatuses,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct AssistantStatuses {
    #[serde(default, deserialize_with = "list")]
    pub instance_cloud_assistant_status: Vec<AssistantStatus>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct AssistantStatus {
    pub instance_id: String,
    /// `true` or `false`, as text.
    pub cloud_assistant_status: String,
}
