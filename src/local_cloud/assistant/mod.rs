//! Cloud Assistant: commands and files that are handed to instances, and what became of them.

pub(crate) mod command;
mod cron;
pub(crate) mod describe;
mod frequency;
pub(crate) mod schedule;
pub(crate) mod send;
pub(crate) mod start;
mod target;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::wire::params::Tags;

/// How far a command or a file got on one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Progress {
    /// It waits for the agent.
    Pending,
    /// It waits for its time or for a boot.
    Scheduled,
    /// It was not delivered.
    Aborted,
    /// It runs.
    Running,
    /// It ended well.
    Success,
    /// It ended badly.
    Failed,
    /// It could not be started.
    Error,
    /// Its time was up.
    Timeout,
    /// It was stopped before it started.
    Cancelled,
    /// It was stopped while it ran.
    Terminated,
}

impl Progress {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Progress::Pending => "Pending",
            Progress::Scheduled => "Scheduled",
            Progress::Aborted => "Aborted",
            Progress::Running => "Running",
            Progress::Success => "Success",
            Progress::Failed => "Failed",
            Progress::Error => "Error",
            Progress::Timeout => "Timeout",
            Progress::Cancelled => "Cancelled",
            Progress::Terminated => "Terminated",
        }
    }

    pub(crate) fn is_over(self) -> bool {
        !matches!(self, Progress::Pending | Progress::Scheduled | Progress::Running)
    }

    /// The older field's word.
    pub(crate) fn old_name(self) -> &'static str {
        match self {
            Progress::Pending | Progress::Scheduled | Progress::Running => "Running",
            Progress::Success | Progress::Failed => "Finished",
            Progress::Cancelled | Progress::Terminated => "Stopped",
            Progress::Aborted | Progress::Error | Progress::Timeout => "Failed",
        }
    }
}

/// The state of the whole from those of all instances.
pub(crate) fn overall(all: impl Iterator<Item = Progress> + Clone) -> &'static str {
    let any = |wanted: Progress| all.clone().any(|each| each == wanted);
    let stopped = |each: Progress| matches!(each, Progress::Cancelled | Progress::Terminated);
    let well = |each: Progress| each == Progress::Success || stopped(each);
    if any(Progress::Pending) {
        "Pending"
    } else if any(Progress::Running) {
        "Running"
    } else if any(Progress::Scheduled) {
        "Scheduled"
    } else if all.clone().all(stopped) {
        "Stopped"
    } else if all.clone().all(well) {
        "Success"
    } else if any(Progress::Success) {
        "PartialFailed"
    } else {
        "Failed"
    }
}

/// A command on one instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) progress: Progress,
    pub(crate) exit_code: Option<i32>,
    pub(crate) error_code: String,
    pub(crate) error_info: String,
    /// Base64, the first 24 KiB.
    pub(crate) output: String,
    pub(crate) dropped: u64,
    /// How many times it ran.
    #[serde(default)]
    pub(crate) repeats: u32,
    pub(crate) started: Option<Timestamp>,
    pub(crate) stopped: Option<Timestamp>,
    pub(crate) finished: Option<Timestamp>,
    pub(crate) updated: Timestamp,
}

impl Run {
    pub(crate) fn pending(now: Timestamp) -> Self {
        Run {
            progress: Progress::Pending,
            exit_code: None,
            error_code: String::new(),
            error_info: String::new(),
            output: String::new(),
            dropped: 0,
            repeats: 0,
            started: None,
            stopped: None,
            finished: None,
            updated: now,
        }
    }

    /// The same, ended without a process of its own.
    pub(crate) fn ended(mut self, progress: Progress, code: &str, info: &str, now: Timestamp) -> Self {
        self.progress = progress;
        code.clone_into(&mut self.error_code);
        info.clone_into(&mut self.error_info);
        self.finished = Some(now);
        self.updated = now;
        self
    }
}

/// When a command runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Repeat {
    /// At once.
    #[default]
    Once,
    /// At the times of its frequency.
    Period,
    /// When the instance boots next.
    NextRebootOnly,
    /// Whenever the instance boots.
    EveryReboot,
}

impl Repeat {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Repeat::Once => "Once",
            Repeat::Period => "Period",
            Repeat::NextRebootOnly => "NextRebootOnly",
            Repeat::EveryReboot => "EveryReboot",
        }
    }
}

/// A command that was handed to instances.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Invocation {
    pub(crate) id: String,
    pub(crate) command: String,
    pub(crate) region: String,
    pub(crate) name: String,
    pub(crate) description: String,
    /// `RunShellScript`.
    pub(crate) kind: String,
    /// Base64.
    pub(crate) content: String,
    pub(crate) working_directory: String,
    pub(crate) user: String,
    pub(crate) timeout: u64,
    /// `Process` or `ProcessTree`.
    pub(crate) termination: String,
    /// As JSON; they fill the script if `with_parameters`.
    pub(crate) parameters: String,
    pub(crate) with_parameters: bool,
    #[serde(default)]
    pub(crate) repeat: Repeat,
    /// `rate(5m)` and the like; empty without.
    #[serde(default)]
    pub(crate) frequency: String,
    #[serde(default)]
    pub(crate) resource_group: String,
    pub(crate) created: Timestamp,
    pub(crate) tags: Tags,
    pub(crate) runs: BTreeMap<String, Run>,
}

impl Invocation {
    /// Whether another run follows when one has ended.
    pub(crate) fn recurs(&self) -> bool {
        match self.repeat {
            Repeat::Once | Repeat::NextRebootOnly => false,
            Repeat::EveryReboot => true,
            Repeat::Period => frequency::Frequency::read(&self.frequency).is_ok_and(|frequency| frequency.recurs()),
        }
    }
}

/// A file that was sent to instances. Its content is not part of this: it may be a secret and lives in memory only.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SentFile {
    pub(crate) id: String,
    pub(crate) region: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) directory: String,
    /// `PlainText` or `Base64`.
    pub(crate) content_type: String,
    pub(crate) owner: String,
    pub(crate) group: String,
    /// Octal, `0644`.
    pub(crate) mode: String,
    pub(crate) overwrite: bool,
    pub(crate) timeout: u64,
    pub(crate) created: Timestamp,
    pub(crate) tags: Tags,
    pub(crate) runs: BTreeMap<String, Run>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_follows_from_its_parts() {
        use Progress::{Cancelled, Failed, Pending, Running, Success, Terminated, Timeout};
        let of = |all: &[Progress]| overall(all.iter().copied());
        assert_eq!(of(&[Success, Pending, Running]), "Pending");
        assert_eq!(of(&[Success, Running]), "Running");
        assert_eq!(of(&[Success, Terminated]), "Success");
        assert_eq!(of(&[Cancelled, Terminated]), "Stopped");
        assert_eq!(of(&[Failed, Timeout]), "Failed");
        assert_eq!(of(&[Failed, Success]), "PartialFailed");
    }
}
