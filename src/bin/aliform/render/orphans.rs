//! What was left behind in the cloud, and what became of it.

use aliform::apply::orphans::{Orphan, Why};
use aliform::apply::sweep::{Swept, Unread};
use aliform::model::address::Kind;
use aliform::model::cost::Total;
use jiff::Timestamp;
use serde::Serialize;

use super::money;
use super::style::Style;
use super::table::table;

/// Everything found, for people and programs.
#[derive(Debug, Serialize)]
pub(crate) struct Listing {
    /// Where it was looked.
    pub(crate) regions: Vec<String>,
    /// The time that deadlines were held against.
    pub(crate) now: Timestamp,
    /// What may have been left behind.
    pub(crate) orphans: Vec<Row>,
    /// What all of that costs an hour.
    pub(crate) hourly: Total,
    /// Lists that could not be read.
    pub(crate) unread: Vec<Unread>,
    /// Whether only what is past its time was asked for.
    #[serde(skip)]
    pub(crate) expired: bool,
}

/// All of it as one document.
#[derive(Debug, Serialize)]
pub(crate) struct Document<'a> {
    #[serde(flatten)]
    pub(crate) found: &'a Listing,
    /// What became of those that were to go; null if there was nothing to do.
    pub(crate) swept: Option<&'a Swept>,
}

/// One of them.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    #[serde(flatten)]
    pub(crate) orphan: Orphan,
    /// What it costs an hour.
    pub(crate) hourly: Total,
    /// Why it is an orphan, in words.
    pub(crate) because: String,
    /// Whether it is to go.
    pub(crate) delete: bool,
}

/// Why it is an orphan, in words.
pub(crate) fn because(orphan: &Orphan) -> String {
    let held = if orphan.held { "; a state here still has it" } else { "" };
    match orphan.why {
        Why::Expired if orphan.kind == Kind::Workspace => format!("made for a run that is past its time{held}"),
        Why::Expired => format!("past its time{held}"),
        Why::Forgotten => "the state here does not know it".to_owned(),
        Why::Unknown => "its stack has no state here".to_owned(),
    }
}

/// How long ago, in the two largest units.
fn age(from: Timestamp, now: Timestamp) -> String {
    let seconds = u64::try_from(now.as_second() - from.as_second()).unwrap_or(0);
    match (seconds / 86_400, seconds % 86_400 / 3600, seconds % 3600 / 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds}s"),
        (0, 0, minutes, _) => format!("{minutes}m"),
        (0, hours, minutes, _) => format!("{hours}h {minutes}m"),
        (days, hours, ..) => format!("{days}d {hours}h"),
    }
}

/// The listing as text: a table, what it comes to, and what could not be looked at.
pub(crate) fn orphans(listing: &Listing, program: &str, style: &Style) -> String {
    let head = ["", "kind", "id", "region", "stack", "age", "deadline", "cost", "why"];
    let rows: Vec<Vec<String>> = listing.orphans.iter().map(|row| cells(row, listing.now)).collect();
    let mut text = table(&head, &rows, style);
    let regions = listing.regions.len();
    let place = if regions == 1 { format!("`{}`", listing.regions.join("")) } else { format!("{regions} regions") };
    let goes: Vec<&Row> = listing.orphans.iter().filter(|row| row.delete).collect();
    let stays = listing.orphans.len() - goes.len();
    text += &match (goes.len(), stays) {
        (0, 0) if !listing.expired => format!("Nothing is left behind in {place}.\n"),
        (0, 0) => format!("Nothing in {place} is past its time.\n"),
        (0, _) => format!("\nNothing in {place} is past its time.\n"),
        (count, _) => {
            let mut hourly = Total::default();
            goes.iter().for_each(|row| hourly.merge(&row.hourly));
            format!("\n{count} to delete in {place}; together they cost {}.\n", money::sentence(&hourly))
        }
    };
    if stays > 0 {
        text += &format!(
            "{stays} {} left alone: a state in another folder may hold {}. `{program} sweep --stack STACK` takes away all of a stack that no state here holds.\n",
            if stays == 1 { "is" } else { "are" },
            if stays == 1 { "it" } else { "them" },
        );
    }
    for unread in &listing.unread {
        text += &format!("Not looked at: {} in {}: {}\n", unread.kind, unread.region, unread.error);
    }
    text
}

fn cells(row: &Row, now: Timestamp) -> Vec<String> {
    let orphan = &row.orphan;
    let unknown = || "-".to_owned();
    vec![
        if row.delete { "-" } else { " " }.to_owned(),
        orphan.kind.to_string(),
        orphan.id.clone(),
        orphan.region.clone(),
        if orphan.stack.is_empty() { unknown() } else { orphan.stack.clone() },
        orphan.created_at.map_or_else(unknown, |from| age(from, now)),
        orphan.deadline.map_or_else(unknown, |end| end.strftime("%Y-%m-%d %H:%M").to_string()),
        money::rate(&row.hourly),
        row.because.clone(),
    ]
}

/// The end of a sweep as text.
pub(crate) fn swept(swept: &Swept) -> String {
    let mut text = format!("\n{} deleted and gone", swept.deleted.len());
    text += &if swept.failed.is_empty() { ".\n".to_owned() } else { format!(", {} still there:\n", swept.failed.len()) };
    for remains in &swept.failed {
        text += &format!("  {} {} in {}: {}\n", remains.kind, remains.id, remains.region, remains.error);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_its_two_largest_units() {
        let now: Timestamp = "2026-01-03T12:00:00Z".parse().unwrap();
        for (from, shown) in [
            ("2026-01-03T11:59:30Z", "30s"),
            ("2026-01-03T11:15:00Z", "45m"),
            ("2026-01-03T02:45:00Z", "9h 15m"),
            ("2026-01-01T11:00:00Z", "2d 1h"),
            ("2026-01-04T00:00:00Z", "0s"),
        ] {
            assert_eq!(age(from.parse().unwrap(), now), shown, "{from}");
        }
    }
}
