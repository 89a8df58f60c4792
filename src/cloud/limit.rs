//! Keeps the client below the rates at which the service begins to refuse, so that a large apply is slowed by
//! itself instead of being thrown back. It counts what this process sends and nothing else.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::call::{Answer, Call, Cloud, Link, Product};
use super::error::ApiError;

/// A token bucket's size and how fast it fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Calls that may leave at once; at least 1 is taken.
    pub burst: u32,
    /// The time in which one more becomes free.
    pub interval: Duration,
}

impl Rate {
    /// `calls` a second, with bursts of as many.
    pub const fn per_second(calls: u32) -> Self {
        let calls = if calls == 0 { 1 } else { calls };
        Rate { burst: calls, interval: Duration::from_nanos(1_000_000_000 / calls as u64) }
    }
}

/// Which rates are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// For all calls of a product together.
    pub products: BTreeMap<Product, Rate>,
    /// For one action, besides its product's.
    pub actions: BTreeMap<(Product, &'static str), Rate>,
}

impl Limits {
    /// Cautious rates of our own for a client that shares its account with others. The service's quotas differ by
    /// account and action (hundreds of reads, a few creations a second); where they are lower still, it says so
    /// and the call is tried again.
    pub fn cautious() -> Self {
        let mut actions = BTreeMap::new();
        for action in ["RunInstances", "DeleteInstances", "StartInstances", "StopInstances"] {
            actions.insert((Product::Ecs, action), Rate::per_second(5));
        }
        for action in ["RunCommand", "SendFile"] {
            actions.insert((Product::Ecs, action), Rate::per_second(10));
        }
        for action in ["CreateVpc", "CreateVSwitch", "AllocateEipAddress", "ReleaseEipAddress"] {
            actions.insert((Product::Vpc, action), Rate::per_second(5));
        }
        let products = [
            (Product::Ecs, Rate::per_second(40)),
            (Product::Vpc, Rate::per_second(20)),
            (Product::Sts, Rate::per_second(20)),
            (Product::Bss, Rate::per_second(10)),
            (Product::Oss, Rate::per_second(100)),
            (Product::Fc, Rate::per_second(50)),
            (Product::Cs, Rate::per_second(10)),
            (Product::Dlc, Rate::per_second(10)),
            (Product::AiWorkspace, Rate::per_second(10)),
        ];
        Limits { products: BTreeMap::from(products), actions }
    }
}

/// A bucket kept as the moment at which it will be full again: the generic cell rate algorithm.
#[derive(Debug)]
struct Bucket {
    rate: Rate,
    full_at: Instant,
}

impl Bucket {
    /// Takes a token and says when it may be used. Later callers get later moments, so nobody is overtaken.
    fn take(&mut self, now: Instant) -> Instant {
        let full_at = self.full_at.max(now) + self.rate.interval;
        self.full_at = full_at;
        let lead = self.rate.interval * self.rate.burst.max(1);
        full_at.checked_sub(lead).map_or(now, |moment| moment.max(now))
    }
}

/// A cloud that holds calls back until their rate allows them.
#[derive(Debug)]
pub struct Limited<C> {
    inner: C,
    products: BTreeMap<Product, Mutex<Bucket>>,
    actions: BTreeMap<(Product, &'static str), Mutex<Bucket>>,
}

impl<C> Limited<C> {
    /// Full buckets of `limits`. Needs tokio's time.
    pub fn new(inner: C, limits: &Limits) -> Self {
        let bucket = |rate: &Rate| Mutex::new(Bucket { rate: *rate, full_at: Instant::now() });
        Limited {
            inner,
            products: limits.products.iter().map(|(product, rate)| (*product, bucket(rate))).collect(),
            actions: limits.actions.iter().map(|(action, rate)| (*action, bucket(rate))).collect(),
        }
    }

    async fn admit(&self, call: &Call) {
        // The action's bucket first: while a call waits there, it takes nothing from the rest of its product.
        let buckets = [self.actions.get(&(call.product, call.action)), self.products.get(&call.product)];
        for bucket in buckets.into_iter().flatten() {
            let moment = bucket.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now());
            tokio::time::sleep_until(moment).await;
        }
    }
}

#[async_trait]
impl<C: Cloud> Cloud for Limited<C> {
    async fn send(&self, call: Call) -> Result<Answer, ApiError> {
        self.admit(&call).await;
        self.inner.send(call).await
    }

