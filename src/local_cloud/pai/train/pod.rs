//! Runs one pod: its command from the start of a life to its end, and the next life where its policy wants one.

use std::sync::Arc;

use tokio::sync::watch;

use super::place::born;
use super::{AGAIN, commit, output, prepare};
use crate::local_cloud::machines::{CancellationSignal, Ending};
use crate::local_cloud::pai::job::{Job, MOST_RESTARTS, Phase, Pod};
use crate::local_cloud::pai::{command, layout, mount};
use crate::local_cloud::runtime::Shared;
use crate::local_cloud::store::World;

/// How the command of a life came to its end.
enum End {
    /// With that exit code, now or before.
    Exited(i32),
    /// Its machine was lost.
    Lost,
    /// It is to be ended, or nothing is known of it.
    Left,
}

fn look(shared: &Shared, job: &str, pod: &str) -> Option<(Job, Pod)> {
    let world = shared.world();
    let job = world.jobs.get(job)?;
    Some((job.clone(), job.pod(pod)?.clone()))
}

fn pod_of<'a>(world: &'a mut World, job: &str, pod: &str) -> Option<&'a mut Pod> {
    world.jobs.get_mut(job)?.pod_mut(pod)
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // A sender that is gone means the same.
    drop(stop.wait_for(|stop| *stop).await);
}

/// Attends a pod until it has ended for good, or until it is stopped.
pub(super) async fn attend(shared: &Arc<Shared>, id: &str, pod_id: &str, stop: CancellationSignal) {
    loop {
        let Some((job, pod)) = look(shared, id, pod_id) else { return };
        if pod.is_over() || *stop.borrow() {
            return;
        }
        if pod.life.phase == Phase::Pending {
            // A new life: the job runs already, only this pod is not ready.
            tokio::select! {
                biased;
                () = stopped(stop.clone()) => return,
                () = tokio::time::sleep(shared.config.latency.of(|latency| latency.pod_restart)) => {}
            }
            if prepare::bring_up(shared, &job, &pod).await {
                commit(shared, |world, now| {
                    if let Some(pod) = pod_of(world, id, pod_id) {
                        pod.life.phase = Phase::Running;
                        pod.life.started = Some(now);
                        pod.tell(now, "Started container.");
                    }
                })
                .await;
            } else if shared.world().index.closing {
                return;
            } else {
                tokio::select! {
                    biased;
                    () = stopped(stop.clone()) => return,
                    () = tokio::time::sleep(AGAIN) => {}
                }
            }
            continue;
        }
        if !layout::works(&job, &pod) {
            return stopped(stop).await;
        }
        let end = match pod.life.exit {
            Some(code) => End::Exited(code),
            None => follow(shared, &job, &pod, &stop).await,
        };
        if !settle(shared, id, pod_id, end).await {
            return;
        }
    }
}

/// Runs the command, or goes on with it.
async fn follow(shared: &Arc<Shared>, job: &Job, pod: &Pod, stop: &CancellationSignal) -> End {
    if !shared.world().index.up.contains(&pod.id) {
        return End::Lost;
    }
    let machine = pod.machine(&job.roles[pod.role]);
    let outcome = output::follow(shared, &machine, command::of(job, pod), stop.clone()).await;
    if shared.world().index.closing {
        return End::Left;
    }
    match outcome.ending {
        Ending::Exited(code) => End::Exited(code),
        _ if *stop.borrow() => End::Left,
        Ending::Stopped => End::Lost,
        Ending::NotStarted(reason) if reason.starts_with("the machine ") => End::Lost,
        Ending::NotStarted(reason) => {
            commit(shared, |world, now| {
                if let Some(pod) = pod_of(world, &job.id, &pod.id) {
                    pod.tell(now, format!("Error: failed to start container: {reason}"));
                }
            })
            .await;
            // What a shell says of a program that can't be run.
            End::Exited(126)
        }
        Ending::TimedOut => End::Exited(124),
    }
}

/// Writes down what a life came to. Whether the pod is to be looked at again.
async fn settle(shared: &Arc<Shared>, id: &str, pod_id: &str, end: End) -> bool {
    let code = match end {
        End::Left => return false,
        End::Exited(code) => Some(code),
        End::Lost => None,
    };
    // First that it ended: from here on it is not run again by mistake.
    let noted = commit(shared, |world, now| {
        let Some(pod) = pod_of(world, id, pod_id) else { return };
        pod.life.evicted = code.is_none();
        if pod.life.exit.is_none() {
            pod.life.exit = code;
            let text = code.map_or_else(|| "The node was lost.".to_owned(), |code| format!("Container exited with code {code}."));
            pod.tell(now, text);
        }
    })
    .await;
    let (Some(()), Some((job, pod))) = (noted, look(shared, id, pod_id)) else { return false };
    let kept = if code.is_some() { mount::write_back(shared, &job, &pod).await } else { Ok(()) };
    commit(shared, |world, now| {
        let again = job.roles[pod.role].restart.again(code) && pod.past.len() < MOST_RESTARTS as usize;
        let next = (code != Some(0) && again).then(|| born(shared.config.seed, world, now));
        let Some(pod) = pod_of(world, id, pod_id) else { return false };
        pod.life.finished = Some(now);
        pod.life.phase = if code == Some(0) && kept.is_ok() { Phase::Succeeded } else { Phase::Failed };
        if let Err(reason) = kept {
            pod.tell(now, format!("Failed to write back: {reason}"));
        }
        let Some(next) = next else { return false };
        pod.tell(now, "Back-off restarting failed container");
        pod.past.push(std::mem::replace(&mut pod.life, next));
        true
    })
    .await
    .unwrap_or(false)
}
