//! What the manifest comes to: the resources wanted, with what they depend on.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::model::address::Address;
use crate::model::decision::Decision;
use crate::model::finding::Finding;
use crate::model::offer::{Fallback, Offer};

/// A resource wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its spec; values of other resources stand in it as references.
    pub spec: Json,
    /// What has to exist before it.
    pub depends_on: BTreeSet<Address>,
}

/// Something that exists already and is used, never changed or deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Used {
    /// `vpc`, `vswitch`, `security_group`, `instance`.
    pub what: String,
    /// Its identifier.
    pub id: String,
    /// What the user should know about it.
    pub note: String,
}

/// Everything wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// The region all of it lives in; empty only when nothing is wanted.
    pub region: String,
    /// The resources.
    pub nodes: BTreeMap<Address, Node>,
    /// What serves nothing but runs of jobs, with those runs: once all of them are over it is released.
    pub released: BTreeMap<Address, BTreeSet<Address>>,
    /// What was compared before something was chosen, by what it is for: `jobs.train`.
    pub offers: BTreeMap<String, Vec<Offer>>,
    /// What may be taken for an instance that can't be had, in order.
    pub fallbacks: BTreeMap<Address, Vec<Fallback>>,
    /// Subnets that are made only if a fallback needs one.
    pub standby: BTreeMap<Address, Node>,
    /// Runs that are one of several of a job, with that job; all others have its name.
    pub parts: BTreeMap<Address, String>,
    /// How much jobs send to the internet, those that say it, in MiB.
    pub traffic: BTreeMap<String, u64>,
    /// What was chosen, and why.
    pub decisions: BTreeMap<String, Decision>,
    /// What is used without being ours.
    pub used: Vec<Used>,
    /// What a reviewer should know.
    pub findings: Vec<Finding>,
    /// The outputs: texts in which references may stand as `${instance.web-1.public_ip}`.
    pub outputs: BTreeMap<String, String>,
}
