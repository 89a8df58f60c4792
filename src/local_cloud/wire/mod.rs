//! What travels: requests and responses free of any transport, their parameters, and the envelopes of errors.
//! Nothing here knows a product's meaning.

pub(crate) mod encoding;
pub(crate) mod fault;
pub(crate) mod format;
pub(crate) mod params;

use bytes::Bytes;

/// Who a client's certificate says it is. This cloud's authority signed it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// The name.
    pub common_name: String,
    /// The groups that it is in.
    pub organizations: Vec<String>,
}

/// A request as it came in, nothing decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The HTTP method.
    pub method: http::Method,
    /// The `Host` header, with the port if it has one.
    pub host: String,
    /// The path, percent-encoded as sent.
    pub path: String,
    /// The query without its question mark, as sent; empty without one.
    pub query: String,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// Whose certificate came with the connection; `None` without TLS or without one.
    pub peer: Option<Peer>,
}

impl Request {
    /// The first header of that lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The host without its port.
    pub(crate) fn host_name(&self) -> &str {
        match self.host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => &self.host,
        }
    }
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The headers, names in lower case, without `content-length`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// Whether the answer is lost on its way: a transport closes the connection instead of sending it.
    pub dropped: bool,
}

impl Response {
    /// The first header of that lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// An answer that never arrives.
    pub(crate) fn lost() -> Self {
        Response { status: 500, headers: Vec::new(), body: Bytes::new(), dropped: true }
    }

    /// A JSON answer with its request id, which `fields`, the text of an object that is not empty, does not hold yet.
    pub(crate) fn rendered(request_id: &str, fields: &str) -> Self {
        let rest = fields.strip_prefix('{').unwrap_or(fields);
        Response::text(200, request_id, format!("{{\"RequestId\":\"{request_id}\",{rest}"))
    }

    /// A JSON answer with its request id.
    pub(crate) fn json(status: u16, request_id: &str, body: &serde_json::Value) -> Self {
        Response::text(status, request_id, body.to_string())
    }

    fn text(status: u16, request_id: &str, body: String) -> Self {
        Response {
            status,
            headers: vec![
                ("content-type".to_owned(), "application/json;charset=utf-8".to_owned()),
                ("x-acs-request-id".to_owned(), request_id.to_owned()),
            ],
            body: Bytes::from(body),
            dropped: false,
        }
    }
}
