//! DeleteCluster, and the way of a deleted cluster to its end: pods, nodes, the security group, then all that is known
//! of it. What it did not make stays.

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::{Deletion, find, invalid, pool, task};
use crate::local_cloud::kubernetes::log;
use crate::local_cloud::kubernetes::space::Space;
use crate::local_cloud::roa::RoaCall;
use crate::local_cloud::runtime::Shared;
use crate::local_cloud::time::after;
use crate::local_cloud::wire::fault::Fault;
use crate::local_cloud::{billing, security_group};

/// How far a deletion is.
pub(crate) enum Step {
    Gone,
    Until(Option<Timestamp>),
}

/// DeleteCluster.
pub(super) async fn cluster(call: &RoaCall<'_>, id: &str) -> Result<Json, Fault> {
    let keep_all = call.params.boolean("retain_all_resources")?;
    call.params.boolean("keep_slb")?;
    let retained: Vec<String> = match call.params.text("retain_resources") {
        None => Vec::new(),
        Some(text) => serde_json::from_str(text).map_err(|_| invalid("retain_resources must be a list of ids"))?,
    };
    call.commit(|inner| {
        let row = find(call, inner.world, id)?.clone();
        if row.deletion_protection {
            let message = "deletion protection is enabled for the cluster; disable it first";
            return Err(Fault::bad("ErrorDeletionProtection", message));
        }
        if let Some(deletion) = &row.deletion
            && deletion.failure.is_none()
        {
            return Ok(json!({ "cluster_id": id, "task_id": deletion.task, "request_id": call.request_id }));
        }
        let mut retained = retained.clone();
        if keep_all {
            retained.push(row.security_group.clone());
            retained.extend(pool::instances(inner.world, id).into_iter().map(|(instance, _)| instance));
        }
        let task = task::begin(inner, "cluster_delete", id, ("cluster", id), None);
        let not_before = after(inner.now, inner.config.latency.of(|latency| latency.cluster_deleting));
        let deletion = Deletion { task: task.clone(), not_before, retained: retained.clone(), failure: None };
        if let Some(row) = inner.world.clusters.get_mut(id) {
            row.deletion = Some(deletion);
            row.updated = inner.now;
        }
        billing::stop(inner.world, id, None, inner.now);
        let stopping = inner.config.latency.of(|latency| latency.instance_stopping);
        let pools: Vec<String> = pool::of_cluster(inner.world, id).map(|pool| pool.id.clone()).collect();
        for pool in pools {
            if let Some(row) = inner.world.node_pools.get_mut(&pool) {
                // They stay as what they are, and are nobody's nodes any more.
                row.instances.retain(|instance| !retained.contains(instance));
                // Without a task of its own: that of the cluster ends later.
                row.deletion.get_or_insert_default();
            }
            pool::release_all(inner.world, &pool, stopping, inner.now);
        }
        inner.world.index.kubernetes.wake(id);
        Ok(json!({ "cluster_id": id, "task_id": task, "request_id": call.request_id }))
    })
    .await
}

/// Does what can be done now.
pub(crate) fn go_on(space: &mut Space, shared: &Shared) -> Step {
    let Some(row) = space.world.clusters.get(space.cluster).cloned() else { return Step::Gone };
    let Some(deletion) = row.deletion.clone().filter(|deletion| deletion.failure.is_none()) else { return Step::Until(None) };
    pool::go_on(space, shared);
    if space.now < deletion.not_before {
        return Step::Until(Some(deletion.not_before));
    }
    // Whoever looks after a pod sees that the cluster goes, and says when the pod's machine is away.
    let pods_run = space
        .all(&crate::local_cloud::kubernetes::kind::PODS, None)
        .into_iter()
        .any(|pod| space.world.index.kubernetes.workers.contains(crate::local_cloud::kubernetes::space::uid_of(pod)));
    if pods_run || pool::of_cluster(space.world, space.cluster).next().is_some() {
        return Step::Until(None);
    }
    if row.own_group && !deletion.retained.contains(&row.security_group) {
        let (config, catalog, now) = (&shared.config, shared.catalog, space.now);
        if space.world.index.haunted(&row.security_group, "Instance", now) {
            let again = config.latency.of(|latency| latency.delete_consistency).max(std::time::Duration::from_millis(50));
            return Step::Until(Some(after(now, again)));
        }
        let params = crate::local_cloud::wire::params::Params::made_up([("SecurityGroupId".to_owned(), row.security_group.clone())]);
        let caller = crate::local_cloud::auth::Caller::default();
        let mut call = crate::local_cloud::call::Call {
            world: &mut *space.world,
            config,
            catalog,
            keys: &shared.keys,
            now,
            caller: &caller,
            params: &params,
        };
        if let Err(fault) = security_group::delete(&mut call)
            && fault.status != 404
        {
            let why = format!("security group {}: {}", row.security_group, fault.message);
            if let Some(row) = space.world.clusters.get_mut(space.cluster) {
                row.deletion = Some(Deletion { failure: Some(why.clone()), ..deletion.clone() });
            }
            task::end(space.world, &deletion.task, now, Some((fault.code, why)));
            return Step::Until(None);
        }
    }
    let prefix = format!("{}/", space.cluster);
    let keys: Vec<String> = space.world.kubernetes.starting_with(&prefix).map(|(key, _)| key.to_owned()).collect();
    keys.iter().for_each(|key| drop(space.world.kubernetes.remove(key)));
    log::forget(space.world, &prefix);
    space.world.clusters.remove(space.cluster);
    task::end(space.world, &deletion.task, space.now, None);
    Step::Gone
}
