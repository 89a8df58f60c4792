//! A script that is run once on an instance. Another text runs again; taking it away undoes nothing, since nobody
//! knows what a script did.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::error::ResourceError;
use super::kind::{Context, ReadContext, ResourceKind, needed};
use super::script::{self, Script};
use crate::model::address::{Address, Kind};
use crate::model::change::Effect;
use crate::model::value::Value;

/// What is wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CommandSpec {
    /// Where it runs.
    pub instance_id: Value<String>,
    /// Its text.
    pub script: String,
    /// How long it may take, in seconds.
    pub timeout: u64,
}

/// What the cloud says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CommandAttributes {
    /// The run, `t-...`
    pub id: String,
    /// Where it ran.
    pub instance_id: String,
}

/// The kind.
pub struct CommandKind;

fn script<'a>(spec: &'a CommandSpec, instance: &'a str) -> Script<'a> {
    Script { what: "the setup script", text: &spec.script, timeout: Duration::from_secs(spec.timeout), instance, step: "run", tell: true }
}

#[async_trait(?Send)]
impl ResourceKind for CommandKind {
    const KIND: Kind = Kind::Command;
    const GOES_WITH: Option<Kind> = Some(Kind::Instance);
    type Spec = CommandSpec;
    type Attributes = CommandAttributes;

    fn effect(_path: &str, _before: &Json, _after: &Json) -> Effect {
        Effect::ForcesReplace
    }

    fn observed(spec: CommandSpec, _attributes: &CommandAttributes) -> CommandSpec {
        spec
    }

    /// A run is history: the cloud can't change it, and forgets it after some weeks.
    async fn read_many(
        _context: &ReadContext<'_>,
        known: &[(Address, String, Json)],
    ) -> Result<BTreeMap<String, CommandAttributes>, ResourceError> {
        Ok(known.iter().filter_map(|(_, id, attributes)| Some((id.clone(), CommandAttributes::deserialize(attributes).ok()?))).collect())
    }

    async fn create(context: &Context<'_>, spec: &CommandSpec) -> Result<String, ResourceError> {
        script::start(context, &script(spec, needed(&spec.instance_id)?)).await
    }

    async fn converge(context: &Context<'_>, id: &str, spec: &CommandSpec) -> Result<CommandAttributes, ResourceError> {
        let instance = needed(&spec.instance_id)?;
        let script = script(spec, instance);
        let ran = script::follow(context, &script, id).await?;
        if ran.exit_code != 0 {
            return Err(script::failure(&script, format!("exit code {}", ran.exit_code), ran.output));
        }
        Ok(CommandAttributes { id: id.to_owned(), instance_id: instance.clone() })
    }

    async fn delete(_context: &Context<'_>, _id: &str, _spec: &CommandSpec) -> Result<(), ResourceError> {
        Ok(())
    }

    async fn find(_context: &Context<'_>, _spec: &CommandSpec) -> Result<Option<String>, ResourceError> {
        Ok(None)
    }
}
