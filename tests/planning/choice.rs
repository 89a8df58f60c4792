//! What is chosen for the user, and that it stays chosen.

use crate::stage::{Stage, Type, actions, address, change, web};

fn spec(stage: &Stage, field: &str) -> String {
    stage.plan().wanted[&address("instance.web-1")].spec[field].as_str().unwrap().to_owned()
}

#[test]
fn the_cheapest_type_wins_then_the_newer_then_the_name() {
    let mut stage = Stage::new(&web("port: 8080\ninstance: { cpu: 2, memory: 4GiB }"));
    // Three at one price; the one for another architecture is cheaper and can't run the image.
    assert_eq!(spec(&stage, "instance_type"), "ecs.c7.large");
    stage.lookup.types.push(Type("ecs.t1.large", 2, 4, "X86", Some("0.2"), vec!["cn-hangzhou-j"]));
    stage.lookup.types.rotate_right(1);
    assert_eq!(spec(&stage, "instance_type"), "ecs.t1.large");
    assert_eq!(spec(&stage, "zone"), "cn-hangzhou-j");
}

#[test]
fn a_size_that_nobody_sells_is_rounded_up() {
    let stage = Stage::new(&web("port: 8080\ninstance: { cpu: 3, memory: 5GiB }"));
    assert_eq!(spec(&stage, "instance_type"), "ecs.c7.xlarge");
}

#[test]
fn a_choice_stays_when_prices_move_and_goes_when_it_is_opened() {
    let mut stage = Stage::new(&web("port: 8080\ninstance: { cpu: 2, memory: 4GiB }"));
    stage.applied();
    stage.lookup.types[1].4 = Some("0.01");
    assert_eq!(actions(&stage.plan()), Vec::<String>::new());
    stage.decided.clear();
    let plan = stage.plan();
    assert_eq!(change(&plan, "instance.web-1").fields[0].after, "ecs.e-c1m2.large");
}

#[test]
fn what_cannot_be_had_is_said_before_anything_is_made() {
    for (lines, said) in [
        ("instance: { type: ecs.nothing.large }", "there is no instance type `ecs.nothing.large`"),
        ("instance: { type: ecs.c8y.large }", "`ecs.c8y.large` has ARM processors"),
        ("instance: { cpu: 64, memory: 512GiB }", "no instance type with 64 vCPU, 512GiB is in stock in `cn-hangzhou`"),
        ("os: no-such-family", "there is no image of family `no-such-family` in `cn-hangzhou`"),
        ("instance: { cpu: 2, gpu: { model: NVIDIA T5 } }", "there is no instance type with a GPU `NVIDIA T5`; there are "),
        ("source: https://example.com/shop.git", "the source `https://example.com/shop.git` would have to be cloned"),
    ] {
        let lines = if lines.starts_with("source") { web("").replace("source: web", lines) } else { web(lines) };
        let refusal = Stage::new(&lines).refusal();
        assert!(refusal.starts_with(said), "{refusal}");
    }
    let mut stage = Stage::new(&web("port: 8080\ninstance: { type: ecs.g7.large }"));
    stage.lookup.image_size = 60;
    assert!(stage.refusal().starts_with("a disk of 40 GiB is too small for the image `m-cn-hangzhou`"), "{}", stage.refusal());
}

