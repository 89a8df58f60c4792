//! A job as resources: its files, a machine of its own, the run, and what is released when that is over.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::app::{add_bundle, json};
use super::choose::{self, Wish};
use super::error::ResolveError;
use super::network::Network;
use super::region::Fetcher;
use super::{Draft, release};
use crate::manifest::{EnvValue, InstanceChoice, Job, Manifest, Product, Work};
use crate::model::address::{Address, Kind};
use crate::model::value::{Reference, Value};
use crate::project::bundle::{Bundle, pack};
use crate::project::scripts::job::{JobSettings, job_scripts};
use crate::resources::desired::Node;
use crate::resources::instance::{DiskSpec, InstanceSpec, Power};
use crate::resources::name;
use crate::resources::run::RunSpec;
use crate::resources::security_group::SecurityGroupSpec;

/// How long a job may run that says nothing of it, in seconds.
const DEFAULT_LIMIT: u64 = 3600;
/// How much longer its machine may live than the job may run: booting, installing, delivering.
const SLACK: u64 = 1800;
/// Mbit/s of a machine that has to fetch something.
const FETCHING: u32 = 50;

/// What a job comes to: its command and its files.
pub(super) struct Task<'a> {
    pub(super) job: &'a Job,
    command: String,
    bundle: Bundle,
    /// What it runs, with the place of each line.
    pub(super) commands: Vec<(String, String)>,
}

fn impossible(job: &Job, message: String, hint: &str) -> ResolveError {
    ResolveError::Impossible { location: job.name.location.clone(), message, hint: hint.to_owned() }
}

/// Reads the work of every job.
pub(super) fn tasks(manifest: &Manifest) -> Result<Vec<Task<'_>>, ResolveError> {
    manifest.jobs.values().map(|job| task(manifest, job)).collect()
}

fn task<'a>(manifest: &'a Manifest, job: &'a Job) -> Result<Task<'a>, ResolveError> {
    let name = &job.name.value;
    if manifest.apps.contains_key(name) {
        return Err(impossible(job, format!("`{name}` is the name of an app and of a job"), "give one of them another name"));
    }
    if let Some(product) = job.product.as_ref().filter(|product| product.value != Product::Ecs) {
        return Err(ResolveError::JobsNotPlanned { location: product.location.clone(), job: name.clone() });
    }
    let packed = pack(&manifest.base).map_err(|source| ResolveError::Pack {
        location: job.name.location.clone(),
        app: name.clone(),
        source: Box::new(source),
    })?;
    let place = |line: u32, file: &str| format!("{file}:{line}");
    let (command, mut commands) = match &job.work {
        Work::Run(text) => (text.value.clone(), vec![(text.value.clone(), place(text.location.line, &text.location.file))]),
        Work::Script(path) => {
            let base = manifest.base.canonicalize().unwrap_or_else(|_| manifest.base.clone());
            let relative = path.value.strip_prefix(&base).unwrap_or(&path.value).display().to_string();
            let text = std::fs::read_to_string(&path.value).unwrap_or_default();
            let lines = text
                .lines()
                .enumerate()
                .map(|(number, line)| (line.to_owned(), place(u32::try_from(number + 1).unwrap_or(u32::MAX), &relative)));
            (interpreted(&relative, &text), lines.filter(|(line, _)| !line.trim_start().starts_with('#')).collect())
        }
    };
    if packed.files.iter().any(|file| file.path == "requirements.txt") {
        commands.push(("pip install -r requirements.txt".to_owned(), "requirements.txt".to_owned()));
    }
    Ok(Task { job, command, bundle: packed, commands })
}

/// The command that runs a script: by its first line, else by its name.
fn interpreted(path: &str, text: &str) -> String {
    let quoted = format!("'./{}'", path.replace('\'', "'\\''"));
    if let Some(interpreter) = text.lines().next().and_then(|line| line.strip_prefix("#!")) {
        return format!("{} {quoted}", interpreter.trim());
    }
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("py") => format!("python3 {quoted}"),
        Some("js" | "mjs" | "cjs") => format!("node {quoted}"),
        Some("bash") => format!("bash {quoted}"),
        _ => format!("sh {quoted}"),
    }
}

