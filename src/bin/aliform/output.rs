//! Where everything is shown: results on standard output, what accompanies them on standard error, in the form that
//! was asked for. A reader that goes away is no error.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write, stderr, stdout};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use aliform::apply::run::Outcome;
use aliform::apply::sweep::Swept;
use aliform::model::clock::{Clock, SystemClock};
use aliform::model::event::{Event, EventSink};
use aliform::model::offer::Comparison;
use aliform::plan::saved::Plan;
use aliform::state::contents::State;
use serde::Serialize;
use serde_json::Value as Json;

use crate::args::{Format, Global};
use crate::commands::outputs;
use crate::error::CommandError;
use crate::render::detached::{Detached, detached};
use crate::render::jobs::Job;
use crate::render::ndjson::{self, ErrorContent, Ndjson};
use crate::render::offers::comparison;
use crate::render::orphans::{Document, Listing, orphans, swept};
use crate::render::plan::{PlanOptions, plan};
use crate::render::progress::Progress;
use crate::render::receipt::{Receipt, receipt};
use crate::render::style::Style;
use crate::render::summary::{Summary, summary};
use crate::render::{diagnostic, json, table};

/// Columns where nobody says how wide the terminal is.
const WIDTH: usize = 100;

/// The outputs of a command.
pub(crate) struct Output {
    format: Format,
    /// For standard output.
    style: Style,
    /// For standard error.
    aside: Style,
    events: Events,
    /// How the next commands begin.
    program: String,
    local: bool,
    full: bool,
    /// Whether standard output has a result.
    answered: AtomicBool,
}

enum Events {
    Shown(Progress),
    Lines(Ndjson<io::Stdout>),
    /// A JSON document is written at the end; nothing before it.
    None,
}

impl EventSink for Events {
    fn emit(&self, event: Event) {
        match self {
            Events::Shown(progress) => progress.emit(event),
            Events::Lines(lines) => lines.emit(event),
            Events::None => {}
        }
    }
}

/// Reads a variable that says how to show things.
#[expect(clippy::disallowed_methods, reason = "the binary owns the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn write(out: &mut impl Write, text: &str) -> io::Result<()> {
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}

impl Output {
    /// From the options and the terminal.
    pub(crate) fn new(global: &Global) -> Self {
        let colours = variable("NO_COLOR").is_none() && variable("TERM").is_none_or(|terminal| terminal != "dumb");
        let width = rustix::termios::tcgetwinsize(stdout()).map_or(WIDTH, |size| usize::from(size.ws_col));
        let style = |terminal: bool| Style { colour: colours && terminal, width: if width == 0 { WIDTH } else { width } };
        let aside = style(stderr().is_terminal());
        let events = match global.output {
            Format::Human => {
                Events::Shown(Progress::new(aside, stderr().is_terminal() && variable("TERM").is_none_or(|terminal| terminal != "dumb")))
            }
            Format::Ndjson => Events::Lines(Ndjson::new(stdout(), crate::workspace::clock())),
            Format::Json => Events::None,
        };
        let mut program = "aliform".to_owned();
        if let Some(directory) = &global.directory {
            program += &format!(" -C {}", directory.display());
        }
        if global.file != std::path::Path::new("aliform.yaml") {
            program += &format!(" -f {}", global.file.display());
        }
        if global.local {
            program += " --local";
        }
        let local = global.local || variable("ALIFORM_CLOUD").is_some_and(|cloud| cloud == "local");
        Output {
            format: global.output,
            style: style(stdout().is_terminal()),
            aside,
            events,
            program,
            local,
            full: global.full,
            answered: AtomicBool::new(false),
        }
    }

    /// Who is told what happens.
    pub(crate) fn events(&self) -> &dyn EventSink {
        &self.events
    }

    /// Whether JSON is asked for, in one form or the other.
    pub(crate) fn is_json(&self) -> bool {
        self.format != Format::Human
    }

    /// Whether the result is one JSON document.
    pub(crate) fn is_document(&self) -> bool {
        self.format == Format::Json
    }

    /// How the next commands begin.
    pub(crate) fn program(&self) -> &str {
        &self.program
    }

    /// Text as it is, for people and programs alike.
    pub(crate) fn text(&self, text: &str) {
        self.answered.store(true, Ordering::Relaxed);
        let _ = write(&mut stdout().lock(), text);
    }

    /// A question, without an end of line.
    pub(crate) fn prompt(&self, question: &str) {
        let _ = write!(stderr(), "{question}").and_then(|()| stderr().flush());
    }

    /// A remark beside the result.
    pub(crate) fn note(&self, text: &str) {
        match &self.events {
            Events::Shown(progress) => progress.note(text),
            Events::Lines(_) | Events::None => drop(writeln!(stderr(), "{text}")),
        }
    }

    /// A result: a sentence for people, a value for programs.
    pub(crate) fn result(&self, text: &str, value: &Json) {
        if self.is_json() { self.json(value) } else { self.text(&format!("{}\n", text.trim_end_matches('\n'))) }
    }

    /// A value, whatever form is asked for.
    pub(crate) fn json(&self, value: &impl Serialize) {
        let text = match self.format {
            Format::Ndjson => ndjson::result_line(value, &SystemClock.now()),
            _ => json::pretty(value),
        };
        self.serialised(text);
    }

    fn serialised(&self, text: serde_json::Result<String>) {
        match text {
            Ok(text) => self.text(&text),
            Err(error) => drop(writeln!(stderr(), "error: the result has no JSON form: {error}")),
        }
    }

