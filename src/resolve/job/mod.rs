//! A job: what it runs and which files go along, the same for every product. What it becomes there stands in one file
//! for each product.

mod ecs;
mod matrix;

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::Draft;
use super::app::add_bundle;
use super::error::ResolveError;
use super::network::Network;
use super::region::Fetcher;
use crate::manifest::{EnvValue, Job, Manifest, Product, Work};
use crate::model::address::Address;
use crate::model::secret::SecretSource;
use crate::project::bundle::{Bundle, pack};

/// How long a job may run that says nothing of it, in seconds.
const DEFAULT_LIMIT: u64 = 3600;
/// How much longer what it runs on may live than the job may run: booting, installing, delivering.
const SLACK: u64 = 1800;

/// What a job comes to: its command and its files.
pub(super) struct Task<'a> {
    pub(super) job: &'a Job,
    /// The command for `sh`.
    command: String,
    bundle: Bundle,
    /// How long it may run, in seconds.
    limit: u64,
    /// Its environment, as far as it is no secret.
    plain: BTreeMap<String, String>,
    /// The secrets of its environment: where each is read.
    secrets: BTreeMap<String, SecretSource>,
    /// What it brings back.
    outputs: Vec<String>,
    /// What tells this run from others.
    digest: String,
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
    let plain = job.env.iter().filter_map(|(name, value)| match value {
        EnvValue::Plain(text) => Some((name.clone(), text.value.clone())),
        EnvValue::From(_) => None,
    });
    let secrets = job.env.iter().filter_map(|(name, value)| match value {
        EnvValue::From(source) => Some((name.clone(), source.value.clone())),
        EnvValue::Plain(_) => None,
    });
    let limit = job.timeout.as_ref().map_or(DEFAULT_LIMIT, |timeout| timeout.seconds());
    Ok(Task {
        digest: digest(job, &command, &packed.digest, limit),
        job,
        command,
        bundle: packed,
        limit,
        plain: plain.collect(),
        secrets: secrets.collect(),
        outputs: job.outputs.iter().map(|output| output.value.clone()).collect(),
        commands,
    })
}

/// What tells this run from others.
fn digest(job: &Job, command: &str, bundle: &str, limit: u64) -> String {
    let mut sum = Sha256::new();
    let mut add = |text: &str| {
        sum.update((text.len() as u64).to_be_bytes());
        sum.update(text);
    };
    add(command);
    add(bundle);
    add(&limit.to_string());
    for (name, value) in &job.env {
        add(name);
        add(&match value {
            EnvValue::Plain(text) => text.value.clone(),
            EnvValue::From(source) => source.value.to_string(),
        });
    }
    job.outputs.iter().for_each(|output| add(&output.value));
    hex::encode(sum.finalize())
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

    /// Adds its files: the address of the bundle, and that of the bucket it lies in.
    fn add_files(&self, draft: &mut Draft<'_>) -> (Address, Address) {
        draft.desired.findings.extend(self.bundle.findings.iter().cloned());
        draft.bundles.keep(self.bundle.digest.clone(), self.bundle.archive.clone());
        add_bundle(draft, &self.job.name.value, &self.bundle)
    }
}

/// Adds the resources of one job.
pub(super) async fn add(draft: &mut Draft<'_>, network: &Network, task: Task<'_>) -> Result<(), ResolveError> {
    match task.job.product.as_ref().map(|product| (product.value, &product.location)) {
        // The runs of a matrix share machines.
        _ if !task.job.matrix.is_empty() => ecs::add(draft, network, &task).await,
        None | Some((Product::Ecs, _)) => ecs::add(draft, network, &task).await,
        Some((_, location)) => Err(ResolveError::JobsNotPlanned { location: location.clone(), job: task.job.name.value.clone() }),
    }
}
