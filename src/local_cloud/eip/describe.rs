//! DescribeEipAddresses.

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::Eip;
use crate::local_cloud::call::{Call, Outcome, vpc_tags};
use crate::local_cloud::paging::Page;
use crate::local_cloud::time::{CreationFilter, seconds};

/// DescribeEipAddresses.
pub(crate) fn describe(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let params = call.params;
    let page = Page::numbered(params, 100)?;
    let ids = params.commas("AllocationId", 50)?;
    let addresses = params.commas("EipAddress", 50)?;
    let filter = params.tag_filter();
    let created = CreationFilter::read(params)?;
    let managed = params.flag("ServiceManaged")?;
    let protected = params.flag("SecurityProtectionEnabled")?;
    // No address is locked, part of a segment or of a pool.
    let never = ["LockReason", "SegmentInstanceId", "PublicIpAddressPoolId"].into_iter().any(|name| params.text(name).is_some());
    call.end_dry_run()?;
    let now = call.now;
    let fits = |name: &str, own: &str| params.text(name).is_none_or(|wanted| wanted == own);
    let rows = call.world.eips.among(ids.as_deref()).filter(|(_, eip)| {
        let instance = eip.bound(now).map_or("", |bound| bound.instance.as_str());
        eip.region == region.id
            && !never
            && managed != Some(true)
            && protected != Some(true)
            && created.fits(eip.created)
            && fits("AssociatedInstanceType", eip.bound(now).map_or("", |bound| bound.target.name()))
            && addresses.as_ref().is_none_or(|all| all.iter().any(|wanted| *wanted == eip.address.to_string()))
            && fits("Status", eip.status(now))
            && fits("EipName", &eip.name)
            && fits("AssociatedInstanceId", instance)
            && fits("ResourceGroupId", &eip.resource_group)
            && fits("ISP", &eip.isp)
            && fits("ChargeType", "PostPaid")
            && filter.fits(&eip.tags)
    });
    let cut = page.cut(rows);
    let shown: Vec<Json> = cut.rows.iter().map(|eip| row(eip, now)).collect();
    let mut answer = json!({ "EipAddresses": { "EipAddress": shown } });
    cut.describe(&mut answer);
    Ok(answer)
}

fn row(eip: &Eip, now: Timestamp) -> Json {
    let bound = eip.bound(now);
    json!({
        "AllocationId": eip.id,
        "IpAddress": eip.address.to_string(),
        "Status": eip.status(now),
        "InstanceId": bound.map_or("", |bound| bound.instance.as_str()),
        "InstanceType": bound.map_or("", |bound| bound.target.name()),
        "InstanceRegionId": bound.map_or("", |_| eip.region.as_str()),
        "PrivateIpAddress": bound.map_or(String::new(), |bound| bound.private_ip.to_string()),
        "RegionId": eip.region,
        "Name": eip.name,
        "Description": eip.description,
        "Bandwidth": eip.bandwidth.to_string(),
        "EipBandwidth": eip.bandwidth.to_string(),
        "InternetChargeType": eip.internet_charge,
        "ChargeType": "PostPaid",
        "ISP": eip.isp,
        "Netmode": "public",
        "Mode": "NAT",
        "AllocationTime": seconds(eip.created),
        "ExpiredTime": "",
        "BusinessStatus": "Normal",
        "ResourceGroupId": eip.resource_group,
        "VpcId": "",
        "HasReservationData": "false",
        "ServiceManaged": 0,
        "SecondLimited": false,
        "DeletionProtection": false,
        "BandwidthPackageId": "",
        "BandwidthPackageType": "",
        "BandwidthPackageBandwidth": "",
        "Zone": "",
        "OperationLocks": { "LockReason": [] },
        "SecurityProtectionTypes": { "SecurityProtectionType": [] },
        "Tags": vpc_tags(&eip.tags),
    })
}
