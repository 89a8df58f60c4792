//! `aliform check`: whether an apply would find what it needs: credentials, clock, region, balance.

use aliform::cloud::api::ask;
use aliform::cloud::bss::{Balance, QueryAccountBalance};
use aliform::cloud::ecs::catalogue::DescribeRegions;
use aliform::cloud::error::ApiError;
use aliform::cloud::sts::GetCallerIdentity;
use aliform::model::clock::Clock;

use crate::error::{CommandError, FAILED};
use crate::output::Output;
use crate::workspace::{Workspace, clock};

/// Any region answers for the account as a whole.
const REGION: &str = "cn-hangzhou";

pub(crate) async fn run(workspace: &Workspace, out: &Output) -> Result<u8, CommandError> {
    let client = workspace.connect(out).await?;
    // An answer to a signed call proves the clock too: a signature older than 15 minutes is refused.
    let caller = ask(&client, REGION, &GetCallerIdentity {}).await;
    let known = caller.is_ok();
    let mut rows = vec![row("credentials", caller.map(|caller| format!("{} of account {}", caller.arn, caller.account_id)))];
    if known {
        // Answers say when they were given; a signature of another quarter of an hour is refused.
        let off = client.dates().now().duration_since(clock().now()).as_secs().abs();
        rows.push(row("clock", Ok(if off < 2 { "that of the cloud".to_owned() } else { format!("{off} s off that of the cloud") })));
        let regions = ask(&client, REGION, &DescribeRegions { accept_language: "en-US".to_owned() }).await;
        rows.push(row("regions", regions.map(|answer| format!("{} answer", answer.regions.region.len()))));
        let balance = ask(&client, REGION, &QueryAccountBalance {}).await.map(|answer| answer.data);
        let told =
            |data: Option<Balance>| data.map_or("not told".to_owned(), |data| format!("{} {}", data.available_amount, data.currency));
        rows.push(row("balance", balance.map(told)));
    } else {
        rows.extend(
            ["clock", "regions", "balance"].map(|what| vec![what.to_owned(), "skipped".to_owned(), "needs credentials".to_owned()]),
        );
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
