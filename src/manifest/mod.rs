//! The manifest: YAML text to a typed [`Manifest`], every value and every complaint with its file, line and column.
//!
//! All complaints come at once, not the first alone. The words of the language stand in one table (`language`), from
//! which the reader and the JSON Schema both follow. This room must never ask the cloud, read the environment, or
//! look into the files that a manifest names: it only checks that they are there. It must never repeat a secret
//! that somebody wrote into the text, not even in the line that a complaint shows.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;

use crate::model::diagnostic::{Diagnostic, Location};
use crate::model::money::Money;
use crate::model::runtime::Runtime;
use crate::model::secret::SecretSource;
use crate::model::units::{Bandwidth, Duration, Size};

mod app;
mod document;
mod files;
mod formats;
mod job;
mod language;
mod network;
mod outputs;
mod reader;
mod schema;
mod secrets;
mod source;
mod template;
mod tree;

/// The largest manifest that is read, in bytes.
pub const MAX_BYTES: usize = 1 << 20;

/// What an output may ask of an application, as in `${apps.web.url}`.
pub const APP_ATTRIBUTES: [&str; 5] = ["url", "public_ip", "private_ip", "port", "instance_id"];

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Its place in the manifest.
    pub location: Location,
}

impl<T> Deref for Located<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Everything a manifest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The folder it lies in, to which the paths in it are relative.
    pub base: PathBuf,
    /// SHA-256 of its text, lower-case hexadecimal.
    pub digest: String,
    /// The name of the stack.
    pub stack: Located<String>,
    /// Where it is to run.
    pub region: Region,
    /// What it may cost.
    pub budget: Budget,
    /// The network around it.
    pub network: Network,
    /// The applications, by name.
    pub apps: BTreeMap<String, App>,
    /// The jobs, by name.
    pub jobs: BTreeMap<String, Job>,
    /// What to say when it is done, by name.
    pub outputs: BTreeMap<String, Located<Template>>,
}

/// Where a stack is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Region {
    /// To be chosen.
    Auto,
    /// This one; it is in [`crate::model::region::REGIONS`].
    Named(Located<String>),
}

/// Upper limits of cost. None of them is negative.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// For an hour of running.
    pub hourly: Option<Located<Money>>,
    /// For a month of running.
    pub monthly: Option<Located<Money>>,
    /// For everything, once.
    pub total: Option<Located<Money>>,
}

/// The network of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// The virtual private network.
    pub vpc: VpcChoice,
    /// A vSwitch that exists, `vsw-...`: used, never changed or deleted.
    pub vswitch: Option<Located<String>>,
    /// The vSwitches to create; empty leaves them to be chosen. They don't overlap and lie inside a new VPC's block.
    pub vswitches: Vec<NewVSwitch>,
    /// A security group that exists, `sg-...`: used, never changed or deleted.
    pub security_group: Option<Located<String>>,
}

/// Which virtual private network to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VpcChoice {
    /// A new one with a block of the engine's choice.
    Default,
    /// A new one with this block.
    New {
        /// A private block, mask 8 to 28.
        cidr: Located<Ipv4Net>,
    },
    /// One that exists: used, never changed or deleted.
    Existing {
        /// Its identifier, `vpc-...`.
        id: Located<String>,
    },
}

/// A vSwitch to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewVSwitch {
    /// The zone it lies in; `None` leaves it to be chosen.
    pub zone: Option<Located<String>>,
    /// Its block, mask 16 to 29.
    pub cidr: Located<Ipv4Net>,
}

