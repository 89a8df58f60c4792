//! Who calls, and the proof of it: the official chain of providers in its order.
//!
//! The environment and the home folder are handed in. Secrets never reach an error, a log or `Debug`; every error
//! says which providers were tried and how to set credentials up. Nothing here asks the user for a secret or
//! writes to a profile: logging in is the official CLI's work.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use jiff::Timestamp;

use super::error::ApiError;
use super::sign::{Signer, encode};
use crate::model::secret::Secret;

pub mod chain;
mod cli_profile;
mod environment;
pub mod error;
mod external;
mod ini_profile;
mod metadata;
mod sts;
mod uri;

use cli_profile::region_of_profile;
use error::CredentialsError;

/// What the process knows of its place; made by the binary.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// The environment variables.
    pub variables: BTreeMap<String, String>,
    /// The home folder.
    pub home: Option<PathBuf>,
}

impl Surroundings {
    /// The variable's value, unless it is empty.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
    }

    /// Whether the variable says `true`.
    pub fn is_set_true(&self, name: &str) -> bool {
        self.variable(name).is_some_and(|text| text.eq_ignore_ascii_case("true") || text == "1")
    }

    /// The file that the variable names, else the one in the home folder.
    fn file(&self, variable: &str, in_home: &str) -> Option<PathBuf> {
        let named = self.variable(variable).map(PathBuf::from);
        named.or_else(|| self.home.as_ref().map(|home| home.join(in_home)))
    }
}

/// Values may be secrets: only the names are shown.
impl std::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&String> = self.variables.keys().collect();
        f.debug_struct("Surroundings").field("variables", &names).field("home", &self.home).finish()
    }
}

/// The region that the environment names, else the one of the official CLI's profile.
pub fn default_region(surroundings: &Surroundings) -> Option<String> {
    let names = ["ALIBABA_CLOUD_REGION_ID", "ALIBABACLOUD_REGION_ID", "ALICLOUD_REGION_ID", "REGION_ID", "ALIBABA_CLOUD_REGION"];
    let named = names.into_iter().find_map(|name| surroundings.variable(name)).map(str::to_owned);
    named.or_else(|| region_of_profile(surroundings))
}

/// An access key, with a session's token if it is temporary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The public half.
    pub access_key_id: String,
    /// The secret half.
    pub access_key_secret: Secret,
    /// The session's token.
    pub security_token: Option<Secret>,
    /// When it ends; `None` if it does not.
    pub expiration: Option<Timestamp>,
    /// Where it came from, as a person reads it: ``profile `default` (OAuth)``.
    pub provider: String,
}

impl Credentials {
    /// An access key that does not end.
    pub fn lasting(access_key_id: impl Into<String>, access_key_secret: Secret, provider: impl Into<String>) -> Self {
        Credentials {
            access_key_id: access_key_id.into(),
            access_key_secret,
            security_token: None,
            expiration: None,
            provider: provider.into(),
        }
    }

    /// What signs.
    pub(super) fn signer(&self) -> Signer<'_> {
        Signer { access_key_id: &self.access_key_id, access_key_secret: self.access_key_secret.reveal() }
    }

    /// A text from outside without the secrets it may repeat: a service that refuses a signature prints what it
    /// has signed, the session's token included.
    pub(super) fn redact(&self, text: &str) -> String {
        let secrets = [Some(&self.access_key_secret), self.security_token.as_ref()];
        secrets.into_iter().flatten().fold(text.to_owned(), |text, secret| redact(&text, secret.reveal()))
    }

    /// [`redact`](Self::redact) for the message of a refusal.
    pub(super) fn redact_error(&self, error: ApiError) -> ApiError {
        match error {
            ApiError::Refused { action, status, code, message, request_id, retry_after } => {
                ApiError::Refused { action, status, code, message: self.redact(&message), request_id, retry_after }
            }
            other => other,
        }
    }
}

/// Replaces a secret wherever it stands, plain or encoded for a URL once or twice.
fn redact(text: &str, secret: &str) -> String {
    // A very short one (the local cloud's is `local`) is no secret, and would take ordinary words away.
    if secret.len() < 8 {
        return text.to_owned();
    }
    let once = encode(secret);
    let twice = encode(&once);
    text.replace(&twice, "***").replace(&once, "***").replace(secret, "***")
}

/// Hands out credentials that are good now.
#[async_trait]
pub trait CredentialSource: Send + Sync {
    /// Credentials with some life left.
    async fn get(&self) -> Result<Credentials, CredentialsError>;

    /// Newer ones than `stale`, which the service has refused; the same again where there are no newer ones.
    async fn renew(&self, stale: &Credentials) -> Result<Credentials, CredentialsError>;
}

/// Credentials that were given and do not change: the local cloud's.
#[async_trait]
impl CredentialSource for Credentials {
    async fn get(&self) -> Result<Credentials, CredentialsError> {
        Ok(self.clone())
    }

    async fn renew(&self, _stale: &Credentials) -> Result<Credentials, CredentialsError> {
        Ok(self.clone())
    }
}

/// Reads a file of a profile. The error names the file and never its content.
fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("there is no `{}`", path.display()),
        _ => format!("`{}` can't be read: {error}", path.display()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_taken_out_in_every_encoding() {
        let credentials = Credentials {
            security_token: Some(Secret::new("CAIS+a/b==")),
            ..Credentials::lasting("id", Secret::new("secret/key+1"), "test")
        };
        let said = "plain CAIS+a/b==, once CAIS%2Ba%2Fb%3D%3D, twice CAIS%252Ba%252Fb%253D%253D, key secret/key+1";
        assert_eq!(credentials.redact(said), "plain ***, once ***, twice ***, key ***");
        assert!(!format!("{credentials:?}").contains("CAIS"));
    }

    #[test]
    fn surroundings_show_names_only() {
        let surroundings = Surroundings { variables: BTreeMap::from([("API_KEY".to_owned(), "hidden".to_owned())]), home: None };
        let shown = format!("{surroundings:?}");
        assert!(shown.contains("API_KEY") && !shown.contains("hidden"));
    }

    #[test]
    fn the_environment_decides_the_region_before_the_profile() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".aliyun")).unwrap();
        let config = r#"{"current":"b","profiles":[{"name":"a","region_id":"cn-beijing"},{"name":"b","region_id":"cn-shanghai"}]}"#;
        std::fs::write(home.path().join(".aliyun/config.json"), config).unwrap();
        let mut surroundings = Surroundings { variables: BTreeMap::new(), home: Some(home.path().to_owned()) };
        assert_eq!(default_region(&surroundings).as_deref(), Some("cn-shanghai"));
        surroundings.variables.insert("ALIBABA_CLOUD_PROFILE".to_owned(), "a".to_owned());
        assert_eq!(default_region(&surroundings).as_deref(), Some("cn-beijing"));
        surroundings.variables.insert("ALIBABA_CLOUD_REGION_ID".to_owned(), "ap-southeast-1".to_owned());
        assert_eq!(default_region(&surroundings).as_deref(), Some("ap-southeast-1"));
    }
}
