//! One step: a resource made, changed or taken away, with every fact in the journal before anything relies on it.

use std::time::Duration;

use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use super::end;
use super::order;
use super::world::World;
use crate::model::address::Address;
use crate::model::change::Action;
use crate::model::event::Event;
use crate::model::value;
use crate::plan::saved::Plan;
use crate::resources::error::ResourceError;
use crate::resources::home;
use crate::resources::kind::{AnyKind, Context, ReadContext};
use crate::resources::registry;
use crate::resources::runs::{self, AnyRun};
use crate::state::error::StateError;
use crate::state::record::Record;
use crate::state::token::client_token;

/// How long is waited between looks for what may have come; a list may lag behind.
const PAUSES: &[Duration] = &[Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// Why a step did not reach its end.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The cloud or the resource.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// The state could not be written. Nothing may go on after that.
    #[error(transparent)]
    State(#[from] StateError),
}

/// What is wanted of a resource.
pub(super) struct Making<'a> {
    pub(super) address: &'a Address,
    pub(super) region: &'a str,
    /// With references; they are filled from the state.
    pub(super) spec: &'a Json,
    pub(super) depends_on: &'a [Address],
    /// For how many seconds it is needed, if it serves nothing but runs.
    pub(super) needed_for: Option<u64>,
}

fn filled(world: &World<'_>, spec: &Json) -> Result<Json, ResourceError> {
    let mut spec = spec.clone();
    value::fill(&mut spec, &|reference| world.attribute(&reference.address, &reference.attribute));
    match value::references_in(&spec).first() {
        Some(reference) => Err(ResourceError::StillPending { reference: reference.to_string() }),
        None => Ok(spec),
    }
}

async fn intend(world: &World<'_>, making: &Making<'_>, action: Action, spec: &Json, generation: u64) -> Result<String, StepError> {
    let token = client_token(&world.identity.lineage, making.address, generation);
    let record = Record::Intent {
        address: making.address.clone(),
        action,
        generation,
        token: token.clone(),
        region: making.region.to_owned(),
        digest: hex::encode(Sha256::digest(spec.to_string())),
        spec: spec.clone(),
        depends_on: making.depends_on.to_vec(),
    };
    world.store.append(record).await?;
    Ok(token)
}

async fn fail(world: &World<'_>, address: &Address, error: ResourceError) -> StepError {
    let record = Record::Failed { address: address.clone(), error: error.to_string() };
    match world.store.append(record).await {
        Ok(()) => error.into(),
        Err(error) => error.into(),
    }
}

/// Fetches what a run has left so far, for it is about to go; nothing if there is none, or if that takes too long.
async fn rescue(world: &World<'_>, context: &Context<'_>, id: &str, spec: &Json) -> Option<Json> {
    let within = (world.rescue_within)();
    let say = |status: String| world.events.emit(Event::StepWaiting { address: context.address.clone(), status });
    let run = registry::run(context.address.kind)?;
    if !run.can_rescue(context.address, spec).unwrap_or(false) {
        return None;
    }
    say(format!("stopping, fetching what it has brought about so far, for {} s at most", within.as_secs()));
    match tokio::time::timeout(within, run.rescue(context, id, spec)).await {
        Ok(Ok(attributes)) => Some(attributes),
        Ok(Err(error)) => {
            say(format!("nothing of its outputs could be fetched: {error}"));
            None
        }
        Err(_) => {
            say(format!("its outputs could not be fetched within {} s", within.as_secs()));
            None
        }
    }
}

/// Leaves a run that the user stopped, and ends what it started in the cloud.
pub(super) async fn abandon(world: &World<'_>, address: &Address) -> Result<(), StepError> {
    let Some(intent) = world.store.look(|state| state.open.get(address).cloned()) else { return Err(ResourceError::Stopped.into()) };
    let kind = registry::kind(address.kind);
    let context = world.context(address, &intent.region, &intent.token);
    let known = intent.id.or_else(|| world.store.look(|state| Some(state.resources.get(address)?.id.clone())));
    let id = match known {
        Some(id) => Some(id),
        None => kind.find(&context, &intent.spec).await?,
    };
    let inside = kind.goes_with().is_some();
    let rescued = match &id {
        Some(id) => rescue(world, &context, id, &intent.spec).await,
        None => None,
    };
    if let Some(attributes) = rescued.filter(|_| inside) {
        // What still runs goes with what it is on; what is here of it is remembered.
        world.store.append(Record::Done { address: address.clone(), attributes }).await?;
        return Err(ResourceError::Stopped.into());
    }
    match id {
        Some(id) => match kind.delete(&context, &id, &intent.spec).await {
            Ok(()) if inside => Err(fail(world, address, ResourceError::Stopped).await),
            Ok(()) => {
                world.store.append(Record::Removed { address: address.clone() }).await?;
                Err(ResourceError::Stopped.into())
            }
            Err(error) => Err(fail(world, address, error).await),
        },
        // The call that makes it may be on its way: the intent stays open, and the next run looks what became of it.
        None if !inside => Err(ResourceError::Stopped.into()),
        None => Err(fail(world, address, ResourceError::Stopped).await),
    }
}

