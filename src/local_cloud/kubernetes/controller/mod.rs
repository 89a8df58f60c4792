//! What follows from a cluster's objects without anybody asking. One task for each cluster looks at everything whenever
//! something changed or its time has come, does what is missing, and sleeps; it keeps nothing of its own in mind.

mod garbage;
pub(crate) mod jobs;
mod namespaces;
pub(crate) mod nodes;
pub(crate) mod schedule;

use std::sync::Weak;
use std::time::Duration;

use jiff::Timestamp;

use super::bootstrap;
use super::kubelet;
use super::space::Space;
use crate::local_cloud::cs;
use crate::local_cloud::runtime::Shared;
use crate::local_cloud::time::until;

/// The longest sleep, so that a cluster that slept itself does not oversleep for long.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);

/// What one look came to.
enum Look {
    /// Nothing to do until then, unless something changes.
    Until(Option<Timestamp>),
    /// The cluster is gone.
    Gone,
}

/// Rules a cluster until it is gone.
pub(crate) async fn govern(weak: &Weak<Shared>, cluster: &str) {
    loop {
        let Some(shared) = weak.upgrade() else { return };
        let ((look, mut signal, now), number) = shared.commit(|world, now| {
            let mut space = Space { world, config: &shared.config, cluster, now };
            let signal = space.changes();
            let look = look(&mut space, &shared);
            if matches!(look, Look::Gone) {
                space.world.index.kubernetes.forget(cluster);
            }
            (look, signal, now)
        });
        if shared.settle(number).await.is_err() {
            return;
        }
        drop(shared);
        let pause = match look {
            Look::Gone => return,
            Look::Until(next) => next.map_or(LOOK_AGAIN, |next| until(now, next)).min(LOOK_AGAIN),
        };
        tokio::select! {
            biased;
            _ = signal.changed() => {}
            // A moment that a date without fractions names is over only after it.
            () = tokio::time::sleep(pause.max(Duration::from_millis(1))) => {}
        }
    }
}

fn look(space: &mut Space, shared: &Shared) -> Look {
    let Some(row) = space.world.clusters.get(space.cluster) else { return Look::Gone };
    if row.deletion.is_some() {
        return match cs::teardown::go_on(space, shared) {
            cs::teardown::Step::Gone => Look::Gone,
            cs::teardown::Step::Until(next) => Look::Until(next),
        };
    }
    if space.now < row.running_at {
        return Look::Until(Some(row.running_at));
    }
    bootstrap::ensure(space);
    let mut times: Vec<Option<Timestamp>> = Vec::new();
    times.push(cs::pool::go_on(space, shared));
    times.push(nodes::sync(space, shared));
    namespaces::sync(space);
    times.push(jobs::sync(space));
    schedule::sync(space);
    times.push(garbage::sync(space));
    kubelet::start_all(space);
    let now = space.now;
    Look::Until(times.into_iter().flatten().map(|at| at.max(now)).min())
}
