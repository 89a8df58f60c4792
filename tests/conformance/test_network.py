"""VPC, vSwitch, elastic addresses, NAT gateways and routes, from creation to nothing."""

import itertools

import pytest
from alibabacloud_vpc20160428 import models as m

from conftest import REGION, wait_until

ZONE = f"{REGION}-h"
tokens = (f"network-{number}" for number in itertools.count())


def refused(call, *arguments):
    with pytest.raises(Exception) as error:
        call(*arguments)
    return error.value.code


def eip(vpc, allocation_id):
    request = m.DescribeEipAddressesRequest(region_id=REGION, allocation_id=allocation_id)
    found = vpc.describe_eip_addresses(request).body.eip_addresses.eip_address
    return found[0] if found else None


def gateway(vpc, nat_gateway_id):
    request = m.DescribeNatGatewaysRequest(region_id=REGION, nat_gateway_id=nat_gateway_id)
    found = vpc.describe_nat_gateways(request).body.nat_gateways.nat_gateway
    return found[0] if found else None


def entries(vpc, table):
    request = m.DescribeSnatTableEntriesRequest(region_id=REGION, snat_table_id=table)
    return vpc.describe_snat_table_entries(request).body.snat_table_entries.snat_table_entry


def vpc_status(vpc, vpc_id):
    found = vpc.describe_vpcs(m.DescribeVpcsRequest(region_id=REGION, vpc_id=vpc_id)).body.vpcs.vpc
    return found[0].status if found else None


@pytest.fixture
def nat(vpc, network):
    """A NAT gateway that is available; gone afterwards, whatever hangs on it."""
    create = m.CreateNatGatewayRequest(
        region_id=REGION, vpc_id=network["vpc"], v_switch_id=network["vswitch"], nat_type="Enhanced", name="out")
    made = vpc.create_nat_gateway(create).body
    wait_until(lambda: gateway(vpc, made.nat_gateway_id).status == "Available")
    yield {**network, "id": made.nat_gateway_id, "table": made.snat_table_ids.snat_table_id[0]}
    vpc.delete_nat_gateway(m.DeleteNatGatewayRequest(region_id=REGION, nat_gateway_id=made.nat_gateway_id, force=True))
    wait_until(lambda: gateway(vpc, made.nat_gateway_id) is None)


@pytest.fixture
def address(vpc):
    """An elastic address; released once nothing holds it."""
    made = vpc.allocate_eip_address(m.AllocateEipAddressRequest(region_id=REGION, bandwidth="5")).body
    yield made
    wait_until(lambda: eip(vpc, made.allocation_id).status == "Available")
    vpc.release_eip_address(m.ReleaseEipAddressRequest(allocation_id=made.allocation_id))
    wait_until(lambda: eip(vpc, made.allocation_id) is None)


def test_a_network_is_described_as_it_was_made(vpc, network):
    found = vpc.describe_vpc_attribute(m.DescribeVpcAttributeRequest(region_id=REGION, vpc_id=network["vpc"])).body
    assert found.vpc_id == network["vpc"]
    assert found.cidr_block == "10.0.0.0/8"
    request = m.DescribeVSwitchAttributesRequest(region_id=REGION, v_switch_id=network["vswitch"])
    found = vpc.describe_vswitch_attributes(request).body
    assert found.vpc_id == network["vpc"]
    assert found.available_ip_address_count == 252


def test_a_network_with_something_in_it_stays(vpc, network):
    with pytest.raises(Exception) as error:
        vpc.delete_vpc(m.DeleteVpcRequest(region_id=REGION, vpc_id=network["vpc"]))
    assert error.value.code == "DependencyViolation.VSwitch"


def test_regions_and_zones(vpc):
    regions = vpc.describe_regions(m.DescribeRegionsRequest(accept_language="en-US")).body.regions.region
    by_id = {region.region_id: region for region in regions}
    assert by_id[REGION].region_endpoint == "vpc.aliyuncs.com"
    assert by_id["cn-beijing"].region_endpoint == "vpc.cn-beijing.aliyuncs.com"
    zones = vpc.describe_zones(m.DescribeZonesRequest(region_id=REGION)).body.zones.zone
    assert ZONE in [zone.zone_id for zone in zones]
    boxes = vpc.describe_zones(m.DescribeZonesRequest(region_id=REGION, zone_type="CloudBoxZone")).body.zones.zone
    assert not boxes
    assert refused(vpc.describe_zones, m.DescribeZonesRequest(region_id="nowhere")) == "InvalidRegionId.NotFound"


