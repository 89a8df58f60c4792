//! A job as a training job of PAI-DLC: its workspace, what its pods run on, and their image.

use std::collections::BTreeSet;

use rust_decimal::Decimal;

use super::framework::{self, Framework};
use super::{SLACK, Task, impossible, matrix};
use crate::model::address::{Address, Kind};
use crate::model::decision::{Decision, Rejected};
use crate::model::finding::{Finding, Severity};
use crate::model::money::Money;
use crate::model::offer::{Fallback, place_key};
use crate::model::value::{Reference, Value};
use crate::pricing::training::Spec;
use crate::project::scripts::job::{JobSettings, training_script};
use crate::resolve::app::json;
use crate::resolve::error::ResolveError;
use crate::resolve::network::Network;
use crate::resolve::select::classify;
use crate::resolve::select::fallback::{SIBLINGS, ceiling, more};
use crate::resolve::select::offers::TRAINING_LONGEST;
use crate::resolve::select::training::{self, Pods};
use crate::resolve::select::wants::{Wants, X86};
use crate::resolve::{Draft, release};
use crate::resources::desired::Node;
use crate::resources::training_job::TrainingJobSpec;
use crate::resources::workspace::{LONGEST_NAME, WorkspaceSpec};

/// How many rejected options are kept.
const SHOWN: usize = 5;
/// What the choice of a workspace says when there is none to use.
const NEW: &str = "a new one";

/// Adds its resources.
pub(super) async fn add(draft: &mut Draft<'_>, network: &Network, task: &Task<'_>) -> Result<(), ResolveError> {
    let job = task.job;
    if let Some(timeout) = job.timeout.as_ref().filter(|_| task.limit > TRAINING_LONGEST) {
        return Err(ResolveError::Impossible {
            location: timeout.location.clone(),
            message: format!("`pai` runs nothing longer than six days here, and the timeout is {}", timeout.value),
            hint: "shorten it, or take another product".to_owned(),
        });
    }
    let (instance_type, fallbacks) = spec(draft, task).await?;
    let needed = framework::needed(&classify::lines(task.job, &draft.manifest.base));
    let image = image(draft, task, &needed).await?;
    task.check_container(&image)?;
    let joined = network.joined(draft, "a training job")?;
    let (workspace_id, home) = workspace(draft).await?;
    let (bundle, bucket) = task.add_files(draft);
    let name = job.name.value.clone();
    let script = training_script(&JobSettings {
        stack: draft.manifest.stack.value.clone(),
        job: name.clone(),
        digest: task.digest.clone(),
        command: task.command.clone(),
        limit: task.limit,
        environment: task.plain.clone(),
        secrets: false,
        outputs: task.outputs.clone(),
    });
    if let Some(secret) = task.secrets.keys().next() {
        draft.desired.findings.push(readable(&Address::new(Kind::TrainingJob, &name), secret));
    }
    let shares = matrix::runs(job);
    matrix::check_names(draft, task, &shares)?;
    for share in shares {
        let run = Address::new(Kind::TrainingJob, &share.name);
        matrix::remember(draft, &run, &share);
        let region = draft.desired.region.clone();
        let placed = draft.decided(&place_key(&run, &region, &instance_type));
        let placed = placed.and_then(|place| Some(place.split_once(' ')?.1.to_owned()));
        draft.desired.fallbacks.insert(run.clone(), fallbacks.clone());
        let spec = TrainingJobSpec {
            job: share.name.clone(),
            digest: matrix::digest(&task.digest, &share),
            workspace_id: workspace_id.clone(),
            job_type: needed.framework.job_type.to_owned(),
            image: image.clone(),
            instance_type: placed.unwrap_or_else(|| instance_type.clone()),
            workers: job.workers,
            limit: task.limit,
            network: joined.clone(),
            max_minutes: u32::try_from((task.limit + SLACK).div_ceil(60)).unwrap_or(u32::MAX),
            bucket: Value::Pending(Reference::new(bucket.clone(), "id")),
            bundle_key: Value::Pending(Reference::new(bundle.clone(), "key")),
            bundle_digest: task.bundle.digest.clone(),
            secrets: task.secrets.clone(),
            outputs: task.outputs.clone(),
            script: script.clone(),
            mark: share.part.is_some().then(|| task.digest.clone()),
            part: share.part,
        };
        let depends_on: BTreeSet<Address> = home.clone().into_iter().chain([bundle.clone(), bucket.clone()]).collect();
        draft.desired.nodes.insert(run.clone(), Node { spec: json(&spec), depends_on });
        if !job.keep {
            release::serve(&mut draft.passing, &run);
        }
    }
    Ok(())
}

