//! A virtual machine.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::error::ResourceError;
use super::kind::{Context, Priced, ReadContext, ResourceKind, needed};
use super::tagged::{Tagged, moment, tags};
use super::wait::{self, Look};
use crate::cloud::api::{JsonList, ask};
use crate::cloud::ecs::assistant::DescribeCloudAssistantStatus;
use crate::cloud::ecs::instance::{
    DeleteInstance, DescribeDisks, DescribeInstances, Disk, EcsTags, Instance, ModifyInstanceAttribute, ModifyInstanceSpec, RunInstances,
    StartInstance, StopInstance, SystemDisk,
};
use crate::cloud::error::ApiError;
use crate::model::address::{Address, Kind};
use crate::model::change::Effect;
use crate::model::event::Event;
use crate::model::money::Money;
use crate::model::units;
use crate::model::value::Value;

/// The most identifiers of a DescribeInstances.
const IDS_A_CALL: usize = 100;
const LIMIT: Duration = Duration::from_secs(600);
const BUSY: &[&str] = &["IncorrectVSwitchStatus", "IncorrectVpcStatus", "OperationConflict", "LastTokenProcessing", "IdempotentProcessing"];
const CHANGING: &[&str] = &[
    "IncorrectInstanceStatus",
    "InvalidOperation.Conflict",
    "LastOrderProcessing",
    "LastRequestProcessing",
    "LastTokenProcessing",
    "OperationConflict",
    "InvalidInstanceStatus.NotStopped",
    "InvalidStatus.Upgrading",
];
const LINGERING: &[&str] =
    &["IncorrectInstanceStatus", "IncorrectInstanceStatus.Initializing", "DependencyViolation.RouteEntry", "LastTokenProcessing"];

/// How long a list may take to show an AutoReleaseTime.
const SWITCH_LIMIT: Duration = Duration::from_secs(60);
/// The cloud takes no AutoReleaseTime sooner than half an hour from now.
const SOONEST_RELEASE: u64 = 1800;

/// What is wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InstanceSpec {
    /// Its name in the console and its host name.
    pub name: String,
    /// The zone it stands in.
    pub zone: String,
    /// `ecs.u1-c1m2.large`.
    pub instance_type: String,
    /// The image it starts from.
    pub image_id: String,
    /// Its subnet.
    pub vswitch_id: Value<String>,
    /// Its security group.
    pub security_group_id: Value<String>,
    /// Its system disk.
    pub system_disk: DiskSpec,
    /// Mbit/s to the internet, paid by traffic; 0 means no public address.
    pub bandwidth: u32,
    /// Whether it runs; someone may have stopped it.
    pub power: Power,
    /// After how many seconds of its life the cloud itself deletes it, should nobody have done so; never without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_after: Option<u64>,
    /// At the price of the market: the cloud takes it back when it needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spot: Option<SpotSpec>,
}

/// How an instance is bought on the market.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SpotSpec {
    /// What an hour of its type may cost at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<Money>,
}

impl SpotSpec {
    fn strategy(&self) -> &'static str {
        if self.cap.is_some() { "SpotWithPriceLimit" } else { "SpotAsPriceGo" }
    }
}

/// Whether an instance runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    /// It runs, or is about to.
    Running,
    /// It is stopped, or is about to be.
    Stopped,
}

/// A disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DiskSpec {
    /// `cloud_essd`.
    pub category: String,
    /// `PL0`, where the category has levels.
    pub performance_level: Option<String>,
    /// GiB.
    pub size: u32,
}

/// What the cloud says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InstanceAttributes {
    /// `i-...`
    pub id: String,
    /// Its name.
    pub name: String,
    /// `Pending`, `Starting`, `Running`, `Stopping`, `Stopped`.
    pub status: String,
    /// Its zone.
    pub zone: String,
    /// Its type.
    pub instance_type: String,
    /// Its image.
    pub image_id: String,
    /// Its subnet.
    pub vswitch_id: String,
    /// Its security group.
    pub security_group_id: String,
    /// Security groups besides; aliform gives it one only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_security_groups: Vec<String>,
    /// Its address inside the network.
    pub private_ip: String,
    /// Its public address, its own or an elastic one; null if it has none.
    pub public_ip: Option<String>,
    /// Mbit/s to the internet.
    pub bandwidth: u32,
    /// When the cloud made it, to the minute.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub created_at: String,
    /// When it was started last; another value means that its processes are new.
    pub started_at: String,
    /// When the cloud itself deletes it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub release_at: String,
}

