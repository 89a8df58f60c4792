//! The server's side of the talk with a machine's agent: a connection, a question, its answer. It starts and ends no
//! machine.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::io::AsyncRead;
use tokio::net::UnixStream;

use super::wire::{PROTOCOL, Reply, Request, SOCKET, read_frame, write_frame};

/// How long an agent may take to start, and to answer anything but a command.
pub(super) const START: Duration = Duration::from_secs(30);

/// Why there was no talk, in words.
pub(super) fn not_running(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => "the machine is not running".to_owned(),
        _ => format!("the machine was lost: {error}"),
    }
}

/// Whether the agent is there and speaks this server's protocol.
pub(super) async fn answers(directory: &Path) -> bool {
    matches!(ask(directory, &Request::Ping, &[]).await, Ok(Reply::Pong { protocol: PROTOCOL }))
}

/// Connects through the opened directory: a socket's address has 108 bytes, its path may be longer.
pub(super) async fn connect(directory: &Path) -> io::Result<UnixStream> {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd;

        let opened = std::fs::File::open(directory)?;
        UnixStream::connect(format!("/proc/self/fd/{}/{SOCKET}", opened.as_raw_fd())).await
    }
    #[cfg(not(target_os = "linux"))]
    UnixStream::connect(directory.join(SOCKET)).await
}

/// Asks, and waits as long as an agent may take.
pub(super) async fn ask(directory: &Path, request: &Request, payload: &[u8]) -> io::Result<Reply> {
    ask_within(START, directory, request, payload).await.map(|(reply, _)| reply)
}

/// The same with a patience of its own, and with what the reply carries.
pub(super) async fn ask_within(patience: Duration, directory: &Path, request: &Request, payload: &[u8]) -> io::Result<(Reply, Vec<u8>)> {
    let asked = async {
        let mut stream = connect(directory).await?;
        write_frame(&mut stream, request, payload).await?;
        receive(&mut stream).await
    };
    tokio::time::timeout(patience, asked).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// The next frame, which has to come.
pub(super) async fn receive<T: DeserializeOwned>(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<(T, Vec<u8>)> {
    read_frame(reader).await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}
