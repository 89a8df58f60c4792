//! Every key of a job on every product: it changes what is wanted, or is refused where it stands. Nothing is left out in
//! silence.

use aliform::model::decision::Decision;
use aliform::model::diagnostic::Location;
use aliform::pricing::existing::Existing;
use aliform::{manifest, model::offer::Offer};
use serde_json::json;

use crate::stage::{Stage, Type, address};

const PRODUCTS: [&str; 4] = ["ecs", "fc", "ack", "pai"];
const IMAGE: &str = "registry.cn-hangzhou.aliyuncs.com/lab/train:1";

/// A key and the products that refuse it.
const KEYS: &[(&str, &[&str])] = &[
    ("needs: { cpu: 4 }", &[]),
    ("needs: { memory: 16GiB }", &[]),
    // A function with a GPU is a container, and there is no image.
    ("needs: { gpu: { model: NVIDIA T4 } }", &["fc"]),
    ("needs: { arch: arm }", &["fc", "ack", "pai"]),
    ("image: registry.cn-hangzhou.aliyuncs.com/lab/train:1", &["ecs"]),
    ("cluster: { edition: pro }", &["ecs", "fc", "pai"]),
    ("workers: 3", &["ecs", "fc", "ack"]),
    ("spot: true", &["fc", "pai"]),
    ("spot: { cap: 0.5 CNY }", &["fc", "pai"]),
    ("matrix: { SEED: [1, 2] }", &[]),
    ("max_parallel: 2", &["ecs", "fc", "ack", "pai"]),
    ("keep: true", &["fc"]),
    ("timeout: 20m", &[]),
    ("outputs: [model/]", &[]),
    ("env: { EPOCHS: '3' }", &[]),
    ("env: { TOKEN: { from: env:TOKEN } }", &[]),
    ("budget: { total: 5 CNY }", &[]),
    ("budget: { hourly: 5 CNY }", &[]),
    // No job has these.
    ("disk: 100GiB", &["ecs", "fc", "ack", "pai"]),
    ("port: 8080", &["ecs", "fc", "ack", "pai"]),
    ("framework: pytorch", &["ecs", "fc", "ack", "pai"]),
    ("replicas: 2", &["ecs", "fc", "ack", "pai"]),
    ("public: { bandwidth: 5Mbps }", &["ecs", "fc", "ack", "pai"]),
];

fn lab(product: &str, key: &str) -> String {
    format!("version: 1\nstack: lab\nregion: cn-hangzhou\njobs:\n  train:\n    run: echo hello\n    product: {product}\n    {key}\n")
}

fn stage(text: &str) -> Stage {
    let mut stage = Stage::new(text);
    let both = || vec!["cn-hangzhou-h", "cn-hangzhou-j"];
    stage.lookup.types.extend([
        Type("ecs.gn6i-c4g1.xlarge", 4, 15, "X86", Some("11"), both()),
        Type("ecs.gn6i-c8g1.2xlarge", 8, 31, "X86", Some("14"), both()),
        Type("ecs.g7.xlarge", 4, 16, "X86", Some("1"), both()),
        Type("ecs.r7.xlarge", 4, 32, "X86", Some("1.4"), both()),
    ]);
    stage.lookup.specs.push(("ecs.g7.xlarge", 4, 16, 0, "", true));
    stage
}

/// Everything that is wanted, in words; or the place and the words of the refusal.
fn outcome(text: &str) -> Result<String, (Location, String)> {
    if let Err(errors) = manifest::parse("aliform.yaml", text, std::path::Path::new("/")) {
        let error = &errors[0];
        assert!(!error.hints.is_empty(), "{error:?}");
        return Err((error.location.clone().unwrap(), error.message.clone()));
    }
    match stage(text).try_resolve() {
        Ok((resolved, limits)) => Ok(format!("{:?}{:?}{limits:?}", resolved.desired.nodes, resolved.desired.released)),
        Err(error) => {
            assert!(error.hint().is_some(), "{error}");
            Err((error.location().unwrap().clone(), error.to_string()))
        }
    }
}

#[test]
fn a_key_works_or_is_refused_where_it_stands() {
    for product in PRODUCTS {
        let without = outcome(&lab(product, "")).unwrap();
        for (key, refusing) in KEYS {
            match outcome(&lab(product, key)) {
                Ok(with) => {
                    assert!(!refusing.contains(&product), "`{key}` is not refused on {product}");
                    assert_ne!(with, without, "`{key}` changes nothing on {product}");
                }
                Err((place, message)) => {
                    assert!(refusing.contains(&product), "`{key}` is refused on {product}: {message}");
                    // A GPU is refused for the product's sake, all others where they are written.
                    let lines = if key.contains("gpu") { 5..=8 } else { 8..=8 };
                    assert!(lines.contains(&place.line), "`{key}` on {product}: {message} at {place:?}");
                }
            }
        }
    }
}

