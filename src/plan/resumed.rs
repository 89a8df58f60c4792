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
            let charge = Charge::hourly(taken.hourly, PriceSource::Quoted);
            Cost { lines: vec![CostLine { item: taken.instance_type.clone(), charge }] }
        },
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::cost::Summary;

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    fn approved() -> Plan {
        let served = json!(["run.train"]);
        serde_json::from_value(json!({
            "aliform_plan": Plan::FORMAT, "digest": "", "made_at": "2026-11-21T12:00:00Z", "region": "r",
            "basis": { "stack": "run-train", "lineage": "0123", "serial": 0, "manifest_digest": "", "destroy": false },
            "changes": [], "cost": Summary::default(), "decisions": {}, "used": [], "findings": [], "outputs": {},
            "wanted": { "instance.train": { "spec": { "zone": "a", "instance_type": "big" }, "depends_on": ["vswitch.a"] } },
            "released": { "instance.train": served, "vswitch.a": served },
            "standby": { "vswitch.b": { "spec": {}, "depends_on": [] }, "vswitch.c": { "spec": {}, "depends_on": [] } },
            "fallbacks": { "instance.train": [{ "zone": "b", "instance_type": "big", "hourly": "0.5 CNY", "because": "it is there" }] },
        }))
        .unwrap()
    }

    fn remembered(spec: Json, depends_on: &[&str], unfinished: Option<&str>) -> Remembered {
        Remembered {
            id: "id".to_owned(),
            region: "r".to_owned(),
            spec,
            attributes: Json::Null,
            depends_on: depends_on.iter().map(|text| address(text)).collect(),
            unfinished: unfinished.map(str::to_owned),
        }
    }

    fn rest(unfinished: Option<&str>) -> Plan {
        let mut approved = approved();
        let instance = remembered(json!({ "zone": "b", "instance_type": "big" }), &["vswitch.b"], None);
        approved.changes = vec![Change { fields: Vec::new(), ..change(&approved, &address("instance.train"), &instance) }];
        let prior = BTreeMap::from([
            (address("vswitch.b"), remembered(json!({}), &[], None)),
            (address("bucket.kept"), remembered(json!({}), &[], None)),
            (address("instance.train"), instance),
            (address("run.train"), remembered(json!({}), &["instance.train"], unfinished)),
        ]);
        resumed(&approved, &prior, 7, Timestamp::UNIX_EPOCH)
    }

    fn action(plan: &Plan, of: &str) -> Action {
        plan.changes.iter().find(|change| change.address == address(of)).unwrap().action
    }

    #[test]
    fn what_goes_on_is_brought_to_its_end_and_what_was_made_for_it_released_wherever_it_stands() {
        let plan = rest(Some("it goes on"));
        assert_eq!((action(&plan, "run.train"), action(&plan, "instance.train")), (Action::Update, Action::Keep));
        assert_eq!(plan.actions().count(), 1);
        let served = BTreeSet::from([address("run.train")]);
        let released = ["instance.train", "vswitch.b"].map(|name| (address(name), served.clone()));
        assert_eq!(plan.released, BTreeMap::from(released), "and nothing else is");
        let instance = plan.changes.iter().find(|change| change.address == address("instance.train")).unwrap();
        assert_eq!(instance.cost_after.hourly().sums, ["0.5 CNY".parse().unwrap()], "it is paid for where it stands");
    }

    #[test]
    fn what_is_over_is_not_run_again() {
        let plan = rest(None);
        assert!(plan.is_empty() && plan.released.len() == 2);
    }
}
