//! Objects that are made and changed: names given, rules held, versions compared, nobody given more than the giver has.

use http::Method;
use serde_json::{Value as Json, json};

use super::{Ask, Reply, Target, patch as patches, validate};
use crate::local_cloud::kubernetes::access;
use crate::local_cloud::kubernetes::kind::{self, Kind};
use crate::local_cloud::kubernetes::space::{Space, finalizers, is_deleting, name_of, namespace_of, text, version_of};
use crate::local_cloud::kubernetes::status::Refusal;
use crate::local_cloud::time::seconds;

/// Fields of the metadata that the server alone says.
const OWN: [&str; 5] = ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"];

/// Kinds whose status is written apart from the rest.
fn has_status(kind: &Kind) -> bool {
    kind.subresources.contains(&"status")
}

fn check_kind(kind: &Kind, object: &Json) -> Result<(), Refusal> {
    let (version, name) = (text(object, "/apiVersion"), text(object, "/kind"));
    let same = (version.is_empty() || version == kind.api_version()) && (name.is_empty() || name == kind.name);
    let problem = || {
        format!(
            "the API version or kind in the data ({version}, {name}) does not match the expected ({}, {})",
            kind.api_version(),
            kind.name
        )
    };
    same.then_some(()).ok_or_else(|| Refusal::bad(problem()))
}

pub(super) async fn create(ask: &Ask<'_>, target: &Target) -> Result<Reply, Refusal> {
    let kind = target.kind;
    let mut object = ask.object()?;
    let dry = ask.is_dry_run()?;
    check_kind(kind, &object)?;
    if kind.namespaced && target.namespace.is_empty() {
        return Err(Refusal::not_allowed());
    }
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    if !text(&object, "/metadata/resourceVersion").is_empty() {
        return Err(Refusal::bad("resourceVersion should not be set on objects to be created"));
    }
    let named = namespace_of(&object).to_owned();
    if !named.is_empty() && named != target.namespace {
        return Err(Refusal::bad("the namespace of the provided object does not match the namespace sent on the request"));
    }
    let metadata = object["metadata"].as_object_mut().ok_or_else(|| Refusal::bad("metadata must be an object"))?;
    OWN.iter().chain(&["resourceVersion", "managedFields", "selfLink"]).for_each(|field| drop(metadata.remove(*field)));
    if kind.namespaced {
        metadata.insert("namespace".to_owned(), target.namespace.clone().into());
    }
    let created = ask
        .commit(|space| {
            if kind.namespaced {
                check_namespace(space, kind, &object, &target.namespace)?;
            }
            if name_of(&object).is_empty() {
                let start = text(&object, "/metadata/generateName").to_owned();
                if start.is_empty() {
                    return Err(Refusal::invalid(kind, "", "metadata.name", "Required value: name or generateName is required"));
                }
                object["metadata"]["name"] = format!("{}{}", &start[..start.len().min(248)], space.suffix()).into();
            }
            if space.get(kind, &target.namespace, name_of(&object)).is_some() {
                return Err(Refusal::exists(kind, name_of(&object)));
            }
            let uid = if kind == &kind::JOBS { space.new_uid() } else { String::new() };
            validate::prepare(kind, &mut object, &uid)?;
            if has_spec_versions(kind) {
                object["metadata"]["generation"] = 1.into();
            }
            if kind == &kind::PODS {
                object["spec"]["serviceAccountName"] = match text(&object, "/spec/serviceAccountName") {
                    "" => "default".into(),
                    named => named.into(),
                };
                check_service_account(space, &object)?;
            }
            check_gift(ask, space, kind, &object)?;
            if dry {
                object["apiVersion"] = kind.api_version().into();
                object["kind"] = kind.name.into();
                object["metadata"]["creationTimestamp"] = seconds(space.now).into();
                return Ok(object);
            }
            Ok(space.insert_with(kind, object, &uid))
        })
        .await?;
    Ok(Reply::Whole(201, created))
}

/// Kinds that count the changes of their spec.
fn has_spec_versions(kind: &Kind) -> bool {
    kind == &kind::JOBS || kind == &kind::PODS
}

fn check_namespace(space: &Space, kind: &Kind, object: &Json, namespace: &str) -> Result<(), Refusal> {
    let Some(found) = space.get(&kind::NAMESPACES, "", namespace) else { return Err(Refusal::missing(&kind::NAMESPACES, namespace)) };
    if is_deleting(found) {
        let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
        let mut refusal = Refusal::forbidden(Some(kind), name_of(object), &why);
        refusal.details["causes"] = json!([{ "reason": "NamespaceTerminating", "message": why, "field": "metadata.namespace" }]);
        return Err(refusal);
    }
    Ok(())
}

