//! Watches a training job from its creation to its end: tells what its pods write, and what holds it up. It stops
//! nothing itself; it says when nobody should wait any longer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::error::ResourceError;
use super::kind::Context;
use super::pod_log::Cursor;
use super::runs::{Standing, Telling};
use crate::cloud::api::ask;
use crate::cloud::dlc::{GetJob, GetJobEvents, GetPodEvents, GetPodLogs, Job, Pod};
use crate::cloud::error::ApiError;
use crate::model::event::Event;

/// How long a job may wait for its place and its image.
pub(super) const START_LIMIT: Duration = Duration::from_secs(2 * 3600);
/// From when on a job that does not begin says why.
const STALLED: Duration = Duration::from_secs(180);
/// How long an image may fail to be pulled.
const PULL_LIMIT: Duration = Duration::from_secs(300);
/// How long a job may wait for what the service says there is none of.
const SOLD_OUT_LIMIT: Duration = Duration::from_secs(600);
/// What an event says of a type that there is none of.
const SOLD_OUT: &[&str] = &["Insufficient resources", "no stock"];
/// How often it is asked what holds a job up.
const ASK_WHY: Duration = Duration::from_secs(20);
/// What an event says of an image that does not come.
const NOT_PULLED: &[&str] = &["ErrImagePull", "ImagePullBackOff", "Failed to pull image", "InvalidImageName"];
/// How long the service may be out of reach.
const PATIENCE: Duration = Duration::from_secs(600);
/// How far a look may lag behind the creation.
const LISTED_WITHIN: Duration = Duration::from_secs(30);
/// How far the end of a log may lag behind the end of its pod.
const LOGGED_WITHIN: Duration = Duration::from_secs(20);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const EVENTS: u32 = 100;

/// How a job ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ended {
    /// Its exit code, if it came to one: of several the first that is not 0.
    pub(super) exit_code: Option<i64>,
    /// Why it ended, where no exit code says it.
    pub(super) because: Option<String>,
    /// Whether it sent outputs.
    pub(super) delivered: bool,
    /// For how many milliseconds it ran, as the service bills it; `None` if it did not say.
    pub(super) billed_ms: Option<u64>,
    /// When, as the service says it.
    pub(super) finished: Option<String>,
}

/// Whether nothing will become of it any more.
pub(super) fn is_over(job: &Job) -> bool {
    is_final(&job.status)
}

/// Whether nothing happens any more in that status.
pub(super) fn is_final(status: &str) -> bool {
    matches!(status, "Succeeded" | "Failed" | "Stopped" | "SucceededReserving" | "FailedReserving")
}

/// How a job is, in the words of all kinds of runs; its exit code stands in its log only.
pub(super) fn standing(job: &Job) -> Standing {
    match job.status.as_str() {
        "Succeeded" | "SucceededReserving" => Standing::Over(Some(0)),
        "Stopped" => Standing::Gone(format!("it was stopped: {}", job.reason_message)),
        _ if is_over(job) => Standing::Over(None),
        "Running" | "Restarting" | "Stopping" => Standing::Running,
        status => Standing::Coming(status.to_owned()),
    }
}

/// How a job is that is not there.
pub(super) fn missing(id: &str) -> Standing {
    Standing::Gone(format!("the training job `{id}` is gone"))
}

/// What is known of one pod.
#[derive(Default)]
struct Seen {
    cursor: Cursor,
    exit_code: Option<i64>,
}

/// Everything that was seen so far.
struct Watch<'a> {
    context: &'a Context<'a>,
    id: &'a str,
    mark: String,
    /// Whether each line says which pod wrote it.
    named: bool,
    /// By name, which is the order of their ranks too: the master comes first.
    pods: BTreeMap<String, Seen>,
    delivered: bool,
    events: BTreeSet<String>,
    /// Since when an image does not come, and the event that said so first.
    pulling: Option<(Instant, String)>,
    asked_why: Option<Instant>,
    /// The event that says that there is nothing to run it on.
    sold_out: Option<String>,
}

