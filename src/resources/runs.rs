//! What kinds that come to their end by themselves can do besides: begin and be left, say how they are, tell what they
//! wrote, be brought to their end by whoever comes later. None of it ends a run; deleting it does.

use async_trait::async_trait;
use serde_json::Value as Json;

use super::error::ResourceError;
use super::home;
use super::kind::{Context, Erased, ResourceKind, json, typed};
use crate::model::address::Address;

/// How a run is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It comes; the status as the cloud calls it.
    Coming(String),
    /// It runs.
    Running,
    /// It is over, with its exit code where that is known.
    Over(Option<i64>),
    /// Nothing will become of it any more, and why.
    Gone(String),
}

impl Standing {
    /// Whether it has come to an end, good or bad.
    pub fn is_over(&self) -> bool {
        matches!(self, Standing::Over(_) | Standing::Gone(_))
    }
}

/// How an output is told.
#[derive(Clone, Copy)]
pub struct Telling<'a> {
    /// Until the run is over, or else what there is by now.
    pub follow: bool,
    /// Called once what there was has been told; it may be called again.
    pub caught_up: &'a dyn Fn(),
}

impl Telling<'_> {
    /// All of it.
    pub(super) const TO_THE_END: Telling<'static> = Telling { follow: true, caught_up: &|| {} };
}

/// Whether these attributes are those of a run that was begun, and that nobody has brought to its end: it may still run, or
/// it is over and its outputs are not here.
pub fn goes_on(attributes: &Json) -> bool {
    (!attributes["begun_at"].is_null() && attributes["ended_at"].is_null()) || home::held(attributes).is_some()
}

/// What a kind does that ends by itself.
#[async_trait(?Send)]
pub trait Runs: ResourceKind {
    /// Begins it. It goes on without this program then. One that has begun is left as it is.
    async fn begin(context: &Context<'_>, id: &str, spec: &Self::Spec) -> Result<Self::Attributes, ResourceError>;

    /// Follows one that has begun to its end, and brings its outputs home. Needs no secret: it has them already.
    async fn finish(context: &Context<'_>, id: &str, spec: &Self::Spec) -> Result<Self::Attributes, ResourceError>;

    /// How it is, without a word of what it wrote.
    async fn look(context: &Context<'_>, id: &str, spec: &Self::Spec) -> Result<Standing, ResourceError>;

    /// Tells what it wrote, from the beginning. Changes nothing.
    async fn tell(context: &Context<'_>, id: &str, spec: &Self::Spec, telling: &Telling<'_>) -> Result<Standing, ResourceError>;

    /// Whether what it has brought about can be fetched while it runs.
    fn can_rescue(_spec: &Self::Spec) -> bool {
        false
    }

    /// Brings home what it has brought about so far, for it is about to be ended. It is over by that.
    async fn rescue(_context: &Context<'_>, _id: &str, _spec: &Self::Spec) -> Result<Self::Attributes, ResourceError> {
        Err(ResourceError::InTheWay("what it has brought about can't be fetched before its end".to_owned()))
    }

    /// After how many seconds the cloud itself ends it; `None` if that is the matter of what it runs on.
    fn ends_after(spec: &Self::Spec) -> Option<u64>;
}

/// The same without its types: specs and attributes are JSON.
#[async_trait(?Send)]
#[expect(missing_docs, reason = "each method is the erased form of the one of the same name in `Runs`")]
pub trait AnyRun: Send + Sync {
    async fn begin(&self, context: &Context<'_>, id: &str, spec: &Json) -> Result<Json, ResourceError>;
    async fn finish(&self, context: &Context<'_>, id: &str, spec: &Json) -> Result<Json, ResourceError>;
    async fn look(&self, context: &Context<'_>, id: &str, spec: &Json) -> Result<Standing, ResourceError>;
    async fn tell(&self, context: &Context<'_>, id: &str, spec: &Json, telling: &Telling<'_>) -> Result<Standing, ResourceError>;
    fn can_rescue(&self, address: &Address, spec: &Json) -> Result<bool, ResourceError>;
    async fn rescue(&self, context: &Context<'_>, id: &str, spec: &Json) -> Result<Json, ResourceError>;
    fn ends_after(&self, address: &Address, spec: &Json) -> Result<Option<u64>, ResourceError>;
}

#[async_trait(?Send)]
impl<K: Runs> AnyRun for Erased<K> {
    async fn begin(&self, context: &Context<'_>, id: &str, spec: &Json) -> Result<Json, ResourceError> {
        let attributes = K::begin(context, id, &typed("spec", context.address, spec)?).await?;
        json("attributes", context.address, &attributes)
    }

    async fn finish(&self, context: &Context<'_>, id: &str, spec: &Json) -> Result<Json, ResourceError> {
        let attributes = K::finish(context, id, &typed("spec", context.address, spec)?).await?;
        json("attributes", context.address, &attributes)
    }

    async fn look(&self, context: &Context<'_>, id: &str, spec: &Json) -> Result<Standing, ResourceError> {
        K::look(context, id, &typed("spec", context.address, spec)?).await
    }

    async fn tell(&self, context: &Context<'_>, id: &str, spec: &Json, telling: &Telling<'_>) -> Result<Standing, ResourceError> {
        K::tell(context, id, &typed("spec", context.address, spec)?, telling).await
    }

    fn can_rescue(&self, address: &Address, spec: &Json) -> Result<bool, ResourceError> {
        Ok(K::can_rescue(&typed("spec", address, spec)?))
    }

    async fn rescue(&self, context: &Context<'_>, id: &str, spec: &Json) -> Result<Json, ResourceError> {
        let attributes = K::rescue(context, id, &typed("spec", context.address, spec)?).await?;
        json("attributes", context.address, &attributes)
    }

    fn ends_after(&self, address: &Address, spec: &Json) -> Result<Option<u64>, ResourceError> {
        Ok(K::ends_after(&typed("spec", address, spec)?))
    }
}

/// When something happens that happens now, as attributes say it.
pub(super) fn moment(context: &Context<'_>) -> String {
    context.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_begun_goes_on_until_it_has_an_end() {
        assert!(goes_on(&json!({ "begun_at": "2026-11-21T12:00:00Z", "ended_at": null })));
        assert!(!goes_on(&json!({ "begun_at": "2026-11-21T12:00:00Z", "ended_at": "2026-11-21T13:00:00Z" })));
        assert!(!goes_on(&json!({ "ended_at": null })) && !goes_on(&Json::Null));
    }
}
