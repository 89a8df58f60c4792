//! The life of one instance: brought up for a request, kept while it is used, removed when it is idle for long, of no
//! use any more, or told to end; and ListInstances. It is the only one who tells its machine to come or go.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::function::Function;
use super::invoke::asked;
use super::pool::{self, Lease, NotStarted, Phase, Place};
use super::settings::{Family, invalid};
use super::{check_qualifier, find, start};
use crate::local_cloud::call::Outcome;
use crate::local_cloud::machines::MachineSpec;
use crate::local_cloud::roa::RoaCall;
use crate::local_cloud::runtime::Shared;
use crate::local_cloud::time::{after, until};
use crate::local_cloud::wire::fault::Fault;

/// The port of a server that is told no other one. Source: Function Compute, custom runtimes.
const PORT: u16 = 9000;
/// How long to wait before a machine that was not removed is removed again.
const AGAIN: Duration = Duration::from_secs(5);
/// Longest time that an instance is waited for at the server's end.
const FAREWELL: Duration = Duration::from_secs(15);

/// What an instance's machine is. Its id is the instance's.
fn machine(shared: &Shared, function: &Function) -> (MachineSpec, u16) {
    let hash = Sha256::digest(shared.request_id());
    let text = hex::encode(hash);
    let settings = &function.settings;
    let custom = settings.custom_runtime_config.as_ref().and_then(|custom| custom.port);
    let container = settings.custom_container_config.as_ref().and_then(|container| container.port);
    let port = match settings.family() {
        Some(Family::Custom | Family::Container) => custom.or(container).unwrap_or(PORT),
        // Where machines share the computer's ports, two instances of our own bootstraps must not meet.
        _ => 20_000 + u16::from_be_bytes([hash[0], hash[1]]) % 10_000,
    };
    let spec = MachineSpec {
        id: format!("c-{:08x}-{}-{}", shared.now().as_second().max(0), &text[..8], &text[8..20]),
        hostname: format!("c-{}", &text[..12]),
        vcpu: (settings.cpu.ceil() as u32).max(1),
        memory_mib: u64::from(settings.memory_size),
        public_ip: None,
        private_ip: Ipv4Addr::new(21, 0, hash[2], 1 + hash[3] % 254),
    };
    (spec, port)
}

