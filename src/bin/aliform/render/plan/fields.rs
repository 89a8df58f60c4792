//! The fields of a change: values in words, texts as diffs, sets item by item, files by name.

use std::collections::BTreeSet;

use aliform::model::address::Kind;
use aliform::model::change::{Action, Change, Effect, FieldDiff};
use aliform::model::value::reference_in;
use serde_json::Value as Json;
use similar::TextDiff;

use super::PlanOptions;
use super::scripts::Scripts;
use crate::render::style::{Role, Style, one_line, visible};

/// Digits that a digest is shortened to.
const DIGEST: usize = 12;
/// File names that are listed before the rest is counted.
const FILES: usize = 10;
/// Lines around a change in a diff.
const CONTEXT: usize = 3;
/// Scripts that come last, and of which a new one is only counted unless everything is asked for: they change nothing
/// by themselves.
const COUNTED: &[&str] = &["verify_script", "rollback_script", "logs_script"];

/// A field as it is shown.
pub(super) struct Field {
    /// Its path.
    pub(super) label: String,
    /// What stands behind it; may be empty when there is a body.
    pub(super) value: String,
    /// Whether it is why the resource is replaced.
    pub(super) forces_replace: bool,
    /// Lines below it.
    pub(super) body: Vec<String>,
}

/// Everything worth showing of a change: plain values first, texts last.
pub(super) fn of(change: &Change, scripts: &mut Scripts, options: &PlanOptions<'_>, style: &Style) -> Vec<Field> {
    let mut viewer = Viewer { change, scripts, options, style };
    let (files, others): (Vec<&FieldDiff>, Vec<&FieldDiff>) =
        change.fields.iter().partition(|field| change.address.kind == Kind::Bundle && field.path.starts_with("files."));
    let (mut texts, plain): (Vec<&FieldDiff>, Vec<&FieldDiff>) = others.into_iter().partition(|field| is_text(field));
    texts.sort_by_key(|field| COUNTED.contains(&field.path.as_str()));
    let mut fields: Vec<Field> = Vec::new();
    for field in plain.into_iter().filter(|field| !viewer.hidden(field)) {
        match field.path.strip_prefix("system_disk.") {
            Some(part) if viewer.creates() => {
                if part == "category" {
                    fields.push(viewer.disk());
                }
            }
            _ => fields.push(viewer.plain(field)),
        }
    }
    fields.extend(viewer.files(&files));
    for field in texts {
        fields.push(viewer.text(field));
    }
    fields
}

fn is_text(field: &FieldDiff) -> bool {
    [&field.before, &field.after].iter().any(|side| side.as_str().is_some_and(|text| text.contains('\n')))
}

struct Viewer<'a, 'b> {
    change: &'a Change,
    scripts: &'a mut Scripts,
    options: &'a PlanOptions<'b>,
    style: &'a Style,
}

impl Viewer<'_, '_> {
    fn creates(&self) -> bool {
        self.change.action == Action::Create
    }

    /// What a reviewer learns nothing from: what the address says, what is always so, what follows from another field.
    fn hidden(&self, field: &FieldDiff) -> bool {
        let kind = self.change.address.kind;
        if !self.creates() {
            let digest = || self.change.fields.iter().any(|other| other.path == "digest");
            return kind == Kind::Release && field.path == "bundle_key" && digest();
        }
        match (kind, field.path.as_str()) {
            (Kind::Instance, "power") | (Kind::Bundle, "app") => true,
            (Kind::Release, "app" | "bucket" | "bundle_key" | "instance_started") => true,
            (Kind::Function, "asynchronous" | "bucket" | "checksum" | "container.entrypoint" | "container.port" | "size") => true,
            (Kind::Invocation, "asynchronous" | "bucket" | "cpu" | "disk" | "function" | "job" | "memory" | "package" | "timeout") => true,
            (Kind::Invocation, path) if path.starts_with("gpu.") => true,
            (Kind::Instance, "bandwidth") => field.after == 0,
            (Kind::Release, "rollback") => field.after == false,
            _ => field.after.is_null(),
        }
    }

