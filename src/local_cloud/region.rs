//! Regions and zones, as ECS and VPC describe them.

use serde_json::{Value as Json, json};

use super::call::{Call, Outcome};
use super::catalog::{InstanceType, Region};
use super::stock;
use super::wire::fault::Fault;

/// Whether names are asked for in Chinese, which is what the service answers unless told otherwise.
fn chinese(call: &Call) -> bool {
    call.params.text("AcceptLanguage").is_none_or(|language| language.to_ascii_lowercase().starts_with("zh"))
}

fn local_name(call: &Call, region: &Region) -> &'static str {
    if chinese(call) { region.chinese } else { region.city }
}

/// `杭州 可用区H` or `Hangzhou Zone H`.
fn zone_name(call: &Call, region: &Region, id: &str) -> String {
    let letter = id.chars().last().unwrap_or('A').to_uppercase();
    if !chinese(call) {
        return format!("{} Zone {letter}", region.city);
    }
    let inner = region.chinese.split_once('（').and_then(|(_, inner)| inner.split(['）', '-']).next());
    format!("{} 可用区{letter}", inner.unwrap_or(region.chinese))
}

/// Checks what the stock is asked for: the local cloud has the same for all ways of paying.
fn check_charge_type(call: &Call) -> Result<(), Fault> {
    let ways = ["PostPaid", "PrePaid", "SpotWithPriceLimit", "SpotAsPriceGo"];
    call.params.choice("InstanceChargeType", &ways, "PostPaid")?;
    call.params.choice("SpotStrategy", &["NoSpot", "SpotWithPriceLimit", "SpotAsPriceGo"], "NoSpot")?;
    Ok(())
}

/// DescribeRegions.
pub(crate) fn describe(call: &mut Call) -> Outcome {
    check_charge_type(call)?;
    call.params.choice("ResourceType", &["instance", "disk", "reservedinstance", "scu"], "instance")?;
    let rows: Vec<Json> = call
        .catalog
        .regions
        .values()
        .filter(|region| region.active)
        .map(|region| {
            // Hangzhou's endpoint is older than the rule.
            let endpoint = if region.id == "cn-hangzhou" {
                "ecs-cn-hangzhou.aliyuncs.com".to_owned()
            } else {
                format!("ecs.{}.aliyuncs.com", region.id)
            };
            json!({ "RegionId": region.id, "RegionEndpoint": endpoint, "LocalName": local_name(call, region), "Status": "available" })
        })
        .collect();
    Ok(json!({ "Regions": { "Region": rows } }))
}

/// DescribeRegions of VPC.
pub(crate) fn describe_for_vpc(call: &mut Call) -> Outcome {
    let rows: Vec<Json> = call
        .catalog
        .regions
        .values()
        .filter(|region| region.active)
        .map(|region| {
            // Hangzhou's endpoint is older than the rule.
            let endpoint =
                if region.id == "cn-hangzhou" { "vpc.aliyuncs.com".to_owned() } else { format!("vpc.{}.aliyuncs.com", region.id) };
            json!({ "RegionId": region.id, "RegionEndpoint": endpoint, "LocalName": local_name(call, region) })
        })
        .collect();
    Ok(json!({ "Regions": { "Region": rows } }))
}

/// DescribeZones of VPC.
pub(crate) fn describe_zones_for_vpc(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let shown = call.params.choice("ZoneType", &["AvailabilityZone", "CloudBoxZone"], "AvailabilityZone")? == "AvailabilityZone";
    let rows: Vec<Json> = region
        .zones
        .iter()
        .filter(|_| shown)
        .map(|id| json!({ "ZoneId": id, "LocalName": zone_name(call, region, id), "ZoneType": "AvailabilityZone" }))
        .collect();
    Ok(json!({ "Zones": { "Zone": rows } }))
}

/// DescribeZones.
pub(crate) fn describe_zones(call: &mut Call) -> Outcome {
    let region = call.region()?;
    check_charge_type(call)?;
    let verbose = call.params.flag("Verbose")?.unwrap_or(true);
    let mut categories: Vec<&str> = call.catalog.disks.iter().filter(|disk| disk.system.is_some()).map(|disk| disk.category).collect();
    categories.dedup();
    let rows: Vec<Json> = region
        .zones
        .iter()
        .map(|id| {
            let mut row = json!({ "ZoneId": id, "LocalName": zone_name(call, region, id), "ZoneType": "AvailabilityZone" });
            if verbose {
                let types: Vec<&InstanceType> = stock::in_zone(call.world, call.catalog, region, id).collect();
                let names: Vec<&str> = types.iter().map(|kind| kind.name.as_str()).collect();
                let mut families: Vec<&str> = types.iter().map(|kind| kind.family.as_str()).collect();
                families.sort_unstable();
                families.dedup();
                let mut generations: Vec<String> = types.iter().map(|kind| kind.series()).collect();
                generations.sort_unstable();
                generations.dedup();
                row["AvailableResourceCreation"] = json!({ "ResourceTypes": ["VSwitch", "IoOptimized", "Instance", "Disk"] });
                row["AvailableDiskCategories"] = json!({ "DiskCategories": categories });
                row["AvailableInstanceTypes"] = json!({ "InstanceTypes": names });
                row["AvailableVolumeCategories"] = json!({ "VolumeCategories": [] });
                row["AvailableDedicatedHostTypes"] = json!({ "DedicatedHostType": [] });
                row["DedicatedHostGenerations"] = json!({ "DedicatedHostGeneration": [] });
                row["AvailableResources"] = json!({ "ResourcesInfo": [{
                    "IoOptimized": true,
                    "InstanceTypes": { "supportedInstanceType": names },
                    "InstanceTypeFamilies": { "supportedInstanceTypeFamily": families },
                    "InstanceGenerations": { "supportedInstanceGeneration": generations },
                    "SystemDiskCategories": { "supportedSystemDiskCategory": categories },
                    "DataDiskCategories": { "supportedDataDiskCategory": categories },
                    "NetworkTypes": { "supportedNetworkCategory": ["vpc"] },
                }] });
            }
            row
        })
        .collect();
    Ok(json!({ "Zones": { "Zone": rows } }))
}
