//! Looks over the shoulder of an apply: when each resource came and when it went. It hands every event on.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use aliform::model::address::Address;
use aliform::model::change::Action;
use aliform::model::clock::Clock;
use aliform::model::event::{Event, EventSink};
use aliform::resources::registry;
use aliform::state::contents::State;
use jiff::Timestamp;

/// When a resource came, and when it went, as far as is known.
type Times = (Timestamp, Option<Timestamp>);

pub(super) struct Watch<'a> {
    next: &'a dyn EventSink,
    clock: &'a dyn Clock,
    times: Mutex<BTreeMap<Address, Times>>,
}

impl<'a> Watch<'a> {
    /// Of resources of which `before` remembers those that are there.
    pub(super) fn new(next: &'a dyn EventSink, clock: &'a dyn Clock, before: &State) -> Self {
        let there = before.resources.iter().map(|(address, resource)| (address.clone(), (resource.created_at, None)));
        Watch { next, clock, times: Mutex::new(there.collect()) }
    }

    /// When it came and when it went; `None` if it was never there.
    pub(super) fn times(&self, address: &Address) -> Option<Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner).get(address).copied()
    }
}

impl EventSink for Watch<'_> {
    fn emit(&self, event: Event) {
        let now = self.clock.now();
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        match &event {
            Event::StepIdentified { address, .. } => {
                times.insert(address.clone(), (now, None));
            }
            Event::StepFinished { address, action, .. } | Event::StepFailed { address, action, .. } => {
                // What comes to its end by itself is over with its step.
                let over =
                    registry::kind(address.kind).ends() || (*action == Action::Delete && matches!(event, Event::StepFinished { .. }));
                if let Some((_, gone)) = times.get_mut(address).filter(|_| over) {
                    *gone = Some(now);
                }
            }
            _ => {}
        }
        drop(times);
        self.next.emit(event);
    }
}
