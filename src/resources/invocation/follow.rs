//! Begins an invocation and follows it to its end, or finds the one that an earlier program began.
//!
//! A task has a name that is taken once. A call has none, so a program that does not know whether an earlier one's call
//! came through writes down that from now on its own counts (the ticket), and only then looks whether a call has begun.
//! A call says first that it has begun, and only then looks whether it is still the one that counts. So at least one of
//! the two sees the other, and the job never runs twice at once.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use tokio::time::Instant;

use super::InvocationSpec;
use super::event::{self, BEGUN, GONE, LOG, Place, RESULT, TICKET};
use crate::cloud::api::ask;
use crate::cloud::call::Answer;
use crate::cloud::error::ApiError;
use crate::cloud::fc::{self, AsyncTask, GetAsyncTask, Invocation, StopAsyncTask};
use crate::cloud::oss;
use crate::resources::error::ResourceError;
use crate::resources::kind::Context;
use crate::resources::teller::Teller;
use crate::resources::wait::{self, Look};

pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(200);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a task that was accepted may not be found. Source: GetAsyncTask.
const LISTED_WITHIN: Duration = Duration::from_secs(60);
/// How long after its time an invocation is waited for that nobody answers for.
pub(super) const FAREWELL: Duration = Duration::from_secs(60);
/// How long a task may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(120);
/// The most bytes of the log of one read.
const PIECE: u64 = 1024 * 1024;

/// How an invocation ended, as it says itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Outcome {
    pub(super) exit: i64,
    /// Outputs that were not there.
    pub(super) missing: Vec<String>,
    /// Whether the others are in the bucket.
    pub(super) delivered: bool,
    /// What could not be sent, and why.
    pub(super) trouble: Vec<String>,
    /// For how many milliseconds it ran, as the cloud counts them.
    #[serde(skip)]
    pub(super) billed_ms: Option<u64>,
}

/// How an invocation ended.
enum Ending {
    /// By itself.
    Over(Outcome),
    /// The cloud ended it: why, and the end of what the function wrote.
    Broken { because: String, tail: String },
}

/// What its folder shows.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Bytes of the log.
    pub(super) log: u64,
    pub(super) result: bool,
    /// Attempts that began and may go on.
    pub(super) live: Vec<String>,
    /// How many attempts came to nothing.
    pub(super) gone: usize,
}

pub(super) async fn look(context: &Context<'_>, place: &Place<'_>) -> Result<Seen, ApiError> {
    let objects = oss::list_objects(context.cloud, context.region, place.bucket, &place.prefix).await?;
    let mut seen = Seen::default();
    let (mut begun, mut gone) = (BTreeSet::new(), BTreeSet::new());
    for object in &objects {
        match object.key.strip_prefix(&place.prefix) {
            Some(LOG) => seen.log = object.size,
            Some(RESULT) => seen.result = true,
            Some(name) => {
                begun.extend(name.strip_prefix(BEGUN));
                gone.extend(name.strip_prefix(GONE));
            }
            None => {}
        }
    }
    seen.live = begun.difference(&gone).map(|attempt| (*attempt).to_owned()).collect();
    seen.gone = gone.len();
    Ok(seen)
}

/// The log as far as it was told.
#[derive(Default)]
pub(super) struct Log {
    told: u64,
    teller: Teller,
}

impl Log {
    /// Tells what is new up to byte `size`. Gives back whether there was anything.
    pub(super) async fn tell(&mut self, context: &Context<'_>, place: &Place<'_>, size: u64) -> Result<bool, ApiError> {
        let new = size > self.told;
        while size > self.told {
            let most = PIECE.min(size - self.told);
            let bytes = oss::read_object(context.cloud, context.region, place.bucket, &place.key(LOG), self.told, most).await?;
            if bytes.is_empty() {
                break;
            }
            self.told += bytes.len() as u64;
            self.teller.tell(context, &bytes, false);
        }
        Ok(new)
    }
}

