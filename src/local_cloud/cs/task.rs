//! Tasks: what a change of a cluster is doing, from its call to its end.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{moment, new_hex};
use crate::local_cloud::call::Call;
use crate::local_cloud::roa::RoaCall;
use crate::local_cloud::store::World;
use crate::local_cloud::time::after;
use crate::local_cloud::wire::fault::Fault;

/// How long a task that has ended is remembered. No source states it.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// A task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ClusterTask {
    pub(crate) id: String,
    /// `cluster_create`, `nodepool_create` and so on.
    pub(crate) kind: String,
    pub(crate) cluster: String,
    /// What it changes: `cluster` or `nodepool`, and its id.
    pub(crate) target: (String, String),
    pub(crate) created: Timestamp,
    /// When it ends; not known yet without it.
    pub(crate) ends: Option<Timestamp>,
    /// Why it fails: code and message.
    pub(crate) error: Option<(String, String)>,
}

impl ClusterTask {
    fn state(&self, now: Timestamp) -> &'static str {
        match self.ends {
            Some(ends) if ends <= now => {
                if self.error.is_some() {
                    "fail"
                } else {
                    "success"
                }
            }
            _ => "running",
        }
    }
}

/// Begins a task.
pub(super) fn begin(call: &mut Call, kind: &str, cluster: &str, target: (&str, &str), ends: Option<Timestamp>) -> String {
    let old: Vec<String> = call
        .world
        .cluster_tasks
        .iter()
        .filter(|(_, task)| task.ends.is_some_and(|ends| after(ends, KEPT) < call.now))
        .map(|(id, _)| id.to_owned())
        .collect();
    old.iter().for_each(|id| drop(call.world.cluster_tasks.remove(id)));
    let hex = new_hex(call.world, call.config.seed);
    let id = format!("T-{}", &hex[..24]);
    let task = ClusterTask {
        id: id.clone(),
        kind: kind.to_owned(),
        cluster: cluster.to_owned(),
        target: (target.0.to_owned(), target.1.to_owned()),
        created: call.now,
        ends,
        error: None,
    };
    call.world.cluster_tasks.insert(id.clone(), task);
    id
}

/// Ends a task.
pub(super) fn end(world: &mut World, id: &str, at: Timestamp, error: Option<(String, String)>) {
    if let Some(task) = world.cluster_tasks.get_mut(id) {
        task.ends = Some(at);
        task.error = error;
    }
}

/// DescribeTaskInfo.
pub(super) async fn describe(call: &RoaCall<'_>, id: &str) -> Result<Json, Fault> {
    call.commit(|inner| {
        let task = inner.world.cluster_tasks.get(id).ok_or_else(|| Fault::missing("ErrorTaskNotFound", "task not found"))?;
        let state = task.state(inner.now);
        let ended = task.ends.filter(|ends| *ends <= inner.now);
        let error = task.error.as_ref().filter(|_| ended.is_some());
        let mut stage = json!({ "state": state, "start_time": moment(task.created), "message": "", "outputs": {} });
        if let Some(ended) = ended {
            stage["end_time"] = moment(ended).into();
        }
        let mut answer = json!({
            "task_id": task.id,
            "task_type": task.kind,
            "cluster_id": task.cluster,
            "state": state,
            "created": moment(task.created),
            "updated": moment(ended.unwrap_or(task.created)),
            "current_stage": if ended.is_some() { "" } else { task.kind.as_str() },
            "target": { "type": task.target.0, "id": task.target.1 },
            "parameters": {},
            "stages": [stage],
            "events": [],
            "task_result": [{ "data": task.target.1, "status": state }],
            "outputs": {},
        });
        if let Some((code, message)) = error {
            answer["error"] = json!({ "code": code, "message": message });
        }
        Ok(answer)
    })
    .await
}
