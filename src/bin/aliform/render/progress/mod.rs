//! What happens, while it happens. On a terminal a line for each running step that moves, with finished steps above;
//! elsewhere a line for each event.
//!
//! All of it goes to standard error: it accompanies a result and is none, so a result can be piped while it runs.

mod live;
mod words;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use aliform::model::address::Address;
use aliform::model::event::{Event, EventSink};
use indicatif::ProgressDrawTarget;

use self::live::Live;
use self::words::Output;
use super::style::Style;

/// Shows events as they come.
pub(crate) struct Progress {
    style: Style,
    view: Mutex<View>,
}

enum View {
    Live(Live),
    Lines(Lines),
}

struct Lines {
    out: Box<dyn Write + Send>,
    /// The status that was told last, so that the same one is not told again.
    told: BTreeMap<Address, String>,
    output: BTreeMap<Address, Output>,
}

impl Progress {
    /// Writes to standard error; `interactive` says that it is a terminal on which lines may move.
    pub(crate) fn new(style: Style, interactive: bool) -> Self {
        if interactive {
            Progress::on_terminal(style, ProgressDrawTarget::stderr())
        } else {
            Progress::to(style, Box::new(std::io::stderr()))
        }
    }

    fn on_terminal(style: Style, target: ProgressDrawTarget) -> Self {
        if target.is_hidden() {
            return Progress::to(style, Box::new(std::io::stderr()));
        }
        Progress { style, view: Mutex::new(View::Live(Live::new(style, target))) }
    }

    fn to(style: Style, out: Box<dyn Write + Send>) -> Self {
        let lines = Lines { out, told: BTreeMap::new(), output: BTreeMap::new() };
        Progress { style, view: Mutex::new(View::Lines(lines)) }
    }

    /// Writes a line of the command's own without tearing those that move.
    pub(crate) fn note(&self, text: &str) {
        match &mut *self.view.lock().unwrap_or_else(PoisonError::into_inner) {
            View::Live(live) => live.print(text),
            View::Lines(lines) => lines.print(text),
        }
    }
}

impl EventSink for Progress {
    fn emit(&self, event: Event) {
        match &mut *self.view.lock().unwrap_or_else(PoisonError::into_inner) {
            View::Live(live) => live.show(&event),
            View::Lines(lines) => lines.show(&event, &self.style),
        }
    }
}

impl Lines {
    fn print(&mut self, text: &str) {
        // Who reads may be gone; the work goes on all the same.
        let _ = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
    }

