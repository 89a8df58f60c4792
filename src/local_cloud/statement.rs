//! The bill as it is shown: its lines with what each comes to, and what is left of the balance. Lines add up to the sum,
//! since each is rounded to what a bill holds, six digits after the point.

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::billing::Bill;

/// Digits after the point of an amount. Source: the notice of per-second billing, "accurate to the 6th decimal place"
/// (alibabacloud.com/notice/ECS-0928).
pub const DIGITS: u32 = 6;

/// The bill at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The cloud's own time.
    pub now: Timestamp,
    /// Of all amounts.
    pub currency: String,
    /// The sum of all lines.
    pub spent: Decimal,
    /// What the account has left.
    pub balance: Decimal,
    /// The lines, in the order in which they began.
    pub lines: Vec<Line>,
}

/// A line of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The line as it is kept.
    #[serde(flatten)]
    pub bill: Bill,
    /// How long it was billed, in whole seconds.
    pub seconds: i64,
    /// What that comes to.
    pub amount: Decimal,
}

impl Statement {
    /// The bill of an account that began with `balance`.
    pub(crate) fn new(bills: impl Iterator<Item = Bill>, balance: Decimal, now: Timestamp) -> Statement {
        let line = |bill: Bill| Line { seconds: bill.seconds(now), amount: bill.amount(now).round_dp(DIGITS), bill };
        let mut lines: Vec<Line> = bills.map(line).collect();
        lines.sort_by(|a, b| (a.bill.from, &a.bill.resource, &a.bill.part).cmp(&(b.bill.from, &b.bill.resource, &b.bill.part)));
        let spent = lines.iter().map(|line| line.amount).sum();
        Statement { now, currency: "CNY".to_owned(), spent, balance: balance - spent, lines }
    }
}
