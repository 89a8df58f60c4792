//! `aliform run --resume`: brings a run to its end that goes on in the cloud, or was left by a program that died. It makes
//! nothing: what it does was approved when the run began.

use aliform::apply::remember::remembered;
use aliform::cloud::api::ask;
use aliform::cloud::sts::GetCallerIdentity;
use aliform::model::cost::Total;
use aliform::model::secret::{SecretSource, Secrets};
use aliform::plan::resumed::resumed;
use aliform::resolve::bundles::Bundles;
use aliform::resources::runs;
use aliform::state::contents::State;
use aliform::state::store::Store;

use super::approved::{Approved, ambiguous, called};
use super::course::{Course, Ended, Manners};
use super::earlier::Earlier;
use super::ends;
use crate::args;
use crate::commands::planning::{Made, identity, settle};
use crate::error::{CommandError, FAILED};
use crate::output::Output;
use crate::workspace::{Workspace, clock};

/// The stack that is meant: the one named, or the only one with a run.
fn stack(workspace: &Workspace, name: Option<&str>) -> Result<String, CommandError> {
    let mut found = called(workspace, name);
    found.retain(|found| found.resumable);
    match (found.pop(), found.is_empty()) {
        (Some(found), true) => Ok(found.stack),
        (Some(last), false) => {
            found.push(last);
            Err(ambiguous(&found))
        }
        (None, _) => {
            let message =
                name.map_or_else(|| "no run is under way here".to_owned(), |name| format!("no run of `{name}` is under way here"));
            let error =
                CommandError::failed(message).hint("`aliform run SCRIPT --detach` begins one; `aliform status` shows those under way");
            let left = name.filter(|name| workspace.stacks().iter().any(|stack| stack == name));
            Err(left
                .into_iter()
                .fold(error, |error, name| error.hint(format!("what an earlier run left is released with `aliform run --release {name}`"))))
        }
    }
}

pub(super) async fn run(workspace: &Workspace, name: Option<&str>, arguments: &args::Run, out: &Output) -> Result<u8, CommandError> {
    let stack = stack(workspace, name)?;
    let store = workspace.open(&stack, "run --resume", None)?;
    let ended = go_on(workspace, &store, &stack, arguments, out).await;
    let removed = store.remove_if_empty();
    let code = ended?;
    removed?;
    Ok(code)
}

async fn go_on(workspace: &Workspace, store: &Store, stack: &str, arguments: &args::Run, out: &Output) -> Result<u8, CommandError> {
    let release = || format!("release what it holds with `{} run --release {stack}`", out.program());
    // Somebody may have brought it to its end a moment ago.
    let gone = || CommandError::failed(format!("the run of stack `{stack}` is not under way any more")).hint(release());
    let approved = Approved::read(workspace, stack)?.ok_or_else(gone)?;
    if approved.plan.basis.lineage != store.look(|state| state.lineage.clone()) {
        return Err(CommandError::failed(format!("what lies beside stack `{stack}` was approved for another life of it")).hint(release()));
    }
    let earlier = Earlier::look(workspace, store);
    let client = workspace.connect(out).await?;
    // A machine that is gone is billed until it went by the cloud's time, and refusals don't tell that: an answer does.
    ask(&client, &approved.plan.region, &GetCallerIdentity {}).await?;
    let unsettled = settle(workspace, &client, store, &identity(&store.state()), &Bundles::default(), out.events()).await?;
    store.finish()?;
    let state = store.state();
    if !state.resources.keys().any(ends) {
        return Err(CommandError::failed(format!("the run of stack `{stack}` was never begun"))
            .hint("give the command again that was to begin it")
            .hint(release()));
    }
    out.note(&format!("Going on with job `{}`{}.", approved.job, since(&state)));
    warn_of_secrets(workspace, &state, out);
    let made = Made {
        plan: resumed(&approved.plan, &remembered(&state), state.serial, clock().now()),
        bundles: Bundles::at(workspace.directory.clone()),
        unsettled,
        limits: approved.limits.clone(),
        ways: Vec::new(),
        begun: state.resources.keys().filter(|address| ends(address)).cloned().collect(),
    };
    let manners = Manners {
        parallelism: arguments.doing.parallelism,
        keep_failed: approved.keep_failed || arguments.keep_on_failure,
        detach: false,
        last: true,
    };
    let course = Course { workspace, client: &client, store, earlier: &earlier, out };
    match course.take(&made, &approved, manners, &Total::default()).await? {
        Ended::Finally(code) => Ok(code),
        Ended::SoldOut(_) => Ok(FAILED),
    }
}

/// When it was begun, if that is known.
fn since(state: &State) -> String {
    let begun = state.resources.values().find(|resource| runs::goes_on(&resource.attributes));
    begun.and_then(|run| run.attributes["begun_at"].as_str()).map(|at| format!(", begun at {at}")).unwrap_or_default()
}

/// What is not known here can't be taken out of what a run says.
pub(crate) fn warn_of_secrets(workspace: &Workspace, state: &State, out: &Output) {
    let specs = state.resources.iter().filter(|(address, _)| ends(address)).map(|(_, resource)| &resource.spec);
    let sources = specs.filter_map(|spec| spec["secrets"].as_object()).flat_map(|secrets| secrets.values());
    let mut unset: Vec<String> = sources
        .filter_map(|source| source.as_str()?.parse::<SecretSource>().ok())
        .filter(|source| workspace.read(source).is_none())
        .map(|source| format!("`{}`", source.variable))
        .collect();
    unset.sort();
    unset.dedup();
    if !unset.is_empty() {
        out.note(&format!("{} not set here: what the run writes of it is shown as it is.", unset.join(", ")));
    }
}
