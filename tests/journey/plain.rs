//! Where the system forbids namespaces: an application runs all the same, and whoever starts it is told what it shares.

use crate::ports::free_port;
use crate::stage::{Stage, get, processes_with, until};

#[test]
fn without_namespaces_an_application_runs_and_what_is_shared_is_said() {
    let stage = Stage::example("hello-web").without_namespaces();
    let marker = format!("plain-{}", std::process::id());
    stage.edit("aliform.yaml", "Hello from Alibaba Cloud", &marker);
    // Its ports are the host's: one that nobody has.
    let port = free_port();
    stage.edit("aliform.yaml", "port: 8080", &format!("port: {port}"));

    let applied = stage.apply();
    for said in ["This system forbids namespaces", "not isolated: files", "not isolated: network", "not isolated: processes"] {
        assert!(applied.stderr.contains(said), "`{said}` is not said:\n{}", applied.stderr);
    }
    let status = stage.run(&["cloud", "status", "--output", "json"]).expect(0).json();
    assert_eq!(status["namespaces"], false);
    assert!(get(&stage.output("url")).unwrap().contains(&marker));
    assert!(!processes_with(&marker).is_empty());

    // Told once, to whoever starts the cloud, and not with every command.
    assert!(!stage.run(&["plan"]).expect(0).stderr.contains("forbids namespaces"));
    stage.run(&["destroy", "--auto-approve"]).expect(0);
    assert!(stage.resources().is_empty());
    until("the end of every process of the application", || processes_with(&marker).is_empty());
}
