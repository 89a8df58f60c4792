//! Jobs: pods are made until enough have succeeded, too many have failed, or the time is up. Every pod is counted once:
//! it carries a finalizer until its job has counted it.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::garbage::remove_finalizer;
use crate::local_cloud::kubernetes::api::{delete, validate};
use crate::local_cloud::kubernetes::kind;
use crate::local_cloud::kubernetes::space::{Space, finalizers, is_deleting, items, name_of, namespace_of, text, uid_of};
use crate::local_cloud::time::{after, seconds};

/// Holds a pod until its job has counted it.
pub(crate) const TRACKING: &str = "batch.kubernetes.io/job-tracking";
const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// A pause after failures grows up to so many times the first one (10 s to 10 min in the real controller).
const LONGEST: u32 = 60;

/// Answers when a deadline or a pause ends next.
pub(crate) fn sync(space: &mut Space) -> Option<Timestamp> {
    let jobs: Vec<Json> = space.all(&kind::JOBS, None).into_iter().cloned().collect();
    jobs.iter().filter_map(|job| Turn::new(space, job).take(space)).min()
}

/// One look at one job.
struct Turn {
    before: Json,
    job: Json,
    namespace: String,
    pods: Vec<Json>,
    next: Option<Timestamp>,
}

fn is_over(pod: &Json) -> bool {
    ["Succeeded", "Failed"].contains(&text(pod, "/status/phase"))
}

fn moment(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// When a pod's last container ended.
fn ended(pod: &Json) -> Option<Timestamp> {
    let statuses = items(pod, "/status/containerStatuses");
    statuses.iter().filter_map(|status| moment(text(status, "/state/terminated/finishedAt"))).max()
}

fn has_condition(job: &Json, kind: &str) -> bool {
    items(job, "/status/conditions").iter().any(|condition| condition["type"] == kind && condition["status"] == "True")
}

fn index_of(pod: &Json) -> Option<u64> {
    pod["metadata"]["annotations"].get(INDEX)?.as_str()?.parse().ok()
}

/// `0-2,5`.
fn write_indexes(indexes: &BTreeSet<u64>) -> String {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for index in indexes {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *index => *last = *index,
            _ => runs.push((*index, *index)),
        }
    }
    let shown = runs.iter().map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") });
    shown.collect::<Vec<_>>().join(",")
}

fn read_indexes(text: &str) -> BTreeSet<u64> {
    let runs = text.split(',').filter_map(|run| {
        let (first, last) = run.split_once('-').unwrap_or((run, run));
        Some(first.parse().ok()?..=last.parse().ok()?)
    });
    runs.flatten().collect()
}

impl Turn {
    fn new(space: &Space, job: &Json) -> Turn {
        let namespace = namespace_of(job).to_owned();
        let own = |pod: &&Json| {
            items(pod, "/metadata/ownerReferences").iter().any(|owner| text(owner, "/uid") == uid_of(job) && owner["controller"] == true)
        };
        let pods = space.all(&kind::PODS, Some(&namespace)).into_iter().filter(own).cloned().collect();
        Turn { before: job.clone(), job: job.clone(), namespace, pods, next: None }
    }

    fn count(&self, field: &str) -> u64 {
        self.job["status"][field].as_u64().unwrap_or(0)
    }

    fn limit(&self, field: &str) -> Option<u64> {
        self.job["spec"][field].as_u64()
    }

    fn is_indexed(&self) -> bool {
        self.job["spec"]["completionMode"] == "Indexed"
    }

    fn wake_at(&mut self, at: Timestamp) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    fn take(mut self, space: &mut Space) -> Option<Timestamp> {
        if is_deleting(&self.job) {
            return None;
        }
        if has_condition(&self.job, "Complete") || has_condition(&self.job, "Failed") {
            self.tally(space);
            self.expire(space);
            return self.next;
        }
        let suspended = self.job["spec"]["suspend"] == true;
        if !suspended && text(&self.job, "/status/startTime").is_empty() {
            self.job["status"]["startTime"] = seconds(space.now).into();
        }
        self.tally(space);
        self.judge(space);
        let ending = ["FailureTarget", "SuccessCriteriaMet"].into_iter().find(|kind| has_condition(&self.job, kind));
        if ending.is_some() || suspended {
            self.end_active(space, suspended && ending.is_none());
        } else {
            self.fill(space);
        }
        self.describe(space, suspended);
        if let Some(kind) = ending {
            self.finish(space, kind);
        }
        space.replace(&kind::JOBS, self.job);
        self.next
    }

