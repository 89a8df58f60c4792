//! What a pod says about itself, as far as anything here acts on it. Reading only; unknown fields stay in the object.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;

use super::quantity;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct PodSpec {
    pub(crate) containers: Vec<Container>,
    pub(crate) init_containers: Vec<Container>,
    pub(crate) volumes: Vec<Volume>,
    pub(crate) restart_policy: String,
    pub(crate) node_name: String,
    pub(crate) node_selector: BTreeMap<String, String>,
    pub(crate) tolerations: Vec<Toleration>,
    pub(crate) service_account_name: String,
    pub(crate) termination_grace_period_seconds: Option<i64>,
    pub(crate) active_deadline_seconds: Option<i64>,
    pub(crate) hostname: String,
    pub(crate) scheduler_name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) image_pull_policy: String,
    pub(crate) command: Vec<String>,
    pub(crate) args: Vec<String>,
    pub(crate) working_dir: String,
    pub(crate) env: Vec<Variable>,
    pub(crate) env_from: Vec<VariableSource>,
    pub(crate) volume_mounts: Vec<Mount>,
    pub(crate) resources: Resources,
    /// Of an init container: `Always` lets it run beside the others.
    pub(crate) restart_policy: String,
    pub(crate) termination_message_policy: String,
    pub(crate) termination_message_path: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Resources {
    pub(crate) requests: BTreeMap<String, Json>,
    pub(crate) limits: BTreeMap<String, Json>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) value_from: Option<ValueFrom>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ValueFrom {
    pub(crate) config_map_key_ref: Option<KeyRef>,
    pub(crate) secret_key_ref: Option<KeyRef>,
    pub(crate) field_ref: Option<FieldRef>,
    pub(crate) resource_field_ref: Option<ResourceRef>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct KeyRef {
    pub(crate) name: String,
    pub(crate) key: String,
    pub(crate) optional: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct FieldRef {
    pub(crate) field_path: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ResourceRef {
    pub(crate) container_name: String,
    pub(crate) resource: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct VariableSource {
    pub(crate) prefix: String,
    pub(crate) config_map_ref: Option<Named>,
    pub(crate) secret_ref: Option<Named>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) optional: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Mount {
    pub(crate) name: String,
    pub(crate) mount_path: String,
    pub(crate) sub_path: String,
    pub(crate) read_only: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Volume {
    pub(crate) name: String,
    pub(crate) empty_dir: Option<Json>,
    pub(crate) config_map: Option<FilesFrom>,
    pub(crate) secret: Option<FilesFrom>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct FilesFrom {
    #[serde(alias = "secretName")]
    pub(crate) name: String,
    pub(crate) items: Vec<Item>,
    pub(crate) default_mode: Option<u32>,
    pub(crate) optional: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Item {
    pub(crate) key: String,
    pub(crate) path: String,
    pub(crate) mode: Option<u32>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Toleration {
    pub(crate) key: String,
    pub(crate) operator: String,
    pub(crate) value: String,
    pub(crate) effect: String,
}

impl PodSpec {
    /// The spec of a pod; an empty one if it can't be read, which creation makes sure of.
    pub(crate) fn of(pod: &Json) -> PodSpec {
        pod.get("spec").and_then(|spec| PodSpec::deserialize(spec).ok()).unwrap_or_default()
    }

    /// What the pod asks of a node: thousandths of a processor, and bytes.
    pub(crate) fn requests(&self) -> (u64, u64) {
        let sum = |resource| -> u64 { self.containers.iter().map(|container| container.request(resource)).sum() };
        let most = |resource| self.init_containers.iter().map(|container| container.request(resource)).max().unwrap_or(0);
        (sum("cpu").max(most("cpu")), sum("memory").max(most("memory")))
    }

    /// What else it asks of a node, by name: whole devices such as `nvidia.com/gpu`.
    pub(crate) fn extended(&self) -> BTreeMap<String, u64> {
        let all = || self.containers.iter().chain(&self.init_containers);
        let named = all().flat_map(|container| container.resources.limits.keys().chain(container.resources.requests.keys()));
        let count = |resource: &String| {
            let sum: u64 = self.containers.iter().map(|container| container.request(resource)).sum();
            sum.max(self.init_containers.iter().map(|container| container.request(resource)).max().unwrap_or(0))
        };
        named.filter(|resource| is_extended(resource)).map(|resource| (resource.clone(), count(resource))).collect()
    }
}

/// Whether a resource is one that a node offers by name, and that is never given out twice.
pub(crate) fn is_extended(resource: &str) -> bool {
    !["cpu", "memory", "ephemeral-storage", "pods"].contains(&resource) && !resource.starts_with("hugepages-")
}

impl Container {
    /// What it asks for: processors in thousandths, memory in bytes.
    pub(crate) fn request(&self, resource: &str) -> u64 {
        let asked = self.resources.requests.get(resource).or_else(|| self.resources.limits.get(resource));
        asked.and_then(|value| measured(resource, value)).unwrap_or(0)
    }
}

/// A quantity in the smallest measure that counts for its resource.
pub(crate) fn measured(resource: &str, value: &Json) -> Option<u64> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let thousandths = quantity::read(&text)?;
    u64::try_from(if resource == "cpu" { thousandths } else { thousandths / 1000 }).ok()
}
