//! What is to be had where: DescribeAvailableResource and DescribeRecommendInstanceType, and the same answer for
//! RunInstances. A type is sold in the regions that have a price for it, in all their zones, unless a rule differs.

use rust_decimal::Decimal;
use serde_json::{Value as Json, json};

use super::call::{Call, Outcome};
use super::catalog::{Catalog, DiskKind, InstanceType, Region};
use super::config::Stock;
use super::price;
use super::store::World;
use super::wire::fault::Fault;

/// How many types are recommended at most.
const RECOMMENDED: usize = 10;

/// What there is of a type in a zone of a region.
pub(crate) fn level(world: &World, region: &Region, zone: &str, kind: &InstanceType) -> Stock {
    if !kind.prices.contains_key(region.id) {
        return Stock::NotSold;
    }
    let fits = |place: &Option<String>| place.as_ref().is_none_or(|place| place == zone || place == region.id);
    let mut rules = world.index.stock.iter().rev();
    rules
        .find(|rule| fits(&rule.place) && rule.instance_type.as_ref().is_none_or(|name| *name == kind.name))
        .map_or(Stock::Plenty, |rule| rule.stock)
}

/// How many of a type are left where only so many are; `None` without a limit.
pub(crate) fn left(world: &World, zone: &str, kind: &InstanceType, limit: u32) -> u32 {
    let used = world.instances.values().filter(|instance| instance.zone == zone && instance.kind == kind.name).count();
    limit.saturating_sub(u32::try_from(used).unwrap_or(u32::MAX))
}

/// What descriptions tell: `None` if it is not sold, else whether there is any.
fn told(world: &World, region: &Region, zone: &str, kind: &InstanceType) -> Option<bool> {
    match level(world, region, zone, kind) {
        Stock::NotSold => None,
        Stock::SoldOut => Some(false),
        Stock::Limited(limit) => Some(left(world, zone, kind, limit) > 0),
        Stock::Plenty | Stock::Misreported | Stock::Vanishing => Some(true),
    }
}

/// The types that a zone has in stock.
pub(crate) fn in_zone<'a>(
    world: &'a World,
    catalog: &'a Catalog,
    region: &'a Region,
    zone: &'a str,
) -> impl Iterator<Item = &'a InstanceType> {
    catalog.types.values().filter(move |kind| told(world, region, zone, kind) == Some(true))
}

fn status(available: bool) -> (&'static str, &'static str) {
    if available { ("Available", "WithStock") } else { ("SoldOut", "WithoutStock") }
}

/// Memory in GiB as parameters give it, in MiB.
fn memory(call: &Call, name: &str) -> Result<Option<u64>, Fault> {
    let gib: Option<Decimal> = call.params.number(name)?;
    Ok(gib.and_then(|gib| gib.checked_mul(Decimal::from(1024))?.try_into().ok()))
}

/// The disk category that only entry families take.
const ENTRY: &str = "cloud_essd_entry";

fn takes_entry(kind: &InstanceType) -> bool {
    matches!(kind.family.as_str(), "ecs.e" | "ecs.u1")
}

/// A disk category that a parameter names.
fn category<'a>(call: &Call<'a>, name: &str) -> Result<Option<&'a str>, Fault> {
    match call.params.text(name) {
        Some(category) if !call.catalog.disks.iter().any(|disk| disk.category == category) => {
            Err(Fault::bad(format!("Invalid{name}.ValueNotSupported"), format!("The specified parameter {name} is not valid.")))
        }
        category => Ok(category),
    }
}

/// Checks how it is to be paid for and what it is to be like: the stock is the same for all of it.
fn check_ways(call: &Call) -> Result<(), Fault> {
    let params = call.params;
    params.choice("InstanceChargeType", &["PostPaid", "PrePaid"], "PostPaid")?;
    params.choice("SpotStrategy", &["NoSpot", "SpotWithPriceLimit", "SpotAsPriceGo"], "NoSpot")?;
    params.choice("SpotDuration", &["0", "1"], "1")?;
    params.choice("IoOptimized", &["optimized"], "optimized")?;
    Ok(())
}