    /// Counts the pods that have ended, and lets go of them.
    fn tally(&mut self, space: &mut Space) {
        let mut indexes = read_indexes(text(&self.job, "/status/completedIndexes"));
        let finishing = has_condition(&self.job, "SuccessCriteriaMet") || self.job["spec"]["suspend"] == true;
        for pod in &mut self.pods {
            let going = is_deleting(pod);
            if !finalizers(pod).contains(&TRACKING) || !(is_over(pod) || going) {
                continue;
            }
            let counted = match text(pod, "/status/phase") {
                "Succeeded" => {
                    let new = index_of(pod).is_none_or(|index| indexes.insert(index));
                    new.then_some("succeeded")
                }
                // Pods that are not needed any more are ended, and have not failed by that.
                _ => (!(going && finishing)).then_some("failed"),
            };
            if let Some(field) = counted {
                self.job["status"][field] = (self.job["status"][field].as_u64().unwrap_or(0) + 1).into();
            }
            space.edit(&kind::PODS, &self.namespace, name_of(pod), |pod| remove_finalizer(pod, TRACKING));
            remove_finalizer(pod, TRACKING);
        }
        self.pods.retain(|pod| space.get(&kind::PODS, &self.namespace, name_of(pod)).is_some());
        if self.is_indexed() && !indexes.is_empty() {
            self.job["status"]["completedIndexes"] = write_indexes(&indexes).into();
        }
    }

    /// Says whether the job has failed or succeeded.
    fn judge(&mut self, space: &mut Space) {
        if has_condition(&self.job, "FailureTarget")
            || has_condition(&self.job, "SuccessCriteriaMet")
            || self.job["spec"]["suspend"] == true
        {
            return;
        }
        let most = self.limit("backoffLimit").unwrap_or(6);
        let restarts = || -> u64 {
            let all = self
                .pods
                .iter()
                .filter(|pod| !is_over(pod))
                .flat_map(|pod| items(pod, "/status/containerStatuses").iter().chain(items(pod, "/status/initContainerStatuses")));
            all.filter_map(|status| status["restartCount"].as_u64()).sum()
        };
        let by_restarts = self.job["spec"]["template"]["spec"]["restartPolicy"] == "OnFailure" && {
            let restarts = restarts();
            if most == 0 { restarts > 0 } else { restarts >= most }
        };
        let started = moment(text(&self.job, "/status/startTime")).unwrap_or(space.now);
        let deadline = self.limit("activeDeadlineSeconds").map(|limit| after(started, Duration::from_secs(limit)));
        let failure = match () {
            () if self.count("failed") > most || by_restarts => {
                Some(("BackoffLimitExceeded", "Job has reached the specified backoff limit"))
            }
            () if deadline.is_some_and(|deadline| deadline <= space.now) => {
                Some(("DeadlineExceeded", "Job was active longer than specified deadline"))
            }
            () => None,
        };
        if let Some((reason, message)) = failure {
            self.say(space, "FailureTarget", reason, message);
            return;
        }
        if let Some(deadline) = deadline {
            self.wake_at(deadline);
        }
        let succeeded = self.count("succeeded");
        let enough = match self.limit("completions") {
            Some(completions) => succeeded >= completions,
            None => succeeded > 0 && self.pods.iter().all(is_over),
        };
        if enough {
            self.say(space, "SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods");
        }
    }

    fn say(&mut self, space: &Space, kind: &str, reason: &str, message: &str) {
        super::schedule::set_condition(&mut self.job, kind, true, reason, message, &seconds(space.now));
        if let Some(condition) = self.job["status"]["conditions"].as_array_mut().and_then(|all| all.last_mut()) {
            condition["lastProbeTime"] = seconds(space.now).into();
        }
    }

    fn end_active(&mut self, space: &mut Space, suspended: bool) {
        let active: Vec<String> =
            self.pods.iter().filter(|pod| !is_over(pod) && !is_deleting(pod)).map(|pod| name_of(pod).to_owned()).collect();
        for name in active {
            delete::by_controller(space, &kind::PODS, &self.namespace, &name, None);
            if !suspended {
                let job = self.job.clone();
                space.event(&job, false, "SuccessfulDelete", &format!("Deleted pod: {name}"), "job-controller");
            }
        }
        let own = |pod: &Json| space.get(&kind::PODS, &self.namespace, name_of(pod)).cloned();
        self.pods = self.pods.iter().filter_map(own).collect();
    }

