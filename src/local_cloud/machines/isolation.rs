//! How far machines are isolated on this host, in words that a user understands. It tells; it decides nothing.

/// What keeps machines apart from the host and from each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Isolation {
    /// Whether machines have namespaces: own processes, own network, own files.
    pub namespaces: bool,
    /// What is not isolated, each in one phrase.
    pub missing: Vec<String>,
}

impl Isolation {
    /// With namespaces; `missing` is what the probe found besides, `limits` why there are no limits.
    pub(super) fn with_namespaces(mut missing: Vec<String>, limits: Option<String>) -> Isolation {
        missing.push(
            "reading: programs in a machine can read what you can read, save `/root`, `/tmp`, `/var`, `/run` and other machines".to_owned(),
        );
        missing.extend(limits);
        Isolation { namespaces: true, missing }
    }

    /// Without, and why.
    pub(super) fn without_namespaces(reason: &str, limits: Option<String>) -> Isolation {
        let mut missing = vec![
            format!("namespaces are not available ({reason}): machines are plain process groups"),
            "files: programs in a machine can change whatever you can change; their own folder is in `ALIFORM_ROOT`".to_owned(),
            "network: all machines share your ports, and security groups close nothing".to_owned(),
            "processes: a machine sees yours, and runs as you".to_owned(),
        ];
        missing.extend(limits);
        Isolation { namespaces: false, missing }
    }
}
