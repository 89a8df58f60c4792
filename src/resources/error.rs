//! What can go wrong while a resource is made, changed or taken away.

use crate::cloud::error::ApiError;
use crate::cloud::kubernetes::KubernetesError;
use crate::cloud::scope::{Scope, quota};

/// Refusals of a call whose token is known: the call itself, sent before, is still under way.
const IN_PROGRESS: &[&str] = &[
    "IdempotentProcessing",
    "LastTokenProcessing",
    "OperationFailed.LastTokenProcessing",
    "OperationFailed.IdempotentTokenProcessing",
    "TOKEN_PROCESSING",
];

/// What to do about a refusal.
fn way_out(code: &str) -> Option<String> {
    let hint = match Scope::of_code(code) {
        Scope::Balance => "top up the account (pay-as-you-go needs 100 CNY available), then run the same command again",
        Scope::Quota => {
            let quota = quota(code).unwrap_or("the quota that the message names");
            return Some(format!("raise {quota} in the Quota Center (https://quotas.console.aliyun.com), or ask for less"));
        }
        Scope::Account if code.starts_with("RealName") => {
            "finish the real-name registration of the account, then run the same command again"
        }
        Scope::Account if code.starts_with("Forbidden") || code.starts_with("NoPermission") => {
            "grant the permission that the message names to the identity that `aliform check` shows"
        }
        scope if scope.is_elsewhere() => {
            "stock ran out since the plan: plan again, which avoids for ten minutes what was sold out, or name another type or region"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

/// What to do about what can't come about, by a word of the cloud's reason. The first that fits counts.
const STUCK_HINTS: &[(&str, &str)] = &[
    ("Image", "name an image that the nodes of the cluster can pull: `image` of the job"),
    ("Unschedulable", "ask for less with `needs` of the job, or add a node to the cluster"),
];

/// A step that did not reach its end.
#[derive(Debug, thiserror::Error)]
pub enum ResourceError {
    /// A call failed.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A question to a cluster's own API failed.
    #[error(transparent)]
    Kubernetes(#[from] KubernetesError),
    /// The cloud says that something can't come about, however long one waits.
    #[error("{what} can't come about: {because}")]
    Stuck {
        /// What was waited for.
        what: String,
        /// Why it can't, in the cloud's words.
        because: String,
    },
    /// The cloud accepted something and says later that it can't be had.
    #[error("{what} can't be had: {code}: {message}")]
    Denied {
        /// What.
        what: String,
        /// The code of the reason.
        code: String,
        /// The reason, in the cloud's words.
        message: String,
    },
    /// The cloud did not reach the state that was waited for.
    #[error("{what} was still `{status}` after {seconds} s; it may get there later: run the same command again")]
    TimedOut {
        /// The resource and what was awaited.
        what: String,
        /// The state seen last.
        status: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The resource went away while it was waited for.
    #[error("`{id}` is not listed any more: it was deleted meanwhile, or the cloud withdrew it because stock ran out")]
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
    /// What a run is to bring back could not be written.
    #[error("there is no room for the outputs of `{place}`: {because}")]
    NoRoom {
        /// Where they would go below the outputs of all jobs.
        place: String,
        /// What is in the way.
        because: String,
    },
    /// The user stopped a run.
    #[error("stopped by the user")]
    Stopped,
    /// A run came to its end, and not to a good one.
    #[error("it did not end well: {because}")]
    Ended {
        /// How it ended, `exit code 3`.
        because: String,
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

    /// Whether nobody knows if the call happened: no answer came, or none that says so.
    pub fn is_uncertain(&self) -> bool {
        match self {
            ResourceError::Api(ApiError::Lost { .. } | ApiError::Unreadable { .. }) => true,
            // A failing server may have done it, and a token that is being worked on is the token of a call that runs.
            ResourceError::Api(error) => error.is_server_fault() || error.is(IN_PROGRESS),
            _ => false,
        }
    }

    /// What to do about it, where the service's code says so.
    pub fn hint(&self) -> Option<String> {
        let error = match self {
            ResourceError::Api(error) => error,
            ResourceError::Denied { code, .. } => return way_out(code),
            ResourceError::SecretMissing { variable, .. } => {
                return Some(format!("set it first: `export {variable}=...`, then run the same command again"));
            }
            ResourceError::NoRoom { .. } => {
                return Some("make `outputs` beside the manifest a folder that can be written; nothing was begun".to_owned());
            }
            ResourceError::Stuck { because, .. } => {
                return STUCK_HINTS.iter().find(|(words, _)| because.contains(words)).map(|(_, hint)| (*hint).to_owned());
            }
            _ => return None,
        };
        way_out(error.code()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, code: &str) -> ResourceError {
        let (message, request_id) = (String::new(), String::new());
        ApiError::Refused { action: "RunInstances", status, code: code.to_owned(), message, request_id, retry_after: None }.into()
    }

    #[test]
    fn only_an_answer_that_says_no_is_certain() {
        for uncertain in [
            refused(500, "InternalError"),
            refused(503, "ServiceUnavailable"),
            refused(403, "LastTokenProcessing"),
            refused(400, "IdempotentProcessing"),
            ApiError::Lost { action: "RunInstances", reason: String::new(), sent: true }.into(),
            ApiError::Unreadable { action: "RunInstances", reason: String::new() }.into(),
        ] {
            assert!(uncertain.is_uncertain(), "{uncertain}");
        }
        for certain in [refused(403, "OperationDenied.NoStock"), refused(400, "Throttling.User"), ResourceError::InTheWay(String::new())] {
            assert!(!certain.is_uncertain(), "{certain}");
        }
    }

    #[test]
    fn a_code_that_has_a_way_out_says_it() {
        for (code, word) in [
            ("InvalidAccountStatus.NotEnoughBalance", "top up"),
            ("QuotaExceed.ElasticQuota", "quota"),
            ("QuotaExceeded.Vpc", "quota"),
            ("OperationDenied.NoStock", "plan again"),
            ("QuotaExceed.ElasticQuota", "vCPU quota"),
            ("Zone.NotOnSale", "plan again"),
            ("Forbidden.RAM", "permission"),
        ] {
            assert!(refused(403, code).hint().unwrap().contains(word), "{code}");
        }
        assert_eq!(refused(400, "InvalidParameter").hint(), None);
        let stuck = |because: &str| ResourceError::Stuck { what: "the Job".to_owned(), because: because.to_owned() }.hint();
        assert!(stuck("ErrImagePull: not found").unwrap().contains("`image`") && stuck("CrashLoopBackOff").is_none());
        assert!(stuck("Unschedulable: Insufficient cpu").unwrap().contains("`needs`"));
    }
}
