//! An application as resources: instances, who may reach them, the packed source, what runs on each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value as Json;

use super::Draft;
use super::choose::{self, Machine, Wish};
use super::error::{ResolveError, refused};
use super::job::ecs::FETCHING;
use super::network::Network;
use super::region::Fetcher;
use super::service;
use crate::manifest::{App, EnvValue, InstanceChoice, Located, Manifest, OnFailure, Origin, Product, Source};
use crate::model::address::{Address, Kind};
use crate::model::decision::Decision;
use crate::model::finding::{Finding, Severity};
use crate::model::runtime::Runtime;
use crate::model::value::{Reference, Value};
use crate::pricing::existing::Existing;
use crate::project::bundle::{Bundle, pack};
use crate::project::checks::Scripts as Checks;
use crate::project::code::{Language, Script};
use crate::project::detect::detect;
use crate::project::fetches::{Ground, fetches};
use crate::project::scripts::{AppSettings, PackageManager, Scripts, scripts};
use crate::resources::bucket::BucketSpec;
use crate::resources::bundle::BundleSpec;
use crate::resources::command::CommandSpec;
use crate::resources::desired::Node;
use crate::resources::eip::EipSpec;
use crate::resources::instance::{DiskSpec, InstanceSpec, Power};
use crate::resources::name;
use crate::resources::release::ReleaseSpec;
use crate::resources::script;
use crate::resources::security_group::{Rule, SecurityGroupSpec};

/// How long installing a runtime may take, in seconds.
const SETUP_TIMEOUT: u64 = 1800;
/// Ports by which machines are managed or databases spoken to.
const MANAGEMENT_PORTS: &[(u16, &str)] = &[
    (22, "SSH"),
    (3389, "remote desktop"),
    (3306, "MySQL"),
    (5432, "PostgreSQL"),
    (6379, "Redis"),
    (27017, "MongoDB"),
    (9200, "Elasticsearch"),
    (1433, "SQL Server"),
];

/// What an application comes to: the manifest's own words first, detection for the rest.
#[derive(Debug)]
pub(super) struct Project {
    pub(super) folder: PathBuf,
    pub(super) runtime: Runtime,
    pub(super) install: Option<String>,
    pub(super) build: Option<String>,
    pub(super) start: String,
    pub(super) port: Option<u16>,
    pub(super) bundle: Bundle,
    pub(super) findings: Vec<Finding>,
    /// Every command it runs on its machine, with the place that it stands in or was found at.
    pub(super) commands: Vec<(String, String)>,
    /// Of these and of what they run, what can be looked into.
    pub(super) scripts: Vec<Script>,
    /// Whether its machine has to reach what it fetches, even if nobody has to reach the machine.
    pub(super) goes_out: bool,
}

/// A spec as JSON. A spec is plain data, so this can't fail; a null would be refused by its kind.
pub(super) fn json<T: Serialize>(spec: &T) -> Json {
    serde_json::to_value(spec).unwrap_or_default()
}

impl Project {
    /// What the choice of a region looks at.
    pub(super) fn fetcher(&self, app: &App) -> Fetcher {
        let environment = plain(&app.env);
        let ground = Ground { folder: &self.folder, environment: &environment };
        Fetcher { who: format!("app `{}`", app.name.value), fetches: fetches(&self.scripts, ground) }
    }
}

/// The variables that are no secrets.
pub(super) fn plain(env: &BTreeMap<String, EnvValue>) -> BTreeMap<String, String> {
    let plain = env.iter().filter_map(|(name, value)| match value {
        EnvValue::Plain(text) => Some((name.clone(), text.value.clone())),
        EnvValue::From(_) => None,
    });
    plain.collect()
}

/// Commands as they can be looked into.
fn looked_into(commands: &[(String, String)], folder: &Path) -> Vec<Script> {
    let one = |(command, place): &(String, String)| {
        let (file, line) = place.rsplit_once(':').and_then(|(file, line)| Some((file, line.parse().ok()?))).unwrap_or((place, 0));
        Checks::of(Script::commands(command, file, line), folder).all
    };
    // What its code fetches once it serves is its own matter.
    commands.iter().flat_map(one).filter(|script| script.language == Language::Shell).collect()
}

