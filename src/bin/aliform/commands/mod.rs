//! One file for each command.

pub mod apply;
pub mod check;
pub mod cloud;
pub mod destroy;
pub mod graph;
pub mod init;
pub mod logs;
pub mod outputs;
pub mod plan;
pub mod planning;
pub mod schema;
pub mod state;
pub mod status;
pub mod validate;

use clap::CommandFactory;

use crate::args::{Cli, Command};
use crate::error::CommandError;
use crate::output::Output;
use crate::workspace::Workspace;

/// Runs a command and gives back the exit code.
pub async fn run(cli: &Cli, out: &Output) -> Result<u8, CommandError> {
    let workspace = Workspace::new(&cli.global);
    match &cli.command {
        Command::Init(arguments) => init::run(&workspace, arguments, out),
        Command::Validate => validate::run(&workspace, out),
        Command::Plan(arguments) => plan::run(&workspace, arguments, out).await,
        Command::Apply(arguments) => apply::run(&workspace, arguments, out).await,
        Command::Destroy(arguments) => destroy::run(&workspace, arguments, out).await,
        Command::Status => status::run(&workspace, out).await,
        Command::Logs(arguments) => logs::run(&workspace, arguments, out).await,
        Command::Check => check::run(&workspace, out).await,
        Command::Output(arguments) => outputs::run(&workspace, arguments, out),
        Command::Graph(arguments) => graph::run(&workspace, arguments, out).await,
        Command::State(arguments) => state::run(&workspace, arguments, out),
        Command::Cloud(arguments) => cloud::run(&workspace, arguments, out).await,
        Command::Schema(arguments) => schema::run(arguments, out),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "aliform", &mut script);
            out.text(&String::from_utf8_lossy(&script));
            Ok(0)
        }
    }
}
