//! `aliform sweep`: what carries aliform's tags in the cloud and serves nobody any more; shows it with what it costs, asks,
//! takes it away. It never takes what a state here holds before its time, and what is not past its time only if its stack
//! is named.

use std::collections::{BTreeMap, BTreeSet};

use aliform::apply::orphans::{Orphan, Why, judge};
use aliform::apply::sweep::{Around, Swept, forget, look, sweep};
use aliform::manifest::Region;
use aliform::model::clock::Clock;
use aliform::model::cost::Total;
use aliform::pricing::lookup::CloudLookup;
use aliform::pricing::quote::quote_all;
use aliform::resolve::bundles::Bundles;
use aliform::resources::registry;
use aliform::state::contents::State;
use aliform::state::store::Store;
use tokio::sync::watch;

use super::apply::ask;
use super::quote::regions;
use crate::args;
use crate::error::{CommandError, FAILED, INTERRUPTED, LOCKED, PARTIAL};
use crate::interrupt::Interrupts;
use crate::output::Output;
use crate::render::orphans::{Listing, Row, because};
use crate::workspace::{Client, Workspace};

pub(crate) async fn run(workspace: &Workspace, arguments: &args::Sweep, out: &Output) -> Result<u8, CommandError> {
    let states = workspace.states()?;
    let regions = where_to_look(workspace, arguments, &states)?;
    let client = workspace.connect(out).await?;
    let (finds, unread) = look(&client, &regions).await;
    // The cloud's own time: a clock that is wrong must not delete anything.
    let now = client.dates().now();
    let mut orphans = judge(finds, &states, now);
    if arguments.expired {
        orphans.retain(|orphan| orphan.why == Why::Expired);
    }
    let mut chosen = choose(&orphans, arguments)?;
    let stores = lock(workspace, &states, &orphans, &mut chosen, arguments, out)?;
    let costs = costs(&client, &orphans).await?;
    let mut listing = Listing { regions, now, orphans: Vec::new(), hourly: Total::default(), unread, expired: arguments.expired };
    for (at, (orphan, hourly)) in orphans.iter().zip(costs).enumerate() {
        listing.hourly.merge(&hourly);
        listing.orphans.push(Row { orphan: orphan.clone(), hourly, because: because(orphan), delete: chosen.contains(&at) });
    }
    out.orphans(&listing);
    let blind = if listing.unread.is_empty() { 0 } else { PARTIAL };
    let goes: Vec<Orphan> = chosen.iter().filter_map(|at| orphans.get(*at).cloned()).collect();
    if goes.is_empty() {
        out.swept(&listing, None);
        return Ok(blind);
    }
    if !arguments.doing.auto_approve && !ask("Delete these, for good? Only `yes` is a yes: ", out) {
        return Err(
            CommandError::failed("not approved; nothing was deleted").hint("answer `yes`, or use `--auto-approve` where nobody can answer")
        );
    }
    let swept = perform(workspace, &client, &goes, arguments.doing.parallelism, out).await?;
    remember(workspace, stores, &goes, &swept).await?;
    out.swept(&listing, Some(&swept));
    Ok(match () {
        () if swept.interrupted => INTERRUPTED,
        () if swept.failed.is_empty() => blind,
        () if swept.deleted.is_empty() => FAILED,
        () => PARTIAL,
    })
}

/// The regions named, else the manifest's and those of the states here, else the configured one, else all.
fn where_to_look(workspace: &Workspace, arguments: &args::Sweep, states: &[State]) -> Result<Vec<String>, CommandError> {
    if let Some(text) = &arguments.region {
        return regions(text);
    }
    let mut known: BTreeSet<String> = states.iter().filter_map(|state| state.region.clone()).collect();
    known.extend(states.iter().flat_map(|state| state.resources.values().map(|resource| resource.region.clone())));
    if workspace.manifest.exists()
        && let Region::Named(region) = workspace.load()?.region
    {
        known.insert(region.value);
    }
    if known.is_empty() {
        let configured = ["ALIBABA_CLOUD_REGION_ID", "ALIBABACLOUD_REGION_ID", "ALICLOUD_REGION_ID"];
        known.extend(configured.iter().find_map(|name| workspace.variable(name)).map(str::to_owned));
    }
    if known.is_empty() { regions("all") } else { Ok(known.into_iter().collect()) }
}

