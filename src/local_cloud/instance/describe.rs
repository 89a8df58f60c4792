//! DescribeInstances and DescribeInstanceStatus.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value as Json, json};

use super::Instance;
use crate::local_cloud::call::{Call, Outcome, ecs_tags};
use crate::local_cloud::eip::Eip;
use crate::local_cloud::image::like;
use crate::local_cloud::paging::Page;
use crate::local_cloud::price;
use crate::local_cloud::store::shown::Shown;
use crate::local_cloud::time::{CreationFilter, minutes};
use crate::local_cloud::wire::fault::Fault;

/// Parameters of DescribeInstances that filter nothing.
const NO_FILTERS: [&str; 9] =
    ["Action", "Version", "RegionId", "PageNumber", "PageSize", "MaxResults", "NextToken", "InstanceIds", "DryRun"];

/// DescribeInstances. Ids that are not there are left out. It is asked for all the time, so rows are rendered once and
/// kept until something changes.
pub(crate) fn describe(call: &mut Call) -> Result<String, Fault> {
    let region = call.region()?;
    let params = call.params;
    let page = Page::either(params, 10, 10, 100, 100)?;
    let filter = params.tag_filter();
    let ids = params.json_list("InstanceIds", 100)?;
    let private = params.json_list("PrivateIpAddresses", 100)?;
    let public = params.json_list("PublicIpAddresses", 100)?;
    let elastic = params.json_list("EipAddresses", 100)?;
    let created = CreationFilter::read(params)?;
    // Addresses of networks that the local cloud does not have.
    let elsewhere = ["InnerIpAddresses", "RdmaIpAddresses", "Ipv6Address.1", "HpcClusterId"].iter().any(|name| params.text(name).is_some());
    let unavailable = params.flag("DeviceAvailable")? == Some(false) || params.flag("IoOptimized")? == Some(false);
    let states = ["Pending", "Starting", "Running", "Stopping", "Stopped"];
    if params.text("Status").is_some_and(|status| !states.contains(&status)) {
        return Err(Fault::invalid("Status"));
    }
    let classic = params.text("InstanceNetworkType").is_some_and(|network| network != "vpc");
    call.end_dry_run()?;
    let now = call.now;
    let plain = params.iter().all(|(name, _)| NO_FILTERS.contains(&name));
    let there = (plain && ids.is_none()).then(|| of_region(call, region.id));
    let eips: BTreeMap<&str, &Eip> = call
        .world
        .eips
        .values()
        .filter_map(|eip| Some((eip.bound(now).filter(|bound| bound.free_at.is_none())?.instance.as_str(), eip)))
        .collect();
    let fits = |name: &str, own: &str| params.text(name).is_none_or(|wanted| wanted == own);
    let among = |list: &Option<Vec<String>>, own: Option<Ipv4Addr>| {
        list.as_ref().is_none_or(|list| own.is_some_and(|own| list.contains(&own.to_string())))
    };
    let wanted = |instance: &&Instance| {
        instance.region == region.id
            && !classic
            && !elsewhere
            && !unavailable
            && created.fits(instance.created)
            && fits("Status", instance.status(now))
            && params.text("InstanceName").is_none_or(|name| like(name, &instance.name))
            && fits("VpcId", &instance.vpc)
            && fits("VSwitchId", &instance.vswitch)
            && fits("ZoneId", &instance.zone)
            && fits("ImageId", &instance.image)
            && fits("InstanceType", &instance.kind)
            && fits("InstanceTypeFamily", family(call, instance))
            && fits("InstanceChargeType", instance.charge_type())
            && fits("InternetChargeType", &instance.internet_charge)
            && fits("HttpEndpoint", &instance.settings.http_endpoint)
            && fits("HttpTokens", &instance.settings.http_tokens)
            && fits("KeyPairName", instance.key_pair.as_deref().unwrap_or_default())
            && fits("LockReason", instance.lock(now).unwrap_or_default())
            && fits("ResourceGroupId", &instance.resource_group)
            && params.text("SecurityGroupId").is_none_or(|group| instance.groups.iter().any(|own| own == group))
            && among(&private, Some(instance.private_ip))
            && among(&public, instance.public_ip)
            && among(&elastic, eips.get(instance.id.as_str()).map(|eip| eip.address))
            && filter.fits(&instance.tags)
    };
    let cut = match &there {
        Some(there) => page.cut(there.iter().map(|id| (id.as_str(), id.as_str()))),
        None => {
            let rows = call.world.instances.among(ids.as_deref());
            let fitting = rows.filter(|(_, instance)| if plain { instance.region == region.id } else { wanted(instance) });
            page.cut(fitting.map(|(id, _)| (id, id)))
        }
    };
    let mut shown = Vec::with_capacity(cut.rows.len());
    let mut rendered = Vec::new();
    for id in &cut.rows {
        if let Some(text) = call.world.index.shown.get(id, now) {
            shown.push(text);
            continue;
        }
        let Some(instance) = call.world.instances.get(id) else { continue };
        let text: Arc<str> = row(call, instance, eips.get(id).copied()).to_string().into();
        let until = instance.next_change(now).unwrap_or(Timestamp::MAX);
        rendered.push((instance.id.clone(), Shown { text: text.clone(), until }));
        shown.push(text);
    }
    let mut told = json!({});
    cut.describe_with_token(&mut told);
    call.world.index.shown.keep(rendered);
    let told = told.to_string();
    Ok(format!("{{\"Instances\":{{\"Instance\":[{}]}},{}", shown.join(","), &told[1..]))
}

