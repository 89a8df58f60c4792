//! A session from an address that hands it out.

use std::time::Duration;

use bytes::Bytes;

use super::Credentials;
use super::chain::{Context, Grant};
use super::sts::Keys;

const LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn serve(context: &Context) -> Result<Grant, String> {
    let name = "ALIBABA_CLOUD_CREDENTIALS_URI";
    let uri = context.surroundings.variable(name).ok_or_else(|| format!("`{name}` is not set"))?;
    fetch(context, uri, "credentials URI".to_owned()).await.map(Grant::of)
}

/// Asks the address. It may hold a secret itself, so no error repeats it.
pub(super) async fn fetch(context: &Context, uri: &str, provider: String) -> Result<Credentials, String> {
    let request = http::Request::get(uri).body(Bytes::new()).map_err(|_| "the address is not one".to_owned())?;
    let response = context.exchange.exchange(request, LIMIT).await.map_err(|failure| format!("the address gave no answer: {failure}"))?;
    if !response.status().is_success() {
        return Err(format!("the address answered HTTP {}", response.status().as_u16()));
    }
    let keys: Keys = serde_json::from_slice(response.body()).map_err(|_| "the address gave an answer that can't be read".to_owned())?;
    if keys.code != "Success" {
        return Err("the address does not answer `\"Code\": \"Success\"`".to_owned());
    }
    keys.into_credentials(provider)
}
