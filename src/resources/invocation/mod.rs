//! One run of a job's script by a function. A short one is a call that is waited for, a long one a task of the cloud's;
//! either goes on when this program ends, and whoever looks next finds it.
//!
//! What it writes and what it brings back go through objects of the bucket, each by a link of its own. Links and secrets
//! travel in the event of the invocation and must never stand anywhere else.

mod event;
mod follow;
mod watch;

use std::collections::BTreeMap;

use async_trait::async_trait;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::error::ResourceError;
use super::home::{self, Home, Parcel};
use super::kind::{Artifacts, Context, Ending, FunctionGpu, Priced, ReadContext, ResourceKind, needed};
use super::part::{self, Part};
use super::runs::{self, Runs, Standing, Telling};
use super::secrets::{self, Hiding};
use crate::model::address::{Address, Kind};
use crate::model::change::Effect;
use crate::model::event::Event;
use crate::model::secret::{SecretSource, Secrets};
use crate::model::value::Value;
use event::Place;
use follow::Outcome;

/// What is wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InvocationSpec {
    /// The job.
    pub job: String,
    /// What tells this run from others: another command, other files, another environment run anew.
    pub digest: String,
    /// The function.
    pub function: Value<String>,
    /// The bucket that it writes to.
    pub bucket: Value<String>,
    /// Whether it is a task, or else a call that is waited for.
    pub asynchronous: bool,
    /// The command for `sh`.
    pub command: String,
    /// How long that may run, in seconds.
    pub limit: u64,
    /// When the cloud itself ends the invocation, in seconds.
    pub timeout: u32,
    /// Its environment, as far as it is no secret.
    pub environment: BTreeMap<String, String>,
    /// The secrets it is given: name and source, never the value.
    pub secrets: BTreeMap<String, SecretSource>,
    /// What it brings back.
    pub outputs: Vec<String>,
    /// vCPU of the function: what it is paid by, with the next two.
    pub cpu: Decimal,
    /// MiB.
    pub memory: u32,
    /// MiB.
    pub disk: u32,
    /// The accelerator of the function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<FunctionGpu>,
    /// The key of its package in the bucket, where the function is a container and has none of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// Which of several runs of a job it is, if there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
}

/// What came of it; of one that may still go on, nothing but that it was begun.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InvocationAttributes {
    /// The function's name, and what tells this run from an earlier one.
    pub id: String,
    /// The digest of what ran.
    pub digest: Option<String>,
    /// Its exit code.
    pub exit_code: Option<i64>,
    /// When it was over.
    pub ended_at: Option<String>,
    /// For how many milliseconds it ran, as the cloud counts them; null if it did not say.
    #[serde(default)]
    pub billed_ms: Option<u64>,
    /// What it brought home.
    #[serde(flatten)]
    pub home: Home,
    /// When it was begun by a program that did not wait for its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_at: Option<String>,
}

/// The kind.
pub struct InvocationKind;

fn begun(id: &str) -> InvocationAttributes {
    let (digest, exit_code, ended_at, billed_ms) = (None, None, None, None);
    InvocationAttributes { id: id.to_owned(), digest, exit_code, ended_at, billed_ms, home: Home::default(), begun_at: None }
}

/// Brings the outputs home.
async fn receive(context: &Context<'_>, spec: &InvocationSpec, place: &Place<'_>, outcome: &Outcome) -> Home {
    let say = |text: String| context.events.emit(Event::StepOutput { address: context.address.clone(), text });
    outcome.missing.iter().for_each(|missing| say(format!("aliform: there is no output `{missing}`\n")));
    outcome.trouble.iter().for_each(|trouble| say(format!("aliform: {trouble}\n")));
    if !outcome.delivered {
        return Home::empty(&spec.outputs);
    }
    let parcel = Parcel {
        bucket: place.bucket.to_owned(),
        key: place.key(event::OUTPUTS),
        place: part::place(&spec.job, spec.part.as_ref()),
        promised: spec.outputs.clone(),
        ending: Ending::of(Some(outcome.exit)),
    };
    home::fetch(context, parcel).await
}

/// Runs it to its end; it is begun first, unless it has begun.
async fn run(context: &Context<'_>, id: &str, spec: &InvocationSpec, begin: bool) -> Result<InvocationAttributes, ResourceError> {
    let hiding = Hiding::of(context, &spec.secrets);
    let context = &Context { events: &hiding, ..*context };
    let place = Place::of(id, spec)?;
    let ran = async {
        let outcome = follow::to_its_end(context, spec, &place, begin).await?;
        // What a failed run leaves behind may be what tells why.
        let home = receive(context, spec, &place, &outcome).await;
        Ok((outcome.exit, outcome.billed_ms, home))
    };
    let (exit_code, billed_ms, home) = ran.await.map_err(|error| hiding.hide_in(error))?;
    let (digest, ended_at) = (Some(spec.digest.clone()), Some(runs::moment(context)));
    Ok(InvocationAttributes { digest, exit_code: Some(exit_code), ended_at, billed_ms, home, ..begun(id) })
}

