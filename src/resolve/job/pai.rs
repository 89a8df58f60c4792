//! A job as a training job of PAI-DLC: its workspace, what its pods run on, and their image.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use rust_decimal::Decimal;

use super::framework::{self, Framework};
use super::{SLACK, Task, impossible, matrix};
use crate::manifest::{Gpu, Needs};
use crate::model::address::{Address, Kind};
use crate::model::decision::{Decision, Rejected};
use crate::model::money::Money;
use crate::model::offer::{Fallback, place_key};
use crate::model::value::{Reference, Value};
use crate::pricing::training::{self, Spec};
use crate::project::scripts::job::{JobSettings, training_script};
use crate::resolve::app::json;
use crate::resolve::error::ResolveError;
use crate::resolve::select::classify;
use crate::resolve::select::fallback::{SIBLINGS, ceiling, more};
use crate::resolve::select::machine::generation;
use crate::resolve::{Draft, release};
use crate::resources::desired::Node;
use crate::resources::training_job::TrainingJobSpec;
use crate::resources::workspace::{LONGEST_NAME, WorkspaceSpec};

/// How many of the smallest specs that fit are priced.
const PRICED: usize = 16;
/// How many rejected options are kept.
const SHOWN: usize = 5;
/// The longest that a training job runs here, in seconds: a link to where its outputs go is good for seven days, and it
/// has to wait for its place before.
const LONGEST: u64 = 6 * 86_400;
/// What the choice of a workspace says when there is none to use.
const NEW: &str = "a new one";

