//! What can go wrong between a good manifest and a graph of resources.

use crate::model::diagnostic::Location;
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
    #[error("the source of app `{app}` can't be packed: {source}")]
    Pack {
        /// Where the manifest names the source.
        location: Location,
        /// The application.
        app: String,
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
    /// Jobs of that product are checked, not planned yet.
    #[error("job `{job}` can't be planned by this version: it would run on `{product}`")]
    JobsNotPlanned {
        /// Where it stands.
        location: Location,
        /// The job.
        job: String,
        /// The product that was named or chosen.
        product: &'static str,
    },
}

impl ResolveError {
    /// The place in the manifest it is about.
    pub fn location(&self) -> Option<&Location> {
        match self {
            ResolveError::Lookup(_) => None,
            ResolveError::Detect { location, .. }
            | ResolveError::Pack { location, .. }
            | ResolveError::Impossible { location, .. }
            | ResolveError::JobsNotPlanned { location, .. } => Some(location),
        }
    }

    /// A stable name in kebab case.
    pub fn code(&self) -> &'static str {
        match self {
            ResolveError::Lookup(_) => "cloud",
            ResolveError::Detect { .. } => "source-not-understood",
            ResolveError::Pack { .. } => "source-not-packed",
            ResolveError::Impossible { .. } => "cannot-be-had",
            ResolveError::JobsNotPlanned { .. } => "jobs-not-planned",
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            ResolveError::Impossible { hint, .. } => Some(hint.clone()),
            ResolveError::Detect { .. } => Some("name `runtime:` or `start:` in the manifest".to_owned()),
            ResolveError::JobsNotPlanned { .. } => {
                Some("`aliform validate` checks it; keep it in a manifest of its own until jobs are planned".to_owned())
            }
            _ => None,
        }
    }
}
