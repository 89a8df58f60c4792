//! What a running local cloud is made of: the world behind its lock, the log beside it, and the tasks that outlive a
//! call. No product's meaning is here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use jiff::Timestamp;
use tokio::sync::{OnceCell, watch};

use super::assistant::{Progress, Repeat, Run, schedule};
use super::auth::nonce::Nonces;
use super::catalog::Catalog;
use super::config::{Config, Faults};
use super::faults::{Dice, Fate};
use super::instance::Status;
use super::instance::first_boot;
use super::machines::Machines;
use super::market::Market;
use super::store::blobs::Blobs;
use super::store::ids;
use super::store::log::{Log, Snapshot};
use super::store::{Task, World};
use super::{delivery, keeper};
use crate::model::clock::Clock;

/// Everything that calls and tasks share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) catalog: &'static Catalog,
    pub(crate) machines: Arc<dyn Machines>,
    pub(crate) blobs: Blobs,
    pub(crate) nonces: Mutex<Nonces>,
    clock: Arc<dyn Clock>,
    world: Mutex<World>,
    log: Option<Arc<Log>>,
    faults: Mutex<(Option<Faults>, Dice)>,
    requests: AtomicU64,
    /// Makes request ids of one server differ from those of another over the same store.
    origin: String,
    awake: OnceCell<()>,
    /// Ends when the cloud is dropped.
    closed: watch::Receiver<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(
        config: Config,
        clock: Arc<dyn Clock>,
        machines: Arc<dyn Machines>,
        mut world: World,
        storage: (Option<Arc<Log>>, Blobs),
        closed: watch::Receiver<()>,
    ) -> Arc<Shared> {
        world.build_index();
        world.index.stock.clone_from(&config.stock);
        world.index.market = Market { seed: config.seed };
        world.index.reclaims.clone_from(&config.spot.reclaims);
        let faults = config.faults;
        let (log, blobs) = storage;
        Arc::new(Shared {
            catalog: Catalog::embedded(),
            machines,
            blobs,
            nonces: Mutex::default(),
            origin: clock.now().as_nanosecond().to_string(),
            clock,
            world: Mutex::new(world),
            log,
            faults: Mutex::new((faults, Dice::new(faults.map_or(0, |faults| faults.seed)))),
            requests: AtomicU64::new(0),
            awake: OnceCell::new(),
            closed,
            config,
        })
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The world, to be read. What is changed through this is not written down.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    pub(crate) fn request_id(&self) -> String {
        ids::request(self.config.seed, &self.origin, self.requests.fetch_add(1, Ordering::Relaxed))
    }

    /// What happens to the next call.
    pub(crate) fn fate(&self) -> Fate {
        let (faults, dice) = &mut *lock(&self.faults);
        faults.map(|faults| dice.fate(&faults)).unwrap_or_default()
    }

    /// Lets other things go wrong from now on.
    pub(crate) fn set_faults(&self, faults: Option<Faults>) {
        *lock(&self.faults) = (faults, Dice::new(faults.map_or(0, |faults| faults.seed)));
    }

    /// Changes the world: everything due happens first, and the change has a number that `settle` waits for.
    pub(crate) fn commit<R>(self: &Arc<Self>, change: impl FnOnce(&mut World, Timestamp) -> R) -> (R, u64) {
        let (outcome, number, tasks) = {
            let mut world = self.world();
            let now = self.now();
            world.settle(now, self.config.latency.of(|latency| latency.delete_consistency));
            let outcome = change(&mut world, now);
            let changes = world.changes();
            // Appended under the lock, so that the log has the order in which things happened.
            let number = self.log.as_ref().map_or(0, |log| log.append(&changes));
            (outcome, number, std::mem::take(&mut world.index.tasks))
        };
        // Started at once: if the caller goes away now, nothing that was accepted is left undone.
        for task in tasks {
            self.launch(task, number, None);
        }
        (outcome, number)
    }

    /// Waits until a change is on disk.
    pub(crate) async fn settle(self: &Arc<Self>, number: u64) -> Result<(), String> {
        let Some(log) = &self.log else { return Ok(()) };
        let shared = Arc::clone(self);
        let snapshot: Arc<Snapshot> = Arc::new(move |each: &mut dyn FnMut(&[super::store::table::Record])| {
            let world = shared.world();
            each(&world.all());
        });
        log.settle(number, snapshot).await
    }

    fn launch(self: &Arc<Self>, task: Task, number: u64, alive: Option<bool>) {
        let weak = Arc::downgrade(self);
        let closed = self.closed.clone();
        let work = async move {
            let Some(shared) = weak.upgrade() else { return };
            if shared.settle(number).await.is_err() {
                // Nothing may follow from a change that could not be written down.
                return;
            }
            drop(shared);
            match task {
                Task::Keep(instance) => keeper::keep(&weak, &instance, alive.unwrap_or(false)).await,
                Task::Deliver(invocation, instance) => delivery::deliver(&weak, &invocation, &instance).await,
                Task::Schedule(invocation) => schedule::keep(&weak, &invocation).await,
                Task::UserData(instance) => first_boot::run_user_data(&weak, &instance).await,
                Task::Send(file, instance) => delivery::send(&weak, &file, &instance).await,
                Task::Forget(digest) => forget(&weak, &digest),
            }
        };
        tokio::spawn(until_closed(work, closed));
    }

    /// Takes up what a server before this one left: machines, commands, files on their way. Does so once.
    pub(crate) async fn wake(self: &Arc<Self>) {
        self.awake.get_or_init(|| self.take_up()).await;
    }

    async fn take_up(self: &Arc<Self>) {
        let known: Vec<_> = {
            let world = self.world();
            world.instances.values().map(|instance| instance.machine(&world, self.catalog, self.now())).collect()
        };
        // If the machines can't be asked, none is taken for alive: they are booted again.
        let alive = self.machines.adopt(&known).await.unwrap_or_default();
        let (tasks, number) = self.commit(|world, now| {
            for id in keys(&world.instances) {
                let runs = world.instances.get(&id).is_some_and(|instance| instance.running_since(now).is_some());
                if runs
                    && !alive.contains(&id)
                    && let Some(instance) = world.instances.get_mut(&id)
                {
                    // It is booted anew: whoever compares start times has to see that its processes are gone.
                    instance.timeline.push((now, Status::Running));
                }
            }
            let mut tasks: Vec<Task> = world.instances.iter().map(|(id, _)| Task::Keep(id.to_owned())).collect();
            for id in keys(&world.invocations) {
                let Some(invocation) = world.invocations.get(&id) else { continue };
                if invocation.runs.values().all(|run| run.progress.is_over()) {
                    continue;
                }
                if invocation.repeat == Repeat::Period {
                    tasks.push(Task::Schedule(id.clone()));
                }
                let going = |run: &Run| matches!(run.progress, Progress::Pending | Progress::Running);
                let mut interrupted = Vec::new();
                let Some(invocation) = world.invocations.get_mut(&id) else { continue };
                for (instance, run) in invocation.runs.iter_mut().filter(|(_, run)| going(run)) {
                    if run.progress == Progress::Pending || alive.contains(instance) {
                        tasks.push(Task::Deliver(id.clone(), instance.clone()));
                    } else {
                        // It may have done half of its work: it is never run again by itself.
                        *run = run.clone().ended(Progress::Failed, "ExecutionInterrupted", "the machine went down", now);
                        interrupted.push(instance.clone());
                    }
                }
                interrupted.iter().for_each(|instance| schedule::after_run(world, &id, instance));
            }
            for id in keys(&world.files) {
                if world.files.get(&id).is_some_and(|file| file.runs.values().any(|run| !run.progress.is_over()))
                    && let Some(file) = world.files.get_mut(&id)
                {
                    for run in file.runs.values_mut().filter(|run| !run.progress.is_over()) {
                        // Its content was never written down.
                        *run = run.clone().ended(Progress::Aborted, "DeliveryTimeout", "the content is gone; send the file again", now);
                    }
                }
            }
            tasks
        });
        for task in tasks {
            let is_alive = matches!(&task, Task::Keep(id) if alive.contains(id));
            self.launch(task, number, Some(is_alive));
        }
    }
}

fn keys<T>(table: &super::store::table::Table<T>) -> Vec<String> {
    table.iter().map(|(key, _)| key.to_owned()).collect()
}

async fn until_closed(work: impl Future<Output = ()>, mut closed: watch::Receiver<()>) {
    tokio::select! {
        biased;
        () = work => {}
        // The sender is never used: this ends when it is dropped.
        _ = closed.changed() => {}
    }
}

fn forget(weak: &Weak<Shared>, digest: &str) {
    let Some(shared) = weak.upgrade() else { return };
    let world = shared.world();
    // Under the lock: who puts the same bytes again says so under it first.
    if !world.index.blobs.contains_key(digest) {
        shared.blobs.forget(digest);
    }
}
