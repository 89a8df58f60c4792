//! Function Compute 3.0: functions from code, synchronous and asynchronous invocations.

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
