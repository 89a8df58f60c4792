//! A function that is there for the invocations of one job. It costs nothing by itself. What its invocations leave in the
//! bucket goes with it, since nobody writes there any more.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::error::ResourceError;
use super::kind::{Artifacts, Context, Identity, ReadContext, ResourceKind, TAG_ADDRESS, TAG_LINEAGE, needed};
use super::name;
use super::tagged::{Tagged, tags};
use super::wait::{self, Look};
use crate::cloud::api::ask;
use crate::cloud::call::Cloud;
use crate::cloud::error::ApiError;
use crate::cloud::fc::{
    AsyncConfig, Code, CreateFunction, DeleteAsyncInvokeConfig, DeleteFunction, Function, FunctionInput, FunctionTag, GetFunction,
    ListAsyncTasks, ListFunctions, NewFunction, PutAsyncInvokeConfig, StopAsyncTask, UpdateFunction,
};
use crate::cloud::oss;
use crate::model::address::{Address, Kind};
use crate::model::change::Effect;
use crate::model::event::Event;
use crate::model::secret::Secrets;
use crate::model::units;
use crate::model::value::{Reference, Value};

/// The largest package that a call itself takes, in bytes; a larger one is read from the bucket. Source: Function
/// Compute, limits: 100 MB as Base64, 50 MB in some regions.
pub const LARGEST_INLINE: u64 = 50 * 1024 * 1024;
/// The largest package at all, in bytes.
pub const LARGEST: u64 = 500 * 1024 * 1024;
/// What every function of ours begins with.
const OURS: &str = "aliform-";
/// How long an invocation may wait for its turn, in seconds.
const OLDEST: u32 = 3600;
const READY_LIMIT: Duration = Duration::from_secs(300);
const BUSY: &[&str] = &["ConcurrentUpdateError"];

/// What is wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FunctionSpec {
    /// Its name, unique in a region of the account.
    pub name: String,
    /// `python3.10`.
    pub runtime: String,
    /// `module.function`.
    pub handler: String,
    /// vCPU in steps of 0.05.
    pub cpu: Decimal,
    /// MiB in steps of 64.
    pub memory: u32,
    /// MiB: 512 or 10240.
    pub disk: u32,
    /// When the cloud itself ends an invocation, in seconds.
    pub timeout: u32,
    /// Whether it is invoked by tasks.
    pub asynchronous: bool,
    /// SHA-256 of its code package, in hex.
    pub digest: String,
    /// CRC-64 of it in decimal, as the cloud tells it.
    pub checksum: String,
    /// Bytes of it.
    pub size: u64,
    /// The bucket that a large package passes through, and that invocations write to.
    pub bucket: Value<String>,
}

/// What the cloud says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FunctionAttributes {
    /// Its name.
    pub id: String,
    /// `python3.10`.
    pub runtime: String,
    /// `module.function`.
    pub handler: String,
    /// vCPU.
    pub cpu: Decimal,
    /// MiB.
    pub memory: u32,
    /// Seconds.
    pub timeout: u32,
    /// CRC-64 of its code.
    pub checksum: String,
}

/// The kind.
pub struct FunctionKind;

/// Below which key a large package lies on its way.
fn code_folder(address: &Address) -> String {
    format!("code/{}/", address.name)
}

fn attributes(function: Function) -> FunctionAttributes {
    FunctionAttributes {
        id: function.function_name,
        runtime: function.runtime,
        handler: function.handler,
        cpu: function.cpu.normalize(),
        memory: function.memory_size,
        timeout: function.timeout,
        checksum: function.code_checksum,
    }
}

fn fits(function: &Function, spec: &FunctionSpec) -> bool {
    (&function.runtime, &function.handler, &function.code_checksum) == (&spec.runtime, &spec.handler, &spec.checksum)
        && (function.cpu, function.memory_size, function.timeout) == (spec.cpu, spec.memory, spec.timeout)
}

