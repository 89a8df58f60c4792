//! A job as a function of Function Compute: no machine, no network, paid by what it uses while it runs.

use std::collections::BTreeSet;

use rust_decimal::Decimal;

use super::{Task, impossible, matrix};
use crate::model::address::{Address, Kind};
use crate::model::decision::Decision;
use crate::model::diagnostic::Location;
use crate::model::value::{Reference, Value};
use crate::project::function::{HANDLER, Interpreter, Package, package};
use crate::resolve::app::{add_bucket, json};
use crate::resolve::error::ResolveError;
use crate::resolve::{Draft, release};
use crate::resources::desired::Node;
use crate::resources::function::{FunctionSpec, LARGEST, LARGEST_INLINE};
use crate::resources::invocation::InvocationSpec;

/// The longest job that is waited for in one call, in seconds; a longer one is a task.
const LONGEST_CALL: u64 = 60;
/// What is decided where it is a task.
const TASK: &str = "a task";
/// How much longer than the job an invocation may take, in seconds: installing, delivering.
const SLACK: u64 = 300;
/// The longest invocation, in seconds. Source: Function Compute, limits.
const LONGEST: u64 = 86_400;
/// What a job has that says nothing of it: vCPU in hundredths, MiB.
const USUAL: (u64, u64) = (100, 2048);
/// The least and the most of a function, and the steps: vCPU in hundredths, MiB. Source: CreateFunction.
const CPU: Steps = Steps { least: 5, most: 1600, step: 5 };
const MEMORY: Steps = Steps { least: 128, most: 32_768, step: 64 };
/// The two disks, in MiB, and how many bytes of files still fit on the smaller one twice.
const DISKS: (u32, u32) = (512, 10_240);
const SMALL_FILES: u64 = 160 * 1024 * 1024;
/// The most of the command and the environment that a task is told, in bytes; links and secrets need room too.
const LARGEST_EVENT: usize = 96 * 1024;

struct Steps {
    least: u64,
    most: u64,
    step: u64,
}

impl Steps {
    /// The next one that is not below.
    fn up(&self, wanted: u64) -> u64 {
        wanted.next_multiple_of(self.step).max(self.least)
    }
}

/// vCPU in hundredths, and MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    cpu: u64,
    memory: u64,
}

impl Size {
    /// The smallest pair with at least so much: a vCPU goes with 1 to 4 GiB. What is left out follows from the other.
    fn at_least(cpu: Option<u64>, memory: Option<u64>) -> Size {
        let (cpu, memory) = match (cpu, memory) {
            (None, None) => USUAL,
            (Some(cpu), None) => (cpu, cpu * 2048 / 100),
            (None, Some(memory)) => ((memory * 100).div_ceil(2048), memory),
            (Some(cpu), Some(memory)) => (cpu, memory),
        };
        let memory = MEMORY.up(memory);
        let cpu = CPU.up(cpu.max((memory * 100).div_ceil(4096)));
        Size { cpu, memory: MEMORY.up(memory.max((cpu * 1024).div_ceil(100))) }
    }

    fn exists(self) -> bool {
        self.cpu <= CPU.most && self.memory <= MEMORY.most
    }

    fn vcpu(self) -> Decimal {
        Decimal::new(i64::try_from(self.cpu).unwrap_or(i64::MAX), 2).normalize()
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} vCPU, {} GiB", self.vcpu(), (Decimal::from(self.memory) / Decimal::from(1024)).normalize())
    }
}