/// A place for a request on an instance that is ready, made if there is none.
pub(super) async fn lease(shared: &Arc<Shared>, function: &Function) -> Result<Lease, NotStarted> {
    let lease = match pool::take(shared, function, || machine(shared, function)) {
        Place::None(fault) => return Err(NotStarted::Refused(fault)),
        Place::Given(lease, false) => return Ok(lease),
        Place::Given(lease, true) => lease,
    };
    let (mut changes, end) = {
        let world = shared.world();
        let pool = &world.index.functions;
        let end = pool.instances.get(&lease.id).map(|entry| entry.end.subscribe());
        (pool.watch(), end)
    };
    if let Some(end) = end {
        shared.spawn(live(Arc::clone(shared), function.clone(), lease.machine.clone(), lease.port, end));
    }
    loop {
        changes.borrow_and_update();
        let phase = shared.world().index.functions.instances.get(&lease.id).map(|entry| entry.phase.clone());
        match phase {
            Some(Phase::Starting) => {}
            Some(Phase::Ready) => return Ok(lease),
            Some(Phase::Failed(reason)) => return Err(reason),
            Some(Phase::Ending) | None => {
                return Err(NotStarted::Refused(Fault::new(503, "ServiceUnavailable", "the instance was ended before it was ready")));
            }
        }
        if changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn set_phase(shared: &Shared, id: &str, phase: Phase) {
    let now = shared.now();
    let mut world = shared.world();
    let pool = &mut world.index.functions;
    if let Some(entry) = pool.instances.get_mut(id) {
        entry.phase = phase;
        entry.idle_since = now;
        if entry.busy == 0 && matches!(entry.phase, Phase::Failed(_)) {
            // Whoever wanted it has gone.
            pool.forget(id, now);
        }
    }
    pool.signal();
}

async fn live(shared: Arc<Shared>, function: Function, machine: MachineSpec, port: u16, mut end: watch::Receiver<bool>) {
    let id = machine.id.clone();
    let brought_up = tokio::select! {
        biased;
        () = asked(&mut end) => None,
        outcome = start::bring_up(&shared, &function, &machine, port) => Some(outcome),
    };
    match brought_up {
        Some(Ok(mut runtime)) => {
            set_phase(&shared, &id, Phase::Ready);
            let idle = stay(&shared, &function, &machine, port, &mut runtime, &mut end).await;
            set_phase(&shared, &id, Phase::Ending);
            if idle {
                start::pre_stop(&shared, &function, &machine, port).await;
            }
            drop(runtime);
            remove(&shared, &id).await;
            shared.world().index.functions.forget(&id, shared.now());
        }
        Some(Err(reason)) => {
            remove(&shared, &id).await;
            // Whoever waits for it reads the reason and forgets it.
            set_phase(&shared, &id, Phase::Failed(reason));
        }
        None => {
            set_phase(&shared, &id, Phase::Ending);
            remove(&shared, &id).await;
            shared.world().index.functions.forget(&id, shared.now());
        }
    }
}

/// Keeps an instance until it has to end; answers whether it just was idle.
async fn stay(
    shared: &Arc<Shared>,
    function: &Function,
    machine: &MachineSpec,
    port: u16,
    runtime: &mut start::Runtime,
    end: &mut watch::Receiver<bool>,
) -> bool {
    let usual = shared.config.latency.of(|latency| latency.function_idle);
    let idle = function.settings.idle_timeout.filter(|seconds| *seconds > 0).map_or(usual, Duration::from_secs);
    let mut changes = shared.world().index.functions.watch();
    let mut runs = true;
    loop {
        changes.borrow_and_update();
        let pause = {
            let now = shared.now();
            let mut world = shared.world();
            let Some(entry) = world.index.functions.instances.get_mut(&machine.id) else { return false };
            let over = after(entry.idle_since, idle);
            if entry.busy == 0 && (entry.retired || now >= over) {
                // Under the lock: from here on nobody is given a place.
                entry.phase = Phase::Ending;
                return true;
            }
            if entry.busy == 0 { until(now, over).max(Duration::from_millis(1)) } else { idle }
        };
        tokio::select! {
            biased;
            () = asked(end) => return false,
            _ = &mut runtime.process, if runs => {
                runs = false;
                if !shared.machines.listens(machine, port).await {
                    return false;
                }
            }
            _ = changes.changed() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Removes the machine, however often that has to be tried.
async fn remove(shared: &Arc<Shared>, id: &str) {
    while shared.machines.remove(id).await.is_err() {
        tokio::time::sleep(AGAIN).await;
    }
}

/// Ends all instances and waits until they are gone. Those who use one are told that it ended.
pub(super) async fn end_all(shared: &Arc<Shared>) {
    let (mut changes, mut left) = {
        let mut world = shared.world();
        let pool = &mut world.index.functions;
        pool.closed = true;
        for entry in pool.instances.values() {
            entry.end.send_replace(true);
        }
        pool.signal();
        (pool.watch(), !pool.instances.is_empty())
    };
    let gone = async {
        while left {
            if changes.changed().await.is_err() {
                return;
            }
            left = !shared.world().index.functions.instances.is_empty();
        }
    };
    // Machines that stay behind are ended by the next server.
    drop(tokio::time::timeout(FAREWELL, gone).await);
}

/// ListInstances: those that are there, and in a span of time those that were.
pub(super) fn list(call: &RoaCall<'_>, name: &str, request_id: &str) -> Outcome {
    let region = call.region()?.id;
    let world = call.shared.world();
    let function = find(&world, region, name)?;
    check_qualifier(call.params.text("qualifier"), name)?;
    let time = |name: &str| call.params.number::<i64>(name).map_err(|_| invalid(format!("{name} is not a number")));
    let (begin, until) = (time("startTimeMs")?, time("endTimeMs")?);
    let only_active = call.params.flag("withAllActive").map_err(|_| invalid("withAllActive is true or false"))?.unwrap_or(false);
    let limit = call.params.number::<usize>("limit").map_err(|_| invalid("limit is not a number"))?.unwrap_or(100);
    let several = |name: &str| -> Vec<String> {
        let text = call.params.text(name).unwrap_or_default();
        serde_json::from_str(text).unwrap_or_else(|_| text.split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect())
    };
    let (ids, states) = (several("instanceIds"), several("instanceStatus"));
    let key = function.key();
    let pool = &world.index.functions;
    let row = |id: &str, status: &str, created: i64, destroyed: Option<i64>| {
        let mut row = json!({
            "instanceId": id, "status": status, "createdTimeMs": created,
            "qualifier": "LATEST", "versionId": "0", "resourceType": "OnDemand",
        });
        if let Some(destroyed) = destroyed {
            row["destroyedTimeMs"] = destroyed.into();
        }
        row
    };
    let mut rows: Vec<Json> = Vec::new();
    for entry in pool.instances.values().filter(|entry| entry.function == key) {
        let status = match entry.phase {
            Phase::Starting => "Starting",
            Phase::Ready => "Running",
            Phase::Failed(_) => "Failed",
            Phase::Ending => "Destroying",
        };
        rows.push(row(&entry.machine.id, status, entry.created.as_millisecond(), None));
    }
    if !only_active && (begin.is_some() || until.is_some()) {
        let gone = pool.gone.iter().filter(|gone| gone.function == key);
        rows.extend(gone.map(|gone| row(&gone.id, "Destroyed", gone.created.as_millisecond(), Some(gone.ended.as_millisecond()))));
        rows.retain(|row| {
            until.is_none_or(|until| row["createdTimeMs"].as_i64().is_some_and(|at| at <= until))
                && begin.is_none_or(|begin| row["destroyedTimeMs"].as_i64().is_none_or(|at| at >= begin))
        });
    }
    let named = |wanted: &[String], text: &Json| wanted.is_empty() || wanted.iter().any(|one| text == one.as_str());
    rows.retain(|row| named(&ids, &row["instanceId"]) && named(&states, &row["status"]));
    rows.sort_by(|one, other| one["instanceId"].as_str().cmp(&other["instanceId"].as_str()));
    if let Some(first) = call.params.text("startKey") {
        rows.retain(|row| row["instanceId"].as_str().is_some_and(|id| id > first));
    }
    rows.truncate(limit);
    Ok(json!({ "instances": rows, "requestId": request_id }))
}
