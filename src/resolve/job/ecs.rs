//! A job on a virtual machine of its own.

use std::collections::BTreeSet;

use super::matrix;
use super::{SLACK, Task};
use crate::manifest::{InstanceChoice, Located, Product, Spot};
use crate::model::address::{Address, Kind};
use crate::model::finding::{Finding, Severity};
use crate::model::value::{Reference, Value};
use crate::project::scripts::job::{JobSettings, job_scripts};
use crate::resolve::app::{json, package_manager};
use crate::resolve::choose::{self, Wish};
use crate::resolve::error::ResolveError;
use crate::resolve::network::Network;
use crate::resolve::{Draft, release};
use crate::resources::desired::Node;
use crate::resources::instance::{DiskSpec, InstanceSpec, Power, SpotSpec};
use crate::resources::name;
use crate::resources::run::RunSpec;
use crate::resources::security_group::SecurityGroupSpec;

/// Mbit/s of a machine that has to fetch something.
pub(in crate::resolve) const FETCHING: u32 = 50;

/// What a person should know of a machine that is bought on the market.
pub(super) fn reclaimable(instance: &Address, spot: &Located<Spot>) -> Finding {
    let cap = spot.value.cap.map_or_else(
        || "its price moves with the market".to_owned(),
        |cap| format!("it goes when the market asks more than {cap} an hour"),
    );
    let what = if instance.kind == Kind::Cluster { "each node" } else { "this machine" };
    Finding {
        id: "spot-may-be-reclaimed".to_owned(),
        severity: Severity::Warning,
        address: Some(instance.clone()),
        message: format!("the cloud may take {what} back at any time after its first hour, five minutes after saying so; {cap}"),
        evidence: None,
        hint: Some("what is lost then has to run again; leave `spot` out for a machine that stays".to_owned()),
    }
}

/// Adds its resources.
pub(super) async fn add(draft: &mut Draft<'_>, network: &Network, task: &Task<'_>) -> Result<(), ResolveError> {
    let job = task.job;
    let name = job.name.value.clone();
    let stack = draft.manifest.stack.value.clone();
    let choice = InstanceChoice::Needs(job.needs.clone());
    let wish = Wish {
        key: format!("jobs.{name}"),
        location: &job.name.location,
        choice: &choice,
        image: None,
        disk: None,
        spot: job.spot.as_ref(),
        seconds: Some(task.limit * job.runs()),
        keeps: job.keep,
        product: Product::Ecs,
    };
    let machine = choose::machine(draft, &wish, &network.zones(draft)).await?;
    task.check_image(&machine.image_family, package_manager(&machine.image_family))?;
    let (bundle, bucket) = task.add_files(draft);
    let limit = task.limit;

    let group = Address::new(Kind::SecurityGroup, &name);
    let (vpc_id, depends_on) = network.vpc(draft);
    let group_id = match &network.security_group {
        Some(id) => Value::Known(id.clone()),
        None => {
            // Nobody has to reach it: Cloud Assistant comes from within.
            let spec = SecurityGroupSpec { name: name::of(&stack, &group), vpc_id, rules: Vec::new().into_iter().collect() };
            draft.desired.nodes.insert(group.clone(), Node { spec: json(&spec), depends_on });
            Value::Pending(Reference::new(group.clone(), "id"))
        }
    };
    let (shares, machines) = matrix::shares(job);
    matrix::check_names(draft, task, &shares)?;
    for (number, machine_name) in machines.iter().enumerate() {
        let queue = shares.iter().filter(|share| share.machine == number).count() as u64;
        let instance = Address::new(Kind::Instance, machine_name);
        let machine = draft.placed(&instance, machine.clone());
        let (vswitch_id, mut depends_on) = network.vswitch(draft, &machine.zone);
        if network.security_group.is_none() {
            depends_on.insert(group.clone());
        }
        let spec = InstanceSpec {
            name: name::of(&stack, &instance),
            zone: machine.zone.clone(),
            instance_type: machine.instance_type.clone(),
            image_id: machine.image.clone(),
            vswitch_id,
            security_group_id: group_id.clone(),
            system_disk: DiskSpec {
                category: machine.disk_category.clone(),
                performance_level: machine.disk_level.clone(),
                size: machine.disk_size,
            },
            bandwidth: if task.fetcher().fetches().is_some() { FETCHING } else { 0 },
            power: Power::Running,
            // It runs its queue one after another.
            release_after: (!job.keep).then_some(limit * queue + SLACK),
            spot: job.spot.as_ref().map(|spot| SpotSpec { cap: spot.value.cap }),
        };
        draft.desired.findings.extend(job.spot.as_ref().map(|spot| reclaimable(&instance, spot)));
        draft.desired.nodes.insert(instance.clone(), Node { spec: json(&spec), depends_on });
        draft.desired.fallbacks.insert(instance, machine.fallbacks);
    }
    let scripts = job_scripts(&JobSettings {
        stack,
        job: name.clone(),
        digest: task.digest.clone(),
        command: task.command.clone(),
        limit,
        environment: task.plain.clone(),
        secrets: !task.secrets.is_empty(),
        outputs: task.outputs.clone(),
    });
    for share in shares {
        let run = Address::new(Kind::Run, &share.name);
        let instance = Address::new(Kind::Instance, &machines[share.machine]);
        matrix::remember(draft, &run, &share);
        let spec = RunSpec {
            job: share.name.clone(),
            digest: matrix::digest(&task.digest, &share),
            instance_id: Value::Pending(Reference::new(instance.clone(), "id")),
            bucket: Value::Pending(Reference::new(bucket.clone(), "id")),
            bundle_key: Value::Pending(Reference::new(bundle.clone(), "key")),
            bundle_digest: task.bundle.digest.clone(),
            limit,
            secrets: task.secrets.clone(),
            outputs: task.outputs.clone(),
            start_script: scripts.start.clone(),
            look_script: scripts.look.clone(),
            deliver_script: scripts.deliver.clone(),
            log_script: scripts.log.clone(),
            part: share.part,
        };
        let depends_on = BTreeSet::from([instance, bundle.clone(), bucket.clone()]);
        draft.desired.nodes.insert(run.clone(), Node { spec: json(&spec), depends_on });
        if !job.keep {
            release::serve(&mut draft.passing, &run);
        }
    }
    Ok(())
}
