//! What aliform can make: one file for each kind of resource. Kinds never import each other; they meet only in
//! the registry and through references between their specs.

pub mod bucket;
pub mod bundle;
pub mod cluster;
pub mod command;
pub mod desired;
pub mod eip;
pub mod error;
pub mod function;
pub mod home;
pub mod instance;
pub mod invocation;
pub mod kind;
pub mod kubernetes_job;
pub mod name;
mod node_pools;
pub mod part;
mod pod_log;
pub mod refresh;
pub mod registry;
pub mod release;
pub mod run;
pub mod runs;
pub mod script;
mod secrets;
pub mod security_group;
pub mod tagged;
mod teller;
pub mod training_job;
mod training_watch;
pub mod vpc;
pub mod vswitch;
pub mod wait;
pub mod workspace;
