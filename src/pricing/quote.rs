//! From what a resource needs priced to the lines of its cost.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rust_decimal::Decimal;

use super::lookup::{InstancePrice, Lookup};
use super::{tariff, training};
use crate::model::cost::{Charge, Cost, CostLine, Metering, PriceSource};
use crate::model::money::Money;
use crate::model::region;
use crate::resources::kind::Priced;

/// Prices already asked for.
pub type Quotes = BTreeMap<Priced, Cost>;

/// Prices everything in `wanted`, each different thing once, all at the same time. `region` is where things stand
/// that name no zone.
pub async fn quote_all(lookup: &dyn Lookup, region: &str, wanted: &BTreeSet<Priced>) -> Quotes {
    let pending: FuturesUnordered<_> =
        wanted.iter().map(|priced| async move { (priced.clone(), quote(lookup, region, priced).await) }).collect();
    pending.collect().await
}

/// The region that a zone lies in, as far as it is a public one: a stack that moves has instances in two regions.
fn region_of(zone: &str) -> Option<&'static str> {
    let lies_in = |region: &&region::PublicRegion| {
        // `cn-hangzhou-j`, `ap-southeast-1a`.
        zone.strip_prefix(region.id).is_some_and(|rest| rest.trim_start_matches('-').len() == 1)
    };
    region::REGIONS.iter().find(lies_in).map(|region| region.id)
}

/// The cost of one thing. A price that can't be had becomes an unknown line with the reason.
async fn quote(lookup: &dyn Lookup, region: &str, priced: &Priced) -> Cost {
    match priced {
        Priced::Training { instance_type, workers } => training(lookup, region, instance_type, *workers).await,
        Priced::Eip => Cost { lines: vec![tariff::idle_address(region), tariff::internet_traffic(region)] },
        Priced::Bucket => Cost { lines: tariff::bucket(region) },
        Priced::Cluster { pro, nodes } => {
            let mut lines = tariff::cluster(region, *pro);
            for node in nodes {
                lines.extend(instance(lookup, region, node).await.into_iter().map(part));
            }
            // Traffic of several nodes is one line: it is paid by use.
            let mut seen = BTreeSet::new();
            lines.retain(|line| matches!(line.charge, Charge::Hourly { .. }) || seen.insert(line.item.clone()));
            Cost { lines }
        }
        Priced::Function { cpu, memory, disk, gpu } => Cost { lines: tariff::function(region, *cpu, (*memory, *disk), gpu.as_ref()) },
        Priced::Instance { .. } => Cost { lines: instance(lookup, region, priced).await },
    }
}

/// The same line of a part that comes later than the whole.
fn part(line: CostLine) -> CostLine {
    let charge = match line.charge {
        Charge::Hourly { price, source, metering: Metering::Time } => Charge::Hourly { price, source, metering: Metering::Parts },
        other => other,
    };
    CostLine { charge, ..line }
}

/// What an instance costs; nothing for what is none.
async fn instance(lookup: &dyn Lookup, region: &str, priced: &Priced) -> Vec<CostLine> {
    let Priced::Instance { instance_type, zone, disk_category, disk_level, disk_size, bandwidth, spot } = priced else {
        return Vec::new();
    };
    let region = region_of(zone).unwrap_or(region);
    let wanted = InstancePrice {
        instance_type: instance_type.clone(),
        zone: zone.clone(),
        disk_category: disk_category.clone(),
        disk_level: disk_level.clone(),
        disk_size: *disk_size,
        bandwidth: *bandwidth,
        spot: *spot,
    };
    let mut lines = match lookup.price(region, &wanted).await {
        Ok(parts) => {
            parts.into_iter().map(|part| CostLine { item: part.item, charge: Charge::hourly(part.price, PriceSource::Quoted) }).collect()
        }
        Err(error) => vec![CostLine { item: instance_type.clone(), charge: Charge::Unknown { because: error.to_string() } }],
    };
    if *bandwidth > 0 {
        lines.push(tariff::internet_traffic(region));
    }
    lines
}

/// The cost of a training job: what an instance of the type costs, for each of its pods; their disks are part of
/// the service.
async fn training(lookup: &dyn Lookup, region: &str, instance_type: &str, workers: u32) -> Cost {
    let item = format!("{instance_type}, {workers} {} of training", if workers == 1 { "pod" } else { "pods" });
    let charge = match training::price(lookup, region, instance_type).await {
        Ok(price) => {
            let price = Money { amount: price.amount * Decimal::from(workers), ..price };
            Charge::hourly(price, PriceSource::Quoted)
        }
        Err(because) => Charge::Unknown { because },
    };
    Cost { lines: vec![CostLine { item, charge }] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_names_its_region() {
        for (zone, region) in [
            ("cn-hangzhou-j", Some("cn-hangzhou")),
            ("ap-southeast-1a", Some("ap-southeast-1")),
            ("cn-wuhan-lr-a", Some("cn-wuhan-lr")),
            ("cn-nowhere-a", None),
            ("", None),
        ] {
            assert_eq!(region_of(zone), region, "{zone}");
        }
    }
}
