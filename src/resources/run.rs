//! One run of a job's script on an instance. It goes on in the background of the machine, so that neither the time that
//! Cloud Assistant gives a command nor the end of this program ends it; whoever looks next finds it by its digest.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::error::ResourceError;
use super::home::{self, Home, Parcel};
use super::kind::{Artifacts, Context, Ending, ReadContext, ResourceKind, needed};
use super::part::{self, Part};
use super::runs::{self, Runs, Standing, Telling};
use super::script::{self, Script};
use super::secrets::{self, Hiding};
use super::teller::Teller;
use crate::cloud::call::Link;
use crate::cloud::oss;
use crate::model::address::{Address, Kind};
use crate::model::change::Effect;
use crate::model::event::Event;
use crate::model::secret::{SecretSource, Secrets};
use crate::model::value::Value;

/// How long a link to its files is good for, in seconds.
const LINK_SECONDS: u64 = 3600;
/// How long fetching and unpacking its files may take.
const START_LIMIT: Duration = Duration::from_secs(1800);
/// How long packing and sending its outputs may take.
const DELIVER_LIMIT: Duration = Duration::from_secs(1800);
const LOOK_LIMIT: Duration = Duration::from_secs(60);
/// The most characters of output of one look: Cloud Assistant keeps 24 KB, and two lines come before it. Source: API
/// DescribeInvocationResults.
const ROOM: usize = 23_000;
/// The most bytes of output of one look, by how well such a text is compressed at best.
const MOST: usize = 1024 * 1024;
/// How much of a log may wait to be looked at. More is sent through the bucket in one piece, which is much faster.
const BACKLOG: usize = 256 * 1024;
/// The most bytes of such a piece.
const PIECE: usize = 32 * 1024 * 1024;
/// How long sending it may take.
const LOG_LIMIT: Duration = Duration::from_secs(600);
/// What a look is called in errors, and what it says of a run that is not there any more.
const LOOK: &str = "a look at the job";
const LOST: &str = "the job is gone without an exit code: the machine was restarted";
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Where a log is read whose text nobody wants: further than any log is long.
const BEYOND: usize = 1 << 40;

/// What is wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunSpec {
    /// The job.
    pub job: String,
    /// What tells this run from others: another command, other files, another environment run anew.
    pub digest: String,
    /// The instance it runs on.
    pub instance_id: Value<String>,
    /// The bucket of its files and outputs.
    pub bucket: Value<String>,
    /// The key of its files.
    pub bundle_key: Value<String>,
    /// The digest of its files.
    pub bundle_digest: String,
    /// How long it may run, in seconds.
    pub limit: u64,
    /// The secrets it is given: name and source, never the value.
    pub secrets: BTreeMap<String, SecretSource>,
    /// What it brings back.
    pub outputs: Vec<String>,
    /// Starts it.
    pub start_script: String,
    /// Says how it is.
    pub look_script: String,
    /// Sends its outputs.
    pub deliver_script: String,
    /// Sends a large part of what it wrote; empty in the state of an earlier version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub log_script: String,
    /// Which of several runs of a job it is, if there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
}

impl RunSpec {
    /// What goes before its scripts.
    fn preamble(&self) -> String {
        let variables = self.part.as_ref().map(Part::variables).unwrap_or_default();
        variables.iter().map(|(name, value)| format!("export {name}='{}'\n", value.replace('\'', "'\\''"))).collect()
    }
}

/// What came of it; of one that may still go on, nothing but that it was begun.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunAttributes {
    /// `i-.../job/` and what tells this run from an earlier one of the same files on the same instance.
    pub id: String,
    /// The digest of what ran.
    pub digest: Option<String>,
    /// Its exit code.
    pub exit_code: Option<i64>,
    /// When it was over.
    pub ended_at: Option<String>,
    /// What it brought home.
    #[serde(flatten)]
    pub home: Home,
    /// When it was begun by a program that did not wait for its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_at: Option<String>,
}

/// The kind.
pub struct RunKind;

fn begun(id: &str) -> RunAttributes {
    RunAttributes { id: id.to_owned(), digest: None, exit_code: None, ended_at: None, home: Home::default(), begun_at: None }
}

/// How a job is.
#[derive(Debug, PartialEq, Eq)]
enum State {
    Running,
    Over(i64),
    Lost,
}

/// What a look found.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    state: State,
    /// How long the log is.
    size: usize,
    /// What stands in it from where it was looked at on; not all of it, if that is much.
    bytes: Vec<u8>,
}

fn decompressed(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut text).ok().map(|_| text)
}

