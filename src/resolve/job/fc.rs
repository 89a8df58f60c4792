//! A job as a function of Function Compute: no machine, no network, paid by what it uses while it runs.

use std::collections::BTreeSet;

use super::{Task, impossible, matrix};
use crate::model::address::{Address, Kind};
use crate::model::decision::Decision;
use crate::model::diagnostic::Location;
use crate::model::value::{Reference, Value};
use crate::project::function::{HANDLER, Interpreter, PORT, Package, entrypoint, package};
use crate::project::scripts::PackageManager;
use crate::resolve::app::{add_bucket, json};
use crate::resolve::error::ResolveError;
use crate::resolve::network::Network;
use crate::resolve::select::function::{self, Card, Size};
use crate::resolve::{Draft, release};
use crate::resources::desired::Node;
use crate::resources::function::{ContainerSpec, FunctionSpec, GpuSpec, LARGEST, LARGEST_INLINE, package_key};
use crate::resources::invocation::InvocationSpec;
use crate::resources::kind::FunctionGpu;

/// The runtime of a container.
const CONTAINER: &str = "custom-container";
/// The longest job that is waited for in one call, in seconds; a longer one is a task.
const LONGEST_CALL: u64 = 60;
/// What is decided where it is a task.
const TASK: &str = "a task";
/// How much longer than the job an invocation may take, in seconds: installing, delivering.
const SLACK: u64 = 300;
/// The longest invocation, in seconds. Source: Function Compute, limits.
const LONGEST: u64 = 86_400;
/// The two disks, in MiB, and how many bytes of files still fit on the smaller one twice.
const DISKS: (u32, u32) = (512, 10_240);
const SMALL_FILES: u64 = 160 * 1024 * 1024;
/// The most of the command and the environment that a task is told, in bytes; links and secrets need room too.
const LARGEST_EVENT: usize = 96 * 1024;

/// Adds its resources.
pub(super) fn add(draft: &mut Draft<'_>, network: &Network, task: &Task<'_>) -> Result<(), ResolveError> {
    let name = task.job.name.value.clone();
    let card = card(draft, task)?;
    let image = image(draft, task, card)?;
    let size = size(draft, task, card)?;
    let joined = network.joined(draft, "a function")?;
    let asynchronous = asynchronous(draft, task)?;
    // What runs in a container is started by a server in Python.
    let interpreter = if image.is_some() { Interpreter::Python } else { Interpreter::of(&task.command) };
    match &image {
        Some(image) => task.check_container(image)?,
        // Source: the runtimes' images are built on Debian.
        None => task.check_image(interpreter.runtime(), PackageManager::Apt)?,
    }
    let package = code(task, interpreter)?;
    let disk = disk(draft, task, &package);
    let timeout = (task.limit + SLACK).min(LONGEST);
    draft.desired.findings.extend(task.bundle.findings.iter().chain(&task.findings).cloned());
    draft.bundles.keep(package.digest.clone(), package.archive.clone());

    let bucket = add_bucket(draft);
    let function = Address::new(Kind::Function, &name);
    let bucket_name = || Value::Pending(Reference::new(bucket.clone(), "id"));
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let spec = FunctionSpec {
        name: function_name(draft, &name),
        runtime: if image.is_some() { CONTAINER } else { interpreter.runtime() }.to_owned(),
        handler: HANDLER.to_owned(),
        container: image.clone().map(|image| ContainerSpec { image, entrypoint: entrypoint(), port: PORT }),
        gpu: card.map(|card| GpuSpec { kind: card.kind.to_owned(), memory: card.mebibytes() }),
        network: joined,
        cpu: size.vcpu(),
        memory: small(size.memory),
        disk,
        timeout: small(timeout),
        asynchronous,
        digest: package.digest.clone(),
        checksum: if image.is_some() { String::new() } else { package.checksum },
        size: package.archive.len() as u64,
        bucket: bucket_name(),
    };
    draft.desired.nodes.insert(function.clone(), Node { spec: json(&spec), depends_on: BTreeSet::from([bucket.clone()]) });

    let shares = matrix::runs(task.job);
    matrix::check_names(draft, task, &shares)?;
    for share in shares {
        let invocation = Address::new(Kind::Invocation, &share.name);
        matrix::remember(draft, &invocation, &share);
        let spec = InvocationSpec {
            // Below its name they all write, each in a folder of its own.
            job: name.clone(),
            digest: matrix::digest(&task.digest, &share),
            function: Value::Pending(Reference::new(function.clone(), "id")),
            bucket: bucket_name(),
            asynchronous,
            command: task.command.clone(),
            // The last of a day is kept for delivering.
            limit: task.limit.min(timeout - SLACK),
            timeout: small(timeout),
            environment: task.plain.clone(),
            secrets: task.secrets.clone(),
            outputs: task.outputs.clone(),
            cpu: size.vcpu(),
            memory: small(size.memory),
            disk,
            gpu: card.map(paid),
            package: image.as_ref().map(|_| package_key(&name, &package.digest)),
            part: share.part,
        };
        let depends_on = BTreeSet::from([function.clone(), bucket.clone()]);
        draft.desired.nodes.insert(invocation.clone(), Node { spec: json(&spec), depends_on });
        release::serve(&mut draft.passing, &invocation);
    }
    Ok(())
}

