//! `aliform state`: looks into the state, or mends it.

use aliform::model::address::Address;
use aliform::resources::registry;
use aliform::resources::runs::goes_on;
use aliform::state::contents::{Resource, Status};
use aliform::state::lock::{LockFound, break_lock, look_at_lock};
use aliform::state::store::Store;

use crate::args;
use crate::error::{CommandError, LOCKED};
use crate::output::Output;
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace, arguments: &args::State, out: &Output) -> Result<u8, CommandError> {
    let stack = workspace.stack()?;
    let directory = workspace.state_directory();
    let read = || Store::read(&directory, &stack)?.ok_or_else(|| CommandError::failed(format!("stack `{stack}` has no state yet")));
    match arguments {
        args::State::List => {
            let state = read()?;
            let rows = state.resources.iter().map(|(address, resource)| {
                vec![address.to_string(), resource.id.clone(), resource.region.clone(), status(address, resource)]
            });
            out.table(&["address", "id", "region", "status"], rows.collect());
        }
        args::State::Show { address: None } => out.json(&serde_json::json!(read()?)),
        args::State::Show { address: Some(address) } => {
            let state = read()?;
            let resource = state.resources.get(address).ok_or_else(|| unknown(address))?;
            out.json(&serde_json::json!(resource));
        }
        args::State::Mv { from, to } => {
            workspace.open(&stack, "state mv", None)?.rename(from, to)?;
            out.note(&format!("`{from}` is `{to}` from now on."));
        }
        args::State::Rm { address } => {
            let store = workspace.open(&stack, "state rm", None)?;
            let id =
                store.look(|state| state.resources.get(address).map(|resource| resource.id.clone())).ok_or_else(|| unknown(address))?;
            store.remove(address)?;
            out.note(&format!("`{address}` is forgotten. `{id}` goes on existing in the cloud, and costs what it costs."));
        }
        args::State::Unlock { force } => {
            if let LockFound { held: true, holder } = look_at_lock(&directory, &stack)?
                && !force
            {
                let who = holder.map_or_else(|| "a process".to_owned(), |holder| holder.to_string());
                return Err(CommandError::new(LOCKED, format!("the lock is held by {who}, which is alive"))
                    .hint("wait until it is done; `aliform state unlock --force` breaks its lock, and it can't write the state any more"));
            }
            let found = break_lock(&directory, &stack)?;
            out.note(&match (found.held, found.holder) {
                (_, None) => "Nobody held the lock.".to_owned(),
                (true, Some(holder)) => format!("The lock of {holder} is broken; it can't write any more."),
                (false, Some(holder)) => format!("{holder} died and left a note; it is removed."),
            });
        }
    }
    Ok(0)
}

/// A word for how it is; a run that is over is done, or failed.
fn status(address: &Address, resource: &Resource) -> String {
    let kind = registry::kind(address.kind);
    let word = match &resource.status {
        Status::Unfinished { .. } => "unfinished",
        Status::Ready if goes_on(&resource.attributes) => "unfinished",
        Status::Ready if !kind.ends() => "ready",
        Status::Ready => match kind.failure(address, &resource.attributes) {
            Ok(None) => "done",
            Ok(Some(_)) | Err(_) => "failed",
        },
    };
    word.to_owned()
}

fn unknown(address: &Address) -> CommandError {
    CommandError::failed(format!("`{address}` is not in the state")).hint("see `aliform state list`")
}