async fn get(cloud: &dyn Cloud, region: &str, name: &str) -> Result<Option<Function>, ApiError> {
    match ask(cloud, region, &GetFunction { function_name: name.to_owned() }).await {
        Ok(function) => Ok(Some(function)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_ours(function: &Function, identity: &Identity, address: &Address) -> bool {
    let has = |key: &str, value: &str| function.tags.iter().any(|tag| tag.key == key && tag.value == value);
    has(TAG_LINEAGE, &identity.lineage) && has(TAG_ADDRESS, &address.to_string())
}

/// What the function is made of. A large package is put into the bucket first.
async fn input(context: &Context<'_>, spec: &FunctionSpec) -> Result<FunctionInput, ResourceError> {
    let gone = || ResourceError::BundleChanged { address: context.address.to_string(), digest: spec.digest.clone() };
    let archive = context.artifacts.archive(&spec.digest).ok_or_else(gone)?;
    let code = if spec.size <= LARGEST_INLINE {
        Code { zip_file: Some(STANDARD.encode(&archive)), ..Code::default() }
    } else {
        let (bucket, key) = (needed(&spec.bucket)?, format!("{}{}.zip", code_folder(context.address), spec.digest));
        if oss::object_size(context.cloud, context.region, bucket, &key).await? != Some(spec.size) {
            oss::put_object(context.cloud, context.region, bucket, &key, archive).await?;
        }
        Code { oss_bucket_name: Some(bucket.clone()), oss_object_name: Some(key), ..Code::default() }
    };
    Ok(FunctionInput {
        description: format!("{} of the stack {}, made by aliform", context.address, context.identity.stack),
        runtime: spec.runtime.clone(),
        handler: spec.handler.clone(),
        code,
        cpu: spec.cpu,
        memory_size: spec.memory,
        disk_size: spec.disk,
        timeout: spec.timeout,
        environment_variables: BTreeMap::new(),
        custom_runtime_config: None,
        gpu_config: None,
        instance_concurrency: 1,
        internet_access: true,
    })
}

/// A function as a spec, as far as it says so itself. Whether it has tasks is for its deletion to find out, and its
/// bucket goes on its own.
fn there(function: Function) -> FunctionSpec {
    FunctionSpec {
        name: function.function_name,
        runtime: function.runtime,
        handler: function.handler,
        cpu: function.cpu,
        memory: function.memory_size,
        disk: 0,
        timeout: function.timeout,
        asynchronous: true,
        digest: String::new(),
        checksum: function.code_checksum,
        size: 0,
        bucket: Value::Pending(Reference::new(Address::new(Kind::Bucket, "main"), "id")),
    }
}

/// Stops every task that is not over: one that went on without its function would cost money unseen.
async fn stop_tasks(context: &Context<'_>, name: &str) -> Result<(), ApiError> {
    let mut query = ListAsyncTasks { function_name: name.to_owned(), next_token: None, limit: 100 };
    loop {
        let page = match ask(context.cloud, context.region, &query).await {
            Err(error) if error.is_not_found() => return Ok(()),
            other => other?,
        };
        for task in page.tasks.iter().filter(|task| !task.is_over()) {
            stop_task(context, name, &task.task_id).await?;
        }
        query.next_token = Some(page.next_token).filter(|token| !token.is_empty());
        if query.next_token.is_none() {
            return Ok(());
        }
    }
}

async fn stop_task(context: &Context<'_>, name: &str, task: &str) -> Result<(), ApiError> {
    let stop = StopAsyncTask { function_name: name.to_owned(), task_id: task.to_owned() };
    match ask(context.cloud, context.region, &stop).await {
        // It came to its end meanwhile.
        Err(error) if error.is_not_found() || error.is(&["PreconditionFailed"]) => Ok(()),
        other => other.map(|_| ()),
    }
}

#[async_trait(?Send)]
impl ResourceKind for FunctionKind {
    const KIND: Kind = Kind::Function;
    type Spec = FunctionSpec;
    type Attributes = FunctionAttributes;

    fn effect(path: &str, _before: &Json, _after: &Json) -> Effect {
        if path == "name" { Effect::ForcesReplace } else { Effect::InPlace }
    }

    fn at_hand(address: &Address, spec: &FunctionSpec, _secrets: &dyn Secrets, artifacts: &dyn Artifacts) -> Result<(), ResourceError> {
        match artifacts.archive(&spec.digest) {
            Some(_) => Ok(()),
            None => Err(ResourceError::BundleChanged { address: address.to_string(), digest: spec.digest.clone() }),
        }
    }

    fn observed(spec: FunctionSpec, said: &FunctionAttributes) -> FunctionSpec {
        FunctionSpec {
            name: said.id.clone(),
            runtime: said.runtime.clone(),
            handler: said.handler.clone(),
            cpu: said.cpu,
            memory: said.memory,
            timeout: said.timeout,
            checksum: said.checksum.clone(),
            ..spec
        }
    }

    fn last_resort(spec: &FunctionSpec) -> Option<String> {
        let after = units::Duration::of(u64::from(spec.timeout));
        Some(format!("the cloud itself ends each of its runs after {after} (timeout)"))
    }

    async fn read_many(
        context: &ReadContext<'_>,
        known: &[(Address, String, Json)],
    ) -> Result<BTreeMap<String, FunctionAttributes>, ResourceError> {
        let mut found = BTreeMap::new();
        let mut query = ListFunctions { prefix: Some(OURS.to_owned()), next_token: None, limit: 100 };
        while !known.is_empty() {
            let page = ask(context.cloud, context.region, &query).await?;
            let ours = page.functions.into_iter().filter(|function| known.iter().any(|(_, id, _)| *id == function.function_name));
            found.extend(ours.map(|function| (function.function_name.clone(), attributes(function))));
            query.next_token = Some(page.next_token).filter(|token| !token.is_empty());
            if query.next_token.is_none() {
                break;
            }
        }
        Ok(found)
    }

    /// Its name makes it happen once: one of that name that bears our tags is the one that an earlier attempt made.
    async fn create(context: &Context<'_>, spec: &FunctionSpec) -> Result<String, ResourceError> {
        let tags = context.new_tags().into_iter().map(|tag| FunctionTag { key: tag.key, value: tag.value }).collect();
        let body = NewFunction { function_name: spec.name.clone(), input: input(context, spec).await?, tags };
        match ask(context.cloud, context.region, &CreateFunction { body }).await {
            Ok(_) => Ok(spec.name.clone()),
            Err(error) if error.is(&["FunctionAlreadyExists"]) => match Self::find(context, spec).await? {
                Some(id) => Ok(id),
                None => Err(ResourceError::InTheWay(format!(
                    "there is a function `{}` in {} that is not of this stack: delete it, or give the stack or the job another name",
                    spec.name, context.region
                ))),
            },
            Err(error) => Err(error.into()),
        }
    }

    async fn converge(context: &Context<'_>, id: &str, spec: &FunctionSpec) -> Result<FunctionAttributes, ResourceError> {
        let there = get(context.cloud, context.region, id).await?.ok_or_else(|| ResourceError::Vanished { id: id.to_owned() })?;
        if !fits(&there, spec) {
            let update = UpdateFunction { function_name: id.to_owned(), body: input(context, spec).await? };
            wait::while_refused(context, "update the function", BUSY, READY_LIMIT, async || {
                ask(context.cloud, context.region, &update).await
            })
            .await?;
        }
        if spec.asynchronous {
            // A run that is tried again by the service would run twice.
            let body = AsyncConfig { async_task: true, max_async_event_age_in_seconds: OLDEST, max_async_retry_attempts: 0 };
            ask(context.cloud, context.region, &PutAsyncInvokeConfig { function_name: id.to_owned(), body }).await?;
        }
        let ready = wait::until(context, "the function to be ready", READY_LIMIT, async || {
            let Some(function) = get(context.cloud, context.region, id).await? else { return Ok(Look::Absent(id.to_owned())) };
            match function.state.as_str() {
                // One that would let its runs go on is none to run anything with.
                "" | "Active" if function.timeout != spec.timeout => Ok(Look::NotYet(format!("timeout {} s", function.timeout))),
                "" | "Active" => Ok(Look::Ready(attributes(function))),
                "Failed" => Err(ResourceError::InTheWay(format!("the function `{id}` can't be used: its state is `Failed`"))),
                state => Ok(Look::NotYet(state.to_owned())),
            }
        })
        .await?;
        let detail = format!("the cloud itself ends each of its runs after {} s", ready.timeout);
        context.events.emit(Event::StepChecked { address: context.address.clone(), check: "end".to_owned(), passed: true, detail });
        Ok(ready)
    }

    async fn delete(context: &Context<'_>, id: &str, spec: &FunctionSpec) -> Result<(), ResourceError> {
        if spec.asynchronous {
            stop_tasks(context, id).await?;
            let forgotten = ask(context.cloud, context.region, &DeleteAsyncInvokeConfig { function_name: id.to_owned() }).await;
            forgotten.map(|_| ()).or_else(|error| if error.is_not_found() { Ok(()) } else { Err(error) })?;
        }
        let delete = DeleteFunction { function_name: id.to_owned() };
        wait::while_refused(context, "delete the function", BUSY, READY_LIMIT, async || {
            match ask(context.cloud, context.region, &delete).await {
                Err(error) if error.is_not_found() => Ok(()),
                other => other.map(|_| ()),
            }
        })
        .await?;
        let Some(bucket) = spec.bucket.known() else { return Ok(()) };
        for folder in [name::runs(&context.address.name), code_folder(context.address)] {
            for object in oss::list_objects(context.cloud, context.region, bucket, &folder).await? {
                oss::delete_object(context.cloud, context.region, bucket, &object.key).await?;
            }
        }
        Ok(())
    }

    async fn find(context: &Context<'_>, spec: &FunctionSpec) -> Result<Option<String>, ResourceError> {
        let found = get(context.cloud, context.region, &spec.name).await?;
        Ok(found.filter(|function| is_ours(function, context.identity, context.address)).map(|function| function.function_name))
    }

    async fn tagged(context: &ReadContext<'_>) -> Result<Vec<Tagged<FunctionSpec>>, ResourceError> {
        let mut query = ListFunctions { prefix: Some(OURS.to_owned()), next_token: None, limit: 100 };
        let mut all = Vec::new();
        loop {
            let page = ask(context.cloud, context.region, &query).await?;
            all.extend(page.functions.into_iter().map(|mut function| {
                let own = tags(std::mem::take(&mut function.tags).into_iter().map(|tag| (tag.key, tag.value)));
                let (id, came) = (function.function_name.clone(), std::mem::take(&mut function.created_time));
                Tagged::new(&id, own, &came, there(function))
            }));
            query.next_token = Some(page.next_token).filter(|token| !token.is_empty());
            if query.next_token.is_none() {
                all.retain(Tagged::is_ours);
                return Ok(all);
            }
        }
    }
}
