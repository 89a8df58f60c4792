//! Function Compute 3.0: functions from code, synchronous and asynchronous invocations.
//!
//! | file | what it does |
//! |---|---|
//! | `settings`, `check`, `code` | what a function is told to be, and whether it may be so |
//! | `function`, `trigger`, `asynchronous` | the calls that keep functions and what belongs to them |
//! | `pool` | which instances there are, and who uses them |
//! | `instance` | the life of one instance on its machine |
//! | `start` | how a runtime comes up within |
//! | `invoke` | one invocation on an instance; InvokeFunction |
//! | `task`, `worker` | asynchronous invocations: what is told of them, and how they are carried out |
//! | `visitor` | requests that come in at a function's own address |
//!
//! A runtime is a server inside its machine: a custom one as the real service has it, Python and Node by a bootstrap of
//! our own that speaks the same protocol. An invocation is an HTTP request from within the machine, so that nothing of
//! the system but the runtime itself is needed, and results are bytes of any size.
//!
//! As with instances of ECS, sizes are checked and billed and not enforced. Where machines are plain processes they
//! share the computer's ports: two instances whose servers insist on one port do not come up beside each other there.

mod asynchronous;
mod check;
pub(crate) mod code;
pub(crate) mod function;
mod instance;
mod invoke;
pub(crate) mod pool;
mod settings;
mod start;
pub(crate) mod task;
pub(crate) mod trigger;
mod visitor;
pub(crate) mod worker;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Method;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::call::Outcome;
use super::paging::Page;
use super::roa::RoaCall;
use super::runtime::Shared;
use super::store::World;
use super::wire::fault::Fault;
use super::wire::{Request, Response};
use settings::invalid;

pub(crate) use visitor::answer as answer_visitor;

/// Answers a call.
pub(crate) async fn handle(call: &RoaCall<'_>) -> Result<Response, Fault> {
    let id = request_id(call.shared, call.request_id);
    let mut response = route(call, &id).await.unwrap_or_else(|fault| refusal(&fault, &id));
    response.headers.push(("x-fc-request-id".to_owned(), id));
    Ok(response)
}

async fn route(call: &RoaCall<'_>, id: &str) -> Result<Response, Fault> {
    let (method, path) = call.route();
    let ["2023-03-30", "functions", rest @ ..] = path.as_slice() else { return Err(unsupported(call)) };
    let (get, put, post, delete) = (*method == Method::GET, *method == Method::PUT, *method == Method::POST, *method == Method::DELETE);
    match rest {
        [] if post => function::create(call).await.map(|body| answer(200, id, &body)),
        [] if get => function::list(call).map(|body| answer(200, id, &body)),
        [name] if get => function::get(call, name).map(|body| answer(200, id, &body)),
        [name] if put => function::update(call, name).await.map(|body| answer(200, id, &body)),
        [name] if delete => function::delete(call, name).await.map(|_| empty(204)),
        [name, "code"] if get => function::code(call, name).map(|body| answer(200, id, &body)),
        [name, "concurrency"] if put => function::put_concurrency(call, name).await.map(|body| answer(200, id, &body)),
        [name, "invocations"] if post => invoke::call(call, name, id).await,
        [name, "instances"] if get => instance::list(call, name, id).map(|body| answer(200, id, &body)),
        [name, "async-invoke-config"] if put => asynchronous::put(call, name).await.map(|body| answer(200, id, &body)),
        [name, "async-invoke-config"] if get => asynchronous::get(call, name).map(|body| answer(200, id, &body)),
        [name, "async-invoke-config"] if delete => asynchronous::delete(call, name).await.map(|_| empty(204)),
        [name, "async-tasks"] if get => task::list(call, name).map(|body| answer(200, id, &body)),
        [name, "async-tasks", task] if get => task::get(call, name, task).map(|body| answer(200, id, &body)),
        [name, "async-tasks", task, "stop"] if put => task::stop(call, name, task).await.map(|body| answer(200, id, &body)),
        [name, "triggers"] if post => trigger::create(call, name).await.map(|body| answer(200, id, &body)),
        [name, "triggers"] if get => trigger::list(call, name).map(|body| answer(200, id, &body)),
        [name, "triggers", trigger] if get => trigger::get(call, name, trigger).map(|body| answer(200, id, &body)),
        [name, "triggers", trigger] if delete => trigger::delete(call, name, trigger).await.map(|_| empty(204)),
        _ => Err(unsupported(call)),
    }
}