/// Adds its resources.
pub(super) fn add(draft: &mut Draft<'_>, task: &Task<'_>) -> Result<(), ResolveError> {
    let name = task.job.name.value.clone();
    let size = size(draft, task)?;
    let asynchronous = asynchronous(draft, task)?;
    let interpreter = Interpreter::of(&task.command);
    let package = code(task, interpreter)?;
    let disk = disk(draft, task, &package);
    let timeout = (task.limit + SLACK).min(LONGEST);
    draft.desired.findings.extend(task.bundle.findings.iter().cloned());
    draft.bundles.keep(package.digest.clone(), package.archive.clone());

    let bucket = add_bucket(draft);
    let function = Address::new(Kind::Function, &name);
    let bucket_name = || Value::Pending(Reference::new(bucket.clone(), "id"));
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let spec = FunctionSpec {
        name: function_name(draft, &name),
        runtime: interpreter.runtime().to_owned(),
        handler: HANDLER.to_owned(),
        cpu: size.vcpu(),
        memory: small(size.memory),
        disk,
        timeout: small(timeout),
        asynchronous,
        digest: package.digest,
        checksum: package.checksum,
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

/// What the function has; a decision if that is not what is needed.
fn size(draft: &mut Draft<'_>, task: &Task<'_>) -> Result<Size, ResolveError> {
    let needs = &task.job.needs;
    if needs.gpu.is_some() {
        let message = "`fc` runs scripts on its built-in runtimes, which have no GPU".to_owned();
        return Err(refuse(task, message, "take another product, or leave `gpu` out"));
    }
    let (cpu, memory) = (needs.cpu.map(|cpu| u64::from(cpu) * 100), needs.memory.map(|memory| memory.mebibytes()));
    let size = Size::at_least(cpu, memory);
    if !size.exists() {
        let message = format!("a function has at most 16 vCPU and 32 GiB, with 1 to 4 GiB for each vCPU, and this job needs {size}");
        return Err(refuse(task, message, "ask for less, or take `product: ecs`"));
    }
    let wanted: Vec<String> =
        [needs.cpu.map(|cpu| format!("{cpu} vCPU")), needs.memory.map(|memory| memory.to_string())].into_iter().flatten().collect();
    let raised = cpu.is_some_and(|cpu| cpu != size.cpu) || memory.is_some_and(|memory| memory != size.memory);
    let because = match (wanted.is_empty(), raised) {
        (true, _) => "the job does not say what it needs".to_owned(),
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
    if size > LARGEST_INLINE {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_become_the_smallest_pair_that_a_function_can_have() {
        let size = |cpu: Option<u64>, memory: Option<u64>| Size::at_least(cpu.map(|cpu| cpu * 100), memory).to_string();
        for (cpu, memory, expected) in [
            (None, None, "1 vCPU, 2 GiB"),
            (Some(2), None, "2 vCPU, 4 GiB"),
            (None, Some(512), "0.25 vCPU, 0.5 GiB"),
            (None, Some(1), "0.05 vCPU, 0.125 GiB"),
            (Some(2), Some(4096), "2 vCPU, 4 GiB"),
            // More than 4 GiB for each vCPU: more vCPU. Less than 1: more memory.
            (Some(1), Some(8192), "2 vCPU, 8 GiB"),
            (Some(8), Some(4096), "8 vCPU, 8 GiB"),
            (Some(1), Some(1025), "1 vCPU, 1.0625 GiB"),
        ] {
            assert_eq!(size(cpu, memory), expected);
        }
        assert!(Size::at_least(Some(1600), None).exists());
        assert!(!Size::at_least(Some(1700), None).exists() && !Size::at_least(None, Some(32_769)).exists());
    }

    #[test]
    fn every_pair_is_one_that_the_service_takes() {
        for cpu in (0..=16).map(|cpu| (cpu > 0).then_some(cpu * 100)) {
            for memory in (0..=32_768).step_by(129).map(|memory| (memory > 0).then_some(memory)) {
                let size = Size::at_least(cpu, memory);
                assert!(size.cpu * 1024 <= size.memory * 100 && size.memory * 100 <= size.cpu * 4096, "{cpu:?} {memory:?}: {size}");
                assert!(size.cpu >= cpu.unwrap_or(0) && size.memory >= memory.unwrap_or(0));
                assert!(size.cpu.is_multiple_of(5) && size.memory.is_multiple_of(64) && size.memory >= 128, "{size}");
            }
        }
    }
}
