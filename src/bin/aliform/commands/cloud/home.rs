//! The folder of a local cloud: who has it, and where its server is found.

use std::fs::{self, File, TryLockError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aliform::local_cloud::LocalCloud;
use aliform::local_cloud::config::Config;
use aliform::local_cloud::machines::simulated::Simulated;
use serde::{Deserialize, Serialize};

use crate::error::CommandError;
use crate::workspace::clock;

/// How long the local cloud may take to come up or to go down.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Where a running local cloud is found.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Running {
    pub(super) address: SocketAddr,
    /// Where it answers over TLS; servers of earlier versions did not.
    #[serde(default)]
    pub(super) secure: Option<SocketAddr>,
    pub(super) pid: u32,
    /// What is not isolated because the system forbids namespaces; empty if they are there.
    #[serde(default)]
    pub(super) exposed: Vec<String>,
}

/// What a local cloud that does not run has on disk. Nobody starts it meanwhile.
pub(super) struct Stored {
    pub(super) cloud: LocalCloud,
    _lock: File,
}

/// The files of a local cloud.
pub(super) struct Home(pub(super) PathBuf);

impl Home {
    pub(super) fn new(state_directory: &Path) -> Self {
        Home(state_directory.join("cloud"))
    }

    pub(super) fn server(&self) -> PathBuf {
        self.0.join("server.json")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.0.join("server.log")
    }

    pub(super) fn authority(&self) -> PathBuf {
        self.0.join("ca.pem")
    }

    pub(super) fn machines(&self) -> PathBuf {
        self.0.join("machines")
    }

    pub(super) fn wrong(&self, what: &str, error: impl std::fmt::Display) -> CommandError {
        CommandError::failed(format!("{what} in `{}`", self.0.display())).because(error)
    }

    /// Takes the lock of the one server, or says that someone has it.
    pub(super) fn lock(&self) -> Result<Option<File>, CommandError> {
        fs::create_dir_all(&self.0).map_err(|error| self.wrong("the local cloud can't be kept", error))?;
        let file = File::options().create(true).write(true).truncate(false).open(self.0.join("server.lock"));
        let file = file.map_err(|error| self.wrong("the local cloud can't be locked", error))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(self.wrong("the local cloud can't be locked", error)),
        }
    }

    /// A local cloud that does not run, to look at; `None` if there never was one.
    pub(super) fn stored(&self) -> Result<Option<Stored>, CommandError> {
        if !self.0.join("server.lock").exists() {
            return Ok(None);
        }
        let Some(lock) = self.lock()? else { return Err(self.wrong("the local cloud was started just now", "try again")) };
        // Simulated machines: looking at what is stored must start nothing.
        let cloud = LocalCloud::open(&self.0, Config::default(), clock(), Arc::new(Simulated::default()))
            .map_err(|error| self.wrong("the local cloud can't be read", error))?;
        Ok(Some(Stored { cloud, _lock: lock }))
    }

    /// The server that holds the lock, once it has written where it is.
    pub(super) async fn running(&self) -> Result<Option<Running>, CommandError> {
        let wait = async {
            loop {
                if self.lock()?.is_some() {
                    return Ok(None);
                }
                if let Some(running) = fs::read(self.server()).ok().and_then(|text| serde_json::from_slice(&text).ok()) {
                    return Ok(Some(running));
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .unwrap_or_else(|_| Err(self.wrong("the local cloud is starting and does not get on", "no address yet")))
    }
}
