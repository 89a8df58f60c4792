//! What happens to an instance by itself: released at its time, taken back as a spot instance, expired.

use jiff::Timestamp;

use super::{Instance, Status, release, subscription};
use crate::local_cloud::billing;
use crate::local_cloud::store::World;

/// Lets everything happen to an instance whose time has come. An event that is no longer true does nothing.
pub(crate) fn happen(world: &mut World, id: &str, now: Timestamp) {
    let live = |instance: &&Instance| !instance.is_released();
    let Some(instance) = world.instances.get(id).filter(live) else { return };
    if let Some(at) = instance.release_at().filter(|at| *at <= now) {
        release::release(world, id, at, at);
        return;
    }
    if instance.spot.interrupted_at.is_some_and(|at| at <= now) {
        // Whoever waits for news of it learns of the lock.
        world.index.signal(id);
    }
    if instance.spot.ends_at().is_some_and(|at| at <= now) {
        stop(world, id);
    }
    if world.instances.get(id).and_then(|row| row.subscription.as_ref()).is_some_and(|term| term.until <= now) {
        subscription::expire(world, id);
    }
}

/// A spot instance that is taken back and not released: it stops, and pays for its disks only.
fn stop(world: &mut World, id: &str) {
    let Some(row) = world.instances.get_mut(id) else { return };
    let Some(at) = row.spot.ends_at() else { return };
    row.spot.interrupted_at = None;
    if row.state(at) == Status::Stopped {
        return;
    }
    row.timeline = vec![(at, Status::Stopped)];
    row.economical = true;
    billing::stop(world, id, Some("instanceType"), at);
    world.index.up.remove(id);
    world.index.signal(id);
}
