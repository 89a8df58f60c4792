//! RunInstances: everything is checked first, then all instances are made or none.

use std::net::Ipv4Addr;
use std::time::Duration;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::json;

use super::order::{self, Order};
use super::subscription::{self, Subscription};
use super::{Instance, Interface, Status, join, plan_events, spot};
use crate::local_cloud::call::{Call, Outcome};
use crate::local_cloud::disk::Volume;
use crate::local_cloud::store::Task;
use crate::local_cloud::time::{self, after};
use crate::local_cloud::wire::fault::Fault;
use crate::local_cloud::{billing, eip, price, vpc};

/// What tells one instance of an order from the others.
struct Own {
    private_ip: Ipv4Addr,
    name: String,
    host: String,
}

/// RunInstances.
pub(crate) fn run(call: &mut Call) -> Outcome {
    let order = order::check(call)?;
    call.end_dry_run()?;
    let params = call.params;
    let (name, host, hosts) = (params.owned("InstanceName"), params.owned("HostName"), params.list("HostNames", 100)?);
    let suffix = params.boolean("UniqueSuffix")? && order.count > 1;
    let addresses = match order.private_ip {
        Some(address) => vec![address],
        None => order.vswitch.free(call.world, order.count),
    };
    let mut made = Vec::new();
    for (number, private_ip) in (1..).zip(addresses) {
        let unique = if suffix { format!("{number:03}") } else { String::new() };
        let host = hosts.get(number - 1).map_or(host.as_str(), String::as_str);
        let own = Own { private_ip, name: numbered(&name, number, &unique), host: numbered(host, number, &unique) };
        made.push(make(call, &order, own)?);
    }
    let total = order.lines.iter().map(|line| line.amount).sum::<Decimal>() * Decimal::from(made.len());
    let order_id = if order.term.is_some() { subscription::order_id(call) } else { String::new() };
    Ok(json!({ "InstanceIdSets": { "InstanceIdSet": made }, "OrderId": order_id, "TradePrice": price::number(total) }))
}

/// `name[7,3]tail` counts from 7 with three digits; any other name gets the suffix.
fn numbered(name: &str, number: usize, suffix: &str) -> String {
    let ordered = || {
        let (head, rest) = name.split_once('[')?;
        let (inner, tail) = rest.split_once(']')?;
        let (begin, digits) = inner.split_once(',')?;
        let begin: usize = if begin.is_empty() { 0 } else { begin.parse().ok()? };
        let width: usize = if digits.is_empty() { 6 } else { digits.parse().ok().filter(|width| *width <= 6)? };
        Some(format!("{head}{:0width$}{tail}", begin.checked_add(number - 1)?))
    };
    if name.is_empty() { String::new() } else { ordered().unwrap_or_else(|| format!("{name}{suffix}")) }
}

fn make(call: &mut Call, order: &Order, own: Own) -> Result<String, Fault> {
    let region = order.region.id;
    let id = call.new_id("i", region, 20);
    let public_ip = if order.bandwidth_out > 0 { Some(eip::free_address(call, &id)?) } else { None };
    let latency = &call.config.latency;
    let starting = after(call.now, latency.of(|latency| latency.instance_pending));
    let running = after(starting, latency.of(|latency| latency.instance_starting));
    let until = pay(call, order, &id);
    make_disks(call, order, &id);
    let interface = interface(call, order);
    let instance = Instance {
        region: region.to_owned(),
        zone: order.vswitch.zone.clone(),
        name: if own.name.is_empty() { id.clone() } else { own.name },
        host_name: if own.host.is_empty() { format!("iZ{}Z", id.trim_start_matches("i-")) } else { own.host },
        description: call.params.owned("Description"),
        kind: order.kind.name.clone(),
        image: order.image.id.clone(),
        vpc: order.vswitch.vpc.clone(),
        vswitch: order.vswitch.id.clone(),
        private_ip: own.private_ip,
        public_ip,
        interface,
        groups: order.groups.clone(),
        bandwidth_out: order.bandwidth_out,
        internet_charge: order.internet_charge.clone(),
        spot: order.spot.clone(),
        subscription: order.term.zip(until).map(|(term, until)| Subscription { until, term, renewal: order.renewal }),
        settings: order.settings.clone(),
        key_pair: order.key_pair.clone(),
        key_pending: order.key_pair.is_some(),
        role: order.role.clone(),
        user_data: order.user_data.clone(),
        initialised: order.user_data.is_empty(),
        wipe: false,
        resource_group: vpc::resource_group(call),
        deletion_protection: call.params.boolean("DeletionProtection")?,
        created: call.now,
        tags: order.tags.clone(),
        auto_release: order.auto_release,
        vanishes_at: order.vanishing.then_some(starting),
        economical: false,
        timeline: vec![(call.now, Status::Pending), (starting, Status::Starting), (running, Status::Running)],
        gone_at: None,
        id: id.clone(),
    };
    let now = call.now;
    let world = &mut *call.world;
    world.index.addresses.entry(instance.vswitch.clone()).or_default().insert(own.private_ip);
    world.index.public.extend(public_ip);
    world.index.tasks.push(Task::Keep(id.clone()));
    world.instances.insert(id.clone(), instance);
    spot::settle(world, &id, now);
    plan_events(world, &id);
    join(world, &id, &order.groups);
    Ok(id)
}

