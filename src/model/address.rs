//! The name of a resource inside a stack: its kind and its own name, `instance.web-1`.

use std::fmt;
use std::str::FromStr;

/// The kinds of resource that a stack is made of, in the order they are usually created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A virtual private network.
    Vpc,
    /// A subnet of a VPC in one zone.
    VSwitch,
    /// A stateful firewall around instances.
    SecurityGroup,
    /// A virtual machine (ECS).
    Instance,
    /// An elastic public address.
    Eip,
    /// An OSS bucket.
    Bucket,
    /// The packed source of an application: one object in a bucket.
    Bundle,
    /// A script run once on an instance through Cloud Assistant.
    Command,
    /// A version of an application running on an instance.
    Release,
    /// One run of a job's script on an instance.
    Run,
    /// A function (Function Compute).
    Function,
    /// One run of a job's script by a function.
    Invocation,
}

impl Kind {
    /// Every kind, in creation order.
    pub const ALL: [Kind; 12] = [
        Kind::Vpc,
        Kind::VSwitch,
        Kind::SecurityGroup,
        Kind::Instance,
        Kind::Eip,
        Kind::Bucket,
        Kind::Bundle,
        Kind::Command,
        Kind::Release,
        Kind::Run,
        Kind::Function,
        Kind::Invocation,
    ];

    /// The word used in addresses and machine output, `security_group`.
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Vpc => "vpc",
            Kind::VSwitch => "vswitch",
            Kind::SecurityGroup => "security_group",
            Kind::Instance => "instance",
            Kind::Eip => "eip",
            Kind::Bucket => "bucket",
            Kind::Bundle => "bundle",
            Kind::Command => "command",
            Kind::Release => "release",
            Kind::Run => "run",
            Kind::Function => "function",
            Kind::Invocation => "invocation",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// A text that is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a resource address such as `instance.web-1`")]
pub struct AddressError {
    /// What was given.
    pub text: String,
}

impl FromStr for Kind {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Kind::ALL.into_iter().find(|kind| kind.word() == text).ok_or_else(|| AddressError { text: text.to_owned() })
    }
}

/// `kind.name`, unique inside a stack. Ordered by kind, then by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// What it is.
    pub kind: Kind,
    /// Its own name: lower-case letters, digits and hyphens.
    pub name: String,
}

impl Address {
    /// An address from its parts; `name` is one the manifest has already checked.
    pub fn new(kind: Kind, name: impl Into<String>) -> Self {
        Address { kind, name: name.into() }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.kind.word(), self.name))
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError { text: text.to_owned() };
        let (kind, name) = text.split_once('.').ok_or_else(wrong)?;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || !name.chars().all(plain) {
            return Err(wrong());
        }
        Ok(Address { kind: kind.parse().map_err(|_| wrong())?, name: name.to_owned() })
    }
}

macro_rules! serde_as_text {
    ($($type:ty),*) => {$(
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <String as serde::Deserialize>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
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
pub(crate) use serde_as_text;

serde_as_text!(Kind, Address);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_its_text() {
        for kind in Kind::ALL {
            let address = Address::new(kind, "web-1");
            assert_eq!(address.to_string().parse(), Ok(address));
        }
    }

    #[test]
    fn a_text_that_is_no_address_is_refused() {
        for text in ["", "vpc", "vpc.", "vpx.main", "vpc.Main", "vpc.a.b", ".main"] {
            assert!(text.parse::<Address>().is_err(), "{text:?} was taken");
        }
    }
}
