//! Subscriptions: instances that are paid for months or weeks ahead, renewed or not, and the change between both ways
//! of paying.

use std::time::Duration;

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{Instance, Status, find, plan_events, wrong_status};
use crate::local_cloud::billing;
use crate::local_cloud::call::{Call, Outcome};
use crate::local_cloud::catalog::Catalog;
use crate::local_cloud::disk;
use crate::local_cloud::market;
use crate::local_cloud::paging::Page;
use crate::local_cloud::price::{self, Line, Parts, Span};
use crate::local_cloud::store::World;
use crate::local_cloud::wire::fault::Fault;

/// How long an expired instance is kept before it is released.
pub(crate) const KEPT: Duration = Duration::from_secs(15 * 24 * 3600);

/// A span that is paid at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Term {
    pub(crate) count: u32,
    pub(crate) weeks: bool,
}

impl Term {
    /// The term that `Period` and `PeriodUnit` name, as a purchase takes it.
    pub(super) fn read(call: &Call) -> Result<Term, Fault> {
        call.params.required("Period")?;
        let invalid = || Fault::bad("InvalidPeriod", "The specified period is not valid.");
        let count: u32 = call.params.number("Period").map_err(|_| invalid())?.ok_or_else(invalid)?;
        let unit = call.params.choice("PeriodUnit", &["Week", "Month", "Year"], "Month").map_err(|_| invalid())?;
        let months = matches!(count, 1..=9 | 12 | 24 | 36 | 48 | 60);
        match unit {
            "Week" if matches!(count, 1..=4) => Ok(Term { count, weeks: true }),
            "Month" if months => Ok(Term { count, weeks: false }),
            "Year" if matches!(count, 1..=5) => Ok(Term { count: count * 12, weeks: false }),
            _ => Err(invalid()),
        }
    }

    /// The term of an automatic renewal, if one is wanted.
    pub(super) fn read_renewal(call: &Call, term: Term) -> Result<Option<Term>, Fault> {
        if !call.params.boolean("AutoRenew")? {
            return Ok(None);
        }
        let count: u32 = call.params.number("AutoRenewPeriod")?.unwrap_or(1);
        let fits = if term.weeks { matches!(count, 1..=3) } else { matches!(count, 1..=3 | 6 | 12 | 24 | 36 | 48 | 60) };
        let invalid = || Fault::bad("InvalidAutoRenewPeriod.ValueNotSupported", "The specified AutoRenewPeriod is not valid.");
        if fits { Ok(Some(Term { count, ..term })) } else { Err(invalid()) }
    }

    fn span(self) -> Span {
        if self.weeks { Span::Week } else { Span::Month }
    }

    fn unit(self) -> &'static str {
        if self.weeks { "Week" } else { "Month" }
    }

    /// The end: midnight in Beijing after the last day.
    fn end(self, from: Timestamp) -> Timestamp {
        let count = i64::from(self.count);
        let span = if self.weeks { count.weeks() } else { count.months() };
        let zoned = from.to_zoned(TimeZone::UTC).checked_add(span);
        let day = 24 * 3600;
        // 16:00 UTC is midnight there.
        let midnight = 16 * 3600;
        let seconds = zoned.map_or(i64::MAX / 2, |end| end.timestamp().as_second());
        let rounded = (seconds - midnight).div_euclid(day) * day + midnight;
        let rounded = if rounded < seconds { rounded + day } else { rounded };
        Timestamp::from_second(rounded).unwrap_or(Timestamp::MAX)
    }
}

/// What an instance was paid for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Subscription {
    pub(crate) until: Timestamp,
    pub(crate) term: Term,
    pub(crate) renewal: Option<Term>,
}

/// A number as orders have them.
pub(crate) fn order_id(call: &mut Call) -> String {
    format!("2{:014}", call.world.next_number())
}

/// What the parts of an instance cost for a term.
pub(super) fn prices(catalog: &Catalog, region: &str, parts: &Parts, term: Term) -> Result<Vec<Line>, Fault> {
    let lines = price::instance(catalog, region, parts, term.span())?;
    let count = Decimal::from(term.count);
    Ok(lines.into_iter().map(|line| Line { amount: line.amount * count, list: line.list * count, ..line }).collect())
}

