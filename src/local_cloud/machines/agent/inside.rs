//! A machine from within: where its files are, who its processes can be, and the parts that serve it. Without
//! namespaces the same parts serve on the host itself.

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;

#[cfg(target_os = "linux")]
use super::channel::Channel;
use super::commands::{Commands, signal_descendants};
use super::control;
#[cfg(target_os = "linux")]
use super::inbound::Inbound;
use super::outbound::{Connector, Proxy};
use super::reaper::Reaper;
use super::users::{Identities, User};
use crate::local_cloud::machines::disk;
use crate::local_cloud::machines::processes::Status;
use crate::local_cloud::machines::wire::{Door, Launch};

/// How long processes have to leave by themselves when the machine is halted.
const FAREWELL: Duration = Duration::from_secs(2);
const STANDARD_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where commands run and files go.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// `/`, or the disk's folder on the host.
    pub(super) root: PathBuf,
    /// Where scripts lie while they run.
    pub(super) scripts: PathBuf,
    pub(super) isolated: bool,
    pub(super) identities: Identities,
    pub(super) search_path: String,
    pub(super) no_proxy: String,
}

impl Place {
    /// Within namespaces, after the root was changed.
    #[cfg(target_os = "linux")]
    pub(super) fn machine(launch: &Launch, identities: Identities) -> Place {
        Place { root: PathBuf::from("/"), scripts: PathBuf::from("/run/aliform"), isolated: true, ..Place::host(launch, identities) }
    }

    /// On the host itself.
    pub(super) fn host(launch: &Launch, identities: Identities) -> Place {
        let mut no_proxy = format!("localhost,127.0.0.1,::1,{},{}", launch.hostname, launch.private_ip);
        if let Some(public) = launch.public_ip {
            no_proxy.push_str(&format!(",{public}"));
        }
        Place {
            root: disk::folder(&launch.directory),
            scripts: launch.directory.join("scripts"),
            isolated: false,
            identities,
            search_path: search_path(launch.host.path.as_deref().unwrap_or_default()),
            no_proxy,
        }
    }

    /// Where a path of the machine is.
    pub(super) fn locate(&self, path: &str) -> PathBuf {
        match Path::new(path).strip_prefix("/") {
            Ok(below) => self.root.join(below),
            Err(_) => self.root.join("root").join(path),
        }
    }

    /// A user's home.
    pub(super) fn home(&self, user: &User) -> String {
        if self.isolated { user.home.clone() } else { self.root.join("root").display().to_string() }
    }
}

/// The standard folders, then those of the server's own path that can be seen from here.
fn search_path(own: &str) -> String {
    let mut folders: Vec<&str> = STANDARD_PATH.split(':').collect();
    for folder in own.split(':') {
        if folder.starts_with('/') && !folders.contains(&folder) && Path::new(folder).is_dir() {
            folders.push(folder);
        }
    }
    folders.join(":")
}

/// The parts that serve a machine.
pub(super) struct Inside {
    pub(super) place: Arc<Place>,
    pub(super) commands: Arc<Commands>,
    reaper: Arc<Reaper>,
    #[cfg(target_os = "linux")]
    inbound: Option<Arc<Inbound>>,
}

impl Inside {
    /// Starts them on the host itself.
    pub(super) async fn start(place: Place, connector: Connector) -> std::io::Result<Arc<Inside>> {
        Inside::assemble(place, connector, Reaper::start()?).await.map(Arc::new)
    }

    /// Starts them within namespaces, with the host's half at the other end of `channel`.
    #[cfg(target_os = "linux")]
    pub(super) async fn start_enclosed(place: Place, launch: &Launch, channel: Channel) -> std::io::Result<Arc<Inside>> {
        let reaper = Reaper::start()?;
        let switchboard = super::outbound::Switchboard::new(Arc::new(channel));
        let inbound = Inbound::start(launch, switchboard.channel(), reaper.children());
        tokio::spawn(super::inbound::receive(switchboard.clone(), inbound.clone()));
        let mut inside = Inside::assemble(place, Connector::Through(switchboard), reaper).await?;
        inside.inbound = Some(inbound);
        Ok(Arc::new(inside))
    }

    async fn assemble(place: Place, connector: Connector, reaper: Arc<Reaper>) -> std::io::Result<Inside> {
        let place = Arc::new(place);
        let proxy = Proxy::start(connector).await?;
        let commands = Arc::new(Commands::new(place.clone(), reaper.clone(), proxy));
        Ok(Inside {
            place,
            commands,
            reaper,
            #[cfg(target_os = "linux")]
            inbound: None,
        })
    }

    /// Serves the control socket until the machine is halted.
    pub(super) async fn serve(self: Arc<Self>, listener: UnixListener) {
        control::serve(listener, self).await;
    }

    /// Replaces the openings. Once this returns, the host's ports are as told.
    pub(super) async fn open(&self, doors: Vec<Door>) {
        #[cfg(target_os = "linux")]
        if let Some(inbound) = &self.inbound {
            inbound.replace(doors).await;
        }
        #[cfg(not(target_os = "linux"))]
        drop(doors);
    }

    pub(super) fn status(&self) -> Status {
        #[cfg(target_os = "linux")]
        let mut status = self.inbound.as_ref().map(|inbound| inbound.status()).unwrap_or_default();
        #[cfg(not(target_os = "linux"))]
        let mut status = Status::default();
        status.commands = self.commands.count();
        status
    }

    /// Asks every process to leave and waits a little; the rest goes with this process.
    pub(super) async fn halt(&self) {
        self.commands.halt();
        self.signal_all(Signal::TERM);
        let mut children = self.reaper.children();
        let _ = tokio::time::timeout(FAREWELL, children.wait_for(|some| !some)).await;
        self.signal_all(Signal::KILL);
        if !self.place.isolated {
            let _ = tokio::time::timeout(FAREWELL, children.wait_for(|some| !some)).await;
        }
    }

    fn signal_all(&self, signal: Signal) {
        let own = std::process::id() as i32;
        if self.place.isolated && own == 1 {
            // SAFETY: a plain system call. The first process of a namespace reaches all of it, itself excepted.
            unsafe {
                libc::kill(-1, signal.as_raw());
            }
        } else {
            signal_descendants(own, signal);
        }
    }
}
