//! The words that every room of the house shares: addresses, values that may still be unknown, money,
//! changes and their reasons, findings, events, diagnostics.
//!
//! This is the leaf: it imports no other module of the crate, does no input or output, reads no clock.

pub mod address;
pub mod change;
pub mod clock;
pub mod cost;
pub mod decision;
pub mod diagnostic;
pub mod event;
pub mod finding;
pub mod money;
pub mod offer;
pub mod region;
pub mod runtime;
pub mod secret;
pub mod shortage;
pub mod units;
pub mod value;
