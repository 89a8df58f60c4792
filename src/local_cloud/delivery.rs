//! Carries commands and files to instances: waits for the agent, hands over, keeps what comes back.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use tokio::sync::watch;

use super::assistant::describe::agent_ready;
use super::assistant::schedule;
use super::assistant::start::script_for;
use super::assistant::{Progress, Run};
use super::instance::Status;
use super::machines::{CommandOutcome, CommandSpec, Ending, FileFault, MachineSpec};
use super::runtime::Shared;
use super::store::{Live, World};
use super::time::after;

/// How long a command may wait for the agent of an instance that runs.
const DELIVERY: Duration = Duration::from_secs(60);
/// How much output is kept.
const KEPT: usize = 24 * 1024;

/// Why something does not reach an instance: code and text.
type Undelivered = (&'static str, String);

/// What waiting for an agent comes to.
enum Waiting {
    Ready(MachineSpec),
    Never(Undelivered),
    Until(Timestamp),
}

fn look(world: &World, shared: &Shared, id: &str, since: Timestamp, now: Timestamp) -> Waiting {
    let Some(instance) = world.instances.get(id) else {
        return Waiting::Never(("InstanceReleased", "the instance is released".to_owned()));
    };
    let agent = shared.config.latency.of(|latency| latency.agent);
    if agent_ready(world, instance, agent, now) {
        return Waiting::Ready(instance.machine(world, shared.catalog, now));
    }
    if instance.is_released() || matches!(instance.state(now), Status::Stopping | Status::Stopped) {
        return Waiting::Never(("InstanceNotRunning", "the instance is not running".to_owned()));
    }
    let Some(running) = instance.running_since(now) else {
        return Waiting::Until(instance.next_change(now).unwrap_or(after(now, DELIVERY)));
    };
    let deadline = after(running.max(since), DELIVERY + agent);
    if now >= deadline {
        let reason = world.index.boot_failures.get(id).cloned().unwrap_or_else(|| "the agent does not answer".to_owned());
        return Waiting::Never(("ClientNotRunning", reason));
    }
    let ready = after(running, agent);
    Waiting::Until(if ready > now { ready } else { deadline })
}

/// Waits for the agent of an instance. `over` says whether nobody wants it any more.
async fn agent(weak: &Weak<Shared>, id: &str, over: impl Fn(&World) -> bool) -> Option<Result<MachineSpec, Undelivered>> {
    let (mut signal, since) = {
        let shared = weak.upgrade()?;
        let mut world = shared.world();
        if !world.instances.contains(id) {
            return Some(Err(("InstanceReleased", "the instance is released".to_owned())));
        }
        (world.index.watch(id), shared.now())
    };
    loop {
        signal.borrow_and_update();
        let (then, clock) = {
            let shared = weak.upgrade()?;
            let world = shared.world();
            if over(&world) {
                return None;
            }
            let now = shared.now();
            match look(&world, &shared, id, since, now) {
                Waiting::Ready(machine) => return Some(Ok(machine)),
                Waiting::Never(why) => return Some(Err(why)),
                Waiting::Until(then) => (then, Arc::clone(&shared.clock)),
            }
        };
        tokio::select! {
            biased;
            // A sender that is gone means that the instance is; looking again tells.
            _ = signal.changed() => {}
            () = clock.sleep_until(then) => {}
        }
    }
}

fn run_of<'a>(world: &'a mut World, invocation: &str, instance: &str) -> Option<&'a mut Run> {
    world.invocations.get_mut(invocation)?.runs.get_mut(instance)
}

/// Hands a command to an instance and keeps its outcome.
pub(crate) async fn deliver(weak: &Weak<Shared>, invocation: &str, instance: &str) {
    let cancelled = |world: &World| {
        let run = world.invocations.get(invocation).and_then(|invocation| invocation.runs.get(instance));
        run.is_none_or(|run| run.progress.is_over())
    };
    let Some(reached) = agent(weak, instance, cancelled).await else { return };
    let Some(shared) = weak.upgrade() else { return };
    let key = (invocation.to_owned(), instance.to_owned());
    let (stop, stopping) = watch::channel(false);
    let (begun, number) = shared.commit(|world, now| {
        if cancelled(world) {
            return None;
        }
        let account = &shared.config.account;
        let name = world.instances.get(instance).map_or_else(String::new, |instance| instance.name.clone());
        let command = world.invocations.get(invocation).map(|row| CommandSpec {
            id: invocation.to_owned(),
            script: script_for(row, account, instance, &name),
            interpreter: "/bin/sh",
            working_directory: Some(row.working_directory.clone()).filter(|text| !text.is_empty()),
            user: Some(row.user.clone()).filter(|text| !text.is_empty()),
            environment: BTreeMap::new(),
            timeout: Duration::from_secs(row.timeout),
            kill_tree: row.termination == "ProcessTree",
        })?;
        let run = run_of(world, invocation, instance)?;
        run.updated = now;
        match reached {
            Err((code, info)) => {
                *run = run.clone().ended(Progress::Aborted, code, &info, now);
                schedule::after_run(world, invocation, instance);
                None
            }
            Ok(machine) => {
                run.progress = Progress::Running;
                if run.started.is_none() {
                    run.started = Some(now);
                    run.repeats += 1;
                }
                // It was stopped while an earlier server ran it.
                stop.send_replace(run.stopped.is_some());
                world.index.live.insert(key.clone(), Live::default());
                world.index.stops.insert(key.clone(), stop);
                Some((machine, with_interpreter(command)))
            }
        }
    });
    // That it runs is on disk before it does: it is never run twice.
    if shared.settle(number).await.is_err() {
        return;
    }
    let Some((machine, command)) = begun else { return };
    let machines = Arc::clone(&shared.machines);
    drop(shared);
    let progress = collect(weak.clone(), key.clone());
    let outcome = machines.run(&machine, command, progress, stopping).await;
    let Some(shared) = weak.upgrade() else { return };
    let ((), number) = shared.commit(|world, now| {
        world.index.live.remove(&key);
        world.index.stops.remove(&key);
        let timeout = world.invocations.get(invocation).map_or(0, |row| row.timeout);
        if let Some(run) = run_of(world, invocation, instance) {
            finish(run, outcome, Duration::from_secs(timeout), now);
        }
        schedule::after_run(world, invocation, instance);
    });
    // If this is lost the next server asks the machine again.
    drop(shared.settle(number).await);
}

