//! An error that a product answers: HTTP status, code and message, and the envelope around them.

use serde_json::json;

use super::Response;
use super::format::Format;

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The service's code.
    pub(crate) code: String,
    /// The service's message.
    pub(crate) message: String,
    /// How many milliseconds the caller is asked to wait.
    pub(crate) retry_after: Option<u64>,
}

impl Fault {
    /// An error with any status.
    pub(crate) fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Fault { status, code: code.into(), message: message.into(), retry_after: None }
    }

    /// A caller's mistake, 400.
    pub(crate) fn bad(code: impl Into<String>, message: impl Into<String>) -> Self {
        Fault::new(400, code, message)
    }

    /// Something the state or the account does not allow, 403.
    pub(crate) fn forbidden(code: impl Into<String>, message: impl Into<String>) -> Self {
        Fault::new(403, code, message)
    }

    /// Something that is not there, 404.
    pub(crate) fn missing(code: impl Into<String>, message: impl Into<String>) -> Self {
        Fault::new(404, code, message)
    }

    /// A parameter that must be given and is not.
    pub(crate) fn mandatory(name: &str) -> Self {
        Fault::bad(format!("Missing{}", name.replace('.', "")), format!("{name} is mandatory for this action."))
    }

    /// A parameter whose value is not allowed.
    pub(crate) fn invalid(name: &str) -> Self {
        Fault::bad("InvalidParameter", format!("The specified parameter {name} is not valid."))
    }

    /// The JSON envelope of all products but OSS.
    pub(crate) fn answer(&self, request_id: &str, host: &str, product: &str) -> Response {
        self.answer_as(Format::Json, request_id, host, product)
    }

    /// The envelope of all products but OSS.
    pub(crate) fn answer_as(&self, format: Format, request_id: &str, host: &str, product: &str) -> Response {
        let body = json!({
            "RequestId": request_id,
            "HostId": host,
            "Code": self.code,
            "Message": self.message,
            "Recommend": format!("https://api.aliyun.com/troubleshoot?q={}&product={product}&requestId={request_id}", self.code),
        });
        let mut response = format.answer(self.status, request_id, "Error", &body);
        if let Some(milliseconds) = self.retry_after {
            response.headers.push(("x-acs-retry-after".to_owned(), milliseconds.to_string()));
        }
        response
    }
}
