//! The money of a plan: what everything costs, now and afterwards, what is charged by usage, what nobody knows, and
//! whether the budget holds.

use std::collections::BTreeSet;

use aliform::model::address::Kind;
use aliform::model::change::{Action, Change};
use aliform::model::cost::{Charge, CostLine, HOURS_A_MONTH, Metering, PriceSource, Total};
use aliform::model::money::{Currency, Money};
use aliform::plan::saved::Plan;
use rust_decimal::Decimal;

use crate::render::money::{self, HOURLY, MONTHLY};
use crate::render::style::{Role, Style, one_line};
use crate::render::table;

/// The section; none for a plan without changes inside its budget, whose last line says what it costs.
pub(super) fn section(plan: &Plan, style: &Style) -> Option<String> {
    let budget = budget(plan, style);
    if plan.is_empty() {
        return (!budget.is_empty()).then_some(budget);
    }
    if plan.changes.iter().all(|change| change.cost_before.lines.is_empty() && change.cost_after.lines.is_empty()) {
        return Some("Cost: nothing of this is charged\n".to_owned());
    }
    let mut text = format!("{}\n", style.paint(Role::Strong, "Cost, pay as you go"));
    // Where no price changes, the sums say enough.
    let settled = plan.actions().all(|change| change.cost_before == change.cost_after);
    let items = if settled { Vec::new() } else { items(plan) };
    if !items.is_empty() {
        text += &indented(table::lay_out(items.into_iter(), &[1, 2, 3]), style);
        text.push('\n');
    }
    text += &indented(table::lay_out(totals(plan).into_iter(), &[1, 2, 3]), style);
    if !plan.cost.unattended.sums.is_empty() && plan.cost.unattended != plan.cost.once {
        let worst = money::amounts(&plan.cost.unattended, HOURLY);
        let lasting = plan.released.keys().any(|address| address.kind == Kind::Cluster);
        let case = match lasting {
            true => "with the longest that a cluster may take to come and to go",
            false => "if nobody but the cloud itself ends what they run on",
        };
        text += &format!("  one-off is for the time of the runs; {worst} {case}\n");
    }
    for (job, money) in &plan.cost.traffic {
        text += &format!("  one-off counts {} for what job `{}` sends to the internet\n", money.rounded(HOURLY), one_line(job));
    }
    let usage = if settled { Vec::new() } else { usage(plan) };
    for line in usage.into_iter().chain(unknown(plan)) {
        text += &format!("  {line}\n");
    }
    if plan.basis.destroy {
        text += &format!("  taking it down saves {}\n", money::sentence(&plan.cost.before.minus(&plan.cost.after)));
    }
    Some(text + &budget)
}

/// The first line of a table is its head.
fn indented(lines: Vec<String>, style: &Style) -> String {
    let line = |(at, line): (usize, &String)| if at == 0 { style.paint(Role::Dim, line) } else { line.clone() };
    lines.iter().enumerate().map(|at| format!("  {}\n", line(at))).collect()
}

/// The lines of what will exist.
fn coming(plan: &Plan) -> impl Iterator<Item = (&Change, &CostLine)> {
    let exists = plan.changes.iter().filter(|change| change.action != Action::Delete);
    exists.flat_map(|change| change.cost_after.lines.iter().map(move |line| (change, line)))
}

/// What is paid by the hour, equal things in one row.
fn items(plan: &Plan) -> Vec<Vec<String>> {
    let mut found: Vec<(String, Money, u64)> = Vec::new();
    for (_, line) in coming(plan) {
        let Charge::Hourly { price, source, metering } = &line.charge else { continue };
        let item = format!("{}{}{}", line.item, counted(*metering), tariff(*source));
        match found.iter_mut().find(|(known, paid, _)| *known == item && paid == price) {
            Some((.., count)) => *count += 1,
            None => found.push((item, *price, 1)),
        }
    }
    let row = |(item, price, count): (String, Money, u64)| {
        let hour = price.times(Decimal::from(count));
        let month = hour.times(Decimal::from(HOURS_A_MONTH)).rounded(MONTHLY);
        vec![format!("{count} x {item}"), price.rounded(HOURLY).to_string(), hour.rounded(HOURLY).to_string(), month.to_string()]
    };
    let rows: Vec<Vec<String>> = found.into_iter().map(row).collect();
    let head = ["item".to_owned(), "one, an hour".to_owned(), "all, an hour".to_owned(), format!("a month of {HOURS_A_MONTH} h")];
    if rows.is_empty() { rows } else { std::iter::once(head.to_vec()).chain(rows).collect() }
}

