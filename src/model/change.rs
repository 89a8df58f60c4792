//! What a plan wants to do to one resource, and why, as data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::address::Address;
use super::cost::Cost;

/// The first key of a saved plan, by which the file is known for one: it is no part of the source it may lie in.
pub const SAVED_PLAN_KEY: &str = "aliform_plan";

/// What happens to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Nothing.
    Keep,
    /// It is made.
    Create,
    /// It is changed where it stands.
    Update,
    /// It is deleted and made anew.
    Replace,
    /// It is deleted.
    Delete,
}

/// What changing a field does to the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The cloud can change it in place.
    InPlace,
    /// The cloud can't; the resource has to be replaced.
    ForcesReplace,
}

/// Why a resource changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// The manifest wants it and the state does not know it.
    NotYetCreated,
    /// The manifest does not want it any more, or everything is being taken down.
    NotWanted,
    /// The state knows it, the cloud does not any more.
    Gone,
    /// The last apply did not bring it to its end.
    Unfinished {
        /// What went wrong then, if it is known.
        because: String,
    },
    /// The manifest wants another value than the one applied last.
    FieldChanged {
        /// The field, `rules`, `system_disk.size`.
        path: String,
        /// What that does to the resource.
        effect: Effect,
    },
    /// Someone else changed the field in the cloud.
    Drifted {
        /// The field.
        path: String,
        /// What mending it does to the resource.
        effect: Effect,
    },
    /// The last run of the job did not end well.
    RunFailed {
        /// How it ended.
        because: String,
    },
    /// The cloud itself ends it, and too soon for what is to run on it.
    EndsTooSoon {
        /// When.
        at: String,
    },
    /// A resource that it is built on is replaced.
    DependencyReplaced {
        /// That resource.
        address: Address,
    },
}

/// One field's value now and wanted. A value still to come is `{"$pending": "vpc.main.id"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldDiff {
    /// The field, dots between levels.
    pub path: String,
    /// The value now; null if there is none.
    pub before: Json,
    /// The value wanted; null if it goes away.
    pub after: Json,
    /// What the change does to the resource.
    pub effect: Effect,
}

/// Everything a plan says about one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Which resource.
    pub address: Address,
    /// What happens.
    pub action: Action,
    /// Why; empty only for `keep`.
    pub reasons: Vec<Reason>,
    /// The identifier it has in the cloud now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The fields that differ; for a creation all of them.
    pub fields: Vec<FieldDiff>,
    /// What an update does besides, `stops and starts the instance`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<String>,
    /// What it costs now.
    pub cost_before: Cost,
    /// What it will cost.
    pub cost_after: Cost,
}
