//! What is shown, to people and to programs, for each step of a life: golden files. Whatever differs from run to run
//! (identifiers, addresses, times, digests) is named by its kind.

use crate::stage::Stage;

/// Replaces what differs from run to run.
fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\b(vpc|vsw|sg|sgr|i|t|eip)-[0-9a-z]{12,}", "$1-ID");
    settings.add_filter(r"aliform-hello-web-[0-9a-f]{12}\b", "aliform-hello-web-LINEAGE");
    settings.add_filter(r"\b127\.\d+\.\d+\.\d+", "ADDRESS");
    settings.add_filter(r"20\d\d-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?Z", "TIME");
    settings.add_filter(r"\b[0-9a-f]{64}\b", "DIGEST");
    settings.add_filter(r"\b[0-9a-f]{32}\b", "LINEAGE");
    settings.add_filter(r"\b[0-9a-f]{12}\b", "DIGEST");
    settings.add_filter(r#""size":\d+"#, r#""size":SIZE"#);
    settings.add_filter(r"size: +\S+ KiB", "size:   SIZE");
    settings.add_filter(r#""(\$?)(start|stop|verify|rollback|logs)_script":"([^"\\]|\\.)*""#, r#""$1$2_script":"SCRIPT""#);
    settings.add_filter(r#""script":"([^"\\]|\\.)*""#, r#""script":"SCRIPT""#);
    settings.add_filter(r##""(after|before)":"# aliform ([^"\\]|\\.)*""##, r#""$1":"SCRIPT""#);
    settings
}

/// The plan of the moment, as people and as programs see it.
fn shown(stage: &Stage, step: &str) {
    settings().bind(|| {
        insta::assert_snapshot!(format!("{step}_human"), stage.run(&["plan"]).expect(0).stdout);
        let lines = stage.run(&["plan", "--output", "ndjson"]).expect(0).stdout;
        let plan = lines.lines().find(|line| line.starts_with(r#"{"type":"plan""#)).expect("a line with the plan").to_owned();
        let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
        let changes: Vec<String> = plan["plan"]["changes"].as_array().unwrap().iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(format!("{step}_ndjson"), changes.join("\n"));
    });
}

#[test]
fn every_step_of_a_life_is_shown_like_this() {
    let stage = Stage::example("hello-web");
    shown(&stage, "nothing_is_there_yet");
    stage.apply();
    shown(&stage, "nothing_changed");

    let page = std::fs::read_to_string(stage.file("page.html")).unwrap();
    stage.write("page.html", &page.replace("</body>", "<p>edited page</p></body>"));
    shown(&stage, "another_page");
    stage.write("page.html", &page);

    stage.edit("aliform.yaml", "port: 8080", "port: 9090");
    shown(&stage, "another_port");
    stage.edit("aliform.yaml", "port: 9090", "port: 8080");

    stage.edit("aliform.yaml", "{ cpu: 2, memory: 4GiB }", "{ type: ecs.g7.large }");
    shown(&stage, "another_type");
    settings().bind(|| insta::assert_snapshot!("taking_it_down_human", stage.run(&["plan", "--destroy"]).expect(0).stdout));
}