    fn show(&mut self, event: &Event, style: &Style) {
        match event {
            Event::StepWaiting { address, status } if self.told.get(address) == Some(status) => return,
            Event::StepWaiting { address, status } => drop(self.told.insert(address.clone(), status.clone())),
            Event::StepFinished { address, .. } | Event::StepFailed { address, .. } | Event::StepDetached { address } => {
                self.told.remove(address);
                self.output.remove(address);
            }
            Event::StepOutput { address, text } => {
                for line in self.output.entry(address.clone()).or_default().add(text) {
                    self.print(&words::output(address, &line, style));
                }
                return;
            }
            _ => {}
        }
        if let Some(text) = words::line(event, style) {
            self.print(&text);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aliform::model::address::Kind;
    use aliform::model::change::Action;
    use indicatif::TermLike;
    use insta::assert_snapshot;

    use super::*;

    /// A file, or a terminal, of which everything is kept that was ever written to it.
    #[derive(Clone, Debug, Default)]
    struct Kept(Arc<Mutex<String>>);

    impl Kept {
        fn text(&self) -> String {
            self.0.lock().unwrap().clone()
        }
    }

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().push_str(std::str::from_utf8(bytes).unwrap());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl TermLike for Kept {
        fn width(&self) -> u16 {
            80
        }
        fn move_cursor_up(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> std::io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> std::io::Result<()> {
            self.write_str(&format!("{text}\n"))
        }
        fn write_str(&self, text: &str) -> std::io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> std::io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn history() -> Vec<Event> {
        let (vpc, release) = (Address::new(Kind::Vpc, "main"), Address::new(Kind::Release, "web-1"));
        let waiting = |status: &str| Event::StepWaiting { address: vpc.clone(), status: status.to_owned() };
        let output = |text: &str| Event::StepOutput { address: release.clone(), text: text.to_owned() };
        let check = |check: &str, passed, detail: &str| Event::StepChecked {
            address: release.clone(),
            check: check.to_owned(),
            passed,
            detail: detail.to_owned(),
        };
        vec![
            Event::RefreshStarted { resources: 2 },
            Event::RefreshFinished { calls: 1 },
            Event::Recovered { address: vpc.clone(), outcome: "its creation was interrupted before it happened".to_owned() },
            Event::ApplyStarted { steps: 3 },
            Event::StepStarted { address: vpc.clone(), action: Action::Create },
            Event::StepIdentified { address: vpc.clone(), id: "vpc-1".to_owned() },
            waiting("status Pending, waiting for Available"),
            waiting("status Pending, waiting for Available"),
            Event::StepFinished { address: vpc.clone(), action: Action::Create, milliseconds: 432 },
            Event::StepStarted { address: release.clone(), action: Action::Update },
            output("installing\n\u{1b}[31mred\u{1b}[0m \u{7}!\n"),
            check("process", true, "runs as 4711"),
            check("port", false, "nothing listens on 8080"),
            output("nstalling\nred \u{7}!\n"),
            Event::StepFailed {
                address: release,
                action: Action::Update,
                error: "the start script failed: exit code 1".to_owned(),
                hint: Some("add `flask` to requirements.txt".to_owned()),
            },
            Event::StepSkipped { address: Address::new(Kind::Release, "web-2"), because: "`release.web-1` failed".to_owned() },
            Event::ApplyFinished { done: 1, failed: 1, skipped: 1 },
        ]
    }

    #[test]
    fn off_a_terminal_every_event_is_a_line_and_nothing_is_said_twice() {
        let kept = Kept::default();
        let progress = Progress::to(Style::plain(80), Box::new(kept.clone()));
        history().into_iter().for_each(|event| progress.emit(event));
        assert_snapshot!(kept.text(), @r"
        looking at 2 resources in the cloud
        ✓ looked with 1 call
        ✓ vpc.main recovered: its creation was interrupted before it happened
        applying 3 steps
          vpc.main creating
          vpc.main is vpc-1
          vpc.main status Pending, waiting for Available
        ✓ vpc.main created in 0.4s
          release.web-1 changing
            release.web-1 | installing
            release.web-1 | red !
        ✓ release.web-1 process: runs as 4711
        ✗ release.web-1 port: nothing listens on 8080
        ✗ release.web-1 could not be changed: the start script failed: exit code 1
            hint: add `flask` to requirements.txt
        - release.web-2 skipped: `release.web-1` failed
        1 done, 1 failed, 1 skipped
        ");
    }

    #[test]
    fn on_a_terminal_finished_steps_stay_and_a_failed_script_leaves_its_last_lines() {
        let kept = Kept::default();
        let progress = Progress::on_terminal(Style::plain(80), ProgressDrawTarget::term_like(Box::new(kept.clone())));
        history().into_iter().for_each(|event| progress.emit(event));
        progress.note("a note");
        let text = kept.text();
        let place = |part: &str| text.find(part).unwrap_or_else(|| panic!("no {part:?} in {text}"));
        assert!(place("✓ vpc.main created in 0.4s") < place("✗ release.web-1 could not be changed"));
        assert!(place("    | installing") < place("✗ release.web-1"));
        assert!(place("hint: add `flask`") < place("a note"));
        assert!(!text.contains("\u{1b}[31m") && !text.contains('\u{7}'), "{text:?}");
    }
}
