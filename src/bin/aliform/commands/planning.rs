//! What plan, apply and destroy share: settle what an earlier run left open, look at the cloud, resolve, price, plan.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use aliform::apply::recover::recover;
use aliform::apply::remember::remembered;
use aliform::apply::world::{Explanation, World};
use aliform::manifest::{Budget, Located, Manifest};
use aliform::model::address::Address;
use aliform::model::cost::Total;
use aliform::model::decision::Decision;
use aliform::model::event::{Event, EventSink};
use aliform::model::money::Money;
use aliform::plan::cost::Limits;
use aliform::plan::make::{Inputs, plan, to_price};
use aliform::plan::saved::{Basis, Plan};
use aliform::pricing::avoiding::Avoiding;
use aliform::pricing::lookup::{CloudLookup, Lookup};
use aliform::pricing::quote::quote_all;
use aliform::project::failure::known_failure;
use aliform::resolve::bundles::Bundles;
use aliform::resolve::reopen::kept;
use aliform::resolve::{Surroundings, resolve};
use aliform::resources::desired::Desired;
use aliform::resources::kind::{Artifacts, Identity};
use aliform::resources::refresh::{Observed, observe};
use aliform::resources::runs;
use aliform::state::contents::State;
use aliform::state::record::Record;
use aliform::state::store::Store;
use rust_decimal::Decimal;

use super::alternatives::{self, Way};
use crate::error::CommandError;
use crate::workspace::{Client, Workspace, clock};

/// What is planned.
pub(crate) enum Aim<'a> {
    /// What the manifest wants.
    Manifest(&'a Manifest),
    /// Nothing at all.
    Nothing,
}

/// How it is planned.
#[derive(Default)]
pub(crate) struct Manner {
    /// Decide everything anew.
    pub(crate) reselect: bool,
    /// Resources to make anew.
    pub(crate) replace: BTreeSet<Address>,
    /// Take the state's word for what is in the cloud.
    pub(crate) no_refresh: bool,
    /// Decisions of a saved plan, taken over.
    pub(crate) decided: Option<BTreeMap<String, Decision>>,
    /// What was spent of the total budgets already.
    pub(crate) spent: Total,
    /// Decisions that hold besides, whatever else was decided.
    pub(crate) also: BTreeMap<String, Decision>,
}

/// A plan and the packed sources it needs.
pub(crate) struct Made {
    pub(crate) plan: Plan,
    pub(crate) bundles: Bundles,
    /// Generations that a new attempt has to use again.
    pub(crate) unsettled: BTreeMap<Address, u64>,
    /// The limits that it was held against.
    pub(crate) limits: Limits,
    /// What would fit them, if it does not.
    pub(crate) ways: Vec<Way>,
    /// Runs that have begun and that nobody waits for; they have all that they need.
    pub(crate) begun: BTreeSet<Address>,
}

/// The reason in an application's log.
pub(crate) fn explain(log: &str) -> Option<Explanation> {
    known_failure(log).map(|failure| Explanation { message: failure.message, hint: failure.hint })
}

/// What the state stands for, as a plan names it.
pub(crate) fn basis(state: &State, aim: &Aim<'_>) -> Basis {
    Basis {
        stack: state.stack.clone(),
        lineage: state.lineage.clone(),
        serial: state.serial,
        manifest_digest: match aim {
            Aim::Manifest(manifest) => manifest.digest.clone(),
            Aim::Nothing => String::new(),
        },
        destroy: matches!(aim, Aim::Nothing),
    }
}

/// Whose resources the state's are.
pub(crate) fn identity(state: &State) -> Identity {
    Identity { stack: state.stack.clone(), lineage: state.lineage.clone() }
}

/// What the manifest allows.
pub(crate) fn limits(manifest: &Manifest) -> Limits {
    let money = |limit: &Option<Located<Money>>| limit.as_ref().map(|money| money.value);
    let of = |budget: &Budget| Limits {
        hourly: money(&budget.hourly),
        monthly: money(&budget.monthly),
        total: money(&budget.total),
        jobs: BTreeMap::new(),
    };
    let jobs = manifest.jobs.iter().filter(|(_, job)| job.budget != Budget::default());
    Limits { jobs: jobs.map(|(name, job)| (name.clone(), of(&job.budget))).collect(), ..of(&manifest.budget) }
}

/// What is left of the limits for everything together, and for each job.
fn left_of(limits: Limits, spent: &Total) -> Limits {
    let left = |limit: Money| Money { amount: (limit.amount - spent.converted(limit.currency).amount).max(Decimal::ZERO), ..limit };
    let jobs = limits.jobs.into_iter().map(|(name, own)| (name, left_of(own, spent)));
    Limits { total: limits.total.map(left), jobs: jobs.collect(), ..limits }
}

