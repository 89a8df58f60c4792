//! What a run was approved with, kept beside its state: whoever brings it to its end later has neither the command line
//! nor the manifest, and must do nothing else than what was approved.

use aliform::model::address::Address;
use aliform::plan::cost::Limits;
use aliform::plan::saved::Plan;
use aliform::state::contents::State;
use aliform::state::store::Store;
use serde::{Deserialize, Serialize};

use super::ends;
use crate::error::CommandError;
use crate::workspace::Workspace;

/// The format that this version writes and reads.
const FORMAT: u32 = 1;

/// What a run was approved with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Approved {
    format: u32,
    /// The job.
    pub(crate) job: String,
    /// What runs, in the user's words.
    pub(crate) command: String,
    /// Whether what a failed run ran on stays.
    pub(crate) keep_failed: bool,
    /// What it may cost.
    pub(crate) limits: Limits,
    /// What was approved.
    pub(crate) plan: Plan,
}

impl Approved {
    pub(crate) fn new(job: String, command: String, keep_failed: bool, limits: Limits, plan: Plan) -> Self {
        Approved { format: FORMAT, job, command, keep_failed, limits, plan }
    }

    /// Keeps it; it lasts when this returns.
    pub(crate) fn keep(&self, store: &Store) -> Result<(), CommandError> {
        let document = serde_json::to_vec(self).map_err(|error| CommandError::failed("the plan has no JSON form").because(error))?;
        Ok(store.keep_approved(&document)?)
    }

    /// What the last run of a stack was approved with; `None` if there was none.
    pub(crate) fn read(workspace: &Workspace, stack: &str) -> Result<Option<Self>, CommandError> {
        let Some(document) = Store::approved(&workspace.state_directory(), stack)? else { return Ok(None) };
        let wrong = |reason: &dyn std::fmt::Display| {
            let message = format!("what the run of stack `{stack}` was approved with can't be read by this version");
            CommandError::failed(message).because(reason).hint(format!("release what it holds with `aliform run --release {stack}`"))
        };
        let approved: Approved = serde_json::from_slice(&document).map_err(|error| wrong(&error))?;
        if approved.format != FORMAT {
            return Err(wrong(&format!("its format is {}, this version knows {FORMAT}", approved.format)));
        }
        Ok(Some(approved))
    }
}

/// A stack with runs in its state, over or not.
pub(crate) struct Found {
    /// The stack.
    pub(crate) stack: String,
    /// Its state.
    pub(crate) state: State,
    /// Its runs.
    pub(crate) runs: Vec<Address>,
    /// Whether `aliform run` began them, so that they can be gone on with.
    pub(crate) resumable: bool,
}

impl Found {
    /// The job that a run is of.
    pub(crate) fn job(&self, run: &Address) -> String {
        let spec = self.state.resources.get(run).map(|resource| &resource.spec);
        let spec = spec.or_else(|| self.state.open.get(run).map(|intent| &intent.spec));
        spec.and_then(|spec| spec["part"]["job"].as_str()).unwrap_or(&run.name).to_owned()
    }

    /// The same with the runs of that job only, if it has one of that name.
    pub(crate) fn only(mut self, job: Option<&str>) -> Self {
        let of = |run: &Address| job.is_some_and(|job| run.name == job || self.job(run) == job);
        let some: Vec<Address> = self.runs.iter().filter(|run| of(run)).cloned().collect();
        if !some.is_empty() {
            self.runs = some;
        }
        self
    }

    /// Whether it is called so: by its stack, by its job.
    fn is_called(&self, name: &str) -> bool {
        self.stack == name || self.stack == format!("run-{name}") || self.runs.iter().any(|run| run.name == name || self.job(run) == name)
    }
}

/// Every stack here that has runs. A state that can't be read has none: the commands on that stack say so.
pub(crate) fn all(workspace: &Workspace) -> Vec<Found> {
    let directory = workspace.state_directory();
    let found = workspace.stacks().into_iter().filter_map(|stack| {
        let state = Store::read(&directory, &stack).ok()??;
        let begun = state.open.iter().filter(|(address, intent)| ends(address) && intent.id.is_some()).map(|(address, _)| address);
        let mut runs: Vec<Address> = state.resources.keys().filter(|address| ends(address)).chain(begun).cloned().collect();
        runs.sort();
        runs.dedup();
        let resumable = Store::approved(&directory, &stack).is_ok_and(|approved| approved.is_some());
        (!runs.is_empty()).then_some(Found { stack, state, runs, resumable })
    });
    found.collect()
}

/// Those that are called so; all of them without a name.
pub(crate) fn called(workspace: &Workspace, name: Option<&str>) -> Vec<Found> {
    let all = all(workspace);
    // The name of a stack is the whole name.
    let exact = all.iter().any(|found| name == Some(&found.stack));
    all.into_iter().filter(|found| name.is_none_or(|name| if exact { found.stack == name } else { found.is_called(name) })).collect()
}

/// Says that one of several has to be named.
pub(crate) fn ambiguous(found: &[Found]) -> CommandError {
    let stacks: Vec<String> = found.iter().map(|found| format!("`{}`", found.stack)).collect();
    CommandError::new(crate::error::USAGE, format!("{} runs are remembered here", found.len()))
        .hint(format!("name the stack of one: {}", stacks.join(", ")))
}
