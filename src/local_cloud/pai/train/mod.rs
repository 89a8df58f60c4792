//! Looks after one training job: waits for its place, prepares its pods, runs them, and takes everything away in the end.
//! It is the only one who tells a pod's machine to come or go. What it knows is in the job's row, so that the next server
//! goes on where this one was.

mod output;
mod place;
mod pod;
mod prepare;

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use tokio::sync::watch;

use super::job::{Job, Phase, Status, Step};
use super::{layout, mount};
use crate::local_cloud::billing;
use crate::local_cloud::runtime::Shared;
use crate::local_cloud::store::World;
use crate::local_cloud::time::{after, until};

/// How long to wait before something that did not work is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// The longest sleep, so that a computer that slept itself does not oversleep for long.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);

/// What is to be done next.
enum Next {
    /// Nothing before that moment, or before something changes.
    Wait(Timestamp),
    Place,
    Prepare,
    Run,
    /// Take the machines away; what the job is then.
    End,
    /// The job is gone, or has ended and left nothing.
    Over,
}

fn next(world: &World, id: &str, queuing: Duration, now: Timestamp) -> Next {
    let Some(job) = world.jobs.get(id) else { return Next::Over };
    if job.cleaned {
        return Next::Over;
    }
    if job.ending.is_some() || job.status(now).is_final() {
        return Next::End;
    }
    match job.status(now) {
        Status::Creating => Next::Wait(job.planned(Status::Queuing).unwrap_or(now)),
        Status::Queuing => match job.since(Status::Queuing, now).map(|since| after(since, queuing)) {
            Some(then) if then > now => Next::Wait(then),
            _ => Next::Place,
        },
        Status::EnvPreparing => Next::Prepare,
        Status::Running => Next::Run,
        // Somebody stops it, and why is written down with it.
        Status::Stopping | Status::Succeeded | Status::Failed | Status::Stopped => Next::End,
    }
}

/// Looks after a job until it has ended and its machines are gone.
pub(crate) async fn train(weak: &Weak<Shared>, id: &str) {
    let Some(mut signal) = weak.upgrade().map(|shared| shared.world().index.watch(id)) else { return };
    let mut machines: Vec<String> = Vec::new();
    let mut pulls = 0;
    loop {
        signal.borrow_and_update();
        let Some(shared) = weak.upgrade() else { return };
        if shared.settle(0).await.is_err() {
            // Nothing can be written down any more, so nothing may follow.
            return;
        }
        let now = shared.now();
        let (step, known) = {
            let world = shared.world();
            let queuing = shared.config.latency.of(|latency| latency.job_queuing);
            let known = world.jobs.get(id).map(|job| job.pods.iter().map(|pod| pod.id.clone()).collect::<Vec<_>>());
            (next(&world, id, queuing, now), known)
        };
        machines = known.unwrap_or(machines);
        let pause = match step {
            Next::Wait(then) => Some(until(now, then)),
            Next::Place => place::place(&shared, id).await,
            Next::Prepare => prepare::prepare(&shared, id, &mut pulls).await,
            Next::Run => {
                run(&shared, id, &mut signal).await;
                if shared.world().index.closing {
                    return;
                }
                None
            }
            Next::End => end(&shared, id, &machines).await,
            Next::Over => {
                // A job that was deleted meanwhile leaves no machine behind either.
                for machine in &machines {
                    drop(shared.machines.remove(machine).await);
                }
                return;
            }
        };
        drop(shared);
        let Some(pause) = pause else { continue };
        tokio::select! {
            // In this order every time, so that a history can be repeated.
            biased;
            _ = signal.changed() => {}
            () = tokio::time::sleep(pause.min(LOOK_AGAIN)) => {}
        }
    }
}

/// Writes something down and waits until it is on disk. What can't be written is not followed by anything.
async fn commit<R>(shared: &Arc<Shared>, change: impl FnOnce(&mut World, Timestamp) -> R) -> Option<R> {
    let (outcome, number) = shared.commit(change);
    shared.settle(number).await.ok().map(|()| outcome)
}