def test_a_token_gets_the_same_vpc(vpc):
    token = next(tokens)
    dry = m.CreateVpcRequest(region_id=REGION, dry_run=True)
    assert refused(vpc.create_vpc, dry) == "DryRunOperation"
    create = m.CreateVpcRequest(region_id=REGION, cidr_block="10.0.0.0/16", client_token=token, user_cidr="172.20.0.0/16")
    first, second = vpc.create_vpc(create).body, vpc.create_vpc(create).body
    assert first.vpc_id == second.vpc_id
    other = m.CreateVpcRequest(region_id=REGION, cidr_block="10.0.0.0/12", client_token=token)
    assert refused(vpc.create_vpc, other) == "IdempotentParameterMismatch"
    wait_until(lambda: vpc_status(vpc, first.vpc_id) == "Available")
    change = m.ModifyVpcAttributeRequest(region_id=REGION, vpc_id=first.vpc_id, vpc_name="shop", enable_dns_hostname=True)
    vpc.modify_vpc_attribute(change)
    found = vpc.describe_vpcs(m.DescribeVpcsRequest(region_id=REGION, vpc_name="shop")).body.vpcs.vpc[0]
    assert (found.dns_hostname_status, found.user_cidrs.user_cidr) == ("ENABLED", ["172.20.0.0/16"])
    assert refused(vpc.delete_vpc, m.DeleteVpcRequest(vpc_id=first.vpc_id, dry_run=True)) == "DryRunOperation"
    vpc.delete_vpc(m.DeleteVpcRequest(region_id=REGION, vpc_id=first.vpc_id))
    wait_until(lambda: vpc_status(vpc, first.vpc_id) is None)
    assert refused(vpc.delete_vpc, m.DeleteVpcRequest(vpc_id=first.vpc_id)) == "InvalidVpcId.NotFound"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"cidr_block": "10.0.0.1/8"}, "InvalidCidrBlock.Malformed"),
        ({"cidr_block": "100.64.0.0/16"}, "InvalidCidrBlock.Malformed"),
        ({"user_cidr": "here"}, "InvalidUserCidr.Malformed"),
        ({"vpc_name": "http://shop"}, "InvalidVpcName.Malformed"),
        ({"enable_ipv_6": True}, "InvalidParameter"),
        ({"region_id": "nowhere"}, "InvalidRegionId.NotFound"),
        ({"tag": [m.CreateVpcRequestTag(key="acs:x", value="y")]}, "InvalidTagKey.Malformed"),
    ],
)
def test_what_is_wrong_with_a_vpc_has_its_code(vpc, wrong, code):
    assert refused(vpc.create_vpc, m.CreateVpcRequest(**{"region_id": REGION, **wrong})) == code


def test_vpcs_in_pages(vpc):
    made = []
    for number in range(12):
        tag = [m.CreateVpcRequestTag(key="page", value="odd" if number % 2 else "even")]
        made.append(vpc.create_vpc(m.CreateVpcRequest(region_id=REGION, vpc_name="page", tag=tag)).body.vpc_id)
    seen = []
    for number in (1, 2, 3):
        request = m.DescribeVpcsRequest(region_id=REGION, vpc_name="page", page_number=number, page_size=5)
        body = vpc.describe_vpcs(request).body
        assert (body.total_count, body.page_number, body.page_size) == (12, number, 5)
        seen += [found.vpc_id for found in body.vpcs.vpc]
    assert sorted(seen) == sorted(made)
    odd = m.DescribeVpcsRequest(region_id=REGION, vpc_name="page", tag=[m.DescribeVpcsRequestTag(key="page", value="odd")])
    assert vpc.describe_vpcs(odd).body.total_count == 6
    some = m.DescribeVpcsRequest(region_id=REGION, vpc_id=",".join(made[:3]))
    assert vpc.describe_vpcs(some).body.total_count == 3
    assert refused(vpc.describe_vpcs, m.DescribeVpcsRequest(region_id=REGION, page_size=51)) == "InvalidParameter"
    many = m.DescribeVpcsRequest(region_id=REGION, vpc_id=",".join(f"vpc-{number}" for number in range(21)))
    assert refused(vpc.describe_vpcs, many) == "InvalidParameter"
    assert refused(vpc.describe_vpcs, m.DescribeVpcsRequest(region_id=REGION, dry_run=True)) == "DryRunOperation"
    for vpc_id in made:
        wait_until(lambda: vpc_status(vpc, vpc_id) == "Available")
        vpc.delete_vpc(m.DeleteVpcRequest(region_id=REGION, vpc_id=vpc_id))
    wait_until(lambda: vpc.describe_vpcs(m.DescribeVpcsRequest(region_id=REGION, vpc_name="page")).body.total_count == 0)