#[test]
fn without_a_product_the_keys_say_which_it_is_or_don_t_go_together() {
    let auto = |lines: &str| format!("version: 1\nstack: lab\nregion: cn-hangzhou\njobs:\n  train:\n    run: echo hello\n{lines}");
    for (lines, wanted) in [
        (format!("    image: {IMAGE}\n"), "kubernetes_job.train"),
        ("    cluster: { edition: pro }\n".to_owned(), "kubernetes_job.train"),
        ("    workers: 3\n".to_owned(), "training_job.train"),
        (format!("    workers: 3\n    image: {IMAGE}\n"), "training_job.train"),
        ("    spot: true\n".to_owned(), "run.train"),
        (format!("    spot: true\n    image: {IMAGE}\n"), "kubernetes_job.train"),
        ("    spot: true\n    cluster: { edition: pro }\n".to_owned(), "kubernetes_job.train"),
        ("    needs: { arch: arm }\n".to_owned(), "run.train"),
    ] {
        let desired = stage(&auto(&lines)).resolve().desired;
        assert!(desired.nodes.contains_key(&address(wanted)), "{lines}: {:?}", desired.nodes.keys());
    }
    for (first, second) in [
        ("image: python:3", "needs: { arch: arm }"),
        ("cluster: { name: lab }", "workers: 2"),
        ("workers: 2", "spot: true"),
        ("workers: 2", "needs: { arch: arm }"),
    ] {
        let (place, message) = outcome(&auto(&format!("    {first}\n    {second}\n"))).unwrap_err();
        assert!(message.contains("don't go together"), "{first}, {second}: {message}");
        assert!((7..=8).contains(&place.line), "{place:?}");
    }
    // The runs of a matrix are wanted of any of them, and a cluster that exists sells no nodes.
    for (lines, wanted) in [
        (format!("    image: {IMAGE}\n    matrix: {{ SEED: [1, 2] }}\n"), "kubernetes_job."),
        ("    workers: 2\n    matrix: { SEED: [1, 2] }\n".to_owned(), "training_job."),
    ] {
        let nodes = stage(&auto(&lines)).resolve().desired.nodes;
        assert_eq!(nodes.keys().filter(|address| address.to_string().starts_with(wanted)).count(), 2, "{lines}: {:?}", nodes.keys());
    }
    let (place, message) = outcome(&auto("    cluster: { name: lab }\n    spot: true\n")).unwrap_err();
    assert!(message.contains("nodes of a cluster that exists are not bought") && place.line == 8, "{message} at {place:?}");
    // A choice of before that the keys of today forbid counts no more.
    let mut stage = stage(&auto("    workers: 3\n"));
    let decided = Decision { chosen: "ecs".to_owned(), because: "it was".to_owned(), rejected: Vec::new() };
    stage.decided.insert("jobs.train.product[script, 2 vCPU, 4GiB]".to_owned(), decided);
    assert!(stage.resolve().desired.nodes.contains_key(&address("training_job.train")));
}

#[test]
fn a_script_that_installs_with_the_wrong_program_is_refused_on_every_product() {
    for (product, lines, wrong, right) in [
        ("ecs", String::new(), "apt-get", "dnf"),
        ("fc", String::new(), "yum", "apt-get"),
        ("fc", "    image: registry.cn-hangzhou.aliyuncs.com/lab/train:1-ubuntu24.04\n".to_owned(), "dnf", "apt-get"),
        ("ack", String::new(), "apt-get", "dnf"),
        ("ack", "    image: python:3.12\n".to_owned(), "yum", "apt-get"),
        ("pai", "    image: lab/train:ubuntu\n".to_owned(), "dnf", "apt-get"),
    ] {
        let text = |program: &str| lab(product, "").replace("run: echo hello", &format!("run: {program} install -y jq")) + &lines;
        let error = stage(&text(wrong)).try_resolve().map(|_| ()).unwrap_err();
        let said = format!("{error:?}");
        assert!(said.contains("wrong-package-manager") && said.contains(wrong) && said.contains("aliform.yaml"), "{product}: {said}");
        assert!(stage(&text(right)).try_resolve().is_ok(), "{product}");
    }
    // Of an image that says nothing of itself nothing is said.
    let text = lab("ack", &format!("image: {IMAGE}")).replace("run: echo hello", "run: yum install -y jq");
    assert!(stage(&text).try_resolve().is_ok());
}