fn project(app: &App, source: &Located<Source>) -> Result<Project, ResolveError> {
    let folder = match &source.value {
        Source::Folder(folder) => folder.clone(),
        Source::Git(url) => {
            return Err(ResolveError::Impossible {
                location: source.location.clone(),
                message: format!("the source `{url}` would have to be cloned, which this version can't"),
                hint: "clone it beside the manifest and name the folder".to_owned(),
            });
        }
    };
    let location = || source.location.clone();
    let (name, wanted) = (app.name.value.clone(), app.runtime.as_ref().map(|runtime| runtime.value));
    let detection = detect(&folder, wanted).map_err(|source| ResolveError::Detect {
        location: location(),
        app: name.clone(),
        source: Box::new(source),
    });
    let bundle = pack(&folder).map_err(|source| ResolveError::Pack { location: location(), name, source: Box::new(source) })?;
    let (build, start) = (app.build.as_ref().map(|build| build.value.clone()), app.start.as_ref().map(|start| start.value.clone()));
    let port = app.port.as_ref().map(|port| port.value);
    let said = [&app.build, &app.start].into_iter().flatten();
    let mut commands: Vec<(String, String)> =
        said.map(|said| (said.value.clone(), format!("{}:{}", said.location.file, said.location.line))).collect();
    match (detection, start, wanted) {
        (Ok(found), start, _) => {
            let place = found.evidence.first().map_or_else(
                || "by convention".to_owned(),
                |evidence| if evidence.line == 0 { evidence.file.clone() } else { format!("{}:{}", evidence.file, evidence.line) },
            );
            let build_found = found.build.clone().filter(|_| build.is_none());
            let start_found = Some(found.start.clone()).filter(|_| start.is_none());
            let detected = [found.install.clone(), build_found, start_found].into_iter().flatten();
            commands.extend(detected.map(|command| (command, place.clone())));
            Ok(Project {
                runtime: found.runtime,
                install: found.install,
                build: build.or(found.build),
                start: start.unwrap_or(found.start),
                port: port.or(app.public.is_some().then_some(found.port)),
                findings: found.findings.into_iter().chain(bundle.findings.iter().cloned()).collect(),
                bundle,
                scripts: looked_into(&commands, &folder),
                folder,
                commands,
                goes_out: false,
            })
        }
        // The user's own words need no detection to confirm them.
        (Err(_), Some(start), Some(runtime)) => {
            let (findings, scripts) = (bundle.findings.clone(), looked_into(&commands, &folder));
            Ok(Project { folder, runtime, install: None, build, start, port, findings, bundle, commands, scripts, goes_out: false })
        }
        (Err(error), ..) => Err(error),
    }
}

/// Reads the source of every application.
pub(super) fn projects(manifest: &Manifest) -> Result<Vec<(String, Project)>, ResolveError> {
    let one = |app: &App| match &app.origin {
        Origin::Source(source) => project(app, source),
        Origin::Work(work) => service::of_work(manifest, app, work),
        Origin::Image(image) => service::of_image(manifest, app, image),
    };
    manifest.apps.iter().map(|(name, app)| Ok((name.clone(), one(app)?))).collect()
}

pub(super) fn package_manager(image_family: &str) -> PackageManager {
    if image_family.contains("ubuntu") || image_family.contains("debian") {
        PackageManager::Apt
    } else if ["linux_2_", "centos_7", "centos_6", "anolisos_7"].iter().any(|old| image_family.contains(old)) {
        PackageManager::Yum
    } else {
        PackageManager::Dnf
    }
}

fn settings(stack: &str, app: &App, project: &Project, image_family: &str) -> AppSettings {
    let mut environment = BTreeMap::new();
    let mut secrets = Vec::new();
    for (name, value) in &app.env {
        match value {
            EnvValue::Plain(text) => drop(environment.insert(name.clone(), text.value.clone())),
            EnvValue::From(_) => secrets.push(name.clone()),
        }
    }
    AppSettings {
        stack: stack.to_owned(),
        app: app.name.value.clone(),
        runtime: project.runtime,
        install: project.install.clone(),
        build: project.build.clone(),
        start: project.start.clone(),
        stop: app.stop.as_ref().map(|stop| stop.value.clone()),
        port: project.port,
        environment,
        secrets,
        health_path: app.health.http.as_ref().map(|path| path.value.clone()),
        within_seconds: app.health.within.seconds(),
        package_manager: package_manager(image_family),
    }
}

