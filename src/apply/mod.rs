//! Carries out an approved plan and nothing else: starts each step the moment its dependencies are done, writes its
//! intent down before the call leaves, waits for real states, and settles what an earlier run left open.
//! It decides nothing that the plan did not approve.

mod fallback;
pub mod lives;
mod order;
pub mod recover;
pub mod remember;
pub mod run;
pub mod step;
mod work;
pub mod world;