/// The ids of a region's instances, in their order.
fn of_region(call: &mut Call, region: &str) -> Arc<[String]> {
    if let Some(ids) = call.world.index.shown.of_region(region) {
        return ids;
    }
    let there = call.world.instances.values().filter(|instance| instance.region == region);
    let ids: Arc<[String]> = there.map(|instance| instance.id.clone()).collect();
    call.world.index.shown.keep_region(region, Arc::clone(&ids));
    ids
}

fn family<'a>(call: &'a Call, instance: &Instance) -> &'a str {
    call.catalog.types.get(&instance.kind).map_or("", |kind| kind.family.as_str())
}

fn row(call: &Call, instance: &Instance, eip: Option<&Eip>) -> Json {
    let now = call.now;
    let kind = call.catalog.types.get(&instance.kind);
    let os_name = call.catalog.images.get(&instance.image).map_or("", |image| image.os_name);
    let started = instance.running_since(now).or(instance.timeline.first().map(|(at, _)| *at));
    let public: Vec<String> = instance.public_ip.iter().map(ToString::to_string).collect();
    let own = json!({
        "InstanceId": instance.id,
        "InstanceName": instance.name,
        "HostName": instance.host_name,
        "Description": instance.description,
        "RegionId": instance.region,
        "ZoneId": instance.zone,
        "Status": instance.status(now),
        "InstanceType": instance.kind,
        "InstanceTypeFamily": family(call, instance),
        "Cpu": kind.map_or(0, |kind| kind.vcpu),
        "Memory": kind.map_or(0, |kind| kind.memory_mib),
        "GPUAmount": kind.map_or(0, |kind| kind.gpus),
        "GPUSpec": kind.map_or("", |kind| kind.gpu),
        "ImageId": instance.image,
        "OSName": os_name,
        "OSNameEn": os_name,
        "OSType": "linux",
        "CreationTime": minutes(instance.created),
        "StartTime": started.map_or(String::new(), minutes),
    });
    let more = json!({
        "ExpiredTime": expiry(instance),
        "AutoReleaseTime": instance.auto_release.map_or(String::new(), minutes),
        "InstanceChargeType": instance.charge_type(),
        "InternetChargeType": instance.internet_charge,
        "InternetMaxBandwidthIn": bandwidth_in(instance),
        "InternetMaxBandwidthOut": instance.bandwidth_out,
        "InstanceNetworkType": "vpc",
        "IoOptimized": true,
        "KeyPairName": instance.key_pair.as_deref().unwrap_or_default(),
        "SerialNumber": serial(&instance.id),
        "ResourceGroupId": instance.resource_group,
        "DeletionProtection": instance.deletion_protection,
        "StoppedMode": stopped_mode(instance, now),
        "SpotStrategy": instance.spot.strategy,
        "SpotPriceLimit": instance.spot.limit.map_or(json!(0.0), price::number),
        "SpotDuration": instance.spot.duration,
        "SpotInterruptionBehavior": instance.spot.behavior(),
        "Recyclable": false,
        "DeviceAvailable": true,
        "LocalStorageAmount": 0,
        "LocalStorageCapacity": 0,
        "CreditSpecification": instance.settings.credit,
        "HpcClusterId": "",
        "DeploymentSetId": "",
        "ClusterId": "",
        "VlanId": "",
        "SaleCycle": "",
        "ISP": "",
    });
    let nested = json!({
        "SecurityGroupIds": { "SecurityGroupId": instance.groups },
        "PublicIpAddress": { "IpAddress": public },
        "InnerIpAddress": { "IpAddress": [] },
        "RdmaIpAddress": { "IpAddress": [] },
        "EipAddress": {
            "AllocationId": eip.map_or("", |eip| eip.id.as_str()),
            "IpAddress": eip.map_or(String::new(), |eip| eip.address.to_string()),
            "InternetChargeType": eip.map_or("", |eip| eip.internet_charge.as_str()),
            "Bandwidth": eip.map_or(0, |eip| eip.bandwidth),
            "IsSupportUnassociate": true,
        },
        "VpcAttributes": {
            "VpcId": instance.vpc,
            "VSwitchId": instance.vswitch,
            "NatIpAddress": "",
            "PrivateIpAddress": { "IpAddress": [instance.private_ip.to_string()] },
        },
        "NetworkInterfaces": { "NetworkInterface": [{
            "NetworkInterfaceId": instance.interface.id,
            "MacAddress": mac(instance),
            "PrimaryIpAddress": instance.private_ip.to_string(),
            "Type": "Primary",
            "PrivateIpSets": { "PrivateIpSet": [{ "PrivateIpAddress": instance.private_ip.to_string(), "Primary": true }] },
            "Ipv6Sets": { "Ipv6Set": [] },
            "Ipv4PrefixSets": { "Ipv4PrefixSet": [] },
            "Ipv6PrefixSets": { "Ipv6PrefixSet": [] },
        }] },
        "OperationLocks": { "LockReason": locks(instance, now) },
        "Tags": ecs_tags(&instance.tags),
        "MetadataOptions": {
            "HttpEndpoint": instance.settings.http_endpoint,
            "HttpTokens": instance.settings.http_tokens,
            "HttpPutResponseHopLimit": instance.settings.http_hops,
        },
        "CpuOptions": { "CoreCount": kind.map_or(1, |kind| kind.vcpu.div_ceil(2)), "ThreadsPerCore": 2, "Numa": "ON" },
        "DedicatedHostAttribute": { "DedicatedHostId": "", "DedicatedHostName": "", "DedicatedHostClusterId": "" },
        "DedicatedInstanceAttribute": { "Affinity": "", "Tenancy": "" },
        "EcsCapacityReservationAttr": { "CapacityReservationId": "", "CapacityReservationPreference": "" },
        "ImageOptions": { "LoginAsNonRoot": false },
        "HibernationOptions": { "Configured": false },
    });
    // One object in three pieces, because the macro's depth is limited.
    let mut row = Map::new();
    for piece in [own, more, nested] {
        if let Json::Object(piece) = piece {
            row.extend(piece);
        }
    }
    Json::Object(row)
}

