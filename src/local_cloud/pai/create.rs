//! CreateJob: everything is held against the rules first, then the job is accepted. There is no token: whoever lost the
//! answer finds the job by its tags.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::job::{Job, Status, Step};
use super::layout;
use super::mount;
use super::spec;
use super::workspace::{self, Workspace};
use crate::local_cloud::call::{Call, Outcome};
use crate::local_cloud::catalog::Region;
use crate::local_cloud::roa::RoaCall;
use crate::local_cloud::store::{Task, ids};
use crate::local_cloud::time::after;
use crate::local_cloud::wire::fault::Fault;
use crate::local_cloud::wire::params::Tags;

/// The largest request, in bytes.
const LARGEST: usize = 65_536;
/// How many pods a job may have here, where each is a machine of this computer.
const MOST_PODS: u32 = 128;

/// The kinds of jobs.
pub(super) const TYPES: [&str; 9] =
    ["TFJob", "PyTorchJob", "MPIJob", "XGBoostJob", "OneFlowJob", "ElasticBatchJob", "SlurmJob", "RayJob", "DataJuicerJob"];

/// What is read of a request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Wish {
    display_name: String,
    pub(super) job_type: String,
    pub(super) job_specs: Vec<layout::Wish>,
    pub(super) user_command: String,
    workspace_id: String,
    resource_id: String,
    priority: Option<i64>,
    envs: BTreeMap<String, String>,
    custom_envs: Vec<CustomEnv>,
    data_sources: Vec<mount::Wish>,
    code_source: Reference,
    user_vpc: UserVpc,
    job_max_running_time_minutes: u64,
    settings: Settings,
    success_policy: String,
    accessibility: String,
    template_id: String,
    thirdparty_libs: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct CustomEnv {
    key: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Reference {
    code_source_id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct UserVpc {
    vpc_id: String,
    switch_id: String,
    security_group_id: String,
    default_route: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Settings {
    tags: Tags,
    driver: String,
    disable_ecs_stock_check: bool,
}

/// A parameter that is not as it must be, and why.
pub(super) fn invalid(name: &str, why: &str) -> Fault {
    Fault::bad("InvalidParameter", format!("The specified parameter {name} is not valid: {why}."))
}

/// Something that is named and is not there.
pub(super) fn not_found(what: &str, id: &str) -> Fault {
    Fault::missing("NotFound", format!("The specified {what} {id} does not exist."))
}

/// CreateJob.
pub(super) async fn create(call: &RoaCall<'_>) -> Outcome {
    let size = call.request.body.len();
    if size > LARGEST {
        return Err(invalid("body", &format!("all parameters together have {size} bytes, and {LARGEST} are the most")));
    }
    let mut asked: Json = call.body()?;
    if !asked.is_object() {
        return Err(invalid("body", "it is no object"));
    }
    drop_nulls(&mut asked);
    let wish: Wish = serde_json::from_value(asked.clone()).map_err(|error| invalid("body", &error.to_string()))?;
    let region = call.region()?;
    call.commit(move |call| {
        let home = check(call, region, &wish)?;
        let sources = wish.data_sources.iter().map(mount::Source::read).collect::<Result<Vec<_>, _>>()?;
        let roles = layout::roles(call, region.id, &wish)?;
        let pods: u32 = roles.iter().map(|role| role.count).fold(0, u32::saturating_add);
        if pods > MOST_PODS {
            return Err(invalid("JobSpecs", &format!("the local cloud has {MOST_PODS} pods a job at most")));
        }
        if !wish.settings.disable_ecs_stock_check {
            stock(call, region, &roles)?;
        }
        call.check_balance()?;
        let id = ids::plain(call.config.seed, call.world.next_number(), "dlc1", 12);
        let queuing = after(call.now, call.config.latency.of(|latency| latency.job_creating));
        let step = |status, code: &str, message: &str, at| Step { status, code: code.to_owned(), message: message.to_owned(), at };
        let job = Job {
            id: id.clone(),
            region: region.id.to_owned(),
            workspace: home,
            display_name: wish.display_name.clone(),
            job_type: wish.job_type.clone(),
            user: call.caller.user.clone(),
            asked: shown(asked),
            tags: wish.settings.tags.clone(),
            priority: wish.priority.unwrap_or(1),
            max_minutes: wish.job_max_running_time_minutes,
            roles,
            sources,
            steps: vec![
                step(Status::Creating, "JobCreating", "Job is being created.", call.now),
                step(Status::Queuing, "JobEnqueued", "Job is waiting for resources.", queuing),
            ],
            pods: Vec::new(),
            events: Vec::new(),
            created: call.now,
            modified: call.now,
            ending: None,
            cleaned: false,
        };
        call.world.jobs.insert(id.clone(), job);
        call.world.index.tasks.push(Task::Train(id.clone()));
        Ok(json!({ "JobId": id }))
    })
    .await
}

/// Holds everything but the specs against the rules. Answers the workspace.
fn check(call: &Call, region: &Region, wish: &Wish) -> Result<String, Fault> {
    for (name, value) in [("DisplayName", &wish.display_name), ("JobType", &wish.job_type)] {
        if value.is_empty() {
            return Err(Fault::mandatory(name));
        }
    }
    if wish.job_specs.is_empty() {
        return Err(Fault::mandatory("JobSpecs"));
    }
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if wish.display_name.len() > 256 || !wish.display_name.chars().all(sound) {
        return Err(invalid("DisplayName", "it has at most 256 letters, digits, `_`, `.` and `-`"));
    }
    if !TYPES.contains(&wish.job_type.as_str()) {
        return Err(invalid("JobType", &format!("it is one of {}", TYPES.join(", "))));
    }
    if !(1..=9).contains(&wish.priority.unwrap_or(1)) {
        return Err(invalid("Priority", "it is between 1 and 9"));
    }
    for (name, value, allowed) in [
        ("SuccessPolicy", &wish.success_policy, ["ChiefWorker", "AllWorkers"]),
        ("Accessibility", &wish.accessibility, ["PUBLIC", "PRIVATE"]),
        ("UserVpc.DefaultRoute", &wish.user_vpc.default_route, ["eth0", "eth1"]),
    ] {
        if !value.is_empty() && !allowed.contains(&value.as_str()) {
            return Err(invalid(name, &format!("it is {} or {}", allowed[0], allowed[1])));
        }
    }
    let named = |name: &String| !name.is_empty() && !name.contains(['=', '\0']) && !name.starts_with(|c: char| c.is_ascii_digit());
    if !wish.envs.keys().chain(wish.custom_envs.iter().map(|env| &env.key)).all(named) {
        return Err(invalid("Envs", "a name is not one that a variable can have"));
    }
    if wish.thirdparty_libs.iter().any(|lib| lib.is_empty() || lib.starts_with('-') || lib.contains(char::is_whitespace)) {
        return Err(invalid("ThirdpartyLibs", "each is one requirement"));
    }
    if !wish.settings.driver.is_empty() && !spec::DRIVERS.contains(&wish.settings.driver.as_str()) {
        return Err(invalid("Settings.Driver", "there is no such driver"));
    }
    for (what, id) in
        [("ResourceId", &wish.resource_id), ("CodeSourceId", &wish.code_source.code_source_id), ("TemplateId", &wish.template_id)]
    {
        // None of them can be made here, so there is none.
        if !id.is_empty() {
            return Err(not_found(what, id));
        }
    }
    check_vpc(call, region, &wish.user_vpc)?;
    home(call, region, &wish.workspace_id).map(|workspace| workspace.id.clone())
}

fn check_vpc(call: &Call, region: &Region, wish: &UserVpc) -> Result<(), Fault> {
    let (vpc, vswitch, group) = (&wish.vpc_id, &wish.switch_id, &wish.security_group_id);
    if vpc.is_empty() {
        return if vswitch.is_empty() && group.is_empty() { Ok(()) } else { Err(Fault::mandatory("UserVpc.VpcId")) };
    }
    if group.is_empty() {
        return Err(Fault::mandatory("UserVpc.SecurityGroupId"));
    }
    let world = &call.world;
    if world.vpcs.get(vpc).is_none_or(|row| row.region != region.id) {
        return Err(not_found("VpcId", vpc));
    }
    if world.groups.get(group).is_none_or(|row| row.vpc != *vpc) {
        return Err(not_found("SecurityGroupId", group));
    }
    if !vswitch.is_empty() && world.vswitches.get(vswitch).is_none_or(|row| row.vpc != *vpc) {
        return Err(not_found("SwitchId", vswitch));
    }
    Ok(())
}

/// The workspace of the job: the one that is named, or the region's default.
fn home<'a>(call: &'a Call, region: &Region, id: &str) -> Result<&'a Workspace, Fault> {
    let found = if id.is_empty() {
        workspace::default_of(call.world, region.id).ok_or_else(|| Fault::mandatory("WorkspaceId"))?
    } else {
        workspace::find(call.world, region.id, id).ok_or_else(|| not_found("WorkspaceId", id))?
    };
    match found.status(call.now) {
        "ENABLED" => Ok(found),
        status => Err(Fault::forbidden("Forbidden", format!("Workspace {} is {status}.", found.id))),
    }
}

fn stock(call: &Call, region: &Region, roles: &[super::job::Role]) -> Result<(), Fault> {
    for role in roles {
        let Some(kind) = call.catalog.types.get(&role.kind) else { continue };
        let count = roles.iter().filter(|other| other.kind == role.kind).map(|other| other.count).sum();
        if !spec::supply(call.world, region, kind).promises(count) {
            let message = format!("The requested resource {} is sold out in the region {}.", role.kind, region.id);
            return Err(Fault::forbidden("OperationDenied.NoStock", message));
        }
    }
    Ok(())
}

fn drop_nulls(value: &mut Json) {
    match value {
        Json::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Json::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// What is shown of a request afterwards, and so what is kept of it: no passwords and no foreign tokens.
fn shown(mut asked: Json) -> Json {
    fn each(value: Option<&mut Json>) -> impl Iterator<Item = &mut Json> {
        value.and_then(Json::as_array_mut).into_iter().flatten()
    }
    fn forget(value: Option<&mut Json>, names: &[&str]) {
        if let Some(fields) = value.and_then(Json::as_object_mut) {
            names.iter().for_each(|name| drop(fields.remove(*name)));
        }
    }
    for spec in each(asked.get_mut("JobSpecs")) {
        forget(spec.get_mut("ImageConfig"), &["Password", "Auth"]);
    }
    for item in each(asked.pointer_mut("/CredentialConfig/CredentialConfigItems")) {
        for role in each(item.get_mut("Roles")) {
            forget(role.get_mut("AssumeUserInfo"), &["SecurityToken"]);
        }
    }
    if let Some(vpc) = asked.get_mut("UserVpc").and_then(Json::as_object_mut)
        && let Some(blocks) = vpc.remove("ExtendedCIDRs")
    {
        vpc.insert("ExtendedCidrs".to_owned(), blocks);
    }
    asked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_kept() {
        let asked = shown(json!({
            "JobSpecs": [{ "Image": "x", "ImageConfig": { "Username": "u", "Password": "p", "Auth": "a" } }],
            "UserVpc": { "VpcId": "v", "ExtendedCIDRs": ["10.0.0.0/8"] },
            "CredentialConfig": "no object",
        }));
        assert_eq!(
            asked,
            json!({
                "JobSpecs": [{ "Image": "x", "ImageConfig": { "Username": "u" } }],
                "UserVpc": { "VpcId": "v", "ExtendedCidrs": ["10.0.0.0/8"] },
                "CredentialConfig": "no object",
            })
        );
    }
}
