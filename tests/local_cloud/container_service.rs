//! Calls of Container Service, signed: clusters and node pools that are ready.

use std::sync::atomic::{AtomicU64, Ordering};

use aliform::local_cloud::wire::Request;
use serde_json::{Value as Json, json};

use crate::caller::{Caller, Network, Refusal, TYPE, hmac, sha256, sleep, text};

static NONCE: AtomicU64 = AtomicU64::new(0);

/// A signed ROA call.
pub(crate) async fn call(caller: &Caller, method: &str, path: &str, body: Json) -> Result<Json, Refusal> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let body = if method == "GET" || method == "DELETE" { Vec::new() } else { body.to_string().into_bytes() };
    let mut headers: Vec<(String, String)> = [
        ("host", "127.0.0.1:8080".to_owned()),
        ("x-acs-content-sha256", sha256(&body)),
        ("x-acs-date", caller.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        ("x-acs-signature-nonce", format!("cs-{}-{}", caller.now().as_nanosecond(), NONCE.fetch_add(1, Ordering::Relaxed))),
        ("x-acs-version", "2015-12-15".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    let names = headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{}", sha256(&body));
    let string_to_sign = format!("ACS3-HMAC-SHA256\n{}", sha256(canonical.as_bytes()));
    let signature = hex::encode(hmac(caller.key.1.as_bytes(), string_to_sign.as_bytes()));
    let authorization = format!("ACS3-HMAC-SHA256 Credential={},SignedHeaders={names},Signature={signature}", caller.key.0);
    headers.push(("authorization".to_owned(), authorization));
    let request = Request {
        method: method.parse().unwrap(),
        host: "127.0.0.1:8080".to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body: body.into(),
        peer: None,
    };
    let response = caller.cloud.handle(request).await;
    let answer: Json = serde_json::from_slice(&response.body).unwrap();
    if response.status < 400 {
        return Ok(answer);
    }
    Err(Refusal { status: response.status, code: text(&answer, "/code"), message: text(&answer, "/message") })
}

/// What a small cluster is asked for by.
pub(crate) fn request(network: &Network, name: &str, pods: &str) -> Json {
    json!({
        "name": name, "region_id": "cn-hangzhou", "vpcid": network.vpc, "vswitch_ids": [network.vswitch], "container_cidr": pods,
        "service_cidr": "172.29.0.0/20",
    })
}

/// A cluster that runs.
pub(crate) async fn cluster(caller: &Caller, network: &Network, name: &str) -> String {
    let pods = if name == "two" { "172.31.0.0/16" } else { "172.30.0.0/16" };
    let made = call(caller, "POST", "/clusters", request(network, name, pods)).await.unwrap();
    task_done(caller, &text(&made, "/task_id")).await;
    text(&made, "/cluster_id")
}

/// The parts of a pool of so many nodes.
pub(crate) fn pool(network: &Network, name: &str, size: usize) -> Json {
    json!({
        "nodepool_info": { "name": name },
        "scaling_group": { "instance_types": [TYPE], "vswitch_ids": [network.vswitch], "desired_size": size, "system_disk_size": 40 },
    })
}

/// A pool whose nodes are ready.
pub(crate) async fn node_pool(caller: &Caller, network: &Network, cluster: &str, name: &str, size: usize) -> String {
    let made = call(caller, "POST", &format!("/clusters/{cluster}/nodepools"), pool(network, name, size)).await.unwrap();
    task_done(caller, &text(&made, "/task_id")).await;
    text(&made, "/nodepool_id")
}

/// How a task ended.
pub(crate) async fn task(caller: &Caller, id: &str) -> Json {
    for _ in 0..600 {
        let task = call(caller, "GET", &format!("/tasks/{id}"), json!({})).await.unwrap();
        if task["state"] != "running" {
            return task;
        }
        sleep(50).await;
    }
    panic!("task {id} does not end");
}

pub(crate) async fn task_done(caller: &Caller, id: &str) {
    let task = task(caller, id).await;
    assert_eq!(task["state"], "success", "{task}");
}
