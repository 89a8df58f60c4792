//! One cluster's objects inside the world: read, written, removed. Every change gets a version and goes into the history
//! that watches are served from. What a change means is decided elsewhere.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use tokio::sync::watch;

use super::kind::{self, Kind};
use super::log::Live;
use super::status::Refusal;
use crate::local_cloud::config::Config;
use crate::local_cloud::store::{World, ids};
use crate::local_cloud::time::seconds;

/// How many changes of a cluster are remembered for watches that begin in the past.
const HISTORY: usize = 4096;

/// One change of one object.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) version: u64,
    /// The kind's id.
    pub(crate) kind: String,
    pub(crate) before: Option<Arc<Json>>,
    /// As it is now; of a removed object, as it was last.
    pub(crate) object: Arc<Json>,
    pub(crate) removed: bool,
}

/// What happened in a cluster lately.
#[derive(Debug)]
pub(crate) struct History {
    changes: VecDeque<Change>,
    /// Changes after this version are all here.
    from: u64,
    signal: watch::Sender<u64>,
}

/// What lives only as long as the server, of all clusters.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    histories: BTreeMap<String, History>,
    /// Pods that somebody looks after, by uid.
    pub(crate) workers: BTreeSet<String>,
    /// Output of containers that run, by the key of their log.
    pub(crate) logs: BTreeMap<String, Live>,
    /// The cluster of each instance that is a node.
    pub(crate) nodes: BTreeMap<String, String>,
    /// Images that were pulled, with the node.
    pub(crate) images: BTreeSet<(String, String)>,
}

impl Memory {
    /// The history of a cluster, complete from `now` on if there was none.
    fn history(&mut self, cluster: &str, now: u64) -> &mut History {
        let make = || History { changes: VecDeque::new(), from: now, signal: watch::Sender::new(0) };
        self.histories.entry(cluster.to_owned()).or_insert_with(make)
    }

    /// Forgets a cluster that is gone, and ends whoever watches it.
    pub(crate) fn forget(&mut self, cluster: &str) {
        self.histories.remove(cluster);
    }

    /// An instance changed: its cluster has to look again.
    pub(crate) fn instance_changed(&self, instance: &str) {
        if let Some(cluster) = self.nodes.get(instance) {
            self.wake(cluster);
        }
    }

    /// Lets everybody look again.
    pub(crate) fn wake(&self, cluster: &str) {
        if let Some(history) = self.histories.get(cluster) {
            history.signal.send_modify(|number| *number += 1);
        }
    }
}

/// The objects of one cluster, at a moment.
pub(crate) struct Space<'a> {
    pub(crate) world: &'a mut World,
    pub(crate) config: &'a Config,
    pub(crate) cluster: &'a str,
    pub(crate) now: Timestamp,
}

/// The text at a pointer, empty if there is none.
pub(crate) fn text<'a>(object: &'a Json, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Json::as_str).unwrap_or_default()
}

pub(crate) fn name_of(object: &Json) -> &str {
    text(object, "/metadata/name")
}

pub(crate) fn namespace_of(object: &Json) -> &str {
    text(object, "/metadata/namespace")
}

pub(crate) fn uid_of(object: &Json) -> &str {
    text(object, "/metadata/uid")
}

/// Whether it is on its way out.
pub(crate) fn is_deleting(object: &Json) -> bool {
    !text(object, "/metadata/deletionTimestamp").is_empty()
}

pub(crate) fn finalizers(object: &Json) -> Vec<&str> {
    object.pointer("/metadata/finalizers").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect()
}

/// The list below a pointer.
pub(crate) fn items<'a>(object: &'a Json, pointer: &str) -> &'a [Json] {
    object.pointer(pointer).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

/// The version of an object.
pub(crate) fn version_of(object: &Json) -> u64 {
    text(object, "/metadata/resourceVersion").parse().unwrap_or(0)
}

