//! The cloud's own time, as its answers say it: when something came and when it went is what it bills by, and neither a
//! computer's clock that is wrong nor a poll that comes late is to have a part in that. It waits for nothing and asks nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use super::call::{Answer, Call, Cloud, Link, Product};
use super::error::ApiError;
use crate::model::clock::Clock;

/// What the dates of answers come to.
pub struct Dates {
    clock: Arc<dyn Clock>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// How far the cloud's time is ahead of the clock's.
    ahead: SignedDuration,
    /// When a deletion was taken, by everything that the call named.
    farewells: BTreeMap<String, Timestamp>,
    /// When something was last made inside of a thing, by that thing.
    growths: BTreeMap<String, Timestamp>,
}

impl Dates {
    /// Nothing was seen; until then the cloud's time is that of `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Dates { clock, seen: Mutex::default() }
    }

    /// When the cloud took the deletion of `id`; it is not billed any more from then on. `None` if none was asked for.
    pub fn farewell(&self, id: &str) -> Option<Timestamp> {
        self.seen().farewells.get(id).copied()
    }

    /// When the cloud last took the creation of something inside of `id`, as nodes in a cluster. `None` if none was asked for.
    pub fn growth(&self, id: &str) -> Option<Timestamp> {
        self.seen().growths.get(id).copied()
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes down the date of an answer.
    fn look(&self, date: Option<Timestamp>) {
        let Some(date) = date else { return };
        let now = self.clock.now();
        // Dates are cut to seconds: less than one apart is the same time.
        let ahead = date.duration_since(now);
        let same = (SignedDuration::from_secs(-1)..=SignedDuration::ZERO).contains(&ahead);
        self.seen().ahead = if same { SignedDuration::ZERO } else { ahead };
    }

    /// Takes down a deletion. What was taken is certain; of one whose answer was lost the first attempt counts, unless a
    /// later one is taken.
    fn note(&self, named: Vec<String>, taken: bool) {
        let now = self.now();
        let farewells = &mut self.seen().farewells;
        for name in named {
            if taken {
                farewells.insert(name, now);
            } else {
                farewells.entry(name).or_insert(now);
            }
        }
    }
}

impl Clock for Dates {
    fn now(&self) -> Timestamp {
        let ahead = self.seen().ahead;
        self.clock.now().saturating_add(ahead).unwrap_or(Timestamp::MAX)
    }
}

/// Everything that a deletion names.
fn named(call: &Call) -> Vec<String> {
    if !call.action.starts_with("Delete") {
        return Vec::new();
    }
    let ids = call.query.iter().filter(|(name, _)| name.ends_with("Id") && name != "RegionId").map(|(_, value)| value.clone());
    ids.chain(call.path.rsplit('/').next().filter(|last| !last.is_empty()).map(str::to_owned)).collect()
}

/// In what a call makes something: `c1` of `/clusters/c1/nodepools`.
fn grown(call: &Call) -> Option<String> {
    let segments: Vec<&str> = call.path.split('/').filter(|segment| !segment.is_empty()).collect();
    match segments.as_slice() {
        [.., _, id, _] if call.action.starts_with("Create") => Some((*id).to_owned()),
        _ => None,
    }
}

/// A cloud whose answers tell the time. To be put inside of what tries again: each attempt has its own date.
pub struct Dated<C> {
    inner: C,
    dates: Arc<Dates>,
}

impl<C> Dated<C> {
    /// Takes down what `inner` answers.
    pub fn new(inner: C, dates: Arc<Dates>) -> Self {
        Dated { inner, dates }
    }
}

#[async_trait]
impl<C: Cloud> Cloud for Dated<C> {
    async fn send(&self, call: Call) -> Result<Answer, ApiError> {
        let (named, grown) = (named(&call), grown(&call));
        // Objects have dates of their own, which signatures are checked by.
        let dated = call.product != Product::Oss;
        let answer = self.inner.send(call).await;
        match &answer {
            Ok(answer) => {
                if dated {
                    self.dates.look(answer.date());
                }
                self.dates.note(named, true);
                if let Some(id) = grown {
                    let now = self.dates.now();
                    self.dates.seen().growths.insert(id, now);
                }
            }
            Err(ApiError::Refused { .. }) => {}
            Err(_) => self.dates.note(named, false),
        }
        answer
    }