/// Adds the resources of one application.
pub(super) async fn add(draft: &mut Draft<'_>, network: &Network, app: &App, project: Project) -> Result<(), ResolveError> {
    let name = app.name.value.clone();
    let existing = match &app.instance {
        InstanceChoice::Existing(id) => Some(id.value.clone()),
        _ => None,
    };
    for (command, place) in &project.commands {
        // What will run on the machines is as much a choice as where.
        let because = format!("it stands at {place}");
        draft.decide(&format!("apps.{name}.runs[{command}]"), Decision { chosen: command.clone(), because, rejected: Vec::new() });
    }
    let (bundle, bucket) = add_bundle(draft, &name, &project.bundle);
    let (hosts, image_family) = match &existing {
        Some(id) => (vec![existing_host(draft, app, id).await?], String::new()),
        None => {
            let wish = Wish {
                key: format!("apps.{name}"),
                location: &app.name.location,
                choice: &app.instance,
                image: app.os.as_ref(),
                disk: app.disk.as_ref(),
                spot: None,
                seconds: None,
                keeps: true,
                product: Product::Ecs,
            };
            let machine = choose::machine(draft, &wish, &network.zones(draft)).await?;
            let all = Checks::from(project.scripts.clone());
            refused(all.unfit(&machine.image_family, package_manager(&machine.image_family)))?;
            let (group, group_address) = add_security_group(draft, network, app, project.port);
            let bandwidth = bandwidth(app, &project);
            let hosts = (1..=app.replicas)
                .map(|number| add_instance(draft, network, app, &machine, (&group, &group_address), number, bandwidth))
                .collect();
            (hosts, machine.image_family)
        }
    };
    let stack = draft.manifest.stack.value.clone();
    let settings = settings(&stack, app, &project, &image_family);
    let scripts = scripts(&settings);
    check_lengths(app, &scripts)?;
    let batch = usize::try_from(app.rollout.batch).unwrap_or(1).max(1);
    let mut releases: Vec<Address> = Vec::new();
    for (host, number) in hosts.into_iter().zip(1..) {
        // A batch waits for the one before: the first failure stops the rest.
        let before = releases.len() / batch * batch;
        let waits = releases[before.saturating_sub(batch)..before].to_vec();
        let name = format!("{name}-{number}");
        releases.push(add_release(
            draft,
            app,
            &project,
            &settings,
            &scripts,
            Placed { host, name, waits, bundle: &bundle, bucket: &bucket },
        ));
    }
    if let Origin::Image(image) = &app.origin {
        let finding = service::out_of_reach(&draft.desired.region, app, image, &project);
        draft.desired.findings.extend(finding);
    }
    draft.desired.findings.extend(project.findings);
    draft.bundles.keep(project.bundle.digest.clone(), project.bundle.archive.clone());
    Ok(())
}

/// Room for what is put before a script when it is sent: the release and the link to its bundle.
const PREFIX: usize = 2048;

/// Cloud Assistant takes only so much; a script that is too long is to be said before anything is paid for.
fn check_lengths(app: &App, scripts: &Scripts) -> Result<(), ResolveError> {
    let named = [("setup", &scripts.setup), ("start", &scripts.start), ("stop", &scripts.stop), ("verify", &scripts.verify)];
    let longest = script::SCRIPT_LIMIT / 4 * 3 - PREFIX;
    match named.iter().find(|(_, text)| text.len() > longest) {
        None => Ok(()),
        Some((name, text)) => Err(ResolveError::Impossible {
            location: app.name.location.clone(),
            message: format!(
                "the {name} script of app `{}` has {} bytes, and Cloud Assistant takes {longest} at once",
                app.name.value,
                text.len()
            ),
            hint: "put long commands and long values into files that go along, and call or read those".to_owned(),
        }),
    }
}

/// An instance to run on: its identifier, when it was started, what to wait for.
struct Host {
    id: Value<String>,
    started: Value<String>,
    depends_on: BTreeSet<Address>,
}

struct Placed<'a> {
    host: Host,
    name: String,
    waits: Vec<Address>,
    bundle: &'a Address,
    bucket: &'a Address,
}