#[test]
fn the_region_follows_from_what_is_fetched() {
    let region = |manifest: &str, files: &[(&str, &str)]| {
        let mut stage = Stage::new(manifest);
        stage.lookup.types.push(Type("ecs.x.large", 2, 4, "X86", Some("0.2"), vec!["ap-southeast-1a", "cn-hangzhou-h"]));
        files.iter().for_each(|(name, text)| stage.write(name, text));
        let plan = stage.plan();
        (plan.region.clone(), plan.decisions["region"].because.clone())
    };
    let auto = |lines: &str| web(lines).replace("region: cn-hangzhou\n", "");
    let python = ("web/requirements.txt", "flask==3.0.0\n");
    let app = ("web/app.py", "from flask import Flask\napp = Flask(__name__)\n");
    assert_eq!(region(&auto("port: 8080"), &[]), ("cn-hangzhou".to_owned(), "nothing is fetched from hosts overseas".to_owned()));
    let (chosen, because) = region(&auto("port: 8080"), &[python, app]);
    assert_eq!(chosen, "ap-southeast-1");
    assert!(because.starts_with("app `web` runs `pip install -r requirements.txt gunicorn` (requirements.txt), which"), "{because}");
    let mirror = ("web/pip.conf", "[global]\nindex-url = https://mirrors.aliyun.com/pypi/simple/\n");
    assert_eq!(region(&auto("port: 8080"), &[python, app, mirror]).0, "cn-hangzhou");
    let (chosen, because) = region(&auto("port: 8080\nbuild: curl -fsSLO https://example.com/model.bin"), &[]);
    assert_eq!(
        (chosen.as_str(), because.as_str()),
        (
            "ap-southeast-1",
            "app `web` runs `curl -fsSLO https://example.com/model.bin` (aliform.yaml:7), which fetches from hosts overseas"
        )
    );
    assert_eq!(region(&auto("port: 8080\nbuild: curl -fsSLO https://mirrors.aliyun.com/model.bin"), &[]).0, "cn-hangzhou");
    assert_eq!(region(&web("port: 8080"), &[python, app]), ("cn-hangzhou".to_owned(), "named at aliform.yaml:3".to_owned()));
}

#[test]
fn a_region_once_chosen_stays() {
    let mut stage = Stage::new(&web("port: 8080").replace("region: cn-hangzhou\n", ""));
    stage.applied();
    stage.write("web/style.css", "p { color: blue }");
    stage.manifest(&web("port: 8080\nbuild: git clone https://github.com/a/b").replace("region: cn-hangzhou\n", ""));
    assert_eq!(stage.plan().region, "cn-hangzhou");
}

#[test]
fn a_plan_says_what_may_be_taken_for_a_machine_that_is_sold_out() {
    let fallbacks = |lines: &str| {
        let plan = Stage::new(&web(lines)).plan();
        let list = plan.fallbacks.get(&address("instance.web-1")).cloned().unwrap_or_default();
        list.iter().map(|fallback| format!("{} {} {}", fallback.instance_type, fallback.zone, fallback.hourly)).collect::<Vec<_>>()
    };
    // The same type in the other zone, then what has as much, the cheapest first; ecs.g8i.large is too dear.
    let four =
        ["ecs.c7.large cn-hangzhou-j 0.25 CNY", "ecs.e-c1m2.large cn-hangzhou-h 0.25 CNY", "ecs.u1-c1m2.large cn-hangzhou-h 0.25 CNY"];
    assert_eq!(fallbacks("port: 8080\ninstance: { cpu: 2, memory: 4GiB }"), four);
    // A type that somebody named has no siblings, and one without a price nothing to be compared with.
    assert_eq!(fallbacks("port: 8080\ninstance: { type: ecs.g7.large }"), ["ecs.g7.large cn-hangzhou-j 0.50 CNY"]);
    assert_eq!(fallbacks("port: 8080\ninstance: { type: ecs.r7.large }"), Vec::<String>::new());
    let vpc = web("port: 8080\ninstance: { cpu: 2, memory: 8GiB }") + "budget: { hourly: 0.52 CNY }\n";
    let plan = Stage::new(&vpc).plan();
    let list = &plan.fallbacks[&address("instance.web-1")];
    assert!(list.iter().all(|fallback| fallback.instance_type == "ecs.g7.large"), "ecs.g8i.large is over the budget: {list:?}");
}

#[test]
fn what_is_there_already_has_no_fallback() {
    let mut stage = Stage::new(&web("port: 8080\ninstance: { cpu: 2, memory: 4GiB }"));
    stage.applied();
    assert!(stage.plan().fallbacks.is_empty());
    stage.decided.clear();
    assert!(stage.plan().fallbacks.is_empty());
}

