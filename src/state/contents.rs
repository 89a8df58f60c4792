//! What a state is made of. Plain data: how it changes is in `transition`, how it is kept in `store`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::model::address::Address;
use crate::model::change::Action;
use crate::model::decision::Decision;

/// The format that this aliform writes, and the newest that it reads. Any new field is a new version.
pub const VERSION: u32 = 1;

/// Everything that is remembered of a stack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The version of this format.
    pub version: u32,
    /// The name of the stack.
    pub stack: String,
    /// 128 random bits in hexadecimal, drawn once when the state begins. Everything created carries it as a tag.
    pub lineage: String,
    /// How many times a snapshot was written.
    pub serial: u64,
    /// A number larger than every generation that an intent was ever recorded with.
    pub next_generation: u64,
    /// The region that was settled on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The digest of the manifest applied last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_digest: Option<String>,
    /// The outputs: texts in which attributes stand as `${instance.web-1.public_ip}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, String>,
    /// What was chosen for the user, by the name of the question.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub decisions: BTreeMap<String, Decision>,
    /// What exists in the cloud.
    #[serde(default)]
    pub resources: BTreeMap<Address, Resource>,
    /// What was begun and is not settled: the next plan or apply has to settle it before it does anything else.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub open: BTreeMap<Address, OpenIntent>,
}

impl State {
    /// The state of a stack of which nothing is known yet.
    pub fn new(stack: impl Into<String>, lineage: impl Into<String>) -> Self {
        State {
            version: VERSION,
            stack: stack.into(),
            lineage: lineage.into(),
            serial: 0,
            next_generation: 1,
            region: None,
            manifest_digest: None,
            outputs: BTreeMap::new(),
            decisions: BTreeMap::new(),
            resources: BTreeMap::new(),
            open: BTreeMap::new(),
        }
    }

    /// Why this can't be the state of `stack`, if it can't: what no sequence of records leads to.
    pub(super) fn contradiction(&self, stack: &str) -> Option<String> {
        if self.stack != stack {
            return Some(format!("it is the state of the stack `{}`", self.stack));
        }
        if self.version == 0 || self.lineage.is_empty() {
            return Some("it has no format version or no lineage".to_owned());
        }
        let generations = self.resources.values().map(|resource| resource.generation);
        let largest = generations.chain(self.open.values().map(|intent| intent.generation)).max();
        if largest.is_some_and(|largest| largest >= self.next_generation) {
            return Some(format!("`next_generation` is {} although a larger one was given out", self.next_generation));
        }
        self.open.iter().find_map(|(address, intent)| {
            let exists = self.resources.contains_key(address);
            (intent.address != *address || exists == (intent.action == Action::Create))
                .then(|| format!("the open intent for `{address}` does not fit what exists"))
        })
    }
}

/// A resource that exists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// The identifier that the cloud gave.
    pub id: String,
    /// The inputs applied last, every reference filled in.
    pub spec: Json,
    /// What the cloud said about it last; null if it never did.
    pub attributes: Json,
    /// What it was built on, as far as it is in the stack.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<Address>,
    /// The generation of the intent that the inputs are from.
    pub generation: u64,
    /// Where it is.
    pub region: String,
    /// Whether the last thing done to it came to its end.
    pub status: Status,
    /// When it was first known to exist.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created_at: Timestamp,
    /// When this entry changed last.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub updated_at: Timestamp,
}

/// Whether the last thing done to a resource came to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Status {
    /// It did.
    Ready,
    /// It did not: the resource exists, but not as the manifest wants it.
    Unfinished {
        /// What went wrong.
        because: String,
    },
}

/// Something that was begun and of which the end is not recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenIntent {
    /// The resource.
    pub address: Address,
    /// What was begun: create, update or delete.
    pub action: Action,
    /// The number that the token is made of.
    pub generation: u64,
    /// The `ClientToken` of the call: sent again with it, the call happens once.
    pub token: String,
    /// Where the call goes.
    pub region: String,
    /// The digest of the request.
    pub digest: String,
    /// The inputs of the request.
    pub spec: Json,
    /// What it is built on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<Address>,
    /// The identifier, as soon as the cloud gave one to what is being created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// When it gave it: it is paid for from then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub came_at: Option<Timestamp>,
    /// When it was recorded.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub since: Timestamp,
}

/// The JSON Schema of a snapshot.
pub fn json_schema() -> Json {
    schemars::schema_for!(State).to_value()
}
