//! What is left of an approved plan whose runs went on while nobody waited for them: they are brought to their end, and
//! what served them is released. It makes nothing that was not approved, and makes nothing anew.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value as Json;

use super::saved::{Plan, Wanted};
use crate::model::address::Address;
use crate::model::change::{Action, Change, Reason};
use crate::model::cost::{Charge, Cost, CostLine, PriceSource};
use crate::resources::refresh::Remembered;
use crate::resources::registry;

/// The rest of `approved`, from what the state remembers.
pub fn resumed(approved: &Plan, prior: &BTreeMap<Address, Remembered>, serial: u64, now: Timestamp) -> Plan {
    let runs: BTreeSet<Address> = prior.keys().filter(|address| registry::kind(address.kind).ends()).cloned().collect();
    let changes = prior.iter().map(|(address, remembered)| change(approved, address, remembered)).collect();
    let wanted = prior.iter().map(|(address, remembered)| {
        (address.clone(), Wanted { spec: remembered.spec.clone(), depends_on: remembered.depends_on.clone() })
    });
    let released = prior.keys().filter_map(|address| {
        // What was made for a fallback serves the same runs.
        let runs = match approved.released.get(address) {
            Some(served) => served.intersection(&runs).cloned().collect(),
            None if approved.standby.contains_key(address) => runs.clone(),
            None => return None,
        };
        Some((address.clone(), runs))
    });
    let mut plan = approved.clone();
    plan.basis.serial = serial;
    plan.made_at = now;
    plan.changes = changes;
    (plan.wanted, plan.released) = (wanted.collect(), released.collect());
    plan.standby.clear();
    plan.observed.clear();
    let plan = Plan { fallbacks: BTreeMap::new(), ..plan };
    plan.sealed()
}

/// What is done with one resource: a run is brought to its end, everything else stays until then.
fn change(approved: &Plan, address: &Address, remembered: &Remembered) -> Change {
    let before = approved.changes.iter().find(|change| change.address == *address);
    let cost = before.map_or(Cost::FREE, |change| price(approved, change, remembered));
    // One that is over is history, and its release waits for nothing.
    let unfinished = remembered.unfinished.as_ref().filter(|_| registry::kind(address.kind).ends());
    Change {
        address: address.clone(),
        action: if unfinished.is_some() { Action::Update } else { Action::Keep },
        reasons: unfinished.iter().map(|because| Reason::Unfinished { because: (*because).clone() }).collect(),
        id: Some(remembered.id.clone()),
        fields: Vec::new(),
        effects: Vec::new(),
        cost_before: cost.clone(),
        cost_after: cost,
    }
}

/// What it costs where it really stands.
fn price(approved: &Plan, change: &Change, remembered: &Remembered) -> Cost {
    let part = |spec: &Json, key: &str| spec[key].as_str().map(str::to_owned);
    let place = |spec: &Json| (part(spec, "zone"), part(spec, "instance_type"));
    let chosen = approved.wanted.get(&change.address).map(|wanted| place(&wanted.spec));
    let stands = place(&remembered.spec);
    if chosen.is_none_or(|chosen| chosen == stands) {
        return change.cost_after.clone();
    }
    let mut fallbacks = approved.fallbacks.get(&change.address).into_iter().flatten();
    let taken = fallbacks.find(|fallback| stands == (Some(fallback.zone.clone()), Some(fallback.instance_type.clone())));
    taken.map_or_else(
        || change.cost_after.clone(),
        |taken| {
            let charge = Charge::Hourly { price: taken.hourly, source: PriceSource::Quoted };
            Cost { lines: vec![CostLine { item: taken.instance_type.clone(), charge }] }
        },
    )
}
