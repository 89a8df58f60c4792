//! Who asks and what they may do: names and groups from a client's certificate, rules from roles and bindings. Nothing
//! is allowed that no rule allows, but for the group `system:masters`.

use serde::Deserialize;
use serde_json::Value as Json;

use super::kind;
use super::space::{Space, namespace_of, text};

/// Somebody whose certificate this cluster's authority signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) groups: Vec<String>,
}

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Attributes {
    pub(crate) verb: String,
    pub(crate) group: String,
    /// The plural; empty for a path that is no resource.
    pub(crate) resource: String,
    pub(crate) subresource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) path: String,
}

impl Attributes {
    /// `pods/log`.
    fn full_resource(&self) -> String {
        if self.subresource.is_empty() { self.resource.clone() } else { format!("{}/{}", self.resource, self.subresource) }
    }

    /// Why somebody may not, in the words of the API.
    pub(crate) fn refused(&self, user: &User) -> String {
        let User { name, .. } = user;
        if self.resource.is_empty() {
            return format!("User \"{name}\" cannot {} path \"{}\"", self.verb, self.path);
        }
        let place = match self.namespace.as_str() {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace \"{namespace}\""),
        };
        format!("User \"{name}\" cannot {} resource \"{}\" in API group \"{}\" {place}", self.verb, self.full_resource(), self.group)
    }
}

/// A rule of a role.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Rule {
    verbs: Vec<String>,
    api_groups: Vec<String>,
    resources: Vec<String>,
    resource_names: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    paths: Vec<String>,
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == "*" || item == wanted)
}

impl Rule {
    fn allows(&self, asked: &Attributes) -> bool {
        if !has(&self.verbs, &asked.verb) {
            return false;
        }
        if asked.resource.is_empty() {
            return self.paths.iter().any(|path| match path.strip_suffix('*') {
                Some(start) => asked.path.starts_with(start),
                None => *path == asked.path,
            });
        }
        let full = asked.full_resource();
        let by_subresource = |item: &String| !asked.subresource.is_empty() && *item == format!("*/{}", asked.subresource);
        has(&self.api_groups, &asked.group)
            && (has(&self.resources, &full) || self.resources.iter().any(by_subresource))
            && (self.resource_names.is_empty() || (!asked.name.is_empty() && self.resource_names.contains(&asked.name)))
    }

    /// All that it allows, one by one.
    fn parts(&self) -> Vec<Attributes> {
        let mut all = Vec::new();
        let names = if self.resource_names.is_empty() { vec![String::new()] } else { self.resource_names.clone() };
        for verb in &self.verbs {
            for path in &self.paths {
                all.push(Attributes { verb: verb.clone(), path: path.clone(), ..Attributes::default() });
            }
            for group in &self.api_groups {
                for full in &self.resources {
                    let (resource, subresource) = full.split_once('/').unwrap_or((full, ""));
                    all.extend(names.iter().map(|name| Attributes {
                        verb: verb.clone(),
                        group: group.clone(),
                        resource: resource.to_owned(),
                        subresource: subresource.to_owned(),
                        name: name.clone(),
                        ..Attributes::default()
                    }));
                }
            }
        }
        all
    }
}

/// The rules of a role.
pub(crate) fn rules(role: &Json) -> Vec<Rule> {
    role.get("rules").and_then(|rules| Vec::deserialize(rules).ok()).unwrap_or_default()
}

fn names_user(binding: &Json, user: &User) -> bool {
    let subjects = binding.get("subjects").and_then(Json::as_array).into_iter().flatten();
    subjects.into_iter().any(|subject| {
        let name = text(subject, "/name");
        match text(subject, "/kind") {
            "User" => name == user.name,
            "Group" => name == "system:authenticated" || user.groups.iter().any(|group| group == name),
            "ServiceAccount" => user.name == format!("system:serviceaccount:{}:{name}", text(subject, "/namespace")),
            _ => false,
        }
    })
}

/// The role that a binding names.
pub(crate) fn role_of<'a>(space: &'a Space, binding: &Json) -> Option<&'a Json> {
    let name = text(binding, "/roleRef/name");
    match text(binding, "/roleRef/kind") {
        "ClusterRole" => space.get(&kind::CLUSTER_ROLES, "", name),
        "Role" => space.get(&kind::ROLES, namespace_of(binding), name),
        _ => None,
    }
}

/// Whether a user may do that.
pub(crate) fn allows(space: &Space, user: &User, asked: &Attributes) -> bool {
    if user.groups.iter().any(|group| group == "system:masters") {
        return true;
    }
    let mut bindings = space.all(&kind::CLUSTER_ROLE_BINDINGS, None);
    if !asked.namespace.is_empty() {
        bindings.extend(space.all(&kind::ROLE_BINDINGS, Some(&asked.namespace)));
    }
    let mut mine = bindings.into_iter().filter(|binding| names_user(binding, user));
    mine.any(|binding| role_of(space, binding).is_some_and(|role| rules(role).iter().any(|rule| rule.allows(asked))))
}

/// Whether a user has all that some rules give: nobody may give away more than they have.
pub(crate) fn covers(space: &Space, user: &User, namespace: &str, rules: &[Rule]) -> bool {
    let parts = rules.iter().flat_map(Rule::parts);
    parts.into_iter().all(|part| allows(space, user, &Attributes { namespace: namespace.to_owned(), ..part }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rule(json: Json) -> Rule {
        serde_json::from_value(json).unwrap()
    }

    fn asked(verb: &str, resource: &str, subresource: &str, name: &str) -> Attributes {
        let own = str::to_owned;
        Attributes { verb: own(verb), resource: own(resource), subresource: own(subresource), name: own(name), ..Attributes::default() }
    }

    #[test]
    fn a_rule_allows_what_it_names_and_nothing_beside() {
        let read = rule(json!({ "apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"] }));
        assert!(read.allows(&asked("get", "pods", "", "a")));
        assert!(read.allows(&asked("get", "pods", "log", "a")));
        assert!(!read.allows(&asked("get", "pods", "status", "a")));
        assert!(!read.allows(&asked("delete", "pods", "", "a")));
        assert!(!read.allows(&Attributes { group: "batch".to_owned(), ..asked("get", "pods", "", "a") }));
        let one = rule(json!({ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"], "resourceNames": ["a"] }));
        assert!(one.allows(&asked("delete", "jobs", "", "a")));
        assert!(!one.allows(&asked("delete", "jobs", "", "b")));
        assert!(!one.allows(&asked("list", "jobs", "", "")));
    }

    #[test]
    fn a_path_is_allowed_whole_or_by_its_start() {
        let rule = rule(json!({ "nonResourceURLs": ["/healthz", "/apis/*"], "verbs": ["get"] }));
        let path = |path: &str| Attributes { verb: "get".to_owned(), path: path.to_owned(), ..Attributes::default() };
        assert!(rule.allows(&path("/healthz")) && rule.allows(&path("/apis/batch/v1")));
        assert!(!rule.allows(&path("/healthz/x")) && !rule.allows(&path("/api")));
    }
}
