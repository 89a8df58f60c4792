//! A cluster of the local cloud as the `kube` client sees it: over TLS, with the kubeconfig's certificate, pods run for
//! real.

#![cfg(target_os = "linux")]

#[path = "local_cloud/caller.rs"]
#[expect(dead_code, reason = "shared with the tests of the local cloud, which use all of it")]
mod caller;
#[path = "local_cloud/container_service.rs"]
mod container_service;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aliform::local_cloud::LocalCloud;
use aliform::local_cloud::config::{AccessKey, Config};
use aliform::local_cloud::machines::Machines;
use aliform::local_cloud::machines::processes::Processes;
use aliform::local_cloud::serve::{Listeners, serve};
use aliform::model::clock::{Clock, RuntimeClock, SystemClock};
use aliform::model::secret::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use caller::Caller;
use container_service::{call, cluster, node_pool};
use futures_util::{AsyncBufReadExt, TryStreamExt};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{Api, DeleteParams, ListParams, LogParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config as ClientConfig};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// A served cloud whose machines are processes. All of them end with it, also when a test fails.
struct Server {
    caller: Caller,
    machines: PathBuf,
    shutdown: Option<oneshot::Sender<()>>,
    served: Option<tokio::task::JoinHandle<()>>,
    _scratch: TempDir,
}

fn processes(directory: &std::path::Path) -> Processes {
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    Processes::new(directory, PathBuf::from(env!("CARGO_BIN_EXE_aliform")), nobody)
}

impl Server {
    async fn start() -> Server {
        // Two TLS stacks may be linked: say which one counts.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let scratch = tempfile::tempdir().unwrap();
        let machines = scratch.path().join("machines");
        let ann = AccessKey { id: "ann".to_owned(), secret: Secret::new("ann"), user: Some("ann".to_owned()) };
        let mut config = Config::default();
        config.keys.push(ann);
        // Clients check certificates with the time of day.
        let clock = Arc::new(RuntimeClock::starting_at(SystemClock.now()));
        let cloud = LocalCloud::new(config, clock.clone(), Arc::new(processes(&machines)));
        let caller = Caller::of(cloud, clock, Arc::default());
        let bind = async || TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listeners = Listeners::with_tls(&caller.cloud, bind().await, bind().await).unwrap();
        let (shutdown, down) = oneshot::channel();
        let served = tokio::spawn(serve(caller.cloud.clone(), listeners, down));
        Server { caller, machines, shutdown: Some(shutdown), served: Some(served), _scratch: scratch }
    }

    async fn client(&self, caller: &Caller, cluster: &str) -> Client {
        let answer = call(caller, "GET", &format!("/k8s/{cluster}/user_config"), json!({})).await.unwrap();
        let kubeconfig = Kubeconfig::from_yaml(answer["config"].as_str().unwrap()).unwrap();
        let config = ClientConfig::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        Client::try_from(config).unwrap()
    }

    async fn stop(mut self) {
        self.caller.cloud.close();
        drop(self.shutdown.take());
        self.served.take().unwrap().await.unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let machines = self.machines.clone();
        let cleaning = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(processes(&machines).adopt(&[])).unwrap();
        });
        assert!(cleaning.join().is_ok() || std::thread::panicking(), "machines were left behind");
    }
}

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), looking).await.unwrap_or_else(|_| panic!("never: {what}"))
}

fn job(name: &str, image: &str, command: &[&str], backoff_limit: i32) -> Job {
    serde_json::from_value(json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": name },
        "spec": {
            "backoffLimit": backoff_limit,
            "template": { "spec": { "restartPolicy": "Never", "containers": [{ "name": "main", "image": image, "command": command }] } },
        },
    }))
    .unwrap()
}

fn condition(job: &Job, kind: &str) -> Option<String> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let found = conditions.iter().find(|condition| condition.type_ == kind && condition.status == "True")?;
    Some(found.reason.clone().unwrap_or_default())
}

