//! One struct for each call: the shape that all RPC and ROA calls share, and how a struct becomes parameters.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value as Json;

use super::call::{Call, Cloud, Product, Repeat};
use super::error::ApiError;

/// An RPC or ROA call. From the struct follow its wire form, its permission and whether it may be repeated.
pub trait Api: Serialize + Sync {
    /// Who answers it.
    const PRODUCT: Product;
    /// Its name, `RunInstances`.
    const ACTION: &'static str;
    /// Whether it may be sent again when no answer came.
    const REPEAT: Repeat;
    /// ROA: method and path, `GET /clusters/{cluster_id}`. Fields that the path names go there; of the others those of a
    /// `POST` or `PUT` are the JSON body, unless a field `body` is all of it, and all others are the query.
    const ROUTE: Option<&'static str> = None;
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

/// Declares that a struct is a ROA call.
macro_rules! roa {
    ($($request:ident => $response:ty, $product:ident, $repeat:ident, $route:literal;)*) => {$(
        impl $crate::cloud::api::Api for $request {
            const PRODUCT: $crate::cloud::call::Product = $crate::cloud::call::Product::$product;
            const ACTION: &'static str = stringify!($request);
            const REPEAT: $crate::cloud::call::Repeat = $crate::cloud::call::Repeat::$repeat;
            const ROUTE: Option<&'static str> = Some($route);
            type Response = $response;
        }
    )*};
}
pub(crate) use roa;

/// Sends `api` to the endpoint of `region` and reads the answer.
pub async fn ask<A: Api>(cloud: &dyn Cloud, region: &str, api: &A) -> Result<A::Response, ApiError> {
    let answer = cloud.send(call_of(region, api)).await?;
    // Some ROA calls answer nothing at all.
    let body: &[u8] = if answer.body.is_empty() && A::ROUTE.is_some() { b"{}" } else { &answer.body };
    serde_json::from_slice(body).map_err(|error| ApiError::Unreadable { action: A::ACTION, reason: error.to_string() })
}

/// The call that `api` is, every parameter where the official SDKs send it: for RPC all in the query.
pub fn call_of<A: Api>(region: &str, api: &A) -> Call {
    let mut call = Call {
        product: A::PRODUCT,
        action: A::ACTION,
        region: region.to_owned(),
        method: http::Method::POST,
        bucket: None,
        path: "/".to_owned(),
        query: Vec::new(),
        headers: Vec::new(),
        body: Bytes::new(),
        repeat: A::REPEAT,
    };
    // A struct of plain fields always has a JSON form; a failure here would be a bug in the struct.
    let json = serde_json::to_value(api).unwrap_or_default();
    match A::ROUTE.and_then(|route| route.split_once(' ')) {
        None => flatten("", &json, &mut call.query),
        Some((method, path)) => fill_route(&mut call, method, path, json),
    }
    call
}

/// Puts the fields of a ROA call where its route wants them.
fn fill_route(call: &mut Call, method: &str, path: &str, json: Json) {
    let Json::Object(mut fields) = json else { return };
    fields.retain(|_, value| !value.is_null());
    let place = |part: &str| match part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        Some(name) => fields.remove(name).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default(),
        None => part.to_owned(),
    };
    call.path = path.split('/').map(place).collect::<Vec<_>>().join("/");
    call.method = http::Method::from_bytes(method.as_bytes()).unwrap_or_default();
    // A fixed address is the same for all regions: the header tells them apart there, as the official CLI sends it.
    call.headers.push(("x-acs-region-id".to_owned(), call.region.clone()));
    let body = match fields.remove("body") {
        Some(body) => Some(body),
        None if call.method == http::Method::POST || call.method == http::Method::PUT => Some(Json::Object(std::mem::take(&mut fields))),
        None => None,
    };
    if let Some(body) = body {
        call.headers.push(("content-type".to_owned(), "application/json; charset=utf-8".to_owned()));
        call.body = Bytes::from(body.to_string());
    }
    flatten("", &Json::Object(fields), &mut call.query);
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

    #[derive(Serialize)]
    struct PutThing {
        thing_id: &'static str,
        qualifier: Option<&'static str>,
        body: Option<Json>,
        size: u32,
    }
    impl Api for PutThing {
        const PRODUCT: Product = Product::Fc;
        const ACTION: &'static str = "PutThing";
        const REPEAT: Repeat = Repeat::Safe;
        const ROUTE: Option<&'static str> = Some("PUT /v1/things/{thing_id}/size");
        type Response = Json;
    }

    #[test]
    fn a_route_takes_fields_into_path_body_and_query() {
        let call = call_of("cn-beijing", &PutThing { thing_id: "a b", qualifier: None, body: None, size: 2 });
        assert_eq!((call.method.as_str(), call.path.as_str(), &call.body[..]), ("PUT", "/v1/things/a b/size", &br#"{"size":2}"#[..]));
        assert!(call.query.is_empty() && call.headers.contains(&("x-acs-region-id".to_owned(), "cn-beijing".to_owned())));
        let call = call_of("cn-beijing", &PutThing { thing_id: "a", qualifier: Some("LATEST"), body: Some(json!({ "x": 1 })), size: 2 });
        assert_eq!(&call.body[..], br#"{"x":1}"#);
        assert_eq!(call.query, [("qualifier".to_owned(), "LATEST".to_owned()), ("size".to_owned(), "2".to_owned())]);
    }

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
