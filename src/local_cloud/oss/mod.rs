//! OSS: buckets and objects over its own REST and XML. Which bucket and key a request means follows from its host and
//! path; everything else from the method, the query and the headers.

mod access;
mod append;
mod bucket;
pub(crate) mod content;
mod copy;
mod description;
pub(crate) mod inner;
mod list;
mod multipart;
mod object;
mod read;
pub(crate) mod refusal;
mod route;
pub(crate) mod rows;
mod tagging;
mod target;
mod xml;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use super::auth::{credential, oss};
use super::runtime::Shared;
use super::store::World;
use super::time;
use super::wire::encoding::pairs;
use super::wire::fault::Fault;
use super::wire::{Request, Response};
use refusal::Refusal;
use target::Target;

/// One request on its way through.
struct Ask<'a> {
    shared: &'a Arc<Shared>,
    request: &'a Request,
    query: BTreeMap<String, String>,
    now: Timestamp,
    /// Empty for the service itself.
    bucket: &'a str,
    /// Empty for the bucket itself.
    key: &'a str,
    /// The region that was signed for, or that the host names; only V1 to a bare address has none.
    region: Option<String>,
}

impl Ask<'_> {
    /// A header, unless it is missing or empty.
    fn header(&self, name: &str) -> Option<&str> {
        self.request.header(name).map(str::trim).filter(|value| !value.is_empty())
    }

    fn has(&self, name: &str) -> bool {
        self.query.contains_key(name)
    }

    /// A parameter of the query, empty if it is missing.
    fn parameter(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }

    /// How many rows a page may have.
    fn most(&self, name: &'static str, usual: usize) -> Result<usize, Refusal> {
        let Some(text) = self.query.get(name) else { return Ok(usual) };
        let wrong = || Refusal::argument(name, text, format!("Argument {name} must be an integer between 1 and 1000."));
        text.parse().ok().filter(|most| (1..=1000).contains(most)).ok_or_else(wrong)
    }

    /// Whether names are to be percent-encoded in the answer.
    fn by_url(&self) -> Result<bool, Refusal> {
        match self.parameter("encoding-type") {
            "" => Ok(false),
            encoding if encoding.eq_ignore_ascii_case("url") => Ok(true),
            other => Err(Refusal::argument("encoding-type", other, "Invalid Encoding Method specified in Request.")),
        }
    }

    /// Changes the world, and answers once the change is on disk.
    async fn commit<T>(&self, change: impl FnOnce(&mut World, Timestamp) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let (outcome, number) = self.shared.commit(change);
        let value = outcome?;
        self.shared.settle(number).await.map_err(|reason| Refusal::new(500, "InternalError", reason))?;
        Ok(value)
    }
}

/// What an operation answers: status, headers, body.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Answer {
    fn empty(status: u16) -> Self {
        Answer { status, headers: Vec::new(), body: Bytes::new() }
    }

    fn xml(body: xml::Writer) -> Self {
        Answer { status: 200, headers: vec![("content-type".to_owned(), "application/xml".to_owned())], body: Bytes::from(body.finish()) }
    }

    fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// Answers an OSS request.
pub(crate) async fn handle(shared: &Arc<Shared>, request: &Request, request_id: &str, refused: Option<Fault>) -> Response {
    let now = shared.now();
    // OSS ids are 24 digits.
    let id: String = request_id.chars().filter(|c| *c != '-').take(24).collect();
    let target = Target::of(request);
    let outcome = match refused {
        Some(fault) => Err(fault.into()),
        None => operate(shared, request, &target, now).await,
    };
    let mut response = match outcome {
        Ok(answer) => Response { status: answer.status, headers: answer.headers, body: answer.body, dropped: false },
        Err(refusal) => refusal.answer(request, &target, &id),
    };
    response.headers.push(("x-oss-request-id".to_owned(), id));
    response.headers.push(("date".to_owned(), time::http(shared.wall_now())));
    response.headers.push(("server".to_owned(), "AliyunOSS".to_owned()));
    response
}

async fn operate(shared: &Arc<Shared>, request: &Request, target: &Target, now: Timestamp) -> Result<Answer, Refusal> {
    let wall_now = shared.wall_now();
    let lookup = |id: &str, token: Option<&str>| credential(&shared.config, &shared.keys, id, token, wall_now);
    let proof = oss::verify(request, &target.resource(), &lookup, wall_now)?;
    let signed = proof.as_ref().and_then(|proof| proof.region.clone());
    let region = signed.or_else(|| target.region.clone());
    let query = pairs(&request.query).into_iter().collect();
    let bucket = target.bucket.as_deref().unwrap_or_default();
    let ask = Ask { shared, request, query, now, bucket, key: &target.key, region };
    let operation = route::find(&ask)?;
    access::check(&ask, operation, proof.is_some(), target.region.as_deref())?;
    route::run(&ask, operation).await
}
