//! What a container finds around it: its variables, with references into other objects, and its command with those
//! variables in it. Values may be secrets: they go into the machine and nowhere else.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;

use crate::local_cloud::kubernetes::kind;
use crate::local_cloud::kubernetes::pod::{Container, KeyRef, Named, PodSpec, ResourceRef, ValueFrom, measured};
use crate::local_cloud::kubernetes::space::{Space, name_of, namespace_of, text};

/// The entries of a ConfigMap or a Secret as bytes; `None` if it is not there.
pub(crate) fn entries(space: &Space, namespace: &str, is_secret: bool, name: &str) -> Option<BTreeMap<String, Vec<u8>>> {
    let kind = if is_secret { &kind::SECRETS } else { &kind::CONFIG_MAPS };
    let object = space.get(kind, namespace, name)?;
    let field = |field: &str| object[field].as_object().cloned().unwrap_or_default();
    let plain = |value: &Json| value.as_str().unwrap_or_default().as_bytes().to_vec();
    let encoded = |value: &Json| STANDARD.decode(value.as_str().unwrap_or_default()).unwrap_or_default();
    let mut all = BTreeMap::new();
    for (key, value) in field("data") {
        all.insert(key, if is_secret { encoded(&value) } else { plain(&value) });
    }
    if !is_secret {
        all.extend(field("binaryData").into_iter().map(|(key, value)| (key, encoded(&value))));
    }
    Some(all)
}

fn word(is_secret: bool) -> &'static str {
    if is_secret { "secret" } else { "configmap" }
}

/// The variables of a container, or why they can't be had.
pub(crate) fn variables(space: &Space, pod: &Json, spec: &PodSpec, container: &Container) -> Result<BTreeMap<String, String>, String> {
    let namespace = namespace_of(pod);
    let hostname = if spec.hostname.is_empty() { name_of(pod) } else { &spec.hostname };
    let mut all = BTreeMap::from([("HOSTNAME".to_owned(), hostname.to_owned())]);
    for source in &container.env_from {
        for (reference, is_secret) in [(&source.config_map_ref, false), (&source.secret_ref, true)] {
            let Some(Named { name, optional }) = reference else { continue };
            match entries(space, namespace, is_secret, name) {
                Some(found) => {
                    let texts = found.into_iter().filter_map(|(key, value)| Some((key, String::from_utf8(value).ok()?)));
                    all.extend(texts.map(|(key, value)| (format!("{}{key}", source.prefix), value)));
                }
                None if *optional => {}
                None => return Err(format!("{} \"{name}\" not found", word(is_secret))),
            }
        }
    }
    for variable in &container.env {
        let value = match &variable.value_from {
            None => Some(expand(&variable.value, &all)),
            Some(from) => value_from(space, pod, spec, container, from)?,
        };
        if let Some(value) = value {
            all.insert(variable.name.clone(), value);
        }
    }
    Ok(all)
}

fn value_from(space: &Space, pod: &Json, spec: &PodSpec, container: &Container, from: &ValueFrom) -> Result<Option<String>, String> {
    for (reference, is_secret) in [(&from.config_map_key_ref, false), (&from.secret_key_ref, true)] {
        if let Some(KeyRef { name, key, optional }) = reference {
            let found = entries(space, namespace_of(pod), is_secret, name);
            return match found.map(|mut found| found.remove(key)) {
                Some(Some(value)) => Ok(Some(String::from_utf8_lossy(&value).into_owned())),
                _ if *optional => Ok(None),
                None => Err(format!("{} \"{name}\" not found", word(is_secret))),
                Some(None) => Err(format!("couldn't find key {key} in {} {}/{name}", word(is_secret), namespace_of(pod))),
            };
        }
    }
    if let Some(field) = &from.field_ref {
        return field_of(pod, &field.field_path).map(Some).ok_or_else(|| format!("unsupported fieldPath: {}", field.field_path));
    }
    if let Some(reference) = &from.resource_field_ref {
        return resource_of(spec, container, reference).map(Some).ok_or_else(|| format!("unsupported resource: {}", reference.resource));
    }
    Ok(None)
}

fn field_of(pod: &Json, path: &str) -> Option<String> {
    if let Some((map, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
        let map = map.strip_prefix("metadata.").filter(|map| ["labels", "annotations"].contains(map))?;
        return Some(pod["metadata"][map].get(key).and_then(Json::as_str).unwrap_or_default().to_owned());
    }
    let known = [
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.podIP",
        "status.podIPs",
    ];
    if !known.contains(&path) {
        return None;
    }
    let path = if path == "status.podIPs" { "status.podIP" } else { path };
    Some(text(pod, &format!("/{}", path.replace('.', "/"))).to_owned())
}

fn resource_of(spec: &PodSpec, container: &Container, reference: &ResourceRef) -> Option<String> {
    let named = spec.containers.iter().chain(&spec.init_containers).find(|other| other.name == reference.container_name);
    let resources = &named.unwrap_or(container).resources;
    let (list, resource) = reference.resource.split_once('.')?;
    let values = match list {
        "limits" => &resources.limits,
        "requests" => &resources.requests,
        _ => return None,
    };
    let measure = values.get(resource).and_then(|value| measured(resource, value)).unwrap_or(0);
    Some(if resource == "cpu" { measure.div_ceil(1000).to_string() } else { measure.to_string() })
}

/// Puts the values of variables in for `$(NAME)`; `$$(NAME)` stays `$(NAME)`, and so does what nobody knows.
pub(crate) fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(escaped) = rest.strip_prefix('$') {
            out.push('$');
            rest = escaped;
            continue;
        }
        let reference = rest.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        match reference.and_then(|(name, tail)| Some((variables.get(name)?, tail))) {
            Some((value, tail)) => {
                out.push_str(value);
                rest = tail;
            }
            None => out.push('$'),
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_put_in_and_others_stay() {
        let variables = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        assert_eq!(expand("$(A) $$(A) $(B) $A $ $(", &variables), "1 $(A) $(B) $A $ $(");
    }
}
