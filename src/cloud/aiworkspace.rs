//! AIWorkspace, version 2021-02-04: where training jobs live, and the images they start from.

#![expect(missing_docs, reason = "the fields carry the API's own names, which its reference explains")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::api::{list, roa};

roa! {
    CreateWorkspace => CreateWorkspaceResponse, AiWorkspace, Unsafe, "POST /api/v1/workspaces";
    GetWorkspace => Workspace, AiWorkspace, Safe, "GET /api/v1/workspaces/{workspace_id}";
    ListWorkspaces => ListWorkspacesResponse, AiWorkspace, Safe, "GET /api/v1/workspaces";
    DeleteWorkspace => Done, AiWorkspace, Safe, "DELETE /api/v1/workspaces/{workspace_id}";
    ListImages => ListImagesResponse, AiWorkspace, Safe, "GET /api/v1/images";
}

/// What a call answers that says nothing but that it was done.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Done {}

/// Makes a workspace; its name is taken once.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateWorkspace {
    pub workspace_name: String,
    pub description: String,
    /// `prod`, or `dev` and `prod`.
    pub env_types: Vec<String>,
}

/// Which it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateWorkspaceResponse {
    pub workspace_id: String,
}

/// Asks for one.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct GetWorkspace {
    pub workspace_id: String,
}

/// Deletes one.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DeleteWorkspace {
    pub workspace_id: String,
}

/// A workspace as it is.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Workspace {
    #[serde(default)]
    pub workspace_id: String,
    #[serde(default)]
    pub workspace_name: String,
    /// `ENABLED` once it can be used.
    #[serde(default)]
    pub status: String,
    #[serde(default)]
    pub is_default: bool,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub gmt_create_time: String,
}

/// Looks for workspaces.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListWorkspaces {
    pub workspace_name: Option<String>,
    pub page_number: u32,
    pub page_size: u32,
}

/// A page of workspaces.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListWorkspacesResponse {
    #[serde(default, deserialize_with = "list")]
    pub workspaces: Vec<Workspace>,
    #[serde(default)]
    pub total_count: i64,
}

/// Looks for images by labels, `system.official=true,system.chipType=CPU`.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListImages {
    pub labels: Option<String>,
    pub name: Option<String>,
    pub page_number: u32,
    pub page_size: u32,
    pub verbose: bool,
}

/// A page of images.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListImagesResponse {
    #[serde(default, deserialize_with = "list")]
    pub images: Vec<Image>,
    #[serde(default)]
    pub total_count: i64,
}

/// An image.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Image {
    #[serde(default)]
    pub image_id: String,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub image_uri: String,
    #[serde(default, deserialize_with = "list")]
    pub labels: Vec<Label>,
}

/// A label of an image.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Label {
    #[serde(default)]
    pub key: String,
    #[serde(default)]
    pub value: String,
}
