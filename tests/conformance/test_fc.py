"""Function Compute: functions from creation to deletion, and invocations that really run."""

import base64
import http.client
import io
import json
import subprocess
import time
import urllib.request
import uuid
import zipfile

import alibabacloud_oss_v2 as oss
import pytest
from alibabacloud_fc20230330 import models as m
from alibabacloud_fc20230330.client import Client as Fc
from darabonba.runtime import RuntimeOptions

from conftest import REGION, wait_until

PYTHON = "python3.10"
SERVER = """
import http.server, json, os, sys

class Door(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(b"", 200)
    def do_POST(self):
        event = self.rfile.read(int(self.headers["content-length"] or 0))
        print("server got", len(event), flush=True)
        told = {"path": self.path, "id": self.headers["x-fc-request-id"], "event": event.decode(), "pid": os.getpid()}
        if event == b"exit":
            sys.stdout.flush(); os._exit(3)
        self.answer(json.dumps(told).encode(), 404 if event == b"fail" else 200)
    def answer(self, body, status):
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.send_header("x-fc-status", str(status))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass

http.server.HTTPServer(("127.0.0.1", int(os.environ["FC_SERVER_PORT"])), Door).serve_forever()
"""


def packed(**files):
    """A code package in base64; a name's `__` is its dot, and what starts with `#!` can be executed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            info = zipfile.ZipInfo(name.replace("__", "."))
            info.external_attr = (0o755 if text.startswith("#!") else 0o644) << 16
            archive.writestr(info, text)
    return base64.b64encode(buffer.getvalue()).decode()


def crc64(data):
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0xC96C5795D7870F42 if byte & 1 else 0)
        table.append(byte)
    value = 2**64 - 1
    for byte in data:
        value = table[(value ^ byte) & 255] ^ value >> 8
    return str(value ^ 2**64 - 1)


def code(error):
    return error.value.status_code, error.value.code


class Functions:
    """Functions of one test."""

    def __init__(self, client):
        self.client = client
        self.names = []

    def make(self, files=None, **settings):
        name = settings.pop("function_name", f"f-{uuid.uuid4().hex[:10]}")
        told = {"runtime": PYTHON, "handler": "index.handler", "timeout": 20, **settings}
        if files is not None:
            told["code"] = m.InputCodeLocation(zip_file=packed(**files))
        made = self.client.create_function(m.CreateFunctionRequest(body=m.CreateFunctionInput(function_name=name, **told)))
        self.names.append(name)
        return made.body

    def invoke(self, name, event=b"", **headers):
        answer = self.client.invoke_function_with_options(
            name,
            m.InvokeFunctionRequest(body=io.BytesIO(event)),
            m.InvokeFunctionHeaders(**headers),
            RuntimeOptions(read_timeout=120_000),
        )
        return Answer(answer)

    def start(self, name, event=b"", task=None):
        return self.invoke(name, event, x_fc_invocation_type="Async", x_fc_async_task_id=task)

    def tasks(self, name, **config):
        told = {"async_task": True, "max_async_retry_attempts": 0, **config}
        return self.client.put_async_invoke_config(
            name, m.PutAsyncInvokeConfigRequest(body=m.PutAsyncInvokeConfigInput(**told))).body

    def task(self, name, task):
        return self.client.get_async_task(name, task, m.GetAsyncTaskRequest()).body

    def task_is(self, name, task, *states):
        def look():
            found = self.task(name, task)
            return found if found.status in states else None

        return wait_until(look, 60)


class Answer:
    def __init__(self, answer):
        self.status = answer.status_code
        self.headers = {name.lower(): value for name, value in answer.headers.items()}
        self.body = answer.body.read() if answer.body is not None else b""
        self.error = self.headers.get("x-fc-error-type")
        self.log = base64.b64decode(self.headers.get("x-fc-log-result", ""))

    def json(self):
        return json.loads(self.body)


@pytest.fixture
def functions(fc):
    made = Functions(fc)
    yield made
    for name in made.names:
        try:
            fc.delete_function(name)
        except Exception as error:
            if error.code == "FunctionNotEmpty":
                for trigger in fc.list_triggers(name, m.ListTriggersRequest()).body.triggers:
                    fc.delete_trigger(name, trigger.trigger_name)
                fc.delete_function(name)
            elif error.code != "FunctionNotFound":
                raise


ECHO = "def handler(event, context):\n    return event\n"


def test_a_function_is_described_as_it_was_made(fc, functions):
    package = packed(index__py=ECHO)
    raw = base64.b64decode(package)
    made = functions.make(
        description="an echo", cpu=0.5, memory_size=1024, disk_size=10240, environment_variables={"KEY": "value"},
        tags=[m.Tag(key="team", value="blue")],
        code=m.InputCodeLocation(zip_file=package, checksum=crc64(raw)))
    assert made.function_arn == f"acs:fc:{REGION}:1000000000000001:functions/{made.function_name}"
    assert (made.code_size, made.code_checksum) == (len(raw), crc64(raw))
    found = fc.get_function(made.function_name, m.GetFunctionRequest()).body
    assert found.to_map() == made.to_map()
    assert (found.runtime, found.handler, found.cpu, found.memory_size, found.disk_size) == (PYTHON, "index.handler", 0.5, 1024, 10240)
    assert (found.timeout, found.instance_concurrency, found.internet_access) == (20, 1, True)
    assert found.environment_variables == {"KEY": "value"}
    assert found.tags[0].to_map() == {"Key": "team", "Value": "blue"}
    assert (found.state, found.last_update_status) == ("Active", "Successful")

    update = m.UpdateFunctionInput(timeout=60, environment_variables={"OTHER": "1"})
    changed = fc.update_function(made.function_name, m.UpdateFunctionRequest(body=update)).body
    assert (changed.timeout, changed.cpu, changed.environment_variables) == (60, 0.5, {"OTHER": "1"})
    assert changed.function_id == made.function_id and changed.code_checksum == made.code_checksum

    link = fc.get_function_code(made.function_name, m.GetFunctionCodeRequest()).body
    assert link.checksum == crc64(raw)
    assert urllib.request.urlopen(link.url).read() == raw
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(link.url + "0")
    assert error.value.code == 403

    assert fc.delete_function(made.function_name).status_code == 204
    with pytest.raises(Exception) as error:
        fc.get_function(made.function_name, m.GetFunctionRequest())
    assert code(error) == (404, "FunctionNotFound")
    assert error.value.data["RequestId"].startswith("1-")


def test_functions_are_listed_by_pages(fc, functions):
    prefix = f"p{uuid.uuid4().hex[:6]}-"
    names = [functions.make({"index__py": ECHO}, function_name=f"{prefix}{number}",
                            tags=[m.Tag(key="odd", value=str(number % 2))]).function_name for number in range(5)]
    seen, token = [], None
    while True:
        page = fc.list_functions(m.ListFunctionsRequest(prefix=prefix, limit=2, next_token=token)).body
        assert len(page.functions) <= 2
        seen += [function.function_name for function in page.functions]
        token = page.next_token
        if not token:
            break
    assert seen == names
    odd = fc.list_functions(m.ListFunctionsRequest(prefix=prefix, tags=[m.Tag(key="odd", value="1")])).body.functions
    assert [function.function_name for function in odd] == [names[1], names[3]]
    with pytest.raises(Exception) as error:
        fc.list_functions(m.ListFunctionsRequest(limit=101))
    assert code(error) == (400, "InvalidArgument")


@pytest.mark.parametrize("settings", [
    {"function_name": "1f"},
    {"function_name": "f" * 65},
    {"cpu": 0.07},
    {"cpu": 1, "memory_size": 512},
    {"cpu": 0.05, "memory_size": 256},
    {"memory_size": 100},
    {"disk_size": 1024},
    {"timeout": 86401},
    {"instance_concurrency": 201},
    {"runtime": "python2"},
    {"runtime": "java11"},
    {"handler": "nodot"},
    {"environment_variables": {"1X": "a"}},
    {"role": "someone"},
    {"code": m.InputCodeLocation(zip_file="no base64!")},
    {"code": m.InputCodeLocation(zip_file=base64.b64encode(b"no zip").decode())},
    {"code": m.InputCodeLocation(zip_file=packed(index__py=ECHO), checksum="1")},
    {"code": m.InputCodeLocation(oss_bucket_name="nobody-has-this", oss_object_name="x")},
    {"vpc_config": m.VPCConfig(vpc_id="vpc-none", v_switch_ids=["vsw-none"])},
    {"log_config": m.LogConfig(project="none", logstore="none")},
    {"runtime": "custom-container", "custom_container_config": m.CustomContainerConfig(image="nginx:latest")},
])
def test_what_is_not_allowed_is_refused(functions, settings):
    with pytest.raises(Exception) as error:
        functions.make({"index__py": ECHO}, **settings) if "code" not in settings else functions.make(**settings)
    assert code(error) == (400, "InvalidArgument")


def test_errors_have_their_codes(fc, functions):
    name = functions.make({"index__py": ECHO}).function_name
    with pytest.raises(Exception) as error:
        functions.make({"index__py": ECHO}, function_name=name)
    assert code(error) == (409, "FunctionAlreadyExists")
    for call in [
        lambda: fc.get_function("nobody", m.GetFunctionRequest()),
        lambda: fc.update_function("nobody", m.UpdateFunctionRequest(body=m.UpdateFunctionInput(timeout=1))),
        lambda: fc.delete_function("nobody"),
        lambda: functions.invoke("nobody"),
        lambda: fc.list_instances("nobody", m.ListInstancesRequest()),
    ]:
        with pytest.raises(Exception) as error:
            call()
        assert code(error) == (404, "FunctionNotFound")
    for qualifier, expected in [("7", "VersionNotFound"), ("prod", "AliasNotFound")]:
        with pytest.raises(Exception) as error:
            fc.get_function(name, m.GetFunctionRequest(qualifier=qualifier))
        assert code(error) == (404, expected)
    with pytest.raises(Exception) as error:
        functions.start(name, b"x" * (128 * 1024 + 1))
    assert code(error) == (400, "EntityTooLarge")
    with pytest.raises(Exception) as error:
        functions.make({"index__py": ECHO}, layers=["acs:fc:cn-hangzhou:official:layers/X/versions/1"])
    assert code(error) == (404, "LayerNotFound")


def test_python_echoes_any_bytes(fc, functions):
    name = functions.make({"index__py": ECHO}).function_name
    event = bytes(range(256)) * 5000
    answer = functions.invoke(name, event)
    assert (answer.status, answer.error, answer.body) == (200, None, event)
    assert answer.headers["x-fc-request-id"].startswith("1-")
    assert int(answer.headers["x-fc-invocation-duration"]) < 20_000
    # Unknown where machines are plain processes.
    assert float(answer.headers.get("x-fc-max-memory-usage", "9")) > 1
    assert answer.headers["x-fc-code-checksum"] == fc.get_function(name, m.GetFunctionRequest()).body.code_checksum
    rows = fc.list_instances(name, m.ListInstancesRequest(with_all_active=True)).body.instances
    assert [row.instance_id for row in rows] == [answer.headers["x-fc-instance-id"]]
    assert rows[0].status == "Running"


def test_python_has_context_environment_and_a_warm_instance(functions):
    source = """
