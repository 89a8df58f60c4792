//! Sessions of a role from the token service: for an access key, or for a token of an identity provider.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;

use super::chain::{Context, Grant};
use super::{Credentials, redact};
use crate::cloud::sign::{encode_query, rpc_v1};
use crate::model::secret::Secret;

/// The token service and its answers get this long.
const LIMIT: Duration = Duration::from_secs(10);

/// The role to take on.
#[derive(Default)]
pub(super) struct Role {
    pub(super) arn: String,
    /// Empty: a name is made.
    pub(super) session_name: String,
    /// Seconds; 0: an hour.
    pub(super) duration: i64,
    pub(super) policy: String,
    pub(super) external_id: String,
    /// The token service's region; empty: the environment's, else the global host.
    pub(super) region: String,
    /// The token service's host; empty: by region.
    pub(super) endpoint: String,
    /// Whether to reach it inside the region's network.
    pub(super) internal: bool,
}

/// A role for a token that a file holds.
pub(super) struct OidcRole {
    pub(super) role: Role,
    pub(super) provider_arn: String,
    pub(super) token_file: String,
}

/// The provider that the three variables set up, as a pod of a cluster has them.
pub(super) async fn serve_oidc(context: &Context) -> Result<Grant, String> {
    let variable = |name: &str| context.surroundings.variable(name).ok_or_else(|| format!("`{name}` is not set"));
    let oidc = OidcRole {
        role: Role { arn: variable("ALIBABA_CLOUD_ROLE_ARN")?.to_owned(), ..Role::default() },
        provider_arn: variable("ALIBABA_CLOUD_OIDC_PROVIDER_ARN")?.to_owned(),
        token_file: variable("ALIBABA_CLOUD_OIDC_TOKEN_FILE")?.to_owned(),
    };
    let provider = format!("OIDC role `{}`", oidc.role.arn);
    assume_with_oidc(context, &oidc, provider).await.map(Grant::of)
}

/// Takes a role on with an access key or another session.
pub(super) async fn assume(context: &Context, source: &Credentials, role: &Role, provider: String) -> Result<Credentials, String> {
    let mut parameters = common(context, role, "AssumeRole")?;
    let mut add = |name: &str, value: &str| parameters.push((name.to_owned(), value.to_owned()));
    add("AccessKeyId", &source.access_key_id);
    add("SignatureMethod", "HMAC-SHA1");
    add("SignatureVersion", "1.0");
    add("SignatureNonce", &context.nonces.next());
    if let Some(token) = &source.security_token {
        add("SecurityToken", token.reveal());
    }
    if !role.external_id.is_empty() {
        add("ExternalId", &role.external_id);
    }
    let signature = rpc_v1::signature(source.access_key_secret.reveal(), &rpc_v1::string_to_sign("GET", &parameters));
    parameters.push(("Signature".to_owned(), signature));
    ask(context, role, &parameters, provider).await.map_err(|reason| source.redact(&reason))
}

/// Takes a role on with a token of an identity provider; that call is not signed.
pub(super) async fn assume_with_oidc(context: &Context, oidc: &OidcRole, provider: String) -> Result<Credentials, String> {
    let token = super::read(oidc.token_file.as_ref())?;
    let mut parameters = common(context, &oidc.role, "AssumeRoleWithOIDC")?;
    parameters.push(("OIDCProviderArn".to_owned(), oidc.provider_arn.clone()));
    parameters.push(("OIDCToken".to_owned(), token.trim().to_owned()));
    ask(context, &oidc.role, &parameters, provider).await.map_err(|reason| redact(&reason, token.trim()))
}

fn common(context: &Context, role: &Role, action: &str) -> Result<Vec<(String, String)>, String> {
    if role.arn.is_empty() {
        return Err("the profile names no role (`ram_role_arn`)".to_owned());
    }
    let now = context.clock.now();
    let session_name = match (role.session_name.as_str(), context.surroundings.variable("ALIBABA_CLOUD_ROLE_SESSION_NAME")) {
        ("", Some(name)) => name.to_owned(),
        ("", None) => format!("aliform-{}", now.as_second()),
        (name, _) => name.to_owned(),
    };
    let duration = if role.duration == 0 { 3600 } else { role.duration };
    let mut parameters = vec![
        ("Action", action.to_owned()),
        ("Version", "2015-04-01".to_owned()),
        ("Format", "JSON".to_owned()),
        ("Timestamp", now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        ("RoleArn", role.arn.clone()),
        ("RoleSessionName", session_name),
        ("DurationSeconds", duration.to_string()),
    ];
    if !role.policy.is_empty() {
        parameters.push(("Policy", role.policy.clone()));
    }
    Ok(parameters.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// Scheme and host of the token service.
fn base(context: &Context, role: &Role) -> String {
    if let Some(base) = &context.hosts.sts {
        return base.clone();
    }
    if !role.endpoint.is_empty() {
        return format!("https://{}", role.endpoint);
    }
    let internal = role.internal || context.surroundings.is_set_true("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED");
    let region = Some(role.region.as_str()).filter(|region| !region.is_empty());
    match region.or_else(|| context.surroundings.variable("ALIBABA_CLOUD_STS_REGION")) {
        Some(region) => format!("https://sts{}.{region}.aliyuncs.com", if internal { "-vpc" } else { "" }),
        None => "https://sts.aliyuncs.com".to_owned(),
    }
}

/// Temporary keys as the token service, the metadata service and credential URIs answer them.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Keys {
    pub(super) code: String,
    access_key_id: String,
    access_key_secret: String,
    security_token: String,
    expiration: String,
}

impl Keys {
    /// The session that they are; an answer with holes in it is none.
    pub(super) fn into_credentials(self, provider: String) -> Result<Credentials, String> {
        let expiration = self.expiration.parse().map_err(|_| "the answer says no time at which the session ends".to_owned())?;
        if self.access_key_id.is_empty() || self.access_key_secret.is_empty() || self.security_token.is_empty() {
            return Err("the answer holds no session".to_owned());
        }
        Ok(Credentials {
            access_key_id: self.access_key_id,
            access_key_secret: Secret::new(self.access_key_secret),
            security_token: Some(Secret::new(self.security_token)),
            expiration: Some(expiration),
            provider,
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Answer {
    credentials: Keys,
    code: String,
    message: String,
    request_id: String,
}

async fn ask(context: &Context, role: &Role, parameters: &[(String, String)], provider: String) -> Result<Credentials, String> {
    let uri = format!("{}/?{}", base(context, role), encode_query(parameters));
    let request = http::Request::get(uri).header("accept", "application/json").body(Bytes::new()).map_err(|error| error.to_string())?;
    let response =
        context.exchange.exchange(request, LIMIT).await.map_err(|failure| format!("the token service gave no answer: {failure}"))?;
    let status = response.status();
    // The parser's own words could repeat a secret.
    let answer: Answer = serde_json::from_slice(response.body())
        .map_err(|_| format!("the token service gave an answer that can't be read (HTTP {})", status.as_u16()))?;
    if !status.is_success() {
        let Answer { code, message, request_id, .. } = answer;
        return Err(format!("role `{}` was refused: {code}: {message} (HTTP {}, RequestId {request_id})", role.arn, status.as_u16()));
    }
    answer.credentials.into_credentials(provider)
}
