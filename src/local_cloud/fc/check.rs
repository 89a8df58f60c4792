//! Whether a function may be as it is told to be: names, sizes, and references into the rest of the world. It changes
//! nothing but to fill in defaults.

use super::settings::{Family, GpuConfig, Hook, Settings, invalid};
use crate::local_cloud::store::World;
use crate::local_cloud::wire::fault::Fault;

/// Runtimes that the service has and this cloud can't run.
const ELSEWHERE: [&str; 5] = ["go1", "java8", "java11", "php7.2", "dotnetcore3.1"];
/// Longest initializer and preStop, in seconds.
const HOOKS: (u64, u64) = (300, 90);

/// Where a function is made.
pub(crate) struct Place<'a> {
    pub(crate) world: &'a World,
    pub(crate) region: &'a str,
    pub(crate) account: &'a str,
}

/// A function's or trigger's name.
pub(crate) fn name(what: &str, name: &str, most: usize) -> Result<(), Fault> {
    let first = name.bytes().next().unwrap_or(b'-');
    let fits = name.len() <= most
        && (first.is_ascii_alphabetic() || first == b'_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if fits {
        return Ok(());
    }
    let rule = "it has letters, digits, _ and -, and starts with a letter or _";
    Err(invalid(format!("{what} is invalid: 1 to {most} characters, {rule}")))
}

/// Fills in the defaults and checks everything.
pub(crate) fn settings(settings: &mut Settings, place: &Place<'_>) -> Result<(), Fault> {
    defaults(settings);
    sizes(settings)?;
    let family = runtime(settings, place)?;
    // An empty one takes a card away.
    if let Some(gpu) = settings.gpu_config.as_ref().filter(|gpu| **gpu != GpuConfig::default()) {
        accelerated(settings, gpu)?;
    }
    environment(settings)?;
    if settings.description.chars().count() > 256 {
        return Err(invalid("description has at most 256 characters"));
    }
    if let Some(lifecycle) = &settings.instance_lifecycle_config {
        hook("initializer", lifecycle.initializer.as_ref(), HOOKS.0, family)?;
        hook("preStop", lifecycle.pre_stop.as_ref(), HOOKS.1, family)?;
    }
    if !settings.role.is_empty() && !settings.role.to_ascii_lowercase().starts_with(&format!("acs:ram::{}:role/", place.account)) {
        return Err(invalid(format!("role '{}' is not the ARN of a role of this account", settings.role)));
    }
    if !matches!(settings.disable_inject_credentials.as_deref(), None | Some("" | "None" | "Env" | "Request" | "All")) {
        return Err(invalid("disableInjectCredentials is None, Env, Request or All"));
    }
    network(settings, place)?;
    absent(settings)
}

fn defaults(settings: &mut Settings) {
    let fits = |cpu: u32, memory: u32| (cpu * 1024..=cpu * 4096).contains(&(memory * 100));
    match (hundredths(settings.cpu), settings.memory_size) {
        (Some(0), 0) => (settings.cpu, settings.memory_size) = (0.35, 512),
        (Some(0), memory) if memory <= 32_768 => {
            // The usual one where it fits, else the smallest that does.
            let cpu = if fits(35, memory) { 35 } else { (memory * 100).div_ceil(4096).next_multiple_of(5).max(5) };
            settings.cpu = f64::from(cpu) / 100.0;
        }
        (Some(cpu), 0) if cpu <= 1600 => {
            settings.memory_size = if fits(cpu, 512) { 512 } else { (cpu * 1024).div_ceil(100).next_multiple_of(64).max(128) };
        }
        _ => {}
    }
    let or = |value: &mut u32, usual| *value = if *value == 0 { usual } else { *value };
    or(&mut settings.disk_size, 512);
    or(&mut settings.instance_concurrency, 1);
    if settings.timeout == 0 {
        settings.timeout = 3;
    }
    settings.internet_access.get_or_insert(true);
}

/// The vCPUs in hundredths, `None` if they are none that a function can have.
fn hundredths(cpu: f64) -> Option<u32> {
    let scaled = cpu * 100.0;
    let fits = (0.0..=1600.0).contains(&scaled.round()) && (scaled - scaled.round()).abs() < 1e-6;
    (fits && (scaled.round() as u32).is_multiple_of(5)).then(|| scaled.round() as u32)
}

