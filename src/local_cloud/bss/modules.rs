//! DescribePricingModule: which modules a product is priced by, and what they are configured with. The modules of ECS and
//! of elastic addresses are the service's; it publishes none of those of OSS and functions, their names are our own.

use serde_json::{Value as Json, json};

use super::{Refused, told};
use crate::local_cloud::call::{Call, Outcome};

/// A pricing module.
pub(super) struct Module {
    pub(super) product: &'static str,
    pub(super) code: &'static str,
    name: &'static str,
    /// `Hour` or `Usage`.
    pub(super) price_type: &'static str,
    /// What it is configured with.
    config: &'static [&'static str],
}

const fn module(
    product: &'static str,
    code: &'static str,
    name: &'static str,
    price_type: &'static str,
    config: &'static [&'static str],
) -> Module {
    Module { product, code, name, price_type, config }
}

/// All modules.
pub(super) const MODULES: [Module; 12] = [
    module("ecs", "InstanceType", "Instance", "Hour", &["Region", "InstanceType", "IoOptimized", "ImageOs"]),
    module(
        "ecs",
        "SystemDisk",
        "System disk",
        "Hour",
        &["Region", "SystemDisk.Category", "SystemDisk.PerformanceLevel", "SystemDisk.Size"],
    ),
    module("ecs", "DataDisk", "Data disk", "Hour", &["Region", "DataDisk.Category", "DataDisk.PerformanceLevel", "DataDisk.Size"]),
    module(
        "ecs",
        "InternetMaxBandwidthOut",
        "Public bandwidth",
        "Hour",
        &["Region", "InternetMaxBandwidthOut", "InternetMaxBandwidthOut.IsFlowType"],
    ),
    module("ecs", "InternetTrafficOut", "Public traffic", "Usage", &["Region", "InternetTrafficOut"]),
    module("eip", "InstanceRent", "Configuration fee", "Hour", &["Region", "InstanceRent"]),
    module("eip", "InternetTrafficOut", "Public traffic", "Usage", &["Region", "InternetTrafficOut"]),
    module("oss", "Storage", "Storage", "Usage", &["Region", "Storage", "DataRedundancyType"]),
    module("oss", "NetworkOut", "Public traffic", "Usage", &["Region", "NetworkOut", "Time"]),
    module("oss", "PutRequest", "PUT requests", "Usage", &["Region", "PutRequest"]),
    module("oss", "GetRequest", "GET requests", "Usage", &["Region", "GetRequest"]),
    module("fc", "CU", "Function usage", "Usage", &["Region", "CU"]),
];

/// Whether billing knows the product.
pub(super) fn check_product(call: &Call, code: &str) -> Result<(), Refused> {
    let kind = call.params.text("ProductType");
    if !MODULES.iter().any(|module| module.product == code) || kind.is_some_and(|kind| kind != code) {
        return Err(Refused::new("ProductNotFind", "The specified product does not exist."));
    }
    Ok(())
}

/// DescribePricingModule.
pub(crate) fn describe(call: &mut Call) -> Outcome {
    let product = call.params.required("ProductCode")?;
    let subscription = call.params.required("SubscriptionType")?;
    Ok(told(found(call, product, subscription)))
}

fn found(call: &Call, product: &str, subscription: &str) -> Result<Json, Refused> {
    check_product(call, product)?;
    if !["PayAsYouGo", "Subscription"].contains(&subscription) {
        return Err(Refused::new("InvalidParameter", "The specified SubscriptionType is not valid."));
    }
    // Billing has no prices of subscriptions.
    let modules: Vec<&Module> = MODULES.iter().filter(|module| module.product == product && subscription == "PayAsYouGo").collect();
    let mut attributes: Vec<&str> = modules.iter().flat_map(|module| module.config.iter().copied()).collect();
    attributes.sort_unstable();
    attributes.dedup();
    let attributes: Vec<Json> = attributes.iter().map(|code| attribute(call, code)).collect();
    let modules: Vec<Json> = modules.iter().map(|module| row(module)).collect();
    Ok(json!({ "ModuleList": { "Module": modules }, "AttributeList": { "Attribute": attributes } }))
}

fn row(module: &Module) -> Json {
    json!({
        "ModuleCode": module.code,
        "ModuleName": module.name,
        "PriceType": module.price_type,
        "Currency": "CNY",
        "ConfigList": { "ConfigList": module.config },
    })
}

/// The values that an attribute may have.
fn attribute(call: &Call, code: &str) -> Json {
    let catalog = call.catalog;
    let named = |names: &[&str]| -> Vec<Json> {
        names.iter().map(|name| json!({ "Name": name, "Value": name, "Type": "single_string", "Remark": "" })).collect()
    };
    let range = |range: &str| vec![json!({ "Name": range, "Value": range, "Type": "range_float", "Remark": "" })];
    let categories = |system: bool| {
        let disks = catalog.disks.iter().filter(|disk| if system { disk.system.is_some() } else { disk.data.is_some() });
        let mut names: Vec<&str> = disks.map(|disk| disk.category).collect();
        names.dedup();
        named(&names)
    };
    let (unit, values) = match code {
        "Region" => ("", named(&catalog.regions.values().filter(|region| region.active).map(|region| region.id).collect::<Vec<_>>())),
        "InstanceType" => ("", named(&catalog.types.keys().map(String::as_str).collect::<Vec<_>>())),
        "IoOptimized" => ("", named(&["IoOptimized"])),
        "ImageOs" => ("", named(&["linux"])),
        "SystemDisk.Category" => ("", categories(true)),
        "DataDisk.Category" => ("", categories(false)),
        "SystemDisk.PerformanceLevel" | "DataDisk.PerformanceLevel" => ("", named(&["PL0", "PL1", "PL2", "PL3"])),
        "SystemDisk.Size" => ("GB", range("1-2048:1")),
        "DataDisk.Size" => ("GB", range("1-65536:1")),
        // 5 is a fixed bandwidth, 1 pays by traffic.
        "InternetMaxBandwidthOut.IsFlowType" => ("", named(&["5", "1"])),
        "InternetMaxBandwidthOut" => ("Kbps", range("1024-1024000:1024")),
        "DataRedundancyType" => ("", named(&["LRS", "ZRS"])),
        "Time" => ("", named(&["Busy", "Idle"])),
        "PutRequest" | "GetRequest" => ("10000", range("1-1000000:1")),
        "CU" => ("CU", range("1-1000000000:1")),
        _ => ("GB", range("1-1000000:1")),
    };
    json!({ "Code": code, "Name": code, "Unit": unit, "Values": { "AttributeValue": values } })
}
