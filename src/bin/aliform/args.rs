//! What can be typed.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, RangedU64ValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Risks that have to be accepted by name.
pub(crate) const BY_NAME: [&str; 3] = ["balance-low", "existing-instance", "no-training-entry"];
/// More steps at once only wait for each other's calls.
const MOST_STEPS: u64 = 100;

/// Declarative plan and apply for Alibaba Cloud.
#[derive(Debug, Parser)]
#[command(name = "aliform", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The manifest
    #[arg(short, long, global = true, value_name = "FILE", default_value = "aliform.yaml")]
    pub(crate) file: PathBuf,
    /// Run as if started in this folder
    #[arg(short = 'C', long, global = true, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// Use the local cloud: an Alibaba Cloud on this machine, without an account
    #[arg(long, global = true)]
    pub(crate) local: bool,
    /// Show plans with every line of every script
    #[arg(long, global = true)]
    pub(crate) full: bool,
    /// How results are written
    #[arg(long, global = true, value_enum, default_value_t = Format::Human, value_name = "FORMAT")]
    pub(crate) output: Format,
}

/// A form of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Human,
    /// JSON documents: an apply writes its plan, then its outcome
    Json,
    /// One JSON object a line, as things happen
    Ndjson,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Look at a folder and write a manifest for it
    Init(Init),
    /// Check the manifest
    Validate,
    /// Show what would be done, why, and what it costs
    Plan(Plan),
    /// Do it, after asking
    Apply(Apply),
    /// Take everything away, after asking
    Destroy(Destroy),
    /// Run a script once, on a machine that is gone again afterwards
    Run(Run),
    /// Find what was left behind in the cloud, and take away what is past its time, after asking
    Sweep(Sweep),
    /// Compare what could run a script, a job or everything in the manifest; nothing is made
    Quote(Quote),
    /// Show what runs where
    Status,
    /// Show what a run of a job wrote, or an application's log
    Logs(Logs),
    /// Check credentials, clock, region and what else an apply needs
    Check,
    /// Print an output, or all of them
    Output(OutputName),
    /// Print what depends on what
    Graph(Graph),
    /// Look into the state, or mend it
    #[command(subcommand)]
    State(State),
    /// The local cloud
    #[command(subcommand)]
    Cloud(Cloud),
    /// Print a JSON Schema
    Schema(Schema),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Write over a manifest that is there
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Planning {
    /// Decide region, zone and type anew
    #[arg(long)]
    pub(crate) reselect: bool,
    /// Make this resource anew; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) replace: Vec<aliform::model::address::Address>,
    /// Don't ask the cloud what changed there
    #[arg(long)]
    pub(crate) no_refresh: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) planning: Planning,
    /// Save the plan for `aliform apply FILE`
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Exit with 2 when something would change
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
    /// Plan to take everything away
    #[arg(long)]
    pub(crate) destroy: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// A saved plan
    pub(crate) plan: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) planning: Planning,
    #[command(flatten)]
    pub(crate) doing: Doing,
    /// Accept a risk that has to be accepted by name
    #[arg(long, value_name = "RISK", value_parser = PossibleValuesParser::new(BY_NAME))]
    pub(crate) accept: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Doing {
    /// Don't ask; the plan is printed all the same
    #[arg(long)]
    pub(crate) auto_approve: bool,
    /// How many steps are under way at once
    #[arg(long, value_name = "N", default_value_t = aliform::apply::run::CONCURRENCY, value_parser = RangedU64ValueParser::<usize>::new().range(1..=MOST_STEPS))]
    pub(crate) parallelism: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Destroy {
    #[command(flatten)]
    pub(crate) doing: Doing,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// A script, or a job of the manifest
    #[arg(value_name = "SCRIPT|JOB", required_unless_present_any = ["release", "resume"])]
    pub(crate) target: Option<String>,
    #[command(flatten)]
    pub(crate) script: Script,
    /// If it fails, keep what it ran on, which goes on costing money
    #[arg(long)]
    pub(crate) keep_on_failure: bool,
    /// Accept a risk that has to be accepted by name
    #[arg(long, value_name = "RISK", value_parser = PossibleValuesParser::new(BY_NAME))]
    pub(crate) accept: Vec<String>,
    /// Release what a run left; its receipt names the stack
    #[arg(long, value_name = "STACK", conflicts_with = "target")]
    pub(crate) release: Option<String>,
    /// Begin it and leave it: it goes on in the cloud until it is resumed, released, or ended by its deadline
    #[arg(short, long, conflicts_with_all = ["release", "resume"])]
    pub(crate) detach: bool,
    /// Go on with a run that was left: its output from the beginning, its end, its outputs, its receipt; may be named by its stack or job where several are under way
    #[arg(long, value_name = "STACK", num_args = 0..=1, conflicts_with_all = ["target", "release"])]
    pub(crate) resume: Option<Option<String>>,
    #[command(flatten)]
    pub(crate) doing: Doing,
}

#[derive(Debug, Args)]
pub(crate) struct Sweep {
    /// Where to look: `all`, or regions with commas between; the manifest's, else those of the states here
    #[arg(long, value_name = "REGION")]
    pub(crate) region: Option<String>,
    /// List only what is past its time; that is what goes, unless a stack is named
    #[arg(long)]
    pub(crate) expired: bool,
    /// Take away all of this stack that no state here holds, whatever its time; may be given several times
    #[arg(long, value_name = "STACK", conflicts_with = "expired")]
    pub(crate) stack: Vec<String>,
    /// The same of one lineage, where several stacks have a name; may be given several times
    #[arg(long, value_name = "LINEAGE", conflicts_with = "expired")]
    pub(crate) lineage: Vec<String>,
    #[command(flatten)]
    pub(crate) doing: Doing,
}

#[derive(Debug, Args)]
pub(crate) struct Quote {
    /// A script, or a job of the manifest; left out, all that the manifest wants
    #[arg(value_name = "SCRIPT|JOB")]
    pub(crate) target: Option<String>,
    /// Several regions are compared with `--region all` or `--region R1,R2`
    #[command(flatten)]
    pub(crate) script: Script,
}

/// What a manifest would say of a script.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Of a script (of a job the manifest says it)")]
pub(crate) struct Script {
    /// vCPUs, at least
    #[arg(long, value_name = "N")]
    pub(crate) cpu: Option<u32>,
    /// Memory, at least: `4GiB`
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<String>,
    /// Accelerators: `NVIDIA T4`, or `2 x NVIDIA T4`
    #[arg(long, value_name = "MODEL")]
    pub(crate) gpu: Option<String>,
    /// Processors: `x86` or `arm`
    #[arg(long, value_name = "ARCH")]
    pub(crate) arch: Option<String>,
    /// A machine that may be taken back at any time, for less money; with a cap on its price: `--spot="0.5 CNY"`
    #[arg(long, value_name = "CAP", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) spot: Option<String>,
    /// When it is ended at the latest; 1h unless told otherwise
    #[arg(long, value_name = "DURATION")]
    pub(crate) timeout: Option<String>,
    /// How much it sends to the internet, for the budget to count: `5GiB`
    #[arg(long, value_name = "SIZE")]
    pub(crate) traffic: Option<String>,
    /// What it may cost: `5 CNY`
    #[arg(long, value_name = "MONEY")]
    pub(crate) budget: Option<String>,
    /// Where; chosen unless told otherwise
    #[arg(long, value_name = "REGION")]
    pub(crate) region: Option<String>,
    /// A variable, or the name of one that is handed over as a secret; may be given several times
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// A file or folder to bring back; may be given several times
    #[arg(long, value_name = "PATH")]
    pub(crate) fetch: Vec<String>,
    /// The container image it runs in, where it runs in one
    #[arg(long, value_name = "IMAGE")]
    pub(crate) image: Option<String>,
    /// The product that runs it: `ecs`, `fc`, `ack` or `pai`; chosen unless told otherwise
    #[arg(long, value_name = "PRODUCT")]
    pub(crate) product: Option<String>,
    /// A name, to tell runs of the same script apart
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The application, the job, or the stack of a run; may be left out when there is one
    #[arg(value_name = "APP|JOB|STACK")]
    pub(crate) name: Option<String>,
    /// Go on with what comes: of a run until it ends, of an application until Ctrl-C
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// The manifest
    // The option of every command, without its short form: that means something else here.
    #[arg(long, value_name = "FILE", default_value = "aliform.yaml")]
    pub(crate) file: PathBuf,
    /// Only the last lines of what there is: unless told otherwise 100 of each replica of an application, and all of a run
    #[arg(short = 'n', long = "tail", visible_alias = "lines", value_name = "N")]
    pub(crate) tail: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct OutputName {
    /// Which one; its bare value is printed
    pub(crate) name: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Graph {
    /// The form of the drawing
    #[arg(long, value_enum, default_value_t = GraphFormat::Dot)]
    pub(crate) format: GraphFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// Graphviz
    Dot,
    /// Mermaid, as Markdown renderers draw it
    Mermaid,
}

#[derive(Debug, Subcommand)]
pub(crate) enum State {
    /// List what the state remembers
    List,
    /// Show one resource, or everything
    Show {
        /// The resource
        address: Option<aliform::model::address::Address>,
    },
    /// Give a resource another name
    Mv {
        /// Its name until now
        from: aliform::model::address::Address,
        /// Its name from now on
        to: aliform::model::address::Address,
    },
    /// Forget a resource, which goes on existing in the cloud
    Rm {
        /// The resource
        address: aliform::model::address::Address,
    },
    /// Remove what a dead process left of its lock
    Unlock {
        /// Break the lock of a process that may be alive: it can't write the state any more
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Cloud {
    /// Start it, if it does not run
    Start {
        /// A scenario: latency, errors, stock, prices, time; see `aliform schema scenario`
        #[arg(long, value_name = "FILE")]
        scenario: Option<PathBuf>,
    },
    /// Stop it with all its machines; their disks stay
    Stop,
    /// Say whether it runs, where, and how well its machines are isolated
    Status,
    /// List every resource in it
    Resources,
    /// Show what everything in it has cost, line by line, and what is left of the balance
    Bill,
    /// Show the scenario that counts, or let another one count while it runs
    Scenario {
        /// The scenario
        scenario: Option<PathBuf>,
        /// Go back to how a new local cloud behaves
        #[arg(long, conflicts_with = "scenario")]
        clear: bool,
    },
    /// Show what clients asked of it of late
    Calls {
        /// How many
        #[arg(short = 'n', long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        lines: u32,
        /// Go on with what comes
        #[arg(long)]
        follow: bool,
    },
    /// Stop it and throw everything in it away
    Reset,
    /// Run it in the foreground, for any client
    Serve {
        /// The address to listen on
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: std::net::SocketAddr,
        /// A scenario: latency, errors, stock, prices, time; see `aliform schema scenario`
        #[arg(long, value_name = "FILE")]
        scenario: Option<PathBuf>,
        /// Say where it answers over TLS, and which certificate authority to trust
        #[arg(long)]
        tls: bool,
        /// The address to listen on with TLS
        #[arg(long, default_value = "127.0.0.1:0")]
        listen_tls: std::net::SocketAddr,
        /// Go on without a terminal once the address is printed
        #[arg(long, hide = true)]
        detach: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// Of what
    #[arg(value_enum)]
    pub(crate) document: Document,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Document {
    /// The manifest
    Manifest,
    /// A saved plan
    Plan,
    /// The events of NDJSON
    Events,
    /// The state
    State,
    /// A scenario of the local cloud
    Scenario,
}
