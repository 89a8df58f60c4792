"""What ECS sells, where and for how much."""

import time

import pytest
from alibabacloud_ecs20140526 import models as m

from conftest import REGION, wait_until

TYPE = "ecs.u1-c1m2.large"
FAMILY = "acs:alibaba_cloud_linux_3_2104_lts_x64"


def refused(call, *arguments):
    with pytest.raises(Exception) as error:
        call(*arguments)
    return error.value.code


def total(answer):
    return answer.body.price_info.price.trade_price


def test_regions_and_zones(ecs):
    regions = ecs.describe_regions(m.DescribeRegionsRequest(accept_language="en-US")).body.regions.region
    by_id = {region.region_id: region for region in regions}
    assert by_id[REGION].region_endpoint == "ecs-cn-hangzhou.aliyuncs.com"
    assert by_id[REGION].local_name == "Hangzhou"
    assert len(by_id) > 20
    zones = ecs.describe_zones(m.DescribeZonesRequest(region_id=REGION)).body.zones.zone
    assert len(zones) == 8
    assert TYPE in zones[0].available_instance_types.instance_types
    short = ecs.describe_zones(m.DescribeZonesRequest(region_id=REGION, verbose=False)).body.zones.zone
    assert short[0].available_instance_types is None
    assert refused(ecs.describe_zones, m.DescribeZonesRequest(region_id="nowhere")) == "InvalidRegionId.NotFound"


def test_instance_types_in_pages(ecs):
    token, seen = None, []
    while True:
        request = m.DescribeInstanceTypesRequest(max_results=500, next_token=token)
        body = ecs.describe_instance_types(request).body
        seen += [kind.instance_type_id for kind in body.instance_types.instance_type]
        token = body.next_token
        if not token:
            break
    assert len(seen) == len(set(seen)) == 681
    request = m.DescribeInstanceTypesRequest(minimum_cpu_core_count=8, maximum_cpu_core_count=8, gpuspec="NVIDIA T4")
    kinds = ecs.describe_instance_types(request).body.instance_types.instance_type
    assert kinds and all(kind.cpu_core_count == 8 and kind.gpuamount for kind in kinds)
    assert refused(ecs.describe_instance_types, m.DescribeInstanceTypesRequest(max_results=1601)) == "InvalidParameter"
    families = ecs.describe_instance_type_families(m.DescribeInstanceTypeFamiliesRequest(region_id=REGION, generation="ecs-5"))
    assert "ecs.g6" in [row.instance_type_family_id for row in families.body.instance_type_families.instance_type_family]


def test_stock(ecs):
    request = m.DescribeAvailableResourceRequest(
        region_id=REGION, destination_resource="InstanceType", zone_id=f"{REGION}-h", cores=2, memory=4.0)
    zones = ecs.describe_available_resource(request).body.available_zones.available_zone
    values = [each.value for each in zones[0].available_resources.available_resource[0].supported_resources.supported_resource]
    assert len(zones) == 1 and TYPE in values
    request = m.DescribeAvailableResourceRequest(region_id=REGION, destination_resource="SystemDisk", instance_type=TYPE)
    zones = ecs.describe_available_resource(request).body.available_zones.available_zone
    disks = zones[0].available_resources.available_resource[0].supported_resources.supported_resource
    assert all(disk.unit == "GiB" and disk.min < disk.max for disk in disks)
    missing = m.DescribeAvailableResourceRequest(region_id=REGION, destination_resource="SystemDisk")
    assert refused(ecs.describe_available_resource, missing) == "MissingParameter.InstanceType"


def test_recommendations(ecs):
    request = m.DescribeRecommendInstanceTypeRequest(
        region_id=REGION, network_type="vpc", cores=2, memory=4.0, priority_strategy="PriceFirst", max_price=0.5)
    rows = ecs.describe_recommend_instance_type(request).body.data.recommend_instance_type
    assert [row.priority for row in rows] == list(range(1, len(rows) + 1))
    assert all(row.instance_type.cores == 2 and row.zones.zone for row in rows)
    neither = m.DescribeRecommendInstanceTypeRequest(region_id=REGION, network_type="vpc")
    assert refused(ecs.describe_recommend_instance_type, neither) == "MissingParameter"