def test_vswitches_share_a_vpc_without_overlap(vpc, network):
    def create(cidr, zone=ZONE, **more):
        return m.CreateVSwitchRequest(region_id=REGION, vpc_id=network["vpc"], zone_id=zone, cidr_block=cidr, **more)

    assert refused(vpc.create_vswitch, create("10.1.0.0/25")) == "InvalidCidrBlock.Overlapped"
    assert refused(vpc.create_vswitch, create("192.168.0.0/24")) == "InvalidCidrBlock.Malformed"
    assert refused(vpc.create_vswitch, create("10.2.0.0/30")) == "InvalidCidrBlock.Malformed"
    assert refused(vpc.create_vswitch, create("10.2.0.0/24", "cn-beijing-a")) == "InvalidZoneId.NotFound"
    request = create("10.2.0.0/24", v_switch_name="second", client_token=next(tokens))
    made = vpc.create_vswitch(request).body.v_switch_id
    assert vpc.create_vswitch(request).body.v_switch_id == made

    def second():
        request = m.DescribeVSwitchesRequest(vpc_id=network["vpc"], v_switch_name="second", page_size=50)
        found = vpc.describe_vswitches(request).body.v_switches.v_switch
        return found[0] if found else None

    wait_until(lambda: second().status == "Available")
    assert second().route_table.route_table_type == "System"
    assert refused(vpc.describe_vswitches, m.DescribeVSwitchesRequest(vpc_id=network["vpc"], page_size=51)) == "InvalidParameter"
    change = m.ModifyVSwitchAttributeRequest(region_id=REGION, v_switch_id=made, description="the second one")
    vpc.modify_vswitch_attribute(change)
    assert second().description == "the second one"
    assert refused(vpc.delete_vswitch, m.DeleteVSwitchRequest(v_switch_id=made, dry_run=True)) == "DryRunOperation"
    vpc.delete_vswitch(m.DeleteVSwitchRequest(region_id=REGION, v_switch_id=made))
    wait_until(lambda: second() is None)
    assert refused(vpc.delete_vswitch, m.DeleteVSwitchRequest(v_switch_id=made)) == "InvalidVSwitchId.NotFound"
    gone = vpc.describe_vswitch_attributes(m.DescribeVSwitchAttributesRequest(v_switch_id=made)).body
    assert gone.status == ""


def test_an_address_from_allocation_to_release(vpc):
    create = m.AllocateEipAddressRequest(region_id=REGION, bandwidth="5", name="door", client_token=next(tokens))
    made = vpc.allocate_eip_address(create).body
    assert vpc.allocate_eip_address(create).body.allocation_id == made.allocation_id
    assert eip(vpc, made.allocation_id).ip_address == made.eip_address
    change = m.ModifyEipAddressAttributeRequest(region_id=REGION, allocation_id=made.allocation_id, bandwidth="10", name="gate")
    vpc.modify_eip_address_attribute(change)
    found = eip(vpc, made.allocation_id)
    assert (found.bandwidth, found.name, found.status) == ("10", "gate", "Available")
    times = [
        m.DescribeEipAddressesRequestFilter(key="CreationStartTime", value="2020-01-01T00:00Z"),
        m.DescribeEipAddressesRequestFilter(key="CreationEndTime", value="2020-01-02T00:00Z"),
    ]
    request = m.DescribeEipAddressesRequest(region_id=REGION, eip_address=made.eip_address)
    assert vpc.describe_eip_addresses(request).body.total_count == 1
    request.filter = times
    assert vpc.describe_eip_addresses(request).body.total_count == 0
    big = m.DescribeEipAddressesRequest(region_id=REGION, page_size=101)
    assert refused(vpc.describe_eip_addresses, big) == "InvalidParameter"
    wide = m.ModifyEipAddressAttributeRequest(allocation_id=made.allocation_id, bandwidth="501")
    assert refused(vpc.modify_eip_address_attribute, wide) == "InvalidBandwidth.ValueNotSupported"
    unbound = m.UnassociateEipAddressRequest(allocation_id=made.allocation_id)
    assert refused(vpc.unassociate_eip_address, unbound) == "IncorrectEipStatus"
    nobody = m.AssociateEipAddressRequest(allocation_id=made.allocation_id, instance_id="i-none")
    assert refused(vpc.associate_eip_address, nobody) == "InvalidInstanceId.NotFound"
    vpc.release_eip_address(m.ReleaseEipAddressRequest(region_id=REGION, allocation_id=made.allocation_id))
    wait_until(lambda: eip(vpc, made.allocation_id) is None)
    gone = m.ReleaseEipAddressRequest(allocation_id=made.allocation_id)
    assert refused(vpc.release_eip_address, gone) == "InvalidAllocationId.NotFound"


