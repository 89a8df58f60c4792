//! What a machine is given as it boots: its login key, and at the first boot its user data, which is run as cloud-init
//! runs a script. User data runs at most once for each system disk, whatever happens to the server.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::watch;

use crate::local_cloud::assistant::schedule;
use crate::local_cloud::key_pair;
use crate::local_cloud::machines::{CommandSpec, FileSpec, MachineError, MachineSpec, Opening};
use crate::local_cloud::runtime::Shared;
use crate::local_cloud::store::{Task, World};

/// Where cloud-init keeps a script and what it said.
const SCRIPTS: &str = "/var/lib/cloud/instance/scripts";
const LOG: &str = "/var/log/cloud-init-output.log";
/// No source states how long user data may run; a day is ours.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Whether user data is of a kind that only a whole cloud-init understands.
pub(super) fn needs_cloud_init(data: &[u8]) -> bool {
    let starts = ["#cloud-", "#include", "#part-handler", "#upstart-job", "## template:", "Content-Type:", "MIME-Version:"];
    // The last is gzip.
    starts.iter().any(|start| data.starts_with(start.as_bytes())) || data.starts_with(&[0x1f, 0x8b])
}

/// Brings a machine up with all that its instance wants on it.
pub(crate) async fn bring_up(shared: &Arc<Shared>, machine: &MachineSpec, openings: &[Opening]) -> Result<(), MachineError> {
    let id = machine.id.as_str();
    let (wipe, key) = {
        let world = shared.world();
        let Some(instance) = world.instances.get(id) else { return Ok(()) };
        let key = instance.key_pair.as_ref().filter(|_| instance.key_pending);
        let key = key.and_then(|name| world.key_pairs.get(&key_pair::place(&instance.region, name)));
        (instance.wipe, key.map(|key| key.public_key.clone()))
    };
    if wipe {
        shared.machines.remove(id).await?;
        let ((), number) = shared.commit(|world, _| {
            if let Some(row) = world.instances.get_mut(id) {
                row.wipe = false;
            }
        });
        // If this is lost, the next server empties the machine again, and it has run nothing in between.
        drop(shared.settle(number).await);
    }
    shared.machines.boot(machine, openings).await?;
    if let Some(key) = key {
        let written = shared.machines.write_file(machine, authorized_keys(&key)).await;
        if written.is_ok() {
            shared.commit(|world, _| {
                if let Some(row) = world.instances.get_mut(id) {
                    row.key_pending = false;
                }
            });
        }
    }
    let waits = {
        let world = shared.world();
        schedule::waits_for_boot(&world, id) || world.instances.get(id).is_some_and(|row| !row.initialised)
    };
    if waits {
        let ((), number) = shared.commit(|world, now| {
            schedule::booted(world, id, now);
            begin(world, id);
        });
        drop(shared.settle(number).await);
    }
    Ok(())
}

fn begin(world: &mut World, id: &str) {
    if world.instances.get(id).is_some_and(|row| !row.initialised)
        && let Some(row) = world.instances.get_mut(id)
    {
        row.initialised = true;
        world.index.tasks.push(Task::UserData(id.to_owned()));
    }
}

fn authorized_keys(key: &str) -> FileSpec {
    FileSpec {
        path: "/root/.ssh/authorized_keys".to_owned(),
        content: format!("{key}\n").into_bytes(),
        owner: "root".to_owned(),
        group: "root".to_owned(),
        mode: 0o600,
        overwrite: true,
    }
}

/// Runs the user data of an instance whose machine is up.
pub(crate) async fn run_user_data(weak: &Weak<Shared>, id: &str) {
    let Some(shared) = weak.upgrade() else { return };
    let (machine, script) = {
        let world = shared.world();
        let Some(instance) = world.instances.get(id) else { return };
        let script = STANDARD.decode(&instance.user_data).unwrap_or_default();
        (instance.machine(&world, shared.catalog, shared.now()), script)
    };
    if !script.starts_with(b"#!") {
        // cloud-init does nothing with it either.
        return;
    }
    let file = FileSpec {
        path: format!("{SCRIPTS}/part-001"),
        content: script,
        owner: "root".to_owned(),
        group: "root".to_owned(),
        mode: 0o700,
        overwrite: true,
    };
    if shared.machines.write_file(&machine, file).await.is_err() {
        return;
    }
    // A machine without namespaces has its files below `ALIFORM_ROOT`.
    let wrapper = format!(
        "mkdir -p \"${{ALIFORM_ROOT:-}}/var/log\"\nexec \"${{ALIFORM_ROOT:-}}{SCRIPTS}/part-001\" >>\"${{ALIFORM_ROOT:-}}{LOG}\" 2>&1\n"
    );
    let command = CommandSpec {
        id: format!("user-data-{id}"),
        script: wrapper.into_bytes(),
        interpreter: "/bin/sh",
        working_directory: Some("/".to_owned()),
        user: None,
        environment: BTreeMap::new(),
        timeout: LONGEST,
        kill_tree: true,
    };
    let machines = Arc::clone(&shared.machines);
    drop(shared);
    // Nobody stops it; the sender lives as long as the script runs.
    let (_never, stop) = watch::channel(false);
    machines.run(&machine, command, Arc::new(|_: &[u8]| {}), stop).await;
}
