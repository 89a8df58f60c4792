//! The profile of the official CLI, `~/.aliyun/config.json`: read only.

use serde::Deserialize;

use super::chain::{Context, Grant};
use super::sts::{OidcRole, Role};
use super::{Credentials, Surroundings, external, metadata, sts, uri};
use crate::model::secret::Secret;

/// The file. Unknown keys belong to the CLI. No `Debug`: it holds secrets.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    current: String,
    profiles: Vec<Profile>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Profile {
    name: String,
    mode: String,
    access_key_id: String,
    access_key_secret: String,
    sts_token: String,
    sts_expiration: i64,
    ram_role_arn: String,
    ram_session_name: String,
    role_session_name: String,
    ram_role_name: String,
    expired_seconds: i64,
    external_id: String,
    policy: String,
    sts_region: String,
    sts_endpoint: String,
    enable_vpc: bool,
    oidc_provider_arn: String,
    oidc_token_file: String,
    source_profile: String,
    process_command: String,
    credentials_uri: String,
    region_id: String,
}

impl Profile {
    fn role(&self) -> Role {
        let session_name = if self.ram_session_name.is_empty() { &self.role_session_name } else { &self.ram_session_name };
        Role {
            arn: self.ram_role_arn.clone(),
            session_name: session_name.clone(),
            duration: self.expired_seconds,
            policy: self.policy.clone(),
            external_id: self.external_id.clone(),
            region: self.sts_region.clone(),
            endpoint: self.sts_endpoint.clone(),
            internal: self.enable_vpc,
        }
    }

    /// The access key that the profile holds, with its token if there is one.
    fn key(&self, provider: String) -> Result<Credentials, String> {
        if self.access_key_id.is_empty() || self.access_key_secret.is_empty() {
            return Err("the profile holds no access key".to_owned());
        }
        let token = Some(&self.sts_token).filter(|token| !token.is_empty()).map(Secret::new);
        let key = Credentials::lasting(self.access_key_id.clone(), Secret::new(self.access_key_secret.clone()), provider);
        Ok(Credentials { security_token: token, ..key })
    }
}

fn load(surroundings: &Surroundings) -> Result<Config, String> {
    let path = surroundings.file("ALIBABA_CLOUD_CONFIG_FILE", ".aliyun/config.json").ok_or("the home folder is not known")?;
    let text = super::read(&path)?;
    // The parser's own words could repeat a secret; the place is enough.
    serde_json::from_str(&text)
        .map_err(|error| format!("`{}` can't be read: line {}, column {}", path.display(), error.line(), error.column()))
}

impl Config {
    /// The profile that the environment names, else the current one.
    fn chosen(&self, surroundings: &Surroundings) -> Result<&Profile, String> {
        let current = if self.current.is_empty() { "default" } else { &self.current };
        self.named(surroundings.variable("ALIBABA_CLOUD_PROFILE").unwrap_or(current))
    }

    fn named(&self, name: &str) -> Result<&Profile, String> {
        self.profiles.iter().find(|profile| profile.name == name).ok_or_else(|| format!("there is no profile `{name}`"))
    }
}

/// The region of the profile, if there is a profile and it names one.
pub(super) fn region_of_profile(surroundings: &Surroundings) -> Option<String> {
    let config = load(surroundings).ok()?;
    let region = &config.chosen(surroundings).ok()?.region_id;
    Some(region.clone()).filter(|region| !region.is_empty())
}

pub(super) async fn serve(context: &Context) -> Result<Grant, String> {
    if context.surroundings.is_set_true("ALIBABA_CLOUD_CLI_PROFILE_DISABLED") {
        return Err("switched off by `ALIBABA_CLOUD_CLI_PROFILE_DISABLED`".to_owned());
    }
    let config = load(&context.surroundings)?;
    let mut profile = config.chosen(&context.surroundings)?;

    // Profiles that build on others: the last one has something of its own, the roles are taken on backwards.
    let mut roles = Vec::new();
    while profile.mode.eq_ignore_ascii_case("ChainableRamRoleArn") {
        if roles.len() > config.profiles.len() {
            return Err(format!("profile `{}` is its own source", profile.name));
        }
        roles.push(profile);
        profile = config.named(&profile.source_profile).map_err(|reason| format!("source of profile `{}`: {reason}", profile.name))?;
    }
    let mut grant = own(context, profile).await.map_err(|reason| format!("profile `{}`: {reason}", profile.name))?;
    for profile in roles.into_iter().rev() {
        let provider = format!("profile `{}` (ChainableRamRoleArn)", profile.name);
        let session = sts::assume(context, &grant.credentials, &profile.role(), provider).await;
        grant = Grant::of(session.map_err(|reason| format!("profile `{}`: {reason}", profile.name))?);
    }
    Ok(grant)
}

/// What a profile gives by itself.
async fn own(context: &Context, profile: &Profile) -> Result<Grant, String> {
    let provider = format!("profile `{}` ({})", profile.name, if profile.mode.is_empty() { "AK" } else { &profile.mode });
    match profile.mode.to_ascii_lowercase().as_str() {
        "" | "ak" => profile.key(provider).map(|key| Grant::of(Credentials { security_token: None, ..key })),
        "ststoken" => match profile.key(provider)? {
            key if key.security_token.is_none() => Err("the profile holds no `sts_token`".to_owned()),
            key => Ok(Grant::of(key)),
        },
        "ramrolearn" => {
            let source = profile.key(String::new())?;
            sts::assume(context, &source, &profile.role(), provider).await.map(Grant::of)
        }
        "ecsramrole" => {
            let session = metadata::session(context, &profile.ram_role_name).await?;
            Ok(Grant::of(Credentials { provider, ..session }))
        }
        "oidc" => {
            let oidc = OidcRole {
                role: profile.role(),
                provider_arn: profile.oidc_provider_arn.clone(),
                token_file: profile.oidc_token_file.clone(),
            };
            sts::assume_with_oidc(context, &oidc, provider).await.map(Grant::of)
        }
        "credentialsuri" => uri::fetch(context, &profile.credentials_uri, provider).await.map(Grant::of),
        "external" => external::run(context, &profile.process_command, provider).await,
        "oauth" | "cloudsso" => cached(context, profile, provider),
        _ => Err(format!("mode `{}` is not supported", profile.mode)),
    }
}

/// The session that the CLI keeps after a login. Only a new login can follow it.
fn cached(context: &Context, profile: &Profile, provider: String) -> Result<Grant, String> {
    let login = || format!("log in again with `aliyun configure --mode {} --profile {}`", profile.mode, profile.name);
    let session = profile.key(provider).map_err(|_| format!("the profile holds no session; {}", login()))?;
    let end = jiff::Timestamp::from_second(profile.sts_expiration).unwrap_or_default();
    if session.security_token.is_none() || end <= context.clock.now() {
        return Err(format!("its session ended at {end}; {}", login()));
    }
    Ok(Grant::to_the_end(Credentials { expiration: Some(end), ..session }))
}
