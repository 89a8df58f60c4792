//! One run of a job's script in a Kubernetes cluster: a Job that runs once, its log, its exit code, its outputs. It goes on
//! in the cluster when this program ends; whoever looks next finds it by its name. It must never put a secret anywhere but
//! in a Secret of its own, which goes with it.

mod follow;
mod objects;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use self::follow::Follower;
use self::objects::Place;
use super::error::ResourceError;
use super::home::{self, Home, Parcel};
use super::kind::{Artifacts, Context, Ending, ReadContext, ResourceKind, needed};
use super::part::{self, Part};
use super::runs::{self, Runs, Standing, Telling};
use super::secrets::{self, Hiding};
use super::wait::{self, Look};
use crate::cloud::call::Link;
use crate::cloud::kubernetes::{Kubernetes, connect};
use crate::cloud::oss;
use crate::model::address::{Address, Kind};
use crate::model::change::Effect;
use crate::model::event::Event;
use crate::model::secret::{SecretSource, Secrets};
use crate::model::units;
use crate::model::value::Value;

/// How long a link to its files is good for, in seconds: a pod may have to wait for a node.
const BUNDLE_SECONDS: u64 = 3600;
/// How long any link can be good for.
const LONGEST_LINK: u64 = 7 * 86_400;
/// How much longer than its script a Job may live: a node, an image, its files, its outputs.
const SLACK: u64 = 1800;
/// How long the pods of a Job that was deleted may take to end: twice the grace that Kubernetes gives them.
const GRACE_LIMIT: Duration = Duration::from_secs(60);

/// What is wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KubernetesJobSpec {
    /// The job.
    pub job: String,
    /// What tells this run from others: another command, other files, another environment run anew.
    pub digest: String,
    /// The cluster it runs in.
    pub cluster_id: Value<String>,
    /// The namespace it runs in.
    pub namespace: String,
    /// The image of its container.
    pub image: String,
    /// What it asks of a node, in the words of Kubernetes: `cpu`, `memory`.
    pub requests: BTreeMap<String, String>,
    /// The label and the value of the nodes it runs on; any, if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<(String, String)>,
    /// The bucket of its files and outputs.
    pub bucket: Value<String>,
    /// The key of its files.
    pub bundle_key: Value<String>,
    /// How long it may run, in seconds.
    pub limit: u64,
    /// The secrets it is given: name and source, never the value.
    pub secrets: BTreeMap<String, SecretSource>,
    /// What it brings back.
    pub outputs: Vec<String>,
    /// Fetches its files, runs it, sends its outputs.
    pub script: String,
    /// Which of several runs of a job it is, if there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
}

/// What came of it; of one that may still go on, nothing but that it was begun.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KubernetesJobAttributes {
    /// Cluster, namespace and name of the Job, with slashes between.
    pub id: String,
    /// The digest of what ran.
    pub digest: Option<String>,
    /// Its exit code.
    pub exit_code: Option<i64>,
    /// When it was over.
    pub ended_at: Option<String>,
    /// What it brought home.
    #[serde(flatten)]
    pub home: Home,
    /// When it was begun by a program that did not wait for its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_at: Option<String>,
}

/// The kind.
pub struct KubernetesJobKind;

fn begun(id: &str) -> KubernetesJobAttributes {
    KubernetesJobAttributes { id: id.to_owned(), digest: None, exit_code: None, ended_at: None, home: Home::default(), begun_at: None }
}

/// Where its outputs lie until they are fetched.
fn outputs_key(spec: &KubernetesJobSpec) -> String {
    format!("outputs/{}/{}.tar.gz", spec.job, spec.digest)
}

/// For how long the way into the cluster is needed.
fn life(spec: &KubernetesJobSpec) -> Duration {
    Duration::from_secs(spec.limit + SLACK)
}

