//! What a cluster costs besides its nodes. Rates are the catalogue's; the capacity that its load balancer uses has none there
//! and is not billed.

use super::Cluster;
use crate::local_cloud::billing::{self, Counted};
use crate::local_cloud::call::Call;

/// A fee.
pub(super) struct Fee {
    /// What it is on the bill.
    pub(super) part: &'static str,
    /// What it is among the rates by the hour.
    item: &'static str,
    counted: Counted,
}

/// The load balancer before the API. Source: the billing page of CLB, "pay-as-you-go-billing-for-clb".
pub(super) const LOAD_BALANCER: Fee = Fee { part: "loadBalancer", item: "clb:instance", counted: Counted::HoursBegun };
/// Its address in the internet: only instances free one of its fee.
pub(super) const ADDRESS: Fee = Fee { part: "eip", item: "eip:configuration", counted: Counted::Seconds };
/// The control plane of a Pro cluster. Source: the manual of ACK, "Cluster management fees".
pub(super) const MANAGEMENT: Fee = Fee { part: "clusterManagement", item: "ack:pro", counted: Counted::HoursWhole };

/// Bills it from now on.
pub(super) fn start(call: &mut Call, cluster: &Cluster, fee: Fee) {
    if let Some(rate) = call.catalog.rate(&cluster.region, fee.item, "hour") {
        billing::start_counted(call.world, (&cluster.id, fee.part, &cluster.region), rate, fee.counted, call.now);
    }
}
