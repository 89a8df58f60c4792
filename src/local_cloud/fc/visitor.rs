//! Requests that are no calls of the API: those for a function's own address, where its HTTP trigger stands, and those
//! for a link to a code package. Addresses are known by the host that is named; they are served on the local cloud's
//! own port, without TLS.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value as Json, json};

use super::function::{Function, PACKAGES, link_is_good};
use super::invoke::{Done, Invocation, to_its_end};
use super::settings::Family;
use super::trigger::Trigger;
use super::{key_of, refusal, request_id};
use crate::local_cloud::runtime::Shared;
use crate::local_cloud::time::seconds;
use crate::local_cloud::wire::encoding::pairs;
use crate::local_cloud::wire::fault::Fault;
use crate::local_cloud::wire::{Request, Response};

const DOMAIN: &str = ".fcapp.run";
/// Headers that belong to one connection only.
const OF_THE_CONNECTION: [&str; 6] = ["host", "connection", "content-length", "transfer-encoding", "upgrade", "keep-alive"];

/// Whether a request is one of these.
pub(super) fn is_one(request: &Request) -> bool {
    request.host_name().ends_with(DOMAIN) || (request.method == http::Method::GET && request.path.starts_with(PACKAGES))
}

/// Answers it.
pub(crate) async fn answer(shared: &Arc<Shared>, request: &Request) -> Response {
    let id = request_id(shared, &shared.request_id());
    let answered = if request.host_name().ends_with(DOMAIN) { visit(shared, request, &id).await } else { package(shared, request).await };
    let mut response = answered.unwrap_or_else(|fault| refusal(&fault, &id));
    response.headers.retain(|(name, _)| name != "x-fc-request-id");
    response.headers.push(("x-fc-request-id".to_owned(), id));
    response
}

async fn package(shared: &Arc<Shared>, request: &Request) -> Result<Response, Fault> {
    let digest = request.path.strip_prefix(PACKAGES).unwrap_or_default();
    let query: BTreeMap<String, String> = pairs(&request.query).into_iter().collect();
    let expires = query.get("Expires").and_then(|text| text.parse().ok()).unwrap_or(0);
    let told = query.get("Signature").map_or("", String::as_str);
    if !link_is_good(&shared.config, digest, expires, told, shared.now()) {
        return Err(Fault::forbidden("AccessDenied", "the link is not valid, or not valid any more"));
    }
    let body = shared.blobs.get(digest).await.map_err(|_| Fault::missing("NoSuchKey", "the package is not there any more"))?;
    let headers = vec![("content-type".to_owned(), "application/zip".to_owned())];
    Ok(Response { status: 200, headers, body, dropped: false })
}

/// The trigger whose address it is, and its function.
fn find(shared: &Shared, host: &str) -> Option<(Trigger, Function)> {
    let (label, region) = host.strip_suffix(DOMAIN)?.split_once('.')?;
    let (region, internal) = region.strip_suffix("-vpc").map_or((region, false), |region| (region, true));
    let world = shared.world();
    let prefix = format!("{region}/");
    let (_, trigger) = world
        .function_triggers
        .starting_with(&prefix)
        .find(|(_, trigger)| trigger.label == label && (internal || !trigger.disable_internet))?;
    let function = world.functions.get(&key_of(region, &trigger.function))?;
    Some((trigger.clone(), function.clone()))
}

async fn visit(shared: &Arc<Shared>, request: &Request, id: &str) -> Result<Response, Fault> {
    let missing = || Fault::missing("TriggerNotFound", format!("no function answers at {}", request.host_name()));
    let (trigger, function) = find(shared, request.host_name()).ok_or_else(missing)?;
    if !trigger.methods.iter().any(|method| *method == request.method.as_str()) {
        return Err(Fault::forbidden("AccessDenied", format!("the trigger does not take {}", request.method)));
    }
    let raw = matches!(function.settings.family(), Some(Family::Custom | Family::Container));
    let done = to_its_end(shared, function, if raw { passed_on(request, id) } else { as_event(shared, request, id)? }).await?;
    Ok(if raw { given_back(&done) } else { from_result(&done) })
}

