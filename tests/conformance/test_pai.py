"""Training jobs and their workspaces, from creation to nothing."""

import json
import time

import alibabacloud_oss_v2 as oss
import pytest
from alibabacloud_aiworkspace20210204 import models as w
from alibabacloud_pai_dlc20201203 import models as m

from conftest import REGION, wait_until

SPEC = "ecs.g7.large"
FINAL = ("Succeeded", "Failed", "Stopped")


def refused(call):
    """The error that a call must end with."""
    with pytest.raises(Exception) as error:
        call()
    return error.value.status_code, error.value.code


@pytest.fixture(scope="module")
def workspace(aiworkspace):
    request = w.CreateWorkspaceRequest(workspace_name="pai_tests", description="of the tests", env_types=["prod"])
    made = aiworkspace.create_workspace(request).body.workspace_id
    wait_until(lambda: aiworkspace.get_workspace(made, w.GetWorkspaceRequest()).body.status == "ENABLED")
    yield made
    aiworkspace.delete_workspace(made, w.DeleteWorkspaceRequest())
    assert refused(lambda: aiworkspace.get_workspace(made, w.GetWorkspaceRequest())) == (400, "100400027")


@pytest.fixture(scope="module")
def image(aiworkspace):
    """A CPU image for PyTorch, found as a client would."""
    request = w.ListImagesRequest(
        labels="system.official=true,system.supported.dlc=true,system.chipType=CPU", name="pytorch", verbose=True)
    found = aiworkspace.list_images(request).body
    assert found.total_count == len(found.images) > 0
    labels = {label.key: label.value for label in found.images[0].labels}
    assert labels["system.chipType"] == "CPU"
    assert found.images[0].image_uri.startswith(f"dsw-registry-vpc.{REGION}.cr.aliyuncs.com/pai/")
    return found.images[0].image_uri


@pytest.fixture(scope="module")
def limited(dlc, workspace, image):
    """A job that runs into its limit while the others are tested."""
    return Job(dlc, workspace, image, command="echo begun; sleep 600", job_max_running_time_minutes=1)


class Job:
    """A job that was submitted."""

    def __init__(self, dlc, workspace, image, command="echo hello", count=1, kind="PyTorchJob", role=None, **more):
        spec = m.JobSpec(type="Worker", image=image, pod_count=count, ecs_spec=SPEC, **(role or {}))
        request = m.CreateJobRequest(
            display_name="a-test", job_type=kind, job_specs=[spec], user_command=command, workspace_id=workspace, **more)
        self.dlc = dlc
        self.id = dlc.create_job(request).body.job_id
        assert self.id.startswith("dlc") and len(self.id) == 16

    def get(self):
        return self.dlc.get_job(self.id, m.GetJobRequest(need_detail=True)).body

    def wait(self, *wanted):
        def reached():
            job = self.get()
            assert job.status in wanted or job.status not in FINAL, f"{job.status}: {job.reason_message}"
            return job if job.status in wanted else None

        return wait_until(reached, 90)

    def logs(self, pod, **more):
        return self.dlc.get_pod_logs(self.id, pod, m.GetPodLogsRequest(**more)).body.logs

    def events(self, pod=None):
        if pod:
            return "\n".join(self.dlc.get_pod_events(self.id, pod, m.GetPodEventsRequest()).body.events)
        return "\n".join(self.dlc.get_job_events(self.id, m.GetJobEventsRequest()).body.events)

    def stop(self):
        return self.dlc.stop_job(self.id).body.job_id

    def delete(self):
        assert self.dlc.delete_job(self.id).body.job_id == self.id
        assert refused(self.get) == (404, "NotFound")


