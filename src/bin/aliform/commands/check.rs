//! `aliform check`: whether an apply would find what it needs: credentials, clock, region, balance.

use aliform::cloud::api::ask;
use aliform::cloud::bss::QueryAccountBalance;
use aliform::cloud::ecs::catalogue::DescribeRegions;
use aliform::cloud::sts::GetCallerIdentity;

use crate::error::{CommandError, FAILED};
use crate::output::Output;
use crate::workspace::Workspace;

/// Any region answers for the account as a whole.
const REGION: &str = "cn-hangzhou";

pub(crate) async fn run(workspace: &Workspace, out: &Output) -> Result<u8, CommandError> {
    let client = workspace.connect(out).await?;
    let mut rows = Vec::new();
    let mut failed = false;
    let mut row = |what: &str, result: Result<String, String>| {
        failed |= result.is_err();
        let (mark, detail) = match result {
            Ok(detail) => ("ok", detail),
            Err(detail) => ("failed", detail),
        };
        rows.push(vec![what.to_owned(), mark.to_owned(), detail]);
    };
    // An answer to a signed call proves the clock too: a signature older than 15 minutes is refused.
    let caller = ask(&client, REGION, &GetCallerIdentity {}).await;
    row("credentials", caller.map(|caller| format!("{} of account {}", caller.arn, caller.account_id)).map_err(|error| error.to_string()));
    let regions = ask(&client, REGION, &DescribeRegions { accept_language: "en-US".to_owned() }).await;
    row("ECS", regions.map(|answer| format!("{} regions", answer.regions.region.len())).map_err(|error| error.to_string()));
    let balance = ask(&client, REGION, &QueryAccountBalance {}).await;
    let balance = balance
        .map(|answer| answer.data.map_or_else(|| "not told".to_owned(), |data| format!("{} {}", data.available_amount, data.currency)));
    row("balance", balance.map_err(|error| error.to_string()));
    out.table(&["check", "result", "detail"], rows);
    Ok(if failed { FAILED } else { 0 })
}
