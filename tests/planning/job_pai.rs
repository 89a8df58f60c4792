//! Jobs as training jobs of PAI: workspace, what the pods run on, image, price.

use aliform::model::change::Action;
use aliform::plan::saved::Plan;
use serde_json::{Value as Json, json};

use crate::stage::{Stage, Type, address, change};

fn lab(lines: &str) -> String {
    let indented: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    format!("version: 1\nstack: my-lab\nregion: cn-hangzhou\njobs:\n  train:\n    product: pai\n    timeout: 30m\n{indented}")
}

fn staged(script: &str, lines: &str) -> Stage {
    let stage = Stage::new(&lab(&format!("script: train.py\n{lines}")));
    stage.write("train.py", &format!("{script}\nprint(2)\n"));
    stage
}

fn spec<'a>(plan: &'a Plan, field: &str) -> &'a Json {
    &plan.wanted[&address("training_job.train")].spec[field]
}

#[test]
fn a_training_job_needs_a_workspace_and_its_files_and_all_of_it_is_released() {
    let plan = staged("print(1)", "").plan();
    let wanted: Vec<String> = plan.wanted.keys().map(ToString::to_string).collect();
    assert_eq!(wanted, ["bucket.main", "bundle.train", "workspace.main", "training_job.train"]);
    let released: Vec<String> = plan.released.keys().map(ToString::to_string).collect();
    assert_eq!(released, ["bucket.main", "bundle.train", "workspace.main"]);
    assert_eq!(plan.wanted[&address("workspace.main")].spec["name"], "my_lab");
    assert_eq!(plan.decisions["workspace"].because, "there is no workspace `my_lab`");
    // The cloud itself ends it if nobody else does: its time and half an hour.
    assert_eq!(spec(&plan, "max_minutes"), &json!(60));
    // 0.25 CNY an hour for at most half an hour, and nothing stays.
    assert_eq!(plan.cost.once.sums[0].rounded(3).to_string(), "0.125 CNY");
    assert!(plan.cost.after.sums.is_empty());
    assert!(staged("print(1)", "keep: true").plan().released.is_empty());
}

#[test]
fn a_workspace_of_the_stacks_name_is_used_and_never_ours() {
    let mut stage = staged("print(1)", "");
    stage.lookup.workspaces.insert("my_lab", "4711");
    let plan = stage.plan();
    assert!(!plan.wanted.contains_key(&address("workspace.main")));
    assert_eq!((spec(&plan, "workspace_id"), plan.used[0].id.as_str()), (&json!("4711"), "4711"));
    assert_eq!(plan.used[0].what, "workspace");
    // What was decided stays, even if one of the name comes later.
    let mut ours = staged("print(1)", "");
    ours.applied();
    ours.lookup.workspaces.insert("my_lab", "4711");
    ours.manifest(&lab("script: train.py\nworkers: 2"));
    assert_eq!(change(&ours.plan(), "workspace.main").action, Action::Keep);
}

#[test]
fn a_slice_of_a_card_is_cheaper_and_no_card() {
    let mut stage = staged("import torch", "needs: { gpu: { model: NVIDIA T4 } }");
    stage.lookup.types.push(Type("ecs.sgn6i-vws-m2.xlarge", 4, 10, "X86", Some("1.7"), vec!["cn-hangzhou-h"]));
    stage.lookup.types.push(Type("ecs.gn6i-c4g1.xlarge", 4, 15, "X86", Some("11.6"), vec!["cn-hangzhou-h"]));
    stage.lookup.specs.push(("ecs.sgn6i-vws-m2.xlarge", 4, 10, 1, "NVIDIA T4", true));
    assert_eq!(spec(&stage.plan(), "instance_type"), &json!("ecs.gn6i-c4g1.xlarge"));
}

#[test]
fn every_worker_is_paid_for() {
    let plan = staged("print(1)", "workers: 3").plan();
    let line = &change(&plan, "training_job.train").cost_after.lines[0];
    assert_eq!(line.item, "ecs.c7.large, 3 pods of training");
    assert_eq!(plan.cost.once.sums[0].rounded(3).to_string(), "0.375 CNY");
}

