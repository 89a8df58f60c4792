//! Which instances of functions there are, and how many requests each has. It lives only as long as the server: no
//! instance outlives it. It starts and ends nothing itself.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};

use jiff::Timestamp;
use tokio::sync::watch;

use super::function::Function;
use crate::local_cloud::machines::MachineSpec;
use crate::local_cloud::runtime::Shared;
use crate::local_cloud::wire::fault::Fault;

/// How many instances that are gone are still told of.
const REMEMBERED: usize = 200;

/// How far an instance is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Starting,
    Ready,
    /// It never was ready, and why.
    Failed(NotStarted),
    /// It takes no more requests.
    Ending,
}

/// Why an instance did not come up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotStarted {
    /// The service says so.
    Refused(Fault),
    /// The function's own initializer failed: the body of its error.
    Initializer(Vec<u8>),
}

/// An instance.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) function: String,
    pub(crate) region: String,
    pub(crate) generation: u64,
    pub(crate) machine: MachineSpec,
    pub(crate) port: u16,
    pub(crate) concurrency: u32,
    pub(crate) busy: u32,
    pub(crate) phase: Phase,
    pub(crate) created: Timestamp,
    /// When it had nothing to do for the last time.
    pub(crate) idle_since: Timestamp,
    /// Ends it, whatever it does.
    pub(crate) end: watch::Sender<bool>,
    /// Ends it as soon as it has nothing to do.
    pub(crate) retired: bool,
}

/// An instance that is gone.
#[derive(Clone, Debug)]
pub(crate) struct Gone {
    pub(crate) id: String,
    pub(crate) function: String,
    pub(crate) created: Timestamp,
    pub(crate) ended: Timestamp,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    pub(crate) instances: BTreeMap<String, Entry>,
    pub(crate) gone: VecDeque<Gone>,
    /// Raised when anything changes.
    changed: watch::Sender<u64>,
    /// The server goes down: nothing new.
    pub(crate) closed: bool,
    /// Stops asynchronous invocations that are under way.
    stops: BTreeMap<String, watch::Sender<bool>>,
}

impl Entry {
    /// Whether it takes one of the places that a function or a region has; one that is about to go does not.
    fn counts(&self) -> bool {
        let goes = *self.end.borrow() || (self.retired && self.busy == 0);
        matches!(self.phase, Phase::Starting | Phase::Ready) && !goes
    }
}

impl Pool {
    /// Tells of every change from now on.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(crate) fn signal(&self) {
        self.changed.send_modify(|number| *number += 1);
    }

    /// Lets instances of a function go: at once if it is gone, when they are idle if they are of an earlier generation.
    pub(crate) fn retire(&mut self, function: &str, generation: Option<u64>) {
        for entry in self.instances.values_mut().filter(|entry| entry.function == function) {
            match generation {
                Some(current) => entry.retired |= entry.generation != current,
                None => {
                    entry.end.send_replace(true);
                }
            }
        }
        self.signal();
    }

    /// Forgets an instance.
    pub(crate) fn forget(&mut self, id: &str, now: Timestamp) {
        if let Some(entry) = self.instances.remove(id) {
            self.gone.push_back(Gone { id: id.to_owned(), function: entry.function, created: entry.created, ended: now });
            if self.gone.len() > REMEMBERED {
                self.gone.pop_front();
            }
            self.signal();
        }
    }

    /// What stops an asynchronous invocation.
    pub(crate) fn stopping(&mut self, task: &str) -> watch::Receiver<bool> {
        self.stops.entry(task.to_owned()).or_default().subscribe()
    }

    /// Stops an asynchronous invocation.
    pub(crate) fn stop(&mut self, task: &str) {
        if let Some(stop) = self.stops.get(task) {
            stop.send_replace(true);
        }
    }

    /// Nothing is left to be stopped.
    pub(crate) fn stopped(&mut self, task: &str) {
        self.stops.remove(task);
    }
}

/// A place on an instance for one request. Given back when it is dropped.
pub(crate) struct Lease {
    shared: Weak<Shared>,
    pub(crate) id: String,
    pub(crate) machine: MachineSpec,
    pub(crate) port: u16,
}

impl Lease {
    /// The instance is of no use any more.
    pub(crate) fn discard(&self) {
        if let Some(shared) = self.shared.upgrade()
            && let Some(entry) = shared.world().index.functions.instances.get(&self.id)
        {
            entry.end.send_replace(true);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(shared) = self.shared.upgrade() else { return };
        let now = shared.now();
        let mut world = shared.world();
        let pool = &mut world.index.functions;
        if let Some(entry) = pool.instances.get_mut(&self.id) {
            entry.busy = entry.busy.saturating_sub(1);
            entry.idle_since = now;
            if entry.busy == 0 && matches!(entry.phase, Phase::Failed(_)) {
                pool.forget(&self.id, now);
            }
        }
        pool.signal();
    }
}

/// What asking for a place comes to.
pub(crate) enum Place {
    /// On an instance that is there; `true` if it was made for this and has to be brought up.
    Given(Lease, bool),
    /// There is none now.
    None(Fault),
}

fn exhausted(message: String) -> Place {
    Place::None(Fault::new(429, "ResourceExhausted", message))
}

/// Takes a place: on an instance that has room, else on a new one.
pub(crate) fn take(shared: &Arc<Shared>, function: &Function, new: impl FnOnce() -> (MachineSpec, u16)) -> Place {
    let key = function.key();
    let now = shared.now();
    let mut world = shared.world();
    let pool = &mut world.index.functions;
    if pool.closed {
        return Place::None(Fault::new(503, "ServiceUnavailable", "the local cloud goes down"));
    }
    if function.reserved == Some(0) {
        return exhausted(format!("function '{}' has a reserved concurrency of 0: it may not be invoked", function.name));
    }
    let lease = |entry: &Entry| Lease {
        shared: Arc::downgrade(shared),
        id: entry.machine.id.clone(),
        machine: entry.machine.clone(),
        port: entry.port,
    };
    let room = pool.instances.values_mut().find(|entry| {
        entry.function == key
            && entry.generation == function.generation
            && entry.phase == Phase::Ready
            && entry.busy < entry.concurrency
            && !*entry.end.borrow()
    });
    if let Some(entry) = room {
        entry.busy += 1;
        return Place::Given(lease(entry), false);
    }
    if function.settings.disable_ondemand {
        return exhausted(format!("function '{}' has no instance, and on-demand instances are disabled", function.name));
    }
    let quota = shared.config.quotas.function_instances;
    let own = pool.instances.values().filter(|entry| entry.counts() && entry.function == key).count();
    if function.reserved.is_some_and(|reserved| own >= reserved as usize) {
        return exhausted(format!("function '{}' has all of its {own} reserved instances at work", function.name));
    }
    if pool.instances.values().filter(|entry| entry.counts() && entry.region == function.region).count() >= quota {
        return exhausted(format!("the region has all of its {quota} instances at work"));
    }
    let (machine, port) = new();
    let entry = Entry {
        function: key,
        region: function.region.clone(),
        generation: function.generation,
        machine,
        port,
        concurrency: function.settings.instance_concurrency,
        busy: 1,
        phase: Phase::Starting,
        created: now,
        idle_since: now,
        end: watch::Sender::new(false),
        retired: false,
    };
    let given = lease(&entry);
    pool.instances.insert(entry.machine.id.clone(), entry);
    Place::Given(given, true)
}
