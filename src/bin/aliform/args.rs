//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Declarative plan and apply for Alibaba Cloud.
#[derive(Debug, Parser)]
#[command(name = "aliform", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// The manifest
    #[arg(short, long, global = true, value_name = "FILE", default_value = "aliform.yaml")]
    pub file: PathBuf,
    /// Run as if started in this folder
    #[arg(short = 'C', long, global = true, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Use the local cloud: an Alibaba Cloud on this machine, without an account
    #[arg(long, global = true)]
    pub local: bool,
    /// How results are written
    #[arg(long, global = true, value_enum, default_value_t = Format::Human, value_name = "FORMAT")]
    pub output: Format,
}

/// A form of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Human,
    /// One JSON document
    Json,
    /// One JSON object a line, as things happen
    Ndjson,
}

#[derive(Debug, Subcommand)]
pub enum Command {
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
    /// Show what runs where
    Status,
    /// Show an application's log
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
pub struct Init {
    /// Write over a manifest that is there
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct Planning {
    /// Decide region, zone and type anew
    #[arg(long)]
    pub reselect: bool,
    /// Make this resource anew; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    pub replace: Vec<aliform::model::address::Address>,
    /// Don't ask the cloud what changed there
    #[arg(long)]
    pub no_refresh: bool,
}

#[derive(Debug, Args)]
pub struct Plan {
    #[command(flatten)]
    pub planning: Planning,
    /// Save the plan for `aliform apply FILE`
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Exit with 2 when something would change
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// Plan to take everything away
    #[arg(long)]
    pub destroy: bool,
}

#[derive(Debug, Args)]
pub struct Apply {
    /// A saved plan
    pub plan: Option<PathBuf>,
    #[command(flatten)]
    pub planning: Planning,
    #[command(flatten)]
    pub doing: Doing,
    /// Accept a risk that has to be accepted by name, `existing-instance`
    #[arg(long, value_name = "RISK")]
    pub accept: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Doing {
    /// Don't ask; the plan is printed all the same
    #[arg(long)]
    pub auto_approve: bool,
    /// How many steps are under way at once
    #[arg(long, value_name = "N", default_value_t = aliform::apply::run::CONCURRENCY)]
    pub parallelism: usize,
}

#[derive(Debug, Args)]
pub struct Destroy {
    #[command(flatten)]
    pub doing: Doing,
}

#[derive(Debug, Args)]
pub struct Logs {
    /// The application; may be left out when there is one
    pub app: Option<String>,
    /// How many lines of each replica
    #[arg(short = 'n', long, default_value_t = 100)]
    pub lines: u32,
}

#[derive(Debug, Args)]
pub struct OutputName {
    /// Which one; its bare value is printed
    pub name: Option<String>,
}

#[derive(Debug, Args)]
pub struct Graph {
    /// The form of the drawing
    #[arg(long, value_enum, default_value_t = GraphFormat::Dot)]
    pub format: GraphFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// Graphviz
    Dot,
    /// Mermaid, as Markdown renderers draw it
    Mermaid,
}

#[derive(Debug, Subcommand)]
pub enum State {
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
    /// Break a lock that a dead process left
    Unlock,
}

#[derive(Debug, Subcommand)]
pub enum Cloud {
    /// Start it, if it does not run
    Start,
    /// Stop it with all its machines; their disks stay
    Stop,
    /// Say whether it runs, where, and how well its machines are isolated
    Status,
    /// List every resource in it
    Resources,
    /// Stop it and throw everything in it away
    Reset,
    /// Run it in the foreground, for any client
    Serve {
        /// The address to listen on
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: std::net::SocketAddr,
        /// Go on without a terminal once the address is printed
        #[arg(long, hide = true)]
        detach: bool,
    },
}

#[derive(Debug, Args)]
pub struct Schema {
    /// Of what
    #[arg(value_enum)]
    pub document: Document,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Document {
    /// The manifest
    Manifest,
    /// A saved plan
    Plan,
    /// The events of NDJSON
    Events,
    /// The state
    State,
}
