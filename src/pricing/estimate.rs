//! What an hour costs of what no price call quotes, as far as tariffs are published; for comparing offers. What is
//! really wanted is priced by [`quote`](super::quote).

use rust_decimal::Decimal;

use crate::model::money::Money;

/// What the memory of an accelerator is worth to Function Compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionGpu {
    /// Tesla cards, `fc.gpu.tesla.1`.
    Tesla,
    /// Ampere and Ada cards, `fc.gpu.ampere.1`, `fc.gpu.ada.1`.
    Ada,
}

/// A CU of Function Compute in the first of the monthly steps. Source: its billing page, read 2026-10.
fn compute_unit(region: &str) -> Option<Decimal> {
    // Hong Kong has a mainland name and an overseas price list.
    (region.starts_with("cn-") && region != "cn-hongkong").then(|| Decimal::new(11, 5))
}

/// An hour of a function that works all the time; memory in GiB, of its accelerator too. `None` where no tariff is known.
pub fn function(region: &str, vcpu: u32, memory: Decimal, gpu: Option<(FunctionGpu, u32)>) -> Option<Money> {
    let accelerated = gpu.map_or(Decimal::ZERO, |(kind, memory)| {
        let rate = match kind {
            FunctionGpu::Tesla => Decimal::new(21, 1),
            FunctionGpu::Ada => Decimal::new(17, 1),
        };
        rate * Decimal::from(memory)
    });
    let units = Decimal::from(vcpu) + memory * Decimal::new(15, 2) + accelerated;
    Some(Money::cny((units * Decimal::from(3600) * compute_unit(region)?).normalize()))
}

/// An hour of the management of a cluster: a basic one costs nothing, a professional one does.
/// Source: the billing page of ACK, read 2026-10.
pub fn cluster(professional: bool) -> Money {
    Money::cny(if professional { Decimal::new(64, 2) } else { Decimal::ZERO })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_paid_by_what_it_uses_where_a_tariff_is_known() {
        // 2 vCPU and 4 GiB: 2 + 0.6 CU a second.
        assert_eq!(function("cn-hangzhou", 2, Decimal::from(4), None).unwrap().to_string(), "1.0296 CNY");
        let accelerated = function("cn-hangzhou", 4, Decimal::from(16), Some((FunctionGpu::Tesla, 16))).unwrap();
        assert_eq!(accelerated.to_string(), "15.84 CNY");
        assert_eq!(function("ap-southeast-1", 2, Decimal::from(4), None), None);
        assert_eq!((cluster(false).to_string(), cluster(true).to_string()), ("0 CNY".to_owned(), "0.64 CNY".to_owned()));
    }
}