    /// Makes the pods that are missing, and ends those that are too many.
    fn fill(&mut self, space: &mut Space) {
        let parallelism = self.limit("parallelism").unwrap_or(1);
        let active: Vec<Json> = self.pods.iter().filter(|pod| !is_over(pod) && !is_deleting(pod)).cloned().collect();
        let wanted = match self.limit("completions") {
            Some(completions) => parallelism.min(completions.saturating_sub(self.count("succeeded"))),
            // A queue: once one has succeeded the others are to come to their end, and no new one begins.
            None if self.pods.iter().any(|pod| text(pod, "/status/phase") == "Succeeded") => active.len() as u64,
            None => parallelism,
        };
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        for pod in active.iter().skip(wanted) {
            delete::by_controller(space, &kind::PODS, &self.namespace, name_of(pod), None);
        }
        let missing = wanted.saturating_sub(active.len());
        if missing == 0 {
            return;
        }
        if let Some(until) = self.pause(space).filter(|until| *until > space.now) {
            self.wake_at(until);
            return;
        }
        let mut indexes = self.free_indexes(&active).into_iter();
        // A node takes a hundred pods; more than some hundreds at once help nobody.
        for _ in 0..missing.min(500) {
            let index = if self.is_indexed() { indexes.next() } else { None };
            if self.is_indexed() && index.is_none() {
                break;
            }
            self.make(space, index);
        }
    }

    fn free_indexes(&self, active: &[Json]) -> Vec<u64> {
        let done = read_indexes(text(&self.job, "/status/completedIndexes"));
        let taken: BTreeSet<u64> = active.iter().filter_map(index_of).collect();
        let all = 0..self.limit("completions").unwrap_or(0);
        all.filter(|index| !done.contains(index) && !taken.contains(index)).take(500).collect()
    }

    /// Until when no pod is made because the last ones failed.
    fn pause(&self, space: &Space) -> Option<Timestamp> {
        let end_of = |phase: &str| self.pods.iter().filter(|pod| text(pod, "/status/phase") == phase).filter_map(ended).collect::<Vec<_>>();
        let success = end_of("Succeeded").into_iter().max();
        let failures: Vec<Timestamp> = end_of("Failed").into_iter().filter(|at| success.is_none_or(|success| *at > success)).collect();
        let last = failures.iter().max()?;
        let first = space.config.latency.of(|latency| latency.container_retry);
        let factor = 2_u32.saturating_pow(u32::try_from(failures.len() - 1).unwrap_or(u32::MAX)).min(LONGEST);
        Some(after(*last, first * factor))
    }

    fn make(&mut self, space: &mut Space, index: Option<u64>) {
        let job_name = name_of(&self.job).to_owned();
        let start = index.map_or_else(|| format!("{job_name}-"), |index| format!("{job_name}-{index}-"));
        let template = &self.job["spec"]["template"];
        let mut metadata = template["metadata"].clone();
        metadata["name"] = format!("{}{}", &start[..start.len().min(248)], space.suffix()).into();
        metadata["generateName"] = start.into();
        metadata["namespace"] = self.namespace.clone().into();
        metadata["finalizers"] = json!([TRACKING]);
        metadata["generation"] = 1.into();
        metadata["ownerReferences"] = json!([{
            "apiVersion": "batch/v1", "kind": "Job", "name": job_name, "uid": uid_of(&self.job), "controller": true, "blockOwnerDeletion": true,
        }]);
        let mut pod = json!({ "metadata": metadata, "spec": template["spec"] });
        if text(&pod, "/spec/serviceAccountName").is_empty() {
            pod["spec"]["serviceAccountName"] = "default".into();
        }
        if let Some(index) = index {
            pod["metadata"]["annotations"][INDEX] = index.to_string().into();
            pod["metadata"]["labels"][INDEX] = index.to_string().into();
            pod["spec"]["hostname"] = format!("{job_name}-{index}").into();
            for list in ["initContainers", "containers"] {
                for container in pod["spec"].get_mut(list).and_then(Json::as_array_mut).into_iter().flatten() {
                    let variable = json!({ "name": "JOB_COMPLETION_INDEX", "value": index.to_string() });
                    match container.get_mut("env").and_then(Json::as_array_mut) {
                        Some(variables) => variables.push(variable),
                        None => container["env"] = json!([variable]),
                    }
                }
            }
        }
        let job = self.job.clone();
        let account = text(&pod, "/spec/serviceAccountName");
        let made = if space.get(&kind::SERVICE_ACCOUNTS, &self.namespace, account).is_none() {
            Err(format!("error looking up service account {}/{account}: serviceaccount \"{account}\" not found", self.namespace))
        } else {
            validate::prepare(&kind::PODS, &mut pod, "").map_err(|refusal| refusal.message)
        };
        match made {
            Ok(()) => {
                let made = space.insert(&kind::PODS, pod);
                space.event(&job, false, "SuccessfulCreate", &format!("Created pod: {}", name_of(&made)), "job-controller");
                self.pods.push(made);
            }
            Err(problem) => {
                // Said once; what is missing may come, and changes wake this controller.
                let known = space
                    .all(&kind::EVENTS, Some(&self.namespace))
                    .into_iter()
                    .any(|event| text(event, "/involvedObject/uid") == uid_of(&job) && text(event, "/reason") == "FailedCreate");
                if !known {
                    space.event(&job, true, "FailedCreate", &format!("Error creating: pods is forbidden: {problem}"), "job-controller");
                }
            }
        }
    }

