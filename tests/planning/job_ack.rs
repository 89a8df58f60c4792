//! Jobs of Container Service: a cluster that is there is used and stays, another one is made for the job and goes with it.

use aliform::model::change::Action;
use aliform::pricing::clusters::{ClusterFound, Readiness};
use serde_json::json;

use crate::stage::{Stage, address, change};

fn lab(lines: &str) -> String {
    let indented: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "version: 1\nstack: lab\nregion: cn-hangzhou\njobs:\n  train:\n    product: ack\n    run: echo hello\n    timeout: 30m\n{indented}"
    )
}

fn cluster(name: &str) -> (ClusterFound, Readiness) {
    let found = ClusterFound {
        id: "c0123".to_owned(),
        name: name.to_owned(),
        state: "running".to_owned(),
        vpc_id: "vpc-other".to_owned(),
        ..ClusterFound::default()
    };
    (found, Readiness { ready_nodes: 2, forbidden: Vec::new() })
}

#[test]
fn a_cluster_is_made_for_the_job_and_released_with_it() {
    let plan = Stage::new(&lab("needs: { cpu: 2, memory: 8GiB }\noutputs: [model/]")).plan();
    let released: Vec<String> = plan.released.keys().map(ToString::to_string).collect();
    assert_eq!(released, ["vpc.main", "vswitch.cn-hangzhou-h", "cluster.main", "bucket.main", "bundle.train"]);
    let cluster = &plan.wanted[&address("cluster.main")].spec;
    assert_eq!((&cluster["name"], &cluster["pro"]), (&json!("lab"), &json!(false)));
    assert_eq!((&cluster["pod_cidr"], &cluster["service_cidr"]), (&json!("172.20.0.0/16"), &json!("172.21.0.0/20")));
    assert_eq!((&cluster["pools"][0]["instance_type"], &cluster["pools"][0]["nodes"]), (&json!("ecs.g7.large"), &json!(1)));
    // The basic edition has no fee: half an hour of the node at 0.50 CNY an hour and of the address of the API at 0.02 CNY, and
    // its load balancer at 0.147 CNY for each of the two hours that may be begun.
    assert_eq!(plan.cost.once.sums[0].rounded(3).to_string(), "0.554 CNY");
    // The node, which costs as long as the cluster may take to come and to go: 30 + 30 + 40 minutes.
    assert_eq!(plan.cost.unattended.sums[0].rounded(3).to_string(), "1.308 CNY");
    // What its load balancer carries has no known price, and that is said.
    assert!(plan.cost.once.unknown);
    let job = &plan.wanted[&address("kubernetes_job.train")].spec;
    assert_eq!(job["image"], "alibaba-cloud-linux-3-registry.cn-hangzhou.cr.aliyuncs.com/alinux3/alinux3:latest");
    assert_eq!(job["requests"], json!({ "cpu": "1000m", "memory": "4096Mi" }));
    assert!(plan.decisions.keys().all(|key| !key.contains("image[")), "{:?}", plan.decisions.keys());
    assert!(plan.findings.iter().any(|finding| finding.id == "cluster-without-end"));
}

#[test]
fn the_pro_edition_has_its_fee_and_a_network_of_another_range_gets_other_pods() {
    let network = "network: { vpc: { cidr: 172.16.0.0/12 } }\n";
    let plan = Stage::new(
        &(lab("needs: { cpu: 2, memory: 8GiB }\ncluster: { edition: pro }\ntimeout: 1h").replacen("    timeout: 30m\n", "", 1) + network),
    )
    .plan();
    assert_eq!(plan.cost.once.sums[0].rounded(2).to_string(), "1.45 CNY");
    assert_eq!(plan.wanted[&address("cluster.main")].spec["pod_cidr"], "10.0.0.0/16");
}

#[test]
fn the_cluster_of_the_stacks_name_is_used_and_never_released() {
    let mut stage = Stage::new(&lab("image: registry-vpc.cn-hangzhou.aliyuncs.com/lab/train:1"));
    stage.lookup.clusters = vec![cluster("lab")];
    let plan = stage.plan();
    let all: Vec<String> = plan.changes.iter().map(|change| change.address.to_string()).collect();
    assert_eq!(all, ["bucket.main", "bundle.train", "kubernetes_job.train"]);
    assert_eq!((plan.used[0].what.as_str(), plan.used[0].id.as_str()), ("cluster", "c0123"));
    let job = &plan.wanted[&address("kubernetes_job.train")].spec;
    assert_eq!((&job["cluster_id"], &job["image"]), (&json!("c0123"), &json!("registry-vpc.cn-hangzhou.aliyuncs.com/lab/train:1")));
    assert!(job.get("nodes").is_none() && plan.cost.once.sums.is_empty());
}

#[test]
fn a_cluster_of_this_very_stack_is_no_strangers() {
    let mut stage = Stage::new(&lab(""));
    let mut own = cluster("lab");
    own.0.tags = vec![("aliform:lineage".to_owned(), "0123456789abcdef0123456789abcdef".to_owned())];
    stage.lookup.clusters = vec![own];
    assert_eq!(change(&stage.plan(), "cluster.main").action, Action::Create);
}

#[test]
fn a_cluster_that_can_not_run_the_job_is_said_before_anything_is_made() {
    let refusal = |lines: &str, change: fn(&mut (ClusterFound, Readiness))| {
        let mut stage = Stage::new(&lab(lines));
        let mut there = cluster("lab");
        change(&mut there);
        stage.lookup.clusters = vec![there];
        stage.refusal()
    };
    let said = refusal("", |there| there.1.ready_nodes = 0);
    assert!(said.contains("none of its nodes is ready") && said.contains("cluster: { name: ... }"), "{said}");
    let said = refusal("", |there| there.1.forbidden = vec!["create batch/jobs".to_owned()]);
    assert!(said.contains("you may not `create batch/jobs`") && said.contains("a role that allows that"), "{said}");
    let said = refusal("", |there| there.0.state = "initial".to_owned());
    assert!(said.contains("its state is `initial`"), "{said}");
    let said = refusal("cluster: { id: c9 }", |_| ());
    assert!(said.contains("there is no cluster `c9` in `cn-hangzhou`"), "{said}");
}

#[test]
fn two_jobs_share_the_cluster_and_each_has_its_nodes() {
    let both = lab("") + "  eval: { product: ack, run: python3 eval.py, needs: { cpu: 2, memory: 8GiB } }\n";
    let stage = Stage::new(&both);
    stage.write("requirements.txt", "");
    stage.write("eval.py", "print(1)");
    let plan = stage.plan();
    let pools = &plan.wanted[&address("cluster.main")].spec["pools"];
    assert_eq!((&pools[0]["job"], &pools[1]["job"], pools.as_array().unwrap().len()), (&json!("eval"), &json!("train"), 2));
    let job = &plan.wanted[&address("kubernetes_job.eval")].spec;
    assert!(job["image"].as_str().unwrap().ends_with("/alinux3/python:3.11.1"));
    assert_eq!(job["nodes"], json!(["aliform/job", "eval"]));
    assert_eq!(plan.released[&address("cluster.main")].len(), 2);
}
