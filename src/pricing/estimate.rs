//! What an hour costs of what no price call quotes, as far as tariffs are published; for comparing offers. What is
//! really wanted is priced by [`quote`](super::quote).

use rust_decimal::Decimal;

use super::tariff;
use crate::model::money::Money;

/// What the memory of an accelerator is worth to Function Compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionGpu {
    /// Tesla cards, `fc.gpu.tesla.1`.
    Tesla,
    /// Ampere and Ada cards, `fc.gpu.ampere.1`, `fc.gpu.ada.1`.
    Ada,
}

/// An hour of a function that works all the time; memory in GiB, of its accelerator too.
pub fn function(region: &str, vcpu: u32, memory: Decimal, gpu: Option<(FunctionGpu, u32)>) -> Money {
    let accelerated = gpu.map_or(Decimal::ZERO, |(kind, memory)| {
        let rate = match kind {
            FunctionGpu::Tesla => Decimal::new(21, 1),
            FunctionGpu::Ada => Decimal::new(17, 1),
        };
        rate * Decimal::from(memory)
    });
    let units = Decimal::from(vcpu) + memory * Decimal::new(15, 2) + accelerated;
    let unit = tariff::compute_unit(region);
    Money { amount: (units * Decimal::from(3600) * unit.amount).normalize(), ..unit }
}

/// An hour of a cluster besides its nodes: the management of a professional one, and the balancer of the API.
pub fn cluster(region: &str, professional: bool) -> Money {
    tariff::cluster_hour(region, professional)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_paid_by_what_it_uses() {
        // 2 vCPU and 4 GiB: 2 + 0.6 CU a second.
        assert_eq!(function("cn-hangzhou", 2, Decimal::from(4), None).to_string(), "1.0296 CNY");
        let accelerated = function("cn-hangzhou", 4, Decimal::from(16), Some((FunctionGpu::Tesla, 16)));
        assert_eq!(accelerated.to_string(), "15.84 CNY");
        assert_eq!(function("ap-southeast-1", 2, Decimal::from(4), None).to_string(), "0.1872 USD");
        assert_eq!(cluster("cn-hangzhou", false).to_string(), "0.167 CNY");
    }
}