    fn describe(&mut self, space: &Space, suspended: bool) {
        let count = |fits: &dyn Fn(&Json) -> bool| self.pods.iter().filter(|pod| !is_over(pod) && fits(pod)).count();
        let active = count(&|pod| !is_deleting(pod));
        let terminating = count(&is_deleting);
        let ready = count(&|pod| !is_deleting(pod) && has_condition(pod, "Ready"));
        self.job["status"]["terminating"] = terminating.into();
        self.job["status"]["ready"] = ready.into();
        self.job["status"]["uncountedTerminatedPods"] = json!({});
        match active {
            0 => drop(self.job["status"].as_object_mut().map(|status| status.remove("active"))),
            active => self.job["status"]["active"] = active.into(),
        }
        let said = items(&self.job, "/status/conditions").iter().any(|condition| condition["type"] == "Suspended");
        if suspended || said {
            let now = seconds(space.now);
            let (reason, message) = if suspended { ("JobSuspended", "Job suspended") } else { ("JobResumed", "Job resumed") };
            super::schedule::set_condition(&mut self.job, "Suspended", suspended, reason, message, &now);
            if suspended {
                self.job["status"].as_object_mut().map(|status| status.remove("startTime"));
            }
        }
    }

    /// Closes the job once none of its pods runs any more.
    fn finish(&mut self, space: &mut Space, kind: &str) {
        if self.pods.iter().any(|pod| !is_over(pod)) {
            return;
        }
        let target = items(&self.job, "/status/conditions").iter().find(|condition| condition["type"] == kind).cloned().unwrap_or_default();
        let (reason, message) = (text(&target, "/reason").to_owned(), text(&target, "/message").to_owned());
        let job = self.before.clone();
        if kind == "FailureTarget" {
            self.say(space, "Failed", &reason, &message);
            space.event(&job, true, &reason, &message, "job-controller");
        } else {
            self.say(space, "Complete", &reason, &message);
            self.job["status"]["completionTime"] = seconds(space.now).into();
            space.event(&job, false, "Completed", "Job completed", "job-controller");
        }
        // It may be that it is to go at once.
        self.wake_at(space.now);
    }

    /// Deletes a finished job whose time is over.
    fn expire(&mut self, space: &mut Space) {
        if self.job != self.before {
            space.replace(&kind::JOBS, self.job.clone());
        }
        let Some(ttl) = self.limit("ttlSecondsAfterFinished") else { return };
        let closed = items(&self.job, "/status/conditions")
            .iter()
            .find(|condition| ["Complete", "Failed"].iter().any(|kind| condition["type"] == *kind) && condition["status"] == "True");
        let Some(at) = closed.and_then(|condition| moment(text(condition, "/lastTransitionTime"))) else { return };
        let end = after(at, Duration::from_secs(ttl));
        if end <= space.now {
            delete::in_foreground(space, &kind::JOBS, &self.job);
        } else {
            self.wake_at(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_written_in_runs() {
        let indexes = BTreeSet::from([0, 1, 2, 5, 7, 8]);
        assert_eq!(write_indexes(&indexes), "0-2,5,7-8");
        assert_eq!(read_indexes("0-2,5,7-8"), indexes);
        assert_eq!(read_indexes(""), BTreeSet::new());
    }
}
