//! Namespaces: each has a service account for its pods, and one that is deleted takes everything in it along.

use serde_json::{Value as Json, json};

use crate::local_cloud::kubernetes::api::delete;
use crate::local_cloud::kubernetes::kind;
use crate::local_cloud::kubernetes::space::{Space, is_deleting, name_of, namespace_of};

pub(super) fn sync(space: &mut Space) {
    let all: Vec<Json> = space.all(&kind::NAMESPACES, None).into_iter().cloned().collect();
    for namespace in all {
        let name = name_of(&namespace);
        if is_deleting(&namespace) {
            empty(space, name);
        } else if space.get(&kind::SERVICE_ACCOUNTS, name, "default").is_none() {
            space.insert(&kind::SERVICE_ACCOUNTS, json!({ "metadata": { "name": "default", "namespace": name } }));
        }
    }
}

fn empty(space: &mut Space, namespace: &str) {
    let inside: Vec<(&'static kind::Kind, String)> = space
        .everything()
        .into_iter()
        .filter(|(_, object)| namespace_of(object) == namespace)
        .map(|(kind, object)| (kind, name_of(object).to_owned()))
        .collect();
    for (kind, name) in &inside {
        delete::by_controller(space, kind, namespace, name, None);
    }
    if !space.everything().iter().any(|(_, object)| namespace_of(object) == namespace) {
        space.edit(&kind::NAMESPACES, "", namespace, |object| object["spec"]["finalizers"] = json!([]));
    }
}
