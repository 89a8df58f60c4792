//! Instance types and their families, as descriptions show them. What the catalogue does not know about a type (cards,
//! clock speeds, packet rates, local disks) is not told, and asking for it is refused rather than answered with a guess.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::{Value as Json, json};

use super::call::{Call, Outcome};
use super::catalog::InstanceType;
use super::paging::Page;
use super::wire::fault::Fault;

/// Filters by what the catalogue does not know.
const UNKNOWN: [&str; 22] = [
    "LocalStorageCategories",
    "LocalStorageCategory",
    "MaximumCpuSpeedFrequency",
    "MaximumCpuTurboFrequency",
    "MinimumBaselineCredit",
    "MinimumCpuSpeedFrequency",
    "MinimumCpuTurboFrequency",
    "MinimumDiskQuantity",
    "MinimumEniIpv6AddressQuantity",
    "MinimumEniPrivateIpAddressQuantity",
    "MinimumEniQuantity",
    "MinimumEriQuantity",
    "MinimumInitialCredit",
    "MinimumInstanceBandwidthRx",
    "MinimumInstanceBandwidthTx",
    "MinimumInstancePpsRx",
    "MinimumInstancePpsTx",
    "MinimumLocalStorageAmount",
    "MinimumLocalStorageCapacity",
    "MinimumPrimaryEniQueueNumber",
    "MinimumQueuePairNumber",
    "MinimumSecondaryEniQueueNumber",
];

/// Values of a parameter that may be given once or as a list.
fn wanted(call: &Call, one: &str, many: &str) -> Result<Vec<String>, Fault> {
    let mut all = call.params.list(many, 10)?;
    all.extend(call.params.text(one).map(str::to_owned));
    Ok(all)
}

fn among(wanted: &[String], own: &str) -> bool {
    wanted.is_empty() || wanted.iter().any(|value| value == own)
}

/// A smallest and a largest value.
struct Range(Option<Decimal>, Option<Decimal>);

impl Range {
    fn of(call: &Call, least: &str, most: &str) -> Result<Range, Fault> {
        Ok(Range(call.params.number(least)?, call.params.number(most)?))
    }

    fn holds(&self, value: Decimal) -> bool {
        self.0.is_none_or(|least| least <= value) && self.1.is_none_or(|most| value <= most)
    }
}

/// DescribeInstanceTypes.
pub(crate) fn describe(call: &mut Call) -> Outcome {
    let params = call.params;
    call.lacks(&UNKNOWN)?;
    call.lacks(&["PhysicalProcessorModel", "PhysicalProcessorModels"])?;
    let page = Page::by_token(params, 1600, 1, 1600)?;
    let names = params.list("InstanceTypes", 10)?;
    let families = wanted(call, "InstanceTypeFamily", "InstanceTypeFamilies")?;
    let architectures = wanted(call, "CpuArchitecture", "CpuArchitectures")?;
    let gpus = wanted(call, "GPUSpec", "GpuSpecs")?;
    let categories = wanted(call, "InstanceCategory", "InstanceCategories")?;
    let cores = Range::of(call, "MinimumCpuCoreCount", "MaximumCpuCoreCount")?;
    let memory = Range::of(call, "MinimumMemorySize", "MaximumMemorySize")?;
    let amounts = Range::of(call, "MinimumGPUAmount", "MaximumGPUAmount")?;
    let fits = |name: &str, own: &str| params.text(name).is_none_or(|wanted| wanted == own);
    let rows = call.catalog.types.iter().filter(|(name, kind)| {
        among(&names, name)
            && among(&families, &kind.family)
            && among(&architectures, kind.architecture)
            && among(&gpus, kind.gpu)
            && among(&categories, kind.category())
            && fits("InstanceFamilyLevel", kind.level)
            && fits("NvmeSupport", "unsupported")
            && cores.holds(kind.vcpu.into())
            && memory.holds(kind.memory_gib())
            && amounts.holds(kind.gpus.into())
    });
    let cut = page.cut(rows.map(|(name, kind)| (name.as_str(), kind)));
    let shown: Vec<Json> = cut.rows.iter().map(|kind| row(kind)).collect();
    Ok(json!({ "InstanceTypes": { "InstanceType": shown }, "NextToken": cut.next_token }))
}

fn row(kind: &InstanceType) -> Json {
    json!({
        "InstanceTypeId": kind.name,
        "InstanceTypeFamily": kind.family,
        "InstanceFamilyLevel": kind.level,
        "InstanceCategory": kind.category(),
        "CpuCoreCount": kind.vcpu,
        "MemorySize": kind.memory_gib().to_f64(),
        "CpuArchitecture": kind.architecture,
        "GPUAmount": kind.gpus,
        "GPUSpec": kind.gpu,
        "NvmeSupport": "unsupported",
        "Attributes": { "Attribute": [] },
    })
}

/// DescribeInstanceTypeFamilies: those that the region sells something of.
pub(crate) fn describe_families(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let generation = call.params.text("Generation");
    let sold = call.catalog.types.values().filter(|kind| kind.prices.contains_key(region.id));
    let families: BTreeMap<&str, String> = sold.map(|kind| (kind.family.as_str(), kind.series())).collect();
    let rows: Vec<Json> = families
        .iter()
        .filter(|(_, series)| generation.is_none_or(|generation| generation == series.as_str()))
        .map(|(family, series)| json!({ "InstanceTypeFamilyId": family, "Generation": series }))
        .collect();
    Ok(json!({ "InstanceTypeFamilies": { "InstanceTypeFamily": rows } }))
}
