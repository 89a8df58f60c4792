//! Follows a Job to its end: how its pod is, what it writes, and what makes waiting senseless. A connection that breaks
//! is made again; what was told is not told twice.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::AsyncBufReadExt;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event as Happened, Pod};
use tokio::time::Instant;

use super::ResourceError;
use super::objects::{CONTAINER, Place};
use crate::cloud::kubernetes::{Kubernetes, KubernetesError, connect};
use crate::model::event::Event;
use crate::resources::home::OUT_OF_TIME;
use crate::resources::kind::Context;
use crate::resources::runs::{Standing, Telling};

/// Reasons of a container to wait that no waiting ends.
const HOPELESS: &[&str] = &[
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];
/// How long a pod may wait for a node to have room for it.
const UNSCHEDULABLE: Duration = Duration::from_secs(300);
/// How long a Job may be without a pod.
const PODLESS: Duration = Duration::from_secs(60);
/// How long the cluster may not answer.
const OUTAGE: Duration = Duration::from_secs(300);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// How a pod is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// It comes; the status as the cluster calls it.
    Coming(String),
    /// No node has room for it, and why.
    Unschedulable(String),
    /// It will never run, and why.
    Hopeless(String),
    Running,
    /// It ended with that exit code.
    Over(i64),
    /// It ended without one.
    Killed(String),
}

fn with_message(reason: &str, message: Option<&String>) -> String {
    message.filter(|message| !message.is_empty()).map_or_else(|| reason.to_owned(), |message| format!("{reason}: {message}"))
}

fn state_of(pod: &Pod) -> State {
    let Some(status) = &pod.status else { return State::Coming("Pending".to_owned()) };
    let container = status.container_statuses.iter().flatten().find(|container| container.name == CONTAINER);
    if let Some(state) = container.and_then(|container| container.state.as_ref()) {
        if let Some(terminated) = &state.terminated {
            return State::Over(terminated.exit_code.into());
        }
        if state.running.is_some() {
            return State::Running;
        }
        if let Some(waiting) = &state.waiting {
            let reason = waiting.reason.as_deref().unwrap_or("Waiting");
            let shown = with_message(reason, waiting.message.as_ref());
            return if HOPELESS.contains(&reason) { State::Hopeless(shown) } else { State::Coming(reason.to_owned()) };
        }
    }
    let phase = status.phase.as_deref().unwrap_or("Pending");
    if phase == "Failed" {
        return State::Killed(with_message(status.reason.as_deref().unwrap_or("Failed"), status.message.as_ref()));
    }
    let mut conditions = status.conditions.iter().flatten();
    let unscheduled = conditions.find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    match unscheduled {
        Some(condition) => State::Unschedulable(with_message("Unschedulable", condition.message.as_ref())),
        None => State::Coming(phase.to_owned()),
    }
}

/// Why the cluster gave the Job up, if it did.
fn given_up(job: &Job) -> Option<String> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let failed = |kind: &str| conditions.iter().find(|condition| condition.type_ == kind && condition.status == "True");
    let condition = failed("Failed").or_else(|| failed("FailureTarget"))?;
    condition.reason.clone()
}

/// The warnings among events, each once.
fn warnings(events: &[Happened]) -> String {
    let warnings = events.iter().filter(|event| event.type_.as_deref() == Some("Warning"));
    let texts: BTreeSet<String> =
        warnings.map(|event| with_message(event.reason.as_deref().unwrap_or("Warning"), event.message.as_ref())).collect();
    texts.into_iter().collect::<Vec<_>>().join("; ")
}

/// What was told of a log already.
#[derive(Debug, Default)]
struct Told {
    /// The time of the last line told, and how many lines of that time were.
    last: Option<(Timestamp, usize)>,
    /// How many lines of that time the present connection has shown.
    seen: usize,
}

impl Told {
    /// A connection begins: from what time on it is to show lines. Times of the API have whole seconds.
    fn reconnect(&mut self) -> Option<Timestamp> {
        self.seen = 0;
        Timestamp::from_second(self.last?.0.as_second()).ok()
    }

