//! One run of a job's script as a training job of PAI-DLC. It goes on without this program and is found again by its
//! identifier, or by its tags as long as nobody was told that. The service knows no token for a creation.
//!
//! Its secrets, and the links to its files, are handed over in the environment of the job and nowhere else: they are in
//! no spec, state, plan or log. The service shows the environment of a job to whoever may read the workspace, so the
//! job is deleted as soon as it is over; how it ended lies in the bucket before that.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::error::ResourceError;
use super::home::{self, Home, Parcel};
use super::kind::{Artifacts, Context, Ending, JoinedNetwork, Priced, ReadContext, ResourceKind, needed};
use super::part::{self, Part};
use super::runs::{self, Runs, Standing, Telling};
use super::secrets::{self, Hiding};
use super::tagged::{Tagged, moment, tags};
use super::training_watch::{self as watch, Ended};
use super::wait::{self, Look};
use crate::cloud::api::{CommaList, ask};
use crate::cloud::call::Link;
use crate::cloud::dlc::{CreateJob, DeleteJob, GetJob, Job, JobSpec, ListJobs, ListedJob, Settings, StopJob, UserVpc};
use crate::cloud::oss;
use crate::model::address::{Address, Kind};
use crate::model::change::Effect;
use crate::model::event::Event;
use crate::model::secret::{SecretSource, Secrets};
use crate::model::units;
use crate::model::value::{Reference, Value};

/// The most bytes of all parameters of a creation together; CreateJob, "limits".
const LARGEST: usize = 65_536;
/// The most jobs of a page.
const PAGE: u32 = 100;
/// How long stopping may take.
const STOP_LIMIT: Duration = Duration::from_secs(300);
/// Pauses between looks for a job whose creation was not answered.
const PAUSES: &[Duration] = &[Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// What is wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrainingJobSpec {
    /// The job.
    pub job: String,
    /// What tells this run from others.
    pub digest: String,
    /// The workspace it lives in.
    pub workspace_id: Value<String>,
    /// `PyTorchJob`, `TFJob`: how its pods are told of each other.
    pub job_type: String,
    /// The image of its pods.
    pub image: String,
    /// What each pod runs on.
    pub instance_type: String,
    /// How many pods.
    pub workers: u32,
    /// How long its command may run, in seconds.
    pub limit: u64,
    /// When the cloud itself ends it, in minutes from when it runs.
    pub max_minutes: u32,
    /// The bucket of its files and outputs.
    pub bucket: Value<String>,
    /// The key of its files.
    pub bundle_key: Value<String>,
    /// The digest of its files.
    pub bundle_digest: String,
    /// The secrets it is given: name and source, never the value.
    pub secrets: BTreeMap<String, SecretSource>,
    /// What it brings back.
    pub outputs: Vec<String>,
    /// The network that its pods are let into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<JoinedNetwork>,
    /// What each pod runs.
    pub script: String,
    /// What its script marks lines of its own with, where that is not its digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// Which of several runs of a job it is, if there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
}

/// What came of it; of one that may still go on, nothing but that it was begun.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrainingJobAttributes {
    /// `dlc...`
    pub id: String,
    /// The digest of what ran.
    pub digest: Option<String>,
    /// Its exit code, as far as it came to one.
    pub exit_code: Option<i64>,
    /// When it was over.
    pub ended_at: Option<String>,
    /// For how many milliseconds it ran, as the service bills it; null if it did not say.
    #[serde(default)]
    pub billed_ms: Option<u64>,
    /// What it brought home.
    #[serde(flatten)]
    pub home: Home,
    /// Why it did not end well, where that is not its exit code.
    pub because: Option<String>,
    /// When it was begun by a program that did not wait for its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_at: Option<String>,
}

/// The kind.
pub struct TrainingJobKind;

fn begun(id: &str) -> TrainingJobAttributes {
    let id = id.to_owned();
    let (digest, exit_code, ended_at, billed_ms) = (None, None, None, None);
    TrainingJobAttributes { id, digest, exit_code, ended_at, billed_ms, home: Home::default(), because: None, begun_at: None }
}