async fn existing_host(draft: &mut Draft<'_>, app: &App, id: &str) -> Result<Host, ResolveError> {
    let impossible =
        |message: String, hint: &str| ResolveError::Impossible { location: app.name.location.clone(), message, hint: hint.to_owned() };
    let region = draft.desired.region.clone();
    let Some(Existing::Instance { status, private_ip, public_ip, started_at, .. }) = draft.around.lookup.existing(&region, id).await?
    else {
        return Err(impossible(format!("there is no instance `{id}` in `{region}`"), "check the identifier and the `region`"));
    };
    if status != "Running" {
        return Err(impossible(
            format!("the instance `{id}` is `{status}`"),
            "start it first; aliform does not change what it did not make",
        ));
    }
    if app.replicas > 1 {
        return Err(impossible(format!("{} replicas can't share the one instance `{id}`", app.replicas), "set `replicas: 1`"));
    }
    draft.uses("instance", id, format!("{}; only the application is put there and taken away", public_ip.as_ref().unwrap_or(&private_ip)));
    draft.desired.findings.push(Finding {
        id: "existing-instance".to_owned(),
        severity: Severity::High,
        address: None,
        message: format!("app `{}` is put on the instance `{id}`, which aliform did not make", app.name.value),
        evidence: None,
        hint: Some("whatever runs there shares its ports and its memory".to_owned()),
    });
    let outputs = [("public_ip", public_ip.unwrap_or_default()), ("private_ip", private_ip), ("instance_id", id.to_owned())];
    for (attribute, value) in outputs {
        draft.desired.outputs.insert(format!("apps.{}.{attribute}", app.name.value), value);
    }
    Ok(Host { id: Value::Known(id.to_owned()), started: Value::Known(started_at), depends_on: BTreeSet::new() })
}

/// The stack's bucket, as a resource wanted.
pub(super) fn add_bucket(draft: &mut Draft<'_>) -> Address {
    let bucket = Address::new(Kind::Bucket, "main");
    let suffix: String = draft.around.lineage.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
    let stack: String = draft.manifest.stack.value.chars().take(40).collect();
    let spec = BucketSpec { name: format!("aliform-{stack}-{suffix}") };
    draft.desired.nodes.entry(bucket.clone()).or_insert_with(|| Node { spec: json(&spec), depends_on: BTreeSet::new() });
    bucket
}

pub(super) fn add_bundle(draft: &mut Draft<'_>, name: &str, packed: &Bundle) -> (Address, Address) {
    let bucket = add_bucket(draft);
    let bundle = Address::new(Kind::Bundle, name);
    let spec = BundleSpec {
        bucket: Value::Pending(Reference::new(bucket.clone(), "id")),
        app: name.to_owned(),
        digest: packed.digest.clone(),
        size: u64::try_from(packed.archive.len()).unwrap_or(u64::MAX),
        files: packed.files.iter().map(|file| (file.path.clone(), file.digest.clone())).collect(),
    };
    draft.desired.nodes.insert(bundle.clone(), Node { spec: json(&spec), depends_on: BTreeSet::from([bucket.clone()]) });
    (bundle, bucket)
}

fn add_security_group(draft: &mut Draft<'_>, network: &Network, app: &App, port: Option<u16>) -> (Value<String>, Option<Address>) {
    if let Some(id) = &network.security_group {
        return (Value::Known(id.clone()), None);
    }
    let address = Address::new(Kind::SecurityGroup, &app.name.value);
    let (vpc_id, depends_on) = network.vpc(draft);
    let sources: Vec<String> = match &app.public {
        Some(public) => public.allow.iter().map(|allowed| allowed.value.to_string()).collect(),
        None => vec![network.cidr.to_string()],
    };
    let rules = port.into_iter().flat_map(|port| {
        sources.iter().map(move |source| Rule {
            protocol: "tcp".to_owned(),
            ports: format!("{port}/{port}"),
            source: source.clone(),
            policy: "accept".to_owned(),
        })
    });
    let spec = SecurityGroupSpec { name: name::of(&draft.manifest.stack.value, &address), vpc_id, rules: rules.collect() };
    let world = spec.rules.iter().any(|rule| rule.source == "0.0.0.0/0");
    if let Some((port, service)) = port.and_then(|port| MANAGEMENT_PORTS.iter().find(|(known, _)| *known == port))
        && world
    {
        draft.desired.findings.push(Finding {
            id: "management-port-open".to_owned(),
            severity: Severity::High,
            address: Some(address.clone()),
            message: format!("port {port} ({service}) is open to the whole internet"),
            evidence: None,
            hint: Some("name the networks that may come in: `public: { allow: [203.0.113.0/24] }`".to_owned()),
        });
    }
    draft.desired.nodes.insert(address.clone(), Node { spec: json(&spec), depends_on });
    (Value::Pending(Reference::new(address.clone(), "id")), Some(address))
}

