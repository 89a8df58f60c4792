//! Published tariffs of what no price call quotes: traffic, storage, requests.
//! Source: the public billing pages, read 2025-12 to 2026-10. Where a region's tariff is not known, that is said.

use rust_decimal::Decimal;

use crate::model::cost::{Charge, CostLine, PriceSource};
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
}
