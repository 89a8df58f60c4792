//! From a manifest to a plan, without any cloud: each rule of choosing, comparing and pricing as a test of its own.
//! Answers about stock and prices come from a table; what an apply would leave behind is made up from the wishes.

mod apply;
mod change;
mod choice;
mod drift;
mod fresh;
mod job;
mod job_ack;
mod job_fc;
mod job_pai;
mod money;
mod network;
mod region;
mod script;
mod selection;
mod service;
mod stage;