fn sizes(settings: &Settings) -> Result<(), Fault> {
    let wrong = || invalid(format!("cpu {} is invalid: 0.05 to 16 in steps of 0.05", settings.cpu));
    let cpu = hundredths(settings.cpu).ok_or_else(wrong)?;
    let memory = settings.memory_size;
    if cpu >= 5 && settings.gpu_config.as_ref().is_some_and(is_listed) {
        // Sold in pairs of its own, which are no business of the usual limits.
        return rest(settings);
    }
    if !(128..=32_768).contains(&memory) || !memory.is_multiple_of(64) {
        return Err(invalid(format!("memorySize {memory} is invalid: 128 to 32768 in steps of 64")));
    }
    if cpu < 5 {
        return Err(wrong());
    }
    if !(cpu * 1024..=cpu * 4096).contains(&(memory * 100)) {
        let message = format!("cpu {} and memorySize {memory} are invalid: the ratio of vCPU to GB is between 1:1 and 1:4", settings.cpu);
        return Err(invalid(message));
    }
    rest(settings)
}

/// Whether what goes with the card stands in a list.
fn is_listed(gpu: &GpuConfig) -> bool {
    CARDS.iter().any(|card| card.kind == gpu.gpu_type && matches!(card.room, Room::OneOf(..)))
}

fn rest(settings: &Settings) -> Result<(), Fault> {
    if !matches!(settings.disk_size, 512 | 10_240) {
        return Err(invalid(format!("diskSize {} is invalid: 512 or 10240", settings.disk_size)));
    }
    if !(1..=86_400).contains(&settings.timeout) {
        return Err(invalid(format!("timeout {} is invalid: 1 to 86400", settings.timeout)));
    }
    if !(1..=200).contains(&settings.instance_concurrency) {
        return Err(invalid(format!("instanceConcurrency {} is invalid: 1 to 200", settings.instance_concurrency)));
    }
    Ok(())
}

/// A card as a whole, and what goes with it. Source: Function Compute, instance types and specifications, 2026-04; the last
/// of the cards is in the reference of GPUConfig only.
struct Card {
    kind: &'static str,
    memory: u32,
    room: Room,
}

enum Room {
    /// vCPU in hundredths and MiB, any pair of the usual ratio.
    UpTo(u32, u32),
    /// vCPU in hundredths, MiB.
    OneOf(&'static [u32], &'static [u32]),
}

const CARDS: &[Card] = &[
    Card { kind: "fc.gpu.tesla.1", memory: 16_384, room: Room::UpTo(800, 32_768) },
    Card { kind: "fc.gpu.ada.1", memory: 49_152, room: Room::OneOf(&[400, 800, 1600], &[32_768, 65_536, 98_304]) },
    Card { kind: "fc.gpu.ada.2", memory: 24_576, room: Room::OneOf(&[800, 1600], &[32_768, 65_536]) },
    Card { kind: "fc.gpu.ada.3", memory: 49_152, room: Room::OneOf(&[800, 1600], &[65_536, 98_304]) },
    Card { kind: "fc.gpu.hopper.1", memory: 98_304, room: Room::OneOf(&[1600], &[98_304]) },
    Card { kind: "fc.gpu.xpu.1", memory: 98_304, room: Room::OneOf(&[1600], &[98_304]) },
    Card { kind: "fc.gpu.ampere.1", memory: 24_576, room: Room::UpTo(800, 32_768) },
];

