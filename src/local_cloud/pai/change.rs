//! StopJob, DeleteJob and UpdateJob. Stopping is only begun here; whoever looks after the job ends its pods.

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::create::invalid;
use super::describe::find;
use super::job::{Status, Step, erase};
use crate::local_cloud::call::Outcome;
use crate::local_cloud::roa::RoaCall;
use crate::local_cloud::wire::fault::Fault;

/// What the status of a job does not allow.
fn refused(id: &str, status: Status, what: &str) -> Fault {
    Fault::forbidden("Forbidden", format!("Job {id} is {} and can't be {what}.", status.name()))
}

/// StopJob. Asked again while it stops, it changes nothing.
pub(super) async fn stop(call: &RoaCall<'_>, id: &str) -> Outcome {
    let region = call.region()?.id;
    call.commit(|call| {
        let status = find(call.world, region, id)?.status(call.now);
        if status.is_final() {
            return Err(refused(id, status, "stopped"));
        }
        let now = call.now;
        if let Some(job) = call.world.jobs.get_mut(id)
            && job.ending.is_none()
        {
            let (code, message) = ("JobStoppedByUser".to_owned(), "Job is stopped by user.".to_owned());
            job.go(Status::Stopping, &code, message.clone(), now);
            job.tell(now, "Stopping job.");
            job.ending = Some(Step { status: Status::Stopped, code, message, at: now });
        }
        call.world.index.signal(id);
        Ok(json!({ "JobId": id }))
    })
    .await
}

/// DeleteJob: only of what has ended.
pub(super) async fn delete(call: &RoaCall<'_>, id: &str) -> Outcome {
    let region = call.region()?.id;
    call.commit(|call| {
        let status = find(call.world, region, id)?.status(call.now);
        if !status.is_final() {
            return Err(refused(id, status, "deleted"));
        }
        erase(call.world, id);
        Ok(json!({ "JobId": id }))
    })
    .await
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Wish {
    priority: Option<i64>,
    accessibility: Option<String>,
    description: Option<String>,
    job_specs: Option<Vec<Json>>,
    user_command: Option<String>,
}

/// UpdateJob. What its pods are made of can't be changed: this service's jobs are not elastic.
pub(super) async fn update(call: &RoaCall<'_>, id: &str) -> Outcome {
    let wish: Wish = call.body()?;
    let region = call.region()?.id;
    call.commit(move |call| {
        let status = find(call.world, region, id)?.status(call.now);
        if wish.priority.is_some_and(|priority| !(1..=9).contains(&priority)) {
            return Err(invalid("Priority", "it is between 1 and 9"));
        }
        if wish.accessibility.as_deref().is_some_and(|value| !matches!(value, "PUBLIC" | "PRIVATE")) {
            return Err(invalid("Accessibility", "it is PUBLIC or PRIVATE"));
        }
        if wish.job_specs.is_some_and(|specs| !specs.is_empty()) || wish.user_command.is_some_and(|command| !command.is_empty()) {
            return Err(invalid("JobSpecs", "specs and commands of a submitted job can't be changed"));
        }
        if wish.priority.is_some() && status.is_final() {
            return Err(refused(id, status, "changed"));
        }
        let now = call.now;
        if let Some(job) = call.world.jobs.get_mut(id) {
            job.priority = wish.priority.unwrap_or(job.priority);
            for (name, value) in [("Accessibility", wish.accessibility), ("Description", wish.description)] {
                if let Some(value) = value {
                    job.asked[name] = value.into();
                }
            }
            job.modified = now;
        }
        Ok(json!({ "JobId": id }))
    })
    .await
}