impl Task<'_> {
    /// What the choice of a region looks at.
    pub(super) fn fetcher<'b>(&'b self, manifest: &'b Manifest) -> Fetcher<'b> {
        Fetcher { who: format!("job `{}`", self.job.name.value), folder: &manifest.base, commands: &self.commands }
    }

    /// What tells this run from others.
    fn digest(&self, limit: u64) -> String {
        let mut sum = Sha256::new();
        let mut add = |text: &str| {
            sum.update((text.len() as u64).to_be_bytes());
            sum.update(text);
        };
        add(&self.command);
        add(&self.bundle.digest);
        add(&limit.to_string());
        for (name, value) in &self.job.env {
            add(name);
            add(&match value {
                EnvValue::Plain(text) => text.value.clone(),
                EnvValue::From(source) => source.value.to_string(),
            });
        }
        self.job.outputs.iter().for_each(|output| add(&output.value));
        hex::encode(sum.finalize())
    }
}

/// Adds the resources of one job on a virtual machine.
pub(super) async fn add(draft: &mut Draft<'_>, network: &Network, task: Task<'_>) -> Result<(), ResolveError> {
    let job = task.job;
    let name = job.name.value.clone();
    let stack = draft.manifest.stack.value.clone();
    let choice = InstanceChoice::Needs(job.needs.clone());
    let wish = Wish { key: format!("jobs.{name}"), location: &job.name.location, choice: &choice, image: None, disk: None };
    let machine = choose::machine(draft, &wish, &network.zones(draft)).await?;
    let (bundle, bucket) = add_bundle(draft, &name, &task.bundle);
    let limit = job.timeout.as_ref().map_or(DEFAULT_LIMIT, |timeout| timeout.seconds());
    let run = Address::new(Kind::Run, &name);

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
    let instance = Address::new(Kind::Instance, &name);
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
        security_group_id: group_id,
        system_disk: DiskSpec {
            category: machine.disk_category.clone(),
            performance_level: machine.disk_level.clone(),
            size: machine.disk_size,
        },
        bandwidth: if task.fetcher(draft.manifest).fetches().is_some() { FETCHING } else { 0 },
        power: Power::Running,
        release_after: (!job.keep).then_some(limit + SLACK),
    };
    draft.desired.nodes.insert(instance.clone(), Node { spec: json(&spec), depends_on });

    let plain = job.env.iter().filter_map(|(name, value)| match value {
        EnvValue::Plain(text) => Some((name.clone(), text.value.clone())),
        EnvValue::From(_) => None,
    });
    let secrets: BTreeMap<_, _> = job
        .env
        .iter()
        .filter_map(|(name, value)| match value {
            EnvValue::From(source) => Some((name.clone(), source.value.clone())),
            EnvValue::Plain(_) => None,
        })
        .collect();
    let digest = task.digest(limit);
    let outputs: Vec<String> = job.outputs.iter().map(|output| output.value.clone()).collect();
    let scripts = job_scripts(&JobSettings {
        stack,
        job: name.clone(),
        digest: digest.clone(),
        command: task.command.clone(),
        limit,
        environment: plain.collect(),
        secrets: !secrets.is_empty(),
        outputs: outputs.clone(),
    });
    let spec = RunSpec {
        job: name,
        digest,
        instance_id: Value::Pending(Reference::new(instance.clone(), "id")),
        bucket: Value::Pending(Reference::new(bucket.clone(), "id")),
        bundle_key: Value::Pending(Reference::new(bundle.clone(), "key")),
        bundle_digest: task.bundle.digest.clone(),
        limit,
        secrets,
        outputs,
        start_script: scripts.start,
        look_script: scripts.look,
        deliver_script: scripts.deliver,
    };
    let depends_on = BTreeSet::from([instance, bundle, bucket]);
    draft.desired.nodes.insert(run.clone(), Node { spec: json(&spec), depends_on });
    draft.desired.findings.extend(task.bundle.findings.iter().cloned());
    draft.bundles.keep(task.bundle.digest.clone(), task.bundle.archive.clone());
    if !job.keep {
        release::serve(&mut draft.passing, &run);
    }
    Ok(())
}