def test_two_workers_from_submission_to_deletion(dlc, workspace, image, limited):
    command = "echo rank $RANK of $WORLD_SIZE at $MASTER_ADDR:$MASTER_PORT; for i in 1 2 3; do echo line $i; done; echo $GREETING"
    job = Job(dlc, workspace, image, command, count=2, envs={"GREETING": "good day"},
              settings=m.JobSettings(tags={"aliform:stack": "s", "k": "v"}))
    done = job.wait("Succeeded")
    assert [step.status for step in done.status_history] == ["Creating", "Queuing", "EnvPreparing", "Running", "Succeeded"]
    assert all(step.end_time for step in done.status_history[:-1]) and not done.status_history[-1].end_time
    assert done.reason_code == "JobSucceeded"
    assert done.gmt_running_time <= done.gmt_successed_time == done.gmt_finish_time
    assert done.settings.tags == {"aliform:stack": "s", "k": "v"}
    assert done.workspace_name == "pai_tests"
    assert [(pod.pod_id, pod.type, pod.status) for pod in done.pods] == [
        (f"{job.id}-master-0", "master", "Succeeded"), (f"{job.id}-worker-0", "worker", "Succeeded")]
    for rank, pod in enumerate(done.pods):
        assert job.logs(pod.pod_id) == [
            f"rank {rank} of 2 at {job.id}-master-0:23456", "line 1", "line 2", "line 3", "good day"]
        assert job.logs(pod.pod_id, max_lines=2) == ["line 3", "good day"]
        assert job.logs(pod.pod_id, end_time="2020-01-01T00:00:00Z") == []
        assert "Successfully pulled image." in job.events(pod.pod_id)
    assert f"Created pod: {job.id}-master-0" in job.events()
    assert refused(job.stop) == (403, "Forbidden")
    job.delete()


def test_a_job_is_stopped_and_cant_be_deleted_before(dlc, workspace, image):
    job = Job(dlc, workspace, image, "echo begun; sleep 600; echo never")
    pod = job.wait("Running").pods[0].pod_id
    assert wait_until(lambda: job.logs(pod)) == ["begun"]
    assert refused(lambda: dlc.delete_job(job.id)) == (403, "Forbidden")
    request = m.UpdateJobRequest(priority=5, accessibility="PUBLIC")
    assert dlc.update_job(job.id, request).body.job_id == job.id
    assert job.stop() == job.id
    stopped = job.wait("Stopped")
    assert (stopped.priority, stopped.accessibility) == (5, "PUBLIC")
    assert (stopped.reason_code, stopped.reason_message) == ("JobStoppedByUser", "Job is stopped by user.")
    assert [step.status for step in stopped.status_history][-2:] == ["Stopping", "Stopped"]
    assert stopped.gmt_stopped_time == stopped.gmt_finish_time
    assert job.logs(pod) == ["begun"]
    job.delete()


def test_a_command_that_fails_fails_the_job(dlc, workspace, image):
    job = Job(dlc, workspace, image, "echo broken >&2; exit 7")
    failed = job.wait("Failed")
    pod = failed.pods[0]
    assert (failed.reason_code, pod.status) == ("JobFailed", "Failed")
    assert "exited with code 7" in failed.reason_message
    assert job.logs(pod.pod_id) == ["broken"]
    job.delete()


def test_a_pod_is_started_again_where_its_policy_says_so(dlc, workspace, image):
    job = Job(dlc, workspace, image, "echo try; exit 1", role={"restart_policy": "OnFailure"})
    failed = job.wait("Failed")
    pod = failed.pods[0]
    assert len(pod.history_pods) == 3
    assert failed.restart_times == "3/3"
    assert len({life.pod_uid for life in pod.history_pods} | {pod.pod_uid}) == 4
    for life in pod.history_pods:
        assert job.logs(pod.pod_id, pod_uid=life.pod_uid) == ["try"]
    job.delete()


def test_all_output_is_there_however_much_it_is(dlc, workspace, image):
    job = Job(dlc, workspace, image, "seq 1 20000; echo end")
    pod = job.wait("Succeeded").pods[0].pod_id
    assert job.logs(pod, max_lines=30000) == [str(number) for number in range(1, 20001)] + ["end"]
    assert len(job.logs(pod)) == 2000
    job.delete()


def test_the_master_answers_at_its_own_address(dlc, workspace, image):
    command = """/usr/bin/python3 -c "
import os, socket
place = os.environ['MASTER_ADDR'], int(os.environ['MASTER_PORT'])
server = socket.create_server(place)
socket.create_connection(place).close()
print('answered')
" """
    job = Job(dlc, workspace, image, command)
    pod = job.wait("Succeeded").pods[0].pod_id
    assert job.logs(pod) == ["answered"]
    job.delete()


