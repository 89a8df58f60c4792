//! A training job: what it was asked to be, its pods, and where it stands. Steps that lie ahead are written down with
//! their times, so the status follows from the clock; `train` adds what nobody can know beforehand.

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::mount::Source;
use crate::local_cloud::billing;
use crate::local_cloud::machines::MachineSpec;
use crate::local_cloud::store::World;
use crate::local_cloud::time::seconds;
use crate::local_cloud::wire::params::Tags;

/// How often a pod is started again at most.
pub(super) const MOST_RESTARTS: u32 = 3;
/// How many events of a pod or a job are kept.
const EVENTS: usize = 200;

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Status {
    Creating,
    Queuing,
    EnvPreparing,
    Running,
    Stopping,
    Succeeded,
    Failed,
    Stopped,
}

impl Status {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Status::Creating => "Creating",
            Status::Queuing => "Queuing",
            Status::EnvPreparing => "EnvPreparing",
            Status::Running => "Running",
            Status::Stopping => "Stopping",
            Status::Succeeded => "Succeeded",
            Status::Failed => "Failed",
            Status::Stopped => "Stopped",
        }
    }

    pub(crate) fn is_final(self) -> bool {
        matches!(self, Status::Succeeded | Status::Failed | Status::Stopped)
    }
}

/// A status and why the job has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) status: Status,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) at: Timestamp,
}

/// Something that happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) at: Timestamp,
    pub(crate) text: String,
}

/// When a pod whose command ended is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Restart {
    Never,
    OnFailure,
    /// After any end in a service; a job's pod that succeeded stays so.
    Always,
    /// After an exit code above 127, which says that something outside ended it.
    ExitCode,
}

impl Restart {
    /// Whether a command that ended that way is run again; `None` is a machine that was lost.
    pub(super) fn again(self, code: Option<i32>) -> bool {
        match (self, code) {
            (Restart::Never, _) => false,
            (Restart::OnFailure | Restart::Always, _) | (Restart::ExitCode, None) => true,
            (Restart::ExitCode, Some(code)) => !(0..=127).contains(&code),
        }
    }
}

/// One kind of pods in a job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Role {
    /// `Worker`, as asked.
    pub(crate) name: String,
    pub(crate) count: u32,
    pub(crate) image: String,
    /// The instance type that its pods run on.
    pub(crate) kind: String,
    pub(crate) vcpu: u32,
    pub(crate) memory_mib: u64,
    pub(crate) gpus: u32,
    /// Its own command instead of the job's.
    pub(crate) command: Option<String>,
    pub(crate) restart: Restart,
    /// CNY an hour and pod.
    pub(crate) hourly: Decimal,
}

/// How far a pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl Phase {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Phase::Pending => "Pending",
            Phase::Running => "Running",
            Phase::Succeeded => "Succeeded",
            Phase::Failed => "Failed",
        }
    }
}

/// One life of a pod: it gets a new one when it is started again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Life {
    pub(crate) uid: String,
    pub(crate) phase: Phase,
    /// Its node was lost.
    pub(crate) evicted: bool,
    pub(crate) created: Timestamp,
    pub(crate) started: Option<Timestamp>,
    pub(crate) finished: Option<Timestamp>,
    /// How its command ended; outputs may still be fetched.
    pub(crate) exit: Option<i32>,
}

/// A pod.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Pod {
    /// `dlc...-worker-0`, also its machine's.
    pub(crate) id: String,
    /// Which of the job's roles it has.
    pub(crate) role: usize,
    /// `worker`, as its id has it.
    pub(crate) kind: String,
    /// Its number among all pods of the job.
    pub(crate) rank: usize,
    pub(crate) ip: std::net::Ipv4Addr,
    pub(crate) life: Life,
    pub(crate) past: Vec<Life>,
    pub(crate) events: Vec<Event>,
}

impl Pod {
    /// Its machine.
    pub(crate) fn machine(&self, role: &Role) -> MachineSpec {
        MachineSpec {
            id: self.id.clone(),
            hostname: self.id.clone(),
            vcpu: role.vcpu,
            memory_mib: role.memory_mib,
            public_ip: None,
            private_ip: self.ip,
        }
    }

    /// Whether its command ended well or badly.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.life.phase, Phase::Succeeded | Phase::Failed)
    }

    pub(super) fn tell(&mut self, at: Timestamp, text: impl Into<String>) {
        tell(&mut self.events, at, text.into());
    }
}

fn tell(events: &mut Vec<Event>, at: Timestamp, text: String) {
    events.push(Event { at, text });
    if events.len() > EVENTS {
        events.remove(0);
    }
}

