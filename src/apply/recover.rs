//! Settles what an earlier run left open: a creation is found by its tags or proven absent, everything else is
//! marked so that the next plan finishes it. Never guesses.

use std::time::Duration;

use futures_util::future::try_join_all;
use serde_json::Value as Json;

use super::step::StepError;
use super::world::World;
use crate::model::change::Action;
use crate::model::event::Event;
use crate::resources::error::ResourceError;
use crate::resources::kind::ReadContext;
use crate::resources::registry;
use crate::state::contents::OpenIntent;
use crate::state::record::Record;

/// Pauses between looks for a creation that is not listed: lists lag behind.
const PAUSES: &[Duration] = &[Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];
/// The pause after those.
const LAST_PAUSE: Duration = Duration::from_secs(2);
/// States in which something stays as it is.
const RESTING: &[&str] = &["Running", "Available", "InUse", "running"];
/// How long something has to stay as it is until it is taken for staying, and how long it may take to leave.
const RESTED: Duration = Duration::from_secs(3);
const LEAVING: Duration = Duration::from_secs(60);

/// Settles every open intent. Runs first in every plan and apply. What it found is in the snapshot when it returns, so
/// that a plan made from it is not out of date by it.
pub async fn recover(world: &World<'_>) -> Result<(), StepError> {
    let open = world.store.open_intents();
    if open.is_empty() {
        return Ok(());
    }
    let found = try_join_all(open.iter().map(|intent| look_for(world, intent))).await?;
    for (intent, found) in open.iter().zip(found) {
        let outcome = settle(world, intent, found).await?;
        world.events.emit(Event::Recovered { address: intent.address.clone(), outcome });
    }
    world.store.finish()?;
    Ok(())
}

/// What became of an intent, as far as the cloud can tell.
enum Found {
    /// A creation without an identifier made this.
    Made(String),
    /// A deletion came to its end.
    Gone,
    /// Nothing that would settle it.
    Nothing,
}

async fn look_for(world: &World<'_>, intent: &OpenIntent) -> Result<Found, ResourceError> {
    match (intent.action, &intent.id) {
        (Action::Create, None) => made(world, intent).await,
        (Action::Delete, _) => gone(world, intent).await,
        _ => Ok(Found::Nothing),
    }
}

async fn made(world: &World<'_>, intent: &OpenIntent) -> Result<Found, ResourceError> {
    let kind = registry::kind(intent.address.kind);
    let context = world.context(&intent.address, &intent.region, &intent.token);
    let mut found = kind.find(&context, &intent.spec).await?;
    // What lives inside something else can't be looked for; its creation is repeated with the same token.
    for pause in PAUSES.iter().filter(|_| kind.goes_with().is_none()) {
        if found.is_some() {
            break;
        }
        tokio::time::sleep(*pause).await;
        found = kind.find(&context, &intent.spec).await?;
    }
    Ok(found.map_or(Found::Nothing, Found::Made))
}

/// A deletion that was accepted takes its time. What is on its way out must not be taken for something that stays.
async fn gone(world: &World<'_>, intent: &OpenIntent) -> Result<Found, ResourceError> {
    let Some(resource) = world.store.look(|state| state.resources.get(&intent.address).cloned()) else { return Ok(Found::Nothing) };
    let kind = registry::kind(intent.address.kind);
    if kind.goes_with().is_some() {
        return Ok(Found::Nothing);
    }
    let context = ReadContext { cloud: world.cloud, region: &resource.region, identity: world.identity };
    let known = [(intent.address.clone(), resource.id.clone(), resource.attributes)];
    let begun = tokio::time::Instant::now();
    for pause in PAUSES.iter().chain(std::iter::repeat(&LAST_PAUSE)) {
        let Some(attributes) = kind.read_many(&context, &known).await?.remove(&resource.id) else { return Ok(Found::Gone) };
        let rests = attributes.get("status").and_then(Json::as_str).is_none_or(|status| RESTING.contains(&status));
        if begun.elapsed() >= if rests { RESTED } else { LEAVING } {
            break;
        }
        tokio::time::sleep(*pause).await;
    }
    Ok(Found::Nothing)
}

async fn settle(world: &World<'_>, intent: &OpenIntent, found: Found) -> Result<String, StepError> {
    let address = &intent.address;
    let interrupted = |what: &str| Record::Failed { address: address.clone(), error: format!("{what} was interrupted") };
    match (intent.action, &intent.id, found) {
        (Action::Create, None, Found::Made(id)) => {
            world.store.append(Record::Got { address: address.clone(), id: id.clone() }).await?;
            world.store.append(interrupted("its creation")).await?;
            Ok(format!("its creation was interrupted; it exists as `{id}` and will be finished"))
        }
        (Action::Create, None, _) => {
            // The call may still be on its way. A new attempt with the same token can't make a second one.
            world.unsettled.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(address.clone(), intent.generation);
            world.store.append(Record::Removed { address: address.clone() }).await?;
            Ok("its creation was interrupted before it happened".to_owned())
        }
        (Action::Create, Some(id), _) => {
            world.store.append(interrupted("its creation")).await?;
            Ok(format!("its creation was interrupted; `{id}` will be finished"))
        }
        (Action::Delete, _, Found::Gone) => {
            world.store.append(Record::Removed { address: address.clone() }).await?;
            Ok("its deletion was interrupted, and it is gone".to_owned())
        }
        (Action::Delete, ..) => {
            world.store.append(interrupted("its deletion")).await?;
            Ok("its deletion was interrupted and will be repeated".to_owned())
        }
        _ => {
            world.store.append(interrupted("its update")).await?;
            Ok("its update was interrupted and will be repeated".to_owned())
        }
    }
}
