"""Instances, their groups and their tags, from order to nothing."""

import base64
import datetime
import json

from alibabacloud_ecs20140526 import models as m

from conftest import REGION, wait_until
from instances import STRANGER, TYPE, refused, stage  # noqa: F401


def test_the_life_of_an_instance(ecs, stage):
    instance = stage.running(instance_name="web", description="first", tag=[m.RunInstancesRequestTag(key="app", value="a")])
    found = stage.describe(instance)
    assert (found.instance_name, found.instance_type, found.cpu, found.memory) == ("web", TYPE, 2, 4096)
    assert found.tags.tag[0].tag_key == "app"
    status = ecs.describe_instance_status(m.DescribeInstanceStatusRequest(region_id=REGION, instance_id=[instance])).body
    assert status.instance_statuses.instance_status[0].status == "Running"
    refused(lambda: ecs.start_instance(m.StartInstanceRequest(instance_id=instance)), "IncorrectInstanceStatus", status=403)
    refused(lambda: ecs.delete_instance(m.DeleteInstanceRequest(instance_id=instance)), "IncorrectInstanceStatus")
    ecs.reboot_instance(m.RebootInstanceRequest(instance_id=instance))
    stage.await_status(instance, "Running")
    stage.stop(instance)
    stage.start(instance)
    ecs.modify_instance_attribute(m.ModifyInstanceAttributeRequest(instance_id=instance, deletion_protection=True, instance_name="kept"))
    delete = m.DeleteInstanceRequest(instance_id=instance, force=True)
    refused(lambda: ecs.delete_instance(delete), "InvalidOperation.DeletionProtection")
    ecs.modify_instance_attribute(m.ModifyInstanceAttributeRequest(instance_id=instance, deletion_protection=False))
    dry = m.DeleteInstanceRequest(instance_id=instance, force=True, dry_run=True)
    refused(lambda: ecs.delete_instance(dry), "DryRunOperation", status=400)
    ecs.delete_instance(delete)
    wait_until(lambda: stage.describe(instance) is None)
    refused(lambda: ecs.delete_instance(delete), "InvalidInstanceId.NotFound", status=404)


def test_many_instances_in_one_call(ecs, stage):
    ids = stage.run(amount=3, instance_name="n", unique_suffix=True)
    assert len(ids) == 3
    for instance in ids:
        stage.await_status(instance, "Running")
    stop = m.StopInstancesRequest(region_id=REGION, instance_id=ids, batch_optimization="AllTogether", stopped_mode="StopCharging")
    answer = ecs.stop_instances(stop).body.instance_responses.instance_response
    assert {(row.previous_status, row.current_status, row.code) for row in answer} == {("Running", "Stopping", "200")}
    for instance in ids:
        stage.await_status(instance, "Stopped")
    assert stage.describe(ids[0]).stopped_mode == "StopCharging"
    stage.start(ids[0])
    start = m.StartInstancesRequest(region_id=REGION, instance_id=ids)
    refused(lambda: ecs.start_instances(start), "IncorrectInstanceStatus")
    start.batch_optimization = "SuccessFirst"
    answer = ecs.start_instances(start).body.instance_responses.instance_response
    assert {row.instance_id: row.code for row in answer} == {ids[0]: "IncorrectInstanceStatus", ids[1]: "200", ids[2]: "200"}
    for instance in ids:
        stage.await_status(instance, "Running")
    dry = m.StopInstancesRequest(region_id=REGION, instance_id=ids, dry_run=True)
    refused(lambda: ecs.stop_instances(dry), "DRYRUN.SUCCESS")
    delete = m.DeleteInstancesRequest(region_id=REGION, instance_id=[*ids, STRANGER], force=True)
    refused(lambda: ecs.delete_instances(delete), "InvalidInstanceId.NotFound", status=404)
    delete.instance_id = ids
    ecs.delete_instances(delete)
    for instance in ids:
        wait_until(lambda instance=instance: stage.describe(instance) is None)


