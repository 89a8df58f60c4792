//! Instances: their life and what they are.

#![expect(missing_docs, reason = "the fields carry the API's own names, which its reference explains")]

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cloud::api::{JsonList, Tag, list, rpc};
use crate::cloud::vpc::Done;

rpc! {
    RunInstances => RunInstancesResponse, Ecs, Safe;
    DescribeInstances => DescribeInstancesResponse, Ecs, Safe;
    StartInstance => Done, Ecs, Safe;
    StopInstance => Done, Ecs, Safe;
    DeleteInstance => Done, Ecs, Safe;
    ModifyInstanceAttribute => Done, Ecs, Safe;
    ModifyInstanceSpec => Done, Ecs, Safe;
    DescribeDisks => DescribeDisksResponse, Ecs, Safe;
}

/// Makes instances. Asynchronous: `Pending`, `Starting`, `Running`.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RunInstances {
    pub region_id: String,
    pub zone_id: String,
    pub image_id: String,
    pub instance_type: String,
    pub security_group_id: String,
    pub v_switch_id: String,
    pub instance_name: String,
    pub host_name: String,
    /// `PostPaid`.
    pub instance_charge_type: String,
    pub internet_charge_type: String,
    /// Mbit/s; above 0 it gets a public address.
    pub internet_max_bandwidth_out: u32,
    pub system_disk: SystemDisk,
    /// `2026-01-02T03:04:00Z`, at least half an hour away; the cloud deletes it then.
    pub auto_release_time: Option<String>,
    /// `SpotAsPriceGo` or `SpotWithPriceLimit`; without it, it is nobody's but ours.
    pub spot_strategy: Option<String>,
    /// An hour of the type at most, in the account's currency; at most three digits after the point.
    #[schemars(with = "Option<f32>")]
    pub spot_price_limit: Option<Decimal>,
    pub amount: u32,
    pub client_token: String,
    pub tag: Vec<Tag>,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct SystemDisk {
    pub category: String,
    /// GiB, as text.
    pub size: String,
    pub performance_level: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RunInstancesResponse {
    pub instance_id_sets: InstanceIdSets,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct InstanceIdSets {
    #[serde(default, deserialize_with = "list")]
    pub instance_id_set: Vec<String>,
}

/// Reads instances: by at most 100 identifiers or by tags; at most 100 a page. Unknown ones are simply absent.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeInstances {
    pub region_id: String,
    pub instance_ids: Option<JsonList>,
    pub tag: Vec<Tag>,
    pub max_results: u32,
    pub next_token: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeInstancesResponse {
    pub instances: Instances,
    #[serde(default)]
    pub next_token: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Instances {
    #[serde(default, deserialize_with = "list")]
    pub instance: Vec<Instance>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Instance {
    pub instance_id: String,
    #[serde(default)]
    pub instance_name: String,
    pub status: String,
    pub zone_id: String,
    pub instance_type: String,
    pub image_id: String,
    /// To the minute.
    #[serde(default)]
    pub creation_time: String,
    #[serde(default)]
    pub start_time: String,
    /// Empty if it is never deleted by itself.
    #[serde(default)]
    pub auto_release_time: String,
    #[serde(default)]
    pub internet_max_bandwidth_out: u32,
    pub vpc_attributes: VpcAttributes,
    pub public_ip_address: IpAddresses,
    #[serde(default)]
    pub eip_address: Option<BoundEip>,
    pub security_group_ids: SecurityGroupIds,
    #[serde(default)]
    pub tags: Option<EcsTags>,
    /// `NoSpot`, `SpotAsPriceGo`, `SpotWithPriceLimit`.
    #[serde(default)]
    pub spot_strategy: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct VpcAttributes {
    pub vpc_id: String,
    pub v_switch_id: String,
    pub private_ip_address: IpAddresses,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct IpAddresses {
    #[serde(default, deserialize_with = "list")]
    pub ip_address: Vec<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct BoundEip {
    #[serde(default)]
    pub allocation_id: String,
    #[serde(default)]
    pub ip_address: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct SecurityGroupIds {
    #[serde(default, deserialize_with = "list")]
    pub security_group_id: Vec<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct EcsTags {
    #[serde(default, deserialize_with = "list")]
    pub tag: Vec<EcsTag>,
}

impl EcsTags {
    /// Key and value of each.
    pub fn pairs(tags: Option<EcsTags>) -> impl Iterator<Item = (String, String)> {
        tags.unwrap_or_default().tag.into_iter().map(|tag| (tag.tag_key, tag.tag_value))
    }
}

/// A tag as ECS answers it; VPC answers `Key` and `Value`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct EcsTag {
    pub tag_key: String,
    #[serde(default)]
    pub tag_value: String,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct StartInstance {
    pub instance_id: String,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct StopInstance {
    pub instance_id: String,
    /// `KeepCharging` or `StopCharging`; without it the account's own setting, which may give the public address away.
    pub stopped_mode: Option<String>,
}

/// Deletes an instance with its system disk; `force` also a running one.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteInstance {
    pub instance_id: String,
    pub force: bool,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyInstanceAttribute {
    pub instance_id: String,
    pub instance_name: Option<String>,
    /// Replaces the whole list.
    pub security_group_ids: Vec<String>,
}

/// Changes the type (the instance must be stopped) or the bandwidth, one of them a call.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyInstanceSpec {
    pub instance_id: String,
    pub instance_type: Option<String>,
    pub internet_max_bandwidth_out: Option<u32>,
    pub client_token: String,
}

/// Reads the disks of an instance; at most 100 a page.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDisks {
    pub region_id: String,
    pub instance_id: Option<String>,
    pub max_results: u32,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeDisksResponse {
    pub disks: Disks,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Disks {
    #[serde(default, deserialize_with = "list")]
    pub disk: Vec<Disk>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Disk {
    pub disk_id: String,
    /// `system` or `data`.
    #[serde(default, rename = "Type")]
    pub role: String,
    #[serde(default)]
    pub category: String,
    #[serde(default)]
    pub performance_level: Option<String>,
    /// GiB.
    #[serde(default)]
    pub size: u32,
}
