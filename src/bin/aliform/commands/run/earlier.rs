//! What an earlier command left of a run, as the state had it before anything was settled: a machine that was on its way
//! out then is gone now, and was paid all the same.

use std::collections::BTreeMap;

use aliform::apply::lives::Lives;
use aliform::apply::remember::remembered;
use aliform::model::address::Address;
use aliform::model::change::Action;
use aliform::model::cost::{Charge, Cost, CostLine};
use aliform::plan::resumed::resumed;
use aliform::state::contents::State;
use aliform::state::store::Store;
use serde_json::Value as Json;

use super::approved::Approved;
use super::ends;
use crate::workspace::{Workspace, clock};

/// What was there.
pub(super) struct Earlier {
    state: State,
    /// What it cost by the line, as it was approved.
    prices: BTreeMap<Address, Cost>,
}

impl Earlier {
    /// To be called before anything is settled, and before another plan is approved.
    pub(super) fn look(workspace: &Workspace, store: &Store) -> Self {
        let state = store.state();
        // What can't be read says no price; going on with the run says why.
        let approved = Approved::read(workspace, &state.stack).ok().flatten();
        let approved = approved.filter(|approved| approved.plan.basis.lineage == state.lineage);
        let stood = approved.map(|approved| resumed(&approved.plan, &remembered(&state), state.serial, clock().now()).changes);
        let prices = stood.into_iter().flatten().map(|change| (change.address, change.cost_before)).collect();
        Earlier { state, prices }
    }

    /// Tells of everything that went before the plan was made, which was made from `now`.
    pub(super) fn tell(&self, lives: &Lives<'_>, now: &State) {
        for (address, resource) in self.state.resources.iter().filter(|(address, _)| !ends(address)) {
            if now.resources.get(address).is_some_and(|stands| stands.id == resource.id) {
                continue;
            }
            let taken = self.state.open.get(address).filter(|intent| intent.action == Action::Delete).map(|intent| intent.since);
            let unknown = || {
                let charge = Charge::Unknown { because: "what was approved for it is not known".to_owned() };
                Cost { lines: vec![CostLine { item: address.to_string(), charge }] }
            };
            let cost = self.prices.get(address).cloned().unwrap_or_else(unknown);
            lives.went(address, resource, taken.unwrap_or_else(|| lives.now()), cost);
        }
    }

    /// What a resource was like.
    pub(super) fn spec(&self, address: &Address) -> Option<&Json> {
        self.state.resources.get(address).map(|resource| &resource.spec)
    }
}
