//! Elastic Compute Service, version 2014-05-26.

pub mod assistant;
pub mod catalogue;
pub mod instance;
pub mod security_group;