    async fn presign(&self, link: &Link<'_>) -> Result<String, ApiError> {
        self.inner.presign(link).await
    }
}

#[cfg(test)]
pub(in crate::cloud) mod tests {
    use std::collections::VecDeque;

    use bytes::Bytes;
    use futures_util::future::join_all;

    use super::super::call::Repeat;
    use super::super::count::Counted;
    use super::*;

    /// A cloud that fails as it is told and then answers 200, and notes when each call came.
    pub(in crate::cloud) struct Scripted {
        errors: Mutex<VecDeque<ApiError>>,
        arrivals: Mutex<Vec<(&'static str, Instant)>>,
    }

    impl Scripted {
        pub(in crate::cloud) fn failing(errors: Vec<ApiError>) -> Self {
            Scripted { errors: Mutex::new(errors.into()), arrivals: Mutex::default() }
        }

        pub(in crate::cloud) fn call(action: &'static str, repeat: Repeat) -> Call {
            Call {
                product: Product::Ecs,
                action,
                region: "cn-hangzhou".to_owned(),
                method: http::Method::POST,
                bucket: None,
                path: "/".to_owned(),
                query: Vec::new(),
                headers: Vec::new(),
                body: Bytes::new(),
                repeat,
            }
        }
    }

    #[async_trait]
    impl Cloud for Scripted {
        async fn send(&self, call: Call) -> Result<Answer, ApiError> {
            self.arrivals.lock().unwrap().push((call.action, Instant::now()));
            match self.errors.lock().unwrap().pop_front() {
                Some(error) => Err(error),
                None => Ok(Answer { status: 200, headers: Vec::new(), body: Bytes::new() }),
            }
        }

        async fn presign(&self, _: &Link<'_>) -> Result<String, ApiError> {
            Ok(String::new())
        }
    }

    /// Sends the calls all at once; how many milliseconds after the start each arrived, in order.
    async fn arrivals(limits: &Limits, actions: &[&'static str]) -> Vec<(&'static str, u128)> {
        let start = Instant::now();
        let cloud = Counted::new(Limited::new(Scripted::failing(Vec::new()), limits));
        let sent = join_all(actions.iter().map(|action| cloud.send(Scripted::call(action, Repeat::Safe)))).await;
        assert!(sent.iter().all(Result::is_ok));
        assert_eq!(cloud.total(), actions.len());
        assert_eq!(cloud.by_action()[actions[0]], actions.iter().filter(|action| *action == &actions[0]).count());
        let limited = cloud.into_inner();
        limited.inner.arrivals.into_inner().unwrap().into_iter().map(|(action, at)| (action, (at - start).as_millis())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_the_rest_is_spaced() {
        let rate = Rate { burst: 3, interval: Duration::from_millis(100) };
        let limits = Limits { products: BTreeMap::from([(Product::Ecs, rate)]), actions: BTreeMap::new() };
        let times: Vec<u128> = arrivals(&limits, &["A"; 6]).await.into_iter().map(|(_, at)| at).collect();
        // The timer's grain is a millisecond.
        for (at, expected) in times.iter().zip([0, 0, 0, 100, 200, 300]) {
            assert!((expected..expected + 3).contains(at), "{times:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_action_waits_without_holding_up_its_product() {
        let slow = Rate { burst: 1, interval: Duration::from_secs(1) };
        let limits = Limits {
            products: BTreeMap::from([(Product::Ecs, Rate::per_second(100))]),
            actions: BTreeMap::from([((Product::Ecs, "RunInstances"), slow)]),
        };
        let times = arrivals(&limits, &["RunInstances", "RunInstances", "DescribeInstances"]).await;
        let order: Vec<&str> = times.iter().map(|(action, _)| *action).collect();
        assert_eq!(order, ["RunInstances", "DescribeInstances", "RunInstances"]);
        assert!(times[1].1 < 3 && times[2].1 >= 1000, "{times:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn idle_time_fills_the_bucket_no_further_than_its_size() {
        let rate = Rate { burst: 2, interval: Duration::from_secs(1) };
        let mut bucket = Bucket { rate, full_at: Instant::now() };
        tokio::time::advance(Duration::from_secs(60)).await;
        let now = Instant::now();
        let taken: Vec<u64> = (0..4).map(|_| (bucket.take(now) - now).as_secs()).collect();
        assert_eq!(taken, [0, 0, 1, 2]);
    }
}
