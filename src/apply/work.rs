//! What is left to do of a plan: which steps wait for how many others, and which can be taken now. It takes none of them.

use std::collections::{BTreeMap, BTreeSet};

use super::order::{Phase, Step};
use crate::graph::Graph;

/// The steps that are left, but for those that are under way.
pub(super) struct Work {
    graph: Graph<Step>,
    /// How many others each waits for.
    waiting: BTreeMap<Step, usize>,
    /// Those that wait for none.
    ready: BTreeSet<Step>,
}

impl Work {
    /// Everything but what is under way: that is waited for, and not taken again.
    pub(super) fn new(graph: Graph<Step>, under_way: &BTreeSet<Step>) -> Self {
        let left = graph.nodes().filter(|step| !under_way.contains(*step));
        let waiting: BTreeMap<Step, usize> = left.map(|step| (step.clone(), graph.dependencies_of(step).len())).collect();
        let ready = waiting.iter().filter(|(_, count)| **count == 0).map(|(step, _)| step.clone()).collect();
        Work { graph, waiting, ready }
    }

    /// What waits for what.
    pub(super) fn graph(&self) -> &Graph<Step> {
        &self.graph
    }

    /// How many steps are left.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The steps that are left.
    pub(super) fn steps(&self) -> impl Iterator<Item = &Step> {
        self.waiting.keys()
    }

    /// Takes the first step that can be taken and is free.
    pub(super) fn take(&mut self, free: impl Fn(&Step) -> bool) -> Option<Step> {
        let step = self.ready.iter().find(|step| free(step)).cloned()?;
        self.forget(&step);
        Some(step)
    }

    fn forget(&mut self, step: &Step) -> bool {
        self.ready.remove(step);
        self.waiting.remove(step).is_some()
    }

    /// One that `step` waited for is over.
    fn count_down(&mut self, step: &Step) {
        if let Some(count) = self.waiting.get_mut(step) {
            *count -= 1;
            if *count == 0 {
                self.ready.insert(step.clone());
            }
        }
    }

    /// A step is done.
    pub(super) fn done(&mut self, step: &Step) {
        let dependents: Vec<Step> = self.graph.dependents_of(step).into_iter().cloned().collect();
        dependents.iter().for_each(|dependent| self.count_down(dependent));
    }

    /// Counts a step as over for those that wait for it however it ends; gives back those that wait for its success. A
    /// release waits for the success of other releases, as what could not be released still needs what it stands on, and for
    /// the end of everything else.
    fn over(&mut self, step: &Step) -> Vec<Step> {
        let dependents: Vec<Step> = self.graph.dependents_of(step).into_iter().cloned().collect();
        let at_any_end = |dependent: &Step| dependent.phase == Phase::Release && step.phase != Phase::Release;
        let (any, success): (Vec<Step>, Vec<Step>) = dependents.into_iter().partition(at_any_end);
        any.iter().for_each(|dependent| self.count_down(dependent));
        success
    }

    /// Skips everything that needed `failed`, and lets what is released in any case go on. Gives back what was skipped.
    pub(super) fn skip(&mut self, failed: &Step) -> Vec<Step> {
        let mut skipped = Vec::new();
        let mut open = self.over(failed);
        while let Some(step) = open.pop() {
            if self.forget(&step) {
                open.extend(self.over(&step));
                skipped.push(step);
            }
        }
        skipped
    }

    /// Takes out the steps that `which` names, with nothing told to those that wait for them. Gives them back.
    pub(super) fn hold(&mut self, which: impl Fn(&Step) -> bool) -> Vec<Step> {
        let held: Vec<Step> = self.waiting.keys().filter(|step| which(step)).cloned().collect();
        for step in &held {
            self.forget(step);
        }
        held
    }

    /// Gives up every step but the releases. Gives back how many.
    pub(super) fn give_up(&mut self) -> usize {
        let given_up = self.hold(|step| step.phase != Phase::Release);
        given_up.iter().for_each(|step| drop(self.over(step)));
        given_up.len()
    }
}