def test_pages_cover_all_instances_once(ecs, stage):
    ids = stage.run(amount=12, instance_name="page")
    seen, token = [], None
    while True:
        request = m.DescribeInstancesRequest(region_id=REGION, vpc_id=stage.network["vpc"], max_results=10, next_token=token)
        body = ecs.describe_instances(request).body
        seen.extend(row.instance_id for row in body.instances.instance)
        token = body.next_token
        if not token:
            break
    assert sorted(seen) == sorted(ids)
    seen = []
    for number in (1, 2, 3):
        request = m.DescribeInstancesRequest(region_id=REGION, vpc_id=stage.network["vpc"], page_number=number, page_size=5)
        body = ecs.describe_instances(request).body
        assert (body.total_count, body.page_number, body.page_size) == (12, number, 5)
        seen.extend(row.instance_id for row in body.instances.instance)
    assert sorted(seen) == sorted(ids)
    seen, number = [], 1
    while number <= 3:
        request = m.DescribeInstanceStatusRequest(region_id=REGION, instance_id=ids, page_number=number, page_size=5)
        seen.extend(row.instance_id for row in ecs.describe_instance_status(request).body.instance_statuses.instance_status)
        number += 1
    assert sorted(seen) == sorted(ids)
    many = json.dumps([f"i-{number}" for number in range(101)])
    refused(lambda: ecs.describe_instances(m.DescribeInstancesRequest(region_id=REGION, instance_ids=many)), "InvalidInstanceIds.Malformed")
    refused(lambda: ecs.describe_instances(m.DescribeInstancesRequest(region_id=REGION, instance_ids="x")), "InvalidInstanceIds.Malformed")
    refused(lambda: ecs.describe_instances(m.DescribeInstancesRequest(region_id=REGION, max_results=101)), "InvalidParameter")
    refused(lambda: ecs.describe_instances(m.DescribeInstancesRequest(region_id=REGION, next_token="?")), "InvalidParameter")
    refused(lambda: ecs.describe_instance_status(m.DescribeInstanceStatusRequest(region_id=REGION, page_size=51)), "InvalidParameter")
    too_many = [f"i-{number}" for number in range(101)]
    refused(lambda: ecs.describe_instance_status(m.DescribeInstanceStatusRequest(region_id=REGION, instance_id=too_many)), "InvalidParameter")
    refused(lambda: ecs.stop_instances(m.StopInstancesRequest(region_id=REGION, instance_id=too_many)), "InvalidParameter")


def test_the_same_order_twice(ecs, stage):
    token = "the-same-order"
    first = stage.run(client_token=token)
    assert ecs.run_instances(stage.request(client_token=token)).body.instance_id_sets.instance_id_set == first
    refused(lambda: ecs.run_instances(stage.request(client_token=token, amount=2)), "IdempotentParameterMismatch", status=400)
    refused(lambda: ecs.run_instances(stage.request(dry_run=True)), "DryRunOperation", status=400)


def test_orders_that_are_refused(ecs, stage):
    def order(code, **more):
        refused(lambda: ecs.run_instances(stage.request(**more)), code)

    order("InvalidInstanceType.ValueNotSupported", instance_type="ecs.none.large")
    order("InvalidImageId.NotFound", image_id="none")
    order("InvalidVSwitchId.NotFound", v_switch_id="vsw-none")
    order("InvalidSecurityGroupId.NotFound", security_group_id="sg-none")
    order("InvalidAmount.NotSupported", amount=101)
    order("InvalidAmount.NotSupported", amount=1, min_amount=2)
    order("InvalidLaunchTemplate.NotFound", launch_template_id="lt-none")
    order("InvalidParameter.NotSupported", hibernation_options=m.RunInstancesRequestHibernationOptions(configured=True))
    order("InvalidKeyPairName.NotFound", key_pair_name="none")
    order("InvalidPassword.Malformed", password="short")
    order("InvalidHostName.Malformed", host_name="-")
    order("InvalidUserData.Base64FormatInvalid", user_data="%")
    order("InvalidSpotStrategy", spot_strategy="Spot")
    order("InvalidSpotPriceLimit", spot_strategy="SpotWithPriceLimit")
    order("OperationDenied.SpotPriceLowerThanPublicPrice", spot_strategy="SpotWithPriceLimit", spot_price_limit=0.001)
    order("InvalidPeriod", instance_charge_type="PrePaid", period=13)
    order("Duplicate.TagKey", tag=[m.RunInstancesRequestTag(key="a"), m.RunInstancesRequestTag(key="a")])
    soon = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    order("InvalidAutoReleaseTime.Malformed", auto_release_time=soon)


