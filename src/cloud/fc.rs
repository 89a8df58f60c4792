//! Function Compute 3.0, version 2023-03-30: functions, their invocations and asynchronous tasks.

#![expect(missing_docs, reason = "the fields carry the API's own names, which its reference explains")]

use std::collections::BTreeMap;

use bytes::Bytes;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::api::{list, roa};
use super::call::{Answer, Call, Cloud, Product, Repeat};
use super::error::ApiError;

roa! {
    CreateFunction => Function, Fc, Unsafe, "POST /2023-03-30/functions";
    GetFunction => Function, Fc, Safe, "GET /2023-03-30/functions/{function_name}";
    UpdateFunction => Function, Fc, Safe, "PUT /2023-03-30/functions/{function_name}";
    DeleteFunction => Done, Fc, Safe, "DELETE /2023-03-30/functions/{function_name}";
    ListFunctions => ListFunctionsResponse, Fc, Safe, "GET /2023-03-30/functions";
    PutAsyncInvokeConfig => AsyncConfig, Fc, Safe, "PUT /2023-03-30/functions/{function_name}/async-invoke-config";
    DeleteAsyncInvokeConfig => Done, Fc, Safe, "DELETE /2023-03-30/functions/{function_name}/async-invoke-config";
    GetAsyncTask => AsyncTask, Fc, Safe, "GET /2023-03-30/functions/{function_name}/async-tasks/{task_id}";
    ListAsyncTasks => ListAsyncTasksResponse, Fc, Safe, "GET /2023-03-30/functions/{function_name}/async-tasks";
    StopAsyncTask => Done, Fc, Safe, "PUT /2023-03-30/functions/{function_name}/async-tasks/{task_id}/stop";
}

/// What a call answers that says nothing but that it was done.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Done {}

/// What a function is made of.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FunctionInput {
    pub description: String,
    /// `python3.10`, `custom.debian12`.
    pub runtime: String,
    /// `module.function`.
    pub handler: String,
    pub code: Code,
    /// vCPU in steps of 0.05.
    #[serde(with = "rust_decimal::serde::float")]
    #[schemars(with = "f64")]
    pub cpu: Decimal,
    /// MiB in steps of 64.
    pub memory_size: u32,
    /// MiB: 512 or 10240.
    pub disk_size: u32,
    /// Seconds.
    pub timeout: u32,
    pub environment_variables: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_runtime_config: Option<CustomRuntime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_config: Option<Gpu>,
    pub instance_concurrency: u32,
    pub internet_access: bool,
}

/// Where its code is: in the call itself (base64 of a zip), or in a bucket of the region.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Code {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zip_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oss_bucket_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oss_object_name: Option<String>,
}

/// How the HTTP server of a custom runtime is started.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct CustomRuntime {
    pub command: Vec<String>,
    pub args: Vec<String>,
    pub port: u16,
}

/// A function's GPU.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Gpu {
    /// `fc.gpu.tesla.1`.
    pub gpu_type: String,
    /// MiB.
    pub gpu_memory_size: u32,
}

/// A function's tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct FunctionTag {
    pub key: String,
    pub value: String,
}

/// Makes a function. Without a token: the name is what makes it happen once.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CreateFunction {
    pub body: NewFunction,
}

/// A function's name with what it is made of.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewFunction {
    pub function_name: String,
    #[serde(flatten)]
    pub input: FunctionInput,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<FunctionTag>,
}

/// Asks for one.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct GetFunction {
    pub function_name: String,
}

/// Changes one.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct UpdateFunction {
    pub function_name: String,
    pub body: FunctionInput,
}

/// Deletes one.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DeleteFunction {
    pub function_name: String,
}

/// A function as it is.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Function {
    #[serde(default)]
    pub function_name: String,
    #[serde(default)]
    pub function_arn: String,
    #[serde(default)]
    pub runtime: String,
    #[serde(default)]
    pub handler: String,
    #[serde(default, with = "rust_decimal::serde::float")]
    #[schemars(with = "f64")]
    pub cpu: Decimal,
    #[serde(default)]
    pub memory_size: u32,
    #[serde(default)]
    pub timeout: u32,
    #[serde(default)]
    pub code_checksum: String,
    #[serde(default)]
    pub created_time: String,
    /// `Active`, `Pending`, `Failed`; empty for most.
    #[serde(default)]
    pub state: String,
    #[serde(default)]
    pub last_update_status: String,
    #[serde(default, deserialize_with = "list")]
    pub tags: Vec<FunctionTag>,
}

