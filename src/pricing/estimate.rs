//! What an hour costs of what no price call quotes, as far as tariffs are published; for comparing offers. What is
//! really wanted is priced by [`quote`](super::quote).

use rust_decimal::Decimal;

use crate::model::money::Money;

/// An hour of the management of a cluster: a basic one costs nothing, a professional one does.
/// Source: the billing page of ACK, read 2026-10.
pub fn cluster(professional: bool) -> Money {
    Money::cny(if professional { Decimal::new(64, 2) } else { Decimal::ZERO })
}
