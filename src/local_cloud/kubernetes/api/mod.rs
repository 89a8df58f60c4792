//! A request to a cluster's API on its way: whose it is, what it asks for, whether they may, and the answer. What
//! objects mean is not known here.

pub(crate) mod delete;
mod discovery;
mod follow;
mod patch;
mod read;
mod review;
pub(crate) mod selector;
pub(crate) mod validate;
mod watching;
mod write;

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt, Full};
use serde_json::{Value as Json, json};
use tokio::sync::watch;

use super::access::{self, Attributes, User};
use super::bootstrap;
use super::kind::{self, Kind};
use super::space::Space;
use super::status::Refusal;
use super::{Body, PREFIX};
use crate::local_cloud::runtime::Shared;
use crate::local_cloud::wire::Request;
use crate::local_cloud::wire::encoding::decode;
use crate::local_cloud::wire::params::Params;

/// A request whose sender is known.
pub(crate) struct Ask<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) cluster: &'a str,
    pub(crate) request: &'a Request,
    pub(crate) params: Params,
    pub(crate) user: User,
    /// Turns true when the server ends: whatever goes on bit by bit ends with it.
    pub(crate) ending: watch::Receiver<bool>,
}

/// What a path of objects means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) kind: &'static Kind,
    /// Empty for all, or for kinds without.
    pub(crate) namespace: String,
    /// Empty for all.
    pub(crate) name: String,
    pub(crate) subresource: String,
}

