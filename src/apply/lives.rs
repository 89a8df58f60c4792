//! When each resource of an apply came and when it went, and what that cost. It hands every event on, and changes nothing.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;

use crate::cloud::dates::Dates;
use crate::model::address::{Address, Kind};
use crate::model::change::{Action, Change};
use crate::model::clock::Clock;
use crate::model::cost::{Cost, Metering, Span, Total};
use crate::model::event::{Event, EventSink};
use crate::model::money::Money;
use crate::model::offer::Fallback;
use crate::plan::saved::Plan;
use crate::resources::registry;
use crate::resources::runs::goes_on;
use crate::state::contents::{Resource, State};

/// Digits after the point of an amount that is billed. Source: alibabacloud.com/notice/ECS-0928, "accurate to the 6th
/// decimal place".
pub const DIGITS: u32 = 6;

/// From when to when something was billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// When it came.
    pub born: Timestamp,
    /// When it went; it is still there without it.
    pub gone: Option<Timestamp>,
    /// When its parts came, if they did not come with it.
    pub parts: Option<Timestamp>,
}

impl Life {
    /// How many seconds of it are billed until `now`: whole ones, as the cloud counts them.
    pub fn seconds(&self, now: Timestamp) -> u64 {
        u64::try_from(self.gone.unwrap_or(now).as_second() - self.born.as_second()).unwrap_or(0)
    }

    /// The time of it that is billed until `now`.
    pub fn span(&self, now: Timestamp) -> Span {
        Span { parts: self.parts, ..Span::seconds(self.born, self.seconds(now)) }
    }
}

/// What is known of a resource that came.
#[derive(Clone, Debug)]
struct Known {
    id: String,
    life: Life,
    /// When the cloud itself ends it, if it says so: it is billed no longer.
    ends: Option<Timestamp>,
    /// Whether it is a run that was over before: what it cost was an earlier command's.
    over: bool,
}

impl Known {
    /// Its life as it stands at `now`: what the cloud was to end is taken for ended.
    fn until(&self, now: Timestamp) -> Life {
        Life { gone: self.life.gone.or(self.ends.filter(|ends| *ends <= now)), ..self.life }
    }
}

/// What the sink knows.
#[derive(Debug)]
struct Seen {
    known: BTreeMap<Address, Known>,
    /// What stands somewhere else than the plan had it first: its zone and its type.
    moved: BTreeMap<Address, (String, String)>,
    /// What was there under the same name before, with what it cost if that is not for the plan to say.
    past: Vec<(Address, Life, Option<Cost>)>,
}

/// Something that was there and gave way to another one of its name, or was gone when the plan was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// The resource.
    pub address: Address,
    /// Its life.
    pub life: Life,
    /// What it cost by the line.
    pub cost: Cost,
}

/// What is being spent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spending {
    /// Until now.
    pub spent: Total,
    /// For each further hour.
    pub hourly: Total,
}

/// Looks over the shoulder of an apply.
pub struct Lives<'a> {
    next: &'a dyn EventSink,
    dates: &'a Dates,
    seen: Mutex<Seen>,
}

/// When the cloud says that a resource came, as far as it says so. Of a machine it says the minute only: where the state's own time
/// lies in that minute, it is the better one.
fn born(resource: &Resource) -> Timestamp {
    let said = resource.attributes["created_at"].as_str().unwrap_or_default();
    if said.len() != "2026-01-02T03:04Z".len() {
        return said.parse().unwrap_or(resource.created_at);
    }
    match said.replace('Z', ":00Z").parse::<Timestamp>() {
        Ok(minute) if !(0..60).contains(&(resource.created_at.as_second() - minute.as_second())) => minute,
        _ => resource.created_at,
    }
}

/// When the nodes of a cluster came.
fn parts(resource: &Resource) -> Option<Timestamp> {
    resource.attributes["nodes_from"].as_str()?.parse().ok()
}

