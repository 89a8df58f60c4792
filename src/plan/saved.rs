//! A plan as it is shown, saved and applied.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufWriter};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use super::cost::Summary;
use crate::model::address::Address;
use crate::model::change::{Action, Change};
use crate::model::decision::Decision;
use crate::model::finding::Finding;
use crate::model::offer::{Fallback, Offer};
use crate::resources::desired::Used;

/// What a plan was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Basis {
    /// The stack.
    pub stack: String,
    /// The lineage of its state.
    pub lineage: String,
    /// The state's serial.
    pub serial: u64,
    /// SHA-256 of the manifest, in hex; empty for a destroy.
    pub manifest_digest: String,
    /// Whether everything is being taken down.
    pub destroy: bool,
}

/// A resource wanted: its spec with references, and what it needs first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Wanted {
    /// The spec.
    pub spec: Json,
    /// What has to exist before it.
    pub depends_on: Vec<Address>,
}

/// What will be done, why, and for how much.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The format of this document. Its key comes first and is [`SAVED_PLAN_KEY`](crate::model::change::SAVED_PLAN_KEY).
    #[serde(rename = "aliform_plan")]
    pub format: u32,
    /// SHA-256 over the rest of it, in hex: what is applied is what was reviewed.
    pub digest: String,
    /// What it was made from.
    pub basis: Basis,
    /// When it was made.
    #[schemars(with = "String")]
    pub made_at: Timestamp,
    /// The region of everything in it.
    pub region: String,
    /// One entry for each resource: first what is wanted, dependencies first; then what goes, dependents first.
    pub changes: Vec<Change>,
    /// The money.
    pub cost: Summary,
    /// The resources wanted.
    pub wanted: BTreeMap<Address, Wanted>,
    /// What is released once these runs are over, however they end.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub released: BTreeMap<Address, BTreeSet<Address>>,
    /// What was compared for this plan, by what it is for, best first; empty where everything was decided before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub offers: BTreeMap<String, Vec<Offer>>,
    /// What may be taken for an instance that is sold out by then, in order; nothing else may.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fallbacks: BTreeMap<Address, Vec<Fallback>>,
    /// Subnets that are made only if a fallback needs one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub standby: BTreeMap<Address, Wanted>,
    /// What was chosen, and why.
    pub decisions: BTreeMap<String, Decision>,
    /// What is used without being ours.
    pub used: Vec<Used>,
    /// What a reviewer should know.
    pub findings: Vec<Finding>,
    /// The outputs, references still in them.
    pub outputs: BTreeMap<String, String>,
    /// What the cloud says of resources that stay, where the state says something else. An apply takes it into the
    /// state first, since references are filled from there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub observed: BTreeMap<Address, Json>,
}

/// A saved plan that must not be applied any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StalePlan {
    /// Somebody edited it, or it was cut.
    #[error("the plan is not the one that was made: its digest does not fit")]
    Altered,
    /// It is of another stack or another life of it.
    #[error("the plan is for stack `{plan}`, and here is `{here}`")]
    OtherStack {
        /// The plan's stack.
        plan: String,
        /// This one.
        here: String,
    },
    /// Someone applied since.
    #[error("the state moved on since the plan was made: its serial was {plan} then and is {here} now")]
    StateMoved {
        /// The serial planned from.
        plan: u64,
        /// The serial now.
        here: u64,
    },
    /// The manifest is another.
    #[error("the manifest changed since the plan was made")]
    ManifestMoved,
}

/// A digest that is written to.
struct Sum(Sha256);

impl io::Write for Sum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Plan {
    /// The format that this version writes and reads.
    pub const FORMAT: u32 = 1;

    /// The changes that do something.
    pub fn actions(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.action != Action::Keep)
    }

    /// Whether nothing has to be done.
    pub fn is_empty(&self) -> bool {
        self.actions().next().is_none()
    }

    /// The same plan with the digest that belongs to its content.
    pub(super) fn sealed(mut self) -> Plan {
        self.digest = String::new();
        let mut sum = BufWriter::with_capacity(1 << 16, Sum(Sha256::new()));
        // Plain data always has a JSON form, and a digest takes whatever is written to it.
        let written = serde_json::to_writer(&mut sum, &self).map_err(io::Error::from).and_then(|()| Ok(sum.into_inner()?));
        // Without a digest the plan fits none, and is refused.
        self.digest = written.map(|sum| hex::encode(sum.0.finalize())).unwrap_or_default();
        self
    }

    /// Refuses a plan that is not as it was made, or was made from something else than what is here now.
    pub fn check(&self, here: &Basis) -> Result<(), StalePlan> {
        if self.digest.is_empty() || self.digest != self.clone().sealed().digest {
            return Err(StalePlan::Altered);
        }
        let plan = &self.basis;
        if plan.stack != here.stack || plan.lineage != here.lineage {
            return Err(StalePlan::OtherStack { plan: plan.stack.clone(), here: here.stack.clone() });
        }
        if plan.serial != here.serial {
            return Err(StalePlan::StateMoved { plan: plan.serial, here: here.serial });
        }
        if plan.manifest_digest != here.manifest_digest {
            return Err(StalePlan::ManifestMoved);
        }
        Ok(())
    }

    /// The JSON Schema of the document.
    pub fn json_schema() -> Json {
        schemars::schema_for!(Plan).into()
    }
}