/// What a function with a card has. Only containers have one: no runtime of the service's own does.
fn accelerated(settings: &Settings, gpu: &GpuConfig) -> Result<(), Fault> {
    if settings.family() != Some(Family::Container) {
        return Err(invalid(format!("gpuConfig is for the runtime custom-container, and the runtime is '{}'", settings.runtime)));
    }
    let Some(card) = CARDS.iter().find(|card| card.kind == gpu.gpu_type) else {
        let known: Vec<&str> = CARDS.iter().map(|card| card.kind).collect();
        return Err(invalid(format!("gpuType '{}' is invalid: {}", gpu.gpu_type, known.join(", "))));
    };
    if gpu.gpu_memory_size != card.memory {
        let message = format!("gpuMemorySize {} is invalid: '{}' is sold whole, with {}", gpu.gpu_memory_size, card.kind, card.memory);
        return Err(invalid(message));
    }
    let wrong = |what: &str| {
        let (cpu, memory) = (settings.cpu, settings.memory_size);
        Err(invalid(format!("cpu {cpu} and memorySize {memory} are invalid with '{}': {what}", card.kind)))
    };
    let cpu = hundredths(settings.cpu).unwrap_or(0);
    match card.room {
        Room::UpTo(most, memory) if cpu > most || settings.memory_size > memory => {
            wrong(&format!("at most {} vCPU and {memory} MB", most / 100))
        }
        Room::OneOf(cpus, memories) if !cpus.contains(&cpu) || !memories.contains(&settings.memory_size) => {
            let cpus: Vec<u32> = cpus.iter().map(|cpu| cpu / 100).collect();
            wrong(&format!("vCPU is one of {cpus:?}, memorySize one of {memories:?}"))
        }
        _ => Ok(()),
    }
}

fn runtime(settings: &Settings, place: &Place<'_>) -> Result<Family, Fault> {
    if settings.runtime.is_empty() {
        return Err(invalid("runtime is required"));
    }
    if ELSEWHERE.contains(&settings.runtime.as_str()) {
        let instead = "python, nodejs, custom and custom-container are";
        return Err(invalid(format!("runtime '{}' is not available in this local cloud; {instead}", settings.runtime)));
    }
    let family = settings.family().ok_or_else(|| invalid(format!("runtime '{}' is not supported", settings.runtime)))?;
    if settings.handler.is_empty() || settings.handler.len() > 128 {
        return Err(invalid("handler is required, with at most 128 characters"));
    }
    let dotted = settings.handler.rsplit_once('.').is_some_and(|(module, name)| !module.is_empty() && !name.is_empty());
    if matches!(family, Family::Python | Family::Node) && !dotted {
        return Err(invalid(format!("handler '{}' is invalid: it is <module>.<function>", settings.handler)));
    }
    match (&settings.custom_container_config, family) {
        (None, Family::Container) => return Err(invalid("customContainerConfig is required by the runtime custom-container")),
        (Some(container), Family::Container) => image(&container.image, place)?,
        _ => {}
    }
    Ok(family)
}

/// An image has to be in a registry of its own region: from others Function Compute does not pull.
fn image(image: &str, place: &Place<'_>) -> Result<(), Fault> {
    let host = image.split('/').next().unwrap_or_default();
    let own = |suffix: String| host.strip_suffix(suffix.as_str()).is_some_and(|rest| rest.contains("registry"));
    let personal = host.ends_with(&format!(".{}.personal.cr.aliyuncs.com", place.region));
    let known = personal || own(format!(".{}.aliyuncs.com", place.region)) || own(format!(".{}.cr.aliyuncs.com", place.region));
    if known && image.split('/').count() >= 3 {
        return Ok(());
    }
    Err(invalid(format!("image '{image}' is invalid: it has to be in a container registry of {}", place.region)))
}

/// Whether the registry has the image. Nothing is pulled here: a repository or tag that says that it is not there is not.
pub(crate) fn image_is_missing(image: &str) -> bool {
    let named = image.split_once('/').map_or(image, |(_, rest)| rest);
    ["does-not-exist", "not-found", "no-such", "nonexistent"].iter().any(|text| named.contains(text))
}

fn environment(settings: &Settings) -> Result<(), Fault> {
    for name in settings.environment_variables.keys() {
        let letters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !letters || name.bytes().next().is_none_or(|first| first.is_ascii_digit()) {
            return Err(invalid(format!("environment variable '{name}' is invalid: letters, digits and _, not a digit first")));
        }
    }
    // A process can't be given such a value.
    if settings.environment_variables.values().any(|value| value.contains('\0')) {
        return Err(invalid("an environment variable holds a zero byte"));
    }
    Ok(())
}

