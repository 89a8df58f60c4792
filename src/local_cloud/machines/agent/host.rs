//! The half of a machine that stays in the host's network: it listens on the machine's public address, exactly on the
//! ports that are open and listened on within, and makes the machine's outbound connections. It hands the sockets over
//! and copies nothing itself.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use super::channel::{Channel, ToHost, ToMachine};
use super::note;
use super::routes::Routes;
use crate::local_cloud::machines::wire::{Door, Launch};

/// How often a port that could not be bound is tried again: nobody tells when it is free.
const AGAIN: Duration = Duration::from_secs(1);

/// Serves until the machine's end.
pub(super) async fn serve(launch: &Launch, end: OwnedFd) -> io::Result<()> {
    let channel = Arc::new(Channel::new(end)?);
    let routes = Arc::new(Routes::new(launch.gateway, &launch.host));
    let mut ports = Ports {
        address: launch.public_ip,
        channel: channel.clone(),
        doors: Arc::default(),
        wanted: BTreeSet::new(),
        listeners: BTreeMap::new(),
        refused: BTreeMap::new(),
        number: 0,
    };
    loop {
        tokio::select! {
            received = channel.receive() => match received? {
                None => return Ok(()),
                Some((ToHost::Serve { number, doors, listening }, _)) => {
                    ports.number = number;
                    ports.replace(doors, &listening).await;
                    ports.tell().await?;
                }
                Some((ToHost::Connect { number, host, port, tunnel }, _)) => {
                    tokio::spawn(connect(channel.clone(), routes.clone(), number, host, port, tunnel));
                }
            },
            () = tokio::time::sleep(AGAIN), if !ports.refused.is_empty() => {
                let before = ports.refused.clone();
                ports.bind();
                if ports.refused != before {
                    ports.tell().await?;
                }
            }
        }
    }
}

async fn connect(channel: Arc<Channel>, routes: Arc<Routes>, number: u64, host: String, port: u16, tunnel: bool) {
    let sent = match routes.connect(&host, port, tunnel).await {
        Ok((stream, form)) => channel.send(&ToMachine::Connected { number, form }, Some(stream.as_fd())).await,
        Err(refusal) => channel.send(&ToMachine::Refused { number, refusal }, None).await,
    };
    if let Err(error) = sent {
        note(&format!("a connection to `{host}:{port}` was not handed over: {error}"));
    }
}

/// The ports on the public address.
struct Ports {
    address: Option<Ipv4Addr>,
    channel: Arc<Channel>,
    doors: Arc<Mutex<Vec<Door>>>,
    wanted: BTreeSet<u16>,
    listeners: BTreeMap<u16, JoinHandle<()>>,
    refused: BTreeMap<u16, String>,
    number: u64,
}

impl Ports {
    /// Closes what is no longer wanted before it opens what is.
    async fn replace(&mut self, doors: Vec<Door>, listening: &[u16]) {
        self.wanted = match self.address {
            None => BTreeSet::new(),
            Some(address) => listening.iter().copied().filter(|port| is_reachable(&doors, *port, address)).collect(),
        };
        *self.doors.lock().unwrap_or_else(PoisonError::into_inner) = doors;
        self.refused.retain(|port, _| self.wanted.contains(port));
        let unwanted: Vec<u16> = self.listeners.keys().copied().filter(|port| !self.wanted.contains(port)).collect();
        for port in unwanted {
            if let Some(listener) = self.listeners.remove(&port) {
                listener.abort();
                // Only after this is the port closed.
                let _ = listener.await;
            }
        }
        self.bind();
    }

    fn bind(&mut self) {
        let Some(address) = self.address else { return };
        for port in self.wanted.iter().copied().filter(|port| !self.listeners.contains_key(port)).collect::<Vec<_>>() {
            match listen(SocketAddr::from((address, port))) {
                Ok(listener) => {
                    self.refused.remove(&port);
                    let accepting = accept(listener, port, self.doors.clone(), self.channel.clone());
                    self.listeners.insert(port, tokio::spawn(accepting));
                }
                Err(error) => {
                    let reason = match error.kind() {
                        io::ErrorKind::PermissionDenied => format!("ports below 1024 need privileges on this host: {error}"),
                        _ => error.to_string(),
                    };
                    if self.refused.insert(port, reason.clone()).as_ref() != Some(&reason) {
                        note(&format!("`{address}:{port}` should answer but can't: {reason}"));
                    }
                }
            }
        }
    }

    async fn tell(&self) -> io::Result<()> {
        let answering = self.listeners.keys().copied().collect();
        self.channel.send(&ToMachine::Ports { number: self.number, answering, refused: self.refused.clone() }, None).await
    }
}

/// Whether anybody could come in at all: on a loopback address only the world (`0.0.0.0/0`) and loopback peers exist, and
/// a port that is open to nobody must look closed.
fn is_reachable(doors: &[Door], port: u16, address: Ipv4Addr) -> bool {
    let loopback = ipnet::Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
    let overlaps = |door: &Door| loopback.contains(&door.source.addr()) || door.source.contains(&loopback);
    doors.iter().any(|door| door.covers(port) && (!address.is_loopback() || overlaps(door)))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1024)
}

async fn accept(listener: TcpListener, port: u16, doors: Arc<Mutex<Vec<Door>>>, channel: Arc<Channel>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if !is_admitted(&doors.lock().unwrap_or_else(PoisonError::into_inner), port, peer) {
                    reset(&stream);
                } else if let Err(error) = channel.send(&ToMachine::Inbound { port }, Some(stream.as_fd())).await {
                    note(&format!("a connection on port {port} was not handed over: {error}"));
                }
            }
            Err(error) => {
                note(&format!("port {port} did not accept: {error}"));
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn is_admitted(doors: &[Door], port: u16, peer: SocketAddr) -> bool {
    let IpAddr::V4(peer) = peer.ip() else { return false };
    doors.iter().any(|door| door.covers(port) && door.admits(peer))
}

/// Makes the end of a connection look like a refusal.
pub(super) fn reset(stream: &TcpStream) {
    let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(source: &str) -> Vec<Door> {
        vec![Door { from: 80, to: 80, source: source.parse().unwrap() }]
    }

    #[test]
    fn a_port_that_nobody_can_reach_is_not_bound() {
        let public = Ipv4Addr::new(127, 64, 0, 1);
        assert!(is_reachable(&door("0.0.0.0/0"), 80, public));
        assert!(is_reachable(&door("127.0.0.1/32"), 80, public));
        assert!(!is_reachable(&door("10.0.0.0/8"), 80, public));
        assert!(!is_reachable(&door("0.0.0.0/0"), 81, public));
        assert!(is_reachable(&door("10.0.0.0/8"), 80, Ipv4Addr::new(10, 0, 0, 9)));
    }

    #[test]
    fn a_peer_must_be_inside_the_source() {
        let peer = SocketAddr::from(([127, 0, 0, 1], 5000));
        assert!(is_admitted(&door("0.0.0.0/0"), 80, peer));
        assert!(is_admitted(&door("127.0.0.0/8"), 80, peer));
        assert!(!is_admitted(&door("127.0.0.2/32"), 80, peer));
    }
}
