//! A value that is known now, or one that a resource still to be created will bring.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value as Json;

use super::address::{Address, AddressError};

/// The key under which a pending value stands in JSON.
const PENDING: &str = "$pending";

/// Points at an attribute of another resource: `instance.web-1` and `public_ip`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// The resource that brings the value.
    pub address: Address,
    /// The name of its attribute; `id` is the identifier the cloud gave.
    pub attribute: String,
}

impl Reference {
    /// A reference to `attribute` of `address`.
    pub fn new(address: Address, attribute: impl Into<String>) -> Self {
        Reference { address, attribute: attribute.into() }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.address, self.attribute)
    }
}

impl std::str::FromStr for Reference {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError { text: text.to_owned() };
        let (address, attribute) = text.rsplit_once('.').ok_or_else(wrong)?;
        Ok(Reference { address: address.parse()?, attribute: attribute.to_owned() })
    }
}

/// Known, or known after apply.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value<T> {
    /// The value itself.
    Known(T),
    /// The attribute that will bring it.
    Pending(Reference),
}

impl<T> Value<T> {
    /// The value, if it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Value::Known(value) => Some(value),
            Value::Pending(_) => None,
        }
    }
}

impl<T> From<T> for Value<T> {
    fn from(value: T) -> Self {
        Value::Known(value)
    }
}

impl<T: Serialize> Serialize for Value<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Known(value) => value.serialize(serializer),
            Value::Pending(reference) => serializer.collect_map([(PENDING, reference.to_string())]),
        }
    }
}

impl<'de, T: serde::de::DeserializeOwned> Deserialize<'de> for Value<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let json = Json::deserialize(deserializer)?;
        match pending(&json) {
            Some(text) => text.parse().map(Value::Pending).map_err(D::Error::custom),
            None => serde_json::from_value(json).map(Value::Known).map_err(D::Error::custom),
        }
    }
}

fn pending(json: &Json) -> Option<&str> {
    match json {
        Json::Object(map) if map.len() == 1 => map.get(PENDING)?.as_str(),
        _ => None,
    }
}

/// The reference that `json` stands for, if it is a pending value.
pub fn reference_in(json: &Json) -> Option<Reference> {
    pending(json)?.parse().ok()
}

/// Every reference inside `json`, in document order.
pub fn references_in(json: &Json) -> Vec<Reference> {
    match json {
        Json::Array(items) => items.iter().flat_map(references_in).collect(),
        Json::Object(map) => match reference_in(json) {
            Some(reference) => vec![reference],
            None => map.values().flat_map(references_in).collect(),
        },
        _ => Vec::new(),
    }
}

/// Replaces each reference that `look_up` knows by its value; the others stay pending.
pub fn fill(json: &mut Json, look_up: &dyn Fn(&Reference) -> Option<Json>) {
    if let Some(reference) = reference_in(json) {
        if let Some(value) = look_up(&reference) {
            *json = value;
        }
        return;
    }
    match json {
        Json::Array(items) => items.iter_mut().for_each(|item| fill(item, look_up)),
        Json::Object(map) => map.values_mut().for_each(|value| fill(value, look_up)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::address::Kind;

    #[test]
    fn a_pending_value_survives_json_and_can_be_filled() {
        let reference = Reference::new(Address::new(Kind::Vpc, "main"), "id");
        let value: Value<String> = Value::Pending(reference.clone());
        let mut json = serde_json::json!({ "vpc": serde_json::to_value(&value).unwrap() });
        assert_eq!(serde_json::from_value::<Value<String>>(json["vpc"].clone()).unwrap(), value);
        assert_eq!(references_in(&json), [reference]);
        fill(&mut json, &|_| Some("vpc-1".into()));
        assert_eq!(json, serde_json::json!({ "vpc": "vpc-1" }));
    }
}
