//! The official chain: providers in their fixed order, the first that serves is kept. What it gave is refreshed
//! before it ends, by one caller at a time.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

use super::super::http::transport::Exchange;
use super::super::sign::nonce::{Nonces, RandomNonces};
use super::error::{CredentialsError, Tried};
use super::{CredentialSource, Credentials, Surroundings, cli_profile, environment, ini_profile, metadata, sts, uri};
use crate::model::clock::Clock;

/// Sessions are refreshed when less than this is left.
const MARGIN: SignedDuration = SignedDuration::from_mins(15);
/// After a refresh that failed, while the session still lives, the next one waits this long.
const PAUSE: SignedDuration = SignedDuration::from_secs(60);

/// What a provider gave.
pub(super) struct Grant {
    pub(super) credentials: Credentials,
    /// How much life must be left before the provider is asked again.
    pub(super) margin: SignedDuration,
}

impl Grant {
    /// A session that is refreshed well before its end, or a key without one.
    pub(super) fn of(credentials: Credentials) -> Self {
        Grant { credentials, margin: MARGIN }
    }

    /// A session that nobody but the user can renew: used to its end.
    pub(super) fn to_the_end(credentials: Credentials) -> Self {
        Grant { credentials, margin: SignedDuration::ZERO }
    }
}

/// Where providers outside of this machine are reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts {
    /// The token service for every region, `http://127.0.0.1:8090`; `None` for Alibaba Cloud's own.
    pub sts: Option<String>,
    /// The metadata service of instances.
    pub metadata: String,
}

impl Default for Hosts {
    fn default() -> Self {
        Hosts { sts: None, metadata: "http://100.100.100.200".to_owned() }
    }
}

/// What providers work with.
pub(super) struct Context {
    pub(super) surroundings: Surroundings,
    pub(super) hosts: Hosts,
    pub(super) exchange: Arc<dyn Exchange>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) nonces: Arc<dyn Nonces>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Provider {
    Environment,
    Oidc,
    CliProfile,
    IniProfile,
    Metadata,
    Uri,
}

impl Provider {
    const ORDER: [Provider; 6] =
        [Provider::Environment, Provider::Oidc, Provider::CliProfile, Provider::IniProfile, Provider::Metadata, Provider::Uri];

    const fn name(self) -> &'static str {
        match self {
            Provider::Environment => "environment",
            Provider::Oidc => "OIDC role",
            Provider::CliProfile => "profile of the official CLI",
            Provider::IniProfile => "shared credentials file",
            Provider::Metadata => "role of the instance",
            Provider::Uri => "credentials URI",
        }
    }

    async fn serve(self, context: &Context) -> Result<Grant, String> {
        match self {
            Provider::Environment => environment::serve(context),
            Provider::Oidc => sts::serve_oidc(context).await,
            Provider::CliProfile => cli_profile::serve(context).await,
            Provider::IniProfile => ini_profile::serve(context).await,
            Provider::Metadata => metadata::serve(context).await,
            Provider::Uri => uri::serve(context).await,
        }
    }
}

struct Held {
    provider: Provider,
    grant: Grant,
    /// From when on the provider is asked again.
    refresh_at: Option<Timestamp>,
}

impl Held {
    fn new(provider: Provider, grant: Grant, now: Timestamp) -> Self {
        let refresh_at = grant.credentials.expiration.map(|end| {
            // A session shorter than the margin would be stale from the start: it is used for most of its life.
            let margin = grant.margin.min(end.duration_since(now) / 4);
            end.saturating_sub(margin).unwrap_or(end)
        });
        Held { provider, grant, refresh_at }
    }

    fn is_fresh(&self, now: Timestamp) -> bool {
        self.refresh_at.is_none_or(|at| now < at)
    }

    fn is_alive(&self, now: Timestamp) -> bool {
        self.grant.credentials.expiration.is_none_or(|end| now < end)
    }
}

/// The chain.
pub struct Chain {
    context: Context,
    /// Held across a refresh, so that there is one at a time and the others wait for its outcome.
    held: Mutex<Option<Held>>,
}

impl Chain {
    /// The chain as the environment and the home folder set it up.
    pub fn new(surroundings: Surroundings, exchange: Arc<dyn Exchange>, clock: Arc<dyn Clock>) -> Self {
        let nonces = Arc::new(RandomNonces);
        Chain { context: Context { surroundings, hosts: Hosts::default(), exchange, clock, nonces }, held: Mutex::new(None) }
    }

    /// The same with other addresses.
    #[must_use]
    pub fn with_hosts(mut self, hosts: Hosts) -> Self {
        self.context.hosts = hosts;
        self
    }

    /// The same with another source of nonces.
    #[must_use]
    pub fn with_nonces(mut self, nonces: Arc<dyn Nonces>) -> Self {
        self.context.nonces = nonces;
        self
    }

    /// Asks the provider that served before, or all of them in order.
    async fn fetch(&self, known: Option<Provider>) -> Result<Held, CredentialsError> {
        let mut tried = Vec::new();
        let candidates = match &known {
            Some(provider) => std::slice::from_ref(provider),
            None => &Provider::ORDER,
        };
        for provider in candidates {
            match provider.serve(&self.context).await {
                Ok(grant) => return Ok(Held::new(*provider, grant, self.context.clock.now())),
                Err(reason) => tried.push(Tried { provider: provider.name(), reason }),
            }
        }
        Err(CredentialsError { tried })
    }
}

#[async_trait]
impl CredentialSource for Chain {
    async fn get(&self) -> Result<Credentials, CredentialsError> {
        let mut held = self.held.lock().await;
        let now = self.context.clock.now();
        if let Some(held) = held.as_ref().filter(|held| held.is_fresh(now)) {
            return Ok(held.grant.credentials.clone());
        }
        let known = held.as_ref().map(|held| held.provider);
        match (self.fetch(known).await, held.as_mut()) {
            (Ok(fetched), _) => {
                let credentials = fetched.grant.credentials.clone();
                *held = Some(fetched);
                Ok(credentials)
            }
            // The old session is still good: a provider that is down for a moment stops nobody.
            (Err(_), Some(old)) if old.is_alive(now) => {
                old.refresh_at = now.saturating_add(PAUSE).ok();
                Ok(old.grant.credentials.clone())
            }
            (Err(error), _) => Err(error),
        }
    }

    async fn renew(&self, stale: &Credentials) -> Result<Credentials, CredentialsError> {
        let mut held = self.held.lock().await;
        let known = match held.as_ref() {
            Some(held) if held.grant.credentials != *stale => return Ok(held.grant.credentials.clone()),
            other => other.map(|held| held.provider),
        };
        let fetched = self.fetch(known).await?;
        let credentials = fetched.grant.credentials.clone();
        *held = Some(fetched);
        Ok(credentials)
    }
}

#[cfg(test)]
mod tests;
