//! Spot instances: what is asked for, and how they are taken back: a warning, five minutes, the end. What they cost is
//! the market's to say.

use std::time::Duration;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::{Instance, Status, plan_events};
use crate::local_cloud::call::Call;
use crate::local_cloud::catalog::Catalog;
use crate::local_cloud::config::ReclaimRule;
use crate::local_cloud::market;
use crate::local_cloud::store::{Due, World};
use crate::local_cloud::time::after;
use crate::local_cloud::wire::fault::Fault;

/// How long an instance lives on after its warning.
const WARNING: Duration = Duration::from_secs(5 * 60);

/// How an instance was bought on the spot market, and what became of it there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Spot {
    /// `NoSpot`, `SpotAsPriceGo` or `SpotWithPriceLimit`.
    pub(crate) strategy: String,
    /// CNY an hour.
    pub(crate) limit: Option<Decimal>,
    /// Hours that are protected.
    pub(crate) duration: u32,
    /// Whether it is released when it is taken back; else it is stopped.
    pub(crate) terminates: bool,
    /// When it is warned, once that is settled.
    pub(crate) interrupted_at: Option<Timestamp>,
}

impl Spot {
    pub(crate) fn is_spot(&self) -> bool {
        self.strategy != "NoSpot"
    }

    /// When it is taken back.
    pub(crate) fn ends_at(&self) -> Option<Timestamp> {
        self.interrupted_at.map(|at| after(at, WARNING))
    }

    pub(crate) fn behavior(&self) -> &'static str {
        match (self.is_spot(), self.terminates) {
            (false, _) => "",
            (true, true) => "Terminate",
            (true, false) => "Stop",
        }
    }

    /// Reads what a call asks for and holds it against the market price.
    pub(super) fn read(call: &Call, prepaid: bool, market: Option<Decimal>) -> Result<Spot, Fault> {
        let params = call.params;
        let strategy = params
            .choice("SpotStrategy", &["NoSpot", "SpotWithPriceLimit", "SpotAsPriceGo"], "NoSpot")
            .map_err(|_| Fault::bad("InvalidSpotStrategy", "The specified SpotStrategy is not valid."))?;
        let spot = strategy != "NoSpot";
        if spot && prepaid {
            return Err(Fault::bad("InvalidSpotPrepaid", "The specified Spot type is not support PrePay Instance."));
        }
        let limit = if strategy == "SpotWithPriceLimit" { Some(market::bid(params, market)?) } else { None };
        let duration: u32 = params.number("SpotDuration")?.unwrap_or(1);
        if duration > 1 {
            return Err(Fault::bad("InvalidSpotDuration", "The specified SpotDuration is not valid."));
        }
        let behavior = params
            .choice("SpotInterruptionBehavior", &["Terminate", "Stop"], "Terminate")
            .map_err(|_| Fault::bad("InvalidSpotInterruptionBehavior", "The specified SpotInterruptionBehavior is not supported."))?;
        Ok(Spot {
            strategy: strategy.to_owned(),
            limit,
            duration: if spot { duration } else { 0 },
            terminates: behavior == "Terminate",
            interrupted_at: None,
        })
    }
}

/// When an instance is warned: by the rules that count now, or because the price is above its bid.
fn warning(world: &World, id: &str, now: Timestamp) -> Option<Timestamp> {
    let instance = world.instances.get(id).filter(|instance| market::is_spot(instance) && !instance.is_released())?;
    if instance.timeline.last().is_some_and(|(_, status)| *status == Status::Stopped) {
        // It is off, or will be; one that only reboots can be taken back all the same.
        return None;
    }
    let begun = instance.timeline.first().map_or(instance.created, |(at, _)| *at);
    let fits = |rule: &&ReclaimRule| {
        rule.place.as_ref().is_none_or(|place| *place == instance.zone || *place == instance.region)
            && rule.instance_type.as_ref().is_none_or(|kind| *kind == instance.kind)
    };
    let protected = Duration::from_secs(u64::from(instance.spot.duration) * 3600);
    let ruled = world.index.reclaims.iter().find(fits).map(|rule| after(begun, rule.after.max(protected)).max(now));
    ruled.into_iter().chain(outbid(world, instance, after(instance.created, protected).max(now))).min()
}

/// When the price is above an instance's bid for the first time, from `from` on.
fn outbid(world: &World, instance: &Instance, from: Timestamp) -> Option<Timestamp> {
    let list = *Catalog::embedded().types.get(&instance.kind)?.prices.get(instance.region.as_str())?;
    world.index.market.outbid((list, instance.spot.limit?), &instance.zone, &instance.kind, from)
}

/// Settles when a spot instance is warned, unless it was already, and has it billed at the market price from now on.
pub(crate) fn settle(world: &mut World, id: &str, now: Timestamp) {
    let at = warning(world, id, now);
    let Some(instance) = world.instances.get(id).filter(|instance| market::is_spot(instance)) else { return };
    let before = instance.spot.interrupted_at;
    world.index.due.insert((market::next_step(now), Due::Market));
    if before != at
        && before.is_none_or(|before| before > now)
        && let Some(instance) = world.instances.get_mut(id)
    {
        instance.spot.interrupted_at = at;
        plan_events(world, id);
    }
}

/// Replaces the rules. Who was warned already goes all the same.
pub(crate) fn set_rules(world: &mut World, rules: Vec<ReclaimRule>, now: Timestamp) {
    world.index.reclaims = rules;
    let all: Vec<String> = world.instances.iter().map(|(id, _)| id.to_owned()).collect();
    for id in all {
        settle(world, &id, now);
    }
}