    /// The text of a line behind its time, unless it was told already.
    fn new_text<'a>(&mut self, line: &'a str) -> Option<&'a str> {
        let Some((Ok(time), text)) = line.split_once(' ').map(|(time, text)| (time.parse::<Timestamp>(), text)) else { return Some(line) };
        match &mut self.last {
            Some((last, _)) if time < *last => return None,
            Some((last, told)) if time == *last => {
                self.seen += 1;
                if self.seen <= *told {
                    return None;
                }
                *told += 1;
            }
            _ => {
                self.last = Some((time, 1));
                self.seen = 1;
            }
        }
        Some(text)
    }
}

/// Looks after one Job.
pub(super) struct Follower<'a> {
    context: &'a Context<'a>,
    place: &'a Place<'a>,
    api: Box<dyn Kubernetes>,
    life: Duration,
    told: Told,
    status: String,
}

impl<'a> Follower<'a> {
    pub(super) fn new(context: &'a Context<'a>, place: &'a Place<'a>, api: Box<dyn Kubernetes>, life: Duration) -> Self {
        Follower { context, place, api, life, told: Told::default(), status: String::new() }
    }

    pub(super) fn api(&self) -> &dyn Kubernetes {
        &*self.api
    }

    /// Follows it to its end, and gives back its exit code.
    pub(super) async fn follow(&mut self) -> Result<i64, ResourceError> {
        let mut pause = FIRST_PAUSE;
        let (mut answered, mut placed, mut with_pod) = (Instant::now(), Instant::now(), Instant::now());
        loop {
            let state = match self.look().await {
                Ok(state) => state,
                Err(ResourceError::Kubernetes(error)) => {
                    self.outage(error, answered).await?;
                    tokio::time::sleep(LONGEST_PAUSE).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            answered = Instant::now();
            if !matches!(state, Some((_, State::Unschedulable(_)))) {
                placed = answered;
            }
            if state.is_some() {
                with_pod = answered;
            }
            match state {
                None if with_pod.elapsed() >= PODLESS => return Err(self.stuck("it has no pod".to_owned(), self.place.name).await),
                None => self.wait("no pod"),
                Some((pod, State::Hopeless(why))) => return Err(self.stuck(why, &pod).await),
                Some((pod, State::Unschedulable(why))) if placed.elapsed() >= UNSCHEDULABLE => {
                    return Err(self.stuck(why, &pod).await);
                }
                Some((_, State::Unschedulable(why) | State::Coming(why))) => self.wait(&why),
                Some((_, State::Killed(why))) => return self.killed(why).await,
                Some((pod, State::Running)) => {
                    // A connection that breaks is made anew by the next look.
                    let told = self.tell(&pod, true).await;
                    pause = if told.is_ok() { FIRST_PAUSE } else { (pause * 3 / 2).min(LONGEST_PAUSE) };
                }
                Some((pod, State::Over(code))) => return self.over(&pod, code).await,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 5 / 4).min(LONGEST_PAUSE);
        }
    }

    /// How the newest pod is; `None` as long as there is none.
    async fn look(&self) -> Result<Option<(String, State)>, ResourceError> {
        let Place { namespace, name, .. } = *self.place;
        let pods = self.api.pods(namespace, name).await?;
        if let Some(pod) = pods.into_iter().max_by_key(|pod| pod.metadata.creation_timestamp.clone().map(|time| time.0)) {
            let state = state_of(&pod);
            return Ok(Some((pod.metadata.name.unwrap_or_default(), state)));
        }
        match self.api.job(namespace, name).await? {
            None => Err(ResourceError::Stuck { what: self.what(), because: "somebody deleted it".to_owned() }),
            Some(job) => Ok(given_up(&job).map(|reason| (String::new(), State::Killed(reason)))),
        }
    }

    fn what(&self) -> String {
        format!("the Job `{}` in cluster `{}`", self.place.name, self.place.cluster)
    }

    fn wait(&mut self, status: &str) {
        if self.status != status {
            status.clone_into(&mut self.status);
            let status = format!("{status}, waiting for the pod");
            self.context.events.emit(Event::StepWaiting { address: self.context.address.clone(), status });
        }
    }

    /// Bears that the cluster does not answer, for a while; goes in again where the way in has expired.
    async fn outage(&mut self, error: KubernetesError, answered: Instant) -> Result<(), ResourceError> {
        let expired = error.is(401);
        if !(expired || error.may_pass()) || answered.elapsed() >= OUTAGE {
            return Err(error.into());
        }
        self.wait(&error.to_string());
        if expired {
            self.api = connect(self.context.cloud, self.context.region, self.place.cluster, self.life).await?;
        }
        Ok(())
    }

    /// Why it can't come about, with what the cluster says happened.
    async fn stuck(&self, why: String, object: &str) -> ResourceError {
        let events = self.api.events(self.place.namespace, object).await.unwrap_or_default();
        let warnings = warnings(&events);
        let because = if warnings.is_empty() { why } else { format!("{why}; events of `{object}`: {warnings}") };
        ResourceError::Stuck { what: self.what(), because }
    }

    /// It ended without an exit code.
    async fn killed(&self, why: String) -> Result<i64, ResourceError> {
        if why.starts_with("DeadlineExceeded") || self.is_out_of_time().await? {
            return Ok(OUT_OF_TIME);
        }
        Err(ResourceError::Stuck { what: self.what(), because: format!("its pod is gone without an exit code: {why}") })
    }

    async fn is_out_of_time(&self) -> Result<bool, ResourceError> {
        let job = self.api.job(self.place.namespace, self.place.name).await?;
        Ok(job.as_ref().and_then(given_up).as_deref() == Some("DeadlineExceeded"))
    }

    /// It ended: what it wrote last, and with what.
    async fn over(&mut self, pod: &str, code: i64) -> Result<i64, ResourceError> {
        let mut pause = FIRST_PAUSE;
        let begun = Instant::now();
        while let Err(error) = self.tell(pod, true).await {
            // A log that can't be had any more must not hide how it ended.
            if begun.elapsed() >= PODLESS || error.is(404) || error.is(400) {
                let status = format!("the rest of the log can't be had: {error}");
                self.context.events.emit(Event::StepWaiting { address: self.context.address.clone(), status });
                break;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
        Ok(if code != 0 && self.is_out_of_time().await? { OUT_OF_TIME } else { code })
    }

    /// How it is, in the words of all kinds of runs.
    pub(super) async fn standing(&self) -> Result<Standing, ResourceError> {
        let state = match self.look().await {
            Err(ResourceError::Stuck { because, .. }) => return Ok(Standing::Gone(because)),
            state => state?,
        };
        Ok(match state {
            None => Standing::Coming("no pod".to_owned()),
            Some((_, State::Coming(why) | State::Unschedulable(why))) => Standing::Coming(why),
            Some((_, State::Hopeless(why))) => Standing::Gone(why),
            Some((_, State::Running)) => Standing::Running,
            Some((_, State::Over(code))) => Standing::Over(Some(code)),
            Some((_, State::Killed(why))) if why.starts_with("DeadlineExceeded") => Standing::Over(Some(OUT_OF_TIME)),
            Some((_, State::Killed(why))) => Standing::Gone(why),
        })
    }

    /// Tells what it wrote, for whoever only wants to see it.
    pub(super) async fn watch(&mut self, telling: &Telling<'_>) -> Result<Standing, ResourceError> {
        let standing = self.standing().await?;
        if let Some((pod, State::Running | State::Over(_))) = self.look().await.ok().flatten() {
            self.tell(&pod, false).await?;
        }
        (telling.caught_up)();
        if !telling.follow || standing.is_over() {
            return Ok(standing);
        }
        match self.follow().await {
            Ok(code) => Ok(Standing::Over(Some(code))),
            Err(ResourceError::Stuck { because, .. }) => Ok(Standing::Gone(because)),
            Err(error) => Err(error),
        }
    }

    /// Tells what the pod wrote, or with `follow` writes until the connection ends, whole lines only.
    async fn tell(&mut self, pod: &str, follow: bool) -> Result<(), KubernetesError> {
        let since = self.told.reconnect();
        let mut lines = self.api.log(self.place.namespace, pod, since, follow).await?;
        let mut open: Vec<u8> = Vec::new();
        loop {
            let broken =
                |error: std::io::Error| KubernetesError::Unreachable { cluster: self.place.cluster.to_owned(), reason: error.to_string() };
            let read = {
                let bytes = lines.fill_buf().await.map_err(broken)?;
                open.extend_from_slice(bytes);
                bytes.len()
            };
            lines.consume_unpin(read);
            let end = if read == 0 { open.len() } else { open.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1) };
            let whole: Vec<u8> = open.drain(..end).collect();
            let whole = String::from_utf8_lossy(&whole);
            let new: Vec<&str> = whole.lines().filter_map(|line| self.told.new_text(line)).collect();
            if !new.is_empty() {
                let text = new.join("\n") + "\n";
                self.context.events.emit(Event::StepOutput { address: self.context.address.clone(), text });
            }
            if read == 0 {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(status: serde_json::Value) -> Pod {
        serde_json::from_value(json!({ "metadata": { "name": "p" }, "status": status })).unwrap()
    }

    fn container(state: serde_json::Value) -> Pod {
        let status = json!({ "name": CONTAINER, "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state });
        pod(json!({ "phase": "Pending", "containerStatuses": [status] }))
    }

    #[test]
    fn a_pod_says_whether_there_is_hope() {
        let waiting = |reason: &str| state_of(&container(json!({ "waiting": { "reason": reason, "message": "m" } })));
        for reason in ["ErrImagePull", "ImagePullBackOff", "CrashLoopBackOff", "CreateContainerConfigError"] {
            assert_eq!(waiting(reason), State::Hopeless(format!("{reason}: m")));
        }
        assert_eq!(waiting("ContainerCreating"), State::Coming("ContainerCreating".to_owned()));
        assert_eq!(state_of(&container(json!({ "running": {} }))), State::Running);
        assert_eq!(state_of(&container(json!({ "terminated": { "exitCode": 3 } }))), State::Over(3));
        let condition = json!({ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "Insufficient cpu" });
        let unschedulable = pod(json!({ "phase": "Pending", "conditions": [condition] }));
        assert_eq!(state_of(&unschedulable), State::Unschedulable("Unschedulable: Insufficient cpu".to_owned()));
        let evicted = pod(json!({ "phase": "Failed", "reason": "Evicted", "message": "low on memory" }));
        assert_eq!(state_of(&evicted), State::Killed("Evicted: low on memory".to_owned()));
        assert_eq!(state_of(&pod(json!({}))), State::Coming("Pending".to_owned()));
    }

    #[test]
    fn a_job_says_why_it_was_given_up() {
        let job = |kind: &str| -> Job {
            let condition = json!({ "type": kind, "status": "True", "reason": "DeadlineExceeded" });
            serde_json::from_value(json!({ "metadata": {}, "status": { "conditions": [condition] } })).unwrap()
        };
        assert_eq!(given_up(&job("Failed")).as_deref(), Some("DeadlineExceeded"));
        assert_eq!(given_up(&job("Complete")), None);
    }

    #[test]
    fn after_a_broken_connection_no_line_is_told_twice_and_none_is_lost() {
        let log = ["2026-01-01T00:00:01.5Z a", "2026-01-01T00:00:01.5Z b", "2026-01-01T00:00:02Z c", "2026-01-01T00:00:02Z d"];
        let mut told = Told::default();
        let mut heard: Vec<&str> = log[..3].iter().filter_map(|line| told.new_text(line)).collect();
        let since = told.reconnect().unwrap();
        assert_eq!(since.to_string(), "2026-01-01T00:00:02Z");
        // A server may show more than was asked for.
        heard.extend(log.iter().filter_map(|line| told.new_text(line)));
        assert_eq!(heard, ["a", "b", "c", "d"]);
        assert_eq!(told.new_text("no time before it"), Some("no time before it"));
    }

    #[test]
    fn warnings_are_told_once() {
        let event = |kind: &str, message: &str| -> Happened {
            let object = json!({ "type": kind, "reason": "Failed", "message": message, "metadata": {}, "involvedObject": {} });
            serde_json::from_value(object).unwrap()
        };
        let events = [event("Normal", "pulling"), event("Warning", "no such host"), event("Warning", "no such host")];
        assert_eq!(warnings(&events), "Failed: no such host");
    }
}
