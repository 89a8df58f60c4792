//! RunInstances: everything is checked first, then all instances are made or none.

use std::net::Ipv4Addr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::json;

use super::{DataDisk, Instance, Status, join};
use crate::local_cloud::call::{Call, Outcome};
use crate::local_cloud::catalog::{Image, InstanceType, Region};
use crate::local_cloud::config::Stock;
use crate::local_cloud::price::{self, Disk, Line, Parts, Span};
use crate::local_cloud::store::{Due, Task, ids};
use crate::local_cloud::time::after;
use crate::local_cloud::vswitch::VSwitch;
use crate::local_cloud::wire::fault::Fault;
use crate::local_cloud::wire::params::Tags;
use crate::local_cloud::{billing, eip, image, market, security_group, stock, vpc, vswitch};

/// Everything that was checked.
struct Order {
    region: &'static Region,
    kind: &'static InstanceType,
    image: &'static Image,
    vswitch: VSwitch,
    groups: Vec<String>,
    count: usize,
    private_ip: Option<Ipv4Addr>,
    bandwidth_out: u32,
    internet_charge: String,
    system: Disk,
    data: Vec<(Disk, bool)>,
    lines: Vec<Line>,
    auto_release: Option<Timestamp>,
    vanishing: bool,
    taken_back: Option<Timestamp>,
    spot: String,
    tags: Tags,
}

/// RunInstances.
pub(crate) fn run(call: &mut Call) -> Outcome {
    let order = check(call)?;
    call.end_dry_run()?;
    let name = call.params.owned("InstanceName");
    let suffix = call.params.boolean("UniqueSuffix")? && order.count > 1;
    let addresses = match order.private_ip {
        Some(address) => vec![address],
        None => order.vswitch.free(call.world, order.count),
    };
    let mut made = Vec::new();
    for (number, private_ip) in (1..).zip(addresses) {
        let unique = if suffix { format!("{number:03}") } else { String::new() };
        made.push(make(call, &order, private_ip, &numbered(&name, number, &unique), &unique)?);
    }
    let total = order.lines.iter().map(|line| line.amount).sum::<rust_decimal::Decimal>() * rust_decimal::Decimal::from(made.len());
    Ok(json!({ "InstanceIdSets": { "InstanceIdSet": made }, "OrderId": "", "TradePrice": price::number(total) }))
}

/// `name[7,3]tail` counts from 7 with three digits; any other name gets the suffix.
fn numbered(name: &str, number: usize, suffix: &str) -> String {
    let ordered = || {
        let (head, rest) = name.split_once('[')?;
        let (inner, tail) = rest.split_once(']')?;
        let (begin, digits) = inner.split_once(',')?;
        let begin: usize = if begin.is_empty() { 0 } else { begin.parse().ok()? };
        let width: usize = if digits.is_empty() { 6 } else { digits.parse().ok()? };
        Some(format!("{head}{:0width$}{tail}", begin + number - 1))
    };
    if name.is_empty() { String::new() } else { ordered().unwrap_or_else(|| format!("{name}{suffix}")) }
}