/// Where the secrets of a training job can be read. Source: GetJob of PAI-DLC answers `Envs` as CreateJob took them.
fn readable(job: &Address, secret: &str) -> Finding {
    Finding {
        id: "secret-in-training-job".to_owned(),
        severity: Severity::Info,
        address: Some(job.clone()),
        message: format!(
            "whoever may read the training jobs of the workspace can read the value of `{secret}`: it is in the environment of the job"
        ),
        evidence: None,
        hint: Some("hand over a key that opens little and not for long, or take another product".to_owned()),
    }
}

fn shown(price: &Option<Money>) -> String {
    price.as_ref().map_or_else(|| "its price is unknown".to_owned(), |price| format!("{} an hour", price.rounded(4)))
}

/// What may stand in for a type: the next cheapest, none much dearer, at the price of all pods.
fn fallbacks(region: &str, workers: u32, chosen: Option<Money>, others: &[(Option<Money>, Spec)]) -> Vec<Fallback> {
    let Some(chosen) = chosen else { return Vec::new() };
    let bearable = others.iter().filter_map(|(price, spec)| Some(((*price)?, spec)));
    let bearable = bearable.filter(|(price, _)| price.currency == chosen.currency && price.amount <= chosen.amount * ceiling());
    let fallback = |(price, spec): (Money, &Spec)| Fallback {
        zone: region.to_owned(),
        instance_type: spec.instance_type.clone(),
        hourly: price.times(Decimal::from(workers)),
        because: format!("{} vCPU and {} GiB, {}", spec.vcpu, spec.memory, more(price, chosen)),
    };
    bearable.take(SIBLINGS).map(fallback).collect()
}

/// What each pod runs on: the cheapest that has what is needed, and no accelerator that nobody asked for; and what may
/// stand in for it, unless it was settled before.
async fn spec(draft: &mut Draft<'_>, task: &Task<'_>) -> Result<(String, Vec<Fallback>), ResolveError> {
    let (job, needs) = (task.job, &task.job.needs);
    let wants = Wants::new(needs, X86, 0);
    let wanted = wants.words();
    let key = format!("jobs.{}.spec[{wanted}]", job.name.value);
    let settled = format!("jobs.{}.spec_for", job.name.value);
    let before = draft.decided(&key);
    if let Some(before) = &before
        && draft.decided(&settled).as_ref() == Some(before)
    {
        return Ok((before.clone(), Vec::new()));
    }
    let region = draft.desired.region.clone();
    let Pods { mut priced, sold_out, models } = training::pods(draft.around.lookup, &region, &wants).await?;
    let sold_out: Vec<Rejected> = sold_out.into_iter().map(|option| Rejected { option, because: "sold out".to_owned() }).collect();
    // What was chosen before stays the first as long as it can be had.
    priced.sort_by_key(|(_, spec)| Some(&spec.instance_type) != before.as_ref());
    if let (Some(before), false) = (&before, priced.first().is_some_and(|(_, spec)| Some(&spec.instance_type) == before.as_ref())) {
        return Ok((before.clone(), Vec::new()));
    }
    let Some((best, chosen)) = priced.first() else {
        let message =
            format!("PAI has nothing with {wanted} in `{region}`{}", if sold_out.is_empty() { "" } else { " that is not sold out" });
        let hint = match &needs.gpu {
            Some(_) if !models.is_empty() => {
                format!("it has {}", models.into_iter().map(|model| format!("`{model}`")).collect::<Vec<_>>().join(", "))
            }
            _ => "ask for another size, or name another `region`".to_owned(),
        };
        if !sold_out.is_empty() {
            let location = Box::new(job.name.location.clone());
            return Err(ResolveError::SoldOut { location, region, message, hint });
        }
        return Err(impossible(job, message, &hint));
    };
    let note = Decision {
        chosen: chosen.instance_type.clone(),
        because: "what may stand in for it was looked for".to_owned(),
        rejected: Vec::new(),
    };
    draft.decide(&settled, note);
    let fallbacks = fallbacks(&region, job.workers, *best, &priced[1..]);
    if let Some(before) = before {
        return Ok((before, fallbacks));
    }
    let pods = if job.workers > 1 { format!(" for each of {} pods", job.workers) } else { String::new() };
    let because = format!("the cheapest with {wanted} that training jobs run on: {}{pods}", shown(best));
    let dearer = priced[1..].iter().map(|(price, spec)| Rejected { option: spec.instance_type.clone(), because: shown(price) });
    let rejected = dearer.chain(sold_out).take(SHOWN).collect();
    Ok((draft.decide(&key, Decision { chosen: chosen.instance_type.clone(), because, rejected }), fallbacks))
}

