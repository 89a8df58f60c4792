//! What is done where an instance, the nodes of a cluster or the pods of a training job can't be had: the next of the
//! fallbacks that the plan approved, and no other. What was made for the place that failed is released first, but for a
//! cluster, which gets other nodes; if that fails, nothing else is tried.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use super::order::{Phase, Step};
use super::step::{self, StepError};
use super::world::World;
use crate::cloud::scope::Scope;
use crate::graph::Graph;
use crate::model::address::{Address, Kind};
use crate::model::change::{Action, Change, Reason};
use crate::model::cost::Cost;
use crate::model::decision::{Decision, Rejected};
use crate::model::event::Event;
use crate::model::offer::{Fallback, place_key};
use crate::model::shortage::Shortage;
use crate::model::value;
use crate::plan::saved::{Plan, Wanted};
use crate::resources::error::ResourceError;
use crate::state::error::StateError;
use crate::state::record::Record;

/// A creation that may succeed elsewhere.
pub(super) struct Deferred {
    pub(super) address: Address,
    pub(super) error: ResourceError,
}

/// What is left to do once something was deferred.
pub(super) struct Rest {
    /// The plan with what stands in, and nothing in it that is done or given up.
    pub(super) plan: Plan,
    /// What is not made after all, each with why.
    pub(super) failed: Vec<(Address, String)>,
    /// Steps that will not be taken because of that.
    pub(super) skipped: usize,
}

/// What the error says is sold out; `None` if it says anything else.
pub(super) fn shortage(world: &World<'_>, plan: &Plan, address: &Address, error: &ResourceError) -> Option<Shortage> {
    let (scope, code) = match error {
        ResourceError::Api(error) => (Scope::of(error), error.code().unwrap_or_default().to_owned()),
        ResourceError::Denied { code, .. } => (Scope::of_code(code), code.clone()),
        // It was accepted, and withdrawn when stock ran out.
        ResourceError::Vanished { .. } if address.kind == Kind::Instance => (Scope::Stock, "withdrawn".to_owned()),
        _ => return None,
    };
    let whole = Shortage { region: plan.region.clone(), zone: None, instance_type: None, code, at: world.clock.now() };
    let (zone, instance_type) = match (address.kind, place(plan, address)) {
        (Kind::Instance | Kind::Cluster, Some(place)) => place,
        // Training jobs know no zones.
        (Kind::TrainingJob, Some((_, instance_type))) => {
            let of_it = Shortage { instance_type: Some(instance_type), ..whole };
            return match scope {
                Scope::Stock | Scope::Disk | Scope::Type => Some(of_it),
                Scope::Zone | Scope::Region => Some(Shortage { instance_type: None, ..of_it }),
                Scope::Quota | Scope::Balance | Scope::Account | Scope::Unknown => None,
            };
        }
        // Of functions a region has room, or none.
        (Kind::Function | Kind::Invocation, _) => return (scope == Scope::Region).then_some(whole),
        _ => return None,
    };
    let (zone, instance_type) = match scope {
        Scope::Stock | Scope::Disk => (Some(zone), Some(instance_type)),
        Scope::Zone => (Some(zone), None),
        Scope::Type => (None, Some(instance_type)),
        Scope::Region => (None, None),
        Scope::Quota | Scope::Balance | Scope::Account | Scope::Unknown => return None,
    };
    Some(Shortage { zone, instance_type, ..whole })
}

/// Whether something may stand in for it at all.
pub(super) fn may_stand_in(plan: &Plan, address: &Address) -> bool {
    plan.fallbacks.get(address).is_some_and(|list| !list.is_empty())
}

/// The part of a spec that says where it stands and what it is: a cluster's are its nodes.
fn machine(spec: &Json) -> &Json {
    spec.get("pools").and_then(|pools| pools.get(0)).unwrap_or(spec)
}