/// What is answered.
pub(crate) enum Reply {
    Whole(u16, Json),
    /// The same with a warning for people.
    Warned(u16, Json, &'static str),
    /// Plain text or JSON lines, bit by bit.
    Stream(&'static str, Body),
}

impl Ask<'_> {
    /// Reads or changes the cluster's objects; what is answered is on disk before.
    pub(crate) async fn commit<R>(&self, change: impl FnOnce(&mut Space) -> Result<R, Refusal>) -> Result<R, Refusal> {
        let (outcome, number) =
            self.shared.commit(|world, now| change(&mut Space { world, config: &self.shared.config, cluster: self.cluster, now }));
        let answer = outcome?;
        self.shared.settle(number).await.map_err(|reason| Refusal::new(500, "InternalError", reason))?;
        Ok(answer)
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.params.text(name).unwrap_or_default()
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        matches!(self.text(name), "true" | "True" | "1")
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let unreadable = |text: &str| Refusal::bad(format!("{name}: Invalid value: \"{text}\": must be a number that is not negative"));
        self.params.text(name).map(|text| text.parse().map_err(|_| unreadable(text))).transpose()
    }

    /// Whether nothing is to be kept.
    pub(crate) fn is_dry_run(&self) -> Result<bool, Refusal> {
        match self.text("dryRun") {
            "" => Ok(false),
            "All" => Ok(true),
            other => Err(Refusal::bad(format!("dryRun: Unsupported value: \"{other}\": supported values: \"All\""))),
        }
    }

    /// The object that came with the request.
    pub(crate) fn object(&self) -> Result<Json, Refusal> {
        let content_type = self.request.header("content-type").unwrap_or("application/json");
        if !content_type.contains("json") {
            let message = format!(
                "the body of the request was in an unknown format - accepted media types include: application/json (not {content_type})"
            );
            return Err(Refusal::new(415, "UnsupportedMediaType", message));
        }
        let object: Json = serde_json::from_slice(&self.request.body)
            .map_err(|error| Refusal::bad(format!("the object provided is unrecognized: {error}")))?;
        if object.is_object() { Ok(object) } else { Err(Refusal::bad("the object provided is unrecognized: an object is expected")) }
    }
}

/// Answers a request whose path begins with [`PREFIX`].
pub(crate) async fn serve(shared: &Arc<Shared>, request: &Request, ending: watch::Receiver<bool>) -> http::Response<Body> {
    let rest = request.path.strip_prefix(PREFIX).unwrap_or_default();
    let (cluster, path) = rest.split_once('/').unwrap_or((rest, ""));
    let answered = async {
        let user = identify(shared, request, cluster)?;
        shared.commit(|world, now| bootstrap::ensure(&mut Space { world, config: &shared.config, cluster, now }));
        let ask = Ask { shared, cluster, request, params: Params::of(request), user, ending };
        route(&ask, path).await
    };
    into_http(answered.await)
}

fn identify(shared: &Shared, request: &Request, cluster: &str) -> Result<User, Refusal> {
    let world = shared.world();
    let known = world.clusters.get(cluster).filter(|row| row.serves(shared.now()));
    let Some(row) = known else {
        return Err(Refusal::new(503, "ServiceUnavailable", "the API server of this cluster is not running"));
    };
    let peer = request.peer.as_ref().ok_or_else(Refusal::unauthorized)?;
    // One authority signs for all clusters: a certificate says for which it was made, and how often they were replaced.
    let mark = row.certificate_mark();
    if !peer.organizations.contains(&mark) {
        return Err(Refusal::unauthorized());
    }
    let mut groups: Vec<String> = peer.organizations.iter().filter(|group| **group != mark).cloned().collect();
    groups.push("system:authenticated".to_owned());
    Ok(User { name: peer.common_name.clone(), groups })
}

async fn route(ask: &Ask<'_>, path: &str) -> Result<Reply, Refusal> {
    let parts: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(decode).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    if let Some(target) = target(&parts) {
        return objects(ask, &target?).await;
    }
    if let Some(reply) = review::answer(ask, &parts).await? {
        return Ok(reply);
    }
    let asked =
        Attributes { verb: ask.request.method.as_str().to_lowercase(), path: format!("/{}", parts.join("/")), ..Attributes::default() };
    ask.commit(|space| {
        let allowed = access::allows(space, &ask.user, &asked);
        allowed.then_some(()).ok_or_else(|| Refusal::forbidden(None, "", &asked.refused(&ask.user)))
    })
    .await?;
    if ask.request.method != Method::GET {
        return Err(Refusal::not_allowed());
    }
    let version = ask.shared.world().clusters.get(ask.cluster).map(|row| row.version.clone()).unwrap_or_default();
    discovery::answer(&parts, &version)
}

/// The objects that a path names; `None` if it names none at all.
fn target(parts: &[&str]) -> Option<Result<Target, Refusal>> {
    let (group, version, rest) = match parts {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return None,
    };
    let (namespace, rest) = match rest {
        [] => return None,
        ["namespaces", namespace, plural, rest @ ..]
            if kind::of_path(group, version, plural).is_some() || !["status", "finalize"].contains(plural) =>
        {
            (*namespace, [&[*plural], rest].concat())
        }
        _ => ("", rest.to_vec()),
    };
    let (plural, name, subresource) = match rest.as_slice() {
        [plural] => (*plural, "", ""),
        [plural, name] => (*plural, *name, ""),
        [plural, name, subresource] => (*plural, *name, *subresource),
        _ => return Some(Err(Refusal::no_such_path())),
    };
    let kind = kind::of_path(group, version, plural)?;
    let fits = (namespace.is_empty() || kind.namespaced)
        && (name.is_empty() || !namespace.is_empty() || !kind.namespaced)
        && (subresource.is_empty() || kind.subresources.contains(&subresource));
    let own = str::to_owned;
    let target = Target { kind, namespace: own(namespace), name: own(name), subresource: own(subresource) };
    Some(if fits { Ok(target) } else { Err(Refusal::no_such_path()) })
}

async fn objects(ask: &Ask<'_>, target: &Target) -> Result<Reply, Refusal> {
    let verb = match (&ask.request.method, target.name.is_empty()) {
        (&Method::GET, true) if ask.flag("watch") => "watch",
        (&Method::GET, true) => "list",
        (&Method::GET, false) => "get",
        (&Method::POST, true) => "create",
        (&Method::PUT, false) => "update",
        (&Method::PATCH, false) => "patch",
        (&Method::DELETE, true) => "deletecollection",
        (&Method::DELETE, false) => "delete",
        _ => return Err(Refusal::not_allowed()),
    };
    let asked = Attributes {
        verb: verb.to_owned(),
        group: target.kind.group.to_owned(),
        resource: target.kind.plural.to_owned(),
        subresource: target.subresource.clone(),
        namespace: if target.kind.plural == "namespaces" { target.name.clone() } else { target.namespace.clone() },
        name: target.name.clone(),
        path: String::new(),
    };
    ask.commit(|space| {
        let allowed = access::allows(space, &ask.user, &asked);
        allowed.then_some(()).ok_or_else(|| Refusal::forbidden(Some(target.kind), &target.name, &asked.refused(&ask.user)))
    })
    .await?;
    acceptable(ask)?;
    match (verb, target.subresource.as_str()) {
        ("get", "log") => follow::log(ask, target).await,
        ("get", "finalize") => Err(Refusal::not_allowed()),
        ("get", _) => read::get(ask, target).await,
        ("list", _) => read::list(ask, target).await,
        ("watch", _) => watching::watch(ask, target).await,
        ("create", _) => write::create(ask, target).await,
        ("update", "" | "status" | "finalize") => write::update(ask, target).await,
        ("patch", "" | "status") => write::patch(ask, target).await,
        ("delete", "") => delete::one(ask, target).await,
        ("deletecollection", _) => delete::many(ask, target).await,
        _ => Err(Refusal::not_allowed()),
    }
}

/// Objects are answered whole and as JSON: whoever takes nothing else must be told.
fn acceptable(ask: &Ask) -> Result<(), Refusal> {
    let accept = ask.request.header("accept").unwrap_or("*/*");
    let fits = |part: &str| {
        let (kind, parameters) = part.trim().split_once(';').unwrap_or((part.trim(), ""));
        ["application/json", "application/*", "*/*", "text/plain"].contains(&kind.trim()) && !parameters.contains("as=")
    };
    if accept.is_empty() || accept.split(',').any(fits) {
        return Ok(());
    }
    let message = "only the following media types are accepted: application/json";
    Err(Refusal::new(406, "NotAcceptable", message))
}

fn into_http(answer: Result<Reply, Refusal>) -> http::Response<Body> {
    let whole = |status: u16, body: &Json| {
        let mut response = http::Response::new(Full::new(Bytes::from(body.to_string())).boxed());
        *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
        response
    };
    match answer {
        Ok(Reply::Whole(status, body)) => whole(status, &body),
        Ok(Reply::Warned(status, body, warning)) => {
            let mut response = whole(status, &body);
            if let Ok(value) = http::HeaderValue::try_from(format!("299 - \"{warning}\"")) {
                response.headers_mut().insert("warning", value);
            }
            response
        }
        Ok(Reply::Stream(content_type, body)) => {
            let mut response = http::Response::new(body);
            response.headers_mut().insert("content-type", http::HeaderValue::from_static(content_type));
            response
        }
        Err(refusal) => whole(refusal.code, &refusal.body()),
    }
}

/// Waits for the server's end. Where nothing serves, nothing ends either.
async fn ended(mut ending: watch::Receiver<bool>) {
    if ending.wait_for(|ending| *ending).await.is_err() {
        std::future::pending().await
    }
}

/// The answer to a deletion that left nothing behind.
fn success(kind: &Kind, name: &str, uid: &str) -> Json {
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": { "name": name, "group": kind.group, "kind": kind.plural, "uid": uid },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> Option<Result<Target, Refusal>> {
        let parts: Vec<&str> = path.split('/').collect();
        target(&parts)
    }

    #[test]
    fn paths_name_objects() {
        let seen = |path: &str| {
            let target = read(path).unwrap().unwrap();
            format!("{} {} {} {}", target.kind.id(), target.namespace, target.name, target.subresource)
        };
        assert_eq!(seen("api/v1/pods"), "pods   ");
        assert_eq!(seen("api/v1/namespaces/a/pods/p/log"), "pods a p log");
        assert_eq!(seen("api/v1/namespaces/a"), "namespaces  a ");
        assert_eq!(seen("api/v1/namespaces/a/status"), "namespaces  a status");
        assert_eq!(seen("apis/batch/v1/namespaces/a/jobs"), "jobs.batch a  ");
        assert!(read("version").is_none() && read("api/v1").is_none() && read("apis/batch/v1/things").is_none());
        assert!(read("api/v1/pods/p").unwrap().is_err());
        assert!(read("api/v1/namespaces/a/pods/p/exec").unwrap().is_err());
    }
}
