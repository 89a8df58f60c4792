//! Looks for what carries aliform's tags, and takes away what was approved, each kind with its own deletion, what stands on
//! something before that. It decides nothing: who is an orphan is judged elsewhere, and who goes is the user's word.

use std::collections::BTreeSet;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::watch;

use super::orphans::{Find, Orphan, in_order, is_ground};
use crate::cloud::call::Cloud;
use crate::model::address::{Address, Kind};
use crate::model::change::Action;
use crate::model::clock::Clock;
use crate::model::event::{Event, EventSink};
use crate::model::secret::Secrets;
use crate::resources::kind::{Artifacts, Context, Identity, ReadContext};
use crate::resources::registry;
use crate::state::error::StateError;
use crate::state::record::Record;
use crate::state::store::Store;

/// How many lists are read at once.
const LISTS: usize = 12;

/// A list that could not be read: what is in it nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Unread {
    /// What it lists.
    pub kind: Kind,
    /// Where.
    pub region: String,
    /// Why it could not be read.
    pub error: String,
}

/// Everything with aliform's tags in those regions, and what could not be looked at.
pub async fn look(cloud: &dyn Cloud, regions: &[String]) -> (Vec<Find>, Vec<Unread>) {
    let nobody = Identity { stack: String::new(), lineage: String::new() };
    let identity = &nobody;
    let lists = regions.iter().flat_map(|region| Kind::ALL.map(|kind| (region, kind)));
    let reads = lists.map(|(region, kind)| async move {
        let context = ReadContext { cloud, region, identity };
        (region, kind, registry::kind(kind).tagged(&context).await)
    });
    let (mut finds, mut unread) = (Vec::new(), Vec::new());
    let mut reads = stream::iter(reads).buffer_unordered(LISTS);
    while let Some((region, kind, read)) = reads.next().await {
        match read {
            Ok(found) => finds.extend(found.into_iter().map(|found| Find { kind, region: region.clone(), found })),
            Err(error) => unread.push(Unread { kind, region: region.clone(), error: error.to_string() }),
        }
    }
    unread.sort_by(|a, b| (&a.region, a.kind).cmp(&(&b.region, b.kind)));
    (finds, unread)
}

/// What a sweep works with.
pub struct Around<'a> {
    /// The cloud.
    pub cloud: &'a dyn Cloud,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Who is told.
    pub events: &'a dyn EventSink,
    /// Where secrets are; none is read.
    pub secrets: &'a dyn Secrets,
    /// Where bundles are; none is read.
    pub artifacts: &'a dyn Artifacts,
}

/// How a sweep ended.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Swept {
    /// What is gone.
    pub deleted: Vec<String>,
    /// What is not, each with why.
    pub failed: Vec<Remains>,
    /// Whether the user stopped it.
    pub interrupted: bool,
}

/// Something that could not be taken away.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Remains {
    /// What it is.
    pub kind: Kind,
    /// Its identifier.
    pub id: String,
    /// Where it is.
    pub region: String,
    /// Why it is still there.
    pub error: String,
}

impl Remains {
    fn of(orphan: &Orphan, error: String) -> Remains {
        Remains { kind: orphan.kind, id: orphan.id.clone(), region: orphan.region.clone(), error }
    }
}

