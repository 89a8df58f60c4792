//! What can go wrong between a good manifest and a graph of resources.

use crate::model::diagnostic::{Diagnostic, Location};
use crate::pricing::lookup::LookupError;
use crate::project::bundle::PackError;
use crate::project::detect::DetectError;

/// A manifest that can't be turned into resources.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// A question to the cloud failed.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// Nobody could tell how to run the source.
    #[error("the source of app `{app}` does not say how to run it: {source}")]
    Detect {
        /// Where the manifest names the source.
        location: Location,
        /// The application.
        app: String,
        /// Why not.
        source: Box<DetectError>,
    },
    /// The source can't be packed.
    #[error("the files of `{name}` can't be packed: {source}")]
    Pack {
        /// Where the manifest names the source.
        location: Location,
        /// The application or the job.
        name: String,
        /// Why not.
        source: Box<PackError>,
    },
    /// Something asked for can't be had.
    #[error("{message}")]
    Impossible {
        /// Where the manifest asks for it.
        location: Location,
        /// What: a lower-case fragment.
        message: String,
        /// What to do.
        hint: String,
    },
    /// What is asked for is sold out in the region.
    #[error("{message}")]
    SoldOut {
        /// Where the manifest asks for it.
        location: Box<Location>,
        /// The region.
        region: String,
        /// What: a lower-case fragment.
        message: String,
        /// What to do.
        hint: String,
    },
    /// Scripts that can't do what they are for.
    #[error("{}", .0.iter().map(|complaint| complaint.message.as_str()).collect::<Vec<_>>().join("; "))]
    Scripts(Vec<Diagnostic>),
}

/// Refuses scripts that there are complaints about.
pub(super) fn refused(complaints: Vec<Diagnostic>) -> Result<(), ResolveError> {
    if complaints.is_empty() { Ok(()) } else { Err(ResolveError::Scripts(complaints)) }
}

impl ResolveError {
    /// The place in the manifest it is about.
    pub fn location(&self) -> Option<&Location> {
        match self {
            ResolveError::Lookup(_) => None,
            ResolveError::SoldOut { location, .. } => Some(location),
            ResolveError::Scripts(complaints) => complaints.first()?.location.as_ref(),
            ResolveError::Detect { location, .. } | ResolveError::Pack { location, .. } | ResolveError::Impossible { location, .. } => {
                Some(location)
            }
        }
    }

    /// A stable name in kebab case.
    pub fn code(&self) -> &'static str {
        match self {
            ResolveError::Lookup(_) => "cloud",
            ResolveError::Detect { .. } => "source-not-understood",
            ResolveError::Pack { .. } => "source-not-packed",
            ResolveError::Impossible { .. } => "cannot-be-had",
            ResolveError::SoldOut { .. } => "sold-out",
            ResolveError::Scripts(complaints) => complaints.first().map_or("script", |complaint| complaint.code),
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            ResolveError::Impossible { hint, .. } | ResolveError::SoldOut { hint, .. } => Some(hint.clone()),
            ResolveError::Scripts(complaints) => complaints.first()?.hints.first().cloned(),
            ResolveError::Detect { .. } => Some("name `runtime:` or `start:` in the manifest".to_owned()),
            _ => None,
        }
    }
}
