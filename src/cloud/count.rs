//! Counts calls by action, for the event that says how many a refresh took and for tests of that number.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::call::{Answer, Call, Cloud, Link};
use super::error::ApiError;

/// A cloud that counts what passes through it. Around [`Retrying`](super::retry::Retrying) it counts calls,
/// inside of it attempts.
#[derive(Debug)]
pub struct Counted<C> {
    inner: C,
    counts: Mutex<BTreeMap<&'static str, usize>>,
}

impl<C> Counted<C> {
    /// Counts from zero.
    pub fn new(inner: C) -> Self {
        Counted { inner, counts: Mutex::default() }
    }

    /// Calls so far, by action.
    pub fn by_action(&self) -> BTreeMap<&'static str, usize> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The cloud that was counted.
    pub fn into_inner(self) -> C {
        self.inner
    }

    /// Calls so far.
    pub fn total(&self) -> usize {
        self.by_action().values().sum()
    }
}

#[async_trait]
impl<C: Cloud> Cloud for Counted<C> {
    async fn send(&self, call: Call) -> Result<Answer, ApiError> {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(call.action).or_default() += 1;
        self.inner.send(call).await
    }

    async fn presign(&self, link: &Link<'_>) -> Result<String, ApiError> {
        self.inner.presign(link).await
    }
}
