//! Training jobs and workspaces: what they go through, what they cost, and what is left when their server is gone.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aliform::local_cloud::LocalCloud;
use aliform::local_cloud::config::{AccessKey, Config, Stock, StockRule};
use aliform::local_cloud::machines::simulated::{Behaviour, Simulated};
use aliform::local_cloud::wire::Request;
use aliform::model::clock::RuntimeClock;
use aliform::model::secret::Secret;
use rust_decimal::Decimal;
use serde_json::{Value as Json, json};

use crate::caller::{Caller, Refusal, START, code, encode, hmac, read, sha256, sleep, text};

const IMAGE: &str = "dsw-registry-vpc.cn-hangzhou.cr.aliyuncs.com/pai/pytorch:2.8.0-cpu-py312-ubuntu22.04";
const SPEC: &str = "ecs.g7.large";
const DLC: &str = "2020-12-03";
const WORKSPACE: &str = "2021-02-04";

static NONCE: AtomicU64 = AtomicU64::new(1);

/// A signed ROA request as the SDKs send it: method and path say what it is.
fn request(caller: &Caller, version: &str, method: &str, path: &str, query: &[(&str, &str)], body: &Json) -> Request {
    let mut query: Vec<String> = query.iter().map(|(key, value)| format!("{key}={}", encode(value))).collect();
    query.sort();
    let query = query.join("&");
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let host = "127.0.0.1:8080";
    let headers = BTreeMap::from([
        ("host", host.to_owned()),
        ("x-acs-content-sha256", sha256(&body)),
        ("x-acs-date", caller.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        ("x-acs-signature-nonce", format!("roa-{}", NONCE.fetch_add(1, Ordering::Relaxed))),
        ("x-acs-version", version.to_owned()),
    ]);
    let names = headers.keys().copied().collect::<Vec<_>>().join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{}", sha256(&body));
    let signature = hex::encode(hmac(caller.key.1.as_bytes(), format!("ACS3-HMAC-SHA256\n{}", sha256(canonical.as_bytes())).as_bytes()));
    let mut headers: Vec<(String, String)> = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    headers.push((
        "authorization".to_owned(),
        format!("ACS3-HMAC-SHA256 Credential={},SignedHeaders={names},Signature={signature}", caller.key.0),
    ));
    let method = method.parse().unwrap();
    Request { method, host: host.to_owned(), path: path.to_owned(), query, headers, body: body.into(), peer: None }
}

async fn call(caller: &Caller, version: &str, what: &str, query: &[(&str, &str)], body: Json) -> Result<Json, Refusal> {
    let (method, path) = what.split_once(' ').unwrap();
    read(&caller.cloud.handle(request(caller, version, method, path, query, &body)).await)
}

async fn workspace(caller: &Caller, name: &str) -> Result<String, Refusal> {
    let wish = json!({ "WorkspaceName": name, "Description": "x", "EnvTypes": ["prod"] });
    Ok(text(&call(caller, WORKSPACE, "POST /api/v1/workspaces", &[], wish).await?, "/WorkspaceId"))
}

/// A workspace that can be used.
async fn ready(caller: &Caller) -> String {
    let id = workspace(caller, "tests").await.unwrap();
    sleep(300).await;
    id
}

fn wish(command: &str, more: Json) -> Json {
    let mut wish = json!({
        "DisplayName": "test",
        "JobType": "PyTorchJob",
        "UserCommand": command,
        "JobSpecs": [{ "Type": "Worker", "Image": IMAGE, "PodCount": 1, "EcsSpec": SPEC }],
    });
    for (name, value) in more.as_object().unwrap() {
        match name.as_str() {
            "spec" => value.as_object().unwrap().iter().for_each(|(name, value)| wish["JobSpecs"][0][name] = value.clone()),
            name => wish[name] = value.clone(),
        }
    }
    wish
}

async fn submit(caller: &Caller, command: &str, more: Json) -> Result<String, Refusal> {
    Ok(text(&call(caller, DLC, "POST /api/v1/jobs", &[], wish(command, more)).await?, "/JobId"))
}

async fn get(caller: &Caller, id: &str) -> Json {
    call(caller, DLC, &format!("GET /api/v1/jobs/{id}"), &[], Json::Null).await.unwrap()
}

async fn status(caller: &Caller, id: &str) -> String {
    text(&get(caller, id).await, "/Status")
}

async fn stop(caller: &Caller, id: &str) -> Result<Json, Refusal> {
    call(caller, DLC, &format!("POST /api/v1/jobs/{id}/stop"), &[], Json::Null).await
}

async fn logs(caller: &Caller, id: &str, pod: &str, query: &[(&str, &str)]) -> Vec<String> {
    let answer = call(caller, DLC, &format!("GET /api/v1/jobs/{id}/pods/{id}-{pod}/logs"), query, Json::Null).await.unwrap();
    answer["Logs"].as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect()
}

async fn events(caller: &Caller, id: &str, pod: Option<&str>) -> String {
    let pod = pod.map_or_else(String::new, |pod| format!("/pods/{id}-{pod}"));
    call(caller, DLC, &format!("GET /api/v1/jobs/{id}{pod}/events"), &[], Json::Null).await.unwrap()["Events"].to_string()
}

/// Machines on which `takes N` runs so many seconds, `exit N` ends so, and every script says itself.
fn machines() -> Simulated {
    Simulated::with(|_, command| {
        let script = String::from_utf8(command.script.clone()).unwrap();
        let number = |word: &str| script.split_once(word).and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok());
        Behaviour {
            takes: Duration::from_secs(number("takes ").unwrap_or(1)),
            output: format!("rank {}\n{script}", command.environment["RANK"]).into_bytes(),
            exit_code: number("exit ").map_or(0, |code| i32::try_from(code).unwrap()),
        }
    })
}

