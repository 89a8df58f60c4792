"""Container Service and the Kubernetes API of its clusters: clusters, node pools, kubeconfigs, jobs that run."""

import base64
import threading
import time

import pytest
import yaml
from alibabacloud_cs20151215 import models as m
from kubernetes import client as k8s
from kubernetes import config as k8s_config
from kubernetes import watch
from kubernetes.client.rest import ApiException

from conftest import REGION, wait_until

TYPE = "ecs.u1-c1m2.large"


def pool(network, name, size, **scaling):
    group = m.CreateClusterNodePoolRequestScalingGroup(
        instance_types=[TYPE], vswitch_ids=[network["vswitch"]], desired_size=size, system_disk_category="cloud_essd",
        system_disk_size=40, tags=[m.CreateClusterNodePoolRequestScalingGroupTags(key="team", value="a")], **scaling)
    config = m.CreateClusterNodePoolRequestKubernetesConfig(labels=[m.Tag(key="role", value=name)])
    info = m.CreateClusterNodePoolRequestNodepoolInfo(name=name)
    return m.CreateClusterNodePoolRequest(nodepool_info=info, scaling_group=group, kubernetes_config=config)


def task_done(cs, task):
    def look():
        info = cs.describe_task_info(task).body
        assert info.state in ("running", "success"), info
        return info if info.state == "success" else None

    return wait_until(look)


def create(cs, network, name, **more):
    request = m.CreateClusterRequest(
        name=name, region_id=REGION, cluster_type="ManagedKubernetes", cluster_spec="ack.pro.small", vpcid=network["vpc"],
        vswitch_ids=[network["vswitch"]], container_cidr="172.20.0.0/16", service_cidr="172.21.0.0/20",
        tags=[m.Tag(key="stack", value=name)], **more)
    return cs.create_cluster(request).body


def delete(cs, cluster):
    body = cs.delete_cluster(cluster, m.DeleteClusterRequest()).body
    assert body.cluster_id == cluster
    task_done(cs, body.task_id)
    with pytest.raises(Exception) as gone:
        cs.describe_cluster_detail(cluster)
    assert gone.value.code == "ErrorClusterNotFound"
    assert gone.value.status_code == 404


def api_of(cs, cluster):
    body = cs.describe_cluster_user_kubeconfig(cluster, m.DescribeClusterUserKubeconfigRequest(temporary_duration_minutes=60)).body
    assert body.expiration.endswith("Z")
    return k8s_config.new_client_from_config_dict(yaml.safe_load(body.config))


@pytest.fixture(scope="module")
def network_of_module(vpc):
    from conftest import network

    yield from network.__wrapped__(vpc)


@pytest.fixture(scope="module")
def cluster(cs, network_of_module):
    """A running cluster with two nodes."""
    made = create(cs, network_of_module, "module")
    assert cs.describe_cluster_detail(made.cluster_id).body.state == "initial"
    task_done(cs, made.task_id)
    assert cs.describe_cluster_detail(made.cluster_id).body.state == "running"
    body = cs.create_cluster_node_pool(made.cluster_id, pool(network_of_module, "workers", 2)).body
    task_done(cs, body.task_id)
    yield made.cluster_id
    delete(cs, made.cluster_id)


@pytest.fixture(scope="module")
def api(cs, cluster):
    api = api_of(cs, cluster)
    core = k8s.CoreV1Api(api)

    def ready():
        nodes = core.list_node().items
        return len(nodes) == 2 and all(c.status == "True" for n in nodes for c in n.status.conditions if c.type == "Ready")

    wait_until(ready)
    yield api


@pytest.fixture(scope="module")
def core(api):
    return k8s.CoreV1Api(api)


@pytest.fixture(scope="module")
def batch(api):
    return k8s.BatchV1Api(api)


def job(name, command, image="python:3.12", policy="Never", env=None, **spec):
    container = k8s.V1Container(name="main", image=image, command=command, env=env)
    template = k8s.V1PodTemplateSpec(spec=k8s.V1PodSpec(restart_policy=policy, containers=[container]))
    return k8s.V1Job(metadata=k8s.V1ObjectMeta(name=name), spec=k8s.V1JobSpec(template=template, **spec))


