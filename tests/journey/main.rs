//! The whole journey as a user makes it: the real program, a real local cloud of its own for each test, real machines,
//! real processes. Each test starts in a copy of an example and takes everything down again.

mod again;
mod before;
mod bill;
mod change;
mod crash;
mod detach;
mod drift;
mod elsewhere;
mod failover;
mod golden;
mod home;
mod job;
mod job_ack;
mod job_fc;
mod job_pai;
mod life;
mod matrix;
mod money;
mod plain;
#[path = "../ports/mod.rs"]
mod ports;
mod products;
mod quote;
mod receipt;
mod run;
mod script;
mod secret;
mod service;
mod stage;
mod sweep;
mod two;