fn unsupported(call: &RoaCall<'_>) -> Fault {
    Fault::bad("PathNotSupported", format!("'{}' against '{}' is not supported", call.request.method, call.request.path))
}

/// A request id as this product gives them: `1-64f7449a-127fbe39cd7681596e33ebad`.
fn request_id(shared: &Shared, general: &str) -> String {
    let hash = hex::encode(Sha256::digest(general));
    format!("1-{:08x}-{}", shared.now().as_second().max(0), &hash[..24])
}

fn answer(status: u16, id: &str, body: &Json) -> Response {
    Response::json(status, id, body)
}

fn empty(status: u16) -> Response {
    Response { status, headers: Vec::new(), body: Bytes::new(), dropped: false }
}

fn refusal(fault: &Fault, id: &str) -> Response {
    let body = json!({ "Code": fault.code, "Message": fault.message, "RequestId": id });
    Response::json(fault.status, id, &body)
}

/// The key of a function's row.
fn key_of(region: &str, name: &str) -> String {
    format!("{region}/{name}")
}

fn arn(account: &str, region: &str, name: &str) -> String {
    format!("acs:fc:{region}:{account}:functions/{name}")
}

/// The function that a call names, or why there is none.
fn find<'a>(world: &'a World, region: &str, name: &str) -> Result<&'a function::Function, Fault> {
    let missing = || Fault::missing("FunctionNotFound", format!("function '{name}' does not exist."));
    world.functions.get(&key_of(region, name)).ok_or_else(missing)
}

/// There are no versions and aliases: only what was last updated.
fn check_qualifier(qualifier: Option<&str>, name: &str) -> Result<(), Fault> {
    match qualifier {
        None | Some("" | "LATEST") => Ok(()),
        Some(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            Err(Fault::missing("VersionNotFound", format!("version '{number}' of function '{name}' does not exist")))
        }
        Some(alias) => Err(Fault::missing("AliasNotFound", format!("alias '{alias}' of function '{name}' does not exist"))),
    }
}

/// Changes the world, once the change is on disk. For what is no call of its own.
async fn change<R>(shared: &std::sync::Arc<Shared>, change: impl FnOnce(&mut World, jiff::Timestamp) -> R) -> Result<R, Fault> {
    let (outcome, number) = shared.commit(change);
    shared.settle(number).await.map_err(|reason| Fault::new(500, "InternalServerError", reason))?;
    Ok(outcome)
}

/// The page of rows that `limit` and `nextToken` ask for. Rows come in the order of their keys.
fn page<'a, T>(call: &RoaCall<'_>, name: &str, usual: usize, rows: impl Iterator<Item = (&'a str, T)>) -> Result<(Vec<T>, String), Fault> {
    let size = call.params.number::<usize>("limit").map_err(|_| invalid("limit is not a number"))?.unwrap_or(usual);
    if !(1..=100).contains(&size) {
        return Err(invalid(format!("limit {size} is invalid: 1 to 100")));
    }
    let after = match call.params.text(name) {
        None => String::new(),
        Some(token) => {
            let bytes = URL_SAFE_NO_PAD.decode(token).ok();
            bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| invalid(format!("{name} is invalid")))?
        }
    };
    let cut = Page::Token { after, size }.cut(rows);
    Ok((cut.rows, cut.next_token))
}

/// Whether a request is for a function's own address, and not for a product.
pub(crate) fn is_visitor(request: &Request) -> bool {
    visitor::is_one(request)
}

/// Ends every instance and lets none come any more: the server goes down.
pub(crate) async fn end_all(shared: &std::sync::Arc<Shared>) {
    instance::end_all(shared).await;
}

/// The body of a call as a JSON object.
fn object(call: &RoaCall<'_>) -> Result<serde_json::Map<String, Json>, Fault> {
    if call.request.body.is_empty() {
        return Ok(serde_json::Map::new());
    }
    serde_json::from_slice(&call.request.body).map_err(|error| invalid(format!("the request body is not a JSON object: {error}")))
}

/// One field of a body, `None` if it is missing or null.
fn field<T: serde::de::DeserializeOwned>(body: &serde_json::Map<String, Json>, name: &str) -> Result<Option<T>, Fault> {
    match body.get(name) {
        None | Some(Json::Null) => Ok(None),
        Some(value) => serde_json::from_value(value.clone()).map(Some).map_err(|error| invalid(format!("{name} is invalid: {error}"))),
    }
}

/// Changes the world for a call.
async fn commit(call: &RoaCall<'_>, change: impl FnOnce(&mut super::call::Call) -> Outcome) -> Outcome {
    call.commit(change).await
}
