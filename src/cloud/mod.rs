//! The client of Alibaba Cloud: one struct for each call, how it is signed, where it goes, and how often it is
//! tried. It knows the wire and nothing of plans; it never decides what to create.

pub mod aiworkspace;
pub mod api;
pub mod bss;
pub mod call;
pub mod count;
pub mod credentials;
pub mod cs;
pub mod dates;
pub mod dlc;
pub mod ecs;
pub mod endpoint;
pub mod error;
pub mod fc;
pub mod http;
pub mod kubernetes;
pub mod limit;
pub mod oss;
pub mod patient;
pub mod permission;
pub mod retry;
pub mod scope;
pub mod sign;
pub mod sts;
pub mod vpc;
