//! One container of a pod: its image, its command, its runs with the pauses between them, its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::environment::{expand, variables};
use super::image::{self, Found};
use super::{End, Worker, script, status};
use crate::local_cloud::kubernetes::log;
use crate::local_cloud::kubernetes::pod::{Container, PodSpec};
use crate::local_cloud::kubernetes::space::text;
use crate::local_cloud::machines::{CommandOutcome, CommandSpec, Ending, MachineSpec, Progress};
use crate::local_cloud::time::seconds;

/// A pause grows up to so many times the first one (10 s to 5 min on a real node).
const LONGEST: u32 = 30;
/// A run of that many first pauses was a good one: the next pause is the first again (10 min on a real node).
const GOOD: u32 = 60;
/// The shortest pause, also where everything is immediate.
const SHORTEST: Duration = Duration::from_millis(200);
/// Long enough for anything; the deadline of a pod is its own.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);
/// How long a process that was killed may take to be gone.
const KILLED: Duration = Duration::from_secs(10);

/// A container under way.
struct Keeper<'a> {
    worker: &'a Worker,
    machine: &'a MachineSpec,
    spec: &'a PodSpec,
    container: &'a Container,
    is_init: bool,
    /// Runs before this one.
    attempt: u64,
}

/// What is to be run.
struct Plan {
    argv: Vec<String>,
    environment: BTreeMap<String, String>,
}

/// Runs a container as often as its pod's policy says. Whether it succeeded at last; `None` if the server ended.
pub(super) async fn keep(worker: &Worker, machine: &MachineSpec, spec: &PodSpec, container: &Container, is_init: bool) -> Option<bool> {
    let known = worker.pod().as_ref().and_then(|pod| status::of(pod, is_init, &container.name).cloned()).unwrap_or_default();
    let attempt = known["restartCount"].as_u64().unwrap_or(0);
    let mut keeper = Keeper { worker, machine, spec, container, is_init, attempt };
    let mut running = known["state"]["running"].is_object();
    let mut pauses = 0;
    if let Some(code) = known["state"]["terminated"]["exitCode"].as_i64() {
        if !keeper.restarts(code) {
            return Some(code == 0);
        }
        keeper.attempt += 1;
    }
    loop {
        let plan = if running { Plan { argv: Vec::new(), environment: BTreeMap::new() } } else { keeper.prepare().await? };
        if worker.is_ending() && !running {
            return Some(false);
        }
        let begun = tokio::time::Instant::now();
        let code = keeper.run(plan, running).await?;
        running = false;
        if worker.is_ending() || !keeper.restarts(code) {
            return Some(code == 0);
        }
        if begun.elapsed() > first_pause(worker)? * GOOD {
            pauses = 0;
        }
        keeper.pause(pauses).await?;
        if worker.is_ending() {
            return Some(false);
        }
        pauses += 1;
        keeper.attempt += 1;
    }
}

fn first_pause(worker: &Worker) -> Option<Duration> {
    let shared = worker.weak.upgrade()?;
    Some(shared.config.latency.of(|latency| latency.container_retry).max(SHORTEST))
}

fn grown(first: Duration, times: u32) -> Duration {
    first * 2_u32.saturating_pow(times).min(LONGEST)
}

