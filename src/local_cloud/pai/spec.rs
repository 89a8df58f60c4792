//! What pods run on: ListEcsSpecs, what a spec comes to, and whether there is any of it. DLC sells the enterprise
//! instance types of its region; it does not know zones.

use rust_decimal::Decimal;
use serde_json::{Value as Json, json};

use super::{descending, page};
use crate::local_cloud::call::Outcome;
use crate::local_cloud::catalog::{Catalog, InstanceType, Region};
use crate::local_cloud::config::Stock;
use crate::local_cloud::roa::RoaCall;
use crate::local_cloud::stock;
use crate::local_cloud::store::World;

/// Drivers that accelerators can have; the first is the usual one.
pub(super) const DRIVERS: [&str; 3] = ["550.127.08", "535.161.08", "470.199.02"];

/// Memory of one accelerator in GiB, where its name tells which it is.
const GPU_MEMORY: [(&str, u32); 6] =
    [("NVIDIA A10", 24), ("NVIDIA T4", 16), ("NVIDIA V100", 16), ("NVIDIA P100", 16), ("NVIDIA P4", 8), ("NVIDIA A100", 80)];

/// How much there is of a type in a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Supply {
    /// It is not sold there.
    NotSold,
    /// So many are left; `None` without a limit.
    Left(Option<u32>),
    /// There seems to be some, and there is none.
    Misreported,
}

impl Supply {
    /// Whether `count` pods are promised.
    pub(super) fn promises(self, count: u32) -> bool {
        matches!(self, Supply::Misreported | Supply::Left(None)) || self.has(count)
    }

    /// Whether `count` pods can be placed.
    pub(super) fn has(self, count: u32) -> bool {
        matches!(self, Supply::Left(left) if left.is_none_or(|left| left >= count))
    }
}

/// The type of a name, if DLC sells it in that region.
pub(super) fn sold(catalog: &'static Catalog, region: &str, name: &str) -> Option<&'static InstanceType> {
    catalog.types.get(name).filter(|kind| is_sold(kind, region))
}

fn is_sold(kind: &InstanceType, region: &str) -> bool {
    kind.prices.contains_key(region) && kind.level == "EnterpriseLevel" && kind.architecture == "X86"
}

/// The cheapest type that holds so much, for pods that name resources instead of a type.
pub(super) fn smallest(
    catalog: &'static Catalog,
    region: &str,
    (vcpu, memory_mib, gpus): (u32, u64, u32),
    gpu: &str,
) -> Option<&'static InstanceType> {
    let fits = |kind: &&InstanceType| {
        is_sold(kind, region)
            && kind.vcpu >= vcpu
            && kind.memory_mib >= memory_mib
            && if gpus == 0 { kind.gpus == 0 } else { kind.gpus >= gpus && (gpu.is_empty() || kind.gpu.ends_with(gpu)) }
    };
    catalog.types.values().filter(fits).min_by_key(|kind| (kind.prices.get(region).copied(), kind.name.clone()))
}

/// How much there is of a type. What other pods hold counts; so do instances where a rule limits both.
pub(super) fn supply(world: &World, region: &Region, kind: &InstanceType) -> Supply {
    let held: u32 = world.jobs.values().filter(|job| job.region == region.id).map(|job| job.held(&kind.name)).sum();
    let mut limited: Option<u32> = None;
    let mut misreported = false;
    for zone in &region.zones {
        match stock::level(world, region, zone, kind) {
            Stock::Plenty => return Supply::Left(None),
            Stock::NotSold => {}
            Stock::SoldOut => limited = limited.or(Some(0)),
            Stock::Limited(limit) => limited = Some(limited.unwrap_or(0) + stock::left(world, zone, kind, limit)),
            Stock::Misreported | Stock::Vanishing => misreported = true,
        }
    }
    match limited {
        _ if misreported => Supply::Misreported,
        Some(limit) => Supply::Left(Some(limit.saturating_sub(held))),
        None => Supply::NotSold,
    }
}

/// ListEcsSpecs.
pub(super) async fn list(call: &RoaCall<'_>) -> Outcome {
    let region = call.region()?;
    call.commit(|call| {
        let params = call.params;
        let page = page(params, 10)?;
        let accelerator = params.text("AcceleratorType").map(|_| params.choice("AcceleratorType", &["CPU", "GPU"], "CPU")).transpose()?;
        let named = params.commas("InstanceTypes", 100)?;
        let lingjun = params.choice("ResourceType", &["ECS", "Lingjun"], "ECS")? == "Lingjun";
        let order = params.choice("SortBy", &["InstanceType", "Cpu", "Memory", "Gpu", "GpuType"], "InstanceType")?;
        let mut rows: Vec<&InstanceType> = call
            .catalog
            .types
            .values()
            .filter(|kind| !lingjun && is_sold(kind, region.id))
            .filter(|kind| accelerator.is_none_or(|wanted| wanted == accelerator_of(kind)))
            .filter(|kind| named.as_ref().is_none_or(|named| named.contains(&kind.name)))
            .filter(|kind| supply(call.world, region, kind) != Supply::NotSold)
            .collect();
        match order {
            "Cpu" => rows.sort_by_key(|kind| kind.vcpu),
            "Memory" => rows.sort_by_key(|kind| kind.memory_mib),
            "Gpu" => rows.sort_by_key(|kind| kind.gpus),
            "GpuType" => rows.sort_by_key(|kind| kind.gpu),
            _ => {}
        }
        if descending(params, "asc")? {
            rows.reverse();
        }
        let cut = page.cut(rows.into_iter().map(|kind| (kind.name.as_str(), kind)));
        let rows: Vec<Json> = cut.rows.iter().map(|kind| described(kind, supply(call.world, region, kind).promises(1))).collect();
        Ok(json!({ "EcsSpecs": rows, "TotalCount": cut.total }))
    })
    .await
}

fn accelerator_of(kind: &InstanceType) -> &'static str {
    if kind.gpus > 0 { "GPU" } else { "CPU" }
}

fn described(kind: &InstanceType, available: bool) -> Json {
    let mut row = json!({
        "InstanceType": kind.name,
        "AcceleratorType": accelerator_of(kind),
        "Cpu": kind.vcpu,
        "Memory": kind.memory_mib / 1024,
        "Gpu": kind.gpus,
        "GpuType": kind.gpu,
        "IsAvailable": available,
        "PaymentTypes": ["PostPaid", "Spot"],
        "ResourceType": "ECS",
        "SpotStockStatus": if available { "WithStock" } else { "NoStock" },
    });
    if kind.gpus > 0 {
        row["DefaultGPUDriver"] = DRIVERS[0].into();
        row["SupportedGPUDrivers"] = json!(DRIVERS);
        if let Some((_, memory)) = GPU_MEMORY.iter().find(|(name, _)| *name == kind.gpu) {
            row["GpuMemory"] = (*memory).into();
        }
    }
    row
}

/// What a pod on that type costs an hour, in CNY. A spot pod costs at most its limit: what the market asks is not known
/// here.
pub(super) fn hourly(kind: &InstanceType, region: &str, limit: Option<Decimal>) -> Decimal {
    let list = kind.prices.get(region).copied().unwrap_or_default();
    limit.map_or(list, |limit| limit.min(list))
}