def test_prices_of_instances_and_their_parts(ecs):
    disk = m.DescribePriceRequestSystemDisk(category="cloud_essd", performance_level="PL0", size=40)
    data = [m.DescribePriceRequestDataDisk(category="cloud_essd", performance_level="PL1", size=100)]

    def price(**more):
        request = m.DescribePriceRequest(region_id=REGION, instance_type=TYPE, system_disk=disk, data_disk=data, **more)
        return ecs.describe_price(request)

    hour = price()
    details = {row.resource: row.trade_price for row in hour.body.price_info.price.detail_infos.detail_info}
    assert details["systemDisk"] == pytest.approx(0.042)
    assert details["dataDisk"] == pytest.approx(0.21)
    assert total(hour) == pytest.approx(sum(details.values()))
    assert total(price(amount=3)) == pytest.approx(3 * total(hour))
    year = price(price_unit="Year", period=1)
    assert total(year) == pytest.approx(12 * total(price(price_unit="Month", period=1)))
    assert hour.body.price_info.price.currency == "CNY"


def test_prices_of_disks_and_bandwidth(ecs):
    data = [m.DescribePriceRequestDataDisk(category="cloud_essd", performance_level="PL1", size=100)]
    disk = m.DescribePriceRequest(region_id=REGION, resource_type="disk", data_disk=data)
    assert total(ecs.describe_price(disk)) == pytest.approx(0.21)
    line = m.DescribePriceRequest(
        region_id=REGION, resource_type="bandwidth", internet_charge_type="PayByBandwidth", internet_max_bandwidth_out=10)
    assert total(ecs.describe_price(line)) == pytest.approx(1.5625)
    empty = m.DescribePriceRequest(region_id=REGION, resource_type="instance")
    assert refused(ecs.describe_price, empty) == "MissingInstanceType"
    windows = m.DescribePriceRequest(region_id=REGION, instance_type=TYPE, platform="Windows Server 2022")
    assert refused(ecs.describe_price, windows) == "PRICE.PRICING_PLAN_RESULT_NOT_FOUND"


def test_the_spot_market(ecs):
    zone = f"{REGION}-h"

    def history(**more):
        request = m.DescribeSpotPriceHistoryRequest(region_id=REGION, network_type="vpc", instance_type=TYPE, **more)
        return ecs.describe_spot_price_history(request).body

    body = history(zone_id=zone)
    rows = body.spot_prices.spot_price_type
    assert body.currency == "CNY" and body.next_offset == 0 and 3 <= len(rows) <= 4
    assert all(0 < row.spot_price <= row.origin_price for row in rows)
    assert len({row.zone_id for row in history().spot_prices.spot_price_type}) == 8
    week = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 7 * 24 * 3600))
    offset, count = 0, 0
    while True:
        page = history(start_time=week, offset=offset)
        count += len(page.spot_prices.spot_price_type)
        offset = page.next_offset
        if not offset:
            break
    assert count >= 8 * 7 * 24
    request = m.DescribePriceRequest(region_id=REGION, instance_type=TYPE, spot_strategy="SpotAsPriceGo", zone_id=zone)
    price = ecs.describe_price(request).body.price_info.price
    assert 0 < price.trade_price < price.original_price
    month = m.DescribePriceRequest(region_id=REGION, instance_type=TYPE, spot_strategy="SpotAsPriceGo", price_unit="Month")
    assert refused(ecs.describe_price, month) == "InvalidParameter"
    ancient = m.DescribeSpotPriceHistoryRequest(
        region_id=REGION, network_type="vpc", instance_type=TYPE, start_time="2020-01-01T00:00:00Z")
    assert refused(ecs.describe_spot_price_history, ancient) == "InvalidParameter"