/// What is done and did not end well: it is remembered as it ended.
fn ended_well(making: &Making<'_>, attributes: &Json) -> Result<(), StepError> {
    match registry::kind(making.address.kind).failure(making.address, attributes)? {
        Some(because) => Err(ResourceError::Ended { because }.into()),
        None => Ok(()),
    }
}

/// Makes a resource that did not exist when the plan was made. If the state remembers one, the cloud is asked once
/// more: what a list left out for a moment is brought to its spec, not made a second time and lost.
pub(super) async fn create_anew(world: &World<'_>, making: &Making<'_>) -> Result<(), StepError> {
    let address = making.address;
    let Some(remembered) = world.store.look(|state| state.resources.get(address).cloned()) else { return create(world, making).await };
    if remembered.region == making.region {
        let context = ReadContext { cloud: world.cloud, region: making.region, identity: world.identity };
        let known = [(address.clone(), remembered.id.clone(), remembered.attributes)];
        if registry::kind(address.kind).read_many(&context, &known).await?.contains_key(&remembered.id) {
            return update(world, making).await;
        }
    }
    world.store.append(Record::Removed { address: address.clone() }).await?;
    create(world, making).await
}

/// Makes a resource that does not exist.
async fn create(world: &World<'_>, making: &Making<'_>) -> Result<(), StepError> {
    let kind = registry::kind(making.address.kind);
    let spec = filled(world, making.spec)?;
    let earlier = world.unsettled.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(making.address);
    let generation = earlier.unwrap_or_else(|| world.store.allocate_generation());
    let token = intend(world, making, Action::Create, &spec, generation).await?;
    let deadline = making.needed_for.and_then(|seconds| end::end(world.clock.now(), seconds, making.address.kind, world.detach));
    let context = Context { deadline, ..world.context(making.address, making.region, &token) };
    let created = match kind.create(&context, &spec).await {
        // The token is known with other parameters: an earlier attempt did happen, with an earlier spec.
        Err(ResourceError::Api(error)) if error.is(&["IdempotentParameterMismatch"]) => match kind.find(&context, &spec).await {
            Ok(Some(id)) => Ok(id),
            Ok(None) => Err(error.into()),
            Err(error) => Err(error),
        },
        other => other,
    };
    let id = match created {
        Ok(id) => id,
        // It may have happened: what did goes on and is released in its time. Of what can't be found the intent stays
        // open, and the next run settles it.
        Err(error) if error.is_uncertain() => match came(kind, &context, &spec).await {
            Some(id) => id,
            None => return Err(error.into()),
        },
        Err(error) => return Err(fail(world, making.address, error).await),
    };
    world.store.append(Record::Got { address: making.address.clone(), id: id.clone() }).await?;
    world.events.emit(Event::StepIdentified { address: making.address.clone(), id: id.clone() });
    let made = match leaving(world, making.address) {
        Some(run) => run.begin(&context, &id, &spec).await,
        None => kind.converge(&context, &id, &spec).await,
    };
    settle(world, making, made).await
}