import json, logging, os
count = 0
def prepare(context):
    global count
    count = 100
def handler(event, context):
    global count
    count += 1
    print("printed", event.decode())
    logging.getLogger().warning("logged")
    return {"count": count, "env": os.environ["KEY"], "name": context.function.name, "id": context.request_id,
            "memory": context.function.memory, "region": context.region, "path": os.getcwd()}
"""
    name = functions.make(
        {"app__py": source}, handler="app.handler", environment_variables={"KEY": "a 'b' $c"},
        instance_lifecycle_config=m.InstanceLifecycleConfig(
            initializer=m.LifecycleHook(handler="app.prepare", timeout=10))).function_name
    first = functions.invoke(name, b"one", x_fc_log_type="Tail")
    told = first.json()
    assert (told["count"], told["env"], told["name"], told["region"]) == (101, "a 'b' $c", name, REGION)
    assert told["id"] == first.headers["x-fc-request-id"]
    assert told["path"].endswith("/code")
    log = first.log.decode()
    assert "printed one\n" in log and "[WARNING] logged" in log and f"FC Invoke Start RequestId: {told['id']}" in log
    second = functions.invoke(name, b"two", x_fc_log_type="Tail")
    assert second.json()["count"] == 102
    assert second.headers["x-fc-instance-id"] == first.headers["x-fc-instance-id"]
    assert b"printed one" not in second.log and b"printed two" in second.log
    assert "x-fc-log-result" not in functions.invoke(name, b"three").headers


def test_a_log_is_told_from_its_end(functions):
    source = "def handler(event, context):\n    for i in range(20000):\n        print('line', i)\n    return 'x'\n"
    name = functions.make({"index__py": source}).function_name
    log = functions.invoke(name, x_fc_log_type="Tail").log
    assert len(log) == 4096 and b"line 19999\n" in log


def test_an_update_takes_the_place_of_warm_instances(fc, functions):
    name = functions.make({"index__py": "def handler(event, context):\n    return 'old'\n"}).function_name
    assert functions.invoke(name).body == b"old"
    new = m.InputCodeLocation(zip_file=packed(index__py="def handler(event, context):\n    return 'new'\n"))
    fc.update_function(name, m.UpdateFunctionRequest(body=m.UpdateFunctionInput(code=new)))
    assert functions.invoke(name).body == b"new"

    def only_one():
        return len(fc.list_instances(name, m.ListInstancesRequest(with_all_active=True)).body.instances) == 1

    wait_until(only_one)


def test_code_comes_from_oss(cloud, functions):
    config = oss.config.load_default()
    config.credentials_provider = oss.credentials.StaticCredentialsProvider("local", "local")
    config.region, config.endpoint = REGION, f"http://{cloud.address}"
    config.use_path_style = True
    client = oss.Client(config)
    bucket = f"code-{uuid.uuid4().hex[:8]}"
    client.put_bucket(oss.PutBucketRequest(bucket=bucket))
    raw = base64.b64decode(packed(index__py=ECHO))
    client.put_object(oss.PutObjectRequest(bucket=bucket, key="a/code.zip", body=raw))
    made = functions.make(code=m.InputCodeLocation(oss_bucket_name=bucket, oss_object_name="a/code.zip"))
    assert made.code_checksum == crc64(raw)
    # The function has its own copy.
    client.delete_object(oss.DeleteObjectRequest(bucket=bucket, key="a/code.zip"))
    client.delete_bucket(oss.DeleteBucketRequest(bucket=bucket))
    assert functions.invoke(made.function_name, b"x").body == b"x"


def test_errors_of_a_python_function(functions):
    source = """
