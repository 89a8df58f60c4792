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
    let mut lines = vec![match &running {
        Some(running) => format!("The local cloud answers at http://{} (process {}).", running.address, running.pid),
        None => "The local cloud does not run; `--local` starts it.".to_owned(),
    }];
    lines.push(if isolation.namespaces {
        "Machines are isolated by namespaces.".to_owned()
    } else {
        "Machines are plain processes: the system forbids namespaces.".to_owned()
    });
    lines.extend(isolation.missing.iter().map(|missing| format!("  not isolated: {missing}")));
    let endpoint = running.map(|running| format!("http://{}", running.address));
    out.result(
        &lines.join("\n"),
        &serde_json::json!({ "endpoint": endpoint, "namespaces": isolation.namespaces, "not_isolated": isolation.missing }),
    );
    Ok(())
}