/// Runs the pods until the job is decided, stopped or out of time; then fetches what the others made.
async fn run(shared: &Arc<Shared>, id: &str, signal: &mut watch::Receiver<u64>) {
    let (stop, stopping) = watch::channel(false);
    let (pods, deadline) = {
        let world = shared.world();
        let Some(job) = world.jobs.get(id) else { return };
        let started = job.since(Status::Running, shared.now()).unwrap_or(job.created);
        let limit = (job.max_minutes > 0).then(|| after(started, Duration::from_secs(job.max_minutes.saturating_mul(60))));
        (job.pods.iter().map(|pod| pod.id.clone()).collect::<Vec<_>>(), limit)
    };
    let mut work: FuturesUnordered<_> = pods.iter().map(|pod| pod::attend(shared, id, pod, stopping.clone())).collect();
    loop {
        let now = shared.now();
        let pause = deadline.map_or(LOOK_AGAIN, |deadline| until(now, deadline)).min(LOOK_AGAIN);
        if decide(shared, id, deadline).await || shared.world().index.closing {
            break;
        }
        tokio::select! {
            biased;
            done = work.next() => if done.is_none() { break },
            _ = signal.changed() => { signal.borrow_and_update(); }
            () = tokio::time::sleep(pause) => {}
        }
    }
    stop.send_replace(true);
    while work.next().await.is_some() {}
    if !shared.world().index.closing {
        fetch_rest(shared, id).await;
    }
}

/// Whether it is over, and how: written down if it was not yet.
async fn decide(shared: &Arc<Shared>, id: &str, deadline: Option<Timestamp>) -> bool {
    let Some(decided) = commit(shared, |world, now| {
        let Some(job) = world.jobs.get(id) else { return true };
        if job.ending.is_some() {
            return true;
        }
        let Some(ending) = verdict(job, deadline, now) else { return false };
        if let Some(job) = world.jobs.get_mut(id) {
            job.tell(now, ending.message.clone());
            job.ending = Some(ending);
        }
        true
    })
    .await
    else {
        return true;
    };
    decided
}

/// What becomes of the job by what its pods did, or by its time.
fn verdict(job: &Job, deadline: Option<Timestamp>, now: Timestamp) -> Option<Step> {
    let step = |status, code: &str, message: String| Some(Step { status, code: code.to_owned(), message, at: now });
    let name = format!("{} {}", job.job_type, job.id);
    if let Some(pod) = job.pods.iter().find(|pod| pod.life.phase == Phase::Failed) {
        return match pod.life.exit {
            _ if pod.life.evicted => {
                step(Status::Failed, "PodEvicted", format!("{name} is failed because the node of {} was lost.", pod.id))
            }
            Some(0) => step(Status::Failed, "JobFailed", format!("{name} is failed because {} could not write its outputs.", pod.id)),
            code => {
                let code = code.unwrap_or(-1);
                step(Status::Failed, "JobFailed", format!("{name} is failed because {} exited with code {code}.", pod.id))
            }
        };
    }
    let mut counting = job.pods.iter().filter(|pod| layout::counts(job, pod)).peekable();
    if counting.peek().is_some() && counting.all(|pod| pod.life.phase == Phase::Succeeded) {
        return step(Status::Succeeded, "JobSucceeded", format!("{name} is successfully completed."));
    }
    if deadline.is_some_and(|deadline| now >= deadline) {
        let message = format!("{name} is stopped because it ran longer than {} minutes.", job.max_minutes);
        return step(Status::Stopped, "JobExceededMaxRunningTime", message);
    }
    None
}

/// Writes back what pods made that were ended with the job.
async fn fetch_rest(shared: &Arc<Shared>, id: &str) {
    let Some(job) = shared.world().jobs.get(id).cloned() else { return };
    for pod in job.pods.iter().filter(|pod| pod.life.phase == Phase::Running) {
        if let Err(reason) = mount::write_back(shared, &job, pod).await {
            commit(shared, |world, now| {
                if let Some(pod) = world.jobs.get_mut(id).and_then(|job| job.pod_mut(&pod.id)) {
                    pod.tell(now, format!("Failed to write back: {reason}"));
                }
            })
            .await;
        }
    }
}

/// Removes all machines, and then says that the job has ended.
async fn end(shared: &Arc<Shared>, id: &str, machines: &[String]) -> Option<Duration> {
    for machine in machines {
        shared.world().index.up.remove(machine);
        if shared.machines.remove(machine).await.is_err() {
            return Some(AGAIN);
        }
    }
    commit(shared, |world, now| {
        billing::stop(world, id, None, now);
        let Some(job) = world.jobs.get_mut(id) else { return };
        job.cleaned = true;
        if let Some(ending) = job.ending.clone()
            && !job.status(now).is_final()
        {
            for pod in job.pods.iter_mut().filter(|pod| !pod.is_over()) {
                pod.life.phase = if ending.status == Status::Succeeded { Phase::Succeeded } else { Phase::Failed };
                pod.life.finished = Some(now);
                pod.tell(now, "Stopping container.");
            }
            job.go(ending.status, &ending.code, ending.message, now);
        }
    })
    .await;
    None
}
