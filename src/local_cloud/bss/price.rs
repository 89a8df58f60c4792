//! GetPayAsYouGoPrice.

use rust_decimal::Decimal;
use serde_json::{Value as Json, json};

use super::config::Config;
use super::modules::{MODULES, Module, check_product};
use super::{Refused, told};
use crate::local_cloud::call::{Call, Outcome};
use crate::local_cloud::price::{self, Disk, Span};
use crate::local_cloud::wire::fault::Fault;
use crate::local_cloud::wire::params::Params;

/// Where the cheaper rates of functions begin, in CU a month, and their names in the tariffs.
const TIERS: [(u64, &str); 3] = [(0, "fc:cu:first"), (200_000_000, "fc:cu:above-200M"), (1_000_000_000, "fc:cu:above-1000M")];

/// What a module costs.
struct Cost {
    /// Of one unit, an hour of it if it is priced by time.
    unit: Decimal,
    total: Decimal,
}

/// GetPayAsYouGoPrice.
pub(crate) fn pay_as_you_go(call: &mut Call) -> Outcome {
    let product = call.params.required("ProductCode")?;
    let subscription = call.params.required("SubscriptionType")?;
    let modules = call.params.structs("ModuleList");
    if modules.is_empty() {
        return Err(Fault::mandatory("ModuleList"));
    }
    for module in &modules {
        for name in ["ModuleCode", "Config", "PriceType"] {
            module.required(name)?;
        }
    }
    Ok(told(found(call, product, subscription, &modules)))
}

fn found(call: &Call, product: &str, subscription: &str, modules: &[Params]) -> Result<Json, Refused> {
    check_product(call, product)?;
    if subscription != "PayAsYouGo" {
        return Err(Refused::new("InvalidParameter", "The specified SubscriptionType is not valid."));
    }
    if modules.len() > 50 {
        return Err(Refused::new("InvalidParameter", "The number of modules exceeds the limit of 50."));
    }
    let details = modules.iter().map(|module| detail(call, product, module)).collect::<Result<Vec<Json>, Refused>>()?;
    Ok(json!({
        "Currency": "CNY",
        "ModuleDetails": { "ModuleDetail": details },
        "PromotionDetails": { "PromotionDetail": [] },
    }))
}

fn detail(call: &Call, product: &str, asked: &Params) -> Result<Json, Refused> {
    let code = asked.text("ModuleCode").unwrap_or_default();
    let known = MODULES.iter().find(|module| module.product == product && module.code == code);
    let module = known.ok_or_else(|| Refused::new("InvalidParameter", format!("The product has no module {code}.")))?;
    let span = span(module, asked.text("PriceType").unwrap_or_default())?;
    let config = Config::read(asked.text("Config").unwrap_or_default())?;
    let region = ["Region", "RegionId"].into_iter().find_map(|name| config.text(name)).or(call.params.text("Region"));
    let region = region.ok_or_else(|| Refused::new("MissingParameter", "Region must be given."))?;
    if !call.catalog.regions.contains_key(region) {
        return Err(Refused::new("InvalidParameter", "The specified Region is not valid."));
    }
    let cost = cost(call, module, &config, region, span)?;
    Ok(json!({
        "ModuleCode": code,
        "OriginalCost": price::number(cost.total),
        "CostAfterDiscount": price::number(cost.total),
        "InvoiceDiscount": 0.0,
        "UnitPrice": price::number(cost.unit),
    }))
}

/// What a module that is priced by time is asked for; one that is priced by use has no span.
fn span(module: &Module, price_type: &str) -> Result<Span, Refused> {
    match (module.price_type, price_type) {
        ("Usage", "Usage") | ("Hour", "Hour") => Ok(Span::Hour),
        ("Hour", "Month") => Ok(Span::Month),
        ("Hour", "Year") => Ok(Span::Year),
        _ => Err(Refused::new("InvalidParameter", format!("{} is not priced by {price_type}.", module.code))),
    }
}

