//! The objects of a run in its cluster: a Job and a Secret of the same name. Texts only; it asks nobody.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Secret as SecretObject;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use super::KubernetesJobSpec;
use crate::model::secret::Secret;
use crate::resources::error::ResourceError;
use crate::resources::kind::Context;
use crate::resources::part::Part;

/// Keys of the links in the Secret; no variable can have such a name.
pub(super) const BUNDLE: &str = "aliform.bundle";
pub(super) const OUTPUTS: &str = "aliform.outputs";
/// The name of the container.
pub(super) const CONTAINER: &str = "job";
/// For how many seconds a Job that is over is remembered: whoever goes on after a crash finds how it ended.
pub(super) const REMEMBERED: u64 = 86_400;

/// Where a Job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub(super) cluster: &'a str,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
}

impl<'a> Place<'a> {
    /// From the identifier of a run.
    pub(super) fn of(id: &'a str) -> Result<Self, ResourceError> {
        let parts: Vec<&str> = id.split('/').collect();
        let [cluster, namespace, name] = parts[..] else {
            return Err(ResourceError::InTheWay(format!("`{id}` does not name a Job in a cluster")));
        };
        Ok(Place { cluster, namespace, name })
    }
}

fn object<T: DeserializeOwned>(context: &Context<'_>, json: Json) -> Result<T, ResourceError> {
    T::deserialize(json).map_err(|error| ResourceError::Malformed {
        what: "spec",
        address: context.address.to_string(),
        reason: error.to_string(),
    })
}

/// The tags of what is made, as labels: their keys have a slash where the cloud's have a colon.
fn labels(context: &Context<'_>) -> BTreeMap<String, String> {
    let tags = context.tags().into_iter().map(|tag| (tag.key.replace(':', "/"), tag.value));
    tags.chain([("app.kubernetes.io/managed-by".to_owned(), "aliform".to_owned())]).collect()
}

/// A text that means itself in a command: `$(NAME)` would be a variable there, and `$$` is a dollar.
fn verbatim(text: &str) -> String {
    text.replace('$', "$$")
}

/// Everything that nobody else may see.
pub(super) fn secret(
    context: &Context<'_>,
    place: &Place<'_>,
    links: &BTreeMap<String, String>,
    secrets: &BTreeMap<String, Secret>,
) -> Result<SecretObject, ResourceError> {
    let own = secrets.iter().map(|(name, secret)| (name.as_str(), secret.reveal()));
    let links = links.iter().map(|(name, link)| (name.as_str(), link.as_str()));
    let all: BTreeMap<&str, &str> = own.chain(links).collect();
    object(
        context,
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": { "name": place.name, "namespace": place.namespace, "labels": labels(context) },
            "stringData": all,
        }),
    )
}

/// The Job: one pod, one try, an end in any case.
pub(super) fn job(context: &Context<'_>, place: &Place<'_>, spec: &KubernetesJobSpec, deadline: u64) -> Result<Job, ResourceError> {
    let from = |name: &str, key: &str| json!({ "name": name, "valueFrom": { "secretKeyRef": { "name": place.name, "key": key } } });
    let mut env = vec![from("ALIFORM_BUNDLE_URL", BUNDLE)];
    if !spec.outputs.is_empty() {
        env.push(from("ALIFORM_OUTPUT_URL", OUTPUTS));
    }
    env.extend(spec.secrets.keys().map(|name| from(name, name)));
    let variables = spec.part.as_ref().map(Part::variables).unwrap_or_default();
    env.extend(variables.iter().map(|(name, value)| json!({ "name": name, "value": verbatim(value) })));
    let mut resources = json!({ "requests": spec.requests });
    // Of what is no processor and no memory a request is a limit too: the API asks for both.
    let whole: BTreeMap<&String, &String> = spec.requests.iter().filter(|(name, _)| name.contains('/')).collect();
    if !whole.is_empty() {
        resources["limits"] = json!(whole);
    }
    let labels = labels(context);
    let mut pod = json!({
        "restartPolicy": "Never",
        "automountServiceAccountToken": false,
        "terminationGracePeriodSeconds": 10,
        "containers": [{
            "name": CONTAINER, "image": spec.image, "command": ["sh", "-c", verbatim(&spec.script)], "env": env, "resources": resources,
        }],
    });
    if let Some((label, value)) = &spec.nodes {
        pod["nodeSelector"] = json!({ label.as_str(): value });
    }
    object(
        context,
        json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": { "name": place.name, "namespace": place.namespace, "labels": labels },
            "spec": {
                "backoffLimit": 0,
                "activeDeadlineSeconds": deadline,
                "ttlSecondsAfterFinished": REMEMBERED,
                "template": { "metadata": { "labels": labels }, "spec": pod },
            },
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_script_says_is_not_the_clusters_to_expand() {
        assert_eq!(verbatim("echo $$ $(date) \"$HOME\""), "echo $$$$ $$(date) \"$$HOME\"");
    }

    #[test]
    fn an_identifier_names_cluster_namespace_and_job() {
        let place = Place::of("c1/default/aliform-train-0123456789").unwrap();
        assert_eq!(place, Place { cluster: "c1", namespace: "default", name: "aliform-train-0123456789" });
        assert!(Place::of("i-1/train/0123").is_ok() && Place::of("c1").is_err() && Place::of("a/b/c/d").is_err());
    }
}
