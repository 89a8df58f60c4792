//! The language as a JSON Schema, made from the same table that the reader follows. It may accept more than the
//! reader does, since a schema can't look at files or compare values; it must never accept less.

use serde_json::{Map, Value as Json, json};

use super::language::{Field, MANIFEST, Shape, Table};

/// The whole schema.
pub(super) fn document() -> Json {
    let mut definitions = Map::new();
    let mut document = table(&MANIFEST, &mut definitions);
    document.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    document.insert("title".to_owned(), json!("aliform manifest, version 1"));
    document.insert("$defs".to_owned(), Json::Object(definitions));
    Json::Object(document)
}

fn table(table: &'static Table, definitions: &mut Map<String, Json>) -> Map<String, Json> {
    let properties: Map<String, Json> = table.fields.iter().map(|entry| (entry.key.to_owned(), field(entry, definitions))).collect();
    let required: Vec<&str> = table.fields.iter().filter(|field| field.required).map(|field| field.key).collect();
    let mut schema = Map::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("description".to_owned(), json!(table.about));
    schema.insert("additionalProperties".to_owned(), json!(false));
    schema.insert("properties".to_owned(), Json::Object(properties));
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    let excluded = exclusions(table.groups);
    if !excluded.is_empty() {
        schema.insert("allOf".to_owned(), Json::Array(excluded));
    }
    if table.needs_group {
        let each: Vec<Json> = table.groups.iter().flat_map(|group| group.iter()).map(|key| json!({ "required": [key] })).collect();
        schema.insert("anyOf".to_owned(), Json::Array(each));
    }
    schema
}

/// Says for each two keys of different groups that they can't both be there.
fn exclusions(groups: &[&[&str]]) -> Vec<Json> {
    let mut excluded = Vec::new();
    for (i, group) in groups.iter().enumerate() {
        for other in groups[i + 1..].iter().flat_map(|group| group.iter()) {
            excluded.extend(group.iter().map(|key| json!({ "not": { "required": [key, other] } })));
        }
    }
    excluded
}

fn field(field: &'static Field, definitions: &mut Map<String, Json>) -> Json {
    let mut schema = shape(&field.shape, definitions);
    if let Json::Object(map) = &mut schema {
        map.insert("description".to_owned(), json!(field.about));
        if let Some(default) = field.default.and_then(|text| serde_json::from_str::<Json>(text).ok()) {
            map.insert("default".to_owned(), default);
        }
    }
    schema
}

fn shape(shape_of: &'static Shape, definitions: &mut Map<String, Json>) -> Json {
    match shape_of {
        Shape::Integer { least, most } if least == most => json!({ "const": least }),
        Shape::Integer { least, most } => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::Word { words, .. } => json!({ "enum": words }),
        Shape::Text(format) if format.pattern.is_empty() => json!({ "type": "string", "examples": [format.example] }),
        Shape::Text(format) => json!({ "type": "string", "pattern": format.pattern, "examples": [format.example] }),
        Shape::Plain => json!({ "type": ["string", "number", "boolean"] }),
        Shape::Table(inner) => {
            define(inner, definitions);
            json!({ "$ref": format!("#/$defs/{}", inner.name) })
        }
        Shape::Map { names, values } => json!({
            "type": "object",
            "propertyNames": { "pattern": names.pattern },
            "additionalProperties": shape(values, definitions),
        }),
        Shape::List { items, least } => json!({ "type": "array", "items": shape(items, definitions), "minItems": least }),
        Shape::Either(scalar, inner) => {
            define(inner, definitions);
            json!({ "anyOf": [shape(scalar, definitions), { "$ref": format!("#/$defs/{}", inner.name) }] })
        }
    }
}

fn define(inner: &'static Table, definitions: &mut Map<String, Json>) {
    if !definitions.contains_key(inner.name) {
        let made = table(inner, definitions);
        definitions.insert(inner.name.to_owned(), Json::Object(made));
    }
}