/// Makes a plan.
pub(crate) async fn make(
    workspace: &Workspace,
    client: &Client,
    store: &Store,
    aim: &Aim<'_>,
    manner: &Manner,
    events: &dyn EventSink,
) -> Result<Made, CommandError> {
    begin(store).await?;
    let identity = identity(&store.state());
    let nothing = Bundles::default();
    let unsettled = settle(workspace, client, store, &identity, &nothing, events).await?;
    // What was settled belongs to the state that the plan is made from.
    store.finish()?;
    let state = store.state();
    let prior = remembered(&state);
    let observed: Observed = if manner.no_refresh {
        prior
            .iter()
            .map(|(address, known)| (address.clone(), Some(known.attributes.clone()).filter(|attributes| !attributes.is_null())))
            .collect()
    } else {
        events.emit(Event::RefreshStarted { resources: prior.len() });
        let before = client.total();
        let observed = observe(client, &identity, &prior).await?;
        events.emit(Event::RefreshFinished { calls: client.total() - before });
        observed
    };
    // Who wants everything decided anew wants the cloud's own word.
    let sold_out = if manner.reselect { Vec::new() } else { store.shortages() };
    let lookup = Avoiding::new(CloudLookup::new(client), sold_out.clone());
    let (desired, bundles, limits) = match aim {
        Aim::Nothing => {
            (Desired { region: state.region.clone().unwrap_or_default(), ..Desired::default() }, Bundles::default(), Limits::default())
        }
        Aim::Manifest(manifest) => {
            let none = BTreeMap::new();
            let kept = kept(&state.decisions, &sold_out, &state.resources.keys().cloned().collect());
            let decided = match (&manner.decided, manner.reselect) {
                (Some(decided), _) => decided,
                (None, true) => &none,
                (None, false) => &kept,
            };
            let mut decided = decided.clone();
            decided.extend(manner.also.clone());
            let resolved = resolve(manifest, &Surroundings { lookup: &lookup, decided: &decided, lineage: &state.lineage }).await?;
            (resolved.desired, resolved.bundles, left_of(limits(manifest), &manner.spent))
        }
    };
    let quotes = quote_all(&lookup, &desired.region, &to_price(&desired, &prior, &observed)?).await;
    let buys = desired.nodes.keys().any(|address| observed.get(address).is_none_or(Option::is_none));
    let balance = if buys { Some(lookup.balance(&desired.region).await.map_err(|error| error.to_string())) } else { None };
    let inputs = Inputs {
        desired: &desired,
        prior: &prior,
        observed: &observed,
        quotes: &quotes,
        limits: limits.clone(),
        balance,
        replace: &manner.replace,
        basis: basis(&state, aim),
        now: clock().now(),
    };
    let plan = plan(Inputs { limits: inputs.limits.clone(), balance: inputs.balance.clone(), basis: inputs.basis.clone(), ..inputs })?;
    let ways = match aim {
        Aim::Manifest(manifest) => alternatives::find(&lookup, manifest, &state, &inputs, &plan.cost.exceeded).await,
        Aim::Nothing => Vec::new(),
    };
    let begun = state.resources.iter().filter(|(_, resource)| runs::goes_on(&resource.attributes));
    let begun = begun.map(|(address, _)| address.clone()).collect();
    Ok(Made { plan, bundles, unsettled, limits, ways, begun })
}

/// Starts a state that is new, so that its lineage, and the names that follow from it, are the same in every plan.
async fn begin(store: &Store) -> Result<(), CommandError> {
    if store.look(|state| state.serial == 0 && state.resources.is_empty() && state.open.is_empty()) {
        store.append(Record::Settings { region: None, manifest_digest: None, outputs: BTreeMap::new() }).await?;
        store.finish()?;
    }
    Ok(())
}

/// Settles what an earlier run left open.
pub(super) async fn settle(
    workspace: &Workspace,
    client: &Client,
    store: &Store,
    identity: &Identity,
    artifacts: &dyn Artifacts,
    events: &dyn EventSink,
) -> Result<BTreeMap<Address, u64>, CommandError> {
    let world = World {
        cloud: client,
        clock: client.dates(),
        store,
        identity,
        events,
        secrets: workspace,
        artifacts,
        explain: &explain,
        unsettled: Mutex::default(),
        keep_failed: false,
        detach: false,
        rescue_within: &|| std::time::Duration::from_secs(60),
    };
    recover(&world).await?;
    Ok(world.unsettled.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
}