fn hook(what: &str, hook: Option<&Hook>, most: u64, family: Family) -> Result<(), Fault> {
    let Some(hook) = hook else { return Ok(()) };
    if !(1..=most).contains(&hook.timeout.unwrap_or(3)) {
        return Err(invalid(format!("timeout of {what} is invalid: 1 to {most}")));
    }
    if !hook.command.is_empty() && matches!(family, Family::Python | Family::Node) {
        return Err(invalid(format!("command of {what} is for custom runtimes; name a handler")));
    }
    Ok(())
}

fn network(settings: &Settings, place: &Place<'_>) -> Result<(), Fault> {
    let Some(network) = settings.vpc_config.as_ref().filter(|network| !network.vpc_id.is_empty()) else { return Ok(()) };
    let world = place.world;
    if world.vpcs.get(&network.vpc_id).is_none_or(|vpc| vpc.region != place.region) {
        return Err(invalid(format!("vpc '{}' does not exist", network.vpc_id)));
    }
    if network.v_switch_ids.is_empty() {
        return Err(invalid("vSwitchIds is required with a vpcId"));
    }
    for id in &network.v_switch_ids {
        if world.vswitches.get(id).is_none_or(|vswitch| vswitch.vpc != network.vpc_id) {
            return Err(invalid(format!("vswitch '{id}' does not exist in vpc '{}'", network.vpc_id)));
        }
    }
    if !network.security_group_id.is_empty() && !world.groups.contains(&network.security_group_id) {
        return Err(invalid(format!("security group '{}' does not exist", network.security_group_id)));
    }
    Ok(())
}

