//! What would fit a budget that does not hold, and what it gives up: each way is the manifest with one thing changed, planned
//! and priced as any other. It creates nothing, and offers nothing that it did not price.

use std::collections::BTreeSet;
use std::fmt;

use aliform::manifest::{InstanceChoice, Located, Manifest, Needs, Region, Spot};
use aliform::model::address::{Address, Kind};
use aliform::model::money::Money;
use aliform::model::region::{Area, REGIONS};
use aliform::model::units::{Duration, Size};
use aliform::plan::cost::Exceeded;
use aliform::plan::make::{Inputs, plan, to_price};
use aliform::pricing::lookup::Lookup;
use aliform::pricing::quote::quote_all;
use aliform::resolve::{Surroundings, resolve};
use aliform::resources::desired::Desired;
use aliform::resources::registry;
use aliform::state::contents::State;
use futures_util::future::join_all;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

/// How long a job may run that does not say.
const USUAL_LIMIT: Duration = Duration::of(3600);
/// What shapes are divided by, the largest part first.
const PARTS: [u32; 3] = [2, 4, 8];

/// A way to stay inside the budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// What to write.
    what: String,
    /// What is lost.
    gives_up: String,
    /// What it would come to, as the limit counts it.
    would_be: Money,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} would fit with {}; it gives up: {}", self.what, self.would_be.rounded(4), self.gives_up)
    }
}

/// A changed manifest that is to be looked at.
struct Change {
    manifest: Manifest,
    what: String,
    gives_up: String,
    /// Of ways of one kind only the best is told.
    kind: &'static str,
}

/// Every way found, the cheapest first, one of each kind.
pub(crate) async fn find(lookup: &dyn Lookup, manifest: &Manifest, state: &State, inputs: &Inputs<'_>, exceeded: &[Exceeded]) -> Vec<Way> {
    let Some(first) = exceeded.first() else { return Vec::new() };
    let of_total = exceeded.iter().filter(|exceeded| exceeded.period == "total");
    let mut changes: Vec<Change> = of_total.filter_map(|exceeded| shorter(manifest, exceeded)).collect();
    changes.extend(PARTS.iter().filter_map(|part| smaller(manifest, first, *part)));
    changes.extend(elsewhere(manifest, &inputs.desired.region));
    changes.extend(on_the_market(manifest, first, inputs.desired));
    let looked = changes.into_iter().map(|change| async move {
        let would_be = price(lookup, &change.manifest, state, inputs, first).await?;
        Some((change.kind, Way { what: change.what, gives_up: change.gives_up, would_be }))
    });
    let mut found: Vec<(&str, Way)> = join_all(looked).await.into_iter().flatten().collect();
    // Among smaller shapes the one that gives up least comes first; of everything else the cheapest is wanted.
    let mut kinds = BTreeSet::new();
    found.sort_by_key(|(kind, way)| if *kind == "smaller" { Decimal::ZERO } else { way.would_be.amount });
    found.retain(|(kind, _)| kinds.insert(*kind));
    found.sort_by_key(|(_, way)| way.would_be.amount);
    found.into_iter().map(|(_, way)| way).collect()
}

/// What the changed manifest would come to, if it can be had and every limit holds.
async fn price(lookup: &dyn Lookup, manifest: &Manifest, state: &State, inputs: &Inputs<'_>, exceeded: &Exceeded) -> Option<Money> {
    let around = Surroundings { lookup, decided: &state.decisions, lineage: &state.lineage };
    let desired = resolve(manifest, &around).await.ok()?.desired;
    let quotes = quote_all(lookup, &desired.region, &to_price(&desired, inputs.prior, inputs.observed).ok()?).await;
    let cost = plan(Inputs {
        desired: &desired,
        prior: inputs.prior,
        observed: inputs.observed,
        quotes: &quotes,
        limits: inputs.limits.clone(),
        balance: None,
        replace: inputs.replace,
        basis: inputs.basis.clone(),
        now: inputs.now,
    })
    .ok()?
    .cost;
    let total = match (exceeded.period.as_str(), &exceeded.job) {
        ("monthly", None) => cost.after.monthly(),
        ("hourly", None) => cost.after,
        _ => cost.once,
    };
    (cost.exceeded.is_empty() && !total.unknown).then(|| total.converted(exceeded.limit.currency))
}

/// The jobs that a limit is for.
fn jobs<'a>(manifest: &'a Manifest, exceeded: &Exceeded) -> Vec<&'a str> {
    let named = |name: &&String| exceeded.job.as_ref().is_none_or(|job| job == *name);
    manifest.jobs.keys().filter(named).map(String::as_str).collect()
}

