//! What each record does to a state, and which records can't follow. A refused record changes nothing.
//!
//! The same code runs when a record is appended and when the journal is read again, so both come to the same state.

use jiff::Timestamp;
use serde_json::Value as Json;

use super::contents::{OpenIntent, Resource, State, Status};
use super::record::Record;
use crate::model::address::Address;
use crate::model::change::Action;
use crate::model::value::references_in;

/// Why a record can't follow: a lower-case fragment.
pub(super) type Refusal = String;

impl State {
    /// Applies a record that was made at `at`.
    pub(super) fn apply(&mut self, record: &Record, at: Timestamp) -> Result<(), Refusal> {
        match record {
            Record::Intent { address, action, generation, token, region, digest, spec, depends_on } => {
                self.check_intent(address, *action, *generation, spec)?;
                let (address, action, generation, since, id) = (address.clone(), *action, *generation, at, None);
                let (token, region, digest) = (token.clone(), region.clone(), digest.clone());
                let (spec, depends_on) = (spec.clone(), depends_on.clone());
                self.next_generation = self.next_generation.max(generation.saturating_add(1));
                let intent = OpenIntent {
                    address: address.clone(),
                    action,
                    generation,
                    token,
                    region,
                    digest,
                    spec,
                    depends_on,
                    id,
                    came_at: None,
                    since,
                };
                self.open.insert(address, intent);
            }
            Record::Got { address, id } => self.got(address, id, at)?,
            Record::Done { address, attributes } => self.done(address, attributes, at)?,
            Record::Failed { address, error } => self.failed(address, error, at)?,
            Record::Removed { address } => {
                let known = self.resources.remove(address).is_some();
                if self.open.remove(address).is_none() && !known {
                    return Err("neither a resource nor an intent of that name is known".to_owned());
                }
            }
            Record::Observed { address, attributes } => {
                self.check_settled(address)?;
                let resource = self.resources.get_mut(address).ok_or("no such resource is known")?;
                // The time of a change, not of a look: a refresh that finds nothing new leaves the entry as it is.
                if resource.attributes != *attributes {
                    resource.attributes = attributes.clone();
                    resource.updated_at = at;
                }
            }
            Record::Adopted { address, id, generation, region, spec, attributes, depends_on } => {
                self.check_settled(address)?;
                self.check_absent(address)?;
                check_id(id)?;
                check_filled(spec)?;
                self.next_generation = self.next_generation.max(generation.saturating_add(1));
                let resource = Resource {
                    id: id.clone(),
                    spec: spec.clone(),
                    attributes: attributes.clone(),
                    depends_on: depends_on.clone(),
                    generation: *generation,
                    region: region.clone(),
                    status: Status::Ready,
                    created_at: at,
                    updated_at: at,
                };
                self.resources.insert(address.clone(), resource);
            }
            Record::Forgotten { address } => {
                self.check_settled(address)?;
                self.resources.remove(address).ok_or("no such resource is known")?;
                self.each_dependency_list(|list| list.retain(|dependency| dependency != address));
            }
            Record::Renamed { from, to } => self.rename(from, to)?,
            Record::Decided { key, decision } => drop(self.decisions.insert(key.clone(), decision.clone())),
            Record::Undecided { key } => drop(self.decisions.remove(key)),
            Record::Settings { region, manifest_digest, outputs } => {
                self.outputs.clone_from(outputs);
                self.region.clone_from(region);
                self.manifest_digest.clone_from(manifest_digest);
            }
        }
        Ok(())
    }

    fn check_intent(&self, address: &Address, action: Action, generation: u64, spec: &Json) -> Result<(), Refusal> {
        self.check_settled(address)?;
        if generation == 0 {
            return Err("generations count from 1".to_owned());
        }
        match (action, self.resources.get(address)) {
            (Action::Keep, _) => return Err("keeping a resource needs no intent".to_owned()),
            (Action::Replace, _) => return Err("a replacement is recorded as a delete and then a create".to_owned()),
            (Action::Create, _) => self.check_absent(address)?,
            (Action::Update | Action::Delete, None) => return Err("no such resource is known".to_owned()),
            // The token of an earlier call would bring back the answer of that call.
            (Action::Update, Some(resource)) if generation <= resource.generation => {
                return Err(format!("generation {generation} was used for it before"));
            }
            (Action::Update | Action::Delete, Some(_)) => {}
        }
        if action == Action::Delete { Ok(()) } else { check_filled(spec) }
    }