/// What this cloud does not have is refused, so that nobody takes it for working.
fn absent(settings: &Settings) -> Result<(), Fault> {
    if let Some(layer) = settings.layers.first() {
        return Err(Fault::missing("LayerNotFound", format!("layer '{layer}' does not exist")));
    }
    let refused = |what: &str| Err(invalid(format!("{what} is not available in this local cloud")));
    if let Some(log) = settings.log_config.as_ref().filter(|log| !log.project.is_empty()) {
        return Err(invalid(format!("log project '{}' does not exist", log.project)));
    }
    if settings.nas_config.as_ref().is_some_and(|nas| !nas.mount_points.is_empty()) {
        return refused("nasConfig");
    }
    for (what, config) in [
        ("ossMountConfig", &settings.oss_mount_config),
        ("juiceFsConfig", &settings.juice_fs_config),
        ("polarFsConfig", &settings.polar_fs_config),
    ] {
        if config.as_ref().is_some_and(|config| !config.mount_points.is_empty()) {
            return refused(what);
        }
    }
    if settings.micro_sandbox_config.is_some() {
        return refused("microSandboxConfig");
    }
    if !matches!(settings.session_affinity.as_deref(), None | Some("" | "NONE")) {
        return refused("sessionAffinity");
    }
    if !matches!(settings.instance_isolation_mode.as_deref(), None | Some("" | "SHARE")) {
        return refused("instanceIsolationMode other than SHARE");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(change: impl FnOnce(&mut Settings)) -> Result<Settings, Fault> {
        let mut one = Settings { runtime: "python3.10".to_owned(), handler: "index.handler".to_owned(), ..Settings::default() };
        change(&mut one);
        let world = World::default();
        settings(&mut one, &Place { world: &world, region: "cn-hangzhou", account: "1" }).map(|()| one)
    }

    #[test]
    fn defaults_keep_the_ratio() {
        assert!(checked(|_| {}).is_ok_and(|one| (one.cpu, one.memory_size, one.timeout) == (0.35, 512, 3)));
        for memory in (128..=32_768).step_by(64) {
            let cpu = checked(|one| one.memory_size = memory).unwrap_or_else(|fault| panic!("{memory}: {}", fault.message)).cpu;
            assert!(cpu >= 0.05, "{memory}");
        }
        for cpu in 1..=320_u32 {
            let cpu = f64::from(cpu) * 0.05;
            checked(|one| one.cpu = cpu).unwrap_or_else(|fault| panic!("{cpu}: {}", fault.message));
        }
    }

    #[test]
    fn sizes_are_held() {
        let refused = |change: &dyn Fn(&mut Settings)| checked(|one| change(one)).unwrap_err().message;
        assert!(refused(&|one| (one.cpu, one.memory_size) = (1.0, 512)).contains("1:4"));
        assert!(refused(&|one| (one.cpu, one.memory_size) = (0.05, 256)).contains("1:4"));
        assert!(refused(&|one| one.cpu = 0.07).contains("0.05"));
        assert!(refused(&|one| one.cpu = f64::NAN).contains("0.05"));
        assert!(refused(&|one| one.memory_size = 100).contains("64"));
        assert!(refused(&|one| one.memory_size = u32::MAX).contains("64"));
        assert!(refused(&|one| one.disk_size = 1024).contains("10240"));
        assert!(refused(&|one| one.timeout = 86_401).contains("86400"));
        assert!(checked(|one| (one.cpu, one.memory_size) = (1.0, 4096)).is_ok());
        assert!(checked(|one| (one.cpu, one.memory_size) = (0.15, 576)).is_ok());
    }

    #[test]
    fn a_card_is_for_containers_and_sold_whole() {
        let with = |kind: &str, size: u32, change: &dyn Fn(&mut Settings)| {
            checked(|one| {
                let image = "registry.cn-hangzhou.aliyuncs.com/lab/train:1".to_owned();
                one.runtime = "custom-container".to_owned();
                one.custom_container_config = Some(super::super::settings::CustomContainer { image, ..Default::default() });
                one.gpu_config = Some(GpuConfig { gpu_type: kind.to_owned(), gpu_memory_size: size });
                (one.cpu, one.memory_size) = (4.0, 16_384);
                change(one);
            })
            .map_err(|fault| fault.message)
        };
        with("fc.gpu.tesla.1", 16_384, &|_| {}).unwrap();
        with("fc.gpu.ada.1", 49_152, &|one| (one.cpu, one.memory_size) = (8.0, 98_304)).unwrap();
        for (kind, size, change, said) in [
            ("fc.gpu.tesla.1", 8192, (|_: &mut Settings| ()) as fn(&mut Settings), "sold whole, with 16384"),
            ("fc.gpu.tesla.1", 16_384, |one| one.runtime = "python3.10".to_owned(), "for the runtime custom-container"),
            ("fc.gpu.tesla.1", 16_384, |one| (one.cpu, one.memory_size) = (9.0, 16_384), "at most 8 vCPU"),
            ("fc.gpu.volta.1", 16_384, |_| (), "'fc.gpu.volta.1' is invalid"),
            ("fc.gpu.ada.2", 24_576, |_| (), "one of [8, 16]"),
        ] {
            let error = with(kind, size, &change).unwrap_err();
            assert!(error.contains(said), "{kind}: {error}");
        }
    }

    #[test]
    fn names_are_held() {
        for good in ["f", "_f", "F-1_2"] {
            name("functionName", good, 64).unwrap();
        }
        for bad in ["", "1f", "-f", "f.g", "é", "f g"] {
            name("functionName", bad, 64).unwrap_err();
        }
        name("functionName", &"f".repeat(65), 64).unwrap_err();
    }

    #[test]
    fn images_come_from_a_registry_of_the_region() {
        let world = World::default();
        let place = Place { world: &world, region: "cn-hangzhou", account: "1" };
        for good in ["registry.cn-hangzhou.aliyuncs.com/a/b:1", "x-registry-vpc.cn-hangzhou.cr.aliyuncs.com/a/b"] {
            image(good, &place).unwrap();
        }
        for bad in ["nginx", "docker.io/library/nginx", "registry.cn-beijing.aliyuncs.com/a/b", "registry.cn-hangzhou.aliyuncs.com/b"] {
            image(bad, &place).unwrap_err();
        }
        assert!(image_is_missing("registry.cn-hangzhou.aliyuncs.com/a/does-not-exist:1"));
        assert!(!image_is_missing("registry.cn-hangzhou.aliyuncs.com/a/b:1"));
    }
}
