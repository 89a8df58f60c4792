//! Waits until the cloud can be reached again, for whoever has something under way there that costs money. It knows no
//! product, and repeats only what [`Repeat`] allows; what the cloud refuses is none of its business.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::call::{Answer, Call, Cloud, Link, Repeat};
use super::error::ApiError;

/// For how long each call waits.
pub const PATIENCE: Duration = Duration::from_secs(300);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What there is to say of the line to the cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// It broke, and this is what the first call that got no answer said.
    Down(String),
    /// It is back, after so long.
    Up(Duration),
}

/// A cloud that is waited for.
pub struct Patient<'a> {
    inner: &'a dyn Cloud,
    /// Told once when the line breaks, and once when it is back.
    tell: &'a (dyn Fn(Line) + Sync),
    /// Since when it is down.
    down: Mutex<Option<Instant>>,
}

impl<'a> Patient<'a> {
    /// Waits for `inner`, which has its own way with single failures.
    pub fn new(inner: &'a dyn Cloud, tell: &'a (dyn Fn(Line) + Sync)) -> Self {
        Patient { inner, tell, down: Mutex::default() }
    }

    fn down(&self, error: &ApiError) {
        let mut down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        if down.is_none() {
            *down = Some(Instant::now());
            (self.tell)(Line::Down(error.to_string()));
        }
    }

    fn up(&self) {
        if let Some(since) = self.down.lock().unwrap_or_else(PoisonError::into_inner).take() {
            (self.tell)(Line::Up(since.elapsed()));
        }
    }
}

/// Whether nobody answered, and the same call can't happen twice.
fn may_wait(repeat: Repeat, error: &ApiError) -> bool {
    matches!(error, ApiError::Lost { sent, .. } if !sent || repeat == Repeat::Safe)
}

#[async_trait]
impl Cloud for Patient<'_> {
    async fn send(&self, call: Call) -> Result<Answer, ApiError> {
        let begun = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let outcome = self.inner.send(call.clone()).await;
            match &outcome {
                Err(error) if may_wait(call.repeat, error) && begun.elapsed() + pause <= PATIENCE => self.down(error),
                Err(ApiError::Lost { .. }) => return outcome,
                _ => {
                    self.up();
                    return outcome;
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn presign(&self, link: &Link<'_>) -> Result<String, ApiError> {
        self.inner.presign(link).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::limit::tests::Scripted;
    use super::*;

    fn lost(sent: bool) -> ApiError {
        ApiError::Lost { action: "Test", reason: "connection refused".to_owned(), sent }
    }

    /// Sends one call; its outcome, how long it took, and what was told.
    async fn run(repeat: Repeat, script: Vec<ApiError>) -> (Result<Answer, ApiError>, Duration, Vec<Line>) {
        let (start, told) = (Instant::now(), Mutex::new(Vec::new()));
        let (cloud, tell) = (Scripted::failing(script), |line| told.lock().unwrap().push(line));
        let outcome = Patient::new(&cloud, &tell).send(Scripted::call("Test", repeat)).await;
        (outcome, start.elapsed(), told.into_inner().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_of_minutes_is_waited_out_and_told_once() {
        let (outcome, time, told) = run(Repeat::Unsafe, vec![lost(false); 20]).await;
        assert!(outcome.is_ok() && time > Duration::from_secs(120) && time < PATIENCE, "{time:?}");
        assert!(matches!(&told[..], [Line::Down(reason), Line::Up(_)] if reason.contains("connection refused")), "{told:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn it_does_not_wait_for_ever() {
        let (outcome, time, told) = run(Repeat::Safe, vec![lost(true); 1000]).await;
        assert!(matches!(outcome, Err(ApiError::Lost { .. })) && time <= PATIENCE + Duration::from_secs(1), "{time:?}");
        assert_eq!(told.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_have_happened_and_what_is_refused_is_handed_back_at_once() {
        let refused = ApiError::Refused {
            action: "Test",
            status: 400,
            code: "Unheard.Of".to_owned(),
            message: String::new(),
            request_id: String::new(),
            retry_after: None,
        };
        for (repeat, error) in [(Repeat::Unsafe, lost(true)), (Repeat::Safe, refused)] {
            let (outcome, time, told) = run(repeat, vec![error.clone()]).await;
            assert_eq!((outcome.unwrap_err(), time, told), (error, Duration::ZERO, Vec::new()));
        }
    }
}
