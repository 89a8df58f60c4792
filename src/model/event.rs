//! What happens while aliform works, as one closed list. The terminal, NDJSON and the recorder are consumers
//! of it; the engine itself never prints.

use serde::Serialize;

use super::address::Address;
use super::change::Action;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The state is being compared with the cloud.
    RefreshStarted {
        /// How many resources are read.
        resources: usize,
    },
    /// It has been.
    RefreshFinished {
        /// How many calls it took.
        calls: usize,
    },
    /// An intent that an earlier run left open was settled.
    Recovered {
        /// The resource.
        address: Address,
        /// What was found: a lower-case fragment.
        outcome: String,
    },
    /// Applying begins.
    ApplyStarted {
        /// How many steps there are.
        steps: usize,
    },
    /// Work on a resource begins.
    StepStarted {
        /// The resource.
        address: Address,
        /// What is done.
        action: Action,
    },
    /// The cloud gave the resource its identifier.
    StepIdentified {
        /// The resource.
        address: Address,
        /// The identifier.
        id: String,
    },
    /// A step waits for the cloud.
    StepWaiting {
        /// The resource.
        address: Address,
        /// What for: `status Pending, waiting for Available`.
        status: String,
    },
    /// A script of a step wrote something.
    StepOutput {
        /// The resource.
        address: Address,
        /// Whole lines of it.
        text: String,
    },
    /// A check of a release was made.
    StepChecked {
        /// The release.
        address: Address,
        /// `process`, `port`, `health` or `log`.
        check: String,
        /// Whether it held.
        passed: bool,
        /// What was seen.
        detail: String,
    },
    /// A step is done.
    StepFinished {
        /// The resource.
        address: Address,
        /// What was done.
        action: Action,
        /// How long it took, in milliseconds.
        milliseconds: u64,
    },
    /// A run was begun and goes on in the cloud, whether anybody waits for it or not.
    StepDetached {
        /// The run.
        address: Address,
    },
    /// A step failed; what does not depend on it goes on.
    StepFailed {
        /// The resource.
        address: Address,
        /// What was being done.
        action: Action,
        /// Why: the whole chain of causes.
        error: String,
        /// What to do about it.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// The chosen instance can't be had; one that was approved to stand in for it is made instead.
    StepFellBack {
        /// The resource.
        address: Address,
        /// The zone it will stand in.
        zone: String,
        /// The type it will have.
        instance_type: String,
        /// What the cloud said of the chosen one.
        because: String,
    },
    /// A step was not begun.
    StepSkipped {
        /// The resource.
        address: Address,
        /// Why: `instance.web-1 failed`.
        because: String,
    },
    /// Everything that could be done was.
    ApplyFinished {
        /// Steps done.
        done: usize,
        /// Steps failed.
        failed: usize,
        /// Steps not begun.
        skipped: usize,
    },
}

/// Takes events as they happen. Must not block for long: the engine waits for it.
pub trait EventSink: Send + Sync {
    /// One more thing happened.
    fn emit(&self, event: Event);
}

/// Forgets them all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl EventSink for Silent {
    fn emit(&self, _event: Event) {}
}
