//! The words between the server and a machine's agent: frames over the machine's control socket, and what the agent
//! is told at its start. It never touches a socket's file or a process; it only reads and writes frames.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::Ipv4Net;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::processes::Status;
use super::{CommandSpec, Ending, FileFault, FileSpec, Opening};

/// Raised when the frames change: a server ends an agent that speaks another protocol instead of guessing.
pub(super) const PROTOCOL: u32 = 2;
/// The control socket's name in a machine's directory.
pub(super) const SOCKET: &str = "agent.sock";
/// How much of a command's output is kept, in bytes. Source: `InvokeCommand`, output is cut at 24 KB.
pub(super) const OUTPUT_LIMIT: usize = 24 * 1024;
/// How much of a followed command's output waits at least for who comes late, in bytes.
pub(super) const BACKLOG: usize = 4 << 20;

const HEADER_LIMIT: usize = 4 << 20;
/// The largest payload of a frame, and so the largest file.
pub(super) const PAYLOAD_LIMIT: usize = 256 << 20;

/// An [`Opening`] as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Door {
    pub(super) from: u16,
    pub(super) to: u16,
    pub(super) source: Ipv4Net,
}

impl Door {
    /// Whether the port is one of this door's.
    pub(super) fn covers(&self, port: u16) -> bool {
        (self.from..=self.to).contains(&port)
    }

    /// Whether that peer may come in. On a loopback address the world outside is never seen, so a source of
    /// `0.0.0.0/0` is every peer and any other source is taken literally.
    pub(super) fn admits(&self, peer: Ipv4Addr) -> bool {
        self.source.prefix_len() == 0 || self.source.contains(&peer)
    }
}

impl From<&Opening> for Door {
    fn from(opening: &Opening) -> Door {
        Door { from: opening.from, to: opening.to, source: opening.source }
    }
}

/// What an agent is told at its start, over its standard input.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Launch {
    pub(super) id: String,
    pub(super) hostname: String,
    pub(super) private_ip: Ipv4Addr,
    pub(super) public_ip: Option<Ipv4Addr>,
    pub(super) doors: Vec<Door>,
    pub(super) vcpu: u32,
    pub(super) memory_mib: u64,
    /// The machine's own directory.
    pub(super) directory: PathBuf,
    /// The directory of all machines: hidden inside each of them.
    pub(super) hidden: PathBuf,
    /// Namespaces, or a plain process group.
    pub(super) isolated: bool,
    /// Set up, say what is missing, and leave.
    pub(super) probe: bool,
    /// Where the local cloud answers.
    pub(super) gateway: SocketAddr,
    pub(super) host: HostEnvironment,
}

/// What of the server's own environment reaches a machine. Proxies may hold a password: not shown in Debug, and kept
/// out of every process's environment.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct HostEnvironment {
    pub(super) path: Option<String>,
    pub(super) http_proxy: Option<String>,
    pub(super) https_proxy: Option<String>,
    pub(super) no_proxy: Option<String>,
}

impl std::fmt::Debug for HostEnvironment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostEnvironment").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What the launching process says before it leaves.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum LaunchReport {
    /// The machine is up; what could not be isolated, in words.
    Ready { missing: Vec<String> },
    /// It is not.
    Failed(String),
}

/// What the server asks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Request {
    Ping,
    Status,
    /// The payload is the script.
    Run(RunRequest),
    /// Ends the command of this connection.
    Stop,
    /// The payload is the content.
    WriteFile(FileRequest),
    /// The last `most` bytes after the first `from`.
    ReadFile {
        path: String,
        from: u64,
        most: u64,
    },
    /// From the answer on, this connection is one to that port of the machine's loopback.
    Connect {
        port: u16,
    },
    /// The files below a folder of the machine.
    ListFiles(String),
    /// All of a file's content.
    FetchFile(String),
    Open(Vec<Door>),
    Halt,
}

/// A [`CommandSpec`] without its script.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RunRequest {
    pub(super) id: String,
    pub(super) interpreter: String,
    pub(super) working_directory: Option<String>,
    pub(super) user: Option<String>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) timeout: Duration,
    pub(super) kill_tree: bool,
    /// Set for a command that is followed: all of its output is passed on, and so many bytes of it were seen before.
    pub(super) follow: Option<u64>,
}

impl From<CommandSpec> for RunRequest {
    fn from(command: CommandSpec) -> RunRequest {
        RunRequest {
            id: command.id,
            interpreter: command.interpreter.to_owned(),
            working_directory: command.working_directory,
            user: command.user,
            environment: command.environment,
            timeout: command.timeout,
            kill_tree: command.kill_tree,
            follow: None,
        }
    }
}

/// A [`FileSpec`] without its content.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct FileRequest {
    pub(super) path: String,
    pub(super) owner: String,
    pub(super) group: String,
    pub(super) mode: u32,
    pub(super) overwrite: bool,
}