/// When the cloud itself ends what was there before: a machine as it says, a run as it was told.
fn ends(address: &Address, resource: &Resource, born: Timestamp) -> Option<Timestamp> {
    if let Some(run) = registry::run(address.kind) {
        let seconds = i64::try_from(run.ends_after(address, &resource.spec).ok()??).ok()?;
        return born.checked_add(SignedDuration::from_secs(seconds)).ok();
    }
    let said = resource.attributes["release_at"].as_str()?;
    let whole = if said.len() == "2026-01-02T03:04Z".len() { said.replace('Z', ":59Z") } else { said.to_owned() };
    whole.parse().ok()
}

impl<'a> Lives<'a> {
    /// Of resources of which `before` remembers those that are there.
    pub fn new(next: &'a dyn EventSink, dates: &'a Dates, before: &State) -> Self {
        let known = |address: &Address, resource: &Resource| {
            let born = born(resource);
            let over = registry::kind(address.kind).ends() && !goes_on(&resource.attributes);
            let gone = resource.attributes["ended_at"].as_str().filter(|_| over).and_then(|at| at.parse().ok());
            let life = Life { born, gone, parts: parts(resource) };
            Known { id: resource.id.clone(), life, ends: ends(address, resource, born), over: gone.is_some() }
        };
        let there = before.resources.iter().map(|(address, resource)| (address.clone(), known(address, resource)));
        Lives { next, dates, seen: Mutex::new(Seen { known: there.collect(), moved: BTreeMap::new(), past: Vec::new() }) }
    }

    /// Takes down what an earlier command left, what it cost by the line, and that it went before this plan was made: at
    /// that moment at the latest.
    pub fn went(&self, address: &Address, resource: &Resource, at: Timestamp, cost: Cost) {
        let born = born(resource);
        let gone = ends(address, resource, born).map_or(at, |ends| at.min(ends));
        self.seen().past.push((address.clone(), Life { born, gone: Some(gone), parts: parts(resource) }, Some(cost)));
    }

    /// What was there before what is there now.
    pub fn past(&self, plan: &Plan) -> Vec<Past> {
        let replaced = |address: &Address| {
            let change = plan.changes.iter().find(|change| change.address == *address);
            // What the cloud ended before the plan was made is made anew, as it was.
            let same =
                |change: &Change| if change.action == Action::Create { change.cost_after.clone() } else { change.cost_before.clone() };
            change.map(same).unwrap_or_default()
        };
        let past = self.seen().past.clone();
        past.into_iter().map(|(address, life, cost)| Past { cost: cost.unwrap_or_else(|| replaced(&address)), address, life }).collect()
    }

    /// When it came and when it went; `None` if it was never there.
    pub fn of(&self, address: &Address) -> Option<Life> {
        let now = self.dates.now();
        self.seen().known.get(address).map(|known| known.until(now))
    }

    /// What everything that passes has cost, and what an hour of what is there costs; of one job only, if one is named.
    pub fn spending(&self, plan: &Plan, job: Option<&str>) -> Spending {
        let now = self.dates.now();
        let mut spending = Spending::default();
        let counts = |(_, known): &(&Address, &Known)| !known.over;
        let lives: Vec<(Address, Life)> =
            self.seen().known.iter().filter(counts).map(|(address, known)| (address.clone(), known.until(now))).collect();
        for (address, life) in lives.iter().filter(|(address, _)| passes_for(plan, address, job)) {
            spending.spent.merge(&self.cost(plan, address, life.span(now)));
            if life.gone.is_none() {
                spending.hourly.merge(&self.hourly(plan, address));
            }
        }
        for past in self.past(plan).iter().filter(|past| passes_for(plan, &past.address, job)) {
            spending.spent.merge(&past.cost.billed(past.life.span(now), DIGITS));
        }
        spending
    }

