//! The manifest room from outside: every complaint as a reader sees it, the schema and the parser against each other,
//! and that no text whatever makes it panic.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use aliform::manifest::{self, EnvValue, InstanceChoice, Manifest, OnFailure, Origin, Part, Product, Region, Source, VpcChoice, Work};
use aliform::model::diagnostic::Diagnostic;
use aliform::model::runtime::Runtime;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests").join(name)
}

/// The manifests in a folder, by name.
fn manifests(name: &str) -> BTreeMap<String, PathBuf> {
    let entries = std::fs::read_dir(folder(name)).unwrap().map(|entry| entry.unwrap().path());
    let yaml = entries.filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    yaml.map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), path)).collect()
}

/// Complaints as plain text.
fn render(complaints: &[Diagnostic]) -> String {
    let mut text = String::new();
    for complaint in complaints {
        text += &format!("error[{}]: {}\n", complaint.code, complaint.message);
        if let Some(place) = &complaint.location {
            let margin = " ".repeat(place.line.to_string().len());
            text += &format!("{margin}--> {}:{}:{}\n", place.file, place.line, place.column);
            text += &format!("{} | {}\n", place.line, place.text);
            text += &format!("{margin} | {}{}\n", " ".repeat(place.column as usize - 1), "^".repeat(place.length as usize));
        }
        for hint in &complaint.hints {
            text += &format!("hint: {hint}\n");
        }
        text.push('\n');
    }
    text
}

/// What is said against a text beside the files of the bad manifests.
fn complaints(text: &str) -> Vec<Diagnostic> {
    manifest::parse("aliform.yaml", text, &folder("bad")).err().unwrap_or_default()
}

fn codes(text: &str) -> Vec<&'static str> {
    complaints(text).into_iter().map(|complaint| complaint.code).collect()
}

fn good(text: &str) -> Manifest {
    match manifest::parse("aliform.yaml", text, &folder("good")) {
        Ok(manifest) => manifest,
        Err(complaints) => panic!("{}", render(&complaints)),
    }
}

fn read(name: &str) -> Manifest {
    let path = &manifests("good")[name];
    manifest::load(path).unwrap_or_else(|complaints| panic!("{name}:\n{}", render(&complaints)))
}

#[test]
fn every_bad_manifest_is_refused_as_it_was_before() {
    let all = manifests("bad");
    assert!(all.len() >= 50, "only {} bad manifests are left", all.len());
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(folder("snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for (name, path) in all {
            let Err(complaints) = manifest::load(&path) else { panic!("{name} was taken") };
            assert!(!complaints.is_empty(), "{name} was refused without a word");
            let shown =
                render(&complaints).replace(&format!("{}/", folder("bad").display()), "").replace(folder("bad").to_str().unwrap(), ".");
            insta::assert_snapshot!(name, shown);
        }
    });
}

#[test]
fn every_complaint_has_a_place_and_says_what_to_do_in_the_house_style() {
    for (name, path) in manifests("bad") {
        for complaint in manifest::load(&path).unwrap_err() {
            let place = complaint.location.unwrap_or_else(|| panic!("{name}: {} has no place", complaint.message));
            assert!(place.line >= 1 && place.column >= 1 && place.length >= 1, "{name}: {place:?}");
            let width = place.text.chars().count() as u32;
            assert!(place.column + place.length <= width + 2, "{name}: {place:?} points past its line");
            assert!(!complaint.hints.is_empty(), "{name}: nothing to do about {}", complaint.message);
            assert!(!complaint.message.ends_with('.'), "{name}: {}", complaint.message);
            assert!(!complaint.message.starts_with(char::is_uppercase), "{name}: {}", complaint.message);
        }
    }
}

#[test]
fn complaints_come_in_the_order_of_the_text() {
    for (name, path) in manifests("bad") {
        let places: Vec<_> = manifest::load(&path).unwrap_err().into_iter().map(|complaint| complaint.location).collect();
        assert!(places.is_sorted(), "{name}: {places:?}");
    }
}

