//! DescribeNatGateways.

use serde_json::{Value as Json, json};

use super::{NatGateway, addresses, entries};
use crate::local_cloud::call::{Call, Outcome, ecs_tags};
use crate::local_cloud::paging::Page;
use crate::local_cloud::time::seconds;

/// DescribeNatGateways.
pub(crate) fn describe(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let params = call.params;
    let page = Page::numbered(params, 50)?;
    let filter = params.tag_filter();
    call.end_dry_run()?;
    let named = params.text("NatGatewayId").map(|id| [id.to_owned()]);
    let fits = |name: &str, own: &str| params.text(name).is_none_or(|wanted| wanted == own);
    let rows = call.world.nat_gateways.among(named.as_ref().map(<[String; 1]>::as_slice)).filter(|(_, gateway)| {
        gateway.region == region.id
            && fits("VpcId", &gateway.vpc)
            && fits("Name", &gateway.name)
            && fits("ZoneId", &gateway.zone)
            && fits("Status", gateway.status(call.now))
            && fits("NetworkType", &gateway.network)
            && fits("ResourceGroupId", &gateway.resource_group)
            && fits("NatType", "Enhanced")
            && fits("InstanceChargeType", "PostPaid")
            && fits("AvailabilityMode", "zonal")
            && fits("Spec", "")
            && filter.fits(&gateway.tags)
    });
    let cut = page.cut(rows);
    let shown: Vec<Json> = cut.rows.iter().map(|gateway| row(call, gateway)).collect();
    let mut answer = json!({ "NatGateways": { "NatGateway": shown } });
    cut.describe(&mut answer);
    Ok(answer)
}

fn row(call: &Call, gateway: &NatGateway) -> Json {
    let used = |address| entries(call.world, &gateway.id).any(|entry| entry.ips.contains(address));
    let ips: Vec<Json> = addresses(call.world, &gateway.id, call.now)
        .map(|eip| {
            json!({
                "AllocationId": eip.id,
                "IpAddress": eip.address.to_string(),
                "PrivateIpAddress": gateway.private_ip.to_string(),
                "SnatEntryEnabled": true,
                "UsingStatus": if used(&eip.address) { "UsedBySnatTable" } else { "Idle" },
            })
        })
        .collect();
    json!({
        "NatGatewayId": gateway.id,
        "RegionId": gateway.region,
        "VpcId": gateway.vpc,
        "Name": gateway.name,
        "Description": gateway.description,
        "Status": gateway.status(call.now),
        "BusinessStatus": "Normal",
        "NatType": "Enhanced",
        "NetworkType": gateway.network,
        "Spec": "",
        "InstanceChargeType": "PostPaid",
        "InternetChargeType": "PayByLcu",
        "AutoPay": false,
        "AvailabilityMode": "zonal",
        "EipBindMode": "MULTI_BINDED",
        "CreationTime": seconds(gateway.created),
        "ExpiredTime": "",
        "ResourceGroupId": gateway.resource_group,
        "DeletionProtection": false,
        "EcsMetricEnabled": false,
        "IcmpReplyEnabled": gateway.icmp_reply,
        "PrivateLinkEnabled": false,
        "SecurityProtectionEnabled": false,
        "SnatTableIds": { "SnatTableId": [gateway.snat_table] },
        "ForwardTableIds": { "ForwardTableId": [gateway.forward_table] },
        "FullNatTableIds": { "FullNatTableId": [] },
        "IpLists": { "IpList": ips },
        "NatGatewayPrivateInfo": {
            "VswitchId": gateway.vswitch,
            "IzNo": gateway.zone,
            "PrivateIpAddress": gateway.private_ip.to_string(),
            "EniInstanceId": gateway.interface,
        },
        // Unlike the rest of VPC, this call names tags as ECS does.
        "Tags": ecs_tags(&gateway.tags),
    })
}