/// Takes all of these away, one kind after the other, and waits until they are gone. What something stands on that could
/// not be taken away is left alone. `stop` ends the starting of deletions; those under way are finished.
pub async fn sweep(around: &Around<'_>, orphans: &[Orphan], concurrency: usize, stop: &watch::Receiver<bool>) -> Swept {
    let mut swept = Swept::default();
    // Where something stayed, by lineage and region.
    let mut stuck: BTreeSet<(String, String)> = BTreeSet::new();
    around.events.emit(Event::ApplyStarted { steps: orphans.len() });
    for kind in in_order() {
        let (mut due, mut held_up) = (Vec::new(), Vec::new());
        for orphan in orphans.iter().filter(|orphan| orphan.kind == kind) {
            let stays = is_ground(kind) && stuck.contains(&(orphan.lineage.clone(), orphan.region.clone()));
            if stays { held_up.push(orphan) } else { due.push(orphan) }
        }
        for orphan in held_up {
            let because = "something of its stack could not be taken away".to_owned();
            around.events.emit(Event::StepSkipped { address: orphan.address.clone(), because: because.clone() });
            swept.failed.push(Remains::of(orphan, because));
        }
        let deletions = due
            .into_iter()
            .map(|orphan| async move { if *stop.borrow() { (orphan, None) } else { (orphan, Some(delete(around, orphan).await)) } });
        let mut deletions = stream::iter(deletions).buffer_unordered(concurrency.max(1));
        while let Some((orphan, outcome)) = deletions.next().await {
            match outcome {
                Some(Ok(())) => swept.deleted.push(orphan.id.clone()),
                Some(Err(error)) => {
                    stuck.insert((orphan.lineage.clone(), orphan.region.clone()));
                    swept.failed.push(Remains::of(orphan, error));
                }
                None => {
                    swept.interrupted = true;
                    swept.failed.push(Remains::of(orphan, "stopped before its turn came".to_owned()));
                }
            }
        }
    }
    around.events.emit(Event::ApplyFinished { done: swept.deleted.len(), failed: swept.failed.len(), skipped: 0 });
    swept
}

async fn delete(around: &Around<'_>, orphan: &Orphan) -> Result<(), String> {
    let address: &Address = &orphan.address;
    let (identity, action) = (Identity { stack: orphan.stack.clone(), lineage: orphan.lineage.clone() }, Action::Delete);
    let token = format!("sweep-{}", orphan.id);
    let context = Context {
        cloud: around.cloud,
        clock: around.clock,
        region: &orphan.region,
        identity: &identity,
        address,
        token: &token,
        deadline: None,
        events: around.events,
        secrets: around.secrets,
        artifacts: around.artifacts,
    };
    around.events.emit(Event::StepStarted { address: address.clone(), action });
    let started = tokio::time::Instant::now();
    match registry::kind(orphan.kind).delete(&context, &orphan.id, &orphan.spec).await {
        Ok(()) => {
            let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            around.events.emit(Event::StepFinished { address: address.clone(), action, milliseconds });
            Ok(())
        }
        Err(error) => {
            let (text, hint) = (error.to_string(), error.hint());
            around.events.emit(Event::StepFailed { address: address.clone(), action, error: text.clone(), hint });
            Err(text)
        }
    }
}

/// Lets a state go of what is gone, and of what was inside of that.
pub async fn forget(store: &Store, gone: &[&Orphan]) -> Result<(), StateError> {
    let named = |address: &Address, id: Option<&str>| gone.iter().any(|orphan| id.map_or(orphan.address == *address, |id| orphan.id == id));
    let mut all: BTreeSet<Address> = store.look(|state| {
        let there = state.resources.iter().filter(|(address, resource)| named(address, Some(&resource.id))).map(|(address, _)| address);
        let begun = state.open.values().filter(|intent| named(&intent.address, intent.id.as_deref())).map(|intent| &intent.address);
        there.chain(begun).cloned().collect()
    });
    loop {
        let more = store.look(|state| {
            let there = state.resources.iter().map(|(address, resource)| (address, &resource.depends_on));
            let begun = state.open.values().map(|intent| (&intent.address, &intent.depends_on));
            let inside = |(address, on): &(&Address, &Vec<Address>)| lives_inside(address.kind) && on.iter().any(|on| all.contains(on));
            there
                .chain(begun)
                .filter(inside)
                .map(|(address, _)| address.clone())
                .filter(|address| !all.contains(address))
                .collect::<Vec<_>>()
        });
        if more.is_empty() {
            break;
        }
        all.extend(more);
    }
    for address in all {
        store.append(Record::Removed { address }).await?;
    }
    store.finish()
}

/// What is nothing by itself once that is gone which it was built on.
fn lives_inside(kind: Kind) -> bool {
    registry::kind(kind).goes_with().is_some() || registry::kind(kind).ends() || matches!(kind, Kind::Bundle)
}
