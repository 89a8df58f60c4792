//! Pods on machines: one worker for each pod that has a node. It boots the pod's machine, runs its containers, writes
//! down what becomes of them, and takes the machine away again. Nobody else touches a pod's machine.

mod container;
mod environment;
mod image;
pub(crate) mod machine;
mod script;
mod status;
mod volumes;

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use tokio::sync::watch;

use super::kind;
use super::log;
use super::pod::PodSpec;
use super::space::{Space, is_deleting, items, name_of, namespace_of, text, uid_of};
use crate::local_cloud::cs::pool;
use crate::local_cloud::instance::Status;
use crate::local_cloud::machines::MachineSpec;
use crate::local_cloud::runtime::Shared;
use crate::local_cloud::store::{Task, World};
use crate::local_cloud::time::{after, seconds, until};

/// How long to wait before something that the system refused is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// The longest sleep between two looks at a pod.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);

/// Which pod it is. Another one of the same name has another uid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodKey {
    pub(crate) cluster: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// How a pod's containers are to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    No,
    /// Asked first, and killed after that time.
    Within(Duration),
}

impl PodKey {
    /// The id of the pod's machine.
    pub(crate) fn machine_id(&self) -> String {
        machine_id(&self.uid)
    }
}

fn machine_id(uid: &str) -> String {
    format!("pod-{uid}")
}

fn is_over(pod: &Json) -> bool {
    ["Succeeded", "Failed"].contains(&text(pod, "/status/phase"))
}

/// Gives every pod that has a node somebody who looks after it.
pub(crate) fn start_all(space: &mut Space) {
    let due = |pod: &&Json| !text(pod, "/spec/nodeName").is_empty() && !is_over(pod);
    let keys: Vec<PodKey> = space.all(&kind::PODS, None).into_iter().filter(due).map(|pod| key_of(space.cluster, pod)).collect();
    for key in keys {
        if space.world.index.kubernetes.workers.insert(key.uid.clone()) {
            space.world.index.tasks.push(Task::Pod(key));
        }
    }
}

/// The pods that an earlier server looked after.
pub(crate) fn take_up(world: &mut World) -> Vec<PodKey> {
    let is_due = |key: &str, pod: &Json| key.split('/').nth(1) == Some("pods") && !text(pod, "/spec/nodeName").is_empty() && !is_over(pod);
    let due = world.kubernetes.iter().filter(|(key, pod)| is_due(key, pod));
    let keys: Vec<PodKey> = due.map(|(key, pod)| key_of(key.split('/').next().unwrap_or_default(), pod)).collect();
    world.index.kubernetes.workers.extend(keys.iter().map(|key| key.uid.clone()));
    keys
}

fn key_of(cluster: &str, pod: &Json) -> PodKey {
    let own = str::to_owned;
    PodKey { cluster: own(cluster), namespace: own(namespace_of(pod)), name: own(name_of(pod)), uid: own(uid_of(pod)) }
}

/// Looks after a pod until it is over or gone. `alive` says whether its machine was adopted.
pub(crate) async fn run(weak: &Weak<Shared>, key: &PodKey, alive: bool) {
    let (end, ending) = watch::channel(End::No);
    let worker = Worker { weak: weak.clone(), key: key.clone(), ending, why: Mutex::default() };
    let outcome = {
        let life = worker.live(alive);
        let watching = worker.observe(&end);
        tokio::pin!(life, watching);
        tokio::select! {
            biased;
            outcome = &mut life => outcome,
            // It only ends when the server does.
            () = &mut watching => None,
        }
    };
    if outcome.is_some() {
        worker.clean_up().await;
    }
}

pub(super) struct Worker {
    weak: Weak<Shared>,
    key: PodKey,
    ending: watch::Receiver<End>,
    /// Why the pod is ended, reason and message, if it was not deleted.
    why: Mutex<Option<(&'static str, &'static str)>>,
}

impl Worker {
    /// The pod as it is; `None` once it is gone.
    fn pod(&self) -> Option<Json> {
        let shared = self.weak.upgrade()?;
        let mut world = shared.world();
        let space = Space { world: &mut world, config: &shared.config, cluster: &self.key.cluster, now: shared.now() };
        self.find(&space).cloned()
    }

