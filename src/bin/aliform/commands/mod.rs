//! One file for each command.

pub(crate) mod alternatives;
pub(crate) mod apply;
pub(crate) mod check;
pub(crate) mod cloud;
pub(crate) mod destroy;
pub(crate) mod graph;
pub(crate) mod init;
mod left;
pub(crate) mod logs;
pub(crate) mod outputs;
pub(crate) mod plan;
pub(crate) mod planning;
pub(crate) mod purse;
pub(crate) mod quote;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod state;
pub(crate) mod status;
pub(crate) mod sweep;
pub(crate) mod validate;

use clap::CommandFactory;

use crate::args::{Cli, Command};
use crate::error::CommandError;
use crate::output::Output;
use crate::workspace::Workspace;

/// Runs a command and gives back the exit code.
pub(crate) async fn run(cli: &Cli, out: &Output) -> Result<u8, CommandError> {
    let workspace = Workspace::new(&cli.global);
    dispatch(cli, &workspace, out).await.map_err(|error| {
        // Whoever has no account has another way on.
        let lacks = error.message.starts_with("no credentials") && !workspace.local;
        if lacks { error.hint("to try it without an account, add `--local`: an Alibaba Cloud on this machine") } else { error }
    })
}

async fn dispatch(cli: &Cli, workspace: &Workspace, out: &Output) -> Result<u8, CommandError> {
    if matches!(cli.command, Command::Plan(_) | Command::Apply(_) | Command::Run(_) | Command::Status) {
        left::tell(workspace, out);
    }
    match &cli.command {
        Command::Init(arguments) => init::run(workspace, arguments, out),
        Command::Validate => validate::run(workspace, out),
        Command::Plan(arguments) => plan::run(workspace, arguments, out).await,
        Command::Apply(arguments) => apply::run(workspace, arguments, out).await,
        Command::Destroy(arguments) => destroy::run(workspace, arguments, out).await,
        Command::Run(arguments) => run::run(workspace, arguments, out).await,
        Command::Sweep(arguments) => sweep::run(workspace, arguments, out).await,
        Command::Quote(arguments) => quote::run(workspace, arguments, out).await,
        Command::Status => status::run(workspace, out).await,
        Command::Logs(arguments) => logs::run(workspace, arguments, out).await,
        Command::Check => check::run(workspace, out).await,
        Command::Output(arguments) => outputs::run(workspace, arguments, out),
        Command::Graph(arguments) => graph::run(workspace, arguments, out).await,
        Command::State(arguments) => state::run(workspace, arguments, out),
        Command::Cloud(arguments) => cloud::run(workspace, arguments, out).await,
        Command::Schema(arguments) => schema::run(arguments, out),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "aliform", &mut script);
            out.text(&String::from_utf8_lossy(&script));
            Ok(0)
        }
    }
}
