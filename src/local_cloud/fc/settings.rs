//! What a function is told to be: the fields of CreateFunction and UpdateFunction, kept as they were sent and with
//! their defaults filled in. Whether they are allowed is told by `check`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::local_cloud::wire::fault::Fault;

/// The settings of a function.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Settings {
    pub(crate) description: String,
    pub(crate) runtime: String,
    pub(crate) handler: String,
    /// In vCPUs; 0 until the default is filled in.
    pub(crate) cpu: f64,
    /// In MB; 0 until the default is filled in.
    pub(crate) memory_size: u32,
    /// In MB; 0 until the default is filled in.
    pub(crate) disk_size: u32,
    /// In seconds; 0 until the default is filled in.
    pub(crate) timeout: u64,
    /// How many requests an instance takes at a time; 0 until the default is filled in.
    pub(crate) instance_concurrency: u32,
    pub(crate) environment_variables: BTreeMap<String, String>,
    pub(crate) internet_access: Option<bool>,
    pub(crate) role: String,
    pub(crate) disable_ondemand: bool,
    /// In seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) idle_timeout: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) disable_inject_credentials: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) instance_isolation_mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) session_affinity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) enable_long_living: Option<bool>,
    #[serde(rename = "customDNS", skip_serializing_if = "Option::is_none")]
    pub(crate) custom_dns: Option<CustomDns>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) custom_runtime_config: Option<CustomRuntime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) custom_container_config: Option<CustomContainer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) instance_lifecycle_config: Option<Lifecycle>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) vpc_config: Option<VpcConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gpu_config: Option<GpuConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) log_config: Option<LogConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tracing_config: Option<Tracing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nas_config: Option<NasConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) oss_mount_config: Option<MountPoints>,
    #[serde(skip_serializing)]
    pub(crate) layers: Vec<String>,
    #[serde(skip_serializing)]
    pub(crate) juice_fs_config: Option<MountPoints>,
    #[serde(skip_serializing)]
    pub(crate) polar_fs_config: Option<MountPoints>,
    #[serde(skip_serializing)]
    pub(crate) micro_sandbox_config: Option<Json>,
}

/// How the server of a custom runtime is started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct CustomRuntime {
    pub(crate) command: Vec<String>,
    pub(crate) args: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) health_check_config: Option<HealthCheck>,
}

/// A container image and how its server is started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct CustomContainer {
    pub(crate) image: String,
    pub(crate) command: Vec<String>,
    pub(crate) entrypoint: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) acceleration_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) acr_instance_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) health_check_config: Option<HealthCheck>,
    /// Passwords of other registries: never asked for, because nothing is pulled, and never written down.
    #[serde(skip_serializing)]
    pub(crate) registry_config: Option<Json>,
}

/// When a server counts as ready.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct HealthCheck {
    pub(crate) http_get_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) initial_delay_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) period_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timeout_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failure_threshold: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) success_threshold: Option<u32>,
}

/// What happens at an instance's start and end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Lifecycle {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) initializer: Option<Hook>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pre_stop: Option<Hook>,
}

/// One of the two.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Hook {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) handler: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) command: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timeout: Option<u64>,
}

/// The network of a function.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct VpcConfig {
    pub(crate) vpc_id: String,
    pub(crate) v_switch_ids: Vec<String>,
    pub(crate) security_group_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<String>,
}

/// The graphics card of a function.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct GpuConfig {
    pub(crate) gpu_type: String,
    pub(crate) gpu_memory_size: u32,
}

/// Where logs go.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct LogConfig {
    pub(crate) project: String,
    pub(crate) logstore: String,
    pub(crate) enable_request_metrics: bool,
    pub(crate) enable_instance_metrics: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) enable_llm_metrics: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) log_begin_rule: Option<String>,
}

/// Where names are looked up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct CustomDns {
    pub(crate) name_servers: Vec<String>,
    pub(crate) searches: Vec<String>,
    pub(crate) dns_options: Vec<DnsOption>,
}

/// One option of the resolver.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct DnsOption {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// Where traces go.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Tracing {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) params: BTreeMap<String, String>,
}

/// File systems of NAS.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct NasConfig {
    pub(crate) user_id: i64,
    pub(crate) group_id: i64,
    pub(crate) mount_points: Vec<Json>,
}

/// File systems of other kinds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct MountPoints {
    pub(crate) mount_points: Vec<Json>,
}

/// Families of runtimes, by how they are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Python,
    Node,
    Custom,
    Container,
}

impl Settings {
    /// These settings with the given fields replaced; a field that is null is not given.
    pub(crate) fn with(&self, given: &Map<String, Json>) -> Result<Settings, Fault> {
        let invalid = |error: serde_json::Error| invalid(format!("the request body is not valid: {error}"));
        let Json::Object(mut all) = serde_json::to_value(self).map_err(invalid)? else { return Ok(self.clone()) };
        all.extend(given.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.clone(), value.clone())));
        serde_json::from_value::<Settings>(Json::Object(without_nulls(all))).map_err(invalid)
    }

    /// How its runtime is run; `None` for a runtime that this cloud does not know or can't run.
    pub(crate) fn family(&self) -> Option<Family> {
        Some(match self.runtime.as_str() {
            "python3" | "python3.9" | "python3.10" | "python3.12" => Family::Python,
            "nodejs12" | "nodejs14" | "nodejs16" | "nodejs18" | "nodejs20" => Family::Node,
            "custom" | "custom.debian10" | "custom.debian11" | "custom.debian12" => Family::Custom,
            "custom-container" => Family::Container,
            _ => return None,
        })
    }

    /// The health check, wherever it stands.
    pub(crate) fn health_check(&self) -> Option<&HealthCheck> {
        let custom = self.custom_runtime_config.as_ref().and_then(|custom| custom.health_check_config.as_ref());
        let container = self.custom_container_config.as_ref().and_then(|container| container.health_check_config.as_ref());
        custom.or(container).filter(|check| !check.http_get_url.is_empty())
    }
}

/// Clients send fields that they do not set as null at any depth.
fn without_nulls(map: Map<String, Json>) -> Map<String, Json> {
    let clean = |value| if let Json::Object(map) = value { Json::Object(without_nulls(map)) } else { value };
    map.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name, clean(value))).collect()
}

/// A parameter that is not allowed.
pub(crate) fn invalid(message: impl Into<String>) -> Fault {
    Fault::bad("InvalidArgument", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> Map<String, Json> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn only_what_is_given_is_replaced() {
        let first = Settings::default().with(&map(r#"{"runtime":"python3","handler":"a.b","environmentVariables":{"A":"1"}}"#)).unwrap();
        let second = first.with(&map(r#"{"handler":"c.d","runtime":null,"vpcConfig":{"vpcId":"v","role":null}}"#)).unwrap();
        assert_eq!((second.runtime.as_str(), second.handler.as_str()), ("python3", "c.d"));
        assert_eq!(second.environment_variables, first.environment_variables);
        assert_eq!(second.vpc_config.unwrap().role, None);
    }

    #[test]
    fn a_value_of_another_type_is_refused() {
        for text in [r#"{"memorySize":"512"}"#, r#"{"timeout":-1}"#, r#"{"environmentVariables":{"A":1}}"#, r#"{"cpu":"1"}"#] {
            assert_eq!(Settings::default().with(&map(text)).unwrap_err().code, "InvalidArgument", "{text}");
        }
    }
}