def pods_of(core, name):
    return core.list_namespaced_pod("default", label_selector=f"batch.kubernetes.io/job-name={name}").items


def finished(batch, name, kind):
    def look():
        for condition in batch.read_namespaced_job_status(name, "default").status.conditions or []:
            if condition.type == kind and condition.status == "True":
                return condition

    return wait_until(look)


def test_a_cluster_lives_and_everything_it_made_goes_with_it(cs, ecs, cloud, network):
    from alibabacloud_ecs20140526 import models as e

    made = create(cs, network, "life", client_token="life-1", deletion_protection=True)
    again = create(cs, network, "life", client_token="life-1", deletion_protection=True)
    assert again.cluster_id == made.cluster_id
    with pytest.raises(Exception) as twice:
        create(cs, network, "life", client_token="life-2")
    assert twice.value.code == "ErrorClusterNameAlreadyExist"
    task_done(cs, made.task_id)
    detail = cs.describe_cluster_detail(made.cluster_id).body
    assert (detail.state, detail.vpc_id, detail.deletion_protection) == ("running", network["vpc"], True)
    listed = cs.describe_clusters_v1(m.DescribeClustersV1Request(name="life", page_size=5)).body
    assert [c.cluster_id for c in listed.clusters] == [made.cluster_id]
    assert listed.page_info.total_count == 1
    assert made.cluster_id in [c.cluster_id for c in cs.describe_clusters(m.DescribeClustersRequest(name="life")).body]

    first = cs.create_cluster_node_pool(made.cluster_id, pool(network, "first", 1)).body
    info = task_done(cs, first.task_id)
    assert (info.cluster_id, info.target.id) == (made.cluster_id, first.nodepool_id)
    scaled = cs.scale_cluster_node_pool(made.cluster_id, first.nodepool_id, m.ScaleClusterNodePoolRequest(count=1)).body
    task_done(cs, scaled.task_id)
    pools = cs.describe_cluster_node_pools(made.cluster_id, m.DescribeClusterNodePoolsRequest()).body.nodepools
    assert [p.nodepool_info.name for p in pools] == ["first"]
    detail = wait_until(lambda: next((d for d in [cs.describe_cluster_node_pool_detail(made.cluster_id, first.nodepool_id).body]
                                      if d.status.healthy_nodes == 2), None))
    assert (detail.status.state, detail.status.total_nodes, detail.scaling_group.desired_size) == ("active", 2, 2)
    nodes = cs.describe_cluster_nodes(made.cluster_id, m.DescribeClusterNodesRequest(nodepool_id=first.nodepool_id)).body
    assert nodes.page.total_count == 2
    assert {n.state for n in nodes.nodes} == {"running"}
    ids = [n.instance_id for n in nodes.nodes]
    found = ecs.describe_instances(e.DescribeInstancesRequest(region_id=REGION, instance_ids=str(ids).replace("'", '"')))
    tags = {t.tag_key: t.tag_value for t in found.body.instances.instance[0].tags.tag}
    assert tags["ack.aliyun.com"] == made.cluster_id
    assert tags["team"] == "a"

    gone = cs.delete_cluster_nodepool(made.cluster_id, first.nodepool_id, m.DeleteClusterNodepoolRequest(force=True)).body
    task_done(cs, gone.task_id)
    found = ecs.describe_instances(e.DescribeInstancesRequest(region_id=REGION, instance_ids=str(ids).replace("'", '"')))
    assert not found.body.instances.instance
    with pytest.raises(Exception) as protected:
        cs.delete_cluster(made.cluster_id, m.DeleteClusterRequest())
    assert protected.value.code == "ErrorDeletionProtection"
    change = m.ModifyClusterRequest(deletion_protection=False, cluster_name="life-2")
    assert cs.modify_cluster(made.cluster_id, change).body.cluster_id == made.cluster_id
    assert cs.describe_cluster_detail(made.cluster_id).body.name == "life-2"
    delete(cs, made.cluster_id)
    groups = ecs.describe_security_groups(e.DescribeSecurityGroupsRequest(region_id=REGION, vpc_id=network["vpc"]))
    assert not groups.body.security_groups.security_group


