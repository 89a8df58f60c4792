//! Objects that go: at once, after their grace, after what depends on them, or leaving that behind.

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::{Ask, Reply, Target, success};
use crate::local_cloud::kubernetes::kind::{self, Kind};
use crate::local_cloud::kubernetes::space::{Space, finalizers, is_deleting, items, name_of, namespace_of, text, uid_of, version_of};
use crate::local_cloud::kubernetes::status::Refusal;
use crate::local_cloud::time::{after, seconds};
use std::time::Duration;

/// Waits until all that depends on it is gone.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// Waits until nothing names it as its owner.
pub(crate) const ORPHAN: &str = "orphan";

const JOBS_STAY: &str = "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set \
                         propagationPolicy=Orphan to suppress this warning";

/// How something is to go.
#[derive(Clone, Debug, Default)]
struct Options {
    grace: Option<i64>,
    /// `Background`, `Foreground`, `Orphan`, or nothing.
    propagation: String,
    uid: String,
    version: u64,
    dry: bool,
}

impl Options {
    fn read(ask: &Ask) -> Result<Options, Refusal> {
        let body = if ask.request.body.is_empty() { json!({}) } else { ask.object()? };
        let of_query = |name: &str| ask.params.text(name).map(str::to_owned);
        let grace = match of_query("gracePeriodSeconds") {
            Some(text) => Some(text.parse().map_err(|_| Refusal::bad("gracePeriodSeconds: Invalid value: must be a number"))?),
            None => body["gracePeriodSeconds"].as_i64(),
        };
        let mut propagation = of_query("propagationPolicy").unwrap_or_else(|| text(&body, "/propagationPolicy").to_owned());
        if propagation.is_empty()
            && let Some(orphan) = body["orphanDependents"].as_bool()
        {
            propagation = if orphan { "Orphan" } else { "Background" }.to_owned();
        }
        if !["", "Background", "Foreground", "Orphan"].contains(&propagation.as_str()) {
            let supported = "supported values: \"Foreground\", \"Background\", \"Orphan\"";
            return Err(Refusal::bad(format!("propagationPolicy: Unsupported value: \"{propagation}\": {supported}")));
        }
        let dry = ask.is_dry_run()? || !items(&body, "/dryRun").is_empty();
        let version = text(&body, "/preconditions/resourceVersion").parse().unwrap_or(0);
        Ok(Options { grace, propagation, uid: text(&body, "/preconditions/uid").to_owned(), version, dry })
    }
}

pub(super) async fn one(ask: &Ask<'_>, target: &Target) -> Result<Reply, Refusal> {
    let options = Options::read(ask)?;
    let kind = target.kind;
    let answer = ask
        .commit(|space| {
            let object = space.get(kind, &target.namespace, &target.name).cloned();
            let object = object.ok_or_else(|| Refusal::missing(kind, &target.name))?;
            if (!options.uid.is_empty() && options.uid != uid_of(&object))
                || (options.version != 0 && options.version != version_of(&object))
            {
                return Err(Refusal::conflict(kind, &target.name));
            }
            if kind == &kind::NAMESPACES && ["default", "kube-system"].contains(&target.name.as_str()) {
                return Err(Refusal::forbidden(Some(kind), &target.name, "this namespace may not be deleted"));
            }
            let uid = uid_of(&object).to_owned();
            if options.dry {
                return Ok(success(kind, &target.name, &uid));
            }
            let left = begin(space, kind, object, &options);
            Ok(if kind == &kind::PODS || space.get(kind, &target.namespace, &target.name).is_some() {
                left
            } else {
                success(kind, &target.name, &uid)
            })
        })
        .await?;
    let silent = kind != &kind::JOBS || !options.propagation.is_empty();
    Ok(if silent { Reply::Whole(200, answer) } else { Reply::Warned(200, answer, JOBS_STAY) })
}