/// As long a time as the limit pays for.
fn shorter(manifest: &Manifest, exceeded: &Exceeded) -> Option<Change> {
    let mut changed = manifest.clone();
    let share = exceeded.limit.amount.checked_div(exceeded.would_be.amount)?;
    let (mut what, mut gives_up) = (Vec::new(), Vec::new());
    for name in jobs(manifest, exceeded) {
        let job = changed.jobs.get_mut(name)?;
        let before = job.timeout.as_ref().map_or(USUAL_LIMIT, |timeout| timeout.value);
        let seconds = (Decimal::from(before.seconds()) * share).floor().to_u64()?;
        let seconds = if seconds >= 60 { seconds - seconds % 60 } else { seconds };
        let after = Duration::of(Some(seconds).filter(|seconds| *seconds > 0)?);
        job.timeout = Some(Located { value: after, location: job.name.location.clone() });
        what.push(format!("`timeout: {after}` for job `{name}`"));
        gives_up.push(format!("each run is ended after {after} instead of {before}"));
    }
    let what = what.join(" and ");
    (!what.is_empty()).then(|| Change { manifest: changed, what, gives_up: gives_up.join(", "), kind: "shorter" })
}

/// The same with a part of the processors and of the memory.
fn smaller(manifest: &Manifest, exceeded: &Exceeded, part: u32) -> Option<Change> {
    let mut changed = manifest.clone();
    let mut what = Vec::new();
    let mut shrink = |who: String, needs: &mut Needs| {
        let cpu = needs.cpu.unwrap_or(2);
        if needs.gpu.is_some() || cpu < part {
            return;
        }
        let memory = needs.memory.unwrap_or(Size::of(u64::from(cpu) * 2 * 1024));
        let (fewer, less) = (cpu / part, Size::of((memory.mebibytes() / u64::from(part)).max(512)));
        what.push((
            format!("`{{ cpu: {fewer}, memory: {less} }}` for {who}"),
            format!("{fewer} vCPU and {less} instead of {cpu} and {memory}"),
        ));
        (needs.cpu, needs.memory) = (Some(fewer), Some(less));
    };
    let of_runs = exceeded.job.is_some() || exceeded.period == "total";
    for name in jobs(manifest, exceeded).into_iter().filter(|_| of_runs) {
        shrink(format!("job `{name}`"), &mut changed.jobs.get_mut(name)?.needs);
    }
    for (name, app) in changed.apps.iter_mut().filter(|_| !of_runs) {
        if let InstanceChoice::Needs(needs) = &mut app.instance {
            shrink(format!("app `{name}`"), needs);
        }
    }
    let (what, gives_up): (Vec<String>, Vec<String>) = what.into_iter().unzip();
    (!what.is_empty()).then(|| Change { manifest: changed, what: what.join(" and "), gives_up: gives_up.join(", "), kind: "smaller" })
}

/// The same on machines that are bought at the price of the market, where there are any to be bought.
fn on_the_market(manifest: &Manifest, exceeded: &Exceeded, desired: &Desired) -> Option<Change> {
    let mut changed = manifest.clone();
    let has_machines = |name: &str| {
        let own = |address: &Address| address.name == name || address.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('-'));
        let run = desired.nodes.keys().find(|address| registry::kind(address.kind).ends() && own(address));
        let depends_on = run.and_then(|run| desired.nodes.get(run)).map(|node| &node.depends_on);
        depends_on.into_iter().flatten().any(|address| matches!(address.kind, Kind::Instance | Kind::Cluster))
    };
    let mut named = Vec::new();
    for name in jobs(manifest, exceeded).into_iter().filter(|name| has_machines(name)) {
        let job = changed.jobs.get_mut(name)?;
        if job.spot.is_none() {
            job.spot = Some(Located { value: Spot { cap: None }, location: job.name.location.clone() });
            named.push(format!("`spot: true` for job `{name}`"));
        }
    }
    let gives_up = "the cloud may take its machine back after the first hour, and the price moves with the market".to_owned();
    (!named.is_empty()).then(|| Change { manifest: changed, what: named.join(" and "), gives_up, kind: "market" })
}

/// The same in the other regions on this side of the border.
fn elsewhere(manifest: &Manifest, region: &str) -> Vec<Change> {
    let Some(here) = REGIONS.iter().find(|known| known.id == region) else { return Vec::new() };
    let others = REGIONS.iter().filter(|other| other.id != here.id && other.area == here.area && !other.closing);
    let nearby = others.filter(|_| here.area == Area::Mainland);
    let change = |other: &aliform::model::region::PublicRegion| {
        let location = manifest.stack.location.clone();
        Change {
            manifest: Manifest { region: Region::Named(Located { value: other.id.to_owned(), location }), ..manifest.clone() },
            what: format!("`region: {}`", other.id),
            gives_up: format!("it runs in {} instead of {}, farther from what is there", other.city, here.city),
            kind: "elsewhere",
        }
    };
    nearby.map(change).collect()
}
