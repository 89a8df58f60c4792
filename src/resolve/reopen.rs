//! Choices that can't be kept as they are: of machines that do not exist yet. Those that were sold out a moment ago are
//! open again; of the others only what may stand in for them is.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::address::{Address, Kind};
use crate::model::decision::Decision;
use crate::model::shortage::Shortage;

/// Whether an instance is one of that owner's, `apps.web` or `jobs.train`.
fn is_of(address: &Address, name: &str) -> bool {
    let rest = address.name.strip_prefix(name);
    let number = |rest: &str| rest.strip_prefix('-').is_some_and(|number| number.chars().all(|c| c.is_ascii_digit()));
    address.kind == Kind::Instance && rest.is_some_and(|rest| rest.is_empty() || number(rest))
}

/// What of the decisions still holds. `there` are the resources that the state knows.
pub fn kept(decided: &BTreeMap<String, Decision>, out: &[Shortage], there: &BTreeSet<Address>) -> BTreeMap<String, Decision> {
    let chosen = |key: &str| decided.get(key).map(|decision| decision.chosen.as_str());
    let region = chosen(super::region::KEY).unwrap_or_default();
    let sold_out = |zone: &str, instance_type: &str| out.iter().any(|out| out.covers(region, zone, instance_type));
    let mut kept = decided.clone();
    // A machine that a fallback was taken for, and that is not there after all.
    kept.retain(|key, decision| {
        let Some(address) = key.strip_prefix("place[").and_then(|rest| rest.split(']').next()?.parse::<Address>().ok()) else {
            return true;
        };
        let place = decision.chosen.split_once(' ');
        there.contains(&address) || !place.is_some_and(|(zone, instance_type)| sold_out(zone, instance_type))
    });
    // What may stand in for the pods of the next run is looked for anew.
    kept.retain(|key, _| !key.ends_with(".spec_for"));
    for key in decided.keys() {
        let Some(owner) = key.strip_suffix(".zone") else { continue };
        let Some((zone, instance_type)) = chosen(key).zip(chosen(&format!("{owner}.zone_for"))) else { continue };
        let name = owner.split_once('.').map_or(owner, |(_, name)| name);
        let moved = |key: &String| {
            key.strip_prefix("place[").and_then(|rest| rest.split(']').next()?.parse().ok()).is_some_and(|at| is_of(&at, name))
        };
        if there.iter().any(|address| is_of(address, name) || address.kind == Kind::Cluster) {
            continue;
        }
        // Where it is to stand stays decided; that it is asked for again says what may stand in for it.
        kept.remove(&format!("{owner}.zone_for"));
        if !sold_out(zone, instance_type) || kept.keys().any(moved) {
            continue;
        }
        let machine = [format!("{owner}.zone"), format!("{owner}.instance_type[")];
        kept.retain(|key, _| !machine.iter().any(|start| key.starts_with(start.as_str())));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_sold_out_and_not_there_is_open_again() {
        let decision = |chosen: &str| Decision { chosen: chosen.to_owned(), because: String::new(), rejected: Vec::new() };
        let decided: BTreeMap<String, Decision> = [
            ("region", "r"),
            ("apps.web.zone", "r-a"),
            ("apps.web.zone_for", "x"),
            ("apps.web.instance_type[2 vCPU]", "x"),
            ("apps.web.image[f]", "m"),
            ("place[instance.api-1][r-a x]", "r-b x"),
        ]
        .into_iter()
        .map(|(key, chosen)| (key.to_owned(), decision(chosen)))
        .collect();
        let out = |zone: &str| {
            let at = "2026-01-02T03:00:00Z".parse().unwrap();
            vec![Shortage { region: "r".to_owned(), zone: Some(zone.to_owned()), instance_type: None, code: String::new(), at }]
        };
        let left = |zone: &str, there: &[&str]| {
            let there = there.iter().map(|address| address.parse().unwrap()).collect();
            let kept = kept(&decided, &out(zone), &there);
            decided.keys().filter(|key| !kept.contains_key(*key)).cloned().collect::<Vec<_>>()
        };
        assert_eq!(left("r-a", &[]), ["apps.web.instance_type[2 vCPU]", "apps.web.zone", "apps.web.zone_for"]);
        assert_eq!(left("r-a", &["instance.web-2"]), [""; 0]);
        assert_eq!(left("r-a", &["instance.webber-2"]).len(), 3);
        assert_eq!(left("r-b", &[]), ["apps.web.zone_for", "place[instance.api-1][r-a x]"]);
        assert_eq!(left("r-b", &["instance.api-1"]), ["apps.web.zone_for"]);
    }
}
