//! Patches: JSON patch, JSON merge patch, and strategic merge patch, which knows by what the lists of pods are merged.

use serde_json::{Value as Json, json};

use crate::local_cloud::kubernetes::status::Refusal;

/// Applies a patch of that content type.
pub(crate) fn apply(content_type: &str, object: &Json, patch: &[u8]) -> Result<Json, Refusal> {
    let patch: Json = serde_json::from_slice(patch).map_err(|error| Refusal::bad(format!("error decoding patch: {error}")))?;
    let mut patched = object.clone();
    match content_type.split(';').next().unwrap_or_default().trim() {
        "application/json-patch+json" => {
            let steps = patch.as_array().ok_or_else(|| Refusal::bad("error decoding patch: a list is expected"))?;
            steps.iter().try_for_each(|step| one(&mut patched, step))?;
        }
        "application/merge-patch+json" => merge(&mut patched, &patch, false),
        "application/strategic-merge-patch+json" => merge(&mut patched, &patch, true),
        other => {
            let message = format!(
                "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, \
                 application/merge-patch+json, application/strategic-merge-patch+json (not {other})"
            );
            return Err(Refusal::new(415, "UnsupportedMediaType", message));
        }
    }
    Ok(patched)
}

/// By what the elements of a list are the same, in the objects served here.
fn merge_key(list: &str) -> Option<&'static str> {
    Some(match list {
        "containers" | "initContainers" | "env" | "volumes" | "imagePullSecrets" | "secrets" => "name",
        "volumeMounts" => "mountPath",
        "ports" => "containerPort",
        "ownerReferences" => "uid",
        "conditions" => "type",
        _ => return None,
    })
}

fn merge(target: &mut Json, patch: &Json, strategic: bool) {
    let Some(fields) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() || (strategic && patch["$patch"] == "replace") {
        *target = json!({});
    }
    for (name, value) in fields.iter().filter(|(name, _)| !(strategic && name.starts_with('$'))) {
        if value.is_null() {
            target.as_object_mut().map(|target| target.remove(name));
        } else if strategic && value.is_array() && merge_key(name).is_some() && target[name].is_array() {
            merge_list(&mut target[name], value, merge_key(name).unwrap_or_default());
        } else if strategic && name == "finalizers" && target[name].is_array() {
            let known = target[name].as_array().cloned().unwrap_or_default();
            let new = value.as_array().into_iter().flatten().filter(|item| !known.contains(item)).cloned();
            target[name] = known.iter().cloned().chain(new).collect();
        } else {
            merge(&mut target[name], value, strategic);
        }
    }
    let removed = if strategic { fields.get("$deleteFromPrimitiveList/finalizers").and_then(Json::as_array) } else { None };
    if let (Some(removed), Some(list)) = (removed, target.get_mut("finalizers").and_then(Json::as_array_mut)) {
        list.retain(|item| !removed.contains(item));
    }
}

fn merge_list(target: &mut Json, patch: &Json, key: &str) {
    let (Some(list), Some(elements)) = (target.as_array_mut(), patch.as_array()) else { return };
    for element in elements {
        let place = list.iter().position(|known| known[key] == element[key]);
        match (place, element["$patch"] == "delete") {
            (Some(place), true) => drop(list.remove(place)),
            (Some(place), false) => merge(&mut list[place], element, true),
            (None, true) => {}
            (None, false) => list.push(element.clone()),
        }
    }
}

/// One step of a JSON patch (RFC 6902).
fn one(object: &mut Json, step: &Json) -> Result<(), Refusal> {
    let path = step["path"].as_str().unwrap_or_default();
    let failed = || Refusal::new(422, "Invalid", format!("the server rejected our request due to an error in our request: `{path}`"));
    let taken = |object: &mut Json, path: &str| take(object, path).ok_or_else(failed);
    match step["op"].as_str().unwrap_or_default() {
        "test" => (object.pointer(path) == Some(&step["value"])).then_some(()).ok_or_else(failed),
        "remove" => taken(object, path).map(drop),
        "add" => put(object, path, step["value"].clone()).ok_or_else(failed),
        "replace" => object.pointer_mut(path).map(|place| *place = step["value"].clone()).ok_or_else(failed),
        "copy" | "move" => {
            let from = step["from"].as_str().unwrap_or_default();
            let value = if step["op"] == "move" { taken(object, from)? } else { object.pointer(from).cloned().ok_or_else(failed)? };
            put(object, path, value).ok_or_else(failed)
        }
        _ => Err(failed()),
    }
}

fn parent<'a>(object: &'a mut Json, path: &str) -> Option<(&'a mut Json, String)> {
    let (parent, last) = path.rsplit_once('/')?;
    Some((object.pointer_mut(parent)?, last.replace("~1", "/").replace("~0", "~")))
}

fn take(object: &mut Json, path: &str) -> Option<Json> {
    let (parent, last) = parent(object, path)?;
    match parent {
        Json::Object(fields) => fields.remove(&last),
        Json::Array(list) => last.parse().ok().filter(|place| *place < list.len()).map(|place| list.remove(place)),
        _ => None,
    }
}

fn put(object: &mut Json, path: &str, value: Json) -> Option<()> {
    if path.is_empty() {
        *object = value;
        return Some(());
    }
    let (parent, last) = parent(object, path)?;
    match parent {
        Json::Object(fields) => drop(fields.insert(last, value)),
        Json::Array(list) if last == "-" => list.push(value),
        Json::Array(list) => {
            let place = last.parse().ok().filter(|place: &usize| *place <= list.len())?;
            list.insert(place, value);
        }
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patched(kind: &str, object: Json, patch: Json) -> Json {
        apply(&format!("application/{kind}+json"), &object, patch.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn the_three_kinds_of_patches_do_what_they_say() {
        let object = || json!({ "a": { "b": 1, "c": 2 }, "containers": [{ "name": "x", "image": "i" }, { "name": "y" }] });
        let merged = patched("merge-patch", object(), json!({ "a": { "b": null, "d": 3 }, "containers": [{ "name": "z" }] }));
        assert_eq!(merged, json!({ "a": { "c": 2, "d": 3 }, "containers": [{ "name": "z" }] }));
        let strategic = json!({ "containers": [{ "name": "x", "image": "j" }, { "name": "y", "$patch": "delete" }, { "name": "z" }] });
        let merged = patched("strategic-merge-patch", object(), strategic);
        assert_eq!(merged["containers"], json!([{ "name": "x", "image": "j" }, { "name": "z" }]));
        let steps = json!([
            { "op": "test", "path": "/a/b", "value": 1 },
            { "op": "add", "path": "/containers/-", "value": { "name": "z" } },
            { "op": "move", "from": "/a/c", "path": "/a/e~1f" },
            { "op": "remove", "path": "/a/b" },
        ]);
        let merged = patched("json-patch", object(), steps);
        assert_eq!(merged["a"], json!({ "e/f": 2 }));
        assert_eq!(merged["containers"].as_array().unwrap().len(), 3);
        let wrong = json!([{ "op": "replace", "path": "/nothing/here", "value": 1 }]).to_string();
        assert_eq!(apply("application/json-patch+json", &object(), wrong.as_bytes()).unwrap_err().code, 422);
        assert_eq!(apply("application/apply-patch+yaml", &object(), b"{}").unwrap_err().code, 415);
    }
}
