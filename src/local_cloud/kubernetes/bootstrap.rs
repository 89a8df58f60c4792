//! What a cluster holds from its first moment: namespaces, roles, and who may rule it.

use serde_json::{Value as Json, json};

use super::kind;
use super::space::Space;

/// Namespaces that every cluster has.
const NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// Resources that somebody who works in a namespace has to do with.
const WORK: [&str; 6] = ["pods", "pods/log", "configmaps", "secrets", "serviceaccounts", "events"];

/// Fills a cluster that is new: whoever comes first does it.
pub(crate) fn ensure(space: &mut Space) {
    if space.get(&kind::NAMESPACES, "", "default").is_none() {
        let rulers = space.world.clusters.get(space.cluster).map(|row| row.rulers.clone()).unwrap_or_default();
        fill(space, &rulers);
    }
}

/// Fills a new cluster; `rulers` may do everything.
fn fill(space: &mut Space, rulers: &[String]) {
    for name in NAMESPACES {
        let labels = json!({ "kubernetes.io/metadata.name": name });
        let metadata = json!({ "name": name, "labels": labels });
        let namespace = json!({ "metadata": metadata, "spec": { "finalizers": ["kubernetes"] }, "status": { "phase": "Active" } });
        space.insert(&kind::NAMESPACES, namespace);
    }
    let read = ["get", "list", "watch"];
    let write = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
    let rbac = kind::ROLES.group;
    let rule = |groups: &[&str], resources: &[&str], verbs: &[&str]| json!({ "apiGroups": groups, "resources": resources, "verbs": verbs });
    let everything = json!([rule(&["*"], &["*"], &["*"]), { "nonResourceURLs": ["*"], "verbs": ["*"] }]);
    let edit = [rule(&[""], &WORK, &write), rule(&[""], &["namespaces"], &read), rule(&["batch"], &["jobs", "jobs/status"], &write)];
    let admin: Vec<Json> = edit.iter().cloned().chain([rule(&[rbac], &["roles", "rolebindings"], &write)]).collect();
    let seen = WORK.iter().copied().filter(|name| *name != "secrets").collect::<Vec<_>>();
    let view = json!([rule(&["", "batch"], &[&seen[..], &["jobs", "jobs/status", "namespaces"]].concat(), &read)]);
    let paths = ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version", "/"];
    let roles = [
        ("admin", json!(admin)),
        ("cluster-admin", everything),
        ("edit", json!(edit)),
        ("system:discovery", json!([{ "nonResourceURLs": paths, "verbs": ["get"] }])),
        ("view", view),
    ];
    for (name, rules) in roles {
        space.insert(&kind::CLUSTER_ROLES, json!({ "metadata": labelled(name), "rules": rules }));
    }
    bind(space, "cluster-admin", "cluster-admin", "Group", "system:masters");
    bind(space, "system:discovery", "system:discovery", "Group", "system:authenticated");
    for ruler in rulers {
        bind(space, &format!("{ruler}-clusterrolebinding"), "cluster-admin", "User", ruler);
    }
}

fn labelled(name: &str) -> Json {
    json!({ "name": name, "labels": { "kubernetes.io/bootstrapping": "rbac-defaults" } })
}

fn bind(space: &mut Space, name: &str, role: &str, subject: &str, who: &str) {
    let group = kind::ROLES.group;
    space.insert(
        &kind::CLUSTER_ROLE_BINDINGS,
        json!({
            "metadata": labelled(name),
            "roleRef": { "apiGroup": group, "kind": "ClusterRole", "name": role },
            "subjects": [{ "apiGroup": group, "kind": subject, "name": who }],
        }),
    );
}
