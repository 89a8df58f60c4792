//! What was compared: one row for each offer, the best first, the chosen one marked, and of each why or why not.

use std::collections::BTreeSet;

use aliform::model::offer::{Comparison, Offer};
use aliform::model::units::Duration;

use super::money::{HOURLY, MONTHLY};
use super::style::{Role, Style, one_line};
use super::table::lay_out;

/// Rows that are listed before the rest is counted.
const ROWS: usize = 12;
/// From here on a total is a month's and has fewer digits.
const LONG: u64 = 7 * 86_400;

/// The comparison for one thing; none if nothing was compared.
pub(crate) fn offers(name: &str, offers: &[Offer], style: &Style) -> Option<String> {
    let first = offers.first()?;
    let title = format!("Offers for {}, reckoned for {}", one_line(name), span(first.seconds));
    let mut text = format!("{}\n", style.paint(Role::Strong, &title));
    let accelerated = offers.iter().any(|offer| offer.gpu.is_some());
    let head = ["", "PRODUCT", "WHERE", "WHAT", "vCPU", "MEMORY", "GPU", "AN HOUR", "TOTAL", "STOCK", "STARTS IN"];
    let shown: Vec<&Offer> = offers.iter().take(ROWS).collect();
    let kept = |row: Vec<String>| row.into_iter().enumerate().filter(|(at, _)| accelerated || *at != 6).map(|(_, cell)| cell).collect();
    let rows = std::iter::once(head.map(str::to_owned).to_vec()).chain(shown.iter().map(|offer| row(offer))).map(kept);
    let lines = lay_out(rows, if accelerated { &[7, 8] } else { &[6, 7] });
    for (at, line) in lines.iter().enumerate() {
        text += &match at.checked_sub(1).and_then(|at| shown.get(at)) {
            None => format!("  {}\n", style.paint(Role::Dim, line)),
            Some(offer) => format!("  {line}\n{}\n", style.paint(Role::Dim, &format!("      {}", reason(offer)))),
        };
    }
    if offers.len() > ROWS {
        text += &style.paint(Role::Dim, &format!("    and {} more, none of them better", offers.len() - ROWS));
        text.push('\n');
    }
    let products: BTreeSet<&str> = offers.iter().map(|offer| offer.product.as_str()).collect();
    for product in products {
        let Some(offer) = offers.iter().find(|offer| offer.product == product) else { continue };
        text += &format!("  {}: {}; {}\n", one_line(product), one_line(&offer.set_up), one_line(&offer.clean_up));
    }
    Some(text)
}

/// A comparison by itself, with why it is between these products.
pub(crate) fn comparison(name: &str, shown: &Comparison, style: &Style) -> Option<String> {
    let mut text = offers(name, &shown.offers, style)?;
    text += &format!("  because {}\n", one_line(&shown.because));
    for excluded in &shown.excluded {
        text += &style.paint(Role::Dim, &format!("  not {}: {}", one_line(&excluded.option), one_line(&excluded.because)));
        text.push('\n');
    }
    Some(text)
}

fn reason(offer: &Offer) -> String {
    format!("{} {}", if offer.chosen { "chosen:" } else { "not chosen:" }, one_line(&offer.because))
}

fn span(seconds: u64) -> String {
    if seconds >= LONG { format!("{} h", seconds / 3600) } else { Duration::of(seconds).to_string() }
}

fn row(offer: &Offer) -> Vec<String> {
    let unknown = || if offer.stock == "none" { "-".to_owned() } else { "unknown".to_owned() };
    let digits = if offer.seconds >= LONG { MONTHLY } else { HOURLY };
    vec![
        if offer.chosen { ">" } else { "" }.to_owned(),
        offer.product.clone(),
        offer.zone.clone().unwrap_or_else(|| offer.region.clone()),
        offer.what.clone(),
        offer.vcpu.to_string(),
        offer.memory.to_string(),
        offer.gpu.clone().unwrap_or_default(),
        offer.hourly.map_or_else(unknown, |money| money.rounded(HOURLY).to_string()),
        offer.total.map_or_else(unknown, |money| money.rounded(digits).to_string()),
        offer.stock.clone(),
        Duration::of(offer.starts_in).to_string(),
    ]
}