def test_an_image_that_nobody_has_is_told_by_events(dlc, workspace):
    job = Job(dlc, workspace, "registry.example.com/none:1")
    pod = job.wait("EnvPreparing").pods[0].pod_id
    wait_until(lambda: 'Failed to pull image "registry.example.com/none:1"' in job.events(pod))
    assert "ImagePullBackOff" in job.events(pod)
    assert job.get().pods[0].status == "Pending"
    job.stop()
    job.wait("Stopped")
    job.delete()


def test_a_tensorflow_cluster_knows_its_members(dlc, workspace, image):
    ps = m.JobSpec(type="PS", image=image, pod_count=1, ecs_spec=SPEC, user_command="sleep 600")
    worker = m.JobSpec(type="Worker", image=image, pod_count=2, ecs_spec=SPEC)
    request = m.CreateJobRequest(
        display_name="tf", job_type="TFJob", job_specs=[ps, worker], user_command="echo $TF_CONFIG", workspace_id=workspace)
    job = Job.__new__(Job)
    job.dlc, job.id = dlc, dlc.create_job(request).body.job_id
    done = job.wait("Succeeded")
    kinds = sorted(pod.type for pod in done.pods)
    assert kinds == ["ps", "worker", "worker"]
    config = json.loads(job.logs(f"{job.id}-worker-1")[0])
    assert config["task"] == {"type": "worker", "index": 1}
    assert config["cluster"]["ps"] == [f"{job.id}-ps-0:2222"]
    job.delete()


def test_data_goes_in_and_results_come_back(cloud, dlc, workspace, image):
    config = oss.config.load_default()
    config.credentials_provider = oss.credentials.StaticCredentialsProvider("local", "local")
    config.region = REGION
    config.endpoint = f"http://{cloud.address}"
    config.use_path_style = True
    client = oss.Client(config)
    bucket = "pai-tests-data"
    client.put_bucket(oss.PutBucketRequest(bucket=bucket))
    for key, body in {"in/deep/numbers": b"1\n2\n3\n", "out/old": b"old", "out/gone": b"x", "other/secret": b"no"}.items():
        client.put_object(oss.PutObjectRequest(bucket=bucket, key=key, body=body))
    host = f"{bucket}.oss-{REGION}-internal.aliyuncs.com"
    sources = [
        m.CreateJobRequestDataSources(uri=f"oss://{host}/in/", mount_path="/mnt/data", mount_access="RO"),
        m.CreateJobRequestDataSources(uri=f"oss://{host}/out/", mount_path="/mnt/output", mount_access="RW"),
    ]
    command = """
        set -e
        test ! -e /mnt/data/secret
        mkdir -p /mnt/output/model
        awk '{ sum += $1 } END { print sum }' /mnt/data/deep/numbers > /mnt/output/model/sum
        echo changed > /mnt/data/deep/numbers
        rm /mnt/output/gone
        echo new > /mnt/output/old
    """
    # The second worker ends last and changed nothing: what the first one wrote stays.
    command = f"if [ $RANK = 1 ]; then sleep 2; exit 0; fi\n{command}"
    job = Job(dlc, workspace, image, command, count=2, data_sources=sources)
    done = job.wait("Succeeded")
    assert [source.mount_path for source in done.data_sources] == ["/mnt/data", "/mnt/output"]

    def content(key):
        return client.get_object(oss.GetObjectRequest(bucket=bucket, key=key)).body.read()

    assert content("out/model/sum") == b"6\n"
    assert content("out/old") == b"new\n"
    assert content("in/deep/numbers") == b"1\n2\n3\n"
    keys = [row.key for row in client.list_objects_v2(oss.ListObjectsV2Request(bucket=bucket)).contents]
    assert keys == ["in/deep/numbers", "other/secret", "out/model/sum", "out/old"]
    for key in keys:
        client.delete_object(oss.DeleteObjectRequest(bucket=bucket, key=key))
    client.delete_bucket(oss.DeleteBucketRequest(bucket=bucket))
    job.delete()


