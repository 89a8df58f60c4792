//! Between a machine and its half on the host: whole messages, each with at most one descriptor. Sockets cross the
//! border of the network namespace here and nowhere else.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags,
    SocketType,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::routes::{Form, Refusal};
use crate::local_cloud::machines::wire::Door;

/// The longest message, in bytes: below what the kernel takes at once by default (212,992).
const LIMIT: usize = 128 * 1024;

/// What the machine says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToHost {
    /// These ports listen; these doors are open.
    Serve { number: u64, doors: Vec<Door>, listening: Vec<u16> },
    /// A connection is wanted.
    Connect { number: u64, host: String, port: u16, tunnel: bool },
}

/// What the host's half says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToMachine {
    /// How the ports stand after the `Serve` of that number.
    Ports { number: u64, answering: Vec<u16>, refused: BTreeMap<u16, String> },
    /// Somebody came in on that port; the descriptor is the connection.
    Inbound { port: u16 },
    /// The connection that was wanted; the descriptor is the connection.
    Connected { number: u64, form: Form },
    /// There is none.
    Refused { number: u64, refusal: Refusal },
}

/// Makes both ends. They become channels when their process has its runtime.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// One end.
pub(super) struct Channel(AsyncFd<OwnedFd>);

impl Channel {
    /// Must be called within a runtime.
    pub(super) fn new(end: OwnedFd) -> io::Result<Channel> {
        // SAFETY: the end is owned by the channel: it stays open, and the same, for as long as it is registered.
        unsafe { AsyncFd::register(end) }.map(Channel).map_err(Into::into)
    }

    /// Sends one message.
    pub(super) async fn send<T: Serialize>(&self, message: &T, passed: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        if bytes.len() > LIMIT {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the message is too long"));
        }
        self.0
            .async_io(Interest::WRITABLE, |end| {
                let passed: Vec<BorrowedFd<'_>> = passed.into_iter().collect();
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
                let mut control = SendAncillaryBuffer::new(&mut space);
                if !passed.is_empty() {
                    control.push(SendAncillaryMessage::ScmRights(&passed));
                }
                rustix::net::sendmsg(end, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)?;
                Ok(())
            })
            .await
    }

    /// Receives one message; `None` when the other end is closed. Nothing is lost if the waiting is given up.
    pub(super) async fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Option<OwnedFd>)>> {
        self.0
            .async_io(Interest::READABLE, |end| {
                let mut bytes = vec![0; LIMIT];
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
                let mut control = RecvAncillaryBuffer::new(&mut space);
                let received = rustix::net::recvmsg(end, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
                if received.bytes == 0 {
                    return Ok(None);
                }
                let mut passed = None;
                for message in control.drain() {
                    if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                        passed = descriptors.last();
                    }
                }
                Ok(Some((serde_json::from_slice(&bytes[..received.bytes])?, passed)))
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    use super::*;

    #[tokio::test]
    async fn a_message_brings_its_descriptor() {
        let (near, far) = pair().unwrap();
        let (near, far) = (Channel::new(near).unwrap(), Channel::new(far).unwrap());
        let (mut reader, mut writer) = io::pipe().unwrap();
        near.send(&ToMachine::Inbound { port: 8080 }, Some(reader.as_fd())).await.unwrap();
        writer.write_all(b"through").unwrap();
        drop(writer);
        let (message, passed) = far.receive::<ToMachine>().await.unwrap().unwrap();
        assert!(matches!(message, ToMachine::Inbound { port: 8080 }));
        let mut text = String::new();
        std::fs::File::from(passed.unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
        assert_eq!(reader.read(&mut [0; 1]).unwrap(), 0);
        drop(near);
        assert!(far.receive::<ToMachine>().await.unwrap().is_none());
    }
}