/// A listed job as a find, its spec as far as it says so itself.
fn found(mut job: ListedJob) -> Tagged<TrainingJobSpec> {
    let own = tags(job.settings.take().unwrap_or_default().tags);
    let max_minutes = job.job_max_running_time_minutes.unwrap_or_default();
    let life = SignedDuration::from_mins(i64::from(max_minutes));
    let known = |name: &str| Value::Pending(Reference::new(Address::new(Kind::Bucket, "main"), name));
    let spec = TrainingJobSpec {
        job: job.display_name,
        digest: String::new(),
        workspace_id: Value::Known(job.workspace_id),
        job_type: job.job_type,
        image: String::new(),
        instance_type: job.job_specs.first().map(|role| role.ecs_spec.clone()).unwrap_or_default(),
        workers: job.job_specs.iter().map(|role| role.pod_count).sum(),
        limit: 0,
        max_minutes,
        bucket: known("id"),
        bundle_key: known("key"),
        bundle_digest: String::new(),
        secrets: BTreeMap::new(),
        outputs: Vec::new(),
        network: None,
        script: String::new(),
        mark: None,
        part: None,
    };
    Tagged {
        ends_at: moment(&job.gmt_running_time).filter(|_| max_minutes > 0).and_then(|start| start.checked_add(life).ok()),
        over: watch::is_final(&job.status),
        ..Tagged::new(&job.job_id, own, &job.gmt_create_time, spec)
    }
}

fn outputs_prefix(spec: &TrainingJobSpec) -> String {
    format!("outputs/{}/", spec.job)
}

fn outputs_key(spec: &TrainingJobSpec) -> String {
    format!("{}{}.tar.gz", outputs_prefix(spec), spec.digest)
}

/// Where lies how a job ended, until the next run of it.
fn record_key(spec: &TrainingJobSpec, id: &str) -> String {
    format!("{}{id}.json", outputs_prefix(spec))
}

/// The environment of the job: its secrets and the links.
async fn environment(context: &Context<'_>, spec: &TrainingJobSpec) -> Result<BTreeMap<String, String>, ResourceError> {
    let mut all = secrets::values(context, &spec.secrets)?;
    all.extend(spec.part.as_ref().map(Part::variables).unwrap_or_default());
    let (bucket, key) = (needed(&spec.bucket)?, needed(&spec.bundle_key)?);
    let waits = watch::START_LIMIT.as_secs();
    let link = Link { method: http::Method::GET, region: context.region, bucket, key, seconds: waits };
    all.insert("ALIFORM_BUNDLE_URL".to_owned(), context.cloud.presign(&link).await?);
    all.insert("ALIFORM_BUNDLE_SHA256".to_owned(), spec.bundle_digest.clone());
    if !spec.outputs.is_empty() {
        let seconds = waits + u64::from(spec.max_minutes) * 60;
        let link = Link { method: http::Method::PUT, region: context.region, bucket, key: &outputs_key(spec), seconds };
        all.insert("ALIFORM_OUTPUT_URL".to_owned(), context.cloud.presign(&link).await?);
    }
    Ok(all)
}