/// The kind.
pub struct InstanceKind;

fn attributes(instance: Instance) -> InstanceAttributes {
    let first = |list: Vec<String>| list.into_iter().find(|text| !text.is_empty());
    let elastic = instance.eip_address.map(|eip| eip.ip_address).filter(|address| !address.is_empty());
    let own = first(instance.public_ip_address.ip_address);
    let mut groups = instance.security_group_ids.security_group_id;
    groups.sort();
    let mut groups = groups.into_iter();
    InstanceAttributes {
        id: instance.instance_id,
        name: instance.instance_name,
        status: instance.status,
        zone: instance.zone_id,
        instance_type: instance.instance_type,
        image_id: instance.image_id,
        vswitch_id: instance.vpc_attributes.v_switch_id,
        security_group_id: groups.next().unwrap_or_default(),
        more_security_groups: groups.collect(),
        private_ip: first(instance.vpc_attributes.private_ip_address.ip_address).unwrap_or_default(),
        // With an elastic address and none of its own, the bandwidth is that of the elastic one.
        bandwidth: if own.is_none() && elastic.is_some() { 0 } else { instance.internet_max_bandwidth_out },
        public_ip: own.or(elastic),
        created_at: instance.creation_time,
        started_at: instance.start_time,
        release_at: instance.auto_release_time,
    }
}

impl InstanceAttributes {
    /// The group to compare with the wanted one: another one if the instance is in any other.
    fn group_beside(&self, wanted: Option<&String>) -> &String {
        let mut all = std::iter::once(&self.security_group_id).chain(&self.more_security_groups);
        all.find(|group| Some(*group) != wanted).unwrap_or(&self.security_group_id)
    }
}

async fn describe(context: &ReadContext<'_>, query: DescribeInstances) -> Result<Vec<InstanceAttributes>, ResourceError> {
    Ok(list(context, query).await?.into_iter().map(attributes).collect())
}

async fn list(context: &ReadContext<'_>, mut query: DescribeInstances) -> Result<Vec<Instance>, ResourceError> {
    query.region_id = context.region.to_owned();
    query.max_results = 100;
    let mut all = Vec::new();
    loop {
        let answer = ask(context.cloud, context.region, &query).await?;
        all.extend(answer.instances.instance);
        query.next_token = answer.next_token.filter(|token| !token.is_empty());
        if query.next_token.is_none() {
            return Ok(all);
        }
    }
}

async fn read(context: &ReadContext<'_>, id: &str) -> Result<Option<InstanceAttributes>, ResourceError> {
    let query = DescribeInstances { instance_ids: Some(JsonList(vec![id.to_owned()])), ..Default::default() };
    Ok(describe(context, query).await?.into_iter().find(|instance| instance.id == id))
}

/// The system disk of an instance.
async fn system_disk(context: &ReadContext<'_>, id: &str) -> Result<DiskSpec, ResourceError> {
    let query = DescribeDisks { region_id: context.region.to_owned(), instance_id: Some(id.to_owned()), max_results: 100 };
    let disks = ask(context.cloud, context.region, &query).await?.disks.disk;
    let disk = disks.into_iter().find(|disk| disk.role == "system");
    let spec = |disk: Disk| DiskSpec {
        category: disk.category,
        performance_level: disk.performance_level.filter(|level| !level.is_empty()),
        size: disk.size,
    };
    Ok(disk.map_or(DiskSpec { category: String::new(), performance_level: None, size: 0 }, spec))
}

/// An instance as a spec, as far as it says so itself.
fn there(instance: InstanceAttributes, system_disk: DiskSpec, spot: bool) -> InstanceSpec {
    InstanceSpec {
        power: if instance.status.starts_with("Stop") { Power::Stopped } else { Power::Running },
        name: instance.name,
        zone: instance.zone,
        instance_type: instance.instance_type,
        image_id: instance.image_id,
        vswitch_id: Value::Known(instance.vswitch_id),
        security_group_id: Value::Known(instance.security_group_id),
        system_disk,
        bandwidth: instance.bandwidth,
        release_after: None,
        spot: spot.then(SpotSpec::default),
    }
}

/// When an instance made now is to be deleted by the cloud: to the minute, and not sooner than the cloud allows.
fn release_time(now: Timestamp, seconds: u64) -> Option<String> {
    let seconds = i64::try_from(seconds.max(SOONEST_RELEASE)).ok()?;
    let at = now.checked_add(SignedDuration::from_secs(seconds + 60)).ok()?;
    Some(at.strftime("%Y-%m-%dT%H:%M:00Z").to_string())
}

