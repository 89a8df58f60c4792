//! Values that must never be written down: not to a file, a log, an event or a command line.

use std::fmt;

/// A secret text. It shows itself as `***` and cannot be serialised; `reveal` is the only way to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text itself, to be handed to the cloud and nowhere else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where a secret is read from at apply, `env:API_KEY`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretSource {
    /// The name of the environment variable.
    pub variable: String,
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "env:{}", self.variable)
    }
}

impl std::str::FromStr for SecretSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let variable = text.strip_prefix("env:").ok_or_else(|| format!("`{text}` is not a source such as `env:API_KEY`"))?;
        let fits = |(i, c): (usize, char)| c == '_' || c.is_ascii_alphabetic() || (i > 0 && c.is_ascii_digit());
        if variable.is_empty() || !variable.chars().enumerate().all(fits) {
            return Err(format!("`{variable}` is not the name of an environment variable"));
        }
        Ok(SecretSource { variable: variable.to_owned() })
    }
}

super::address::serde_as_text!(SecretSource);

/// Hands out secrets at the moment they are needed.
pub trait Secrets: Send + Sync {
    /// The secret, or `None` if the source holds nothing.
    fn read(&self, source: &SecretSource) -> Option<Secret>;
}
