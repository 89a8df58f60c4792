//! aliform: declarative plan and apply for Alibaba Cloud.
//!
//! The rooms, bottom-up, and what each is for. The layers are held by `tests/layering.rs`.
//!
//! | room | what it does |
//! |---|---|
//! | [`model`] | the shared words: addresses, values, money, changes, events |
//! | [`graph`] | what depends on what |
//! | [`manifest`] | text to a typed manifest, every complaint with its place |
//! | [`project`] | what an application is: language, scripts, bundle |
//! | [`state`] | snapshot, journal and lock on disk |
//! | [`cloud`] | the client of Alibaba Cloud |
//! | [`resources`] | one file for each kind of resource |
//! | [`pricing`] | answers of price calls and tariffs to cost |
//! | [`resolve`] | intent to a graph of desired resources |
//! | [`plan`] | desired, remembered and observed to changes; pure |
//! | [`apply`] | carries out a plan, waits, recovers |
//! | [`local_cloud`] | an Alibaba Cloud on your own machine |
//!
//! On disk: `.aliform/<stack>.state.json`, `.aliform/<stack>.journal`, `.aliform/<stack>.lock`, and the local
//! cloud's own `.aliform/cloud/`.

// The answer that describes an instance is one large JSON literal.
#![recursion_limit = "256"]

pub mod apply;
pub mod cloud;
pub mod graph;
pub mod local_cloud;
pub mod manifest;
pub mod model;
pub mod plan;
pub mod pricing;
pub mod project;
pub mod resolve;
pub mod resources;
pub mod state;