/// Says where something else than the time itself is billed.
fn counted(metering: Metering) -> &'static str {
    match metering {
        Metering::Time | Metering::Parts => "",
        Metering::BegunHours => ", each hour begun",
        Metering::WholeHours => ", whole hours only",
    }
}

/// Marks a price that no call quoted.
fn tariff(source: PriceSource) -> &'static str {
    match source {
        PriceSource::Quoted => "",
        PriceSource::Tariff => " (tariff)",
    }
}

/// Now, afterwards and the difference, a row for each currency.
fn totals(plan: &Plan) -> Vec<Vec<String>> {
    let (before, after) = (&plan.cost.before, &plan.cost.after);
    let change = after.minus(before);
    let currencies: BTreeSet<Currency> = change.sums.iter().chain(&plan.cost.once.sums).map(|sum| sum.currency).collect();
    let row = |name: &str, cells: [String; 3]| std::iter::once(name.to_owned()).chain(cells).collect::<Vec<_>>();
    let mut rows = vec![row("", ["now".to_owned(), "after".to_owned(), "change".to_owned()])];
    rows.extend(once(plan).into_iter().map(|cell| row("one-off", ["none".to_owned(), cell.clone(), cell])));
    for (name, places, totals) in [
        ("hourly", HOURLY, [before.clone(), after.clone(), change.clone()]),
        ("monthly", MONTHLY, [before.monthly(), after.monthly(), change.monthly()]),
    ] {
        if currencies.is_empty() {
            let cell = |total: &Total| if total.unknown { "unknown".to_owned() } else { "none".to_owned() };
            rows.push(row(name, totals.each_ref().map(cell)));
        }
        for currency in &currencies {
            let [before, after, change] = &totals;
            let cell = |total: &Total, signed| money::cell(total, *currency, places, signed);
            rows.push(row(name, [cell(before, false), cell(after, false), cell(change, true)]));
        }
    }
    rows
}

/// What is paid once: nothing but runs of jobs.
fn once(plan: &Plan) -> Vec<String> {
    let once = &plan.cost.once;
    let mut cells: Vec<String> =
        once.sums.iter().map(|sum| format!("at most {}", money::cell(once, sum.currency, HOURLY, false))).collect();
    if cells.is_empty() {
        cells.push(if once.unknown { "unknown".to_owned() } else { "none".to_owned() });
    }
    cells
}

/// Prices of what is used, and of what is paid but once; each a single time.
fn usage(plan: &Plan) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (_, line) in coming(plan) {
        let text = match &line.charge {
            Charge::Usage { price, unit, source } => {
                format!("plus usage: {} {} {}/{}{}", one_line(&line.item), price.amount, price.currency, one_line(unit), tariff(*source))
            }
            Charge::Once { price, source } => format!("once: {} {}{}", one_line(&line.item), price, tariff(*source)),
            Charge::Hourly { .. } | Charge::Unknown { .. } => continue,
        };
        if !lines.contains(&text) {
            lines.push(text);
        }
    }
    lines
}

/// What has no price, with everything that it is about.
fn unknown(plan: &Plan) -> Vec<String> {
    let going = plan.changes.iter().filter(|change| change.action == Action::Delete);
    let going = going.flat_map(|change| change.cost_before.lines.iter().map(move |line| (change, line)));
    let mut found: Vec<(&str, &str, Vec<String>)> = Vec::new();
    for (change, line) in coming(plan).chain(going) {
        let Charge::Unknown { because } = &line.charge else { continue };
        let address = change.address.to_string();
        match found.iter_mut().find(|(item, reason, _)| *item == line.item && reason == because) {
            Some((.., addresses)) => addresses.push(address),
            None => found.push((&line.item, because, vec![address])),
        }
    }
    let text = |(item, because, addresses): (&str, &str, Vec<String>)| {
        format!("unknown: {} ({}): {}", one_line(item), addresses.join(", "), one_line(because))
    };
    found.into_iter().map(text).collect()
}

/// The limits that would not hold.
fn budget(plan: &Plan, style: &Style) -> String {
    let refused = if plan.is_empty() { "" } else { "; an apply is refused" };
    let line = |exceeded: &aliform::plan::cost::Exceeded| {
        let places = if exceeded.period == "monthly" { MONTHLY } else { HOURLY };
        let (would_be, limit) = (exceeded.would_be.rounded(places), exceeded.limit.rounded(places));
        let word = style.paint(Role::Error, "over budget:");
        let whose = exceeded.job.as_ref().map(|job| format!(" of job `{}`", one_line(job))).unwrap_or_default();
        format!("  {word} {} it would be {would_be}, and the limit{whose} is {limit}{refused}\n", exceeded.period)
    };
    plan.cost.exceeded.iter().map(line).collect()
}
