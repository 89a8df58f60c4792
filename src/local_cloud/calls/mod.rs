//! The calls of late, for whoever wonders what a client did: the last thousand in memory, more of them in a file. No
//! secret gets in here, and no call fails because it can't be noted.

pub(crate) mod asked;
mod file;
mod masked;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value as Json;

use super::wire::{Request, Response};
use asked::Asked;
use file::RequestLog;

/// How many calls are kept in memory.
const KEPT: usize = 1_000;

/// A call that was answered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CallRecord {
    /// Counted from 1 since the server started.
    pub number: u64,
    /// When it came in, by the wall clock.
    pub at: Timestamp,
    /// The id of the access key that it named.
    pub key: String,
    /// `ecs`, `vpc`, `oss` and so on.
    pub product: String,
    /// The call's name.
    pub action: String,
    /// The region, if one was named.
    pub region: String,
    /// The resource that it named or made.
    pub resource: String,
    /// The HTTP status.
    pub status: u16,
    /// The error's code; empty if there was none.
    pub code: String,
    /// Whether the answer was lost on purpose.
    pub lost: bool,
    /// How long it took.
    pub milliseconds: f64,
    /// The id that was answered.
    pub request_id: String,
    /// The parameters; those that may be secret are masked.
    pub parameters: BTreeMap<String, String>,
}

/// The calls of late.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    ring: Mutex<(u64, VecDeque<Arc<CallRecord>>)>,
    log: OnceLock<RequestLog>,
}

impl Calls {
    /// From now on calls are written to a file, too.
    pub(crate) fn write_to(&self, path: &Path) {
        let _ = self.log.set(RequestLog::new(path));
    }

    /// Notes a call.
    pub(crate) fn note(&self, at: Timestamp, took: Duration, request: &Request, asked: Asked, response: &Response) {
        let code = if response.status < 400 { String::new() } else { code_of(response) };
        let request_id = response.headers.iter().find(|(name, _)| name.ends_with("-request-id")).map(|(_, value)| value.clone());
        let resource = if asked.resource.is_empty() { made(&asked, response) } else { asked.resource };
        let mut record = CallRecord {
            number: 0,
            at,
            key: asked.key,
            product: asked.product,
            action: asked.action,
            region: asked.region,
            resource,
            status: response.status,
            code,
            lost: response.dropped,
            milliseconds: (took.as_secs_f64() * 1e6).round() / 1e3,
            request_id: request_id.unwrap_or_default(),
            parameters: masked::parameters(request, &asked.params),
        };
        let record = {
            let (number, ring) = &mut *self.ring.lock().unwrap_or_else(PoisonError::into_inner);
            *number += 1;
            record.number = *number;
            let record = Arc::new(record);
            if ring.len() == KEPT {
                ring.pop_front();
            }
            ring.push_back(Arc::clone(&record));
            record
        };
        if let Some(log) = self.log.get() {
            log.write(&record);
        }
    }

    /// Those after a number, oldest first, at most so many of the newest.
    pub(crate) fn after(&self, number: u64, most: usize) -> Vec<Arc<CallRecord>> {
        let (_, ring) = &*self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let newer: Vec<_> = ring.iter().filter(|record| record.number > number).cloned().collect();
        newer[newer.len().saturating_sub(most)..].to_vec()
    }
}

/// The code of an error in JSON or XML.
fn code_of(response: &Response) -> String {
    if let Ok(body) = serde_json::from_slice::<Json>(&response.body) {
        return ["Code", "code"].iter().find_map(|name| body[name].as_str()).unwrap_or_default().to_owned();
    }
    let text = String::from_utf8_lossy(&response.body);
    let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    code.map_or(String::new(), |(code, _)| code.to_owned())
}

/// What a creation made, as its answer tells.
fn made(asked: &Asked, response: &Response) -> String {
    if !asked::creates(&asked.action) || asked.product == "oss" || response.status >= 400 {
        return String::new();
    }
    let Ok(Json::Object(body)) = serde_json::from_slice(&response.body) else { return String::new() };
    let told = asked::identifier(&asked.action, body.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))));
    let of_set = || body.values().find_map(|value| value.as_object()?.values().next()?.get(0)?.as_str());
    told.or_else(of_set).unwrap_or_default().to_owned()
}
