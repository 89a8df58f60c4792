//! The outputs of a stack: texts that refer to applications and to each other.

use std::collections::BTreeMap;

use super::reader::{Fields, Reader, Value, listed, nearest};
use super::{APP_ATTRIBUTES, App, InstanceChoice, Located, Part, Template, template};

/// Reads the `outputs`; an application that could not be read is known by its name.
pub(super) fn read(reader: &Reader<'_>, fields: &Fields<'_>, apps: &BTreeMap<String, Option<App>>) -> BTreeMap<String, Located<Template>> {
    let mut outputs = BTreeMap::new();
    let mut names = Vec::new();
    for (name, value) in fields.get("outputs").map(Value::map).unwrap_or_default() {
        names.push(name.value.clone());
        let Some(text) = value.text() else { continue };
        if let Ok(template) = template::parse(&text.value) {
            outputs.insert(name.value, Located { value: template, location: text.location });
        }
    }
    for template in outputs.values() {
        for part in &template.parts {
            if let Part::Reference { path } = part {
                check_reference(reader, template, path, apps, &names);
            }
        }
    }
    for cycle in cycles(&outputs) {
        let shown: Vec<String> = cycle.iter().chain(cycle.first()).map(|name| format!("`{name}`")).collect();
        let place = &outputs[cycle[0]].location;
        let message = format!("outputs refer to each other in a circle: {}", shown.join(" -> "));
        reader.complain_at("output-cycle", message, place, "let one of them stand on its own");
    }
    outputs
}

fn check_reference(
    reader: &Reader<'_>,
    template: &Located<Template>,
    path: &[String],
    apps: &BTreeMap<String, Option<App>>,
    names: &[String],
) {
    let whole = format!("${{{}}}", path.join("."));
    let complain = |message: String, hint: String| {
        reader.complain_at("unknown-reference", message, &template.location, hint);
    };
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["apps", name, attribute] => match apps.get(*name) {
            None => {
                let hint = match nearest(name, apps.keys().map(String::as_str)) {
                    Some(near) => format!("did you mean `${{apps.{near}.{attribute}}}`?"),
                    None => format!("the apps are {}", listed(apps.keys().map(String::as_str))),
                };
                complain(format!("`{whole}` names no app of this manifest"), hint);
            }
            Some(_) if !APP_ATTRIBUTES.contains(attribute) => {
                let hint = match nearest(attribute, APP_ATTRIBUTES.into_iter()) {
                    Some(near) => format!("did you mean `${{apps.{name}.{near}}}`?"),
                    None => format!("an app has {}", listed(APP_ATTRIBUTES.into_iter())),
                };
                complain(format!("`{whole}` names nothing that an app has"), hint);
            }
            Some(Some(app))
                if *attribute == "public_ip" && app.public.is_none() && !matches!(app.instance, InstanceChoice::Existing(_)) =>
            {
                let hint = format!("add `public: {{}}` to `apps.{name}`, or use `private_ip`");
                complain(format!("`{whole}` will not exist: the app is not public"), hint);
            }
            Some(_) => {}
        },
        ["outputs", name] if names.iter().any(|known| known == name) => {}
        ["outputs", name] => {
            let hint = match nearest(name, names.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `${{outputs.{near}}}`?"),
                None => format!("the outputs are {}", listed(names.iter().map(String::as_str))),
            };
            complain(format!("`{whole}` names no output of this manifest"), hint);
        }
        _ => complain(
            format!("`{whole}` refers to nothing that aliform knows"),
            "use `${apps.NAME.ATTRIBUTE}` or `${outputs.NAME}`".to_owned(),
        ),
    }
}

/// The circles among outputs, each once, starting with the name that comes first in it.
fn cycles(outputs: &BTreeMap<String, Located<Template>>) -> Vec<Vec<&str>> {
    let targets = |name: &str| -> Vec<&str> {
        let parts = outputs.get(name).map_or(&[][..], |template| &template.parts);
        let targets = parts.iter().filter_map(|part| match part {
            Part::Reference { path } if path.len() == 2 && path[0] == "outputs" => Some(path[1].as_str()),
            _ => None,
        });
        targets.filter_map(|target| outputs.get_key_value(target).map(|(name, _)| name.as_str())).collect()
    };
    let mut found = Vec::new();
    // The way walked so far, each step with what is left to try; kept by hand, since chains can be long.
    let mut done: BTreeMap<&str, bool> = BTreeMap::new();
    for start in outputs.keys() {
        if done.contains_key(start.as_str()) {
            continue;
        }
        done.insert(start, false);
        let mut way = vec![(start.as_str(), targets(start))];
        while let Some((name, left)) = way.last_mut() {
            let Some(next) = left.pop() else {
                done.insert(name, true);
                way.pop();
                continue;
            };
            match done.get(next) {
                None => {
                    done.insert(next, false);
                    way.push((next, targets(next)));
                }
                Some(false) => {
                    let mut cycle: Vec<&str> = way.iter().map(|(name, _)| *name).skip_while(|name| *name != next).collect();
                    let first = (0..cycle.len()).min_by_key(|i| cycle[*i]).unwrap_or(0);
                    cycle.rotate_left(first);
                    found.push(cycle);
                }
                Some(true) => {}
            }
        }
    }
    found
}
