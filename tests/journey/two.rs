//! Two stacks at once, and ports that are not open.

use crate::stage::{Stage, get};

#[test]
fn two_stacks_answer_on_one_port_each_at_its_own_address() {
    let (one, two) = (Stage::example("hello-web"), Stage::example("hello-web"));
    one.edit("aliform.yaml", "Hello from Alibaba Cloud", "the first of two");
    two.edit("aliform.yaml", "Hello from Alibaba Cloud", "the second of two");
    one.apply();
    two.apply();
    let (first, second) = (one.output("url"), two.output("url"));
    assert_ne!(first, second);
    assert!(first.ends_with(":8080") && second.ends_with(":8080"));
    assert!(get(&first).unwrap().contains("the first of two"));
    assert!(get(&second).unwrap().contains("the second of two"));
}

#[test]
fn a_port_that_the_security_group_does_not_open_does_not_answer() {
    let stage = Stage::example("hello-web");
    // It listens on a second port that nobody declared.
    let code = std::fs::read_to_string(stage.file("app.py")).unwrap();
    let second = "import http.server, threading\nthreading.Thread(target=http.server.HTTPServer((\"0.0.0.0\", 8081), http.server.SimpleHTTPRequestHandler).serve_forever, daemon=True).start()\n";
    let (docs, rest) = code.split_at(code.find("\nimport").or(code.find("\nfrom")).unwrap() + 1);
    stage.write("app.py", &format!("{docs}{second}{rest}"));
    stage.apply();
    let url = stage.output("url");
    assert!(get(&url).unwrap().contains("200"));
    assert!(get(&url.replace(":8080", ":8081")).is_err(), "a closed port answers");
}