type Answering<'a> = Pin<Box<dyn Future<Output = Result<Answer, ApiError>> + 'a>>;

/// How it is known how the invocation is.
enum Way<'a> {
    /// By its task.
    Task {
        name: String,
        since: Instant,
    },
    /// By the answer of the call.
    Call {
        answering: Answering<'a>,
    },
    Answered(Result<Answer, ApiError>),
    /// By what it leaves in its folder: somebody else's call.
    Traces {
        until: Instant,
    },
}

/// Begins the task that is the job, unless it has begun.
pub(super) async fn begin(context: &Context<'_>, spec: &InvocationSpec, place: &Place<'_>) -> Result<(), ResourceError> {
    let seen = look(context, place).await?;
    if !seen.result {
        task(context, spec, place, seen.gone).await?;
    }
    Ok(())
}

/// Runs the job, or finds its run; one that has begun is not begun once more.
pub(super) async fn to_its_end(
    context: &Context<'_>,
    spec: &InvocationSpec,
    place: &Place<'_>,
    begin: bool,
) -> Result<Outcome, ResourceError> {
    let seen = look(context, place).await?;
    if seen.result {
        // It came to its end while nobody looked.
        let mut log = Log::default();
        finish(context, place, &mut log).await?;
        let billed_ms = if spec.asynchronous { counted(context, place, seen.gone).await } else { None };
        return Ok(Outcome { billed_ms, ..result(context, place).await? });
    }
    let way = match (spec.asynchronous, begin) {
        (true, true) => task(context, spec, place, seen.gone).await?,
        (true, false) => Way::Task { name: task_name(place, seen.gone), since: Instant::now() },
        (false, _) => call(context, spec, place, seen).await?,
    };
    let mut log = Log::default();
    let ending = follow(context, spec, place, &mut log, way).await?;
    finish(context, place, &mut log).await?;
    match ending {
        Ending::Over(outcome) => Ok(outcome),
        Ending::Broken { because, tail } => {
            give_up(context, spec, place).await?;
            Err(ResourceError::Script {
                what: "the invocation of the job".to_owned(),
                instance: place.function.to_owned(),
                ending: because,
                // What was told already is not told again.
                output: if log.told == 0 { tail } else { String::new() },
            })
        }
    }
}

/// Writes down that what was begun does nothing any more, so that the next one does not wait for it.
async fn give_up(context: &Context<'_>, spec: &InvocationSpec, place: &Place<'_>) -> Result<(), ApiError> {
    let seen = look(context, place).await?;
    let attempts = if spec.asynchronous { vec![format!("task-{}", seen.gone)] } else { seen.live };
    for attempt in attempts {
        let key = place.key(&format!("{GONE}{attempt}"));
        oss::put_object(context.cloud, context.region, place.bucket, &key, Bytes::from_static(b"gone")).await?;
    }
    Ok(())
}

/// Tells the rest of the log.
pub(super) async fn finish(context: &Context<'_>, place: &Place<'_>, log: &mut Log) -> Result<(), ApiError> {
    let size = oss::object_size(context.cloud, context.region, place.bucket, &place.key(LOG)).await?.unwrap_or_default();
    log.tell(context, place, size).await?;
    log.teller.tell(context, &[], true);
    Ok(())
}

/// What a task is called that comes after so many others that came to nothing.
pub(super) fn task_name(place: &Place<'_>, gone: usize) -> String {
    if gone == 0 { place.run.to_owned() } else { format!("{}-{gone}", place.run) }
}

