//! The paths below `/_aliform/`: what a person or a test asks of a local cloud itself. They are no part of the real API,
//! need no signature, and answer nobody but this computer.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::LocalCloud;
use super::scenario::{Scenario, text};
use super::wire::encoding::pairs;
use super::wire::{Request, Response};

/// What these paths begin with.
pub(crate) const PREFIX: &str = "/_aliform/";
/// How many calls are told unless more or fewer are asked for.
const CALLS: usize = 100;

/// An answer that is none of the API's.
struct Refused(u16, &'static str, String);

/// How far the cloud's time is to jump.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Jump {
    #[serde(with = "text::duration")]
    advance: Duration,
}

/// Answers a request of such a path from that peer.
pub(crate) async fn answer(cloud: &LocalCloud, request: &Request, peer: IpAddr) -> Response {
    let (status, body) = match ask(cloud, request, peer).await {
        Ok(body) => (200, body),
        Err(Refused(status, code, message)) => (status, json!({ "code": code, "message": message })),
    };
    let headers = vec![("content-type".to_owned(), "application/json".to_owned()), ("cache-control".to_owned(), "no-store".to_owned())];
    Response { status, headers, body: Bytes::from(body.to_string()), dropped: false }
}

async fn ask(cloud: &LocalCloud, request: &Request, peer: IpAddr) -> Result<Json, Refused> {
    // A page of another site that the user's browser shows comes from this computer, too.
    let foreign = request.header("origin").is_some_and(|origin| origin.split_once("://").is_none_or(|(_, host)| host != request.host));
    if !peer.to_canonical().is_loopback() || foreign {
        return Err(Refused(403, "Forbidden", "only this computer may ask this".to_owned()));
    }
    let what = request.path.strip_prefix(PREFIX).unwrap_or_default();
    match (request.method.as_str(), what) {
        ("GET", "resources") => Ok(json!(cloud.resources())),
        ("GET", "calls") => Ok(json!(calls(cloud, request)?)),
        ("GET", "scenario") => Ok(json!(cloud.scenario())),
        ("PUT", "scenario") => {
            let scenario: Scenario = read(request)?;
            cloud.set_scenario(&scenario).await.map_err(|error| Refused(500, "NotKept", error.to_string()))?;
            Ok(json!(cloud.scenario()))
        }
        ("GET", "bill") => Ok(json!(cloud.statement())),
        ("GET", "clock") => Ok(clock(cloud)),
        ("POST", "clock") => {
            let jump: Jump = read(request)?;
            cloud.advance_clock(jump.advance).await.map_err(|error| Refused(500, "NotKept", error.to_string()))?;
            Ok(clock(cloud))
        }
        (_, "resources" | "calls" | "scenario" | "bill" | "clock") => {
            Err(Refused(405, "MethodNotAllowed", format!("`{}` is not for that", request.method)))
        }
        _ => Err(Refused(404, "NotFound", "known are `resources`, `calls`, `scenario`, `bill` and `clock`".to_owned())),
    }
}

fn read<T: for<'de> Deserialize<'de>>(request: &Request) -> Result<T, Refused> {
    debug_assert!(matches!(request.method, Method::PUT | Method::POST));
    serde_json::from_slice(&request.body).map_err(|error| Refused(400, "Malformed", error.to_string()))
}

fn calls(cloud: &LocalCloud, request: &Request) -> Result<Json, Refused> {
    let query = pairs(&request.query);
    let number = |name: &str, usual: u64| match query.iter().find(|(key, _)| key == name) {
        None => Ok(usual),
        Some((_, text)) => text.parse().map_err(|_| Refused(400, "Malformed", format!("`{name}` is no number"))),
    };
    let (after, most) = (number("after", 0)?, number("limit", CALLS as u64)?);
    let records = cloud.calls(after, usize::try_from(most).unwrap_or(usize::MAX));
    Ok(records.iter().map(|record| json!(**record)).collect())
}

fn clock(cloud: &LocalCloud) -> Json {
    json!({ "now": cloud.now(), "speed": cloud.scenario().clock.speed })
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::sync::Arc;

    use super::*;
    use crate::local_cloud::config::Config;
    use crate::local_cloud::machines::simulated::Simulated;
    use crate::model::clock::SystemClock;

    #[tokio::test]
    async fn nobody_from_elsewhere_is_answered() {
        let cloud = LocalCloud::new(Config::default(), Arc::new(SystemClock), Arc::new(Simulated::default()));
        let status = async |peer: IpAddr, origin: Option<&str>| {
            let request = Request {
                method: Method::GET,
                host: "127.0.0.1:80".to_owned(),
                path: "/_aliform/resources".to_owned(),
                query: String::new(),
                headers: origin.map(|origin| ("origin".to_owned(), origin.to_owned())).into_iter().collect(),
                body: Bytes::new(),
                peer: None,
            };
            answer(&cloud, &request, peer).await.status
        };
        let here = IpAddr::from(Ipv4Addr::LOCALHOST);
        assert_eq!(status(here, None).await, 200);
        assert_eq!(status(here, Some("http://127.0.0.1:80")).await, 200);
        assert_eq!(status(Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(), None).await, 200);
        assert_eq!(status(Ipv6Addr::LOCALHOST.into(), None).await, 200);
        assert_eq!(status(Ipv4Addr::new(192, 168, 1, 7).into(), None).await, 403);
        assert_eq!(status(here, Some("https://example.com")).await, 403);
        assert_eq!(status(here, Some("null")).await, 403);
    }
}