#[test]
fn a_function_and_a_training_job_are_let_into_a_network_that_exists() {
    let text = |product: &str, network: &str| lab(product, "") + "network: " + network + "\n";
    let whole = "{ vpc: { id: vpc-1 }, vswitch: vsw-1, security_group: sg-1 }";
    let there = |text: &str| {
        let mut stage = stage(text);
        stage.lookup.existing.insert("vpc-1", Existing::Vpc { cidr: "10.0.0.0/8".to_owned() });
        let vswitch = Existing::VSwitch { vpc_id: "vpc-1".to_owned(), zone: "cn-hangzhou-h".to_owned(), cidr: "10.1.0.0/24".to_owned() };
        stage.lookup.existing.insert("vsw-1", vswitch);
        stage.lookup.existing.insert("sg-1", Existing::SecurityGroup { vpc_id: "vpc-1".to_owned() });
        stage
    };
    for (product, resource) in [("fc", "function.train"), ("pai", "training_job.train")] {
        let desired = there(&text(product, whole)).resolve().desired;
        let network = &desired.nodes[&address(resource)].spec["network"];
        assert_eq!(*network, json!({ "vpc_id": "vpc-1", "vswitch_id": "vsw-1", "security_group_id": "sg-1" }), "{product}");
        assert!(desired.nodes.keys().all(|address| !address.to_string().starts_with("vpc.")));
        let error = there(&text(product, "{ vpc: { id: vpc-1 } }")).try_resolve().map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("by a subnet and a security group") && error.location().unwrap().line == 9, "{error}");
        // One that would be made is for machines: that is said, with its place.
        let desired = there(&text(product, "{ vpc: { cidr: 10.0.0.0/16 } }")).resolve().desired;
        let finding = desired.findings.iter().find(|finding| finding.id == "outside-the-network").unwrap();
        assert_eq!(finding.evidence.as_ref().unwrap().line, 9);
    }
}

#[test]
fn a_training_script_with_a_gpu_weighs_pai_and_fc_and_every_loser_has_its_reason() {
    let text = |lines: &str| {
        format!(
            "version: 1\nstack: lab\nregion: cn-hangzhou\njobs:\n  train:\n    script: train.py\n    needs: {{ gpu: {{ model: NVIDIA T4 }} }}\n{lines}"
        )
    };
    let chosen = |lines: &str, price: &'static str| {
        let mut stage = stage("");
        stage.lookup.types.retain(|known| known.0 != "ecs.gn6i-c8g1.2xlarge");
        for known in stage.lookup.types.iter_mut().filter(|known| known.0.contains("gn6i")) {
            known.4 = Some(price);
        }
        stage.write("train.py", "import torch\nloss.backward()\n");
        stage.manifest(&text(lines));
        let desired = stage.resolve().desired;
        let decision = desired.decisions.iter().find(|(key, _)| key.contains(".product[")).unwrap().1.clone();
        let offers: Vec<Offer> = desired.offers["jobs.train"].clone();
        (decision, offers)
    };
    // A function needs an image of one's own.
    let (decision, _) = chosen("", "11");
    assert_eq!(decision.chosen, "pai");
    let reason =
        |decision: &Decision, product: &str| decision.rejected.iter().find(|other| other.option == product).unwrap().because.clone();
    assert!(reason(&decision, "fc").contains("names no image"), "{decision:?}");
    // With one, money decides: 15.84 CNY an hour for a T4 with 4 vCPU and 16 GiB.
    let image = format!("    image: {IMAGE}\n");
    let (decision, offers) = chosen(&image, "11");
    assert_eq!(decision.chosen, "pai");
    assert!(reason(&decision, "fc").contains("15.8400 CNY an hour: 4.8400 CNY more, though it starts"), "{decision:?}");
    let function = offers.iter().find(|offer| offer.product == "fc").unwrap();
    assert_eq!((function.vcpu, function.gpu.as_deref()), (4, Some("1 x NVIDIA T4")));
    let (decision, _) = chosen(&image, "20");
    assert_eq!(decision.chosen, "fc");
    assert!(reason(&decision, "pai").contains("4.1600 CNY more"), "{decision:?}");
    for product in ["ecs", "ack"] {
        assert!(!reason(&decision, product).is_empty());
    }
}