pub(super) async fn many(ask: &Ask<'_>, target: &Target) -> Result<Reply, Refusal> {
    let options = Options::read(ask)?;
    let selector = target.selector(ask)?;
    let kind = target.kind;
    if kind.namespaced && target.namespace.is_empty() {
        return Err(Refusal::not_allowed());
    }
    let gone = ask
        .commit(|space| {
            let fitting: Vec<Json> = space.all(kind, target.place()).into_iter().filter(|object| selector.fits(object)).cloned().collect();
            if options.dry {
                return Ok(fitting);
            }
            Ok(fitting.into_iter().map(|object| begin(space, kind, object, &options)).collect::<Vec<Json>>())
        })
        .await?;
    let name = format!("{}List", kind.name);
    Ok(Reply::Whole(200, json!({ "kind": name, "apiVersion": kind.api_version(), "metadata": {}, "items": gone })))
}

/// Begins the end of an object, and answers it as it is then.
fn begin(space: &mut Space, kind: &'static Kind, mut object: Json, options: &Options) -> Json {
    // Old clients of jobs expect their pods to stay.
    let usual = if kind == &kind::JOBS { "Orphan" } else { "Background" };
    let propagation = if options.propagation.is_empty() { usual } else { &options.propagation };
    let mut waits: Vec<String> =
        finalizers(&object).into_iter().filter(|name| ![FOREGROUND, ORPHAN].contains(name)).map(str::to_owned).collect();
    match propagation {
        "Foreground" => waits.push(FOREGROUND.to_owned()),
        "Orphan" => waits.push(ORPHAN.to_owned()),
        _ => {}
    }
    object["metadata"]["finalizers"] = json!(waits);
    if waits.is_empty() {
        object["metadata"].as_object_mut().map(|metadata| metadata.remove("finalizers"));
    }
    mark(space.now, kind, &mut object, options.grace);
    space.replace(kind, object)
}

/// Says that an object is to go, and when.
fn mark(now: Timestamp, kind: &Kind, object: &mut Json, grace: Option<i64>) {
    let grace = if kind == &kind::PODS { grace_of(object, grace) } else { 0 };
    if is_deleting(object) {
        // A second deletion may only hurry.
        if object["metadata"]["deletionGracePeriodSeconds"].as_i64().is_some_and(|known| known <= grace) {
            return;
        }
    }
    object["metadata"]["deletionTimestamp"] = seconds(after(now, Duration::from_secs(grace.unsigned_abs()))).into();
    object["metadata"]["deletionGracePeriodSeconds"] = grace.into();
    if kind == &kind::NAMESPACES {
        object["status"]["phase"] = "Terminating".into();
    }
}

/// How long a pod has: nothing once it has ended, or was never put on a node.
fn grace_of(pod: &Json, asked: Option<i64>) -> i64 {
    let over = ["Succeeded", "Failed"].contains(&text(pod, "/status/phase"));
    if over || text(pod, "/spec/nodeName").is_empty() {
        return 0;
    }
    asked.or_else(|| pod["spec"]["terminationGracePeriodSeconds"].as_i64()).unwrap_or(30).max(0)
}

/// Whether an object that is to go, and that no finalizer holds, may go now.
pub(crate) fn may_go(kind: &Kind, object: &Json) -> bool {
    match kind.plural {
        "pods" => {
            // A pod with a node goes when its node says so, by a grace of nothing.
            let grace = object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
            grace == 0
        }
        "namespaces" => items(object, "/spec/finalizers").is_empty(),
        _ => true,
    }
}

/// Lets a controller delete an object. `grace` is for pods.
pub(crate) fn by_controller(space: &mut Space, kind: &'static Kind, namespace: &str, name: &str, grace: Option<i64>) {
    if let Some(object) = space.get(kind, namespace, name).filter(|object| !is_deleting(object)).cloned() {
        begin(space, kind, object, &Options { grace, propagation: "Background".to_owned(), ..Options::default() });
    }
}

/// Lets a controller delete an object that is gone only after what depends on it.
pub(crate) fn in_foreground(space: &mut Space, kind: &'static Kind, object: &Json) {
    if let Some(object) = space.get(kind, namespace_of(object), name_of(object)).cloned() {
        begin(space, kind, object, &Options { propagation: "Foreground".to_owned(), ..Options::default() });
    }
}
