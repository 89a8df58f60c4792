//! One struct for each call: the shape that all RPC calls share, and how a struct becomes parameters.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value as Json;

use super::call::{Call, Cloud, Product, Repeat};
use super::error::ApiError;

/// An RPC call. From the struct follow its wire form, its permission and whether it may be repeated.
pub trait Api: Serialize + Sync {
    /// Who answers it.
    const PRODUCT: Product;
    /// Its name, `RunInstances`.
    const ACTION: &'static str;
    /// Whether it may be sent again when no answer came.
    const REPEAT: Repeat;
    /// What it answers.
    type Response: DeserializeOwned;
}

/// Declares that a struct is an RPC call.
macro_rules! rpc {
    ($($request:ident => $response:ty, $product:ident, $repeat:ident;)*) => {$(
        impl $crate::cloud::api::Api for $request {
            const PRODUCT: $crate::cloud::call::Product = $crate::cloud::call::Product::$product;
            const ACTION: &'static str = stringify!($request);
            const REPEAT: $crate::cloud::call::Repeat = $crate::cloud::call::Repeat::$repeat;
            type Response = $response;
        }
    )*};
}
pub(crate) use rpc;

/// Sends `api` to the endpoint of `region` and reads the answer.
pub async fn ask<A: Api>(cloud: &dyn Cloud, region: &str, api: &A) -> Result<A::Response, ApiError> {
    let answer = cloud.send(call_of(region, api)).await?;
    serde_json::from_slice(&answer.body).map_err(|error| ApiError::Unreadable { action: A::ACTION, reason: error.to_string() })
}

/// The call that `api` is, every parameter in the query as the official SDKs send them.
pub fn call_of<A: Api>(region: &str, api: &A) -> Call {
    let mut query = Vec::new();
    // A struct of plain fields always has a JSON form; a failure here would be a bug in the struct.
    if let Ok(json) = serde_json::to_value(api) {
        flatten("", &json, &mut query);
    }
    Call {
        product: A::PRODUCT,
        action: A::ACTION,
        region: region.to_owned(),
        method: http::Method::POST,
        bucket: None,
        path: "/".to_owned(),
        query,
        headers: Vec::new(),
        body: Bytes::new(),
        repeat: A::REPEAT,
    }
}

/// RPC flattening: lists count from 1, levels are joined by dots, null is left out, the empty text is kept.
fn flatten(prefix: &str, json: &Json, out: &mut Vec<(String, String)>) {
    let name = |key: &str| if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
    match json {
        Json::Null => {}
        Json::Object(map) => map.iter().for_each(|(key, value)| flatten(&name(key), value, out)),
        Json::Array(items) => items.iter().enumerate().for_each(|(i, item)| flatten(&name(&(i + 1).to_string()), item, out)),
        Json::String(text) => out.push((prefix.to_owned(), text.clone())),
        Json::Bool(value) => out.push((prefix.to_owned(), value.to_string())),
        Json::Number(number) => out.push((prefix.to_owned(), number.to_string())),
    }
}

/// A list that travels as one JSON text, `["i-1","i-2"]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JsonList(pub Vec<String>);

impl Serialize for JsonList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Json::from(self.0.clone()))
    }
}

/// A list that travels as one text with commas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommaList(pub Vec<String>);

impl Serialize for CommaList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.join(","))
    }
}

macro_rules! schema_as_text {
    ($($type:ident),*) => {$(
        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                <String as schemars::JsonSchema>::json_schema(generator)
            }
        }
    )*};
}
schema_as_text!(JsonList, CommaList);

/// A tag as every product takes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Tag {
    /// The key.
    pub key: String,
    /// The value.
    #[serde(default)]
    pub value: String,
}

/// Reads a missing or null list as an empty one: answers leave some lists out.
pub(crate) fn list<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parameters_are_flattened_as_the_sdks_do() {
        let mut out = Vec::new();
        flatten(
            "",
            &json!({ "Amount": 2, "DryRun": false, "Tag": [{ "Key": "owner", "Value": "a b" }, { "Key": "empty", "Value": "" }], "SystemDisk": { "Size": 40 }, "None": null, "Ids": [] }),
            &mut out,
        );
        let pairs: Vec<String> = out.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(
            pairs,
            ["Amount=2", "DryRun=false", "SystemDisk.Size=40", "Tag.1.Key=owner", "Tag.1.Value=a b", "Tag.2.Key=empty", "Tag.2.Value="]
        );
    }
}
