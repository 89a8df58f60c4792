//! Workspaces: CreateWorkspace, GetWorkspace, ListWorkspaces and DeleteWorkspace. A region's first one is its default.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{descending, page};
use crate::local_cloud::call::{Call, Outcome};
use crate::local_cloud::roa::RoaCall;
use crate::local_cloud::store::{World, ids};
use crate::local_cloud::time::{after, milliseconds};
use crate::local_cloud::wire::fault::Fault;

/// The resource group of whoever names none.
const RESOURCE_GROUP: &str = "rg-acfm0000000local";

/// A workspace.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Workspace {
    pub(crate) id: String,
    pub(crate) region: String,
    pub(crate) name: String,
    display_name: String,
    description: String,
    env_types: Vec<String>,
    resource_group: String,
    creator: String,
    is_default: bool,
    created: Timestamp,
    /// When it can be used.
    ready: Timestamp,
    /// When it was deleted; its name stays taken for some time.
    deleted: Option<Timestamp>,
}

impl Workspace {
    /// Whether it is there and not only its name.
    pub(crate) fn exists(&self) -> bool {
        self.deleted.is_none()
    }

    pub(crate) fn status(&self, now: Timestamp) -> &'static str {
        if now < self.ready { "INITIALIZING" } else { "ENABLED" }
    }

    fn described(&self, now: Timestamp, verbose: bool) -> Json {
        let mut row = json!({
            "WorkspaceId": self.id,
            "WorkspaceName": self.name,
            "DisplayName": self.display_name,
            "Description": self.description,
            "EnvTypes": self.env_types,
            "Status": self.status(now),
            "IsDefault": self.is_default,
            "Creator": self.creator,
            "GmtCreateTime": milliseconds(self.created),
            "GmtModifiedTime": milliseconds(self.ready.min(now).max(self.created)),
        });
        if verbose {
            row["AdminNames"] = json!([self.creator]);
            row["ExtraInfos"] = json!({ "TenantId": self.creator });
        }
        row
    }
}

/// The workspaces that are there.
pub(crate) fn all(world: &World) -> impl Iterator<Item = &Workspace> {
    world.workspaces.values().filter(|workspace| workspace.exists())
}

/// A workspace of a region.
pub(super) fn find<'a>(world: &'a World, region: &str, id: &str) -> Option<&'a Workspace> {
    world.workspaces.get(id).filter(|workspace| workspace.exists() && workspace.region == region)
}

/// The workspace of whoever names none.
pub(super) fn default_of<'a>(world: &'a World, region: &str) -> Option<&'a Workspace> {
    all(world).find(|workspace| workspace.region == region && workspace.is_default)
}

