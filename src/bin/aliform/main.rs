//! The command line: reads arguments, makes the engine's surroundings, shows what happens, maps errors to exit
//! codes. Everything that decides anything is in the library.

mod args;
mod commands;
mod error;
mod interrupt;
mod output;
mod render;
mod run_logs;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // A machine of the local cloud is this same program; it has to enter its namespaces before any thread exists.
    if std::env::args_os().nth(1).is_some_and(|first| first == "machine-agent") {
        return aliform::local_cloud::machines::agent::main();
    }
    let cli = match args::Cli::try_parse() {
        Ok(cli) => cli,
        Err(problem) => {
            let wrong = problem.use_stderr();
            // Nothing is left to do if even the usage can't be written.
            let _ = problem.print();
            return ExitCode::from(if wrong { error::USAGE } else { 0 });
        }
    };
    let out = output::Output::new(&cli.global);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(problem) => return out.fail(&error::CommandError::failed(format!("the runtime can't start: {problem}"))),
    };
    match runtime.block_on(commands::run(&cli, &out)) {
        Ok(code) => ExitCode::from(code),
        Err(problem) => out.fail(&problem),
    }
}
