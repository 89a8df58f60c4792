//! `aliform cloud bill`: what everything in the local cloud has cost, whether it runs or not.

use aliform::local_cloud::billing::Counted;
use aliform::local_cloud::statement::{Line, Statement};

use super::control;
use super::home::Home;
use crate::error::CommandError;
use crate::output::Output;

/// Digits after the point of a sum in words: the fen.
const FEN: u32 = 2;

pub(super) async fn run(home: &Home, out: &Output) -> Result<(), CommandError> {
    let statement = match home.running().await? {
        Some(running) => {
            let bill = control::get(home, &running, "bill").await?;
            Some(serde_json::from_value(bill).map_err(|error| home.wrong("the local cloud answers something else", error))?)
        }
        None => home.stored()?.map(|stored| stored.cloud.statement()),
    };
    match statement {
        None if out.is_json() => out.json(&serde_json::json!({ "lines": [] })),
        None => out.note("There is no local cloud here, and so no bill."),
        Some(statement) => show(&statement, out),
    }
    Ok(())
}

fn show(statement: &Statement, out: &Output) {
    if out.is_json() {
        out.json(statement);
        return;
    }
    if statement.lines.is_empty() {
        out.note("Nothing was billed yet.");
    } else {
        let head = ["id", "item", "region", "from", "to", "seconds", "an hour", "amount"];
        out.table(&head, statement.lines.iter().map(row).collect());
    }
    let currency = &statement.currency;
    out.text(&format!(
        "Spent {} {currency}, left {} {currency}.\n",
        statement.spent,
        statement.balance.round_dp_with_strategy(FEN, rust_decimal::RoundingStrategy::ToZero),
    ));
}

fn row(line: &Line) -> Vec<String> {
    let bill = &line.bill;
    let moment = |at: jiff::Timestamp| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let counted = match bill.counted {
        Counted::Seconds => "",
        Counted::HoursBegun => ", hours begun",
        Counted::HoursWhole => ", whole hours",
    };
    let hourly = if bill.hourly.is_zero() { "by use".to_owned() } else { format!("{}{counted}", bill.hourly.normalize()) };
    vec![
        bill.resource.clone(),
        bill.part.clone(),
        bill.region.clone(),
        moment(bill.from),
        bill.to.map_or_else(|| "still".to_owned(), moment),
        line.seconds.to_string(),
        hourly,
        line.amount.to_string(),
    ]
}
