//! The cloud's own time. It runs with the wall clock unless it is told to run faster or to jump ahead; it never goes
//! back. Who signs and how long an answer takes is measured by the wall clock, everything the cloud holds by this one.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use super::store::World;
use super::time::{after, until};
use crate::model::clock::Clock;

/// The longest sleep, so that a computer that slept itself does not oversleep for long.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);

/// From when on the cloud's time goes how fast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pace {
    /// The wall clock's time at which this pace began.
    wall: Timestamp,
    /// The cloud's time at that moment.
    cloud: Timestamp,
    /// Seconds of the cloud in a second of the wall clock.
    speed: f64,
}

impl Pace {
    fn at(&self, wall: Timestamp) -> Timestamp {
        let passed = u64::try_from(wall.duration_since(self.wall).as_nanos()).unwrap_or(0);
        let passed = if self.speed.to_bits() == 1f64.to_bits() { passed } else { (passed as f64 * self.speed) as u64 };
        after(self.cloud, Duration::from_nanos(passed))
    }

    /// How long the wall clock takes for so much of the cloud's time; rounded up, so that nobody wakes too early.
    fn wall_time(&self, cloud: Duration) -> Duration {
        if self.speed.to_bits() == 1f64.to_bits() {
            return cloud;
        }
        Duration::from_nanos(((cloud.as_nanos() as f64 / self.speed).ceil() as u64).saturating_add(1))
    }
}

/// The cloud's clock.
pub(crate) struct CloudClock {
    wall: Arc<dyn Clock>,
    /// `None` as long as it is the wall clock.
    pace: watch::Sender<Option<Pace>>,
}

impl CloudClock {
    /// The clock as the world remembers it: time that went faster does not go back when a server starts again.
    pub(crate) fn new(wall: Arc<dyn Clock>, world: &World) -> CloudClock {
        let moment = |name| Timestamp::from_microsecond(i64::try_from(*world.meta.get(name)?).ok()?).ok();
        let pace = || {
            let speed = f64::from_bits(*world.meta.get("clock-speed")?);
            Some(Pace { wall: moment("clock-wall")?, cloud: moment("clock-cloud")?, speed })
        };
        CloudClock { wall, pace: watch::Sender::new(pace()) }
    }

    /// The cloud's time.
    pub(crate) fn now(&self) -> Timestamp {
        let wall = self.wall.now();
        self.pace.borrow().map_or(wall, |pace| pace.at(wall))
    }

    /// The wall clock's time: what clients sign with.
    pub(crate) fn wall_now(&self) -> Timestamp {
        self.wall.now()
    }

    /// The wall clock itself.
    pub(crate) fn wall(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.wall)
    }

    pub(crate) fn speed(&self) -> f64 {
        self.pace.borrow().map_or(1.0, |pace| pace.speed)
    }

    /// From now on time goes so fast. To be called inside a commit, so that the next server knows.
    pub(crate) fn set_speed(&self, world: &mut World, speed: f64) {
        if self.speed().to_bits() != speed.to_bits() {
            self.set(world, self.now(), speed);
        }
    }

    /// Time jumps ahead. To be called inside a commit.
    pub(crate) fn advance(&self, world: &mut World, by: Duration) {
        self.set(world, after(self.now(), by), self.speed());
    }

    fn set(&self, world: &mut World, cloud: Timestamp, speed: f64) {
        // Cut to what is written down, towards the later moment.
        let micros = |at: Timestamp| at.as_microsecond();
        let (wall, cloud) = (micros(self.wall.now()), micros(cloud) + 1);
        let moment = |micros| Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX);
        for (name, value) in [("clock-wall", wall), ("clock-cloud", cloud)] {
            world.meta.insert(name, u64::try_from(value).unwrap_or_default());
        }
        world.meta.insert("clock-speed", speed.to_bits());
        self.pace.send_replace(Some(Pace { wall: moment(wall), cloud: moment(cloud), speed }));
    }

    /// Waits until the cloud's time is `then`, however fast it goes meanwhile.
    pub(crate) async fn sleep_until(&self, then: Timestamp) {
        let mut changes = self.pace.subscribe();
        loop {
            let pace = *changes.borrow_and_update();
            let wall = self.wall.now();
            let left = until(pace.map_or(wall, |pace| pace.at(wall)), then);
            if left.is_zero() {
                return;
            }
            let pause = pace.map_or(left, |pace| pace.wall_time(left)).min(LOOK_AGAIN);
            tokio::select! {
                biased;
                () = tokio::time::sleep(pause) => {}
                // The sender is this clock itself: it is there.
                _ = changes.changed() => {}
            }
        }
    }
}

/// A moment so far away that nobody waits for it.
pub(crate) fn never() -> Timestamp {
    Timestamp::MAX.checked_sub(SignedDuration::from_secs(1)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::RuntimeClock;

    fn clocks() -> (Arc<RuntimeClock>, World, CloudClock) {
        let wall = Arc::new(RuntimeClock::starting_at("2026-01-02T03:04:05.0000005Z".parse().unwrap()));
        let world = World::default();
        let clock = CloudClock::new(wall.clone(), &world);
        (wall, world, clock)
    }

    fn seconds_ahead(wall: &RuntimeClock, clock: &CloudClock) -> f64 {
        clock.now().duration_since(wall.now()).as_secs_f64()
    }

    #[tokio::test(start_paused = true)]
    async fn time_goes_as_fast_as_told_and_never_back() {
        let (wall, mut world, clock) = clocks();
        assert_eq!(clock.now(), wall.now());
        clock.set_speed(&mut world, 60.0);
        assert!(seconds_ahead(&wall, &clock) < 0.001);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!((seconds_ahead(&wall, &clock) - 590.0).abs() < 0.001);
        clock.set_speed(&mut world, 1.0);
        clock.advance(&mut world, Duration::from_secs(3600));
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!((seconds_ahead(&wall, &clock) - 4190.0).abs() < 0.001);
        let again = CloudClock::new(wall.clone(), &world);
        assert_eq!(again.now(), clock.now());
    }

    #[test]
    fn the_longest_wait_has_a_length_at_every_speed() {
        for speed in [0.001, 0.5, 2.0, 10.0, 86_400.0] {
            let pace = Pace { wall: Timestamp::UNIX_EPOCH, cloud: Timestamp::UNIX_EPOCH, speed };
            assert!(pace.wall_time(until(pace.cloud, never())) > LOOK_AGAIN, "{speed}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_sleeps_wakes_at_the_clouds_time() {
        let (_, mut world, clock) = clocks();
        let clock = Arc::new(clock);
        let start = tokio::time::Instant::now();
        let then = after(clock.now(), Duration::from_secs(7200));
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move {
                clock.sleep_until(then).await;
                (clock.now(), tokio::time::Instant::now())
            }
        });
        tokio::time::sleep(Duration::from_secs(10)).await;
        clock.set_speed(&mut world, 3600.0);
        let (woken, at) = sleeper.await.unwrap();
        assert!(woken >= then && woken < after(then, Duration::from_secs(10)), "{woken}");
        assert!(at - start < Duration::from_millis(12_010), "{:?}", at - start);
    }
}
