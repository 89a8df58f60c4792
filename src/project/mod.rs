//! What an application or a job is, read from its source folder only: its runtime, how it is built and started, the
//! bundle that goes to the machine, the scripts that run there, what can be told of them before they run, what they
//! fetch and from where, and what a log says when something fails.
//!
//! Nothing here talks to a cloud, reads the environment or runs a program; equal folders give equal answers.

pub mod bundle;
pub mod checks;
pub mod code;
pub mod detect;
pub mod failure;
pub mod fetches;
pub mod function;
pub mod outputs;
pub mod scripts;
mod walk;
