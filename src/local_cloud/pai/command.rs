//! What runs in a pod: the script, and the variables by which the pods of a job know each other. The machines behind pods
//! can't reach each other by private address: whoever needs a peer at these addresses waits for it in vain.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::job::{Job, Pod};
use crate::local_cloud::machines::CommandSpec;

/// The port of the master.
const MASTER_PORT: u16 = 23_456;
/// The port of each TensorFlow server.
const TENSORFLOW_PORT: u16 = 2222;
/// Longer than any job: its own limit is kept by whoever looks after it.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The command of a pod's present life.
pub(super) fn of(job: &Job, pod: &Pod) -> CommandSpec {
    let role = &job.roles[pod.role];
    let command = role.command.as_deref().or_else(|| job.asked["UserCommand"].as_str()).unwrap_or_default();
    let posix = matches!(job.asked["Settings"]["Shell"].as_str(), Some("sh" | "/bin/sh"));
    CommandSpec {
        id: pod.life.uid.clone(),
        script: script(job, command).into_bytes(),
        interpreter: if posix { "/bin/sh" } else { "/bin/bash" },
        working_directory: None,
        user: None,
        environment: environment(job, pod),
        timeout: FOREVER,
        kill_tree: true,
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The command after the libraries that the job asks for.
fn script(job: &Job, command: &str) -> String {
    let mut script = String::new();
    if let Some(folder) = job.asked["ThirdpartyLibDir"].as_str().filter(|folder| !folder.is_empty()) {
        let file = quoted(&format!("{}/requirements.txt", folder.trim_end_matches('/')));
        script.push_str(&format!(
            "if [ -f {file} ]; then python3 -m pip install -r {file} || exit 1\nelse echo WARN: {file} not found, skip installing requirements.\nfi\n"
        ));
    }
    let libraries: Vec<String> =
        job.asked["ThirdpartyLibs"].as_array().into_iter().flatten().filter_map(|lib| lib.as_str()).map(quoted).collect();
    if !libraries.is_empty() {
        script.push_str(&format!("python3 -m pip install {} || exit 1\n", libraries.join(" ")));
    }
    script.push_str(command);
    script.push('\n');
    script
}

fn environment(job: &Job, pod: &Pod) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    let mut set = |name: &str, value: String| drop(all.insert(name.to_owned(), value));
    set("JOB_NAME", job.id.clone());
    set("HOSTNAME", pod.id.clone());
    set("PYTHONUNBUFFERED", "1".to_owned());
    set("REGION", job.region.clone());
    if job.job_type == "TFJob" {
        set("TF_CONFIG", tensorflow(job, pod));
    } else {
        let master = job.pods.first().map_or("", |pod| pod.id.as_str());
        let gpus = job.roles[pod.role].gpus;
        set("MASTER_ADDR", master.to_owned());
        set("MASTER_PORT", MASTER_PORT.to_string());
        set("WORLD_SIZE", job.pods.len().to_string());
        set("RANK", pod.rank.to_string());
        set("NPROC_PER_NODE", gpus.max(1).to_string());
    }
    if matches!(job.job_type.as_str(), "MPIJob" | "SlurmJob") {
        let hosts: Vec<&str> = job.pods.iter().skip(1).map(|pod| pod.id.as_str()).collect();
        set("HOSTS", hosts.join(","));
    }
    let pairs = |value: &serde_json::Value| match value.as_object() {
        Some(fields) => fields.iter().filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect(),
        None => Vec::new(),
    };
    all.extend(pairs(&job.asked["Envs"]));
    for env in job.asked["CustomEnvs"].as_array().into_iter().flatten() {
        if let (Some(name), Some(value)) = (env["Key"].as_str(), env["Value"].as_str()) {
            all.insert(name.to_owned(), value.to_owned());
        }
    }
    all
}

/// Who serves what in a TensorFlow cluster, and which of them this pod is.
fn tensorflow(job: &Job, pod: &Pod) -> String {
    let mut cluster: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for other in job.pods.iter().filter(|other| other.kind != "evaluator") {
        cluster.entry(&other.kind).or_default().push(format!("{}:{TENSORFLOW_PORT}", other.id));
    }
    let index = job.pods.iter().filter(|other| other.kind == pod.kind).position(|other| other.id == pod.id).unwrap_or(0);
    json!({ "cluster": cluster, "task": { "type": pod.kind, "index": index }, "environment": "cloud" }).to_string()
}
