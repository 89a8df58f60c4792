//! Commands that run later than at once: at their times, at the next boot or at every boot. Between its runs such a
//! command is `Scheduled`; what became of a run is kept with the past ones.

use std::sync::Weak;
use std::time::Duration;

use jiff::Timestamp;

use super::frequency::Frequency;
use super::target::is_off;
use super::{Invocation, Progress, Repeat, Run};
use crate::local_cloud::runtime::Shared;
use crate::local_cloud::store::{Task, World};
use crate::local_cloud::time::until;

/// The longest sleep, so that a machine that slept itself does not oversleep for long.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);
/// How many past runs of a command are kept for an instance; this number is ours.
const KEPT: u32 = 100;

/// Has a scheduled command run whenever its time has come, until it is stopped or has no more times. Times that passed
/// while nobody was there are passed over, as an agent does that was off.
pub(crate) async fn keep(weak: &Weak<Shared>, id: &str) {
    let Some(mut from) = weak.upgrade().map(|shared| shared.now()) else { return };
    loop {
        let (at, pause) = {
            let Some(shared) = weak.upgrade() else { return };
            let world = shared.world();
            let Some(row) = world.invocations.get(id) else { return };
            let next = Frequency::read(&row.frequency).ok().and_then(|frequency| frequency.next(row.created, from));
            let Some(at) = next.filter(|_| row.runs.values().any(|run| !run.progress.is_over())) else { return };
            (at, until(shared.now(), at))
        };
        tokio::time::sleep(pause.min(LOOK_AGAIN)).await;
        let Some(shared) = weak.upgrade() else { return };
        if shared.now() < at {
            continue;
        }
        from = at;
        let ((), number) = shared.commit(|world, now| fire(world, id, now));
        if shared.settle(number).await.is_err() {
            return;
        }
    }
}

/// Starts a run on each instance that waits. One that is off, or still busy with the last run, lets this time pass.
fn fire(world: &mut World, id: &str, now: Timestamp) {
    let Some(row) = world.invocations.get(id) else { return };
    let recurs = row.recurs();
    let waiting: Vec<String> =
        row.runs.iter().filter(|(_, run)| run.progress == Progress::Scheduled).map(|(instance, _)| instance.clone()).collect();
    for instance in waiting {
        if !is_off(world, &instance, now) {
            begin(world, id, &instance, now);
        } else if !recurs && let Some(run) = world.invocations.get_mut(id).and_then(|row| row.runs.get_mut(&instance)) {
            *run = run.clone().ended(Progress::Aborted, "InstanceNotRunning", "the instance is not running", now);
        }
    }
}

fn begin(world: &mut World, id: &str, instance: &str, now: Timestamp) {
    if let Some(run) = world.invocations.get_mut(id).and_then(|row| row.runs.get_mut(instance)) {
        *run = Run { repeats: run.repeats, ..Run::pending(now) };
        world.index.tasks.push(Task::Deliver(id.to_owned(), instance.to_owned()));
    }
}

/// After a run: one that comes again is put with the past ones and waits for its next time.
pub(crate) fn after_run(world: &mut World, id: &str, instance: &str) {
    let Some(row) = world.invocations.get(id) else { return };
    let Some(run) = row.runs.get(instance).cloned() else { return };
    if !row.recurs() || !run.progress.is_over() || run.stopped.is_some() {
        return;
    }
    world.past_runs.insert(place(id, instance, run.repeats), run.clone());
    if run.repeats > KEPT {
        world.past_runs.remove(&place(id, instance, run.repeats - KEPT));
    }
    if let Some(run) = world.invocations.get_mut(id).and_then(|row| row.runs.get_mut(instance)) {
        run.progress = Progress::Scheduled;
    }
}

/// Where a past run is kept.
fn place(id: &str, instance: &str, number: u32) -> String {
    format!("{id}/{instance}/{number:010}")
}

/// The past runs of a command on an instance, oldest first.
pub(super) fn past<'a>(world: &'a World, id: &str, instance: &str) -> Vec<&'a Run> {
    let prefix = format!("{id}/{instance}/");
    world.past_runs.after(&prefix).take_while(|(key, _)| key.starts_with(&prefix)).map(|(_, run)| run).collect()
}

fn of_boots<'a>(world: &'a World, instance: &str) -> impl Iterator<Item = &'a Invocation> {
    let ids = world.index.invoked.get(instance).cloned().unwrap_or_default();
    let instance = instance.to_owned();
    ids.into_iter().filter_map(|id| world.invocations.get(&id)).filter(move |row| {
        matches!(row.repeat, Repeat::NextRebootOnly | Repeat::EveryReboot)
            && row.runs.get(&instance).is_some_and(|run| run.progress == Progress::Scheduled)
    })
}

/// Whether any command waits for the instance to boot.
pub(crate) fn waits_for_boot(world: &World, instance: &str) -> bool {
    of_boots(world, instance).next().is_some()
}

/// The instance booted: what waited for that is handed over.
pub(crate) fn booted(world: &mut World, instance: &str, now: Timestamp) {
    let due: Vec<String> = of_boots(world, instance).map(|row| row.id.clone()).collect();
    for id in due {
        begin(world, &id, instance, now);
    }
}

/// The instance is gone: nothing will run on it any more.
pub(crate) fn forget(world: &mut World, instance: &str, now: Timestamp) {
    for id in world.index.invoked.get(instance).cloned().unwrap_or_default() {
        let waits =
            world.invocations.get(&id).and_then(|row| row.runs.get(instance)).is_some_and(|run| run.progress == Progress::Scheduled);
        if waits && let Some(run) = world.invocations.get_mut(&id).and_then(|row| row.runs.get_mut(instance)) {
            *run = run.clone().ended(Progress::Aborted, "InstanceReleased", "the instance is released", now);
        }
    }
}