    fn find<'a>(&self, space: &'a Space) -> Option<&'a Json> {
        space.get(&kind::PODS, &self.key.namespace, &self.key.name).filter(|pod| uid_of(pod) == self.key.uid)
    }

    /// Changes the world with regard to this pod; nothing happens once the pod is gone.
    async fn change<R>(&self, change: impl FnOnce(&mut Space, Json) -> R) -> Option<R> {
        let shared = self.weak.upgrade()?;
        let (outcome, number) = shared.commit(|world, now| {
            let mut space = Space { world, config: &shared.config, cluster: &self.key.cluster, now };
            let pod = self.find(&space).cloned()?;
            Some(change(&mut space, pod))
        });
        shared.settle(number).await.ok()?;
        outcome
    }

    /// Changes the pod itself.
    async fn edit(&self, change: impl FnOnce(&mut Json, &str)) -> Option<()> {
        self.change(|space, mut pod| {
            let now = seconds(space.now);
            change(&mut pod, &now);
            space.replace(&kind::PODS, pod);
        })
        .await
    }

    async fn event(&self, warning: bool, reason: &str, message: &str) {
        self.change(|space, pod| space.event(&pod, warning, reason, message, "kubelet")).await;
    }

    fn is_ending(&self) -> bool {
        *self.ending.borrow() != End::No
    }

    /// Waits, but no longer than until the pod is to end.
    async fn rest(&self, time: Duration) {
        let mut ending = self.ending.clone();
        tokio::select! {
            biased;
            _ = ending.wait_for(|end| *end != End::No) => {}
            () = tokio::time::sleep(time) => {}
        }
    }

    /// Sees when the pod is to end, and says how.
    async fn observe(&self, end: &watch::Sender<End>) {
        let Some(mut signal) = self.signal() else { return };
        loop {
            signal.borrow_and_update();
            let pause = match self.verdict() {
                Some(Ok(next)) => next,
                Some(Err((within, reason, message))) => {
                    if !reason.is_empty() {
                        *self.why.lock().unwrap_or_else(PoisonError::into_inner) = Some((reason, message));
                    }
                    end.send_if_modified(|known| {
                        let sooner = match *known {
                            End::No => true,
                            End::Within(time) => within < time,
                        };
                        if sooner {
                            *known = End::Within(within);
                        }
                        sooner
                    });
                    LOOK_AGAIN
                }
                None => return,
            };
            tokio::select! {
                biased;
                changed = signal.changed() => if changed.is_err() {
                    // The cluster is gone: nothing tells of changes any more.
                    end.send_replace(End::Within(Duration::ZERO));
                    return std::future::pending().await;
                },
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn signal(&self) -> Option<watch::Receiver<u64>> {
        let shared = self.weak.upgrade()?;
        let mut world = shared.world();
        let now = shared.now();
        Some(Space { world: &mut world, config: &shared.config, cluster: &self.key.cluster, now }.changes())
    }

    /// Whether the pod may go on, and when to look again; else how long it has, and why it ends if it did nothing wrong.
    fn verdict(&self) -> Option<Result<Duration, (Duration, &'static str, &'static str)>> {
        let shared = self.weak.upgrade()?;
        let mut world = shared.world();
        let now = shared.now();
        let space = Space { world: &mut world, config: &shared.config, cluster: &self.key.cluster, now };
        let deleted = space.world.clusters.get(&self.key.cluster).is_none_or(|row| row.deletion.is_some());
        let Some(pod) = self.find(&space).filter(|_| !deleted) else { return Some(Err((Duration::ZERO, "", ""))) };
        if is_deleting(pod) {
            let at = text(pod, "/metadata/deletionTimestamp").parse::<Timestamp>().unwrap_or(now);
            return Some(Err((until(now, at), "", "")));
        }
        let node = text(pod, "/spec/nodeName");
        let runs = pool::instance_of_node(space.world, &self.key.cluster, node)
            .and_then(|id| space.world.instances.get(&id))
            .is_some_and(|row| !row.is_released() && matches!(row.state(now), Status::Running));
        if !runs {
            let message = "Pod was terminated in response to imminent node shutdown.";
            return Some(Err((Duration::ZERO, "Terminated", message)));
        }
        let spec = PodSpec::of(pod);
        let started = text(pod, "/status/startTime").parse::<Timestamp>().ok();
        if let (Some(limit), Some(started)) = (spec.active_deadline_seconds, started) {
            let deadline = after(started, Duration::from_secs(limit.unsigned_abs()));
            if deadline <= now {
                let grace = Duration::from_secs(spec.termination_grace_period_seconds.unwrap_or(30).unsigned_abs());
                return Some(Err((grace, "DeadlineExceeded", "Pod was active on the node longer than the specified deadline")));
            }
            return Some(Ok(until(now, deadline).max(Duration::from_millis(1))));
        }
        Some(Ok(LOOK_AGAIN))
    }

    /// The pod's life on its node. `None` if the server ended under it.
    async fn live(&self, alive: bool) -> Option<()> {
        let Some(pod) = self.pod() else { return self.weak.upgrade().map(drop) };
        let spec = PodSpec::of(&pod);
        self.change(|space, mut pod| {
            if text(&pod, "/status/podIP").is_empty() {
                machine::network(space, &mut pod);
            }
            status::begin(&mut pod, &spec, &seconds(space.now));
            space.replace(&kind::PODS, pod);
        })
        .await;
        let machine = self.pod().as_ref().and_then(machine::machine_of);
        if let Some(machine) = machine {
            if !alive {
                self.lose(&spec).await;
                self.boot(&machine).await?;
            }
            volumes::fill(self, &machine, &spec).await?;
            if self.init(&machine, &spec).await? && !self.is_ending() {
                join_all(spec.containers.iter().map(|container| container::keep(self, &machine, &spec, container, false))).await;
            }
        }
        // Without the server nothing is known about how it ended.
        self.weak.upgrade()?;
        self.close(&spec).await;
        Some(())
    }

    /// Containers that ran on a machine that is gone.
    async fn lose(&self, spec: &PodSpec) {
        self.edit(|pod, now| {
            for (is_init, container) in all(spec) {
                status::change(pod, spec, is_init, &container.name, now, |status| {
                    if let Some(running) = status["state"]["running"].as_object().cloned() {
                        let terminated = json!({
                            "exitCode": 255, "reason": "Unknown", "startedAt": running.get("startedAt"), "finishedAt": now,
                            "containerID": status["containerID"],
                        });
                        status["state"] = json!({ "terminated": terminated });
                    }
                });
            }
        })
        .await;
    }

    async fn boot(&self, machine: &MachineSpec) -> Option<()> {
        loop {
            let machines = Arc::clone(&self.weak.upgrade()?.machines);
            let Err(error) = machines.boot(machine, &[]).await else { return Some(()) };
            if self.is_ending() {
                return Some(());
            }
            self.event(true, "FailedCreatePodSandBox", &format!("Failed to create pod sandbox: {}", error.reason)).await;
            self.rest(AGAIN).await;
        }
    }

    /// Runs the init containers, one after the other. Whether all succeeded.
    async fn init(&self, machine: &MachineSpec, spec: &PodSpec) -> Option<bool> {
        for init in &spec.init_containers {
            let done = self.pod().as_ref().and_then(|pod| status::of(pod, true, &init.name).cloned());
            if done.is_some_and(|status| status["state"]["terminated"]["exitCode"] == 0) {
                continue;
            }
            if self.is_ending() || !container::keep(self, machine, spec, init, true).await? {
                return Some(false);
            }
        }
        self.edit(|pod, now| {
            for container in &spec.containers {
                status::change(pod, spec, false, &container.name, now, |status| {
                    if status["state"]["waiting"]["reason"] == "PodInitializing" {
                        status["state"]["waiting"]["reason"] = "ContainerCreating".into();
                    }
                });
            }
        })
        .await;
        Some(true)
    }

    /// Writes down how the pod ended.
    async fn close(&self, spec: &PodSpec) {
        self.edit(|pod, now| {
            let why = *self.why.lock().unwrap_or_else(PoisonError::into_inner);
            match why.filter(|_| text(pod, "/status/phase") != "Succeeded") {
                Some((reason, message)) => status::fail(pod, reason, message, now),
                None => status::settle(pod, spec, now),
            }
            if is_deleting(pod) && !is_over(pod) {
                // Whoever counts pods must see that it did not succeed.
                let done = items(pod, "/status/containerStatuses").iter().all(|status| status["state"]["terminated"]["exitCode"] == 0);
                pod["status"]["phase"] = if done { "Succeeded" } else { "Failed" }.into();
            }
        })
        .await;
    }

    /// Takes the machine away, then lets the pod go if it is to go.
    async fn clean_up(&self) {
        let id = self.key.machine_id();
        loop {
            let Some(shared) = self.weak.upgrade() else { return };
            let removed = shared.machines.remove(&id).await;
            drop(shared);
            if removed.is_ok() {
                break;
            }
            tokio::time::sleep(AGAIN).await;
        }
        let Some(shared) = self.weak.upgrade() else { return };
        let ((), number) = shared.commit(|world, now| {
            let mut space = Space { world, config: &shared.config, cluster: &self.key.cluster, now };
            space.world.index.kubernetes.workers.remove(&self.key.uid);
            match self.find(&space).cloned() {
                Some(mut pod) if is_deleting(&pod) => {
                    pod["metadata"]["deletionGracePeriodSeconds"] = 0.into();
                    space.replace(&kind::PODS, pod);
                }
                Some(_) => {}
                None => log::forget(space.world, &format!("{}/{}/", self.key.cluster, self.key.uid)),
            }
            space.world.index.kubernetes.wake(&self.key.cluster);
        });
        // If this is lost, the next server finds the pod without a machine and ends it again.
        drop(shared.settle(number).await);
    }
}

fn all(spec: &PodSpec) -> impl Iterator<Item = (bool, &super::pod::Container)> {
    spec.init_containers.iter().map(|container| (true, container)).chain(spec.containers.iter().map(|container| (false, container)))
}
