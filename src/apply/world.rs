//! Everything around an apply: the cloud, the state, who listens, where secrets and bundles are.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value as Json;

use crate::cloud::call::Cloud;
use crate::model::address::Address;
use crate::model::clock::Clock;
use crate::model::event::EventSink;
use crate::model::secret::Secrets;
use crate::resources::kind::{Artifacts, Context, Identity};
use crate::state::store::Store;

/// What an apply works with.
pub struct World<'a> {
    /// The cloud.
    pub cloud: &'a dyn Cloud,
    /// The time.
    pub clock: &'a dyn Clock,
    /// The open state.
    pub store: &'a Store,
    /// Whose resources these are.
    pub identity: &'a Identity,
    /// Who is told.
    pub events: &'a dyn EventSink,
    /// Where secrets are.
    pub secrets: &'a dyn Secrets,
    /// Where bundles are.
    pub artifacts: &'a dyn Artifacts,
    /// Names the reason in a failed application's log, and the way out.
    pub explain: &'a (dyn Fn(&str) -> Option<Explanation> + Sync),
    /// Generations of creations that were begun, may have happened, and were not found: a new attempt uses them
    /// again, so that the cloud recognises the call by its token.
    pub unsettled: Mutex<BTreeMap<Address, u64>>,
    /// Whether what a run needed stays if it fails, for somebody to look at, instead of being released with it.
    pub keep_failed: bool,
    /// Whether runs are left once they have begun, and what they need with them.
    pub detach: bool,
    /// How long fetching what a run left may take that is stopped.
    pub rescue_within: &'a (dyn Fn() -> Duration + Sync),
}

/// Why an application failed, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl<'a> World<'a> {
    /// What a kind may use for one resource.
    pub(super) fn context<'b>(&'b self, address: &'b Address, region: &'b str, token: &'b str) -> Context<'b>
    where
        'a: 'b,
    {
        Context {
            cloud: self.cloud,
            clock: self.clock,
            region,
            identity: self.identity,
            address,
            token,
            deadline: None,
            events: self.events,
            secrets: self.secrets,
            artifacts: self.artifacts,
        }
    }

    /// An attribute of a resource as the state has it.
    pub(super) fn attribute(&self, address: &Address, attribute: &str) -> Option<Json> {
        self.store.look(|state| state.resources.get(address)?.attributes.get(attribute).cloned())
    }
}
