//! Questions about oneself: who am I, and may I do that.

use http::Method;
use serde_json::{Value as Json, json};

use super::{Ask, Reply};
use crate::local_cloud::kubernetes::access::{self, Attributes};
use crate::local_cloud::kubernetes::space::text;
use crate::local_cloud::kubernetes::status::Refusal;

/// Answers a question; `None` if the path asks none. Everybody may ask about themselves.
pub(super) async fn answer(ask: &Ask<'_>, parts: &[&str]) -> Result<Option<Reply>, Refusal> {
    let kind = match parts {
        ["apis", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"] => "SelfSubjectAccessReview",
        ["apis", "authentication.k8s.io", "v1", "selfsubjectreviews"] => "SelfSubjectReview",
        _ => return Ok(None),
    };
    if ask.request.method != Method::POST {
        return Err(Refusal::not_allowed());
    }
    let mut review = ask.object()?;
    review["kind"] = kind.into();
    review["apiVersion"] = format!("{}/v1", parts[1]).into();
    if !review["metadata"].is_object() {
        review["metadata"] = json!({});
    }
    review["status"] = if kind == "SelfSubjectReview" {
        json!({ "userInfo": { "username": ask.user.name, "groups": ask.user.groups } })
    } else {
        let asked = attributes(&review["spec"])?;
        let allowed = ask.commit(|space| Ok(access::allows(space, &ask.user, &asked))).await?;
        json!({ "allowed": allowed })
    };
    Ok(Some(Reply::Whole(201, review)))
}

fn attributes(spec: &Json) -> Result<Attributes, Refusal> {
    let own = |at: &str| text(spec, at).to_owned();
    if spec["resourceAttributes"].is_object() {
        return Ok(Attributes {
            verb: own("/resourceAttributes/verb"),
            group: own("/resourceAttributes/group"),
            resource: own("/resourceAttributes/resource"),
            subresource: own("/resourceAttributes/subresource"),
            namespace: own("/resourceAttributes/namespace"),
            name: own("/resourceAttributes/name"),
            path: String::new(),
        });
    }
    if spec["nonResourceAttributes"].is_object() {
        let (verb, path) = (own("/nonResourceAttributes/verb"), own("/nonResourceAttributes/path"));
        return Ok(Attributes { verb, path, ..Attributes::default() });
    }
    Err(Refusal::bad("spec.resourceAttributes: Required value: must specify one of resourceAttributes or nonResourceAttributes"))
}
