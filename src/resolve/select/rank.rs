//! Puts offers in order and says of each why it is the one, or why not. Pure.

use std::cmp::{Ordering, Reverse};

use rust_decimal::Decimal;

use crate::model::money::{CNY_A_DOLLAR, Currency, Money};
use crate::model::offer::Offer;
use crate::model::units::Duration;

/// An offer to be put in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The offer; what it says of being chosen is not looked at.
    pub offer: Offer,
    /// How new its type is.
    pub generation: u32,
    /// Why it can't be had at all.
    pub obstacle: Option<String>,
}

/// What can be had before what can't, what has a price before what has none, the cheapest first; of equals what starts
/// sooner, then the newer, then by name.
fn order<'a>(row: &'a Row) -> impl Ord + 'a {
    let Offer { product, region, what, total, starts_in, .. } = &row.offer;
    let price: Option<Decimal> = total.map(|money| money.converted(Currency::Cny).amount);
    ((row.obstacle.is_some(), price.is_none(), price), *starts_in, Reverse(row.generation), (product, what, region))
}

/// The offers, best first. Where nothing can be had, none is chosen.
pub fn rank(mut rows: Vec<Row>) -> Vec<Offer> {
    rows.sort_by(|a, b| order(a).cmp(&order(b)));
    let best = rows.first().filter(|row| row.obstacle.is_none()).cloned();
    let several = rows.len() > 1;
    let judged = |(at, row): (usize, Row)| {
        let chosen = at == 0 && best.is_some();
        let because = match &best {
            Some(best) if chosen => praise(&best.offer, several),
            Some(best) => row.obstacle.clone().unwrap_or_else(|| fault(&row, best)),
            None => row.obstacle.clone().unwrap_or_default(),
        };
        Offer { chosen, because, ..row.offer }
    };
    rows.into_iter().enumerate().map(judged).collect()
}

fn praise(best: &Offer, several: bool) -> String {
    match best.total {
        Some(_) if several => format!("the cheapest for {}", Duration::of(best.seconds)),
        Some(_) => "nothing else was to be compared".to_owned(),
        None => "nothing has a known price, and it comes first by name".to_owned(),
    }
}

/// Why the row is not the one.
fn fault(row: &Row, best: &Row) -> String {
    let (offer, chosen) = (&row.offer, &best.offer);
    let (Some(total), Some(least)) = (offer.total, chosen.total) else { return "its price is unknown".to_owned() };
    let rate = if total.currency == least.currency { String::new() } else { format!(" at {CNY_A_DOLLAR} CNY a dollar") };
    let more = Money { amount: total.converted(least.currency).amount - least.amount, ..least }.rounded(4);
    let starts = |offer: &Offer| Duration::of(offer.starts_in);
    let sooner = match offer.starts_in.cmp(&chosen.starts_in) {
        Ordering::Less => format!(", though it starts in {} and not in {}", starts(offer), starts(chosen)),
        Ordering::Equal => String::new(),
        Ordering::Greater => format!(", and it starts in {} and not in {}", starts(offer), starts(chosen)),
    };
    if !more.amount.is_zero() {
        return format!("{more} more{rate}{sooner}");
    }
    match (sooner.is_empty(), row.generation.cmp(&best.generation)) {
        (false, _) => format!("as cheap{sooner}"),
        (true, Ordering::Less) => "as cheap, of an older generation".to_owned(),
        (true, _) => "as cheap, later by name".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::units::Size;

    fn row(product: &str, what: &str, total: &str, starts_in: u64, generation: u32) -> Row {
        let offer = Offer {
            product: product.to_owned(),
            region: "cn-hangzhou".to_owned(),
            zone: None,
            what: what.to_owned(),
            vcpu: 2,
            memory: Size::of(4096),
            gpu: None,
            architecture: "X86".to_owned(),
            hourly: total.parse().ok(),
            total: total.parse().ok(),
            seconds: 3600,
            stock: String::new(),
            starts_in,
            set_up: String::new(),
            clean_up: String::new(),
            chosen: false,
            because: String::new(),
        };
        Row { offer, generation, obstacle: None }
    }

    fn shown(rows: Vec<Row>) -> Vec<String> {
        rank(rows).iter().map(|offer| format!("{}{}: {}", if offer.chosen { "> " } else { "" }, offer.what, offer.because)).collect()
    }

    #[test]
    fn equals_go_to_what_starts_sooner_then_to_the_newer_then_by_name() {
        let rows = vec![
            row("ecs", "c6", "1 CNY", 60, 6),
            row("ecs", "g8", "1 CNY", 60, 8),
            row("ecs", "c8", "1.0 CNY", 60, 8),
            row("pai", "c9", "1 CNY", 180, 9),
            row("fc", "function", "1.5 CNY", 5, 0),
            row("fc", "abroad", "0.2 USD", 5, 0),
            row("ecs", "x9", "unknown", 60, 9),
            Row { obstacle: Some("it rains".to_owned()), ..row("ack", "a1", "0.1 CNY", 600, 1) },
        ];
        assert_eq!(
            shown(rows),
            [
                "> c8: the cheapest for 1h",
                "g8: as cheap, later by name",
                "c6: as cheap, of an older generation",
                "c9: as cheap, and it starts in 3m and not in 1m",
                "abroad: 0.4200 CNY more at 7.10 CNY a dollar, though it starts in 5s and not in 1m",
                "function: 0.5000 CNY more, though it starts in 5s and not in 1m",
                "x9: its price is unknown",
                "a1: it rains",
            ]
        );
    }

    #[test]
    fn nothing_is_chosen_where_nothing_can_be_had() {
        let rows = vec![Row { obstacle: Some("it rains".to_owned()), ..row("ecs", "c6", "1 CNY", 60, 6) }];
        assert_eq!(shown(rows), ["c6: it rains"]);
        assert_eq!(shown(Vec::new()), Vec::<String>::new());
    }
}