#[test]
fn every_good_manifest_is_taken_by_the_parser_and_by_the_schema() {
    let schema = jsonschema::validator_for(&manifest::json_schema()).unwrap();
    for (name, path) in manifests("good") {
        read(&name);
        let text = std::fs::read_to_string(&path).unwrap();
        if let Err(error) = schema.validate(&as_json(&text).unwrap()) {
            panic!("{name}: the schema refuses it: {error} at {}", error.instance_path());
        }
    }
}

/// The text as an editor's schema check sees it.
fn as_json(text: &str) -> Option<Json> {
    serde_saphyr::from_str(text).ok()
}

#[test]
fn the_design_s_manifest_means_what_it_says() {
    let manifest = read("design");
    assert_eq!(manifest.stack.value, "shop");
    assert_eq!((manifest.stack.location.line, manifest.stack.location.column), (3, 8));
    assert_eq!(manifest.digest.len(), 64);
    assert_eq!(manifest.region, Region::Auto);
    assert_eq!(manifest.budget.hourly.as_ref().unwrap().to_string(), "3 CNY");
    assert_eq!(manifest.budget.monthly.as_ref().unwrap().to_string(), "1500 CNY");
    let VpcChoice::New { cidr } = &manifest.network.vpc else { panic!("{:?}", manifest.network.vpc) };
    assert_eq!(cidr.to_string(), "192.168.0.0/16");

    let web = &manifest.apps["web"];
    let Origin::Source(source) = &web.origin else { panic!("{:?}", web.origin) };
    assert_eq!(source.value, Source::Folder(folder("good").canonicalize().unwrap()));
    assert_eq!((web.runtime.clone(), web.port.as_ref().unwrap().value, web.replicas), (None, 8080, 2));
    let InstanceChoice::Needs(needs) = &web.instance else { panic!("{:?}", web.instance) };
    assert_eq!((needs.cpu, needs.memory.unwrap().mebibytes()), (Some(2), 4096));
    let public = web.public.as_ref().unwrap();
    assert_eq!((public.bandwidth.megabits(), public.allow[0].to_string(), public.eip), (5, "0.0.0.0/0".to_owned(), false));
    let EnvValue::Plain(greeting) = &web.env["GREETING"] else { panic!("{:?}", web.env) };
    assert_eq!(greeting.value, "hello");
    let EnvValue::From(key) = &web.env["API_KEY"] else { panic!("{:?}", web.env) };
    assert_eq!(key.variable, "API_KEY");
    assert_eq!((web.health.http.as_ref().unwrap().as_str(), web.health.within.seconds()), ("/healthz", 60));
    assert_eq!((web.rollout.batch, web.rollout.on_failure), (1, OnFailure::Rollback));

    let train = &manifest.jobs["train"];
    let Work::Script(script) = &train.work else { panic!("{:?}", train.work) };
    assert!(script.is_absolute() && script.ends_with("app/train.py"));
    assert_eq!(train.product, None);
    let gpu = train.needs.gpu.as_ref().unwrap();
    assert_eq!((gpu.model.as_ref().unwrap().as_str(), gpu.count), ("NVIDIA T4", 1));
    assert_eq!((train.timeout.as_ref().unwrap().seconds(), train.keep), (7200, false));
    assert_eq!(train.outputs[0].value, "model/");
    let expected = Part::Reference { path: ["apps", "web", "url"].map(str::to_owned).to_vec() };
    assert_eq!(manifest.outputs["url"].parts, [expected]);
}

#[test]
fn what_is_left_out_is_usual() {
    let manifest = read("smallest");
    let web = &manifest.apps["web"];
    assert_eq!((manifest.region, manifest.network.vpc), (Region::Auto, VpcChoice::Default));
    assert_eq!((web.replicas, web.health.within.seconds(), web.rollout.batch), (1, 60, 1));
    assert!(web.public.is_none() && web.port.is_none() && web.runtime.is_none() && web.env.is_empty());
    let web = &read("outputs").apps["web"];
    let public = web.public.as_ref().unwrap();
    assert_eq!((public.bandwidth.megabits(), public.allow.len(), public.allow[0].to_string()), (5, 1, "0.0.0.0/0".to_owned()));
}