/// A first line that asks for bash gets it.
fn with_interpreter(command: CommandSpec) -> CommandSpec {
    let first = command.script.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let bash = first.starts_with(b"#!") && String::from_utf8_lossy(first).contains("bash");
    CommandSpec { interpreter: if bash { "/bin/bash" } else { "/bin/sh" }, ..command }
}

/// Keeps output while the command runs.
fn collect(weak: Weak<Shared>, key: (String, String)) -> super::machines::Progress {
    Arc::new(move |piece: &[u8]| {
        let Some(shared) = weak.upgrade() else { return };
        let mut world = shared.world();
        if let Some(live) = world.index.live.get_mut(&key) {
            let room = KEPT.saturating_sub(live.output.len()).min(piece.len());
            live.output.extend_from_slice(&piece[..room]);
            live.dropped += (piece.len() - room) as u64;
        }
    })
}

fn finish(run: &mut Run, outcome: CommandOutcome, timeout: Duration, now: Timestamp) {
    let CommandOutcome { ending, mut output, dropped } = outcome;
    let more = output.len().saturating_sub(KEPT);
    output.truncate(KEPT);
    run.output = STANDARD.encode(&output);
    run.dropped = dropped + more as u64;
    let started = run.started.unwrap_or(now);
    let (progress, exit_code, code, info, finished) = match ending {
        Ending::Exited(0) => (Progress::Success, Some(0), "", String::new(), now),
        Ending::Exited(code) => (Progress::Failed, Some(code), "ExitCodeNonzero", format!("the exit code is {code}"), now),
        Ending::TimedOut => {
            (Progress::Timeout, None, "ExecutionTimeout", "the command ran out of time".to_owned(), after(started, timeout))
        }
        Ending::Stopped if run.stopped.is_some() => (Progress::Terminated, None, "", String::new(), now),
        Ending::Stopped => (Progress::Failed, None, "ExecutionInterrupted", "the instance went down".to_owned(), now),
        Ending::NotStarted(reason) => {
            let code = match () {
                () if reason.starts_with("the user ") => "AccountNotExists",
                () if reason.starts_with("the working directory ") => "DirectoryNotExists",
                () => "ExecutionException",
            };
            (Progress::Error, None, code, reason, now)
        }
    };
    run.exit_code = exit_code;
    *run = run.clone().ended(progress, code, &info, finished);
}

/// Hands a file to an instance.
pub(crate) async fn send(weak: &Weak<Shared>, file: &str, instance: &str) {
    let Some(reached) = agent(weak, instance, |world| !world.files.contains(file)).await else { return };
    let Some(shared) = weak.upgrade() else { return };
    let begun = shared.now();
    let (spec, timeout) = {
        let world = shared.world();
        let Some(row) = world.files.get(file) else { return };
        (row.spec(world.index.contents.get(file).cloned().unwrap_or_default()), Duration::from_secs(row.timeout))
    };
    let written = match reached {
        Err((code, info)) => Err((Progress::Aborted, code, info)),
        Ok(machine) => match tokio::time::timeout(timeout, shared.machines.write_file(&machine, spec)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(fault)) => Err((Progress::Failed, code_of(&fault), fault.to_string())),
            Err(_) => Err((Progress::Timeout, "DeliveryTimeout", "the file was not written in time".to_owned())),
        },
    };
    let ((), number) = shared.commit(|world, now| {
        let Some(run) = world.files.get_mut(file).and_then(|row| row.runs.get_mut(instance)) else { return };
        run.started = Some(begun);
        let (progress, code, info) = written.err().unwrap_or((Progress::Success, "", String::new()));
        *run = run.clone().ended(progress, code, &info, now);
    });
    drop(shared.settle(number).await);
}

fn code_of(fault: &FileFault) -> &'static str {
    match fault {
        FileFault::AlreadyExists => "FileAlreadyExists",
        FileFault::PathInvalid => "FilePathInvalid",
        FileFault::CreateFailed(_) | FileFault::ReadFailed(_) => "FileCreateFail",
        FileFault::UserGroupNotExists => "UserGroupNotExists",
    }
}
