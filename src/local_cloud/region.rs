//! Regions, zones and instance types, as descriptions show them.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::{Value as Json, json};

use super::call::{Call, Outcome};
use super::catalog::InstanceType;
use super::paging::Page;
use super::stock;

/// DescribeRegions.
pub(crate) fn describe(call: &mut Call) -> Outcome {
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
            json!({ "RegionId": region.id, "RegionEndpoint": endpoint, "LocalName": region.city, "Status": "available" })
        })
        .collect();
    Ok(json!({ "Regions": { "Region": rows } }))
}

/// DescribeZones.
pub(crate) fn describe_zones(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let verbose = call.params.flag("Verbose")?.unwrap_or(true);
    let mut categories: Vec<&str> = call.catalog.disks.iter().filter(|disk| disk.system.is_some()).map(|disk| disk.category).collect();
    categories.dedup();
    let rows: Vec<Json> = region
        .zones
        .iter()
        .map(|id| {
            let mut row = json!({
                "ZoneId": id,
                "LocalName": format!("{} Zone {}", region.city, id.chars().last().unwrap_or('A').to_uppercase()),
                "ZoneType": "AvailabilityZone",
            });
            if verbose {
                let types: Vec<&InstanceType> = stock::in_zone(call.world, call.catalog, region, id).collect();
                let names: Vec<&str> = types.iter().map(|kind| kind.name.as_str()).collect();
                let mut families: Vec<&str> = types.iter().map(|kind| kind.family.as_str()).collect();
                families.dedup();
                let mut generations: Vec<String> = types.iter().map(|kind| format!("ecs-{}", kind.generation())).collect();
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

/// DescribeInstanceTypes.
pub(crate) fn describe_types(call: &mut Call) -> Outcome {
    let params = call.params;
    let page = Page::by_token(params, 1600, 1, 1600)?;
    let names = params.list("InstanceTypes", 10)?;
    let mut families = params.list("InstanceTypeFamilies", 10)?;
    families.extend(params.text("InstanceTypeFamily").map(str::to_owned));
    let range = |least: &str, most: &str| -> Result<_, super::wire::fault::Fault> {
        Ok((params.number::<Decimal>(least)?, params.number::<Decimal>(most)?))
    };
    let cores = range("MinimumCpuCoreCount", "MaximumCpuCoreCount")?;
    let memory = range("MinimumMemorySize", "MaximumMemorySize")?;
    let gpus = range("MinimumGPUAmount", "MaximumGPUAmount")?;
    let inside = |value: Decimal, (least, most): (Option<Decimal>, Option<Decimal>)| {
        least.is_none_or(|least| least <= value) && most.is_none_or(|most| value <= most)
    };
    let fits = |name: &str, own: &str| params.text(name).is_none_or(|wanted| wanted == own);
    let rows = call.catalog.types.iter().filter(|(name, kind)| {
        (names.is_empty() || names.contains(name))
            && (families.is_empty() || families.contains(&kind.family))
            && fits("InstanceFamilyLevel", kind.level)
            && fits("CpuArchitecture", kind.architecture)
            && fits("GPUSpec", kind.gpu)
            && fits("InstanceCategory", kind.category())
            && inside(kind.vcpu.into(), cores)
            && inside(gib(kind), memory)
            && inside(kind.gpus.into(), gpus)
    });
    let cut = page.cut(rows.map(|(name, kind)| (name.as_str(), kind)));
    let shown: Vec<Json> = cut.rows.iter().map(|kind| row(kind)).collect();
    Ok(json!({ "InstanceTypes": { "InstanceType": shown }, "NextToken": cut.next_token }))
}

fn gib(kind: &InstanceType) -> Decimal {
    Decimal::from(kind.memory_mib) / Decimal::from(1024)
}

fn row(kind: &InstanceType) -> Json {
    json!({
        "InstanceTypeId": kind.name,
        "InstanceTypeFamily": kind.family,
        "InstanceFamilyLevel": kind.level,
        "InstanceCategory": kind.category(),
        "CpuCoreCount": kind.vcpu,
        "MemorySize": gib(kind).to_f64(),
        "CpuArchitecture": kind.architecture,
        "GPUAmount": kind.gpus,
        "GPUSpec": kind.gpu,
        "NvmeSupport": "unsupported",
        "Attributes": { "Attribute": [] },
    })
}
