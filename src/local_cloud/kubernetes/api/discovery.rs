//! What a cluster's API says about itself: versions, groups, kinds.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::Reply;
use crate::local_cloud::kubernetes::kind::{self, Kind};
use crate::local_cloud::kubernetes::status::Refusal;

/// Groups that only answer questions and keep nothing.
const REVIEWS: [(&str, &str, &str); 2] = [
    ("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview"),
    ("authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview"),
];

fn groups() -> BTreeSet<&'static str> {
    let kept = kind::ALL.iter().map(|kind| kind.group).filter(|group| !group.is_empty());
    kept.chain(REVIEWS.iter().map(|(group, ..)| *group)).collect()
}

/// Answers a path that is no object's.
pub(super) fn answer(parts: &[&str], version: &str) -> Result<Reply, Refusal> {
    let whole = |body: Json| Ok(Reply::Whole(200, body));
    match parts {
        ["version"] => whole(version_of(version)),
        ["healthz" | "livez" | "readyz", ..] => Ok(Reply::Whole(200, "ok".into())),
        [] => {
            let groups = groups().into_iter().flat_map(|group| [format!("/apis/{group}"), format!("/apis/{group}/v1")]);
            let rest = ["/healthz", "/livez", "/readyz", "/version"].map(str::to_owned);
            let paths: Vec<String> = ["/api", "/api/v1", "/apis"].map(str::to_owned).into_iter().chain(groups).chain(rest).collect();
            whole(json!({ "paths": paths }))
        }
        ["api"] => whole(json!({ "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [] })),
        ["apis"] => {
            let groups: Vec<Json> = groups().into_iter().map(|name| group(name, false)).collect();
            whole(json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups }))
        }
        ["apis", name] if groups().contains(name) => whole(group(name, true)),
        ["api", "v1"] => whole(resources("")),
        ["apis", name, "v1"] if groups().contains(name) => whole(resources(name)),
        _ => Err(Refusal::no_such_path()),
    }
}

fn version_of(version: &str) -> Json {
    let mut numbers = version.split('.');
    let (major, minor) = (numbers.next().unwrap_or("1"), numbers.next().unwrap_or("0"));
    json!({
        "major": major, "minor": minor, "gitVersion": format!("v{version}"), "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "", "platform": "linux/amd64",
    })
}

fn group(name: &str, alone: bool) -> Json {
    let version = json!({ "groupVersion": format!("{name}/v1"), "version": "v1" });
    let mut group = json!({ "name": name, "versions": [version], "preferredVersion": version });
    if alone {
        group["kind"] = "APIGroup".into();
        group["apiVersion"] = "v1".into();
    }
    group
}

fn resources(group: &str) -> Json {
    let mut all: Vec<Json> = kind::ALL.iter().filter(|kind| kind.group == group).flat_map(|kind| rows(kind)).collect();
    all.extend(REVIEWS.iter().filter(|(name, ..)| *name == group).map(|(_, plural, kind)| {
        json!({ "name": plural, "singularName": kind.to_lowercase(), "namespaced": false, "kind": kind, "verbs": ["create"] })
    }));
    let version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
    json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": all })
}

fn rows(kind: &Kind) -> Vec<Json> {
    let mut row = json!({
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.name,
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
    });
    if !kind.short.is_empty() {
        row["shortNames"] = json!(kind.short);
    }
    if !kind.categories.is_empty() {
        row["categories"] = json!(kind.categories);
    }
    let mut rows = vec![row];
    rows.extend(kind.subresources.iter().map(|name| {
        let verbs: &[&str] = match *name {
            "log" => &["get"],
            "finalize" => &["update"],
            _ => &["get", "patch", "update"],
        };
        json!({ "name": format!("{}/{name}", kind.plural), "singularName": "", "namespaced": kind.namespaced, "kind": kind.name, "verbs": verbs })
    }));
    rows
}
