//! The differences between two specs, field by field.

use std::collections::BTreeMap;

use serde_json::Value as Json;

/// A field whose value differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its path, dots between levels.
    pub path: String,
    /// The value now, null if there is none.
    pub before: Json,
    /// The value wanted, null if it goes away.
    pub after: Json,
}

/// Every leaf of `json` by its path. A list is a leaf, and so is a pending value.
fn leaves<'a>(prefix: &str, json: &'a Json, out: &mut BTreeMap<String, &'a Json>) {
    match json {
        Json::Object(map) if crate::model::value::reference_in(json).is_none() => {
            for (key, value) in map {
                let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                leaves(&path, value, out);
            }
        }
        _ => {
            out.insert(prefix.to_owned(), json);
        }
    }
}

/// Where `before` and `after` differ, in the order of the paths. Null and missing are the same.
pub fn differences(before: &Json, after: &Json) -> Vec<Difference> {
    if before == after {
        // Most of a large plan.
        return Vec::new();
    }
    let (mut old, mut new) = (BTreeMap::new(), BTreeMap::new());
    leaves("", before, &mut old);
    leaves("", after, &mut new);
    let mut paths: Vec<&String> = old.keys().chain(new.keys()).collect();
    paths.sort();
    paths.dedup();
    let value = |side: &BTreeMap<String, &Json>, path: &str| side.get(path).map_or(Json::Null, |json| (*json).clone());
    paths
        .into_iter()
        .map(|path| Difference { path: path.clone(), before: value(&old, path), after: value(&new, path) })
        .filter(|difference| difference.before != difference.after)
        .collect()
}

/// The value at a path that `differences` named.
pub fn at<'a>(json: &'a Json, path: &str) -> &'a Json {
    let mut found = BTreeMap::new();
    leaves("", json, &mut found);
    found.get(path).copied().unwrap_or(&Json::Null)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn leaves_differ_by_path_and_lists_as_a_whole() {
        let before = json!({ "name": "a", "disk": { "size": 40, "level": null }, "rules": [1, 2] });
        let after = json!({ "name": "a", "disk": { "size": 50 }, "rules": [1], "new": { "$pending": "vpc.main.id" } });
        let paths: Vec<(String, Json)> = differences(&before, &after).into_iter().map(|d| (d.path, d.after)).collect();
        assert_eq!(
            paths,
            [("disk.size".into(), json!(50)), ("new".into(), json!({ "$pending": "vpc.main.id" })), ("rules".into(), json!([1]))]
        );
    }
}