/// Reads an answer of the look script: two lines, then Base64.
fn read(answer: &str) -> Option<Seen> {
    let (line, rest) = answer.split_once('\n')?;
    let state = match line.strip_prefix("exit=") {
        Some(code) => State::Over(code.trim().parse().ok()?),
        None if line == "running" => State::Running,
        None if line == "lost" => State::Lost,
        None => return None,
    };
    let (size, piece) = rest.split_once('\n')?;
    let piece = STANDARD.decode(piece.trim()).ok()?;
    let bytes = if piece.is_empty() { Vec::new() } else { decompressed(&piece)? };
    Some(Seen { state, size: size.trim().parse().ok()?, bytes })
}

async fn start(context: &Context<'_>, id: &str, spec: &RunSpec, instance: &str) -> Result<(), ResourceError> {
    let (bucket, key) = (needed(&spec.bucket)?, needed(&spec.bundle_key)?);
    let link = Link { method: http::Method::GET, region: context.region, bucket, key, seconds: LINK_SECONDS };
    let link = context.cloud.presign(&link).await?;
    let preamble = spec.preamble();
    let text = format!("{preamble}RUN='{id}'\nBUNDLE_SHA256='{}'\nBUNDLE_URL='{link}'\n{}", spec.bundle_digest, spec.start_script);
    let start = Script { what: "the start of the job", text: &text, timeout: START_LIMIT, instance, step: "start", tell: false };
    script::run(context, &start).await.map(drop)
}

/// Looks once: how the job is, and what it wrote from `offset` on.
async fn look(context: &Context<'_>, spec: &RunSpec, instance: &str, (number, offset): (u64, usize)) -> Result<Seen, ResourceError> {
    let text = format!("{}OFFSET={offset}\nMOST={MOST}\nROOM={ROOM}\n{}", spec.preamble(), spec.look_script);
    let step = format!("look-{number}");
    let look = Script { what: LOOK, text: &text, timeout: LOOK_LIMIT, instance, step: &step, tell: false };
    let answer = script::run(context, &look).await?;
    read(&answer).ok_or_else(|| script::failure(&look, "it answers something else".to_owned(), answer))
}

/// Fetches a large part of what the job wrote through the bucket.
async fn fetch_log(
    context: &Context<'_>,
    spec: &RunSpec,
    instance: &str,
    (number, offset): (u64, usize),
) -> Result<Vec<u8>, ResourceError> {
    // One of its own for everybody who reads it.
    let (bucket, key) = (needed(&spec.bucket)?, format!("logs/{}/{}.gz", spec.job, context.token_of(&format!("log-{number}"))));
    let link = Link { method: http::Method::PUT, region: context.region, bucket, key: &key, seconds: LINK_SECONDS };
    let link = context.cloud.presign(&link).await?;
    let text = format!("{}OUTPUT_URL='{link}'\nOFFSET={offset}\nMOST={PIECE}\n{}", spec.preamble(), spec.log_script);
    let step = format!("log-{number}");
    let send = Script { what: "sending the log of the job", text: &text, timeout: LOG_LIMIT, instance, step: &step, tell: false };
    script::run(context, &send).await?;
    let archive = oss::get_object(context.cloud, context.region, bucket, &key).await?;
    oss::delete_object(context.cloud, context.region, bucket, &key).await?;
    decompressed(&archive).ok_or_else(|| ResourceError::InTheWay("the log of the job came back damaged".to_owned()))
}

/// Tells what the job wrote, and gives back how it is then.
async fn watch(context: &Context<'_>, spec: &RunSpec, instance: &str, telling: &Telling<'_>) -> Result<State, ResourceError> {
    let (mut offset, mut pause, mut teller) = (0, FIRST_PAUSE, Teller::default());
    for number in 0_u64.. {
        let (mut seen, before) = (look(context, spec, instance, (number, offset)).await?, offset);
        if seen.size.saturating_sub(offset + seen.bytes.len()) > BACKLOG && !spec.log_script.is_empty() {
            teller.tell(context, &seen.bytes, false);
            offset += seen.bytes.len();
            // A look brings a little all the same, where the bucket does not help.
            seen.bytes = fetch_log(context, spec, instance, (number, offset)).await.unwrap_or_default();
        }
        offset += seen.bytes.len();
        // A machine that sends nothing of what it has is not asked for ever.
        let more = offset < seen.size && offset > before;
        let last = !more && (seen.state != State::Running || !telling.follow);
        teller.tell(context, &seen.bytes, last);
        if more {
            continue;
        }
        (telling.caught_up)();
        if last {
            return Ok(seen.state);
        }
        pause = if offset == before { (pause * 3 / 2).min(LONGEST_PAUSE) } else { FIRST_PAUSE.max(pause / 2) };
        tokio::time::sleep(pause).await;
    }
    unreachable!("the loop has no end of its own")
}

