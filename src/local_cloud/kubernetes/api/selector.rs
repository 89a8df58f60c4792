//! Label and field selectors: which objects a list, a watch or a bulk deletion means.

use serde_json::Value as Json;

use crate::local_cloud::kubernetes::kind::Kind;
use crate::local_cloud::kubernetes::status::Refusal;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Label {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Missing(String),
}

/// What objects must have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    labels: Vec<Label>,
    /// Field, value, and whether it must be that or must not.
    fields: Vec<(String, String, bool)>,
}

impl Selector {
    /// From the texts of a request.
    pub(crate) fn read(kind: &Kind, labels: &str, fields: &str) -> Result<Selector, Refusal> {
        let unreadable = |text: &str| Refusal::bad(format!("unable to parse requirement: found '{text}'"));
        let labels = split(labels).into_iter().map(|text| label(&text).ok_or_else(|| unreadable(&text)));
        let labels = labels.collect::<Result<Vec<_>, _>>()?;
        let mut read = Vec::new();
        for requirement in fields.split(',').filter(|text| !text.is_empty()) {
            let (field, value, equal) = match requirement.split_once("!=") {
                Some((field, value)) => (field, value, false),
                None => {
                    let (field, value) = requirement.split_once('=').ok_or_else(|| unreadable(requirement))?;
                    (field, value.trim_start_matches('='), true)
                }
            };
            if !known(kind, field) {
                return Err(Refusal::bad(format!("field label not supported: {field}")));
            }
            read.push((field.to_owned(), value.to_owned(), equal));
        }
        Ok(Selector { labels, fields: read })
    }

    /// Whether an object is meant.
    pub(crate) fn fits(&self, object: &Json) -> bool {
        let own = |key: &str| object["metadata"]["labels"].get(key).and_then(Json::as_str);
        let labelled = self.labels.iter().all(|label| match label {
            Label::In(key, values) => own(key).is_some_and(|value| values.iter().any(|wanted| wanted == value)),
            Label::NotIn(key, values) => own(key).is_none_or(|value| values.iter().all(|unwanted| unwanted != value)),
            Label::Exists(key) => own(key).is_some(),
            Label::Missing(key) => own(key).is_none(),
        });
        labelled && self.fields.iter().all(|(field, value, equal)| (field_of(object, field) == *value) == *equal)
    }
}

/// The fields that a kind can be selected by.
fn known(kind: &Kind, field: &str) -> bool {
    let own: &[&str] = match kind.plural {
        "pods" => &["spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "status.phase", "status.podIP"],
        "events" => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        "jobs" => &["status.successful"],
        "secrets" => &["type"],
        "namespaces" => &["status.phase"],
        "nodes" => &["spec.unschedulable"],
        _ => &[],
    };
    own.contains(&field) || field == "metadata.name" || (field == "metadata.namespace" && kind.namespaced)
}

fn field_of(object: &Json, field: &str) -> String {
    let field = if field == "source" { "source.component" } else { field };
    let field = if field == "status.successful" { "status.succeeded" } else { field };
    match object.pointer(&format!("/{}", field.replace('.', "/"))) {
        Some(Json::String(text)) => text.clone(),
        Some(Json::Bool(flag)) => flag.to_string(),
        Some(Json::Number(number)) => number.to_string(),
        _ if field == "status.succeeded" => "0".to_owned(),
        _ => String::new(),
    }
}

/// Splits at commas outside of brackets.
fn split(text: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0_usize);
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if c == ',' && depth == 0 {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts.iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

fn label(text: &str) -> Option<Label> {
    let sound = |key: &str| !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    let key = |key: &str| Some(key.trim().to_owned()).filter(|key| sound(key));
    let set = |rest: &str| {
        let inner = rest.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some(inner.split(',').map(|value| value.trim().to_owned()).collect::<Vec<_>>())
    };
    if let Some((left, rest)) =
        text.split_once(" notin ").or_else(|| text.split_once(" notin(").map(|_| text.split_at(text.find(" notin(").unwrap_or(0))))
    {
        return Some(Label::NotIn(key(left)?, set(rest.trim_start().trim_start_matches("notin"))?));
    }
    if let Some((left, rest)) =
        text.split_once(" in ").or_else(|| text.split_once(" in(").map(|_| text.split_at(text.find(" in(").unwrap_or(0))))
    {
        return Some(Label::In(key(left)?, set(rest.trim_start().trim_start_matches("in"))?));
    }
    if let Some((left, value)) = text.split_once("!=") {
        return Some(Label::NotIn(key(left)?, vec![value.trim().to_owned()]));
    }
    if let Some((left, value)) = text.split_once('=') {
        return Some(Label::In(key(left)?, vec![value.trim_start_matches('=').trim().to_owned()]));
    }
    match text.strip_prefix('!') {
        Some(missing) => Some(Label::Missing(key(missing)?)),
        None => Some(Label::Exists(key(text)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local_cloud::kubernetes::kind;
    use serde_json::json;

    #[test]
    fn selectors_are_read_as_the_api_writes_them() {
        let pod = json!({ "metadata": { "name": "p", "labels": { "app": "web", "tier": "front" } }, "status": { "phase": "Running" } });
        let fits = |labels: &str, fields: &str| Selector::read(&kind::PODS, labels, fields).unwrap().fits(&pod);
        assert!(fits("app=web,tier==front", "status.phase=Running,metadata.name!=q"));
        assert!(fits("app in (web, db),tier notin (back),!old,app", ""));
        assert!(fits("app in(web)", ""));
        assert!(!fits("app!=web", "") && !fits("old", "") && !fits("app in (db)", "") && !fits("", "status.phase!=Running"));
        assert!(Selector::read(&kind::PODS, "", "spec.color=red").is_err());
        assert!(Selector::read(&kind::PODS, "a b", "").is_err());
    }
}