/// DescribeAvailableResource.
pub(crate) fn describe(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let params = call.params;
    let destinations = ["Zone", "IoOptimized", "InstanceType", "Network", "SystemDisk", "DataDisk"];
    params.required("DestinationResource")?;
    let destination = params.choice("DestinationResource", &destinations, "Zone")?;
    let kind = params.text("InstanceType").map(|name| price::kind_of(call, name)).transpose()?;
    check_ways(call)?;
    call.lacks(&["DedicatedHostId"])?;
    params.choice("NetworkCategory", &["vpc"], "vpc")?;
    let for_instance = params.choice("ResourceType", &["instance", "disk"], "instance")? == "instance";
    let (system, data) = (category(call, "SystemDiskCategory")?, category(call, "DataDiskCategory")?);
    let entry_only = [system, data].contains(&Some(ENTRY));
    if kind.is_none() && for_instance && matches!(destination, "SystemDisk" | "DataDisk") {
        return Err(Fault::bad("MissingParameter.InstanceType", "InstanceType is mandatory for this DestinationResource."));
    }
    let zone = zone_of(call, region)?;
    let (cores, memory) = (params.number::<u32>("Cores")?, memory(call, "Memory")?);
    let mut zones = Vec::new();
    for id in region.zones.iter().filter(|id| zone.is_none_or(|zone| zone == id.as_str())) {
        let any = kind.is_none_or(|kind| told(call.world, region, id, kind) == Some(true));
        let offered = kind.is_none_or(|kind| told(call.world, region, id, kind).is_some());
        let supported: Vec<Json> = match destination {
            "InstanceType" => call
                .catalog
                .types
                .values()
                .filter(|each| kind.is_none_or(|kind| kind.name == each.name))
                .filter(|each| !entry_only || takes_entry(each))
                .filter(|each| cores.is_none_or(|cores| cores == each.vcpu) && memory.is_none_or(|memory| memory == each.memory_mib))
                .filter_map(|each| {
                    let (status, category) = status(told(call.world, region, id, each)?);
                    Some(json!({ "Value": each.name, "Status": status, "StatusCategory": category }))
                })
                .collect(),
            _ if !offered => Vec::new(),
            "SystemDisk" => {
                disks(call, region, kind, true, any).into_iter().filter(|row| system.is_none_or(|own| row["Value"] == own)).collect()
            }
            "DataDisk" => {
                disks(call, region, kind, false, any).into_iter().filter(|row| data.is_none_or(|own| row["Value"] == own)).collect()
            }
            other => {
                let value = match other {
                    "Zone" => id.as_str(),
                    "Network" => "vpc",
                    _ => "optimized",
                };
                let (status, category) = status(any);
                vec![json!({ "Value": value, "Status": status, "StatusCategory": category })]
            }
        };
        if supported.is_empty() {
            continue;
        }
        let (status, category) = status(supported.iter().any(|each| each["Status"] == "Available"));
        zones.push(json!({
            "RegionId": region.id,
            "ZoneId": id,
            "Status": status,
            "StatusCategory": category,
            "AvailableResources": { "AvailableResource": [
                { "Type": destination, "SupportedResources": { "SupportedResource": supported } },
            ] },
        }));
    }
    Ok(json!({ "AvailableZones": { "AvailableZone": zones } }))
}

pub(crate) fn zone_of<'a>(call: &Call<'a>, region: &Region) -> Result<Option<&'a str>, Fault> {
    match call.params.text("ZoneId") {
        Some(zone) if !region.zones.iter().any(|known| known == zone) => {
            Err(Fault::missing("InvalidZoneId.NotFound", "The specified ZoneId does not exist."))
        }
        zone => Ok(zone),
    }
}

/// The disks that go with a type: those that have a price in the region.
fn disks(call: &Call, region: &Region, kind: Option<&InstanceType>, system: bool, any: bool) -> Vec<Json> {
    let priced = |disk: &&DiskKind| {
        let item = if disk.level.is_empty() { format!("disk:{}", disk.category) } else { format!("disk:{}:{}", disk.category, disk.level) };
        call.catalog.rate(region.id, &item, "GiB-hour").is_some()
    };
    let entry = kind.is_none_or(takes_entry);
    let mut shown: Vec<Json> = Vec::new();
    for disk in call.catalog.disks.iter().filter(priced).filter(|disk| entry || disk.category != ENTRY) {
        let Some((least, most)) = (if system { disk.system } else { disk.data }) else { continue };
        if shown.iter().any(|row| row["Value"] == disk.category) {
            // The performance levels of a category are one row; the first has the widest range.
            continue;
        }
        let (status, category) = status(any);
        shown.push(json!({
            "Value": disk.category, "Status": status, "StatusCategory": category, "Min": least, "Max": most, "Unit": "GiB",
        }));
    }
    shown
}

/// What a type costs an hour in a zone.
fn hourly(call: &Call, region: &Region, zone: &str, kind: &InstanceType, spot: bool) -> Option<Decimal> {
    let list = kind.prices.get(region.id)? * call.config.price_factor(region.id, &kind.name);
    Some(if spot { call.world.index.market.price(list, zone, &kind.name, call.now) } else { list })
}

