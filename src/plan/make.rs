//! Making a plan.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value as Json;

use super::cost::{self, Limits};
use super::diff::{self, Difference};
use super::saved::{Basis, Plan, Wanted};
use crate::graph::{Graph, GraphError};
use crate::model::address::Address;
use crate::model::change::{Action, Change, Effect, FieldDiff, Reason};
use crate::model::cost::Cost;
use crate::model::value::{self, Reference};
use crate::pricing::quote::Quotes;
use crate::resources::desired::Desired;
use crate::resources::error::ResourceError;
use crate::resources::kind::Priced;
use crate::resources::refresh::{Observed, Remembered};
use crate::resources::registry;

/// Everything that a plan follows from.
pub struct Inputs<'a> {
    /// What is wanted; nothing at all for a destroy.
    pub desired: &'a Desired,
    /// What the state remembers.
    pub prior: &'a BTreeMap<Address, Remembered>,
    /// What the cloud says of it.
    pub observed: &'a Observed,
    /// Prices of everything that `to_price` named.
    pub quotes: &'a Quotes,
    /// The manifest's limits.
    pub limits: Limits,
    /// Resources to be made anew although nothing differs.
    pub replace: &'a BTreeSet<Address>,
    /// What the plan is made from; a saved plan is refused once that moved.
    pub basis: Basis,
    /// When.
    pub now: Timestamp,
}

/// No plan can be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A resource's data does not fit its kind.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// Resources need each other in a circle, or need one that is not there.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// What has to be priced before a plan can be made: everything that is there and everything that is wanted.
pub fn to_price(desired: &Desired, prior: &BTreeMap<Address, Remembered>, observed: &Observed) -> Result<BTreeSet<Priced>, ResourceError> {
    let mut wanted = BTreeSet::new();
    for (address, node) in &desired.nodes {
        wanted.extend(registry::kind(address.kind).priced(address, &node.spec)?);
    }
    for (address, remembered) in prior {
        if let Some(Some(attributes)) = observed.get(address) {
            let spec = registry::kind(address.kind).observed(address, &remembered.spec, attributes)?;
            wanted.extend(registry::kind(address.kind).priced(address, &spec)?);
        }
    }
    Ok(wanted)
}

/// Makes the plan.
pub fn plan(inputs: Inputs<'_>) -> Result<Plan, PlanError> {
    let desired = Graph::build(inputs.desired.nodes.iter().map(|(address, node)| (address.clone(), node.depends_on.iter().cloned())))?;
    let mut maker = Maker { inputs: &inputs, settled: BTreeMap::new(), replaced: BTreeSet::new() };
    let mut changes = Vec::new();
    for address in desired.order() {
        changes.push(maker.change(address)?);
    }
    let prior =
        Graph::build_among_known(inputs.prior.iter().map(|(address, remembered)| (address.clone(), remembered.depends_on.clone())))?;
    for address in prior.order().rev().filter(|address| !inputs.desired.nodes.contains_key(*address)) {
        changes.push(maker.deletion(address)?);
    }
    let wanted = inputs
        .desired
        .nodes
        .iter()
        .map(|(address, node)| (address.clone(), Wanted { spec: node.spec.clone(), depends_on: node.depends_on.iter().cloned().collect() }))
        .collect();
    Ok(Plan {
        format: Plan::FORMAT,
        basis: inputs.basis.clone(),
        made_at: inputs.now,
        region: inputs.desired.region.clone(),
        cost: cost::summarise(&changes, inputs.limits),
        changes,
        wanted,
        decisions: inputs.desired.decisions.clone(),
        used: inputs.desired.used.clone(),
        findings: inputs.desired.findings.clone(),
        outputs: inputs.desired.outputs.clone(),
    })
}

struct Maker<'a> {
    inputs: &'a Inputs<'a>,
    /// Attributes that are known already and will still hold after the apply.
    settled: BTreeMap<Address, Json>,
    /// Resources that are made anew.
    replaced: BTreeSet<Address>,
}

