//! Carries out asynchronous invocations: one after another attempt, each step written down before the next, until
//! there is an end; then tells the destination. After a restart it goes on where the log ends.

use std::sync::{Arc, Weak};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use tokio::sync::watch;

use super::asynchronous::{AsyncConfig, USUAL, target};
use super::function::Function;
use super::invoke::{Done, Failure, Invocation, asked, carry_out};
use super::task::{AsyncTask, Status, put};
use super::{arn, change, find, key_of};
use crate::local_cloud::runtime::Shared;
use crate::local_cloud::store::{Task, World};
use crate::local_cloud::time::{after, seconds, until};
use crate::local_cloud::wire::fault::Fault;

/// The longest wait before another attempt.
const LONGEST: Duration = Duration::from_secs(300);

/// What has to be done next.
enum Step {
    /// Nothing any more.
    Over,
    /// An attempt.
    Attempt(Box<(AsyncTask, Function)>),
}

fn limits(function: &Function) -> (u64, u32) {
    function.asynchronous.as_ref().map_or(USUAL, |config| (config.oldest, config.retries))
}

/// At a server's start: goes on with what is not over. An attempt that was under way ended with its instance.
pub(crate) fn take_up(world: &mut World, now: Timestamp) -> Vec<Task> {
    let open: Vec<String> = world.function_tasks.iter().filter(|(_, task)| !task.status.is_over()).map(|(key, _)| key.to_owned()).collect();
    for key in &open {
        let retries = world.function_tasks.get(key).and_then(|task| world.functions.get(&key_of(&task.region, &task.function)));
        let retries = retries.map_or(0, |function| limits(function).1);
        if let Some(task) = world.function_tasks.get_mut(key).filter(|task| task.status == Status::Running) {
            "the instance went down with its server".clone_into(&mut task.error);
            if task.retried < retries {
                task.retried += 1;
                task.turn(Status::Retrying, "the instance went down with its server", now);
            } else {
                task.turn(Status::Failed, "the instance went down with its server", now);
            }
        }
    }
    open.into_iter().map(Task::Invoke).collect()
}

/// Carries out a task to its end.
pub(crate) async fn carry(weak: &Weak<Shared>, key: &str) {
    let Some(shared) = weak.upgrade() else { return };
    let mut stop = shared.world().index.functions.stopping(key);
    // A change that can't be written down ends this: the next server goes on.
    while let Ok(Step::Attempt(next)) = change(&shared, |world, now| step(world, &shared, key, now)).await {
        let (task, function) = *next;
        let outcome = attempt(&shared, &task, &function, stop.clone()).await;
        if shared.world().index.functions.closed {
            return;
        }
        let Ok(wait) = change(&shared, |world, now| conclude(world, &shared, key, &outcome, now)).await else { return };
        let Some(at) = wait else { break };
        tokio::select! {
            biased;
            () = asked(&mut stop) => {}
            () = tokio::time::sleep(until(shared.now(), at)) => {}
        }
    }
    shared.world().index.functions.stopped(key);
}

/// Turns to the next step; an end is told of in the same breath.
fn step(world: &mut World, shared: &Shared, key: &str, now: Timestamp) -> Step {
    let step = look(world, key, now);
    finish(world, shared, key, now);
    step
}

fn look(world: &mut World, key: &str, now: Timestamp) -> Step {
    let Some(task) = world.function_tasks.get(key).filter(|task| !task.status.is_over()).cloned() else { return Step::Over };
    let function = world.functions.get(&key_of(&task.region, &task.function)).cloned();
    let Some(row) = world.function_tasks.get_mut(key) else { return Step::Over };
    if task.status == Status::Stopping {
        row.turn(Status::Stopped, "", now);
        return Step::Over;
    }
    let Some(function) = function else {
        row.turn(Status::Invalid, "the function is gone", now);
        return Step::Over;
    };
    let oldest = limits(&function).0;
    if now > after(task.enqueued, Duration::from_secs(oldest)) {
        row.error = format!("it was not carried out within {oldest} seconds");
        row.turn(Status::Expired, "", now);
        return Step::Over;
    }
    if task.put_off == 0 {
        row.turn(Status::Dequeued, "", now);
    }
    Step::Attempt(Box::new((task, function)))
}

async fn attempt(shared: &Arc<Shared>, task: &AsyncTask, function: &Function, stop: watch::Receiver<bool>) -> Result<Done, Failure> {
    let headers =
        vec![("content-type".to_owned(), "application/octet-stream".to_owned()), ("x-fc-async-task-id".to_owned(), task.id.clone())];
    let invocation = Invocation {
        request_id: task.request_id.clone(),
        method: http::Method::POST,
        path: "/invoke".to_owned(),
        headers,
        event: task.payload(),
        tail: false,
    };
    let key = task.key();
    let begun = async |instance: &str| {
        // That it runs is on disk before it does.
        let turned = change(shared, |world, now| {
            if let Some(task) = world.function_tasks.get_mut(&key).filter(|task| task.status != Status::Stopping) {
                instance.clone_into(&mut task.instance);
                task.started.get_or_insert(now);
                task.turn(Status::Running, "", now);
            }
        });
        drop(turned.await);
    };
    carry_out(shared, function, &invocation, stop, begun).await
}