/// Which of them are to go: those past their time, or all of the stacks named.
fn choose(orphans: &[Orphan], arguments: &args::Sweep) -> Result<BTreeSet<usize>, CommandError> {
    let mut lineages: BTreeSet<&str> = BTreeSet::new();
    for stack in &arguments.stack {
        let named: BTreeSet<&str> = orphans.iter().filter(|orphan| orphan.stack == *stack).map(|orphan| orphan.lineage.as_str()).collect();
        if named.is_empty() {
            return Err(CommandError::failed(format!("nothing that was left behind is of a stack `{stack}`"))
                .hint("see `aliform sweep`; what a state here holds goes with `aliform destroy`"));
        }
        if named.len() > 1 {
            let error = CommandError::failed(format!("{} stacks have the name `{stack}`", named.len()));
            return Err(named.into_iter().fold(error, |error, lineage| error.hint(format!("one of them is `--lineage {lineage}`"))));
        }
        lineages.extend(named);
    }
    for lineage in &arguments.lineage {
        if !orphans.iter().any(|orphan| orphan.lineage == *lineage) {
            return Err(CommandError::failed(format!("nothing that was left behind is of a lineage `{lineage}`")));
        }
        lineages.insert(lineage);
    }
    let named = !lineages.is_empty();
    let goes = |orphan: &Orphan| if named { lineages.contains(orphan.lineage.as_str()) } else { orphan.why == Why::Expired };
    Ok(orphans.iter().enumerate().filter(|(_, orphan)| goes(orphan)).map(|(at, _)| at).collect())
}

/// Takes the locks of the stacks here whose things are to go. A stack that somebody works on is left alone.
fn lock(
    workspace: &Workspace,
    states: &[State],
    orphans: &[Orphan],
    chosen: &mut BTreeSet<usize>,
    arguments: &args::Sweep,
    out: &Output,
) -> Result<Vec<Store>, CommandError> {
    let lineages: BTreeSet<&str> = chosen.iter().filter_map(|at| Some(orphans.get(*at)?.lineage.as_str())).collect();
    let mut stores = Vec::new();
    for state in states.iter().filter(|state| lineages.contains(state.lineage.as_str())) {
        match workspace.open(&state.stack, "sweep", None) {
            Ok(store) => stores.push(store),
            Err(error) if error.code == LOCKED && arguments.stack.is_empty() && arguments.lineage.is_empty() => {
                out.note(&format!("Stack `{}` is left alone: {}.", state.stack, error.message));
                chosen.retain(|at| orphans.get(*at).is_some_and(|orphan| orphan.lineage != state.lineage));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(stores)
}

/// What each costs an hour, in their order.
async fn costs(client: &Client, orphans: &[Orphan]) -> Result<Vec<Total>, CommandError> {
    let lookup = CloudLookup::new(client);
    let mut wanted: BTreeMap<&str, BTreeSet<_>> = BTreeMap::new();
    let mut each = Vec::new();
    for orphan in orphans {
        let priced = if orphan.over { None } else { registry::kind(orphan.kind).priced(&orphan.address, &orphan.spec)? };
        wanted.entry(&orphan.region).or_default().extend(priced.clone());
        each.push((orphan.region.as_str(), priced));
    }
    let mut quotes = BTreeMap::new();
    for (region, wanted) in &wanted {
        quotes.insert(*region, quote_all(&lookup, region, wanted).await);
    }
    let total = |(region, priced): (&str, Option<_>)| {
        let cost = priced.and_then(|priced| quotes.get(region)?.get(&priced));
        cost.map(aliform::model::cost::Cost::hourly).unwrap_or_default()
    };
    Ok(each.into_iter().map(total).collect())
}

/// Deletes. Ctrl-C ends the starting of deletions, the second time everything.
async fn perform(workspace: &Workspace, client: &Client, goes: &[Orphan], parallelism: usize, out: &Output) -> Result<Swept, CommandError> {
    let nothing = Bundles::default();
    let around = Around { cloud: client, clock: client.dates(), events: out.events(), secrets: workspace, artifacts: &nothing };
    let (stop, stopped) = watch::channel(false);
    let mut interrupts =
        Interrupts::new().map_err(|error| CommandError::failed(format!("the signals that stop it can't be heard: {error}")))?;
    let interrupt = async {
        loop {
            interrupts.next().await;
            if stop.send_replace(true) {
                return;
            }
            out.note("Stopping: what is being deleted is finished, nothing else is begun. Press Ctrl-C again to leave at once.");
        }
    };
    tokio::select! {
        swept = sweep(&around, goes, parallelism, &stopped) => Ok(swept),
        () = interrupt => Err(CommandError::new(INTERRUPTED, "interrupted; run `aliform sweep` again for what is left")),
    }
}

/// Lets the states here go of what is gone. One that held nothing but a run is gone with it.
async fn remember(workspace: &Workspace, stores: Vec<Store>, goes: &[Orphan], swept: &Swept) -> Result<(), CommandError> {
    let own = if workspace.manifest.exists() { workspace.load().ok().map(|manifest| manifest.stack.value) } else { None };
    for store in stores {
        let (stack, lineage) = store.look(|state| (state.stack.clone(), state.lineage.clone()));
        let gone: Vec<&Orphan> = goes.iter().filter(|orphan| orphan.lineage == lineage && swept.deleted.contains(&orphan.id)).collect();
        forget(&store, &gone).await?;
        if own.as_ref() != Some(&stack) {
            store.remove_if_empty()?;
        }
    }
    Ok(())
}
