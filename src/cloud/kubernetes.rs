//! The API of a cluster itself. It does not go through [`Cloud`]: it is no call of the cloud but another server, with an
//! address and an authority of its own, client certificates instead of signatures, and answers that flow for hours. Only
//! the way in is the cloud's: a kubeconfig, asked for anew each time, for as long as it is needed, and kept nowhere.

use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::AsyncBufRead;
use jiff::Timestamp;
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod, Secret};
use kube::api::{Api, DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;

use super::api::ask;
use super::call::Cloud;
use super::cs::DescribeClusterUserKubeconfig;
use super::error::ApiError;

/// The shortest and the longest life of a kubeconfig, in minutes. Source: the reference of DescribeClusterUserKubeconfig.
const LIFE: (u32, u32) = (15, 4320);
/// Pauses before a call is made again that got no answer, or a server's own failure for one. Every call here may be.
const PAUSES: [Duration; 4] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// Lines as they come.
pub type Lines = Pin<Box<dyn AsyncBufRead + Send>>;

/// A question to a cluster that brought no usable answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KubernetesError {
    /// The cloud gave no way in.
    #[error(transparent)]
    Cloud(#[from] ApiError),
    /// The way in can't be used.
    #[error("the kubeconfig of cluster `{cluster}` can't be used: {reason}")]
    Kubeconfig {
        /// The cluster.
        cluster: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The cluster said no.
    #[error("cluster `{cluster}` refused: {reason}: {message} (HTTP {status})")]
    Refused {
        /// The cluster.
        cluster: String,
        /// The HTTP status.
        status: u16,
        /// `Forbidden`, `NotFound`, ...
        reason: String,
        /// The cluster's message, verbatim.
        message: String,
    },
    /// The cluster did not answer.
    #[error("the API of cluster `{cluster}` does not answer: {reason}; has it a public endpoint, and may you reach it?")]
    Unreachable {
        /// The cluster.
        cluster: String,
        /// What the transport said.
        reason: String,
    },
}

impl KubernetesError {
    /// Whether the same may succeed a moment later.
    pub fn may_pass(&self) -> bool {
        match self {
            KubernetesError::Cloud(error) => error.is_server_fault() || error.is_throttling() || matches!(error, ApiError::Lost { .. }),
            KubernetesError::Refused { status, .. } => *status == 429 || *status >= 500,
            KubernetesError::Unreachable { .. } => true,
            KubernetesError::Kubeconfig { .. } => false,
        }
    }

    /// Whether the cluster refused with that status.
    pub fn is(&self, wanted: u16) -> bool {
        matches!(self, KubernetesError::Refused { status, .. } if *status == wanted)
    }
}

/// What a run of a job needs of a cluster.
#[async_trait]
pub trait Kubernetes: Send + Sync {
    /// Whether we may do that to something of a kind in a namespace: `create`, `batch`, `jobs`.
    async fn may(&self, namespace: &str, verb: &str, group: &str, resource: &str) -> Result<bool, KubernetesError>;
    /// Writes a Secret, over one that is there.
    async fn put_secret(&self, namespace: &str, name: &str, secret: &Secret) -> Result<(), KubernetesError>;
    /// Makes a Job. One of that name that is there already is the one: nothing happens.
    async fn create_job(&self, namespace: &str, job: &Job) -> Result<(), KubernetesError>;
    /// The Job, if it is there.
    async fn job(&self, namespace: &str, name: &str) -> Result<Option<Job>, KubernetesError>;
    /// The pods of a Job.
    async fn pods(&self, namespace: &str, job: &str) -> Result<Vec<Pod>, KubernetesError>;
    /// What happened to something of that name.
    async fn events(&self, namespace: &str, name: &str) -> Result<Vec<Event>, KubernetesError>;
    /// What a pod writes, each line behind its time: what there is by now, or with `follow` as it comes until the pod ends.
    async fn log(&self, namespace: &str, pod: &str, since: Option<Timestamp>, follow: bool) -> Result<Lines, KubernetesError>;
    /// Deletes a Job with its pods. One that is gone is no error.
    async fn delete_job(&self, namespace: &str, name: &str) -> Result<(), KubernetesError>;
    /// Deletes a Secret. One that is gone is no error.
    async fn delete_secret(&self, namespace: &str, name: &str) -> Result<(), KubernetesError>;
}

/// Goes into a cluster, for as long as that.
pub async fn connect(cloud: &dyn Cloud, region: &str, cluster: &str, life: Duration) -> Result<Box<dyn Kubernetes>, KubernetesError> {
    let minutes = u32::try_from(life.as_secs().div_ceil(60)).unwrap_or(u32::MAX).clamp(LIFE.0, LIFE.1);
    let question =
        DescribeClusterUserKubeconfig { cluster_id: cluster.to_owned(), private_ip_address: false, temporary_duration_minutes: minutes };
    let answer = ask(cloud, region, &question).await?;
    // Of the text nothing is repeated: there is a key in it.
    let unusable = |reason: String| KubernetesError::Kubeconfig { cluster: cluster.to_owned(), reason };
    let kubeconfig = Kubeconfig::from_yaml(&answer.config).map_err(|_| unusable("it is no kubeconfig".to_owned()))?;
    // Whoever installed a provider first has the same need; a second one is refused and not missed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| unusable(error.to_string()))?;
    // The address is the cluster's own; what proxies the environment names are for the cloud.
    config.proxy_url = None;
    let client = Client::try_from(config).map_err(|error| unusable(error.to_string()))?;
    Ok(Box::new(Cluster { id: cluster.to_owned(), client }))
}

/// A cluster over the network.
struct Cluster {
    id: String,
    client: Client,
}

impl Cluster {
    fn jobs(&self, namespace: &str) -> Api<Job> {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn secrets(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn pods_of(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn error(&self, error: kube::Error) -> KubernetesError {
        let cluster = self.id.clone();
        match error {
            kube::Error::Api(status) => {
                let kube::core::Status { code, reason, message, .. } = *status;
                KubernetesError::Refused { cluster, status: code, reason, message }
            }
            other => {
                let mut reason = other.to_string();
                let mut source = std::error::Error::source(&other);
                while let Some(deeper) = source {
                    let text = deeper.to_string();
                    if !reason.contains(&text) {
                        reason += &format!(": {text}");
                    }
                    source = deeper.source();
                }
                KubernetesError::Unreachable { cluster, reason }
            }
        }
    }

    /// Makes a call as often as it may pass.
    async fn patiently<T, F>(&self, call: impl Fn() -> F + Send + Sync) -> Result<T, KubernetesError>
    where
        F: Future<Output = Result<T, kube::Error>> + Send,
    {
        for pause in PAUSES {
            match call().await.map_err(|error| self.error(error)) {
                Err(error) if error.may_pass() => tokio::time::sleep(pause).await,
                other => return other,
            }
        }
        call().await.map_err(|error| self.error(error))
    }
}

/// What is gone already need not be deleted.
fn gone(result: Result<(), KubernetesError>) -> Result<(), KubernetesError> {
    match result {
        Err(error) if error.is(404) => Ok(()),
        other => other,
    }
}

#[async_trait]
impl Kubernetes for Cluster {
    async fn may(&self, namespace: &str, verb: &str, group: &str, resource: &str) -> Result<bool, KubernetesError> {
        let asked = json!({ "namespace": namespace, "verb": verb, "group": group, "resource": resource });
        let review: SelfSubjectAccessReview = serde_json::from_value(json!({ "spec": { "resourceAttributes": asked } }))
            .map_err(|error| KubernetesError::Kubeconfig { cluster: self.id.clone(), reason: error.to_string() })?;
        let reviews: Api<SelfSubjectAccessReview> = Api::all(self.client.clone());
        let parameters = PostParams::default();
        let answer = self.patiently(|| reviews.create(&parameters, &review)).await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }

    async fn put_secret(&self, namespace: &str, name: &str, secret: &Secret) -> Result<(), KubernetesError> {
        let (secrets, parameters) = (self.secrets(namespace), PostParams::default());
        match self.patiently(|| secrets.create(&parameters, secret)).await {
            Err(error) if error.is(409) => {
                let (patch, parameters) = (Patch::Merge(secret), PatchParams::default());
                self.patiently(|| secrets.patch(name, &parameters, &patch)).await.map(drop)
            }
            other => other.map(drop),
        }
    }

    async fn create_job(&self, namespace: &str, job: &Job) -> Result<(), KubernetesError> {
        let (jobs, parameters) = (self.jobs(namespace), PostParams::default());
        match self.patiently(|| jobs.create(&parameters, job)).await {
            Err(error) if error.is(409) => Ok(()),
            other => other.map(drop),
        }
    }

    async fn job(&self, namespace: &str, name: &str) -> Result<Option<Job>, KubernetesError> {
        let jobs = self.jobs(namespace);
        self.patiently(|| jobs.get_opt(name)).await
    }

    async fn pods(&self, namespace: &str, job: &str) -> Result<Vec<Pod>, KubernetesError> {
        let (pods, wanted) = (self.pods_of(namespace), ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}")));
        Ok(self.patiently(|| pods.list(&wanted)).await?.items)
    }

    async fn events(&self, namespace: &str, name: &str) -> Result<Vec<Event>, KubernetesError> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let wanted = ListParams::default().fields(&format!("involvedObject.name={name}"));
        Ok(self.patiently(|| events.list(&wanted)).await?.items)
    }

    async fn log(&self, namespace: &str, pod: &str, since: Option<Timestamp>, follow: bool) -> Result<Lines, KubernetesError> {
        let wish = LogParams { follow, timestamps: true, since_time: since, ..LogParams::default() };
        let lines = self.pods_of(namespace).log_stream(pod, &wish).await.map_err(|error| self.error(error))?;
        Ok(Box::pin(lines))
    }

    async fn delete_job(&self, namespace: &str, name: &str) -> Result<(), KubernetesError> {
        let (jobs, parameters) = (self.jobs(namespace), DeleteParams::background());
        gone(self.patiently(|| jobs.delete(name, &parameters)).await.map(drop))
    }

    async fn delete_secret(&self, namespace: &str, name: &str) -> Result<(), KubernetesError> {
        let (secrets, parameters) = (self.secrets(namespace), DeleteParams::default());
        gone(self.patiently(|| secrets.delete(name, &parameters)).await.map(drop))
    }
}