/// Follows the job to its end, and gives back its exit code.
async fn follow(context: &Context<'_>, spec: &RunSpec, instance: &str) -> Result<i64, ResourceError> {
    match watch(context, spec, instance, &Telling::TO_THE_END).await? {
        State::Over(code) => Ok(code),
        State::Running | State::Lost => Err(ResourceError::Script {
            what: LOOK.to_owned(),
            instance: instance.to_owned(),
            ending: LOST.to_owned(),
            output: String::new(),
        }),
    }
}

/// Why nothing comes of a run any more whose machine does not answer.
fn gone(error: &ResourceError, instance: &str) -> Option<String> {
    matches!(error, ResourceError::Api(error) if error.is_not_found())
        .then(|| format!("its machine `{instance}` is gone, and what it wrote and nobody fetched went with it"))
}

/// Brings the outputs home before the machine goes.
async fn deliver(context: &Context<'_>, spec: &RunSpec, instance: &str, ending: Ending) -> Result<Home, ResourceError> {
    if spec.outputs.is_empty() {
        return Ok(Home::default());
    }
    let (bucket, key) = (needed(&spec.bucket)?, format!("outputs/{}/{}.tar.gz", spec.job, spec.digest));
    let link = Link { method: http::Method::PUT, region: context.region, bucket, key: &key, seconds: LINK_SECONDS };
    let link = context.cloud.presign(&link).await?;
    let text = format!("{}OUTPUT_URL='{link}'\n{}", spec.preamble(), spec.deliver_script);
    // Whoever stops a run may do so while its outputs are under way.
    let step = if ending == Ending::Stopped { "deliver-partial" } else { "deliver" };
    let script = Script { what: "the delivery of the outputs", text: &text, timeout: DELIVER_LIMIT, instance, step, tell: false };
    let answer = script::run(context, &script).await?;
    for missing in answer.lines().filter_map(|line| line.strip_prefix("missing=")) {
        let text = format!("aliform: there is no output `{missing}`\n");
        context.events.emit(Event::StepOutput { address: context.address.clone(), text });
    }
    if !answer.lines().any(|line| line == "delivered") {
        return Ok(Home::empty(&spec.outputs));
    }
    let place = part::place(&spec.job, spec.part.as_ref());
    let parcel = Parcel { bucket: bucket.clone(), key, place, promised: spec.outputs.clone(), ending };
    Ok(home::fetch_and_clear(context, parcel).await)
}

#[async_trait(?Send)]
impl ResourceKind for RunKind {
    const KIND: Kind = Kind::Run;
    const GOES_WITH: Option<Kind> = Some(Kind::Instance);
    const ENDS: bool = true;
    type Spec = RunSpec;
    type Attributes = RunAttributes;

    fn effect(_path: &str, _before: &Json, _after: &Json) -> Effect {
        Effect::ForcesReplace
    }

    fn failure(attributes: &RunAttributes) -> Option<String> {
        // What was over before its command was: it runs again.
        let stopped = attributes.exit_code.is_none() && attributes.ended_at.is_some();
        stopped.then(|| "it was stopped".to_owned()).or_else(|| home::failure(attributes.exit_code, &attributes.home))
    }

    fn at_hand(address: &Address, spec: &RunSpec, secrets: &dyn Secrets, artifacts: &dyn Artifacts) -> Result<(), ResourceError> {
        home::room(artifacts, &part::place(&spec.job, spec.part.as_ref()), &spec.outputs)?;
        secrets::at_hand(address, &spec.secrets, secrets)
    }

    fn observed(spec: RunSpec, attributes: &RunAttributes) -> RunSpec {
        RunSpec { digest: attributes.digest.clone().unwrap_or(spec.digest), ..spec }
    }

    /// A run that is over is history. One that is not may still go on: following it tells, by its identifier.
    async fn read_many(
        _context: &ReadContext<'_>,
        known: &[(Address, String, Json)],
    ) -> Result<BTreeMap<String, RunAttributes>, ResourceError> {
        let of = |id: &String, attributes| RunAttributes::deserialize(attributes).unwrap_or_else(|_| begun(id));
        Ok(known.iter().map(|(_, id, attributes)| (id.clone(), of(id, attributes))).collect())
    }

    async fn create(context: &Context<'_>, spec: &RunSpec) -> Result<String, ResourceError> {
        // Whoever goes on after a crash keeps the identifier and finds this run; a new one has a token of its own.
        let this: String = context.token.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
        Ok(format!("{}/{}/{this}", needed(&spec.instance_id)?, spec.job))
    }