/// Lists functions by their names' beginning.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListFunctions {
    pub prefix: Option<String>,
    pub next_token: Option<String>,
    pub limit: u32,
}

/// A page of functions.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListFunctionsResponse {
    #[serde(default, deserialize_with = "list")]
    pub functions: Vec<Function>,
    #[serde(default)]
    pub next_token: String,
}

/// How asynchronous invocations are kept and tried.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AsyncConfig {
    #[serde(default)]
    pub async_task: bool,
    #[serde(default)]
    pub max_async_event_age_in_seconds: u32,
    #[serde(default)]
    pub max_async_retry_attempts: u32,
}

/// Sets it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PutAsyncInvokeConfig {
    pub function_name: String,
    pub body: AsyncConfig,
}

/// Takes it away.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DeleteAsyncInvokeConfig {
    pub function_name: String,
}

/// Asks for a task. One that was accepted a moment ago may not be found yet.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct GetAsyncTask {
    pub function_name: String,
    pub task_id: String,
}

/// Lists a function's tasks.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct ListAsyncTasks {
    pub function_name: String,
    #[serde(rename = "nextToken")]
    pub next_token: Option<String>,
    pub limit: u32,
}

/// A page of tasks.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListAsyncTasksResponse {
    #[serde(default, deserialize_with = "list")]
    pub tasks: Vec<AsyncTask>,
    #[serde(default)]
    pub next_token: String,
}

/// Stops a task.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct StopAsyncTask {
    pub function_name: String,
    pub task_id: String,
}

/// A task. Moments are milliseconds since 1970.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AsyncTask {
    #[serde(default)]
    pub task_id: String,
    /// `Enqueued`, `Dequeued`, `Running`, `Succeeded`, `Failed`, `Stopping`, `Stopped`, `Retrying`, `Expired`, `Invalid`.
    #[serde(default)]
    pub status: String,
    #[serde(default)]
    pub started_time: i64,
    #[serde(default)]
    pub end_time: i64,
    /// For how many milliseconds it ran.
    #[serde(default)]
    pub duration_ms: i64,
    #[serde(default)]
    pub task_error_message: String,
    #[serde(default)]
    pub return_payload: String,
    #[serde(default)]
    pub request_id: String,
}

impl AsyncTask {
    /// Whether nothing more will happen to it.
    pub fn is_over(&self) -> bool {
        matches!(self.status.as_str(), "Succeeded" | "Failed" | "Stopped" | "Expired" | "Invalid")
    }
}

/// The longest that a synchronous invocation takes. Source: Function Compute, limits.
pub const LONGEST_CALL: std::time::Duration = std::time::Duration::from_secs(600);

/// How a function is invoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invocation<'a> {
    /// Waited for; the answer is the function's.
    Sync,
    /// As a task of that name, which is taken once.
    Task(&'a str),
}

/// Invokes a function with `event`. The answer of a synchronous invocation bears `x-fc-error-type` if the function failed,
/// and the end of its log in base64 in `x-fc-log-result`.
pub async fn invoke(cloud: &dyn Cloud, region: &str, function: &str, event: Bytes, how: Invocation<'_>) -> Result<Answer, ApiError> {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut headers = vec![header("content-type", "application/octet-stream"), header("x-acs-region-id", region)];
    match how {
        Invocation::Sync => headers.extend([header("x-fc-invocation-type", "Sync"), header("x-fc-log-type", "Tail")]),
        Invocation::Task(id) => headers.extend([header("x-fc-invocation-type", "Async"), header("x-fc-async-task-id", id)]),
    }
    let call = Call {
        product: Product::Fc,
        action: "InvokeFunction",
        region: region.to_owned(),
        method: http::Method::POST,
        bucket: None,
        path: format!("/2023-03-30/functions/{function}/invocations"),
        query: Vec::new(),
        headers,
        body: event,
        // A task's name is taken once, so a second sending of it does nothing; a synchronous one would run twice.
        repeat: if how == Invocation::Sync { Repeat::Unsafe } else { Repeat::Safe },
    };
    cloud.send(call).await
}
