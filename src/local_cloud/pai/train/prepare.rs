//! Prepares the pods of a job that has its place: images, machines, data sources. When all of them are ready the job runs.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;

use super::{AGAIN, commit};
use crate::local_cloud::billing;
use crate::local_cloud::pai::job::{Job, Phase, Pod, Status};
use crate::local_cloud::pai::{image, mount};
use crate::local_cloud::runtime::Shared;
use crate::local_cloud::store::World;
use crate::local_cloud::time::{after, until};

/// The longest time between two tries to pull an image.
const LONGEST_BACKOFF: Duration = Duration::from_secs(300);

/// One turn of preparing. `pulls` counts how often images were tried.
pub(super) async fn prepare(shared: &Arc<Shared>, id: &str, pulls: &mut u32) -> Option<Duration> {
    let (job, now) = {
        let world = shared.world();
        (world.jobs.get(id)?.clone(), shared.now())
    };
    let pull = shared.config.latency.of(|latency| latency.image_pull);
    let pulled = after(job.since(Status::EnvPreparing, now).unwrap_or(now), pull);
    if now < pulled {
        return Some(until(now, pulled));
    }
    if job.roles.iter().any(|role| shared.config.stalled_images.iter().any(|part| role.image.contains(part.as_str()))) {
        // It goes on pulling, and nothing else will ever happen.
        return Some(super::LOOK_AGAIN);
    }
    if job.roles.iter().any(|role| !image::is_known(&job.region, &role.image)) {
        *pulls += 1;
        return fail_to_pull(shared, &job, *pulls).await;
    }
    let ready = join_all(job.pods.iter().filter(|pod| pod.life.phase == Phase::Pending).map(|pod| bring_up(shared, &job, pod))).await;
    if ready.contains(&false) {
        return Some(AGAIN);
    }
    commit(shared, |world, now| start(world, id, now)).await;
    None
}

async fn fail_to_pull(shared: &Arc<Shared>, job: &Job, tries: u32) -> Option<Duration> {
    commit(shared, |world, now| {
        let Some(job) = world.jobs.get_mut(&job.id) else { return };
        for at in 0..job.pods.len() {
            let image = job.roles[job.pods[at].role].image.clone();
            if image::is_known(&job.region, &image) {
                continue;
            }
            let pod = &mut job.pods[at];
            let host = image.split('/').next().unwrap_or_default();
            pod.tell(now, format!("Failed to pull image \"{image}\": rpc error: code = NotFound desc = {host} has no such image"));
            pod.tell(now, "Error: ErrImagePull");
            pod.tell(now, format!("Back-off pulling image \"{image}\""));
            pod.tell(now, "Error: ImagePullBackOff");
        }
    })
    .await;
    Some(Duration::from_secs(10).saturating_mul(2_u32.saturating_pow(tries.min(8) - 1)).min(LONGEST_BACKOFF))
}

/// Boots a pod's machine from nothing and mounts its data; whether it is ready.
pub(super) async fn bring_up(shared: &Arc<Shared>, job: &Job, pod: &Pod) -> bool {
    let machine = pod.machine(&job.roles[pod.role]);
    if shared.world().index.closing {
        return false;
    }
    let booted = async {
        // What an earlier try or an earlier life left there is none of this one's business.
        shared.machines.remove(&machine.id).await.map_err(|error| format!("Failed to create pod sandbox: {error}"))?;
        shared.machines.boot(&machine, &[]).await.map_err(|error| format!("Failed to create pod sandbox: {error}"))?;
        mount::mount(shared, job, &machine).await.map_err(|reason| format!("MountVolume.SetUp failed: {reason}"))
    };
    let outcome = booted.await;
    let ready = outcome.is_ok();
    let written = commit(shared, |world, now| {
        if ready {
            world.index.up.insert(pod.id.clone());
        }
        let image = job.roles[pod.role].image.as_str();
        match outcome {
            Ok(mounted) => {
                if !mounted.files.is_empty() {
                    world.pod_mounts.insert(pod.life.uid.clone(), mounted);
                }
                if let Some(pod) = world.jobs.get_mut(&job.id).and_then(|job| job.pod_mut(&pod.id)) {
                    pod.tell(now, "Successfully pulled image.");
                    pod.tell(now, format!("Created container with image \"{image}\""));
                }
            }
            Err(reason) => {
                if let Some(pod) = world.jobs.get_mut(&job.id).and_then(|job| job.pod_mut(&pod.id))
                    && pod.events.last().is_none_or(|event| event.text != reason)
                {
                    pod.tell(now, reason);
                }
            }
        }
    })
    .await;
    ready && written.is_some()
}

/// All pods are ready: they start, and from now on they cost.
fn start(world: &mut World, id: &str, now: Timestamp) {
    let Some(job) = world.jobs.get_mut(id) else { return };
    if job.ending.is_some() || job.status(now) != Status::EnvPreparing {
        return;
    }
    for pod in &mut job.pods {
        pod.life.phase = Phase::Running;
        pod.life.started = Some(now);
        pod.tell(now, "Started container.");
    }
    job.go(Status::Running, "JobRunning", "Job is running.".to_owned(), now);
    let (region, roles) = (job.region.clone(), job.roles.clone());
    for role in roles {
        let hourly = role.hourly * rust_decimal::Decimal::from(role.count);
        billing::start(world, id, &role.name.to_lowercase(), &region, hourly, now);
    }
}
