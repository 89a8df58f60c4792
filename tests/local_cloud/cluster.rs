//! Clusters over simulated machines: what they make, what they cost, and what becomes of jobs, with the clock standing
//! still but for what is awaited.

use std::time::Duration;

use aliform::local_cloud::LocalCloud;
use aliform::local_cloud::config::{AccessKey, Config, Stock, StockRule};
use aliform::local_cloud::machines::simulated::{Behaviour, Simulated};
use aliform::local_cloud::wire::{Peer, Request};
use aliform::model::clock::RuntimeClock;
use aliform::model::secret::Secret;
use http_body_util::BodyExt;
use serde_json::{Value as Json, json};
use std::sync::Arc;

use crate::caller::{Caller, START, TYPE, code, sleep, text};
use crate::container_service::{call, cluster, node_pool, pool, request, task, task_done};

/// A request to a cluster's API in the name of a user.
async fn ask(caller: &Caller, user: &str, id: &str, method: &str, path: &str, body: Json) -> (u16, Json) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let organizations = vec!["system:users".to_owned(), format!("aliform:cluster:{id}")];
    let request = Request {
        method: method.parse().unwrap(),
        host: "kubernetes.localhost".to_owned(),
        path: format!("/_kubernetes/{id}{path}"),
        query: query.to_owned(),
        headers: vec![("content-type".to_owned(), kind.to_owned())],
        body: if body.is_null() { bytes::Bytes::new() } else { body.to_string().into() },
        peer: Some(Peer { common_name: user.to_owned(), organizations }),
    };
    let response = caller.cloud.kubernetes(request).await;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into_owned().into()))
}

const ROOT: &str = "1000000000000001";
const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";
const PODS: &str = "/api/v1/namespaces/default/pods";

async fn get(caller: &Caller, id: &str, path: &str) -> Json {
    ask(caller, ROOT, id, "GET", path, Json::Null).await.1
}

fn job(name: &str, spec: Json) -> Json {
    let container = json!({ "name": "main", "image": "busybox", "command": ["work"] });
    let mut job = json!({ "metadata": { "name": name }, "spec": { "template": { "spec": { "restartPolicy": "Never", "containers": [container] } } } });
    for (field, value) in spec.as_object().unwrap() {
        job["spec"][field] = value.clone();
    }
    job
}

/// Creates a job and waits until it is closed; answers it.
async fn run(caller: &Caller, id: &str, name: &str, spec: Json) -> Json {
    let (status, made) = ask(caller, ROOT, id, "POST", JOBS, job(name, spec)).await;
    assert_eq!(status, 201, "{made}");
    closed(caller, id, name).await
}

async fn closed(caller: &Caller, id: &str, name: &str) -> Json {
    for _ in 0..1000 {
        let job = get(caller, id, &format!("{JOBS}/{name}")).await;
        if reason(&job, "Complete").or(reason(&job, "Failed")).is_some() {
            return job;
        }
        sleep(500).await;
    }
    panic!("{}", get(caller, id, &format!("{JOBS}/{name}")).await);
}

fn reason(job: &Json, kind: &str) -> Option<String> {
    let conditions = job["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == kind && condition["status"] == "True")?;
    Some(text(found, "/reason"))
}

/// Machines whose commands take a second; a job's name says how they end.
fn machines() -> Simulated {
    Simulated::with(|machine, _| Behaviour {
        takes: Duration::from_secs(if machine.hostname.starts_with("slow") { 3600 } else { 1 }),
        output: b"done\n".to_vec(),
        exit_code: i32::from(machine.hostname.starts_with("fails")),
    })
}

fn with_ann() -> Config {
    let mut config = Config::default();
    config.keys.push(AccessKey { id: "ann".to_owned(), secret: Secret::new("ann"), user: Some("ann".to_owned()) });
    config
}

fn kinds(caller: &Caller) -> Vec<&'static str> {
    caller.cloud.resources().iter().map(|row| row.kind).collect()
}

