//! One change of a plan: what, why, at what price, and which fields.

use std::collections::BTreeSet;

use aliform::model::address::{Address, Kind};
use aliform::model::change::{Action, Change, Reason};
use aliform::model::cost::Total;
use aliform::plan::saved::Plan;
use aliform::resources::registry;

use super::PlanOptions;
use super::fields::{self, Field};
use super::scripts::Scripts;
use crate::render::money;
use crate::render::style::{Role, Style, columns, one_line};

/// How far a change's own lines stand in.
const INDENT: &str = "      ";

/// The mark of an action, three wide so that addresses stand below each other, and its colour.
fn mark(action: Action) -> (&'static str, Role) {
    match action {
        Action::Keep => ("   ", Role::Dim),
        Action::Create => ("  +", Role::Added),
        Action::Update => ("  ~", Role::Changed),
        Action::Replace => ("-/+", Role::Replaced),
        Action::Delete => ("  -", Role::Removed),
    }
}

/// The change as lines.
pub(super) fn block(change: &Change, plan: &Plan, scripts: &mut Scripts, options: &PlanOptions<'_>, style: &Style) -> String {
    let (mark, role) = mark(change.action);
    let mut left = style.paint(role, &format!("{mark} {}", change.address));
    if let Some(id) = &change.id {
        left += &format!("  {}", style.paint(Role::Dim, &one_line(id)));
    }
    let part = plan.wanted.get(&change.address).map(|wanted| &wanted.spec["part"]).filter(|part| part.is_object());
    if let Some(part) = part {
        let parameters = part["parameters"].as_object().into_iter().flatten();
        let parameters: Vec<String> = parameters.map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default())).collect();
        left += &format!("  {}", one_line(&parameters.join(", ")));
    }
    let mut lines = vec![style.edge(&left, &price(change))];
    // Of many runs that differ in their parameters only, the first is shown in full.
    let same = part.and_then(|part| part["job"].as_str()).filter(|_| change.action == Action::Create && !options.full);
    if same.is_some_and(|job| scripts.shown(&change.address, "part", job, "part").is_some()) {
        return lines.iter().map(|line| format!("{line}\n")).collect();
    }
    for reason in reasons(change, plan) {
        lines.push(format!("{INDENT}{}", style.paint(Role::Dim, &format!("because {reason}"))));
    }
    if let Some(runs) = plan.released.get(&change.address) {
        let named: Vec<String> = runs.iter().map(ToString::to_string).collect();
        let said = match named.len() {
            0..=3 => format!("released when {} {} over, however it ends", named.join(", "), if named.len() == 1 { "is" } else { "are" }),
            many => format!("released when {many} runs are over, however they end"),
        };
        lines.push(format!("{INDENT}{}", style.paint(Role::Dim, &said)));
    }
    if change.action != Action::Delete && change.action != Action::Keep {
        let last_resort = plan.wanted.get(&change.address).and_then(|wanted| {
            // What does not fit its kind is refused by the plan itself.
            registry::kind(change.address.kind).last_resort(&change.address, &wanted.spec).ok().flatten()
        });
        lines.extend(last_resort.map(|said| format!("{INDENT}{}", style.paint(Role::Dim, &said))));
    }
    lines.extend(fallbacks(change, plan).map(|line| format!("{INDENT}{}", style.paint(Role::Dim, &line))));
    for effect in &change.effects {
        lines.push(format!("{INDENT}{}", style.paint(Role::Warning, &format!("! {}", one_line(effect)))));
    }
    let fields = fields::of(change, scripts, options, style);
    let label = if change.action == Action::Create { fields.iter().map(|field| columns(&field.label)).max().unwrap_or(0) + 1 } else { 0 };
    for Field { label: name, value, forces_replace, body } in fields {
        let forced = if forces_replace && change.action == Action::Replace {
            style.paint(Role::Replaced, "# forces replacement")
        } else {
            String::new()
        };
        let name = format!("{name}:");
        let said: Vec<String> = [format!("{name:label$}"), value, forced].into_iter().filter(|part| !part.is_empty()).collect();
        lines.push(format!("{INDENT}{}", said.join(" ")).trim_end().to_owned());
        lines.extend(body.into_iter().map(|line| format!("{INDENT}  {line}").trim_end().to_owned()));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// What is taken where the chosen one is sold out: zones of the same type, then other types.
fn fallbacks(change: &Change, plan: &Plan) -> Option<String> {
    let list = plan.fallbacks.get(&change.address)?;
    let mut said: Vec<(&str, Vec<&str>, String)> = Vec::new();
    for fallback in list {
        let price = money::an_hour(fallback.hourly);
        // The plan names its region: `-h` of `cn-hangzhou-h` says the rest.
        let zone = fallback.zone.strip_prefix(plan.region.as_str()).unwrap_or(&fallback.zone);
        match said.last_mut() {
            Some((name, zones, known)) if *name == fallback.instance_type && *known == price => zones.push(zone),
            _ => said.push((&fallback.instance_type, vec![zone], price)),
        }
    }
    let place = |zones: &[&str]| zones.join(" ").trim().to_owned();
    let words = said.iter().map(|(name, zones, price)| match place(zones) {
        // What has no zone stands where the plan does.
        place if place.is_empty() => format!("{} ({price})", one_line(name)),
        place => format!("{} in {} ({price})", one_line(name), one_line(&place)),
    });
    Some(format!("if it is sold out: {}", words.collect::<Vec<_>>().join("; ")))
}

fn price(change: &Change) -> String {
    let (before, after): (Total, Total) = (change.cost_before.hourly(), change.cost_after.hourly());
    match change.action {
        Action::Delete if before.sums.is_empty() => money::rate(&before),
        Action::Delete => format!("saves {}", money::rate(&before)),
        Action::Update | Action::Replace if before != after => format!("{} -> {}", money::rate(&before), money::rate(&after)),
        _ => money::rate(&after),
    }
}

/// The reasons in words, each said once.
fn reasons(change: &Change, plan: &Plan) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let drifted: BTreeSet<&str> = change
        .reasons
        .iter()
        .filter_map(|reason| if let Reason::Drifted { path, .. } = reason { Some(group(path)) } else { None })
        .collect();
    for reason in &change.reasons {
        let said = match reason {
            // The mark says so already.
            Reason::NotYetCreated => continue,
            Reason::NotWanted if plan.basis.destroy => continue,
            Reason::NotWanted => "the manifest does not want it any more".to_owned(),
            Reason::Gone if change.action == Action::Delete => "it was deleted outside aliform; only the state has to forget it".to_owned(),
            Reason::Gone => "it was deleted outside aliform".to_owned(),
            Reason::Unfinished { because } => format!("the last apply did not finish: {}", one_line(because)),
            Reason::RunFailed { because } => format!("its last run did not end well: {}", one_line(because)),
            Reason::EndsTooSoon { at } => format!("the cloud ends it at {}, too soon for another run", one_line(at)),
            Reason::FieldChanged { path, .. } => wanted(change.address.kind, path).to_owned(),
            Reason::Drifted { .. } => {
                format!("someone changed it in the cloud (drift): {}", drifted.iter().copied().collect::<Vec<_>>().join(", "))
            }
            Reason::DependencyReplaced { address } => format!("it depends on `{address}`, which is {}", becomes(address, plan)),
        };
        if !words.contains(&said) {
            words.push(said);
        }
    }
    if words.is_empty() && change.action == Action::Replace {
        words.push("it was asked for".to_owned());
    }
    words
}

/// The field that a path belongs to as a person names it: `files.a.js` is one of the `files`.
fn group(path: &str) -> &str {
    if path.starts_with("files.") { "files" } else { path }
}

/// Why another value is wanted.
fn wanted(kind: Kind, path: &str) -> &'static str {
    match (kind, path) {
        (Kind::Bundle, path) if path != "bucket" => "the source changed",
        (Kind::Release, "digest" | "bundle_key") => "the source changed",
        (Kind::Release, "instance_started") => "its instance is started anew",
        _ => "the manifest wants another value",
    }
}

fn becomes(address: &Address, plan: &Plan) -> &'static str {
    match plan.changes.iter().find(|change| change.address == *address).map(|change| change.action) {
        Some(Action::Create) => "created",
        _ => "replaced",
    }
}
