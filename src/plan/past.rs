//! Runs of jobs that are over, and what is not wanted any more because of that: a machine that was there for one run
//! is not made again.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use crate::model::address::Address;
use crate::resources::desired::Desired;
use crate::resources::error::ResourceError;
use crate::resources::refresh::Remembered;
use crate::resources::registry;
use crate::resources::runs;

/// Why the last run did not end well, if it was one and did not.
pub(super) fn failure(address: &Address, remembered: &Remembered) -> Result<Option<String>, ResourceError> {
    let kind = registry::kind(address.kind);
    if !kind.ends() || remembered.unfinished.is_some() || remembered.attributes.is_null() {
        return Ok(None);
    }
    kind.failure(address, &remembered.attributes)
}

/// Whether it is a run that came to its end, well or not: it costs nothing any more.
pub(super) fn has_ended(address: &Address, remembered: &Remembered) -> bool {
    let attributes = &remembered.attributes;
    let begun = remembered.unfinished.is_none() && !attributes.is_null();
    registry::kind(address.kind).ends() && begun && !runs::goes_on(attributes)
}

/// Whether what is wanted ran already, and ended well.
fn is_over(address: &Address, wanted: &Json, remembered: &Remembered) -> Result<bool, ResourceError> {
    let finished = remembered.unfinished.is_none() && !remembered.attributes.is_null();
    Ok(finished && wanted.get("digest") == remembered.spec.get("digest") && failure(address, remembered)?.is_none())
}

/// What is still to be wanted, if that is another thing than what was wanted: runs that are over stand as they ran, and
/// what served only them is gone.
pub(super) fn without_past(desired: &Desired, prior: &BTreeMap<Address, Remembered>) -> Result<Option<Desired>, ResourceError> {
    let mut over = BTreeSet::new();
    for (address, node) in desired.nodes.iter().filter(|(address, _)| registry::kind(address.kind).ends()) {
        if let Some(remembered) = prior.get(address)
            && is_over(address, &node.spec, remembered)?
        {
            over.insert(address);
        }
    }
    if over.is_empty() {
        return Ok(None);
    }
    let mut left = desired.clone();
    left.released.retain(|address, runs| {
        let served = runs.iter().all(|run| over.contains(run));
        if served {
            left.nodes.remove(address);
        }
        !served
    });
    let there: BTreeSet<Address> = left.nodes.keys().cloned().collect();
    for address in over {
        if let (Some(node), Some(remembered)) = (left.nodes.get_mut(address), prior.get(address)) {
            node.spec = remembered.spec.clone();
            node.depends_on.retain(|dependency| there.contains(dependency));
        }
    }
    Ok(Some(left))
}
