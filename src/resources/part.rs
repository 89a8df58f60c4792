//! One of several runs of a job: which one, and what it is told. What it runs on is no concern of it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The field of a run's spec that says how many of its job go on at once. A run that goes on is none the less the same.
pub const AT_ONCE: &str = "part.at_once";

/// One of several runs of a job. The name that its run has ends with `-` and the number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Part {
    /// The job.
    pub job: String,
    /// Its number, all of the same length.
    pub number: String,
    /// Its parameters.
    pub parameters: BTreeMap<String, String>,
    /// Where its outputs go below those of the job.
    pub folder: String,
    /// How many runs of the job go on at once, where no machines do that count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_once: Option<u32>,
}

impl Part {
    /// What it finds in its environment: its parameters, and which one it is.
    pub fn variables(&self) -> BTreeMap<String, String> {
        let mut variables = self.parameters.clone();
        variables.insert("PART".to_owned(), self.number.clone());
        variables
    }
}

/// Where the outputs of a run go below those of all jobs.
pub fn place(job: &str, part: Option<&Part>) -> String {
    part.map_or_else(|| job.to_owned(), |part| format!("{}/{}", part.job, part.folder))
}