/// A training job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) region: String,
    pub(crate) workspace: String,
    pub(crate) display_name: String,
    pub(crate) job_type: String,
    pub(crate) user: Option<String>,
    /// The request as it is shown again, without passwords.
    pub(crate) asked: Json,
    pub(crate) tags: Tags,
    pub(crate) priority: i64,
    pub(crate) max_minutes: u64,
    pub(crate) roles: Vec<Role>,
    pub(crate) sources: Vec<Source>,
    pub(crate) steps: Vec<Step>,
    pub(crate) pods: Vec<Pod>,
    pub(crate) events: Vec<Event>,
    pub(crate) created: Timestamp,
    pub(crate) modified: Timestamp,
    /// Why it is being ended from outside: what it will be, and the reason.
    pub(crate) ending: Option<Step>,
    /// Whether all its machines are gone.
    pub(crate) cleaned: bool,
}

impl Job {
    /// What it is at `now`.
    pub(crate) fn step(&self, now: Timestamp) -> &Step {
        self.steps.iter().rev().find(|step| step.at <= now).unwrap_or(&self.steps[0])
    }

    pub(crate) fn status(&self, now: Timestamp) -> Status {
        self.step(now).status
    }

    /// When it came to a status, if it did.
    pub(crate) fn since(&self, status: Status, now: Timestamp) -> Option<Timestamp> {
        self.steps.iter().find(|step| step.status == status && step.at <= now).map(|step| step.at)
    }

    /// When it will come, or came, to a status that was foreseen.
    pub(crate) fn planned(&self, status: Status) -> Option<Timestamp> {
        self.steps.iter().find(|step| step.status == status).map(|step| step.at)
    }

    /// Goes on to a status; what was foreseen after `at` does not come.
    pub(super) fn go(&mut self, status: Status, code: &str, message: String, at: Timestamp) {
        self.steps.retain(|step| step.at <= at);
        self.steps.push(Step { status, code: code.to_owned(), message, at });
        self.modified = at;
    }

    pub(super) fn tell(&mut self, at: Timestamp, text: impl Into<String>) {
        tell(&mut self.events, at, text.into());
    }

    pub(super) fn pod(&self, id: &str) -> Option<&Pod> {
        self.pods.iter().find(|pod| pod.id == id)
    }

    pub(super) fn pod_mut(&mut self, id: &str) -> Option<&mut Pod> {
        self.pods.iter_mut().find(|pod| pod.id == id)
    }

    /// How many pods of an instance type it holds.
    pub(crate) fn held(&self, kind: &str) -> u32 {
        if self.pods.is_empty() || self.cleaned {
            return 0;
        }
        self.roles.iter().filter(|role| role.kind == kind).map(|role| role.count).sum()
    }

    /// How often its pods were started again.
    pub(super) fn restarts(&self) -> usize {
        self.pods.iter().map(|pod| pod.past.len()).sum()
    }

    /// The machines that may be there for it.
    pub(crate) fn machines(&self) -> Vec<MachineSpec> {
        if self.cleaned {
            return Vec::new();
        }
        self.pods.iter().map(|pod| pod.machine(&self.roles[pod.role])).collect()
    }
}

/// Takes a finished job out of the world, with all that was kept of it.
pub(super) fn erase(world: &mut World, id: &str) {
    let Some(job) = world.jobs.remove(id) else { return };
    let lives = job.pods.iter().flat_map(|pod| pod.past.iter().chain([&pod.life]));
    for life in lives {
        let prefix = format!("{}/", life.uid);
        let parts: Vec<String> = world.pod_logs.starting_with(&prefix).map(|(key, _)| key.to_owned()).collect();
        parts.iter().for_each(|key| drop(world.pod_logs.remove(key)));
        world.pod_mounts.remove(&life.uid);
    }
    billing::stop(world, id, None, job.modified);
    world.index.forget_instance(id);
}

/// An event as a line, as the service writes it: `2021-01-28 14:07:45 Successfully pulled image.`
pub(super) fn line(event: &Event) -> String {
    format!("{} {}", event.at.strftime("%Y-%m-%d %H:%M:%S"), event.text)
}

/// A moment that may not have come: an empty text, as the service has it.
pub(super) fn moment(at: Option<Timestamp>) -> String {
    at.map(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::Restart;

    #[test]
    fn exit_codes_above_127_were_not_the_programs_own() {
        assert!(!Restart::ExitCode.again(Some(1)) && !Restart::ExitCode.again(Some(127)));
        assert!(Restart::ExitCode.again(Some(137)) && Restart::ExitCode.again(None));
        assert!(Restart::OnFailure.again(Some(1)) && !Restart::Never.again(None));
    }
}
