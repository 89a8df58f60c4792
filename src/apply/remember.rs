//! The state in the words of the planner.

use std::collections::BTreeMap;

use crate::model::address::Address;
use crate::resources::refresh::Remembered;
use crate::state::contents::{State, Status};

/// What a state remembers, as a plan takes it.
pub fn remembered(state: &State) -> BTreeMap<Address, Remembered> {
    let one = |resource: &crate::state::contents::Resource| Remembered {
        id: resource.id.clone(),
        region: resource.region.clone(),
        spec: resource.spec.clone(),
        attributes: resource.attributes.clone(),
        depends_on: resource.depends_on.clone(),
        unfinished: match &resource.status {
            Status::Ready => None,
            Status::Unfinished { because } => Some(because.clone()),
        },
    };
    state.resources.iter().map(|(address, resource)| (address.clone(), one(resource))).collect()
}