def test_changes_of_an_instance(ecs, stage):
    script = base64.b64encode(b"#!/bin/sh\necho hello > /root/from-user-data\n").decode()
    instance = stage.running(internet_max_bandwidth_out=0, user_data=script, ram_role_name="reader")
    assert ecs.describe_user_data(m.DescribeUserDataRequest(region_id=REGION, instance_id=instance)).body.user_data == script
    wait_until(lambda: stage.output(instance, "cat /root/from-user-data 2>/dev/null || true") == "hello\n")

    address = ecs.allocate_public_ip_address(m.AllocatePublicIpAddressRequest(instance_id=instance)).body.ip_address
    assert stage.describe(instance).public_ip_address.ip_address == [address]
    refused(lambda: ecs.allocate_public_ip_address(m.AllocatePublicIpAddressRequest(instance_id=instance)), "AllocatedAlready", status=403)
    ecs.modify_instance_network_spec(m.ModifyInstanceNetworkSpecRequest(instance_id=instance, internet_max_bandwidth_out=10))
    found = ecs.describe_instance_attribute(m.DescribeInstanceAttributeRequest(instance_id=instance)).body
    assert (found.internet_max_bandwidth_out, found.instance_id) == (10, instance)
    later = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    ecs.modify_instance_auto_release_time(m.ModifyInstanceAutoReleaseTimeRequest(instance_id=instance, auto_release_time=later))
    assert stage.describe(instance).auto_release_time == later[:-4] + "Z"
    ecs.modify_instance_auto_release_time(m.ModifyInstanceAutoReleaseTimeRequest(instance_id=instance))
    assert stage.describe(instance).auto_release_time == ""
    maintenance = m.DescribeInstanceMaintenanceAttributesRequest(region_id=REGION, instance_id=[instance])
    rows = ecs.describe_instance_maintenance_attributes(maintenance).body.maintenance_attributes.maintenance_attribute
    assert rows[0].action_on_maintenance.value == "AutoRecover"
    roles = m.DescribeInstanceRamRoleRequest(region_id=REGION, instance_ids=json.dumps([instance]))
    assert ecs.describe_instance_ram_role(roles).body.instance_ram_role_sets.instance_ram_role_set[0].ram_role_name == "reader"
    spec = m.ModifyInstanceSpecRequest(instance_id=instance, instance_type="ecs.u1-c1m2.xlarge")
    refused(lambda: ecs.modify_instance_spec(spec), "IncorrectInstanceStatus")
    stage.stop(instance)
    ecs.modify_instance_spec(spec)
    assert stage.describe(instance).instance_type == "ecs.u1-c1m2.xlarge"


def test_roles_are_attached_once(ecs, stage):
    instance = stage.run()[0]
    attach = m.AttachInstanceRamRoleRequest(region_id=REGION, ram_role_name="writer", instance_ids=json.dumps([instance]))
    assert ecs.attach_instance_ram_role(attach).body.fail_count == 0
    again = ecs.attach_instance_ram_role(attach).body
    assert again.fail_count == 1 and not again.attach_instance_ram_role_results.attach_instance_ram_role_result[0].success
    refused(lambda: ecs.describe_instance_ram_role(m.DescribeInstanceRamRoleRequest(region_id=REGION)), "MissingParameter.InstanceIds")


def test_a_subscription(ecs, stage):
    body = ecs.run_instances(stage.request(
        instance_charge_type="PrePaid", period=1, period_unit="Week", auto_renew=True, auto_renew_period=1)).body
    (instance,) = body.instance_id_sets.instance_id_set
    stage.made.append(instance)
    assert body.order_id and body.trade_price > 0
    stage.await_status(instance, "Running")
    assert stage.describe(instance).instance_charge_type == "PrePaid"
    refused(lambda: ecs.delete_instance(m.DeleteInstanceRequest(instance_id=instance, force=True)), "ChargeTypeViolation")
    renewal = m.DescribeInstanceAutoRenewAttributeRequest(region_id=REGION, instance_id=instance)
    (row,) = ecs.describe_instance_auto_renew_attribute(renewal).body.instance_renew_attributes.instance_renew_attribute
    assert (row.renewal_status, row.duration, row.period_unit) == ("AutoRenewal", 1, "Week")
    change = m.ModifyInstanceChargeTypeRequest(
        region_id=REGION, instance_ids=json.dumps([instance]), instance_charge_type="PostPaid", is_detail_fee=True)
    fees = ecs.modify_instance_charge_type(change).body.fee_of_instances.fee_of_instance
    assert float(fees[0].fee) > 0
    assert stage.describe(instance).instance_charge_type == "PostPaid"


def test_a_spot_instance(stage):
    (instance,) = stage.run(spot_strategy="SpotWithPriceLimit", spot_price_limit=1.5, spot_interruption_behavior="Stop")
    found = stage.describe(instance)
    assert (found.spot_strategy, found.spot_price_limit, found.spot_duration) == ("SpotWithPriceLimit", 1.5, 1)
    assert found.operation_locks.lock_reason == []