fn caller() -> Caller {
    Caller::with(Config::default(), machines())
}

fn kinds(caller: &Caller) -> Vec<(&'static str, String)> {
    caller.cloud.resources().into_iter().map(|row| (row.kind, row.status)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_job_goes_its_way_and_costs_what_its_pods_cost() {
    let caller = caller();
    let id = workspace(&caller, "tests").await.unwrap();
    assert_eq!(code(submit(&caller, "true", json!({})).await.map(Json::from)), "Forbidden");
    assert_eq!(kinds(&caller), [("workspace", "INITIALIZING".to_owned())]);
    sleep(300).await;
    let more = json!({ "WorkspaceId": id, "spec": { "PodCount": 2 }, "Settings": { "Tags": { "aliform:stack": "s" } } });
    let job = submit(&caller, "takes 3600", more).await.unwrap();
    assert!(job.starts_with("dlc1") && job.len() == 16, "{job}");
    let mut seen = Vec::new();
    for wait in [0, 110, 200, 400] {
        sleep(wait).await;
        seen.push(status(&caller, &job).await);
    }
    assert_eq!(seen, ["Creating", "Queuing", "EnvPreparing", "Running"]);
    let pods = [format!("{job}-master-0"), format!("{job}-worker-0")];
    assert_eq!(caller.machines.alive(), pods);
    assert_eq!(caller.cloud.machine_ids(), pods);
    let listed = caller.cloud.resources().into_iter().find(|row| row.kind == "training_job").unwrap();
    assert_eq!((listed.id, listed.status.as_str(), listed.tags["aliform:stack"].as_str()), (job.clone(), "Running", "s"));
    sleep(3_600_000).await;

    let done = get(&caller, &job).await;
    assert_eq!((text(&done, "/Status"), text(&done, "/ReasonCode")), ("Succeeded".to_owned(), "JobSucceeded".to_owned()));
    assert_eq!(done["Pods"][1]["Status"], "Succeeded");
    assert_eq!(logs(&caller, &job, "worker-0", &[("MaxLines", "2")]).await, ["rank 1", "takes 3600"]);
    assert!(caller.machines.alive().is_empty() && caller.cloud.machine_ids().is_empty());
    let spent = caller.cloud.spent();
    sleep(3_600_000).await;
    // Two pods for an hour, at the price of the instance type, and nothing after.
    let lines: Decimal = caller.cloud.bills().iter().filter(|bill| bill.resource == job).map(|bill| bill.hourly).sum();
    assert!(lines > Decimal::ZERO && (spent - lines).abs() < Decimal::new(1, 2), "{spent} is not {lines}");
    assert_eq!(caller.cloud.spent(), spent);

    call(&caller, DLC, &format!("DELETE /api/v1/jobs/{job}"), &[], Json::Null).await.unwrap();
    call(&caller, WORKSPACE, &format!("DELETE /api/v1/workspaces/{id}"), &[], Json::Null).await.unwrap();
    assert_eq!(kinds(&caller), []);
}

#[tokio::test(start_paused = true)]
async fn a_limit_ends_the_job_and_its_machines() {
    let caller = caller();
    ready(&caller).await;
    let job = submit(&caller, "takes 36000", json!({ "JobMaxRunningTimeMinutes": 10 })).await.unwrap();
    sleep(600 * 1000).await;
    assert_eq!(status(&caller, &job).await, "Running");
    sleep(2000).await;
    let ended = get(&caller, &job).await;
    assert_eq!((text(&ended, "/Status"), text(&ended, "/ReasonCode")), ("Stopped".to_owned(), "JobExceededMaxRunningTime".to_owned()));
    assert!(caller.machines.alive().is_empty());
    assert_eq!(code(stop(&caller, &job).await), "Forbidden");
}

#[tokio::test(start_paused = true)]
async fn a_job_waits_for_stock_if_it_may() {
    let caller = caller();
    ready(&caller).await;
    let rule = |stock| vec![StockRule { place: None, instance_type: Some(SPEC.to_owned()), stock }];
    caller.cloud.set_stock(rule(Stock::SoldOut));
    assert_eq!(code(submit(&caller, "true", json!({})).await.map(Json::from)), "OperationDenied.NoStock");
    let waiting = json!({ "Settings": { "DisableEcsStockCheck": true } });
    let job = submit(&caller, "takes 20", waiting.clone()).await.unwrap();
    sleep(60_000).await;
    assert_eq!(status(&caller, &job).await, "Queuing");
    assert!(events(&caller, &job, None).await.contains("no stock of ecs.g7.large"));
    let specs = call(&caller, DLC, "GET /api/v1/ecsspecs", &[("InstanceTypes", SPEC)], Json::Null).await.unwrap();
    assert_eq!(specs["EcsSpecs"][0]["IsAvailable"], false);
    // One at a time: the second waits until the first is over.
    caller.cloud.set_stock(vec![
        StockRule { place: None, instance_type: Some(SPEC.to_owned()), stock: Stock::SoldOut },
        StockRule { place: Some("cn-hangzhou-h".to_owned()), instance_type: Some(SPEC.to_owned()), stock: Stock::Limited(1) },
    ]);
    let second = submit(&caller, "takes 20", waiting).await.unwrap();
    sleep(6000).await;
    let both = [status(&caller, &job).await, status(&caller, &second).await];
    assert!(both.contains(&"Queuing".to_owned()) && both.iter().any(|status| status != "Queuing"), "{both:?}");
    sleep(60_000).await;
    assert_eq!([status(&caller, &job).await, status(&caller, &second).await], ["Succeeded", "Succeeded"]);
}

#[tokio::test(start_paused = true)]
async fn images_that_never_come_leave_the_job_waiting() {
    let config = Config { stalled_images: vec!["pytorch:2.8.0".to_owned()], ..Config::default() };
    let caller = Caller::with(config, machines());
    ready(&caller).await;
    let stalled = submit(&caller, "true", json!({})).await.unwrap();
    let unknown = submit(&caller, "true", json!({ "spec": { "Image": "python:3.12" } })).await.unwrap();
    sleep(3_600_000).await;
    assert_eq!([status(&caller, &stalled).await, status(&caller, &unknown).await], ["EnvPreparing", "EnvPreparing"]);
    let (quiet, loud) = (events(&caller, &stalled, Some("master-0")).await, events(&caller, &unknown, Some("master-0")).await);
    assert!(quiet.contains("Pulling image") && !quiet.contains("Failed"), "{quiet}");
    assert!(loud.contains("Failed to pull image") && loud.contains("ImagePullBackOff"), "{loud}");
    assert_eq!(caller.cloud.spent(), Decimal::ZERO);
    for job in [&stalled, &unknown] {
        stop(&caller, job).await.unwrap();
        sleep(100).await;
        assert_eq!(status(&caller, job).await, "Stopped");
    }
}

#[tokio::test(start_paused = true)]
async fn spot_pods_cost_their_limit_at_most() {
    let caller = caller();
    ready(&caller).await;
    let share = json!({ "spec": { "SpotSpec": { "SpotStrategy": "SpotWithPriceLimit", "SpotDiscountLimit": 0.3 } } });
    let (spot, full) = (submit(&caller, "true", share).await.unwrap(), submit(&caller, "true", json!({})).await.unwrap());
    sleep(10_000).await;
    let hourly = |job: &str| caller.cloud.bills().into_iter().find(|bill| bill.resource == job).unwrap().hourly;
    assert_eq!(hourly(&spot), hourly(&full) * Decimal::new(3, 1));
}

#[tokio::test(start_paused = true)]
async fn nobody_without_money_trains() {
    let caller = Caller::with(Config { balance: Decimal::from(99), ..Config::default() }, machines());
    ready(&caller).await;
    assert_eq!(code(submit(&caller, "true", json!({})).await.map(Json::from)), "InvalidAccountStatus.NotEnoughBalance");
}

#[tokio::test(start_paused = true)]
async fn everybody_sees_all_jobs_and_may_ask_for_his_own() {
    let mut config = Config::default();
    config.keys.push(AccessKey { id: "other".to_owned(), secret: Secret::new("secret"), user: Some("ann".to_owned()) });
    let caller = Caller::with(config, machines());
    ready(&caller).await;
    let ann = caller.with_key("other", "secret");
    let (ours, hers) = (submit(&caller, "true", json!({})).await.unwrap(), submit(&ann, "true", json!({})).await.unwrap());
    let listed = async |who: &Caller, query: &[(&str, &str)]| {
        let answer = call(who, DLC, "GET /api/v1/jobs", query, Json::Null).await.unwrap();
        answer["Jobs"].as_array().unwrap().iter().map(|job| text(job, "/JobId")).collect::<Vec<_>>()
    };
    assert_eq!(listed(&caller, &[]).await.len(), 2);
    assert_eq!(listed(&ann, &[("ShowOwn", "true")]).await, std::slice::from_ref(&hers));
    assert_eq!(listed(&caller, &[("ShowOwn", "true")]).await, std::slice::from_ref(&ours));
    assert_eq!(listed(&caller, &[("Username", "ann")]).await, [hers]);
    // A week later nobody is shown them unless he asks for that time.
    sleep(8 * 24 * 3_600_000).await;
    assert!(listed(&caller, &[]).await.is_empty());
    assert_eq!(listed(&caller, &[("StartTime", START)]).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_workspace_with_work_stays_and_its_name_is_kept_for_14_days() {
    let caller = caller();
    let id = ready(&caller).await;
    let job = submit(&caller, "takes 60", json!({})).await.unwrap();
    let delete = format!("DELETE /api/v1/workspaces/{id}");
    assert_eq!(code(call(&caller, WORKSPACE, &delete, &[], Json::Null).await), "Forbidden");
    sleep(70_000).await;
    call(&caller, WORKSPACE, &delete, &[], Json::Null).await.unwrap();
    assert_eq!(code(call(&caller, DLC, &format!("GET /api/v1/jobs/{job}"), &[], Json::Null).await), "NotFound");
    assert_eq!(kinds(&caller), []);
    sleep(13 * 24 * 3_600_000).await;
    assert_eq!(code(workspace(&caller, "tests").await.map(Json::from)), "100400009");
    sleep(24 * 3_600_000).await;
    workspace(&caller, "tests").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn whatever_a_body_holds_it_is_answered() {
    let caller = caller();
    ready(&caller).await;
    let path = "POST /api/v1/jobs";
    for body in [json!([]), json!(["test", "PyTorchJob"]), json!("x"), json!(7), json!({ "JobSpecs": {} }), json!({ "Envs": [1] })] {
        let answer = call(&caller, DLC, path, &[], body.clone()).await.unwrap_err();
        assert_eq!(answer.status, 400, "{body}");
    }
    for (name, value) in [("CredentialConfig", json!("x")), ("ElasticSpec", json!([1])), ("CustomEnvs", json!([["A"]]))] {
        let job = submit(&caller, "true", json!({ name: value })).await.unwrap();
        sleep(5000).await;
        assert_eq!(status(&caller, &job).await, "Succeeded", "{name}");
    }
}

async fn open(dir: &Path, clock: &Arc<RuntimeClock>, machines: &Arc<Simulated>) -> Caller {
    sleep(1).await;
    let cloud = LocalCloud::open(dir, Config::default(), clock.clone(), machines.clone()).unwrap();
    cloud.wake().await;
    Caller::of(cloud, clock.clone(), machines.clone())
}

#[tokio::test(start_paused = true)]
async fn a_job_survives_its_server_and_not_its_machine() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(RuntimeClock::starting_at(START.parse().unwrap()));
    let alive = Arc::new(machines());
    let first = open(dir.path(), &clock, &alive).await;
    ready(&first).await;
    let job = submit(&first, "takes 60", json!({})).await.unwrap();
    let again = submit(&first, "takes 60", json!({ "spec": { "RestartPolicy": "OnFailure" } })).await.unwrap();
    let stopped = submit(&first, "takes 60", json!({})).await.unwrap();
    sleep(10_000).await;
    assert_eq!(logs(&first, &job, "master-0", &[]).await, ["rank 0", "takes 60"]);
    stop(&first, &stopped).await.unwrap();
    drop(first);

    // The machines went on: so does the job, and nothing is logged twice.
    let second = open(dir.path(), &clock, &alive).await;
    sleep(1000).await;
    assert_eq!([status(&second, &job).await, status(&second, &stopped).await], ["Running", "Stopped"]);
    assert_eq!(logs(&second, &job, "master-0", &[]).await, ["rank 0", "takes 60"]);
    assert_eq!(alive.alive().len(), 2);
    drop(second);

    // They are gone: whoever may not be started again has failed.
    let third = open(dir.path(), &clock, &Arc::new(machines())).await;
    sleep(1000).await;
    let failed = get(&third, &job).await;
    assert_eq!((text(&failed, "/Status"), text(&failed, "/ReasonCode")), ("Failed".to_owned(), "PodEvicted".to_owned()));
    assert_eq!(failed["Pods"][0]["SubStatus"], "Evicted");
    assert_eq!(status(&third, &again).await, "Running");
    sleep(70_000).await;
    let done = get(&third, &again).await;
    assert_eq!((text(&done, "/Status"), text(&done, "/RestartTimes")), ("Succeeded".to_owned(), "1/3".to_owned()));
    assert_eq!(done["Pods"][0]["HistoryPods"][0]["SubStatus"], "Evicted");
    assert!(third.cloud.machine_ids().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_closes_takes_its_machines_for_halted_and_not_for_lost() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(RuntimeClock::starting_at(START.parse().unwrap()));
    let before = Arc::new(machines());
    let first = open(dir.path(), &clock, &before).await;
    ready(&first).await;
    let image = "registry.example.com/none:1";
    let waits = submit(&first, "true", json!({ "spec": { "Image": image } })).await.unwrap();
    let job = submit(&first, "exit 1", json!({ "spec": { "RestartPolicy": "OnFailure" } })).await.unwrap();
    sleep(700).await;
    first.cloud.close();
    sleep(10_000).await;
    // Its end is not written down any more, and it is not started again.
    assert_eq!(status(&first, &job).await, "Running");
    drop(first);
    let second = open(dir.path(), &clock, &Arc::new(machines())).await;
    sleep(60_000).await;
    let failed = get(&second, &job).await;
    assert_eq!((text(&failed, "/Status"), text(&failed, "/RestartTimes")), ("Failed".to_owned(), "3/3".to_owned()));
    assert_eq!(status(&second, &waits).await, "EnvPreparing");
}
