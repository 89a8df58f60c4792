"""A server that is killed leaves the machines of pods running: the next one takes them up, and nothing is lost."""

import subprocess

import yaml
from alibabacloud_cs20151215 import models as m
from alibabacloud_cs20151215.client import Client as Cs
from alibabacloud_vpc20160428.client import Client as Vpc
from kubernetes import client as k8s
from kubernetes import config as k8s_config

from conftest import REGION, Cloud, network, wait_until


def start(program, home):
    command = [program, "-C", str(home), "cloud", "serve", "--listen", "127.0.0.1:0", "--tls"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    address, secure = (server.stdout.readline().split("://")[1].strip() for _ in range(2))
    return server, Cloud(address, *secure.split(", trust "))


def api_of(cs, cluster):
    config = cs.describe_cluster_user_kubeconfig(cluster, m.DescribeClusterUserKubeconfigRequest()).body.config
    return k8s_config.new_client_from_config_dict(yaml.safe_load(config))


def done(cs, task):
    wait_until(lambda: cs.describe_task_info(task).body.state == "success")


def test_a_job_goes_on_without_its_server(program, tmp_path):
    server, cloud = start(program, tmp_path)
    try:
        place = next(network.__wrapped__(cloud.client(Vpc)))
        cs = cloud.client(Cs)
        group = m.NodepoolScalingGroup(instance_types=["ecs.u1-c1m2.large"], vswitch_ids=[place["vswitch"]], desired_size=1,
                                       system_disk_size=40)
        pool = m.Nodepool(nodepool_info=m.NodepoolNodepoolInfo(name="workers"), scaling_group=group)
        made = cs.create_cluster(m.CreateClusterRequest(
            name="restart", region_id=REGION, cluster_type="ManagedKubernetes", vpcid=place["vpc"], nodepools=[pool],
            vswitch_ids=[place["vswitch"]], container_cidr="172.20.0.0/16", service_cidr="172.21.0.0/20")).body
        done(cs, made.task_id)
        api = api_of(cs, made.cluster_id)
        script = "for i in $(seq 1 20); do echo line $i; sleep 0.2; done"
        container = k8s.V1Container(name="main", image="bash", command=["bash", "-c", script])
        template = k8s.V1PodTemplateSpec(spec=k8s.V1PodSpec(restart_policy="Never", containers=[container]))
        job = k8s.V1Job(metadata=k8s.V1ObjectMeta(name="long"), spec=k8s.V1JobSpec(template=template, backoff_limit=0))
        k8s.BatchV1Api(api).create_namespaced_job("default", job)
        core = k8s.CoreV1Api(api)
        pod = wait_until(lambda: next((p for p in core.list_namespaced_pod("default").items if p.status.phase == "Running"), None))
        wait_until(lambda: "line 3" in core.read_namespaced_pod_log(pod.metadata.name, "default"))

        server.kill()
        server.wait()
        server, cloud = start(program, tmp_path)
        cs = cloud.client(Cs)
        api = api_of(cs, made.cluster_id)
        core, batch = k8s.CoreV1Api(api), k8s.BatchV1Api(api)
        log = core.read_namespaced_pod_log(pod.metadata.name, "default", follow=True, _preload_content=False).read().decode()
        assert log == "".join(f"line {i}\n" for i in range(1, 21))
        wait_until(lambda: batch.read_namespaced_job("long", "default").status.succeeded == 1)
        assert core.read_namespaced_pod(pod.metadata.name, "default").status.container_statuses[0].restart_count == 0
        done(cs, cs.delete_cluster(made.cluster_id, m.DeleteClusterRequest()).body.task_id)
        assert not list((tmp_path / ".aliform" / "cloud" / "machines").glob("pod-*"))
    finally:
        server.terminate()
        assert server.wait(60) == 0