    /// Rows under a head; an array of objects for programs.
    pub(crate) fn table(&self, head: &[&str], rows: Vec<Vec<String>>) {
        self.tables(&[(head, rows)]);
    }

    /// Several of them one after another; one array for programs.
    pub(crate) fn tables(&self, tables: &[(&[&str], Vec<Vec<String>>)]) {
        if self.is_json() {
            let object = |head: &[&str], row: &[String]| {
                head.iter().zip(row).map(|(key, value)| ((*key).to_owned(), Json::from(value.clone()))).collect()
            };
            let objects = tables.iter().flat_map(|(head, rows)| rows.iter().map(|row| object(head, row)));
            self.json(&objects.collect::<Vec<serde_json::Map<String, Json>>>());
        } else {
            let texts: Vec<String> = tables.iter().map(|(head, rows)| table::table(head, rows, &self.style)).collect();
            self.text(&texts.join("\n"));
        }
    }

    /// A plan; decisions that the state holds already are not told again.
    pub(crate) fn plan(&self, shown: &Plan, state: &State) {
        // As with every result, a reader that goes away is no error.
        let _ = self.planned(shown, state, false);
    }

    /// A plan that waits for approval; what can't be shown can't be approved. Beside a result that is one document it is
    /// for people, and accompanies it.
    pub(crate) fn proposal(&self, shown: &Plan, state: &State) -> Result<(), CommandError> {
        self.planned(shown, state, true).map_err(|error| {
            CommandError::failed("the plan can't be shown, so nothing was approved and nothing was changed").because(error)
        })
    }

    fn planned(&self, shown: &Plan, state: &State, aside: bool) -> io::Result<()> {
        let options = PlanOptions { full: self.full, known: Some(&state.decisions) };
        match self.format {
            Format::Human => write(&mut stdout().lock(), &plan(shown, &options, &self.style)),
            Format::Json if aside => write(&mut stderr().lock(), &plan(shown, &options, &self.aside)),
            Format::Json => {
                self.answered.store(true, Ordering::Relaxed);
                write(&mut stdout().lock(), &json::pretty(shown)?)
            }
            Format::Ndjson => write(&mut stdout().lock(), &ndjson::plan_line(shown, &SystemClock.now())?),
        }
    }

    /// Comparisons, by what they are for.
    pub(crate) fn offers(&self, shown: &BTreeMap<String, Comparison>) {
        if self.is_json() {
            return self.json(shown);
        }
        let tables: Vec<String> = shown.iter().filter_map(|(name, shown)| comparison(name, shown, &self.style)).collect();
        self.text(&tables.join("\n"));
    }

    /// The end of an apply.
    pub(crate) fn applied(&self, plan: &Plan, outcome: &Outcome, state: &State, jobs: Vec<Job>) {
        let end = Summary::new(plan, outcome, state, jobs, outputs::values(state));
        match self.format {
            Format::Human => self.text(&format!("\n{}", summary(&end, &self.program, !self.local, &self.style))),
            _ => self.json(&end),
        }
    }

    /// A run that goes on.
    pub(crate) fn detached(&self, shown: &Detached) {
        match self.format {
            Format::Human => self.text(&format!("\n{}", detached(shown, &self.style))),
            _ => self.json(shown),
        }
    }

    /// The end of a run.
    pub(crate) fn receipt(&self, shown: &Receipt) {
        match self.format {
            Format::Human => self.text(&format!("\n{}", receipt(shown, &self.style))),
            _ => self.json(shown),
        }
    }

    /// What was left behind in the cloud. Beside a result that is one document it is for people, and accompanies it.
    pub(crate) fn orphans(&self, shown: &Listing) {
        match self.format {
            Format::Human => self.text(&orphans(shown, &self.program, &self.style)),
            Format::Json => drop(stderr().write_all(orphans(shown, &self.program, &self.aside).as_bytes())),
            Format::Ndjson => self.json(shown),
        }
    }

    /// The end of a sweep; nothing was deleted without one.
    pub(crate) fn swept(&self, found: &Listing, end: Option<&Swept>) {
        match (self.format, end) {
            (Format::Json, swept) => self.json(&Document { found, swept }),
            (Format::Human, Some(end)) => self.text(&swept(end)),
            (Format::Ndjson, Some(end)) => self.json(end),
            (_, None) => {}
        }
    }

    /// A command that did not succeed; gives back its exit code. Programs get a result or an error, never both as documents.
    pub(crate) fn fail(&self, error: &CommandError) -> ExitCode {
        let content = ErrorContent {
            code: error.code,
            message: &error.message,
            causes: &error.causes,
            hints: &error.hints,
            diagnostics: &error.diagnostics,
        };
        match self.format {
            Format::Ndjson => self.serialised(ndjson::error_line(&content, &SystemClock.now())),
            Format::Json if !self.answered.load(Ordering::Relaxed) => self.json(&serde_json::json!({ "error": content })),
            Format::Json | Format::Human => {}
        }
        let mut text = String::new();
        if !error.diagnostics.is_empty() {
            text += &diagnostic::diagnostics(&error.diagnostics, &self.aside);
        }
        if !error.message.is_empty() {
            text += &diagnostic::error(&error.message, &error.causes, &error.hints, &self.aside);
        }
        let _ = stderr().write_all(text.as_bytes());
        ExitCode::from(error.code)
    }
}
