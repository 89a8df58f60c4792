//! One invocation: its request into an instance, and what becomes of it; and InvokeFunction. An error of the function
//! is an answer of 200 with a header that says so; an error of the service is none of the function's.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use rust_decimal::Decimal;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use super::function::Function;
use super::pool::{Lease, NotStarted};
use super::settings::invalid;
use super::start::{LOG, NUMBER};
use super::{change, check_qualifier, find, instance, task};
use crate::local_cloud::billing;
use crate::local_cloud::machines::{MachineError, MachineSpec};
use crate::local_cloud::roa::RoaCall;
use crate::local_cloud::runtime::Shared;
use crate::local_cloud::wire::Response;
use crate::local_cloud::wire::fault::Fault;

/// The largest events. Source: Function Compute, limits.
const LARGEST: usize = 32 << 20;
const LARGEST_ASYNCHRONOUS: usize = 128 << 10;
/// How much of the log is told.
const TAIL: u64 = 4096;
/// What a function's own error is called unless it says otherwise.
const UNHANDLED: &str = "UnhandledInvocationError";

/// What is asked of a function.
#[derive(Clone, Debug)]
pub(super) struct Invocation {
    pub(super) request_id: String,
    pub(super) method: http::Method,
    /// Path and query at the function's server.
    pub(super) path: String,
    /// Headers besides those that every invocation has.
    pub(super) headers: Vec<(String, String)>,
    pub(super) event: Bytes,
    /// Whether somebody wants the log.
    pub(super) tail: bool,
}

/// What became of it.
#[derive(Clone, Debug)]
pub(super) struct Done {
    pub(super) response: http::Response<Bytes>,
    /// What kind of error it is, if it is one of the function's.
    pub(super) error: Option<String>,
    pub(super) duration: Duration,
    pub(super) memory_mib: Option<Decimal>,
    pub(super) instance: String,
    pub(super) log: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    Refused(Fault),
    Stopped,
}

/// Whether a server says that its function failed.
pub(super) fn has_failed(response: &http::Response<Bytes>) -> bool {
    let status = response.headers().get("x-fc-status").and_then(|value| value.to_str().ok());
    status.map_or(!response.status().is_success(), |status| status != "200")
}

fn plain(body: Vec<u8>) -> http::Response<Bytes> {
    http::Response::new(Bytes::from(body))
}

/// Carries out an invocation on an instance that is there or made for it. `stop` ends it early, with its instance.
/// `begun` is told the instance once there is one.
pub(super) async fn carry_out(
    shared: &Arc<Shared>,
    function: &Function,
    invocation: &Invocation,
    mut stop: watch::Receiver<bool>,
    begun: impl AsyncFnOnce(&str),
) -> Result<Done, Failure> {
    let given = tokio::select! {
        biased;
        () = asked(&mut stop) => return Err(Failure::Stopped),
        given = instance::lease(shared, function) => given,
    };
    let lease = match given {
        Ok(lease) => lease,
        Err(NotStarted::Refused(fault)) => return Err(Failure::Refused(fault)),
        Err(NotStarted::Initializer(body)) => {
            let (instance, log) = (String::new(), Vec::new());
            let error = Some(UNHANDLED.to_owned());
            return Ok(Done { response: plain(body), error, duration: Duration::ZERO, memory_mib: None, instance, log });
        }
    };
    begun(&lease.id).await;
    let machines = &shared.machines;
    let before = if invocation.tail { machines.read_file(&lease.machine, LOG, u64::MAX, 0).await.map_or(0, |part| part.size) } else { 0 };
    let request = request(shared, function, invocation).map_err(Failure::Refused)?;
    let limit = Duration::from_secs(function.settings.timeout);
    let started = Instant::now();
    let answered = tokio::select! {
        biased;
        () = asked(&mut stop) => None,
        answered = tokio::time::timeout(limit, machines.exchange(&lease.machine, lease.port, request)) => Some(answered),
    };
    let duration = started.elapsed();
    let memory_mib = memory(shared, &lease.machine).await;
    let log = if invocation.tail { tail(shared, &lease, invocation, before, duration, memory_mib).await } else { Vec::new() };
    let response = match answered {
        None => {
            lease.discard();
            charge(shared, function, duration).await;
            return Err(Failure::Stopped);
        }
        Some(Ok(Ok(response))) => Ok(response),
        Some(Ok(Err(error))) => Err(broken(shared, &lease, &error, duration, memory_mib).await?),
        Some(Err(_)) => {
            let used = memory_mib.map_or_else(String::new, |memory| format!(" (maxMemoryUsage: {memory}MB)"));
            Err(format!("Function timed out after {} seconds{used}", limit.as_secs()))
        }
    };
    let (response, error) = match response {
        Ok(response) => {
            let kind = response.headers().get("x-fc-error-type").and_then(|value| value.to_str().ok()).unwrap_or(UNHANDLED);
            let error = has_failed(&response).then(|| kind.to_owned());
            (response, error)
        }
        Err(message) => {
            // Nothing is known of what it does now.
            lease.discard();
            (plain(json!({ "errorMessage": message }).to_string().into_bytes()), Some(UNHANDLED.to_owned()))
        }
    };
    charge(shared, function, duration).await;
    Ok(Done { response, error, duration, memory_mib, instance: lease.id.clone(), log })
}

