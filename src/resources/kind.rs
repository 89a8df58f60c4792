//! What every kind of resource can do, typed for the one who writes a kind and erased for the engine.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::error::ResourceError;
use super::tagged::{Found, Tagged};
use crate::cloud::api::Tag;
use crate::cloud::call::Cloud;
use crate::model::address::{Address, Kind};
use crate::model::change::Effect;
use crate::model::clock::Clock;
use crate::model::event::EventSink;
use crate::model::secret::Secrets;
use crate::model::value::Value;

/// The tag that carries the stack's name.
pub const TAG_STACK: &str = "aliform:stack";
/// The tag that carries the resource's address.
pub const TAG_ADDRESS: &str = "aliform:address";
/// The tag that carries the stack's lineage: two stacks of one name are told apart by it.
pub const TAG_LINEAGE: &str = "aliform:lineage";

/// The tag that carries the beginning of the attempt's token: what an interrupted creation made is told apart by it
/// from what an earlier one of the same address left.
pub const TAG_ATTEMPT: &str = "aliform:attempt";

/// The tag that says from when on a resource serves nobody, for whoever looks for what was left behind: few end by
/// themselves.
pub const TAG_DEADLINE: &str = "aliform:deadline";

/// Whose resources these are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The stack's name.
    pub stack: String,
    /// The lineage of its state.
    pub lineage: String,
}

impl Identity {
    /// The tags that a creation of `address` carries.
    pub fn tags(&self, address: &Address) -> Vec<Tag> {
        let tag = |key: &str, value: String| Tag { key: key.to_owned(), value };
        vec![tag(TAG_STACK, self.stack.clone()), tag(TAG_LINEAGE, self.lineage.clone()), tag(TAG_ADDRESS, address.to_string())]
    }
}

/// Hands out packed sources by digest.
pub trait Artifacts: Send + Sync {
    /// The archive with that digest, if it can still be had.
    fn archive(&self, digest: &str) -> Option<Bytes>;

    /// Whether there is room for what a run brings back to that place; what is in the way, if not.
    fn room(&self, place: &str) -> Result<(), String>;

    /// Takes what a run brought back, and says where it is now. What was there before is there still if that fails.
    fn receive(&self, delivery: &Delivery<'_>) -> Result<Received, String>;
}

/// How a run ended whose outputs come home.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Well, as far as is known before its outputs are looked at: one that is missing makes it a failure.
    Good,
    /// By itself, and not well.
    Bad,
    /// By its time or by somebody: what there is may be half of it.
    Stopped,
}

/// What a run brings back.
pub struct Delivery<'a> {
    /// Where it goes below the outputs of all jobs.
    pub place: &'a str,
    /// How the run ended.
    pub ending: Ending,
    /// What was promised, by path.
    pub promised: &'a [String],
    /// The tar.gz.
    pub archive: &'a [u8],
}

/// What came of a delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Where it is now.
    pub place: String,
    /// What was promised and is not in it.
    pub missing: Vec<String>,
    /// What else there is to say: lower-case fragments.
    pub notes: Vec<String>,
}

/// Everything a kind may use.
pub struct Context<'a> {
    /// The cloud.
    pub cloud: &'a dyn Cloud,
    /// The time.
    pub clock: &'a dyn Clock,
    /// The region the resource lives in.
    pub region: &'a str,
    /// Whose it is.
    pub identity: &'a Identity,
    /// Which one it is.
    pub address: &'a Address,
    /// Makes this attempt's calls idempotent; the same on a replay, another on a new attempt.
    pub token: &'a str,
    /// From when on it serves nobody, if it serves nothing but runs.
    pub deadline: Option<Timestamp>,
    /// Who is told what happens.
    pub events: &'a dyn EventSink,
    /// Where secrets are.
    pub secrets: &'a dyn Secrets,
    /// Where bundles are.
    pub artifacts: &'a dyn Artifacts,
}

impl<'a> Context<'a> {
    /// The tags of what this attempt creates.
    pub fn tags(&self) -> Vec<Tag> {
        let mut tags = self.identity.tags(self.address);
        tags.push(Tag { key: TAG_ATTEMPT.to_owned(), value: self.token.chars().take(16).collect() });
        tags
    }