/// There is no such workspace.
pub(super) fn missing(id: &str) -> Fault {
    Fault::bad("100400027", format!("Workspace {id} does not exist."))
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Wish {
    workspace_name: Option<String>,
    display_name: Option<String>,
    description: Option<String>,
    env_types: Option<Vec<String>>,
    resource_group_id: Option<String>,
}

/// CreateWorkspace.
pub(super) async fn create(call: &RoaCall<'_>) -> Outcome {
    let wish: Wish = call.body()?;
    let region = call.region()?.id;
    call.commit(move |call| {
        let name = wish.workspace_name.filter(|name| !name.is_empty()).ok_or_else(|| Fault::mandatory("WorkspaceName"))?;
        let description = wish.description.filter(|text| !text.is_empty()).ok_or_else(|| Fault::mandatory("Description"))?;
        let env_types = wish.env_types.filter(|types| !types.is_empty()).ok_or_else(|| Fault::mandatory("EnvTypes"))?;
        check_name(&name)?;
        if description.chars().count() > 80 {
            return Err(Fault::invalid("Description"));
        }
        let mut sorted = env_types.clone();
        sorted.sort_unstable();
        if sorted != ["prod"] && sorted != ["dev", "prod"] {
            return Err(Fault::invalid("EnvTypes"));
        }
        let kept = call.config.latency.of(|latency| latency.workspace_name);
        if is_taken(call, region, &name, kept) {
            return Err(Fault::bad("100400009", "Workspace exist error."));
        }
        let id = ids::digits(call.config.seed, call.world.next_number(), "workspace", 6);
        let workspace = Workspace {
            id: id.clone(),
            region: region.to_owned(),
            display_name: wish.display_name.unwrap_or_else(|| name.clone()),
            name,
            description,
            env_types,
            resource_group: wish.resource_group_id.unwrap_or_else(|| RESOURCE_GROUP.to_owned()),
            creator: call.config.account.clone(),
            is_default: default_of(call.world, region).is_none(),
            created: call.now,
            ready: after(call.now, call.config.latency.of(|latency| latency.workspace_ready)),
            deleted: None,
        };
        call.world.workspaces.insert(id.clone(), workspace);
        Ok(json!({ "WorkspaceId": id }))
    })
    .await
}

fn check_name(name: &str) -> Result<(), Fault> {
    let fits = (3..=23).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if fits { Ok(()) } else { Err(Fault::invalid("WorkspaceName")) }
}

/// Whether a workspace has that name, or one that was deleted not long ago. Names that are free again are forgotten.
fn is_taken(call: &mut Call, region: &str, name: &str, kept: Duration) -> bool {
    let now = call.now;
    let free: Vec<String> = call
        .world
        .workspaces
        .values()
        .filter(|row| row.deleted.is_some_and(|at| after(at, kept) <= now))
        .map(|row| row.id.clone())
        .collect();
    free.iter().for_each(|id| drop(call.world.workspaces.remove(id)));
    call.world.workspaces.values().any(|row| row.region == region && row.name.eq_ignore_ascii_case(name))
}

/// GetWorkspace.
pub(super) async fn get(call: &RoaCall<'_>, id: &str) -> Outcome {
    let region = call.region()?.id;
    call.commit(|call| {
        let verbose = call.params.boolean("Verbose")?;
        let workspace = find(call.world, region, id).ok_or_else(|| missing(id))?;
        let mut row = workspace.described(call.now, verbose);
        row["ResourceGroupId"] = workspace.resource_group.clone().into();
        row["Owner"] = json!({ "UserId": workspace.creator, "UserName": workspace.creator, "UserKp": workspace.creator });
        Ok(row)
    })
    .await
}

/// ListWorkspaces.
pub(super) async fn list(call: &RoaCall<'_>) -> Outcome {
    let region = call.region()?.id;
    call.commit(|call| {
        let params = call.params;
        let page = page(params, 20)?;
        if params.choice("Option", &["GetWorkspaces", "GetResourceLimits"], "GetWorkspaces")? == "GetResourceLimits" {
            return Ok(json!({ "TotalCount": 0, "Workspaces": [], "ResourceLimits": {} }));
        }
        let by_change = params.choice("SortBy", &["GmtCreateTime", "GmtModifiedTime"], "GmtCreateTime")? == "GmtModifiedTime";
        let named = params.commas("WorkspaceIds", 100)?;
        let verbose = params.boolean("Verbose")?;
        let mut rows: Vec<&Workspace> = all(call.world)
            .filter(|row| row.region == region)
            .filter(|row| named.as_ref().is_none_or(|named| named.contains(&row.id)))
            .filter(|row| params.text("WorkspaceName").is_none_or(|name| row.name.to_lowercase().contains(&name.to_lowercase())))
            .filter(|row| params.text("Status").is_none_or(|status| status == row.status(call.now)))
            .filter(|row| params.text("ResourceGroupId").is_none_or(|group| group == row.resource_group))
            .filter(|row| params.text("UserId").is_none_or(|user| user == row.creator))
            .collect();
        rows.sort_by_key(|row| (if by_change { row.ready.min(call.now).max(row.created) } else { row.created }, row.id.clone()));
        if descending(params, "ASC")? {
            rows.reverse();
        }
        let cut = page.cut(rows.into_iter().map(|row| (row.id.as_str(), row)));
        let rows: Vec<Json> = cut
            .rows
            .iter()
            .map(|workspace| {
                let mut row = workspace.described(call.now, verbose);
                row["resourceGroupId"] = workspace.resource_group.clone().into();
                row
            })
            .collect();
        Ok(json!({ "Workspaces": rows, "TotalCount": cut.total, "ResourceLimits": {} }))
    })
    .await
}

/// DeleteWorkspace. Its finished jobs go with it.
pub(super) async fn delete(call: &RoaCall<'_>, id: &str) -> Outcome {
    let region = call.region()?.id;
    call.commit(|call| {
        find(call.world, region, id).ok_or_else(|| missing(id))?;
        let jobs: Vec<(String, bool)> = call
            .world
            .jobs
            .values()
            .filter(|job| job.workspace == id)
            .map(|job| (job.id.clone(), job.status(call.now).is_final()))
            .collect();
        if jobs.iter().any(|(_, over)| !over) {
            return Err(Fault::forbidden("Forbidden", format!("Workspace {id} has jobs that are not finished.")));
        }
        jobs.iter().for_each(|(job, _)| super::job::erase(call.world, job));
        if let Some(workspace) = call.world.workspaces.get_mut(id) {
            workspace.deleted = Some(call.now);
        }
        Ok(json!({}))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::check_name;

    #[test]
    fn names_start_with_a_letter_and_have_3_to_23_characters() {
        for name in ["abc", "A_1", "abcdefghijklmnopqrstuvw"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "ab", "1abc", "_abc", "a-bc", "abcdefghijklmnopqrstuvwx", "äbc"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