def test_the_price_of_a_change(ecs, network):
    group = ecs.create_security_group(m.CreateSecurityGroupRequest(region_id=REGION, vpc_id=network["vpc"])).body.security_group_id
    run = m.RunInstancesRequest(
        region_id=REGION, image_family=FAMILY, instance_type=TYPE, v_switch_id=network["vswitch"], security_group_id=group)
    made = ecs.run_instances(run).body.instance_id_sets.instance_id_set[0]
    request = m.DescribeInstanceModificationPriceRequest(region_id=REGION, instance_id=made, instance_type="ecs.u1-c1m2.xlarge")
    change = total(ecs.describe_instance_modification_price(request))
    new = ecs.describe_price(m.DescribePriceRequest(region_id=REGION, instance_type="ecs.u1-c1m2.xlarge")).body
    details = {row.resource: row.trade_price for row in new.price_info.price.detail_infos.detail_info}
    assert change == pytest.approx(details["instanceType"])
    nothing = m.DescribeInstanceModificationPriceRequest(region_id=REGION, instance_id=made)
    assert refused(ecs.describe_instance_modification_price, nothing) == "MissingParameter"
    unknown = m.DescribeInstanceModificationPriceRequest(region_id=REGION, instance_id="i-none", instance_type=TYPE)
    assert refused(ecs.describe_instance_modification_price, unknown) == "InvalidInstanceId.NotFound"

    def gone(delete, *arguments):
        try:
            delete(*arguments)
        except Exception as error:
            if error.code.endswith("NotFound"):
                return True
            assert error.code.startswith(("IncorrectInstanceStatus", "DependencyViolation"))
        return False

    wait_until(lambda: gone(ecs.delete_instance, m.DeleteInstanceRequest(instance_id=made, force=True)))
    wait_until(lambda: gone(ecs.delete_security_group, m.DeleteSecurityGroupRequest(region_id=REGION, security_group_id=group)))


def test_images(ecs):
    numbers, seen = range(1, 4), []
    for number in numbers:
        request = m.DescribeImagesRequest(region_id=REGION, image_owner_alias="system", page_size=100, page_number=number)
        body = ecs.describe_images(request).body
        assert body.total_count == 240
        seen += [image.image_id for image in body.images.image]
    assert len(seen) == len(set(seen)) == 240
    newest = ecs.describe_image_from_family(m.DescribeImageFromFamilyRequest(region_id=REGION, image_family=FAMILY)).body.image
    request = m.DescribeImagesRequest(region_id=REGION, image_id=f"{newest.image_id},{seen[0]}", ostype="linux")
    assert ecs.describe_images(request).body.total_count == 2
    late = [m.DescribeImagesRequestFilter(key="CreationStartTime", value="2026-05-01T00:00Z")]
    found = ecs.describe_images(m.DescribeImagesRequest(region_id=REGION, filter=late, page_size=100)).body.images.image
    assert found and all(image.creation_time >= "2026-05-01" for image in found)
    assert ecs.describe_images(m.DescribeImagesRequest(region_id=REGION, image_owner_alias="self")).body.total_count == 0
    assert refused(ecs.describe_images, m.DescribeImagesRequest(region_id=REGION, page_size=101)) == "InvalidParameter"
    assert refused(ecs.describe_images, m.DescribeImagesRequest(region_id=REGION, dry_run=True)) == "DryRunOperation"
    none = m.DescribeImageFromFamilyRequest(region_id=REGION, image_family="acs:none")
    assert refused(ecs.describe_image_from_family, none) == "InvalidImageFamily.MissingAvailableImage"


def test_what_the_account_may_have(ecs):
    request = m.DescribeAccountAttributesRequest(region_id=REGION, attribute_name=["max-security-groups", "instance-network-type"])
    items = ecs.describe_account_attributes(request).body.account_attribute_items.account_attribute_item
    values = {item.attribute_name: [value.value for value in item.attribute_values.value_item] for item in items}
    assert values == {"max-security-groups": ["500"], "instance-network-type": ["vpc"]}
    everything = ecs.describe_account_attributes(m.DescribeAccountAttributesRequest(region_id=REGION))
    assert len(everything.body.account_attribute_items.account_attribute_item) == 15
    wrong = m.DescribeAccountAttributesRequest(region_id=REGION, attribute_name=["shoe-size"])
    assert refused(ecs.describe_account_attributes, wrong) == "InvalidParameter"
