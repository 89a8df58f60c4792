//! A version of an application running on an instance: its secrets, its files, its process, and the proof that it
//! answers. Deploying is idempotent, so finishing, updating and mending are the same act.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::error::ResourceError;
use super::kind::{Artifacts, Context, ReadContext, ResourceKind, needed};
use super::script::{self, Script};
use super::secrets::{self, Hiding};
use crate::cloud::call::Link;
use crate::model::address::{Address, Kind};
use crate::model::change::Effect;
use crate::model::event::Event;
use crate::model::secret::{SecretSource, Secrets};
use crate::model::value::Value;

/// How long a link to a bundle is good for, in seconds.
const LINK_SECONDS: u64 = 3600;
/// How long unpacking, installing and building may take.
const START_LIMIT: Duration = Duration::from_secs(1800);
/// How much longer than the application's own limit the checks may take.
const VERIFY_SLACK: Duration = Duration::from_secs(30);

/// What is wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReleaseSpec {
    /// The application.
    pub app: String,
    /// The instance it runs on.
    pub instance_id: Value<String>,
    /// When that instance was started last: after a restart the application has to be started again.
    pub instance_started: Value<String>,
    /// The bundle's digest; names the release.
    pub digest: String,
    /// The bucket of the bundle.
    pub bucket: Value<String>,
    /// The bundle's key in it, known when the bundle is uploaded.
    pub bundle_key: Value<String>,
    /// The port it listens on, if it listens.
    pub port: Option<u16>,
    /// How long it may take until it answers, in seconds.
    pub within: u64,
    /// The secrets it is given: name and source, never the value.
    pub secrets: BTreeMap<String, SecretSource>,
    /// Whether the release before is started again when this one does not answer.
    pub rollback: bool,
    /// Unpacks, installs, builds, starts.
    pub start_script: String,
    /// Stops it.
    pub stop_script: String,
    /// Proves that it runs.
    pub verify_script: String,
    /// Goes back to the release before.
    pub rollback_script: String,
    /// Prints the end of its log.
    pub logs_script: String,
}

/// What the cloud says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReleaseAttributes {
    /// `i-.../app`.
    pub id: String,
    /// The digest that runs.
    pub digest: String,
}

/// One line of the verify script.
#[derive(Debug, PartialEq, Eq)]
struct Check<'a> {
    name: &'a str,
    passed: bool,
    detail: &'a str,
}

/// Reads `check=port ok=1 detail=listening on 8080`.
fn check(line: &str) -> Option<Check<'_>> {
    let (name, rest) = line.strip_prefix("check=")?.split_once(" ok=")?;
    let (ok, detail) = rest.split_once(" detail=").unwrap_or((rest, ""));
    Some(Check { name, passed: ok == "1", detail })
}

/// The kind.
pub struct ReleaseKind;

async fn start(context: &Context<'_>, spec: &ReleaseSpec, instance: &str) -> Result<(), ResourceError> {
    let link = context
        .cloud
        .presign(&Link {
            method: http::Method::GET,
            region: context.region,
            bucket: needed(&spec.bucket)?,
            key: needed(&spec.bundle_key)?,
            seconds: LINK_SECONDS,
        })
        .await?;
    let text = format!(
        "RELEASE='{digest}'\nBUNDLE_SHA256='{digest}'\nBUNDLE_URL='{link}'\n{script}",
        digest = spec.digest,
        script = spec.start_script
    );
    script::run(context, &Script { what: "the start script", text: &text, timeout: START_LIMIT, instance, step: "start", tell: true })
        .await
        .map(drop)
}

async fn verify(context: &Context<'_>, spec: &ReleaseSpec, instance: &str, step: &str) -> Result<(), ResourceError> {
    let timeout = Duration::from_secs(spec.within) + VERIFY_SLACK;
    let script = Script { what: "the check of the application", text: &spec.verify_script, timeout, instance, step, tell: false };
    let run = script::start(context, &script).await?;
    let ran = script::follow(context, &script, &run).await?;
    let checks: Vec<Check<'_>> = ran.output.lines().filter_map(check).collect();
    for check in &checks {
        context.events.emit(Event::StepChecked {
            address: context.address.clone(),
            check: check.name.to_owned(),
            passed: check.passed,
            detail: check.detail.to_owned(),
        });
    }
    if ran.exit_code == 0 && !checks.is_empty() && checks.iter().all(|check| check.passed) {
        return Ok(());
    }
    let failed: Vec<String> =
        checks.iter().filter(|check| !check.passed).map(|check| format!("{}: {}", check.name, check.detail)).collect();
    let ending = if failed.is_empty() { format!("exit code {}", ran.exit_code) } else { failed.join("; ") };
    Err(script::failure(&script, ending, ran.output))
}