fn make(call: &mut Call, order: &Order, private_ip: Ipv4Addr, name: &str, suffix: &str) -> Result<String, Fault> {
    let region = order.region.id;
    let id = call.new_id("i", region, 20);
    let public_ip = if order.bandwidth_out > 0 { Some(eip::free_address(call, &id)?) } else { None };
    let host = call.params.owned("HostName");
    let latency = &call.config.latency;
    let starting = after(call.now, latency.of(|latency| latency.instance_pending));
    let running = after(starting, latency.of(|latency| latency.instance_starting));
    let data = order.data.iter().map(|(disk, goes)| DataDisk {
        id: ids::resource(call.config.seed, call.world.next_number(), "d", region, 20),
        disk: disk.clone(),
        delete_with_instance: *goes,
    });
    let data = data.collect();
    let instance = Instance {
        region: region.to_owned(),
        zone: order.vswitch.zone.clone(),
        name: if name.is_empty() { id.clone() } else { name.to_owned() },
        host_name: if host.is_empty() { format!("iZ{}Z", id.trim_start_matches("i-")) } else { format!("{host}{suffix}") },
        description: call.params.owned("Description"),
        kind: order.kind.name.clone(),
        image: order.image.id.clone(),
        vpc: order.vswitch.vpc.clone(),
        vswitch: order.vswitch.id.clone(),
        private_ip,
        public_ip,
        interface: call.new_id("eni", region, 20),
        groups: order.groups.clone(),
        bandwidth_out: order.bandwidth_out,
        internet_charge: order.internet_charge.clone(),
        system: order.system.clone(),
        data,
        spot: order.spot.clone(),
        resource_group: vpc::resource_group(call),
        deletion_protection: call.params.boolean("DeletionProtection")?,
        created: call.now,
        tags: order.tags.clone(),
        auto_release: order.auto_release,
        vanishes_at: order.vanishing.then_some(starting).or(order.taken_back),
        economical: false,
        timeline: vec![(call.now, Status::Pending), (starting, Status::Starting), (running, Status::Running)],
        gone_at: None,
        id: id.clone(),
    };
    for line in order.lines.iter().filter(|line| !line.amount.is_zero()) {
        billing::start(call.world, &id, line.part, region, line.amount, call.now);
    }
    let world = &mut *call.world;
    world.index.addresses.entry(instance.vswitch.clone()).or_default().insert(private_ip);
    world.index.public.extend(public_ip);
    world.index.due.extend(instance.release_at().map(|at| (at, Due::Release(id.clone()))));
    if order.spot != "NoSpot" {
        world.index.due.insert((market::next_step(call.now), Due::Market));
    }
    world.index.tasks.push(Task::Keep(id.clone()));
    world.instances.insert(id.clone(), instance);
    join(world, &id, &order.groups);
    Ok(id)
}

fn check(call: &mut Call) -> Result<Order, Fault> {
    let region = call.region()?;
    let params = call.params;
    if params.choice("InstanceChargeType", &["PostPaid", "PrePaid"], "PostPaid")? == "PrePaid" {
        return Err(Fault::bad("InvalidParameter", "The local cloud sells no subscriptions: InstanceChargeType must be PostPaid."));
    }
    check_texts(call)?;
    let kind = price::kind_of(call, params.required("InstanceType")?)?;
    let image = match params.text("ImageId") {
        Some(id) => {
            call.catalog.images.get(id).ok_or_else(|| Fault::missing("InvalidImageId.NotFound", "The specified ImageId does not exist."))?
        }
        None => image::by_family(call, params.text("ImageFamily").ok_or_else(|| Fault::mandatory("ImageId"))?)?,
    };
    if !kind.runs(image.architecture) {
        return Err(Fault::bad("ImageNotSupportInstanceType", "The specified image does not support the specified InstanceType."));
    }
    let primary = params.structs("NetworkInterface").into_iter().next().unwrap_or_default();
    let vswitch_id = params.text("VSwitchId").or_else(|| primary.text("VSwitchId")).ok_or_else(|| Fault::mandatory("VSwitchId"))?;
    let vswitch = vswitch::find(call, vswitch_id)?.clone();
    if vswitch.status(call.now) != "Available" {
        return Err(Fault::bad("IncorrectVSwitchStatus", "The current status of the vSwitch does not support this operation."));
    }
    if params.text("ZoneId").is_some_and(|zone| zone != vswitch.zone) {
        return Err(Fault::bad("InvalidParameter.NotMatch", "The specified ZoneId does not match that of the vSwitch."));
    }
    let (least, count) = amounts(call)?;
    let groups = groups(call, &primary, &vswitch, count)?;
    let private_ip = address(call, &vswitch, count)?;
    let bandwidth_out: u32 = params.number("InternetMaxBandwidthOut")?.unwrap_or(0);
    if bandwidth_out > 100 {
        return Err(Fault::bad(
            "InvalidInternetMaxBandwidthOut.ValueNotSupported",
            "The specified bandwidth is beyond the permitted range.",
        ));
    }
    let internet_charge = params.choice("InternetChargeType", &["PayByTraffic", "PayByBandwidth"], "PayByTraffic")?;
    let system = price::read_disk(call, &params.below("SystemDisk"), "SystemDisk", Some(kind), image.size_gib)?;
    let disks = price::data_disks(call, Some(kind))?;
    let goes = params
        .structs("DataDisk")
        .iter()
        .map(|disk| Ok(disk.flag("DeleteWithInstance")?.unwrap_or(true)))
        .collect::<Result<Vec<_>, Fault>>()?;
    let spot = params.choice("SpotStrategy", &["NoSpot", "SpotWithPriceLimit", "SpotAsPriceGo"], "NoSpot")?;
    let auto_release = params.text("AutoReleaseTime").map(|text| auto_release(text, call.now)).transpose()?;
    let tags = params.tags()?;
    let (count, vanishing) = supply(call, region, &vswitch.zone, kind, least, count)?;
    let parts = Parts { kind, system: &system, data: &disks, bandwidth: bandwidth_out, internet_charge };
    let mut lines = price::scaled(call, region.id, kind, price::instance(call.catalog, region.id, &parts, Span::Hour)?);
    let mut taken_back = None;
    if spot != "NoSpot"
        && let Some(list) = lines.first().map(|line| line.amount)
    {
        let market = call.world.index.market;
        let price = market.price(list, &vswitch.zone, &kind.name, call.now);
        let bid = market::bid(call, price)?;
        price::at_market(&mut lines, price);
        // For its first hour it is safe, unless it is bought without.
        let safe = Duration::from_secs(if params.choice("SpotDuration", &["0", "1"], "1")? == "1" { 3600 } else { 0 });
        taken_back = bid.and_then(|bid| market.taken_back((list, bid), &vswitch.zone, &kind.name, after(call.now, safe)));
    }
    quota(call, region, kind, count)?;
    call.check_balance()?;
    Ok(Order {
        region,
        kind,
        image,
        groups,
        count,
        private_ip,
        bandwidth_out,
        internet_charge: internet_charge.to_owned(),
        data: disks.into_iter().zip(goes).collect(),
        system,
        lines,
        auto_release,
        vanishing,
        taken_back,
        spot: spot.to_owned(),
        tags,
        vswitch,
    })
}