    /// The fallback that was taken for an instance, if one was.
    pub fn taken<'p>(&self, plan: &'p Plan, address: &Address) -> Option<&'p Fallback> {
        let (zone, instance_type) = self.seen().moved.get(address).cloned()?;
        plan.fallbacks.get(address)?.iter().find(|fallback| fallback.zone == zone && fallback.instance_type == instance_type)
    }

    /// What an hour of a resource costs where it stands.
    pub fn hourly(&self, plan: &Plan, address: &Address) -> Total {
        let mut hourly = prices(plan, address).map(Cost::hourly).unwrap_or_default();
        if let Some(fallback) = self.taken(plan, address) {
            hourly.sums = vec![fallback.hourly];
        }
        hourly
    }

    /// What a resource costs for that time where it stands, as a bill has it: each line rounded for itself.
    pub fn cost(&self, plan: &Plan, address: &Address, span: Span) -> Total {
        let mut total = cost(plan, address, span);
        if let Some(fallback) = self.taken(plan, address) {
            // Beside its nodes a cluster has parts that are billed in other ways, and are the same everywhere.
            let planned = prices(plan, address).filter(|_| address.kind == Kind::Cluster).map(Cost::hourly).unwrap_or_default();
            let same = planned.sums.iter().find(|sum| sum.currency == fallback.hourly.currency);
            let more = Money { amount: fallback.hourly.amount - same.map_or(Decimal::ZERO, |sum| sum.amount), ..fallback.hourly };
            let billed = Metering::Parts.of(more, span);
            let billed = Money { amount: billed.amount.round_dp(DIGITS), ..billed };
            match same {
                Some(_) => total.add(billed),
                None => total.sums = vec![billed],
            }
        }
        total
    }

    /// The cloud's time.
    pub fn now(&self) -> Timestamp {
        self.dates.now()
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventSink for Lives<'_> {
    fn emit(&self, event: Event) {
        let now = self.dates.now();
        let mut seen = self.seen();
        match &event {
            Event::StepIdentified { address, id } => {
                let new = Known { id: id.clone(), life: Life { born: now, gone: None, parts: None }, ends: None, over: false };
                let old = seen.known.insert(address.clone(), new).filter(|old| !old.over);
                if let Some(old) = old {
                    let life = old.until(now);
                    // Where another one stands now, it went, whatever was told of it.
                    let gone = life.gone.or_else(|| (old.id != *id).then_some(now));
                    if gone.is_some() {
                        seen.past.push((address.clone(), Life { gone, ..life }, None));
                    }
                }
            }
            Event::StepFinished { address, action, .. } | Event::StepFailed { address, action, .. } => {
                // What comes to its end by itself is over with its step.
                let over =
                    registry::kind(address.kind).ends() || (*action == Action::Delete && matches!(event, Event::StepFinished { .. }));
                if let Some(known) = seen.known.get_mut(address) {
                    known.life.parts = self.dates.growth(&known.id).or(known.life.parts);
                }
                if let Some(known) = seen.known.get_mut(address).filter(|known| over && !known.over) {
                    // It may stay to be seen for a while after it is billed no more.
                    let gone = self.dates.farewell(&known.id).unwrap_or(now);
                    known.life.gone = Some(known.ends.map_or(gone, |ends| gone.min(ends)));
                }
            }
            Event::StepFellBack { address, zone, instance_type, .. } => {
                seen.moved.insert(address.clone(), (zone.clone(), instance_type.clone()));
            }
            _ => {}
        }
        drop(seen);
        self.next.emit(event);
    }
}

/// What a resource of a plan costs by the line.
pub fn prices<'a>(plan: &'a Plan, address: &Address) -> Option<&'a Cost> {
    let change = plan.changes.iter().find(|change| change.address == *address)?;
    Some(if change.action == Action::Delete { &change.cost_before } else { &change.cost_after })
}

/// What a resource of a plan costs for that time where the plan had it first, as a bill has it: each line rounded for itself.
pub fn cost(plan: &Plan, address: &Address, span: Span) -> Total {
    prices(plan, address).map(|cost| cost.billed(span, DIGITS)).unwrap_or_default()
}

/// Whether a resource is there for runs only, and for those of that job.
fn passes_for(plan: &Plan, address: &Address, job: Option<&str>) -> bool {
    let own = [address.clone()].into();
    let runs = match plan.released.get(address) {
        Some(runs) => runs,
        None if registry::kind(address.kind).ends() => &own,
        None => return false,
    };
    job.is_none_or(|job| runs.iter().any(|run| job_of(plan, run) == job))
}

/// The job that a run of a plan is of.
pub fn job_of<'a>(plan: &'a Plan, run: &'a Address) -> &'a str {
    plan.wanted.get(run).and_then(|wanted| wanted.spec["part"]["job"].as_str()).unwrap_or(&run.name)
}