fn machine_mut(spec: &mut Json) -> &mut Json {
    if spec.get("pools").is_some_and(|pools| pools.get(0).is_some()) { &mut spec["pools"][0] } else { spec }
}

/// The zone and the type of an instance, of a cluster's nodes, or the region and the type of a training job's pods.
fn place(plan: &Plan, address: &Address) -> Option<(String, String)> {
    let spec = machine(&plan.wanted.get(address)?.spec);
    let zone = spec.get("zone").map_or(Some(plan.region.as_str()), Json::as_str)?;
    Some((zone.to_owned(), spec.get("instance_type")?.as_str()?.to_owned()))
}

/// The subnet of the stack that an instance is to stand in.
fn subnet(plan: &Plan, address: &Address) -> Option<Address> {
    let reference = value::reference_in(machine(&plan.wanted.get(address)?.spec).get("vswitch_id")?)?;
    (reference.address.kind == Kind::VSwitch).then_some(reference.address)
}

/// The next fallback: the first that is not known to be sold out and has a subnet to stand in.
fn next<'a>(plan: &'a Plan, address: &Address, out: &[Shortage]) -> Option<&'a Fallback> {
    let (zone, _) = place(plan, address)?;
    let reachable = |fallback: &Fallback| {
        let wanted = Address::new(Kind::VSwitch, &fallback.zone);
        fallback.zone == zone
            || (subnet(plan, address).is_some() && (plan.wanted.contains_key(&wanted) || plan.standby.contains_key(&wanted)))
    };
    let sold_out = |fallback: &Fallback| out.iter().any(|out| out.covers(&plan.region, &fallback.zone, &fallback.instance_type));
    plan.fallbacks.get(address)?.iter().find(|fallback| reachable(fallback) && !sold_out(fallback))
}

/// Decides by the approved list what stands in for what was deferred. `approved` is the plan as it was approved,
/// `plan` what of it is being carried out, `held` all steps that are left of it, `tried` what turned out to be sold out
/// meanwhile.
pub(super) async fn rest(
    world: &World<'_>,
    (approved, plan): (&Plan, &Plan),
    graph: &Graph<Step>,
    (Deferred { address, error }, mut held): (Deferred, BTreeSet<Step>),
    tried: &[Shortage],
    stopped: bool,
) -> Result<Rest, StateError> {
    let out: Vec<Shortage> = world.store.shortages().into_iter().chain(tried.iter().cloned()).collect();
    let mut taken: Vec<(Address, Fallback)> = Vec::new();
    let mut failed: Vec<(Address, String)> = Vec::new();
    let next = if stopped { None } else { next(plan, &address, &out) };
    if let Some(fallback) = next {
        taken.push((address.clone(), fallback.clone()));
        world.events.emit(Event::StepFellBack {
            address: address.clone(),
            zone: fallback.zone.clone(),
            instance_type: fallback.instance_type.clone(),
            because: error.to_string(),
        });
    } else {
        let why = if stopped { "and you stopped it" } else { "and nothing else that was approved is left" };
        give_up(world, address, &format!("{error}; {why}"), error.hint(), &mut failed);
    }
    let mut steps = held.clone();
    let mut amended = amend(plan, &taken, &mut steps);
    let stuck = clean_up(world, (approved, plan), &amended, &taken).await?;
    if !stuck.is_empty() {
        // What can't be taken away may cost money already: nothing more is made for it.
        taken.retain(|(address, _)| !stuck.contains_key(address));
        (steps, amended) = (held.clone(), plan.clone());
        amended = amend(&amended, &taken, &mut steps);
    }
    held = steps;
    for (address, reason) in stuck {
        let hint = Some("run `aliform apply` again: it finishes the clean-up first".to_owned());
        give_up(world, address, &format!("nothing else is tried, since {reason}"), hint, &mut failed);
    }
    for subnet in left_behind((approved, plan), &amended, &taken) {
        retire(&mut amended, &mut held, &subnet);
    }
    for (address, fallback) in &taken {
        decide(world, approved, address, fallback).await?;
    }
    let mut skipped = 0;
    for (address, _) in &failed {
        undecide(world, approved, address).await?;
        let make = Step { address: address.clone(), phase: Phase::Make };
        held.remove(&make);
        for dependent in graph.all_dependents_of(&make).into_iter().filter(|dependent| dependent.phase != Phase::Release) {
            if held.remove(dependent) {
                skipped += 1;
                world.events.emit(Event::StepSkipped { address: dependent.address.clone(), because: format!("`{address}` failed") });
            }
        }
    }
    keep_only(&mut amended, &held);
    Ok(Rest { plan: amended, failed, skipped })
}