fn check_service_account(space: &Space, pod: &Json) -> Result<(), Refusal> {
    let (namespace, name) = (namespace_of(pod), text(pod, "/spec/serviceAccountName"));
    if space.get(&kind::SERVICE_ACCOUNTS, namespace, name).is_none() {
        let why = format!("error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found");
        return Err(Refusal::forbidden(Some(&kind::PODS), name_of(pod), &why));
    }
    Ok(())
}

/// Nobody gives away, by a role or a binding, what they do not have themselves.
fn check_gift(ask: &Ask, space: &Space, kind: &Kind, object: &Json) -> Result<(), Refusal> {
    let rules = match kind.plural {
        "roles" | "clusterroles" => access::rules(object),
        "rolebindings" | "clusterrolebindings" => access::role_of(space, object).map(access::rules).unwrap_or_default(),
        _ => return Ok(()),
    };
    if access::covers(space, &ask.user, namespace_of(object), &rules) {
        return Ok(());
    }
    let why = format!("user \"{}\" is attempting to grant RBAC permissions not currently held", ask.user.name);
    Err(Refusal::forbidden(Some(kind), name_of(object), &why))
}

pub(super) async fn update(ask: &Ask<'_>, target: &Target) -> Result<Reply, Refusal> {
    let object = ask.object()?;
    check_kind(target.kind, &object)?;
    if name_of(&object) != target.name {
        return Err(Refusal::bad("the name of the object does not match the name on the URL"));
    }
    change(ask, target, |_| Ok(object)).await
}

pub(super) async fn patch(ask: &Ask<'_>, target: &Target) -> Result<Reply, Refusal> {
    debug_assert_eq!(ask.request.method, Method::PATCH);
    let content_type = ask.request.header("content-type").unwrap_or_default();
    change(ask, target, |before| patches::apply(content_type, before, &ask.request.body)).await
}

/// Changes an object into what `make` makes of it, as far as the path allows.
async fn change(ask: &Ask<'_>, target: &Target, make: impl FnOnce(&Json) -> Result<Json, Refusal>) -> Result<Reply, Refusal> {
    let (kind, dry) = (target.kind, ask.is_dry_run()?);
    let changed = ask
        .commit(|space| {
            let before = space.get(kind, &target.namespace, &target.name).cloned();
            let before = before.ok_or_else(|| Refusal::missing(kind, &target.name))?;
            let mut after = make(&before)?;
            if !after["metadata"].is_object() || name_of(&after) != target.name {
                return Err(Refusal::bad("the name of the object does not match the name on the URL"));
            }
            let wanted = version_of(&after);
            let uid = text(&after, "/metadata/uid");
            if (wanted != 0 && wanted != version_of(&before)) || (!uid.is_empty() && uid != text(&before, "/metadata/uid")) {
                return Err(Refusal::conflict(kind, &target.name));
            }
            keep(kind, target, &before, &mut after)?;
            validate::change(kind, &before, &after)?;
            check_gift(ask, space, kind, &after)?;
            Ok(if dry { after } else { space.replace(kind, after) })
        })
        .await?;
    Ok(Reply::Whole(200, changed))
}

/// Puts back what the path does not let anybody change.
fn keep(kind: &'static Kind, target: &Target, before: &Json, after: &mut Json) -> Result<(), Refusal> {
    let put_back = |after: &mut Json, field: &str| match before.get(field) {
        Some(value) => after[field] = value.clone(),
        None => drop(after.as_object_mut().map(|after| after.remove(field))),
    };
    for field in ["apiVersion", "kind"] {
        put_back(after, field);
    }
    match target.subresource.as_str() {
        "status" => {
            let status = after["status"].take();
            *after = before.clone();
            after["status"] = status;
            return Ok(());
        }
        "finalize" => {
            let finalizers = after["spec"]["finalizers"].take();
            *after = before.clone();
            after["spec"]["finalizers"] = if finalizers.is_null() { json!([]) } else { finalizers };
            return Ok(());
        }
        _ if has_status(kind) => put_back(after, "status"),
        _ => {}
    }
    if kind == &kind::NAMESPACES {
        put_back(after, "spec");
    }
    let new = is_deleting(before) && finalizers(after).iter().any(|finalizer| !finalizers(before).contains(finalizer));
    if new {
        let problem = "Forbidden: no new finalizers can be added if the object is being deleted";
        return Err(Refusal::invalid(kind, name_of(before), "metadata.finalizers", problem));
    }
    for field in OWN.iter().chain(&["namespace", "resourceVersion", "managedFields"]) {
        match before["metadata"].get(*field) {
            Some(value) => after["metadata"][*field] = value.clone(),
            None => drop(after["metadata"].as_object_mut().map(|metadata| metadata.remove(*field))),
        }
    }
    if has_spec_versions(kind) && before["spec"] != after["spec"] {
        after["metadata"]["generation"] = (before["metadata"]["generation"].as_u64().unwrap_or(1) + 1).into();
    }
    Ok(())
}
