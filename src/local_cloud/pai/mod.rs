//! PAI: training jobs (DLC) and the workspaces they live in (AIWorkspace). Which call a request is stands here; each part
//! of the meaning has its file. Nothing here runs a job: `train` does, after the call was answered.

mod change;
mod command;
mod create;
mod describe;
mod image;
pub(crate) mod job;
mod layout;
mod list;
pub(crate) mod log;
pub(crate) mod mount;
mod product_order;
mod spec;
pub(crate) mod train;
pub(crate) mod workspace;

use http::Method;

use super::dispatch::unknown_action;
use super::paging::Page;
use super::roa::RoaCall;
use super::wire::Response;
use super::wire::fault::Fault;
use super::wire::params::Params;

/// The largest page.
const LARGEST_PAGE: usize = 100;

/// Answers a call of DLC.
pub(crate) async fn dlc(call: &RoaCall<'_>) -> Result<Response, Fault> {
    let (method, path) = call.route();
    let ["api", "v1", path @ ..] = path.as_slice() else { return Err(unknown_action()) };
    let answer = match (method, path) {
        (&Method::POST, ["jobs"]) => create::create(call).await?,
        (&Method::GET, ["jobs"]) => list::jobs(call).await?,
        (&Method::GET, ["jobs", id]) => describe::job(call, id).await?,
        (&Method::PUT, ["jobs", id]) => change::update(call, id).await?,
        (&Method::DELETE, ["jobs", id]) => change::delete(call, id).await?,
        (&Method::POST, ["jobs", id, "stop"]) => change::stop(call, id).await?,
        (&Method::GET, ["jobs", id, "events"]) => log::job_events(call, id).await?,
        (&Method::GET, ["jobs", id, "pods", pod, "logs"]) => log::pod_logs(call, id, pod).await?,
        (&Method::GET, ["jobs", id, "pods", pod, "events"]) => log::pod_events(call, id, pod).await?,
        (&Method::GET, ["ecsspecs"]) => spec::list(call).await?,
        _ => return Err(unknown_action()),
    };
    Ok(respond(call, answer))
}

/// Answers a call of AIWorkspace.
pub(crate) async fn workspace(call: &RoaCall<'_>) -> Result<Response, Fault> {
    let (method, path) = call.route();
    let ["api", "v1", path @ ..] = path.as_slice() else { return Err(unknown_action()) };
    let answer = match (method, path) {
        (&Method::POST, ["workspaces"]) => workspace::create(call).await?,
        (&Method::GET, ["workspaces"]) => workspace::list(call).await?,
        (&Method::GET, ["workspaces", id]) => workspace::get(call, id).await?,
        (&Method::DELETE, ["workspaces", id]) => workspace::delete(call, id).await?,
        (&Method::GET, ["images"]) => image::list(call)?,
        (&Method::POST, ["productorders"]) => product_order::create(call).await?,
        _ => return Err(unknown_action()),
    };
    Ok(respond(call, answer))
}

fn respond(call: &RoaCall<'_>, mut answer: serde_json::Value) -> Response {
    answer["RequestId"] = call.request_id.into();
    call.json(&answer)
}

/// `PageNumber` and `PageSize`, `usual` rows unless told otherwise.
fn page(params: &Params, usual: usize) -> Result<Page, Fault> {
    match params.text("PageSize") {
        Some(_) => Page::numbered(params, LARGEST_PAGE),
        None => Ok(match Page::numbered(params, LARGEST_PAGE)? {
            Page::Number { number, .. } => Page::Number { number, size: usual },
            token @ Page::Token { .. } => token,
        }),
    }
}

/// Whether rows are asked for in the order of descent, which is what DLC does unless told otherwise.
fn descending(params: &Params, usual: &str) -> Result<bool, Fault> {
    match params.text("Order").unwrap_or(usual) {
        order if order.eq_ignore_ascii_case("desc") => Ok(true),
        order if order.eq_ignore_ascii_case("asc") => Ok(false),
        _ => Err(Fault::invalid("Order")),
    }
}

/// A moment that a query names.
fn moment(params: &Params, name: &str) -> Result<Option<jiff::Timestamp>, Fault> {
    params.text(name).map(|text| text.parse().map_err(|_| Fault::invalid(name))).transpose()
}