impl Keeper<'_> {
    fn restarts(&self, code: i64) -> bool {
        match self.spec.restart_policy.as_str() {
            "Never" => false,
            "OnFailure" => code != 0,
            _ => !self.is_init || code != 0,
        }
    }

    async fn status(&self, change: impl FnOnce(&mut Json)) {
        let (spec, name) = (self.spec, &self.container.name);
        self.worker.edit(|pod, now| status::change(pod, spec, self.is_init, name, now, change)).await;
    }

    async fn wait_for(&self, reason: &str, message: &str) {
        self.status(|status| {
            // What it ended with last time is not forgotten by waiting.
            if status["state"]["terminated"].is_object() {
                status["lastState"] = status["state"].clone();
            }
            status["state"] = json!({ "waiting": { "reason": reason, "message": message } });
        })
        .await;
    }

    /// Gets everything that the container needs, however often it takes. The plan is empty if the pod is to end.
    async fn prepare(&self) -> Option<Plan> {
        let mut failures = 0;
        while !self.worker.is_ending() {
            let usual = match self.pull(failures).await? {
                Ok(usual) => usual,
                Err(()) => {
                    failures += 1;
                    continue;
                }
            };
            let problem = match self.worker.change(|space, pod| variables(space, &pod, self.spec, self.container)).await {
                None => return Some(Plan { argv: Vec::new(), environment: BTreeMap::new() }),
                Some(Err(problem)) => ("CreateContainerConfigError", problem),
                Some(Ok(environment)) => match self.command(usual, &environment) {
                    Some(argv) => return Some(Plan { argv, environment }),
                    None => {
                        let problem = "the local cloud has no images and does not know what this one runs: give the container a `command`";
                        ("CreateContainerError", problem.to_owned())
                    }
                },
            };
            self.wait_for(problem.0, &problem.1).await;
            self.worker.event(true, "Failed", &format!("Error: {}", problem.1)).await;
            self.worker.rest(grown(first_pause(self.worker)?, failures)).await;
            failures += 1;
        }
        Some(Plan { argv: Vec::new(), environment: BTreeMap::new() })
    }

    /// The command with its arguments; `None` if only the image knows it.
    fn command(&self, usual: Option<&'static [&'static str]>, environment: &BTreeMap<String, String>) -> Option<Vec<String>> {
        let Container { command, args, .. } = self.container;
        let expanded = |words: &[String]| words.iter().map(|word| expand(word, environment)).collect::<Vec<_>>();
        match (command.is_empty(), args.is_empty(), usual) {
            (false, _, _) => Some([expanded(command), expanded(args)].concat()),
            (true, false, Some(_)) => Some(expanded(args)),
            (true, true, Some(usual)) => Some(usual.iter().map(|word| (*word).to_owned()).collect()),
            (true, _, None) => None,
        }
    }

    /// Looks for the image, and waits if it is not there.
    async fn pull(&self, failures: u32) -> Option<Result<Option<&'static [&'static str]>, ()>> {
        let Container { image, image_pull_policy: policy, .. } = self.container;
        let shared = self.worker.weak.upgrade()?;
        let found = image::look_up(image, &shared.config.missing_images);
        let takes = shared.config.latency.of(|latency| latency.image_pull);
        drop(shared);
        let place = (self.worker.pod().map(|pod| text(&pod, "/spec/nodeName").to_owned()).unwrap_or_default(), image.clone());
        let here = self.worker.weak.upgrade()?.world().index.kubernetes.images.contains(&place);
        let (short, backoff, problem) = match found {
            Found::Invalid => {
                let problem = format!(
                    "Failed to apply default image tag \"{image}\": couldn't parse image name \"{image}\": invalid reference format"
                );
                ("InvalidImageName", "InvalidImageName", problem)
            }
            _ if policy == "Never" && !here => {
                let problem = format!("Container image \"{image}\" is not present with pull policy of Never");
                ("ErrImageNeverPull", "ErrImageNeverPull", problem)
            }
            Found::There(usual) => {
                if here && policy != "Always" {
                    self.worker.event(false, "Pulled", &format!("Container image \"{image}\" already present on machine")).await;
                    return Some(Ok(usual));
                }
                self.worker.event(false, "Pulling", &format!("Pulling image \"{image}\"")).await;
                self.worker.rest(takes).await;
                self.worker.weak.upgrade()?.world().index.kubernetes.images.insert(place);
                let message = format!("Successfully pulled image \"{image}\" in {0}ms ({0}ms including waiting)", takes.as_millis());
                self.worker.event(false, "Pulled", &message).await;
                return Some(Ok(usual));
            }
            Found::Missing(problem) => {
                self.worker.event(false, "Pulling", &format!("Pulling image \"{image}\"")).await;
                self.worker.rest(takes).await;
                ("ErrImagePull", "ImagePullBackOff", problem)
            }
        };
        self.wait_for(short, &problem).await;
        self.worker.event(true, "Failed", &format!("Failed to pull image \"{image}\": {problem}")).await;
        self.worker.event(true, "Failed", &format!("Error: {short}")).await;
        let pause = grown(first_pause(self.worker)?, failures);
        // The node says what failed, then that it waits.
        self.worker.rest(pause / 4).await;
        if backoff != short && !self.worker.is_ending() {
            let message = format!("Back-off pulling image \"{image}\"");
            self.wait_for(backoff, &format!("{message}: {short}: {problem}")).await;
            self.worker.event(false, "BackOff", &message).await;
            self.worker.event(true, "Failed", &format!("Error: {backoff}")).await;
        }
        self.worker.rest(pause - pause / 4).await;
        Some(Err(()))
    }

    async fn pause(&self, pauses: u32) -> Option<()> {
        // The first time it is started again at once.
        if pauses == 0 {
            return Some(());
        }
        let pause = grown(first_pause(self.worker)?, pauses - 1);
        let (key, name) = (&self.worker.key, &self.container.name);
        let pod = format!("{}_{}({})", key.name, key.namespace, key.uid);
        let message = format!("back-off {}s restarting failed container={name} pod={pod}", pause.as_secs());
        self.wait_for("CrashLoopBackOff", &message).await;
        self.worker.event(true, "BackOff", &format!("Back-off restarting failed container {name} in pod {pod}")).await;
        self.worker.rest(pause).await;
        Some(())
    }

    /// Runs it once, or goes on with a run that an earlier server began. Answers the exit code.
    async fn run(&self, plan: Plan, again: bool) -> Option<i64> {
        let (worker, container) = (self.worker, self.container);
        let id = format!("{}/{}/{}", worker.key.uid, container.name, self.attempt);
        let container_id = format!("containerd://{}", hex::encode(Sha256::digest(&id)));
        let image_id =
            format!("{}@sha256:{}", container.image.split(['@']).next().unwrap_or_default(), hex::encode(Sha256::digest(&container.image)));
        let key = log::key(&worker.key.cluster, &worker.key.uid, &container.name, self.attempt);
        worker.change(|space, _| log::begin(space.world, &key)).await;
        if !again {
            worker.event(false, "Created", &format!("Created container: {}", container.name)).await;
            let begun = worker.weak.upgrade()?.now();
            self.status(|status| {
                if status["state"]["terminated"].is_object() {
                    status["lastState"] = status["state"].clone();
                }
                status["restartCount"] = self.attempt.into();
                status["containerID"] = container_id.clone().into();
                status["imageID"] = image_id.into();
                status["state"] = json!({ "running": { "startedAt": seconds(begun) } });
            })
            .await;
            worker.event(false, "Started", &format!("Started container {}", container.name)).await;
        }
        let command = CommandSpec {
            id,
            script: script::of(container, self.spec, &plan.argv).into_bytes(),
            interpreter: "/bin/sh",
            working_directory: None,
            user: None,
            environment: plan.environment,
            timeout: FOREVER,
            kill_tree: true,
        };
        let outcome = self.carry_out(command, &key).await?;
        let shared = worker.weak.upgrade()?;
        let (output, now) = (String::from_utf8_lossy(&outcome.output).into_owned(), shared.now());
        drop(shared);
        let (code, reason, mut message) = self.ended(&outcome.ending, &output);
        worker
            .change(|space, _| {
                if code != 0 && message.is_empty() && container.termination_message_policy == "FallbackToLogsOnError" {
                    message = log::find(space.world, &key).map(|(log, _)| log.end(80, 2048)).unwrap_or_default();
                }
                log::finish(space.world, &key);
            })
            .await;
        self.status(|status| {
            let started = status["state"]["running"]["startedAt"].clone();
            let mut terminated = json!({
                "exitCode": code, "reason": reason, "startedAt": started, "finishedAt": seconds(now), "containerID": container_id,
            });
            if !message.is_empty() {
                terminated["message"] = message.into();
            }
            status["state"] = json!({ "terminated": terminated });
        })
        .await;
        Some(code)
    }

    /// Exit code, reason and message of an end.
    fn ended(&self, ending: &Ending, output: &str) -> (i64, &'static str, String) {
        match ending {
            Ending::Exited(code) => match script::failure(*code, output) {
                Some(why) => {
                    let what =
                        format!("failed to create containerd task: failed to create shim task: OCI runtime create failed: {why}: unknown");
                    (128, "StartError", what)
                }
                // The shell that was to become the command says by 127 or 126 that it could not.
                None if *code < 0 => (137, "Error", String::new()),
                None => (i64::from(*code), if *code == 0 { "Completed" } else { "Error" }, String::new()),
            },
            Ending::Stopped | Ending::TimedOut => (137, "Error", String::new()),
            Ending::NotStarted(why) => (128, "ContainerCannotRun", why.clone()),
        }
    }

    /// Has the machine run it. When the pod is to end it is asked to, then killed.
    async fn carry_out(&self, command: CommandSpec, key: &str) -> Option<CommandOutcome> {
        let machines = Arc::clone(&self.worker.weak.upgrade()?.machines);
        let (weak, log_key) = (self.worker.weak.clone(), key.to_owned());
        let progress: Progress = Arc::new(move |piece: &[u8]| {
            if let Some(shared) = weak.upgrade() {
                let now = shared.now();
                log::write(&mut shared.world(), &log_key, now, piece);
            }
        });
        let (stop, stopping) = watch::channel(false);
        let run = machines.follow(self.machine, command, 0, progress, stopping);
        tokio::pin!(run);
        let mut ending = self.worker.ending.clone();
        tokio::select! {
            biased;
            outcome = &mut run => return Some(outcome),
            _ = ending.wait_for(|end| *end != End::No) => {}
        }
        self.worker.event(false, "Killing", &format!("Stopping container {}", self.container.name)).await;
        let asked = tokio::time::Instant::now();
        if matches!(*ending.borrow_and_update(), End::Within(time) if !time.is_zero()) {
            let (_keep, never) = watch::channel(false);
            let ask = machines.run(self.machine, self.farewell(), Arc::new(|_| {}), never);
            tokio::select! {
                biased;
                outcome = &mut run => return Some(outcome),
                _ = ask => {}
            }
        }
        loop {
            let within = match *ending.borrow_and_update() {
                End::No => Duration::ZERO,
                End::Within(time) => time,
            };
            tokio::select! {
                biased;
                outcome = &mut run => return Some(outcome),
                // Somebody is in more of a hurry.
                changed = ending.changed() => if changed.is_err() { break },
                () = tokio::time::sleep_until(asked + within) => break,
            }
        }
        stop.send_replace(true);
        let ended = tokio::time::timeout(KILLED, run).await;
        Some(ended.unwrap_or(CommandOutcome { ending: Ending::Stopped, output: Vec::new(), dropped: 0 }))
    }

    fn farewell(&self) -> CommandSpec {
        CommandSpec {
            id: format!("{}/{}/{}/end", self.worker.key.uid, self.container.name, self.attempt),
            script: script::terminate(&self.container.name).into_bytes(),
            interpreter: "/bin/sh",
            working_directory: None,
            user: None,
            environment: BTreeMap::new(),
            timeout: KILLED,
            kill_tree: true,
        }
    }
}
