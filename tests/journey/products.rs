//! One script on every product, and the example that shares machines.

use serde_json::Value as Json;

use crate::stage::Stage;

const SCRIPT: &str = "import os\nprint('hello from', os.environ['WHO'])\nopen('out.txt', 'w').write('made by ' + os.environ['WHO'])\n";

#[test]
fn the_same_script_ends_the_same_on_every_product_and_leaves_nothing() {
    for product in ["ecs", "fc", "ack", "pai"] {
        let stage = Stage::empty();
        stage.write("greet.py", SCRIPT);
        let arguments = ["run", "greet.py", "--product", product, "--region", "cn-hangzhou", "--cpu", "2", "--memory", "4GiB"];
        let more = ["--timeout", "5m", "--env", &format!("WHO={product}"), "--fetch", "out.txt", "--auto-approve", "--output", "ndjson"];
        let ran = stage.run(&[&arguments[..], &more].concat()).expect(0);
        assert!(ran.stdout.contains(&format!("hello from {product}")), "{product}: {}", ran.stdout);
        let last: Json = serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
        let receipt = &last["result"];
        let facts = (&receipt["product"], &receipt["exit_code"], &receipt["left"]);
        assert_eq!(facts, (&product.into(), &0.into(), &Json::Array(Vec::new())), "{product}: {receipt}");
        assert!(!receipt["cost"]["sums"].as_array().unwrap().is_empty(), "{product}: {receipt}");
        let brought = std::fs::read_to_string(stage.file("outputs/greet/out.txt")).unwrap();
        assert_eq!(brought, format!("made by {product}"));
        assert!(stage.resources().is_empty(), "{product}: {:?}", stage.resources());
    }
}

#[test]
fn commands_need_no_file() {
    for product in ["ecs", "fc", "ack", "pai"] {
        let stage = Stage::empty();
        let job = format!("{{ run: echo made > out, product: {product}, needs: {{ cpu: 2, memory: 4GiB }}, timeout: 5m, outputs: [out] }}");
        stage.write("aliform.yaml", &format!("version: 1\nstack: lab\nregion: cn-hangzhou\njobs:\n  hi: {job}\n"));
        stage.run(&["run", "hi", "--auto-approve"]).expect(0);
        assert_eq!(std::fs::read_to_string(stage.file("outputs/hi/out")).unwrap(), "made\n", "{product}");
    }
}

#[test]
fn the_example_of_machines_that_are_shared_runs() {
    let stage = Stage::example("job-ecs");
    stage.run(&["run", "sweep", "--auto-approve"]).expect(0);
    let result = |folder: &str| std::fs::read_to_string(stage.file(&format!("outputs/sweep/{folder}/result.txt"))).unwrap();
    assert_eq!(result("RATE=0.3,STEPS=100"), "3.000000\n");
    assert_ne!(result("RATE=0.1,STEPS=10"), result("RATE=0.1,STEPS=100"));
    assert!(stage.resources().is_empty());
}