/// Waits until somebody wants it to end; for ever if nobody can any more.
pub(super) async fn asked(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// What a connection that broke off means: the server's end, or that of its process.
async fn broken(
    shared: &Arc<Shared>,
    lease: &Lease,
    error: &MachineError,
    duration: Duration,
    memory: Option<Decimal>,
) -> Result<String, Failure> {
    lease.discard();
    if shared.world().index.functions.closed {
        return Err(Failure::Refused(Fault::new(503, "ServiceUnavailable", "the local cloud goes down")));
    }
    let used = memory.map_or_else(String::new, |memory| format!(", maxMemoryUsage: {memory}MB"));
    let after = format!("duration: {}ms{used}", duration.as_millis());
    Ok(format!("Process exited unexpectedly before completing request ({after}): {}", error.reason))
}

fn request(shared: &Shared, function: &Function, invocation: &Invocation) -> Result<http::Request<Bytes>, Fault> {
    let settings = &function.settings;
    let mut request = http::Request::builder().method(&invocation.method).uri(&invocation.path);
    for (name, value) in &invocation.headers {
        request = request.header(name, value);
    }
    let own = [
        ("host", "127.0.0.1".to_owned()),
        ("x-fc-request-id", invocation.request_id.clone()),
        ("x-fc-account-id", shared.config.account.clone()),
        ("x-fc-region", function.region.clone()),
        ("x-fc-function-name", function.name.clone()),
        ("x-fc-function-handler", settings.handler.clone()),
        ("x-fc-function-memory", settings.memory_size.to_string()),
        ("x-fc-function-timeout", settings.timeout.to_string()),
        ("x-fc-qualifier", "LATEST".to_owned()),
        ("x-fc-version-id", "0".to_owned()),
        ("x-fc-control-path", invocation.path.split('?').next().unwrap_or_default().to_owned()),
    ];
    for (name, value) in own {
        request = request.header(name, value);
    }
    request.body(invocation.event.clone()).map_err(|error| invalid(format!("the request can't be handed to the function: {error}")))
}

/// The most memory that the runtime's process had so far; unknown where its number says nothing.
async fn memory(shared: &Arc<Shared>, machine: &MachineSpec) -> Option<Decimal> {
    let number = shared.machines.read_file(machine, NUMBER, 0, 32).await.ok()?;
    let number: u32 = String::from_utf8(number.bytes).ok()?.trim().parse().ok()?;
    let status = shared.machines.read_file(machine, &format!("/proc/{number}/status"), 0, 16 * 1024).await.ok()?;
    let text = String::from_utf8_lossy(&status.bytes).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: Decimal = line.split_whitespace().next()?.parse().ok()?;
    Some((kib / Decimal::from(1024)).round_dp(2))
}

/// The last of what the runtime wrote meanwhile, between the lines that the service writes itself.
async fn tail(
    shared: &Arc<Shared>,
    lease: &Lease,
    invocation: &Invocation,
    before: u64,
    duration: Duration,
    memory: Option<Decimal>,
) -> Vec<u8> {
    let written = shared.machines.read_file(&lease.machine, LOG, before, TAIL).await.map(|part| part.bytes).unwrap_or_default();
    let id = &invocation.request_id;
    let mut log = format!("FC Invoke Start RequestId: {id}\n").into_bytes();
    log.extend(&written);
    if !written.is_empty() && !written.ends_with(b"\n") {
        log.push(b'\n');
    }
    log.extend(format!("FC Invoke End RequestId: {id}\n\nDuration: {:.2} ms", duration.as_secs_f64() * 1000.0).into_bytes());
    if let Some(memory) = memory {
        log.extend(format!(", Max Memory Used: {memory} MB").into_bytes());
    }
    log.push(b'\n');
    log.split_off(log.len().saturating_sub(TAIL as usize))
}

/// Puts an invocation on the bill. Where no rate is published there is no line: unknown is not nothing.
async fn charge(shared: &Arc<Shared>, function: &Function, duration: Duration) {
    let catalog = shared.catalog;
    let (settings, region) = (&function.settings, function.region.as_str());
    let rate = |item: &str, unit: &str| catalog.rate(region, item, unit);
    let Some(cu) = rate("fc:cu:first", "CU") else { return };
    let seconds = Decimal::from(duration.as_millis() as u64) / Decimal::from(1000);
    let cpu = Decimal::try_from(settings.cpu).unwrap_or_default().round_dp(2);
    let gigabytes = |mib: u32| Decimal::from(mib) / Decimal::from(1024);
    // The smaller disk comes with the instance.
    let disk = if settings.disk_size > 512 { gigabytes(settings.disk_size) } else { Decimal::ZERO };
    let family = settings.gpu_config.as_ref().map_or("", |gpu| if gpu.gpu_type.contains("tesla") { "tesla" } else { "ada" });
    let gpu = settings.gpu_config.as_ref().map_or(Decimal::ZERO, |gpu| gigabytes(gpu.gpu_memory_size));
    let parts = [
        ("cpu", "vCPU-second", cpu * seconds),
        ("memory", "GB-second", gigabytes(settings.memory_size) * seconds),
        ("disk", "GB-second", disk * seconds),
        (if family == "tesla" { "gpu-tesla" } else { "gpu-ada" }, "GB-second", gpu * seconds),
        ("invocations", "call", Decimal::ONE),
    ];
    let amounts: Vec<(&str, Decimal)> = parts
        .iter()
        .filter_map(|(part, unit, amount)| Some((*part, rate(&format!("fc:{part}"), unit)? * *amount * cu)))
        .filter(|(_, amount)| !amount.is_zero())
        .collect();
    // What can't be written down any more is not worth an error of the function.
    drop(change(shared, |world, now| billing::use_up(world, &function.id, region, &amounts, now)).await);
}

/// InvokeFunction.
pub(super) async fn call(call: &RoaCall<'_>, name: &str, request_id: &str) -> Result<Response, Fault> {
    let region = call.region()?.id;
    let header = |name| call.request.header(name);
    let asynchronous = match header("x-fc-invocation-type") {
        None | Some("" | "Sync") => false,
        Some("Async") => true,
        Some(other) => return Err(invalid(format!("x-fc-invocation-type '{other}' is invalid: Sync or Async"))),
    };
    let tail = match header("x-fc-log-type") {
        None | Some("" | "None") => false,
        Some("Tail") => true,
        Some(other) => return Err(invalid(format!("x-fc-log-type '{other}' is invalid: None or Tail"))),
    };
    let event = call.request.body.clone();
    let most = if asynchronous { LARGEST_ASYNCHRONOUS } else { LARGEST };
    let function = {
        let world = call.shared.world();
        let function = find(&world, region, name)?.clone();
        check_qualifier(call.params.text("qualifier"), name)?;
        function
    };
    if event.len() > most {
        return Err(Fault::bad("EntityTooLarge", format!("payload size exceeds maximum allowed size ({most} bytes)")));
    }
    if asynchronous {
        let id = header("x-fc-async-task-id").filter(|id| !id.is_empty());
        let task = task::enqueue(call, &function, id, request_id, &event).await?;
        let mut headers = Vec::new();
        if let Some(task) = task {
            headers.push(("x-fc-async-task-id".to_owned(), task));
        }
        return Ok(Response { status: 202, headers, body: Bytes::new(), dropped: false });
    }
    let content_type = header("content-type").unwrap_or("application/octet-stream").to_owned();
    let invocation = Invocation {
        request_id: request_id.to_owned(),
        method: http::Method::POST,
        path: "/invoke".to_owned(),
        headers: vec![("content-type".to_owned(), content_type)],
        event,
        tail,
    };
    let done = to_its_end(call.shared, function.clone(), invocation).await?;
    Ok(respond(&function, &done, tail))
}

/// Carries out an invocation whether or not its caller still waits, as the service does.
pub(super) async fn to_its_end(shared: &Arc<Shared>, function: Function, invocation: Invocation) -> Result<Done, Fault> {
    let (answer, answered) = tokio::sync::oneshot::channel();
    let inner = Arc::clone(shared);
    shared.spawn(async move {
        let never = watch::channel(false).1;
        let outcome = carry_out(&inner, &function, &invocation, never, async |_: &str| {}).await;
        // Nobody waits any more.
        drop(answer.send(outcome));
    });
    match answered.await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(Failure::Refused(fault))) => Err(fault),
        Ok(Err(Failure::Stopped)) | Err(_) => Err(Fault::new(503, "ServiceUnavailable", "the local cloud goes down")),
    }
}

/// What was done as the answer of InvokeFunction.
fn respond(function: &Function, done: &Done, tail: bool) -> Response {
    let content_type = done.response.headers().get("content-type").and_then(|value| value.to_str().ok());
    let mut headers = vec![
        ("content-type".to_owned(), content_type.unwrap_or("application/octet-stream").to_owned()),
        ("x-fc-invocation-duration".to_owned(), done.duration.as_millis().to_string()),
    ];
    let mut add = |name: &str, value: String| headers.push((name.to_owned(), value));
    if !done.instance.is_empty() {
        add("x-fc-instance-id", done.instance.clone());
    }
    if let Some(memory) = done.memory_mib {
        add("x-fc-max-memory-usage", memory.to_string());
    }
    if let Some(code) = &function.code {
        add("x-fc-code-checksum", code.checksum.clone());
    }
    if tail {
        add("x-fc-log-result", STANDARD.encode(&done.log));
    }
    if let Some(error) = &done.error {
        add("x-fc-error-type", error.clone());
    }
    Response { status: 200, headers, body: done.response.body().clone(), dropped: false }
}
