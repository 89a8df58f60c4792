//! Tells what a job writes as it comes, whole lines only, so that a view never shows half of one.

use super::kind::Context;
use crate::model::event::Event;

/// The most bytes that are told at once.
const PART: usize = 256 * 1024;

/// The output of one job.
#[derive(Default)]
pub(super) struct Teller {
    /// The beginning of a line that has not come to its end.
    open: Vec<u8>,
}

impl Teller {
    /// Tells what came to its line's end with `bytes`; with the last of them everything.
    pub(super) fn tell(&mut self, context: &Context<'_>, bytes: &[u8], last: bool) {
        let mut parts = bytes.chunks(PART).peekable();
        while let Some(part) = parts.next_if(|part| part.len() == PART) {
            self.tell_part(context, part, false);
        }
        self.tell_part(context, parts.next().unwrap_or_default(), last);
    }

    fn tell_part(&mut self, context: &Context<'_>, bytes: &[u8], last: bool) {
        self.open.extend_from_slice(bytes);
        let end = if last { self.open.len() } else { self.open.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1) };
        let whole: Vec<u8> = self.open.drain(..end).collect();
        if !whole.is_empty() {
            let text = String::from_utf8_lossy(&whole).into_owned();
            context.events.emit(Event::StepOutput { address: context.address.clone(), text });
        }
    }
}