fn check_texts(call: &Call) -> Result<(), Fault> {
    call.name("InstanceName")?;
    call.description()?;
    let host = call.params.owned("HostName");
    let fits = host.len() <= 64 && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'));
    if !fits || (!host.is_empty() && host.len() < 2) {
        return Err(Fault::bad("InvalidHostName.Malformed", "The specified parameter HostName is not valid."));
    }
    if let Some(data) = call.params.text("UserData") {
        // It is checked and kept from running: a machine of the local cloud boots no image that would read it.
        let bytes = STANDARD.decode(data);
        if bytes.is_err() {
            return Err(Fault::bad("InvalidUserData.Base64FormatInvalid", "The specified parameter UserData must be base64 encoded."));
        }
        if bytes.is_ok_and(|bytes| bytes.len() > 32 * 1024) {
            return Err(Fault::bad("InvalidUserData.SizeExceeded", "The specified parameter UserData exceeds the size."));
        }
    }
    if call.params.text("KeyPairName").is_some() {
        return Err(Fault::missing("InvalidKeyPairName.NotFound", "The specified KeyPairName does not exist."));
    }
    Ok(())
}

/// How many instances there must be, and how many are wanted.
fn amounts(call: &Call) -> Result<(usize, usize), Fault> {
    let count: usize = call.params.number("Amount")?.unwrap_or(1);
    if !(1..=100).contains(&count) {
        return Err(Fault::bad("InvalidAmount.NotSupported", "The specified Amount is beyond the permitted range."));
    }
    let least: usize = call.params.number("MinAmount")?.unwrap_or(count);
    if !(1..=count).contains(&least) {
        return Err(Fault::bad("InvalidAmount.NotSupported", "The specified MinAmount is beyond the permitted range."));
    }
    Ok((least, count))
}