/// Mbit/s of each of its machines: those that its visitors have, else as many as fetching takes.
fn bandwidth(app: &App, project: &Project) -> u32 {
    let fetching = if project.goes_out && project.fetcher(app).fetches().is_some() { FETCHING } else { 0 };
    app.public.as_ref().map_or(fetching, |public| u32::try_from(public.bandwidth.value.megabits()).unwrap_or(u32::MAX))
}

fn add_instance(
    draft: &mut Draft<'_>,
    network: &Network,
    app: &App,
    machine: &Machine,
    group: (&Value<String>, &Option<Address>),
    number: u32,
    bandwidth: u32,
) -> Host {
    let address = Address::new(Kind::Instance, format!("{}-{number}", app.name.value));
    let machine = &draft.placed(&address, machine.clone());
    let (vswitch_id, mut depends_on) = network.vswitch(draft, &machine.zone);
    depends_on.extend(group.1.clone());
    let elastic = app.public.as_ref().is_some_and(|public| public.eip);
    let spec = InstanceSpec {
        name: name::of(&draft.manifest.stack.value, &address),
        zone: machine.zone.clone(),
        instance_type: machine.instance_type.clone(),
        image_id: machine.image.clone(),
        vswitch_id,
        security_group_id: group.0.clone(),
        system_disk: DiskSpec {
            category: machine.disk_category.clone(),
            performance_level: machine.disk_level.clone(),
            size: machine.disk_size,
        },
        bandwidth: if elastic { 0 } else { bandwidth },
        power: Power::Running,
        release_after: None,
        spot: None,
    };
    draft.desired.nodes.insert(address.clone(), Node { spec: json(&spec), depends_on });
    draft.desired.fallbacks.insert(address.clone(), machine.fallbacks.clone());
    let id = Value::Pending(Reference::new(address.clone(), "id"));
    let mut waits = BTreeSet::from([address.clone()]);
    if elastic {
        let eip = Address::new(Kind::Eip, &address.name);
        let spec = EipSpec { name: name::of(&draft.manifest.stack.value, &eip), bandwidth, instance_id: id.clone() };
        draft.desired.nodes.insert(eip.clone(), Node { spec: json(&spec), depends_on: BTreeSet::from([address.clone()]) });
        // Without the address the instance has no way out, and a start script may need one.
        waits.insert(eip);
    }
    Host { id, started: Value::Pending(Reference::new(address, "started_at")), depends_on: waits }
}

fn add_release(
    draft: &mut Draft<'_>,
    app: &App,
    project: &Project,
    settings: &AppSettings,
    scripts: &Scripts,
    placed: Placed<'_>,
) -> Address {
    let Placed { host, name, waits, bundle, bucket } = placed;
    let command = Address::new(Kind::Command, &name);
    let spec = CommandSpec { instance_id: host.id.clone(), script: scripts.setup.clone(), timeout: SETUP_TIMEOUT };
    draft.desired.nodes.insert(command.clone(), Node { spec: json(&spec), depends_on: host.depends_on.clone() });
    let address = Address::new(Kind::Release, &name);
    let secrets = app.env.iter().filter_map(|(name, value)| match value {
        EnvValue::From(source) => Some((name.clone(), source.value.clone())),
        EnvValue::Plain(_) => None,
    });
    let spec = ReleaseSpec {
        app: app.name.value.clone(),
        instance_id: host.id,
        instance_started: host.started,
        digest: project.bundle.digest.clone(),
        bucket: Value::Pending(Reference::new(bucket.clone(), "id")),
        bundle_key: Value::Pending(Reference::new(bundle.clone(), "key")),
        port: settings.port,
        within: settings.within_seconds,
        secrets: secrets.collect(),
        rollback: app.rollout.on_failure == OnFailure::Rollback,
        start_script: scripts.start.clone(),
        stop_script: scripts.stop.clone(),
        verify_script: scripts.verify.clone(),
        rollback_script: scripts.rollback.clone(),
        logs_script: scripts.logs.clone(),
    };
    let depends_on = host.depends_on.into_iter().chain([bundle.clone(), bucket.clone(), command]).chain(waits).collect();
    draft.desired.nodes.insert(address.clone(), Node { spec: json(&spec), depends_on });
    address
}