/// The addresses it fetches its files from and sends its outputs to. Whoever has them may do that, so they are secrets.
async fn links(context: &Context<'_>, spec: &KubernetesJobSpec) -> Result<BTreeMap<String, String>, ResourceError> {
    let bucket = needed(&spec.bucket)?;
    let link = async |method, key: &str, seconds: u64| {
        let seconds = seconds.min(LONGEST_LINK);
        context.cloud.presign(&Link { method, region: context.region, bucket, key, seconds }).await
    };
    let mut links = BTreeMap::new();
    links.insert(objects::BUNDLE.to_owned(), link(http::Method::GET, needed(&spec.bundle_key)?, BUNDLE_SECONDS).await?);
    if !spec.outputs.is_empty() {
        links.insert(objects::OUTPUTS.to_owned(), link(http::Method::PUT, &outputs_key(spec), spec.limit + 2 * SLACK).await?);
    }
    Ok(links)
}

/// Makes the Job, unless it is there: one that an earlier attempt made is the same.
async fn start(context: &Context<'_>, api: &dyn Kubernetes, place: &Place<'_>, spec: &KubernetesJobSpec) -> Result<(), ResourceError> {
    if api.job(place.namespace, place.name).await?.is_some() {
        return Ok(());
    }
    let secrets = secrets::read(context, &spec.secrets)?;
    let secret = objects::secret(context, place, &links(context, spec).await?, &secrets)?;
    api.put_secret(place.namespace, place.name, &secret).await?;
    Ok(api.create_job(place.namespace, &objects::job(context, place, spec, spec.limit + SLACK)?).await?)
}

/// Reads back when the cluster itself ends the Job and when it forgets it. One that nothing would end does not go on.
async fn ends(context: &Context<'_>, api: &dyn Kubernetes, place: &Place<'_>, spec: &KubernetesJobSpec) -> Result<(), ResourceError> {
    let Some(job) = api.job(place.namespace, place.name).await?.and_then(|job| job.spec) else { return Ok(()) };
    let wanted = i64::try_from(spec.limit + SLACK).unwrap_or(i64::MAX);
    if job.active_deadline_seconds.is_none_or(|seconds| seconds > wanted) || job.ttl_seconds_after_finished.is_none() {
        clear(api, place).await?;
        let said = job.active_deadline_seconds.map_or_else(|| "none".to_owned(), |seconds| format!("{seconds} s"));
        return Err(ResourceError::InTheWay(format!(
            "the Job `{}` was to be ended by the cluster after {} s, and the cluster says {said}: it was stopped",
            place.name,
            spec.limit + SLACK
        )));
    }
    let detail = format!("the cluster itself ends it after {} s", spec.limit + SLACK);
    context.events.emit(Event::StepChecked { address: context.address.clone(), check: "end".to_owned(), passed: true, detail });
    Ok(())
}

/// Takes away what is in the cluster.
async fn clear(api: &dyn Kubernetes, place: &Place<'_>) -> Result<(), ResourceError> {
    api.delete_job(place.namespace, place.name).await?;
    Ok(api.delete_secret(place.namespace, place.name).await?)
}

/// Waits until no pod of a Job that was deleted works any more.
async fn ended(context: &Context<'_>, api: &dyn Kubernetes, place: &Place<'_>) -> Result<(), ResourceError> {
    wait::until(context, "the pods of the job to end", GRACE_LIMIT, async || {
        let pods = api.pods(place.namespace, place.name).await?;
        let phases = pods.iter().filter_map(|pod| pod.status.as_ref()?.phase.clone());
        let working = phases.into_iter().find(|phase| !matches!(phase.as_str(), "Succeeded" | "Failed"));
        Ok(working.map_or(Look::Ready(()), Look::NotYet))
    })
    .await
}

/// Brings the outputs home before anything goes.
async fn deliver(context: &Context<'_>, spec: &KubernetesJobSpec, ending: Ending) -> Result<Home, ResourceError> {
    let (bucket, key) = (needed(&spec.bucket)?, outputs_key(spec));
    if spec.outputs.is_empty() || oss::object_size(context.cloud, context.region, bucket, &key).await?.is_none() {
        return Ok(Home::empty(&spec.outputs));
    }
    let place = part::place(&spec.job, spec.part.as_ref());
    let parcel = Parcel { bucket: bucket.clone(), key, place, promised: spec.outputs.clone(), ending };
    Ok(home::fetch_and_clear(context, parcel).await)
}