    fn plain(&self, field: &FieldDiff) -> Field {
        let kind = self.change.address.kind;
        let (value, body) = match (&field.before, &field.after) {
            (_, Json::Array(after)) if self.creates() && after.is_empty() => ("none".to_owned(), Vec::new()),
            (_, Json::Array(after)) if self.creates() => (after.iter().map(item).collect::<Vec<_>>().join(", "), Vec::new()),
            (Json::Array(before), Json::Array(after)) => self.set(before, after),
            (_, after) if self.creates() => (value(kind, &field.path, after), Vec::new()),
            (before, after) => (format!("{} -> {}", value(kind, &field.path, before), value(kind, &field.path, after)), Vec::new()),
        };
        Field { label: one_line(&field.path).into_owned(), value, forces_replace: field.effect == Effect::ForcesReplace, body }
    }

    /// The three fields of a new system disk in one.
    fn disk(&self) -> Field {
        let part =
            |name: &str| self.change.fields.iter().find(|field| field.path == format!("system_disk.{name}")).map(|field| &field.after);
        let text = |name: &str| part(name).and_then(Json::as_str).map(|text| one_line(text).into_owned());
        let kind: Vec<String> = [text("category"), text("performance_level")].into_iter().flatten().collect();
        let size = part("size").map(|size| format!(", {}", value(Kind::Instance, "system_disk.size", size))).unwrap_or_default();
        Field { label: "system_disk".to_owned(), value: kind.join(" ") + &size, forces_replace: false, body: Vec::new() }
    }

    /// What comes into a set and what goes; what stays is counted.
    fn set(&self, before: &[Json], after: &[Json]) -> (String, Vec<String>) {
        let (old, new): (BTreeSet<String>, BTreeSet<String>) = (before.iter().map(item).collect(), after.iter().map(item).collect());
        let gone = old.difference(&new).map(|item| self.style.paint(Role::Removed, &format!("- {item}")));
        let come = new.difference(&old).map(|item| self.style.paint(Role::Added, &format!("+ {item}")));
        let stay = old.intersection(&new).count();
        let kept = if stay == 0 { String::new() } else { format!("({stay} unchanged)") };
        (kept, gone.chain(come).collect())
    }

    /// The files of a bundle.
    fn files(&self, files: &[&FieldDiff]) -> Option<Field> {
        if files.is_empty() {
            return None;
        }
        let limit = if self.options.full { usize::MAX } else { FILES };
        let name = |field: &FieldDiff| {
            let name = one_line(field.path.strip_prefix("files.").unwrap_or(&field.path)).into_owned();
            match (&field.before, &field.after) {
                _ if self.creates() => name,
                (Json::Null, _) => format!("{name} (new)"),
                (_, Json::Null) => format!("{name} (gone)"),
                _ => format!("{name} (changed)"),
            }
        };
        let mut listed: String = files.iter().take(limit).map(|field| name(field)).collect::<Vec<_>>().join(", ");
        if files.len() > limit {
            listed += &format!(" and {} more", files.len() - limit);
        }
        let (label, value) = if self.creates() { ("files", format!("{}: {listed}", files.len())) } else { ("files changed", listed) };
        Some(Field { label: label.to_owned(), value, forces_replace: false, body: Vec::new() })
    }