#[test]
fn what_exists_is_used_by_its_identifier() {
    let manifest = read("existing");
    let VpcChoice::Existing { id } = &manifest.network.vpc else { panic!("{:?}", manifest.network) };
    assert_eq!(id.value, "vpc-bp1abc");
    let Region::Named(region) = &manifest.region else { panic!("{:?}", manifest.region) };
    assert_eq!(region.value, "cn-hangzhou");
    let InstanceChoice::Existing(id) = &manifest.apps["a"].instance else { panic!("{:?}", manifest.apps["a"].instance) };
    assert_eq!((id.as_str(), manifest.apps["a"].runtime.as_ref().unwrap().value), ("i-bp1abc", Runtime::Static));
    let Origin::Source(source) = &manifest.apps["c"].origin else { panic!("{:?}", manifest.apps["c"].origin) };
    assert_eq!(source.value, Source::Git("git@example.com:me/c.git".to_owned()));
    assert!(matches!(manifest.apps["c"].instance, InstanceChoice::Type(_)));
}

#[test]
fn plain_values_are_taken_as_they_are_written() {
    let manifest = read("plain_values");
    let text = |name: &str| match &manifest.apps["web"].env[name] {
        EnvValue::Plain(text) => text.value.clone(),
        other => panic!("{other:?}"),
    };
    let expected = [("PORT", "8080"), ("RATIO", "1.10"), ("DEBUG", "true"), ("OFF", "off"), ("EMPTY", ""), ("MULTI", "one\ntwo\n")];
    for (name, value) in expected {
        assert_eq!(text(name), value, "{name}");
    }
    assert_eq!(manifest.stack.value, "on");
}

#[test]
fn merged_maps_are_inherited_and_own_keys_win() {
    let manifest = read("anchors_and_merge");
    let api = &manifest.apps["api"];
    let EnvValue::Plain(level) = &api.env["LEVEL"] else { panic!("{:?}", api.env) };
    assert_eq!((level.value.as_str(), api.env.len(), api.port.as_ref().unwrap().value), ("debug", 2, 9000));
    assert!(manifest.apps["web"].port.is_none());
}

#[test]
fn a_job_can_name_its_product() {
    let manifest = read("function");
    let job = &manifest.jobs["a"];
    assert_eq!(job.product.as_ref().unwrap().value, Product::Fc);
    let Work::Run(run) = &job.work else { panic!("{:?}", job.work) };
    assert_eq!(run.value, "set -e\necho hello\n");
}

#[test]
fn line_ends_of_windows_and_a_byte_order_mark_change_nothing() {
    let text = "version: 1\nstack: shop\napps: { web: { source: app } }\n";
    let windows = good(&format!("\u{feff}{}", text.replace('\n', "\r\n")));
    assert_eq!(
        (windows.stack.value.as_str(), windows.stack.location.line, windows.stack.location.text.as_str()),
        ("shop", 2, "stack: shop")
    );
    assert_eq!(windows.apps, good(text).apps);
}

// Secrets. They are put together here so that no scanner takes this file for a leak.

fn access_key() -> String {
    ["LT", "AI5tExampleExample1234"].concat()
}

