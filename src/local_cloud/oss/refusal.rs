//! An error as OSS answers it: a document that tells more than code and message, and the same in a header where an
//! answer has no body.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::target::Target;
use super::xml;
use crate::local_cloud::wire::fault::Fault;
use crate::local_cloud::wire::{Request, Response};

/// Why OSS does not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
    ec: Option<&'static str>,
    details: Vec<(&'static str, String)>,
    headers: Vec<(&'static str, String)>,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Refusal { status, code: code.into(), message: message.into(), ec: None, details: Vec::new(), headers: Vec::new() }
    }

    /// A caller's mistake, 400.
    pub(crate) fn bad(code: &str, message: impl Into<String>) -> Self {
        Refusal::new(400, code, message)
    }

    /// Something that is not allowed, 403.
    pub(crate) fn forbidden(code: &str, message: impl Into<String>) -> Self {
        Refusal::new(403, code, message)
    }

    /// Something that is not there, 404.
    pub(crate) fn missing(code: &str, message: impl Into<String>) -> Self {
        Refusal::new(404, code, message)
    }

    /// Something that does not fit what is there, 409.
    pub(crate) fn conflict(code: &str, message: impl Into<String>) -> Self {
        Refusal::new(409, code, message)
    }

    /// A header or parameter whose value is not allowed.
    pub(crate) fn argument(name: &str, value: &str, message: impl Into<String>) -> Self {
        Refusal::bad("InvalidArgument", message).with("ArgumentName", name).with("ArgumentValue", value)
    }

    /// An operation, or part of one, that this cloud does not have.
    pub(crate) fn not_implemented(what: &str) -> Self {
        Refusal::new(501, "NotImplemented", "A header you provided implies functionality that is not implemented.").with("Header", what)
    }

    pub(crate) fn no_bucket() -> Self {
        Refusal::missing("NoSuchBucket", "The specified bucket does not exist.").ec("0015-00000101")
    }

    pub(crate) fn no_key(key: &str) -> Self {
        Refusal::missing("NoSuchKey", "The specified key does not exist.").ec("0026-00000001").with("Key", key)
    }

    pub(crate) fn malformed_xml(detail: &str) -> Self {
        let message = "The XML you provided was not well-formed or did not validate against our published schema.";
        Refusal::bad("MalformedXML", message).with("ErrorDetail", detail)
    }

    /// OSS's number of the cause. Clients show it; it decides nothing.
    pub(crate) fn ec(mut self, ec: &'static str) -> Self {
        self.ec = Some(ec);
        self
    }

    /// A further element of the document.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.details.push((name, value.into()));
        self
    }

    /// A header beside the document.
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The answer.
    pub(super) fn answer(&self, request: &Request, target: &Target, id: &str) -> Response {
        // Where the real number is not known it is one of our own within OSS's numbering.
        let ec = self.ec.map_or_else(|| format!("0000-{:08}", self.status), str::to_owned);
        let mut body = xml::Writer::document("Error");
        body.leaf("Code", &self.code).leaf("Message", &self.message).leaf("RequestId", id).leaf("HostId", &request.host);
        for (name, value) in &self.details {
            body.leaf(name, value);
        }
        if let Some(bucket) = target.bucket.as_ref().filter(|_| target.key.is_empty()) {
            body.leaf("BucketName", bucket);
        }
        body.leaf("EC", &ec).leaf("RecommendDoc", &format!("https://api.aliyun.com/troubleshoot?q={ec}"));
        let body = body.finish();
        let mut headers = vec![("content-type".to_owned(), "application/xml".to_owned()), ("x-oss-ec".to_owned(), ec)];
        headers.extend(self.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        if request.method == http::Method::HEAD {
            headers.push(("x-oss-err".to_owned(), STANDARD.encode(&body)));
            return Response { status: self.status, headers, body: Bytes::new(), dropped: false };
        }
        Response { status: self.status, headers, body: Bytes::from(body), dropped: false }
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        // OSS has its own words for it.
        if fault.code.starts_with("Throttling") {
            return Refusal::new(503, "ServiceUnavailable", "Please reduce your request rate.");
        }
        Refusal::new(fault.status, fault.code, fault.message)
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        Refusal::new(500, "InternalError", error.to_string())
    }
}
