//! DescribeInstanceModificationPrice. The real service tells what an upgrade of a subscription costs for the rest of its
//! time. The local cloud changes only what is paid as it goes, so it tells what the changed parts cost an hour, which is
//! what a new instance would pay for them.

use serde_json::json;

use super::describe::info;
use super::{Disk, Line, bandwidth_for, data_disks, disk_price, kind_of, read_disk, unpriced};
use crate::local_cloud::call::{Call, Outcome};
use crate::local_cloud::disk;
use crate::local_cloud::instance::{self, Instance};
use crate::local_cloud::market;
use crate::local_cloud::wire::fault::Fault;
use crate::local_cloud::wire::params::Params;

/// DescribeInstanceModificationPrice.
pub(crate) fn describe(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let params = call.params;
    // Changes for a while belong to subscriptions.
    call.lacks(&["StartTime", "EndTime"])?;
    let instance = instance::find(call, params.required("InstanceId")?)?;
    let system = params.below("SystemDisk");
    if params.text("InstanceType").is_none() && params.structs("DataDisk").is_empty() {
        return Err(Fault::bad("MissingParameter", "InstanceType or DataDisk must be given."));
    }
    let mut lines = Vec::new();
    let kind = kind_of(call, params.text("InstanceType").unwrap_or(&instance.kind))?;
    if params.text("InstanceType").is_some() {
        let hourly = market::hourly(call.world, instance, kind, call.now).ok_or_else(unpriced)?;
        lines.push(Line { part: "instanceType", amount: hourly, list: kind.prices.get(region.id).copied().unwrap_or(hourly) });
    }
    let disk_line =
        |part, disk: &Disk| Ok(Line::new(part, disk_price(call.catalog, region.id, disk, super::Span::Hour).ok_or_else(unpriced)?));
    if system != Params::default() {
        let image = call.catalog.images.get(&instance.image).map_or(20, |image| image.size_gib);
        lines.push(disk_line("systemDisk", &read_disk(call, &system, "SystemDisk", Some(kind), image)?)?);
    }
    check_disks(call, instance)?;
    for disk in data_disks(call, Some(kind))? {
        lines.push(disk_line("dataDisk", &disk)?);
    }
    if let Some(mbps) = params.number("InternetMaxBandwidthOut")? {
        let charge = params.choice("InternetChargeType", &["PayByTraffic", "PayByBandwidth"], &instance.internet_charge)?;
        let price = bandwidth_for(call.catalog, region.id, mbps, charge, super::Span::Hour);
        lines.push(Line::new("bandwidth", price.ok_or_else(unpriced)?));
    }
    Ok(json!({ "PriceInfo": info(&lines) }))
}

/// A data disk that is named must be there; one without a name is a new one.
fn check_disks(call: &Call, instance: &Instance) -> Result<(), Fault> {
    for disk in call.params.structs("DataDisk") {
        if disk.text("DiskId").is_some_and(|id| !disk::of_instance(call.world, &instance.id).iter().any(|own| own.id == id)) {
            return Err(Fault::missing("InvalidDiskId.NotFound", "The specified disk is not one of the instance."));
        }
    }
    Ok(())
}