async fn look(context: &Context<'_>, id: &str) -> Result<Option<Job>, ResourceError> {
    match ask(context.cloud, context.region, &GetJob { job_id: id.to_owned(), need_detail: true }).await {
        Ok(job) => Ok(Some(job)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Stops the job if it is not over, and deletes it.
async fn end(context: &Context<'_>, id: &str) -> Result<(), ResourceError> {
    let job_id = id.to_owned();
    wait::until(context, "the training job to stop", STOP_LIMIT, async || {
        let Some(job) = look(context, id).await? else { return Ok(Look::Ready(())) };
        if watch::is_over(&job) {
            return match ask(context.cloud, context.region, &DeleteJob { job_id: job_id.clone() }).await {
                Err(error) if !error.is_not_found() => Err(error.into()),
                _ => Ok(Look::Ready(())),
            };
        }
        if job.status != "Stopping"
            && let Err(error) = ask(context.cloud, context.region, &StopJob { job_id: job_id.clone() }).await
            && look(context, id).await?.is_some_and(|job| !watch::is_over(&job))
        {
            return Err(error.into());
        }
        Ok(Look::NotYet(job.status))
    })
    .await
}

/// Its outputs as they lie in the bucket.
fn parcel(spec: &TrainingJobSpec, exit_code: Option<i64>) -> Result<Parcel, ResourceError> {
    let (bucket, place, promised) = (needed(&spec.bucket)?.clone(), part::place(&spec.job, spec.part.as_ref()), spec.outputs.clone());
    Ok(Parcel { bucket, key: outputs_key(spec), place, promised, ending: Ending::of(exit_code) })
}

/// How a job ended that is gone, as far as anyone wrote it down.
async fn recorded(context: &Context<'_>, id: &str, spec: &TrainingJobSpec) -> Result<TrainingJobAttributes, ResourceError> {
    let (bucket, key) = (needed(&spec.bucket)?, record_key(spec, id));
    let found = match oss::get_object(context.cloud, context.region, bucket, &key).await {
        Err(error) if error.is_not_found() => None,
        other => serde_json::from_slice(&other?).ok(),
    };
    Ok(found.unwrap_or_else(|| {
        let because = Some(format!("the training job `{id}` is gone: it was deleted before it was over"));
        TrainingJobAttributes { digest: Some(spec.digest.clone()), ended_at: Some(runs::moment(context)), because, ..begun(id) }
    }))
}

/// Reads back when the cloud itself will end the job. Why it must not go on, if that is another time than it was told;
/// a list that can't be had is no reason to end it.
async fn endless(context: &Context<'_>, id: &str, spec: &TrainingJobSpec) -> Option<String> {
    let query = ListJobs { job_ids: Some(CommaList(vec![id.to_owned()])), page_number: 1, page_size: 10, ..Default::default() };
    let listed = ask(context.cloud, context.region, &query).await.ok()?.jobs.into_iter().find(|job| job.job_id == id);
    let (minutes, wanted) = (listed?.job_max_running_time_minutes?, spec.max_minutes);
    if minutes == wanted {
        let detail = format!("the cloud itself ends it when it has run for {minutes} minutes");
        context.events.emit(Event::StepChecked { address: context.address.clone(), check: "end".to_owned(), passed: true, detail });
        return None;
    }
    Some(format!("it was to be ended by the cloud after {wanted} minutes at the latest, and the cloud says {minutes}: it was stopped"))
}

/// Follows the job to its end, unless nothing would end it without us.
async fn follow(context: &Context<'_>, id: &str, spec: &TrainingJobSpec) -> Result<Option<Ended>, ResourceError> {
    match endless(context, id, spec).await {
        Some(because) => Ok(Some(Ended { because: Some(because), ..Ended::default() })),
        None => watch::follow(context, id, spec.mark.as_ref().unwrap_or(&spec.digest), spec.workers).await,
    }
}

/// Follows the job to its end and takes it away.
async fn finish(context: &Context<'_>, id: &str, spec: &TrainingJobSpec) -> Result<TrainingJobAttributes, ResourceError> {
    let ended = match follow(context, id, spec).await {
        Ok(Some(ended)) => ended,
        Ok(None) => return recorded(context, id, spec).await,
        Err(error) => {
            // Nobody follows it any more, so it must not go on and cost money.
            end(context, id).await?;
            if matches!(error, ResourceError::Denied { .. }) {
                // It never began, and may elsewhere.
                return Err(error);
            }
            Ended { because: Some(error.to_string()), ..Ended::default() }
        }
    };
    let mut attributes = TrainingJobAttributes {
        digest: Some(spec.digest.clone()),
        exit_code: ended.exit_code,
        // It may have been over long before anybody asked, and is paid until then only.
        ended_at: ended.finished.or_else(|| Some(runs::moment(context))),
        billed_ms: ended.billed_ms,
        because: ended.because,
        ..begun(id)
    };
    let parcel = parcel(spec, ended.exit_code)?;
    attributes.home = if ended.delivered { home::fetch(context, parcel.clone()).await } else { Home::empty(&spec.outputs) };
    let bucket = needed(&spec.bucket)?;
    // First written down, then deleted: a crash between the two forgets nothing.
    let record = serde_json::to_vec(&attributes).unwrap_or_default();
    oss::put_object(context.cloud, context.region, bucket, &record_key(spec, id), record.into()).await?;
    end(context, id).await?;
    if attributes.home.outputs.is_some() {
        home::clear(context, &parcel).await;
    }
    Ok(attributes)
}

#[async_trait(?Send)]
impl ResourceKind for TrainingJobKind {
    const KIND: Kind = Kind::TrainingJob;
    const ENDS: bool = true;
    type Spec = TrainingJobSpec;
    type Attributes = TrainingJobAttributes;

    fn effect(path: &str, _before: &Json, _after: &Json) -> Effect {
        if path == part::AT_ONCE { Effect::InPlace } else { Effect::ForcesReplace }
    }

    fn failure(attributes: &TrainingJobAttributes) -> Option<String> {
        attributes.because.clone().or_else(|| home::failure(attributes.exit_code, &attributes.home))
    }

    fn at_hand(address: &Address, spec: &TrainingJobSpec, secrets: &dyn Secrets, artifacts: &dyn Artifacts) -> Result<(), ResourceError> {
        home::room(artifacts, &part::place(&spec.job, spec.part.as_ref()), &spec.outputs)?;
        secrets::at_hand(address, &spec.secrets, secrets)
    }

    fn observed(spec: TrainingJobSpec, attributes: &TrainingJobAttributes) -> TrainingJobSpec {
        TrainingJobSpec { digest: attributes.digest.clone().unwrap_or(spec.digest), ..spec }
    }

    fn priced(spec: &TrainingJobSpec) -> Option<Priced> {
        Some(Priced::Training { instance_type: spec.instance_type.clone(), workers: spec.workers })
    }

    fn last_resort(spec: &TrainingJobSpec) -> Option<String> {
        let after = units::Duration::of(u64::from(spec.max_minutes) * 60);
        Some(format!("the cloud itself ends it when it has run for {after} (JobMaxRunningTimeMinutes)"))
    }

    /// A run that is over is history. One that is not may still go on: following it tells, by its identifier.
    async fn read_many(
        _context: &ReadContext<'_>,
        known: &[(Address, String, Json)],
    ) -> Result<BTreeMap<String, TrainingJobAttributes>, ResourceError> {
        let of = |id: &String, attributes| TrainingJobAttributes::deserialize(attributes).unwrap_or_else(|_| begun(id));
        Ok(known.iter().map(|(_, id, attributes)| (id.clone(), of(id, attributes))).collect())
    }

    async fn create(context: &Context<'_>, spec: &TrainingJobSpec) -> Result<String, ResourceError> {
        let bucket = needed(&spec.bucket)?;
        for object in oss::list_objects(context.cloud, context.region, bucket, &outputs_prefix(spec)).await? {
            oss::delete_object(context.cloud, context.region, bucket, &object.key).await?;
        }
        let attempt: String = context.token.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
        let role = JobSpec {
            role: "Worker".to_owned(),
            image: spec.image.clone(),
            pod_count: spec.workers,
            ecs_spec: spec.instance_type.clone(),
            restart_policy: Some("Never".to_owned()),
        };
        let call = CreateJob {
            workspace_id: needed(&spec.workspace_id)?.clone(),
            display_name: format!("{}-{attempt}", super::name::of(&context.identity.stack, context.address)),
            job_type: spec.job_type.clone(),
            job_specs: vec![role],
            user_command: spec.script.clone(),
            envs: environment(context, spec).await?,
            data_sources: Vec::new(),
            user_vpc: spec.network.clone().map(|JoinedNetwork { vpc_id, vswitch_id, security_group_id }| UserVpc {
                vpc_id,
                switch_id: vswitch_id,
                security_group_id,
            }),
            job_max_running_time_minutes: spec.max_minutes,
            settings: Settings { tags: context.new_tags().into_iter().map(|tag| (tag.key, tag.value)).collect() },
        };
        let size = serde_json::to_vec(&call).map_or(0, |body| body.len());
        if size > LARGEST {
            let message = format!("the command and the environment of the job are {size} bytes together, and PAI takes {LARGEST}");
            return Err(ResourceError::InTheWay(message));
        }
        let error = match ask(context.cloud, context.region, &call).await {
            Ok(answer) => return Ok(answer.job_id),
            Err(error) => ResourceError::from(error),
        };
        for pause in PAUSES.iter().filter(|_| error.is_uncertain()) {
            tokio::time::sleep(*pause).await;
            if let Ok(Some(id)) = Self::find(context, spec).await {
                return Ok(id);
            }
        }
        Err(error)
    }

    async fn converge(context: &Context<'_>, id: &str, spec: &TrainingJobSpec) -> Result<TrainingJobAttributes, ResourceError> {
        let hiding = Hiding::of(context, &spec.secrets);
        let context = &Context { events: &hiding, ..*context };
        let mut attributes = finish(context, id, spec).await.map_err(|error| hiding.hide_in(error))?;
        attributes.because = attributes.because.map(|because| hiding.hide(because));
        Ok(attributes)
    }

    /// What still runs is stopped: nobody waits for it.
    async fn delete(context: &Context<'_>, id: &str, _spec: &TrainingJobSpec) -> Result<(), ResourceError> {
        end(context, id).await
    }

    async fn find(context: &Context<'_>, spec: &TrainingJobSpec) -> Result<Option<String>, ResourceError> {
        let tags: BTreeMap<String, String> = context.tags().into_iter().map(|tag| (tag.key, tag.value)).collect();
        let query = ListJobs {
            workspace_id: spec.workspace_id.known().cloned(),
            tags: Some(Json::from_iter(tags).to_string()),
            page_number: 1,
            page_size: 10,
            ..Default::default()
        };
        Ok(ask(context.cloud, context.region, &query).await?.jobs.into_iter().next().map(|job| job.job_id))
    }

    async fn tagged(context: &ReadContext<'_>) -> Result<Vec<Tagged<TrainingJobSpec>>, ResourceError> {
        let mut query = ListJobs { page_number: 1, page_size: PAGE, ..Default::default() };
        let mut all = Vec::new();
        loop {
            let page = ask(context.cloud, context.region, &query).await?.jobs;
            let full = page.len() as u32 == PAGE;
            all.extend(page.into_iter().map(found).filter(Tagged::is_ours));
            if !full {
                return Ok(all);
            }
            query.page_number += 1;
        }
    }
}

#[async_trait(?Send)]
impl Runs for TrainingJobKind {
    /// Its creation began it. What would never be ended by the cloud must not be left.
    async fn begin(context: &Context<'_>, id: &str, spec: &TrainingJobSpec) -> Result<TrainingJobAttributes, ResourceError> {
        if let Some(because) = endless(context, id, spec).await {
            end(context, id).await?;
            return Err(ResourceError::InTheWay(because));
        }
        Ok(TrainingJobAttributes { begun_at: Some(runs::moment(context)), ..begun(id) })
    }

    async fn finish(context: &Context<'_>, id: &str, spec: &TrainingJobSpec) -> Result<TrainingJobAttributes, ResourceError> {
        Self::converge(context, id, spec).await
    }

    async fn look(context: &Context<'_>, id: &str, _spec: &TrainingJobSpec) -> Result<Standing, ResourceError> {
        Ok(look(context, id).await?.map_or_else(|| watch::missing(id), |job| watch::standing(&job)))
    }

    async fn tell(context: &Context<'_>, id: &str, spec: &TrainingJobSpec, telling: &Telling<'_>) -> Result<Standing, ResourceError> {
        let hiding = Hiding::of(context, &spec.secrets);
        watch::tell(&Context { events: &hiding, ..*context }, id, (spec.mark.as_ref().unwrap_or(&spec.digest), spec.workers), telling).await
    }

    fn ends_after(spec: &TrainingJobSpec) -> Option<u64> {
        Some(u64::from(spec.max_minutes) * 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_over_and_ended_badly_is_a_failure() {
        let over = |exit_code, because: Option<&str>| TrainingJobAttributes {
            exit_code,
            because: because.map(str::to_owned),
            ended_at: Some(String::new()),
            ..begun("dlc1")
        };
        let failure = |attributes| TrainingJobKind::failure(&attributes);
        assert_eq!(failure(begun("dlc1")), None);
        assert_eq!(failure(over(Some(0), None)), None);
        assert_eq!(failure(over(Some(3), None)).as_deref(), Some("exit code 3"));
        assert_eq!(failure(over(Some(124), None)).as_deref(), Some("its time was up"));
        assert_eq!(failure(over(None, Some("evicted"))).as_deref(), Some("evicted"));
    }
}