#[test]
fn the_cheapest_that_has_what_is_needed_and_no_accelerator_unasked() {
    for (needs, chosen) in [
        ("", "ecs.c7.large"),
        ("needs: { memory: 6GiB }", "ecs.g7.large"),
        ("needs: { cpu: 3 }", "ecs.c7.xlarge"),
        ("needs: { gpu: { count: 1 } }", "ecs.gn6i-c4g1.xlarge"),
        ("needs: { gpu: { model: NVIDIA V100 } }", "ecs.gn6v-c8g1.2xlarge"),
        ("needs: { cpu: 8, gpu: { model: V100 } }", "ecs.gn6v-c8g1.2xlarge"),
    ] {
        let plan = staged("print(1)", needs).plan();
        assert_eq!(spec(&plan, "instance_type"), chosen, "{needs}");
    }
    let plan = staged("print(1)", "needs: { memory: 8GiB }").plan();
    let decision = plan.decisions.iter().find(|(key, _)| key.contains(".spec[")).unwrap().1;
    assert!(decision.because.starts_with("the cheapest with 2 vCPU, 8GiB that training jobs run on: 0.5"), "{}", decision.because);
    let rejected: Vec<String> = decision.rejected.iter().map(|option| format!("{}: {}", option.option, option.because)).collect();
    assert_eq!(rejected[0], "ecs.c7.xlarge: 0.6000 CNY an hour");
    assert!(
        rejected.contains(&"ecs.r7.large: its price is unknown".to_owned()) && rejected.contains(&"ecs.g8i.large: sold out".to_owned())
    );
}

#[test]
fn what_can_not_be_had_names_what_there_is() {
    let refused = staged("print(1)", "needs: { gpu: { model: NVIDIA A10, count: 1 } }").refusal();
    assert!(refused.starts_with("PAI has nothing with 1 vCPU, 1GiB, 1 x NVIDIA A10 in `cn-hangzhou`"), "{refused}");
    assert!(refused.contains("`NVIDIA A100`, `NVIDIA T4`, `NVIDIA V100`"), "{refused}");
    let mut sold_out = staged("print(1)", "");
    sold_out.lookup.specs.iter_mut().for_each(|spec| spec.5 = false);
    assert!(sold_out.refusal().contains("that is not sold out"));
    let refused = Stage::new(&lab("run: ls").replace("30m", "7d")).refusal();
    assert!(refused.contains("`pai` runs nothing longer than six days here, and the timeout is 7d"), "{refused}");
}

#[test]
fn the_image_follows_what_the_script_imports() {
    for (script, lines, image, job_type) in [
        ("import torch", "", "pytorch:2.10.0-cpu", "PyTorchJob"),
        ("from tensorflow import keras", "", "tensorflow:2.11-cpu", "TFJob"),
        ("print(1)", "", "python:3.10-cpu", "PyTorchJob"),
        ("import torch", "needs: { gpu: { count: 1 } }", "pytorch:2.10.0-gpu", "PyTorchJob"),
    ] {
        let plan = staged(script, lines).plan();
        assert_eq!(spec(&plan, "image"), &json!(format!("registry.cn-hangzhou/pai/{image}")), "{script}");
        assert_eq!(spec(&plan, "job_type"), job_type);
    }
    let plan = staged("import os\nimport torch", "").plan();
    let decision = &plan.decisions["jobs.train.image[PyTorch, CPU]"];
    assert_eq!(decision.because, "train.py:2 uses `torch`; the newest official image with PyTorch for CPUs");
    assert_eq!(decision.rejected[0].because, "PyTorch 2.8.0 is not newer");
    let named = staged("import torch", "image: mine.example.com/torch:1").plan();
    assert_eq!(spec(&named, "image"), "mine.example.com/torch:1");
}

#[test]
fn what_was_chosen_is_not_asked_for_again_and_another_number_of_workers_is_another_run() {
    let mut stage = staged("print(1)", "");
    stage.applied();
    stage.prior.retain(|address, _| address.to_string() == "training_job.train");
    stage.lookup.asked.lock().unwrap().clear();
    assert_eq!(change(&stage.plan(), "training_job.train").action, Action::Keep);
    assert!(!stage.lookup.asked.lock().unwrap().contains(&"specs".to_owned()));
    stage.manifest(&lab("script: train.py\nworkers: 2"));
    assert_eq!(change(&stage.plan(), "training_job.train").action, Action::Replace);
}

#[test]
fn no_secret_is_in_a_plan() {
    let plan = staged("print(1)", "env: { TOKEN: { from: env:TOKEN }, PLAIN: here }").plan();
    assert_eq!(spec(&plan, "secrets")["TOKEN"], "env:TOKEN");
    let told =
        |plan: &Plan| plan.findings.iter().any(|finding| finding.id == "secret-in-training-job" && finding.message.contains("`TOKEN`"));
    assert!(told(&plan) && !told(&staged("print(1)", "env: { PLAIN: here }").plan()));
    let script = spec(&plan, "script").as_str().unwrap();
    assert!(script.contains("export PLAIN='here'") && !script.contains("TOKEN"), "{script}");
}