import os, sys, time
def handler(event, context):
    if event == b"raise":
        raise ValueError("something is wrong")
    if event == b"exit":
        os._exit(7)
    if event == b"object":
        return object()
    time.sleep(60)
"""
    name = functions.make({"index__py": source}, timeout=1).function_name
    raised = functions.invoke(name, b"raise", x_fc_log_type="Tail")
    assert (raised.status, raised.error) == (200, "UnhandledInvocationError")
    told = raised.json()
    assert (told["errorMessage"], told["errorType"]) == ("something is wrong", "ValueError")
    assert told["stackTrace"][-1][1:3] == ["line 5", "in handler"]
    assert b"Traceback" in raised.log
    assert functions.invoke(name, b"object").json()["errorType"] == "TypeError"
    ended = functions.invoke(name, b"exit")
    assert ended.error == "UnhandledInvocationError"
    assert ended.json()["errorMessage"].startswith("Process exited unexpectedly before completing request")
    began = time.monotonic()
    late = functions.invoke(name, b"sleep")
    assert late.error == "UnhandledInvocationError" and time.monotonic() - began < 15
    assert late.json()["errorMessage"].startswith("Function timed out after 1 seconds")
    # A new instance takes the place of one that is of no use.
    again = functions.invoke(name, b"raise")
    assert again.headers["x-fc-instance-id"] != late.headers["x-fc-instance-id"]


def test_a_handler_that_is_not_there(functions):
    name = functions.make({"index__py": ECHO}, handler="missing.handler").function_name
    answer = functions.invoke(name)
    assert (answer.status, answer.error, answer.json()["errorType"]) == (200, "UnhandledInvocationError", "ImportModuleError")


def test_node(functions):
    source = """
