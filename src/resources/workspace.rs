//! A PAI workspace: where training jobs live. It costs nothing by itself. The name of one that was deleted stays taken
//! for two weeks, so every attempt has a name of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::error::ResourceError;
use super::kind::{Context, ReadContext, ResourceKind, TAG_ADDRESS, TAG_LINEAGE};
use super::tagged::{Tagged, tags};
use super::wait::{self, Look};
use crate::cloud::aiworkspace::{CreateWorkspace, DeleteWorkspace, GetWorkspace, ListWorkspaces, Workspace};
use crate::cloud::api::ask;
use crate::cloud::error::ApiError;
use crate::model::address::{Address, Kind};
use crate::model::change::Effect;

const LIMIT: Duration = Duration::from_secs(300);
/// How long jobs that were stopped may hold it.
const LINGERING: Duration = Duration::from_secs(60);
/// What says that there is none; observed, not documented.
const MISSING: &[&str] = &["100400027"];
/// What says that a job in it is not over yet.
const BUSY: &[&str] = &["Forbidden"];
/// The longest beginning of a name: letters, digits and `_`, at most 23 characters with what tells attempts apart.
pub const LONGEST_NAME: usize = 14;
const PAGE: u32 = 100;
/// The longest description.
const LONGEST_DESCRIPTION: usize = 80;

/// What is wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkspaceSpec {
    /// How its name begins; at most [`LONGEST_NAME`] characters.
    pub name: String,
    /// What it is for, as the console shows it; at most 80 characters.
    pub description: String,
}

/// What the cloud says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkspaceAttributes {
    /// Its number.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `INITIALIZING`, `ENABLED`, ...
    pub status: String,
}

/// The kind.
pub struct WorkspaceKind;

/// The name that this attempt gives: the same on a replay, another on a new attempt.
fn name(context: &Context<'_>, spec: &WorkspaceSpec) -> String {
    let attempt: String = context.token.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    format!("{}_{attempt}", spec.name)
}

/// A workspace has no tags: what it is for says whose it is.
fn description(context: &Context<'_>, spec: &WorkspaceSpec) -> String {
    let all = format!("{TAG_LINEAGE}={} {}", context.identity.lineage, spec.description);
    all.chars().take(LONGEST_DESCRIPTION).collect()
}

/// What its description says as tags; nothing if it is not ours.
fn told(description: &str) -> BTreeMap<String, String> {
    let lineage = description.strip_prefix(TAG_LINEAGE).and_then(|rest| rest.strip_prefix('=')).and_then(|rest| rest.split(' ').next());
    let own = |lineage: &str| [(TAG_LINEAGE.to_owned(), lineage.to_owned()), (TAG_ADDRESS.to_owned(), "workspace.main".to_owned())];
    tags(lineage.into_iter().flat_map(own))
}

fn is_missing(error: &ApiError) -> bool {
    error.is(MISSING) || error.is_not_found()
}

async fn read(context: &ReadContext<'_>, id: &str) -> Result<Option<WorkspaceAttributes>, ResourceError> {
    match ask(context.cloud, context.region, &GetWorkspace { workspace_id: id.to_owned() }).await {
        Ok(Workspace { workspace_name: name, status, .. }) => Ok(Some(WorkspaceAttributes { id: id.to_owned(), name, status })),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[async_trait(?Send)]
impl ResourceKind for WorkspaceKind {
    const KIND: Kind = Kind::Workspace;
    type Spec = WorkspaceSpec;
    type Attributes = WorkspaceAttributes;

    fn effect(path: &str, _before: &Json, _after: &Json) -> Effect {
        if path == "name" { Effect::ForcesReplace } else { Effect::InPlace }
    }

    /// Neither its name's beginning nor its description is changed by anyone once it is there.
    fn observed(spec: WorkspaceSpec, _attributes: &WorkspaceAttributes) -> WorkspaceSpec {
        spec
    }

    async fn read_many(
        context: &ReadContext<'_>,
        known: &[(Address, String, Json)],
    ) -> Result<BTreeMap<String, WorkspaceAttributes>, ResourceError> {
        let mut found = BTreeMap::new();
        for (_, id, _) in known {
            found.extend(read(context, id).await?.map(|attributes| (id.clone(), attributes)));
        }
        Ok(found)
    }

    async fn create(context: &Context<'_>, spec: &WorkspaceSpec) -> Result<String, ResourceError> {
        let call = CreateWorkspace {
            workspace_name: name(context, spec),
            description: description(context, spec),
            env_types: vec!["prod".to_owned()],
        };
        match ask(context.cloud, context.region, &call).await {
            Ok(answer) => Ok(answer.workspace_id),
            // The name is this attempt's own: whatever refuses it now, an earlier call may have made it.
            Err(error) => match Self::find(context, spec).await {
                Ok(Some(id)) => Ok(id),
                _ => Err(error.into()),
            },
        }
    }

    async fn converge(context: &Context<'_>, id: &str, _spec: &WorkspaceSpec) -> Result<WorkspaceAttributes, ResourceError> {
        wait::until(context, "the workspace to be ready", LIMIT, async || match read(&context.reading(), id).await? {
            None => Ok(Look::Absent(id.to_owned())),
            Some(attributes) => match attributes.status.as_str() {
                "ENABLED" => Ok(Look::Ready(attributes)),
                "FAILURE" | "DISABLED" | "FROZEN" => {
                    let message = format!("the workspace `{}` is {}; look at it in the console", attributes.name, attributes.status);
                    Err(ResourceError::InTheWay(message))
                }
                status => Ok(Look::NotYet(status.to_owned())),
            },
        })
        .await
    }

    async fn delete(context: &Context<'_>, id: &str, _spec: &WorkspaceSpec) -> Result<(), ResourceError> {
        let call = DeleteWorkspace { workspace_id: id.to_owned() };
        wait::while_refused(context, "delete the workspace", BUSY, LINGERING, async || {
            match ask(context.cloud, context.region, &call).await {
                Err(error) if is_missing(&error) => Ok(()),
                other => other.map(drop),
            }
        })
        .await
    }

    async fn find(context: &Context<'_>, spec: &WorkspaceSpec) -> Result<Option<String>, ResourceError> {
        let wanted = name(context, spec);
        let query = ListWorkspaces { workspace_name: Some(wanted.clone()), page_number: 1, page_size: PAGE };
        let found = ask(context.cloud, context.region, &query).await?.workspaces;
        Ok(found.into_iter().find(|workspace| workspace.workspace_name == wanted).map(|workspace| workspace.workspace_id))
    }

    async fn tagged(context: &ReadContext<'_>) -> Result<Vec<Tagged<WorkspaceSpec>>, ResourceError> {
        let mut query = ListWorkspaces { workspace_name: None, page_number: 1, page_size: PAGE };
        let mut all = Vec::new();
        loop {
            let page = ask(context.cloud, context.region, &query).await?.workspaces;
            let full = page.len() as u32 == PAGE;
            all.extend(page.into_iter().map(|workspace| {
                let own = told(&workspace.description);
                let spec = WorkspaceSpec { name: workspace.workspace_name, description: workspace.description };
                Tagged::new(&workspace.workspace_id, own, &workspace.gmt_create_time, spec)
            }));
            if !full {
                all.retain(Tagged::is_ours);
                return Ok(all);
            }
            query.page_number += 1;
        }
    }
}