/// How a run is begun that nobody is to wait for.
fn leaving(world: &World<'_>, address: &Address) -> Option<&'static dyn AnyRun> {
    registry::run(address.kind).filter(|_| world.detach)
}

/// Writes down what became of a resource.
async fn settle(world: &World<'_>, making: &Making<'_>, made: Result<Json, ResourceError>) -> Result<(), StepError> {
    match made {
        Ok(attributes) => {
            let outcome = ended_well(making, &attributes);
            world.store.append(Record::Done { address: making.address.clone(), attributes }).await?;
            outcome
        }
        Err(error) => Err(fail(world, making.address, error).await),
    }
}

/// Whether it is a run that was begun and that nobody has brought to its end.
pub(super) fn goes_on(world: &World<'_>, address: &Address) -> bool {
    world.store.look(|state| state.resources.get(address).is_some_and(|resource| runs::goes_on(&resource.attributes)))
}

/// Whether outputs of a run that is over are still in the cloud.
pub(super) fn holds_outputs(world: &World<'_>, address: &Address) -> bool {
    world.store.look(|state| state.resources.get(address).is_some_and(|run| home::held(&run.attributes).is_some()))
}

/// What a creation made whose answer was lost, if it shows soon.
async fn came(kind: &dyn AnyKind, context: &Context<'_>, spec: &Json) -> Option<String> {
    // What lives inside something else can't be looked for.
    let pauses = if kind.goes_with().is_some() { &[][..] } else { PAUSES };
    for pause in pauses {
        if let Ok(Some(id)) = kind.find(context, spec).await {
            return Some(id);
        }
        tokio::time::sleep(*pause).await;
    }
    None
}

/// Brings a resource that exists to its spec.
pub(super) async fn update(world: &World<'_>, making: &Making<'_>) -> Result<(), StepError> {
    let spec = filled(world, making.spec)?;
    let id = identifier(world, making.address)?;
    let begun = goes_on(world, making.address);
    if begun && world.detach {
        return Ok(());
    }
    let held = world.store.look(|state| state.resources.get(making.address).map(|resource| resource.attributes.clone()));
    let held = held.and_then(|attributes| home::held(&attributes).map(|held| (attributes, held)));
    let token = intend(world, making, Action::Update, &spec, world.store.allocate_generation()).await?;
    let context = world.context(making.address, making.region, &token);
    if let Some((attributes, held)) = held {
        // It is over, and only what it left is missing here.
        let error = match home::fetch_held(&context, &attributes, held).await {
            Ok(fetched) => return settle(world, making, Ok(fetched)).await,
            Err(error) => error,
        };
        // It stays what it was: over, and its outputs elsewhere.
        world.store.append(Record::Done { address: making.address.clone(), attributes }).await?;
        return Err(error.into());
    }
    let made = match (leaving(world, making.address), registry::run(making.address.kind)) {
        (Some(run), _) => run.begin(&context, &id, &spec).await,
        (None, Some(run)) if begun => run.finish(&context, &id, &spec).await,
        (None, _) => registry::kind(making.address.kind).converge(&context, &id, &spec).await,
    };
    settle(world, making, made).await
}

/// Takes a resource away. What goes along with another one that goes may fail at it: nothing of it is left anyway,
/// and a machine that does not answer must not cost money for ever.
pub(super) async fn delete(world: &World<'_>, plan: &Plan, address: &Address) -> Result<(), StepError> {
    let id = identifier(world, address)?;
    let remembered = world.store.look(|state| {
        state.resources.get(address).map(|resource| (resource.region.clone(), resource.spec.clone(), resource.depends_on.clone()))
    });
    let Some((region, spec, depends_on)) = remembered else { return Ok(()) };
    let making = Making { address, region: &region, spec: &spec, depends_on: &depends_on, needed_for: None };
    let token = intend(world, &making, Action::Delete, &spec, world.store.allocate_generation()).await?;
    let context = world.context(address, &region, &token);
    match registry::kind(address.kind).delete(&context, &id, &spec).await {
        Ok(()) => Ok(world.store.append(Record::Removed { address: address.clone() }).await?),
        Err(error) if world.store.look(|state| order::goes_along(plan, state, address)) => {
            let status = format!("{error}; it goes with what it is on");
            world.events.emit(Event::StepWaiting { address: address.clone(), status });
            Ok(world.store.append(Record::Removed { address: address.clone() }).await?)
        }
        // It may be on its way out. The intent stays open, and the next run looks what became of it.
        Err(error) if error.is_uncertain() => Err(error.into()),
        Err(error) => Err(fail(world, address, error).await),
    }
}

fn identifier(world: &World<'_>, address: &Address) -> Result<String, ResourceError> {
    world
        .store
        .look(|state| state.resources.get(address).map(|resource| resource.id.clone()))
        .ok_or_else(|| ResourceError::InTheWay(format!("`{address}` is not in the state any more")))
}