    /// The tags that a creation gives: by those of [`Context::tags`] it is found again, and one more says for how long it is
    /// needed.
    pub fn new_tags(&self) -> Vec<Tag> {
        let mut tags = self.tags();
        tags.extend(self.deadline.map(|end| Tag { key: TAG_DEADLINE.to_owned(), value: written(end) }));
        tags
    }

    /// The token of one of several calls of this attempt; no two of them may share one.
    pub fn token_of(&self, call: &str) -> String {
        let room = 64usize.saturating_sub(call.len() + 1);
        let start: String = self.token.chars().take(room).collect();
        format!("{start}-{call}")
    }

    /// The part of it that reading needs.
    pub fn reading(&self) -> ReadContext<'a> {
        ReadContext { cloud: self.cloud, region: self.region, identity: self.identity }
    }
}

/// A moment as tags have it.
pub fn written(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// What belongs to reading many resources at once.
pub struct ReadContext<'a> {
    /// The cloud.
    pub cloud: &'a dyn Cloud,
    /// The region they live in.
    pub region: &'a str,
    /// Whose they are.
    pub identity: &'a Identity,
}

/// What a resource needs priced.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priced {
    /// An instance with its system disk and bandwidth, quoted by the cloud.
    Instance {
        /// `ecs.u1-c1m2.large`.
        instance_type: String,
        /// The zone it stands in.
        zone: String,
        /// `cloud_essd`.
        disk_category: String,
        /// `PL0`, if the category has levels.
        disk_level: Option<String>,
        /// GiB.
        disk_size: u32,
        /// Mbit/s; 0 for no public address.
        bandwidth: u32,
        /// Whether it is bought at the price of the market.
        spot: bool,
    },
    /// A cluster: the fee of its control plane, and its nodes.
    Cluster {
        /// Whether it is of the Pro edition; the basic one has no fee.
        pro: bool,
        /// Its nodes, each an instance.
        nodes: Vec<Priced>,
    },
    /// A training job: so many pods of a type, each at the price of an instance of it.
    Training {
        /// `ecs.g7.large`.
        instance_type: String,
        /// How many pods.
        workers: u32,
    },
    /// An elastic address: traffic by use.
    Eip,
    /// A bucket: storage and requests by use.
    Bucket,
    /// A function while it runs: by what it has.
    Function {
        /// vCPU.
        cpu: Decimal,
        /// MiB.
        memory: u32,
        /// MiB of disk.
        disk: u32,
        /// Its accelerator.
        gpu: Option<FunctionGpu>,
    },
}

/// A network that exists and that something without a machine of its own is let into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinedNetwork {
    /// The network.
    pub vpc_id: String,
    /// The subnet that its addresses are of.
    pub vswitch_id: String,
    /// Whose rules hold for it.
    pub security_group_id: String,
}

/// The accelerator of a function, as it is paid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FunctionGpu {
    /// What people call it: `NVIDIA T4`.
    pub name: String,
    /// `fc.gpu.tesla.1`.
    pub kind: String,
    /// MiB of its own memory.
    pub memory: u32,
}

