//! Which instance types have what is needed and are in stock, and which of them are the cheapest. What is asked comes
//! first; how the answers are ranked is a pure function of them.

use std::cmp::Reverse;
use std::sync::Arc;

use futures_util::future::join_all;
use rust_decimal::Decimal;

use super::wants::Wants;
use crate::model::money::Money;
use crate::pricing::lookup::{InstancePrice, Lookup, LookupError, Shape, Stock};

/// The disk of every machine that nobody asked for another of.
pub(in crate::resolve) const DISK_CATEGORY: &str = "cloud_essd";
/// Its performance level.
pub(in crate::resolve) const DISK_LEVEL: &str = "PL0";

/// A type that has what is needed and is in stock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What it is made of.
    pub shape: Shape,
    /// The zones that have it and may be used, in order of their names.
    pub zones: Vec<String>,
    /// What an hour of it costs with its disk, if that was asked and could be told.
    pub hourly: Option<Money>,
}

/// What a region has.
#[derive(Clone, Debug)]
pub struct Market {
    /// Every type there is anywhere.
    pub types: Arc<Vec<Shape>>,
    /// Those that have a price, best first.
    pub ranked: Vec<Candidate>,
    /// All that have what is needed and are in stock, smallest first.
    pub fitting: Vec<Candidate>,
}

/// The digits of a family: `ecs.c8i.large` is of generation 8. Families without one are the oldest.
pub(in crate::resolve) fn generation(instance_type: &str) -> u32 {
    let family = instance_type.split('.').nth(1).unwrap_or_default();
    family.chars().filter(char::is_ascii_digit).take(1).collect::<String>().parse().unwrap_or(0)
}

/// What has what is needed and is in stock in a zone that may be used: the smallest first, of equals the newer, then by
/// name.
pub fn fitting(wants: &Wants, types: &[Shape], stock: &Stock) -> Vec<Candidate> {
    let in_stock = |shape: &Shape| stock.get(&shape.instance_type).into_iter().flatten().filter(|zone| wants.allows(zone)).cloned();
    let found = types.iter().filter(|shape| wants.fit(shape));
    let found = found.map(|shape| Candidate { shape: shape.clone(), zones: in_stock(shape).collect(), hourly: None });
    let mut found: Vec<Candidate> = found.filter(|candidate| !candidate.zones.is_empty()).collect();
    found.sort_by(|a, b| size(&a.shape).cmp(&size(&b.shape)));
    found
}

fn size(shape: &Shape) -> (u32, u32, Decimal, Reverse<u32>, &str) {
    (shape.gpus, shape.vcpu, shape.memory, Reverse(generation(&shape.instance_type)), &shape.instance_type)
}

/// Brings those that the cloud calls cheap to the front, in its order; the rest stay as they are.
pub fn cheap_first(mut candidates: Vec<Candidate>, cheap: &[String]) -> Vec<Candidate> {
    let place = |candidate: &Candidate| cheap.iter().position(|name| *name == candidate.shape.instance_type).unwrap_or(usize::MAX);
    candidates.sort_by_key(place);
    candidates
}

/// The cheapest first; of equals the newer generation, then by name. What has no price comes last.
pub fn rank(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    candidates.sort_by(|a, b| order(a).cmp(&order(b)));
    candidates
}

fn order(candidate: &Candidate) -> (bool, Option<Decimal>, Reverse<u32>, &str) {
    let name = &candidate.shape.instance_type;
    (candidate.hourly.is_none(), candidate.hourly.map(|money| money.amount), Reverse(generation(name)), name)
}

/// What an hour of a type costs in a zone, its disk included; none if nobody can tell, or if the type alone costs more
/// than the cap.
pub(in crate::resolve) async fn hourly(lookup: &dyn Lookup, region: &str, wants: &Wants, instance_type: &str, zone: &str) -> Option<Money> {
    let wanted = InstancePrice {
        instance_type: instance_type.to_owned(),
        zone: zone.to_owned(),
        disk_category: DISK_CATEGORY.to_owned(),
        disk_level: Some(DISK_LEVEL.to_owned()),
        disk_size: wants.disk,
        bandwidth: 0,
        spot: wants.spot,
    };
    let parts = lookup.price(region, &wanted).await.ok()?;
    let first = parts.first()?.price;
    if wants.cap.is_some_and(|cap| cap.currency != first.currency || first.amount > cap.amount) {
        return None;
    }
    Some(Money { amount: parts.iter().map(|part| part.price.amount).sum(), currency: first.currency })
}