let count = 0;
exports.handler = async (event, context) => {
  count += 1;
  console.log('got', event.toString());
  if (event.toString() === 'throw') throw new TypeError('not this');
  return { count, id: context.requestId, key: process.env.KEY, text: event.toString() };
};
exports.bytes = (event, context, callback) => {
  if (event.length === 0) return callback('nothing given');
  callback(null, event);
};
"""
    name = functions.make({"index__js": source}, runtime="nodejs20", environment_variables={"KEY": "v"}).function_name
    answer = functions.invoke(name, b"hello", x_fc_log_type="Tail")
    assert answer.error is None
    assert answer.json() == {"count": 1, "id": answer.headers["x-fc-request-id"], "key": "v", "text": "hello"}
    assert b"got hello\n" in answer.log
    assert functions.invoke(name, b"x").json()["count"] == 2
    thrown = functions.invoke(name, b"throw")
    assert thrown.error == "UnhandledInvocationError"
    assert (thrown.json()["errorType"], thrown.json()["errorMessage"]) == ("TypeError", "not this")
    name = functions.make({"index__js": source}, runtime="nodejs18", handler="index.bytes").function_name
    assert functions.invoke(name, bytes(range(256))).body == bytes(range(256))
    refused = functions.invoke(name, b"")
    assert (refused.error, refused.json()) == ("HandledInvocationError", {"errorMessage": "nothing given"})


def test_a_custom_runtime_by_its_bootstrap(functions):
    files = {"server__py": SERVER, "bootstrap": "#!/bin/sh\necho starting\nexec python3 server.py\n"}
    name = functions.make(files, runtime="custom.debian12", handler="any").function_name
    answer = functions.invoke(name, b"hello", x_fc_log_type="Tail")
    told = answer.json()
    assert (told["path"], told["id"], told["event"]) == ("/invoke", answer.headers["x-fc-request-id"], "hello")
    assert b"server got 5" in answer.log
    assert functions.invoke(name, b"again").json()["pid"] == told["pid"]
    assert functions.invoke(name, b"fail").error == "UnhandledInvocationError"
    assert functions.invoke(name, b"exit").json()["errorMessage"].startswith("Process exited unexpectedly")
    assert functions.invoke(name, b"back").error is None


def test_a_custom_runtime_by_its_command(functions):
    config = m.CustomRuntimeConfig(
        command=["sh", "-c"], args=["exec env FC_SERVER_PORT=8123 python3 server.py"], port=8123,
        health_check_config=m.CustomHealthCheckConfig(http_get_url="/ready", initial_delay_seconds=0, period_seconds=1))
    name = functions.make({"server__py": SERVER}, runtime="custom", handler="any", custom_runtime_config=config).function_name
    assert functions.invoke(name, b"x").json()["event"] == "x"


@pytest.mark.parametrize(("files", "config", "expected"), [
    ({"other": "x"}, None, "CAFileNotFound"),
    ({"bootstrap": "not executable"}, None, "CAFilePermission"),
    ({"bootstrap": "#!/bin/sh\necho all is lost\nexit 9\n"}, None, "CAExited"),
    ({"x": "x"}, m.CustomRuntimeConfig(command=["no-such-command"]), "CAFileNotFound"),
])
def test_a_custom_runtime_that_does_not_start(functions, files, config, expected):
    name = functions.make(files, runtime="custom", handler="any", custom_runtime_config=config).function_name
    with pytest.raises(Exception) as error:
        functions.invoke(name)
    assert code(error) == (412, expected)
    if expected == "CAExited":
        assert "all is lost" in str(error.value)


def test_containers(fc, functions):
    registry = f"registry.{REGION}.aliyuncs.com"
    script = f"cat > /tmp/server.py <<'END'\n{SERVER}\nEND\nexec python3 /tmp/server.py"
    config = m.CustomContainerConfig(image=f"{registry}/team/app:1", entrypoint=["sh", "-c"], command=[script], port=9000)
    name = functions.make(runtime="custom-container", handler="any", custom_container_config=config).function_name
    assert functions.invoke(name, b"x").json()["event"] == "x"
    config = m.CustomContainerConfig(image=f"{registry}/team/does-not-exist:1")
    made = functions.make(runtime="custom-container", handler="any", custom_container_config=config)
    assert (made.state, made.last_update_status) == ("Failed", "Failed")
    assert "does-not-exist" in made.last_update_status_reason
    with pytest.raises(Exception) as error:
        functions.invoke(made.function_name)
    assert code(error)[0] == 412 and "does-not-exist" in str(error.value)


def test_requests_at_once_have_instances_of_their_own(fc, functions):
    import concurrent.futures

    source = "import time\ndef handler(event, context):\n    time.sleep(1)\n    return 'x'\n"

    def at_once(name, count):
        with concurrent.futures.ThreadPoolExecutor(count) as executor:
            answers = list(executor.map(lambda _: functions.invoke(name), range(count)))
        assert all(answer.body == b"x" for answer in answers)
        return {answer.headers["x-fc-instance-id"] for answer in answers}

    name = functions.make({"index__py": source}).function_name
    assert len(at_once(name, 3)) == 3
    several = functions.make({"index__py": source}, instance_concurrency=5).function_name
    functions.invoke(several)
    assert len(at_once(several, 3)) == 1


def test_reserved_concurrency(fc, functions):
    name = functions.make({"index__py": ECHO}).function_name

    def reserve(number):
        body = m.PutConcurrencyInput(reserved_concurrency=number)
        return fc.put_concurrency_config(name, m.PutConcurrencyConfigRequest(body=body)).body

    assert reserve(0).reserved_concurrency == 0
    with pytest.raises(Exception) as error:
        functions.invoke(name)
    assert code(error) == (429, "ResourceExhausted")
    assert reserve(1).function_arn.endswith(name)
    assert functions.invoke(name, b"x").body == b"x"


TASK = """
import json, os, time
def handler(event, context):
    told = json.loads(event)
    if told.get("sleep"):
        time.sleep(told["sleep"])
    if told.get("fail"):
        raise RuntimeError("as told")
    return {"done": told}
