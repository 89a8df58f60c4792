//! Route tables. Each VPC has the system's own: what is in it follows from the vSwitches and NAT gateways that are there.

use serde_json::{Value as Json, json};

use super::call::{Call, Outcome, vpc_tags};
use super::paging::Page;
use super::store::World;
use super::time::seconds;
use super::vpc::{Vpc, vswitches_of};
use super::wire::fault::Fault;
use super::{nat, vswitch::VSwitch};

/// Where the services of the cloud itself are.
const SERVICES: &str = "100.64.0.0/10";

/// The VPC whose table it is.
pub(crate) fn find<'a>(world: &'a World, table: &str) -> Option<&'a Vpc> {
    world.vpcs.values().find(|vpc| vpc.route_table == table)
}

fn vswitch_ids<'a>(world: &'a World, vpc: &Vpc) -> Vec<&'a str> {
    vswitches_of(world, &vpc.id).map(|vswitch| vswitch.id.as_str()).collect()
}

fn status(vpc: &Vpc, now: jiff::Timestamp) -> &'static str {
    if vpc.status(now) == "Pending" { "Pending" } else { "Available" }
}

/// DescribeRouteTableList.
pub(crate) fn describe_list(call: &mut Call) -> Outcome {
    let region = call.region()?;
    let params = call.params;
    let page = Page::numbered(params, 50)?;
    let filter = params.tag_filter();
    let fits = |name: &str, own: &str| params.text(name).is_none_or(|wanted| wanted == own);
    // A VPC that is named has no other router than its own.
    let router_type = params.text("VpcId").is_some() || params.choice("RouterType", &["VRouter", "VBR"], "VRouter")? == "VRouter";
    let rows = call.world.vpcs.iter().filter(|(_, vpc)| {
        vpc.region == region.id
            && router_type
            && fits("VpcId", &vpc.id)
            && fits("RouterId", &vpc.router)
            && fits("RouteTableId", &vpc.route_table)
            && fits("RouteTableName", "")
            && fits("RouteTableType", "System")
            && fits("ResourceGroupId", &vpc.resource_group)
            && filter.fits(&vpc.route_table_tags)
    });
    let cut = page.cut(rows);
    let shown: Vec<Json> = cut.rows.iter().map(|vpc| list_row(call, vpc)).collect();
    let mut answer = json!({ "RouterTableList": { "RouterTableListType": shown } });
    cut.describe(&mut answer);
    Ok(answer)
}

fn list_row(call: &Call, vpc: &Vpc) -> Json {
    json!({
        "RouteTableId": vpc.route_table,
        "RouteTableName": "",
        "RouteTableType": "System",
        "Description": "",
        "RouterId": vpc.router,
        "RouterType": "VRouter",
        "AssociateType": "VSwitch",
        "VpcId": vpc.id,
        "Status": status(vpc, call.now),
        "CreationTime": seconds(vpc.created),
        "OwnerId": call.config.account.parse::<u64>().unwrap_or(0),
        "ResourceGroupId": vpc.resource_group,
        "RoutePropagationEnable": true,
        "VSwitchIds": { "VSwitchId": vswitch_ids(call.world, vpc) },
        "GatewayIds": { "GatewayIds": [] },
        "Tags": vpc_tags(&vpc.route_table_tags),
    })
}

/// DescribeRouteTables.
pub(crate) fn describe_tables(call: &mut Call) -> Outcome {
    let params = call.params;
    let page = Page::numbered(params, 50)?;
    let region = call.optional_region()?;
    let given = |name: &str| params.text(name).is_some();
    if given("VRouterId") && given("RouterId") {
        return Err(Fault::invalid("RouterId"));
    }
    if !["VRouterId", "RouterId", "RouteTableId", "RouteTableName"].into_iter().any(given) {
        return Err(Fault::bad("MissingParameter", "VRouterId, RouterId, RouteTableId or RouteTableName must be given."));
    }
    let kind = params.choice("Type", &["", "Custom", "System", "BGP", "CEN", "ECR"], "")?;
    let router_type = params.choice("RouterType", &["VRouter", "VBR"], "VRouter")? == "VRouter";
    let fits = |name: &str, own: &str| params.text(name).is_none_or(|wanted| wanted == own);
    let rows = call.world.vpcs.iter().filter(|(_, vpc)| {
        region.is_none_or(|region| region.id == vpc.region)
            && router_type
            && fits("VRouterId", &vpc.router)
            && fits("RouterId", &vpc.router)
            && fits("RouteTableId", &vpc.route_table)
            && fits("RouteTableName", "")
            && fits("ResourceGroupId", &vpc.resource_group)
    });
    let cut = page.cut(rows);
    let shown: Vec<Json> = cut.rows.iter().map(|vpc| table_row(call, vpc, kind)).collect();
    let mut answer = json!({ "RouteTables": { "RouteTable": shown } });
    cut.describe(&mut answer);
    Ok(answer)
}

fn table_row(call: &Call, vpc: &Vpc, kind: &str) -> Json {
    json!({
        "RouteTableId": vpc.route_table,
        "RouteTableType": "System",
        "VRouterId": vpc.router,
        "Status": status(vpc, call.now),
        "CreationTime": seconds(vpc.created),
        "ResourceGroupId": vpc.resource_group,
        "VSwitchIds": { "VSwitchId": vswitch_ids(call.world, vpc) },
        "RouteEntrys": { "RouteEntry": entries(call, vpc, kind) },
    })
}

/// One entry for each vSwitch, the one of the cloud's services, and the one that sends the rest to a NAT gateway.
fn entries(call: &Call, vpc: &Vpc, kind: &str) -> Vec<Json> {
    let suffix = |id: &str| id.split_once('-').map_or(String::new(), |(_, suffix)| format!("rte-{suffix}"));
    let local = |vswitch: &VSwitch| {
        let state = if vswitch.status(call.now) == "Available" { "Available" } else { "Pending" };
        system(vpc, &suffix(&vswitch.id), &vswitch.cidr.to_string(), "local", state)
    };
    let mut all: Vec<Json> = vswitches_of(call.world, &vpc.id).map(local).collect();
    if status(vpc, call.now) == "Available" {
        all.push(system(vpc, &suffix(&vpc.route_table), SERVICES, "service", "Available"));
    }
    for gateway in nat::of_vpc(call.world, &vpc.id) {
        let Some(id) = &gateway.default_route else { continue };
        let state = match gateway.status(call.now) {
            "Creating" => "Pending",
            other => other,
        };
        all.push(json!({
            "RouteTableId": vpc.route_table,
            "RouteEntryId": id,
            "RouteEntryName": "",
            "Description": "",
            "DestinationCidrBlock": "0.0.0.0/0",
            "Type": "Custom",
            "Status": state,
            "InstanceId": gateway.id,
            "NextHopType": "NatGateway",
            "NextHops": { "NextHop": [] },
        }));
    }
    all.retain(|entry| kind.is_empty() || entry["Type"] == kind);
    all
}

fn system(vpc: &Vpc, id: &str, destination: &str, hop: &str, state: &str) -> Json {
    json!({
        "RouteTableId": vpc.route_table,
        "RouteEntryId": id,
        "RouteEntryName": "",
        "Description": "",
        "DestinationCidrBlock": destination,
        "Type": "System",
        "Status": state,
        "InstanceId": "",
        "NextHopType": hop,
        "NextHops": { "NextHop": [] },
    })
}
