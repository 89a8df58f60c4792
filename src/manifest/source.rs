//! The text of a manifest and the places in it. It must never hand out a line with a secret in it: what was found to
//! be one is shown as stars, and before anything could be found, whatever looks like one is.

use std::cell::RefCell;

use super::secrets;
use crate::model::diagnostic::{Diagnostic, Location};

/// A stretch of the text, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// A text that knows its lines.
pub(super) struct Text<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a str,
    /// Where each line starts, in bytes.
    starts: Vec<usize>,
    /// Where secrets stand, ordered; `None` until they were looked for.
    hidden: RefCell<Option<Vec<Span>>>,
}

impl<'a> Text<'a> {
    /// The text of a file, without a byte order mark.
    pub(super) fn new(file: &'a str, text: &'a str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut starts = vec![0];
        let bytes = text.as_bytes();
        for (at, byte) in bytes.iter().enumerate() {
            // YAML ends a line at `\n`, `\r\n` and `\r`.
            if *byte == b'\n' || (*byte == b'\r' && bytes.get(at + 1) != Some(&b'\n')) {
                starts.push(at + 1);
            }
        }
        Text { file, text, starts, hidden: RefCell::new(None) }
    }

    /// The number of the line, from 1, that holds a byte.
    pub(super) fn line(&self, at: usize) -> usize {
        self.starts.partition_point(|start| *start <= at)
    }

    fn line_span(&self, number: usize) -> Span {
        let start = self.starts.get(number - 1).copied().unwrap_or(self.text.len());
        let end = self.starts.get(number).copied().unwrap_or(self.text.len());
        Span { start, end: start + self.text[start..end].trim_end_matches(['\n', '\r']).len() }
    }

    /// Bytes in the line that holds a byte.
    pub(super) fn line_length(&self, at: usize) -> usize {
        let line = self.line_span(self.line(at));
        line.end - line.start
    }

    /// From now on the text in these spans is shown as stars, and no other.
    pub(super) fn hide(&self, mut spans: Vec<Span>) {
        spans.sort();
        spans.dedup();
        *self.hidden.borrow_mut() = Some(spans);
    }

    /// Whether something in the span is shown as stars.
    pub(super) fn hides(&self, span: Span) -> bool {
        self.hidden.borrow().as_deref().is_some_and(|hidden| meets(hidden, span))
    }

    /// The place of a span: its first line, and as much of it as stands there.
    pub(super) fn location(&self, span: Span) -> Location {
        let start = self.boundary(span.start);
        let number = self.line(start);
        let line = self.line_span(number);
        let start = start.clamp(line.start, line.end);
        let meant = &self.text[start..self.boundary(span.end).clamp(start, line.end)];
        Location {
            file: self.file.to_owned(),
            line: u32::try_from(number).unwrap_or(u32::MAX),
            column: count(&self.text[line.start..start]) + 1,
            length: count(meant.trim_end()).max(1),
            text: self.shown(line),
        }
    }

    fn shown(&self, line: Span) -> String {
        let text = &self.text[line.start..line.end];
        let hidden = self.hidden.borrow();
        let Some(spans) = &*hidden else { return printable(&secrets::conceal(text)) };
        if !meets(spans, line) {
            return printable(text);
        }
        let inside = |at: usize| meets(spans, Span { start: at, end: at + 1 });
        let starred: String =
            text.char_indices().map(|(at, c)| if inside(line.start + at) && !c.is_whitespace() { '*' } else { c }).collect();
        printable(&starred)
    }

    /// The nearest start of a character at or before `at`.
    fn boundary(&self, at: usize) -> usize {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

/// Whether one of the spans, which are ordered and apart from each other, has a byte in common with another.
fn meets(spans: &[Span], other: Span) -> bool {
    let before = spans.partition_point(|span| span.start < other.end);
    before.checked_sub(1).is_some_and(|last| spans[last].end > other.start)
}

fn count(text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap_or(u32::MAX)
}

/// The text with a sign for each character that would do something to a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// The complaint with words that fit a terminal: what a user wrote may be long or hold control characters.
pub(super) fn tidy(complaint: Diagnostic) -> Diagnostic {
    let words = |text: String| {
        let text = printable(&text);
        match text.char_indices().nth(1000) {
            Some((at, _)) => format!("{} ...", &text[..at]),
            None => text,
        }
    };
    Diagnostic { message: words(complaint.message), hints: complaint.hints.into_iter().map(words).collect(), ..complaint }
}

/// A complaint about a file as a whole.
pub(super) fn unplaced(code: &'static str, message: String, hints: Vec<String>) -> Diagnostic {
    Diagnostic { code, message, location: None, hints }
}

/// What an input error says, as a fragment.
pub(super) fn reason(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => "there is no such file".to_owned(),
        ErrorKind::IsADirectory => "it is a folder".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// The complaint about a manifest over the limit.
pub(super) fn too_large(file: &str) -> Diagnostic {
    let hint = "a manifest is short; put scripts into files of their own and name them".to_owned();
    unplaced("too-large", format!("`{file}` is larger than 1 MiB, the limit of a manifest"), vec![hint])
}

/// The complaint about bytes that are no text; everything before `valid` is.
pub(super) fn not_utf8(file: &str, bytes: &[u8], valid: usize) -> Diagnostic {
    let before = String::from_utf8_lossy(&bytes[..valid]);
    let line = before.rsplit(['\n', '\r']).next().unwrap_or_default();
    let rest = bytes[valid..].split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    let text = format!("{line}{}", String::from_utf8_lossy(rest));
    let place = Text::new(file, &before).location(Span { start: before.len(), end: before.len() });
    let hint = match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "the file is UTF-16; save it as UTF-8",
        _ => "save the file as UTF-8",
    };
    Diagnostic {
        code: "not-utf8",
        message: format!("byte {valid} of the file is not UTF-8"),
        location: Some(Location { text: printable(&secrets::conceal(&text)), ..place }),
        hints: vec![hint.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_characters_on_every_kind_of_line_end() {
        let text = "a: 1\r\nü: 2\rb: 3\nc: 4";
        let source = Text::new("f", text);
        for (word, line, column) in [("1", 1, 4), ("2", 2, 4), ("b", 3, 1), ("4", 4, 4)] {
            let start = text.find(word).unwrap();
            let location = source.location(Span { start, end: start + 1 });
            assert_eq!((location.line, location.column, location.length), (line, column, 1), "{word}");
        }
        assert_eq!(source.location(Span { start: 7, end: 999 }).text, "ü: 2");
    }

    #[test]
    fn a_hidden_span_is_shown_as_stars_of_the_same_length() {
        let source = Text::new("f", "key: geheim, other: x");
        source.hide(vec![Span { start: 5, end: 11 }]);
        assert_eq!(source.location(Span { start: 13, end: 18 }).text, "key: ******, other: x");
    }
}
