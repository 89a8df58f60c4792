//! What things cost, for those who ask and for the bill. A rate that nobody published is an error, never 0.

pub(crate) mod describe;
pub(crate) mod modification;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::call::Call;
use super::catalog::{Catalog, InstanceType};
use super::wire::fault::Fault;
use super::wire::params::Params;

/// Hours in a month, as Alibaba Cloud counts them for pay-as-you-go resources.
const MONTH: u32 = 730;

/// A disk as it is bought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Disk {
    pub(crate) category: String,
    /// `PL0` and so on; empty where there are none.
    pub(crate) level: String,
    pub(crate) size_gib: u32,
}

/// A priced part of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// `instanceType`, `systemDisk`, `dataDisk`, `bandwidth`, `image`.
    pub(crate) part: &'static str,
    pub(crate) amount: Decimal,
    /// What it would cost without a discount.
    pub(crate) list: Decimal,
}

impl Line {
    fn new(part: &'static str, amount: Decimal) -> Line {
        Line { part, amount, list: amount }
    }
}

/// Puts the market price in the place of the list price.
pub(crate) fn at_market(lines: &mut [Line], market: Decimal) {
    for line in lines.iter_mut().filter(|line| line.part == "instanceType") {
        line.amount = market;
    }
}

/// A span that prices are told for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    /// One hour.
    Hour,
    /// Seven days.
    Week,
    /// 730 hours, or what a monthly tariff says.
    Month,
    /// Twelve months.
    Year,
}

impl Span {
    pub(crate) fn hours(self) -> Decimal {
        Decimal::from(match self {
            Span::Hour => 1,
            Span::Week => 7 * 24,
            Span::Month => MONTH,
            Span::Year => 12 * MONTH,
        })
    }

    fn months(self) -> Option<Decimal> {
        match self {
            Span::Month => Some(Decimal::ONE),
            Span::Year => Some(Decimal::from(12)),
            _ => None,
        }
    }
}

/// A rate by `unit` (`GiB` or `Mbps`) for a span: by the monthly tariff if there is one, else by the hour.
fn rate(catalog: &Catalog, region: &str, item: &str, unit: &str, span: Span) -> Option<Decimal> {
    let monthly = span.months().and_then(|months| Some(catalog.rate(region, item, &format!("{unit}-month"))? * months));
    monthly.or_else(|| Some(catalog.rate(region, item, &format!("{unit}-hour"))? * span.hours()))
}

/// Nobody published a price for it.
pub(crate) fn unpriced() -> Fault {
    Fault::missing("PRICE.PRICING_PLAN_RESULT_NOT_FOUND", "pricing plan price result not found.")
}

/// What public bandwidth costs; `unit` is `hour` or `month`. Traffic is billed by itself and costs nothing here.
pub(crate) fn bandwidth(catalog: &Catalog, region: &str, mbps: u32, charge: &str, unit: &str) -> Option<Decimal> {
    let span = if unit == "month" { Span::Month } else { Span::Hour };
    bandwidth_for(catalog, region, mbps, charge, span)
}

pub(crate) fn bandwidth_for(catalog: &Catalog, region: &str, mbps: u32, charge: &str, span: Span) -> Option<Decimal> {
    if mbps == 0 || charge == "PayByTraffic" {
        return Some(Decimal::ZERO);
    }
    let of = |item: &str, mbps: u32| Some(rate(catalog, region, item, "Mbps", span)? * Decimal::from(mbps));
    Some(of("bandwidth:first-5", mbps.min(5))? + of("bandwidth:above-5", mbps.saturating_sub(5))?)
}

/// What a disk costs.
pub(crate) fn disk_price(catalog: &Catalog, region: &str, disk: &Disk, span: Span) -> Option<Decimal> {
    let item = if disk.level.is_empty() { format!("disk:{}", disk.category) } else { format!("disk:{}:{}", disk.category, disk.level) };
    Some(rate(catalog, region, &item, "GiB", span)? * Decimal::from(disk.size_gib))
}

/// What an instance is made of, as far as its price goes.
#[derive(Clone, Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) kind: &'a InstanceType,
    pub(crate) system: &'a Disk,
    pub(crate) data: &'a [Disk],
    pub(crate) bandwidth: u32,
    pub(crate) internet_charge: &'a str,
}

