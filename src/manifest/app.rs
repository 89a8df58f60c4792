//! One application.

use super::files::Wanted;
use super::reader::{Fields, Value};
use super::{
    App, Architecture, Gpu, Health, InstanceChoice, Located, Needs, OnFailure, Origin, Public, Rollout, Source, Work, document, job,
    network,
};
use crate::model::runtime::Runtime;
use crate::model::units::{Bandwidth, Duration};

/// Reads an application; `None` if it is no map or has nothing usable to run.
pub(super) fn read(name: Located<String>, value: &Value<'_>) -> Option<App> {
    let fields = value.table()?;
    let replicas = fields.get("replicas").and_then(Value::integer);
    let text = |key| fields.get(key).and_then(Value::text);
    let instance = instance(&fields);
    check_existing(&fields, &instance);
    let origin = origin(&fields);
    let runtime = fields.get("runtime").and_then(Value::word);
    let port = fields.get("port").and_then(Value::integer);
    let container_port = fields.get("container_port").and_then(Value::integer);
    let os = text("os");
    let disk = fields.get("disk").and_then(Value::parsed);
    let public = fields.get("public").and_then(public);
    let env = document::env(&fields);
    let (build, start, stop) = (text("build"), text("start"), text("stop"));
    let health = health(&fields);
    let rollout = rollout(&fields, replicas.as_ref());
    check_service(&fields, &health);
    Some(App {
        name,
        origin: origin?,
        runtime: runtime.and_then(|word| Some(Located { value: word.value.parse::<Runtime>().ok()?, location: word.location })),
        port: port.and_then(short),
        container_port: container_port.and_then(short),
        replicas: replicas.map_or(1, |replicas| replicas.value),
        instance,
        os,
        disk,
        public,
        env,
        build,
        start,
        stop,
        health,
        rollout,
    })
}

fn short(port: Located<u32>) -> Option<Located<u16>> {
    Some(Located { value: u16::try_from(port.value).ok()?, location: port.location })
}

/// What it is made of: the first of the keys that say it, since a second one is complained about.
fn origin(fields: &Fields<'_>) -> Option<Origin> {
    let found = fields.get("source").map(|value| source(value).map(Origin::Source));
    let found = found.or(fields.get("script").map(|value| job::script(value).map(|path| Origin::Work(Work::Script(path)))));
    let found = found.or(fields.get("run").map(|value| value.text().map(|text| Origin::Work(Work::Run(text)))));
    found.or(fields.get("image").map(|value| value.text().map(Origin::Image))).flatten()
}