/// DescribeRecommendInstanceType.
pub(crate) fn recommend(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let params = call.params;
    params.required("NetworkType")?;
    let network = params.choice("NetworkType", &["vpc"], "vpc")?;
    check_ways(call)?;
    params.choice("Scene", &["CREATE", "UPGRADE"], "CREATE")?;
    let entry_only = category(call, "SystemDiskCategory")? == Some(ENTRY);
    let spot = params.text("SpotStrategy").is_some_and(|strategy| strategy != "NoSpot");
    let wanted = params.text("InstanceType").map(|name| price::kind_of(call, name)).transpose()?;
    let (cores, memory) = match wanted {
        Some(kind) => (Some(kind.vcpu), Some(kind.memory_mib)),
        None => (params.number("Cores")?, memory(call, "Memory")?),
    };
    let (Some(cores), Some(memory)) = (cores, memory) else {
        return Err(Fault::bad("MissingParameter", "InstanceType, or Cores and Memory, must be specified."));
    };
    let families = params.list("InstanceTypeFamily", 10)?;
    let most: Option<Decimal> = params.number("MaxPrice")?;
    let zone = zone_of(call, region)?;
    let strict = params.choice("ZoneMatchMode", &["Strict", "Include"], "Strict")? == "Strict" && zone.is_some();
    let order = params.choice("PriorityStrategy", &["InventoryFirst", "PriceFirst", "NewProductFirst"], "InventoryFirst")?;
    let mut found: Vec<(&InstanceType, Vec<&str>)> = Vec::new();
    for kind in call.catalog.types.values() {
        let fits = kind.vcpu == cores
            && kind.memory_mib == memory
            && kind.architecture == wanted.map_or("X86", |wanted| wanted.architecture)
            && (kind.gpus, kind.gpu) == wanted.map_or((0, ""), |wanted| (wanted.gpus, wanted.gpu))
            && (families.is_empty() || families.contains(&kind.family))
            && params.text("InstanceFamilyLevel").is_none_or(|level| level == kind.level)
            && (!entry_only || takes_entry(kind));
        if !fits {
            continue;
        }
        let mut zones: Vec<&str> = region
            .zones
            .iter()
            .map(String::as_str)
            .filter(|id| !strict || Some(*id) == zone)
            .filter(|id| told(call.world, region, id, kind) == Some(true))
            .filter(|id| most.is_none_or(|most| hourly(call, region, id, kind, spot).is_some_and(|price| price <= most)))
            .collect();
        zones.sort_by_key(|id| Some(*id) != zone);
        if !zones.is_empty() {
            found.push((kind, zones));
        }
    }
    let price = |kind: &InstanceType| hourly(call, region, "", kind, false).unwrap_or(Decimal::MAX);
    found.sort_by(|(a, in_a), (b, in_b)| {
        let newer = b.generation().cmp(&a.generation());
        let cheaper = price(a).cmp(&price(b));
        let first = match order {
            "PriceFirst" => cheaper.then(newer),
            "NewProductFirst" => newer.then(cheaper),
            _ => in_b.len().cmp(&in_a.len()).then(newer).then(cheaper),
        };
        first.then_with(|| a.name.cmp(&b.name))
    });
    let rows: Vec<Json> = found
        .iter()
        .take(RECOMMENDED)
        .zip(1..)
        .map(|((kind, zones), priority)| {
            let zone_rows: Vec<Json> =
                zones.iter().map(|zone| json!({ "ZoneNo": zone, "NetworkTypes": { "NetworkType": [network] } })).collect();
            json!({
                "RegionId": region.id,
                "ZoneId": zones.first(),
                "Priority": priority,
                "CommodityCode": "ecs",
                "InstanceChargeType": params.text("InstanceChargeType").unwrap_or("PostPaid"),
                "NetworkType": network,
                "Scene": params.text("Scene").unwrap_or("CREATE"),
                "SpotStrategy": params.text("SpotStrategy").unwrap_or("NoSpot"),
                "InstanceType": {
                    "InstanceType": kind.name,
                    "InstanceTypeFamily": kind.family,
                    "Cores": kind.vcpu,
                    "Memory": kind.memory_mib / 1024,
                    "Generation": kind.series(),
                    "SupportIoOptimized": "optimized",
                },
                "Zones": { "zone": zone_rows },
            })
        })
        .collect();
    Ok(json!({ "Data": { "RecommendInstanceType": rows } }))
}
