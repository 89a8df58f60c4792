//! ListJobs: filters, order and pages.

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::create::invalid;
use super::describe::{common, requested, restarts};
use super::job::Job;
use super::{descending, moment, page};
use crate::local_cloud::call::{Call, Outcome};
use crate::local_cloud::roa::RoaCall;
use crate::local_cloud::time::seconds;
use crate::local_cloud::wire::fault::Fault;
use crate::local_cloud::wire::params::{Params, Tags};

/// How far back it looks unless told otherwise.
const WINDOW: jiff::SignedDuration = jiff::SignedDuration::from_hours(7 * 24);

/// ListJobs.
pub(super) async fn jobs(call: &RoaCall<'_>) -> Outcome {
    let region = call.region()?.id;
    call.commit(|call| {
        let params = call.params;
        let page = page(params, 10)?;
        let filter = Filter::read(params, call.now)?;
        let orders = ["DisplayName", "JobType", "Status", "GmtCreateTime", "GmtFinishTime"];
        let order = params.choice("SortBy", &orders, "GmtCreateTime")?;
        let mut rows: Vec<&Job> = call.world.jobs.values().filter(|job| job.region == region && filter.fits(call, job)).collect();
        let end = |job: &Job| Some(job.step(call.now)).filter(|step| step.status.is_final()).map(|step| step.at);
        rows.sort_by(|a, b| {
            let first = match order {
                "DisplayName" => a.display_name.cmp(&b.display_name),
                "JobType" => a.job_type.cmp(&b.job_type),
                "Status" => a.status(call.now).name().cmp(b.status(call.now).name()),
                "GmtFinishTime" => end(a).cmp(&end(b)),
                _ => a.created.cmp(&b.created),
            };
            first.then_with(|| a.created.cmp(&b.created)).then_with(|| a.id.cmp(&b.id))
        });
        if descending(params, "desc")? {
            rows.reverse();
        }
        let cut = page.cut(rows.into_iter().map(|job| (job.id.as_str(), job)));
        let rows: Vec<Json> = cut.rows.iter().map(|job| listed(call, job)).collect();
        Ok(json!({ "Jobs": rows, "TotalCount": cut.total }))
    })
    .await
}

fn listed(call: &Call, job: &Job) -> Json {
    let mut row = common(call, job);
    let (cpu, gpu, memory) = requested(job);
    row["RequestCPU"] = cpu.into();
    row["RequestGPU"] = gpu.to_string().into();
    row["RequestMemory"] = memory.to_string().into();
    row["RestartTimes"] = restarts(job).into();
    row["NodeCount"] = job.roles.iter().map(|role| role.count).sum::<u32>().to_string().into();
    row["JobMaxRunningTimeMinutes"] = job.max_minutes.into();
    row["GmtModifiedTime"] = seconds(job.modified.min(call.now)).into();
    row["Username"] = job.user.clone().unwrap_or_else(|| call.config.account.clone()).into();
    row["IsDeleted"] = false.into();
    row
}

/// What a job must be to be listed.
struct Filter<'a> {
    params: &'a Params,
    ids: Option<Vec<String>>,
    tags: Tags,
    finished: bool,
    since: Timestamp,
    until: Timestamp,
}

impl<'a> Filter<'a> {
    fn read(params: &'a Params, now: Timestamp) -> Result<Filter<'a>, Fault> {
        let tags = match params.text("Tags") {
            None => Tags::new(),
            Some(text) => serde_json::from_str(text).map_err(|_| invalid("Tags", "it is a map of texts"))?,
        };
        let ids = match params.text("JobId") {
            Some(id) => Some(vec![id.to_owned()]),
            None => params.commas("JobIds", 1000)?,
        };
        let field = params.choice("TimeRangeField", &["GmtCreateTime", "GmtFinishTime"], "GmtCreateTime")?;
        Ok(Filter {
            params,
            ids,
            tags,
            finished: field == "GmtFinishTime",
            since: moment(params, "StartTime")?.unwrap_or(now - WINDOW),
            until: moment(params, "EndTime")?.unwrap_or(now),
        })
    }

    fn fits(&self, call: &Call, job: &Job) -> bool {
        let step = job.step(call.now);
        let at = if self.finished { step.status.is_final().then_some(step.at) } else { Some(job.created) };
        let equal = |name: &str, own: &str| self.params.text(name).is_none_or(|wanted| wanted == own);
        let setting = |name: &str| job.asked["Settings"][name].as_str().unwrap_or_default();
        let holds = |name: &str, own: &str| self.params.text(name).is_none_or(|part| own.to_lowercase().contains(&part.to_lowercase()));
        let user = job.user.as_deref().unwrap_or(&call.config.account);
        let exact = self.params.text("DisplayNameSearchMode") == Some("Exact");
        at.is_some_and(|at| self.since <= at && at <= self.until)
            && self.ids.as_ref().is_none_or(|ids| ids.contains(&job.id))
            && self.tags.iter().all(|(key, value)| job.tags.get(key) == Some(value))
            && equal("Status", step.status.name())
            && equal("JobType", &job.job_type)
            && equal("WorkspaceId", &job.workspace)
            && equal("UserIdForFilter", &call.config.account)
            && equal("Username", user)
            && equal("ResourceId", "")
            && equal("ResourceQuotaName", "")
            && equal("PaymentType", "PostPaid")
            && equal("Accessibility", job.asked["Accessibility"].as_str().unwrap_or("PRIVATE"))
            && equal("BusinessUserId", setting("BusinessUserId"))
            && equal("Caller", setting("Caller"))
            && equal("PipelineId", setting("PipelineId"))
            && (if exact { equal("DisplayName", &job.display_name) } else { holds("DisplayName", &job.display_name) })
            && holds("Description", job.asked["Description"].as_str().unwrap_or_default())
            && holds("UserCommandSearch", job.asked["UserCommand"].as_str().unwrap_or_default())
            && holds("ReasonSearch", &step.message)
            && self.params.text("ImageSearch").is_none_or(|part| job.roles.iter().any(|role| role.image.contains(part)))
            && (!self.params.boolean("ShowOwn").unwrap_or(false) || job.user == call.caller.user)
    }
}
