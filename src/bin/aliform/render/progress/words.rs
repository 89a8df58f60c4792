//! Events in words, and the output of scripts line by line.

use aliform::model::address::Address;
use aliform::model::change::Action;
use aliform::model::event::Event;

use crate::render::style::{Role, Style, visible};

/// Lines of a script's output that are remembered.
const REMEMBERED: usize = 400;

/// An action that is under way.
pub(super) fn doing(action: Action) -> &'static str {
    match action {
        Action::Keep => "keeping",
        Action::Create => "creating",
        Action::Update => "changing",
        Action::Replace => "replacing",
        Action::Delete => "deleting",
    }
}

fn done(action: Action) -> &'static str {
    match action {
        Action::Keep => "kept",
        Action::Create => "created",
        Action::Update => "changed",
        Action::Replace => "replaced",
        Action::Delete => "deleted",
    }
}

/// An event as a line; `None` for one that says nothing to a person. A script's output is not here: see [`output`].
pub(super) fn line(event: &Event, style: &Style) -> Option<String> {
    let good = |text: String| format!("{} {text}", style.paint(Role::Added, "✓"));
    let bad = |text: String| format!("{} {text}", style.paint(Role::Error, "✗"));
    Some(match event {
        Event::RefreshStarted { resources: 0 } | Event::StepOutput { .. } => return None,
        Event::RefreshStarted { resources } => format!("looking at {} in the cloud", count(*resources, "resource")),
        Event::RefreshFinished { calls: 0 } => return None,
        Event::RefreshFinished { calls } => good(format!("looked with {}", count(*calls, "call"))),
        Event::Recovered { address, outcome } => good(format!("{address} recovered: {}", visible(outcome))),
        Event::ApplyStarted { steps } => format!("applying {}", count(*steps, "step")),
        Event::StepStarted { address, action } => format!("  {address} {}", doing(*action)),
        Event::StepIdentified { address, id } => format!("  {address} is {}", visible(id)),
        Event::StepWaiting { address, status } => format!("  {address} {}", visible(status)),
        Event::StepChecked { address, check, passed: true, detail } => good(format!("{address} {}: {}", visible(check), visible(detail))),
        Event::StepChecked { address, check, passed: false, detail } => bad(format!("{address} {}: {}", visible(check), visible(detail))),
        Event::StepFinished { address, action, milliseconds } => {
            good(format!("{address} {} in {}", done(*action), duration(*milliseconds)))
        }
        Event::StepDetached { address } => good(format!("{address} begun; it goes on in the cloud")),
        Event::StepFailed { address, action, error, hint } => {
            let hint =
                hint.as_ref().map(|hint| format!("\n    {} {}", style.paint(Role::Hint, "hint:"), visible(hint))).unwrap_or_default();
            bad(format!("{address} could not be {}: {}{hint}", done(*action), visible(error).replace('\n', "\n    ")))
        }
        Event::StepFellBack { address, zone, instance_type, because } => {
            let instead = format!("{address} is made as {} in {} instead, as approved", visible(instance_type), visible(zone));
            format!("{} {instead}: {}", style.paint(Role::Warning, "!"), visible(because))
        }
        Event::StepSkipped { address, because } => format!("{} {address} skipped: {}", style.paint(Role::Warning, "-"), visible(because)),
        Event::ApplyFinished { done, failed, skipped } => format!("{done} done, {failed} failed, {skipped} skipped"),
    })
}

/// A line of a script's output.
pub(super) fn output(address: &Address, line: &str, style: &Style) -> String {
    style.paint(Role::Dim, &format!("    {address} | {line}"))
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// `0.4s`, `1m 05s`.
fn duration(milliseconds: u64) -> String {
    match milliseconds {
        0..60_000 => format!("{}.{}s", milliseconds / 1000, milliseconds % 1000 / 100),
        _ => format!("{}m {:02}s", milliseconds / 60_000, milliseconds % 60_000 / 1000),
    }
}

/// What a script has written so far. A script that fails tells the end of its output once more, for those who did not
/// see it come; that is noticed here.
#[derive(Default)]
pub(super) struct Output {
    lines: Vec<String>,
}

impl Output {
    /// Takes text and gives back its lines, without colours; none if they were here already.
    pub(super) fn add(&mut self, text: &str) -> Vec<String> {
        let clean = anstream::adapter::strip_str(text).to_string();
        let new: Vec<String> = clean.lines().map(|line| visible(line.trim_end_matches('\r')).into_owned()).collect();
        // The first line of the end of an output may be half of one.
        let whole = if new.len() > 1 { &new[1..] } else { &new[..] };
        if self.lines.len() >= new.len() && self.lines.ends_with(whole) && !whole.is_empty() {
            let first = &self.lines[self.lines.len() - new.len()];
            if first.ends_with(&new[0]) {
                return Vec::new();
            }
        }
        self.lines.extend(new.iter().cloned());
        let surplus = self.lines.len().saturating_sub(REMEMBERED);
        self.lines.drain(..surplus);
        new
    }

    /// Its last lines.
    pub(super) fn last(&self, count: usize) -> &[String] {
        &self.lines[self.lines.len().saturating_sub(count)..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        for (milliseconds, text) in [(0, "0.0s"), (432, "0.4s"), (59_999, "59.9s"), (65_000, "1m 05s"), (3_600_000, "60m 00s")] {
            assert_eq!(duration(milliseconds), text);
        }
    }

    #[test]
    fn an_output_told_again_is_noticed_and_a_repeated_line_is_not_lost() {
        let mut output = Output::default();
        assert_eq!(output.add("one\ntwo\nthree\n"), ["one", "two", "three"]);
        assert!(output.add("wo\nthree\n").is_empty(), "the end of it, cut inside a line");
        assert_eq!(output.add("three\nfour\n"), ["three", "four"]);
        assert_eq!(output.last(2), ["three", "four"]);
        assert_eq!(output.last(9).len(), 5);
    }

    #[test]
    fn an_output_is_remembered_only_so_far() {
        let mut output = Output::default();
        output.add(&"line\n".repeat(3 * REMEMBERED));
        assert_eq!(output.last(usize::MAX).len(), REMEMBERED);
    }
}
