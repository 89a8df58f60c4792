//! A job: what it runs and which files go along, the same for every product. What it becomes there stands in one file
//! for each product.

mod ack;
mod container;
pub(super) mod ecs;
mod fc;
mod framework;
mod matrix;
mod pai;

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::Draft;
use super::app::{add_bundle, plain};
use super::error::{ResolveError, refused};
use super::network::Network;
use super::region::Fetcher;
use super::select::product;
use crate::manifest::{EnvValue, Job, Manifest, Product, Work};
use crate::model::address::Address;
use crate::model::diagnostic::Location;
use crate::model::finding::Finding;
use crate::model::secret::SecretSource;
use crate::project::bundle::{Bundle, PackError, Selection, pack, pack_selected};
use crate::project::checks::{Provided, Scripts};
use crate::project::code::Script;
use crate::project::fetches::{Fetch, Ground, fetches};
use crate::project::scripts::PackageManager;

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
    /// What it runs, as it can be looked into.
    scripts: Scripts,
    /// What a person should know of that.
    findings: Vec<Finding>,
    /// What it fetches.
    fetches: Vec<Fetch>,
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
    let packed = match (pack(&manifest.base), &job.work) {
        // Commands may need no file.
        (Err(PackError::Empty(base)), Work::Run(_)) => pack_selected(&base, &Selection::default()),
        (packed, _) => packed,
    };
    let packed = packed.map_err(|source| ResolveError::Pack {
        location: job.name.location.clone(),
        name: name.clone(),
        source: Box::new(source),
    })?;
    let (command, first) = match &job.work {
        Work::Run(text) => (text.value.clone(), Script::commands(&text.value, &text.location.file, first_line(&text.location))),
        Work::Script(path) => {
            let base = manifest.base.canonicalize().unwrap_or_else(|_| manifest.base.clone());
            let relative = path.value.strip_prefix(&base).unwrap_or(&path.value).display().to_string();
            let text = std::fs::read(&path.value).map_err(|error| {
                impossible(job, format!("the script `{relative}` can't be read: {error}"), "look at who may read it; nothing was created")
            })?;
            let text = String::from_utf8_lossy(&text).into_owned();
            (interpreted(&relative, &text), Script::file(&relative, &text))
        }
    };
    let mut scripts = Scripts::of(first, &manifest.base);
    refused(scripts.complaints())?;
    let provided = match job.product.as_ref().map(|product| product.value) {
        Some(Product::Pai) => Provided::Frameworks,
        Some(Product::Ack) => Provided::Unknown,
        // What an image holds that somebody else made, nobody can tell.
        _ if job.image.is_some() => Provided::Unknown,
        _ => Provided::Nothing,
    };
    let findings = scripts.findings(&manifest.base, provided);
    if packed.files.iter().any(|file| file.path == "requirements.txt") {
        // The runner installs it before anything else.
        let text = std::fs::read_to_string(manifest.base.join("requirements.txt")).unwrap_or_default();
        let named = |line: &str| line.trim().starts_with(|c: char| c.is_ascii_alphanumeric());
        if let Some(line) = text.lines().position(named) {
            let line = u32::try_from(line + 1).unwrap_or(u32::MAX);
            scripts.all.insert(0, Script::commands("pip install -r requirements.txt", "requirements.txt", line));
        }
    }
    let plain = plain(&job.env);
    let fetches = fetches(&scripts.all, Ground { folder: &manifest.base, environment: &plain });
    let secrets = job.env.iter().filter_map(|(name, value)| match value {
        EnvValue::From(source) => Some((name.clone(), source.value.clone())),
        EnvValue::Plain(_) => None,
    });
    let limit = limit(job);
    Ok(Task {
        digest: digest(job, &command, &packed.digest, limit),
        job,
        command,
        bundle: packed,
        limit,
        plain,
        secrets: secrets.collect(),
        outputs: job.outputs.iter().map(|output| output.value.clone()).collect(),
        scripts,
        findings,
        fetches,
    })
}

/// The line of the manifest on which a text begins: a block begins behind its mark.
pub(super) fn first_line(location: &Location) -> u32 {
    let block = location.text.trim_end().trim_end_matches(['-', '+']).ends_with(['|', '>']);
    location.line + u32::from(block)
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
    job.image.iter().for_each(|image| add(&image.value));
    if job.workers > 1 {
        add(&job.workers.to_string());
    }
    hex::encode(sum.finalize())
}

/// The command that runs a script: by its first line, else by its name.
pub(super) fn interpreted(path: &str, text: &str) -> String {
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
    pub(super) fn fetcher(&self) -> Fetcher {
        Fetcher { who: format!("job `{}`", self.job.name.value), fetches: self.fetches.clone() }
    }

    /// Refuses scripts that install with another package manager than that of the image they run on.
    fn check_image(&self, image: &str, manager: PackageManager) -> Result<(), ResolveError> {
        refused(self.scripts.unfit(image, manager))
    }

    /// The same for a container: as far as the name of an image tells what it is built on.
    fn check_container(&self, image: &str) -> Result<(), ResolveError> {
        container::package_manager(image).map_or(Ok(()), |manager| self.check_image(image, manager))
    }

    /// Adds its files: the address of the bundle, and that of the bucket it lies in.
    fn add_files(&self, draft: &mut Draft<'_>) -> (Address, Address) {
        draft.desired.findings.extend(self.bundle.findings.iter().chain(&self.findings).cloned());
        draft.bundles.keep(self.bundle.digest.clone(), self.bundle.archive.clone());
        add_bundle(draft, &self.job.name.value, &self.bundle)
    }
}

/// How long a job may run, in seconds.
pub(super) fn limit(job: &Job) -> u64 {
    job.timeout.as_ref().map_or(DEFAULT_LIMIT, |timeout| timeout.seconds())
}

/// Adds the resources of one job.
pub(super) async fn add(draft: &mut Draft<'_>, network: &Network, task: Task<'_>) -> Result<(), ResolveError> {
    if let Some(traffic) = &task.job.traffic {
        draft.desired.traffic.insert(task.job.name.value.clone(), traffic.value.mebibytes());
    }
    match product::choose(draft, &network.zones(draft), task.job, task.limit).await? {
        Product::Ecs => ecs::add(draft, network, &task).await,
        Product::Fc => fc::add(draft, network, &task),
        Product::Ack => ack::add(draft, network, &task).await,
        Product::Pai => pai::add(draft, network, &task).await,
    }
}
