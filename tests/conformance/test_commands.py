"""Commands and files on instances: run at once, stored, planned, stopped, described."""

import base64

from alibabacloud_ecs20140526 import models as m

from conftest import REGION, wait_until
from instances import STRANGER, refused, stage  # noqa: F401


def command(instance, script, **more):
    told = {"region_id": REGION, "type": "RunShellScript", "command_content": script, "instance_id": [instance]}
    return m.RunCommandRequest(**{**told, **more})


def test_commands_end_as_they_do(ecs, stage):
    instance = stage.running()
    run = lambda script, **more: stage.result(ecs.run_command(command(instance, script, **more)).body.invoke_id)  # noqa: E731
    well = run("pwd; id -un", working_dir="/tmp", username="root")
    assert (well.invocation_status, well.exit_code, well.output, well.repeats) == ("Success", 0, "/tmp\nroot\n", 1)
    ill = run("echo no >&2; exit 3")
    assert (ill.invocation_status, ill.exit_code, ill.error_code, ill.output) == ("Failed", 3, "ExitCodeNonzero", "no\n")
    late = run("sleep 60", timeout=1, termination_mode="ProcessTree")
    assert (late.invocation_status, late.error_code) == ("Timeout", "ExecutionTimeout")
    nowhere = run("true", working_dir="/nowhere")
    assert (nowhere.invocation_status, nowhere.error_code) == ("Error", "DirectoryNotExists")
    encoded = run(base64.b64encode(b"echo {{what}} {{ACS::InstanceId}}").decode(), content_encoding="Base64",
                  enable_parameter=True, parameters={"what": "it"})
    assert encoded.output == f"it {instance}\n"
    flood = run("head -c 30000 /dev/zero | tr '\\0' x")
    assert (len(flood.output), flood.dropped) == (24 * 1024, 30000 - 24 * 1024)


def test_several_commands_at_once_and_a_stop(ecs, stage):
    instance = stage.running()
    long = [ecs.run_command(command(instance, "sleep 600", timeout=900)).body.invoke_id for _ in range(3)]
    assert stage.output(instance, "echo meanwhile") == "meanwhile\n"

    def running(invocation):
        request = m.DescribeInvocationsRequest(region_id=REGION, invoke_id=invocation)
        return ecs.describe_invocations(request).body.invocations.invocation[0].invocation_status == "Running"

    for invocation in long:
        wait_until(lambda invocation=invocation: running(invocation))
        ecs.stop_invocation(m.StopInvocationRequest(region_id=REGION, invoke_id=invocation, instance_id=[instance]))
        assert stage.result(invocation).invocation_status == "Terminated"
    refused(lambda: ecs.stop_invocation(m.StopInvocationRequest(region_id=REGION, invoke_id="t-none")), "InvalidInvokeId.NotFound", status=404)
    refused(lambda: ecs.stop_invocation(m.StopInvocationRequest(region_id=REGION, invoke_id=long[0], instance_id=[STRANGER])),
            "InvalidInstanceId.NotFound", status=404)


def test_stored_commands(ecs, stage):
    instance = stage.running()
    content = base64.b64encode(b"echo {{greeting}}").decode()
    create = m.CreateCommandRequest(
        region_id=REGION, name="greet", type="RunShellScript", command_content=content, enable_parameter=True, timeout=30,
        working_dir="/tmp", client_token="greet", tag=[m.CreateCommandRequestTag(key="app", value="a")])
    stored = ecs.create_command(create).body.command_id
    assert ecs.create_command(create).body.command_id == stored
    create.name = "other"
    refused(lambda: ecs.create_command(create), "IdempotentParameterMismatch", status=403)
    request = m.DescribeCommandsRequest(region_id=REGION, command_id=stored, content_encoding="PlainText")
    (found,) = ecs.describe_commands(request).body.commands.command
    assert (found.command_content, found.timeout, found.parameter_names.parameter_name) == ("echo {{greeting}}", 30, ["greeting"])
    invoke = m.InvokeCommandRequest(region_id=REGION, command_id=stored, instance_id=[instance], parameters={"greeting": "hello"})
    result = stage.result(ecs.invoke_command(invoke).body.invoke_id)
    assert (result.output, result.command_id) == ("hello\n", stored)
    refused(lambda: ecs.invoke_command(m.InvokeCommandRequest(region_id=REGION, command_id=stored, instance_id=[instance])),
            "Parameter.MissingValue", status=400)
    kept = ecs.run_command(command(instance, "true", keep_command=True, name="kept")).body
    stage.result(kept.invoke_id)
    names, token = [], None
    while True:
        body = ecs.describe_commands(m.DescribeCommandsRequest(region_id=REGION, max_results=1, next_token=token)).body
        names.extend(row.name for row in body.commands.command)
        token = body.next_token
        if not token:
            break
    assert sorted(names) == ["greet", "kept"]
    for identity in (stored, kept.command_id):
        ecs.delete_command(m.DeleteCommandRequest(region_id=REGION, command_id=identity))
    refused(lambda: ecs.delete_command(m.DeleteCommandRequest(region_id=REGION, command_id=stored)), "InvalidCmdId.NotFound", status=404)


