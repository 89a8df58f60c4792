//! The Kubernetes API of each cluster, and what makes its objects true: controllers that make and end pods, and one
//! worker for each pod that runs it on a machine. It knows nothing of how clusters come and go; `cs` does.
//!
//! | folder | what it does |
//! |---|---|
//! | `api` | requests: who, what, which objects |
//! | `controller` | what follows from objects without anybody asking: jobs, scheduling, cleaning up |
//! | `kubelet` | pods on machines: images, containers, logs |

pub(crate) mod access;
pub(crate) mod api;
pub(crate) mod bootstrap;
pub(crate) mod controller;
pub(crate) mod kind;
pub(crate) mod kubelet;
pub(crate) mod log;
pub(crate) mod pod;
pub(crate) mod quantity;
pub(crate) mod space;
pub(crate) mod status;

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;

/// The start of the paths of all clusters: `/_kubernetes/<cluster>/api/v1/...`.
pub(crate) const PREFIX: &str = "/_kubernetes/";

/// A body that may come bit by bit.
pub(crate) type Body = BoxBody<Bytes, Infallible>;
