//! Finds a place for a job that waits: as soon as there is stock for all its pods, they are there.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{AGAIN, commit};
use crate::local_cloud::pai::job::{Job, Life, Phase, Pod, Status};
use crate::local_cloud::pai::{layout, spec};
use crate::local_cloud::runtime::Shared;
use crate::local_cloud::store::{World, ids};

/// A pod's first or next life.
pub(super) fn born(seed: u64, world: &mut World, now: Timestamp) -> Life {
    let uid = ids::uuid(seed, world.next_number(), "pod");
    Life { uid, phase: Phase::Pending, evicted: false, created: now, started: None, finished: None, exit: None }
}

/// An address that no other number gets within the same range, from where the service takes them.
fn address(number: u64) -> Ipv4Addr {
    let [.., third, fourth] = u16::try_from(number % 60_000).unwrap_or(0).to_be_bytes();
    Ipv4Addr::new(10, 224, third, fourth.clamp(1, 254))
}

/// Makes the pods if there is stock; else the job waits on, and says so.
pub(super) async fn place(shared: &Arc<Shared>, id: &str) -> Option<Duration> {
    let placed = commit(shared, |world, now| {
        let Some(job) = world.jobs.get(id).cloned() else { return true };
        if let Some(kind) = short(shared, world, &job) {
            let text = format!("Insufficient resources: no stock of {kind} in {}.", job.region);
            if let Some(job) = world.jobs.get_mut(id)
                && job.events.last().is_none_or(|event| event.text != text)
            {
                job.tell(now, text);
            }
            return false;
        }
        let mut pods = Vec::new();
        for (rank, place) in layout::places(&job.job_type, &job.roles).into_iter().enumerate() {
            let name = format!("{id}-{}-{}", place.kind, place.number);
            let (life, number) = (born(shared.config.seed, world, now), world.next_number());
            let mut pod =
                Pod { id: name, role: place.role, kind: place.kind, rank, ip: address(number), life, past: Vec::new(), events: Vec::new() };
            let role = &job.roles[pod.role];
            let node = format!("{}.{}", job.region, pod.ip);
            pod.tell(now, format!("Successfully assigned {} to {node}", pod.id));
            pod.tell(now, format!("Pulling image \"{}\"", role.image));
            pods.push(pod);
        }
        if let Some(job) = world.jobs.get_mut(id) {
            pods.iter().for_each(|pod| job.tell(now, format!("Created pod: {}", pod.id)));
            job.pods = pods;
            job.go(Status::EnvPreparing, "JobEnvPreparing", "Job is preparing its environment.".to_owned(), now);
        }
        true
    })
    .await?;
    (!placed).then_some(AGAIN)
}

/// The first instance type that there is not enough of.
fn short(shared: &Shared, world: &World, job: &Job) -> Option<String> {
    let region = shared.catalog.regions.get(job.region.as_str())?;
    let mut kinds: Vec<&str> = job.roles.iter().map(|role| role.kind.as_str()).collect();
    kinds.dedup();
    kinds.into_iter().map(str::to_owned).find(|name| {
        let count = job.roles.iter().filter(|role| role.kind == *name).map(|role| role.count).sum();
        shared.catalog.types.get(name).is_none_or(|kind| !spec::supply(world, region, kind).has(count))
    })
}
