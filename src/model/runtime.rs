//! The runtimes an application can need on its machine.

use std::fmt;
use std::str::FromStr;

/// What runs an application. In the order that detection lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Runtime {
    /// CPython 3.
    Python,
    /// Node.js.
    Node,
    /// A Java virtual machine.
    Java,
    /// A program built by Go.
    Go,
    /// PHP.
    Php,
    /// Ruby.
    Ruby,
    /// .NET.
    Dotnet,
    /// A program built by Cargo.
    Rust,
    /// Files handed out as they are.
    Static,
    /// Containers.
    Docker,
    /// Nothing but what the system brings.
    Shell,
}

impl Runtime {
    /// Every runtime.
    pub const ALL: [Runtime; 11] = [
        Runtime::Python,
        Runtime::Node,
        Runtime::Java,
        Runtime::Go,
        Runtime::Php,
        Runtime::Ruby,
        Runtime::Dotnet,
        Runtime::Rust,
        Runtime::Static,
        Runtime::Docker,
        Runtime::Shell,
    ];

    /// The word for it in a manifest, `python`.
    pub const fn word(self) -> &'static str {
        match self {
            Runtime::Python => "python",
            Runtime::Node => "node",
            Runtime::Java => "java",
            Runtime::Go => "go",
            Runtime::Php => "php",
            Runtime::Ruby => "ruby",
            Runtime::Dotnet => "dotnet",
            Runtime::Rust => "rust",
            Runtime::Static => "static",
            Runtime::Docker => "docker",
            Runtime::Shell => "shell",
        }
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Runtime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Runtime::ALL.into_iter().find(|runtime| runtime.word() == text).ok_or_else(|| {
            let names: Vec<String> = Runtime::ALL.iter().map(|runtime| format!("`{runtime}`")).collect();
            format!("`{text}` is not a runtime; use one of {}", names.join(", "))
        })
    }
}

super::address::serde_as_text!(Runtime);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_survives_its_text() {
        for runtime in Runtime::ALL {
            assert_eq!(runtime.to_string().parse(), Ok(runtime));
        }
        assert!("perl".parse::<Runtime>().unwrap_err().contains("`python`, `node`"));
    }
}