#[tokio::test(start_paused = true)]
async fn jobs_end_as_their_pods_do() {
    let caller = Caller::with(with_ann(), machines());
    let network = caller.network().await;
    let id = cluster(&caller, &network, "one").await;
    node_pool(&caller, &network, &id, "workers", 2).await;

    let done = run(&caller, &id, "good", json!({ "completions": 3, "parallelism": 2 })).await;
    assert_eq!((reason(&done, "Complete").as_deref(), &done["status"]["succeeded"]), (Some("CompletionsReached"), &json!(3)));
    let pods = get(&caller, &id, &format!("{PODS}?labelSelector=job-name%3Dgood")).await;
    assert_eq!(pods["items"].as_array().unwrap().len(), 3);
    let name = text(&pods, "/items/0/metadata/name");
    assert_eq!(get(&caller, &id, &format!("{PODS}/{name}/log")).await, "done\n");

    let indexed = run(&caller, &id, "indexed", json!({ "completions": 4, "parallelism": 4, "completionMode": "Indexed" })).await;
    assert_eq!(indexed["status"]["completedIndexes"], "0-3");

    let before = caller.now();
    let failed = run(&caller, &id, "fails", json!({ "backoffLimit": 2 })).await;
    assert_eq!((reason(&failed, "Failed").as_deref(), &failed["status"]["failed"]), (Some("BackoffLimitExceeded"), &json!(3)));
    // Two pauses, of one second and of two, besides the three runs.
    assert!(caller.now().duration_since(before).as_secs() >= 6);

    let late = run(&caller, &id, "slow", json!({ "activeDeadlineSeconds": 20 })).await;
    assert_eq!(reason(&late, "Failed").as_deref(), Some("DeadlineExceeded"));
    assert!(late["status"]["active"].is_null());

    // Without a word about its pods, they stay when their job goes.
    let (status, _) = ask(&caller, ROOT, &id, "DELETE", &format!("{JOBS}/good"), Json::Null).await;
    assert_eq!(status, 200);
    sleep(1000).await;
    assert_eq!(get(&caller, &id, &format!("{PODS}?labelSelector=job-name%3Dgood")).await["items"].as_array().unwrap().len(), 3);
    ask(&caller, ROOT, &id, "DELETE", &format!("{JOBS}/indexed?propagationPolicy=Background"), Json::Null).await;
    sleep(1000).await;
    assert!(get(&caller, &id, &format!("{PODS}?labelSelector=job-name%3Dindexed")).await["items"].as_array().unwrap().is_empty());
    assert!(caller.machines.alive().iter().all(|id| !id.starts_with("pod-")), "{:?}", caller.machines.alive());
}

