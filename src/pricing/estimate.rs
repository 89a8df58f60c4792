//! What an hour costs of what no price call quotes, as far as tariffs are published; for comparing offers. What is
//! really wanted is priced by [`quote`](super::quote).

use super::tariff;
use crate::model::money::Money;

/// An hour of a cluster besides its nodes: the management of a professional one, and the balancer of the API.
pub fn cluster(region: &str, professional: bool) -> Money {
    tariff::cluster_hour(region, professional)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_costs_something_without_a_node() {
        assert_eq!(cluster("cn-hangzhou", false).to_string(), "0.167 CNY");
    }
}
