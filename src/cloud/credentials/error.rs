//! Why there is nothing to sign with, and what to do about it.

use super::super::error::ApiError;

/// A provider that was asked and did not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// The provider: `environment`, `profile of the official CLI`, ...
    pub provider: &'static str,
    /// Why it did not serve.
    pub reason: String,
}

/// No provider had credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no credentials for Alibaba Cloud were found\n{}\n{SETUP}", list(.tried))]
pub struct CredentialsError {
    /// Those that were asked, in order.
    pub tried: Vec<Tried>,
}

/// How to set credentials up, the safest way first.
pub const SETUP: &str = "set them up in one of these ways:\n\
    - log in with the official CLI: `aliyun configure --mode OAuth`\n\
    - a role: on an instance attach a RAM role to it; elsewhere `aliyun configure --mode RamRoleArn`\n\
    - the environment: `ALIBABA_CLOUD_ACCESS_KEY_ID` and `ALIBABA_CLOUD_ACCESS_KEY_SECRET` (`ALIBABA_CLOUD_SECURITY_TOKEN` for a session)\n\
    - a profile: `aliyun configure --profile NAME`, and `ALIBABA_CLOUD_PROFILE=NAME` to choose it";

fn list(tried: &[Tried]) -> String {
    let lines: Vec<String> = tried.iter().map(|tried| format!("- {}: {}", tried.provider, tried.reason)).collect();
    lines.join("\n")
}

impl From<CredentialsError> for ApiError {
    fn from(error: CredentialsError) -> Self {
        ApiError::Credentials(error.to_string())
    }
}