fn prices_of(world: &World, catalog: &Catalog, instance: &Instance, term: Term) -> Result<Vec<Line>, Fault> {
    let disks = disk::of_instance(world, &instance.id);
    let system = disks.iter().find(|disk| disk.system).ok_or_else(disk::not_found)?;
    let data: Vec<_> = disks.iter().filter(|disk| !disk.system).map(|disk| disk.spec.clone()).collect();
    let kind = catalog.types.get(&instance.kind).ok_or_else(wrong_status)?;
    let internet_charge = &instance.internet_charge;
    let parts = Parts { kind, system: &system.spec, data: &data, bandwidth: instance.bandwidth_out, internet_charge };
    prices(catalog, &instance.region, &parts, term)
}

/// Pays for a term and answers its end.
pub(super) fn buy(world: &mut World, id: &str, region: &str, lines: &[Line], term: Term, from: Timestamp) -> Timestamp {
    let until = term.end(from);
    for line in lines.iter().filter(|line| !line.amount.is_zero()) {
        billing::buy(world, (id, line.part, region), line.amount, from, until);
    }
    until
}

/// The end of a subscription: it is renewed, or the instance stops and waits for its release.
pub(super) fn expire(world: &mut World, id: &str) {
    let Some(instance) = world.instances.get(id) else { return };
    let Some(subscription) = instance.subscription.clone() else { return };
    let region = instance.region.clone();
    let renewed = subscription.renewal.and_then(|term| Some((term, prices_of(world, Catalog::embedded(), instance, term).ok()?)));
    match renewed {
        Some((term, lines)) => {
            let until = buy(world, id, &region, &lines, term, subscription.until);
            if let Some(row) = world.instances.get_mut(id) {
                row.subscription = Some(Subscription { until, term, ..subscription });
            }
            plan_events(world, id);
        }
        None => {
            if let Some(row) = world.instances.get_mut(id)
                && row.state(subscription.until) != Status::Stopped
            {
                row.timeline = vec![(subscription.until, Status::Stopped)];
                world.index.up.remove(id);
                world.index.signal(id);
            }
        }
    }
}

/// ModifyInstanceChargeType, both ways.
pub(crate) fn modify(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let params = call.params;
    let ids = params.json_list("InstanceIds", 20)?.filter(|ids| !ids.is_empty()).ok_or_else(|| Fault::mandatory("InstanceIds"))?;
    let ahead = params.choice("InstanceChargeType", &["PrePaid", "PostPaid"], "PrePaid")? == "PrePaid";
    let term = if ahead { Some(Term::read(call)?) } else { None };
    let violation = || Fault::forbidden("ChargeTypeViolation", "The operation is not permitted due to charge type of the instance.");
    let mut fees = Vec::new();
    for id in &ids {
        let instance = find(call, id)?;
        if market::is_spot(instance) || instance.subscription.is_some() == ahead {
            return Err(violation());
        }
        if !matches!(instance.state(call.now), Status::Running | Status::Stopped) || instance.lock(call.now).is_some() {
            return Err(wrong_status());
        }
        fees.push(term.map(|term| prices_of(call.world, call.catalog, instance, term)).transpose()?);
    }
    let paid: Decimal = fees.iter().flatten().flatten().map(|line| line.amount).sum();
    if params.flag("AutoPay")?.unwrap_or(true) && call.balance() < paid {
        return Err(Fault::forbidden("InvalidAccountStatus.NotEnoughBalance", "Your account does not have enough balance."));
    }
    call.end_dry_run()?;
    let mut shown: Vec<Json> = Vec::new();
    for (id, lines) in ids.iter().zip(fees) {
        let before = call.world.index.spending.until(call.now);
        match (term, lines) {
            (Some(term), Some(lines)) => {
                billing::stop(call.world, id, None, call.now);
                let until = buy(call.world, id, region.id, &lines, term, call.now);
                mark(call.world, id, Some(Subscription { until, term, renewal: None }));
            }
            _ => {
                billing::refund(call.world, id, call.now);
                mark(call.world, id, None);
                bill_hourly(call, id)?;
            }
        }
        let fee = call.world.index.spending.until(call.now) - before;
        shown.push(json!({ "InstanceId": id, "Fee": fee.abs().round_dp(2).to_string(), "Currency": "CNY" }));
    }
    let detail = params.boolean("IsDetailFee")?;
    let order = order_id(call);
    Ok(json!({ "OrderId": order, "FeeOfInstances": { "FeeOfInstance": if detail { shown } else { Vec::new() } } }))
}

