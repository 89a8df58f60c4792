//! `aliform destroy`: shows what will go and what that saves, asks, takes it away in reverse order.

use super::apply::carry_out;
use super::planning::{Aim, Manner, make};
use crate::args;
use crate::error::CommandError;
use crate::output::Output;
use crate::workspace::Workspace;

pub(crate) async fn run(workspace: &Workspace, arguments: &args::Destroy, out: &Output) -> Result<u8, CommandError> {
    let store = workspace.open(&workspace.stack()?, "destroy", None)?;
    let client = workspace.connect(out).await?;
    let made = make(workspace, &client, &store, &Aim::Nothing, &Manner::default(), out.events()).await?;
    carry_out(workspace, &client, &store, made, &arguments.doing, &[], out).await
}