def test_networks_must_not_overlap(cs, network):
    for more in [{"container_cidr": "10.2.0.0/16"}, {"service_cidr": "10.3.0.0/20"}, {"service_cidr": "172.20.0.0/20"}]:
        cidrs = {"container_cidr": "172.20.0.0/16", "service_cidr": "172.21.0.0/20", **more}
        request = m.CreateClusterRequest(name="overlap", region_id=REGION, vpcid=network["vpc"],
                                         vswitch_ids=[network["vswitch"]], **cidrs)
        with pytest.raises(Exception) as refused:
            cs.create_cluster(request)
        assert refused.value.status_code == 400
        assert "overlaps" in refused.value.message


def test_versions_are_told(cs):
    request = m.DescribeKubernetesVersionMetadataRequest(region=REGION, cluster_type="ManagedKubernetes",
                                                         query_upgradable_version=True)
    versions = cs.describe_kubernetes_version_metadata(request).body
    assert versions[0].version.endswith("-aliyun.1")
    assert versions[0].images and versions[1].upgradable_versions == [versions[0].version]


def test_a_job_runs_and_its_log_is_followed(core, batch):
    script = "import os,time\nfor i in range(3): print('line', i, os.environ['WHO'], flush=True); time.sleep(0.3)"
    batch.create_namespaced_job("default", job("hello", ["python3", "-c", script], env=[k8s.V1EnvVar(name="WHO", value="it's me")]))
    pod = wait_until(lambda: next((p for p in pods_of(core, "hello") if p.status.phase in ("Running", "Succeeded")), None))
    assert pod.spec.node_name.startswith(REGION)
    stream = core.read_namespaced_pod_log(pod.metadata.name, "default", follow=True, _preload_content=False)
    assert stream.read().decode() == "".join(f"line {i} it's me\n" for i in range(3))
    assert finished(batch, "hello", "Complete").reason == "CompletionsReached"
    done = batch.read_namespaced_job("hello", "default")
    assert (done.status.succeeded, done.status.active) == (1, None)
    assert done.status.completion_time is not None
    pod = pods_of(core, "hello")[0]
    state = pod.status.container_statuses[0].state.terminated
    assert (pod.status.phase, state.exit_code, state.reason) == ("Succeeded", 0, "Completed")
    assert core.read_namespaced_pod_log(pod.metadata.name, "default", tail_lines=1) == "line 2 it's me\n"
    stamped = core.read_namespaced_pod_log(pod.metadata.name, "default", timestamps=True).splitlines()
    assert all(line.split(" ", 1)[0].endswith("Z") for line in stamped)
    reasons = {e.reason for e in core.list_namespaced_event("default", field_selector=f"involvedObject.uid={pod.metadata.uid}").items}
    assert {"Scheduled", "Pulling", "Pulled", "Created", "Started"} <= reasons
    batch.delete_namespaced_job("hello", "default", propagation_policy="Background")
    wait_until(lambda: not pods_of(core, "hello"))


def test_long_output_is_kept_beyond_what_cloud_assistant_keeps(core, batch):
    batch.create_namespaced_job("default", job("long", ["sh", "-c", "for i in $(seq 1 20000); do echo line-$i; done"]))
    finished(batch, "long", "Complete")
    lines = core.read_namespaced_pod_log(pods_of(core, "long")[0].metadata.name, "default").splitlines()
    assert (len(lines), lines[0], lines[-1]) == (20000, "line-1", "line-20000")
    batch.delete_namespaced_job("long", "default", propagation_policy="Foreground")
    wait_until(lambda: not pods_of(core, "long"))


def test_an_image_that_is_not_there_is_seen_until_the_deadline(core, batch):
    image = "registry.example.com/team/app:1"
    batch.create_namespaced_job("default", job("bad-image", ["true"], image=image, active_deadline_seconds=5))
    seen = set()

    def waits():
        for pod in pods_of(core, "bad-image"):
            for status in pod.status.container_statuses or []:
                if status.state.waiting:
                    seen.add(status.state.waiting.reason)
        return {"ErrImagePull", "ImagePullBackOff"} <= seen

    wait_until(waits)
    events = core.list_namespaced_event("default", field_selector="reason=Failed").items
    assert any("no such host" in e.message for e in events)
    with pytest.raises(ApiException) as waiting:
        core.read_namespaced_pod_log(pods_of(core, "bad-image")[0].metadata.name, "default")
    assert waiting.value.status == 400 and "trying and failing to pull image" in waiting.value.body
    assert finished(batch, "bad-image", "Failed").reason == "DeadlineExceeded"
    wait_until(lambda: not pods_of(core, "bad-image"))
    batch.delete_namespaced_job("bad-image", "default", propagation_policy="Background")


