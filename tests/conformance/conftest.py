"""A local cloud for the official SDKs, and a count of the calls that they made.

Needs the program: `ALIFORM` names it, else the debug build of this checkout is taken. With `CONFORMANCE_COMPLETE=1` a
call of the contract that no test made with success fails the run.
"""

import os
import pathlib
import subprocess
import time

import pytest
from alibabacloud_aiworkspace20210204.client import Client as AiWorkspace
from alibabacloud_bssopenapi20171214.client import Client as Bss
from alibabacloud_cs20151215.client import Client as Cs
from alibabacloud_ecs20140526.client import Client as Ecs
from alibabacloud_fc20230330.client import Client as Fc
from alibabacloud_oss_v2._client import _SyncClientImpl as Oss
from alibabacloud_pai_dlc20201203.client import Client as Dlc
from alibabacloud_sts20150401.client import Client as Sts
from alibabacloud_tea_openapi.client import Client as OpenApi
from alibabacloud_tea_openapi.models import Config
from alibabacloud_vpc20160428.client import Client as Vpc

from contract import LEFT_OUT, Contract, read

REGION = "cn-hangzhou"
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

contract = Contract()
problems = []


def _record(call_api):
    """The SDKs' one way out: each answer passes here before models drop what they do not know."""

    def recorded(self, params, request, runtime):
        answer = call_api(self, params, request, runtime)
        problems.extend(contract.check(params.version, params.action, answer.get("body")))
        return answer

    return recorded


def _record_rpc(do_rpcrequest):
    """Calls that nobody signs go past the one way out."""

    def recorded(self, action, version, *more):
        answer = do_rpcrequest(self, action, version, *more)
        problems.extend(contract.check(version, action, answer.get("body")))
        return answer

    return recorded


OpenApi.call_api = _record(OpenApi.call_api)
OpenApi.do_rpcrequest = _record_rpc(OpenApi.do_rpcrequest)

oss_operations = set()


def _record_oss(invoke_operation):
    """The same for OSS, whose operations are named by the SDK and not by the request."""

    def recorded(self, operation, **options):
        answer = invoke_operation(self, operation, **options)
        # A link that is signed is no call.
        if options.get("auth_method") != "query":
            oss_operations.add(operation.op_name)
        return answer

    return recorded


Oss.invoke_operation = _record_oss(Oss.invoke_operation)


class Cloud:
    """A local cloud that runs."""

    def __init__(self, address, secure=None, authority=None):
        self.address = address
        self.secure = secure
        self.authority = authority and pathlib.Path(authority)

    def client(self, kind, **config):
        """An SDK client; `config` overrides what it is told."""
        told = {
            "access_key_id": "local",
            "access_key_secret": "local",
            "endpoint": self.address,
            "protocol": "http",
            "region_id": REGION,
        }
        return kind(Config(**{**told, **config}))


@pytest.fixture(scope="session")
def program():
    return os.environ.get("ALIFORM", str(ROOT / "target" / "debug" / "aliform"))


@pytest.fixture(scope="session")
def cloud(program, tmp_path_factory):
    """One local cloud for all tests: each makes its own resources and takes them away."""
    home = tmp_path_factory.mktemp("cloud")
    command = [program, "-C", str(home), "cloud", "serve", "--listen", "127.0.0.1:0", "--tls"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        line = server.stdout.readline()
        assert line.startswith("listening on http://"), line
        secure = server.stdout.readline()
        assert secure.startswith("listening on https://"), secure
        yield Cloud(line.split("://")[1].strip(), *secure.split("://")[1].strip().split(", trust "))
        server.terminate()
        assert server.wait(60) == 0


def _client(kind):
    @pytest.fixture(scope="session")
    def client(cloud):
        return cloud.client(kind)

    return client


ecs = _client(Ecs)
vpc = _client(Vpc)
sts = _client(Sts)
bss = _client(Bss)
fc = _client(Fc)
cs = _client(Cs)
dlc = _client(Dlc)
aiworkspace = _client(AiWorkspace)


def wait_until(look, seconds=30):
    """Looks again until it sees something true, and answers that."""
    end = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < end, f"not seen within {seconds} s"
        time.sleep(0.05)


@pytest.fixture
def network(vpc):
    """A VPC with a vSwitch, both ready; gone afterwards."""
    from alibabacloud_vpc20160428 import models as m

    vpc_id = vpc.create_vpc(m.CreateVpcRequest(region_id=REGION, cidr_block="10.0.0.0/8")).body.vpc_id

    def vpc_ready():
        found = vpc.describe_vpcs(m.DescribeVpcsRequest(region_id=REGION, vpc_id=vpc_id)).body.vpcs.vpc
        return found and found[0].status == "Available"

    wait_until(vpc_ready)
    zone = f"{REGION}-h"
    create = m.CreateVSwitchRequest(region_id=REGION, vpc_id=vpc_id, zone_id=zone, cidr_block="10.1.0.0/24")
    vswitch_id = vpc.create_vswitch(create).body.v_switch_id

    def vswitch_ready():
        found = vpc.describe_vswitches(m.DescribeVSwitchesRequest(region_id=REGION, v_switch_id=vswitch_id))
        return found.body.v_switches.v_switch and found.body.v_switches.v_switch[0].status == "Available"

    wait_until(vswitch_ready)
    yield {"vpc": vpc_id, "vswitch": vswitch_id, "zone": zone}

    def deleted(delete):
        try:
            delete()
        except Exception as error:
            if error.code.startswith(("DependencyViolation", "Incorrect", "TaskConflict")):
                return False
            raise
        return True

    wait_until(lambda: deleted(lambda: vpc.delete_vswitch(m.DeleteVSwitchRequest(v_switch_id=vswitch_id))))
    wait_until(lambda: not vpc.describe_vswitches(
        m.DescribeVSwitchesRequest(region_id=REGION, v_switch_id=vswitch_id)).body.v_switches.v_switch)
    wait_until(lambda: deleted(lambda: vpc.delete_vpc(m.DeleteVpcRequest(vpc_id=vpc_id))))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    incomplete = os.environ.get("CONFORMANCE_COMPLETE") == "1" and any(contract.missing().values())
    if problems or incomplete:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    write = terminalreporter.write_line
    for problem in sorted(set(problems)):
        write(f"not as documented: {problem}", red=True)
    covered = total = 0
    for product, calls in contract.calls.items():
        seen = len(contract.covered[product] & set(calls))
        covered, total = covered + seen, total + len(calls)
        write(f"{product}: {seen} of {len(calls)} calls")
        if os.environ.get("CONFORMANCE_COMPLETE") == "1" and contract.missing()[product]:
            write(f"  never made: {', '.join(contract.missing()[product])}", red=True)
    left_out = ", ".join(f"{product} {len(read(product))}" for product in LEFT_OUT)
    write(f"oss: {len(oss_operations)} operations")
    write(f"calls covered: {covered} of {total}; left out: {left_out}")