"""


def test_the_life_of_an_asynchronous_task(fc, functions):
    name = functions.make({"index__py": TASK}).function_name
    with pytest.raises(Exception) as error:
        fc.get_async_invoke_config(name, m.GetAsyncInvokeConfigRequest())
    assert code(error) == (404, "AsyncConfigNotExists")
    with pytest.raises(Exception) as error:
        functions.start(name, b"{}", "early")
    assert code(error) == (400, "InvalidArgument")
    config = functions.tasks(name, max_async_event_age_in_seconds=600)
    assert (config.async_task, config.max_async_event_age_in_seconds, config.max_async_retry_attempts) == (True, 600, 0)
    assert fc.get_async_invoke_config(name, m.GetAsyncInvokeConfigRequest()).body.to_map() == config.to_map()

    started = functions.start(name, b'{"a": 1}', "first")
    assert (started.status, started.body, started.headers["x-fc-async-task-id"]) == (202, b"", "first")
    with pytest.raises(Exception) as error:
        functions.start(name, b"{}", "first")
    assert code(error) == (409, "StatefulAsyncInvocationAlreadyExists")
    done = functions.task_is(name, "first", "Succeeded", "Failed")
    assert (done.status, json.loads(done.return_payload)) == ("Succeeded", {"done": {"a": 1}})
    assert done.task_payload == '{"a": 1}'
    assert [event.status for event in done.events] == ["Enqueued", "Dequeued", "Running", "Succeeded"]
    assert done.end_time >= done.started_time > 0 and done.instance_id.startswith("c-")

    functions.start(name, b'{"fail": true}', "second")
    failed = functions.task_is(name, "second", "Failed")
    assert "as told" in failed.task_error_message and failed.already_retried_times == 0
    unnamed = functions.start(name, b"{}").headers["x-fc-async-task-id"]
    functions.task_is(name, unnamed, "Succeeded")

    seen, token = [], None
    while True:
        page = fc.list_async_tasks(name, m.ListAsyncTasksRequest(limit=2, next_token=token, sort_order_by_time="asc")).body
        seen += [task.task_id for task in page.tasks]
        token = page.next_token
        if not token:
            break
    assert seen == ["first", "second", unnamed]
    failed = fc.list_async_tasks(name, m.ListAsyncTasksRequest(status="Failed", include_payload=True)).body.tasks
    assert [(task.task_id, task.task_payload) for task in failed] == [("second", '{"fail": true}')]
    with pytest.raises(Exception) as error:
        fc.stop_async_task(name, "first", m.StopAsyncTaskRequest())
    assert error.value.status_code == 412
    with pytest.raises(Exception) as error:
        functions.task(name, "nobody")
    assert error.value.status_code == 404
    fc.delete_async_invoke_config(name, m.DeleteAsyncInvokeConfigRequest())
    with pytest.raises(Exception) as error:
        fc.get_async_invoke_config(name, m.GetAsyncInvokeConfigRequest())
    assert code(error) == (404, "AsyncConfigNotExists")


def test_a_task_is_stopped_for_real(fc, functions):
    name = functions.make({"index__py": TASK}, timeout=600).function_name
    functions.tasks(name)
    functions.start(name, b'{"sleep": 500}', "long")
    running = functions.task_is(name, "long", "Running")

    def instances():
        return fc.list_instances(name, m.ListInstancesRequest(with_all_active=True)).body.instances

    assert [row.instance_id for row in instances()] == [running.instance_id]
    fc.stop_async_task(name, "long", m.StopAsyncTaskRequest())
    stopped = functions.task_is(name, "long", "Stopped")
    assert [event.status for event in stopped.events][-2:] == ["Stopping", "Stopped"]
    wait_until(lambda: not instances())
    fc.stop_async_task(name, "long", m.StopAsyncTaskRequest())


def test_a_failed_task_is_tried_again(functions):
    name = functions.make({"index__py": TASK}).function_name
    functions.tasks(name, max_async_retry_attempts=2)
    functions.start(name, b'{"fail": true}', "again")
    failed = functions.task_is(name, "again", "Failed")
    assert failed.already_retried_times == 2
    assert [event.status for event in failed.events].count("Running") == 3


def test_destinations_are_told(functions):
    receiver = functions.make({"index__py": TASK}).function_name
    functions.tasks(receiver)
    arn = f"acs:fc:{REGION}:1000000000000001:functions/{receiver}"
    name = functions.make({"index__py": TASK}).function_name
    destinations = m.DestinationConfig(on_success=m.Destination(destination=arn), on_failure=m.Destination(destination=arn))
    functions.tasks(name, destination_config=destinations)
    request = functions.start(name, b'{"a": 1}', "told").headers["x-fc-request-id"]
    assert functions.task_is(name, "told", "Succeeded").destination_status == "Succeeded"
    told = functions.task_is(receiver, f"{request}-told", "Succeeded")
    message = json.loads(told.task_payload)
    assert message["requestContext"]["requestId"] == request
    assert json.loads(message["responsePayload"]) == {"done": {"a": 1}}
    for bad in ["acs:mns:cn-hangzhou:1000000000000001:/queues/q/messages", arn + "-missing"]:
        with pytest.raises(Exception) as error:
            functions.tasks(name, destination_config=m.DestinationConfig(on_success=m.Destination(destination=bad)))
        assert code(error) == (400, "InvalidArgument")


def test_an_http_trigger_answers_at_its_address(cloud, fc, functions):
    source = """