fn groups(call: &Call, primary: &crate::local_cloud::wire::params::Params, vswitch: &VSwitch, count: usize) -> Result<Vec<String>, Fault> {
    let params = call.params;
    let mut groups = params.list("SecurityGroupIds", 16)?;
    groups.extend(primary.list("SecurityGroupIds", 16)?);
    groups.extend(params.text("SecurityGroupId").or_else(|| primary.text("SecurityGroupId")).map(str::to_owned));
    groups.sort_unstable();
    groups.dedup();
    if groups.is_empty() {
        return Err(Fault::mandatory("SecurityGroupId"));
    }
    for id in &groups {
        let group = security_group::find(call, id)?;
        if group.vpc != vswitch.vpc {
            let message = "The specified security group and vSwitch are not in the same VPC.";
            return Err(Fault::forbidden("OperationDenied.InconsistentNetwork", message));
        }
        if security_group::room(call.world, id) < count {
            return Err(Fault::forbidden("SecurityGroupInstanceLimitExceed", "The security group takes no more instances."));
        }
    }
    Ok(groups)
}

fn address(call: &Call, vswitch: &VSwitch, count: usize) -> Result<Option<Ipv4Addr>, Fault> {
    let Some(text) = call.params.text("PrivateIpAddress") else {
        if vswitch.left(call.world) < count {
            return Err(Fault::forbidden("InvalidVSwitchId.IpNotEnough", "The specified vSwitch has not enough IP addresses."));
        }
        return Ok(None);
    };
    let address = text.parse().map_err(|_| Fault::bad("InvalidPrivateIpAddress.Malformed", "The specified address is not valid."))?;
    if count != 1 || !vswitch.is_free(call.world, address) {
        return Err(Fault::forbidden("InvalidPrivateIpAddress.Duplicated", "The specified address is not free in the vSwitch."));
    }
    Ok(Some(address))
}

/// How many instances there is stock for, and whether they will vanish again.
fn supply(call: &Call, region: &Region, zone: &str, kind: &InstanceType, least: usize, count: usize) -> Result<(usize, bool), Fault> {
    let none = || {
        Fault::forbidden(
            "OperationDenied.NoStock",
            "The requested resource is sold out in the specified zone; try other types of resources or other regions and zones.",
        )
    };
    match stock::level(call.world, region, zone, kind) {
        Stock::Plenty => Ok((count, false)),
        Stock::Vanishing => Ok((count, true)),
        Stock::SoldOut | Stock::Misreported => Err(none()),
        Stock::NotSold => {
            Err(Fault::forbidden("InvalidResourceType.NotSupported", "This resource type is not supported; try other resource types."))
        }
        Stock::Limited(limit) => {
            let left = stock::left(call.world, zone, kind, limit) as usize;
            if left >= least { Ok((count.min(left), false)) } else { Err(none()) }
        }
    }
}

fn quota(call: &Call, region: &Region, kind: &InstanceType, count: usize) -> Result<(), Fault> {
    let Some(most) = call.config.quotas.vcpus else { return Ok(()) };
    let here = call.world.instances.values().filter(|instance| instance.region == region.id);
    let used: u32 = here.filter_map(|instance| call.catalog.types.get(&instance.kind)).map(|kind| kind.vcpu).sum();
    if used + kind.vcpu * u32::try_from(count).unwrap_or(u32::MAX) > most {
        return Err(Fault::forbidden("QuotaExceed.ElasticQuota", "The number of vCPUs exceeds the quota of the account."));
    }
    Ok(())
}

/// A release time: at least half an hour and at most three years ahead, cut to the minute.
pub(super) fn auto_release(text: &str, now: Timestamp) -> Result<Timestamp, Fault> {
    let malformed = || Fault::bad("InvalidAutoReleaseTime.Malformed", "The specified parameter AutoReleaseTime is not valid.");
    // Without seconds it is read as the full minute.
    let whole = if text.len() == "2026-01-02T03:04Z".len() { text.replace('Z', ":00Z") } else { text.to_owned() };
    let at: Timestamp = whole.parse().map_err(|_| malformed())?;
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
    }
}