#[test]
fn a_secret_is_refused_and_never_shown_again() {
    let key = access_key();
    let pem = ["-----BEGIN RSA PRIVATE", " KEY-----"].concat();
    let body = "MIIEpAIBAAKCAQEAexample0123456789example";
    let head = "version: 1\nstack: shop\napps:\n  web:\n    source: app\n";
    for (text, secrets) in [
        (format!("{head}    env: {{ ID: {key}, OTHER: x, 1A: x }}\n"), vec![key.as_str()]),
        (format!("{head}    start: ./run --key {key}\n"), vec![&key]),
        (format!("{head}    port: {key}\n"), vec![&key]),
        (format!("{head}    {key}: 1\n"), vec![&key]),
        (format!("{head}    password: geheim\n"), vec!["geheim"]),
        (format!("{head}    env:\n      CERT: |\n        {pem}\n        {body}\n"), vec![body]),
        (format!("{head}    env: {{ A: 'postgres://me:geheim@db/x' }}\n"), vec!["geheim"]),
        (format!("version: 1\nstack: {key}\nregion: {key}\nbudget: {{ hourly: {key} }}\n"), vec![&key]),
        // A text that is no YAML, an escape, and a list.
        (format!("{head}    env: {{ API_KEY: geheim, [ }}\n"), vec!["geheim"]),
        (format!("{head}    env: {{ API_KEY: \"geh\\x65im\" }}\n"), vec!["geh\\x65im", "geheim"]),
        (format!("{head}    env: {{ API_KEYS: [], API_KEY: [geheim] }}\n"), vec!["geheim"]),
    ] {
        let complaints = complaints(&text);
        assert!(!complaints.is_empty(), "{text}");
        let told = format!("{}{complaints:?}", render(&complaints));
        for secret in secrets {
            assert!(!told.contains(secret), "{secret} of\n{text}is shown in\n{}", render(&complaints));
        }
        assert!(complaints.iter().any(|complaint| matches!(complaint.code, "plain-secret" | "yaml-syntax")), "{}", render(&complaints));
    }
}

#[test]
fn a_manifest_with_a_secret_in_another_encoding_does_not_show_it_either() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), b"env: { API_KEY: geheim, NAME: \xe9 }\n").unwrap();
    let complaints = manifest::load(file.path()).unwrap_err();
    assert_eq!(complaints[0].code, "not-utf8");
    assert!(!format!("{complaints:?}").contains("geheim"), "{complaints:?}");
}

// Files that are no manifest.

#[test]
fn a_file_that_is_not_there_is_named() {
    let complaints = manifest::load(Path::new("no/such/aliform.yaml")).unwrap_err();
    assert_eq!(complaints[0].message, "`no/such/aliform.yaml` can't be read: there is no such file");
    assert_eq!(complaints[0].hints, ["write one with `aliform init`, or name another with `-f FILE`"]);
}

#[test]
fn a_folder_is_no_manifest() {
    let complaints = manifest::load(&folder("good")).unwrap_err();
    assert!(complaints[0].message.ends_with("can't be read: it is a folder"), "{}", complaints[0].message);
}

#[test]
fn a_file_of_ten_megabytes_is_refused_politely() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "a: b\n".repeat(2 << 20)).unwrap();
    let complaints = manifest::load(file.path()).unwrap_err();
    assert_eq!((complaints.len(), complaints[0].code), (1, "too-large"));
    assert_eq!(codes(&"#".repeat(manifest::MAX_BYTES + 1)), ["too-large"]);
}

#[test]
fn texts_made_to_hurt_are_refused() {
    let head = "version: 1\nstack: shop\n";
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..9 {
        bomb += &format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 10].join(", "));
    }
    assert_eq!(codes(&bomb), ["too-many-values"]);
    let mut deep = String::from("a0: &a0 [x]\n");
    for i in 1..80 {
        deep += &format!("a{i}: &a{i} [*a{}]\n", i - 1);
    }
    assert_eq!(codes(&deep), ["too-deep"]);
    assert_eq!(codes(&format!("{head}apps: {}", "[".repeat(100_000))), ["too-deep"]);
    assert_eq!(codes(&format!("{head}apps: {}", "{a: ".repeat(100_000))), ["too-deep"]);
    let blocks: String = (0..300).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    assert_eq!(codes(&blocks), ["too-deep"]);
    // One line of many values: each place would carry the line.
    assert_eq!(codes(&format!("a: [{}]", "x, ".repeat(300_000))), ["too-many-values"]);
    // A chain of outputs as long as a manifest can hold.
    let mut chain = format!("{head}jobs: {{ a: {{ run: ls }} }}\noutputs:\n  a0: end\n");
    for i in 1..15_000 {
        chain += &format!("  a{i}: \"${{outputs.a{}}}\"\n", i - 1);
    }
    assert_eq!(good(&chain).outputs.len(), 15_000);
}