/// Waits until it neither comes nor goes.
async fn settled(context: &Context<'_>, id: &str) -> Result<InstanceAttributes, ResourceError> {
    wait::until(context, "the instance", LIMIT, async || {
        Ok(match read(&context.reading(), id).await? {
            Some(instance) if matches!(instance.status.as_str(), "Running" | "Stopped") => Look::Ready(instance),
            Some(instance) => Look::NotYet(instance.status),
            None => Look::Absent(id.to_owned()),
        })
    })
    .await
}

/// Brings it from one of the two resting states to the other. The call is made again while the state does not move:
/// a new instance passes through `Stopped` by itself, and then refuses the call until it runs.
async fn power(context: &Context<'_>, id: &str, wanted: Power) -> Result<InstanceAttributes, ResourceError> {
    let (start, stop) = (
        StartInstance { instance_id: id.to_owned() },
        // What is charged on keeps its public address and its place on the host.
        StopInstance { instance_id: id.to_owned(), stopped_mode: Some("KeepCharging".to_owned()) },
    );
    let what = if wanted == Power::Running { "the instance to run" } else { "the instance to stop" };
    wait::until(context, what, LIMIT, async || {
        let Some(instance) = read(&context.reading(), id).await? else { return Ok(Look::Absent(id.to_owned())) };
        let answer = match (instance.status.as_str(), wanted) {
            ("Running", Power::Running) | ("Stopped", Power::Stopped) => return Ok(Look::Ready(instance)),
            ("Stopped", Power::Running) => ask(context.cloud, context.region, &start).await,
            ("Running", Power::Stopped) => ask(context.cloud, context.region, &stop).await,
            _ => return Ok(Look::NotYet(instance.status)),
        };
        match answer {
            Ok(_) => Ok(Look::NotYet(instance.status)),
            Err(error) if error.is(CHANGING) => Ok(Look::NotYet(instance.status)),
            Err(error) => Err(error.into()),
        }
    })
    .await
}

/// Cloud Assistant's agent answers some seconds after the instance runs; nothing can be done on it before.
async fn agent_ready(context: &Context<'_>, id: &str) -> Result<(), ResourceError> {
    let query = DescribeCloudAssistantStatus { region_id: context.region.to_owned(), instance_id: vec![id.to_owned()] };
    wait::until(context, "its Cloud Assistant agent", LIMIT, async || {
        let answer = ask(context.cloud, context.region, &query).await?;
        let statuses = answer.instance_cloud_assistant_status_set.instance_cloud_assistant_status;
        let ready = statuses.iter().any(|status| status.instance_id == id && status.cloud_assistant_status == "true");
        Ok(if ready { Look::Ready(()) } else { Look::NotYet("agent not answering".to_owned()) })
    })
    .await
}

/// Stops the instance and gives it the other type. If that is refused it is started again: what ran before has to run.
async fn change_type(context: &Context<'_>, id: &str, instance_type: &str) -> Result<(), ResourceError> {
    power(context, id, Power::Stopped).await?;
    let modify = ModifyInstanceSpec {
        instance_id: id.to_owned(),
        instance_type: Some(instance_type.to_owned()),
        internet_max_bandwidth_out: None,
        client_token: context.token_of("type"),
    };
    let changed =
        wait::while_refused(context, "change the type", CHANGING, LIMIT, async || ask(context.cloud, context.region, &modify).await).await;
    if let Err(refusal) = changed {
        // Whether or not it comes up again, the refusal is what has to be told.
        drop(power(context, id, Power::Running).await);
        return Err(refusal);
    }
    Ok(())
}

#[async_trait(?Send)]
impl ResourceKind for InstanceKind {
    const KIND: Kind = Kind::Instance;
    type Spec = InstanceSpec;
    type Attributes = InstanceAttributes;

    fn effect(path: &str, before: &Json, after: &Json) -> Effect {
        match path {
            "name" | "instance_type" | "security_group_id" | "power" => Effect::InPlace,
            // The public address comes and goes with the bandwidth, and only a creation hands one out.
            "bandwidth" if before != &Json::from(0) && after != &Json::from(0) => Effect::InPlace,
            _ => Effect::ForcesReplace,
        }
    }

