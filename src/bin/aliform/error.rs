//! What a command can end with besides success: a kind, from which the exit code follows, a message and hints.

use aliform::model::diagnostic::Diagnostic;

/// Exit codes; they are promises.
pub(crate) const FAILED: u8 = 1;
pub(crate) const PENDING: u8 = 2;
pub(crate) const POLICY: u8 = 3;
pub(crate) const LOCKED: u8 = 4;
pub(crate) const PARTIAL: u8 = 5;
pub(crate) const USAGE: u8 = 64;
pub(crate) const INTERRUPTED: u8 = 130;

/// What the manifest is called that options were written into. Nobody can look at a place in it.
pub(crate) const OPTIONS: &str = "(the options of this run)";

/// A command that did not succeed.
#[derive(Debug)]
pub(crate) struct CommandError {
    /// The exit code.
    pub(crate) code: u8,
    /// What is wrong: a lower-case fragment. Empty if `diagnostics` say it all.
    pub(crate) message: String,
    /// Why, outermost first.
    pub(crate) causes: Vec<String>,
    /// What to do.
    pub(crate) hints: Vec<String>,
    /// Complaints about the manifest.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// The region in which what is asked for is sold out, if that is what is wrong.
    pub(crate) sold_out: Option<Box<str>>,
}

impl CommandError {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        CommandError { code, message: message.into(), causes: Vec::new(), hints: Vec::new(), diagnostics: Vec::new(), sold_out: None }
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        CommandError::new(FAILED, message)
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    #[must_use]
    pub(crate) fn because(mut self, cause: impl std::fmt::Display) -> Self {
        self.causes.push(cause.to_string());
        self
    }

    pub(crate) fn diagnostics(diagnostics: Vec<Diagnostic>) -> Self {
        CommandError { diagnostics, ..CommandError::new(FAILED, "") }
    }
}

impl From<aliform::state::error::StateError> for CommandError {
    fn from(error: aliform::state::error::StateError) -> Self {
        let code = if matches!(error, aliform::state::error::StateError::Locked { .. }) { LOCKED } else { FAILED };
        let mut hints = Vec::new();
        hints.extend(error.hint());
        CommandError { hints, ..CommandError::new(code, error.to_string()) }
    }
}

impl From<aliform::cloud::error::ApiError> for CommandError {
    fn from(error: aliform::cloud::error::ApiError) -> Self {
        CommandError::failed(error.to_string())
    }
}

impl From<aliform::resources::error::ResourceError> for CommandError {
    fn from(error: aliform::resources::error::ResourceError) -> Self {
        let hints = error.hint().into_iter().collect();
        CommandError { hints, ..CommandError::failed(error.to_string()) }
    }
}

impl From<aliform::apply::step::StepError> for CommandError {
    fn from(error: aliform::apply::step::StepError) -> Self {
        match error {
            aliform::apply::step::StepError::State(error) => error.into(),
            aliform::apply::step::StepError::Resource(error) => error.into(),
        }
    }
}

impl From<aliform::apply::run::ApplyError> for CommandError {
    fn from(error: aliform::apply::run::ApplyError) -> Self {
        match error {
            aliform::apply::run::ApplyError::State(error) => error.into(),
            aliform::apply::run::ApplyError::Graph(error) => CommandError::failed(error.to_string()),
        }
    }
}

impl From<aliform::plan::make::PlanError> for CommandError {
    fn from(error: aliform::plan::make::PlanError) -> Self {
        CommandError::failed(error.to_string())
    }
}

impl From<aliform::resolve::error::ResolveError> for CommandError {
    fn from(error: aliform::resolve::error::ResolveError) -> Self {
        if let aliform::resolve::error::ResolveError::Scripts(complaints) = error {
            return CommandError::diagnostics(complaints);
        }
        let sold_out = match &error {
            aliform::resolve::error::ResolveError::SoldOut { region, .. } => Some(region.as_str().into()),
            _ => None,
        };
        let Some(location) = error.location().cloned() else { return CommandError::failed(error.to_string()) };
        let hints = error.hint().into_iter().collect();
        let location = Some(location).filter(|location| location.file != OPTIONS);
        let complaint = Diagnostic { code: error.code(), message: error.to_string(), location, hints };
        CommandError { sold_out, ..CommandError::diagnostics(vec![complaint]) }
    }
}
