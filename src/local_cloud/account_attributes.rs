//! DescribeAccountAttributes: what the account may have in a region, and how much of it is used.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::call::{Call, Outcome};
use super::catalog::Region;
use super::wire::fault::Fault;
use super::{market, stock};

/// The attributes that the service names, in its order. Those without a limit here are told without a value.
const NAMES: [&str; 15] = [
    "instance-network-type",
    "max-security-groups",
    "max-elastic-network-interfaces",
    "max-postpaid-instance-vcpu-count",
    "max-spot-instance-vcpu-count",
    "used-postpaid-instance-vcpu-count",
    "used-spot-instance-vcpu-count",
    "max-postpaid-yundisk-capacity",
    "used-postpaid-yundisk-capacity",
    "max-dedicated-hosts",
    "supported-postpaid-instance-types",
    "max-axt-command-count",
    "max-axt-invocation-daily",
    "real-name-authentication",
    "max-cloud-assistant-activation-count",
];

/// DescribeAccountAttributes.
pub(crate) fn describe(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let zone = call.params.text("ZoneId");
    if zone.is_some_and(|zone| !region.zones.iter().any(|known| known == zone)) {
        return Err(Fault::missing("InvalidZoneId.NotFound", "The specified ZoneId does not exist."));
    }
    let asked = call.params.list("AttributeName", 8)?;
    if let Some(unknown) = asked.iter().find(|name| !NAMES.contains(&name.as_str())) {
        return Err(Fault::bad("InvalidParameter", format!("The specified AttributeName {unknown} is not valid.")));
    }
    let rows: Vec<Json> = NAMES
        .into_iter()
        .filter(|name| asked.is_empty() || asked.iter().any(|asked| asked == name))
        .map(|name| json!({ "AttributeName": name, "AttributeValues": { "ValueItem": values(call, region, zone, name) } }))
        .collect();
    Ok(json!({ "AccountAttributeItems": { "AccountAttributeItem": rows } }))
}

fn values(call: &Call, region: &Region, zone: Option<&str>, name: &str) -> Vec<Json> {
    let one = |value: String| vec![json!({ "Value": value })];
    let vcpus = || call.config.quotas.vcpus.map_or(Vec::new(), |most| one(most.to_string()));
    match name {
        "instance-network-type" => one("vpc".to_owned()),
        "max-security-groups" => one(call.config.quotas.security_groups.to_string()),
        "real-name-authentication" => one("yes".to_owned()),
        // The quota counts both together.
        "max-postpaid-instance-vcpu-count" | "max-spot-instance-vcpu-count" => vcpus(),
        "used-postpaid-instance-vcpu-count" => one(used(call, region, zone, false).to_string()),
        "used-spot-instance-vcpu-count" => one(used(call, region, zone, true).to_string()),
        "used-postpaid-yundisk-capacity" => one(capacity(call, region, zone).to_string()),
        "supported-postpaid-instance-types" => types(call, region, zone),
        _ => Vec::new(),
    }
}

fn here<'a>(call: &'a Call, region: &'a Region, zone: Option<&'a str>) -> impl Iterator<Item = &'a super::instance::Instance> {
    let instances = call.world.instances.values();
    instances.filter(move |instance| instance.region == region.id && zone.is_none_or(|zone| zone == instance.zone))
}

fn used(call: &Call, region: &Region, zone: Option<&str>, spot: bool) -> u32 {
    here(call, region, zone)
        .filter(|instance| instance.subscription.is_none() && market::is_spot(instance) == spot)
        .filter_map(|instance| call.catalog.types.get(&instance.kind))
        .map(|kind| kind.vcpu)
        .sum()
}

/// GiB of data disks that are paid as they go.
fn capacity(call: &Call, region: &Region, zone: Option<&str>) -> u64 {
    let disks = call.world.disks.values().filter(|disk| !disk.system && !disk.prepaid);
    let here = disks.filter(|disk| disk.region == region.id && zone.is_none_or(|zone| zone == disk.zone));
    here.map(|disk| u64::from(disk.spec.size_gib)).sum()
}

fn types(call: &Call, region: &Region, zone: Option<&str>) -> Vec<Json> {
    let zones = region.zones.iter().filter(|id| zone.is_none_or(|zone| zone == id.as_str()));
    let names: BTreeSet<&str> =
        zones.flat_map(|id| stock::in_zone(call.world, call.catalog, region, id)).map(|kind| kind.name.as_str()).collect();
    names.into_iter().map(|name| json!({ "Value": name })).collect()
}
