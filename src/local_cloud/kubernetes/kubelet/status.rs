//! The status of a pod as it follows from its containers: phase, conditions, readiness.

use serde_json::{Value as Json, json};

use crate::local_cloud::kubernetes::controller::schedule::set_condition;
use crate::local_cloud::kubernetes::pod::{Container, PodSpec};
use crate::local_cloud::kubernetes::space::{items, text};

/// The list of statuses that a container's is in.
fn list_of(is_init: bool) -> &'static str {
    if is_init { "initContainerStatuses" } else { "containerStatuses" }
}

/// Makes sure that every container has a status.
pub(super) fn begin(pod: &mut Json, spec: &PodSpec, now: &str) {
    if text(pod, "/status/startTime").is_empty() {
        pod["status"]["startTime"] = now.into();
    }
    for (is_init, containers) in [(true, &spec.init_containers), (false, &spec.containers)] {
        let list = list_of(is_init);
        if containers.is_empty() || pod["status"][list].is_array() {
            continue;
        }
        let reason = if spec.init_containers.is_empty() || is_init { "ContainerCreating" } else { "PodInitializing" };
        pod["status"][list] = containers.iter().map(|container| waiting(container, reason)).collect();
    }
    settle(pod, spec, now);
}

fn waiting(container: &Container, reason: &str) -> Json {
    json!({
        "name": container.name, "image": container.image, "imageID": "", "ready": false, "started": false, "restartCount": 0,
        "state": { "waiting": { "reason": reason } }, "lastState": {},
    })
}

/// The status of one container.
pub(super) fn of<'a>(pod: &'a Json, is_init: bool, name: &str) -> Option<&'a Json> {
    items(&pod["status"], &format!("/{}", list_of(is_init))).iter().find(|status| status["name"] == name)
}

/// Changes the status of one container, and what follows from it.
pub(super) fn change(pod: &mut Json, spec: &PodSpec, is_init: bool, name: &str, now: &str, change: impl FnOnce(&mut Json)) {
    let all = pod["status"].get_mut(list_of(is_init)).and_then(Json::as_array_mut);
    if let Some(status) = all.and_then(|all| all.iter_mut().find(|status| status["name"] == name)) {
        change(status);
        let runs = status["state"]["running"].is_object();
        let succeeded = status["state"]["terminated"]["exitCode"] == 0;
        status["ready"] = (if is_init { succeeded } else { runs }).into();
        status["started"] = runs.into();
    }
    settle(pod, spec, now);
}

/// How a pod's containers stand together.
#[derive(Default)]
struct Count {
    waiting: usize,
    running: usize,
    stopped: usize,
    succeeded: usize,
}

fn count(statuses: &[Json]) -> Count {
    let mut count = Count::default();
    for status in statuses {
        let ended = |state: &str| status[state]["terminated"].is_object();
        match () {
            () if status["state"]["running"].is_object() => count.running += 1,
            () if ended("state") => {
                count.stopped += 1;
                count.succeeded += usize::from(status["state"]["terminated"]["exitCode"] == 0);
            }
            () if ended("lastState") => count.stopped += 1,
            () => count.waiting += 1,
        }
    }
    count
}

fn phase(pod: &Json, spec: &PodSpec) -> &'static str {
    let init = items(pod, "/status/initContainerStatuses");
    let done = |status: &Json| status["state"]["terminated"]["exitCode"] == 0;
    if !init.iter().all(done) {
        let failed = init.iter().any(|status| status["state"]["terminated"].is_object() && !done(status));
        return if failed && spec.restart_policy == "Never" { "Failed" } else { "Pending" };
    }
    let count = count(items(pod, "/status/containerStatuses"));
    match () {
        () if count.waiting > 0 => "Pending",
        () if count.running > 0 => "Running",
        () if count.stopped == 0 => "Pending",
        () if spec.restart_policy == "Always" => "Running",
        () if count.stopped == count.succeeded => "Succeeded",
        () if spec.restart_policy == "Never" => "Failed",
        () => "Running",
    }
}

/// Draws the conclusions. A pod that has come to its end stays there.
pub(super) fn settle(pod: &mut Json, spec: &PodSpec, now: &str) {
    if !["Succeeded", "Failed"].contains(&text(pod, "/status/phase")) {
        pod["status"]["phase"] = phase(pod, spec).into();
    }
    conditions(pod, now);
}

/// Ends a pod whatever its containers say.
pub(super) fn fail(pod: &mut Json, reason: &str, message: &str, now: &str) {
    pod["status"]["phase"] = "Failed".into();
    pod["status"]["reason"] = reason.into();
    pod["status"]["message"] = message.into();
    conditions(pod, now);
}

fn conditions(pod: &mut Json, now: &str) {
    let over = match text(pod, "/status/phase") {
        "Succeeded" => "PodCompleted",
        "Failed" => "PodFailed",
        _ => "",
    };
    let initialized = items(pod, "/status/initContainerStatuses").iter().all(|status| status["state"]["terminated"]["exitCode"] == 0);
    let statuses = items(pod, "/status/containerStatuses");
    let ready = over.is_empty() && !statuses.is_empty() && statuses.iter().all(|status| status["ready"] == true);
    let names: Vec<&str> = statuses.iter().filter(|status| status["ready"] != true).map(|status| text(status, "/name")).collect();
    let message =
        if over.is_empty() && !names.is_empty() { format!("containers with unready status: [{}]", names.join(" ")) } else { String::new() };
    let sandbox = over.is_empty() && !text(pod, "/status/podIP").is_empty();
    let reason = if over.is_empty() { "ContainersNotReady" } else { over };
    set_condition(pod, "PodReadyToStartContainers", sandbox, "", "", now);
    set_condition(pod, "Initialized", initialized, if initialized { "" } else { "ContainersNotInitialized" }, "", now);
    for kind in ["Ready", "ContainersReady"] {
        let (reason, message) = if ready { ("", "") } else { (reason, message.as_str()) };
        set_condition(pod, kind, ready, reason, message, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(states: Json) -> Json {
        let all: Vec<Json> =
            states.as_array().unwrap().iter().map(|state| json!({ "name": "a", "state": state, "lastState": {} })).collect();
        json!({ "status": { "containerStatuses": all } })
    }

    #[test]
    fn the_phase_follows_from_the_containers() {
        let spec = |policy: &str| PodSpec { restart_policy: policy.to_owned(), ..PodSpec::default() };
        let (run, good, bad) =
            (json!({ "running": {} }), json!({ "terminated": { "exitCode": 0 } }), json!({ "terminated": { "exitCode": 1 } }));
        let wait = json!({ "waiting": { "reason": "ErrImagePull" } });
        for (states, policy, expected) in [
            (json!([run, good]), "Never", "Running"),
            (json!([good, good]), "Never", "Succeeded"),
            (json!([good, bad]), "Never", "Failed"),
            (json!([good, bad]), "OnFailure", "Running"),
            (json!([good]), "Always", "Running"),
            (json!([run, wait]), "Always", "Pending"),
        ] {
            assert_eq!(phase(&pod(states.clone()), &spec(policy)), expected, "{states} {policy}");
        }
    }
}
