//! Asynchronous invocations as they are written down and told of: enqueuing, GetAsyncTask, ListAsyncTasks and
//! StopAsyncTask. How they are carried out is the business of `worker`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::function::Function;
use super::settings::invalid;
use super::{arn, check_qualifier, commit, find, key_of, page};
use crate::local_cloud::call::Outcome;
use crate::local_cloud::config::Config;
use crate::local_cloud::roa::RoaCall;
use crate::local_cloud::store::{Task, World};
use crate::local_cloud::wire::fault::Fault;

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Status {
    Enqueued,
    Dequeued,
    Running,
    Retrying,
    Stopping,
    Succeeded,
    Failed,
    Stopped,
    Expired,
    Invalid,
}

impl Status {
    pub(crate) fn is_over(self) -> bool {
        matches!(self, Status::Succeeded | Status::Failed | Status::Stopped | Status::Expired | Status::Invalid)
    }

    fn name(self) -> String {
        format!("{self:?}")
    }
}

/// Something that happened to a task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Event {
    status: Status,
    detail: String,
    at: Timestamp,
}

/// An asynchronous invocation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AsyncTask {
    pub(crate) id: String,
    pub(crate) region: String,
    pub(crate) function: String,
    pub(crate) request_id: String,
    /// Whether it can be asked for; else it is forgotten when it is over.
    pub(crate) told: bool,
    /// In base64.
    payload: String,
    pub(crate) status: Status,
    events: Vec<Event>,
    pub(crate) enqueued: Timestamp,
    pub(crate) started: Option<Timestamp>,
    pub(crate) ended: Option<Timestamp>,
    /// For how many milliseconds its attempts ran, as they are billed.
    #[serde(default)]
    pub(crate) ran: u64,
    pub(crate) instance: String,
    pub(crate) retried: u32,
    /// How often it was put off because there was no room; these are no retries.
    pub(crate) put_off: u32,
    pub(crate) error: String,
    /// In base64.
    answer: String,
    pub(crate) destination: String,
}

impl AsyncTask {
    pub(crate) fn key(&self) -> String {
        format!("{}/{}", key_of(&self.region, &self.function), self.id)
    }

    pub(crate) fn payload(&self) -> Bytes {
        STANDARD.decode(&self.payload).map(Bytes::from).unwrap_or_default()
    }

    pub(crate) fn answered(&self) -> Vec<u8> {
        STANDARD.decode(&self.answer).unwrap_or_default()
    }

    pub(crate) fn set_answer(&mut self, bytes: &[u8]) {
        // More is not told. Source: GetAsyncTask, returnPayload.
        self.answer = STANDARD.encode(&bytes[..bytes.len().min(1 << 20)]);
    }

    /// Goes on to another status.
    pub(crate) fn turn(&mut self, status: Status, detail: impl Into<String>, now: Timestamp) {
        self.status = status;
        self.events.push(Event { status, detail: detail.into(), at: now });
        if status.is_over() {
            self.ended = Some(now);
        }
    }

    fn describe(&self, config: &Config, with_payload: bool) -> Json {
        let milliseconds = |at: Option<Timestamp>| at.map_or(0, Timestamp::as_millisecond);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let events: Vec<Json> = (1..)
            .zip(&self.events)
            .map(|(number, event)| {
                json!({
                    "eventId": number,
                    "status": event.status.name(),
                    "eventDetail": event.detail,
                    "timestamp": event.at.as_millisecond(),
                })
            })
            .collect();
        let mut body = json!({
            "taskId": self.id,
            "status": self.status.name(),
            "functionArn": arn(&config.account, &self.region, &self.function),
            "qualifier": "LATEST",
            "requestId": self.request_id,
            "startedTime": milliseconds(self.started.or(Some(self.enqueued))),
            "endTime": milliseconds(self.ended),
            "durationMs": self.ran,
            "instanceId": self.instance,
            "alreadyRetriedTimes": self.retried,
            "destinationStatus": self.destination,
            "taskErrorMessage": self.error,
            "returnPayload": text(&self.answered()),
            "events": events,
        });
        if with_payload {
            body["taskPayload"] = text(&self.payload()).into();
        }
        body
    }
}

fn check_id(id: &str) -> Result<(), Fault> {
    let first = id.bytes().next().unwrap_or(b'-');
    let fits = id.len() <= 128
        && (first.is_ascii_alphabetic() || first == b'_')
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    let rule = "1 to 128 letters, digits, _ and -, a letter or _ first";
    if fits { Ok(()) } else { Err(invalid(format!("x-fc-async-task-id '{id}' is invalid: {rule}"))) }
}

/// A new task, to be carried out as soon as it is on disk.
pub(super) fn put(world: &mut World, function: &Function, id: String, request_id: &str, event: &[u8], now: Timestamp) -> String {
    let mut task = AsyncTask {
        id,
        region: function.region.clone(),
        function: function.name.clone(),
        request_id: request_id.to_owned(),
        told: function.asynchronous.as_ref().is_some_and(|config| config.task),
        payload: STANDARD.encode(event),
        status: Status::Enqueued,
        events: Vec::new(),
        enqueued: now,
        started: None,
        ended: None,
        ran: 0,
        instance: String::new(),
        retried: 0,
        put_off: 0,
        error: String::new(),
        answer: String::new(),
        destination: String::new(),
    };
    task.turn(Status::Enqueued, "", now);
    let key = task.key();
    world.function_tasks.insert(key.clone(), task);
    world.index.tasks.push(Task::Invoke(key.clone()));
    key
}

