//! What may be taken for a machine that is sold out by the time it is made: the same type in other zones, then other
//! types that have what is needed. Nothing that costs much more, and nothing in another region.

use rust_decimal::Decimal;

use super::machine::{Candidate, cheap_first, fitting, hourly, priced, rank};
use super::wants::Wants;
use crate::model::money::Money;
use crate::model::offer::Fallback;
use crate::pricing::lookup::{Lookup, LookupError};

/// How many other types are priced.
pub(in crate::resolve) const SIBLINGS: usize = 4;

/// How much dearer than the chosen one a fallback may be: half as much again.
pub(in crate::resolve) fn ceiling() -> Decimal {
    Decimal::new(15, 1)
}

/// How a price differs from that of the chosen one.
pub(in crate::resolve) fn more(hourly: Money, chosen: Money) -> String {
    let difference = Money { amount: (hourly.amount - chosen.amount).abs(), ..hourly }.rounded(4);
    match hourly.amount.cmp(&chosen.amount) {
        std::cmp::Ordering::Equal => "at the same price".to_owned(),
        std::cmp::Ordering::Less => format!("{difference} an hour less"),
        std::cmp::Ordering::Greater => format!("{difference} an hour more"),
    }
}

/// The list, from what has a price; pure. `zones` are other zones of the chosen type with their prices.
fn list(chosen: Money, instance_type: &str, zones: &[(String, Option<Money>)], siblings: Vec<Candidate>) -> Vec<Fallback> {
    let bearable =
        |hourly: Option<Money>| hourly.filter(|hourly| hourly.currency == chosen.currency && hourly.amount <= chosen.amount * ceiling());
    let more = |hourly: Money| more(hourly, chosen);
    let mut list: Vec<Fallback> = Vec::new();
    for (zone, price) in zones {
        list.extend(bearable(*price).map(|hourly| Fallback {
            zone: zone.clone(),
            instance_type: instance_type.to_owned(),
            hourly,
            because: format!("the same type in another zone, {}", more(hourly)),
        }));
    }
    for sibling in rank(siblings) {
        let Some(zone) = sibling.zones.first() else { continue };
        list.extend(bearable(sibling.hourly).map(|hourly| Fallback {
            zone: zone.clone(),
            instance_type: sibling.shape.instance_type.clone(),
            hourly,
            because: format!("{} vCPU and {} GiB, {}", sibling.shape.vcpu, sibling.shape.memory.normalize(), more(hourly)),
        }));
    }
    list
}

/// What could stand in for `instance_type` in `zone`. A type that somebody named (`named`) has no siblings: only its
/// zones. Where the price of the chosen one is unknown there is nothing to compare with, and nothing may stand in.
pub(in crate::resolve) async fn fallbacks(
    lookup: &dyn Lookup,
    region: &str,
    wants: &Wants,
    (instance_type, zone): (&str, &str),
    named: bool,
) -> Result<Vec<Fallback>, LookupError> {
    let Some(chosen) = hourly(lookup, region, wants, instance_type, zone).await else { return Ok(Vec::new()) };
    let stock = lookup.stock(region, wants.spot).await?;
    let others = stock.get(instance_type).into_iter().flatten().filter(|other| *other != zone && wants.allows(other));
    let zones = others.map(|other| async move {
        // On the market every zone has a price of its own.
        let price = if wants.spot { hourly(lookup, region, wants, instance_type, other).await } else { Some(chosen) };
        (other.clone(), price)
    });
    let zones = futures_util::future::join_all(zones).await;
    let siblings = if named { Vec::new() } else { siblings(lookup, region, wants, (instance_type, zone)).await? };
    Ok(list(chosen, instance_type, &zones, siblings))
}

/// The likeliest other types with their prices, each in the chosen zone where that has it.
async fn siblings(
    lookup: &dyn Lookup,
    region: &str,
    wants: &Wants,
    (instance_type, zone): (&str, &str),
) -> Result<Vec<Candidate>, LookupError> {
    let (types, stock) = (lookup.types(region).await?, lookup.stock(region, wants.spot).await?);
    let mut found = fitting(wants, &types, &stock);
    found.retain(|candidate| candidate.shape.instance_type != instance_type);
    for candidate in &mut found {
        candidate.zones.sort_by_key(|other| other != zone);
    }
    let cheap = lookup.alike(region, instance_type).await.unwrap_or_default();
    Ok(priced(lookup, region, wants, &cheap_first(found, &cheap), SIBLINGS).await)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pricing::lookup::Shape;

    fn candidate(name: &str, hourly: &str, zone: &str) -> Candidate {
        let shape = Shape {
            instance_type: name.to_owned(),
            vcpu: 2,
            memory: Decimal::from(4),
            architecture: "X86".to_owned(),
            gpus: 0,
            gpu: String::new(),
        };
        Candidate { shape, zones: vec![zone.to_owned()], hourly: hourly.parse().ok() }
    }

    #[test]
    fn zones_come_first_then_the_cheapest_types_and_nothing_much_dearer() {
        let one: Money = "1 CNY".parse().unwrap();
        let siblings = vec![
            candidate("ecs.g9.large", "1.6 CNY", "z-a"),
            candidate("ecs.g8.large", "1.5 CNY", "z-a"),
            candidate("ecs.g7.large", "1.2 CNY", "z-b"),
            candidate("ecs.g6.large", "unknown", "z-b"),
            candidate("ecs.g5.large", "1.2 USD", "z-b"),
        ];
        let list = list(one, "ecs.c7.large", &[("z-b".to_owned(), Some(one)), ("z-c".to_owned(), None)], siblings);
        let shown: Vec<String> =
            list.iter().map(|fallback| format!("{} {}: {}", fallback.instance_type, fallback.zone, fallback.because)).collect();
        assert_eq!(
            shown,
            [
                "ecs.c7.large z-b: the same type in another zone, at the same price",
                "ecs.g7.large z-b: 2 vCPU and 4 GiB, 0.2000 CNY an hour more",
                "ecs.g8.large z-a: 2 vCPU and 4 GiB, 0.5000 CNY an hour more",
            ]
        );
    }
}
