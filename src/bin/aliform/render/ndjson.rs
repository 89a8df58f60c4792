//! One JSON object a line, for programs that follow along. Every line says its `type` and when it was written:
//! `event` while work goes on, `plan`, `result`, and `error`, which is the last.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use aliform::model::clock::Clock;
use aliform::model::diagnostic::Diagnostic;
use aliform::model::event::{Event, EventSink};
use aliform::plan::saved::Plan;
use jiff::Timestamp;
use serde::Serialize;

#[derive(Serialize)]
struct Line<'a, T: Serialize> {
    r#type: &'static str,
    at: &'a Timestamp,
    #[serde(flatten)]
    content: T,
}

#[derive(Serialize)]
struct PlanContent<'a> {
    plan: &'a Plan,
}

#[derive(Serialize)]
struct ResultContent<'a, T: Serialize> {
    result: &'a T,
}

/// An error as programs see it.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct ErrorContent<'a> {
    /// The exit code, from which the kind of error is known.
    pub(crate) code: u8,
    /// What is wrong; empty if `diagnostics` say it all.
    pub(crate) message: &'a str,
    /// Why, outermost first.
    pub(crate) causes: &'a [String],
    /// What to do.
    pub(crate) hints: &'a [String],
    /// Complaints about the manifest.
    pub(crate) diagnostics: &'a [Diagnostic],
}

fn line<T: Serialize>(r#type: &'static str, at: &Timestamp, content: T) -> serde_json::Result<String> {
    serde_json::to_string(&Line { r#type, at, content }).map(|text| text + "\n")
}

/// A plan as a line; `plan` in it is what `aliform plan -o` saves.
pub(crate) fn plan_line(plan: &Plan, at: &Timestamp) -> serde_json::Result<String> {
    line("plan", at, PlanContent { plan })
}

/// What a command comes to as a line.
pub(crate) fn result_line(result: &impl Serialize, at: &Timestamp) -> serde_json::Result<String> {
    line("result", at, ResultContent { result })
}

/// An error as a line.
pub(crate) fn error_line(error: &ErrorContent<'_>, at: &Timestamp) -> serde_json::Result<String> {
    line("error", at, error)
}

/// Writes each event as a line, at once.
pub(crate) struct Ndjson<W: Write> {
    clock: Arc<dyn Clock>,
    out: Mutex<W>,
}

impl<W: Write> Ndjson<W> {
    /// Lines go to `out`, times come from `clock`.
    pub(crate) fn new(out: W, clock: Arc<dyn Clock>) -> Self {
        Ndjson { clock, out: Mutex::new(out) }
    }
}

impl<W: Write + Send> EventSink for Ndjson<W> {
    fn emit(&self, event: Event) {
        // Who reads may be gone; the work goes on all the same, so a line that can't be written is dropped.
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(line) = line("event", &self.clock.now(), &event) {
            let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
        }
    }
}

#[cfg(test)]
mod tests {
    use aliform::model::address::{Address, Kind};
    use aliform::model::change::Action;

    use super::*;

    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> Timestamp {
            "2026-11-21T12:00:00Z".parse().unwrap()
        }
    }

    #[test]
    fn an_event_is_one_line_with_its_time() {
        let sink = Ndjson::new(Vec::new(), Arc::new(Noon));
        let address = Address::new(Kind::Vpc, "main");
        sink.emit(Event::StepStarted { address: address.clone(), action: Action::Create });
        sink.emit(Event::StepOutput { address, text: "two\nlines\n".to_owned() });
        let text = String::from_utf8(sink.out.into_inner().unwrap()).unwrap();
        assert_eq!(
            text,
            "{\"type\":\"event\",\"at\":\"2026-11-21T12:00:00Z\",\"event\":\"step_started\",\"address\":\"vpc.main\",\"action\":\"create\"}\n\
             {\"type\":\"event\",\"at\":\"2026-11-21T12:00:00Z\",\"event\":\"step_output\",\"address\":\"vpc.main\",\"text\":\"two\\nlines\\n\"}\n"
        );
    }

    #[test]
    fn a_reader_who_left_stops_nothing() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        Ndjson::new(Closed, Arc::new(Noon)).emit(Event::RefreshFinished { calls: 3 });
    }

    #[test]
    fn a_plan_in_a_line_can_be_read_back() {
        let plan = crate::render::samples::Sample::shop(1).plan();
        let line = plan_line(&plan, &Noon.now()).unwrap();
        assert_eq!(line.lines().count(), 1);
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(serde_json::from_value::<Plan>(json["plan"].clone()).unwrap(), plan);
    }

    #[test]
    fn an_error_and_a_result_are_lines_too() {
        let content =
            ErrorContent { code: 3, message: "too expensive", causes: &[], hints: &["ask for less".to_owned()], diagnostics: &[] };
        let line = error_line(&content, &Noon.now()).unwrap();
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&json["type"], &json["code"], &json["hints"][0]), (&"error".into(), &3.into(), &"ask for less".into()));
        let result = result_line(&serde_json::json!({ "done": 3 }), &Noon.now()).unwrap();
        assert_eq!(result, "{\"type\":\"result\",\"at\":\"2026-11-21T12:00:00Z\",\"result\":{\"done\":3}}\n");
    }
}
