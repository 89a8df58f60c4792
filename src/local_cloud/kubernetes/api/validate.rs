//! What the server makes of an object before it keeps it: defaults that are filled in, and rules that it must hold.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::local_cloud::kubernetes::kind::{self, Kind};
use crate::local_cloud::kubernetes::pod::{Container, PodSpec, Volume, is_extended, measured};
use crate::local_cloud::kubernetes::quantity;
use crate::local_cloud::kubernetes::space::{name_of, text};
use crate::local_cloud::kubernetes::status::Refusal;

/// Fills in what a new object leaves out, and refuses what can't be kept.
pub(crate) fn prepare(kind: &'static Kind, object: &mut Json, uid_of_job: &str) -> Result<(), Refusal> {
    metadata(kind, object)?;
    let name = name_of(object).to_owned();
    match kind.plural {
        "pods" => {
            default_pod(&mut object["spec"]);
            check_pod(kind, &name, "spec", &object["spec"])?;
            object["status"] = json!({ "phase": "Pending", "qosClass": quality(&object["spec"]) });
        }
        "jobs" => {
            default_job(object, uid_of_job);
            check_job(kind, &name, object)?;
            object["status"] = json!({});
        }
        "namespaces" => {
            object["spec"] = json!({ "finalizers": ["kubernetes"] });
            object["status"] = json!({ "phase": "Active" });
            let labels = &mut object["metadata"]["labels"];
            labels["kubernetes.io/metadata.name"] = name.into();
        }
        "secrets" => secret(kind, &name, object)?,
        "configmaps" => check_texts(kind, &name, object, "data")?,
        _ => {}
    }
    Ok(())
}

/// Whether it is a name that a path and a host can hold.
pub(crate) fn is_dns_name(name: &str, longest: usize) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    !name.is_empty()
        && name.len() <= longest
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.')
        && name.split('.').all(|label| edge(label.chars().next()) && edge(label.chars().last()))
}

const DNS_PROBLEM: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start \
                           and end with an alphanumeric character";

fn metadata(kind: &Kind, object: &mut Json) -> Result<(), Refusal> {
    let name = name_of(object).to_owned();
    let is_rbac = kind.group == kind::ROLES.group;
    let sound = if is_rbac {
        !name.is_empty() && !name.contains(['/', '%'])
    } else {
        is_dns_name(&name, if kind.plural == "namespaces" { 63 } else { 253 })
    };
    if !sound {
        return Err(Refusal::invalid(kind, &name, "metadata.name", &format!("Invalid value: \"{name}\": {DNS_PROBLEM}")));
    }
    for (field, longest) in [("labels", 63), ("annotations", 256 * 1024)] {
        let Some(map) = object["metadata"].get(field) else { continue };
        if map.is_null() {
            object["metadata"].as_object_mut().map(|metadata| metadata.remove(field));
            continue;
        }
        let fits = map.as_object().is_some_and(|map| map.iter().all(|(key, value)| !key.is_empty() && value.is_string()));
        if !fits {
            return Err(Refusal::bad(format!(
                "{} in version \"{}\" cannot be handled: metadata.{field} must map texts to texts",
                kind.name, kind.version
            )));
        }
        let long = map.as_object().into_iter().flatten().find(|(_, value)| value.as_str().is_some_and(|value| value.len() > longest));
        if let Some((_, value)) = long {
            let problem = format!("Invalid value: {value}: must be no more than {longest} bytes");
            return Err(Refusal::invalid(kind, &name, &format!("metadata.{field}"), &problem));
        }
    }
    Ok(())
}

fn default(object: &mut Json, field: &str, value: impl Into<Json>) {
    if object.get(field).is_none_or(Json::is_null) {
        object[field] = value.into();
    }
}

/// Fills in what a pod's spec leaves out.
fn default_pod(spec: &mut Json) {
    if !spec.is_object() {
        return;
    }
    default(spec, "restartPolicy", "Always");
    default(spec, "dnsPolicy", "ClusterFirst");
    default(spec, "schedulerName", "default-scheduler");
    default(spec, "terminationGracePeriodSeconds", 30);
    default(spec, "securityContext", json!({}));
    default(spec, "enableServiceLinks", true);
    for list in ["initContainers", "containers"] {
        for container in spec.get_mut(list).and_then(Json::as_array_mut).into_iter().flatten().filter(|container| container.is_object()) {
            let image = text(container, "/image");
            let tag = image.rsplit('/').next().and_then(|last| last.split_once(':')).map_or("latest", |(_, tag)| tag);
            let policy = if tag == "latest" && !image.contains('@') { "Always" } else { "IfNotPresent" };
            default(container, "imagePullPolicy", policy);
            default(container, "terminationMessagePath", "/dev/termination-log");
            default(container, "terminationMessagePolicy", "File");
            default(container, "resources", json!({}));
            let limits = container["resources"]["limits"].as_object().cloned().unwrap_or_default();
            for (resource, limit) in limits {
                default(&mut container["resources"], "requests", json!({}));
                default(&mut container["resources"]["requests"], &resource, limit);
            }
        }
    }
    for volume in spec.get_mut("volumes").and_then(Json::as_array_mut).into_iter().flatten() {
        for source in ["configMap", "secret"] {
            if volume.get(source).is_some_and(Json::is_object) {
                default(&mut volume[source], "defaultMode", 0o644);
            }
        }
    }
}