def test_failures_are_counted_up_to_the_limit(core, batch):
    batch.create_namespaced_job("default", job("fails", ["sh", "-c", "echo no; exit 3"], backoff_limit=1))
    condition = finished(batch, "fails", "Failed")
    assert condition.reason == "BackoffLimitExceeded"
    assert batch.read_namespaced_job("fails", "default").status.failed == 2
    assert {p.status.container_statuses[0].state.terminated.exit_code for p in pods_of(core, "fails")} == {3}
    batch.delete_namespaced_job("fails", "default", propagation_policy="Background")
    wait_until(lambda: not pods_of(core, "fails"))


def test_a_container_is_started_again_and_its_earlier_log_is_there(core, batch):
    script = "if [ -e /data/seen ]; then echo second; else touch /data/seen; echo first; exit 1; fi"
    body = job("again", ["sh", "-c", script], policy="OnFailure", image="busybox")
    body.spec.template.spec.volumes = [k8s.V1Volume(name="data", empty_dir=k8s.V1EmptyDirVolumeSource())]
    body.spec.template.spec.containers[0].volume_mounts = [k8s.V1VolumeMount(name="data", mount_path="/data")]
    batch.create_namespaced_job("default", body)
    finished(batch, "again", "Complete")
    pod = pods_of(core, "again")[0]
    assert pod.status.container_statuses[0].restart_count == 1
    assert core.read_namespaced_pod_log(pod.metadata.name, "default") == "second\n"
    assert core.read_namespaced_pod_log(pod.metadata.name, "default", previous=True) == "first\n"
    batch.delete_namespaced_job("again", "default", propagation_policy="Background")


def test_configuration_reaches_a_pod(core):
    core.create_namespaced_config_map("default", k8s.V1ConfigMap(metadata=k8s.V1ObjectMeta(name="settings"), data={"mode": "fast"}))
    secret = k8s.V1Secret(metadata=k8s.V1ObjectMeta(name="token"), string_data={"key": "s3cret"})
    assert base64.b64decode(core.create_namespaced_secret("default", secret).data["key"]) == b"s3cret"
    script = "echo $MODE $KEY $NAME $(cat /etc-config/mode) $(cat /srv/token/k) $(pwd) \"$0\" \"$@\""
    source = k8s.V1EnvVarSource
    container = k8s.V1Container(
        name="main", image="registry-vpc.cn-hangzhou.aliyuncs.com/team/tools:2", working_dir="/opt/app",
        command=["sh", "-c", script], args=["$(MODE)", "it's  two", "$$(MODE)"],
        env=[
            k8s.V1EnvVar(name="MODE", value_from=source(config_map_key_ref=k8s.V1ConfigMapKeySelector(name="settings", key="mode"))),
            k8s.V1EnvVar(name="KEY", value_from=source(secret_key_ref=k8s.V1SecretKeySelector(name="token", key="key"))),
            k8s.V1EnvVar(name="NAME", value_from=source(field_ref=k8s.V1ObjectFieldSelector(field_path="metadata.name"))),
        ],
        volume_mounts=[k8s.V1VolumeMount(name="config", mount_path="/etc-config"), k8s.V1VolumeMount(name="token", mount_path="/srv/token")])
    volumes = [
        k8s.V1Volume(name="config", config_map=k8s.V1ConfigMapVolumeSource(name="settings")),
        k8s.V1Volume(name="token", secret=k8s.V1SecretVolumeSource(secret_name="token", items=[k8s.V1KeyToPath(key="key", path="k")])),
    ]
    init = k8s.V1Container(name="init", image="busybox", command=["sh", "-c", "echo prepared"])
    pod = k8s.V1Pod(metadata=k8s.V1ObjectMeta(name="configured"),
                    spec=k8s.V1PodSpec(restart_policy="Never", init_containers=[init], containers=[container], volumes=volumes))
    core.create_namespaced_pod("default", pod)
    wait_until(lambda: core.read_namespaced_pod("configured", "default").status.phase == "Succeeded")
    expected = "fast s3cret configured fast s3cret /opt/app fast it's  two $(MODE)\n"
    assert core.read_namespaced_pod_log("configured", "default", container="main") == expected
    assert core.read_namespaced_pod_log("configured", "default", container="init") == "prepared\n"
    for what in [core.delete_namespaced_pod, core.delete_namespaced_config_map, core.delete_namespaced_secret]:
        what({"delete_namespaced_pod": "configured", "delete_namespaced_config_map": "settings",
              "delete_namespaced_secret": "token"}[what.__name__], "default")