def test_jobs_are_listed_by_filters_and_pages(dlc, workspace, image):
    jobs = [Job(dlc, workspace, image, settings=m.JobSettings(tags={"of": "paging", "n": str(n)})) for n in range(3)]
    for job in jobs:
        job.wait("Succeeded")

    def ids(**wanted):
        body = dlc.list_jobs(m.ListJobsRequest(workspace_id=workspace, **wanted)).body
        return [job.job_id for job in body.jobs], body.total_count

    everything = [job.id for job in jobs]
    found, total = ids(tags={"of": "paging"}, order="asc", sort_by="GmtCreateTime")
    assert sorted(found) == sorted(everything) and total == 3
    pages = [ids(tags={"of": "paging"}, page_size=2, page_number=n) for n in (1, 2, 3)]
    assert [len(page) for page, _ in pages] == [2, 1, 0] and {total for _, total in pages} == {3}
    assert sorted(pages[0][0] + pages[1][0]) == sorted(everything)
    assert ids(tags={"of": "paging", "n": "1"})[0] == [jobs[1].id]
    assert ids(job_ids=",".join(everything[:2]), status="Succeeded")[1] == 2
    assert ids(tags={"of": "paging"}, status="Running")[1] == 0
    assert ids(tags={"of": "paging"}, display_name="A-TE")[1] == 3
    assert ids(tags={"of": "paging"}, end_time="2020-01-01T00:00:00Z", start_time="2019-01-01T00:00:00Z")[1] == 0
    assert refused(lambda: ids(sort_by="Nothing")) == (400, "InvalidParameter")
    for job in jobs:
        job.delete()


def test_specs_are_those_that_are_sold(dlc):
    cpu = dlc.list_ecs_specs(m.ListEcsSpecsRequest(accelerator_type="CPU", page_size=100)).body
    assert cpu.total_count >= len(cpu.ecs_specs) and all(spec.gpu == 0 for spec in cpu.ecs_specs)
    gpu = dlc.list_ecs_specs(m.ListEcsSpecsRequest(accelerator_type="GPU")).body.ecs_specs
    assert gpu and all(spec.gpu > 0 and spec.default_gpudriver in spec.supported_gpudrivers for spec in gpu)
    one = dlc.list_ecs_specs(m.ListEcsSpecsRequest(instance_types=SPEC)).body.ecs_specs
    assert [(spec.instance_type, spec.cpu, spec.memory, spec.is_available) for spec in one] == [(SPEC, 2, 8, True)]
    assert not dlc.list_ecs_specs(m.ListEcsSpecsRequest(resource_type="Lingjun")).body.ecs_specs


@pytest.mark.parametrize(("change", "code"), [
    ({"display_name": "not a name"}, "InvalidParameter"),
    ({"display_name": ""}, "MissingDisplayName"),
    ({"job_type": "pytorchjob"}, "InvalidParameter"),
    ({"user_command": ""}, "MissingUserCommand"),
    ({"user_command": "x" * 70_000}, "InvalidParameter"),
    ({"workspace_id": "1"}, "NotFound"),
    ({"resource_id": "quota1"}, "NotFound"),
    ({"priority": 10}, "InvalidParameter"),
    ({"job_specs": []}, "MissingJobSpecs"),
    ({"spec": {"type": "Chief"}}, "InvalidParameter"),
    ({"spec": {"image": ""}}, "MissingJobSpecsImage"),
    ({"spec": {"pod_count": 0}}, "InvalidParameter"),
    ({"spec": {"ecs_spec": "ecs.none.large"}}, "InvalidParameter"),
    ({"spec": {"ecs_spec": None}}, "MissingParameter"),
    ({"spec": {"resource_config": m.ResourceConfig(cpu="2", memory="8Gi")}}, "InvalidParameter"),
    ({"spec": {"ecs_spec": None, "resource_config": m.ResourceConfig(cpu="many", memory="8Gi")}}, "InvalidParameter"),
    ({"spec": {"restart_policy": "Sometimes"}}, "InvalidParameter"),
    ({"spec": {"spot_spec": m.SpotSpec(spot_strategy="SpotWithPriceLimit")}}, "InvalidParameter"),
    ({"data_sources": [m.CreateJobRequestDataSources(uri="nas://x", mount_path="/mnt/x")]}, "InvalidParameter"),
    ({"data_sources": [m.CreateJobRequestDataSources(data_source_id="d-1")]}, "NotFound"),
    ({"user_vpc": m.CreateJobRequestUserVpc(vpc_id="vpc-none", security_group_id="sg-none")}, "NotFound"),
])
def test_a_job_that_is_not_as_it_must_be_is_refused(dlc, workspace, image, change, code):
    spec = {"type": "Worker", "image": image, "pod_count": 1, "ecs_spec": SPEC, **change.get("spec", {})}
    request = {"display_name": "a-test", "job_type": "PyTorchJob", "job_specs": [m.JobSpec(**spec)], "user_command": "true",
               "workspace_id": workspace, **{name: value for name, value in change.items() if name != "spec"}}
    assert refused(lambda: dlc.create_job(m.CreateJobRequest(**request)))[1] == code


