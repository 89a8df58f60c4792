//! Answers the server on the control socket: one request for each connection. It decides nothing; it hands requests to
//! the parts that serve them.

use std::io;
use std::net::Ipv4Addr;
use std::os::unix::net::UnixListener as StandardListener;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::mpsc;

use super::inside::Inside;
use super::{files, note};
use crate::local_cloud::machines::wire::{PROTOCOL, Reply, Request, RunRequest, read_frame, write_frame};

/// Serves until a request halts the machine.
pub(super) async fn serve(listener: StandardListener, inside: Arc<Inside>) {
    let listener = match UnixListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return note(&format!("the control socket can't be served: {error}")),
    };
    let (halted, mut halts) = mpsc::channel(1);
    loop {
        tokio::select! {
            _ = halts.recv() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (inside, halted) = (inside.clone(), halted.clone());
                    tokio::spawn(async move {
                        if let Err(error) = answer(stream, &inside, halted).await {
                            note(&format!("a request was not answered: {error}"));
                        }
                    });
                }
                Err(error) => {
                    note(&format!("a request was not accepted: {error}"));
                    // Out of descriptors: connections have to end first, and no event tells of that.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
}

async fn answer(stream: UnixStream, inside: &Arc<Inside>, halted: mpsc::Sender<()>) -> io::Result<()> {
    let (mut reader, mut writer) = stream.into_split();
    let Some((request, payload)) = read_frame(&mut reader).await? else { return Ok(()) };
    let reply = match request {
        Request::Ping => Reply::Pong { protocol: PROTOCOL },
        Request::Status => Reply::Status(inside.status()),
        Request::Run(request) => return run(request, payload, inside, reader, writer).await,
        Request::Stop => return Err(io::Error::new(io::ErrorKind::InvalidData, "nothing runs on this connection")),
        Request::WriteFile(request) => {
            let place = inside.place.clone();
            let written = tokio::task::spawn_blocking(move || files::write(&place.root, place.identities, &request, &payload)).await?;
            written.map_or_else(Reply::Refused, |()| Reply::Done)
        }
        Request::ReadFile { path, from, most } => {
            let place = inside.place.clone();
            match tokio::task::spawn_blocking(move || files::read(&place.root, &path, from, most)).await? {
                Ok((size, bytes)) => return write_frame(&mut writer, &Reply::Content { size }, &bytes).await,
                Err(error) => Reply::Missing(error.to_string()),
            }
        }
        Request::Connect { port } => match TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
            Ok(mut far) => {
                write_frame(&mut writer, &Reply::Done, &[]).await?;
                let mut near = reader.reunite(writer).map_err(io::Error::other)?;
                // Whichever end leaves first: that is between the two.
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                return Ok(());
            }
            Err(error) => Reply::Missing(error.to_string()),
        },
        Request::ListFiles(folder) => {
            let place = inside.place.clone();
            match tokio::task::spawn_blocking(move || files::list(&place.root, &folder)).await? {
                Ok(listed) => return write_frame(&mut writer, &Reply::Files, &serde_json::to_vec(&listed)?).await,
                Err(fault) => Reply::Refused(fault),
            }
        }
        Request::FetchFile(path) => {
            let place = inside.place.clone();
            match tokio::task::spawn_blocking(move || files::fetch(&place.root, &path)).await? {
                Ok(content) => return write_frame(&mut writer, &Reply::Whole, &content).await,
                Err(fault) => Reply::Refused(fault),
            }
        }
        Request::Open(doors) => {
            inside.open(doors).await;
            Reply::Done
        }
        Request::Halt => {
            inside.halt().await;
            let _ = write_frame(&mut writer, &Reply::Done, &[]).await;
            let _ = halted.send(()).await;
            return Ok(());
        }
    };
    write_frame(&mut writer, &reply, &[]).await
}

/// Sends a command's output as it comes, then its outcome. A connection that ends leaves the command running.
async fn run(
    request: RunRequest,
    script: Vec<u8>,
    inside: &Arc<Inside>,
    reader: OwnedReadHalf,
    mut writer: OwnedWriteHalf,
) -> io::Result<()> {
    let id = request.id.clone();
    let mut seen = request.follow.unwrap_or(0);
    let running = inside.commands.attach(request, script);
    let mut changes = running.changes();
    let listening = tokio::spawn(listen_for_stop(reader, running.clone()));
    let outcome = loop {
        let (piece, upto, end) = running.since(seen);
        seen = upto;
        if !piece.is_empty()
            && let Err(error) = write_frame(&mut writer, &Reply::Output, &piece).await
        {
            break Err(error);
        }
        if let Some((ending, dropped)) = end {
            break write_frame(&mut writer, &Reply::Ended { ending, dropped }, &[]).await;
        }
        if changes.changed().await.is_err() {
            break Ok(());
        }
    };
    listening.abort();
    if outcome.is_ok() {
        inside.commands.forget(&id);
    }
    outcome
}

async fn listen_for_stop(mut reader: OwnedReadHalf, running: Arc<super::commands::Running>) {
    while let Ok(Some((request, _))) = read_frame::<Request>(&mut reader).await {
        if matches!(request, Request::Stop) {
            running.stop();
        }
    }
}