/// What a line of a log says: the job's own words, and what the script has to say.
fn split<'a>(line: &'a str, mark: &str) -> (Option<&'a str>, Option<&'a str>) {
    match line.split_once(mark) {
        None => (Some(line), None),
        Some(("", said)) => (None, Some(said)),
        // The job did not end its last line.
        Some((before, said)) => (Some(before), Some(said)),
    }
}

/// A failure that may be over soon.
fn passes(error: &ApiError) -> bool {
    matches!(error, ApiError::Lost { .. } | ApiError::Unreadable { .. }) || error.is_server_fault() || error.is_throttling()
}

impl<'a> Watch<'a> {
    fn new(context: &'a Context<'a>, id: &'a str, digest: &str, workers: u32) -> Self {
        Watch {
            context,
            id,
            mark: format!("aliform-{digest} "),
            named: workers > 1,
            pods: BTreeMap::new(),
            delivered: false,
            events: BTreeSet::new(),
            pulling: None,
            asked_why: None,
            sold_out: None,
        }
    }

    fn tell(&self, text: String) {
        self.context.events.emit(Event::StepOutput { address: self.context.address.clone(), text });
    }

    /// Tells what a pod wrote since the last time; whether it was anything.
    async fn read(&mut self, pod: &Pod) -> Result<bool, ResourceError> {
        let (context, id, mark) = (self.context, self.id, self.mark.clone());
        let seen = self.pods.entry(pod.pod_id.clone()).or_default();
        let lines = seen
            .cursor
            .read(context.clock.now(), async |part| {
                let call = GetPodLogs {
                    job_id: id.to_owned(),
                    pod_id: pod.pod_id.clone(),
                    max_lines: part.most,
                    start_time: part.since.clone(),
                    end_time: part.until.clone(),
                };
                match ask(context.cloud, context.region, &call).await {
                    // A pod that has not begun has no log.
                    Err(error) if error.is_not_found() => Ok(Vec::new()),
                    other => Ok(other?.logs),
                }
            })
            .await?;
        let (mut text, mut delivered) = (String::new(), false);
        let short = pod.pod_id.strip_prefix(id).map_or(&*pod.pod_id, |rest| rest.trim_start_matches('-'));
        let name = if self.named { format!("{short} | ") } else { String::new() };
        for line in &lines {
            let (wrote, said) = split(line, &mark);
            if let Some(wrote) = wrote {
                text += &format!("{name}{wrote}\n");
            }
            match said.map(|said| said.split_once('=').unwrap_or((said, ""))) {
                None => {}
                Some(("exit", code)) => seen.exit_code = code.trim().parse().ok(),
                Some(("delivered", _)) => delivered = true,
                Some(("missing", output)) => text += &format!("aliform: there is no output `{output}`\n"),
                Some(_) => text += &format!("aliform: {}\n", said.unwrap_or_default()),
            }
        }
        self.delivered |= delivered;
        if !text.is_empty() {
            self.tell(text);
        }
        Ok(!lines.is_empty())
    }

    async fn read_all(&mut self, job: &Job) -> Result<bool, ResourceError> {
        let mut news = false;
        for pod in job.pods.iter().filter(|pod| pod.status != "Pending") {
            news |= self.read(pod).await?;
        }
        Ok(news)
    }

    /// What happened to a job that does not run, as the service tells it.
    async fn happened(&self, job: &Job) -> Result<Vec<String>, ApiError> {
        let (context, job_id) = (self.context, self.id.to_owned());
        if job.pods.is_empty() {
            return Ok(ask(context.cloud, context.region, &GetJobEvents { job_id, max_events_num: EVENTS }).await?.events);
        }
        let mut all = Vec::new();
        for pod in &job.pods {
            let call = GetPodEvents { job_id: job_id.clone(), pod_id: pod.pod_id.clone(), max_events_num: EVENTS };
            all.extend(ask(context.cloud, context.region, &call).await?.events);
        }
        Ok(all)
    }

