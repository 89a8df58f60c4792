//! Security Token Service, version 2015-04-01: who is asking.

#![expect(missing_docs, reason = "the fields carry the API's own names, which its reference explains")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::api::rpc;

rpc! {
    GetCallerIdentity => GetCallerIdentityResponse, Sts, Safe;
}

/// Asks who the credentials belong to; needs no permission.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GetCallerIdentity {}

/// The caller.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GetCallerIdentityResponse {
    pub account_id: String,
    pub arn: String,
    pub identity_type: String,
}
