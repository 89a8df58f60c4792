//! The whole manifest: its own keys, and what its parts have to do with each other.

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::reader::{Fields, Reader, Value};
use super::tree::Node;
use super::{App, Budget, EnvValue, InstanceChoice, Located, Manifest, Region, app, job, network, outputs};
use crate::model::secret::SecretSource;

/// Reads a document. `None` if something is missing without which there is no manifest; a manifest that was read may
/// still have been complained about.
pub(super) fn read<'a>(reader: &'a Reader<'a>, root: &'a Node, base: &Path, text: &str) -> Option<Manifest> {
    let fields = reader.root(root)?;
    let version = fields.get("version").and_then(version);
    let stack = fields.get("stack").and_then(Value::text);
    let region = region(&fields);
    let budget = budget(&fields);
    let network = network::read(&fields, &region);
    let apps = named(&fields, "apps", app::read);
    let jobs = named(&fields, "jobs", job::read);
    let outputs = outputs::read(reader, &fields, &apps);
    let empty = |key| fields.get(key).is_none_or(Value::is_empty);
    if empty("apps") && empty("jobs") {
        let place = fields.get("apps").or_else(|| fields.get("jobs")).map_or(fields.owner, |value| value.owner);
        let hint =
            "add `apps: { web: { source: . } }` for something that keeps running, or `jobs: { train: { script: train.py } }`".to_owned();
        reader.complain("nothing-to-run", "the manifest has neither apps nor jobs".to_owned(), place, vec![hint]);
    }
    let apps = whole(apps);
    let jobs = whole(jobs);
    check_shared_machines(reader, &apps);
    version?;
    let digest = hex::encode(Sha256::digest(text.as_bytes()));
    Some(Manifest { base: base.to_owned(), digest, stack: stack?, region, budget, network, apps, jobs, outputs })
}

fn region(fields: &Fields<'_>) -> Region {
    match fields.get("region").and_then(Value::word) {
        Some(word) if *word != "auto" => Region::Named(Located { value: word.value.to_owned(), location: word.location }),
        _ => Region::Auto,
    }
}

/// The `budget` of a stack or job.
pub(super) fn budget(fields: &Fields<'_>) -> Budget {
    let Some(fields) = fields.get("budget").and_then(Value::table) else { return Budget::default() };
    let money = |key| fields.get(key).and_then(Value::parsed);
    Budget { hourly: money("hourly"), monthly: money("monthly"), total: money("total") }
}

/// The `env` of an application or job.
pub(super) fn env(fields: &Fields<'_>) -> BTreeMap<String, EnvValue> {
    let mut env = BTreeMap::new();
    for (name, value) in fields.get("env").map(Value::map).unwrap_or_default() {
        let read = match value.either() {
            Some(super::reader::Either::Plain(text)) => {
                check_plain(&value, &text);
                Some(EnvValue::Plain(text))
            }
            Some(super::reader::Either::Table(fields)) => fields.get("from").and_then(Value::parsed).map(EnvValue::From),
            None => None,
        };
        env.extend(read.map(|read| (name.value, read)));
    }
    env
}

/// A plain value is taken as it is written; these were meant otherwise.
fn check_plain(value: &Value<'_>, text: &str) {
    if text.parse::<SecretSource>().is_ok() {
        value.complain("secret-as-text", format!("`{text}` would be a plain text here"), Some(format!("write `{{ from: {text} }}`")));
    }
    if ["${apps.", "${jobs.", "${outputs."].iter().any(|start| text.contains(start)) {
        value.complain(
            "bad-template",
            "references are filled in under `outputs` only",
            Some("an application finds its neighbours by their private addresses; pass them in once they are known".to_owned()),
        );
    }
}

/// The entries of a map by name; `None` for one that could not be read.
fn named<T>(fields: &Fields<'_>, key: &'static str, read: fn(Located<String>, &Value<'_>) -> Option<T>) -> BTreeMap<String, Option<T>> {
    let entries = fields.get(key).map(Value::map).unwrap_or_default();
    entries.into_iter().map(|(name, value)| (name.value.clone(), read(name, &value))).collect()
}

fn whole<T>(entries: BTreeMap<String, Option<T>>) -> BTreeMap<String, T> {
    entries.into_iter().filter_map(|(name, entry)| Some((name, entry?))).collect()
}

/// The version, if it is one that this engine knows.
fn version(value: &Value<'_>) -> Option<u32> {
    value
        .integer_or("bad-version", "this aliform reads version 1 of the manifest; write `version: 1`, or take a newer aliform")
        .map(|version| *version)
}

/// Two applications on one machine can't listen on one port.
fn check_shared_machines(reader: &Reader<'_>, apps: &BTreeMap<String, App>) {
    let mut taken: BTreeMap<(&str, u16), &str> = BTreeMap::new();
    for (name, app) in apps {
        let (InstanceChoice::Existing(id), Some(port)) = (&app.instance, &app.port) else { continue };
        if let Some(other) = taken.insert((&id.value, port.value), name) {
            let message = format!("port {} of the instance `{}` is taken by `apps.{other}` already", port.value, id.value);
            reader.complain_at("conflict", message, &port.location, "give each application on an instance a port of its own");
        }
    }
}
