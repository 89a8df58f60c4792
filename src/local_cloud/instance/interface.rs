//! DescribeNetworkInterfaces: each instance has one interface, from its creation to its end.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::Instance;
use super::describe::mac;
use crate::local_cloud::call::{Call, Outcome, ecs_tags};
use crate::local_cloud::eip;
use crate::local_cloud::paging::Page;
use crate::local_cloud::time::seconds;

/// DescribeNetworkInterfaces.
pub(crate) fn describe(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let params = call.params;
    let page = Page::either(params, 10, 1, 500, 500)?;
    let ids = params.list("NetworkInterfaceId", 100)?;
    let addresses = params.list("PrivateIpAddress", 100)?;
    let filter = params.tag_filter();
    // No interface stands alone, belongs to a service or has an IPv6 address.
    let none = params.text("Type").is_some_and(|kind| kind != "Primary")
        || params.text("Status").is_some_and(|status| status != "InUse")
        || params.boolean("ServiceManaged")?
        || params.text("Ipv6Address.1").is_some();
    let fits = |name: &str, own: &str| params.text(name).is_none_or(|wanted| wanted == own);
    let wanted = |instance: &Instance| {
        let address = instance.private_ip.to_string();
        !none
            && instance.region == region.id
            && (ids.is_empty() || ids.contains(&instance.interface.id))
            && (addresses.is_empty() || addresses.contains(&address))
            && fits("InstanceId", &instance.id)
            && fits("PrimaryIpAddress", &address)
            && fits("NetworkInterfaceName", &instance.interface.name)
            && fits("VpcId", &instance.vpc)
            && fits("VSwitchId", &instance.vswitch)
            && fits("ResourceGroupId", &instance.resource_group)
            && params.text("SecurityGroupId").is_none_or(|group| instance.groups.iter().any(|own| own == group))
            && filter.fits(&instance.interface.tags)
    };
    // Pages follow the ids of interfaces, which are not those that the table is sorted by.
    let rows: BTreeMap<&str, &Instance> =
        call.world.instances.values().filter(|instance| wanted(instance)).map(|row| (row.interface.id.as_str(), row)).collect();
    let cut = page.cut(rows.into_iter());
    let shown: Vec<Json> = cut.rows.iter().map(|instance| row(call, instance)).collect();
    let mut answer = json!({ "NetworkInterfaceSets": { "NetworkInterfaceSet": shown } });
    cut.describe_with_token(&mut answer);
    Ok(answer)
}

fn row(call: &Call, instance: &Instance) -> Json {
    let address = instance.private_ip.to_string();
    let eip = eip::of_instance(call.world, &instance.id, call.now);
    let public = json!({
        "AllocationId": eip.map_or("", |eip| eip.id.as_str()),
        "PublicIpAddress": eip.map(|eip| eip.address).or(instance.public_ip).map_or(String::new(), |address| address.to_string()),
    });
    json!({
        "NetworkInterfaceId": instance.interface.id,
        "NetworkInterfaceName": instance.interface.name,
        "Description": instance.interface.description,
        "InstanceId": instance.id,
        "Status": "InUse",
        "Type": "Primary",
        "NetworkInterfaceTrafficMode": "Standard",
        "VpcId": instance.vpc,
        "VSwitchId": instance.vswitch,
        "ZoneId": instance.zone,
        "MacAddress": mac(instance),
        "PrivateIpAddress": address,
        "PrivateIpSets": { "PrivateIpSet": [{ "PrivateIpAddress": address, "Primary": true, "AssociatedPublicIp": public }] },
        "AssociatedPublicIp": public,
        "Attachment": { "InstanceId": instance.id, "DeviceIndex": 0, "NetworkCardIndex": 0, "TrunkNetworkInterfaceId": "" },
        "SecurityGroupIds": { "SecurityGroupId": instance.groups },
        "Ipv6Sets": { "Ipv6Set": [] },
        "Ipv4PrefixSets": { "Ipv4PrefixSet": [] },
        "Ipv6PrefixSets": { "Ipv6PrefixSet": [] },
        "CreationTime": seconds(instance.created),
        "DeleteOnRelease": true,
        "QueueNumber": 1,
        "ResourceGroupId": instance.resource_group,
        "ServiceManaged": false,
        "SourceDestCheck": false,
        "OwnerId": call.config.account,
        "Tags": ecs_tags(&instance.interface.tags),
    })
}