/// A long-running application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// Its name.
    pub name: Located<String>,
    /// What it is made of.
    pub origin: Origin,
    /// What runs it; `None` leaves it to be detected.
    pub runtime: Option<Located<Runtime>>,
    /// The port it listens on; `None` leaves it to be detected.
    pub port: Option<Located<u16>>,
    /// How many machines run it, 1 to 100.
    pub replicas: u32,
    /// The machines.
    pub instance: InstanceChoice,
    /// The port inside its container, where it runs in one; `None` leaves it to the image.
    pub container_port: Option<Located<u16>>,
    /// The image family of new machines.
    pub os: Option<Located<String>>,
    /// The system disk of new machines.
    pub disk: Option<Located<Size>>,
    /// How the internet reaches it; `None`: not at all.
    pub public: Option<Public>,
    /// Its environment variables.
    pub env: BTreeMap<String, EnvValue>,
    /// The script that builds it; `None` has one generated.
    pub build: Option<Located<String>>,
    /// The script that starts it; `None` has one generated.
    pub start: Option<Located<String>>,
    /// The script that stops it; `None` has one generated.
    pub stop: Option<Located<String>>,
    /// When it counts as healthy.
    pub health: Health,
    /// How a new release comes in.
    pub rollout: Rollout,
}

/// What an application is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A project.
    Source(Located<Source>),
    /// A script that stays.
    Work(Work),
    /// A container image as it is.
    Image(Located<String>),
}

/// Where the source of an application is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A folder inside [`Manifest::base`], absolute and without symbolic links.
    Folder(PathBuf),
    /// The URL of a git repository; holds no password.
    Git(String),
}

/// Which machines to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstanceChoice {
    /// New ones that have at least this.
    Needs(Needs),
    /// New ones of this type, `ecs.u1-c1m2.large`.
    Type(Located<String>),
    /// The one that exists, `i-...`.
    Existing(Located<String>),
}

/// What a machine must have at least.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// vCPUs.
    pub cpu: Option<u32>,
    /// Memory.
    pub memory: Option<Size>,
    /// Accelerators.
    pub gpu: Option<Gpu>,
    /// Its processors; `None` leaves it to the image.
    pub architecture: Option<Located<Architecture>>,
}

/// The processors of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// Intel's and AMD's.
    X86,
    /// ARM's.
    Arm,
}

/// Accelerators that a machine must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// The model as the cloud names it, `NVIDIA T4`; `None`: any.
    pub model: Option<Located<String>>,
    /// How many, 1 to 16.
    pub count: u32,
}

/// How the internet reaches an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Public {
    /// The bandwidth, 1 to 100 Mbit/s.
    pub bandwidth: Located<Bandwidth>,
    /// Who may connect; the blocks don't overlap and there is at least one.
    pub allow: Vec<Located<Ipv4Net>>,
    /// An elastic address, which stays when the machine is replaced.
    pub eip: bool,
}

/// The value of an environment variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvValue {
    /// A text that is no secret.
    Plain(Located<String>),
    /// A secret, read when it is needed.
    From(Located<SecretSource>),
}

/// When an application counts as healthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The path that must answer with success, starting with `/`.
    pub http: Option<Located<String>>,
    /// The time it has for that.
    pub within: Duration,
}

/// How a new release comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// How many machines at a time; at most the number of replicas.
    pub batch: u32,
    /// What happens when one fails.
    pub on_failure: OnFailure,
}

/// What a failing rollout does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// Goes back to the release before.
    #[default]
    Rollback,
    /// Stays as it is, for a person to look at.
    Stop,
}

/// A script that runs once and is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its name.
    pub name: Located<String>,
    /// What runs.
    pub work: Work,
    /// The product that runs it; a named one is locked, `None` leaves it to be chosen.
    pub product: Option<Located<Product>>,
    /// The container image it runs in, where it runs in one.
    pub image: Option<Located<String>>,
    /// The Kubernetes cluster it runs in, where it runs in one.
    pub cluster: ClusterChoice,
    /// What it needs.
    pub needs: Needs,
    /// How many pods of it run at once, 1 to 100.
    pub workers: u32,
    /// What it may cost.
    pub budget: Budget,
    /// When it is ended at the latest.
    pub timeout: Option<Located<Duration>>,
    /// How much it sends to the internet, all of its runs together, as far as anybody knows.
    pub traffic: Option<Located<Size>>,
    /// Whether its machine may be taken back at any time, for less money.
    pub spot: Option<Located<Spot>>,
    /// Whether what it ran on stays when it ends.
    pub keep: bool,
    /// The files and folders to bring back, relative to where it runs, never outside.
    pub outputs: Vec<Located<String>>,
    /// Its environment variables.
    pub env: BTreeMap<String, EnvValue>,
    /// Parameters with their values, in the order of the text: every combination is a run. One run if it is empty.
    pub matrix: Vec<(String, Vec<String>)>,
    /// How many runs of the matrix go on at once at most; on `ecs`, how many machines share them.
    pub max_parallel: u32,
}

