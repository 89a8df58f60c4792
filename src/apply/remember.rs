//! The state in the words of the planner, and what a plan knows besides its steps in the words of the state.

use std::collections::BTreeMap;

use crate::model::address::Address;
use crate::plan::saved::Plan;
use crate::resources::refresh::Remembered;
use crate::resources::runs;
use crate::state::contents::{State, Status};
use crate::state::error::StateError;
use crate::state::record::Record;
use crate::state::store::Store;

/// Why a run is not over that nobody waited for.
const GOES_ON: &str = "it was begun, and goes on in the cloud";

/// What a state remembers, as a plan takes it.
pub fn remembered(state: &State) -> BTreeMap<Address, Remembered> {
    let one = |resource: &crate::state::contents::Resource| Remembered {
        id: resource.id.clone(),
        region: resource.region.clone(),
        spec: resource.spec.clone(),
        attributes: resource.attributes.clone(),
        depends_on: resource.depends_on.clone(),
        unfinished: match &resource.status {
            Status::Ready => runs::goes_on(&resource.attributes).then(|| GOES_ON.to_owned()),
            Status::Unfinished { because } => Some(because.clone()),
        },
    };
    state.resources.iter().map(|(address, resource)| (address.clone(), one(resource))).collect()
}

/// Takes over what a plan knows besides its steps: region, outputs, decisions, and what the cloud said of resources that
/// stay. Records only what is new. An apply does it first; a plan that is approved without a step needs it too, since
/// its outputs may be others.
pub async fn take_over(store: &Store, plan: &Plan) -> Result<(), StateError> {
    for (address, attributes) in &plan.observed {
        let (known, open) = store.look(|state| (state.resources.get(address).cloned(), state.open.contains_key(address)));
        if !open && known.is_some_and(|known| known.attributes != *attributes) {
            store.append(Record::Observed { address: address.clone(), attributes: attributes.clone() }).await?;
        }
    }
    if plan.basis.destroy {
        // What was decided is needed until everything is gone: a destroy that stops half-way may be followed by an apply.
        return Ok(());
    }
    let region = Some(plan.region.clone()).filter(|region| !region.is_empty());
    let manifest_digest = Some(plan.basis.manifest_digest.clone()).filter(|digest| !digest.is_empty());
    let same = store.look(|state| state.region == region && state.manifest_digest == manifest_digest && state.outputs == plan.outputs);
    if !same {
        store.append(Record::Settings { region, manifest_digest, outputs: plan.outputs.clone() }).await?;
    }
    let old = store.look(|state| state.decisions.clone());
    for key in old.keys().filter(|key| !plan.decisions.contains_key(*key)) {
        store.append(Record::Undecided { key: key.clone() }).await?;
    }
    for (key, decision) in &plan.decisions {
        if old.get(key) != Some(decision) {
            store.append(Record::Decided { key: key.clone(), decision: decision.clone() }).await?;
        }
    }
    Ok(())
}

/// Forgets what held for the stack as a whole, once a destroy has left nothing of it.
pub(super) async fn let_go(store: &Store, plan: &Plan) -> Result<(), StateError> {
    let (left, decisions, said) = store.look(|state| {
        let left = !state.resources.is_empty() || !state.open.is_empty();
        let said = state.region.is_some() || state.manifest_digest.is_some() || !state.outputs.is_empty();
        (left, state.decisions.clone(), said)
    });
    if left || !plan.basis.destroy {
        return Ok(());
    }
    if said {
        store.append(Record::Settings { region: None, manifest_digest: None, outputs: BTreeMap::new() }).await?;
    }
    for key in decisions.into_keys() {
        store.append(Record::Undecided { key }).await?;
    }
    Ok(())
}
