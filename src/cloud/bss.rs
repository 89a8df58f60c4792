//! Billing, version 2017-12-14: what is left on the account.

#![expect(missing_docs, reason = "the fields carry the API's own names, which its reference explains")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::api::rpc;

rpc! {
    QueryAccountBalance => QueryAccountBalanceResponse, Bss, Safe;
}

/// Asks for the account's balance.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct QueryAccountBalance {}

/// The balance.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct QueryAccountBalanceResponse {
    pub data: Option<Balance>,
}

/// Amounts are texts and may carry thousands commas.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Balance {
    pub available_amount: String,
    pub currency: String,
}
