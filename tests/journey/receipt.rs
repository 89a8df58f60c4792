//! How a run ends, for people and for programs: golden files for each product and for a matrix. What differs from run to
//! run (identifiers, times, money by the second) is named by its kind.

use serde_json::Value as Json;

use crate::stage::Stage;

/// The jobs: their names and what their manifest says.
const JOBS: [(&str, &str); 4] = [
    ("sweep", "product: ecs, run: 'mkdir -p model && echo $n > model/n', outputs: [model/], matrix: { n: [1, 2, 3] }, max_parallel: 2"),
    ("call", "product: fc, run: 'echo hi > out', outputs: [out]"),
    ("cluster", "product: ack, run: 'echo bad; exit 3'"),
    ("pods", "product: pai, run: 'echo hi', workers: 2"),
];

fn lab() -> Stage {
    let stage = Stage::empty();
    stage.write("notes.txt", "what a job is about");
    let jobs = JOBS.map(|(name, more)| format!("  {name}: {{ {more}, needs: {{ cpu: 2, memory: 4GiB }}, timeout: 10m }}\n"));
    stage.write("aliform.yaml", &format!("version: 1\nstack: lab\nregion: cn-hangzhou\njobs:\n{}", jobs.concat()));
    stage
}

fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\b(\d+h )?(\d+m )?\d+(\.\d+)?s\b", "TIME");
    settings.add_filter(r"about \d+\.\d+ CNY", "about COST");
    settings.add_filter(r"TIME, \d+\.\d+ CNY", "TIME, COST");
    settings.add_filter(r"\d+\.\d+ CNY where so short", "COST where so short");
    settings.add_filter(r"\bc[0-9a-f]{32}\b", "CLUSTER");
    settings.add_filter(r"\d{8}T\d{9}Z", "MOMENT");
    settings
}

/// Names what differs from run to run.
fn named(receipt: &mut Json) {
    let name = |value: &mut Json, word: &str| {
        if !value.is_null() {
            *value = word.into();
        }
    };
    for key in ["cost", "least"] {
        if let Some(sum) = receipt.pointer_mut(&format!("/{key}/sums/0")) {
            name(sum, "COST");
        }
    }
    for (key, word) in [("seconds", "TIME"), ("milliseconds", "TIME"), ("cluster", "CLUSTER")] {
        if let Some(value) = receipt.get_mut(key) {
            name(value, word);
        }
    }
    if let Some((folder, file)) = receipt["log"].as_str().and_then(|log| log.rsplit_once('/')) {
        let (_moment, name) = file.split_once('-').unwrap();
        receipt["log"] = format!("{folder}/MOMENT-{name}").into();
    }
    for run in receipt.get_mut("runs").and_then(Json::as_array_mut).into_iter().flatten() {
        named(run);
    }
}

#[test]
fn every_receipt_looks_like_this() {
    let stage = lab();
    for (job, _) in JOBS {
        let code = if job == "cluster" { 1 } else { 0 };
        let run = |output: &str| stage.run(&["run", job, "--auto-approve", "--output", output]).expect(code).stdout;
        let human = run("human");
        let mut document: Json = serde_json::from_str(&run("json")).unwrap();
        named(&mut document);
        let lines = run("ndjson");
        let mut last: Json = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
        named(&mut last["result"]);
        last["at"] = "MOMENT".into();
        settings().bind(|| {
            insta::assert_snapshot!(format!("{job}_human"), human.rsplit_once("\n\n").map_or(&*human, |(_, receipt)| receipt));
            insta::assert_snapshot!(format!("{job}_json"), format!("{document:#}"));
            insta::assert_snapshot!(format!("{job}_ndjson"), last.to_string());
        });
        assert_eq!(last["result"], document, "the last line has the document");
    }
    assert!(stage.resources().is_empty());
}
