//! Looks over the shoulder of an apply: when a machine came and when it went. It hands every event on.

use std::sync::{Mutex, PoisonError};

use aliform::model::address::Address;
use aliform::model::change::Action;
use aliform::model::clock::Clock;
use aliform::model::event::{Event, EventSink};
use jiff::Timestamp;

/// When the machine came, and when it went, as far as is known.
type Times = (Option<Timestamp>, Option<Timestamp>);

pub(super) struct Watch<'a> {
    next: &'a dyn EventSink,
    clock: &'a dyn Clock,
    machine: &'a Address,
    times: Mutex<Times>,
}

impl<'a> Watch<'a> {
    /// Of a machine that has been there since `born`, if it is there.
    pub(super) fn new(next: &'a dyn EventSink, clock: &'a dyn Clock, machine: &'a Address, born: Option<Timestamp>) -> Self {
        Watch { next, clock, machine, times: Mutex::new((born, None)) }
    }

    pub(super) fn times(&self) -> Times {
        *self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventSink for Watch<'_> {
    fn emit(&self, event: Event) {
        let now = self.clock.now();
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        match &event {
            Event::StepIdentified { address, .. } if address == self.machine => *times = (Some(now), None),
            Event::StepFinished { address, action: Action::Delete, .. } if address == self.machine => times.1 = Some(now),
            _ => {}
        }
        drop(times);
        self.next.emit(event);
    }
}