/// A kind of resource. `Spec` is what is wanted, `Attributes` what the cloud says.
#[async_trait(?Send)]
pub trait ResourceKind: Send + Sync + 'static {
    /// Which kind.
    const KIND: Kind;
    /// What is wanted.
    type Spec: Serialize + DeserializeOwned + Send + Sync;
    /// What the cloud says.
    type Attributes: Serialize + DeserializeOwned + Send + Sync;

    /// The kind that takes it along when it goes: what lives inside an instance needs no farewell to be gone with it.
    const GOES_WITH: Option<Kind> = None;

    /// Whether it comes to its end by itself, and is then a matter of the past: a run of a job.
    const ENDS: bool = false;

    /// Why what came to its end did not end well.
    fn failure(_attributes: &Self::Attributes) -> Option<String> {
        None
    }

    /// What changing a field does. Fields are named by their path in the spec.
    fn effect(path: &str, before: &Json, after: &Json) -> Effect;

    /// Whether the resource that this field names can't be taken away as long as this one has it.
    fn holds(_path: &str) -> bool {
        false
    }

    /// Whether both can't exist at the same time, so that one has to go before the other comes.
    fn excludes(_coming: &Self::Spec, _going: &Self::Spec) -> bool {
        false
    }

    /// What has to be at hand before anything is made: nothing is paid for what can't be finished.
    fn at_hand(_address: &Address, _spec: &Self::Spec, _secrets: &dyn Secrets, _artifacts: &dyn Artifacts) -> Result<(), ResourceError> {
        Ok(())
    }

    /// What an update of these fields does besides, in words.
    fn side_effects(_paths: &[&str]) -> Vec<String> {
        Vec::new()
    }

    /// Attributes that are not known any more once these fields are changed in place.
    fn unsettles(_paths: &[&str]) -> &'static [&'static str] {
        &[]
    }

    /// The spec as the cloud has it: `spec` with every field replaced that the attributes speak of.
    fn observed(spec: Self::Spec, attributes: &Self::Attributes) -> Self::Spec;

    /// What to price.
    fn priced(_spec: &Self::Spec) -> Option<Priced> {
        None
    }

    /// What ends it in the cloud, should nobody else have done so, in words: a dead man's switch.
    fn last_resort(_spec: &Self::Spec) -> Option<String> {
        None
    }

    /// Reads many at once; those that are gone are absent from the answer. `known` is address, id and attributes of each.
    async fn read_many(
        context: &ReadContext<'_>,
        known: &[(Address, String, Json)],
    ) -> Result<BTreeMap<String, Self::Attributes>, ResourceError>;

    /// Makes it: one call that brings the identifier, idempotent by the context's token or by name.
    async fn create(context: &Context<'_>, spec: &Self::Spec) -> Result<String, ResourceError>;

    /// Brings an existing one to its spec and waits until it is ready. Does nothing where nothing differs, so it
    /// finishes a creation, carries out an update and mends after a crash alike.
    async fn converge(context: &Context<'_>, id: &str, spec: &Self::Spec) -> Result<Self::Attributes, ResourceError>;

    /// Takes it away and waits until it is gone. One that is gone already is no error.
    async fn delete(context: &Context<'_>, id: &str, spec: &Self::Spec) -> Result<(), ResourceError>;

    /// Looks for it by its tags or its unique name.
    async fn find(context: &Context<'_>, spec: &Self::Spec) -> Result<Option<String>, ResourceError>;

    /// Everything of this kind in the region that carries aliform's tags, whoever's it is. What lives inside something else
    /// has none.
    async fn tagged(_context: &ReadContext<'_>) -> Result<Vec<Tagged<Self::Spec>>, ResourceError> {
        Ok(Vec::new())
    }
}

/// A kind without its types: specs and attributes are JSON.
#[async_trait(?Send)]
#[expect(missing_docs, reason = "each method is the erased form of the one of the same name in `ResourceKind`")]
pub trait AnyKind: Send + Sync {
    fn kind(&self) -> Kind;
    fn goes_with(&self) -> Option<Kind>;
    fn ends(&self) -> bool;
    fn failure(&self, address: &Address, attributes: &Json) -> Result<Option<String>, ResourceError>;
    fn holds(&self, path: &str) -> bool;
    fn excludes(&self, address: &Address, coming: &Json, going: &Json) -> Result<bool, ResourceError>;
    fn at_hand(&self, address: &Address, spec: &Json, secrets: &dyn Secrets, artifacts: &dyn Artifacts) -> Result<(), ResourceError>;
    fn effect(&self, path: &str, before: &Json, after: &Json) -> Effect;
    fn side_effects(&self, paths: &[&str]) -> Vec<String>;
    fn unsettles(&self, paths: &[&str]) -> &'static [&'static str];
    fn observed(&self, address: &Address, spec: &Json, attributes: &Json) -> Result<Json, ResourceError>;
    fn priced(&self, address: &Address, spec: &Json) -> Result<Option<Priced>, ResourceError>;
    fn last_resort(&self, address: &Address, spec: &Json) -> Result<Option<String>, ResourceError>;
    async fn read_many(
        &self,
        context: &ReadContext<'_>,
        known: &[(Address, String, Json)],
    ) -> Result<BTreeMap<String, Json>, ResourceError>;
    async fn create(&self, context: &Context<'_>, spec: &Json) -> Result<String, ResourceError>;
    async fn converge(&self, context: &Context<'_>, id: &str, spec: &Json) -> Result<Json, ResourceError>;
    async fn delete(&self, context: &Context<'_>, id: &str, spec: &Json) -> Result<(), ResourceError>;
    async fn find(&self, context: &Context<'_>, spec: &Json) -> Result<Option<String>, ResourceError>;
    async fn tagged(&self, context: &ReadContext<'_>) -> Result<Vec<Found>, ResourceError>;
}

/// Wears a typed kind as an erased one.
pub struct Erased<K>(PhantomData<fn() -> K>);

impl<K> Erased<K> {
    /// The erased form of `K`.
    pub const fn new() -> Self {
        Erased(PhantomData)
    }
}

impl<K> Default for Erased<K> {
    fn default() -> Self {
        Self::new()
    }
}

pub(super) fn typed<T: DeserializeOwned>(what: &'static str, address: &Address, json: &Json) -> Result<T, ResourceError> {
    T::deserialize(json).map_err(|error| ResourceError::Malformed { what, address: address.to_string(), reason: error.to_string() })
}

pub(super) fn json<T: Serialize>(what: &'static str, address: &Address, value: &T) -> Result<Json, ResourceError> {
    serde_json::to_value(value).map_err(|error| ResourceError::Malformed { what, address: address.to_string(), reason: error.to_string() })
}

#[async_trait(?Send)]
impl<K: ResourceKind> AnyKind for Erased<K> {
    fn kind(&self) -> Kind {
        K::KIND
    }

    fn goes_with(&self) -> Option<Kind> {
        K::GOES_WITH
    }

    fn ends(&self) -> bool {
        K::ENDS
    }

    fn failure(&self, address: &Address, attributes: &Json) -> Result<Option<String>, ResourceError> {
        Ok(K::failure(&typed("attributes", address, attributes)?))
    }

    fn holds(&self, path: &str) -> bool {
        K::holds(path)
    }

    fn excludes(&self, address: &Address, coming: &Json, going: &Json) -> Result<bool, ResourceError> {
        Ok(K::excludes(&typed("spec", address, coming)?, &typed("spec", address, going)?))
    }

    fn at_hand(&self, address: &Address, spec: &Json, secrets: &dyn Secrets, artifacts: &dyn Artifacts) -> Result<(), ResourceError> {
        K::at_hand(address, &typed("spec", address, spec)?, secrets, artifacts)
    }

    fn effect(&self, path: &str, before: &Json, after: &Json) -> Effect {
        K::effect(path, before, after)
    }

    fn side_effects(&self, paths: &[&str]) -> Vec<String> {
        K::side_effects(paths)
    }

    fn unsettles(&self, paths: &[&str]) -> &'static [&'static str] {
        K::unsettles(paths)
    }

    fn observed(&self, address: &Address, spec: &Json, attributes: &Json) -> Result<Json, ResourceError> {
        let observed = K::observed(typed("spec", address, spec)?, &typed("attributes", address, attributes)?);
        json("spec", address, &observed)
    }

    fn priced(&self, address: &Address, spec: &Json) -> Result<Option<Priced>, ResourceError> {
        Ok(K::priced(&typed("spec", address, spec)?))
    }

    fn last_resort(&self, address: &Address, spec: &Json) -> Result<Option<String>, ResourceError> {
        Ok(K::last_resort(&typed("spec", address, spec)?))
    }

    async fn read_many(
        &self,
        context: &ReadContext<'_>,
        known: &[(Address, String, Json)],
    ) -> Result<BTreeMap<String, Json>, ResourceError> {
        let found = K::read_many(context, known).await?;
        let address = |id: &str| known.iter().find(|(_, known, _)| known == id).map(|(address, ..)| address.clone());
        found
            .into_iter()
            .filter_map(|(id, attributes)| {
                let address = address(&id)?;
                Some(json("attributes", &address, &attributes).map(|attributes| (id, attributes)))
            })
            .collect()
    }

    async fn create(&self, context: &Context<'_>, spec: &Json) -> Result<String, ResourceError> {
        K::create(context, &typed("spec", context.address, spec)?).await
    }

    async fn converge(&self, context: &Context<'_>, id: &str, spec: &Json) -> Result<Json, ResourceError> {
        let attributes = K::converge(context, id, &typed("spec", context.address, spec)?).await?;
        json("attributes", context.address, &attributes)
    }

    async fn delete(&self, context: &Context<'_>, id: &str, spec: &Json) -> Result<(), ResourceError> {
        K::delete(context, id, &typed("spec", context.address, spec)?).await
    }

    async fn find(&self, context: &Context<'_>, spec: &Json) -> Result<Option<String>, ResourceError> {
        K::find(context, &typed("spec", context.address, spec)?).await
    }

    async fn tagged(&self, context: &ReadContext<'_>) -> Result<Vec<Found>, ResourceError> {
        let form = |found: Tagged<K::Spec>| {
            let spec = serde_json::to_value(&found.spec).map_err(|error| ResourceError::Malformed {
                what: "spec",
                address: found.id.clone(),
                reason: error.to_string(),
            })?;
            Ok(found.map(|_| spec))
        };
        K::tagged(context).await?.into_iter().map(form).collect()
    }
}

/// The value of a field that has to be known by now.
pub fn needed<T>(value: &Value<T>) -> Result<&T, ResourceError> {
    match value {
        Value::Known(value) => Ok(value),
        Value::Pending(reference) => Err(ResourceError::StillPending { reference: reference.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::Silent;
    use crate::model::secret::{Secret, SecretSource};

    struct Nothing;

    #[async_trait]
    impl Cloud for Nothing {
        async fn send(&self, call: crate::cloud::call::Call) -> Result<crate::cloud::call::Answer, crate::cloud::error::ApiError> {
            panic!("{} was not expected", call.action)
        }

        async fn presign(&self, _: &crate::cloud::call::Link<'_>) -> Result<String, crate::cloud::error::ApiError> {
            Ok(String::new())
        }
    }

    impl Secrets for Nothing {
        fn read(&self, _source: &SecretSource) -> Option<Secret> {
            None
        }
    }

    impl Artifacts for Nothing {
        fn archive(&self, _digest: &str) -> Option<Bytes> {
            None
        }

        fn room(&self, _place: &str) -> Result<(), String> {
            Ok(())
        }

        fn receive(&self, _delivery: &Delivery<'_>) -> Result<Received, String> {
            Ok(Received::default())
        }
    }

    #[test]
    fn calls_of_one_attempt_have_tokens_of_their_own_and_creations_tell_attempts_apart() {
        let identity = Identity { stack: "shop".to_owned(), lineage: "0123".to_owned() };
        let address = Address::new(Kind::Instance, "web-1");
        let (one, two) = ("a".repeat(64), "b".repeat(64));
        let context = |token| Context {
            cloud: &Nothing,
            clock: &crate::model::clock::SystemClock,
            region: "cn-hangzhou",
            identity: &identity,
            address: &address,
            token,
            deadline: None,
            events: &Silent,
            secrets: &Nothing,
            artifacts: &Nothing,
        };
        let tokens = [context(&one).token_of("start"), context(&one).token_of("verify"), context(&two).token_of("start"), one.clone()];
        assert!(tokens.iter().all(|token| token.len() <= 64));
        assert_eq!(std::collections::BTreeSet::from(tokens).len(), 4);
        assert_eq!(context(&one).tags(), context(&one).tags());
        assert_ne!(context(&one).tags(), context(&two).tags());
    }
}