#[test]
fn parsing_the_same_text_twice_says_the_same() {
    for path in manifests("bad").values() {
        assert_eq!(manifest::load(path), manifest::load(path));
    }
}

// The schema and the parser.

#[test]
fn the_schema_on_disk_is_the_schema_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/manifest.schema.json");
    let made = format!("{}\n", serde_json::to_string_pretty(&manifest::json_schema()).unwrap());
    if std::env::var_os("ALIFORM_BLESS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == made, "schemas/manifest.schema.json is not up to date; run `ALIFORM_BLESS=1 cargo test --test manifest schema`");
}

/// Every table of the schema, with the YAML that leads to it around `{}`.
const TABLES: [(&str, &str); 19] = [
    ("", "{}"),
    ("Budget", "budget: {}"),
    ("Network", "network: {}"),
    ("Vpc", "network: { vpc: {} }"),
    ("VSwitch", "network: { vswitches: [{}] }"),
    ("App", "apps: { x: {} }"),
    ("Instance", "apps: { x: { instance: {} } }"),
    ("Gpu", "apps: { x: { instance: { gpu: {} } } }"),
    ("Public", "apps: { x: { public: {} } }"),
    ("Secret", "apps: { x: { env: { A: {} } } }"),
    ("Health", "apps: { x: { health: {} } }"),
    ("Rollout", "apps: { x: { rollout: {} } }"),
    ("Job", "jobs: { x: {} }"),
    ("Cluster", "jobs: { x: { cluster: {} } }"),
    ("Needs", "jobs: { x: { needs: {} } }"),
    ("Gpu", "jobs: { x: { needs: { gpu: {} } } }"),
    ("Spot", "jobs: { x: { spot: {} } }"),
    ("Budget", "jobs: { x: { budget: {} } }"),
    ("Secret", "jobs: { x: { env: { A: {} } } }"),
];

fn definition<'s>(schema: &'s Json, table: &str) -> &'s Json {
    if table.is_empty() { schema } else { &schema["$defs"][table] }
}

#[test]
fn the_parser_and_the_schema_know_the_same_keys() {
    let schema = manifest::json_schema();
    let defined: BTreeSet<&str> = schema["$defs"].as_object().unwrap().keys().map(String::as_str).collect();
    let reached: BTreeSet<&str> = TABLES.iter().map(|(table, _)| *table).filter(|table| !table.is_empty()).collect();
    assert_eq!(defined, reached, "a table of the schema is not compared with the parser");
    for (table, around) in TABLES {
        let definition = definition(&schema, table);
        assert_eq!(definition["additionalProperties"], json!(false), "{table}");
        let keys: BTreeSet<&str> = definition["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        for key in &keys {
            let text = around.replacen("{}", &format!("{{ {key}: ~ }}"), 1);
            let complaints = complaints(&text);
            assert!(
                !complaints.iter().any(|complaint| complaint.code == "unknown-key"),
                "the parser does not know:\n{}",
                render(&complaints)
            );
        }
        // The other way round: the keys that the parser says it knows.
        let text = around.replacen("{}", "{ qqqqqqqqqqqq: 1 }", 1);
        let complaint = complaints(&text).into_iter().find(|complaint| complaint.code == "unknown-key").unwrap();
        let hint = complaint.hints[0].strip_prefix("its keys are ").unwrap();
        let known: BTreeSet<&str> = hint.split(", ").map(|key| key.trim_matches('`')).collect();
        assert_eq!(known, keys, "{table}");
    }
}

