//! Settles what an earlier run left open: a creation is found by its tags or proven absent, everything else is
//! marked so that the next plan finishes it. Never guesses.

use std::time::Duration;

use futures_util::future::try_join_all;

use super::step::StepError;
use super::world::World;
use crate::model::change::Action;
use crate::model::event::Event;
use crate::resources::error::ResourceError;
use crate::resources::registry;
use crate::state::contents::OpenIntent;
use crate::state::record::Record;

/// Pauses between looks for a creation that is not listed: lists lag behind.
const PAUSES: &[Duration] = &[Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

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

/// The identifier of what a creation without one made, if it did.
async fn look_for(world: &World<'_>, intent: &OpenIntent) -> Result<Option<String>, ResourceError> {
    if intent.action != Action::Create || intent.id.is_some() {
        return Ok(None);
    }
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
    Ok(found)
}

async fn settle(world: &World<'_>, intent: &OpenIntent, found: Option<String>) -> Result<String, StepError> {
    let address = &intent.address;
    let interrupted = |what: &str| Record::Failed { address: address.clone(), error: format!("{what} was interrupted") };
    match (intent.action, &intent.id, found) {
        (Action::Create, None, Some(id)) => {
            world.store.append(Record::Got { address: address.clone(), id: id.clone() }).await?;
            world.store.append(interrupted("its creation")).await?;
            Ok(format!("its creation was interrupted; it exists as `{id}` and will be finished"))
        }
        (Action::Create, None, None) => {
            // The call may still be on its way. A new attempt with the same token can't make a second one.
            world.unsettled.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(address.clone(), intent.generation);
            world.store.append(Record::Removed { address: address.clone() }).await?;
            Ok("its creation was interrupted before it happened".to_owned())
        }
        (Action::Create, Some(id), _) => {
            world.store.append(interrupted("its creation")).await?;
            Ok(format!("its creation was interrupted; `{id}` will be finished"))
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