    async fn converge(context: &Context<'_>, id: &str, spec: &RunSpec) -> Result<RunAttributes, ResourceError> {
        Self::begin(context, id, spec).await?;
        Self::finish(context, id, spec).await
    }

    /// History can't be taken away. What still runs ends with its machine, or when the next run begins there.
    async fn delete(_context: &Context<'_>, _id: &str, _spec: &RunSpec) -> Result<(), ResourceError> {
        Ok(())
    }

    async fn find(_context: &Context<'_>, _spec: &RunSpec) -> Result<Option<String>, ResourceError> {
        Ok(None)
    }
}

#[async_trait(?Send)]
impl Runs for RunKind {
    async fn begin(context: &Context<'_>, id: &str, spec: &RunSpec) -> Result<RunAttributes, ResourceError> {
        let instance = needed(&spec.instance_id)?;
        let hiding = Hiding::of(context, &spec.secrets);
        let context = &Context { events: &hiding, ..*context };
        secrets::send(context, &spec.job, &spec.secrets, instance).await?;
        start(context, id, spec, instance).await.map_err(|error| hiding.hide_in(error))?;
        Ok(RunAttributes { begun_at: Some(runs::moment(context)), ..begun(id) })
    }

    async fn finish(context: &Context<'_>, id: &str, spec: &RunSpec) -> Result<RunAttributes, ResourceError> {
        let instance = needed(&spec.instance_id)?;
        let hiding = Hiding::of(context, &spec.secrets);
        let context = &Context { events: &hiding, ..*context };
        let ran = async {
            let exit_code = follow(context, spec, instance).await?;
            // What a failed run leaves behind may be what tells why.
            Ok((exit_code, deliver(context, spec, instance, Ending::of(Some(exit_code))).await?))
        };
        let (exit_code, home) = ran.await.map_err(|error| match gone(&error, instance) {
            Some(because) => ResourceError::InTheWay(because),
            None => hiding.hide_in(error),
        })?;
        let (digest, ended_at) = (Some(spec.digest.clone()), Some(runs::moment(context)));
        Ok(RunAttributes { digest, exit_code: Some(exit_code), ended_at, home, ..begun(id) })
    }

    async fn look(context: &Context<'_>, _id: &str, spec: &RunSpec) -> Result<Standing, ResourceError> {
        let instance = needed(&spec.instance_id)?;
        standing(look(context, spec, instance, (0, BEYOND)).await.map(|seen| seen.state), instance)
    }

    async fn tell(context: &Context<'_>, _id: &str, spec: &RunSpec, telling: &Telling<'_>) -> Result<Standing, ResourceError> {
        let instance = needed(&spec.instance_id)?;
        let hiding = Hiding::of(context, &spec.secrets);
        standing(watch(&Context { events: &hiding, ..*context }, spec, instance, telling).await, instance)
    }

    fn can_rescue(spec: &RunSpec) -> bool {
        !spec.outputs.is_empty()
    }

    async fn rescue(context: &Context<'_>, id: &str, spec: &RunSpec) -> Result<RunAttributes, ResourceError> {
        let home = deliver(context, spec, needed(&spec.instance_id)?, Ending::Stopped).await?;
        Ok(RunAttributes { digest: Some(spec.digest.clone()), ended_at: Some(runs::moment(context)), home, ..begun(id) })
    }

    fn ends_after(_spec: &RunSpec) -> Option<u64> {
        None
    }
}

/// What an answer of a machine comes to, or none.
fn standing(looked: Result<State, ResourceError>, instance: &str) -> Result<Standing, ResourceError> {
    Ok(match looked {
        Ok(State::Running) => Standing::Running,
        Ok(State::Over(code)) => Standing::Over(Some(code)),
        Ok(State::Lost) => Standing::Gone(LOST.to_owned()),
        Err(error) => Standing::Gone(gone(&error, instance).ok_or(error)?),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn an_answer_says_how_the_job_is_and_what_it_wrote() {
        let seen = |state, size, bytes: &[u8]| Some(Seen { state, size, bytes: bytes.to_vec() });
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"hi").unwrap();
        let packed = STANDARD.encode(packed.finish().unwrap());
        assert_eq!(read(&format!("running\n7\n{packed}")), seen(State::Running, 7, b"hi"));
        assert_eq!(read("exit=3\n0\n"), seen(State::Over(3), 0, b""));
        assert_eq!(read("lost\n12\n"), seen(State::Lost, 12, b""));
        assert_eq!((read("exit=\n0\n"), read("running\n3\naGk=")), (None, None));
        assert_eq!(read("sh: 1: base64: not found"), None);
    }
}
