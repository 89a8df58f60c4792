"""Instances for the tests: made in a network with a security group, and taken away with it."""

import json

import pytest
from alibabacloud_ecs20140526 import models as m

from conftest import REGION, wait_until

IMAGE = "aliyun_3_x64_20G_alibase_20260513.vhd"
TYPE = "ecs.u1-c1m2.large"
STRANGER = "i-bp1nobodyhasthisone0"


def refused(call, *codes, status=None):
    """Makes a call that must be refused with one of the codes."""
    with pytest.raises(Exception) as error:
        call()
    assert error.value.code in codes, f"{error.value.code}: {error.value.message}"
    if status is not None:
        assert error.value.status_code == status, error.value.status_code
    return error.value


class Stage:
    """A network, a group in it, and the instances that a test makes."""

    def __init__(self, ecs, network):
        self.ecs = ecs
        self.network = network
        request = m.CreateSecurityGroupRequest(region_id=REGION, vpc_id=network["vpc"], security_group_name="stage")
        self.group = ecs.create_security_group(request).body.security_group_id
        self.made = []

    def request(self, **more):
        told = {
            "region_id": REGION,
            "image_id": IMAGE,
            "instance_type": TYPE,
            "v_switch_id": self.network["vswitch"],
            "security_group_id": self.group,
        }
        return m.RunInstancesRequest(**{**told, **more})

    def run(self, **more):
        """The ids of new instances, accepted."""
        ids = self.ecs.run_instances(self.request(**more)).body.instance_id_sets.instance_id_set
        self.made.extend(ids)
        return ids

    def running(self, **more):
        """The id of one instance that runs and whose agent answers."""
        (instance,) = self.run(**more)
        self.await_status(instance, "Running")
        self.await_agent(instance)
        return instance

    def describe(self, instance):
        request = m.DescribeInstancesRequest(region_id=REGION, instance_ids=json.dumps([instance]))
        found = self.ecs.describe_instances(request).body.instances.instance
        return found[0] if found else None

    def await_status(self, instance, status):
        wait_until(lambda: self.describe(instance).status == status)

    def await_agent(self, instance):
        request = m.DescribeCloudAssistantStatusRequest(region_id=REGION, instance_id=[instance])

        def ready():
            found = self.ecs.describe_cloud_assistant_status(request).body
            return found.instance_cloud_assistant_status_set.instance_cloud_assistant_status[0].cloud_assistant_status == "true"

        wait_until(ready)

    def stop(self, instance):
        self.ecs.stop_instance(m.StopInstanceRequest(instance_id=instance))
        self.await_status(instance, "Stopped")

    def start(self, instance):
        self.ecs.start_instance(m.StartInstanceRequest(instance_id=instance))
        self.await_status(instance, "Running")
        self.await_agent(instance)

    def result(self, invocation):
        """The result of an invocation on its only instance once it is over."""
        request = m.DescribeInvocationResultsRequest(region_id=REGION, invoke_id=invocation, content_encoding="PlainText")

        def over():
            found = self.ecs.describe_invocation_results(request).body.invocation.invocation_results.invocation_result[0]
            return found if found.invocation_status not in ("Pending", "Running", "Stopping") else None

        return wait_until(over)

    def output(self, instance, script):
        """What a script says on an instance."""
        request = m.RunCommandRequest(region_id=REGION, type="RunShellScript", command_content=script, instance_id=[instance])
        found = self.result(self.ecs.run_command(request).body.invoke_id)
        assert found.exit_code == 0, found.output
        return found.output

    def delete(self, instance):
        def deleted():
            found = self.describe(instance)
            if found is None:
                return True
            if found.status in ("Running", "Stopped"):
                if found.instance_charge_type == "PrePaid":
                    request = m.ModifyInstanceChargeTypeRequest(
                        region_id=REGION, instance_ids=json.dumps([instance]), instance_charge_type="PostPaid")
                    self.ecs.modify_instance_charge_type(request)
                self.ecs.delete_instance(m.DeleteInstanceRequest(instance_id=instance, force=True))
            return False

        wait_until(deleted)

    def close(self):
        for instance in self.made:
            self.delete(instance)
        request = m.DeleteSecurityGroupRequest(region_id=REGION, security_group_id=self.group)

        def deleted():
            try:
                self.ecs.delete_security_group(request)
            except Exception as error:
                assert error.code == "DependencyViolation", error
                return False
            return True

        wait_until(deleted)


@pytest.fixture
def stage(ecs, network):
    made = Stage(ecs, network)
    yield made
    made.close()
