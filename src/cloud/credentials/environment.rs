//! An access key, or a session, in the environment.

use super::Credentials;
use super::chain::{Context, Grant};
use crate::model::secret::Secret;

pub(super) fn serve(context: &Context) -> Result<Grant, String> {
    let variable = |name: &str| context.surroundings.variable(name).ok_or_else(|| format!("`{name}` is not set"));
    let id = variable("ALIBABA_CLOUD_ACCESS_KEY_ID")?;
    let secret = Secret::new(variable("ALIBABA_CLOUD_ACCESS_KEY_SECRET")?);
    let token = context.surroundings.variable("ALIBABA_CLOUD_SECURITY_TOKEN").map(Secret::new);
    Ok(Grant::of(Credentials { security_token: token, ..Credentials::lasting(id, secret, "environment") }))
}
