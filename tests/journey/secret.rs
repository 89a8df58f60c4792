//! A secret reaches the application and nothing else.

use std::fs;
use std::path::Path;

use crate::stage::{Stage, get};

const SECRET: &str = "s3cr3t-planted-by-the-test-0123456789";

fn files_with(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files_with(&path, found);
        } else if kind.is_file() && fs::read(&path).is_ok_and(|bytes| holds(&bytes)) {
            found.push(path.display().to_string());
        }
    }
}

fn holds(bytes: &[u8]) -> bool {
    use base64::Engine;
    let encoded = base64::engine::general_purpose::STANDARD.encode(SECRET);
    // Every alignment of Base64 shares the middle of the secret with one of these.
    let shifted = base64::engine::general_purpose::STANDARD.encode(format!("x{SECRET}"));
    [SECRET, &encoded[..30], &shifted[4..30]].iter().any(|needle| bytes.windows(needle.len()).any(|window| window == needle.as_bytes()))
}

#[test]
fn a_planted_secret_is_written_down_nowhere() {
    let stage = Stage::example("hello-web");
    stage.edit("aliform.yaml", "env: { GREETING: Hello from Alibaba Cloud }", "env: { GREETING: { from: env:PLANTED } }");
    let run = |arguments: &[&str]| stage.command(arguments).env("PLANTED", SECRET).output().unwrap();

    let applied = run(&["apply", "--auto-approve", "--output", "ndjson"]);
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    let planned = run(&["plan", "-o", "p.json"]);
    assert!(planned.status.success());
    assert!(get(&stage.output("url")).unwrap().contains(SECRET), "the application was not given its secret");

    for output in [&applied, &planned, &run(&["status"]), &run(&["logs"]), &run(&["state", "show"])] {
        assert!(!holds(&output.stdout) && !holds(&output.stderr));
    }
    assert!(!holds(&fs::read(stage.file("p.json")).unwrap()));
    let mut found = Vec::new();
    files_with(&stage.file(".aliform"), &mut found);
    // The application's own log holds what the application writes; it does not write its greeting.
    assert_eq!(found, Vec::<String>::new());
    for entry in fs::read_dir("/proc").unwrap() {
        let path = entry.unwrap().path().join("cmdline");
        assert!(!fs::read(&path).is_ok_and(|bytes| holds(&bytes)), "{} shows the secret", path.display());
    }
}

#[test]
fn a_secret_that_is_not_there_is_named_before_anything_else() {
    let stage = Stage::example("hello-web");
    stage.edit("aliform.yaml", "env: { GREETING: Hello from Alibaba Cloud }", "env: { GREETING: { from: env:PLANTED } }");
    let ran = stage.run(&["apply", "--auto-approve"]).expect(1);
    assert!(ran.stderr.contains("PLANTED"), "{}", ran.stderr);
    assert!(stage.resources().is_empty(), "something was created without the secret");
}
