//! What can go wrong with a call.

use std::time::Duration;

/// A call that brought no usable answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The service answered with an error.
    #[error("{action} was refused: {code}: {message} (HTTP {status}, RequestId {request_id})")]
    Refused {
        /// The API's name.
        action: &'static str,
        /// The HTTP status.
        status: u16,
        /// The service's error code, verbatim.
        code: String,
        /// The service's message, verbatim.
        message: String,
        /// What support asks for; empty if the answer had none.
        request_id: String,
        /// How long the service asks to wait.
        retry_after: Option<Duration>,
    },
    /// No answer came. The call may or may not have happened.
    #[error("{action} got no answer: {reason}")]
    Lost {
        /// The API's name.
        action: &'static str,
        /// What the transport said.
        reason: String,
        /// Whether the request may have left. If not, even an unsafe call may be sent again.
        sent: bool,
    },
    /// The answer is not of the documented form.
    #[error("{action} got an answer that can't be read: {reason}")]
    Unreadable {
        /// The API's name.
        action: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// There is nothing to sign with.
    #[error("{0}")]
    Credentials(String),
}

impl ApiError {
    /// The service's error code, if the service spoke.
    pub fn code(&self) -> Option<&str> {
        match self {
            ApiError::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Whether the code is one of `codes`.
    pub fn is(&self, codes: &[&str]) -> bool {
        self.code().is_some_and(|code| codes.contains(&code))
    }

    /// Whether the service says that the thing asked for is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, ApiError::Refused { status, code, .. } if *status == 404 || code.contains("NotFound") || code.starts_with("NoSuch"))
    }

    /// Whether the service asks to slow down. Told by the code's prefix, since most
    /// products answer it with HTTP 400; 429 says it by itself.
    pub fn is_throttling(&self) -> bool {
        match self {
            ApiError::Refused { status, code, .. } => *status == 429 || code.starts_with("Throttling") || code == "Rejected.Throttling",
            _ => false,
        }
    }

    /// Whether the service failed by itself and may answer next time.
    pub fn is_server_fault(&self) -> bool {
        match self {
            ApiError::Refused { status, code, .. } => {
                *status >= 500
                    || matches!(code.as_str(), "ServiceUnavailable" | "SystemBusy" | "UnknownError")
                    || code.starts_with("InternalError")
            }
            _ => false,
        }
    }
}