def test_groups_and_their_rules(ecs, stage):
    instance = stage.running()
    create = m.CreateSecurityGroupRequest(region_id=REGION, vpc_id=stage.network["vpc"], client_token="other-group")
    other = ecs.create_security_group(create).body.security_group_id
    assert ecs.create_security_group(create).body.security_group_id == other
    permission = m.AuthorizeSecurityGroupRequestPermissions(ip_protocol="TCP", port_range="80/80", source_cidr_ip="0.0.0.0/0")
    ecs.authorize_security_group(m.AuthorizeSecurityGroupRequest(region_id=REGION, security_group_id=other, permissions=[permission]))
    out = m.AuthorizeSecurityGroupEgressRequestPermissions(ip_protocol="ALL", port_range="-1/-1", dest_cidr_ip="10.0.0.0/8")
    ecs.authorize_security_group_egress(
        m.AuthorizeSecurityGroupEgressRequest(region_id=REGION, security_group_id=other, permissions=[out]))

    def rules(direction):
        request = m.DescribeSecurityGroupAttributeRequest(region_id=REGION, security_group_id=other, direction=direction)
        return ecs.describe_security_group_attribute(request).body.permissions.permission

    (rule,), (outward,) = rules("ingress"), rules("egress")
    modify = m.ModifySecurityGroupRuleRequest(
        region_id=REGION, security_group_id=other, security_group_rule_id=rule.security_group_rule_id, port_range="443/443")
    ecs.modify_security_group_rule(modify)
    assert rules("ingress")[0].port_range == "443/443"
    ecs.modify_security_group_policy(
        m.ModifySecurityGroupPolicyRequest(region_id=REGION, security_group_id=other, inner_access_policy="Drop"))
    ecs.modify_security_group_attribute(
        m.ModifySecurityGroupAttributeRequest(region_id=REGION, security_group_id=other, security_group_name="renamed"))
    groups = ecs.describe_security_groups(m.DescribeSecurityGroupsRequest(region_id=REGION, security_group_id=other)).body
    assert groups.security_groups.security_group[0].security_group_name == "renamed"

    ecs.join_security_group(m.JoinSecurityGroupRequest(region_id=REGION, security_group_id=other, instance_id=instance))
    refused(lambda: ecs.join_security_group(m.JoinSecurityGroupRequest(security_group_id=other, instance_id=instance)),
            "InvalidInstanceId.AlreadyExists", status=403)
    refused(lambda: ecs.delete_security_group(m.DeleteSecurityGroupRequest(region_id=REGION, security_group_id=other)),
            "DependencyViolation")
    interfaces = m.DescribeNetworkInterfacesRequest(region_id=REGION, security_group_id=other)
    (interface,) = ecs.describe_network_interfaces(interfaces).body.network_interface_sets.network_interface_set
    assert interface.instance_id == instance
    ecs.leave_security_group(m.LeaveSecurityGroupRequest(region_id=REGION, security_group_id=other, instance_id=instance))
    refused(lambda: ecs.leave_security_group(m.LeaveSecurityGroupRequest(security_group_id=stage.group, instance_id=instance)),
            "InstanceLastSecurityGroup", status=403)

    revoke = m.RevokeSecurityGroupRequest(
        region_id=REGION, security_group_id=other, security_group_rule_id=[rule.security_group_rule_id])
    ecs.revoke_security_group(revoke)
    refused(lambda: ecs.revoke_security_group(revoke), "InvalidParam.SecurityGroupRuleId")
    ecs.revoke_security_group_egress(m.RevokeSecurityGroupEgressRequest(
        region_id=REGION, security_group_id=other, security_group_rule_id=[outward.security_group_rule_id]))
    assert not rules("all")
    ecs.delete_security_group(m.DeleteSecurityGroupRequest(region_id=REGION, security_group_id=other))


def test_tags_of_everything(ecs, stage):
    (instance,) = stage.run(tag=[m.RunInstancesRequestTag(key="app", value="a")])
    disks = ecs.describe_disks(m.DescribeDisksRequest(region_id=REGION, instance_id=instance)).body.disks.disk
    interface = stage.describe(instance).network_interfaces.network_interface[0].network_interface_id
    for kind, resource in [("instance", instance), ("disk", disks[0].disk_id), ("eni", interface), ("securitygroup", stage.group)]:
        tags = [m.TagResourcesRequestTag(key="owner", value=kind)]
        ecs.tag_resources(m.TagResourcesRequest(region_id=REGION, resource_type=kind, resource_id=[resource], tag=tags))
        listed = m.ListTagResourcesRequest(region_id=REGION, resource_type=kind, resource_id=[resource])
        found = {row.tag_key: row.tag_value for row in ecs.list_tag_resources(listed).body.tag_resources.tag_resource}
        assert found["owner"] == kind and (kind == "securitygroup" or found["app"] == "a")
        ecs.untag_resources(m.UntagResourcesRequest(region_id=REGION, resource_type=kind, resource_id=[resource], tag_key=["owner"]))
        assert "owner" not in {row.tag_key for row in ecs.list_tag_resources(listed).body.tag_resources.tag_resource}
    tags = [m.TagResourcesRequestTag(key="acs:no", value="x")]
    refused(lambda: ecs.tag_resources(m.TagResourcesRequest(
        region_id=REGION, resource_type="instance", resource_id=[instance], tag=tags)), "InvalidTagKey.Malformed")
    refused(lambda: ecs.tag_resources(m.TagResourcesRequest(
        region_id=REGION, resource_type="instance", resource_id=[STRANGER], tag=[m.TagResourcesRequestTag(key="a")])),
        "InvalidResourceId.NotFound", status=404)
