//! Watches: changes of objects as they happen, one JSON line each, from a version on or from the state as it is.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Frame;
use serde_json::{Value as Json, json};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::selector::Selector;
use super::{Ask, Reply, Target, ended};
use crate::local_cloud::kubernetes::Body;
use crate::local_cloud::kubernetes::space::{Change, Space, namespace_of};
use crate::local_cloud::kubernetes::status::Refusal;
use crate::local_cloud::runtime::Shared;

/// How long a watch lasts that names no time.
const USUAL: Duration = Duration::from_secs(1800);
/// How often a bookmark tells how far it is.
const BOOKMARK: Duration = Duration::from_secs(60);
/// How many pieces wait for a slow reader.
const WAITING: usize = 64;

/// The way to a body that somebody reads bit by bit.
pub(super) type Pieces = mpsc::Sender<Bytes>;

struct Pipe(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Pipe {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

/// A body and the way to it. It ends when the way is dropped.
pub(super) fn pipe() -> (Pieces, Body) {
    let (pieces, receiver) = mpsc::channel(WAITING);
    (pieces, Pipe(receiver).boxed())
}

/// One watch.
struct Watch {
    shared: Weak<Shared>,
    cluster: String,
    target: Target,
    selector: Selector,
    bookmarks: bool,
    /// All changes up to this one were told.
    version: u64,
}

pub(super) async fn watch(ask: &Ask<'_>, target: &Target) -> Result<Reply, Refusal> {
    let selector = target.selector(ask)?;
    let lasts = ask.number("timeoutSeconds")?.map_or(USUAL, Duration::from_secs);
    let from = ask.number("resourceVersion")?;
    let bookmarks = ask.flag("allowWatchBookmarks");
    let initial = if ask.params.text("sendInitialEvents").is_some() { ask.flag("sendInitialEvents") } else { from.unwrap_or(0) == 0 };
    let named = ask.flag("sendInitialEvents") && bookmarks;
    let (begun, version) = ask
        .commit(|space| {
            let version = space.version();
            // Whoever asks for a history that is gone is told at once.
            let from = if initial { version } else { from.unwrap_or(version) };
            let past = space.since(from.min(version))?;
            drop(past);
            let shown = space.all(target.kind, target.place()).into_iter().filter(|object| initial && selector.fits(object));
            Ok((shown.map(|object| line("ADDED", object)).collect::<Vec<Bytes>>(), from))
        })
        .await?;
    let (pieces, body) = pipe();
    let mut watch =
        Watch { shared: Arc::downgrade(ask.shared), cluster: ask.cluster.to_owned(), target: target.clone(), selector, bookmarks, version };
    let ending = ask.ending.clone();
    tokio::spawn(async move {
        let telling = async {
            for piece in begun {
                pieces.send(piece).await.ok()?;
            }
            if named {
                pieces.send(watch.bookmark(true)).await.ok()?;
            }
            watch.go_on(&pieces, Instant::now() + lasts).await
        };
        tokio::select! {
            _ = telling => {}
            () = ended(ending) => {}
            () = pieces.closed() => {}
        }
    });
    Ok(Reply::Stream("application/json", body))
}

fn line(what: &str, object: &Json) -> Bytes {
    Bytes::from(format!("{}\n", json!({ "type": what, "object": object })))
}

impl Watch {
    fn bookmark(&self, initial: bool) -> Bytes {
        let mut metadata = json!({ "resourceVersion": self.version.to_string() });
        if initial {
            metadata["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
        }
        let kind = self.target.kind;
        line("BOOKMARK", &json!({ "kind": kind.name, "apiVersion": kind.api_version(), "metadata": metadata }))
    }

    /// Tells what happens until nobody listens any more or the time is up.
    async fn go_on(&mut self, pieces: &Pieces, end: Instant) -> Option<()> {
        let mut signal = self.signal()?;
        let mut bookmark = Instant::now() + BOOKMARK;
        loop {
            signal.borrow_and_update();
            match self.news().await? {
                Ok(lines) => {
                    for piece in lines {
                        pieces.send(piece).await.ok()?;
                    }
                }
                Err(refusal) => return pieces.send(line("ERROR", &refusal.body())).await.ok(),
            }
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(end) => return None,
                // The cluster is gone with its history.
                changed = signal.changed() => changed.ok()?,
                () = tokio::time::sleep_until(bookmark), if self.bookmarks => {
                    pieces.send(self.bookmark(false)).await.ok()?;
                    bookmark = Instant::now() + BOOKMARK;
                }
            }
        }
    }

    fn signal(&self) -> Option<watch::Receiver<u64>> {
        let shared = self.shared.upgrade()?;
        let mut world = shared.world();
        let now = shared.now();
        Some(Space { world: &mut world, config: &shared.config, cluster: &self.cluster, now }.changes())
    }

    /// What changed since the last time, once it is on disk.
    async fn news(&mut self) -> Option<Result<Vec<Bytes>, Refusal>> {
        let shared = self.shared.upgrade()?;
        let (changes, number) = shared.commit(|world, now| {
            let mut space = Space { world, config: &shared.config, cluster: &self.cluster, now };
            space.since(self.version).map(|changes| (changes, space.version()))
        });
        shared.settle(number).await.ok()?;
        let (changes, version) = match changes {
            Ok(news) => news,
            Err(refusal) => return Some(Err(refusal)),
        };
        self.version = version;
        let kind = self.target.kind.id();
        Some(Ok(changes.iter().filter(|change| change.kind == kind).filter_map(|change| self.tell(change)).collect()))
    }

    /// What a change is to those who see only what is selected.
    fn tell(&self, change: &Change) -> Option<Bytes> {
        let object = &change.object;
        if self.target.place().is_some_and(|namespace| namespace != namespace_of(object)) {
            return None;
        }
        let was = change.before.as_ref().is_some_and(|before| self.selector.fits(before));
        let is = !change.removed && self.selector.fits(object);
        let what = match (was, is) {
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
            (false, false) => return None,
        };
        Some(line(what, object))
    }
}
