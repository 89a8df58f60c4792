//! Virtual Private Cloud, version 2016-04-28: networks, subnets, elastic addresses.

#![expect(missing_docs, reason = "the fields carry the API's own names, which its reference explains")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::api::{CommaList, Tag, list, rpc};

rpc! {
    CreateVpc => CreateVpcResponse, Vpc, Safe;
    DescribeVpcs => DescribeVpcsResponse, Vpc, Safe;
    ModifyVpcAttribute => Done, Vpc, Safe;
    DeleteVpc => Done, Vpc, Safe;
    CreateVSwitch => CreateVSwitchResponse, Vpc, Safe;
    DescribeVSwitches => DescribeVSwitchesResponse, Vpc, Safe;
    ModifyVSwitchAttribute => Done, Vpc, Safe;
    DeleteVSwitch => Done, Vpc, Safe;
    AllocateEipAddress => AllocateEipAddressResponse, Vpc, Safe;
    AssociateEipAddress => Done, Vpc, Safe;
    UnassociateEipAddress => Done, Vpc, Safe;
    ReleaseEipAddress => Done, Vpc, Safe;
    DescribeEipAddresses => DescribeEipAddressesResponse, Vpc, Safe;
}

/// An answer that carries nothing but its `RequestId`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Done {
    /// What support asks for.
    pub request_id: String,
}

/// Makes a network. Asynchronous: `Pending`, then `Available`.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateVpc {
    pub region_id: String,
    pub cidr_block: String,
    pub vpc_name: String,
    pub client_token: String,
    pub tag: Vec<Tag>,
}

/// The new network.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateVpcResponse {
    pub vpc_id: String,
}

/// Reads networks: by at most 20 identifiers, or by tags; at most 50 a page.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeVpcs {
    pub region_id: String,
    #[serde(skip_serializing_if = "is_empty")]
    pub vpc_id: CommaList,
    pub tag: Vec<Tag>,
    pub page_number: u32,
    pub page_size: u32,
}

/// A page of networks.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeVpcsResponse {
    pub vpcs: Vpcs,
    pub total_count: u32,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Vpcs {
    #[serde(default, deserialize_with = "list")]
    pub vpc: Vec<Vpc>,
}

/// A network.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Vpc {
    pub vpc_id: String,
    #[serde(default)]
    pub vpc_name: String,
    pub cidr_block: String,
    pub status: String,
    #[serde(default)]
    pub creation_time: String,
    #[serde(default)]
    pub tags: Option<Tags>,
}

/// Tags as VPC answers them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Tags {
    #[serde(default, deserialize_with = "list")]
    pub tag: Vec<Tag>,
}

impl Tags {
    /// Key and value of each.
    pub fn pairs(tags: Option<Tags>) -> impl Iterator<Item = (String, String)> {
        tags.unwrap_or_default().tag.into_iter().map(|tag| (tag.key, tag.value))
    }
}

/// Renames a network.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyVpcAttribute {
    pub region_id: String,
    pub vpc_id: String,
    pub vpc_name: String,
}

/// Deletes an `Available` network that nothing depends on.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteVpc {
    pub region_id: String,
    pub vpc_id: String,
}

/// Makes a subnet. Asynchronous: `Pending`, then `Available`.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateVSwitch {
    pub region_id: String,
    pub vpc_id: String,
    pub zone_id: String,
    pub cidr_block: String,
    pub v_switch_name: String,
    pub client_token: String,
    pub tag: Vec<Tag>,
}

/// The new subnet.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateVSwitchResponse {
    pub v_switch_id: String,
}

/// Reads subnets: one by its identifier, those of a network, or by tags; at most 50 a page.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeVSwitches {
    pub region_id: String,
    pub v_switch_id: Option<String>,
    pub vpc_id: Option<String>,
    pub tag: Vec<Tag>,
    pub page_number: u32,
    pub page_size: u32,
}

/// A page of subnets.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeVSwitchesResponse {
    pub v_switches: VSwitches,
    pub total_count: u32,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct VSwitches {
    #[serde(default, deserialize_with = "list")]
    pub v_switch: Vec<VSwitch>,
}

/// A subnet.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct VSwitch {
    pub v_switch_id: String,
    #[serde(default)]
    pub v_switch_name: String,
    pub vpc_id: String,
    pub zone_id: String,
    pub cidr_block: String,
    pub status: String,
    #[serde(default)]
    pub creation_time: String,
    #[serde(default)]
    pub tags: Option<Tags>,
}

/// Renames a subnet.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyVSwitchAttribute {
    pub region_id: String,
    pub v_switch_id: String,
    pub v_switch_name: String,
}

/// Deletes an `Available` subnet.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteVSwitch {
    pub region_id: String,
    pub v_switch_id: String,
}

/// Rents a public address.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct AllocateEipAddress {
    pub region_id: String,
    /// Mbit/s, as text.
    pub bandwidth: String,
    pub internet_charge_type: String,
    pub name: String,
    pub client_token: String,
    pub tag: Vec<Tag>,
}

/// The new address.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct AllocateEipAddressResponse {
    pub allocation_id: String,
}

/// Binds an address to an instance.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct AssociateEipAddress {
    pub region_id: String,
    pub allocation_id: String,
    pub instance_id: String,
    pub instance_type: String,
}

/// Takes an address off its instance.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct UnassociateEipAddress {
    pub region_id: String,
    pub allocation_id: String,
    pub instance_id: String,
    pub instance_type: String,
}

/// Gives an `Available` address back.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ReleaseEipAddress {
    pub region_id: String,
    pub allocation_id: String,
}

/// Reads addresses: by at most 50 identifiers or by tags; at most 100 a page.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeEipAddresses {
    pub region_id: String,
    #[serde(skip_serializing_if = "is_empty")]
    pub allocation_id: CommaList,
    pub tag: Vec<Tag>,
    pub page_number: u32,
    pub page_size: u32,
}

/// A page of addresses.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeEipAddressesResponse {
    pub eip_addresses: EipAddresses,
    pub total_count: u32,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct EipAddresses {
    #[serde(default, deserialize_with = "list")]
    pub eip_address: Vec<EipAddress>,
}

/// A public address.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct EipAddress {
    pub allocation_id: String,
    pub ip_address: String,
    pub status: String,
    #[serde(default)]
    pub instance_id: String,
    #[serde(default)]
    pub name: String,
    /// Mbit/s, as text.
    pub bandwidth: String,
    #[serde(default)]
    pub allocation_time: String,
    #[serde(default)]
    pub tags: Option<Tags>,
}

fn is_empty(list: &CommaList) -> bool {
    list.0.is_empty()
}
