//! `aliform cloud status`: whether it runs, where, and how well its machines are isolated.

use std::net::SocketAddr;

use super::home::Home;
use super::server::machines;
use crate::error::CommandError;
use crate::output::Output;

pub(super) async fn status(home: &Home, out: &Output) -> Result<(), CommandError> {
    let running = home.running().await?;
    let gateway = SocketAddr::from(([127, 0, 0, 1], 0));
    let isolation = machines(home, gateway)?.isolation().await;
    let mut lines = match &running {
        Some(running) => vec![format!("The local cloud answers at http://{} (process {}).", running.address, running.pid)],
        None => vec!["The local cloud does not run; `--local` starts it.".to_owned()],
    };
    let secure = running.as_ref().and_then(|running| running.secure);
    lines.extend(secure.map(|address| format!("Over TLS it answers at https://{address}; trust `{}`.", home.authority().display())));
    lines.push(if isolation.namespaces {
        "Machines are isolated by namespaces.".to_owned()
    } else {
        "Machines are plain processes: the system forbids namespaces.".to_owned()
    });
    lines.extend(isolation.missing.iter().map(|missing| format!("  not isolated: {missing}")));
    let endpoint = running.map(|running| format!("http://{}", running.address));
    let tls = secure.map(|address| {
        let authority = home.authority().display().to_string();
        serde_json::json!({ "endpoint": format!("https://{address}"), "certificate_authority": authority })
    });
    out.result(
        &lines.join("\n"),
        &serde_json::json!({ "endpoint": endpoint, "tls": tls, "namespaces": isolation.namespaces, "not_isolated": isolation.missing }),
    );
    Ok(())
}
