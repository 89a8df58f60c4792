//! Carries out an approved plan and nothing else: starts each step the moment its dependencies are done, writes its
//! intent down before the call leaves, waits for real states, and settles what an earlier run left open.
//! It decides nothing that the plan did not approve.

pub mod end;
mod fallback;
pub mod lives;
mod order;
pub mod orphans;
pub mod recover;
pub mod remember;
pub mod run;
pub mod step;
pub mod sweep;
mod work;
pub mod world;
