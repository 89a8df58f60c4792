"""Disks beside their instances: described, made larger, replaced."""

import json

from alibabacloud_ecs20140526 import models as m

from conftest import REGION
from instances import IMAGE, STRANGER, refused, stage  # noqa: F401


def disks(ecs, **more):
    return ecs.describe_disks(m.DescribeDisksRequest(region_id=REGION, **more)).body


def test_disks_go_with_their_instance(ecs, stage):
    data = m.RunInstancesRequestDataDisk(category="cloud_essd", performance_level="PL0", size=100, disk_name="data")
    instance = stage.running(data_disk=[data])
    found = {row.type: row for row in disks(ecs, instance_id=instance, additional_attributes=["IOPS"]).disks.disk}
    assert (found["system"].device, found["data"].size, found["data"].disk_name) == ("/dev/xvda", 100, "data")
    assert found["data"].iops == 3000
    assert found["data"].attachments.attachment[0].instance_id == instance
    for wanted, count in [
        ({"disk_type": "data"}, 1),
        ({"status": "Available"}, 0),
        ({"category": "cloud_essd"}, 2),
        ({"performance_level": "PL0", "disk_name": "d*"}, 1),
        ({"delete_with_instance": False}, 0),
        ({"disk_charge_type": "PrePaid"}, 0),
    ]:
        assert len(disks(ecs, instance_id=instance, **wanted).disks.disk) == count, wanted
    first = disks(ecs, instance_id=instance, max_results=1)
    second = disks(ecs, instance_id=instance, max_results=1, next_token=first.next_token)
    assert {first.disks.disk[0].disk_id, second.disks.disk[0].disk_id} == {row.disk_id for row in found.values()}
    assert not second.next_token
    paged = disks(ecs, instance_id=instance, page_number=2, page_size=1)
    assert (paged.total_count, len(paged.disks.disk)) == (2, 1)
    refused(lambda: disks(ecs, page_size=101), "InvalidParameter")
    refused(lambda: disks(ecs, disk_ids=json.dumps(["d"] * 101)), "InvalidDiskIds.Malformed")
    refused(lambda: disks(ecs, status="Lost"), "InvalidParameter")
    refused(lambda: disks(ecs, dry_run=True), "DryRunOperation", status=400)
    stage.delete(instance)
    assert not disks(ecs, disk_ids=json.dumps([row.disk_id for row in found.values()])).disks.disk


def test_a_disk_grows(ecs, stage):
    instance = stage.running()
    disk = disks(ecs, instance_id=instance).disks.disk[0].disk_id
    resize = m.ResizeDiskRequest(disk_id=disk, new_size=80, type="online", client_token="grow")
    ecs.resize_disk(resize)
    ecs.resize_disk(resize)
    assert disks(ecs, instance_id=instance).disks.disk[0].size == 80
    refused(lambda: ecs.resize_disk(m.ResizeDiskRequest(disk_id=disk, new_size=40)), "InvalidDiskSize.TooSmall", status=403)
    refused(lambda: ecs.resize_disk(m.ResizeDiskRequest(disk_id=disk, new_size=1000000)), "InvalidDiskSize.ValueNotSupported")
    refused(lambda: ecs.resize_disk(m.ResizeDiskRequest(disk_id="d-none", new_size=40)), "InvalidDiskId.NotFound", status=404)
    resize.new_size = 90
    refused(lambda: ecs.resize_disk(resize), "IdempotentParameterMismatch", status=400)


def test_a_replaced_system_disk_is_empty(ecs, stage):
    instance = stage.running()
    stage.output(instance, "echo here > /root/kept")
    old = disks(ecs, instance_id=instance).disks.disk[0].disk_id
    size = m.ReplaceSystemDiskRequestSystemDisk(size=60)
    replace = m.ReplaceSystemDiskRequest(instance_id=instance, image_id=IMAGE, system_disk=size)
    refused(lambda: ecs.replace_system_disk(replace), "IncorrectInstanceStatus", status=403)
    stage.stop(instance)
    missing = m.ReplaceSystemDiskRequest(instance_id=instance, image_id="none")
    refused(lambda: ecs.replace_system_disk(missing), "InvalidImageId.NotFound", status=404)
    stranger = m.ReplaceSystemDiskRequest(instance_id=STRANGER, image_id=IMAGE)
    refused(lambda: ecs.replace_system_disk(stranger), "InvalidInstanceId.NotFound", status=404)
    new = ecs.replace_system_disk(replace).body.disk_id
    found = disks(ecs, instance_id=instance).disks.disk
    assert [(row.disk_id, row.size) for row in found] == [(new, 60)] and new != old
    stage.start(instance)
    assert stage.output(instance, "cat /root/kept 2>/dev/null || echo gone") == "gone\n"
