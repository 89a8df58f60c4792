//! What a run of a job wrote: all of it or its end, and what comes until the run is over. It ends nothing and fetches
//! nothing.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use aliform::model::address::Address;
use aliform::model::event::{Event, EventSink};
use aliform::resolve::bundles::Bundles;
use aliform::resources::kind::Context;
use aliform::resources::registry;
use aliform::resources::runs::{Standing, Telling};
use futures_util::future::join_all;
use serde::Serialize;
use serde_json::Value as Json;

use crate::args::Logs;
use crate::commands::planning::identity;
use crate::commands::run::approved::Found;
use crate::commands::run::resume::warn_of_secrets;
use crate::error::CommandError;
use crate::output::Output;
use crate::workspace::{Client, Workspace, clock, random_hex};

/// What programs are told in the end.
#[derive(Serialize)]
struct Log {
    /// The stack.
    stack: String,
    /// Its runs.
    runs: Vec<Line>,
    /// The command that brings them to their end, where there is one to go on with.
    resume: Option<String>,
}

/// One run.
#[derive(Serialize)]
pub(crate) struct Line {
    /// Which.
    pub(crate) address: Address,
    /// The job.
    pub(crate) job: String,
    /// `coming`, `running`, `over`, `gone`, or `unknown` where nobody answers for it.
    pub(crate) state: &'static str,
    /// What it exited with, if that is known.
    pub(crate) exit_code: Option<i64>,
    /// The status of what comes, and why nothing comes of what is gone.
    pub(crate) because: Option<String>,
    /// What it wrote; in one document only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) output: Option<String>,
}

impl Line {
    pub(crate) fn new(address: &Address, job: String, standing: &Standing) -> Self {
        let (state, exit_code, because) = match standing {
            Standing::Coming(status) => ("coming", None, Some(status.clone())),
            Standing::Running => ("running", None, None),
            Standing::Over(code) => ("over", *code, None),
            Standing::Gone(because) => ("gone", None, Some(because.clone())),
        };
        Line { address: address.clone(), job, state, exit_code, because, output: None }
    }

    /// The same in words.
    pub(crate) fn words(&self) -> String {
        match (self.state, self.exit_code, &self.because) {
            ("over", Some(code), _) => format!("over: exit code {code}"),
            ("coming", _, Some(status)) => format!("not running yet: {status}"),
            (state @ ("gone" | "unknown"), _, Some(because)) => format!("{state}: {because}"),
            (state, ..) => state.to_owned(),
        }
    }
}

/// What is known of a run.
struct Known<'a> {
    address: &'a Address,
    id: &'a str,
    spec: &'a Json,
    region: &'a str,
    /// How it ended, if somebody brought it to its end.
    ended: Option<Standing>,
}

fn known<'a>(found: &'a Found, address: &'a Address) -> Option<Known<'a>> {
    if let Some(resource) = found.state.resources.get(address) {
        let over = !resource.attributes["ended_at"].is_null();
        let ended = over.then(|| Standing::Over(resource.attributes["exit_code"].as_i64()));
        return Some(Known { address, id: &resource.id, spec: &resource.spec, region: &resource.region, ended });
    }
    let intent = found.state.open.get(address)?;
    Some(Known { address, id: intent.id.as_deref()?, spec: &intent.spec, region: &intent.region, ended: None })
}

/// Whether each of its runs has come to its end, and somebody has seen it.
pub(super) fn is_over(found: &Found) -> bool {
    found.runs.iter().all(|run| known(found, run).is_some_and(|known| known.ended.is_some()))
}

/// Asks about a run: how it is, or with `telling` what it wrote too.
async fn ask(
    workspace: &Workspace,
    client: &Client,
    found: &Found,
    known: &Known<'_>,
    events: &dyn EventSink,
    telling: Option<&Telling<'_>>,
) -> Result<Standing, CommandError> {
    let (identity, clock, token, nothing) = (identity(&found.state), clock(), random_hex()?, Bundles::default());
    let context = Context {
        cloud: client,
        clock: &*clock,
        region: known.region,
        identity: &identity,
        address: known.address,
        // One of its own: whoever waits for the run asks with another.
        token: &token,
        deadline: None,
        events,
        secrets: workspace,
        artifacts: &nothing,
    };
    let Some(run) = registry::run(known.address.kind) else { return Ok(Standing::Over(None)) };
    Ok(match telling {
        Some(telling) => run.tell(&context, known.id, known.spec, telling).await?,
        None => run.look(&context, known.id, known.spec).await?,
    })
}

