//! Lines that move on a terminal: one for each running step, what is finished above them.

use std::collections::BTreeMap;
use std::time::Duration;

use aliform::model::address::Address;
use aliform::model::event::Event;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::words::{self, Output};
use crate::render::style::{Role, Style, columns, visible};

/// Lines of a script's output under its step.
const SHOWN: usize = 3;
/// Lines of a failed script's output that stay.
const KEPT: usize = 20;
/// How often a line moves.
const TICK: Duration = Duration::from_millis(100);

struct Step {
    bar: ProgressBar,
    status: String,
    output: Output,
}

/// The moving lines.
pub(super) struct Live {
    style: Style,
    lines: MultiProgress,
    refresh: Option<ProgressBar>,
    steps: BTreeMap<Address, Step>,
}

impl Live {
    pub(super) fn new(style: Style, target: ProgressDrawTarget) -> Self {
        Live { style, lines: MultiProgress::with_draw_target(target), refresh: None, steps: BTreeMap::new() }
    }

    /// A line above those that move.
    pub(super) fn print(&self, text: &str) {
        // A terminal that went away stops nothing.
        let _ = self.lines.println(text);
    }

    fn spinner(&self, name: &str) -> ProgressBar {
        let look = ProgressStyle::with_template("{spinner} {prefix} {elapsed} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = self.lines.add(ProgressBar::new_spinner().with_style(look).with_prefix(name.to_owned()));
        bar.enable_steady_tick(TICK);
        bar
    }

    pub(super) fn show(&mut self, event: &Event) {
        match event {
            Event::RefreshStarted { resources } if *resources > 0 => self.refresh = Some(self.spinner("looking at the cloud")),
            Event::RefreshStarted { .. } | Event::ApplyStarted { .. } => {}
            Event::RefreshFinished { .. } => {
                if let Some(bar) = self.refresh.take() {
                    bar.finish_and_clear();
                }
            }
            Event::StepStarted { address, action } => {
                let bar = self.spinner(&self.style.paint(Role::Strong, &address.to_string()));
                let step = Step { bar, status: words::doing(*action).to_owned(), output: Output::default() };
                self.steps.insert(address.clone(), step);
                self.update(address, |_| {});
            }
            Event::StepIdentified { .. } => {}
            Event::StepWaiting { address, status } => self.update(address, |step| step.status = visible(status).into_owned()),
            Event::StepOutput { address, text } => self.update(address, |step| drop(step.output.add(text))),
            Event::StepFinished { address, .. } | Event::StepDetached { address } => {
                self.end(address);
                self.tell(event);
            }
            Event::StepFailed { address, .. } => {
                if let Some(step) = self.end(address) {
                    for line in step.output.last(KEPT) {
                        self.print(&self.style.paint(Role::Dim, &format!("    | {line}")));
                    }
                }
                self.tell(event);
            }
            Event::ApplyFinished { .. } => {
                for address in self.steps.keys().cloned().collect::<Vec<_>>() {
                    self.end(&address);
                }
            }
            Event::StepFellBack { address, .. } => {
                self.end(address);
                self.tell(event);
            }
            Event::Recovered { .. } | Event::StepChecked { .. } | Event::StepSkipped { .. } => self.tell(event),
        }
    }

    fn tell(&self, event: &Event) {
        if let Some(text) = words::line(event, &self.style) {
            self.print(&text);
        }
    }

    fn end(&mut self, address: &Address) -> Option<Step> {
        let step = self.steps.remove(address)?;
        step.bar.finish_and_clear();
        self.lines.remove(&step.bar);
        Some(step)
    }

    /// Changes a running step and what its lines say.
    fn update(&mut self, address: &Address, change: impl FnOnce(&mut Step)) {
        let Some(step) = self.steps.get_mut(address) else { return };
        change(step);
        let width = self.style.width.saturating_sub(8).max(20);
        let room = width.saturating_sub(columns(&address.to_string()) + 4).max(12);
        let mut text = clip(&step.status, room);
        for line in step.output.last(SHOWN) {
            text += &format!("\n{}", self.style.paint(Role::Dim, &format!("    | {}", clip(line, width))));
        }
        step.bar.set_message(text);
    }
}

/// The beginning of a line as far as it fits: a moving line that wraps can't be drawn over.
fn clip(text: &str, room: usize) -> String {
    let text = text.replace('\t', "    ");
    if columns(&text) <= room {
        return text;
    }
    let mut short = String::new();
    for c in text.chars() {
        if columns(&short) + columns(c.encode_utf8(&mut [0; 4])) + 1 > room {
            break;
        }
        short.push(c);
    }
    short + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moving_line_never_wraps() {
        assert_eq!(clip("short", 10), "short");
        assert_eq!(clip("a rather long line", 10), "a rather …");
        assert!(columns(&clip(&"应用".repeat(40), 21)) <= 21);
    }
}
