//! Container Service (ACK): clusters, node pools, kubeconfigs.

use super::dispatch::unknown_action;
use super::roa::RoaCall;
use super::wire::Response;
use super::wire::fault::Fault;

/// Answers a call.
pub(crate) async fn handle(call: &RoaCall<'_>) -> Result<Response, Fault> {
    match call.route() {
        _ => Err(unknown_action()),
    }
}
