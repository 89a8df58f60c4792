//! Reads the log of a pod as it grows, every line once. The service gives the newest lines between two moments, without
//! saying when each was written; so lines are counted, and no moment is relied on before the log itself has passed it.

use jiff::Timestamp;

use super::error::ResourceError;

/// How many lines are asked for at first. More are asked for as long as that many come: older ones would be missing.
const FIRST: u32 = 2000;
/// The most lines that are asked for.
const MOST: u32 = FIRST << 10;
/// From so many lines on, the old ones are not asked for any more.
const LONG: usize = 1000;
/// How far behind the present the log may be cut: lines arrive late.
const BEHIND: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);

/// What part of a log to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) since: Option<String>,
    pub(super) until: Option<String>,
    pub(super) most: u32,
}

/// How far a log was read.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// Where it is read from; the beginning unless it has become long.
    since: Option<String>,
    /// How many lines after that are known.
    known: usize,
    /// The last known line, to see whether the service let old ones go.
    last: Option<String>,
    /// How long it has to be to be cut again.
    next_cut: usize,
}

fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

impl Cursor {
    /// The lines that came since the last time. `now` is only where to try to cut a long log.
    pub(super) async fn read(
        &mut self,
        now: Timestamp,
        mut ask: impl AsyncFnMut(&Part) -> Result<Vec<String>, ResourceError>,
    ) -> Result<Vec<String>, ResourceError> {
        let mut part = Part { since: self.since.clone(), until: None, most: FIRST };
        let mut lines = ask(&part).await?;
        while lines.len() >= part.most as usize && part.most < MOST {
            part.most *= 2;
            lines = ask(&part).await?;
        }
        let known = self.known_in(&lines);
        let new = lines[known..].to_vec();
        self.known = lines.len();
        self.last = lines.last().cloned().or(self.last.take());
        if lines.len() >= LONG.max(self.next_cut) {
            self.next_cut = lines.len() + LONG;
            self.cut(&moment(now - BEHIND), part.most, &mut ask).await?;
        }
        Ok(new)
    }

    /// How many of these lines are known. Usually as many as before; where the service let old lines go, those up to
    /// the last known one; where that is gone too, none.
    fn known_in(&self, lines: &[String]) -> usize {
        let is_last = |line: &String| Some(line) == self.last.as_ref();
        match self.known {
            0 => 0,
            known if lines.get(known - 1).is_some_and(is_last) => known,
            _ => lines.iter().rposition(is_last).map_or(0, |at| at + 1),
        }
    }

    /// Reads from `at` on from now on. What was written up to `at` grows no more once a later line is there, so what lies
    /// before it can be counted: all up to `at`, without that of `at` itself.
    async fn cut(
        &mut self,
        at: &str,
        most: u32,
        ask: &mut impl AsyncFnMut(&Part) -> Result<Vec<String>, ResourceError>,
    ) -> Result<(), ResourceError> {
        let upto = ask(&Part { since: self.since.clone(), until: Some(at.to_owned()), most }).await?.len();
        if upto >= self.known {
            // No line is later: the log may not have come so far.
            return Ok(());
        }
        let of_it = ask(&Part { since: Some(at.to_owned()), until: Some(at.to_owned()), most }).await?.len();
        let Some(before) = upto.checked_sub(of_it).filter(|before| *before > 0) else { return Ok(()) };
        (self.since, self.known) = (Some(at.to_owned()), self.known - before);
        self.next_cut = self.known + LONG;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    /// A log as the service keeps it, and how many lines were sent in all.
    #[derive(Default)]
    struct Log {
        lines: RefCell<Vec<(i64, String)>>,
        sent: Cell<usize>,
        asked: Cell<usize>,
    }

    impl Log {
        fn write(&self, second: i64, number: usize, text: impl Fn(usize) -> String) {
            self.lines.borrow_mut().extend((0..number).map(|i| (second, text(i))));
        }

        async fn read(&self, cursor: &mut Cursor, second: i64) -> Vec<String> {
            cursor
                .read(Timestamp::from_second(second).unwrap(), async |part: &Part| {
                    let second = |text: &Option<String>| text.as_ref().map(|text| text.parse::<Timestamp>().unwrap().as_second());
                    let (since, until) = (second(&part.since), second(&part.until));
                    let lines = self.lines.borrow();
                    let fits = |at: i64| since.is_none_or(|since| since <= at) && until.is_none_or(|until| at <= until);
                    let mut lines: Vec<String> = lines.iter().filter(|(at, _)| fits(*at)).map(|(_, text)| text.clone()).collect();
                    lines.drain(..lines.len().saturating_sub(part.most as usize));
                    self.sent.set(self.sent.get() + lines.len());
                    self.asked.set(self.asked.get() + 1);
                    Ok(lines)
                })
                .await
                .unwrap()
        }
    }

    fn wait<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[test]
    fn lines_that_look_alike_come_as_often_as_they_were_written() {
        let (log, mut cursor) = (Log::default(), Cursor::default());
        assert!(wait(log.read(&mut cursor, 0)).is_empty());
        for (second, number) in [(1, 3), (1, 2), (2, 0), (5, 7000), (9, 1)] {
            log.write(second, number, |_| ".".to_owned());
            assert_eq!(wait(log.read(&mut cursor, second)).len(), number, "at {second}");
        }
    }

    #[test]
    fn a_long_log_is_told_whole_and_not_sent_anew_each_time() {
        // The clock here is wrong by as much as it likes.
        for skew in [-100_000, -7, 0, 100_000] {
            let (log, mut cursor) = (Log::default(), Cursor::default());
            let mut told = Vec::new();
            for second in 0..400 {
                log.write(second, 37, |i| format!("{}", i % 3));
                told.extend(wait(log.read(&mut cursor, second + skew)));
            }
            let all: Vec<String> = log.lines.borrow().iter().map(|(_, text)| text.clone()).collect();
            assert_eq!(told, all, "with a skew of {skew}");
            if skew == 0 {
                assert!(log.sent.get() < all.len() * 40, "{} lines were sent for {}", log.sent.get(), all.len());
                assert!(log.asked.get() < 500);
            }
        }
    }

    #[test]
    fn what_the_service_let_go_is_not_waited_for() {
        let (log, mut cursor) = (Log::default(), Cursor::default());
        log.write(0, 10, |i| i.to_string());
        assert_eq!(wait(log.read(&mut cursor, 0)).len(), 10);
        log.lines.borrow_mut().drain(..8);
        log.write(1, 2, |i| format!("new {i}"));
        assert_eq!(wait(log.read(&mut cursor, 1)), ["new 0", "new 1"]);
    }
}
