//! What pods wrote and what happened to them: GetPodLogs, GetPodEvents and GetJobEvents. Of a pod's output its newest
//! part is kept.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::create::not_found;
use super::describe::find;
use super::job::{Event, Life, Pod, line};
use super::moment;
use crate::local_cloud::call::{Call, Outcome};
use crate::local_cloud::roa::RoaCall;
use crate::local_cloud::store::World;
use crate::local_cloud::wire::fault::Fault;

/// How much output of a pod's life is kept, in bytes.
const KEPT: usize = 2 << 20;
/// What a part weighs besides its text.
const PART: usize = 64;
/// How many lines or events are answered unless told otherwise.
const USUAL: usize = 2000;

/// Output that came at one time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) at: Timestamp,
    pub(crate) text: String,
    /// How many bytes the pod had written at its end.
    pub(crate) upto: u64,
}

fn key(uid: &str, upto: u64) -> String {
    format!("{uid}/{upto:020}")
}

/// How many bytes of a life's output came in.
pub(super) fn received(world: &World, uid: &str) -> u64 {
    world.pod_logs.starting_with(&format!("{uid}/")).last().map_or(0, |(_, part)| part.upto)
}

/// Keeps output; the oldest goes where it becomes too much.
pub(super) fn keep(world: &mut World, uid: &str, bytes: &[u8], at: Timestamp) {
    let upto = received(world, uid) + bytes.len() as u64;
    world.pod_logs.insert(key(uid, upto), Part { at, text: String::from_utf8_lossy(bytes).into_owned(), upto });
    let prefix = format!("{uid}/");
    // A part weighs something even if it is short, so that there are not too many of them.
    let weight = |part: &Part| part.text.len() + PART;
    let all: usize = world.pod_logs.starting_with(&prefix).map(|(_, part)| weight(part)).sum();
    let mut surplus = all.saturating_sub(KEPT);
    while surplus > 0 {
        let oldest = world.pod_logs.starting_with(&prefix).next().map(|(key, part)| (key.to_owned(), weight(part)));
        let Some((oldest, size)) = oldest else { return };
        world.pod_logs.remove(&oldest);
        surplus = surplus.saturating_sub(size);
    }
}

/// The lines of a life with the times at which they began.
fn lines(world: &World, uid: &str) -> Vec<(Timestamp, String)> {
    let mut all: Vec<(Timestamp, String)> = Vec::new();
    let mut open = false;
    for (_, part) in world.pod_logs.starting_with(&format!("{uid}/")) {
        for piece in part.text.split_inclusive('\n') {
            let text = piece.trim_end_matches(['\n', '\r']);
            match all.last_mut().filter(|_| open) {
                Some((_, last)) => last.push_str(text),
                None => all.push((part.at, text.to_owned())),
            }
            open = !piece.ends_with('\n');
        }
    }
    all
}

/// The life of a pod that is asked for: one that is named, else the present one.
fn life<'a>(call: &Call, pod: &'a Pod) -> Result<&'a Life, Fault> {
    match call.params.text("PodUid") {
        None => Ok(&pod.life),
        Some(uid) => pod.past.iter().chain([&pod.life]).find(|life| life.uid == uid).ok_or_else(|| not_found("PodUid", uid)),
    }
}

/// The newest rows between two moments that a query may name.
fn newest<T>(call: &Call, most: &str, rows: Vec<T>, at: fn(&T) -> Timestamp) -> Result<Vec<T>, Fault> {
    let (since, until) = (moment(call.params, "StartTime")?, moment(call.params, "EndTime")?);
    let most: usize = call.params.number(most)?.unwrap_or(USUAL);
    if most == 0 {
        return Err(Fault::invalid("MaxLines"));
    }
    let fits = |row: &T| since.is_none_or(|since| since <= at(row)) && until.is_none_or(|until| at(row) <= until);
    let mut rows: Vec<T> = rows.into_iter().filter(fits).collect();
    rows.drain(..rows.len().saturating_sub(most));
    Ok(rows)
}

/// GetPodLogs.
pub(super) async fn pod_logs(call: &RoaCall<'_>, id: &str, pod_id: &str) -> Outcome {
    let region = call.region()?.id;
    call.commit(|call| {
        let job = find(call.world, region, id)?;
        let pod = job.pod(pod_id).ok_or_else(|| not_found("PodId", pod_id))?;
        let life = life(call, pod)?;
        call.params.boolean("DownloadToFile")?;
        let found = newest(call, "MaxLines", lines(call.world, &life.uid), |(at, _)| *at)?;
        let texts: Vec<String> = found.into_iter().map(|(_, text)| text).collect();
        let main = pod.kind.clone();
        Ok(json!({
            "JobId": id,
            "PodId": pod.id,
            "PodUid": life.uid,
            "Logs": texts,
            "ContainerInfo": { "MainContainer": main, "SidecarContainers": [] },
        }))
    })
    .await
}

fn events(call: &Call, events: &[Event]) -> Result<Json, Fault> {
    Ok(newest(call, "MaxEventsNum", events.to_vec(), |event| event.at)?.iter().map(line).collect())
}

/// GetPodEvents.
pub(super) async fn pod_events(call: &RoaCall<'_>, id: &str, pod_id: &str) -> Outcome {
    let region = call.region()?.id;
    call.commit(|call| {
        let job = find(call.world, region, id)?;
        let pod = job.pod(pod_id).ok_or_else(|| not_found("PodId", pod_id))?;
        let uid = life(call, pod)?.uid.clone();
        Ok(json!({ "JobId": id, "PodId": pod.id, "PodUid": uid, "Events": events(call, &pod.events)? }))
    })
    .await
}

/// GetJobEvents.
pub(super) async fn job_events(call: &RoaCall<'_>, id: &str) -> Outcome {
    let region = call.region()?.id;
    call.commit(|call| {
        let job = find(call.world, region, id)?;
        Ok(json!({ "JobId": id, "Events": events(call, &job.events)? }))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_and_the_newest_output_is_kept() {
        let mut world = World::default();
        let at = Timestamp::UNIX_EPOCH;
        keep(&mut world, "u", b"one\ntw", at);
        keep(&mut world, "u", b"o\r\n", at);
        keep(&mut world, "other", b"x\n", at);
        let texts = |world: &World| lines(world, "u").into_iter().map(|(_, text)| text).collect::<Vec<_>>();
        assert_eq!(texts(&world), ["one", "two"]);
        assert_eq!(received(&world, "u"), 9);
        for _ in 0..5 {
            keep(&mut world, "u", &vec![b'x'; 1 << 20], at);
        }
        let kept: usize = texts(&world).iter().map(String::len).sum();
        assert_eq!(kept, 1 << 20);
        assert_eq!(received(&world, "u"), 9 + (5 << 20));
    }
}