import base64, json
def handler(event, context):
    told = json.loads(event)
    body = base64.b64decode(told["body"]).decode()
    return {"statusCode": 201, "headers": {"x-seen": told["requestContext"]["http"]["method"]},
            "body": f"{told['rawPath']} {told['queryParameters']['q']} {body}"}
"""
    name = functions.make({"index__py": source}).function_name

    def trigger(**settings):
        told = {"trigger_name": "web", "trigger_type": "http",
                "trigger_config": json.dumps({"authType": "anonymous", "methods": ["POST"]}), **settings}
        return fc.create_trigger(name, m.CreateTriggerRequest(body=m.CreateTriggerInput(**told))).body

    for bad in [{"trigger_type": "timer", "trigger_config": "{}"}, {"trigger_type": "x"}, {"trigger_name": "1"},
                {"trigger_config": json.dumps({"authType": "function", "methods": ["GET"]})}, {"trigger_config": "no"}]:
        with pytest.raises(Exception) as error:
            trigger(**bad)
        assert code(error) == (400, "InvalidArgument")
    made = trigger(description="the web")
    assert fc.get_trigger(name, "web").body.to_map() == made.to_map()
    assert [row.trigger_name for row in fc.list_triggers(name, m.ListTriggersRequest()).body.triggers] == ["web"]
    with pytest.raises(Exception) as error:
        trigger()
    assert code(error) == (409, "TriggerAlreadyExists")

    def visit(method):
        host = made.http_trigger.url_internet.removeprefix("https://")
        assert host.endswith(f".{REGION}.fcapp.run")
        connection = http.client.HTTPConnection(cloud.address, timeout=60)
        connection.request(method, "/a/b?q=x%20y", body=b"sent", headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.getheader("x-seen"), answer.read()

    assert visit("POST") == (201, "POST", b"/a/b x y sent")
    assert visit("GET")[0] == 403
    with pytest.raises(Exception) as error:
        fc.delete_function(name)
    assert error.value.code == "FunctionNotEmpty"
    fc.delete_trigger(name, "web")
    assert visit("POST")[0] == 404
    with pytest.raises(Exception) as error:
        fc.get_trigger(name, "web")
    assert code(error) == (404, "TriggerNotFound")


def machines(home):
    """The machines that a local cloud has on disk."""
    folder = home / ".aliform" / "cloud" / "machines"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_no_machine_outlives_its_function_or_its_server(program, tmp_path):
    from conftest import Cloud

    command = [program, "-C", str(tmp_path), "cloud", "serve", "--listen", "127.0.0.1:0"]

    def serve():
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        return server, Functions(Cloud(server.stdout.readline().split("://")[1].strip()).client(Fc))

    server, made = serve()
    try:
        name = made.make({"index__py": TASK}, timeout=600).function_name
        gone = made.make({"index__py": ECHO}).function_name
        made.tasks(name, max_async_retry_attempts=1)
        made.invoke(gone)
        made.client.delete_function(gone)
        wait_until(lambda: not machines(tmp_path))
        made.start(name, b'{"sleep": 3}', "long")
        first = made.task_is(name, "long", "Running").instance_id
        assert machines(tmp_path) == [first]
        # Killed: the next server ends what is left, and the task is tried again.
        server.kill()
        server.wait()
        server.stdout.close()
        server, made = serve()
        done = made.task_is(name, "long", "Succeeded")
        assert (done.already_retried_times, done.status) == (1, "Succeeded") and done.instance_id != first
        made.start(name, b'{"sleep": 300}', "longer")
        made.task_is(name, "longer", "Running")
        began = time.monotonic()
        server.terminate()
        assert server.wait(30) == 0 and time.monotonic() - began < 25
        assert machines(tmp_path) == []
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
