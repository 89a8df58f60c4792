//! Published tariffs of what no price call quotes: traffic, storage, requests.
//! Source: the public billing pages, read 2025-12 to 2026-10. Where a region's tariff is not known, that is said.

use rust_decimal::Decimal;

use crate::model::cost::{Charge, CostLine, PriceSource};
use crate::model::money::{Currency, Money};
use crate::resources::kind::FunctionGpu;

/// Regions whose tariff is another than the mainland's, and known.
const OVERSEAS_TRAFFIC: &[(&str, i64)] = &[("us-east-1", 76), ("ap-southeast-1", 81), ("ap-southeast-6", 81)];

/// Hong Kong has a mainland name and an overseas price list.
fn is_mainland(region: &str) -> bool {
    region.starts_with("cn-") && region != "cn-hongkong"
}

/// What an account needs before anything that is paid by use is created for it. Source: the error
/// `InvalidAccountStatus.NotEnoughBalance` and the billing page of pay-as-you-go instances.
pub const LEAST_BALANCE: Money = Money { amount: Decimal::ONE_HUNDRED, currency: Currency::Cny };

/// For how many seconds an instance is billed at least, by its number of vCPUs: 10 minutes for one, 5 for two, 2 for more.
/// Source: alibabacloud.com/help/en/ecs/pay-as-you-go-1 of 2024-08 ("within each billing cycle, computing resources has a
/// minimum billing duration"); the notice ECS-0928 and the page of 2026-06 know seconds only. So estimates count it, and
/// what was used is told by the second. The size is read from the end of the type's name, as all current families have it.
pub fn least_seconds(instance_type: &str) -> u64 {
    match instance_type.rsplit('.').next().unwrap_or_default() {
        "nano" | "tiny" | "small" | "medium" => 600,
        "large" => 300,
        _ => 120,
    }
}

fn usage(item: &str, price: Option<Money>, unit: &str, region: &str) -> CostLine {
    let charge = match price {
        Some(price) => Charge::Usage { price, unit: unit.to_owned(), source: PriceSource::Tariff },
        None => Charge::Unknown { because: format!("no tariff for `{region}` is known") },
    };
    CostLine { item: item.to_owned(), charge }
}

fn usd(thousandths: i64) -> Money {
    Money { amount: Decimal::new(thousandths, 3), currency: Currency::Usd }
}

/// Traffic from a machine to the internet, paid by the GB.
pub fn internet_traffic(region: &str) -> CostLine {
    let overseas = || OVERSEAS_TRAFFIC.iter().find(|(name, _)| *name == region).map(|(_, price)| usd(*price));
    let price = if is_mainland(region) { Some(Money::cny(Decimal::new(80, 2))) } else { overseas() };
    usage("traffic to the internet", price, "GB", region)
}

/// An elastic address while no instance holds it.
pub fn idle_address(region: &str) -> CostLine {
    let price = if is_mainland(region) { Money::cny(Decimal::new(2, 2)) } else { usd(6) };
    usage("address while unbound", Some(price), "hour", region)
}

/// The control plane of a Pro cluster; a basic one is free. Source: the billing page of ACK managed clusters.
pub fn cluster_management() -> CostLine {
    let charge = Charge::Hourly { price: Money::cny(Decimal::new(64, 2)), source: PriceSource::Tariff };
    CostLine { item: "management of a Pro cluster".to_owned(), charge }
}

/// What a bucket of bundles costs: storage and requests. Inside its region its traffic is free.
pub fn bucket(region: &str) -> Vec<CostLine> {
    let storage = match region {
        _ if is_mainland(region) => Some(Money::cny(Decimal::new(12, 2))),
        "ap-southeast-1" => Some(Money { amount: Decimal::new(173, 4), currency: Currency::Usd }),
        _ => None,
    };
    let requests = is_mainland(region).then(|| Money::cny(Decimal::new(1, 2)));
    vec![usage("storage", storage, "GB-month", region), usage("requests", requests, "10,000 requests", region)]
}

/// One CU of Function Compute in the first of the monthly steps, CNY; and how many of them a second of one vCPU, of one GB
/// of memory and of one GB of disk is, and ten thousand calls are. Source: Function Compute, pay-as-you-go, read 2026-11.
const CU: Decimal = Decimal::from_parts(11, 0, 0, false, 5);
const CU_MEMORY: Decimal = Decimal::from_parts(15, 0, 0, false, 2);
const CU_DISK: Decimal = Decimal::from_parts(5, 0, 0, false, 2);
const CU_CALLS: Decimal = Decimal::from_parts(75, 0, 0, false, 0);
/// The same of one GB of a card's memory: Tesla, and all others, of which the price list knows the series Ada only. Source: as
/// above, active use.
const CU_TESLA: Decimal = Decimal::from_parts(21, 0, 0, false, 1);
const CU_ADA: Decimal = Decimal::from_parts(17, 0, 0, false, 1);
/// What an hour in which a function ran costs at least, CNY. Source: as above.
const FUNCTION_LEAST: Decimal = Decimal::from_parts(1, 0, 0, false, 2);
/// The disk that every function has for nothing, MiB.
const FREE_DISK: u32 = 512;