fn cost(call: &Call, module: &Module, config: &Config, region: &str, span: Span) -> Result<Cost, Refused> {
    let rate = |item: &str, unit: &str| call.catalog.rate(region, item, unit).ok_or_else(Refused::unpriced);
    let by_use = |item: &str, unit: &str, amount: &str| -> Result<Cost, Refused> {
        let unit = rate(item, unit)?;
        Ok(Cost { unit, total: unit * config.amount(amount)? })
    };
    let over = |hourly: Decimal| Cost { unit: hourly, total: hourly * span.hours() };
    match (module.product, module.code) {
        ("ecs", "InstanceType") => {
            let kind = call.catalog.types.get(config.required("InstanceType")?);
            if config.text("ImageOs").is_some_and(|os| os != "linux") {
                return Err(Refused::unpriced());
            }
            kind.and_then(|kind| kind.prices.get(region)).map(|hourly| over(*hourly)).ok_or_else(Refused::unpriced)
        }
        ("ecs", "SystemDisk" | "DataDisk") => disk(call, module.code, config, region, span),
        ("ecs", "InternetMaxBandwidthOut") => {
            let charge = if config.text("InternetMaxBandwidthOut.IsFlowType") == Some("1") { "PayByTraffic" } else { "PayByBandwidth" };
            let mbps = config.number::<u32>("InternetMaxBandwidthOut")?.div_ceil(1024);
            let of = |span| price::bandwidth_for(call.catalog, region, mbps, charge, span).ok_or_else(Refused::unpriced);
            Ok(Cost { unit: of(Span::Hour)?, total: of(span)? })
        }
        (_, "InternetTrafficOut") => by_use("bandwidth:traffic", "GB", "InternetTrafficOut"),
        ("eip", _) => Ok(over(rate("eip:configuration", "hour")? * config.amount("InstanceRent")?)),
        ("oss", "Storage") => {
            let redundancy = config.text("DataRedundancyType").unwrap_or("LRS");
            by_use(&format!("oss:storage:{redundancy}"), "GB-month", "Storage")
        }
        ("oss", "NetworkOut") => {
            by_use(if config.text("Time") == Some("Idle") { "oss:traffic:idle" } else { "oss:traffic:busy" }, "GB", "NetworkOut")
        }
        ("oss", "PutRequest") => by_use("oss:put", "10k", "PutRequest"),
        ("oss", "GetRequest") => by_use("oss:get", "10k", "GetRequest"),
        _ => functions(&rate, config.number("CU")?),
    }
}

fn disk(call: &Call, name: &str, config: &Config, region: &str, span: Span) -> Result<Cost, Refused> {
    let category = config.required(&format!("{name}.Category"))?;
    let level = config.text(&format!("{name}.PerformanceLevel")).unwrap_or_default();
    let size_gib = config.number(&format!("{name}.Size"))?;
    let sold = call.catalog.disk(category, level).ok_or_else(Refused::unpriced)?;
    let range = if name == "SystemDisk" { sold.system } else { sold.data };
    if !range.is_some_and(|(least, most)| (least..=most).contains(&size_gib)) {
        return Err(Refused::new("InvalidParameter", format!("{name}.Size of the configuration is not valid.")));
    }
    let disk = Disk { category: category.to_owned(), level: sold.level.to_owned(), size_gib };
    let of = |span| price::disk_price(call.catalog, region, &disk, span).ok_or_else(Refused::unpriced);
    Ok(Cost { unit: of(Span::Hour)?, total: of(span)? })
}

/// Usage of functions gets cheaper in steps.
fn functions(rate: &dyn Fn(&str, &str) -> Result<Decimal, Refused>, used: u64) -> Result<Cost, Refused> {
    let mut total = Decimal::ZERO;
    for (number, (from, item)) in TIERS.into_iter().enumerate() {
        let to = TIERS.get(number + 1).map_or(u64::MAX, |(to, _)| *to);
        total += rate(item, "CU")? * Decimal::from(used.min(to).saturating_sub(from));
    }
    Ok(Cost { unit: rate(TIERS[0].1, "CU")?, total })
}