    /// A text of several lines.
    fn text(&mut self, field: &FieldDiff) -> Field {
        let forces_replace = field.effect == Effect::ForcesReplace;
        let shown = |value: String, body: Vec<String>| Field { label: field.path.clone(), value, forces_replace, body };
        let lines = |text: &str| format!("{} lines", text.lines().count());
        let address = &self.change.address;
        match (field.before.as_str(), field.after.as_str()) {
            // A script is long, and what in it is the application's own stands among the decisions.
            (None, Some(after)) if !self.options.full => shown(format!("{} (shown with --full)", lines(after)), Vec::new()),
            (None, Some(after)) => match self.scripts.shown(address, &field.path, after, &field.path) {
                Some(first) => shown(format!("{}, as {first}", lines(after)), Vec::new()),
                None => {
                    self.scripts.show_below(address, &field.path, after);
                    shown(format!("{}, shown below", lines(after)), Vec::new())
                }
            },
            (Some(before), Some(after)) => {
                let diff =
                    TextDiff::from_lines(before, after).unified_diff().context_radius(CONTEXT).missing_newline_hint(false).to_string();
                // What names the port, say, changes alike in all of them.
                let counted = COUNTED.contains(&field.path.as_str());
                let same = self.scripts.same(address, &diff).filter(|_| counted).map(str::to_owned);
                let under = same.as_deref().unwrap_or(&field.path);
                match (self.scripts.shown(address, &field.path, &diff, under), same) {
                    (Some(first), _) => shown(format!("changed as in {first}"), Vec::new()),
                    (None, Some(same)) => shown(format!("changed as {same}"), Vec::new()),
                    (None, None) => shown(String::new(), diff.lines().map(|line| self.diff_line(line)).collect()),
                }
            }
            (before, _) => {
                let old = before.map(lines).unwrap_or_default();
                shown(format!("{old} -> {}", value(address.kind, &field.path, &field.after)), Vec::new())
            }
        }
    }

    fn diff_line(&self, line: &str) -> String {
        let text = visible(line);
        match line.as_bytes().first() {
            Some(b'+') => self.style.paint(Role::Added, &text),
            Some(b'-') => self.style.paint(Role::Removed, &text),
            Some(b'@') => self.style.paint(Role::Dim, &text),
            _ => text.into_owned(),
        }
    }
}

/// A value in words.
fn value(kind: Kind, path: &str, json: &Json) -> String {
    if let Some(reference) = reference_in(json) {
        return format!("{reference} (known after apply)");
    }
    match (json, path) {
        (Json::Null, _) => "(none)".to_owned(),
        (Json::String(text), _) if text.is_empty() => "\"\"".to_owned(),
        (Json::String(text), _) => shorten(&one_line(text)),
        (Json::Number(number), "bandwidth") => format!("{number} Mbps"),
        (Json::Number(number), "system_disk.size") => format!("{number} GiB"),
        (Json::Number(number), "within" | "timeout") => format!("{number} s"),
        (Json::Number(number), "limit" | "release_after" | "needed_for") => format!("{number} s"),
        (Json::Number(number), "max_minutes") => format!("{number} min"),
        (Json::Number(number), "disk" | "memory") if kind == Kind::Function => format!("{number} MiB"),
        (Json::Number(number), "size") if kind == Kind::Bundle => number.as_u64().map_or_else(|| number.to_string(), bytes),
        _ => one_line(&json.to_string()).into_owned(),
    }
}

/// An item of a set in words.
fn item(json: &Json) -> String {
    let part = |name: &str| json.get(name).and_then(Json::as_str);
    let (Some(protocol), Some(ports), Some(source), Some(policy)) = (part("protocol"), part("ports"), part("source"), part("policy"))
    else {
        return match json {
            Json::String(text) => one_line(text).into_owned(),
            _ => one_line(&json.to_string()).into_owned(),
        };
    };
    let ports = match ports.split_once('/') {
        Some(("-1", "-1")) => String::new(),
        Some((from, to)) if from == to => format!(" {from}"),
        Some((from, to)) => format!(" {from}-{to}"),
        None => format!(" {ports}"),
    };
    let policy = if policy == "accept" { String::new() } else { format!("{policy} ") };
    one_line(&format!("{policy}{protocol}{ports} from {source}")).into_owned()
}

/// Shortens every digest in a text.
fn shorten(text: &str) -> String {
    let mut short = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let hex = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
        let (run, after) = rest.split_at(hex);
        short += if hex >= 40 { &run[..DIGEST] } else { run };
        let other = after.find(|c: char| c.is_ascii_hexdigit()).unwrap_or(after.len());
        short += &after[..other];
        rest = &after[other..];
    }
    short
}

/// A number of bytes in the unit that leaves it short.
fn bytes(count: u64) -> String {
    let tenths = |unit: u64| format!("{}.{}", count / unit, count % unit * 10 / unit);
    match count {
        0..1024 => format!("{count} B"),
        1024..1_048_576 => format!("{} KiB", tenths(1024)),
        _ => format!("{} MiB", tenths(1_048_576)),
    }
}
