//! The end of an application's log, read on its machines, and what comes after it.

use std::time::Duration;

use aliform::model::event::Event;
use aliform::state::contents::State;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::try_join_all;

use crate::args::Logs;
use crate::commands::planning::identity;
use crate::commands::status::{Running, on_machine};
use crate::error::{CommandError, USAGE};
use crate::output::Output;
use crate::workspace::{Client, Workspace};

/// How many lines of each replica are shown, unless told otherwise.
const LINES: u32 = 100;
/// The most bytes of one look: three quarters of what Cloud Assistant keeps, since they travel in Base64.
const MOST: usize = 16 * 1024;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// What begins the answer of a look.
const MARK: &str = "aliform-log ";
/// Looks at the log behind `$OFFSET`, or at its last `$TAIL` lines where that is not known yet: where it is then, and
/// what is there in Base64. A log that became shorter is another one, and read from its beginning.
const LOOK: &str = "
LOG=\"$APP_HOME/app.log\"
SIZE=0
[ ! -f \"$LOG\" ] || SIZE=$(wc -c <\"$LOG\" | tr -d ' ')
if [ \"$OFFSET\" = new ]; then
  printf 'aliform-log %s\\n' \"$SIZE\"
  [ ! -f \"$LOG\" ] || head -c \"$SIZE\" \"$LOG\" | tail -n \"$TAIL\" | tail -c \"$MOST\" | base64 | tr -d '\\n'
else
  [ \"$OFFSET\" -le \"$SIZE\" ] || OFFSET=0
  END=$((SIZE - OFFSET > MOST ? OFFSET + MOST : SIZE))
  printf 'aliform-log %s\\n' \"$END\"
  [ ! -f \"$LOG\" ] || head -c \"$END\" \"$LOG\" | tail -c \"+$((OFFSET + 1))\" | base64 | tr -d '\\n'
fi
";

/// Reads the answer of a look: where the log is, and what is new.
fn read(answer: &str) -> Option<(usize, Vec<u8>)> {
    let (_, answer) = answer.split_once(MARK)?;
    let (offset, text) = answer.split_once('\n')?;
    Some((offset.trim().parse().ok()?, STANDARD.decode(text.trim()).ok()?))
}

/// Shows the logs of these releases.
pub(super) async fn logs(
    workspace: &Workspace,
    state: &State,
    running: &[Running<'_>],
    arguments: &Logs,
    out: &Output,
) -> Result<u8, CommandError> {
    if arguments.follow && out.is_document() {
        return Err(CommandError::new(USAGE, "the log of an application has no end, so following it makes no JSON document")
            .hint("take `--output ndjson`, or leave `--follow` out"));
    }
    let client = workspace.connect(out).await?;
    let several = running.len() > 1;
    let lines = arguments.tail.unwrap_or(LINES);
    if arguments.follow {
        let each = running.iter().map(|running| follow(workspace, &client, state, running, (lines, several), out));
        try_join_all(each).await?;
        return Ok(0);
    }
    let identity = identity(state);
    for running in running {
        let text = format!("LINES_WANTED={lines}\n{}", running.spec.logs_script);
        let (_, output) = on_machine(workspace, &client, &identity, running, "reading the log", &text).await?;
        if several {
            out.note(&format!("== {}", running.address));
        }
        out.text(&output);
    }
    Ok(0)
}

/// Follows the log of one release; never comes back by itself.
async fn follow(
    workspace: &Workspace,
    client: &Client,
    state: &State,
    running: &Running<'_>,
    (lines, several): (u32, bool),
    out: &Output,
) -> Result<(), CommandError> {
    let identity = identity(state);
    let (mut offset, mut pause, mut open) = ("new".to_owned(), FIRST_PAUSE, Vec::new());
    loop {
        // The script that shows the log knows where it is.
        let script = &running.spec.logs_script;
        let text = format!("LINES_WANTED=0\n{script}\nOFFSET={offset} TAIL={lines} MOST={MOST}\n{LOOK}");
        let (_, answer) = on_machine(workspace, client, &identity, running, "reading the log", &text).await?;
        let unreadable = || CommandError::failed(format!("the log of `{}` can't be followed", running.address)).because(answer.trim());
        let (at, bytes) = read(&answer).ok_or_else(unreadable)?;
        offset = at.to_string();
        pause = if bytes.is_empty() { (pause * 3 / 2).min(LONGEST_PAUSE) } else { FIRST_PAUSE };
        open.extend_from_slice(&bytes);
        // Whole lines only: those of several replicas must not get into each other.
        let end = open.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let whole: Vec<u8> = open.drain(..end).collect();
        let text = String::from_utf8_lossy(&whole);
        if text.is_empty() {
            tokio::time::sleep(pause).await;
            continue;
        }
        if out.is_json() {
            out.events().emit(Event::StepOutput { address: running.address.clone(), text: text.into_owned() });
        } else if several {
            out.text(&text.lines().map(|line| format!("{} | {line}\n", running.address.name)).collect::<String>());
        } else {
            out.text(&text);
        }
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_where_the_log_is_and_what_is_new() {
        assert_eq!(read("aliform-log 2\naGk="), Some((2, b"hi".to_vec())));
        assert_eq!(read("aliform: there is no log yet\naliform-log 0\n"), Some((0, Vec::new())));
        assert_eq!(read("sh: not found"), None);
    }
}
