//! What an application is, read from its source folder only: its runtime, how it is built and started, the bundle
//! that goes to the machine, the scripts that run there, and what its log says when it fails.
//!
//! Nothing here talks to a cloud, reads the environment or runs a program; equal folders give equal answers.

pub mod bundle;
pub mod detect;
pub mod failure;
pub mod function;
pub mod outputs;
pub mod scripts;
mod walk;
