//! Security groups and their rules.

#![expect(missing_docs, reason = "the fields carry the API's own names, which its reference explains")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::instance::EcsTags;
use crate::cloud::api::{JsonList, Tag, list, rpc};
use crate::cloud::vpc::Done;

rpc! {
    CreateSecurityGroup => CreateSecurityGroupResponse, Ecs, Safe;
    DescribeSecurityGroups => DescribeSecurityGroupsResponse, Ecs, Safe;
    DescribeSecurityGroupAttribute => DescribeSecurityGroupAttributeResponse, Ecs, Safe;
    AuthorizeSecurityGroup => Done, Ecs, Safe;
    RevokeSecurityGroup => Done, Ecs, Safe;
    ModifySecurityGroupAttribute => Done, Ecs, Safe;
    DeleteSecurityGroup => Done, Ecs, Safe;
}

#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateSecurityGroup {
    pub region_id: String,
    pub vpc_id: String,
    pub security_group_name: String,
    pub client_token: String,
    pub tag: Vec<Tag>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateSecurityGroupResponse {
    pub security_group_id: String,
}

/// Reads groups: by at most 100 identifiers or by tags; at most 100 a page.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeSecurityGroups {
    pub region_id: String,
    pub security_group_ids: Option<JsonList>,
    pub tag: Vec<Tag>,
    pub max_results: u32,
    pub next_token: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeSecurityGroupsResponse {
    pub security_groups: SecurityGroups,
    #[serde(default)]
    pub next_token: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct SecurityGroups {
    #[serde(default, deserialize_with = "list")]
    pub security_group: Vec<SecurityGroup>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct SecurityGroup {
    pub security_group_id: String,
    #[serde(default)]
    pub security_group_name: String,
    pub vpc_id: String,
    #[serde(default)]
    pub creation_time: String,
    #[serde(default)]
    pub tags: Option<EcsTags>,
}

/// Reads the rules of one group.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeSecurityGroupAttribute {
    pub region_id: String,
    pub security_group_id: String,
    /// `ingress`.
    pub direction: String,
    pub next_token: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeSecurityGroupAttributeResponse {
    pub permissions: Permissions,
    #[serde(default)]
    pub next_token: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Permissions {
    #[serde(default, deserialize_with = "list")]
    pub permission: Vec<Permission>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Permission {
    pub security_group_rule_id: String,
    pub ip_protocol: String,
    pub port_range: String,
    #[serde(default)]
    pub source_cidr_ip: String,
    pub policy: String,
    #[serde(default)]
    pub description: String,
}

/// Adds at most 100 rules; one that exists already is no error.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct AuthorizeSecurityGroup {
    pub region_id: String,
    pub security_group_id: String,
    pub permissions: Vec<NewPermission>,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct NewPermission {
    pub ip_protocol: String,
    pub port_range: String,
    pub source_cidr_ip: String,
    /// `accept` or `drop`.
    pub policy: String,
    pub description: String,
}

/// Takes at most 100 rules away, by their identifiers.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RevokeSecurityGroup {
    pub region_id: String,
    pub security_group_id: String,
    pub security_group_rule_id: Vec<String>,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ModifySecurityGroupAttribute {
    pub region_id: String,
    pub security_group_id: String,
    pub security_group_name: String,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteSecurityGroup {
    pub region_id: String,
    pub security_group_id: String,
}