/// Prices the first `most` of them, all at the same time, where each stands first.
pub(in crate::resolve) async fn priced(
    lookup: &dyn Lookup,
    region: &str,
    wants: &Wants,
    candidates: &[Candidate],
    most: usize,
) -> Vec<Candidate> {
    let price = |candidate: &Candidate| {
        let mut candidate = candidate.clone();
        async move {
            let zone = candidate.zones.first().cloned().unwrap_or_default();
            candidate.hourly = hourly(lookup, region, wants, &candidate.shape.instance_type, &zone).await;
            candidate
        }
    };
    join_all(candidates.iter().take(most).map(price)).await
}

/// Asks what a region has and what the `most` likeliest of it cost: one question for all types, one for the stock of
/// all of them, one for what is cheap, and the prices.
pub async fn market(lookup: &dyn Lookup, region: &str, wants: &Wants, most: usize) -> Result<Market, LookupError> {
    let (types, stock) = futures_util::future::join(lookup.types(region), lookup.stock(region, wants.spot)).await;
    let (types, stock) = (types?, stock?);
    let fitting = fitting(wants, &types, &stock);
    let candidates = match fitting.first() {
        // Where all of them are priced anyway, no hint is needed.
        Some(smallest) if fitting.len() > most => {
            // A hint only: without it the smallest are priced.
            let cheap = lookup.alike(region, &smallest.shape.instance_type).await.unwrap_or_default();
            cheap_first(fitting.clone(), &cheap)
        }
        _ => fitting.clone(),
    };
    let ranked = rank(priced(lookup, region, wants, &candidates, most).await);
    Ok(Market { types, ranked, fitting })
}

/// That nobody has such a GPU, if that is so.
pub(in crate::resolve) fn unknown_model(wants: &Wants, types: &[Shape]) -> Option<String> {
    let gpu = wants.gpu.as_ref().filter(|gpu| !models(types).iter().any(|model| gpu.is_model(model)))?;
    Some(format!("there is no instance type with a GPU `{}`", gpu.model.as_deref()?))
}

/// The models of accelerators that there are, by name.
pub fn models(types: &[Shape]) -> Vec<String> {
    let mut models: Vec<String> = types.iter().map(|shape| shape.gpu.clone()).filter(|model| !model.is_empty()).collect();
    models.sort();
    models.dedup();
    models
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(name: &str, hourly: &str) -> Candidate {
        let (memory, architecture) = (Decimal::from(4), "X86".to_owned());
        let shape = Shape { instance_type: name.to_owned(), vcpu: 2, memory, architecture, gpus: 0, gpu: String::new() };
        Candidate { shape, zones: vec!["z-a".to_owned()], hourly: hourly.parse().ok() }
    }

    fn names(candidates: &[Candidate]) -> Vec<&str> {
        candidates.iter().map(|candidate| candidate.shape.instance_type.as_str()).collect()
    }

    #[test]
    fn the_generation_is_the_families_first_digit() {
        assert_eq!(generation("ecs.c8i.large"), 8);
        assert_eq!(generation("ecs.u1-c1m2.large"), 1);
        assert_eq!(generation("ecs.e-c1m2.large"), 1);
    }

    #[test]
    fn the_cheapest_wins_then_the_newer_then_the_name() {
        let found = vec![
            candidate("ecs.c6.large", "0.5 CNY"),
            candidate("ecs.z9.large", "unknown"),
            candidate("ecs.g8i.large", "0.5 CNY"),
            candidate("ecs.c8i.large", "0.50 CNY"),
            candidate("ecs.t6.large", "0.4 CNY"),
        ];
        assert_eq!(names(&rank(found)), ["ecs.t6.large", "ecs.c8i.large", "ecs.g8i.large", "ecs.c6.large", "ecs.z9.large"]);
    }

    #[test]
    fn a_hint_brings_forward_and_loses_nothing() {
        let found = ["ecs.a.large", "ecs.b.large", "ecs.c.large", "ecs.d.large"].map(|name| candidate(name, "1 CNY"));
        let cheap = ["ecs.d.large".to_owned(), "ecs.nowhere.large".to_owned(), "ecs.b.large".to_owned()];
        assert_eq!(names(&cheap_first(found.into(), &cheap)), ["ecs.d.large", "ecs.b.large", "ecs.a.large", "ecs.c.large"]);
    }
}