fn job(lines: &str) -> String {
    format!(
        "version: 1\nstack: lab\nregion: cn-hangzhou\njobs:\n  work:\n{}",
        lines.lines().map(|line| format!("    {line}\n")).collect::<String>()
    )
}

#[test]
fn a_gpu_is_chosen_by_its_model_and_nothing_else_gets_one() {
    let mut stage = Stage::new(&job("run: echo hello\nneeds: { gpu: { model: NVIDIA T4 } }"));
    stage.lookup.types.push(Type("ecs.gn6i-c4g1.xlarge", 4, 15, "X86", Some("0.01"), vec!["cn-hangzhou-h"]));
    let type_of = |stage: &Stage| stage.plan().wanted[&address("instance.work")].spec["instance_type"].as_str().unwrap().to_owned();
    assert_eq!(type_of(&stage), "ecs.gn6i-c4g1.xlarge");
    // However cheap it is.
    stage.manifest(&job("run: echo hello\nneeds: { cpu: 4, memory: 8GiB }"));
    assert_eq!(type_of(&stage), "ecs.c7.xlarge");
    stage.manifest(&job("run: echo hello\nneeds: { gpu: { model: NVIDIA H9 } }"));
    assert!(stage.refusal().contains("there is no instance type with a GPU `NVIDIA H9`; there are NVIDIA T4"), "{}", stage.refusal());
}

#[test]
fn processors_follow_from_needs_and_image_and_have_to_agree() {
    let stage = |lines: &str| Stage::new(&web(lines));
    assert_eq!(spec(&stage("port: 8080\ninstance: { cpu: 2, memory: 4GiB, arch: arm }"), "instance_type"), "ecs.c8y.large");
    let arm = "os: acs:alibaba_cloud_linux_3_2104_lts_arm64\nport: 8080";
    assert_eq!(spec(&stage(&format!("{arm}\ninstance: {{ cpu: 2, memory: 4GiB }}")), "instance_type"), "ecs.c8y.large");
    assert_eq!(spec(&stage(&format!("{arm}\ninstance: {{ type: ecs.c8y.large }}")), "instance_type"), "ecs.c8y.large");
    let refusal = stage(&format!("{arm}\ninstance: {{ type: ecs.g7.large }}")).refusal();
    assert!(
        refusal.starts_with("`ecs.g7.large` has X86 processors, and the image `acs:alibaba_cloud_linux_3_2104_lts_arm64` is for arm"),
        "{refusal}"
    );
    let refusal = stage(&format!("{arm}\ninstance: {{ cpu: 2, arch: x86 }}")).refusal();
    assert!(refusal.starts_with("`x86` is asked for, and the image is for ARM"), "{refusal}");
}

