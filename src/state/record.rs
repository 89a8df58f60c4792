//! What can happen to a state, as one closed list: the records of the journal.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::model::address::Address;
use crate::model::change::Action;
use crate::model::decision::Decision;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "record", rename_all = "snake_case", deny_unknown_fields)]
pub enum Record {
    /// A call is about to be sent. A replacement is two intents: a delete, then a create.
    Intent {
        /// The resource.
        address: Address,
        /// Create, update or delete.
        action: Action,
        /// From [`super::store::Store::allocate_generation`].
        generation: u64,
        /// From [`super::token::client_token`].
        token: String,
        /// Where the call goes.
        region: String,
        /// The digest of the request.
        digest: String,
        /// The inputs, every reference filled in.
        spec: Json,
        /// What the resource is built on.
        depends_on: Vec<Address>,
    },
    /// The cloud gave an identifier to what is being created. Again with the same one is no news.
    Got {
        /// The resource.
        address: Address,
        /// Its identifier.
        id: String,
    },
    /// A create or an update came to its end.
    Done {
        /// The resource.
        address: Address,
        /// What the cloud says about it now.
        attributes: Json,
    },
    /// The intent did not succeed, and that is certain. What has an identifier stays, unfinished; a create without
    /// one left nothing behind. Must not be recorded while the call may still have happened.
    Failed {
        /// The resource.
        address: Address,
        /// Why.
        error: String,
    },
    /// The resource does not exist: it was deleted, vanished, or the create of it is proven not to have happened.
    Removed {
        /// The resource.
        address: Address,
    },
    /// The cloud was asked about a resource that nothing is being done to.
    Observed {
        /// The resource.
        address: Address,
        /// What the cloud says about it now.
        attributes: Json,
    },
    /// A resource that exists already is taken into the state: an import, or a recovery from tags.
    Adopted {
        /// The name it gets.
        address: Address,
        /// Its identifier.
        id: String,
        /// From [`super::store::Store::allocate_generation`].
        generation: u64,
        /// Where it is.
        region: String,
        /// The inputs it would have been made with.
        spec: Json,
        /// What the cloud says about it.
        attributes: Json,
        /// What it is built on, as far as it is in the stack.
        depends_on: Vec<Address>,
    },
    /// A resource is no longer this stack's business; it goes on existing in the cloud.
    Forgotten {
        /// The resource.
        address: Address,
    },
    /// A resource has another name from now on.
    Renamed {
        /// Its name until now.
        from: Address,
        /// Its name from now on, of the same kind.
        to: Address,
    },
    /// A choice was made.
    Decided {
        /// The name of the question, `region`, `apps.web.instance_type`.
        key: String,
        /// The answer.
        decision: Decision,
    },
    /// A choice is open again, or nobody asks any more.
    Undecided {
        /// The name of the question.
        key: String,
    },
    /// What holds for the stack as a whole; all of it is taken as given, so `None` clears.
    Settings {
        /// The region that was settled on.
        region: Option<String>,
        /// The digest of the manifest being applied.
        manifest_digest: Option<String>,
        /// The outputs, references still in them.
        outputs: BTreeMap<String, String>,
    },
}

impl Record {
    /// Its name in messages, as in the enum.
    pub const fn name(&self) -> &'static str {
        match self {
            Record::Intent { .. } => "Intent",
            Record::Got { .. } => "Got",
            Record::Done { .. } => "Done",
            Record::Failed { .. } => "Failed",
            Record::Removed { .. } => "Removed",
            Record::Observed { .. } => "Observed",
            Record::Adopted { .. } => "Adopted",
            Record::Forgotten { .. } => "Forgotten",
            Record::Renamed { .. } => "Renamed",
            Record::Decided { .. } => "Decided",
            Record::Undecided { .. } => "Undecided",
            Record::Settings { .. } => "Settings",
        }
    }

    /// The resource it is about, if one.
    pub const fn address(&self) -> Option<&Address> {
        match self {
            Record::Intent { address, .. }
            | Record::Got { address, .. }
            | Record::Done { address, .. }
            | Record::Failed { address, .. }
            | Record::Removed { address }
            | Record::Observed { address, .. }
            | Record::Adopted { address, .. }
            | Record::Forgotten { address }
            | Record::Renamed { from: address, .. } => Some(address),
            Record::Decided { .. } | Record::Undecided { .. } | Record::Settings { .. } => None,
        }
    }

    /// The generation it uses up, if it does.
    pub(super) const fn generation(&self) -> Option<u64> {
        match self {
            Record::Intent { generation, .. } | Record::Adopted { generation, .. } => Some(*generation),
            _ => None,
        }
    }
}