impl From<&FileSpec> for FileRequest {
    fn from(file: &FileSpec) -> FileRequest {
        FileRequest {
            path: file.path.clone(),
            owner: file.owner.clone(),
            group: file.group.clone(),
            mode: file.mode,
            overwrite: file.overwrite,
        }
    }
}

/// What the agent answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    Pong {
        protocol: u32,
    },
    Status(Status),
    /// The payload is a piece of output.
    Output,
    Ended {
        ending: WireEnding,
        dropped: u64,
    },
    Done,
    /// The payload is a part of a file of this size.
    Content {
        size: u64,
    },
    /// There is no such file, or nobody listens there; and why.
    Missing(String),
    /// The payload is the list of files, as JSON: it may be longer than a header.
    Files,
    /// The payload is the whole file.
    Whole,
    Refused(WireFault),
}

/// [`Ending`] as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum WireEnding {
    Exited(i32),
    TimedOut,
    Stopped,
    NotStarted(String),
}

impl From<WireEnding> for Ending {
    fn from(ending: WireEnding) -> Ending {
        match ending {
            WireEnding::Exited(code) => Ending::Exited(code),
            WireEnding::TimedOut => Ending::TimedOut,
            WireEnding::Stopped => Ending::Stopped,
            WireEnding::NotStarted(reason) => Ending::NotStarted(reason),
        }
    }
}

/// [`FileFault`] as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum WireFault {
    AlreadyExists,
    PathInvalid,
    ReadFailed(String),
    CreateFailed(String),
    UserGroupNotExists,
}

impl From<WireFault> for FileFault {
    fn from(fault: WireFault) -> FileFault {
        match fault {
            WireFault::AlreadyExists => FileFault::AlreadyExists,
            WireFault::PathInvalid => FileFault::PathInvalid,
            WireFault::ReadFailed(reason) => FileFault::ReadFailed(reason),
            WireFault::CreateFailed(reason) => FileFault::CreateFailed(reason),
            WireFault::UserGroupNotExists => FileFault::UserGroupNotExists,
        }
    }
}

/// Writes one frame: two lengths (big-endian, 32 bits), the header as JSON, the payload.
pub(super) async fn write_frame<T: Serialize>(writer: &mut (impl AsyncWrite + Unpin), header: &T, payload: &[u8]) -> io::Result<()> {
    let header = serde_json::to_vec(header)?;
    if header.len() > HEADER_LIMIT || payload.len() > PAYLOAD_LIMIT {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the frame is too large"));
    }
    let mut frame = Vec::with_capacity(8 + header.len() + payload.len());
    frame.extend((header.len() as u32).to_be_bytes());
    frame.extend((payload.len() as u32).to_be_bytes());
    frame.extend(header);
    frame.extend(payload);
    writer.write_all(&frame).await?;
    writer.flush().await
}

/// Reads one frame; `None` at the end of the stream.
pub(super) async fn read_frame<T: DeserializeOwned>(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<(T, Vec<u8>)>> {
    let mut lengths = [0; 8];
    match reader.read_exact(&mut lengths).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let [a, b, c, d, e, f, g, h] = lengths;
    let header = u32::from_be_bytes([a, b, c, d]) as usize;
    let payload = u32::from_be_bytes([e, f, g, h]) as usize;
    if header > HEADER_LIMIT || payload > PAYLOAD_LIMIT {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the frame is too large"));
    }
    let mut body = vec![0; header + payload];
    reader.read_exact(&mut body).await?;
    let payload = body.split_off(header);
    Ok(Some((serde_json::from_slice(&body)?, payload)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frame_comes_back_as_it_was_sent() {
        let (mut near, mut far) = tokio::io::duplex(1 << 16);
        write_frame(&mut near, &Reply::Ended { ending: WireEnding::Exited(3), dropped: 7 }, b"\0tail\xff").await.unwrap();
        drop(near);
        let (reply, payload) = read_frame::<Reply>(&mut far).await.unwrap().unwrap();
        assert!(matches!(reply, Reply::Ended { ending: WireEnding::Exited(3), dropped: 7 }));
        assert_eq!(payload, b"\0tail\xff");
        assert!(read_frame::<Reply>(&mut far).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_frame_of_absurd_length_is_refused_before_it_is_read() {
        let mut bytes: &[u8] = &[0xff; 64];
        assert_eq!(read_frame::<Reply>(&mut bytes).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_door_admits_the_world_or_exactly_its_source() {
        let door = |source: &str| Door { from: 80, to: 90, source: source.parse().unwrap() };
        let loopback = Ipv4Addr::new(127, 0, 0, 1);
        assert!(door("0.0.0.0/0").admits(loopback));
        assert!(door("127.0.0.0/8").admits(loopback));
        assert!(!door("10.0.0.0/8").admits(loopback));
        assert!(door("0.0.0.0/0").covers(80) && door("0.0.0.0/0").covers(90));
        assert!(!door("0.0.0.0/0").covers(79) && !door("0.0.0.0/0").covers(91));
    }
}
