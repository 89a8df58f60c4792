//! Settles what an earlier run left open: a creation is found by its tags or proven absent, everything else is
//! marked so that the next plan finishes it. Never guesses.

use super::step::StepError;
use super::world::World;
use crate::model::change::Action;
use crate::model::event::Event;
use crate::resources::registry;
use crate::state::contents::OpenIntent;
use crate::state::record::Record;

/// Settles every open intent. Runs first in every plan and apply.
pub async fn recover(world: &World<'_>) -> Result<(), StepError> {
    for intent in world.store.open_intents() {
        let outcome = settle(world, &intent).await?;
        world.events.emit(Event::Recovered { address: intent.address.clone(), outcome });
    }
    Ok(())
}

async fn settle(world: &World<'_>, intent: &OpenIntent) -> Result<String, StepError> {
    let address = &intent.address;
    let interrupted = |what: &str| Record::Failed { address: address.clone(), error: format!("{what} was interrupted") };
    match (intent.action, &intent.id) {
        (Action::Create, None) => {
            let context = world.context(address, &intent.region, &intent.token);
            match registry::kind(address.kind).find(&context, &intent.spec).await? {
                Some(id) => {
                    world.store.append(Record::Got { address: address.clone(), id: id.clone() }).await?;
                    world.store.append(interrupted("its creation")).await?;
                    Ok(format!("its creation was interrupted; it exists as `{id}` and will be finished"))
                }
                None => {
                    // The call may still be on its way. A new attempt with the same token can't make a second one.
                    world.unsettled.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(address.clone(), intent.generation);
                    world.store.append(Record::Removed { address: address.clone() }).await?;
                    Ok("its creation was interrupted before it happened".to_owned())
                }
            }
        }
        (Action::Create, Some(id)) => {
            world.store.append(interrupted("its creation")).await?;
            Ok(format!("its creation was interrupted; `{id}` will be finished"))
        }
        (Action::Delete, _) => {
            world.store.append(interrupted("its deletion")).await?;
            Ok("its deletion was interrupted and will be repeated".to_owned())
        }
        _ => {
            world.store.append(interrupted("its update")).await?;
            Ok("its update was interrupted and will be repeated".to_owned())
        }
    }
}
