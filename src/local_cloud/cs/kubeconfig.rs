//! How a user gets into a cluster: a kubeconfig with a certificate of their own, made anew each time and kept nowhere.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use super::{find, find_running, invalid};
use crate::local_cloud::roa::RoaCall;
use crate::local_cloud::time::{after, seconds};
use crate::local_cloud::wire::fault::Fault;

/// How long a certificate is valid for which no time was asked.
const USUAL: Duration = Duration::from_secs(3 * 365 * 24 * 3600);
/// Where a cluster would be if nothing serves it: in simulations whoever reads this has no network either.
const NOWHERE: &str = "https://kubernetes.localhost";

/// Where a cluster's API answers.
pub(super) fn server(call: &RoaCall, id: &str) -> String {
    let base = call.shared.secure_base().unwrap_or_else(|| NOWHERE.to_owned());
    format!("{base}{}{id}", crate::local_cloud::kubernetes::PREFIX)
}

/// The name that a caller has inside clusters.
pub(super) fn user(call: &RoaCall) -> String {
    call.caller.user.clone().unwrap_or_else(|| call.shared.config.account.clone())
}

/// DescribeClusterUserKubeconfig.
pub(super) async fn of_user(call: &RoaCall<'_>, id: &str) -> Result<Json, Fault> {
    let minutes: Option<u64> = call.params.number("TemporaryDurationMinutes")?;
    call.params.boolean("PrivateIpAddress")?;
    if minutes.is_some_and(|minutes| !(15..=4320).contains(&minutes)) {
        return Err(invalid("TemporaryDurationMinutes must be between 15 and 4320"));
    }
    let (mark, now) = {
        let world = call.shared.world();
        let now = call.shared.now();
        find(call, &world, id)?;
        (find_running(call, &world, id, now)?.certificate_mark(), now)
    };
    let until = after(now, minutes.map_or(USUAL, |minutes| Duration::from_secs(minutes * 60)));
    let failed = |error: crate::local_cloud::tls::TlsError| Fault::new(500, "InternalError", error.to_string());
    let authority = call.shared.authority().map_err(failed)?;
    let user = user(call);
    let (certificate, key) = authority.issue_client(&user, &["system:users".to_owned(), mark], now, until).map_err(failed)?;
    let context = format!("{user}-{id}");
    // JSON is YAML, and says more surely what is a text.
    let cluster = json!({ "server": server(call, id), "certificate-authority-data": STANDARD.encode(authority.pem()) });
    let credentials = json!({ "client-certificate-data": STANDARD.encode(certificate), "client-key-data": STANDARD.encode(key) });
    let lines = [
        "apiVersion: v1".to_owned(),
        "kind: Config".to_owned(),
        "clusters:".to_owned(),
        format!("- name: kubernetes\n  cluster: {cluster}"),
        "contexts:".to_owned(),
        format!("- name: {0}\n  context: {1}", json!(context), json!({ "cluster": "kubernetes", "user": user })),
        format!("current-context: {}", json!(context)),
        "preferences: {}".to_owned(),
        "users:".to_owned(),
        format!("- name: {0}\n  user: {credentials}\n", json!(user)),
    ];
    Ok(json!({ "config": lines.join("\n"), "expiration": seconds(until) }))
}