/// Where the product is named, which is what these complaints are about.
fn place<'a>(task: &'a Task<'_>) -> &'a Location {
    task.job.product.as_ref().map_or(&task.job.name.location, |product| &product.location)
}

fn refuse(task: &Task<'_>, message: String, hint: &str) -> ResolveError {
    ResolveError::Impossible { location: place(task).clone(), message, hint: hint.to_owned() }
}

/// The card that is needed, if any is.
fn card(draft: &mut Draft<'_>, task: &Task<'_>) -> Result<Option<&'static Card>, ResolveError> {
    let Some(gpu) = &task.job.needs.gpu else { return Ok(None) };
    let hint = "ask for one of those, or take `product: pai`, `ecs` or `ack`";
    let card = Card::of(&function::accelerators(gpu)).map_err(|because| refuse(task, because, hint))?;
    let because = format!("a whole {} of {} GiB; functions have no part of one", card.name(), card.memory);
    let chosen = card.kind.to_owned();
    draft.decide(&format!("jobs.{}.gpu", task.job.name.value), Decision { chosen, because, rejected: Vec::new() });
    Ok(Some(card))
}

/// As it is paid.
fn paid(card: &Card) -> FunctionGpu {
    FunctionGpu { name: card.name().to_owned(), kind: card.kind.to_owned(), memory: card.mebibytes() }
}

/// The image that it is a container of: the manifest's, which a GPU demands.
fn image(draft: &Draft<'_>, task: &Task<'_>, card: Option<&Card>) -> Result<Option<String>, ResolveError> {
    let region = &draft.desired.region;
    let Some(image) = &task.job.image else {
        return match card {
            None => Ok(None),
            Some(_) => Err(refuse(task, function::NO_IMAGE.to_owned(), &function::image_hint(region))),
        };
    };
    if function::is_in_registry(&image.value, region) {
        return Ok(Some(image.value.clone()));
    }
    Err(ResolveError::Impossible {
        location: image.location.clone(),
        message: function::elsewhere(&image.value, region),
        hint: function::image_hint(region),
    })
}

/// What the function has; a decision if that is not what is needed.
fn size(draft: &mut Draft<'_>, task: &Task<'_>, card: Option<&Card>) -> Result<Size, ResolveError> {
    let needs = &task.job.needs;
    let (cpu, memory) = (needs.cpu.map(|cpu| u64::from(cpu) * 100), needs.memory.map(|memory| memory.mebibytes()));
    let words = || {
        let words = [needs.cpu.map(|cpu| format!("{cpu} vCPU")), needs.memory.map(|memory| memory.to_string())];
        words.into_iter().flatten().collect::<Vec<_>>().join(", ")
    };
    let Some(size) = Size::fitting(cpu, memory, card) else {
        let message = format!("{}, and this job needs {}", function::most(card), words());
        return Err(refuse(task, message, "ask for less, or take `product: ecs`"));
    };
    let wanted: Vec<String> =
        [needs.cpu.map(|cpu| format!("{cpu} vCPU")), needs.memory.map(|memory| memory.to_string())].into_iter().flatten().collect();
    let raised = cpu.is_some_and(|cpu| cpu != size.cpu) || memory.is_some_and(|memory| memory != size.memory);
    let because = match (wanted.is_empty(), raised) {
        (true, _) => "the job does not say what it needs".to_owned(),
        (false, true) if card.is_some() => format!("{} is raised to the next that goes with the GPU", wanted.join(", ")),
        (false, true) => format!("a function has 1 to 4 GiB for each vCPU: {} is raised to the next that fits", wanted.join(", ")),
        (false, false) if wanted.len() == 2 => return Ok(size),
        (false, false) => "what the job does not name follows from what it does: 2 GiB for each vCPU".to_owned(),
    };
    let key = format!("jobs.{}.function[{}]", task.job.name.value, if wanted.is_empty() { "usual".to_owned() } else { wanted.join(", ") });
    draft.decide(&key, Decision { chosen: size.to_string(), because, rejected: Vec::new() });
    Ok(size)
}