/// Begins a task, once however often it is begun. One that comes after others that came to nothing has another name.
async fn task<'a>(context: &Context<'a>, spec: &InvocationSpec, place: &Place<'a>, gone: usize) -> Result<Way<'a>, ResourceError> {
    let event = event::event(context, spec, place, None).await?;
    let name = task_name(place, gone);
    match fc::invoke(context.cloud, context.region, place.function, event, Invocation::Task(&name)).await {
        Ok(_) => {}
        // Its name is taken: an earlier program began it.
        Err(ApiError::Refused { status: 409, .. }) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(Way::Task { name, since: Instant::now() })
}

/// How long the task ran, as far as the cloud says it already. Nothing depends on that but a receipt.
async fn counted(context: &Context<'_>, place: &Place<'_>, gone: usize) -> Option<u64> {
    let query = GetAsyncTask { function_name: place.function.to_owned(), task_id: task_name(place, gone) };
    billed(&ask(context.cloud, context.region, &query).await.ok()?)
}

fn billed(task: &AsyncTask) -> Option<u64> {
    u64::try_from(task.duration_ms).ok().filter(|milliseconds| task.is_over() && *milliseconds > 0)
}

/// Begins a call, unless one of an earlier program has begun.
async fn call<'a>(context: &Context<'a>, spec: &InvocationSpec, place: &'a Place<'a>, seen: Seen) -> Result<Way<'a>, ResourceError> {
    let traces = || Way::Traces { until: Instant::now() + Duration::from_secs(spec.timeout.into()) + FAREWELL };
    if !seen.live.is_empty() {
        return Ok(traces());
    }
    let attempt: String = context.token.chars().filter(char::is_ascii_alphanumeric).take(24).collect();
    let ticket = Bytes::from(attempt.clone());
    oss::put_object(context.cloud, context.region, place.bucket, &place.key(TICKET), ticket).await?;
    if !look(context, place).await?.live.is_empty() {
        return Ok(traces());
    }
    let event = event::event(context, spec, place, Some(&attempt)).await?;
    let (cloud, region) = (context.cloud, context.region);
    Ok(Way::Call { answering: Box::pin(fc::invoke(cloud, region, place.function, event, Invocation::Sync)) })
}

/// Stops the task, and waits until it has ended: another one may take its place.
pub(super) async fn stop(context: &Context<'_>, place: &Place<'_>) -> Result<(), ResourceError> {
    // A bucket that is gone tells of no attempt that came to nothing.
    let gone = look(context, place).await.map_or(0, |seen| seen.gone);
    let (function_name, task_id) = (place.function.to_owned(), task_name(place, gone));
    let stop = StopAsyncTask { function_name: function_name.clone(), task_id: task_id.clone() };
    match ask(context.cloud, context.region, &stop).await {
        Err(error) if error.is_not_found() || error.is(&["PreconditionFailed"]) => return Ok(()),
        other => other?,
    };
    let query = GetAsyncTask { function_name, task_id };
    wait::until(context, "the task to stop", STOP_LIMIT, async || match ask(context.cloud, context.region, &query).await {
        Err(error) if error.is_not_found() => Ok(Look::Ready(())),
        Err(error) => Err(error.into()),
        Ok(task) if task.is_over() => Ok(Look::Ready(())),
        Ok(task) => Ok(Look::NotYet(task.status)),
    })
    .await
}

async fn follow(
    context: &Context<'_>,
    spec: &InvocationSpec,
    place: &Place<'_>,
    log: &mut Log,
    mut way: Way<'_>,
) -> Result<Ending, ResourceError> {
    let mut pause = FIRST_PAUSE;
    loop {
        let seen = look(context, place).await?;
        if let Some(ending) = ending(context, spec, place, &seen, &mut way).await? {
            return Ok(ending);
        }
        pause = if log.tell(context, place, seen.log).await? { FIRST_PAUSE } else { (pause * 3 / 2).min(LONGEST_PAUSE) };
        let answer = match &mut way {
            Way::Call { answering } => tokio::select! {
                answer = answering => Some(answer),
                () = tokio::time::sleep(pause) => None,
            },
            _ => {
                tokio::time::sleep(pause).await;
                None
            }
        };
        if let Some(answer) = answer {
            way = Way::Answered(answer);
        }
    }
}

