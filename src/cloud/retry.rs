//! Tries a call again where that can help and cannot do harm. It waits by tokio's time and knows no product:
//! codes that mean "not yet" for one resource are waited for by that resource.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::call::{Answer, Call, Cloud, Link, Repeat};
use super::error::ApiError;

/// Where the randomness of waiting comes from.
pub trait Jitter: Send + Sync {
    /// A number from 0 up to, but not including, 1.
    fn fraction(&self) -> f64;
}

/// A sequence that follows from its seed (SplitMix64), so that a run can be repeated.
#[derive(Debug)]
pub struct SeededJitter(Mutex<u64>);

impl SeededJitter {
    /// The sequence of that seed.
    pub fn new(seed: u64) -> Self {
        SeededJitter(Mutex::new(seed))
    }

    /// A sequence that nobody can foretell, so that many clients do not wait in step.
    pub fn random() -> Self {
        // Without a random source a constant seed still spreads the waits of one client.
        SeededJitter::new(getrandom::u64().unwrap_or(0x5eed))
    }
}

impl Jitter for SeededJitter {
    fn fraction(&self) -> f64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // The upper 53 bits fill a double exactly.
        (mixed >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// How often and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// The longest wait before the second attempt; it doubles with each further one.
    pub base: Duration,
    /// No wait is longer.
    pub cap: Duration,
    /// If the service asks for a longer wait than this, the error is handed back at once.
    pub patience: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy { attempts: 5, base: Duration::from_millis(200), cap: Duration::from_secs(20), patience: Duration::from_secs(60) }
    }
}

impl RetryPolicy {
    /// How long to wait after attempt number `attempt` (from 1) failed with `error`; `None` to give up.
    pub fn wait(&self, attempt: u32, repeat: Repeat, error: &ApiError, jitter: &dyn Jitter) -> Option<Duration> {
        if attempt >= self.attempts || !may_help(repeat, error) {
            return None;
        }
        if let ApiError::Refused { retry_after: Some(asked), .. } = error {
            // Spread a little: all throttled callers are told the same time.
            return (*asked <= self.patience).then(|| *asked + self.base.mul_f64(jitter.fraction()));
        }
        let ceiling = self.base.saturating_mul(1 << (attempt - 1).min(20)).min(self.cap);
        Some(ceiling.mul_f64(jitter.fraction()))
    }
}

/// Whether another attempt can succeed and cannot make the call happen twice.
fn may_help(repeat: Repeat, error: &ApiError) -> bool {
    match error {
        // Refused at the door: it did not happen.
        error if error.is_throttling() => true,
        // A failing server may have done it.
        error if error.is_server_fault() => repeat == Repeat::Safe,
        ApiError::Lost { sent, .. } => !sent || repeat == Repeat::Safe,
        _ => false,
    }
}

/// What the last refusal says after an attempt that may have happened: one at the door says nothing of that attempt.
fn in_doubt(action: &'static str, error: ApiError) -> ApiError {
    if !error.is_throttling() {
        return error;
    }
    ApiError::Lost { action, reason: format!("an attempt got no answer, and the last one was refused at the door: {error}"), sent: true }
}

/// A cloud that tries again.
pub struct Retrying<C> {
    inner: C,
    policy: RetryPolicy,
    jitter: Box<dyn Jitter>,
}

impl<C> Retrying<C> {
    /// With the default policy and waits that nobody can foretell.
    pub fn new(inner: C) -> Self {
        Retrying::with(inner, RetryPolicy::default(), SeededJitter::random())
    }

    /// With a policy and a source of jitter.
    pub fn with(inner: C, policy: RetryPolicy, jitter: impl Jitter + 'static) -> Self {
        Retrying { inner, policy, jitter: Box::new(jitter) }
    }
}

