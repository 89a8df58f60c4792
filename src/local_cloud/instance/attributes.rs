//! The smaller descriptions of an instance: DescribeInstanceAttribute, DescribeUserData and
//! DescribeInstanceMaintenanceAttributes.

use serde_json::{Map, Value as Json, json};

use super::describe::{bandwidth_in, expiry, locks, serial, stopped_mode};
use super::find;
use crate::local_cloud::call::{Call, Outcome};
use crate::local_cloud::eip;
use crate::local_cloud::paging::Page;
use crate::local_cloud::time::minutes;

/// DescribeInstanceAttribute: one instance, its fields at the top.
pub(crate) fn describe(call: &mut Call) -> Outcome {
    let instance = find(call, call.params.required("InstanceId")?)?;
    let now = call.now;
    let kind = call.catalog.types.get(&instance.kind);
    let eip = eip::of_instance(call.world, &instance.id, now);
    let own = json!({
        "InstanceId": instance.id,
        "InstanceName": instance.name,
        "Description": instance.description,
        "HostName": instance.host_name,
        "RegionId": instance.region,
        "ZoneId": instance.zone,
        "ClusterId": "",
        "ImageId": instance.image,
        "InstanceType": instance.kind,
        "Cpu": kind.map_or(0, |kind| kind.vcpu),
        "Memory": kind.map_or(0, |kind| kind.memory_mib),
        "Status": instance.status(now),
        "StoppedMode": stopped_mode(instance, now),
        "InstanceChargeType": instance.charge_type(),
        "InstanceNetworkType": "vpc",
        "InternetChargeType": instance.internet_charge,
        "InternetMaxBandwidthIn": bandwidth_in(instance),
        "InternetMaxBandwidthOut": instance.bandwidth_out,
        "IoOptimized": "optimized",
        "SerialNumber": serial(&instance.id),
        "VlanId": "",
        "CreditSpecification": instance.settings.credit,
        "CreationTime": minutes(instance.created),
        "ExpiredTime": expiry(instance),
    });
    let nested = json!({
        "DedicatedHostAttribute": { "DedicatedHostId": "", "DedicatedHostName": "" },
        "EipAddress": {
            "AllocationId": eip.map_or("", |eip| eip.id.as_str()),
            "IpAddress": eip.map_or(String::new(), |eip| eip.address.to_string()),
            "InternetChargeType": eip.map_or("", |eip| eip.internet_charge.as_str()),
            "Bandwidth": eip.map_or(0, |eip| eip.bandwidth),
        },
        "InnerIpAddress": { "IpAddress": [] },
        "PublicIpAddress": { "IpAddress": instance.public_ip.iter().map(ToString::to_string).collect::<Vec<_>>() },
        "OperationLocks": { "LockReason": locks(instance, now) },
        "SecurityGroupIds": { "SecurityGroupId": instance.groups },
        "VpcAttributes": {
            "VpcId": instance.vpc,
            "VSwitchId": instance.vswitch,
            "NatIpAddress": "",
            "PrivateIpAddress": { "IpAddress": [instance.private_ip.to_string()] },
        },
        "EnableJumboFrame": false,
        "EnableNetworkEncryption": false,
    });
    let mut answer = Map::new();
    for piece in [own, nested] {
        if let Json::Object(piece) = piece {
            answer.extend(piece);
        }
    }
    Ok(Json::Object(answer))
}

/// DescribeUserData.
pub(crate) fn user_data(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let instance = find(call, call.params.required("InstanceId")?)?;
    Ok(json!({ "InstanceId": instance.id, "RegionId": region.id, "UserData": instance.user_data }))
}

/// DescribeInstanceMaintenanceAttributes: nothing is ever maintained here, so all stands as it does at first.
pub(crate) fn maintenance(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let page = Page::numbered(call.params, 100)?;
    let ids = call.params.list("InstanceId", 100)?;
    let named = Some(ids.as_slice()).filter(|ids| !ids.is_empty());
    let rows = call.world.instances.among(named).filter(|(_, instance)| instance.region == region.id && !instance.is_released());
    let cut = page.cut(rows);
    let shown: Vec<Json> = cut
        .rows
        .iter()
        .map(|instance| {
            json!({
                "InstanceId": instance.id,
                "ActionOnMaintenance": {
                    "Value": "AutoRecover",
                    "DefaultValue": "AutoRecover",
                    "SupportedValues": { "SupportedValue": ["Stop", "AutoRecover", "AutoRedeploy"] },
                },
                "MaintenanceWindows": { "MaintenanceWindow": [] },
                "NotifyOnMaintenance": false,
            })
        })
        .collect();
    let mut answer = json!({ "MaintenanceAttributes": { "MaintenanceAttribute": shown } });
    cut.describe(&mut answer);
    Ok(answer)
}