/// `Guaranteed`, `Burstable` or `BestEffort`.
fn quality(spec: &Json) -> &'static str {
    let spec = PodSpec::deserialize(spec).unwrap_or_default();
    let all: Vec<&Container> = spec.containers.iter().chain(&spec.init_containers).collect();
    let guaranteed = all.iter().all(|container| {
        let resources = &container.resources;
        ["cpu", "memory"].iter().all(|name| resources.limits.get(*name).is_some_and(|limit| resources.requests.get(*name) == Some(limit)))
    });
    match () {
        () if all.iter().all(|container| container.resources.requests.is_empty() && container.resources.limits.is_empty()) => "BestEffort",
        () if guaranteed => "Guaranteed",
        () => "Burstable",
    }
}

fn check_pod(kind: &Kind, name: &str, at: &str, spec: &Json) -> Result<(), Refusal> {
    let read = PodSpec::deserialize(spec).map_err(|error| {
        Refusal::bad(format!("{} in version \"{}\" cannot be handled as a {}: {at}: {error}", kind.name, kind.version, kind.name))
    })?;
    let invalid = |field: String, problem: String| Err(Refusal::invalid(kind, name, &format!("{at}.{field}"), &problem));
    if read.containers.is_empty() {
        return invalid("containers".to_owned(), "Required value".to_owned());
    }
    if !["Always", "OnFailure", "Never"].contains(&read.restart_policy.as_str()) {
        let problem = format!("Unsupported value: \"{}\": supported values: \"Always\", \"OnFailure\", \"Never\"", read.restart_policy);
        return invalid("restartPolicy".to_owned(), problem);
    }
    if read.active_deadline_seconds.is_some_and(|seconds| seconds < 1) {
        return invalid("activeDeadlineSeconds".to_owned(), "Invalid value: must be greater than 0".to_owned());
    }
    let mut names = std::collections::BTreeSet::new();
    for (list, containers) in [("initContainers", &read.init_containers), ("containers", &read.containers)] {
        for (number, container) in containers.iter().enumerate() {
            let field = |field: &str| format!("{list}[{number}].{field}");
            if !is_dns_name(&container.name, 63) || container.name.contains('.') {
                return invalid(field("name"), format!("Invalid value: \"{}\": must be a DNS label", container.name));
            }
            if !names.insert(container.name.clone()) {
                return invalid(field("name"), format!("Duplicate value: \"{}\"", container.name));
            }
            if container.image.is_empty() {
                return invalid(field("image"), "Required value".to_owned());
            }
            if list == "initContainers" && !container.restart_policy.is_empty() {
                return invalid(field("restartPolicy"), "Forbidden: this cluster runs no sidecar containers".to_owned());
            }
            check_resources(container).or_else(|(place, problem)| invalid(field(&place), problem))?;
            for (mount_number, mount) in container.volume_mounts.iter().enumerate() {
                let field = |what: &str| format!("{list}[{number}].volumeMounts[{mount_number}].{what}");
                if !read.volumes.iter().any(|volume| volume.name == mount.name) {
                    return invalid(field("name"), format!("Not found: \"{}\"", mount.name));
                }
                if mount.mount_path.is_empty() {
                    return invalid(field("mountPath"), "Required value".to_owned());
                }
                if mount.sub_path.starts_with('/') || mount.sub_path.split('/').any(|part| part == "..") {
                    return invalid(field("subPath"), format!("Invalid value: \"{}\": must not contain '..'", mount.sub_path));
                }
            }
        }
    }
    for (number, volume) in read.volumes.iter().enumerate() {
        let Volume { empty_dir, config_map, secret, .. } = volume;
        if [empty_dir.is_some(), config_map.is_some(), secret.is_some()].iter().filter(|set| **set).count() != 1 {
            let problem = "Forbidden: this cluster knows volumes of the types emptyDir, configMap and secret";
            return invalid(format!("volumes[{number}]"), problem.to_owned());
        }
    }
    Ok(())
}

