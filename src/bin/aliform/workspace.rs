//! Where a command works: the manifest, the state beside it, the environment, and the way to the cloud.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aliform::cloud::call::{Answer, Call, Cloud, Link};
use aliform::cloud::count::Counted;
use aliform::cloud::credentials::chain::Chain;
use aliform::cloud::credentials::{CredentialSource, Credentials, Surroundings};
use aliform::cloud::dates::{Dated, Dates};
use aliform::cloud::endpoint::Endpoint;
use aliform::cloud::error::ApiError;
use aliform::cloud::http::transport::Network;
use aliform::cloud::http::{HttpCloud, user_agent};
use aliform::cloud::limit::{Limited, Limits};
use aliform::cloud::retry::Retrying;
use aliform::manifest::{self, Manifest};
use aliform::model::clock::{Clock, SystemClock};
use aliform::model::secret::{Secret, SecretSource, Secrets};
use aliform::state::contents::State;
use aliform::state::lock::Owner;
use aliform::state::store::{Durability, OpenOptions, Store};
use async_trait::async_trait;

use crate::args::Global;
use crate::commands::cloud;
use crate::error::CommandError;
use crate::output::Output;

/// The way to the cloud: counted, retried, held back, dated, signed.
pub(crate) struct Client {
    cloud: Counted<Retrying<Limited<Dated<HttpCloud>>>>,
    dates: Arc<Dates>,
}

impl Client {
    /// Calls so far.
    pub(crate) fn total(&self) -> usize {
        self.cloud.total()
    }

    /// The cloud's own time.
    pub(crate) fn dates(&self) -> &Dates {
        &self.dates
    }
}

#[async_trait]
impl Cloud for Client {
    async fn send(&self, call: Call) -> Result<Answer, ApiError> {
        self.cloud.send(call).await
    }

    async fn presign(&self, link: &Link<'_>) -> Result<String, ApiError> {
        self.cloud.presign(link).await
    }
}

/// Where a command works.
pub(crate) struct Workspace {
    /// The folder of the manifest.
    pub(crate) directory: PathBuf,
    /// The manifest.
    pub(crate) manifest: PathBuf,
    /// Whether the local cloud is meant.
    pub(crate) local: bool,
    variables: BTreeMap<String, String>,
}

impl Workspace {
    /// Finds it from the options and the environment.
    pub(crate) fn new(global: &Global) -> Self {
        let variables: BTreeMap<String, String> =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect();
        let start = global.directory.clone().unwrap_or_default();
        let manifest = start.join(&global.file);
        let directory = match manifest.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let local = global.local || variables.get("ALIFORM_CLOUD").is_some_and(|cloud| cloud == "local");
        Workspace { directory, manifest, local, variables }
    }

    /// A variable of the environment that is not empty.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Where state and the local cloud live.
    pub(crate) fn state_directory(&self) -> PathBuf {
        self.directory.join(".aliform")
    }

    /// The manifest, or every complaint about it.
    pub(crate) fn load(&self) -> Result<Manifest, CommandError> {
        manifest::load(&self.manifest).map_err(CommandError::diagnostics)
    }

    /// Every stack that has a state here.
    pub(crate) fn stacks(&self) -> Vec<String> {
        stacks(&self.state_directory())
    }

    /// The stack: the manifest's, or the only one that has a state here.
    pub(crate) fn stack(&self) -> Result<String, CommandError> {
        if self.manifest.exists() {
            return Ok(self.load()?.stack.value);
        }
        let mut stacks = stacks(&self.state_directory());
        match (stacks.pop(), stacks.is_empty()) {
            (Some(stack), true) => Ok(stack),
            (None, _) => Err(CommandError::failed(format!("there is no manifest `{}` and no state beside it", self.manifest.display()))
                .hint("run `aliform init` in the folder of your application, or name the manifest with `-f FILE`")),
            (Some(_), false) => {
                Err(CommandError::failed("there is no manifest, and several stacks have a state here")
                    .hint("name the manifest with `-f FILE`"))
            }
        }
    }

    /// Every state that is here, as it is on disk.
    pub(crate) fn states(&self) -> Result<Vec<State>, CommandError> {
        let directory = self.state_directory();
        let read = |stack: &String| Store::read(&directory, stack).transpose();
        Ok(stacks(&directory).iter().filter_map(read).collect::<Result<_, _>>()?)
    }

    /// Opens the state for writing. A new one takes `lineage`, or a random one.
    pub(crate) fn open(&self, stack: &str, what: &str, lineage: Option<String>) -> Result<Store, CommandError> {
        let number = || format!("user {}", rustix::process::getuid().as_raw());
        let owner = Owner {
            who: self.variable("USER").or(self.variable("LOGNAME")).map_or_else(number, str::to_owned),
            what: what.to_owned(),
            pid: std::process::id(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        };
        let lineage = match lineage {
            Some(lineage) => lineage,
            None => random_hex()?,
        };
        let options = OpenOptions { owner, clock: clock(), lineage, durability: Durability::Fsync };
        Ok(Store::open(&self.state_directory(), stack, options)?)
    }

    /// The way to the cloud; the local one is started if it does not run.
    pub(crate) async fn connect(&self, out: &Output) -> Result<Client, CommandError> {
        let network = Arc::new(Network::new(user_agent(self.variable("ALIBABA_CLOUD_USER_AGENT"))));
        let (endpoint, credentials, limits): (Endpoint, Arc<dyn CredentialSource>, Limits) = if self.local {
            let base = cloud::ensure_running(&self.state_directory(), out).await?;
            let key = Credentials::lasting("local", Secret::new("local"), "local");
            (Endpoint::Fixed(base), Arc::new(key), Limits { products: BTreeMap::new(), actions: BTreeMap::new() })
        } else {
            let surroundings = Surroundings { variables: self.variables.clone(), home: self.variable("HOME").map(PathBuf::from) };
            let endpoint = Endpoint::from_variables(&self.variables);
            (endpoint, Arc::new(Chain::new(surroundings, network.clone(), clock())), Limits::cautious())
        };
        let dates = Arc::new(Dates::new(clock()));
        let dated = Dated::new(HttpCloud::new(endpoint, credentials, network, clock()), dates.clone());
        Ok(Client { cloud: Counted::new(Retrying::new(Limited::new(dated, &limits))), dates })
    }
}

impl Secrets for Workspace {
    fn read(&self, source: &SecretSource) -> Option<Secret> {
        self.variable(&source.variable).map(Secret::new)
    }
}

/// The one clock of the binary.
pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// 128 random bits.
pub(crate) fn random_hex() -> Result<String, CommandError> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| CommandError::failed("the system gives no random bytes").because(error))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Every stack that has a state in the folder.
fn stacks(directory: &Path) -> Vec<String> {
    let names = std::fs::read_dir(directory).into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut stacks: Vec<String> =
        names.filter_map(|name| Some(name.strip_suffix(".state.json").or(name.strip_suffix(".journal"))?.to_owned())).collect();
    stacks.sort();
    stacks.dedup();
    stacks
}