#[async_trait(?Send)]
impl ResourceKind for InvocationKind {
    const KIND: Kind = Kind::Invocation;
    const GOES_WITH: Option<Kind> = Some(Kind::Function);
    const ENDS: bool = true;
    type Spec = InvocationSpec;
    type Attributes = InvocationAttributes;

    fn effect(path: &str, _before: &Json, _after: &Json) -> Effect {
        if path == part::AT_ONCE { Effect::InPlace } else { Effect::ForcesReplace }
    }

    fn failure(attributes: &InvocationAttributes) -> Option<String> {
        home::failure(attributes.exit_code, &attributes.home)
    }

    fn at_hand(address: &Address, spec: &InvocationSpec, secrets: &dyn Secrets, artifacts: &dyn Artifacts) -> Result<(), ResourceError> {
        home::room(artifacts, &part::place(&spec.job, spec.part.as_ref()), &spec.outputs)?;
        secrets::at_hand(address, &spec.secrets, secrets)
    }

    fn observed(spec: InvocationSpec, attributes: &InvocationAttributes) -> InvocationSpec {
        InvocationSpec { digest: attributes.digest.clone().unwrap_or(spec.digest), ..spec }
    }

    fn priced(spec: &InvocationSpec) -> Option<Priced> {
        Some(Priced::Function { cpu: spec.cpu, memory: spec.memory, disk: spec.disk, gpu: spec.gpu.clone() })
    }

    /// A run that is over is history. One that is not may still go on: following it tells, by its identifier.
    async fn read_many(
        _context: &ReadContext<'_>,
        known: &[(Address, String, Json)],
    ) -> Result<BTreeMap<String, InvocationAttributes>, ResourceError> {
        let of = |id: &String, attributes| InvocationAttributes::deserialize(attributes).unwrap_or_else(|_| begun(id));
        Ok(known.iter().map(|(_, id, attributes)| (id.clone(), of(id, attributes))).collect())
    }

    async fn create(context: &Context<'_>, spec: &InvocationSpec) -> Result<String, ResourceError> {
        // Whoever goes on after a crash keeps the identifier and finds this run; a new one has a token of its own.
        let this: String = context.token.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
        Ok(format!("{}/run-{this}", needed(&spec.function)?))
    }

    async fn converge(context: &Context<'_>, id: &str, spec: &InvocationSpec) -> Result<InvocationAttributes, ResourceError> {
        run(context, id, spec, true).await
    }

    /// History can't be taken away. What still runs is stopped, and has ended then; a call that is waited for ends by its own time.
    async fn delete(context: &Context<'_>, id: &str, spec: &InvocationSpec) -> Result<(), ResourceError> {
        let place = Place::of(id, spec)?;
        if !spec.asynchronous {
            return Ok(());
        }
        follow::stop(context, &place).await
    }

    async fn find(_context: &Context<'_>, _spec: &InvocationSpec) -> Result<Option<String>, ResourceError> {
        Ok(None)
    }
}

#[async_trait(?Send)]
impl Runs for InvocationKind {
    /// A call lasts as long as somebody waits for it: only a task can be left.
    async fn begin(context: &Context<'_>, id: &str, spec: &InvocationSpec) -> Result<InvocationAttributes, ResourceError> {
        if !spec.asynchronous {
            return Err(ResourceError::InTheWay(format!("the invocation of job `{}` is a call, which has to be waited for", spec.job)));
        }
        let hiding = Hiding::of(context, &spec.secrets);
        let context = &Context { events: &hiding, ..*context };
        follow::begin(context, spec, &Place::of(id, spec)?).await.map_err(|error| hiding.hide_in(error))?;
        Ok(InvocationAttributes { begun_at: Some(runs::moment(context)), ..begun(id) })
    }

    async fn finish(context: &Context<'_>, id: &str, spec: &InvocationSpec) -> Result<InvocationAttributes, ResourceError> {
        let attributes = run(context, id, spec, false).await?;
        // It may have been over long before anybody asked, and is paid until then only.
        let ended = watch::ended(context, spec, &Place::of(id, spec)?).await;
        Ok(InvocationAttributes { ended_at: ended.or(attributes.ended_at), ..attributes })
    }

    async fn look(context: &Context<'_>, id: &str, spec: &InvocationSpec) -> Result<Standing, ResourceError> {
        watch::look(context, spec, &Place::of(id, spec)?).await
    }

    async fn tell(context: &Context<'_>, id: &str, spec: &InvocationSpec, telling: &Telling<'_>) -> Result<Standing, ResourceError> {
        let hiding = Hiding::of(context, &spec.secrets);
        watch::tell(&Context { events: &hiding, ..*context }, spec, &Place::of(id, spec)?, telling).await
    }

    fn ends_after(spec: &InvocationSpec) -> Option<u64> {
        Some(spec.timeout.into())
    }
}
