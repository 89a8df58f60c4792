//! The files of a pod's volumes, written to its machine before a container starts. Contents may be secrets: they go
//! into the machine and nowhere else.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::environment::entries;
use super::{AGAIN, Worker, script};
use crate::local_cloud::kubernetes::pod::{FilesFrom, PodSpec};
use crate::local_cloud::machines::{FileSpec, MachineSpec};

/// Writes all files; tries again until what they come from is there. `None` if the server ended.
pub(super) async fn fill(worker: &Worker, machine: &MachineSpec, spec: &PodSpec) -> Option<()> {
    for volume in &spec.volumes {
        for (source, is_secret) in [(&volume.config_map, false), (&volume.secret, true)] {
            let Some(source) = source else { continue };
            while !worker.is_ending() {
                let files = worker.change(|space, _| entries(space, &worker.key.namespace, is_secret, &source.name)).await.flatten();
                let wanted = match files {
                    Some(found) => choose(source, found),
                    None if source.optional => Ok(Vec::new()),
                    None => Err(format!("{} \"{}\" not found", if is_secret { "secret" } else { "configmap" }, source.name)),
                };
                let written = match wanted {
                    Ok(files) => write(worker, machine, &volume.name, files).await?,
                    Err(problem) => Err(problem),
                };
                let Err(problem) = written else { break };
                worker.event(true, "FailedMount", &format!("MountVolume.SetUp failed for volume \"{}\" : {problem}", volume.name)).await;
                worker.rest(AGAIN).await;
            }
        }
    }
    Some(())
}

/// The files that a volume is to hold: path, permission bits, content.
fn choose(source: &FilesFrom, mut found: BTreeMap<String, Vec<u8>>) -> Result<Vec<(String, u32, Vec<u8>)>, String> {
    let usual = source.default_mode.unwrap_or(0o644);
    if source.items.is_empty() {
        return Ok(found.into_iter().map(|(key, content)| (key, usual, content)).collect());
    }
    let mut chosen = Vec::new();
    for item in &source.items {
        match found.remove(&item.key) {
            Some(content) => chosen.push((item.path.clone(), item.mode.unwrap_or(usual), content)),
            None if source.optional => {}
            None => return Err(format!("references non-existent config key: {}", item.key)),
        }
    }
    Ok(chosen)
}

async fn write(worker: &Worker, machine: &MachineSpec, volume: &str, files: Vec<(String, u32, Vec<u8>)>) -> Option<Result<(), String>> {
    let machines = Arc::clone(&worker.weak.upgrade()?.machines);
    for (path, mode, content) in files {
        let file = FileSpec {
            path: format!("{}/{path}", script::volume(volume)),
            content,
            owner: "root".to_owned(),
            group: "root".to_owned(),
            mode,
            overwrite: true,
        };
        if let Err(fault) = machines.write_file(machine, file).await {
            return Some(Err(format!("`{path}`: {fault}")));
        }
    }
    Some(Ok(()))
}
