//! A way to the local cloud on which things go wrong, and dice to decide when.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aliform::cloud::http::transport::{Exchange, Failure};
use aliform::cloud::sign::nonce::Nonces;
use aliform::local_cloud::LocalCloud;
use aliform::local_cloud::wire::Request;
use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

/// Even draws from a seed (SplitMix64).
pub(crate) struct Dice(Mutex<u64>);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Dice(Mutex::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
    }

    fn draw(&self) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 up to, not with, `sides`.
    pub(crate) fn below(&self, sides: u64) -> u64 {
        self.draw() % sides
    }

    /// True in so many of a hundred.
    pub(crate) fn percent(&self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

impl Nonces for Dice {
    fn next(&self) -> String {
        format!("{:016x}{:016x}", self.draw(), self.draw())
    }
}

/// The local cloud behind a bad line.
pub(crate) struct BadLine {
    pub(crate) cloud: Arc<LocalCloud>,
    pub(crate) dice: Dice,
    /// Whether anything goes wrong.
    pub(crate) bad: AtomicBool,
    pub(crate) lost: AtomicUsize,
    pub(crate) refused: AtomicUsize,
    /// When nobody can be reached: from and to, by tokio's time.
    pub(crate) outages: Mutex<Vec<(Instant, Instant)>>,
}

impl BadLine {
    pub(crate) fn new(cloud: Arc<LocalCloud>, seed: u64) -> Self {
        BadLine {
            cloud,
            dice: Dice::new(seed ^ 0xBAD),
            bad: AtomicBool::new(true),
            lost: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            outages: Mutex::default(),
        }
    }

    fn failure(&self, reason: &str) -> Failure {
        self.lost.fetch_add(1, Ordering::Relaxed);
        Failure { reason: reason.to_owned(), sent: true }
    }

    async fn answer(&self, request: http::Request<Bytes>) -> http::Response<Bytes> {
        let (head, body) = request.into_parts();
        let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
        let host = head.headers.get("host").map(text).or_else(|| head.uri.authority().map(ToString::to_string)).unwrap_or_default();
        let headers = head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        let request = Request {
            method: head.method,
            host,
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers,
            body,
            peer: None,
        };
        let response = self.cloud.handle(request).await;
        let mut answer = http::Response::builder().status(response.status);
        for (name, value) in &response.headers {
            answer = answer.header(name, value);
        }
        answer.body(response.body).unwrap()
    }
}

#[async_trait]
impl Exchange for BadLine {
    async fn exchange(&self, request: http::Request<Bytes>, _limit: Duration) -> Result<http::Response<Bytes>, Failure> {
        tokio::time::sleep(Duration::from_millis(5 + self.dice.below(40))).await;
        let now = Instant::now();
        if self.outages.lock().unwrap().iter().any(|(from, to)| (*from..*to).contains(&now)) {
            return Err(Failure { reason: "connection refused".to_owned(), sent: false });
        }
        let fate = if self.bad.load(Ordering::Relaxed) { self.dice.below(100) } else { 100 };
        match fate {
            0..3 => Err(self.failure("lost on its way there")),
            3..7 => {
                self.answer(request).await;
                Err(self.failure("the answer was lost"))
            }
            7..13 => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                let (status, code) = if fate < 11 { (400, "Throttling.User") } else { (503, "ServiceUnavailable") };
                let body = format!(r#"{{"RequestId":"0","Code":"{code}","Message":"not now"}}"#);
                Ok(http::Response::builder().status(status).header("content-type", "application/json").body(Bytes::from(body)).unwrap())
            }
            _ => Ok(self.answer(request).await),
        }
    }
}