/// Takes an asynchronous invocation; answers its id if it can be asked for.
pub(super) async fn enqueue(
    call: &RoaCall<'_>,
    function: &Function,
    id: Option<&str>,
    request_id: &str,
    event: &[u8],
) -> Result<Option<String>, Fault> {
    if let Some(id) = id {
        check_id(id)?;
        if function.asynchronous.as_ref().is_none_or(|config| !config.task) {
            return Err(invalid(format!("function '{}' has no asynchronous tasks: asyncTask is not enabled", function.name)));
        }
    }
    // Ids of one's own start with a letter: they never meet those of requests.
    let id = id.unwrap_or(request_id).to_owned();
    let answer = commit(call, |call| {
        let function = find(call.world, &function.region, &function.name)?.clone();
        let key = format!("{}/{id}", function.key());
        if call.world.function_tasks.contains(&key) {
            let message = format!("async task '{id}' of function '{}' already exists", function.name);
            return Err(Fault::new(409, "StatefulAsyncInvocationAlreadyExists", message));
        }
        let now = call.now;
        put(call.world, &function, id.clone(), request_id, event, now);
        let told = function.asynchronous.as_ref().is_some_and(|config| config.task);
        Ok(if told { json!(id) } else { Json::Null })
    })
    .await?;
    Ok(answer.as_str().map(str::to_owned))
}

fn find_task<'a>(world: &'a World, region: &str, name: &str, id: &str) -> Result<&'a AsyncTask, Fault> {
    find(world, region, name)?;
    let task = world.function_tasks.get(&format!("{}/{id}", key_of(region, name))).filter(|task| task.told);
    task.ok_or_else(|| Fault::missing("AsyncTaskNotFound", format!("async task '{id}' of function '{name}' does not exist")))
}

/// GetAsyncTask.
pub(super) fn get(call: &RoaCall<'_>, name: &str, id: &str) -> Outcome {
    let world = call.shared.world();
    let task = find_task(&world, call.region()?.id, name, id)?;
    check_qualifier(call.params.text("qualifier"), name)?;
    Ok(task.describe(&call.shared.config, true))
}

/// ListAsyncTasks, the newest first unless told otherwise.
pub(super) fn list(call: &RoaCall<'_>, name: &str) -> Outcome {
    let region = call.region()?.id;
    let world = call.shared.world();
    find(&world, region, name)?;
    check_qualifier(call.params.text("qualifier"), name)?;
    let text = |name| call.params.text(name);
    let time = |name: &str| call.params.number::<i64>(name).map_err(|_| invalid(format!("{name} is not a number")));
    let (begin, end) = (time("startedTimeBegin")?, time("startedTimeEnd")?);
    let upward = match text("sortOrderByTime") {
        None | Some("desc") => false,
        Some("asc") => true,
        Some(other) => return Err(invalid(format!("sortOrderByTime '{other}' is invalid: asc or desc"))),
    };
    let with_payload = call.params.flag("includePayload").map_err(|_| invalid("includePayload is true or false"))?.unwrap_or(false);
    let below = format!("{}/{}", key_of(region, name), text("prefix").unwrap_or_default());
    let mut rows: Vec<(String, &AsyncTask)> = world
        .function_tasks
        .starting_with(&below)
        .map(|(_, task)| task)
        .filter(|task| task.told && text("status").is_none_or(|status| task.status.name() == status))
        .map(|task| (task, task.started.unwrap_or(task.enqueued).as_millisecond()))
        .filter(|(_, at)| begin.is_none_or(|begin| *at >= begin) && end.is_none_or(|end| *at <= end))
        .map(|(task, at)| (format!("{:020}/{}", if upward { at } else { i64::MAX - at }, task.id), task))
        .collect();
    rows.sort_by(|(one, _), (other, _)| one.cmp(other));
    let (tasks, next) = page(call, "nextToken", 20, rows.iter().map(|(key, task)| (key.as_str(), *task)))?;
    let tasks: Vec<Json> = tasks.into_iter().map(|task| task.describe(&call.shared.config, with_payload)).collect();
    Ok(json!({ "tasks": tasks, "nextToken": next }))
}

/// StopAsyncTask. One that is stopped already stays so.
pub(super) async fn stop(call: &RoaCall<'_>, name: &str, id: &str) -> Outcome {
    let region = call.region()?.id;
    commit(call, |call| {
        let task = find_task(call.world, region, name, id)?;
        check_qualifier(call.params.text("qualifier"), name)?;
        let (key, status, now) = (task.key(), task.status, call.now);
        if matches!(status, Status::Stopped | Status::Stopping) {
            return Ok(json!({}));
        }
        if status.is_over() {
            let message = format!("async task '{id}' is {} already", status.name());
            return Err(Fault::new(412, "PreconditionFailed", message));
        }
        if let Some(task) = call.world.function_tasks.get_mut(&key) {
            task.turn(Status::Stopping, "", now);
        }
        call.world.index.functions.stop(&key);
        Ok(json!({}))
    })
    .await
}
