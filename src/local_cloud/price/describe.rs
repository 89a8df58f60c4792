//! DescribePrice.

use rust_decimal::Decimal;
use serde_json::{Value as Json, json};

use super::{Line, Parts, Span, bandwidth_for, data_disks, disk_price, instance, kind_of, number, read_disk, scaled, unpriced};
use crate::local_cloud::call::{Call, Outcome};
use crate::local_cloud::catalog::{InstanceType, Region};
use crate::local_cloud::config::Stock;
use crate::local_cloud::stock;
use crate::local_cloud::wire::fault::Fault;

/// DescribePrice.
pub(crate) fn describe(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let params = call.params;
    let span = match params.choice("PriceUnit", &["Hour", "Week", "Month", "Year"], "Hour")? {
        "Week" => Span::Week,
        "Month" => Span::Month,
        "Year" => Span::Year,
        _ => Span::Hour,
    };
    let amount: u32 = params.number("Amount")?.unwrap_or(1);
    let period: u32 = params.number("Period")?.unwrap_or(1);
    if !(1..=1000).contains(&amount) {
        return Err(Fault::invalid("Amount"));
    }
    if period < 1 {
        return Err(Fault::invalid("Period"));
    }
    // A host or a cluster of one's own has another price; the rest is for resources that are refused below.
    call.lacks(&["SchedulerOptions.DedicatedHostId", "SystemDisk.StorageClusterId"])?;
    params.choice("IoOptimized", &["optimized"], "optimized")?;
    params.choice("InstanceNetworkType", &["vpc"], "vpc")?;
    if params.text("Platform").is_some_and(|platform| platform.to_ascii_lowercase().contains("windows")) {
        return Err(unpriced());
    }
    let spot = params.choice("SpotStrategy", &["NoSpot", "SpotWithPriceLimit", "SpotAsPriceGo"], "NoSpot")? != "NoSpot";
    if spot && (span, period) != (Span::Hour, 1) {
        // The market tells prices by the hour only.
        return Err(Fault::invalid("SpotStrategy"));
    }
    let lines = match params.choice("ResourceType", &["instance", "disk", "bandwidth"], "instance")? {
        "disk" => disks(call, region, span)?,
        "bandwidth" => bandwidth(call, region, span)?,
        _ => whole(call, region, span, spot)?,
    };
    let factor = Decimal::from(amount) * Decimal::from(period);
    let times = |line: Line| Line { amount: line.amount * factor, list: line.list * factor, ..line };
    let lines: Vec<Line> = lines.into_iter().map(times).collect();
    Ok(json!({ "PriceInfo": info(&lines) }))
}

fn disks(call: &Call, region: &Region, span: Span) -> Result<Vec<Line>, Fault> {
    if span != Span::Hour {
        return Err(Fault::invalid("PriceUnit"));
    }
    check_iops(call)?;
    let disks = data_disks(call, None)?;
    if disks.is_empty() {
        return Err(Fault::mandatory("DataDisk.1.Category"));
    }
    let price = disks.iter().map(|disk| disk_price(call.catalog, region.id, disk, span)).sum::<Option<Decimal>>();
    let unknown = || Fault::bad("InvalidDataDiskCategory.ValueNotSupported", "The specified DataDisk.Category is not valid.");
    Ok(vec![Line::new("dataDisk", price.ok_or_else(unknown)?)])
}

/// Nobody published what more operations a second cost.
fn check_iops(call: &Call) -> Result<(), Fault> {
    for disk in call.params.structs("DataDisk") {
        if disk.number::<u32>("ProvisionedIops")?.is_some_and(|iops| iops > 0) {
            return Err(unpriced());
        }
    }
    Ok(())
}

/// Public bandwidth: by traffic the price of a GB, else that of the span.
fn bandwidth(call: &Call, region: &Region, span: Span) -> Result<Vec<Line>, Fault> {
    let charge = internet_charge(call)?;
    let price = if charge == "PayByTraffic" {
        call.catalog.rate(region.id, "bandwidth:traffic", "GB")
    } else {
        bandwidth_for(call.catalog, region.id, mbps(call)?, charge, span)
    };
    Ok(vec![Line::new("bandwidth", price.ok_or_else(unpriced)?)])
}

fn internet_charge<'a>(call: &Call<'a>) -> Result<&'a str, Fault> {
    call.params.choice("InternetChargeType", &["PayByTraffic", "PayByBandwidth"], "PayByTraffic")
}

fn mbps(call: &Call) -> Result<u32, Fault> {
    let mbps = call.params.number("InternetMaxBandwidthOut")?.unwrap_or(0);
    if mbps > 100 {
        return Err(Fault::bad("InvalidInternetMaxBandwidthOut.ValueNotSupported", "The bandwidth is beyond the permitted range."));
    }
    Ok(mbps)
}

fn whole(call: &Call, region: &'static Region, span: Span, spot: bool) -> Result<Vec<Line>, Fault> {
    let params = call.params;
    let kind = kind_of(call, params.required("InstanceType")?)?;
    let image = match params.text("ImageId") {
        Some(id) => {
            let unknown = || Fault::missing("InvalidImageId.NotFound", "The specified ImageId does not exist.");
            call.catalog.images.get(id).ok_or_else(unknown)?.size_gib
        }
        None => 20,
    };
    let zone = stock::zone_of(call, region)?;
    let system = read_disk(call, &params.below("SystemDisk"), "SystemDisk", Some(kind), image)?;
    check_iops(call)?;
    let data = data_disks(call, Some(kind))?;
    let parts = Parts { kind, system: &system, data: &data, bandwidth: mbps(call)?, internet_charge: internet_charge(call)? };
    let mut lines = scaled(call, region.id, kind, instance(call.catalog, region.id, &parts, span)?);
    if spot {
        let market = market(call, region, zone, kind).ok_or_else(unpriced)?;
        super::at_market(&mut lines, market);
    }
    Ok(lines)
}

/// The market price in a zone; without one, that of the cheapest zone that has the type.
fn market(call: &Call, region: &Region, zone: Option<&str>, kind: &InstanceType) -> Option<Decimal> {
    let list = *kind.prices.get(region.id)?;
    let zones = region.zones.iter().filter(|id| zone.is_none_or(|zone| zone == id.as_str()));
    let sold = zones.filter(|id| stock::level(call.world, region, id, kind) != Stock::NotSold);
    sold.map(|id| call.world.index.market.price(list, id, &kind.name, call.now)).min()
}

/// Lines as descriptions of prices show them.
pub(super) fn info(lines: &[Line]) -> Json {
    let prices = |amount: Decimal, list: Decimal| json!({ "OriginalPrice": number(list), "DiscountPrice": number(list - amount), "TradePrice": number(amount) });
    let details: Vec<Json> = lines
        .iter()
        .map(|line| {
            let mut row = prices(line.amount, line.list);
            row["Resource"] = line.part.into();
            row["SubRules"] = json!({ "Rule": [] });
            row
        })
        .collect();
    let mut price = prices(lines.iter().map(|line| line.amount).sum(), lines.iter().map(|line| line.list).sum());
    price["Currency"] = "CNY".into();
    price["DetailInfos"] = json!({ "DetailInfo": details });
    json!({ "Price": price, "Rules": { "Rule": [] } })
}