def test_a_gateway_with_its_address_and_entry(vpc, nat, address):
    found = gateway(vpc, nat["id"])
    assert (found.nat_type, found.network_type, found.name) == ("Enhanced", "internet", "out")
    assert found.nat_gateway_private_info.vswitch_id == nat["vswitch"]
    assert found.snat_table_ids.snat_table_id == [nat["table"]]
    bind = m.AssociateEipAddressRequest(
        region_id=REGION, allocation_id=address.allocation_id, instance_id=nat["id"], instance_type="Nat", client_token=next(tokens))
    vpc.associate_eip_address(bind)
    vpc.associate_eip_address(bind)
    wait_until(lambda: eip(vpc, address.allocation_id).status == "InUse")
    assert eip(vpc, address.allocation_id).instance_type == "Nat"
    assert gateway(vpc, nat["id"]).ip_lists.ip_list[0].ip_address == address.eip_address

    create = m.CreateSnatEntryRequest(
        region_id=REGION, snat_table_id=nat["table"], source_vswitch_id=nat["vswitch"], snat_ip=address.eip_address, dry_run=True)
    assert refused(vpc.create_snat_entry, create) == "DryRunOperation"
    create.dry_run, create.client_token = None, next(tokens)
    entry = vpc.create_snat_entry(create).body.snat_entry_id
    assert vpc.create_snat_entry(create).body.snat_entry_id == entry
    wait_until(lambda: entries(vpc, nat["table"])[0].status == "Available")
    create.client_token = None
    assert refused(vpc.create_snat_entry, create) == "Forbidden.SourceVSwitchId.Duplicated"
    create.snat_ip, create.source_vswitch_id, create.source_cidr = "127.0.0.1", None, "10.9.0.0/24"
    assert refused(vpc.create_snat_entry, create) == "EIP_NOT_IN_GATEWAY"

    unbind = m.UnassociateEipAddressRequest(
        region_id=REGION, allocation_id=address.allocation_id, instance_id=nat["id"], instance_type="Nat")
    assert refused(vpc.unassociate_eip_address, unbind) == "InvalidIpStatus.HasBeenUsedBySnatTable"
    remove = m.DeleteNatGatewayRequest(region_id=REGION, nat_gateway_id=nat["id"])
    assert refused(vpc.delete_nat_gateway, remove) == "DependencyViolation.SnatEntry"
    assert refused(vpc.delete_vswitch, m.DeleteVSwitchRequest(v_switch_id=nat["vswitch"])) == "DependencyViolation.EnhancedNatgw"
    delete = m.DeleteSnatEntryRequest(region_id=REGION, snat_table_id=nat["table"], snat_entry_id=entry)
    vpc.delete_snat_entry(delete)
    wait_until(lambda: not entries(vpc, nat["table"]))
    assert refused(vpc.delete_snat_entry, delete) == "InvalidSnatEntryId.NotFound"
    assert refused(vpc.delete_nat_gateway, remove) == "DependencyViolation.EIPS"
    vpc.unassociate_eip_address(unbind)
    wait_until(lambda: eip(vpc, address.allocation_id).status == "Available")


def test_gateways_are_found_and_refused(vpc, nat):
    def described(**more):
        return vpc.describe_nat_gateways(m.DescribeNatGatewaysRequest(region_id=REGION, **more)).body.total_count

    assert described(vpc_id=nat["vpc"], status="Available", nat_type="Enhanced", zone_id=nat["zone"]) == 1
    assert described(vpc_id=nat["vpc"], network_type="intranet") == 0
    big = m.DescribeNatGatewaysRequest(region_id=REGION, page_size=51)
    assert refused(vpc.describe_nat_gateways, big) == "InvalidParameter"
    dry = m.DescribeNatGatewaysRequest(region_id=REGION, dry_run=True)
    assert refused(vpc.describe_nat_gateways, dry) == "DryRunOperation"
    homeless = m.CreateNatGatewayRequest(region_id=REGION, vpc_id=nat["vpc"], nat_type="Enhanced")
    assert refused(vpc.create_nat_gateway, homeless) == "MissingVSwitchId"
    lost = m.CreateNatGatewayRequest(region_id=REGION, vpc_id="vpc-none", v_switch_id=nat["vswitch"])
    assert refused(vpc.create_nat_gateway, lost) == "InvalidVpcId.NotFound"
    taken = m.CreateNatGatewayRequest(
        region_id=REGION, vpc_id=nat["vpc"], v_switch_id=nat["vswitch"],
        nat_ip=gateway(vpc, nat["id"]).nat_gateway_private_info.private_ip_address)
    assert refused(vpc.create_nat_gateway, taken) == "OperationFailed.NatIpNotAvailable"
    unknown = m.DeleteNatGatewayRequest(region_id=REGION, nat_gateway_id="ngw-none")
    assert refused(vpc.delete_nat_gateway, unknown) == "InvalidNatGatewayId.NotFound"
    bare = m.DescribeSnatTableEntriesRequest(region_id=REGION)
    assert refused(vpc.describe_snat_table_entries, bare) == "MissingParameter"