/// How the runs of a stack are. One that can't be asked about says why.
pub(crate) async fn look(workspace: &Workspace, client: &Client, found: &Found) -> Vec<Line> {
    let silent = aliform::model::event::Silent;
    let lines = found.runs.iter().filter_map(|address| known(found, address)).map(async |known| {
        let standing = match &known.ended {
            Some(ended) => Ok(ended.clone()),
            None => ask(workspace, client, found, &known, &silent, None).await,
        };
        let job = found.job(known.address);
        standing.map_or_else(
            |error| Line { state: "unknown", because: Some(error.message), ..Line::new(known.address, job.clone(), &Standing::Running) },
            |standing| Line::new(known.address, job.clone(), &standing),
        )
    });
    join_all(lines).await
}

/// Shows outputs as they come.
struct Sink<'a> {
    out: &'a Output,
    /// How many of the last lines of what there is.
    tail: Option<usize>,
    /// Whether each line says which run wrote it.
    several: bool,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// What there is and was not shown yet, as long as nobody knows where it ends.
    waiting: BTreeMap<Address, Vec<String>>,
    caught_up: BTreeMap<Address, bool>,
    /// All that was shown, for one document.
    shown: BTreeMap<Address, String>,
}

impl Sink<'_> {
    /// What there was of a run has come.
    fn caught_up(&self, address: &Address) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.caught_up.insert(address.clone(), true) == Some(true) {
            return;
        }
        let lines = seen.waiting.remove(address).unwrap_or_default();
        let from = lines.len().saturating_sub(self.tail.unwrap_or(usize::MAX));
        self.show(&mut seen, address, &lines[from..]);
    }

    fn show(&self, seen: &mut Seen, address: &Address, lines: &[String]) {
        if lines.is_empty() {
            return;
        }
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        if self.out.is_document() {
            seen.shown.entry(address.clone()).or_default().push_str(&text);
        } else if self.out.is_json() {
            self.out.events().emit(Event::StepOutput { address: address.clone(), text });
        } else if self.several {
            self.out.text(&lines.iter().map(|line| format!("{} | {line}\n", address.name)).collect::<String>());
        } else {
            self.out.text(&text);
        }
    }
}

impl EventSink for Sink<'_> {
    fn emit(&self, event: Event) {
        let Event::StepOutput { address, text } = event else { return };
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if self.tail.is_none() || seen.caught_up.contains_key(&address) {
            self.show(&mut seen, &address, &lines);
        } else {
            seen.waiting.entry(address).or_default().extend(lines);
        }
    }
}

/// Shows what the runs of a stack wrote.
pub(super) async fn logs(workspace: &Workspace, found: &Found, arguments: &Logs, out: &Output) -> Result<u8, CommandError> {
    let client = workspace.connect(out).await?;
    warn_of_secrets(workspace, &found.state, out);
    let tail = arguments.tail.map(|lines| usize::try_from(lines).unwrap_or(usize::MAX));
    let sink = Sink { out, tail, several: found.runs.len() > 1, seen: Mutex::default() };
    let told = found.runs.iter().filter_map(|address| known(found, address)).map(async |known| {
        let caught_up = || sink.caught_up(known.address);
        let telling = Telling { follow: arguments.follow && known.ended.is_none(), caught_up: &caught_up };
        let standing = ask(workspace, &client, found, &known, &sink, Some(&telling)).await;
        sink.caught_up(known.address);
        Ok::<_, CommandError>(Line::new(known.address, found.job(known.address), &known.ended.clone().map_or(standing, Ok)?))
    });
    let lines: Result<Vec<Line>, CommandError> = join_all(told).await.into_iter().collect();
    let mut lines = lines?;
    let program = out.program();
    let resume = found.resumable.then(|| format!("{program} run --resume {}", found.stack));
    if out.is_json() {
        let shown = std::mem::take(&mut sink.seen.lock().unwrap_or_else(PoisonError::into_inner).shown);
        for line in lines.iter_mut().filter(|_| out.is_document()) {
            line.output = Some(shown.get(&line.address).cloned().unwrap_or_default());
        }
        out.json(&Log { stack: found.stack.clone(), runs: lines, resume });
        return Ok(0);
    }
    let over = lines.iter().all(|line| matches!(line.state, "over" | "gone"));
    for line in lines.iter().filter(|_| arguments.follow || over) {
        out.note(&format!("Job `{}` is {}.", line.job, line.words()));
    }
    if let Some(resume) = resume.filter(|_| over) {
        let what = if lines.iter().any(|line| line.state == "over") { "fetches its outputs and releases" } else { "releases" };
        out.note(&format!("What is left of it is still there: `{resume}` {what} everything."));
    }
    Ok(0)
}
