//! The published schemas are those of the code. `ALIFORM_BLESS=1 cargo test --test schemas` writes them anew.

use std::path::Path;

use aliform::local_cloud::scenario::Scenario;
use aliform::local_cloud::scenario::read::read;
use aliform::model::event::Event;
use aliform::plan::saved::Plan;
use serde_json::Value as Json;

#[track_caller]
fn published(name: &str, schema: &Json) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas").join(name);
    let text = format!("{schema:#}\n");
    #[expect(clippy::disallowed_methods, reason = "whoever runs the test says whether to write")]
    let bless = std::env::var("ALIFORM_BLESS").is_ok();
    if bless {
        std::fs::write(&file, &text).unwrap();
    }
    let there = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(there == text, "schemas/{name} is not the code's; run `ALIFORM_BLESS=1 cargo test --test schemas` and read the difference");
}

#[test]
fn the_plan() {
    published("plan.schema.json", &Plan::json_schema());
}

#[test]
fn the_events() {
    published("events.schema.json", &schemars::schema_for!(Event).into());
}

#[test]
fn the_scenario() {
    let schema = Scenario::json_schema();
    published("scenario.schema.json", &schema);
    let schema = jsonschema::validator_for(&schema).unwrap();
    let fits = |scenario: &Scenario| schema.validate(&serde_json::json!(scenario)).map_err(|error| error.to_string());
    assert_eq!(fits(&Scenario::default()), Ok(()));
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/scenarios")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let scenario = read(&path.display().to_string(), &std::fs::read_to_string(&path).unwrap()).unwrap();
            assert_eq!(fits(&scenario), Ok(()), "{}", path.display());
        }
    }
}
