//! The binary: hands the hidden agent argument on before any thread exists.

use std::process::ExitCode;

use aliform::local_cloud::machines::agent;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == agent::ARGUMENT) {
        return agent::main();
    }
    ExitCode::SUCCESS
}
