"""Training jobs whose server stops, or is killed, while they run."""

import contextlib
import os
import pathlib
import subprocess

import pytest
from alibabacloud_aiworkspace20210204 import models as w
from alibabacloud_aiworkspace20210204.client import Client as AiWorkspace
from alibabacloud_pai_dlc20201203 import models as m
from alibabacloud_pai_dlc20201203.client import Client as Dlc

from conftest import REGION, Cloud, wait_until

IMAGE = f"dsw-registry-vpc.{REGION}.cr.aliyuncs.com/pai/pytorch:2.8.0-cpu-py312-ubuntu22.04"


@contextlib.contextmanager
def served(program, home):
    command = [program, "-C", str(home), "cloud", "serve", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        line = server.stdout.readline()
        assert line.startswith("listening on http://"), line
        cloud = Cloud(line.split("://")[1].strip())
        cloud.dlc, cloud.server = cloud.client(Dlc), server
        try:
            yield cloud
        finally:
            if server.poll() is None:
                server.terminate()
                assert server.wait(60) == 0


def machines(home):
    """The processes that were told where the home is: agents of machines, and what runs in them."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if int(entry.name) != os.getpid() and str(home) in os.readlink(entry / "cwd"):
                found.append(entry.name)
    return found


def workspace(cloud):
    client = cloud.client(AiWorkspace)
    request = w.CreateWorkspaceRequest(workspace_name="restarts", description="x", env_types=["prod"])
    made = client.create_workspace(request).body.workspace_id
    wait_until(lambda: client.get_workspace(made, w.GetWorkspaceRequest()).body.status == "ENABLED")
    return made


def submit(cloud, workspace_id, command, restart="Never"):
    spec = m.JobSpec(type="Worker", image=IMAGE, pod_count=1, ecs_spec="ecs.g7.large", restart_policy=restart)
    request = m.CreateJobRequest(
        display_name="restart", job_type="PyTorchJob", job_specs=[spec], user_command=command, workspace_id=workspace_id)
    return cloud.dlc.create_job(request).body.job_id


def job(cloud, job_id):
    return cloud.dlc.get_job(job_id, m.GetJobRequest()).body


def logs(cloud, job_id):
    return cloud.dlc.get_pod_logs(job_id, f"{job_id}-master-0", m.GetPodLogsRequest()).body.logs


@pytest.fixture
def home(tmp_path):
    return tmp_path


def test_a_server_that_is_killed_finds_its_jobs_again(program, home):
    with served(program, home) as cloud:
        command = "for i in 1 2 3 4 5 6; do echo line $i; sleep 1; done"
        made = submit(cloud, workspace(cloud), command)
        wait_until(lambda: job(cloud, made).status == "Running" and logs(cloud, made))
        cloud.server.kill()
        cloud.server.wait()
    with served(program, home) as cloud:
        wait_until(lambda: job(cloud, made).status == "Succeeded")
        assert logs(cloud, made) == [f"line {number}" for number in range(1, 7)]
        assert not machines(home)


def test_a_server_that_stops_takes_its_machines_with_it(program, home):
    with served(program, home) as cloud:
        workspace_id = workspace(cloud)
        never = submit(cloud, workspace_id, "echo begun; sleep 600")
        again = submit(cloud, workspace_id, "echo begun; sleep 2; echo done", restart="OnFailure")
        for made in (never, again):
            wait_until(lambda: logs(cloud, made) if job(cloud, made).status == "Running" else None)
        assert machines(home)
    assert not machines(home)
    with served(program, home) as cloud:
        failed = wait_until(lambda: (found := job(cloud, never)).status == "Failed" and found)
        assert (failed.reason_code, failed.pods[0].sub_status) == ("PodEvicted", "Evicted")
        done = wait_until(lambda: (found := job(cloud, again)).status == "Succeeded" and found)
        assert len(done.pods[0].history_pods) == 1
        assert logs(cloud, again) == ["begun", "done"]
        assert not machines(home)