/// Runs it to its end; it is begun first, unless it has begun.
async fn run(context: &Context<'_>, place: &Place<'_>, spec: &KubernetesJobSpec, begin: bool) -> Result<(i64, Home), ResourceError> {
    let api = connect(context.cloud, context.region, place.cluster, life(spec)).await?;
    if begin {
        start(context, &*api, place, spec).await?;
        ends(context, &*api, place, spec).await?;
    }
    let mut follower = Follower::new(context, place, api, life(spec));
    match follower.follow().await {
        Ok(exit_code) => {
            // What a failed run leaves behind may be what tells why.
            let home = deliver(context, spec, Ending::of(Some(exit_code))).await?;
            // Its Job stays for a day, so that whoever goes on after a crash finds how it ended; its secrets go now.
            follower.api().delete_secret(place.namespace, place.name).await?;
            Ok((exit_code, home))
        }
        Err(error @ ResourceError::Stuck { .. }) => {
            // It would try for ever. The reason is what counts, should this fail too: the Job has a deadline.
            if let Err(also) = clear(follower.api(), place).await {
                let status = format!("{also}; the cluster ends the Job by itself");
                context.events.emit(Event::StepWaiting { address: context.address.clone(), status });
            }
            Err(error)
        }
        Err(error) => Err(error),
    }
}

/// The same with nothing secret in what it says.
async fn to_its_end(
    context: &Context<'_>,
    id: &str,
    spec: &KubernetesJobSpec,
    begin: bool,
) -> Result<KubernetesJobAttributes, ResourceError> {
    let place = Place::of(id)?;
    let hiding = Hiding::of(context, &spec.secrets);
    let context = &Context { events: &hiding, ..*context };
    let (exit_code, home) = run(context, &place, spec, begin).await.map_err(|error| hiding.hide_in(error))?;
    let (digest, ended_at) = (Some(spec.digest.clone()), Some(runs::moment(context)));
    Ok(KubernetesJobAttributes { digest, exit_code: Some(exit_code), ended_at, home, ..begun(id) })
}

#[async_trait(?Send)]
impl ResourceKind for KubernetesJobKind {
    const KIND: Kind = Kind::KubernetesJob;
    const GOES_WITH: Option<Kind> = Some(Kind::Cluster);
    const ENDS: bool = true;
    type Spec = KubernetesJobSpec;
    type Attributes = KubernetesJobAttributes;

    fn effect(path: &str, _before: &Json, _after: &Json) -> Effect {
        if path == part::AT_ONCE { Effect::InPlace } else { Effect::ForcesReplace }
    }

    fn failure(attributes: &KubernetesJobAttributes) -> Option<String> {
        home::failure(attributes.exit_code, &attributes.home)
    }

    fn at_hand(address: &Address, spec: &KubernetesJobSpec, secrets: &dyn Secrets, artifacts: &dyn Artifacts) -> Result<(), ResourceError> {
        home::room(artifacts, &part::place(&spec.job, spec.part.as_ref()), &spec.outputs)?;
        secrets::at_hand(address, &spec.secrets, secrets)
    }

    fn observed(spec: KubernetesJobSpec, attributes: &KubernetesJobAttributes) -> KubernetesJobSpec {
        KubernetesJobSpec { digest: attributes.digest.clone().unwrap_or(spec.digest), ..spec }
    }

    fn last_resort(spec: &KubernetesJobSpec) -> Option<String> {
        let [after, later] = [spec.limit + SLACK, objects::REMEMBERED].map(units::Duration::of);
        Some(format!(
            "the cluster itself ends it after {after} (activeDeadlineSeconds), and forgets it {later} later (ttlSecondsAfterFinished)"
        ))
    }