    fn got(&mut self, address: &Address, id: &str, at: Timestamp) -> Result<(), Refusal> {
        check_id(id)?;
        let intent = self.open.get_mut(address).ok_or("no intent is open")?;
        if intent.action != Action::Create {
            return Err("only what is being created gets an identifier".to_owned());
        }
        match &intent.id {
            Some(before) if before != id => Err(format!("it has the identifier `{before}` already, and would lose it for `{id}`")),
            _ => {
                intent.id = Some(id.to_owned());
                intent.came_at.get_or_insert(at);
                Ok(())
            }
        }
    }

    fn done(&mut self, address: &Address, attributes: &Json, at: Timestamp) -> Result<(), Refusal> {
        let intent = self.open.get(address).ok_or("no intent is open")?;
        let (id, created_at) = match (intent.action, &intent.id, self.resources.get(address)) {
            (Action::Create, Some(id), _) => (id.clone(), intent.came_at.unwrap_or(at)),
            (Action::Create, None, _) => return Err("the identifier was never recorded".to_owned()),
            (Action::Update, _, Some(resource)) => (resource.id.clone(), resource.created_at),
            _ => return Err("the end of a delete is `Removed`".to_owned()),
        };
        let Some(intent) = self.open.remove(address) else { return Ok(()) };
        let resource = Resource {
            id,
            spec: intent.spec,
            attributes: attributes.clone(),
            depends_on: intent.depends_on,
            generation: intent.generation,
            region: intent.region,
            status: Status::Ready,
            created_at,
            updated_at: at,
        };
        self.resources.insert(address.clone(), resource);
        Ok(())
    }

    fn failed(&mut self, address: &Address, error: &str, at: Timestamp) -> Result<(), Refusal> {
        let intent = self.open.remove(address).ok_or("no intent is open")?;
        let status = Status::Unfinished { because: error.to_owned() };
        match (self.resources.get_mut(address), intent.id) {
            // Half an update or delete may have happened: the inputs that held before are the last that held as a whole.
            (Some(resource), _) => {
                resource.status = status;
                resource.updated_at = at;
            }
            (None, Some(id)) => {
                let OpenIntent { spec, depends_on, generation, region, came_at, .. } = intent;
                let (attributes, created_at, updated_at) = (Json::Null, came_at.unwrap_or(at), at);
                let resource = Resource { id, spec, attributes, depends_on, generation, region, status, created_at, updated_at };
                self.resources.insert(address.clone(), resource);
            }
            (None, None) => {}
        }
        Ok(())
    }

    fn rename(&mut self, from: &Address, to: &Address) -> Result<(), Refusal> {
        if from.kind != to.kind {
            return Err(format!("`{to}` is of another kind"));
        }
        self.check_settled(from)?;
        self.check_settled(to)?;
        if self.resources.contains_key(to) {
            return Err(format!("`{to}` is taken"));
        }
        let resource = self.resources.remove(from).ok_or("no such resource is known")?;
        self.resources.insert(to.clone(), resource);
        self.each_dependency_list(|list| list.iter_mut().filter(|it| *it == from).for_each(|it| it.clone_from(to)));
        Ok(())
    }

    fn each_dependency_list(&mut self, mut change: impl FnMut(&mut Vec<Address>)) {
        self.resources.values_mut().for_each(|resource| change(&mut resource.depends_on));
        self.open.values_mut().for_each(|intent| change(&mut intent.depends_on));
    }

    fn check_settled(&self, address: &Address) -> Result<(), Refusal> {
        match self.open.get(address) {
            Some(intent) => Err(format!("the intent of generation {} for `{address}` is still open", intent.generation)),
            None => Ok(()),
        }
    }

    fn check_absent(&self, address: &Address) -> Result<(), Refusal> {
        match self.resources.get(address) {
            Some(resource) => Err(format!("it exists already as `{}`", resource.id)),
            None => Ok(()),
        }
    }
}

fn check_id(id: &str) -> Result<(), Refusal> {
    if id.is_empty() { Err("the identifier is empty".to_owned()) } else { Ok(()) }
}

fn check_filled(spec: &Json) -> Result<(), Refusal> {
    match references_in(spec).first() {
        Some(reference) => Err(format!("the value of `{reference}` is still pending")),
        None => Ok(()),
    }
}
