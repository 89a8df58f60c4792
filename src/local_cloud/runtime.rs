//! What a running local cloud is made of: the world behind its lock, the log beside it, and the tasks that outlive a
//! call. No product's meaning is here.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use jiff::Timestamp;
use tokio::sync::{OnceCell, watch};

use super::assistant::{Progress, Repeat, Run, schedule};
use super::auth::nonce::Nonces;
use super::calls::Calls;
use super::calls::asked::Asked;
use super::catalog::Catalog;
use super::clock::CloudClock;
use super::config::{Config, Faults};
use super::current::Current;
use super::faults::{Dice, Fate};
use super::instance::Status;
use super::instance::first_boot;
use super::keys::Keys;
use super::machines::Machines;
use super::market::Market;
use super::pai::train;
use super::scenario::Scenario;
use super::scenario::draws::Rules;
use super::store::blobs::Blobs;
use super::store::ids;
use super::store::log::{Log, Snapshot};
use super::store::{Task, World};
use super::tls::TlsError;
use super::tls::authority::Authority;
use super::{delivery, fc, keeper, kubernetes};
use crate::model::clock::Clock;

/// Everything that calls and tasks share.
pub(crate) struct Shared {
    pub(crate) config: Current,
    pub(crate) catalog: &'static Catalog,
    pub(crate) machines: Arc<dyn Machines>,
    pub(crate) blobs: Blobs,
    pub(crate) nonces: Mutex<Nonces>,
    pub(crate) keys: Keys,
    /// Where the cloud answers over TLS, once it does.
    secure: OnceLock<SocketAddr>,
    /// The cloud's own time; whoever waits for a moment of it waits here.
    pub(crate) clock: Arc<CloudClock>,
    /// The calls of late.
    pub(crate) calls: Calls,
    world: Mutex<World>,
    log: Option<Arc<Log>>,
    faults: Mutex<(Option<Faults>, Dice)>,
    rules: Mutex<Rules>,
    requests: AtomicU64,
    /// Makes request ids of one server differ from those of another over the same store.
    origin: String,
    awake: OnceCell<()>,
    /// Ends, or says something, when everything is to end.
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
        storage: (Option<Arc<Log>>, Blobs, Keys),
        closed: watch::Receiver<()>,
    ) -> Arc<Shared> {
        world.build_index();
        world.index.stock.clone_from(&config.stock);
        world.index.market = Market { seed: config.seed };
        world.index.reclaims.clone_from(&config.spot.reclaims);
        let faults = config.faults;
        let (log, blobs, keys) = storage;
        let speed = config.clock_speed;
        let clock = CloudClock::new(clock, &world);
        let origin = clock.wall_now().as_nanosecond().to_string();
        if let Some(speed) = speed {
            clock.set_speed(&mut world, speed);
        }
        Arc::new(Shared {
            catalog: Catalog::embedded(),
            machines,
            blobs,
            nonces: Mutex::default(),
            keys,
            secure: OnceLock::new(),
            origin,
            clock: Arc::new(clock),
            calls: Calls::default(),
            world: Mutex::new(world),
            log,
            faults: Mutex::new((faults, Dice::new(faults.map_or(0, |faults| faults.seed)))),
            rules: Mutex::new(Rules::new(&config.calls, config.calls_seed)),
            requests: AtomicU64::new(0),
            awake: OnceCell::new(),
            closed,
            config: Current::new(config),
        })
    }

    /// The cloud's time.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The wall clock's time: what clients sign with, and hold certificates against.
    pub(crate) fn wall_now(&self) -> Timestamp {
        self.clock.wall_now()
    }

    pub(crate) fn wall_clock(&self) -> Arc<dyn Clock> {
        self.clock.wall()
    }

    /// The certificate authority that clients over TLS have to trust, and that gives them certificates.
    pub(crate) fn authority(&self) -> Result<Arc<Authority>, TlsError> {
        self.keys.authority(self.wall_now())
    }

    /// Where the cloud answers over TLS, `https://127.0.0.1:4711`; `None` if nothing listens.
    pub(crate) fn secure_base(&self) -> Option<String> {
        self.secure.get().map(|address| format!("https://{address}"))
    }

    /// Remembers where the cloud answers over TLS; the first address counts.
    pub(crate) fn set_secure(&self, address: SocketAddr) {
        self.secure.get_or_init(|| address);
    }

    /// The world, to be read. What is changed through this is not written down.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    pub(crate) fn request_id(&self) -> String {
        ids::request(self.config.seed, &self.origin, self.requests.fetch_add(1, Ordering::Relaxed))
    }

    /// What happens to a call.
    pub(crate) fn fate(&self, asked: &Asked) -> Fate {
        let fate = {
            let (faults, dice) = &mut *lock(&self.faults);
            faults.map(|faults| dice.fate(&faults)).unwrap_or_default()
        };
        lock(&self.rules).bend(fate, asked)
    }

    /// What is chosen now.
    pub(crate) fn scenario(&self) -> Scenario {
        let stock = self.world().index.stock.clone();
        Scenario { stock, ..Scenario::of(&self.config, self.clock.speed()) }
    }

    /// Lets all that a scenario says count from the next call on.
    pub(crate) fn set_scenario(self: &Arc<Self>, scenario: &Scenario) -> u64 {
        let ((), number) = self.commit(|world, _| {
            world.index.stock.clone_from(&scenario.stock);
            world.index.shown.forget();
            self.clock.set_speed(world, scenario.clock.speed);
            self.config.replace(scenario.over(&self.config));
        });
        *lock(&self.rules) = Rules::new(&scenario.calls, scenario.seed);
        number
    }

    /// The cloud's time jumps ahead; everybody who waits for a moment looks again.
    pub(crate) fn advance(self: &Arc<Self>, by: std::time::Duration) -> u64 {
        let ((), number) = self.commit(|world, _| self.clock.advance(world, by));
        number
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
            if !changes.is_empty() {
                world.index.shown.forget();
            }
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
                Task::Train(job) => train::train(&weak, &job).await,
                Task::Forget(digest) => forget(&weak, &digest),
                Task::Invoke(task) => fc::worker::carry(&weak, &task).await,
                Task::Govern(cluster) => kubernetes::controller::govern(&weak, &cluster).await,
                Task::Pod(pod) => kubernetes::kubelet::run(&weak, &pod, alive.unwrap_or(false)).await,
            }
        };
        tokio::spawn(until_closed(work, closed));
    }

    /// Does something that goes on by itself, until the cloud is dropped.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(until_closed(work, self.closed.clone()));
    }

    /// Takes up what a server before this one left: machines, commands, files on their way. Does so once.
    pub(crate) async fn wake(self: &Arc<Self>) {
        self.awake.get_or_init(|| self.take_up()).await;
    }

    async fn take_up(self: &Arc<Self>) {
        let known: Vec<_> = {
            let world = self.world();
            let instances = world.instances.values().map(|instance| instance.machine(&world, self.catalog, self.now()));
            let pods = world.jobs.values().flat_map(|job| job.machines());
            instances.chain(pods).chain(kubernetes::kubelet::machine::machines(&world)).collect()
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
            tasks.extend(fc::worker::take_up(world, now));
            let pods = world.jobs.values().flat_map(|job| job.machines());
            world.index.up.extend(pods.map(|machine| machine.id).filter(|id| alive.contains(id)));
            tasks.extend(world.jobs.values().filter(|job| !job.cleaned).map(|job| Task::Train(job.id.clone())));
            tasks.extend(keys(&world.clusters).into_iter().map(Task::Govern));
            tasks.extend(kubernetes::kubelet::take_up(world).into_iter().map(Task::Pod));
            tasks
        });
        for task in tasks {
            let is_alive = match &task {
                Task::Keep(id) => alive.contains(id),
                Task::Pod(pod) => alive.contains(&pod.machine_id()),
                _ => false,
            };
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
        // A word of the sender means the same as its end.
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
