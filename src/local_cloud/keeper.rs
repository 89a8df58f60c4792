//! Looks after the machine of one instance: has it booted, opened, halted and removed as the instance's state demands,
//! until the instance is gone. It is the only one who tells a machine to come or go.

use std::sync::{Arc, Weak};
use std::time::Duration;

use jiff::Timestamp;

use super::clock::never;
use super::instance::{Status, first_boot, release};
use super::machines::{MachineSpec, Opening};
use super::runtime::Shared;
use super::security_group::openings;
use super::store::World;

/// How long to wait before a machine that did not come up is booted again.
const BOOT_AGAIN: Duration = Duration::from_secs(5);

/// What the instance's state demands of its machine.
enum Wanted {
    /// As it is.
    Same,
    /// Up since then, with these openings.
    Up(MachineSpec, Vec<Opening>, Timestamp),
    /// Down, its disk kept.
    Down,
    /// Away.
    Gone,
}

fn wanted(world: &World, shared: &Shared, id: &str, now: Timestamp) -> (Wanted, Option<Timestamp>) {
    let Some(instance) = world.instances.get(id) else { return (Wanted::Gone, None) };
    if let Some(gone_at) = instance.gone_at {
        return if now >= gone_at { (Wanted::Gone, None) } else { (Wanted::Down, Some(gone_at)) };
    }
    let next = instance.next_change(now).into_iter().chain(instance.events().filter(|at| *at > now)).min();
    let wanted = match instance.state(now) {
        Status::Pending => Wanted::Same,
        Status::Starting | Status::Running => {
            let started = instance.timeline.iter().rev().find(|(at, status)| *at <= now && *status == Status::Starting);
            let born = started.map_or(instance.created, |(at, _)| *at);
            Wanted::Up(instance.machine(world, shared.catalog, now), openings::of_instance(world, instance), born)
        }
        Status::Stopping | Status::Stopped => Wanted::Down,
    };
    (wanted, next)
}

/// Keeps the machine of `id` as its instance wants it. `alive` says whether it was adopted.
pub(crate) async fn keep(weak: &Weak<Shared>, id: &str, alive: bool) {
    let Some(mut signal) = weak.upgrade().map(|shared| shared.world().index.watch(id)) else { return };
    let mut up = alive;
    let mut current: Option<(MachineSpec, Vec<Opening>)> = None;
    let mut life: Option<Timestamp> = None;
    loop {
        signal.borrow_and_update();
        let Some(shared) = weak.upgrade() else { return };
        // Through a commit, because what is due may be this instance's release.
        let ((wanted, next), number) = shared.commit(|world, now| wanted(world, &shared, id, now));
        if shared.settle(number).await.is_err() {
            return;
        }
        let mut failed = false;
        match wanted {
            Wanted::Same => {}
            Wanted::Up(machine, openings, born) => {
                if up && life.is_some_and(|life| life != born) {
                    // It went down and up again between two looks.
                    stop_commands(&shared, id);
                    drop(shared.machines.halt(id).await);
                    up = false;
                }
                life = Some(born);
                let done = if up && current.as_ref() == Some(&(machine.clone(), openings.clone())) {
                    Ok(())
                } else if up {
                    shared.machines.open(&machine, &openings).await
                } else {
                    first_boot::bring_up(&shared, &machine, &openings).await
                };
                let mut world = shared.world();
                match done {
                    Ok(()) => {
                        if world.index.boot_failures.remove(id).is_some() | world.index.up.insert(id.to_owned()) {
                            // Those who wait for the agent look again; for this one it is no news.
                            world.index.signal(id);
                        }
                        up = true;
                        current = Some((machine, openings));
                    }
                    Err(error) => {
                        world.index.boot_failures.insert(id.to_owned(), error.to_string());
                        world.index.up.remove(id);
                        failed = true;
                    }
                }
            }
            Wanted::Down => {
                shared.world().index.up.remove(id);
                stop_commands(&shared, id);
                if up || current.is_some() {
                    // A machine that does not halt is removed or booted later; there is nothing else to be done with it.
                    drop(shared.machines.halt(id).await);
                    up = false;
                    current = None;
                }
            }
            Wanted::Gone => {
                shared.world().index.up.remove(id);
                stop_commands(&shared, id);
                if shared.machines.remove(id).await.is_ok() {
                    let consistency = shared.config.latency.of(|latency| latency.delete_consistency);
                    let ((), number) = shared.commit(|world, now| release::erase(world, id, now, consistency));
                    // If this is lost, the next server finds the instance released and removes it again.
                    drop(shared.settle(number).await);
                    return;
                }
                failed = true;
            }
        }
        let clock = Arc::clone(&shared.clock);
        drop(shared);
        tokio::select! {
            // In this order every time, so that a history can be repeated.
            biased;
            // A sender that is gone means that the instance is; looking again tells.
            _ = signal.changed() => {}
            () = clock.sleep_until(next.unwrap_or_else(never)) => {}
            () = tokio::time::sleep(BOOT_AGAIN), if failed => {}
        }
    }
}

fn stop_commands(shared: &Shared, id: &str) {
    let world = shared.world();
    for (_, stop) in world.index.stops.iter().filter(|((_, instance), _)| instance == id) {
        stop.send_replace(true);
    }
}