/// Starts the release before again, if this one has taken its place already. Gives back what became of it, in words.
async fn go_back(context: &Context<'_>, spec: &ReleaseSpec, instance: &str) -> String {
    let text = format!(
        "if [ \"$(readlink \"${{ALIFORM_ROOT:-}}/opt/aliform/{stack}/{app}/current\")\" != 'releases/{digest}' ]; then\n  \
         echo 'aliform: the release before was not touched'\n  exit 0\nfi\n{script}",
        stack = context.identity.stack,
        app = spec.app,
        digest = spec.digest,
        script = spec.rollback_script
    );
    let what = "the way back to the release before";
    match script::run(context, &Script { what, text: &text, timeout: START_LIMIT, instance, step: "rollback", tell: true }).await {
        // Started is not running.
        Ok(_) => match verify(context, spec, instance, "verify-back").await {
            Ok(()) => "the release before runs again".to_owned(),
            Err(error) => format!("the release before was started again, and it does not answer as it should: {error}"),
        },
        Err(ResourceError::Script { output, .. }) if output.contains("there is no release before") => {
            "there is no release before it to go back to".to_owned()
        }
        Err(error) => error.to_string(),
    }
}

#[async_trait(?Send)]
impl ResourceKind for ReleaseKind {
    const KIND: Kind = Kind::Release;
    const GOES_WITH: Option<Kind> = Some(Kind::Instance);
    type Spec = ReleaseSpec;
    type Attributes = ReleaseAttributes;

    fn effect(path: &str, _before: &Json, _after: &Json) -> Effect {
        if matches!(path, "instance_id" | "app") { Effect::ForcesReplace } else { Effect::InPlace }
    }

    /// Two applications can't listen on one port of an instance.
    fn excludes(coming: &ReleaseSpec, going: &ReleaseSpec) -> bool {
        coming.instance_id == going.instance_id && coming.port.is_some() && coming.port == going.port
    }

    fn at_hand(address: &Address, spec: &ReleaseSpec, secrets: &dyn Secrets, _artifacts: &dyn Artifacts) -> Result<(), ResourceError> {
        secrets::at_hand(address, &spec.secrets, secrets)
    }

    fn observed(spec: ReleaseSpec, attributes: &ReleaseAttributes) -> ReleaseSpec {
        ReleaseSpec { digest: attributes.digest.clone(), ..spec }
    }

    /// What runs inside an instance can only be asked with a command; `status` and `verify` do that, a refresh does not.
    async fn read_many(
        _context: &ReadContext<'_>,
        known: &[(Address, String, Json)],
    ) -> Result<BTreeMap<String, ReleaseAttributes>, ResourceError> {
        let attributes = |id: &str, attributes: &Json| {
            // One that never came up has no attributes yet; no digest runs then.
            ReleaseAttributes::deserialize(attributes).unwrap_or_else(|_| ReleaseAttributes { id: id.to_owned(), digest: String::new() })
        };
        Ok(known.iter().map(|(_, id, json)| (id.clone(), attributes(id, json))).collect())
    }

    async fn create(_context: &Context<'_>, spec: &ReleaseSpec) -> Result<String, ResourceError> {
        Ok(format!("{}/{}", needed(&spec.instance_id)?, spec.app))
    }

    async fn converge(context: &Context<'_>, id: &str, spec: &ReleaseSpec) -> Result<ReleaseAttributes, ResourceError> {
        let instance = needed(&spec.instance_id)?;
        let hiding = Hiding::of(context, &spec.secrets);
        let context = &Context { events: &hiding, ..*context };
        secrets::send(context, &spec.app, &spec.secrets, instance).await?;
        let started = match start(context, spec, instance).await {
            Ok(()) => verify(context, spec, instance, "verify").await,
            Err(error) => Err(error),
        };
        match started {
            Ok(()) => {}
            // Only what the machine itself says is a reason to go back; an answer that got lost is none.
            Err(ResourceError::Script { what, instance: on, ending, output }) if spec.rollback => {
                let ending = format!("{ending}; {}", go_back(context, spec, instance).await);
                return Err(hiding.hide_in(ResourceError::Script { what, instance: on, ending, output }));
            }
            Err(error) => return Err(hiding.hide_in(error)),
        }
        Ok(ReleaseAttributes { id: id.to_owned(), digest: spec.digest.clone() })
    }

    async fn delete(context: &Context<'_>, _id: &str, spec: &ReleaseSpec) -> Result<(), ResourceError> {
        let Some(instance) = spec.instance_id.known() else { return Ok(()) };
        let text = format!("REMOVE=1\n{}", spec.stop_script);
        let stop = Script { what: "the stop script", text: &text, timeout: Duration::from_secs(60), instance, step: "stop", tell: false };
        match script::run(context, &stop).await {
            Err(ResourceError::Api(error)) if error.is_not_found() => Ok(()),
            // On an instance that does not run, nothing of it runs either.
            Err(ResourceError::Script { ending, .. })
                if ["InstanceNotRunning", "InstanceReleased", "InstanceNotExists"].iter().any(|code| ending.contains(code)) =>
            {
                Ok(())
            }
            other => other.map(drop),
        }
    }

    async fn find(_context: &Context<'_>, _spec: &ReleaseSpec) -> Result<Option<String>, ResourceError> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_checks_is_read() {
        assert_eq!(
            check("check=port ok=1 detail=listening on 8080"),
            Some(Check { name: "port", passed: true, detail: "listening on 8080" })
        );
        assert_eq!(check("check=process ok=0 detail=ended"), Some(Check { name: "process", passed: false, detail: "ended" }));
        assert_eq!(check("anything else"), None);
    }
}