#[tokio::test(start_paused = true)]
async fn a_container_that_fails_again_and_again_is_started_after_longer_and_longer_pauses() {
    let caller = Caller::with(Config::default(), machines());
    let network = caller.network().await;
    let id = cluster(&caller, &network, "one").await;
    node_pool(&caller, &network, &id, "workers", 1).await;
    let pod = |name: &str, container: Json| json!({ "metadata": { "name": name }, "spec": { "containers": [container] } });
    let failing = json!({ "name": "main", "image": "busybox", "command": ["work"] });
    assert_eq!(ask(&caller, ROOT, &id, "POST", PODS, pod("fails", failing)).await.0, 201);
    let mut seen = Vec::new();
    while seen.last().map(String::as_str) != Some("3 CrashLoopBackOff") {
        let status = get(&caller, &id, &format!("{PODS}/fails")).await["status"]["containerStatuses"][0].clone();
        if let Some(reason) = status["state"]["waiting"]["reason"].as_str() {
            let line = format!("{} {reason}", status["restartCount"]);
            if seen.last() != Some(&line) {
                seen.push(line);
            }
        }
        sleep(100).await;
    }
    assert_eq!(seen, ["0 ContainerCreating", "1 CrashLoopBackOff", "2 CrashLoopBackOff", "3 CrashLoopBackOff"]);
    assert_eq!(get(&caller, &id, &format!("{PODS}/fails/log?previous=true")).await, "done\n");

    // What only an image knows can't be run here, and what is missing is waited for.
    let unknown = json!({ "name": "main", "image": "nginx" });
    ask(&caller, ROOT, &id, "POST", PODS, pod("unknown", unknown)).await;
    let from = json!([{ "configMapRef": { "name": "later" } }]);
    let early = json!({ "name": "main", "image": "busybox", "command": ["work"], "envFrom": from });
    ask(&caller, ROOT, &id, "POST", PODS, pod("slow", early)).await;
    sleep(3000).await;
    let reason = async |name: &str| get(&caller, &id, &format!("{PODS}/{name}")).await["status"]["containerStatuses"][0]["state"].clone();
    assert_eq!(reason("unknown").await["waiting"]["reason"], "CreateContainerError");
    assert_eq!(reason("slow").await["waiting"]["reason"], "CreateContainerConfigError");
    let map = json!({ "metadata": { "name": "later" }, "data": { "A": "1" } });
    assert_eq!(ask(&caller, ROOT, &id, "POST", "/api/v1/namespaces/default/configmaps", map).await.0, 201);
    sleep(60_000).await;
    assert!(reason("slow").await["running"].is_object(), "{}", reason("slow").await);
}

