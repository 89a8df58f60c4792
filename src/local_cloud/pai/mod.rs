//! PAI: training jobs (DLC) and the workspaces they live in (AIWorkspace).

use super::dispatch::unknown_action;
use super::roa::RoaCall;
use super::wire::Response;
use super::wire::fault::Fault;

/// Answers a call.
pub(crate) async fn dlc(call: &RoaCall<'_>) -> Result<Response, Fault> {
    match call.route() {
        _ => Err(unknown_action()),
    }
}

/// Answers a call.
pub(crate) async fn workspace(call: &RoaCall<'_>) -> Result<Response, Fault> {
    match call.route() {
        _ => Err(unknown_action()),
    }
}