/// Pays for a term, or starts the lines of the bill.
fn pay(call: &mut Call, order: &Order, id: &str) -> Option<Timestamp> {
    let region = order.region.id;
    if let Some(term) = order.term {
        return Some(subscription::buy(call.world, id, region, &order.lines, term, call.now));
    }
    for line in order.lines.iter().filter(|line| !line.amount.is_zero()) {
        billing::start(call.world, id, line.part, region, line.amount, call.now);
    }
    None
}

fn make_disks(call: &mut Call, order: &Order, instance: &str) {
    for (number, ordered) in (b'a'..=b'z').zip(&order.disks) {
        let id = call.new_id("d", order.region.id, 20);
        let system = number == b'a';
        let disk = Volume {
            id: id.clone(),
            region: order.region.id.to_owned(),
            zone: order.vswitch.zone.clone(),
            name: ordered.name.clone(),
            description: ordered.description.clone(),
            spec: ordered.spec.clone(),
            system,
            instance: Some(instance.to_owned()),
            device: format!("/dev/xvd{}", char::from(number)),
            delete_with_instance: ordered.delete_with_instance,
            image: if system { order.image.id.clone() } else { String::new() },
            encrypted: ordered.encrypted,
            kms_key: ordered.kms_key.clone(),
            prepaid: order.term.is_some(),
            created: call.now,
            attached: Some(call.now),
            detached: None,
            resource_group: vpc::resource_group(call),
            tags: order.tags.clone(),
        };
        call.world.disks.insert(id, disk);
    }
}

fn interface(call: &mut Call, order: &Order) -> Interface {
    let given = call.params.structs("NetworkInterface").into_iter().next().unwrap_or_default();
    Interface {
        id: call.new_id("eni", order.region.id, 20),
        name: given.owned("NetworkInterfaceName"),
        description: given.owned("Description"),
        tags: order.tags.clone(),
    }
}

/// A release time: at least half an hour and at most three years ahead, cut to the minute.
pub(super) fn auto_release(text: &str, now: Timestamp) -> Result<Timestamp, Fault> {
    let malformed = || Fault::bad("InvalidAutoReleaseTime.Malformed", "The specified parameter AutoReleaseTime is not valid.");
    let at = time::read(text).ok_or_else(malformed)?;
    let half_an_hour = Duration::from_secs(30 * 60);
    let three_years = Duration::from_secs(3 * 366 * 24 * 3600);
    if at < after(now, half_an_hour) || at > after(now, three_years) {
        return Err(malformed());
    }
    Timestamp::from_second(at.as_second().div_euclid(60) * 60).map_err(|_| malformed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_numbered_as_asked() {
        assert_eq!(numbered("web", 2, "002"), "web002");
        assert_eq!(numbered("web", 2, ""), "web");
        assert_eq!(numbered("k8s-[99,4]-node", 2, "002"), "k8s-0100-node");
        assert_eq!(numbered("x[,2]", 1, ""), "x00");
        assert_eq!(numbered("", 1, "001"), "");
    }

    #[test]
    fn a_release_time_is_between_half_an_hour_and_three_years_ahead() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        assert_eq!(auto_release("2026-01-02T03:40:59Z", now).unwrap().to_string(), "2026-01-02T03:40:00Z");
        assert_eq!(auto_release("2026-01-02T03:40Z", now).unwrap().to_string(), "2026-01-02T03:40:00Z");
        assert!(auto_release("2026-01-02T03:34:04Z", now).is_err());
        assert!(auto_release("2030-01-02T03:34:04Z", now).is_err());
        assert!(auto_release("tomorrow", now).is_err());
        // Another time zone than UTC is not what the service takes.
        assert!(auto_release("2026-01-02T11:40:00+08:00", now).is_err());
    }
}