/// Whether it is a task: everything that takes longer than a call is waited for.
fn asynchronous(draft: &mut Draft<'_>, task: &Task<'_>) -> Result<bool, ResolveError> {
    let key = format!("jobs.{}.invocation", task.job.name.value);
    let long = task.limit > LONGEST_CALL;
    // What was decided for a run that nobody waits for holds for whoever looks for it.
    let asynchronous = long || draft.decided(&key).is_some_and(|chosen| chosen == TASK);
    let environment = || task.plain.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    if asynchronous && task.command.len() + environment() > LARGEST_EVENT {
        let message = format!("the command and the environment of job `{}` are too long for a task of `fc`", task.job.name.value);
        return Err(refuse(task, message, "put what is long into files, or set a `timeout` of at most 60s"));
    }
    if long || !asynchronous {
        let chosen = if asynchronous { TASK } else { "a call" }.to_owned();
        let because = format!("it may run {} s, and a call is waited for up to {LONGEST_CALL} s", task.limit);
        draft.decide(&key, Decision { chosen, because, rejected: Vec::new() });
    }
    Ok(asynchronous)
}

fn code(task: &Task<'_>, interpreter: Interpreter) -> Result<Package, ResolveError> {
    let failed = |error: std::io::Error| {
        impossible(
            task.job,
            format!("the files of the job can't be packed for `fc`: {error}"),
            "name what it does not need in `.aliformignore`",
        )
    };
    let package = package(&task.bundle, interpreter).map_err(failed)?;
    let size = package.archive.len() as u64;
    if size > LARGEST {
        let message = format!("the code package is {} MB, and a function takes {} MB", size >> 20, LARGEST >> 20);
        return Err(refuse(task, message, "name what it does not need in `.aliformignore`, or take `product: ecs`"));
    }
    Ok(package)
}

/// The disk, in MiB; the larger one costs something and is therefore a decision, and so is the way of a large package.
fn disk(draft: &mut Draft<'_>, task: &Task<'_>, package: &Package) -> u32 {
    let name = &task.job.name.value;
    let mut decide = |what: &str, chosen: &str, because: String| {
        draft.decide(&format!("jobs.{name}.{what}"), Decision { chosen: chosen.to_owned(), because, rejected: Vec::new() });
    };
    let size = package.archive.len() as u64;
    if size > LARGEST_INLINE && task.job.image.is_none() {
        let because = format!("it is {} MB zipped, and a call takes {} MB", size >> 20, LARGEST_INLINE >> 20);
        decide("code", "through the stack's bucket", because);
    }
    let installs = task.bundle.files.iter().any(|file| file.path == "requirements.txt");
    let because = match (package.unpacked > SMALL_FILES, installs) {
        (true, _) => format!("its files are {} MB, and are there twice", package.unpacked >> 20),
        (false, true) => "nobody knows how large the packages of requirements.txt are".to_owned(),
        (false, false) => return DISKS.0,
    };
    decide("disk", "10 GiB", because);
    DISKS.1
}

/// The function's name: unique in the region of the account, whatever other stacks of that name there are.
fn function_name(draft: &Draft<'_>, job: &str) -> String {
    let suffix: String = draft.around.lineage.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    let mut name = format!("aliform-{}-{job}", draft.manifest.stack.value);
    name.truncate(55);
    format!("{}-{suffix}", name.trim_end_matches('-'))
}
