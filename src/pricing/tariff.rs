//! Published tariffs of what no price call quotes: traffic, storage, requests.
//! Source: the public billing pages, read 2025-12 to 2026-10. Where a region's tariff is not known, that is said.

use rust_decimal::Decimal;

use crate::model::cost::{Charge, CostLine, Metering, PriceSource};
use crate::model::money::{Currency, Money};

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

/// What traffic to the internet is called in a cost.
pub const TRAFFIC: &str = "traffic to the internet";

/// Traffic from a machine to the internet, paid by the GB; what comes from there costs nothing.
pub fn internet_traffic(region: &str) -> CostLine {
    let overseas = || OVERSEAS_TRAFFIC.iter().find(|(name, _)| *name == region).map(|(_, price)| usd(*price));
    let price = if is_mainland(region) { Some(Money::cny(Decimal::new(80, 2))) } else { overseas() };
    usage(TRAFFIC, price, "GB", region)
}

/// An elastic address while no instance holds it.
pub fn idle_address(region: &str) -> CostLine {
    usage("address while unbound", Some(address(region)), "hour", region)
}

/// An hour of an elastic address that nothing but an instance frees of its fee.
fn address(region: &str) -> Money {
    if is_mainland(region) { Money::cny(Decimal::new(2, 2)) } else { usd(6) }
}

fn by_tariff(item: &str, price: Money, metering: Metering) -> CostLine {
    CostLine { item: item.to_owned(), charge: Charge::Hourly { price, source: PriceSource::Tariff, metering } }
}

/// What a cluster costs besides its nodes.
///
/// The control plane of a Pro cluster has a fee, of which the hours in which it comes and goes are free; a basic one has
/// none. Source: alibabacloud.com/help/en/ack, "Cluster management fees" of 2024-12 and "ack-pro-cluster-billing".
/// The API of either stands behind a Classic Load Balancer of its own, paid by use since 2023-10 (the same manual,
/// "billing-method-change-for-the-clb-instance-of-the-api-server"): an instance fee for every hour begun, and its capacity
/// (LCU), of which no price was found. Source: help.aliyun.com/zh/slb, "pay-as-you-go-billing-for-clb", 0.147 CNY, and
/// alibabacloud.com of the same name, 2026-02, 0.021 USD. For the internet it has an elastic address, whose fee only an
/// instance would free it of: alibabacloud.com/help/doc-detail/122035.htm. Prices were read 2026-11.
pub fn cluster(region: &str, pro: bool) -> Vec<CostLine> {
    let (management, balancer) = cluster_fees(region);
    let mut lines = Vec::new();
    if pro {
        lines.push(by_tariff("management of a Pro cluster", management, Metering::WholeHours));
    }
    lines.push(by_tariff("load balancer of the cluster's API", balancer, Metering::BegunHours));
    lines.push(by_tariff("address of the cluster's API", address(region), Metering::Time));
    let because = "it is paid by use, and no price of it is known".to_owned();
    lines.push(CostLine { item: "capacity (LCU) of the load balancer".to_owned(), charge: Charge::Unknown { because } });
    lines
}

fn cluster_fees(region: &str) -> (Money, Money) {
    match is_mainland(region) {
        true => (Money::cny(Decimal::new(64, 2)), Money::cny(Decimal::new(147, 3))),
        false => (usd(90), usd(21)),
    }
}