def test_planned_commands(ecs, stage):
    instance = stage.running()
    planned = ecs.run_command(command(instance, "true", repeat_mode="Period", frequency="rate(5m)")).body.invoke_id
    every = ecs.run_command(command(instance, "cat /proc/sys/kernel/random/uuid", repeat_mode="EveryReboot")).body.invoke_id
    request = m.DescribeInvocationsRequest(region_id=REGION, instance_id=instance, include_output=True, repeat_mode="Period")
    (found,) = ecs.describe_invocations(request).body.invocations.invocation
    assert (found.invoke_id, found.invocation_status, found.frequency, found.timed) == (planned, "Scheduled", "rate(5m)", True)
    ecs.stop_invocation(m.StopInvocationRequest(region_id=REGION, invoke_id=planned))
    assert stage.result(planned).invocation_status == "Cancelled"
    history = m.DescribeInvocationResultsRequest(region_id=REGION, invoke_id=every, include_history=True)

    def runs():
        found = ecs.describe_invocation_results(history).body.invocation.invocation_results.invocation_result
        return [row for row in found if row.invocation_status == "Success"]

    for count in (1, 2):
        ecs.reboot_instance(m.RebootInstanceRequest(instance_id=instance))
        stage.await_status(instance, "Running")
        wait_until(lambda count=count: len(runs()) == count)
    assert len({row.output for row in runs()}) == 2


def test_pages_of_invocations_and_refusals(ecs, stage):
    instance = stage.running()
    made = [ecs.run_command(command(instance, "true", client_token=f"page-{number}")).body.invoke_id for number in range(3)]
    for invocation in made:
        assert stage.result(invocation).invocation_status == "Success"
    seen, token = [], None
    while True:
        request = m.DescribeInvocationsRequest(region_id=REGION, instance_id=instance, max_results=2, next_token=token)
        body = ecs.describe_invocations(request).body
        seen.extend(row.invoke_id for row in body.invocations.invocation)
        token = body.next_token
        if not token:
            break
    assert sorted(seen) == sorted(made)
    request = m.DescribeInvocationResultsRequest(region_id=REGION, instance_id=instance, page_number=2, page_size=2)
    body = ecs.describe_invocation_results(request).body.invocation
    assert (body.total_count, len(body.invocation_results.invocation_result)) == (3, 1)
    refused(lambda: ecs.run_command(command(instance, "false", client_token="page-0")), "IdempotentParameterMismatch", status=403)
    refused(lambda: ecs.run_command(command(STRANGER, "true")), "InvalidInstance.NotFound", status=404)
    refused(lambda: ecs.run_command(command(instance, "true", type="Perl")), "InvalidCmdType.NotFound")
    refused(lambda: ecs.run_command(command(instance, "true", frequency="often")), "InvalidParam.Frequency", status=400)
    refused(lambda: ecs.run_command(command(instance, "true", repeat_mode="Sometimes")), "InvalidRepeatMode.NotFound", status=404)
    refused(lambda: ecs.run_command(command(instance, "x" * 24 * 1024)), "CmdContent.ExceedLimit", status=403)
    refused(lambda: ecs.describe_invocations(m.DescribeInvocationsRequest(region_id=REGION, include_output=True)), "MissingParam.InvokeId")
    refused(lambda: ecs.describe_invocations(m.DescribeInvocationsRequest(region_id=REGION, max_results=51)), "InvalidParameter")
    ids = [f"i-{number}" for number in range(101)]
    refused(lambda: ecs.run_command(command(instance, "true", instance_id=ids)), "InstanceIds.ExceedLimit", status=403)
    stage.stop(instance)
    off = stage.result(ecs.run_command(command(instance, "true")).body.invoke_id)
    assert (off.invocation_status, off.error_code) == ("Aborted", "InstanceNotRunning")


def test_files(ecs, stage):
    instance = stage.running(tag=[m.RunInstancesRequestTag(key="role", value="files")])
    send = m.SendFileRequest(
        region_id=REGION, instance_id=[instance], name="config", target_dir="/opt/app", content="value", file_mode="0600")
    sent = ecs.send_file(send).body.invoke_id

    def result(invocation):
        request = m.DescribeSendFileResultsRequest(region_id=REGION, invoke_id=invocation)
        found = ecs.describe_send_file_results(request).body.invocations.invocation[0]
        return found if found.invocation_status not in ("Pending", "Running") else None

    assert wait_until(lambda: result(sent)).invocation_status == "Success"
    assert stage.output(instance, "stat -c %a /opt/app/config; cat /opt/app/config") == "600\nvalue"
    again = wait_until(lambda: result(ecs.send_file(send).body.invoke_id))
    assert again.invoke_instances.invoke_instance[0].error_code == "FileAlreadyExists"
    by_tag = m.RunCommandRequest(
        region_id=REGION, type="RunShellScript", command_content="cat /opt/app/config",
        resource_tag=[m.RunCommandRequestResourceTag(key="role", value="files")])
    assert stage.result(ecs.run_command(by_tag).body.invoke_id).output == "value"
    ids = [f"i-{number}" for number in range(51)]
    refused(lambda: ecs.send_file(m.SendFileRequest(
        region_id=REGION, instance_id=ids, name="a", target_dir="/tmp", content="x")), "InstanceIds.ExceedLimit", status=403)
