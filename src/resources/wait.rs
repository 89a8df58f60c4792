//! Waiting for the cloud: polls that grow slower, refusals that only mean "not yet".

use std::time::Duration;

use super::error::ResourceError;
use super::kind::Context;
use crate::cloud::error::ApiError;
use crate::model::event::Event;

/// The first pause between two looks, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How far a list may lag behind the creation of what it does not show yet.
const LISTED_WITHIN: Duration = Duration::from_secs(30);

/// What a look found.
pub enum Look<T> {
    /// What was waited for.
    Ready(T),
    /// Not yet; the status as the cloud calls it.
    NotYet(String),
    /// Nothing of that identifier is listed. Borne for a while, unless it was seen before.
    Absent(String),
}

/// Looks until `look` is ready, at most `limit` long. Tells the events each new status.
pub async fn until<T>(
    context: &Context<'_>,
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Result<Look<T>, ResourceError>,
) -> Result<T, ResourceError> {
    let start = tokio::time::Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut seen = false;
    let mut told = String::new();
    loop {
        let status = match look().await? {
            Look::Ready(value) => return Ok(value),
            Look::NotYet(status) => {
                seen = true;
                status
            }
            Look::Absent(id) if seen || start.elapsed() >= LISTED_WITHIN => return Err(ResourceError::Vanished { id }),
            Look::Absent(_) => "not listed".to_owned(),
        };
        if start.elapsed() >= limit {
            return Err(ResourceError::TimedOut { what: what.to_owned(), status, seconds: limit.as_secs() });
        }
        if status != told {
            context.events.emit(Event::StepWaiting { address: context.address.clone(), status: format!("{status}, waiting for {what}") });
            told = status;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}

/// Makes a call again as long as it is refused with one of `codes`: the cloud is busy with the resource or still
/// remembers a dependency that is gone. At most `limit` long. Tells the events each new code.
pub async fn while_refused<T>(
    context: &Context<'_>,
    what: &str,
    codes: &[&str],
    limit: Duration,
    mut call: impl AsyncFnMut() -> Result<T, ApiError>,
) -> Result<T, ResourceError> {
    let start = tokio::time::Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut told = String::new();
    loop {
        let code = match call().await {
            Ok(value) => return Ok(value),
            Err(error) if error.is(codes) && start.elapsed() < limit => error.code().unwrap_or_default().to_owned(),
            Err(error) => return Err(error.into()),
        };
        if code != told {
            context.events.emit(Event::StepWaiting { address: context.address.clone(), status: format!("{code}, waiting to {what}") });
            told = code;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}