/// An hour of a cluster besides its nodes, as far as that has a price.
pub fn cluster_hour(region: &str, pro: bool) -> Money {
    let (management, balancer) = cluster_fees(region);
    let fees = [pro.then_some(management), Some(balancer), Some(address(region))];
    Money { amount: fees.into_iter().flatten().map(|fee| fee.amount).sum(), ..balancer }
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

/// One CU of Function Compute in the first of the monthly steps. The price lists know no regions: the Chinese one is in
/// yuan, the international one in dollars, and outside of the mainland the latter is taken, as it is for traffic.
/// Source: help.aliyun.com and alibabacloud.com, Function Compute, "pay-as-you-go-billing-methods", read 2026-11. Neither
/// knows a least bill, and amounts below a fen are settled by the month: help.aliyun.com/zh/user-center, the notice
/// "updates-on-the-bill-settlement-policy" of 2024-04.
pub fn compute_unit(region: &str) -> Money {
    match is_mainland(region) {
        true => Money::cny(Decimal::new(11, 5)),
        false => Money { amount: Decimal::new(2, 5), currency: Currency::Usd },
    }
}

/// How many CU a second of one GB of memory and of one GB of disk is, and one call is; a second of one vCPU is one.
/// Source: as above.
const CU_MEMORY: Decimal = Decimal::from_parts(15, 0, 0, false, 2);
const CU_DISK: Decimal = Decimal::from_parts(5, 0, 0, false, 2);
const CU_CALL: Decimal = Decimal::from_parts(75, 0, 0, false, 4);
/// The disk that every function has for nothing, MiB.
const FREE_DISK: u32 = 512;

/// What a run of a function costs, `memory` and `disk` in MiB. By the millisecond, so an hour is only a measure; a bill has
/// a line for each part.
pub fn function(region: &str, cpu: Decimal, memory: u32, disk: u32) -> Vec<CostLine> {
    let gigabytes = |mib: u32| Decimal::from(mib) / Decimal::from(1024);
    let disk = if disk > FREE_DISK { gigabytes(disk) } else { Decimal::ZERO };
    let unit = compute_unit(region);
    let price = |units: Decimal| Money { amount: (unit.amount * units).normalize(), ..unit };
    let parts = [
        (format!("{} vCPU of a function", cpu.normalize()), cpu),
        (format!("{} GiB of its memory", gigabytes(memory).normalize()), gigabytes(memory) * CU_MEMORY),
        (format!("{} GiB of its disk", disk.normalize()), disk * CU_DISK),
    ];
    let used = parts.into_iter().filter(|(_, units)| !units.is_zero());
    let mut lines: Vec<CostLine> = used.map(|(item, units)| by_tariff(&item, price(units * Decimal::from(3600)), Metering::Time)).collect();
    let call = Charge::Once { price: price(CU_CALL), source: PriceSource::Tariff };
    lines.push(CostLine { item: "the call of a function".to_owned(), charge: call });
    lines.push(internet_traffic(region));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::cost::Cost;

    #[test]
    fn mainland_traffic_has_its_tariff_and_an_unknown_one_is_said() {
        let price = |region| match internet_traffic(region).charge {
            Charge::Usage { price, .. } => price.to_string(),
            Charge::Unknown { because } => because,
            Charge::Hourly { .. } | Charge::Once { .. } => "another".to_owned(),
        };
        assert_eq!(price("cn-hangzhou"), "0.80 CNY");
        assert_eq!(price("us-east-1"), "0.076 USD");
        assert_eq!(price("cn-hongkong"), "no tariff for `cn-hongkong` is known");
    }

    #[test]
    fn a_function_costs_what_it_has_while_it_runs_and_its_call() {
        let shown = |region, cpu, memory, disk| -> Vec<String> {
            let line = |line: CostLine| match line.charge {
                Charge::Hourly { price, .. } => format!("{}: {price}/h", line.item),
                Charge::Once { price, .. } => format!("{}: {price}", line.item),
                _ => line.item,
            };
            function(region, Decimal::new(cpu, 2), memory, disk).into_iter().map(line).collect()
        };
        // (1 + 2 x 0.15) CU a second, 0.00011 CNY each.
        assert_eq!(
            shown("cn-hangzhou", 100, 2048, 512),
            [
                "1 vCPU of a function: 0.396 CNY/h",
                "2 GiB of its memory: 0.1188 CNY/h",
                "the call of a function: 0.000000825 CNY",
                "traffic to the internet"
            ]
        );
        assert_eq!(
            shown("cn-hangzhou", 35, 512, 10_240)[..3],
            ["0.35 vCPU of a function: 0.1386 CNY/h", "0.5 GiB of its memory: 0.0297 CNY/h", "10 GiB of its disk: 0.198 CNY/h"]
        );
        assert_eq!(
            shown("ap-southeast-1", 100, 2048, 512)[..2],
            ["1 vCPU of a function: 0.072 USD/h", "2 GiB of its memory: 0.0216 USD/h"]
        );
    }

    #[test]
    fn a_cluster_costs_its_balancer_and_its_management_where_it_has_one() {
        let hourly = |region, pro| Cost { lines: cluster(region, pro) }.hourly();
        for (region, pro, sum) in
            [("cn-hangzhou", false, "0.167 CNY"), ("cn-hangzhou", true, "0.807 CNY"), ("ap-southeast-1", true, "0.117 USD")]
        {
            let total = hourly(region, pro);
            assert_eq!((total.sums[0].to_string(), total.unknown), (sum.to_owned(), true));
            assert_eq!(cluster_hour(region, pro), total.sums[0]);
        }
    }
}