/// The numbers of a version, to be compared.
fn version(framework: &str) -> Vec<u32> {
    let number = framework.rsplit(' ').next().unwrap_or_default();
    number.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

/// The image: the one that is named, or the newest official one of the framework that the script imports.
async fn image(draft: &mut Draft<'_>, task: &Task<'_>, needed: &framework::Needed) -> Result<String, ResolveError> {
    let (job, gpu) = (task.job, task.job.needs.gpu.is_some());
    if let Some(image) = &job.image {
        return Ok(image.value.clone());
    }
    let Framework { name, .. } = needed.framework;
    let chip = if gpu { "GPU" } else { "CPU" };
    let key = format!("jobs.{}.image[{name}, {chip}]", job.name.value);
    if let Some(chosen) = draft.decided(&key) {
        return Ok(chosen);
    }
    let region = draft.desired.region.clone();
    let mut images = draft.around.lookup.training_images(&region, gpu).await?;
    let of_it = |framework: &str| framework.split(' ').next().is_some_and(|word| word.eq_ignore_ascii_case(name));
    images.retain(|image| of_it(&image.framework));
    images.sort_by(|a, b| version(&b.framework).cmp(&version(&a.framework)).then_with(|| b.name.cmp(&a.name)));
    let Some(newest) = images.first() else {
        let message = format!("PAI has no official image with {name} for {chip}s in `{region}` ({})", needed.because);
        return Err(impossible(job, message, "name one: `image: registry/name:tag`"));
    };
    let because = format!("{}; the newest official image with {name} for {chip}s", needed.because);
    let others = images[1..].iter().take(SHOWN);
    let rejected =
        others.map(|image| Rejected { option: image.uri.clone(), because: format!("{} is not newer", image.framework) }).collect();
    Ok(draft.decide(&key, Decision { chosen: newest.uri.clone(), because, rejected }))
}

/// The stack's name as a workspace can have it: letters, digits and `_`.
fn workspace_name(stack: &str) -> String {
    stack.replace('-', "_")
}

/// The workspace: one of the stack's name that is there is used, else one is made for the run.
async fn workspace(draft: &mut Draft<'_>) -> Result<(Value<String>, Option<Address>), ResolveError> {
    const KEY: &str = "workspace";
    let name = workspace_name(&draft.manifest.stack.value);
    let before = draft.decided(KEY);
    if before.as_deref() != Some(NEW)
        && let Some(id) = draft.around.lookup.workspace(&draft.desired.region, &name).await?
    {
        draft.uses("workspace", &id, format!("`{name}`, by the name of the stack; used, never deleted"));
        let because = format!("a workspace `{name}` is there, by the name of the stack");
        draft.decide(KEY, Decision { chosen: id.clone(), because, rejected: Vec::new() });
        return Ok((Value::Known(id), None));
    }
    let because = format!("there is no workspace `{name}`");
    draft.decide(KEY, Decision { chosen: NEW.to_owned(), because, rejected: Vec::new() });
    let address = Address::new(Kind::Workspace, "main");
    let spec = WorkspaceSpec {
        name: name.chars().take(LONGEST_NAME).collect(),
        description: format!("made by aliform for the stack {}", draft.manifest.stack.value),
    };
    draft.desired.nodes.entry(address.clone()).or_insert_with(|| Node { spec: json(&spec), depends_on: BTreeSet::new() });
    Ok((Value::Pending(Reference::new(address.clone(), "id")), Some(address)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert!(version("PyTorch 2.10.0") > version("PyTorch 2.8.0") && version("Python") < version("Python 3.9"));
    }
}
