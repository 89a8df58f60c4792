//! The log of a container, whole or as it grows.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use jiff::Timestamp;
use serde_json::Value as Json;
use tokio::sync::watch;

use super::watching::pipe;
use super::{Ask, Reply, Target, ended};
use crate::local_cloud::kubernetes::log::{self, Growth, Line, Log};
use crate::local_cloud::kubernetes::pod::PodSpec;
use crate::local_cloud::kubernetes::space::{items, text, uid_of};
use crate::local_cloud::kubernetes::status::Refusal;
use crate::local_cloud::runtime::Shared;
use crate::local_cloud::time::{after, until};

const TYPE: &str = "text/plain";

/// What of a log is wanted.
#[derive(Clone, Debug)]
struct Wish {
    since: Option<Timestamp>,
    tail: Option<usize>,
    timestamps: bool,
}

/// How far somebody has read: whole lines, and bytes of the line after them.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    lines: usize,
    bytes: usize,
}

pub(super) async fn log(ask: &Ask<'_>, target: &Target) -> Result<Reply, Refusal> {
    let now = ask.shared.now();
    let since = match (ask.number("sinceSeconds")?, ask.text("sinceTime")) {
        (Some(0), _) => return Err(Refusal::bad("sinceSeconds: Invalid value: must be greater than 0")),
        (Some(seconds), _) => Some(before(now, Duration::from_secs(seconds))),
        (None, "") => None,
        (None, time) => Some(time.parse().map_err(|_| Refusal::bad(format!("sinceTime: Invalid value: \"{time}\"")))?),
    };
    let tail = ask.number("tailLines")?.map(|lines| usize::try_from(lines).unwrap_or(usize::MAX));
    let limit = ask.number("limitBytes")?.map_or(usize::MAX, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    let wish = Wish { since, tail, timestamps: ask.flag("timestamps") };
    let key = find(ask, target).await?;
    let Some(key) = key else { return Ok(Reply::Stream(TYPE, Full::new(Bytes::new()).boxed())) };
    if !ask.flag("follow") {
        let world = ask.shared.world();
        let text = log::find(&world, &key).map(|(log, _)| read(log, &wish, &mut Place::default(), true)).unwrap_or_default();
        return Ok(Reply::Stream(TYPE, Full::new(cut(text, limit)).boxed()));
    }
    let (pieces, body) = pipe();
    let shared = Arc::downgrade(ask.shared);
    let ending = ask.ending.clone();
    tokio::spawn(async move {
        let following = async {
            let (mut place, mut left, mut first) = (Place::default(), limit, true);
            loop {
                let (text, growth) = piece(&shared, &key, &wish, &mut place, first)?;
                first = false;
                let text = cut(text, left);
                left -= text.len();
                if !text.is_empty() {
                    pieces.send(text).await.ok()?;
                }
                let mut growth = growth.filter(|_| left > 0)?;
                // A sender that is gone is an end as well, and then nothing tells of growth any more.
                drop(growth.changed().await);
                let over = growth.borrow().clone();
                if let Some(whole) = over {
                    let rest = cut(read(&whole, &wish, &mut place, false), left);
                    if !rest.is_empty() {
                        pieces.send(rest).await.ok()?;
                    }
                    return None;
                }
            }
            #[expect(unreachable_code, reason = "says what the question marks mean")]
            Some(())
        };
        tokio::select! {
            _ = following => {}
            () = ended(ending) => {}
            () = pieces.closed() => {}
        }
    });
    Ok(Reply::Stream(TYPE, body))
}

fn before(now: Timestamp, by: Duration) -> Timestamp {
    let back = until(Timestamp::UNIX_EPOCH, now).saturating_sub(by);
    after(Timestamp::UNIX_EPOCH, back)
}

fn piece(
    shared: &Weak<Shared>,
    key: &str,
    wish: &Wish,
    place: &mut Place,
    first: bool,
) -> Option<(String, Option<watch::Receiver<Growth>>)> {
    let shared = shared.upgrade()?;
    let world = shared.world();
    let (log, growth) = log::find(&world, key)?;
    Some((read(log, wish, place, first), growth))
}

/// The key of the log that is meant, or `None` if the container has not put out anything yet and that is no mistake.
async fn find(ask: &Ask<'_>, target: &Target) -> Result<Option<String>, Refusal> {
    let pod = ask.commit(|space| Ok(space.get(target.kind, &target.namespace, &target.name).cloned())).await?;
    let pod = pod.ok_or_else(|| Refusal::missing(target.kind, &target.name))?;
    let spec = PodSpec::of(&pod);
    let names: Vec<&str> = spec.containers.iter().chain(&spec.init_containers).map(|container| container.name.as_str()).collect();
    let container = match ask.text("container") {
        "" if spec.containers.len() == 1 => names[0],
        "" => {
            let all = names.join(" ");
            return Err(Refusal::bad(format!("a container name must be specified for pod {}, choose one of: [{all}]", target.name)));
        }
        named => names
            .iter()
            .copied()
            .find(|name| *name == named)
            .ok_or_else(|| Refusal::bad(format!("container {named} is not valid for pod {}", target.name)))?,
    };
    if spec.node_name.is_empty() {
        return Ok(None);
    }
    let statuses = items(&pod, "/status/containerStatuses").iter().chain(items(&pod, "/status/initContainerStatuses"));
    let status = statuses.into_iter().find(|status| text(status, "/name") == container);
    let restarts = status.and_then(|status| status["restartCount"].as_u64()).unwrap_or(0);
    let is_waiting = status.is_none_or(|status| status["state"]["waiting"].is_object());
    let had_a_run = |status: &Json| status["lastState"]["terminated"].is_object();
    let missing = |what: &str| {
        let message = format!("{what} terminated container \"{container}\" in pod \"{}\" not found", target.name);
        Refusal::bad(message)
    };
    let attempt = if ask.flag("previous") {
        if !status.is_some_and(had_a_run) {
            return Err(missing("previous"));
        }
        if is_waiting { restarts } else { restarts.saturating_sub(1) }
    } else if is_waiting && !status.is_some_and(had_a_run) {
        let reason = status.map_or("ContainerCreating", |status| text(status, "/state/waiting/reason"));
        let why = match reason {
            "ErrImagePull" | "ImagePullBackOff" => "trying and failing to pull image",
            _ => reason,
        };
        let message = format!("container \"{container}\" in pod \"{}\" is waiting to start: {why}", target.name);
        return Err(Refusal::bad(message));
    } else {
        restarts
    };
    Ok(Some(log::key(ask.cluster, uid_of(&pod), container, attempt)))
}

/// What comes after a place, which moves on.
fn read(log: &Log, wish: &Wish, place: &mut Place, first: bool) -> String {
    if first && let Some(tail) = wish.tail {
        place.lines = log.gone + log.lines.len().saturating_sub(tail);
    }
    let mut out = String::new();
    if place.lines < log.gone {
        *place = Place { lines: log.gone, bytes: 0 };
    }
    for Line(at, text) in log.lines.iter().skip(place.lines - log.gone) {
        let wanted = wish.since.is_none_or(|since| *at >= since);
        if wanted {
            if place.bytes == 0 && wish.timestamps && !text.is_empty() {
                out.push_str(&format!("{} ", at.strftime("%Y-%m-%dT%H:%M:%S.%9fZ")));
            }
            out.push_str(text.get(place.bytes..).unwrap_or_default());
        }
        *place = if text.ends_with('\n') { Place { lines: place.lines + 1, bytes: 0 } } else { Place { bytes: text.len(), ..*place } };
    }
    out
}

fn cut(text: String, limit: usize) -> Bytes {
    let mut bytes = Bytes::from(text);
    bytes.truncate(limit);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_goes_on_where_it_stopped() {
        let at: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let mut log = Log::default();
        let wish = Wish { since: None, tail: Some(2), timestamps: false };
        log.write(at, b"one\ntwo\nthr");
        let mut place = Place::default();
        assert_eq!(read(&log, &wish, &mut place, true), "two\nthr");
        log.write(at, b"ee\nfour\n");
        assert_eq!(read(&log, &wish, &mut place, false), "ee\nfour\n");
        assert_eq!(read(&log, &wish, &mut place, false), "");
        let stamped = Wish { since: Some(at), tail: None, timestamps: true };
        assert!(read(&log, &stamped, &mut Place::default(), true).starts_with("2026-01-02T03:04:05.000000000Z one\n2026"));
        let later = Wish { since: Some(after(at, Duration::from_secs(1))), ..stamped };
        assert_eq!(read(&log, &later, &mut Place::default(), true), "");
    }
}