/// Adds its resources.
pub(super) async fn add(draft: &mut Draft<'_>, task: &Task<'_>) -> Result<(), ResolveError> {
    let job = task.job;
    if let Some(timeout) = job.timeout.as_ref().filter(|_| task.limit > LONGEST) {
        return Err(ResolveError::Impossible {
            location: timeout.location.clone(),
            message: format!("`pai` runs nothing longer than six days here, and the timeout is {}", timeout.value),
            hint: "shorten it, or take another product".to_owned(),
        });
    }
    let (instance_type, fallbacks) = spec(draft, task).await?;
    let needed = framework::needed(&classify::lines(task.job, &draft.manifest.base));
    let image = image(draft, task, &needed).await?;
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

/// What is needed, in words.
fn words(needs: &Needs, vcpu: u32, memory: u64) -> String {
    let gpu = needs.gpu.as_ref().map(|gpu| match &gpu.model {
        Some(model) => format!(", {} x {}", gpu.count, model.value),
        None => format!(", {} x any GPU", gpu.count),
    });
    format!("{vcpu} vCPU, {}{}", crate::model::units::Size::of(memory), gpu.unwrap_or_default())
}

/// Whether accelerators are of a model: `NVIDIA V100` is, whoever made it, and so is `NVIDIA V100 32G`; an A100 is no A10.
fn is_model(gpu: &str, model: &str) -> bool {
    let plain = |text: &str| text.trim().to_ascii_lowercase().trim_start_matches("nvidia").trim_start().to_owned();
    let (gpu, model) = (plain(gpu), plain(model));
    gpu.strip_prefix(&model).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
}

fn fits(spec: &Spec, vcpu: u32, memory: u64, gpu: Option<&Gpu>) -> bool {
    let accelerated = match gpu {
        None => spec.gpus == 0,
        Some(gpu) => spec.gpus >= gpu.count && gpu.model.as_ref().is_none_or(|model| is_model(&spec.gpu, &model.value)),
    };
    accelerated && spec.vcpu >= vcpu && u64::from(spec.memory) * 1024 >= memory
}

fn shown(price: &Option<Money>) -> String {
    price.as_ref().map_or_else(|| "its price is unknown".to_owned(), |price| format!("{} an hour", price.rounded(4)))
}

/// What may stand in for a type: the next cheapest, none much dearer, at the price of all pods.
fn fallbacks(region: &str, workers: u32, chosen: Option<Money>, others: &[(Option<Money>, &Spec)]) -> Vec<Fallback> {
    let Some(chosen) = chosen else { return Vec::new() };
    let bearable = others.iter().filter_map(|(price, spec)| Some(((*price)?, spec)));
    let bearable = bearable.filter(|(price, _)| price.currency == chosen.currency && price.amount <= chosen.amount * ceiling());
    let fallback = |(price, spec): (Money, &&Spec)| Fallback {
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
    let gpu = needs.gpu.as_ref();
    let vcpu = needs.cpu.unwrap_or(if gpu.is_some() { 1 } else { 2 });
    let least = if gpu.is_some() { 1024 } else { u64::from(vcpu) * 2048 };
    let memory = needs.memory.map_or(least, |memory| memory.mebibytes());
    let wanted = words(needs, vcpu, memory);
    let key = format!("jobs.{}.spec[{wanted}]", job.name.value);
    let settled = format!("jobs.{}.spec_for", job.name.value);
    let before = draft.decided(&key);
    if let Some(before) = &before
        && draft.decided(&settled).as_ref() == Some(before)
    {
        return Ok((before.clone(), Vec::new()));
    }
    let (lookup, region) = (draft.around.lookup, draft.desired.region.clone());
    let all = lookup.training_specs(&region, gpu.is_some()).await?;
    let mut fitting: Vec<&Spec> = all.iter().filter(|spec| fits(spec, vcpu, memory, gpu)).collect();
    let sold_out: Vec<Rejected> = fitting
        .iter()
        .filter(|spec| !spec.available)
        .map(|spec| Rejected { option: spec.instance_type.clone(), because: "sold out".to_owned() })
        .collect();
    fitting.retain(|spec| spec.available);
    fitting.sort_by_key(|spec| (spec.gpus, spec.vcpu, spec.memory, &spec.instance_type));
    fitting.truncate(PRICED);
    let prices = join_all(fitting.iter().map(|spec| training::price(lookup, &region, &spec.instance_type))).await;
    let mut priced: Vec<(Option<Money>, &Spec)> = prices.into_iter().map(Result::ok).zip(fitting).collect();
    // The cheapest; of equals the newer generation, then the name. What has no price comes last, the smallest first.
    priced.sort_by_key(|(price, spec)| {
        let rank = price.map(|price| (price.amount, u32::MAX - generation(&spec.instance_type), spec.instance_type.clone()));
        (rank.is_none(), rank)
    });
    // What was chosen before stays the first as long as it can be had.
    priced.sort_by_key(|(_, spec)| Some(&spec.instance_type) != before.as_ref());
    if let (Some(before), false) = (&before, priced.first().is_some_and(|(_, spec)| Some(&spec.instance_type) == before.as_ref())) {
        return Ok((before.clone(), Vec::new()));
    }
    let Some((best, chosen)) = priced.first() else {
        let message =
            format!("PAI has nothing with {wanted} in `{region}`{}", if sold_out.is_empty() { "" } else { " that is not sold out" });
        let models: BTreeSet<&str> = all.iter().filter(|spec| spec.gpus > 0).map(|spec| spec.gpu.as_str()).collect();
        let hint = match gpu {
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
    fn a_model_is_named_with_or_without_its_maker() {
        for (gpu, model, is) in [
            ("NVIDIA T4", "NVIDIA T4", true),
            ("NVIDIA T4", "t4", true),
            ("NVIDIA V100 32G", "V100", true),
            ("NVIDIA A100", "NVIDIA A10", false),
            ("NVIDIA A10", "NVIDIA A100", false),
            ("", "NVIDIA T4", false),
        ] {
            assert_eq!(is_model(gpu, model), is, "{gpu} {model}");
        }
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert!(version("PyTorch 2.10.0") > version("PyTorch 2.8.0") && version("Python") < version("Python 3.9"));
    }
}