/// When a subscription ends; what is paid as it goes ends in another century.
pub(super) fn expiry(instance: &Instance) -> String {
    instance.subscription.as_ref().map_or_else(|| "2099-12-31T15:59Z".to_owned(), |term| minutes(term.until))
}

pub(super) fn locks(instance: &Instance, now: Timestamp) -> Vec<Json> {
    instance.lock(now).into_iter().map(|reason| json!({ "LockReason": reason })).collect()
}

pub(super) fn stopped_mode(instance: &Instance, now: Timestamp) -> &'static str {
    match instance.status(now) {
        "Stopped" if instance.economical => "StopCharging",
        "Stopped" => "KeepCharging",
        _ => "Not-applicable",
    }
}

/// Mbit/s inwards: what is given outwards, at least 10.
pub(super) fn bandwidth_in(instance: &Instance) -> u32 {
    if instance.bandwidth_out == 0 { 0 } else { instance.bandwidth_out.max(10) }
}

/// A serial number that follows from the id.
pub(super) fn serial(id: &str) -> String {
    let hex = hex::encode(id.as_bytes());
    format!("{}-{}-{}", &hex[4..12], &hex[12..16], &hex[16..hex.len().min(28)])
}

pub(super) fn mac(instance: &Instance) -> String {
    let [a, b, c, d] = instance.private_ip.octets();
    format!("00:16:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

/// DescribeInstanceStatus.
pub(crate) fn describe_status(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let params = call.params;
    let page = Page::numbered(params, 50)?;
    let ids = params.list("InstanceId", 100)?;
    if let Some(zone) = params.text("ZoneId")
        && !region.zones.iter().any(|known| known == zone)
    {
        return Err(Fault::missing("InvalidZoneId.NotFound", "The specified ZoneId does not exist."));
    }
    let named = Some(ids.as_slice()).filter(|ids| !ids.is_empty());
    let rows = call
        .world
        .instances
        .among(named)
        .filter(|(_, instance)| instance.region == region.id && params.text("ZoneId").is_none_or(|zone| zone == instance.zone));
    let cut = page.cut(rows);
    let shown: Vec<Json> =
        cut.rows.iter().map(|instance| json!({ "InstanceId": instance.id, "Status": instance.status(call.now) })).collect();
    let mut answer = json!({ "InstanceStatuses": { "InstanceStatus": shown } });
    cut.describe(&mut answer);
    Ok(answer)
}