#[tokio::test(start_paused = true)]
async fn somebody_of_the_account_may_do_what_roles_say() {
    let caller = Caller::with(with_ann(), machines());
    let network = caller.network().await;
    let id = cluster(&caller, &network, "one").await;
    let (status, refused) = ask(&caller, "ann", &id, "GET", PODS, Json::Null).await;
    assert_eq!((status, text(&refused, "/reason").as_str()), (403, "Forbidden"));
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let rules = json!([{ "apiGroups": [""], "resources": ["pods"], "verbs": ["list"] }, { "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"], "verbs": ["*"] }]);
    ask(&caller, ROOT, &id, "POST", &format!("{rbac}/roles"), json!({ "metadata": { "name": "lister" }, "rules": rules })).await;
    let bind = |role: &str, kind: &str| {
        json!({ "metadata": { "name": role }, "roleRef": { "kind": kind, "name": role, "apiGroup": "rbac.authorization.k8s.io" },
            "subjects": [{ "kind": "User", "name": "ann" }] })
    };
    assert_eq!(ask(&caller, ROOT, &id, "POST", &format!("{rbac}/rolebindings"), bind("lister", "Role")).await.0, 201);
    assert_eq!(ask(&caller, "ann", &id, "GET", PODS, Json::Null).await.0, 200);
    assert_eq!(ask(&caller, "ann", &id, "GET", "/api/v1/pods", Json::Null).await.0, 403);
    // She may write bindings, and still gives nobody more than she has.
    let (status, refused) = ask(&caller, "ann", &id, "POST", &format!("{rbac}/rolebindings"), bind("cluster-admin", "ClusterRole")).await;
    assert_eq!(status, 403, "{refused}");
    // Whoever makes a cluster rules it.
    let made = call(&caller.with_key("ann", "ann"), "POST", "/clusters", request(&network, "two", "172.31.0.0/16")).await.unwrap();
    task_done(&caller, &text(&made, "/task_id")).await;
    sleep(100).await;
    assert_eq!(ask(&caller, "ann", &text(&made, "/cluster_id"), "GET", PODS, Json::Null).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_costs_while_it_is_there_and_leaves_nothing() {
    let caller = Caller::with(Config::default(), machines());
    let network = caller.network().await;
    let mut wanted = request(&network, "one", "172.30.0.0/16");
    wanted["cluster_spec"] = "ack.pro.small".into();
    wanted["nodepools"] = json!([pool(&network, "first", 1)]);
    let made = call(&caller, "POST", "/clusters", wanted).await.unwrap();
    let id = text(&made, "/cluster_id");
    assert_eq!(code(call(&caller, "POST", &format!("/clusters/{id}/nodepools"), pool(&network, "x", 1)).await), "ErrorClusterState");
    task_done(&caller, &text(&made, "/task_id")).await;
    sleep(3000).await;
    assert_eq!(call(&caller, "GET", &format!("/clusters/{id}"), json!({})).await.unwrap()["size"], 1);
    let fees: Vec<(String, String)> =
        caller.cloud.bills().into_iter().filter(|bill| bill.resource == id).map(|bill| (bill.part, bill.hourly.to_string())).collect();
    let shown: Vec<(&str, &str)> = fees.iter().map(|(part, hourly)| (part.as_str(), hourly.as_str())).collect();
    assert_eq!(shown, [("loadBalancer", "0.147"), ("clusterManagement", "0.64")]);
    run(&caller, &id, "good", json!({})).await;
    ask(&caller, ROOT, &id, "POST", JOBS, job("slow", json!({}))).await;
    sleep(1000).await;
    assert!(kinds(&caller).contains(&"cluster") && kinds(&caller).contains(&"node_pool"));
    let gone = call(&caller, "DELETE", &format!("/clusters/{id}"), json!({})).await.unwrap();
    task_done(&caller, &text(&gone, "/task_id")).await;
    assert_eq!(code(call(&caller, "GET", &format!("/clusters/{id}"), json!({})).await), "ErrorClusterNotFound");
    // The network was there before, and stays.
    assert_eq!(kinds(&caller), ["vpc", "vswitch", "security_group"]);
    assert!(caller.machines.alive().is_empty(), "{:?}", caller.machines.alive());
    assert!(caller.cloud.bills().iter().all(|bill| bill.to.is_some()));
}

#[tokio::test(start_paused = true)]
async fn nodes_that_can_t_be_had_fail_the_task_and_not_the_call() {
    let mut config = Config::default();
    config.stock.push(StockRule { place: None, instance_type: Some(TYPE.to_owned()), stock: Stock::Limited(1) });
    let caller = Caller::with(config, machines());
    let network = caller.network().await;
    let id = cluster(&caller, &network, "one").await;
    let made = call(&caller, "POST", &format!("/clusters/{id}/nodepools"), pool(&network, "workers", 2)).await.unwrap();
    let failed = task(&caller, &text(&made, "/task_id")).await;
    assert_eq!((text(&failed, "/state").as_str(), text(&failed, "/error/code").as_str()), ("fail", "OperationDenied.NoStock"));
    let shown = call(&caller, "GET", &format!("/clusters/{id}/nodepools/{}", text(&made, "/nodepool_id")), json!({})).await.unwrap();
    assert_eq!((&shown["status"]["total_nodes"], &shown["scaling_group"]["desired_size"]), (&json!(1), &json!(2)));
}

#[tokio::test(start_paused = true)]
async fn a_released_node_takes_its_pods_along_and_jobs_make_new_ones() {
    let caller = Caller::with(Config::default(), machines());
    let network = caller.network().await;
    let id = cluster(&caller, &network, "one").await;
    node_pool(&caller, &network, &id, "workers", 2).await;
    ask(&caller, ROOT, &id, "POST", JOBS, job("slow", json!({}))).await;
    sleep(2000).await;
    let pods = get(&caller, &id, PODS).await;
    let (pod, node) = (text(&pods, "/items/0/metadata/name"), text(&pods, "/items/0/spec/nodeName"));
    let nodes = call(&caller, "GET", &format!("/clusters/{id}/nodes?nodeNames={node}"), json!({})).await.unwrap();
    let instance = text(&nodes, "/nodes/0/instance_id");
    caller.ecs("DeleteInstance", &[("InstanceId", &instance), ("Force", "true")]).await.unwrap();
    sleep(20_000).await;
    let pods = get(&caller, &id, &format!("{PODS}?fieldSelector=status.phase%3DRunning")).await;
    assert_ne!(text(&pods, "/items/0/spec/nodeName"), node, "{pods}");
    assert_ne!(text(&pods, "/items/0/metadata/name"), pod);
    assert_eq!(get(&caller, &id, &format!("{JOBS}/slow")).await["status"]["failed"], 1);
    assert_eq!(get(&caller, &id, "/api/v1/nodes").await["items"].as_array().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_watch_tells_what_is_selected_and_how_far_it_is() {
    let caller = Caller::with(Config::default(), machines());
    let network = caller.network().await;
    let id = cluster(&caller, &network, "one").await;
    let maps = "/api/v1/namespaces/default/configmaps";
    let map = |name: &str, team: &str| json!({ "metadata": { "name": name, "labels": { "team": team } } });
    let version = text(&get(&caller, &id, maps).await, "/metadata/resourceVersion");
    ask(&caller, ROOT, &id, "POST", maps, map("one", "a")).await;
    ask(&caller, ROOT, &id, "POST", maps, map("two", "b")).await;
    ask(&caller, ROOT, &id, "PATCH", &format!("{maps}/two"), json!({ "metadata": { "labels": { "team": "a" } } })).await;
    ask(&caller, ROOT, &id, "PATCH", &format!("{maps}/one"), json!({ "metadata": { "labels": null } })).await;
    let path = format!("{maps}?watch=true&labelSelector=team%3Da&timeoutSeconds=70&allowWatchBookmarks=true&resourceVersion={version}");
    let told = ask(&caller, ROOT, &id, "GET", &path, Json::Null).await.1;
    let lines: Vec<Json> = told.as_str().unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seen: Vec<String> = lines
        .iter()
        .map(|line| format!("{} {}", text(line, "/type"), line["object"]["metadata"]["name"].as_str().unwrap_or("-")))
        .collect();
    assert_eq!(seen, ["ADDED one", "ADDED two", "DELETED one", "BOOKMARK -"]);
    let last = get(&caller, &id, maps).await;
    assert_eq!(lines[3]["object"]["metadata"]["resourceVersion"], last["metadata"]["resourceVersion"]);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_outlives_its_server() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(RuntimeClock::starting_at(START.parse().unwrap()));
    let open = |machines: Arc<Simulated>| {
        let cloud = LocalCloud::open(directory.path(), Config::default(), clock.clone(), machines.clone()).unwrap();
        Caller::of(cloud, clock.clone(), machines)
    };
    let caller = open(Arc::new(machines()));
    let network = caller.network().await;
    let id = cluster(&caller, &network, "one").await;
    node_pool(&caller, &network, &id, "workers", 1).await;
    run(&caller, &id, "good", json!({})).await;
    let pod = text(&get(&caller, &id, PODS).await, "/items/0/metadata/name");
    ask(&caller, ROOT, &id, "POST", JOBS, job("slow", json!({}))).await;
    sleep(2000).await;
    drop(caller);
    sleep(100).await;
    // Its machines are gone with it.
    let caller = open(Arc::new(machines()));
    assert_eq!(get(&caller, &id, &format!("{PODS}/{pod}/log")).await, "done\n");
    assert_eq!(reason(&get(&caller, &id, &format!("{JOBS}/good")).await, "Complete").as_deref(), Some("CompletionsReached"));
    // What changed before is in no history any more.
    assert_eq!(ask(&caller, ROOT, &id, "GET", &format!("{PODS}?watch=true&resourceVersion=1"), Json::Null).await.0, 410);
    sleep(20_000).await;
    let job = get(&caller, &id, &format!("{JOBS}/slow")).await;
    assert_eq!((&job["status"]["failed"], &job["status"]["active"]), (&json!(1), &json!(1)), "{job}");
    let gone = call(&caller, "DELETE", &format!("/clusters/{id}"), json!({})).await.unwrap();
    task_done(&caller, &text(&gone, "/task_id")).await;
    assert!(caller.machines.alive().is_empty());
}
