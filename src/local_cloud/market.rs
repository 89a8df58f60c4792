//! The market of spot instances. A price stands for an hour; it follows from the seed, the zone, the type and the hour
//! alone, so that whoever asks, bills or looks back sees the same curve. The curve is our own: nobody publishes the real
//! one. It lies between a tenth of the list price and the list price, with a rush now and then.

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::call::{Call, Outcome};
use super::catalog::{Catalog, InstanceType};
use super::instance::{Instance, spot};
use super::store::{Due, World};
use super::time::seconds;
use super::wire::fault::Fault;
use super::wire::params::Params;
use super::{billing, price, stock};

/// How long a price stands, in seconds.
const STEP: i64 = 3600;
/// How many steps lie between two points that the curve is drawn through.
const WAVE: i64 = 8;
/// The longest span of a history.
const LONGEST: i64 = 30 * 24 * 3600;
/// The span of a history unless told otherwise.
const USUAL: i64 = 3 * 3600;
/// How many rows of a history are told at once. No source states the real number.
const ROWS: usize = 1000;

/// The market.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Market {
    /// What the curves are drawn from.
    pub(crate) seed: u64,
}

impl Market {
    fn draw(self, what: &str, zone: &str, kind: &str, number: i64) -> i64 {
        let mut hash = Sha256::new();
        hash.update(self.seed.to_be_bytes());
        for part in [what, zone, kind] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        hash.update(number.to_be_bytes());
        let bytes: [u8; 32] = hash.finalize().into();
        i64::from(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// A point that the curve goes through, in thousandths of the list price above or below the usual price.
    fn point(self, zone: &str, kind: &str, number: i64) -> i64 {
        let sway = self.draw("sway", zone, kind, number) % 121 - 60;
        let rush = self.draw("rush", zone, kind, number);
        if rush % 12 == 0 { sway + 200 + rush % 500 } else { sway }
    }

    /// The price in thousandths of the list price.
    fn share(self, zone: &str, kind: &str, step: i64) -> i64 {
        let usual = 120 + self.draw("usual", zone, kind, 0) % 231;
        let (wave, inside) = (step.div_euclid(WAVE), step.rem_euclid(WAVE));
        let (from, to) = (self.point(zone, kind, wave), self.point(zone, kind, wave + 1));
        let drift = (from * (WAVE - inside) + to * inside) / WAVE;
        let jitter = self.draw("jitter", zone, kind, step) % 31 - 15;
        (usual + drift + jitter).clamp(100, 1000)
    }

    /// When the price is above that bid for the first time, from `from` on. `None` if that does not happen within a month.
    pub(crate) fn outbid(self, (list, bid): (Decimal, Decimal), zone: &str, kind: &str, from: Timestamp) -> Option<Timestamp> {
        if bid >= list {
            // The market never asks for more than the list price.
            return None;
        }
        let mut at = from;
        while at.as_second() < from.as_second().saturating_add(LONGEST) {
            if self.price(list, zone, kind, at) > bid {
                return Some(at);
            }
            at = next_step(at);
        }
        None
    }

    /// What a type with that list price costs an hour in a zone, with three decimals as bids have them.
    pub(crate) fn price(self, list: Decimal, zone: &str, kind: &str, at: Timestamp) -> Decimal {
        let share = Decimal::new(self.share(zone, kind, at.as_second().div_euclid(STEP)), 3);
        (list * share).round_dp(3).max(Decimal::new(1, 3)).min(list)
    }
}

/// The next moment at which prices may change.
pub(crate) fn next_step(at: Timestamp) -> Timestamp {
    Timestamp::from_second((at.as_second().div_euclid(STEP) + 1) * STEP).unwrap_or(Timestamp::MAX)
}

/// The bid of a call. Refuses what is none, or lower than what is paid now.
pub(crate) fn bid(params: &Params, market: Option<Decimal>) -> Result<Decimal, Fault> {
    let malformed = || Fault::bad("InvalidSpotPriceLimit", "The specified SpotPriceLimit is not valid.");
    let bid: Option<Decimal> = params.number("SpotPriceLimit").map_err(|_| malformed())?;
    let bid = bid.filter(|bid| *bid > Decimal::ZERO && bid.normalize().scale() <= 3).ok_or_else(malformed)?;
    if market.is_some_and(|market| bid < market) {
        let message = "The spot instance price is lower than public price.";
        return Err(Fault::forbidden("OperationDenied.SpotPriceLowerThanPublicPrice", message));
    }
    Ok(bid)
}

/// What vCPU and memory of an instance cost an hour: the market price of a spot instance, else the list price.
pub(crate) fn hourly(world: &World, instance: &Instance, kind: &InstanceType, at: Timestamp) -> Option<Decimal> {
    let list = *kind.prices.get(instance.region.as_str())?;
    Some(if is_spot(instance) { world.index.market.price(list, &instance.zone, &kind.name, at) } else { list })
}

pub(crate) fn is_spot(instance: &Instance) -> bool {
    instance.spot.is_spot()
}

/// The next moment at which spot instances are billed anew, if there are any.
pub(crate) fn next_turn(world: &World, now: Timestamp) -> Option<Timestamp> {
    world.instances.values().any(is_spot).then(|| next_step(now))
}

/// Bills all spot instances that are being billed at the new price, and looks at the bids that held for a month ahead.
pub(crate) fn turn(world: &mut World, at: Timestamp) {
    let spot = world.instances.values().filter(|instance| is_spot(instance) && !instance.is_released());
    let priced = spot.filter_map(|instance| {
        let kind = Catalog::embedded().types.get(&instance.kind)?;
        Some((instance.id.clone(), hourly(world, instance, kind, at)?))
    });
    let priced: Vec<(String, Decimal)> = priced.collect();
    for (id, hourly) in priced {
        billing::reprice(world, &id, "instanceType", hourly, at);
    }
    let unsettled = world.instances.values().filter(|instance| is_spot(instance) && instance.spot.interrupted_at.is_none());
    let unsettled: Vec<String> = unsettled.map(|instance| instance.id.clone()).collect();
    for id in unsettled {
        spot::settle(world, &id, at);
    }
    let next = next_turn(world, at);
    world.index.due.extend(next.map(|next| (next, Due::Market)));
}

/// DescribeSpotPriceHistory.
pub(crate) fn history(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let params = call.params;
    params.required("NetworkType")?;
    params.choice("NetworkType", &["vpc"], "vpc")?;
    let kind = price::kind_of(call, params.required("InstanceType")?)?;
    // All types are I/O optimized, and nobody published what Windows costs.
    params.choice("IoOptimized", &["optimized"], "optimized")?;
    params.choice("OSType", &["linux"], "linux")?;
    params.choice("SpotDuration", &["0", "1"], "1")?;
    let offset: usize = params.number("Offset")?.unwrap_or(0);
    let (from, to) = span(call)?;
    let zone = stock::zone_of(call, region)?;
    let list = *kind.prices.get(region.id).ok_or_else(|| {
        Fault::forbidden("InvalidInstanceType.ValueNotSupported", "The specified InstanceType is not sold in the region.")
    })?;
    let zones: Vec<&String> = region
        .zones
        .iter()
        .filter(|id| zone.is_none_or(|zone| zone == id.as_str()))
        .filter(|id| stock::level(call.world, region, id, kind) != super::config::Stock::NotSold)
        .collect();
    let first = from.as_second() + (STEP - from.as_second().rem_euclid(STEP)) % STEP;
    let steps = usize::try_from((to.as_second() - first).div_euclid(STEP) + 1).unwrap_or(0);
    let total = zones.len() * steps;
    let end = total.min(offset.saturating_add(ROWS));
    let mut rows: Vec<Json> = Vec::new();
    for number in offset..end {
        let zone = zones[number / steps];
        let at = Timestamp::from_second(first + i64::try_from(number % steps).unwrap_or(0) * STEP).unwrap_or(to);
        rows.push(json!({
            "InstanceType": kind.name,
            "ZoneId": zone,
            "NetworkType": "vpc",
            "IoOptimized": "optimized",
            "OriginPrice": price::number(list),
            "SpotPrice": price::number(call.world.index.market.price(list, zone, &kind.name, at)),
            "Timestamp": seconds(at),
        }));
    }
    let next = if end < total { end } else { 0 };
    Ok(json!({ "Currency": "CNY", "NextOffset": next, "SpotPrices": { "SpotPriceType": rows } }))
}

/// From when to when a history is asked for.
fn span(call: &Call) -> Result<(Timestamp, Timestamp), Fault> {
    let moment = |name: &str| -> Result<Option<Timestamp>, Fault> { call.params.number(name) };
    // What will be is nobody's to know.
    let to = moment("EndTime")?.unwrap_or(call.now).min(call.now);
    let from = match moment("StartTime")? {
        Some(from) => from,
        None => Timestamp::from_second(to.as_second() - USUAL).map_err(|_| Fault::invalid("EndTime"))?,
    };
    if from > to || to.as_second() - from.as_second() > LONGEST {
        return Err(Fault::invalid("StartTime"));
    }
    Ok((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_is_the_seeds_own_and_stays_between_a_tenth_and_the_list_price() {
        let list = Decimal::ONE;
        let at = |hour: i64| Timestamp::from_second(1_767_323_045 + hour * 3600).unwrap();
        let curve = |seed: u64| -> Vec<Decimal> {
            (0..2000).map(|hour| Market { seed }.price(list, "cn-hangzhou-h", "ecs.g7.large", at(hour))).collect()
        };
        let prices = curve(1);
        assert_eq!(prices, curve(1));
        assert_ne!(prices, curve(2));
        assert!(prices.iter().all(|price| (Decimal::new(1, 1)..=list).contains(price)));
        let (low, high) = (prices.iter().min().unwrap(), prices.iter().max().unwrap());
        assert!(*high > *low * Decimal::TWO, "it never rushes: {low} to {high}");
        // A bid in the middle holds until the price is above it.
        let bid = (low + high) / Decimal::TWO;
        let outbid = Market { seed: 1 }.outbid((list, bid), "cn-hangzhou-h", "ecs.g7.large", at(0)).unwrap();
        let rushed = prices.iter().zip(0..).find(|(price, _)| **price > bid).map(|(_, hour)| at(hour)).unwrap();
        assert_eq!(outbid.duration_since(next_step(rushed)).as_secs(), -STEP);
        assert_eq!(Market { seed: 1 }.outbid((list, list), "cn-hangzhou-h", "ecs.g7.large", at(0)), None);
        // Within an hour it stands.
        let early = Timestamp::from_second(1_767_322_800).unwrap();
        let late = Timestamp::from_second(1_767_326_399).unwrap();
        let price = |at| Market { seed: 1 }.price(list, "cn-hangzhou-h", "ecs.g7.large", at);
        assert_eq!(price(early), price(late));
    }
}