    /// Looks what holds a job up that has been so for `waited`. Whether it is not worth waiting for, and why.
    async fn why(&mut self, job: &Job, waited: Duration) -> Option<String> {
        if waited < ASK_WHY || self.asked_why.is_some_and(|asked| asked.elapsed() < ASK_WHY) {
            return None;
        }
        self.asked_why = Some(Instant::now());
        // What can't be had now is asked for again.
        let happened = self.happened(job).await.unwrap_or_default();
        self.sold_out = happened.iter().find(|event| SOLD_OUT.iter().any(|sign| event.contains(sign))).cloned();
        let failing = happened.iter().find(|event| NOT_PULLED.iter().any(|sign| event.contains(sign)));
        if let (None, Some(event)) = (&self.pulling, failing) {
            self.pulling = Some((Instant::now(), event.clone()));
        }
        if waited >= STALLED || self.pulling.is_some() {
            let new: Vec<String> = happened.into_iter().filter(|event| self.events.insert(event.clone())).collect();
            if !new.is_empty() {
                let lines: String = new.iter().map(|event| format!("  {event}\n")).collect();
                self.tell(format!("aliform: the job is {} for {} s; what the service says of it:\n{lines}", job.status, waited.as_secs()));
            }
        }
        match &self.pulling {
            Some((since, event)) if since.elapsed() >= PULL_LIMIT => {
                Some(format!("its image could not be pulled for {} minutes: {event}", PULL_LIMIT.as_secs() / 60))
            }
            _ => None,
        }
    }

    /// How a job ended that is over, as far as its logs are there.
    fn ended(&self, job: &Job) -> Ended {
        let codes = || self.pods.values().filter_map(|pod| pod.exit_code);
        let exit_code = match codes().find(|code| *code != 0) {
            None if job.status.starts_with("Succeeded") => Some(0),
            None => None,
            code => code,
        };
        let because = match exit_code {
            Some(_) => None,
            None => Some(format!("the training job is {}: {}: {}", job.status, job.reason_code, job.reason_message)),
        };
        let finished = Some(job.gmt_finish_time.clone()).filter(|moment| !moment.is_empty());
        Ended { exit_code, because, delivered: self.delivered, finished, billed_ms: ran(job) }
    }

    /// Whether every pod that came to its end has said how.
    fn said_all(&self, job: &Job) -> bool {
        let said = |pod: &Pod| self.pods.get(&pod.pod_id).is_some_and(|seen| seen.exit_code.is_some());
        let failed = || self.pods.values().any(|seen| seen.exit_code.is_some_and(|code| code != 0));
        match job.status.as_str() {
            "Succeeded" | "SucceededReserving" => job.pods.iter().all(said),
            "Stopped" => true,
            _ => failed(),
        }
    }
}

/// How long a job ran that is over, in milliseconds. Source: "Billing of DLC", the running duration of the job.
fn ran(job: &Job) -> Option<u64> {
    let moment = |text: &str| text.parse::<jiff::Timestamp>().ok();
    let Some(running) = moment(&job.gmt_running_time) else { return Some(0).filter(|_| job.gmt_running_time.is_empty()) };
    u64::try_from((moment(&job.gmt_finish_time)?.as_second() - running.as_second()) * 1000).ok()
}

