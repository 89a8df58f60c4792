//! TLS: the local cloud's own certificate authority, the certificates it gives, and the same server behind TLS. Which
//! call a request is and what its sender may do is decided elsewhere.
//!
//! On disk, beside the world: `ca.pem` for whoever is to trust this cloud, and `ca.key`, which nobody else may read.

pub(crate) mod authority;
pub(crate) mod server;
pub(crate) mod subject;

use std::path::PathBuf;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The system said no.
    #[error("`{path}` can't be read or written")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A key or certificate can't be read or made.
    #[error("a certificate can't be made")]
    Certificate(#[from] rcgen::Error),
    /// What is to be spoken over them can't be set up.
    #[error("TLS can't be set up: {0}")]
    Setup(String),
}