fn check_resources(container: &Container) -> Result<(), (String, String)> {
    let resources = &container.resources;
    // Devices can't be given out twice: what is asked for is the limit, and whole.
    for resource in resources.requests.keys().filter(|resource| is_extended(resource)) {
        let of = |values: &BTreeMap<String, Json>| values.get(resource).and_then(|value| measured(resource, value));
        if !resources.limits.contains_key(resource) {
            let problem = "Required value: Limit must be set for non overcommitable resources".to_owned();
            return Err((format!("resources.limits[{resource}]"), problem));
        }
        if of(&resources.requests) != of(&resources.limits) {
            let value = &resources.requests[resource];
            let problem = format!("Invalid value: {value}: must be equal to {resource} limit of {}", resources.limits[resource]);
            return Err((format!("resources.requests[{resource}]"), problem));
        }
    }
    for (resource, value) in resources.limits.iter().filter(|(resource, _)| is_extended(resource)) {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if quantity::read(&text).is_some_and(|thousandths| !thousandths.is_multiple_of(1000)) {
            return Err((format!("resources.limits[{resource}]"), format!("Invalid value: {value}: must be an integer")));
        }
    }
    for (list, values) in [("requests", &resources.requests), ("limits", &resources.limits)] {
        for (resource, value) in values {
            let Some(measure) = measured(resource, value) else {
                return Err((format!("resources.{list}[{resource}]"), format!("Invalid value: {value}: must be a quantity")));
            };
            let limit = resources.limits.get(resource).and_then(|limit| measured(resource, limit));
            if list == "requests" && limit.is_some_and(|limit| measure > limit) {
                let problem = format!("Invalid value: {value}: must be less than or equal to {resource} limit");
                return Err((format!("resources.requests[{resource}]"), problem));
            }
        }
    }
    Ok(())
}

fn default_job(job: &mut Json, uid: &str) {
    let name = name_of(job).to_owned();
    let spec = &mut job["spec"];
    if !spec.is_object() {
        return;
    }
    if spec["completions"].is_null() && spec["parallelism"].is_null() {
        spec["completions"] = 1.into();
    }
    default(spec, "parallelism", 1);
    default(spec, "backoffLimit", 6);
    default(spec, "completionMode", "NonIndexed");
    default(spec, "suspend", false);
    default(spec, "podReplacementPolicy", "TerminatingOrFailed");
    default(spec, "manualSelector", false);
    if spec["completions"].is_null() {
        spec.as_object_mut().map(|spec| spec.remove("completions"));
    }
    if spec["manualSelector"] == false {
        if spec["selector"].is_null() {
            spec["selector"] = json!({ "matchLabels": { "batch.kubernetes.io/controller-uid": uid } });
        }
        if spec["template"].is_object() {
            default(&mut spec["template"], "metadata", json!({}));
            let labels = &mut spec["template"]["metadata"]["labels"];
            for key in ["batch.kubernetes.io/controller-uid", "controller-uid"] {
                labels[key] = uid.into();
            }
            for key in ["batch.kubernetes.io/job-name", "job-name"] {
                labels[key] = name.clone().into();
            }
        }
    }
    // A job's pods have no policy of their own: it must be said, so the default of pods does not count.
    let policy = spec.pointer("/template/spec/restartPolicy").cloned();
    default_pod(&mut spec["template"]["spec"]);
    if let Some(template) = spec.pointer_mut("/template/spec").and_then(Json::as_object_mut) {
        template.insert("restartPolicy".to_owned(), policy.unwrap_or_else(|| "".into()));
    }
}

fn check_job(kind: &Kind, name: &str, job: &Json) -> Result<(), Refusal> {
    let spec = &job["spec"];
    let invalid = |field: &str, problem: &str| Err(Refusal::invalid(kind, name, &format!("spec.{field}"), problem));
    for field in ["parallelism", "completions", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"] {
        if spec.get(field).is_some_and(|value| value.as_i64().is_none()) {
            return Err(Refusal::bad(format!("Job in version \"v1\" cannot be handled as a Job: spec.{field} must be a whole number")));
        }
        if spec[field].as_i64().is_some_and(|value| value < 0) {
            return invalid(field, &format!("Invalid value: {}: must be greater than or equal to 0", spec[field]));
        }
    }
    for field in ["podFailurePolicy", "successPolicy", "backoffLimitPerIndex", "maxFailedIndexes", "managedBy"] {
        if spec.get(field).is_some_and(|value| !value.is_null()) {
            return invalid(field, "Forbidden: this cluster does not know it");
        }
    }
    let mode = text(spec, "/completionMode");
    if !["NonIndexed", "Indexed"].contains(&mode) {
        return invalid("completionMode", &format!("Unsupported value: \"{mode}\": supported values: \"Indexed\", \"NonIndexed\""));
    }
    if mode == "Indexed" && spec["completions"].is_null() {
        return invalid("completions", "Required value: when completion mode is Indexed");
    }
    let policy = text(spec, "/template/spec/restartPolicy");
    if policy.is_empty() {
        return invalid("template.spec.restartPolicy", "Required value: valid values: \"OnFailure\", \"Never\"");
    }
    if policy == "Always" {
        return invalid("template.spec.restartPolicy", "Unsupported value: \"Always\": supported values: \"OnFailure\", \"Never\"");
    }
    if spec["selector"] != json!({ "matchLabels": spec["selector"]["matchLabels"] }) {
        return invalid("selector", "Invalid value: only matchLabels can select a job's pods");
    }
    let labels = &spec["template"]["metadata"]["labels"];
    let wanted = spec["selector"]["matchLabels"].as_object().into_iter().flatten();
    if wanted.into_iter().any(|(key, value)| labels.get(key) != Some(value)) {
        return invalid("template.metadata.labels", "Invalid value: `selector` does not match template `labels`");
    }
    check_pod(kind, name, "spec.template.spec", &spec["template"]["spec"])
}