/// Follows a job to its end, or until it is not worth waiting for. `None` if there is no such job.
pub(super) async fn follow(context: &Context<'_>, id: &str, digest: &str, workers: u32) -> Result<Option<Ended>, ResourceError> {
    let mut watch = Watch::new(context, id, digest, workers);
    let (begun, mut answered, mut pause) = (Instant::now(), Instant::now(), FIRST_PAUSE);
    let mut status = (String::new(), begun);
    let mut over: Option<Instant> = None;
    loop {
        let looked = async {
            let call = GetJob { job_id: id.to_owned(), need_detail: true };
            let job = ask(context.cloud, context.region, &call).await.map_err(ResourceError::from)?;
            let news = watch.read_all(&job).await?;
            Ok::<_, ResourceError>((job, news))
        };
        match looked.await {
            Ok((job, news)) => {
                answered = Instant::now();
                if is_over(&job) {
                    let since = *over.get_or_insert(answered);
                    if watch.said_all(&job) || since.elapsed() >= LOGGED_WITHIN {
                        if !job.status.starts_with("Succeeded") {
                            watch.tell(format!("aliform: the training job is {}: {}\n", job.status, job.reason_message));
                        }
                        return Ok(Some(watch.ended(&job)));
                    }
                } else if status.0 != job.status {
                    status = (job.status.clone(), answered);
                    let status = format!("{}, waiting for the job to end", job.status);
                    context.events.emit(Event::StepWaiting { address: context.address.clone(), status });
                }
                if !matches!(job.status.as_str(), "Running" | "Restarting" | "Stopping") && over.is_none() {
                    let given_up = match watch.why(&job, status.1.elapsed()).await {
                        None if begun.elapsed() >= START_LIMIT => {
                            Some(format!("it did not begin within {} minutes: it is {}", START_LIMIT.as_secs() / 60, job.status))
                        }
                        why => why,
                    };
                    if let Some(message) = watch.sold_out.take_if(|_| job.status == "Queuing" && status.1.elapsed() >= SOLD_OUT_LIMIT) {
                        let (what, code) = ("what its pods run on".to_owned(), "OperationDenied.NoStock".to_owned());
                        return Err(ResourceError::Denied { what, code, message });
                    }
                    if given_up.is_some() {
                        return Ok(Some(Ended { because: given_up, ..Ended::default() }));
                    }
                }
                pause = if news { FIRST_PAUSE.max(pause / 2) } else { (pause * 3 / 2).min(LONGEST_PAUSE) };
            }
            Err(ResourceError::Api(error)) if error.is_not_found() => {
                if !status.0.is_empty() || begun.elapsed() >= LISTED_WITHIN {
                    return Ok(None);
                }
            }
            Err(ResourceError::Api(error)) if passes(&error) && answered.elapsed() < PATIENCE => {
                pause = (pause * 3 / 2).min(LONGEST_PAUSE);
            }
            Err(error) => return Err(error),
        }
        tokio::time::sleep(pause).await;
    }
}

/// Tells what a job wrote, for whoever only wants to see it, and gives back how it is then.
pub(super) async fn tell(
    context: &Context<'_>,
    id: &str,
    (digest, workers): (&str, u32),
    telling: &Telling<'_>,
) -> Result<Standing, ResourceError> {
    let mut watch = Watch::new(context, id, digest, workers);
    let (mut answered, mut pause, mut over) = (Instant::now(), FIRST_PAUSE, None);
    loop {
        let looked = async {
            let job = ask(context.cloud, context.region, &GetJob { job_id: id.to_owned(), need_detail: true }).await?;
            let news = watch.read_all(&job).await?;
            Ok::<_, ResourceError>((job, news))
        };
        match looked.await {
            Ok((job, news)) => {
                answered = Instant::now();
                (telling.caught_up)();
                let ended = is_over(&job) && {
                    let since: Instant = *over.get_or_insert(answered);
                    watch.said_all(&job) || since.elapsed() >= LOGGED_WITHIN
                };
                if ended || !telling.follow {
                    return Ok(match (standing(&job), watch.ended(&job).exit_code) {
                        (Standing::Over(_), code) => Standing::Over(code),
                        (other, _) => other,
                    });
                }
                pause = if news { FIRST_PAUSE.max(pause / 2) } else { (pause * 3 / 2).min(LONGEST_PAUSE) };
            }
            Err(ResourceError::Api(error)) if error.is_not_found() => return Ok(missing(id)),
            Err(ResourceError::Api(error)) if passes(&error) && answered.elapsed() < PATIENCE => {
                pause = (pause * 3 / 2).min(LONGEST_PAUSE);
            }
            Err(error) => return Err(error),
        }
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripts_own_lines_are_told_apart_even_from_an_unfinished_one() {
        assert_eq!(split("epoch 1", "aliform-00 "), (Some("epoch 1"), None));
        assert_eq!(split("aliform-00 exit=3", "aliform-00 "), (None, Some("exit=3")));
        assert_eq!(split("no end of linealiform-00 exit=0", "aliform-00 "), (Some("no end of line"), Some("exit=0")));
        assert_eq!(split("aliform-11 exit=3", "aliform-00 "), (Some("aliform-11 exit=3"), None));
    }
}