def test_a_pod_that_is_deleted_may_say_goodbye(core):
    script = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.1; done"
    spec = k8s.V1PodSpec(restart_policy="Never", termination_grace_period_seconds=20,
                         containers=[k8s.V1Container(name="main", image="bash:5", command=["bash", "-c", script])])
    core.create_namespaced_pod("default", k8s.V1Pod(metadata=k8s.V1ObjectMeta(name="polite"), spec=spec))
    wait_until(lambda: core.read_namespaced_pod("polite", "default").status.phase == "Running")
    # Once it has said something it listens, too.
    wait_until(lambda: core.read_namespaced_pod_log("polite", "default") == "up\n")
    stream = core.read_namespaced_pod_log("polite", "default", follow=True, _preload_content=False)
    started = time.monotonic()
    assert core.delete_namespaced_pod("polite", "default").metadata.deletion_timestamp is not None
    assert stream.read().decode() == "up\nbye\n"
    wait_until(lambda: not core.list_namespaced_pod("default", field_selector="metadata.name=polite").items)
    assert time.monotonic() - started < 15


def test_what_does_not_fit_waits_and_says_why(core):
    resources = k8s.V1ResourceRequirements(requests={"cpu": "64", "memory": "1Gi"})
    spec = k8s.V1PodSpec(containers=[k8s.V1Container(name="main", image="busybox", command=["true"], resources=resources)])
    core.create_namespaced_pod("default", k8s.V1Pod(metadata=k8s.V1ObjectMeta(name="huge"), spec=spec))

    def refused():
        conditions = core.read_namespaced_pod("huge", "default").status.conditions or []
        return next((c for c in conditions if c.type == "PodScheduled" and c.status == "False"), None)

    assert "2 Insufficient cpu" in wait_until(refused).message
    core.delete_namespaced_pod("huge", "default")
    assert not core.list_namespaced_pod("default", field_selector="metadata.name=huge").items


def test_a_finished_job_goes_when_its_time_is_over(batch, core):
    batch.create_namespaced_job("default", job("brief", ["true"], ttl_seconds_after_finished=1, parallelism=2, completions=2))

    def gone():
        try:
            batch.read_namespaced_job("brief", "default")
        except ApiException as error:
            assert error.status == 404
            return True

    wait_until(gone)
    wait_until(lambda: not pods_of(core, "brief"))


def test_changes_are_watched_and_versions_compared(core):
    version = core.list_namespaced_config_map("default").metadata.resource_version
    seen = []

    def watching():
        for event in watch.Watch().stream(core.list_namespaced_config_map, "default", resource_version=version, timeout_seconds=20):
            seen.append((event["type"], event["object"].metadata.name))
            if event["type"] == "DELETED":
                break

    thread = threading.Thread(target=watching)
    thread.start()
    made = core.create_namespaced_config_map("default", k8s.V1ConfigMap(metadata=k8s.V1ObjectMeta(generate_name="seen-"), data={"a": "1"}))
    name = made.metadata.name
    assert name.startswith("seen-")
    patched = core.patch_namespaced_config_map(name, "default", {"data": {"b": "2"}})
    assert patched.data == {"a": "1", "b": "2"}
    made.data = {"c": "3"}
    with pytest.raises(ApiException) as conflict:
        core.replace_namespaced_config_map(name, "default", made)
    assert conflict.value.status == 409 and '"Conflict"' in conflict.value.body
    with pytest.raises(ApiException) as exists:
        core.create_namespaced_config_map("default", k8s.V1ConfigMap(metadata=k8s.V1ObjectMeta(name=name)))
    assert exists.value.status == 409 and "AlreadyExists" in exists.value.body
    dry = k8s.V1ConfigMap(metadata=k8s.V1ObjectMeta(name="dry"))
    core.create_namespaced_config_map("default", dry, dry_run="All")
    core.delete_namespaced_config_map(name, "default")
    thread.join(20)
    assert seen == [("ADDED", name), ("MODIFIED", name), ("DELETED", name)]


