//! The way into a machine: watches what listens inside, tells the host's half which ports to hold, and carries each
//! connection that comes through to the process that listens. It opens nothing that no opening covers.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::channel::{Channel, ToHost, ToMachine};
use super::host::reset;
use super::outbound::Switchboard;
use super::{note, sockets};
use crate::local_cloud::machines::processes::Status;
use crate::local_cloud::machines::wire::{Door, Launch};

/// How often listening sockets are looked for. The kernel tells nobody of a socket that starts to listen.
const LOOK: Duration = Duration::from_millis(100);
/// How long the host's half may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// The openings, and what listens behind them.
pub(super) struct Inbound {
    private: Ipv4Addr,
    public: Option<Ipv4Addr>,
    channel: Arc<Channel>,
    doors: watch::Sender<Vec<Door>>,
    /// Only one at a time tells the host's half, so that its messages stay in order.
    told: tokio::sync::Mutex<Told>,
    targets: Mutex<BTreeMap<u16, Ipv4Addr>>,
    ports: watch::Sender<(u64, Status)>,
}

#[derive(Default)]
struct Told {
    number: u64,
    doors: Vec<Door>,
    listening: Vec<u16>,
}

impl Inbound {
    /// Starts watching.
    pub(super) fn start(launch: &Launch, channel: Arc<Channel>, children: watch::Receiver<bool>) -> Arc<Inbound> {
        let inbound = Arc::new(Inbound {
            private: launch.private_ip,
            public: launch.public_ip,
            channel,
            doors: watch::Sender::new(launch.doors.clone()),
            told: tokio::sync::Mutex::default(),
            targets: Mutex::default(),
            ports: watch::Sender::new((0, Status::default())),
        });
        tokio::spawn(inbound.clone().watch(children));
        inbound
    }

    /// Replaces the openings and waits until the host's ports are so.
    pub(super) async fn replace(&self, doors: Vec<Door>) {
        self.doors.send_replace(doors);
        let number = self.look().await;
        let mut ports = self.ports.subscribe();
        if tokio::time::timeout(ANSWER, ports.wait_for(|(answered, _)| *answered >= number)).await.is_err() {
            note("the host's half does not answer");
        }
    }

    pub(super) fn status(&self) -> Status {
        self.ports.borrow().1.clone()
    }

    /// Looks while there is something to see: an opening, and a process that could listen.
    async fn watch(self: Arc<Inbound>, mut children: watch::Receiver<bool>) {
        let mut doors = self.doors.subscribe();
        loop {
            self.look().await;
            if *children.borrow_and_update() && !doors.borrow_and_update().is_empty() {
                tokio::time::sleep(LOOK).await;
            } else {
                tokio::select! {
                    _ = children.changed() => {}
                    _ = doors.changed() => {}
                }
            }
        }
    }

    /// Looks once; tells the host's half if anything changed. Answers the number of what it was last told.
    async fn look(&self) -> u64 {
        let mut told = self.told.lock().await;
        let doors = self.doors.borrow().clone();
        let mut found = if doors.is_empty() { BTreeMap::new() } else { sockets::listening(self.private, self.public) };
        found.retain(|port, _| doors.iter().any(|door| door.covers(*port)));
        let listening: Vec<u16> = found.keys().copied().collect();
        *self.targets.lock().unwrap_or_else(PoisonError::into_inner) = found;
        if told.doors != doors || told.listening != listening {
            let number = told.number + 1;
            let message = ToHost::Serve { number, doors: doors.clone(), listening: listening.clone() };
            match self.channel.send(&message, None).await {
                Ok(()) => *told = Told { number, doors, listening },
                Err(error) => note(&format!("the host's half can't be told of the ports: {error}")),
            }
        }
        told.number
    }

    async fn carry(&self, port: u16, socket: OwnedFd) {
        let stream = std::net::TcpStream::from(socket);
        let Ok(mut outside) = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) else { return };
        let target = self.targets.lock().unwrap_or_else(PoisonError::into_inner).get(&port).copied();
        let inside = match target {
            Some(target) => TcpStream::connect((target, port)).await.ok(),
            None => None,
        };
        match inside {
            // An end that either side brings about early is theirs to tell.
            Some(mut inside) => drop(copy_bidirectional(&mut outside, &mut inside).await),
            None => reset(&outside),
        }
    }
}

/// Hands on what the host's half says. Its end is the machine's end.
pub(super) async fn receive(switchboard: Arc<Switchboard>, inbound: Arc<Inbound>) {
    let channel = switchboard.channel();
    loop {
        match channel.receive().await {
            Ok(Some((ToMachine::Ports { number, answering, refused }, _))) => {
                inbound.ports.send_replace((number, Status { answering, refused, commands: 0 }));
            }
            Ok(Some((ToMachine::Inbound { port }, Some(socket)))) => {
                let inbound = inbound.clone();
                tokio::spawn(async move { inbound.carry(port, socket).await });
            }
            Ok(Some((ToMachine::Connected { number, form }, Some(socket)))) => switchboard.answer(number, Ok((socket, form))),
            Ok(Some((ToMachine::Refused { number, refusal }, _))) => switchboard.answer(number, Err(refusal)),
            Ok(Some((message, None))) => note(&format!("a message came without its socket: {message:?}")),
            Ok(None) | Err(_) => {
                note("the host's half is gone: the machine ends");
                std::process::exit(1);
            }
        }
    }
}