/// Complains about what a service without a source has no use for.
fn check_service(fields: &Fields<'_>, health: &Health) {
    let made = ["source", "script", "run", "image"].into_iter().find(|key| fields.get(key).is_some());
    let needless: &[(&'static str, &str)] = match made {
        Some("script" | "run") => &[("start", "the script is what starts")],
        Some("image") => &[
            ("build", "a container image is built already"),
            ("runtime", "a container image brings its own"),
            ("stop", "a container is stopped with its process"),
        ],
        _ => &[],
    };
    let container = fields.get("container_port").filter(|_| made.is_some_and(|made| made != "image"));
    let needless = needless.iter().filter_map(|(key, why)| Some((*key, *why, fields.get(key)?)));
    for (key, why, value) in needless.chain(container.map(|value| ("container_port", "only a container has another port inside", value))) {
        let message = format!("`{key}` is of no use beside `{}`: {why}", made.unwrap_or_default());
        value.complain("conflict", message, Some(format!("remove `{key}`")));
    }
    let known = ["port", "public"].iter().any(|key| fields.get(key).is_some());
    if let (Some(path), Some(value)) = (&health.http, fields.get("health"))
        && !known
        && made.is_some_and(|made| made != "source")
    {
        let message = format!("`{}` has to be asked at a port, and none is named", path.value);
        value.reader.complain_at("conflict", message, &path.location, "add `port`, on which it listens");
    }
}

fn source(value: &Value<'_>) -> Option<Located<Source>> {
    let text = value.text()?;
    let git = ["https://", "http://", "ssh://", "git://"].iter().any(|scheme| text.starts_with(scheme));
    // `git@host:owner/name`, as ssh writes it.
    let short = text.split_once(':').is_some_and(|(host, path)| host.contains('@') && !host.contains('/') && !path.is_empty());
    if git || short {
        return Some(value.located(Source::Git(text.value)));
    }
    if text.contains("://") {
        let hint = "use a folder, or a URL that starts with `https://` or `ssh://`".to_owned();
        value.complain("bad-source", format!("`{}` is not the URL of a git repository", text.value), Some(hint));
        return None;
    }
    match value.reader.base.find(&text, Wanted::Folder) {
        Ok(path) => Some(value.located(Source::Folder(path))),
        Err(refusal) => {
            value.complain(refusal.code, refusal.message, Some(refusal.hint));
            None
        }
    }
}

fn instance(fields: &Fields<'_>) -> InstanceChoice {
    let nothing = InstanceChoice::Needs(Needs::default());
    let Some(fields) = fields.get("instance").and_then(Value::table) else { return nothing };
    let needs = needs(&fields);
    let (name, id) = (fields.get("type").and_then(Value::text), fields.get("id").and_then(Value::text));
    match (name, id) {
        (Some(name), _) => InstanceChoice::Type(name),
        (None, Some(id)) => InstanceChoice::Existing(id),
        (None, None) => InstanceChoice::Needs(needs),
    }
}

/// `cpu`, `memory` and `gpu` of an instance or a job.
pub(super) fn needs(fields: &Fields<'_>) -> Needs {
    Needs {
        cpu: fields.get("cpu").and_then(Value::integer).map(|cpu| cpu.value),
        memory: fields.get("memory").and_then(Value::parsed).map(|memory| memory.value),
        gpu: fields.get("gpu").and_then(Value::table).map(|fields| Gpu {
            model: fields.get("model").and_then(Value::text),
            count: fields.get("count").and_then(Value::integer).map_or(1, |count| count.value),
        }),
        architecture: fields.get("arch").and_then(Value::word).map(|word| Located {
            value: if word.value == "arm" { Architecture::Arm } else { Architecture::X86 },
            location: word.location,
        }),
    }
}

fn public(value: &Value<'_>) -> Option<Public> {
    let fields = value.table()?;
    let networks = fields.get("allow").map(network::list);
    let bandwidth = fields.get("bandwidth").map(Value::parsed);
    let eip = fields.get("eip").and_then(Value::flag).unwrap_or(false);
    // What is left out stands where the whole is asked for.
    let bandwidth = bandwidth.unwrap_or_else(|| Some(value.located(Bandwidth::of(5))))?;
    Some(Public { bandwidth, allow: networks.unwrap_or_else(|| vec![value.located(ipnet::Ipv4Net::default())]), eip })
}

fn health(fields: &Fields<'_>) -> Health {
    let usual = Duration::of(60);
    let Some(fields) = fields.get("health").and_then(Value::table) else { return Health { http: None, within: usual } };
    let within = fields.get("within").and_then(Value::parsed).map_or(usual, |within| within.value);
    Health { http: fields.get("http").and_then(Value::text), within }
}

fn rollout(fields: &Fields<'_>, replicas: Option<&Located<u32>>) -> Rollout {
    let usual = Rollout { batch: 1, on_failure: OnFailure::default() };
    let Some(rollout) = fields.get("rollout").and_then(Value::table) else { return usual };
    let batch = rollout.get("batch").and_then(Value::integer);
    let on_failure = match rollout.get("on_failure").and_then(Value::word).map(|word| word.value) {
        Some("stop") => OnFailure::Stop,
        _ => OnFailure::Rollback,
    };
    let total = match (replicas, fields.get("replicas")) {
        (Some(replicas), _) => Some(replicas.value),
        (None, Some(_)) => None,
        (None, None) => Some(1),
    };
    if let (Some(value), Some(batch), Some(total)) = (rollout.get("batch"), &batch, total)
        && batch.value > total
    {
        let hint = if total == 1 { "remove it, or raise `replicas`".to_owned() } else { format!("use at most {total}") };
        let replicas = if total == 1 { "1 replica".to_owned() } else { format!("{total} replicas") };
        value.complain("out-of-range", format!("a batch of {batch} is more than the {replicas}", batch = batch.value), Some(hint));
    }
    Rollout { batch: batch.map_or(1, |batch| batch.value), on_failure }
}

/// Complains about what only a new instance can have.
fn check_existing(fields: &Fields<'_>, instance: &InstanceChoice) {
    let InstanceChoice::Existing(id) = instance else { return };
    for key in ["os", "disk"] {
        if let Some(value) = fields.get(key) {
            let hint = format!("remove `{key}`, or let a new instance be made");
            value.complain("conflict", format!("`{key}` is for new instances, and `{}` exists already", id.value), Some(hint));
        }
    }
    if let Some((value, replicas)) = fields.get("replicas").and_then(|value| Some((value, value.integer()?)))
        && replicas.value > 1
    {
        let hint = "remove `replicas`, or let new instances be made".to_owned();
        value.complain("conflict", format!("the one instance `{}` can't be {} replicas", id.value, replicas.value), Some(hint));
    }
}