#[test]
fn an_unnamed_product_follows_from_the_work_and_stays() {
    const TRAIN: &str = "import torch\nloss.backward()\n";
    let mut stage = Stage::new(&job("script: train.sh\nneeds: { cpu: 2, memory: 4GiB }"));
    let decided = |stage: &Stage| {
        let plan = stage.plan();
        let decision = plan.decisions.iter().find(|(key, _)| key.starts_with("jobs.work.product[")).unwrap().1.clone();
        let rejected: Vec<String> = decision.rejected.iter().map(|rejected| format!("{}: {}", rejected.option, rejected.because)).collect();
        (decision.chosen, decision.because, rejected.len())
    };
    stage.write("train.sh", "echo hello\n");
    let general = ("ecs".to_owned(), "it is no service, trains no model and runs no containers".to_owned(), 3);
    assert_eq!(decided(&stage), general);
    // A service runs on a machine or in a cluster; the cluster costs as much and starts later.
    stage.write("train.sh", "python3 -m http.server 80\n");
    let (chosen, because, rejected) = decided(&stage);
    assert_eq!((chosen.as_str(), rejected), ("ecs", 3));
    assert!(because.starts_with("it answers requests until it is stopped: `python3 -m http.server 80` (train.sh:1); ecs."), "{because}");
    let offers = stage.plan().offers["jobs.work"].clone();
    let products: std::collections::BTreeSet<&str> = offers.iter().map(|offer| offer.product.as_str()).collect();
    assert_eq!(products.into_iter().collect::<Vec<_>>(), ["ack", "ecs"]);
    assert!(offers.iter().all(|offer| !offer.because.is_empty()) && offers[0].chosen);
    // What was decided is not asked for again.
    stage.applied();
    assert!(stage.plan().offers.is_empty());
    stage.decided.clear();

    // Training goes to what asks least; where that can't be planned yet, the product is named, never another one taken.
    stage.manifest(&job("run: python3 train.py\nneeds: { cpu: 2, memory: 4GiB }"));
    stage.write("train.py", TRAIN);
    assert!(stage.try_resolve().map_or_else(|error| error.to_string().contains("it would run on `pai`"), |_| true));
    stage.manifest(&job("run: python3 train.py\nproduct: ecs\nneeds: { cpu: 2, memory: 4GiB }"));
    assert!(stage.plan().decisions.keys().all(|key| !key.contains("product")), "a named product is no choice");
}

#[test]
fn a_spot_machine_has_its_cap_in_the_spec_and_a_warning_in_the_plan() {
    let stage = Stage::new(&job("run: echo hello\nspot: { cap: 0.3 CNY }\nneeds: { cpu: 2, memory: 4GiB }"));
    let plan = stage.plan();
    assert_eq!(plan.wanted[&address("instance.work")].spec["spot"]["cap"], "0.3 CNY");
    assert!(plan.findings.iter().any(|finding| finding.id == "spot-may-be-reclaimed"));
    assert!(plan.fallbacks[&address("instance.work")].iter().all(|fallback| fallback.hourly.to_string() == "0.25 CNY"));
    stage.manifest(&job("run: echo hello\nspot: { cap: 0.2 CNY }\nneeds: { cpu: 2, memory: 4GiB }"));
    assert!(
        stage.refusal().starts_with("the market asks more than 0.2 CNY an hour for everything with 2 vCPU, 4GiB, spot"),
        "{}",
        stage.refusal()
    );
}

#[test]
fn one_replica_may_stand_elsewhere_than_the_others() {
    let mut stage = Stage::new(&web("port: 8080\nreplicas: 2\ninstance: { type: ecs.g7.large }"));
    let fallbacks = stage.plan().fallbacks;
    assert_eq!(fallbacks[&address("instance.web-2")][0].zone, "cn-hangzhou-j");
    assert_eq!(stage.plan().standby.keys().map(ToString::to_string).collect::<Vec<_>>(), ["vswitch.cn-hangzhou-j"]);
    // What an apply wrote down when it took that.
    let taken = |chosen: &str| aliform::model::decision::Decision {
        chosen: chosen.to_owned(),
        because: "sold out".to_owned(),
        rejected: Vec::new(),
    };
    let key = aliform::model::offer::place_key(&address("instance.web-2"), "cn-hangzhou-h", "ecs.g7.large");
    stage.decided.insert(key, taken("cn-hangzhou-j ecs.g7.large"));
    let plan = stage.plan();
    let stands = |name: &str| (plan.wanted[&address(name)].spec["zone"].clone(), plan.wanted[&address(name)].spec["vswitch_id"].clone());
    assert_eq!(stands("instance.web-1").0, "cn-hangzhou-h");
    assert_eq!(stands("instance.web-2"), ("cn-hangzhou-j".into(), serde_json::json!({ "$pending": "vswitch.cn-hangzhou-j.id" })));
    // Applied, nothing is to be moved.
    stage.applied();
    assert_eq!(actions(&stage.plan()), Vec::<String>::new());
}