/// The priced parts of one instance.
pub(crate) fn instance(catalog: &Catalog, region: &str, parts: &Parts, span: Span) -> Result<Vec<Line>, Fault> {
    let hourly = parts.kind.prices.get(region).ok_or_else(|| {
        Fault::forbidden("InvalidInstanceType.ValueNotSupported", "The specified InstanceType is not sold in the region.")
    })?;
    let no_disk = |name: &str| {
        Fault::bad(format!("Invalid{name}Category.ValueNotSupported"), format!("The specified parameter {name}.Category is not valid."))
    };
    let system = disk_price(catalog, region, parts.system, span).ok_or_else(|| no_disk("SystemDisk"))?;
    let data = parts.data.iter().map(|disk| disk_price(catalog, region, disk, span)).sum::<Option<Decimal>>();
    let bandwidth = bandwidth_for(catalog, region, parts.bandwidth, parts.internet_charge, span).ok_or_else(unpriced)?;
    let mut lines = vec![
        Line::new("instanceType", hourly * span.hours()),
        Line::new("systemDisk", system),
        Line::new("bandwidth", bandwidth),
        // All images of the catalogue are Linux ones without a licence.
        Line::new("image", Decimal::ZERO),
    ];
    if !parts.data.is_empty() {
        lines.insert(2, Line::new("dataDisk", data.ok_or_else(|| no_disk("DataDisk"))?));
    }
    Ok(lines)
}

/// The lines as the scenario has them: what an instance type costs may differ from the catalogue.
pub(crate) fn scaled(call: &Call, region: &str, kind: &InstanceType, mut lines: Vec<Line>) -> Vec<Line> {
    let of_type = lines.iter_mut().filter(|line| line.part == "instanceType");
    of_type.for_each(|line| line.amount *= call.config.price_factor(region, &kind.name));
    lines
}

/// Reads a disk from its parameters and holds it against what is sold.
pub(crate) fn read_disk(call: &Call, params: &Params, name: &str, kind: Option<&InstanceType>, image_gib: u32) -> Result<Disk, Fault> {
    let refused = |field: &str| {
        Fault::bad(format!("Invalid{name}{field}.ValueNotSupported"), format!("The specified parameter {name}.{field} is not valid."))
    };
    let system = name == "SystemDisk";
    // Since 2026-01-30 a system disk is cloud_essd PL0 unless it is told.
    let category = params.text("Category").unwrap_or("cloud_essd");
    let usual = match params.text("Category") {
        None => "PL0",
        Some("cloud_essd") => "PL1",
        Some(_) => "",
    };
    let level = params.text("PerformanceLevel").unwrap_or(usual);
    let sold = call.catalog.disk(category, level).ok_or_else(|| refused("Category"))?;
    let (least, most) = if system { sold.system } else { sold.data }.ok_or_else(|| refused("Category"))?;
    let entry = kind.is_none_or(|kind| matches!(kind.family.as_str(), "ecs.e" | "ecs.u1"));
    if category == "cloud_essd_entry" && !entry {
        return Err(refused("Category"));
    }
    let size = match params.number("Size")? {
        Some(size) => size,
        None if system => image_gib.max(40).max(least),
        None => return Err(Fault::mandatory(&format!("{name}.Size"))),
    };
    if !(least..=most).contains(&size) || (system && size < image_gib) {
        return Err(refused("Size"));
    }
    Ok(Disk { category: category.to_owned(), level: sold.level.to_owned(), size_gib: size })
}

/// The instance type of a name.
pub(crate) fn kind_of(call: &Call, name: &str) -> Result<&'static InstanceType, Fault> {
    let unknown = || Fault::forbidden("InvalidInstanceType.ValueNotSupported", "The specified InstanceType does not exist.");
    call.catalog.types.get(name).ok_or_else(unknown)
}

/// The data disks that a call names.
pub(crate) fn data_disks(call: &Call, kind: Option<&InstanceType>) -> Result<Vec<Disk>, Fault> {
    let named = call.params.structs("DataDisk");
    if named.len() > 16 {
        return Err(Fault::bad("InvalidParameter", "The number of DataDisk exceeds the limit of 16."));
    }
    named.iter().map(|params| read_disk(call, params, "DataDisk", kind, 0)).collect()
}

/// A price as a JSON number.
pub(crate) fn number(amount: Decimal) -> Json {
    amount.round_dp(6).to_f64().map_or(Json::Null, Json::from)
}