impl Maker<'_> {
    fn cost(&self, address: &Address, spec: &Json) -> Result<Cost, PlanError> {
        let priced = registry::kind(address.kind).priced(address, spec)?;
        Ok(priced.and_then(|priced| self.inputs.quotes.get(&priced).cloned()).unwrap_or_default())
    }

    /// What the cloud has of a remembered resource: its attributes and its spec as it stands there.
    fn present(&self, address: &Address) -> Result<Option<(Json, Json)>, PlanError> {
        let (Some(remembered), Some(Some(attributes))) = (self.inputs.prior.get(address), self.inputs.observed.get(address)) else {
            return Ok(None);
        };
        let spec = registry::kind(address.kind).observed(address, &remembered.spec, attributes)?;
        Ok(Some((attributes.clone(), spec)))
    }

    fn change(&mut self, address: &Address) -> Result<Change, PlanError> {
        let kind = registry::kind(address.kind);
        let mut wanted = self.inputs.desired.nodes[address].spec.clone();
        value::fill(&mut wanted, &|reference: &Reference| self.settled.get(&reference.address)?.get(&reference.attribute).cloned());
        let remembered = self.inputs.prior.get(address);
        let Some((remembered, (attributes, present))) = remembered.zip(self.present(address)?) else {
            let reason = match remembered.map(|remembered| &remembered.unfinished) {
                None => Reason::NotYetCreated,
                Some(None) => Reason::Gone,
                Some(Some(because)) => Reason::Unfinished { because: because.clone() },
            };
            return self.creation(address, &wanted, reason);
        };
        let differences = diff::differences(&present, &wanted);
        let mut fields: Vec<FieldDiff> = Vec::new();
        let mut reasons = Vec::new();
        if let Some(because) = &remembered.unfinished {
            reasons.push(Reason::Unfinished { because: because.clone() });
        }
        for Difference { path, before, after } in differences {
            let effect = kind.effect(&path, &before, &after);
            reasons.push(self.reason(remembered, &path, &after, effect));
            fields.push(FieldDiff { path, before, after, effect });
        }
        let action = if fields.iter().any(|field| field.effect == Effect::ForcesReplace) || self.inputs.replace.contains(address) {
            Action::Replace
        } else if reasons.is_empty() {
            Action::Keep
        } else {
            Action::Update
        };
        let paths: Vec<&str> = fields.iter().map(|field| field.path.as_str()).collect();
        let effects = if action == Action::Update { kind.side_effects(&paths) } else { Vec::new() };
        if action == Action::Replace {
            self.replaced.insert(address.clone());
        } else {
            let mut settled = attributes;
            if let Some(map) = settled.as_object_mut() {
                kind.unsettles(&paths).iter().for_each(|attribute| drop(map.remove(*attribute)));
            }
            self.settled.insert(address.clone(), settled);
        }
        reasons.dedup();
        let (cost_before, cost_after) = (self.cost(address, &present)?, self.cost(address, &wanted)?);
        Ok(Change { address: address.clone(), action, reasons, id: Some(remembered.id.clone()), fields, effects, cost_before, cost_after })
    }

    fn reason(&self, remembered: &Remembered, path: &str, after: &Json, effect: Effect) -> Reason {
        if let Some(reference) = value::reference_in(after)
            && self.replaced.contains(&reference.address)
        {
            return Reason::DependencyReplaced { address: reference.address };
        }
        let path = path.to_owned();
        if diff::at(&remembered.spec, &path) == after { Reason::Drifted { path, effect } } else { Reason::FieldChanged { path, effect } }
    }

    fn creation(&mut self, address: &Address, wanted: &Json, reason: Reason) -> Result<Change, PlanError> {
        self.replaced.insert(address.clone());
        let fields = diff::differences(&Json::Null, wanted)
            .into_iter()
            .filter(|difference| !difference.path.is_empty())
            .map(|Difference { path, before, after }| FieldDiff { path, before, after, effect: Effect::InPlace })
            .collect();
        Ok(Change {
            address: address.clone(),
            action: Action::Create,
            reasons: vec![reason],
            id: None,
            fields,
            effects: Vec::new(),
            cost_before: Cost::FREE,
            cost_after: self.cost(address, wanted)?,
        })
    }

    fn deletion(&self, address: &Address) -> Result<Change, PlanError> {
        let present = self.present(address)?;
        let reason = if present.is_some() { Reason::NotWanted } else { Reason::Gone };
        let cost_before = present.map(|(_, spec)| self.cost(address, &spec)).transpose()?.unwrap_or_default();
        Ok(Change {
            address: address.clone(),
            action: Action::Delete,
            reasons: vec![reason],
            id: Some(self.inputs.prior[address].id.clone()),
            fields: Vec::new(),
            effects: Vec::new(),
            cost_before,
            cost_after: Cost::FREE,
        })
    }
}