fn mark(world: &mut World, id: &str, subscription: Option<Subscription>) {
    let prepaid = subscription.is_some();
    let disks: Vec<String> = disk::of_instance(world, id).iter().map(|disk| disk.id.clone()).collect();
    for disk in disks {
        if let Some(row) = world.disks.get_mut(&disk) {
            row.prepaid = prepaid;
        }
    }
    if let Some(row) = world.instances.get_mut(id) {
        row.subscription = subscription;
        row.auto_release = row.auto_release.filter(|_| !prepaid);
    }
    plan_events(world, id);
}

/// Starts the lines of what is paid as it goes.
fn bill_hourly(call: &mut Call, id: &str) -> Result<(), Fault> {
    let Some(instance) = call.world.instances.get(id) else { return Ok(()) };
    let disks = disk::of_instance(call.world, id);
    let system = disks.iter().find(|disk| disk.system).ok_or_else(disk::not_found)?;
    let data: Vec<_> = disks.iter().filter(|disk| !disk.system).map(|disk| disk.spec.clone()).collect();
    let kind = price::kind_of(call, &instance.kind)?;
    let parts =
        Parts { kind, system: &system.spec, data: &data, bandwidth: instance.bandwidth_out, internet_charge: &instance.internet_charge };
    let region = instance.region.clone();
    for line in price::scaled(call, &region, kind, price::instance(call.catalog, &region, &parts, Span::Hour)?)
        .iter()
        .filter(|line| !line.amount.is_zero())
    {
        billing::start(call.world, id, line.part, &region, line.amount, call.now);
    }
    Ok(())
}

/// DescribeInstanceAutoRenewAttribute: of subscriptions only.
pub(crate) fn describe_renewal(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let params = call.params;
    let page = Page::numbered(params, 100)?;
    let ids = params.commas("InstanceId", 100)?;
    let status = params.choice("RenewalStatus", &["AutoRenewal", "Normal", "NotRenewal", ""], "")?;
    if ids.is_none() && status.is_empty() {
        return Err(Fault::bad("MissingParameter", "InstanceId or RenewalStatus must be specified."));
    }
    let state = |instance: &Instance| {
        let renewal = instance.subscription.as_ref().and_then(|term| term.renewal);
        if renewal.is_some() { "AutoRenewal" } else { "Normal" }
    };
    let rows = call.world.instances.among(ids.as_deref()).filter(|(_, instance)| {
        instance.region == region.id && instance.subscription.is_some() && (status.is_empty() || status == state(instance))
    });
    let cut = page.cut(rows);
    let shown: Vec<Json> = cut
        .rows
        .iter()
        .map(|instance| {
            let renewal = instance.subscription.as_ref().and_then(|term| term.renewal);
            json!({
                "InstanceId": instance.id,
                "AutoRenewEnabled": renewal.is_some(),
                "Duration": renewal.map_or(0, |term| term.count),
                "PeriodUnit": renewal.map_or("Month", Term::unit),
                "RenewalStatus": state(instance),
            })
        })
        .collect();
    let mut answer = json!({ "InstanceRenewAttributes": { "InstanceRenewAttribute": shown } });
    cut.describe(&mut answer);
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_ends_at_midnight_in_beijing() {
        let from: Timestamp = "2026-01-31T10:00:00Z".parse().unwrap();
        assert_eq!(Term { count: 1, weeks: false }.end(from).to_string(), "2026-02-28T16:00:00Z");
        assert_eq!(Term { count: 1, weeks: true }.end(from).to_string(), "2026-02-07T16:00:00Z");
        let late: Timestamp = "2026-01-31T17:00:00Z".parse().unwrap();
        assert_eq!(Term { count: 12, weeks: false }.end(late).to_string(), "2027-02-01T16:00:00Z");
    }
}