async fn ending(
    context: &Context<'_>,
    spec: &InvocationSpec,
    place: &Place<'_>,
    seen: &Seen,
    way: &mut Way<'_>,
) -> Result<Option<Ending>, ResourceError> {
    match way {
        Way::Task { name, since } => of_task(context, place, name, *since).await,
        Way::Call { .. } => Ok(None),
        Way::Answered(Ok(answer)) => Ok(Some(of_answer(answer))),
        Way::Answered(Err(error)) => {
            let error = ResourceError::from(error.clone());
            if !(error.is_uncertain() && (seen.result || !seen.live.is_empty())) {
                return Err(error);
            }
            // It runs, and only its answer is lost.
            *way = Way::Traces { until: Instant::now() + Duration::from_secs(spec.timeout.into()) + FAREWELL };
            Ok(None)
        }
        Way::Traces { .. } if seen.result => Ok(Some(Ending::Over(result(context, place).await?))),
        Way::Traces { until } if Instant::now() >= *until => {
            let because = format!("it left no result, and the cloud ended it after {} s at the latest", spec.timeout);
            Ok(Some(Ending::Broken { because, tail: String::new() }))
        }
        Way::Traces { .. } => Ok(None),
    }
}

async fn of_task(context: &Context<'_>, place: &Place<'_>, name: &str, since: Instant) -> Result<Option<Ending>, ResourceError> {
    let query = GetAsyncTask { function_name: place.function.to_owned(), task_id: name.to_owned() };
    let task = match ask(context.cloud, context.region, &query).await {
        Err(error) if error.is_not_found() && since.elapsed() < LISTED_WITHIN => return Ok(None),
        other => other?,
    };
    Ok(match task.status.as_str() {
        "Succeeded" => Some(parsed(task.return_payload.as_bytes(), billed(&task))),
        _ if task.is_over() => Some(Ending::Broken { because: reason(&task), tail: String::new() }),
        _ => None,
    })
}

pub(super) fn reason(task: &AsyncTask) -> String {
    let said = message(task.task_error_message.as_bytes()).unwrap_or_else(|| task.task_error_message.clone());
    match (task.status.as_str(), said.as_str()) {
        ("Failed", said) if !said.is_empty() => said.to_owned(),
        (status, "") => format!("its task is `{status}`"),
        (status, said) => format!("its task is `{status}`: {said}"),
    }
}

/// What an error of a function says: `{"errorMessage": "...`. What comes after may be cut off.
fn message(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, said) = text.split_once("\"errorMessage\":")?;
    String::deserialize(&mut serde_json::Deserializer::from_str(said)).ok()
}

fn of_answer(answer: &Answer) -> Ending {
    let Some(kind) = answer.header("x-fc-error-type") else {
        let milliseconds = answer.header("x-fc-invocation-duration").and_then(|text| text.trim().parse().ok());
        return parsed(&answer.body, milliseconds);
    };
    let tail = answer.header("x-fc-log-result").and_then(|log| STANDARD.decode(log).ok()).unwrap_or_default();
    Ending::Broken { because: message(&answer.body).unwrap_or_else(|| kind.to_owned()), tail: String::from_utf8_lossy(&tail).into_owned() }
}

fn parsed(body: &[u8], billed_ms: Option<u64>) -> Ending {
    match serde_json::from_slice(body) {
        Ok(outcome) => Ending::Over(Outcome { billed_ms, ..outcome }),
        Err(error) => Ending::Broken { because: format!("its answer can't be read: {error}"), tail: String::new() },
    }
}

/// What it left as its result.
pub(super) async fn result(context: &Context<'_>, place: &Place<'_>) -> Result<Outcome, ResourceError> {
    let body = oss::get_object(context.cloud, context.region, place.bucket, &place.key(RESULT)).await?;
    serde_json::from_slice(&body).map_err(|error| ResourceError::InTheWay(format!("the result of `{}` can't be read: {error}", place.run)))
}

#[cfg(test)]
mod tests;