async fn pod_of(pods: &Api<Pod>, job: &str) -> Option<Pod> {
    let wanted = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
    pods.list(&wanted).await.unwrap().items.into_iter().next()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_runs_and_a_bad_image_is_seen() {
    let server = Server::start().await;
    let network = server.caller.network().await;
    let id = cluster(&server.caller, &network, "one").await;
    node_pool(&server.caller, &network, &id, "workers", 1).await;
    let client = server.client(&server.caller, &id).await;
    let jobs: Api<Job> = Api::default_namespaced(client.clone());
    let pods: Api<Pod> = Api::default_namespaced(client.clone());

    let script = "for i in 1 2 3; do echo line $i; sleep 0.2; done";
    jobs.create(&PostParams::default(), &job("good", "bash:5", &["bash", "-c", script], 0)).await.unwrap();
    let pod = until("the pod runs", async || {
        pod_of(&pods, "good").await.filter(|pod| pod.status.as_ref().is_some_and(|status| status.phase.as_deref() != Some("Pending")))
    })
    .await;
    let follow = LogParams { follow: true, ..LogParams::default() };
    let name = pod.metadata.name.unwrap();
    let lines: Vec<String> = pods.log_stream(&name, &follow).await.unwrap().lines().try_collect().await.unwrap();
    assert_eq!(lines, ["line 1", "line 2", "line 3"]);
    let done = until("the job is complete", async || condition(&jobs.get("good").await.unwrap(), "Complete")).await;
    assert_eq!(done, "CompletionsReached");

    jobs.create(&PostParams::default(), &job("bad", "registry.example.com/app:1", &["true"], 0)).await.unwrap();
    let reason = until("the image is missed", async || {
        let status = pod_of(&pods, "bad").await?.status?;
        let waiting = status.container_statuses?.into_iter().next()?.state?.waiting?;
        waiting.reason.filter(|reason| reason == "ImagePullBackOff")
    })
    .await;
    assert_eq!(reason, "ImagePullBackOff");
    let events: Api<Event> = Api::default_namespaced(client);
    let failed = events.list(&ListParams::default().fields("reason=Failed")).await.unwrap();
    assert!(failed.items.iter().any(|event| event.message.as_deref().is_some_and(|text| text.contains("no such host"))));
    for name in ["good", "bad"] {
        jobs.delete(name, &DeleteParams::background()).await.unwrap();
    }
    until("no pod is left", async || pods.list(&ListParams::default()).await.unwrap().items.is_empty().then_some(())).await;
    assert!(std::fs::read_dir(&server.machines).unwrap().flatten().all(|entry| !entry.file_name().to_string_lossy().starts_with("pod-")));

    // Somebody else of the account gets in, and may do nothing that no role says.
    let ann = server.client(&server.caller.with_key("ann", "ann"), &id).await;
    let refused = Api::<Pod>::default_namespaced(ann.clone()).list(&ListParams::default()).await.unwrap_err();
    let kube::Error::Api(status) = refused else { panic!("{refused}") };
    assert_eq!((status.code, status.reason.as_str()), (403, "Forbidden"));
    assert!(status.message.contains("User \"ann\" cannot list resource \"pods\""), "{}", status.message);
    assert!(ann.apiserver_version().await.is_ok());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_opens_its_own_cluster_only() {
    let server = Server::start().await;
    let network = server.caller.network().await;
    let one = cluster(&server.caller, &network, "one").await;
    let two = cluster(&server.caller, &network, "two").await;
    let answer = call(&server.caller, "GET", &format!("/k8s/{one}/user_config"), json!({})).await.unwrap();
    let text = answer["config"].as_str().unwrap().replace(&format!("/_kubernetes/{one}"), &format!("/_kubernetes/{two}"));
    let kubeconfig = Kubeconfig::from_yaml(&text).unwrap();
    let authority = kubeconfig.clusters[0].cluster.as_ref().unwrap().certificate_authority_data.clone().unwrap();
    assert_eq!(STANDARD.decode(authority).unwrap(), server.caller.cloud.certificate_authority().unwrap().into_bytes());
    let config = ClientConfig::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let refused = Client::try_from(config).unwrap().apiserver_version().await.unwrap_err();
    let kube::Error::Api(status) = refused else { panic!("{refused}") };
    assert_eq!(status.code, 401);
    server.stop().await;
}