fn check_texts(kind: &Kind, name: &str, object: &Json, field: &str) -> Result<(), Refusal> {
    for (key, value) in object[field].as_object().into_iter().flatten() {
        let sound = !key.is_empty() && key.len() <= 253 && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if !sound || key == "." || key == ".." {
            let problem = format!("Invalid value: \"{key}\": a valid config key must consist of alphanumeric characters, '-', '_' or '.'");
            return Err(Refusal::invalid(kind, name, &format!("{field}[{key}]"), &problem));
        }
        if !value.is_string() {
            return Err(Refusal::bad(format!(
                "{} in version \"v1\" cannot be handled as a {}: {field}.{key} must be a text",
                kind.name, kind.name
            )));
        }
    }
    Ok(())
}

fn secret(kind: &Kind, name: &str, object: &mut Json) -> Result<(), Refusal> {
    use base64::Engine;
    let standard = base64::engine::general_purpose::STANDARD;
    default(object, "type", "Opaque");
    check_texts(kind, name, object, "data")?;
    check_texts(kind, name, object, "stringData")?;
    for (key, value) in object["data"].as_object().into_iter().flatten() {
        if standard.decode(value.as_str().unwrap_or_default()).is_err() {
            return Err(Refusal::bad(format!("Secret in version \"v1\" cannot be handled as a Secret: illegal base64 data at data.{key}")));
        }
    }
    let texts = object.as_object_mut().and_then(|fields| fields.remove("stringData"));
    for (key, value) in texts.as_ref().and_then(Json::as_object).into_iter().flatten() {
        object["data"][key] = standard.encode(value.as_str().unwrap_or_default()).into();
    }
    Ok(())
}

/// Refuses a change of what can't be changed.
pub(crate) fn change(kind: &'static Kind, before: &Json, after: &Json) -> Result<(), Refusal> {
    let name = name_of(before);
    let immutable = |field: &str| Err(Refusal::invalid(kind, name, field, "Invalid value: field is immutable"));
    match kind.plural {
        "pods" => {
            let frozen = |pod: &Json| {
                let mut spec = pod["spec"].clone();
                for list in ["containers", "initContainers"] {
                    spec.get_mut(list)
                        .and_then(Json::as_array_mut)
                        .into_iter()
                        .flatten()
                        .for_each(|container| container["image"] = Json::Null);
                }
                for field in ["activeDeadlineSeconds", "tolerations"] {
                    spec.as_object_mut().map(|spec| spec.remove(field));
                }
                spec
            };
            if frozen(before) != frozen(after) {
                let problem = "Forbidden: pod updates may not change fields other than `spec.containers[*].image`, \
                               `spec.initContainers[*].image`, `spec.activeDeadlineSeconds`, `spec.tolerations`";
                return Err(Refusal::invalid(kind, name, "spec", problem));
            }
        }
        "jobs" => {
            for field in ["template", "selector", "completionMode"] {
                if before["spec"][field] != after["spec"][field] {
                    return immutable(&format!("spec.{field}"));
                }
            }
            let indexed = before["spec"]["completionMode"] == "Indexed";
            if before["spec"]["completions"] != after["spec"]["completions"]
                && !(indexed && after["spec"]["completions"] == after["spec"]["parallelism"])
            {
                return immutable("spec.completions");
            }
            check_job(kind, name, after)?;
        }
        "rolebindings" | "clusterrolebindings" if before["roleRef"] != after["roleRef"] => {
            return Err(Refusal::invalid(kind, name, "roleRef", "Invalid value: cannot change roleRef"));
        }
        "configmaps" | "secrets" if before["immutable"] == true => {
            let same = |field: &str| before[field] == after[field];
            if after["immutable"] != true || !same("data") || !same("binaryData") {
                return Err(Refusal::invalid(kind, name, "data", "Forbidden: field is immutable when `immutable` is set"));
            }
        }
        _ => {}
    }
    Ok(())
}
