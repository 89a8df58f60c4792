//! `aliform check`: whether an apply would find what it needs: credentials, clock, region, balance.

use aliform::cloud::api::ask;
use aliform::cloud::bss::{Balance, QueryAccountBalance};
use aliform::cloud::ecs::catalogue::DescribeRegions;
use aliform::cloud::error::ApiError;
use aliform::cloud::sts::GetCallerIdentity;

use crate::error::{CommandError, FAILED};
use crate::output::Output;
use crate::workspace::Workspace;

/// Any region answers for the account as a whole.
const REGION: &str = "cn-hangzhou";

pub(crate) async fn run(workspace: &Workspace, out: &Output) -> Result<u8, CommandError> {
    let client = workspace.connect(out).await?;
    // An answer to a signed call proves the clock too: a signature older than 15 minutes is refused.
    let caller = ask(&client, REGION, &GetCallerIdentity {}).await;
    let known = caller.is_ok();
    let mut rows = vec![row("credentials", caller.map(|caller| format!("{} of account {}", caller.arn, caller.account_id)))];
    if known {
        let regions = ask(&client, REGION, &DescribeRegions { accept_language: "en-US".to_owned() }).await;
        rows.push(row("ECS", regions.map(|answer| format!("{} regions", answer.regions.region.len()))));
        let balance = ask(&client, REGION, &QueryAccountBalance {}).await.map(|answer| answer.data);
        let told =
            |data: Option<Balance>| data.map_or("not told".to_owned(), |data| format!("{} {}", data.available_amount, data.currency));
        rows.push(row("balance", balance.map(told)));
    } else {
        rows.extend(["ECS", "balance"].map(|what| vec![what.to_owned(), "skipped".to_owned(), "needs credentials".to_owned()]));
    }
    let failed = rows.iter().any(|row| row[1] == FAIL);
    out.table(&["check", "result", "detail"], rows);
    Ok(if failed { FAILED } else { 0 })
}

const FAIL: &str = "failed";

fn row(what: &str, result: Result<String, ApiError>) -> Vec<String> {
    let (mark, detail) = match result {
        Ok(detail) => ("ok", detail),
        Err(error) => (FAIL, error.to_string()),
    };
    [what, mark, &detail].map(str::to_owned).to_vec()
}
