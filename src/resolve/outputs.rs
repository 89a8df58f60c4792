//! The outputs: what the manifest names, and where each application is reached, as texts with references in them.

use super::Draft;
use crate::manifest::{App, InstanceChoice, Part};
use crate::model::address::Kind;
use crate::resources::desired::Desired;

/// An attribute of an application as a text with references.
fn attribute(desired: &Desired, app: &App, attribute: &str) -> String {
    let name = &app.name.value;
    if matches!(app.instance, InstanceChoice::Existing(_)) && attribute != "url" && attribute != "port" {
        return desired.outputs.get(&format!("apps.{name}.{attribute}")).cloned().unwrap_or_default();
    }
    let elastic = app.public.as_ref().is_some_and(|public| public.eip);
    let host = if elastic { Kind::Eip } else { Kind::Instance };
    let port = || {
        let release = desired.nodes.iter().find(|(address, _)| address.kind == Kind::Release && address.name == format!("{name}-1"));
        release.and_then(|(_, node)| node.spec["port"].as_u64())
    };
    match attribute {
        "public_ip" => format!("${{{host}.{name}-1.public_ip}}"),
        "private_ip" => format!("${{{}.{name}-1.private_ip}}", Kind::Instance),
        "instance_id" => format!("${{{}.{name}-1.id}}", Kind::Instance),
        "port" => port().map(|port| port.to_string()).unwrap_or_default(),
        // `url`, the only one left that the manifest accepts.
        _ => {
            let address = self::attribute(desired, app, if app.public.is_some() { "public_ip" } else { "private_ip" });
            let port = port().filter(|port| *port != 80).map(|port| format!(":{port}")).unwrap_or_default();
            format!("http://{address}{port}")
        }
    }
}

fn text(draft: &Draft<'_>, parts: &[Part]) -> String {
    let part = |part: &Part| match part {
        Part::Text(text) => text.clone(),
        Part::Reference { path } => match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["apps", app, name] => draft.manifest.apps.get(app).map(|app| attribute(&draft.desired, app, name)).unwrap_or_default(),
            // The manifest has checked that outputs name each other without a circle.
            ["outputs", name] => draft.manifest.outputs.get(name).map(|template| text(draft, &template.value.parts)).unwrap_or_default(),
            _ => String::new(),
        },
    };
    parts.iter().map(part).collect()
}

/// Adds them: those of the manifest, and for every application that listens its address under `apps.<name>.url`.
pub(super) fn add(draft: &mut Draft<'_>) {
    let listens = |app: &&App| !attribute(&draft.desired, app, "port").is_empty();
    let urls = draft
        .manifest
        .apps
        .values()
        .filter(listens)
        .map(|app| (format!("apps.{}.url", app.name.value), attribute(&draft.desired, app, "url")));
    let named = draft.manifest.outputs.iter().map(|(name, template)| (name.clone(), text(draft, &template.value.parts)));
    let outputs: Vec<(String, String)> = urls.chain(named).collect();
    draft.desired.outputs.extend(outputs);
}