fn key(cluster: &str, kind: &Kind, namespace: &str, name: &str) -> String {
    format!("{cluster}/{}/{namespace}/{name}", kind.id())
}

impl Space<'_> {
    /// The version of the last change of any cluster.
    pub(crate) fn version(&self) -> u64 {
        self.world.meta.get("kubernetes").copied().unwrap_or(0)
    }

    /// Tells of every change of this cluster from now on.
    pub(crate) fn changes(&mut self) -> watch::Receiver<u64> {
        let now = self.version();
        self.world.index.kubernetes.history(self.cluster, now).signal.subscribe()
    }

    /// What changed after `version`, or a refusal if that is not known any more.
    pub(crate) fn since(&mut self, version: u64) -> Result<Vec<Change>, Refusal> {
        let now = self.version();
        let history = self.world.index.kubernetes.history(self.cluster, now);
        if version < history.from {
            return Err(Refusal::expired(version, history.from));
        }
        let first = history.changes.partition_point(|change| change.version <= version);
        Ok(history.changes.iter().skip(first).cloned().collect())
    }

    pub(crate) fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Option<&Json> {
        self.world.kubernetes.get(&key(self.cluster, kind, namespace, name))
    }

    /// All objects of a kind, of one namespace or of all, in the order of their names.
    pub(crate) fn all(&self, kind: &Kind, namespace: Option<&str>) -> Vec<&Json> {
        let prefix = match namespace {
            Some(namespace) => key(self.cluster, kind, namespace, ""),
            None => format!("{}/{}/", self.cluster, kind.id()),
        };
        self.world.kubernetes.starting_with(&prefix).map(|(_, object)| object).collect()
    }

    /// Every object of the cluster.
    pub(crate) fn everything(&self) -> Vec<(&'static Kind, &Json)> {
        let prefix = format!("{}/", self.cluster);
        let rows = self.world.kubernetes.starting_with(&prefix);
        rows.filter_map(|(key, object)| Some((kind::of_id(key[prefix.len()..].split('/').next()?)?, object))).collect::<Vec<_>>()
    }

    fn next_version(&mut self) -> u64 {
        let next = self.version() + 1;
        // The history has to exist before the change that it tells of.
        let now = self.version();
        self.world.index.kubernetes.history(self.cluster, now);
        self.world.meta.insert("kubernetes", next);
        next
    }

    fn tell(&mut self, kind: &Kind, version: u64, before: Option<Json>, object: Json, removed: bool) {
        let history = self.world.index.kubernetes.history(self.cluster, version);
        let (before, object) = (before.map(Arc::new), Arc::new(object));
        history.changes.push_back(Change { version, kind: kind.id(), before, object, removed });
        while history.changes.len() > HISTORY {
            if let Some(gone) = history.changes.pop_front() {
                history.from = gone.version;
            }
        }
        history.signal.send_modify(|number| *number += 1);
    }

    /// A uid that was never given before.
    pub(crate) fn new_uid(&mut self) -> String {
        let number = self.world.next_number();
        ids::request(self.config.seed, "kubernetes", number).to_lowercase()
    }

    /// Five letters that end a generated name.
    pub(crate) fn suffix(&mut self) -> String {
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        let uid = self.new_uid();
        let bytes = hex::decode(uid.replace('-', "")).unwrap_or_default();
        bytes.iter().take(5).map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])).collect()
    }

    /// Puts a new object in, with what the server says about it. The name must be free.
    pub(crate) fn insert(&mut self, kind: &Kind, object: Json) -> Json {
        self.insert_with(kind, object, "")
    }

    /// The same with a uid that was drawn before; an empty one is drawn now.
    pub(crate) fn insert_with(&mut self, kind: &Kind, mut object: Json, uid: &str) -> Json {
        let version = self.next_version();
        object["apiVersion"] = kind.api_version().into();
        object["kind"] = kind.name.into();
        object["metadata"]["uid"] = if uid.is_empty() { self.new_uid().into() } else { uid.into() };
        object["metadata"]["creationTimestamp"] = seconds(self.now).into();
        object["metadata"]["resourceVersion"] = version.to_string().into();
        let key = key(self.cluster, kind, namespace_of(&object), name_of(&object));
        self.world.kubernetes.insert(key, object.clone());
        self.tell(kind, version, None, object.clone(), false);
        object
    }

    /// Puts an object in its place again; nothing happens if nothing changed.
    pub(crate) fn replace(&mut self, kind: &Kind, mut object: Json) -> Json {
        let key = key(self.cluster, kind, namespace_of(&object), name_of(&object));
        let Some(before) = self.world.kubernetes.get(&key).cloned() else { return object };
        object["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
        if object == before {
            return object;
        }
        let version = self.next_version();
        object["metadata"]["resourceVersion"] = version.to_string().into();
        if is_deleting(&object) && finalizers(&object).is_empty() && super::api::delete::may_go(kind, &object) {
            self.world.kubernetes.remove(&key);
            self.tell(kind, version, Some(before), object.clone(), true);
        } else {
            self.world.kubernetes.insert(key, object.clone());
            self.tell(kind, version, Some(before), object.clone(), false);
        }
        object
    }

    /// Changes an object that is there.
    pub(crate) fn edit(&mut self, kind: &Kind, namespace: &str, name: &str, change: impl FnOnce(&mut Json)) {
        if let Some(mut object) = self.get(kind, namespace, name).cloned() {
            change(&mut object);
            self.replace(kind, object);
        }
    }

    /// Takes an object out, whatever holds it.
    pub(crate) fn remove(&mut self, kind: &Kind, namespace: &str, name: &str) -> Option<Json> {
        let mut object = self.world.kubernetes.remove(&key(self.cluster, kind, namespace, name))?;
        let version = self.next_version();
        let before = object.clone();
        object["metadata"]["resourceVersion"] = version.to_string().into();
        self.tell(kind, version, Some(before), object.clone(), true);
        Some(object)
    }

    /// Says that something happened to an object; the same thing again is counted.
    pub(crate) fn event(&mut self, about: &Json, warning: bool, reason: &str, message: &str, component: &str) {
        let (namespace, name) = (namespace_of(about).to_owned(), name_of(about).to_owned());
        let namespace = if namespace.is_empty() { "default".to_owned() } else { namespace };
        let now = seconds(self.now);
        let uid = uid_of(about).to_owned();
        let same = |event: &&Json| {
            text(event, "/involvedObject/uid") == uid && text(event, "/reason") == reason && text(event, "/message") == message
        };
        if let Some(known) = self.all(&kind::EVENTS, Some(&namespace)).into_iter().find(same).map(|event| name_of(event).to_owned()) {
            self.edit(&kind::EVENTS, &namespace, &known, |event| {
                event["count"] = (event["count"].as_u64().unwrap_or(1) + 1).into();
                event["lastTimestamp"] = now.into();
            });
            return;
        }
        let number = self.version() + 1;
        let node = text(about, "/spec/nodeName").to_owned();
        let source =
            if component == "kubelet" { json!({ "component": component, "host": node }) } else { json!({ "component": component }) };
        let involved = json!({
            "kind": about["kind"], "apiVersion": about["apiVersion"], "namespace": namespace, "name": name, "uid": uid,
            "resourceVersion": about["metadata"]["resourceVersion"],
        });
        self.insert(
            &kind::EVENTS,
            json!({
                "metadata": { "name": format!("{name}.{:016x}", number), "namespace": namespace },
                "involvedObject": involved,
                "reason": reason,
                "message": message,
                "type": if warning { "Warning" } else { "Normal" },
                "source": source,
                "firstTimestamp": now,
                "lastTimestamp": now,
                "count": 1,
                "eventTime": null,
                "reportingComponent": component,
                "reportingInstance": node,
            }),
        );
    }
}