def test_what_is_not_there_is_told(dlc):
    nothing = "dlc1nothing00000"
    for call in (
        lambda: dlc.get_job(nothing, m.GetJobRequest()),
        lambda: dlc.stop_job(nothing),
        lambda: dlc.delete_job(nothing),
        lambda: dlc.get_job_events(nothing, m.GetJobEventsRequest()),
        lambda: dlc.get_pod_logs(nothing, "x", m.GetPodLogsRequest()),
    ):
        assert refused(call) == (404, "NotFound")


def test_workspaces(aiworkspace, workspace):
    def create(name, **more):
        told = {"description": "x", "env_types": ["prod"], **more}
        return aiworkspace.create_workspace(w.CreateWorkspaceRequest(workspace_name=name, **told)).body.workspace_id

    assert refused(lambda: create("pai_tests")) == (400, "100400009")
    assert refused(lambda: create("1x")) == (400, "InvalidParameter")
    assert refused(lambda: create("fine", env_types=["dev"])) == (400, "InvalidParameter")
    assert refused(lambda: create("fine", description="x" * 81)) == (400, "InvalidParameter")
    other = create("Another_one", env_types=["dev", "prod"])
    request = w.ListWorkspacesRequest(verbose=True, page_size=1)
    first = aiworkspace.list_workspaces(request).body
    assert first.total_count == 2 and len(first.workspaces) == 1
    assert first.workspaces[0].workspace_id == workspace and first.workspaces[0].is_default
    named = aiworkspace.list_workspaces(w.ListWorkspacesRequest(workspace_name="another")).body.workspaces
    assert [row.workspace_id for row in named] == [other]
    described = aiworkspace.get_workspace(other, w.GetWorkspaceRequest(verbose=True)).body
    assert described.env_types == ["dev", "prod"] and not described.is_default
    aiworkspace.delete_workspace(other, w.DeleteWorkspaceRequest())
    # Its name is not free again at once.
    assert refused(lambda: create("Another_one")) == (400, "100400009")
    assert aiworkspace.list_workspaces(w.ListWorkspacesRequest()).body.total_count == 1


def test_images_are_found_by_label_name_and_page(aiworkspace):
    everything = aiworkspace.list_images(w.ListImagesRequest(labels="system.official=true", page_size=100)).body
    assert everything.total_count == len(everything.images) and not everything.images[0].labels
    page = aiworkspace.list_images(w.ListImagesRequest(page_size=2, page_number=2)).body
    assert [image.image_id for image in page.images] == [image.image_id for image in everything.images[2:4]]
    gpu = aiworkspace.list_images(w.ListImagesRequest(labels="system.chipType=GPU", name="tensorflow")).body.images
    assert gpu and all("gpu" in image.image_uri for image in gpu)


def test_a_product_is_opened(aiworkspace):
    def order(**change):
        product = {"product_code": "PAI_share", "charge_type": "POSTPAY", "order_type": "BUY", **change}
        products = [w.CreateProductOrdersRequestProducts(**product)]
        return aiworkspace.create_product_orders(w.CreateProductOrdersRequest(auto_pay=True, products=products)).body

    made = order()
    assert made.order_id and len(made.product_ids) == 1
    assert refused(lambda: order(product_code="ECS")) == (400, "InvalidParameter")
    assert refused(lambda: order(charge_type="PREPAY")) == (400, "InvalidParameter")
    assert refused(lambda: order(product_code="OSS_share"))[1] == "MissingProductsPricingCycle"


def test_a_job_ends_at_its_limit(limited):
    stopped = limited.wait("Stopped")
    assert stopped.reason_code == "JobExceededMaxRunningTime"
    assert limited.logs(stopped.pods[0].pod_id) == ["begun"]
    limited.delete()
