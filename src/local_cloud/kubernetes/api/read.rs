//! Objects as they are: one, or a list of them, in pages if that is asked for.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value as Json, json};

use super::selector::Selector;
use super::{Ask, Reply, Target};
use crate::local_cloud::kubernetes::space::{name_of, namespace_of};
use crate::local_cloud::kubernetes::status::Refusal;

pub(super) async fn get(ask: &Ask<'_>, target: &Target) -> Result<Reply, Refusal> {
    let found = ask.commit(|space| Ok(space.get(target.kind, &target.namespace, &target.name).cloned())).await?;
    found.map(|object| Reply::Whole(200, object)).ok_or_else(|| Refusal::missing(target.kind, &target.name))
}

impl Target {
    pub(super) fn selector(&self, ask: &Ask) -> Result<Selector, Refusal> {
        Selector::read(self.kind, ask.text("labelSelector"), ask.text("fieldSelector"))
    }

    /// The namespace that a list is limited to.
    pub(super) fn place(&self) -> Option<&str> {
        Some(self.namespace.as_str()).filter(|namespace| !namespace.is_empty())
    }
}

pub(super) async fn list(ask: &Ask<'_>, target: &Target) -> Result<Reply, Refusal> {
    let selector = target.selector(ask)?;
    let limit = ask.number("limit")?.filter(|limit| *limit > 0).map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let after = match ask.text("continue") {
        "" => None,
        token => Some(position(token).ok_or_else(|| Refusal::bad("continue key is not valid"))?),
    };
    let (mut found, version) = ask
        .commit(|space| {
            let fitting = space.all(target.kind, target.place()).into_iter().filter(|object| selector.fits(object));
            let rest = fitting.filter(|object| after.as_ref().is_none_or(|after| place_of(object) > *after));
            Ok((rest.cloned().collect::<Vec<Json>>(), space.version()))
        })
        .await?;
    let mut metadata = json!({ "resourceVersion": version.to_string() });
    if found.len() > limit {
        let remaining = found.len() - limit;
        found.truncate(limit);
        if let Some(last) = found.last() {
            metadata["continue"] = URL_SAFE_NO_PAD.encode(json!(place_of(last)).to_string()).into();
            metadata["remainingItemCount"] = remaining.into();
        }
    }
    for object in found.iter_mut().filter_map(Json::as_object_mut) {
        object.remove("apiVersion");
        object.remove("kind");
    }
    let kind = format!("{}List", target.kind.name);
    Ok(Reply::Whole(200, json!({ "kind": kind, "apiVersion": target.kind.api_version(), "metadata": metadata, "items": found })))
}

fn place_of(object: &Json) -> (String, String) {
    (namespace_of(object).to_owned(), name_of(object).to_owned())
}

fn position(token: &str) -> Option<(String, String)> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()
}