#[async_trait]
impl<C: Cloud> Cloud for Retrying<C> {
    async fn send(&self, call: Call) -> Result<Answer, ApiError> {
        let mut attempt = 1;
        let mut doubtful = false;
        loop {
            let error = match self.inner.send(call.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let Some(wait) = self.policy.wait(attempt, call.repeat, &error, &*self.jitter) else {
                return Err(if doubtful { in_doubt(call.action, error) } else { error });
            };
            doubtful |= matches!(error, ApiError::Lost { sent: true, .. }) || error.is_server_fault();
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    async fn presign(&self, link: &Link<'_>) -> Result<String, ApiError> {
        self.inner.presign(link).await
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::super::count::Counted;
    use super::super::limit::tests::Scripted;
    use super::*;

    /// Always the longest wait.
    struct Longest;

    impl Jitter for Longest {
        fn fraction(&self) -> f64 {
            1.0
        }
    }

    fn refused(code: &str, status: u16, retry_after: Option<u64>) -> ApiError {
        ApiError::Refused {
            action: "Test",
            status,
            code: code.to_owned(),
            message: String::new(),
            request_id: String::new(),
            retry_after: retry_after.map(Duration::from_millis),
        }
    }

    fn lost(sent: bool) -> ApiError {
        ApiError::Lost { action: "Test", reason: "reset".to_owned(), sent }
    }

    /// Sends one call through the wrapper; its outcome, the attempts made and the time it took.
    async fn run(repeat: Repeat, script: Vec<ApiError>) -> (Result<Answer, ApiError>, usize, Duration) {
        let start = Instant::now();
        let cloud = Retrying::with(Counted::new(Scripted::failing(script)), RetryPolicy::default(), Longest);
        let outcome = cloud.send(Scripted::call("Test", repeat)).await;
        (outcome, cloud.inner.total(), start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn waits_double_and_attempts_are_bounded() {
        let (outcome, attempts, time) = run(Repeat::Unsafe, vec![refused("Throttling.User", 400, None); 9]).await;
        assert!(outcome.unwrap_err().is_throttling());
        assert_eq!(attempts, 5);
        assert!((Duration::from_millis(3000)..Duration::from_millis(3010)).contains(&time), "200 + 400 + 800 + 1600 ms, not {time:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_have_happened_is_not_certain_because_a_later_attempt_was_throttled() {
        let throttled = || refused("Throttling.User", 400, None);
        let (outcome, ..) = run(Repeat::Safe, vec![throttled(), lost(true), throttled(), throttled(), throttled()]).await;
        assert!(matches!(outcome, Err(ApiError::Lost { sent: true, .. })), "{outcome:?}");
        let (outcome, ..) = run(Repeat::Safe, vec![lost(true), refused("OperationDenied.NoStock", 403, None)]).await;
        assert!(outcome.unwrap_err().is(&["OperationDenied.NoStock"]), "its token would have told");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_ends_it() {
        let (outcome, attempts, _) = run(Repeat::Safe, vec![refused("InternalError", 500, None), lost(true)]).await;
        assert_eq!((outcome.unwrap().status, attempts), (200, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn an_unsafe_call_is_not_repeated_where_it_may_have_happened() {
        assert_eq!(run(Repeat::Unsafe, vec![lost(true)]).await.1, 1);
        assert_eq!(run(Repeat::Unsafe, vec![refused("InternalError", 500, None)]).await.1, 1);
        assert_eq!(run(Repeat::Unsafe, vec![lost(false)]).await.1, 2, "it never left");
        assert_eq!(run(Repeat::Safe, vec![lost(true)]).await.1, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_mistake_of_the_caller_is_not_repeated() {
        assert_eq!(run(Repeat::Safe, vec![refused("InvalidParameter", 400, None)]).await.1, 1);
        assert_eq!(run(Repeat::Safe, vec![refused("Forbidden.RAM", 403, None)]).await.1, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_that_the_service_asks_for_is_kept() {
        let (outcome, attempts, time) = run(Repeat::Unsafe, vec![refused("Throttling", 429, Some(7000))]).await;
        assert_eq!((outcome.unwrap().status, attempts), (200, 2));
        assert!((Duration::from_millis(7000)..=Duration::from_millis(7210)).contains(&time), "{time:?}");
        let (outcome, attempts, time) = run(Repeat::Unsafe, vec![refused("Throttling", 429, Some(61_000))]).await;
        assert!(outcome.is_err() && attempts == 1 && time == Duration::ZERO, "too long to wait for");
    }

    #[test]
    fn jitter_follows_from_its_seed_and_fills_the_unit() {
        let draw = |seed| {
            let jitter = SeededJitter::new(seed);
            (0..1000).map(|_| jitter.fraction()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let drawn = draw(7);
        assert!(drawn.iter().all(|fraction| (0.0..1.0).contains(fraction)));
        let mean = drawn.iter().sum::<f64>() / 1000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
    }
}