fn headers_of(request: &Request) -> impl Iterator<Item = &(String, String)> {
    request.headers.iter().filter(|(name, _)| !OF_THE_CONNECTION.contains(&name.as_str()) && !name.starts_with("x-fc-"))
}

/// A server of the function's own sees the request itself.
fn passed_on(request: &Request, id: &str) -> Invocation {
    let query = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
    Invocation {
        request_id: id.to_owned(),
        method: request.method.clone(),
        path: format!("{}{query}", request.path),
        headers: headers_of(request).cloned().collect(),
        event: request.body.clone(),
        tail: false,
    }
}

/// A handler sees an event that tells of it.
fn as_event(shared: &Shared, request: &Request, id: &str) -> Result<Invocation, Fault> {
    let headers: BTreeMap<&str, &str> = headers_of(request).map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let query: BTreeMap<String, String> = pairs(&request.query).into_iter().collect();
    let now = shared.now();
    let event = json!({
        "version": "v1",
        "rawPath": request.path,
        "headers": headers,
        "queryParameters": query,
        "body": STANDARD.encode(&request.body),
        "isBase64Encoded": true,
        "requestContext": {
            "accountId": shared.config.account,
            "domainName": request.host_name(),
            "domainPrefix": request.host_name().split('.').next(),
            "http": {
                "method": request.method.as_str(),
                "path": request.path,
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": request.header("user-agent").unwrap_or_default(),
            },
            "requestId": id,
            "time": seconds(now),
            "timeEpoch": now.as_millisecond().to_string(),
        },
    });
    let event = serde_json::to_vec(&event).map_err(|error| Fault::new(500, "InternalServerError", error.to_string()))?;
    Ok(Invocation {
        request_id: id.to_owned(),
        method: http::Method::POST,
        path: "/invoke".to_owned(),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        event: Bytes::from(event),
        tail: false,
    })
}

/// The answer of a function's own server, or 502 if it broke off.
fn given_back(done: &Done) -> Response {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = done.response.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value)));
    let mut headers: Vec<(String, String)> = headers.filter(|(name, _)| !OF_THE_CONNECTION.contains(&name.as_str())).collect();
    // A status of the server's own is no error of the service.
    let broke_off = done.error.is_some() && done.response.status().is_success() && done.response.headers().is_empty();
    if let Some(error) = done.error.as_ref().filter(|_| broke_off) {
        headers.push(("x-fc-error-type".to_owned(), error.clone()));
    }
    let status = if broke_off { 502 } else { done.response.status().as_u16() };
    Response { status, headers, body: done.response.body().clone(), dropped: false }
}

/// What a handler returned: a description of an answer, or its body.
fn from_result(done: &Done) -> Response {
    let body = done.response.body().clone();
    let plain = |status, body, kind: &str| {
        let headers = vec![("content-type".to_owned(), kind.to_owned())];
        Response { status, headers, body, dropped: false }
    };
    if let Some(error) = &done.error {
        let mut response = plain(502, body, "application/json");
        response.headers.push(("x-fc-error-type".to_owned(), error.clone()));
        return response;
    }
    let Ok(Json::Object(told)) = serde_json::from_slice::<Json>(&body) else { return plain(200, body, "application/octet-stream") };
    let Some(status) = told.get("statusCode").and_then(|status| status.as_u64().or_else(|| status.as_str()?.parse().ok())) else {
        return plain(200, body, "application/json");
    };
    let text = told.get("body").map(|body| body.as_str().map_or_else(|| body.to_string(), str::to_owned)).unwrap_or_default();
    let encoded = told.get("isBase64Encoded").and_then(Json::as_bool).unwrap_or(false);
    let body = match STANDARD.decode(&text) {
        Ok(bytes) if encoded => Bytes::from(bytes),
        _ => Bytes::from(text),
    };
    let headers = told.get("headers").and_then(Json::as_object).into_iter().flatten();
    let headers = headers.filter_map(|(name, value)| Some((name.to_ascii_lowercase(), value.as_str()?.to_owned())));
    let headers = headers.filter(|(name, _)| !OF_THE_CONNECTION.contains(&name.as_str())).collect();
    let status = u16::try_from(status).ok().filter(|status| (200..600).contains(status)).unwrap_or(502);
    Response { status, headers, body, dropped: false }
}