/// Writes down what an attempt came to; answers when the next one is due, if there is one.
fn conclude(world: &mut World, shared: &Shared, key: &str, outcome: &Result<Done, Failure>, now: Timestamp) -> Option<Timestamp> {
    let next = weigh(world, shared, key, outcome, now);
    finish(world, shared, key, now);
    next
}

fn weigh(world: &mut World, shared: &Shared, key: &str, outcome: &Result<Done, Failure>, now: Timestamp) -> Option<Timestamp> {
    let task = world.function_tasks.get(key)?;
    let function = world.functions.get(&key_of(&task.region, &task.function)).cloned();
    let task = world.function_tasks.get_mut(key)?;
    let base = shared.config.latency.of(|latency| latency.function_retry);
    if let Ok(done) = outcome {
        task.ran += u64::try_from(done.duration.as_millis()).unwrap_or(u64::MAX);
    }
    let later = |times: u32| after(now, base.saturating_mul(2_u32.saturating_pow(times.min(16))).min(LONGEST));
    if task.status == Status::Stopping || matches!(outcome, Err(Failure::Stopped)) {
        task.turn(Status::Stopped, "", now);
        return None;
    }
    let (message, temporary) = match outcome {
        Ok(done) => {
            done.instance.clone_into(&mut task.instance);
            task.set_answer(done.response.body());
            if done.error.is_none() {
                task.error.clear();
                task.turn(Status::Succeeded, "", now);
                return None;
            }
            (String::from_utf8_lossy(done.response.body()).into_owned(), false)
        }
        Err(Failure::Refused(Fault { status, code, message, .. })) => (format!("{code}: {message}"), matches!(*status, 429 | 500 | 503)),
        Err(Failure::Stopped) => return None,
    };
    task.error = message.chars().take(1024).collect();
    if temporary {
        // The service's own troubles are tried again until the task is too old.
        task.put_off += 1;
        return Some(later(task.put_off - 1));
    }
    task.put_off = 0;
    let retries = function.as_ref().map_or(0, |function| limits(function).1);
    if task.retried >= retries {
        task.turn(Status::Failed, task.error.clone(), now);
        return None;
    }
    task.turn(Status::Retrying, task.error.clone(), now);
    task.retried += 1;
    Some(later(task.retried - 1))
}

/// Tells the destination of the end, and forgets what nobody can ask for.
fn finish(world: &mut World, shared: &Shared, key: &str, now: Timestamp) {
    let Some(task) = world.function_tasks.get(key).filter(|task| task.status.is_over()).cloned() else { return };
    let function = world.functions.get(&key_of(&task.region, &task.function));
    let config = function.and_then(|function| function.asynchronous.clone());
    let sent = config.and_then(|config| tell(world, shared, &task, &config, now));
    if !task.told {
        world.function_tasks.remove(key);
    } else if let (Some(sent), Some(task)) = (sent, world.function_tasks.get_mut(key)) {
        task.destination = sent;
    }
}

/// Hands the outcome to the function that is to be told; answers how that went.
fn tell(world: &mut World, shared: &Shared, task: &AsyncTask, config: &AsyncConfig, now: Timestamp) -> Option<String> {
    let succeeded = task.status == Status::Succeeded;
    if task.status == Status::Stopped || !task.destination.is_empty() {
        return None;
    }
    let to = if succeeded { config.on_success.as_deref()? } else { config.on_failure.as_deref()? };
    let receiver = target(&shared.config, &task.region, to).and_then(|name| find(world, &task.region, name).ok().cloned());
    let Some(receiver) = receiver else { return Some("Failed".to_owned()) };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let message: Json = json!({
        "timestamp": seconds(now),
        "requestContext": {
            "requestId": task.request_id,
            "functionArn": arn(&shared.config.account, &task.region, &task.function),
            "condition": if succeeded { "" } else { task.error.as_str() },
            "approximateInvokeCount": task.retried + 1,
        },
        "requestPayload": text(&task.payload()),
        "responseContext": { "statusCode": 200, "functionError": if succeeded { "" } else { "UnhandledInvocationError" } },
        "responsePayload": text(&task.answered()),
    });
    // One end is told of once, also when the telling is repeated after a restart.
    let id = format!("{}-told", task.request_id);
    if !world.function_tasks.contains(&format!("{}/{id}", receiver.key())) {
        put(world, &receiver, id, &super::request_id(shared, &shared.request_id()), message.to_string().as_bytes(), now);
    }
    Some("Succeeded".to_owned())
}
