//! What can go wrong while a resource is made, changed or taken away.

use crate::cloud::error::ApiError;

/// A step that did not reach its end.
#[derive(Debug, thiserror::Error)]
pub enum ResourceError {
    /// A call failed.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The cloud did not reach the state that was waited for.
    #[error("{what} was still `{status}` after {seconds} s; it may get there later: run `aliform apply` again")]
    TimedOut {
        /// The resource and what was awaited.
        what: String,
        /// The state seen last.
        status: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The resource went away while it was waited for.
    #[error("`{id}` disappeared while it was being made; the cloud withdrew it, most often because stock ran out")]
    Vanished {
        /// Its identifier.
        id: String,
    },
    /// A script on an instance did not succeed.
    #[error("{what} failed on `{instance}`: {ending}")]
    Script {
        /// Which script.
        what: String,
        /// Where.
        instance: String,
        /// `exit code 1`, `timed out after 60 s`.
        ending: String,
        /// The end of its output.
        output: String,
    },
    /// A spec or an attribute does not have the form its kind expects.
    #[error("{what} of `{address}` can't be read: {reason}")]
    Malformed {
        /// `spec` or `attributes`.
        what: &'static str,
        /// The resource.
        address: String,
        /// What is wrong.
        reason: String,
    },
    /// A value that the resource needs is not known when it should be.
    #[error("`{reference}` is not known yet")]
    StillPending {
        /// The missing attribute.
        reference: String,
    },
    /// A secret's source is empty.
    #[error("`{variable}` is not set in the environment, and `{address}` needs it")]
    SecretMissing {
        /// The environment variable.
        variable: String,
        /// The resource.
        address: String,
    },
    /// The files to upload are not those that were planned.
    #[error("the source of `{address}` changed since the plan: bundle `{digest}` can't be packed again")]
    BundleChanged {
        /// The resource.
        address: String,
        /// The digest that was planned.
        digest: String,
    },
    /// Something that aliform must not touch stands in the way.
    #[error("{0}")]
    InTheWay(String),
}

impl ResourceError {
    /// The output of a failed script, to look for the reason in.
    pub fn output(&self) -> Option<&str> {
        match self {
            ResourceError::Script { output, .. } => Some(output),
            _ => None,
        }
    }

    /// Whether nobody knows if the call happened.
    pub fn is_uncertain(&self) -> bool {
        matches!(self, ResourceError::Api(ApiError::Lost { .. } | ApiError::Unreadable { .. }))
    }
}