def test_pages_come_one_after_the_other(core):
    for number in range(5):
        body = k8s.V1ConfigMap(metadata=k8s.V1ObjectMeta(name=f"page-{number}", labels={"page": "yes"}))
        core.create_namespaced_config_map("default", body)
    first = core.list_namespaced_config_map("default", label_selector="page in (yes)", limit=3)
    assert (len(first.items), first.metadata.remaining_item_count) == (3, 2)
    rest = core.list_namespaced_config_map("default", label_selector="page", limit=3, _continue=first.metadata._continue)
    assert [i.metadata.name for i in rest.items] == ["page-3", "page-4"] and not rest.metadata._continue
    core.delete_collection_namespaced_config_map("default", label_selector="page=yes")
    assert not core.list_namespaced_config_map("default", label_selector="page=yes").items


def test_a_user_may_do_what_roles_say_and_a_namespace_takes_all_along(api, core):
    rbac = k8s.RbacAuthorizationV1Api(api)
    auth = k8s.AuthorizationV1Api(api)

    def may(verb, resource, namespace="lab"):
        asked = k8s.V1ResourceAttributes(verb=verb, resource=resource, namespace=namespace)
        review = k8s.V1SelfSubjectAccessReview(spec=k8s.V1SelfSubjectAccessReviewSpec(resource_attributes=asked))
        return auth.create_self_subject_access_review(review).status.allowed

    assert may("create", "pods")
    core.create_namespace(k8s.V1Namespace(metadata=k8s.V1ObjectMeta(name="lab")))
    wait_until(lambda: core.list_namespaced_service_account("lab").items)
    spec = k8s.V1PodSpec(containers=[k8s.V1Container(name="main", image="alpine", command=["sleep", "600"])])
    core.create_namespaced_pod("lab", k8s.V1Pod(metadata=k8s.V1ObjectMeta(name="inside"), spec=spec))
    wait_until(lambda: core.read_namespaced_pod("inside", "lab").status.phase == "Running")
    rules = [k8s.V1PolicyRule(api_groups=[""], resources=["pods"], verbs=["get", "list"])]
    rbac.create_namespaced_role("lab", k8s.V1Role(metadata=k8s.V1ObjectMeta(name="reader"), rules=rules))
    core.delete_namespace("lab")
    assert core.read_namespace("lab").status.phase == "Terminating"
    with pytest.raises(ApiException) as closing:
        core.create_namespaced_config_map("lab", k8s.V1ConfigMap(metadata=k8s.V1ObjectMeta(name="late")))
    assert closing.value.status == 403
    wait_until(lambda: "lab" not in [n.metadata.name for n in core.list_namespace().items], 60)


def test_the_api_says_what_it_serves(api, core):
    version = k8s.VersionApi(api).get_code()
    assert version.git_version.startswith("v1.")
    resources = {r.name for r in k8s.CoreV1Api(api).get_api_resources().resources}
    assert {"pods", "pods/log", "nodes", "events"} <= resources
    groups = {g.name for g in k8s.ApisApi(api).get_api_versions().groups}
    assert {"batch", "rbac.authorization.k8s.io", "authorization.k8s.io"} <= groups
    with pytest.raises(ApiException) as missing:
        core.read_namespaced_pod("nobody", "default")
    assert missing.value.status == 404 and "NotFound" in missing.value.body
    with pytest.raises(ApiException) as invalid:
        k8s.BatchV1Api(api).create_namespaced_job("default", job("wrong", ["true"], policy="Always"))
    assert invalid.value.status == 422 and "restartPolicy" in invalid.value.body