/// What a second of one GB of the card's memory is, in CU.
fn card(kind: &str) -> Decimal {
    if kind.starts_with("fc.gpu.tesla.") { CU_TESLA } else { CU_ADA }
}

/// What a function costs while it runs, memory and disk in MiB. By the millisecond, so an hour is only a measure.
pub fn function(region: &str, cpu: Decimal, (memory, disk): (u32, u32), gpu: Option<&FunctionGpu>) -> Vec<CostLine> {
    let gigabytes = |mib: u32| Decimal::from(mib) / Decimal::from(1024);
    let disk = if disk > FREE_DISK { gigabytes(disk) } else { Decimal::ZERO };
    let mut item = format!("function of {} vCPU, {} GiB", cpu.normalize(), gigabytes(memory).normalize());
    if !disk.is_zero() {
        item += &format!(", {} GiB of disk", disk.normalize());
    }
    if let Some(gpu) = gpu {
        item += &format!(", {} of {} GiB", gpu.name, gigabytes(gpu.memory).normalize());
    }
    if !is_mainland(region) {
        return vec![CostLine { item, charge: Charge::Unknown { because: format!("no tariff for `{region}` is known") } }];
    }
    let accelerated = gpu.map_or(Decimal::ZERO, |gpu| gigabytes(gpu.memory) * card(&gpu.kind));
    let units = (cpu + gigabytes(memory) * CU_MEMORY + disk * CU_DISK + accelerated) * Decimal::from(3600);
    let price = Money::cny((units * CU).normalize());
    vec![
        CostLine { item, charge: Charge::Hourly { price, source: PriceSource::Tariff } },
        usage("calls", Some(Money::cny((CU_CALLS * CU).normalize())), "10,000 calls", region),
        usage("least bill of a function", Some(Money::cny(FUNCTION_LEAST)), "hour in which it ran", region),
        internet_traffic(region),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mainland_traffic_has_its_tariff_and_an_unknown_one_is_said() {
        let price = |region| match internet_traffic(region).charge {
            Charge::Usage { price, .. } => price.to_string(),
            Charge::Unknown { because } => because,
            Charge::Hourly { .. } => "hourly".to_owned(),
        };
        assert_eq!(price("cn-hangzhou"), "0.80 CNY");
        assert_eq!(price("us-east-1"), "0.076 USD");
        assert_eq!(price("cn-hongkong"), "no tariff for `cn-hongkong` is known");
    }
    #[test]
    fn a_function_costs_what_it_has_while_it_runs_and_elsewhere_that_is_not_known() {
        let hourly = |region, cpu, memory, disk| {
            let lines = function(region, Decimal::new(cpu, 2), (memory, disk), None);
            match &lines[0].charge {
                Charge::Hourly { price, .. } => format!("{}: {price}", lines[0].item),
                Charge::Unknown { because } => because.clone(),
                Charge::Usage { .. } => "usage".to_owned(),
            }
        };
        // (1 + 2 x 0.15) CU a second, 0.00011 CNY each.
        assert_eq!(hourly("cn-hangzhou", 100, 2048, 512), "function of 1 vCPU, 2 GiB: 0.5148 CNY");
        assert_eq!(hourly("cn-hangzhou", 35, 512, 10_240), "function of 0.35 vCPU, 0.5 GiB, 10 GiB of disk: 0.3663 CNY");
        assert_eq!(hourly("ap-southeast-1", 100, 2048, 512), "no tariff for `ap-southeast-1` is known");
    }

    #[test]
    fn a_card_costs_by_its_own_memory_and_its_series() {
        let hourly = |kind: &str, gigabytes: u32| {
            let gpu = FunctionGpu { name: "a card".to_owned(), kind: kind.to_owned(), memory: gigabytes * 1024 };
            match &function("cn-hangzhou", Decimal::from(4), (16_384, 512), Some(&gpu))[0] {
                CostLine { item, charge: Charge::Hourly { price, .. } } => format!("{item}: {price}"),
                other => format!("{other:?}"),
            }
        };
        // (4 + 16 x 0.15 + 16 x 2.1) CU a second.
        assert_eq!(hourly("fc.gpu.tesla.1", 16), "function of 4 vCPU, 16 GiB, a card of 16 GiB: 15.84 CNY");
        assert_eq!(hourly("fc.gpu.ada.1", 48), "function of 4 vCPU, 16 GiB, a card of 48 GiB: 34.848 CNY");
    }
}