def test_routes(vpc, nat):
    request = m.DescribeRouteTableListRequest(region_id=REGION, vpc_id=nat["vpc"])
    table = vpc.describe_route_table_list(request).body.router_table_list.router_table_list_type[0]
    assert (table.route_table_type, table.router_type, table.v_switch_ids.v_switch_id) == ("System", "VRouter", [nat["vswitch"]])

    def routes(**more):
        request = m.DescribeRouteTablesRequest(region_id=REGION, **more)
        found = vpc.describe_route_tables(request).body.route_tables.route_table[0]
        return {entry.destination_cidr_block: entry for entry in found.route_entrys.route_entry}

    found = routes(route_table_id=table.route_table_id)
    assert set(found) == {"10.1.0.0/24", "100.64.0.0/10", "0.0.0.0/0"}
    assert (found["0.0.0.0/0"].next_hop_type, found["0.0.0.0/0"].instance_id) == ("NatGateway", nat["id"])
    assert set(routes(vrouter_id=table.router_id, type="System")) == {"10.1.0.0/24", "100.64.0.0/10"}
    assert refused(vpc.describe_route_tables, m.DescribeRouteTablesRequest(region_id=REGION)) == "MissingParameter"
    big = m.DescribeRouteTableListRequest(region_id=REGION, page_size=51)
    assert refused(vpc.describe_route_table_list, big) == "InvalidParameter"


def test_tags_of_every_kind(vpc, nat, address):
    request = m.DescribeRouteTableListRequest(region_id=REGION, vpc_id=nat["vpc"])
    table = vpc.describe_route_table_list(request).body.router_table_list.router_table_list_type[0].route_table_id
    kinds = {
        "VPC": nat["vpc"], "VSWITCH": nat["vswitch"], "NATGATEWAY": nat["id"], "ROUTETABLE": table, "EIP": address.allocation_id,
    }
    tags = [m.TagResourcesRequestTag(key=f"key{number}", value=str(number)) for number in range(3)]
    for kind, resource in kinds.items():
        def listed(**more):
            request = m.ListTagResourcesRequest(region_id=REGION, resource_type=kind, resource_id=[resource], **more)
            return vpc.list_tag_resources(request).body

        vpc.tag_resources(m.TagResourcesRequest(region_id=REGION, resource_type=kind, resource_id=[resource], tag=tags))
        page = listed(max_results=2)
        rest = listed(max_results=2, next_token=page.next_token)
        rows = page.tag_resources.tag_resource + rest.tag_resources.tag_resource
        assert [(row.resource_id, row.tag_key, row.tag_value) for row in rows] == [
            (resource, f"key{number}", str(number)) for number in range(3)]
        some = m.UnTagResourcesRequest(region_id=REGION, resource_type=kind, resource_id=[resource], tag_key=["key0"])
        vpc.un_tag_resources(some)
        assert len(listed().tag_resources.tag_resource) == 2
        vpc.un_tag_resources(m.UnTagResourcesRequest(region_id=REGION, resource_type=kind, resource_id=[resource], all=True))
        assert not listed().tag_resources.tag_resource
    strange = m.ListTagResourcesRequest(region_id=REGION, resource_type="SHOE", resource_id=["x"])
    assert refused(vpc.list_tag_resources, strange) == "InvalidResourceType.NotFound"
    nobody = m.TagResourcesRequest(region_id=REGION, resource_type="VPC", resource_id=["vpc-none"], tag=tags)
    assert refused(vpc.tag_resources, nobody) == "InvalidResourceId.NotFound"
    reserved = [m.TagResourcesRequestTag(key="aliyun", value="x")]
    wrong = m.TagResourcesRequest(region_id=REGION, resource_type="VPC", resource_id=[nat["vpc"]], tag=reserved)
    assert refused(vpc.tag_resources, wrong) == "InvalidTagKey.Malformed"
