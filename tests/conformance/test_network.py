"""VPC, vSwitch and elastic addresses, from creation to nothing."""

import pytest
from alibabacloud_vpc20160428 import models as m

from conftest import REGION, wait_until


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


def test_an_address_from_allocation_to_release(vpc):
    made = vpc.allocate_eip_address(m.AllocateEipAddressRequest(region_id=REGION, bandwidth="5")).body

    def described():
        request = m.DescribeEipAddressesRequest(region_id=REGION, allocation_id=made.allocation_id)
        return vpc.describe_eip_addresses(request).body.eip_addresses.eip_address

    assert described()[0].ip_address == made.eip_address
    vpc.release_eip_address(m.ReleaseEipAddressRequest(region_id=REGION, allocation_id=made.allocation_id))
    wait_until(lambda: not described())
