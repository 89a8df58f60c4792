//! The role of the instance on which this runs, from its metadata service: version 2 with a token of its own,
//! version 1 where there is no other and it is not forbidden.

use std::time::Duration;

use bytes::Bytes;

use super::Credentials;
use super::chain::{Context, Grant};
use super::sts::Keys;

/// The service is on the instance's own network: an answer is there at once or never.
const LIMIT: Duration = Duration::from_secs(1);
const ROLES: &str = "/latest/meta-data/ram/security-credentials/";

pub(super) async fn serve(context: &Context) -> Result<Grant, String> {
    if context.surroundings.is_set_true("ALIBABA_CLOUD_ECS_METADATA_DISABLED") {
        return Err("switched off by `ALIBABA_CLOUD_ECS_METADATA_DISABLED`".to_owned());
    }
    let role = context.surroundings.variable("ALIBABA_CLOUD_ECS_METADATA").unwrap_or_default();
    session(context, role).await.map(Grant::of)
}

/// The session of the instance's role; an empty name lets the service say which it has.
pub(super) async fn session(context: &Context, role: &str) -> Result<Credentials, String> {
    let token = token(context).await?;
    let role = match role {
        "" => {
            let listed = get(context, ROLES, token.as_deref()).await?;
            String::from_utf8_lossy(&listed).lines().next().unwrap_or_default().trim().to_owned()
        }
        named => named.to_owned(),
    };
    if role.is_empty() {
        return Err("the instance has no RAM role".to_owned());
    }
    let body = get(context, &format!("{ROLES}{role}"), token.as_deref()).await?;
    let keys: Keys = serde_json::from_slice(&body).map_err(|_| "the metadata service gave an answer that can't be read".to_owned())?;
    if keys.code != "Success" {
        return Err(format!("the metadata service has no session for role `{role}`: {}", keys.code));
    }
    keys.into_credentials(format!("role `{role}` of the instance"))
}

/// The token of version 2; `None` where only version 1 is spoken.
async fn token(context: &Context) -> Result<Option<String>, String> {
    let uri = format!("{}/latest/api/token", context.hosts.metadata);
    let request = http::Request::put(uri).header("x-aliyun-ecs-metadata-token-ttl-seconds", "21600");
    let request = request.body(Bytes::new()).map_err(|error| error.to_string())?;
    match context.exchange.exchange(request, LIMIT).await {
        Ok(response) if response.status().is_success() => Ok(Some(String::from_utf8_lossy(response.body()).trim().to_owned())),
        Ok(response) if context.surroundings.is_set_true("ALIBABA_CLOUD_IMDSV1_DISABLED") => {
            Err(format!("the metadata service gives no token (HTTP {}) and version 1 is switched off", response.status().as_u16()))
        }
        Ok(_) => Ok(None),
        Err(_) => Err("no metadata service answers: this is not an instance of Alibaba Cloud".to_owned()),
    }
}

async fn get(context: &Context, path: &str, token: Option<&str>) -> Result<Bytes, String> {
    let mut request = http::Request::get(format!("{}{path}", context.hosts.metadata));
    if let Some(token) = token {
        request = request.header("x-aliyun-ecs-metadata-token", token);
    }
    let request = request.body(Bytes::new()).map_err(|_| "the role's name can't stand in an address".to_owned())?;
    let response = context.exchange.exchange(request, LIMIT).await.map_err(|failure| format!("the metadata service: {failure}"))?;
    match response.status().as_u16() {
        200 => Ok(response.into_body()),
        404 => Err("the instance has no such RAM role".to_owned()),
        status => Err(format!("the metadata service answered HTTP {status}")),
    }
}