    fn side_effects(paths: &[&str]) -> Vec<String> {
        if paths.contains(&"instance_type") { vec!["stops and starts the instance".to_owned()] } else { Vec::new() }
    }

    fn unsettles(paths: &[&str]) -> &'static [&'static str] {
        if paths.contains(&"instance_type") || paths.contains(&"power") { &["started_at"] } else { &[] }
    }

    /// A group that an instance is in can't be deleted; everything else that holds it forces a replacement anyway.
    fn holds(path: &str) -> bool {
        path == "security_group_id"
    }

    fn observed(spec: InstanceSpec, attributes: &InstanceAttributes) -> InstanceSpec {
        InstanceSpec {
            name: attributes.name.clone(),
            zone: attributes.zone.clone(),
            instance_type: attributes.instance_type.clone(),
            image_id: attributes.image_id.clone(),
            vswitch_id: Value::Known(attributes.vswitch_id.clone()),
            security_group_id: Value::Known(attributes.group_beside(spec.security_group_id.known()).clone()),
            bandwidth: attributes.bandwidth,
            power: if attributes.status.starts_with("Stop") { Power::Stopped } else { Power::Running },
            system_disk: spec.system_disk,
            release_after: spec.release_after,
            spot: spec.spot,
        }
    }

    fn priced(spec: &InstanceSpec) -> Option<Priced> {
        Some(Priced::Instance {
            instance_type: spec.instance_type.clone(),
            zone: spec.zone.clone(),
            disk_category: spec.system_disk.category.clone(),
            disk_level: spec.system_disk.performance_level.clone(),
            disk_size: spec.system_disk.size,
            bandwidth: spec.bandwidth,
            spot: spec.spot.is_some(),
        })
    }

    fn last_resort(spec: &InstanceSpec) -> Option<String> {
        let after = units::Duration::of(spec.release_after?.max(SOONEST_RELEASE));
        Some(format!("the cloud itself deletes it {after} after it came (AutoReleaseTime), should nobody have done so"))
    }

    async fn read_many(
        context: &ReadContext<'_>,
        known: &[(Address, String, Json)],
    ) -> Result<BTreeMap<String, InstanceAttributes>, ResourceError> {
        let mut found = BTreeMap::new();
        for chunk in known.chunks(IDS_A_CALL) {
            let ids = JsonList(chunk.iter().map(|(_, id, _)| id.clone()).collect());
            let instances = describe(context, DescribeInstances { instance_ids: Some(ids), ..Default::default() }).await?;
            found.extend(instances.into_iter().map(|instance| (instance.id.clone(), instance)));
        }
        Ok(found)
    }

    async fn create(context: &Context<'_>, spec: &InstanceSpec) -> Result<String, ResourceError> {
        let call = RunInstances {
            region_id: context.region.to_owned(),
            zone_id: spec.zone.clone(),
            image_id: spec.image_id.clone(),
            instance_type: spec.instance_type.clone(),
            security_group_id: needed(&spec.security_group_id)?.clone(),
            v_switch_id: needed(&spec.vswitch_id)?.clone(),
            instance_name: spec.name.clone(),
            host_name: spec.name.clone(),
            instance_charge_type: "PostPaid".to_owned(),
            internet_charge_type: "PayByTraffic".to_owned(),
            internet_max_bandwidth_out: spec.bandwidth,
            system_disk: SystemDisk {
                category: spec.system_disk.category.clone(),
                size: spec.system_disk.size.to_string(),
                performance_level: spec.system_disk.performance_level.clone(),
            },
            auto_release_time: spec.release_after.and_then(|seconds| release_time(context.clock.now(), seconds)),
            spot_strategy: spec.spot.as_ref().map(|spot| spot.strategy().to_owned()),
            spot_price_limit: spec.spot.as_ref().and_then(|spot| spot.cap).map(|cap| cap.amount.normalize()),
            amount: 1,
            client_token: context.token.to_owned(),
            tag: context.new_tags(),
        };
        let answer =
            wait::while_refused(context, "create the instance", BUSY, LIMIT, async || ask(context.cloud, context.region, &call).await)
                .await?;
        let ids = answer.instance_id_sets.instance_id_set;
        let unreadable = || ApiError::Unreadable { action: "RunInstances", reason: "it names no instance".to_owned() };
        Ok(ids.into_iter().next().ok_or_else(unreadable)?)
    }

    async fn converge(context: &Context<'_>, id: &str, spec: &InstanceSpec) -> Result<InstanceAttributes, ResourceError> {
        let present = settled(context, id).await?;
        let group = needed(&spec.security_group_id)?;
        let (renamed, regrouped) = (present.name != spec.name, present.group_beside(Some(group)) != group);
        if renamed || regrouped {
            let call = ModifyInstanceAttribute {
                instance_id: id.to_owned(),
                instance_name: renamed.then(|| spec.name.clone()),
                security_group_ids: if regrouped { vec![group.clone()] } else { Vec::new() },
            };
            wait::while_refused(context, "change the instance", CHANGING, LIMIT, async || ask(context.cloud, context.region, &call).await)
                .await?;
        }
        let widened = present.bandwidth != spec.bandwidth;
        if widened {
            let call = ModifyInstanceSpec {
                instance_id: id.to_owned(),
                instance_type: None,
                internet_max_bandwidth_out: Some(spec.bandwidth),
                client_token: context.token_of("bandwidth"),
            };
            wait::while_refused(context, "change the bandwidth", CHANGING, LIMIT, async || ask(context.cloud, context.region, &call).await)
                .await?;
        }
        if present.instance_type != spec.instance_type {
            change_type(context, id, &spec.instance_type).await?;
        }
        power(context, id, Power::Running).await?;
        agent_ready(context, id).await?;
        // A machine that was to end by itself and would not is none to spend money on.
        if spec.release_after.is_some() {
            let end = wait::until(context, "the end that the cloud keeps for it", SWITCH_LIMIT, async || {
                Ok(match read(&context.reading(), id).await? {
                    Some(now) if now.release_at.is_empty() => Look::NotYet("no AutoReleaseTime".to_owned()),
                    Some(now) => Look::Ready(now.release_at),
                    None => Look::Absent(id.to_owned()),
                })
            });
            let (address, check) = (context.address.clone(), "end".to_owned());
            let detail = format!("the cloud itself releases it at {}, should nobody have done so", end.await?);
            context.events.emit(Event::StepChecked { address, check, passed: true, detail });
        }
        // A list may lag behind, and what it says last is what the next plan compares with.
        wait::until(context, "the changes to show", LIMIT, async || {
            Ok(match read(&context.reading(), id).await? {
                Some(now)
                    if now.status == "Running"
                        && now.name == spec.name
                        && now.instance_type == spec.instance_type
                        && now.group_beside(Some(group)) == group
                        && (!widened || now.bandwidth == spec.bandwidth) =>
                {
                    Look::Ready(now)
                }
                Some(now) => Look::NotYet(now.status),
                None => Look::Absent(id.to_owned()),
            })
        })
        .await
    }

    async fn delete(context: &Context<'_>, id: &str, _spec: &InstanceSpec) -> Result<(), ResourceError> {
        let call = DeleteInstance { instance_id: id.to_owned(), force: true };
        match wait::while_refused(context, "delete the instance", LINGERING, LIMIT, async || {
            ask(context.cloud, context.region, &call).await
        })
        .await
        {
            Err(ResourceError::Api(error)) if error.is_not_found() => return Ok(()),
            other => other?,
        };
        wait::until(context, "the instance to be gone", LIMIT, async || {
            Ok(match read(&context.reading(), id).await? {
                None => Look::Ready(()),
                Some(instance) => Look::NotYet(instance.status),
            })
        })
        .await
    }

    async fn find(context: &Context<'_>, _spec: &InstanceSpec) -> Result<Option<String>, ResourceError> {
        let query = DescribeInstances { tag: context.tags(), ..Default::default() };
        Ok(describe(&context.reading(), query).await?.into_iter().next().map(|instance| instance.id))
    }

    async fn tagged(context: &ReadContext<'_>) -> Result<Vec<Tagged<InstanceSpec>>, ResourceError> {
        let mut found = Vec::new();
        for mut instance in list(context, DescribeInstances::default()).await? {
            let own = tags(EcsTags::pairs(instance.tags.take()));
            let spot = instance.spot_strategy.starts_with("SpotAs") || instance.spot_strategy.starts_with("SpotWith");
            let instance = attributes(instance);
            let mut bare = Tagged::new(&instance.id, own, &instance.created_at, ());
            bare.ends_at = moment(&instance.release_at);
            if bare.is_ours() {
                let system_disk = system_disk(context, &instance.id).await?;
                found.push(bare.map(|()| there(instance, system_disk, spot)));
            }
        }
        Ok(found)
    }
}
