//! Function Compute over simulated machines: what a request to an instance comes to follows from a script.

use std::io::{Cursor, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aliform::local_cloud::LocalCloud;
use aliform::local_cloud::config::{Config, Quotas};
use aliform::local_cloud::machines::simulated::{Behaviour, SIMULATED_HTTP, Simulated};
use aliform::local_cloud::machines::{CommandSpec, MachineSpec};
use aliform::local_cloud::wire::{Request, Response};
use aliform::model::clock::RuntimeClock;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use rust_decimal::Decimal;
use serde_json::{Value as Json, json};

use crate::caller::{Caller, START, hmac, sha256, sleep, text};

static NONCE: AtomicU64 = AtomicU64::new(0);

/// A signed ROA request.
async fn send(caller: &Caller, method: &str, path: &str, extra: &[(&str, &str)], body: &[u8]) -> Response {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let path = format!("/2023-03-30/functions{path}");
    let mut headers: Vec<(String, String)> = [
        ("host", "127.0.0.1:8080".to_owned()),
        ("x-acs-content-sha256", sha256(body)),
        ("x-acs-date", caller.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        ("x-acs-signature-nonce", format!("fc-{}", NONCE.fetch_add(1, Ordering::Relaxed))),
        ("x-acs-version", "2023-03-30".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    let names = headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{}", sha256(body));
    let signed = hex::encode(hmac(caller.key.1.as_bytes(), format!("ACS3-HMAC-SHA256\n{}", sha256(canonical.as_bytes())).as_bytes()));
    headers.push((
        "authorization".to_owned(),
        format!("ACS3-HMAC-SHA256 Credential={},SignedHeaders={names},Signature={signed}", caller.key.0),
    ));
    headers.extend(extra.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let (host, path, query) = ("127.0.0.1:8080".to_owned(), path, query.to_owned());
    let request = Request { method: method.parse().unwrap(), host, path, query, headers, body: Bytes::copy_from_slice(body), peer: None };
    caller.cloud.handle(request).await
}

/// A call with JSON both ways: status and body.
async fn call(caller: &Caller, method: &str, path: &str, body: Json) -> (u16, Json) {
    let response = send(caller, method, path, &[], body.to_string().as_bytes()).await;
    (response.status, serde_json::from_slice(&response.body).unwrap_or_default())
}

fn package() -> String {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file("index.py", zip::write::SimpleFileOptions::default()).unwrap();
    writer.write_all(b"def handler(event, context): ...").unwrap();
    STANDARD.encode(writer.finish().unwrap().into_inner())
}

async fn make(caller: &Caller, name: &str, more: Json) -> Json {
    let mut body = json!({ "functionName": name, "runtime": "python3", "handler": "index.handler", "code": { "zipFile": package() } });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let (status, made) = call(caller, "POST", "", body).await;
    assert_eq!(status, 200, "{made}");
    made
}

async fn invoke(caller: &Caller, name: &str, event: &[u8]) -> Response {
    send(caller, "POST", &format!("/{name}/invocations"), &[], event).await
}

async fn start(caller: &Caller, name: &str, id: &str, event: &[u8]) -> Response {
    let headers = [("x-fc-invocation-type", "Async"), ("x-fc-async-task-id", id)];
    send(caller, "POST", &format!("/{name}/invocations"), &headers, event).await
}

async fn tasks(caller: &Caller, name: &str, more: Json) {
    let mut body = json!({ "asyncTask": true });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let (status, answer) = call(caller, "PUT", &format!("/{name}/async-invoke-config"), body).await;
    assert_eq!(status, 200, "{answer}");
}

async fn task(caller: &Caller, name: &str, id: &str) -> Json {
    let (status, answer) = call(caller, "GET", &format!("/{name}/async-tasks/{id}"), json!({})).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

fn states(task: &Json) -> Vec<String> {
    task["events"].as_array().unwrap().iter().map(|event| text(event, "/status")).collect()
}

/// Machines where an invocation echoes its event; `fail` fails, `die` breaks off, a number takes that many seconds.
fn script(_: &MachineSpec, command: &CommandSpec) -> Behaviour {
    if command.interpreter != SIMULATED_HTTP {
        return Behaviour::default();
    }
    let event = String::from_utf8_lossy(&command.script).into_owned();
    let exit_code = match event.as_str() {
        "fail" => 1,
        "die" => -1,
        _ => 0,
    };
    Behaviour { takes: Duration::from_secs(event.parse().unwrap_or(0)), output: command.script.clone(), exit_code }
}

fn caller(config: Config) -> Caller {
    Caller::with(config, Simulated::with(script))
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_used_again_and_goes_when_it_is_idle() {
    let caller = caller(Config::default());
    make(&caller, "f", json!({})).await;
    let first = invoke(&caller, "f", b"\0echo\xff").await;
    assert_eq!((first.status, first.body.as_ref(), first.header("x-fc-error-type")), (200, b"\0echo\xff".as_slice(), None));
    assert!(first.header("x-fc-request-id").unwrap().starts_with("1-"));
    sleep(50_000).await;
    let second = invoke(&caller, "f", b"x").await;
    assert_eq!(first.header("x-fc-instance-id"), second.header("x-fc-instance-id"));
    sleep(50_000).await;
    assert_eq!(caller.machines.alive(), [first.header("x-fc-instance-id").unwrap()]);
    sleep(11_000).await;
    assert!(caller.machines.alive().is_empty());
    let third = invoke(&caller, "f", b"x").await;
    assert_ne!(first.header("x-fc-instance-id"), third.header("x-fc-instance-id"));
}

#[tokio::test(start_paused = true)]
async fn the_time_limit_ends_the_invocation_and_its_instance() {
    let caller = caller(Config::default());
    make(&caller, "f", json!({ "timeout": 5 })).await;
    assert_eq!(invoke(&caller, "f", b"4").await.header("x-fc-error-type"), None);
    let late = invoke(&caller, "f", b"100").await;
    assert_eq!((late.status, late.header("x-fc-error-type")), (200, Some("UnhandledInvocationError")));
    assert_eq!(late.header("x-fc-invocation-duration"), Some("5000"));
    assert!(String::from_utf8_lossy(&late.body).contains("timed out after 5 seconds"));
    sleep(1000).await;
    assert!(caller.machines.alive().is_empty());
    let broken = invoke(&caller, "f", b"die").await;
    assert_eq!(broken.header("x-fc-error-type"), Some("UnhandledInvocationError"));
    assert_eq!(invoke(&caller, "f", b"fail").await.header("x-fc-error-type"), Some("UnhandledInvocationError"));
}

#[tokio::test(start_paused = true)]
async fn there_are_no_more_instances_than_allowed() {
    let quotas = Quotas { function_instances: 2, ..Quotas::default() };
    let caller = caller(Config { quotas, ..Config::default() });
    make(&caller, "f", json!({ "timeout": 60 })).await;
    let (one, two, three) = tokio::join!(invoke(&caller, "f", b"9"), invoke(&caller, "f", b"9"), invoke(&caller, "f", b"9"));
    let mut all = [one, two, three].map(|response| response.status);
    all.sort_unstable();
    assert_eq!(all, [200, 200, 429]);
    assert_eq!(call(&caller, "PUT", "/f/concurrency", json!({ "reservedConcurrency": 0 })).await.0, 200);
    let (status, refused) = call(&caller, "POST", "/f/invocations", json!({})).await;
    assert_eq!((status, text(&refused, "/Code")), (429, "ResourceExhausted".to_owned()));
    assert!(refused["RequestId"].is_string());
}

#[tokio::test(start_paused = true)]
async fn a_function_leaves_nothing_behind() {
    let caller = caller(Config::default());
    make(&caller, "f", json!({ "timeout": 600 })).await;
    tasks(&caller, "f", json!({})).await;
    invoke(&caller, "f", b"x").await;
    assert_eq!(start(&caller, "f", "long", b"500").await.status, 202);
    sleep(2000).await;
    assert_eq!(text(&task(&caller, "f", "long").await, "/status"), "Running");
    assert_eq!(caller.cloud.resources().iter().map(|row| (row.kind, row.id.as_str())).collect::<Vec<_>>(), [("function", "f")]);
    assert_eq!(call(&caller, "DELETE", "/f", json!({})).await.0, 204);
    sleep(1000).await;
    assert!(caller.machines.alive().is_empty());
    assert!(caller.cloud.resources().is_empty());
    // Its name and its tasks' ids are free again.
    make(&caller, "f", json!({})).await;
    tasks(&caller, "f", json!({})).await;
    assert_eq!(start(&caller, "f", "long", b"x").await.status, 202);
    sleep(2000).await;
    assert_eq!(text(&task(&caller, "f", "long").await, "/status"), "Succeeded");
}

#[tokio::test(start_paused = true)]
async fn a_task_is_tried_as_often_as_configured_and_then_told_of() {
    let caller = caller(Config::default());
    make(&caller, "told", json!({})).await;
    tasks(&caller, "told", json!({})).await;
    make(&caller, "f", json!({})).await;
    let arn = "acs:fc:cn-hangzhou:1000000000000001:functions/told";
    tasks(&caller, "f", json!({ "maxAsyncRetryAttempts": 2, "destinationConfig": { "onFailure": { "destination": arn } } })).await;
    let started = start(&caller, "f", "one", b"fail").await;
    let again = start(&caller, "f", "one", b"fail").await;
    assert_eq!((started.status, again.status), (202, 409));
    sleep(60_000).await;
    let failed = task(&caller, "f", "one").await;
    assert_eq!((text(&failed, "/status"), &failed["alreadyRetriedTimes"]), ("Failed".to_owned(), &json!(2)));
    let once = ["Dequeued", "Running"];
    let expected = [&["Enqueued"], once.as_slice(), &["Retrying"], &once, &["Retrying"], &once, &["Failed"]].concat();
    assert_eq!(states(&failed), expected);
    // It failed at once each time; what it waited in between is no work.
    assert_eq!(failed["durationMs"], 0, "{failed}");
    assert_eq!(text(&failed, "/destinationStatus"), "Succeeded");
    let told = task(&caller, "told", &format!("{}-told", started.header("x-fc-request-id").unwrap())).await;
    let message: Json = serde_json::from_str(&text(&told, "/taskPayload")).unwrap();
    assert_eq!((text(&message, "/requestPayload"), &message["requestContext"]["approximateInvokeCount"]), ("fail".to_owned(), &json!(3)));
}

#[tokio::test(start_paused = true)]
async fn a_task_is_stopped_wherever_it_stands() {
    let caller = caller(Config::default());
    make(&caller, "f", json!({ "timeout": 900 })).await;
    tasks(&caller, "f", json!({})).await;
    start(&caller, "f", "runs", b"800").await;
    start(&caller, "f", "waits", b"fail").await;
    sleep(2500).await;
    assert_eq!(text(&task(&caller, "f", "runs").await, "/status"), "Running");
    assert_eq!(text(&task(&caller, "f", "waits").await, "/status"), "Retrying");
    for id in ["runs", "waits"] {
        assert_eq!(call(&caller, "PUT", &format!("/f/async-tasks/{id}/stop"), json!({})).await.0, 200);
        sleep(500).await;
        assert_eq!(text(&task(&caller, "f", id).await, "/status"), "Stopped");
    }
    sleep(100_000).await;
    assert!(caller.machines.alive().is_empty());
    assert_eq!(text(&task(&caller, "f", "waits").await, "/status"), "Stopped");
}

#[tokio::test(start_paused = true)]
async fn a_task_without_room_waits_until_it_is_too_old() {
    let caller = caller(Config::default());
    make(&caller, "f", json!({})).await;
    tasks(&caller, "f", json!({ "maxAsyncEventAgeInSeconds": 120, "maxAsyncRetryAttempts": 0 })).await;
    call(&caller, "PUT", "/f/concurrency", json!({ "reservedConcurrency": 0 })).await;
    start(&caller, "f", "expires", b"x").await;
    sleep(30_000).await;
    assert_eq!(text(&task(&caller, "f", "expires").await, "/status"), "Dequeued");
    sleep(400_000).await;
    assert_eq!(text(&task(&caller, "f", "expires").await, "/status"), "Expired");
    start(&caller, "f", "runs", b"x").await;
    sleep(10_000).await;
    call(&caller, "PUT", "/f/concurrency", json!({ "reservedConcurrency": 1 })).await;
    sleep(60_000).await;
    assert_eq!(text(&task(&caller, "f", "runs").await, "/status"), "Succeeded");
}

#[tokio::test(start_paused = true)]
async fn what_was_used_is_on_the_bill() {
    let caller = caller(Config::default());
    make(&caller, "f", json!({ "cpu": 2, "memorySize": 4096, "timeout": 9000 })).await;
    let before = caller.cloud.spent();
    invoke(&caller, "f", b"0").await;
    // The call alone; there is no least bill.
    assert_eq!(caller.cloud.spent() - before, Decimal::new(825, 9));
    invoke(&caller, "f", b"2000").await;
    // 2000 s of 2 vCPU and 4 GB x 0.15, and two calls of 0.0075, in CU of 0.00011 CNY.
    let expected = (Decimal::from(2000) * (Decimal::from(2) + Decimal::new(6, 1)) + Decimal::new(15, 3)) * Decimal::new(11, 5);
    assert_eq!(caller.cloud.spent() - before, expected);
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_initialised_before_it_is_used_and_told_before_it_ends() {
    let asked = Arc::new(std::sync::Mutex::new(Vec::<String>::new()));
    let seen = asked.clone();
    let machines = Simulated::with(move |_, command| {
        if command.interpreter == SIMULATED_HTTP {
            seen.lock().unwrap().push(command.working_directory.clone().unwrap());
        }
        let fails = command.script.is_empty() && seen.lock().unwrap().len() > 5;
        Behaviour { output: b"{}".to_vec(), exit_code: i32::from(fails), ..Behaviour::default() }
    });
    let caller = Caller::with(Config::default(), machines);
    let hooks = json!({ "initializer": { "handler": "index.start", "timeout": 5 }, "preStop": { "handler": "index.stop" } });
    make(&caller, "f", json!({ "instanceLifecycleConfig": hooks, "idleTimeout": 7 })).await;
    invoke(&caller, "f", b"x").await;
    invoke(&caller, "f", b"x").await;
    sleep(6000).await;
    assert_eq!(*asked.lock().unwrap(), ["/initialize", "/invoke", "/invoke"]);
    sleep(2000).await;
    assert_eq!(*asked.lock().unwrap(), ["/initialize", "/invoke", "/invoke", "/pre-stop"]);
    assert!(caller.machines.alive().is_empty());
    // A function whose initializer fails is never asked for anything else.
    asked.lock().unwrap().extend(["".to_owned(), "".to_owned()]);
    let failed = invoke(&caller, "f", b"x").await;
    assert_eq!((failed.status, failed.header("x-fc-error-type")), (200, Some("UnhandledInvocationError")));
    assert_eq!(asked.lock().unwrap().last().unwrap(), "/initialize");
    sleep(1000).await;
    assert!(caller.machines.alive().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_function_is_in_a_network_that_is_there() {
    let caller = caller(Config::default());
    let network = caller.network().await;
    let vpc = json!({ "vpcId": network.vpc, "vSwitchIds": [network.vswitch], "securityGroupId": network.group });
    let made = make(&caller, "f", json!({ "vpcConfig": vpc })).await;
    assert_eq!(made["vpcConfig"], vpc);
    let elsewhere = json!({ "vpcConfig": { "vpcId": network.vpc, "vSwitchIds": ["vsw-none"] } });
    let (status, refused) = call(&caller, "PUT", "/f", elsewhere).await;
    assert_eq!((status, text(&refused, "/Code")), (400, "InvalidArgument".to_owned()));
    assert_eq!(call(&caller, "GET", "/f", json!({})).await.1["vpcConfig"], vpc);
}

async fn open(dir: &Path, clock: &Arc<RuntimeClock>, machines: &Arc<Simulated>) -> Caller {
    sleep(1).await;
    let cloud = LocalCloud::open(dir, Config::default(), clock.clone(), machines.clone()).unwrap();
    Caller::of(cloud, clock.clone(), machines.clone())
}

#[tokio::test(start_paused = true)]
async fn functions_and_tasks_outlive_the_server_and_instances_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(RuntimeClock::starting_at(START.parse().unwrap()));
    let machines = Arc::new(Simulated::with(script));
    let first = open(dir.path(), &clock, &machines).await;
    let made = make(&first, "f", json!({ "timeout": 600, "environmentVariables": { "A": "1" } })).await;
    tasks(&first, "f", json!({ "maxAsyncRetryAttempts": 1 })).await;
    start(&first, "f", "twice", b"30").await;
    sleep(3000).await;
    let before = task(&first, "f", "twice").await;
    assert_eq!(text(&before, "/status"), "Running");
    assert_eq!(machines.alive(), [text(&before, "/instanceId")]);
    drop(first);

    let second = open(dir.path(), &clock, &machines).await;
    second.cloud.wake().await;
    assert!(!machines.alive().contains(&text(&before, "/instanceId")), "an instance outlived its server");
    assert_eq!(call(&second, "GET", "/f", json!({})).await, (200, made));
    sleep(3000).await;
    let between = task(&second, "f", "twice").await;
    assert_eq!((text(&between, "/status"), &between["alreadyRetriedTimes"]), ("Running".to_owned(), &json!(1)));
    drop(second);

    // Its last try went down with the server.
    let third = open(dir.path(), &clock, &machines).await;
    sleep(3000).await;
    assert_eq!(text(&task(&third, "f", "twice").await, "/status"), "Failed");
    // The package is still there.
    assert_eq!(invoke(&third, "f", b"x").await.body.as_ref(), b"x");
    third.cloud.end_functions().await;
    assert!(machines.alive().is_empty());
    assert_eq!(invoke(&third, "f", b"x").await.status, 503);
}

#[tokio::test(start_paused = true)]
async fn invocations_under_way_are_told_when_the_server_goes_down() {
    let caller = caller(Config::default());
    make(&caller, "f", json!({ "timeout": 600 })).await;
    let (answer, ()) = tokio::join!(invoke(&caller, "f", b"500"), async {
        sleep(5000).await;
        caller.cloud.end_functions().await;
    });
    assert_eq!(answer.status, 503);
}