fn give_up(world: &World<'_>, address: Address, error: &str, hint: Option<String>, failed: &mut Vec<(Address, String)>) {
    world.events.emit(Event::StepFailed { address: address.clone(), action: Action::Create, error: error.to_owned(), hint });
    failed.push((address, error.to_owned()));
}

/// The plan with what stands in for what; steps that come with it join those that are left.
fn amend(plan: &Plan, taken: &[(Address, Fallback)], held: &mut BTreeSet<Step>) -> Plan {
    let mut amended = plan.clone();
    for (address, fallback) in taken {
        let moved = place(plan, address).is_some_and(|(zone, _)| zone != fallback.zone);
        let before = subnet(plan, address).filter(|_| moved);
        let runs = amended.released.get(address).cloned();
        let Some(wanted) = amended.wanted.get_mut(address) else { continue };
        let spec = machine_mut(&mut wanted.spec);
        spec["instance_type"] = json!(fallback.instance_type);
        if spec.get("zone").is_some() {
            spec["zone"] = json!(fallback.zone);
        }
        let Some(before) = before else { continue };
        let after = Address::new(Kind::VSwitch, &fallback.zone);
        spec["vswitch_id"] = json!({ "$pending": format!("{after}.id") });
        // A cluster stays where it is, and gets other nodes.
        if address.kind != Kind::Cluster {
            wanted.depends_on.retain(|dependency| *dependency != before);
        }
        wanted.depends_on.push(after.clone());
        if amended.wanted.contains_key(&after) {
            continue;
        }
        let Some(standby) = plan.standby.get(&after) else { continue };
        amended.changes.push(created(&after));
        amended.wanted.insert(after.clone(), standby.clone());
        held.insert(Step { address: after.clone(), phase: Phase::Make });
        if let Some(runs) = runs {
            held.insert(Step { address: after.clone(), phase: Phase::Release });
            amended.released.insert(after, runs);
        }
    }
    amended
}

fn created(address: &Address) -> Change {
    Change {
        address: address.clone(),
        action: Action::Create,
        reasons: vec![Reason::NotYetCreated],
        id: None,
        fields: Vec::new(),
        effects: Vec::new(),
        cost_before: Cost::FREE,
        cost_after: Cost::FREE,
    }
}

/// The subnets that were made for places that failed and that nothing needs any more.
fn left_behind((approved, plan): (&Plan, &Plan), amended: &Plan, taken: &[(Address, Fallback)]) -> BTreeSet<Address> {
    // What stood by is made only for that.
    let made = |subnet: &Address| {
        let planned = || approved.changes.iter().any(|change| change.action == Action::Create && change.address == *subnet);
        approved.standby.contains_key(subnet) || planned()
    };
    taken.iter().filter_map(|(address, _)| subnet(plan, address)).filter(|subnet| made(subnet) && !is_needed(amended, subnet)).collect()
}

