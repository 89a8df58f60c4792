//! Errors as the Kubernetes API answers them: a `Status` with a reason that programs read and a message for people.

use serde_json::{Value as Json, json};

use super::kind::Kind;

/// A refusal.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    pub(crate) details: Json,
}

impl Refusal {
    pub(crate) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Refusal { code, reason, message: message.into(), details: json!({}) }
    }

    fn about(mut self, kind: &Kind, name: &str) -> Self {
        self.details = json!({ "name": name, "group": kind.group, "kind": kind.plural });
        self
    }

    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Refusal::new(400, "BadRequest", message)
    }

    pub(crate) fn unauthorized() -> Self {
        Refusal::new(401, "Unauthorized", "Unauthorized")
    }

    pub(crate) fn forbidden(kind: Option<&Kind>, name: &str, why: &str) -> Self {
        match kind {
            Some(kind) => {
                let named = if name.is_empty() { String::new() } else { format!(" \"{name}\"") };
                Refusal::new(403, "Forbidden", format!("{}{named} is forbidden: {why}", kind.id())).about(kind, name)
            }
            None => Refusal::new(403, "Forbidden", format!("forbidden: {why}")),
        }
    }

    pub(crate) fn missing(kind: &Kind, name: &str) -> Self {
        Refusal::new(404, "NotFound", format!("{} \"{name}\" not found", kind.id())).about(kind, name)
    }

    /// Nothing is served at that path.
    pub(crate) fn no_such_path() -> Self {
        Refusal::new(404, "NotFound", "the server could not find the requested resource")
    }

    pub(crate) fn not_allowed() -> Self {
        Refusal::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
    }

    pub(crate) fn exists(kind: &Kind, name: &str) -> Self {
        Refusal::new(409, "AlreadyExists", format!("{} \"{name}\" already exists", kind.id())).about(kind, name)
    }

    pub(crate) fn conflict(kind: &Kind, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Refusal::new(409, "Conflict", format!("Operation cannot be fulfilled on {} \"{name}\": {why}", kind.id())).about(kind, name)
    }

    /// The history that was asked for is gone.
    pub(crate) fn expired(wanted: u64, oldest: u64) -> Self {
        Refusal::new(410, "Expired", format!("too old resource version: {wanted} ({oldest})"))
    }

    /// A field that is not as it must be: its path, and what is wrong with it (`Required value: ...`).
    pub(crate) fn invalid(kind: &Kind, name: &str, field: &str, problem: &str) -> Self {
        let shown = if kind.group.is_empty() { kind.name.to_owned() } else { format!("{}.{}", kind.name, kind.group) };
        let reason = match problem {
            _ if problem.starts_with("Required value") => "FieldValueRequired",
            _ if problem.starts_with("Unsupported value") => "FieldValueNotSupported",
            _ if problem.starts_with("Forbidden") => "FieldValueForbidden",
            _ => "FieldValueInvalid",
        };
        let mut refusal = Refusal::new(422, "Invalid", format!("{shown} \"{name}\" is invalid: {field}: {problem}"));
        let cause = json!({ "reason": reason, "message": problem, "field": field });
        refusal.details = json!({ "name": name, "group": kind.group, "kind": kind.name, "causes": [cause] });
        refusal
    }

    pub(crate) fn body(&self) -> Json {
        json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "details": self.details,
            "code": self.code,
        })
    }
}