#[test]
fn the_parser_and_the_schema_require_the_same_keys() {
    let schema = manifest::json_schema();
    for (table, around) in TABLES {
        let required: BTreeSet<String> = definition(&schema, table)["required"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|key| format!("the key `{}`", key.as_str().unwrap()))
            .collect();
        let missing: BTreeSet<String> = complaints(&around.replacen("{}", "{ qqqq: 1 }", 1))
            .into_iter()
            .filter(|complaint| complaint.code == "missing-key")
            .filter_map(|complaint| complaint.message.split_once(" needs ").map(|(whole, key)| (whole.to_owned(), key.to_owned())))
            .filter(|(whole, key)| {
                !key.starts_with("one of") && !key.contains('.') && (table.is_empty() || whole != "the manifest") && inner(around, whole)
            })
            .map(|(_, key)| key)
            .collect();
        assert_eq!(missing, required, "{table}");
    }
}

/// Whether a name from the top is the innermost of the YAML around a table.
fn inner(around: &str, whole: &str) -> bool {
    let keys: Vec<&str> = around.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty()).collect();
    let name = whole.trim_matches('`').replace("[0]", "");
    around == "{}" || name == keys.join(".")
}

#[test]
fn every_region_and_runtime_of_the_schema_is_taken() {
    let schema = manifest::json_schema();
    for region in schema["properties"]["region"]["enum"].as_array().unwrap() {
        good(&format!("version: 1\nstack: s\nregion: {}\njobs: {{ a: {{ run: ls }} }}\n", region.as_str().unwrap()));
    }
    for runtime in schema["$defs"]["App"]["properties"]["runtime"]["enum"].as_array().unwrap() {
        good(&format!("version: 1\nstack: s\napps: {{ a: {{ source: app, runtime: {} }} }}\n", runtime.as_str().unwrap()));
    }
}

// Any text.

/// A good or bad manifest, and some places in it to change.
fn mutated() -> impl Strategy<Value = String> {
    let texts: Vec<String> =
        manifests("good").values().chain(manifests("bad").values()).filter_map(|path| std::fs::read_to_string(path).ok()).collect();
    let pieces = [
        "",
        "\n",
        "  ",
        "\t",
        ":",
        "- ",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "'",
        "|",
        "&a ",
        "*a",
        "<<: ",
        "!!str ",
        "~",
        "-1",
        "0",
        "99999999999999999999",
        "1e9",
        "true",
        "é",
        "\u{0}",
        "\u{feff}",
        "${",
        "}",
        "10.0.0.0/8",
        "i-1",
        "cn-beijing",
        "3 CNY",
        "\r",
        "---\n",
        "? ",
        "# ",
        "%",
        "@",
        "`",
        "ﬃ",
    ];
    let change = (any::<prop::sample::Index>(), 0..12_usize, prop::sample::select(pieces.to_vec()));
    (prop::sample::select(texts), prop::collection::vec(change, 0..6)).prop_map(|(text, changes)| {
        let mut characters: Vec<char> = text.chars().collect();
        for (place, length, piece) in changes {
            let at = place.index(characters.len() + 1);
            let end = (at + length).min(characters.len());
            characters.splice(at..end, piece.chars());
        }
        characters.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_parser_panic_and_what_it_takes_the_schema_takes(text in mutated()) {
        match manifest::parse("aliform.yaml", &text, &folder("good")) {
            Ok(_) => {
                if let Some(json) = as_json(&text) {
                    let schema = jsonschema::validator_for(&manifest::json_schema()).unwrap();
                    prop_assert!(schema.is_valid(&json), "the parser takes what the schema refuses:\n{text}");
                }
            }
            Err(complaints) => {
                prop_assert!(!complaints.is_empty());
                for place in complaints.iter().filter_map(|complaint| complaint.location.as_ref()) {
                    prop_assert!(place.column as usize <= place.text.chars().count() + 1, "{place:?}");
                }
            }
        }
    }

    #[test]
    fn no_noise_makes_the_parser_panic(text in any::<String>()) {
        let _ = manifest::parse("aliform.yaml", &text, Path::new("."));
    }
}