/// Takes away what was made for a place that failed and that nothing needs any more. Gives back what must not be tried
/// elsewhere since that failed, each with why.
async fn clean_up(
    world: &World<'_>,
    plans: (&Plan, &Plan),
    amended: &Plan,
    taken: &[(Address, Fallback)],
) -> Result<BTreeMap<Address, String>, StateError> {
    let mut stuck = BTreeMap::new();
    let left = left_behind(plans, amended, taken);
    for (address, _) in taken {
        let own = subnet(plans.1, address).filter(|subnet| left.contains(subnet));
        let itself = Some(address.clone()).filter(|address| address.kind != Kind::Cluster);
        for leftover in [itself, own].into_iter().flatten() {
            if !world.store.look(|state| state.resources.contains_key(&leftover)) {
                continue;
            }
            world.events.emit(Event::StepStarted { address: leftover.clone(), action: Action::Delete });
            let started = tokio::time::Instant::now();
            match step::delete(world, plans.1, &leftover).await {
                Ok(()) => {
                    let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                    world.events.emit(Event::StepFinished { address: leftover, action: Action::Delete, milliseconds });
                }
                Err(StepError::State(error)) => return Err(error),
                Err(StepError::Resource(error)) => {
                    let hint = error.hint();
                    let failed = Event::StepFailed { address: leftover.clone(), action: Action::Delete, error: error.to_string(), hint };
                    world.events.emit(failed);
                    stuck.insert(address.clone(), format!("`{leftover}` could not be released: {error}"));
                    break;
                }
            }
        }
    }
    Ok(stuck)
}

/// Takes a subnet that is gone out of the plan; it may be needed again by a later fallback.
fn retire(plan: &mut Plan, held: &mut BTreeSet<Step>, subnet: &Address) {
    if let Some(wanted) = plan.wanted.remove(subnet) {
        plan.standby.insert(subnet.clone(), wanted);
    }
    plan.changes.retain(|change| change.address != *subnet);
    plan.released.remove(subnet);
    held.retain(|step| step.address != *subnet);
}

/// Whether anything that is wanted stands on it.
fn is_needed(plan: &Plan, address: &Address) -> bool {
    plan.wanted.values().any(|wanted: &Wanted| wanted.depends_on.contains(address))
}

/// Writes down where it stands now, before it is made there: the next plan wants it where it is.
async fn decide(world: &World<'_>, approved: &Plan, address: &Address, fallback: &Fallback) -> Result<(), StateError> {
    let Some((zone, instance_type)) = place(approved, address) else { return Ok(()) };
    let because = format!("`{instance_type}` was sold out in `{zone}` when it was to be made; {}", fallback.because);
    let rejected = Rejected { option: format!("{zone} {instance_type}"), because: "sold out".to_owned() };
    let decision = Decision { chosen: format!("{} {}", fallback.zone, fallback.instance_type), because, rejected: vec![rejected] };
    world.store.append(Record::Decided { key: place_key(address, &zone, &instance_type), decision }).await
}

/// Takes that back where nothing could be made.
async fn undecide(world: &World<'_>, approved: &Plan, address: &Address) -> Result<(), StateError> {
    let Some((zone, instance_type)) = place(approved, address) else { return Ok(()) };
    let key = place_key(address, &zone, &instance_type);
    if world.store.look(|state| state.decisions.contains_key(&key)) { world.store.append(Record::Undecided { key }).await } else { Ok(()) }
}

/// Leaves only these steps in the plan.
fn keep_only(plan: &mut Plan, steps: &BTreeSet<Step>) {
    let left = |address: &Address, phase: Phase| steps.contains(&Step { address: address.clone(), phase });
    for change in &mut plan.changes {
        let (remove, make) = (left(&change.address, Phase::Remove), left(&change.address, Phase::Make));
        change.action = match (change.action, remove, make) {
            (Action::Replace, true, true) => Action::Replace,
            (Action::Replace, false, true) => Action::Create,
            (action @ (Action::Create | Action::Update), _, true) | (action @ Action::Delete, true, _) => action,
            _ => Action::Keep,
        };
    }
    plan.released.retain(|address, _| left(address, Phase::Release));
}
