//! Which pods a job is made of: the roles that its specs ask for, their pods in the order of ranks, and which of them
//! have to succeed.

use rust_decimal::Decimal;
use serde::Deserialize;

use super::create::{Wish as JobWish, invalid};
use super::job::{Job, Pod, Restart, Role};
use super::spec;
use crate::local_cloud::call::Call;
use crate::local_cloud::catalog::InstanceType;
use crate::local_cloud::wire::fault::Fault;

/// What is read of a spec.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Wish {
    r#type: String,
    image: String,
    pod_count: u32,
    ecs_spec: String,
    resource_config: Option<Resources>,
    restart_policy: String,
    user_command: Option<String>,
    spot_spec: Option<Spot>,
    driver: String,
    extra_pod_spec: Extra,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Extra {
    init_containers: Vec<serde_json::Value>,
    side_car_containers: Vec<serde_json::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Resources {
    #[serde(rename = "CPU")]
    cpu: String,
    memory: String,
    #[serde(rename = "GPU")]
    gpu: String,
    #[serde(rename = "GPUType")]
    gpu_type: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Spot {
    spot_strategy: String,
    spot_discount_limit: Option<f64>,
    spot_price_limit: Option<f64>,
}

/// The roles that a kind of job knows.
fn allowed(job_type: &str, role: &str) -> bool {
    match job_type {
        "TFJob" => matches!(role, "Chief" | "PS" | "Worker" | "Evaluator" | "GraphLearn"),
        "RayJob" => matches!(role, "Head" | "Worker") || role.strip_prefix("Worker-").is_some_and(|rest| !rest.is_empty()),
        "MPIJob" => matches!(role, "Launcher" | "Master" | "Worker"),
        _ => matches!(role, "Worker" | "Master"),
    }
}

/// The roles that lead a job: there is one pod of them at most.
fn leads(role: &str) -> bool {
    matches!(role, "Master" | "Chief" | "Head" | "Launcher")
}

/// Reads the specs of a request.
pub(super) fn roles(call: &Call, region: &str, job: &JobWish) -> Result<Vec<Role>, Fault> {
    let mut roles: Vec<Role> = Vec::new();
    for wish in &job.job_specs {
        let name = if wish.r#type.is_empty() { return Err(Fault::mandatory("JobSpecs.Type")) } else { wish.r#type.clone() };
        if !allowed(&job.job_type, &name) {
            return Err(invalid("JobSpecs.Type", &format!("a {} has no {name}", job.job_type)));
        }
        if roles.iter().any(|role| role.name == name) {
            return Err(invalid("JobSpecs.Type", &format!("{name} is there twice")));
        }
        if wish.image.is_empty() {
            return Err(Fault::mandatory("JobSpecs.Image"));
        }
        if wish.pod_count == 0 || (leads(&name) && wish.pod_count != 1) {
            return Err(invalid("JobSpecs.PodCount", "it is at least 1, and 1 for whoever leads"));
        }
        if !wish.extra_pod_spec.init_containers.is_empty() || !wish.extra_pod_spec.side_car_containers.is_empty() {
            return Err(invalid("JobSpecs.ExtraPodSpec", "the local cloud runs no containers beside the main one"));
        }
        let command = wish.user_command.clone().filter(|text| !text.trim().is_empty());
        if command.is_none() && job.user_command.trim().is_empty() {
            return Err(Fault::mandatory("UserCommand"));
        }
        let (kind, vcpu, memory_mib, gpus) = size(call, region, wish)?;
        if !wish.driver.is_empty() && (gpus == 0 || !spec::DRIVERS.contains(&wish.driver.as_str())) {
            return Err(invalid("JobSpecs.Driver", "there is no such driver for that spec"));
        }
        let restart = match wish.restart_policy.as_str() {
            "" | "Never" => Restart::Never,
            "OnFailure" => Restart::OnFailure,
            "Always" => Restart::Always,
            "ExitCode" => Restart::ExitCode,
            _ => return Err(invalid("JobSpecs.RestartPolicy", "it is Always, Never, OnFailure or ExitCode")),
        };
        let limit = wish.spot_spec.as_ref().map(|spot| bid(spot, kind, region)).transpose()?.flatten();
        let hourly = spec::hourly(kind, region, limit);
        let (image, count) = (wish.image.clone(), wish.pod_count);
        roles.push(Role { name, count, image, kind: kind.name.clone(), vcpu, memory_mib, gpus, command, restart, hourly });
    }
    roles.sort_by_key(|role| !leads(&role.name));
    if !roles.iter().any(|role| matches!(role.name.as_str(), "Worker" | "Master" | "Chief" | "Head" | "Launcher")) {
        return Err(invalid("JobSpecs", "there is no Worker"));
    }
    Ok(roles)
}

/// The instance type of a spec, and how large its pods are.
fn size(call: &Call, region: &str, wish: &Wish) -> Result<(&'static InstanceType, u32, u64, u32), Fault> {
    match (&wish.resource_config, wish.ecs_spec.as_str()) {
        (None, "") => Err(Fault::bad("MissingParameter", "EcsSpec or ResourceConfig is mandatory for each of JobSpecs.")),
        (None, name) => {
            let unknown = || invalid("JobSpecs.EcsSpec", &format!("{name} is not sold for training jobs in {region}"));
            let kind = spec::sold(call.catalog, region, name).ok_or_else(unknown)?;
            Ok((kind, kind.vcpu, kind.memory_mib, kind.gpus))
        }
        (Some(resources), "") => {
            let wrong = |name: &str| invalid(&format!("JobSpecs.ResourceConfig.{name}"), "it is no amount");
            let cpu = amount(&resources.cpu).filter(|cpu| !cpu.is_zero()).ok_or_else(|| wrong("CPU"))?;
            let memory = mebibytes(&resources.memory).filter(|memory| *memory > 0).ok_or_else(|| wrong("Memory"))?;
            let gpus = if resources.gpu.is_empty() { Some(Decimal::ZERO) } else { amount(&resources.gpu) };
            let gpus: u32 = gpus.and_then(|gpus| gpus.ceil().try_into().ok()).ok_or_else(|| wrong("GPU"))?;
            let vcpu: u32 = cpu.ceil().try_into().map_err(|_| wrong("CPU"))?;
            let none = || invalid("JobSpecs.ResourceConfig", "no instance type holds that much");
            let kind = spec::smallest(call.catalog, region, (vcpu, memory, gpus), &resources.gpu_type).ok_or_else(none)?;
            Ok((kind, vcpu, memory, gpus))
        }
        (Some(_), _) => Err(invalid("JobSpecs", "EcsSpec and ResourceConfig exclude each other")),
    }
}

/// `4`, `0.5` or `500m`.
fn amount(text: &str) -> Option<Decimal> {
    let (number, unit) = match text.strip_suffix('m') {
        Some(number) => (number, Decimal::new(1, 3)),
        None => (text, Decimal::ONE),
    };
    let number: Decimal = number.trim().parse().ok()?;
    number.checked_mul(unit).filter(|amount| !amount.is_sign_negative())
}

/// `10Gi`, `512Mi` or a number of GiB.
fn mebibytes(text: &str) -> Option<u64> {
    let (number, unit) = match text.strip_suffix("Mi") {
        Some(number) => (number, Decimal::ONE),
        None => (text.strip_suffix("Gi").unwrap_or(text), Decimal::from(1024)),
    };
    amount(number)?.checked_mul(unit)?.ceil().try_into().ok()
}

/// The most that an hour of a spot pod may cost; `None` if it is none.
fn bid(spot: &Spot, kind: &InstanceType, region: &str) -> Result<Option<Decimal>, Fault> {
    match spot.spot_strategy.as_str() {
        "" | "NoSpot" => return Ok(None),
        "SpotWithPriceLimit" => {}
        _ => return Err(invalid("JobSpecs.SpotSpec.SpotStrategy", "it is SpotWithPriceLimit")),
    }
    let list = kind.prices.get(region).copied().unwrap_or_default();
    let positive = |limit: Option<f64>| limit.and_then(|limit| Decimal::try_from(limit).ok()).filter(|limit| *limit > Decimal::ZERO);
    match (positive(spot.spot_discount_limit), positive(spot.spot_price_limit)) {
        (Some(share), None) if spot.spot_price_limit.is_none() && share <= Decimal::ONE => Ok(Some(list * share)),
        // A price is that of a minute.
        (None, Some(price)) if spot.spot_discount_limit.is_none() => Ok(Some(price.checked_mul(Decimal::from(60)).unwrap_or(list))),
        _ => Err(invalid("JobSpecs.SpotSpec", "it has either a SpotDiscountLimit up to 1 or a SpotPriceLimit")),
    }
}

/// A pod that a job will have: its role, and the kind that its name tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) role: usize,
    pub(super) kind: String,
    pub(super) number: usize,
}

/// The pods of a job in the order of their ranks. Where nobody leads, the first worker is the master.
pub(super) fn places(job_type: &str, roles: &[Role]) -> Vec<Place> {
    let led = matches!(job_type, "TFJob" | "RayJob" | "MPIJob") || roles.iter().any(|role| leads(&role.name));
    let mut found: Vec<Place> = Vec::new();
    for (at, role) in roles.iter().enumerate() {
        for _ in 0..role.count {
            let kind = if found.is_empty() && !led { "master".to_owned() } else { role.name.to_lowercase() };
            let number = found.iter().filter(|place| place.kind == kind).count();
            found.push(Place { role: at, kind, number });
        }
    }
    found
}

/// Whether a pod runs the job's command. Where one starts the work of all, the others only wait.
pub(super) fn works(job: &Job, pod: &Pod) -> bool {
    match job.job_type.as_str() {
        "MPIJob" | "RayJob" | "SlurmJob" => pod.rank == 0,
        _ => true,
    }
}

/// Whether the job has succeeded once this pod and all like it have.
pub(super) fn counts(job: &Job, pod: &Pod) -> bool {
    if job.job_type != "TFJob" {
        return works(job, pod);
    }
    let by_chief = job.asked["SuccessPolicy"] == "ChiefWorker";
    if by_chief { pod.rank == 0 } else { matches!(pod.kind.as_str(), "chief" | "worker") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(name: &str, count: u32) -> Role {
        Role {
            name: name.to_owned(),
            count,
            image: String::new(),
            kind: String::new(),
            vcpu: 1,
            memory_mib: 1,
            gpus: 0,
            command: None,
            restart: Restart::Never,
            hourly: Decimal::ZERO,
        }
    }

    fn names(job_type: &str, roles: &[Role]) -> Vec<String> {
        places(job_type, roles).into_iter().map(|place| format!("{}-{}", place.kind, place.number)).collect()
    }

    #[test]
    fn the_first_worker_is_the_master_where_nobody_is_named() {
        assert_eq!(names("PyTorchJob", &[role("Worker", 3)]), ["master-0", "worker-0", "worker-1"]);
        assert_eq!(names("PyTorchJob", &[role("Master", 1), role("Worker", 1)]), ["master-0", "worker-0"]);
        assert_eq!(names("TFJob", &[role("Worker", 2), role("PS", 1)]), ["worker-0", "worker-1", "ps-0"]);
    }

    #[test]
    fn amounts_come_in_several_units() {
        assert_eq!(amount("500m"), Some(Decimal::new(5, 1)));
        assert_eq!(mebibytes("10Gi"), Some(10240));
        assert_eq!(mebibytes("512Mi"), Some(512));
        assert_eq!(mebibytes("1.5"), Some(1536));
        assert_eq!(mebibytes("much"), None);
        assert_eq!(amount("-1"), None);
    }
}