/// The cluster of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterChoice {
    /// One that exists, by its identifier or by its name.
    Existing(Located<String>),
    /// The one of the stack's name, or a new one; whether it would be of the Pro edition.
    Own {
        /// Whether its control plane has a fee.
        pro: bool,
    },
}

/// A machine at the price of the market.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// What an hour of it may cost at most, its disk aside; `None`: whatever the market asks, never more than the list price.
    pub cap: Option<Money>,
}

impl Job {
    /// How many runs it has.
    pub fn runs(&self) -> u64 {
        self.matrix.iter().map(|(_, values)| values.len() as u64).product()
    }
}

/// What a job runs, or an application without a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// A file inside [`Manifest::base`], absolute and without symbolic links.
    Script(Located<PathBuf>),
    /// Shell commands.
    Run(Located<String>),
}

/// The products that can run a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Product {
    /// A virtual machine.
    Ecs,
    /// A function of Function Compute.
    Fc,
    /// A Job in a Kubernetes cluster.
    Ack,
    /// A training job of PAI-DLC.
    Pai,
}

/// A text with references in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Its parts in order; two texts never follow each other.
    pub parts: Vec<Part>,
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text as it is.
    Text(String),
    /// `${apps.web.url}`: either `apps`, a name and one of [`APP_ATTRIBUTES`], or `outputs` and a name.
    Reference {
        /// The names between the dots.
        path: Vec<String>,
    },
}

/// Reads and checks the manifest at `path`; paths in it are relative to its folder.
///
/// # Errors
/// Everything that is wrong with it, sorted by place.
pub fn load(path: &Path) -> Result<Manifest, Vec<Diagnostic>> {
    let file = path.display().to_string();
    let unreadable = |error: std::io::Error| {
        let mut hints = Vec::new();
        if error.kind() == std::io::ErrorKind::NotFound {
            hints.push("write one with `aliform init`, or name another with `-f FILE`".to_owned());
        }
        vec![source::unplaced("unreadable", format!("`{file}` can't be read: {}", source::reason(&error)), hints)]
    };
    let opened = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    // One byte more than the limit tells an endless file from a large one without reading it.
    opened.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > MAX_BYTES {
        return Err(vec![source::too_large(&file)]);
    }
    let text = std::str::from_utf8(&bytes).map_err(|error| vec![source::not_utf8(&file, &bytes, error.valid_up_to())])?;
    let base = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    parse(&file, text, base)
}

/// Reads and checks the text of a manifest. `file` is what complaints call it; paths in it are relative to `base`.
///
/// # Errors
/// Everything that is wrong with it, sorted by place.
pub fn parse(file: &str, text: &str, base: &Path) -> Result<Manifest, Vec<Diagnostic>> {
    if text.len() > MAX_BYTES {
        return Err(vec![source::too_large(file)]);
    }
    let source = source::Text::new(file, text);
    let root = tree::build(&source).map_err(|complaint| vec![source::tidy(*complaint)])?;
    secrets::hide(&source, &root);
    let reader = reader::Reader::new(&source, files::Base::new(base));
    secrets::complain(&reader, &root);
    let manifest = document::read(&reader, &root, base, text);
    let complaints = reader.into_complaints();
    match manifest {
        Some(manifest) if complaints.is_empty() => Ok(manifest),
        _ => Err(complaints),
    }
}

/// The JSON Schema of the language, draft 2020-12, for editors and other programs.
pub fn json_schema() -> serde_json::Value {
    schema::document()
}