    /// A run that is over is history. One that is not may still go on: following it tells, by its identifier.
    async fn read_many(
        _context: &ReadContext<'_>,
        known: &[(Address, String, Json)],
    ) -> Result<BTreeMap<String, KubernetesJobAttributes>, ResourceError> {
        let of = |id: &String, attributes| KubernetesJobAttributes::deserialize(attributes).unwrap_or_else(|_| begun(id));
        Ok(known.iter().map(|(_, id, attributes)| (id.clone(), of(id, attributes))).collect())
    }

    async fn create(context: &Context<'_>, spec: &KubernetesJobSpec) -> Result<String, ResourceError> {
        // Whoever goes on after a crash keeps the identifier and finds this Job; a new one has a token of its own.
        let this: String = context.token.to_ascii_lowercase().chars().filter(char::is_ascii_alphanumeric).take(10).collect();
        let job: String = spec.job.chars().take(30).collect();
        Ok(format!("{}/{}/aliform-{}-{this}", needed(&spec.cluster_id)?, spec.namespace, job.trim_end_matches('-')))
    }

    async fn converge(context: &Context<'_>, id: &str, spec: &KubernetesJobSpec) -> Result<KubernetesJobAttributes, ResourceError> {
        to_its_end(context, id, spec, true).await
    }

    /// What ran can't be taken away, but what is left of it in the cluster, which would go on with it. Its pods have
    /// ended then: another run may take its place.
    async fn delete(context: &Context<'_>, id: &str, _spec: &KubernetesJobSpec) -> Result<(), ResourceError> {
        let place = Place::of(id)?;
        match connect(context.cloud, context.region, place.cluster, Duration::ZERO).await {
            Ok(api) => {
                clear(&*api, &place).await?;
                ended(context, &*api, &place).await
            }
            // Nothing of it is left in a cluster that is gone.
            Err(crate::cloud::kubernetes::KubernetesError::Cloud(error)) if error.is_not_found() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn find(_context: &Context<'_>, _spec: &KubernetesJobSpec) -> Result<Option<String>, ResourceError> {
        Ok(None)
    }
}

#[async_trait(?Send)]
impl Runs for KubernetesJobKind {
    async fn begin(context: &Context<'_>, id: &str, spec: &KubernetesJobSpec) -> Result<KubernetesJobAttributes, ResourceError> {
        let place = Place::of(id)?;
        let hiding = Hiding::of(context, &spec.secrets);
        let context = &Context { events: &hiding, ..*context };
        let api = connect(context.cloud, context.region, place.cluster, Duration::ZERO).await?;
        start(context, &*api, &place, spec).await.map_err(|error| hiding.hide_in(error))?;
        ends(context, &*api, &place, spec).await?;
        Ok(KubernetesJobAttributes { begun_at: Some(runs::moment(context)), ..begun(id) })
    }

    async fn finish(context: &Context<'_>, id: &str, spec: &KubernetesJobSpec) -> Result<KubernetesJobAttributes, ResourceError> {
        to_its_end(context, id, spec, false).await
    }

    async fn look(context: &Context<'_>, id: &str, _spec: &KubernetesJobSpec) -> Result<Standing, ResourceError> {
        let place = Place::of(id)?;
        let api = connect(context.cloud, context.region, place.cluster, Duration::ZERO).await?;
        Follower::new(context, &place, api, Duration::ZERO).standing().await
    }

    async fn tell(context: &Context<'_>, id: &str, spec: &KubernetesJobSpec, telling: &Telling<'_>) -> Result<Standing, ResourceError> {
        let place = Place::of(id)?;
        let hiding = Hiding::of(context, &spec.secrets);
        let context = &Context { events: &hiding, ..*context };
        let api = connect(context.cloud, context.region, place.cluster, life(spec)).await?;
        Follower::new(context, &place, api, life(spec)).watch(telling).await
    }

    fn ends_after(spec: &KubernetesJobSpec) -> Option<u64> {
        Some(spec.limit + SLACK)
    }
}