    async fn presign(&self, link: &Link<'_>) -> Result<String, ApiError> {
        self.inner.presign(link).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use bytes::Bytes;

    use super::*;
    use crate::cloud::call::Repeat;

    struct Fixed;

    impl Clock for Fixed {
        fn now(&self) -> Timestamp {
            "2026-01-02T03:04:05.6Z".parse().unwrap()
        }
    }

    struct Answers(Mutex<VecDeque<Result<&'static str, ()>>>);

    #[async_trait]
    impl Cloud for Answers {
        async fn send(&self, call: Call) -> Result<Answer, ApiError> {
            match self.0.lock().unwrap().pop_front().unwrap() {
                Ok(date) => Ok(Answer { status: 200, headers: vec![("date".to_owned(), date.to_owned())], body: Bytes::new() }),
                Err(()) => Err(ApiError::Unreadable { action: call.action, reason: "lost".to_owned() }),
            }
        }

        async fn presign(&self, _: &Link<'_>) -> Result<String, ApiError> {
            Ok(String::new())
        }
    }

    fn delete(id: &str) -> Call {
        Call {
            product: Product::Ecs,
            action: "DeleteInstance",
            region: "cn-hangzhou".to_owned(),
            method: http::Method::POST,
            bucket: None,
            path: "/".to_owned(),
            query: vec![("InstanceId".to_owned(), id.to_owned()), ("Force".to_owned(), "true".to_owned())],
            headers: Vec::new(),
            body: Bytes::new(),
            repeat: Repeat::Safe,
        }
    }

    #[tokio::test]
    async fn what_is_made_inside_of_something_counts_from_when_it_was_taken() {
        let dates = Arc::new(Dates::new(Arc::new(Fixed)));
        let answers = [Ok("Fri, 02 Jan 2026 05:00:00 GMT"), Err(())];
        let cloud = Dated::new(Answers(Mutex::new(answers.into())), dates.clone());
        let nodes = |id: &str| Call {
            product: Product::Cs,
            action: "CreateClusterNodePool",
            path: format!("/clusters/{id}/nodepools"),
            query: Vec::new(),
            ..delete("")
        };
        cloud.send(nodes("c1")).await.unwrap();
        cloud.send(nodes("c2")).await.unwrap_err();
        assert_eq!((dates.growth("c1"), dates.growth("c2")), (Some("2026-01-02T05:00:00Z".parse().unwrap()), None));
    }

    #[tokio::test]
    async fn the_time_is_the_clouds_and_a_deletion_counts_from_when_it_was_taken() {
        let dates = Arc::new(Dates::new(Arc::new(Fixed)));
        let answers = [Ok("Fri, 02 Jan 2026 03:04:05 GMT"), Err(()), Ok("Fri, 02 Jan 2026 05:00:00 GMT"), Err(())];
        let cloud = Dated::new(Answers(Mutex::new(answers.into())), dates.clone());
        cloud.send(delete("i-1")).await.unwrap();
        assert_eq!((dates.now(), dates.farewell("i-1")), (Fixed.now(), Some(Fixed.now())));
        cloud.send(delete("i-2")).await.unwrap_err();
        assert_eq!(dates.farewell("i-2"), Some(Fixed.now()));
        cloud.send(delete("i-2")).await.unwrap();
        let later: Timestamp = "2026-01-02T05:00:00Z".parse().unwrap();
        assert_eq!((dates.now(), dates.farewell("i-2"), dates.farewell("i-3")), (later, Some(later), None));
        // An answer that was lost after that changes nothing.
        cloud.send(delete("i-2")).await.unwrap_err();
        assert_eq!(dates.farewell("i-2"), Some(later));
    }
}
