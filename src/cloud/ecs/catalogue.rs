//! What can be bought, where, and for how much.

#![expect(missing_docs, reason = "the fields carry the API's own names, which its reference explains")]

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cloud::api::{list, rpc};

rpc! {
    DescribeRegions => DescribeRegionsResponse, Ecs, Safe;
    DescribeInstanceTypes => DescribeInstanceTypesResponse, Ecs, Safe;
    DescribeAvailableResource => DescribeAvailableResourceResponse, Ecs, Safe;
    DescribeRecommendInstanceType => DescribeRecommendInstanceTypeResponse, Ecs, Safe;
    DescribePrice => DescribePriceResponse, Ecs, Safe;
    DescribeImageFromFamily => DescribeImageFromFamilyResponse, Ecs, Safe;
}

/// Lists the regions.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeRegions {
    pub accept_language: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeRegionsResponse {
    pub regions: Regions,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Regions {
    #[serde(default, deserialize_with = "list")]
    pub region: Vec<Region>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Region {
    pub region_id: String,
}

/// Describes all instance types of all regions, at most 1600 a page.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeInstanceTypes {
    pub max_results: u32,
    pub next_token: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeInstanceTypesResponse {
    pub instance_types: InstanceTypes,
    #[serde(default)]
    pub next_token: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct InstanceTypes {
    #[serde(default, deserialize_with = "list")]
    pub instance_type: Vec<InstanceType>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct InstanceType {
    pub instance_type_id: String,
    pub instance_type_family: String,
    /// `EntryLevel`, `EnterpriseLevel`, `CreditEntryLevel`.
    #[serde(default)]
    pub instance_family_level: String,
    pub cpu_core_count: u32,
    /// GiB.
    #[serde(with = "rust_decimal::serde::float")]
    #[schemars(with = "f32")]
    pub memory_size: Decimal,
    pub cpu_architecture: String,
    #[serde(rename = "GPUAmount", default)]
    pub gpu_amount: u32,
    #[serde(rename = "GPUSpec", default)]
    pub gpu_spec: String,
}

/// Asks which types are in stock in which zones of a region.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeAvailableResource {
    pub region_id: String,
    /// `InstanceType`.
    pub destination_resource: String,
    pub instance_charge_type: String,
    /// `SpotAsPriceGo` asks for what is left to the market.
    pub spot_strategy: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeAvailableResourceResponse {
    pub available_zones: AvailableZones,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct AvailableZones {
    #[serde(default, deserialize_with = "list")]
    pub available_zone: Vec<AvailableZone>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct AvailableZone {
    pub zone_id: String,
    pub status_category: String,
    pub available_resources: AvailableResources,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct AvailableResources {
    #[serde(default, deserialize_with = "list")]
    pub available_resource: Vec<AvailableResource>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct AvailableResource {
    pub supported_resources: SupportedResources,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct SupportedResources {
    #[serde(default, deserialize_with = "list")]
    pub supported_resource: Vec<SupportedResource>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct SupportedResource {
    pub value: String,
    /// `Available` or `SoldOut`.
    pub status: String,
}

/// Asks for types like another that are in stock, best first by the strategy.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeRecommendInstanceType {
    pub region_id: String,
    /// `vpc`.
    pub network_type: String,
    /// The type whose like is looked for.
    pub instance_type: String,
    pub instance_charge_type: String,
    /// `PriceFirst`, `InventoryFirst`, `NewProductFirst`.
    pub priority_strategy: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeRecommendInstanceTypeResponse {
    pub data: Recommendations,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Recommendations {
    #[serde(default, deserialize_with = "list")]
    pub recommend_instance_type: Vec<Recommendation>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Recommendation {
    pub instance_type: RecommendedType,
    pub zones: RecommendedZones,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RecommendedType {
    pub instance_type: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub struct RecommendedZones {
    #[serde(default, deserialize_with = "list")]
    pub zone: Vec<RecommendedZone>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RecommendedZone {
    pub zone_no: String,
}

/// Asks what an instance with its disk costs.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribePrice {
    pub region_id: String,
    /// `instance`.
    pub resource_type: String,
    pub instance_type: String,
    pub image_id: Option<String>,
    pub system_disk: PricedDisk,
    pub internet_max_bandwidth_out: u32,
    pub internet_charge_type: String,
    pub zone_id: Option<String>,
    /// `Hour`.
    pub price_unit: String,
    pub amount: u32,
    /// `SpotAsPriceGo` asks for the price of the market.
    pub spot_strategy: Option<String>,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct PricedDisk {
    pub category: String,
    /// GiB.
    pub size: u32,
    pub performance_level: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribePriceResponse {
    pub price_info: PriceInfo,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct PriceInfo {
    pub price: Price,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Price {
    #[serde(with = "rust_decimal::serde::float")]
    #[schemars(with = "f32")]
    pub trade_price: Decimal,
    pub currency: String,
    #[serde(default)]
    pub detail_infos: Option<DetailInfos>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DetailInfos {
    #[serde(default, deserialize_with = "list")]
    pub detail_info: Vec<DetailInfo>,
}

/// One part of the price: `instanceType`, `systemDisk`, `bandwidth`, `image`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DetailInfo {
    pub resource: String,
    #[serde(with = "rust_decimal::serde::float")]
    #[schemars(with = "f32")]
    pub trade_price: Decimal,
}

/// Asks for the newest image of a family.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeImageFromFamily {
    pub region_id: String,
    pub image_family: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeImageFromFamilyResponse {
    #[serde(default)]
    pub image: Option<Image>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Image {
    pub image_id: String,
    /// `Aliyun`, `Ubuntu`, `Debian`, `CentOS` ...
    #[serde(default)]
    pub platform: String,
    /// GiB.
    #[serde(default)]
    pub size: u32,
}
