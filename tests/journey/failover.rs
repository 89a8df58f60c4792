//! Machines that are sold out between plan and apply: what was approved to stand in for them is taken, in order, and
//! nothing else.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};

use crate::stage::{Stage, get};

/// Lets a scenario count; the local cloud runs already.
fn scenario(stage: &Stage, text: &str) {
    stage.write(".aliform/scenario.yaml", text);
    stage.run(&["cloud", "scenario", ".aliform/scenario.yaml"]).expect(0);
}

/// A zone and a type.
type Place = (String, String);

/// What is chosen for an instance, and what may stand in for it.
fn chosen(stage: &Stage) -> (Place, Vec<Place>) {
    let plan = stage.run(&["plan", "--output", "json"]).expect(0).json();
    let place = |json: &serde_json::Value| {
        let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        (text("zone"), text("instance_type"))
    };
    let fallbacks = plan["fallbacks"]["instance.web-1"].as_array().map(|list| list.iter().map(place).collect());
    (place(&plan["wanted"]["instance.web-1"]["spec"]), fallbacks.unwrap_or_default())
}

/// Where the instance really stands.
fn stands(stage: &Stage) -> Place {
    let shown = stage.run(&["state", "show", "--output", "json"]).expect(0).json();
    let spec = &shown["resources"]["instance.web-1"]["attributes"];
    (spec["zone"].as_str().unwrap_or_default().to_owned(), spec["instance_type"].as_str().unwrap_or_default().to_owned())
}

/// How often a call was made.
fn calls(stage: &Stage, action: &str) -> usize {
    let calls = stage.run(&["cloud", "calls", "-n", "10000", "--output", "json"]).expect(0).json();
    calls.as_array().unwrap().iter().filter(|call| call["action"] == action).count()
}

fn one_of_each(stage: &Stage) {
    let resources = stage.resources();
    for kind in ["vpc", "vswitch", "security_group", "instance", "bucket"] {
        assert_eq!(resources.get(kind), Some(&1), "{resources:?}");
    }
    assert_eq!(stage.planned(), BTreeMap::new());
    assert!(get(&stage.output("url")).unwrap().contains("200"));
}

#[test]
fn no_stock_in_the_first_zone_goes_to_the_next() {
    let stage = Stage::example("hello-web");
    let ((zone, kind), fallbacks) = chosen(&stage);
    assert!(fallbacks[0].0 != zone && fallbacks[0].1 == kind, "{fallbacks:?}");
    scenario(&stage, &format!("stock:\n- {{ place: {zone}, stock: misreported }}\n"));
    let ran = stage.apply();
    let said = format!("instance.web-1 is made as {kind} in {} instead, as approved", fallbacks[0].0);
    assert!(ran.stderr.contains(&said) && ran.stderr.contains("OperationDenied.NoStock"), "{}", ran.stderr);
    assert_eq!((stands(&stage), calls(&stage, "RunInstances")), (fallbacks[0].clone(), 2));
    one_of_each(&stage);

    // For some minutes nothing is planned there, although the cloud calls it available.
    stage.run(&["destroy", "--auto-approve"]).expect(0);
    assert_ne!(chosen(&stage).0.0, zone);
    stage.apply();
    assert_eq!(calls(&stage, "RunInstances"), 3);
    one_of_each(&stage);
}

#[test]
fn a_machine_that_is_withdrawn_after_it_was_accepted_goes_to_the_next_zone() {
    let stage = Stage::example("hello-web");
    let ((zone, _), fallbacks) = chosen(&stage);
    scenario(&stage, &format!("stock:\n- {{ place: {zone}, stock: vanishing }}\n"));
    stage.apply();
    assert_eq!(stands(&stage), fallbacks[0]);
    one_of_each(&stage);
}

#[test]
fn only_a_sibling_type_is_left() {
    let stage = Stage::example("hello-web");
    let ((_, kind), fallbacks) = chosen(&stage);
    let sibling = fallbacks.iter().position(|(_, other)| *other != kind).expect("a sibling");
    scenario(&stage, &format!("stock:\n- {{ instance_type: {kind}, stock: misreported }}\n"));
    stage.apply();
    // The chosen one, its other zones, the sibling: in that order and no other.
    assert_eq!((stands(&stage), calls(&stage, "RunInstances")), (fallbacks[sibling].clone(), sibling + 2));
    one_of_each(&stage);
}

#[test]
fn one_replica_finds_the_zone_sold_out_and_the_other_stays_there() {
    let stage = Stage::example("hello-web");
    stage.edit("aliform.yaml", "    port: 8080\n", "    port: 8080\n    replicas: 2\n");
    let ((zone, kind), _) = chosen(&stage);
    scenario(&stage, &format!("stock:\n- {{ place: {zone}, instance_type: {kind}, stock: {{ limited: 1 }} }}\n"));
    stage.apply();
    let resources = stage.resources();
    assert_eq!((resources.get("instance"), resources.get("vswitch")), (Some(&2), Some(&2)), "{resources:?}");
    // Each stays where it stands.
    assert_eq!(stage.planned(), BTreeMap::new());
    stage.run(&["destroy", "--auto-approve"]).expect(0);
    assert!(stage.resources().is_empty(), "{:?}", stage.resources());
}

#[test]
fn a_machine_of_a_matrix_moves_while_the_others_go_on() {
    let stage = Stage::empty();
    stage.write("notes.txt", "what a job is about");
    let job = "run: sleep 4, product: ecs, needs: { cpu: 2, memory: 4GiB }, timeout: 10m, matrix: { n: [1, 2, 3, 4] }, max_parallel: 2";
    stage.write("aliform.yaml", &format!("version: 1\nstack: lab\nregion: cn-hangzhou\njobs:\n  many: {{ {job} }}\n"));
    let plan = stage.run(&["plan", "--output", "json"]).expect(0).json();
    let spec = &plan["wanted"]["instance.many-1"]["spec"];
    let (zone, kind) = (spec["zone"].as_str().unwrap(), spec["instance_type"].as_str().unwrap());
    scenario(&stage, &format!("stock:\n- {{ place: {zone}, instance_type: {kind}, stock: {{ limited: 1 }} }}\n"));
    let ran = stage.run(&["run", "many", "--auto-approve", "--output", "ndjson"]).expect(0);
    let at = |signs: &[&str]| ran.stdout.lines().position(|line| signs.iter().all(|sign| line.contains(sign))).unwrap();
    let identified = |address: &str| {
        let lines = ran.stdout.lines().enumerate();
        lines.filter(|(_, line)| line.contains("\"step_finished\"") && line.contains(address)).map(|(at, _)| at).next().unwrap()
    };
    let moved = at(&["\"step_fell_back\"", "instance.many-"]);
    let (one, other) = (identified("\"instance.many-1\""), identified("\"instance.many-2\""));
    // Both machines stand, and each has begun, before the first of four runs is over.
    let first = (1..=4).map(|run| identified(&format!("\"run.many-{run}\""))).min().unwrap();
    assert!(moved < first && one < first && other < first, "{}", ran.stdout);
    assert!(stage.resources().is_empty(), "{:?}", stage.resources());
}

#[test]
fn what_can_not_be_remembered_is_not_tried_twice_in_one_apply() {
    let stage = Stage::example("hello-web");
    let ((_, kind), fallbacks) = chosen(&stage);
    let sibling = fallbacks.iter().position(|(_, other)| *other != kind).expect("a sibling");
    std::fs::create_dir(stage.file(".aliform/sold-out.json")).unwrap();
    scenario(&stage, &format!("stock:\n- {{ instance_type: {kind}, stock: misreported }}\n"));
    stage.apply();
    assert_eq!(calls(&stage, "RunInstances"), sibling + 2);
    one_of_each(&stage);
}

#[test]
fn a_quota_and_an_unknown_code_stop_at_once() {
    for (code, said) in [
        ("QuotaExceed.ElasticQuota", "raise the vCPU quota of pay-as-you-go instances"),
        ("OperationDenied.Mysterious", "OperationDenied.Mysterious: The moon is full. (HTTP 403, RequestId "),
    ] {
        let stage = Stage::example("hello-web");
        chosen(&stage);
        let fails = format!("{{ code: {code}, status: 403, message: The moon is full. }}");
        scenario(&stage, &format!("calls:\n- call: ecs:RunInstances\n  fails: {fails}\n"));
        let ran = stage.run(&["apply", "--auto-approve"]).expect(5);
        assert!(ran.stderr.contains(said) && ran.stderr.contains("RequestId"), "{}", ran.stderr);
        assert_eq!(calls(&stage, "RunInstances"), 1);
        assert_eq!(stage.resources().get("instance"), None);
    }
}

#[test]
fn a_clean_up_that_fails_stops_the_falling_back() {
    let stage = Stage::example("hello-web");
    let ((zone, _), fallbacks) = chosen(&stage);
    let stuck = "{ code: Weather.Bad, status: 400, message: It rains. }";
    let stock = format!("stock:\n- {{ place: {zone}, stock: misreported }}\n");
    scenario(&stage, &format!("{stock}calls:\n- call: vpc:DeleteVSwitch\n  fails: {stuck}\n"));
    let ran = stage.run(&["apply", "--auto-approve"]).expect(5);
    assert!(ran.stderr.contains("nothing else is tried") && ran.stderr.contains("Weather.Bad"), "{}", ran.stderr);
    assert_eq!(calls(&stage, "RunInstances"), 1);
    scenario(&stage, &stock);
    stage.apply();
    assert_eq!(stands(&stage).0, fallbacks[0].0);
    one_of_each(&stage);
}

#[test]
fn killed_while_it_falls_back_the_next_apply_repairs_it() {
    for (event, address) in [("step_fell_back", "instance.web-1"), ("step_identified", "vswitch"), ("step_identified", "instance.web-1")] {
        let stage = Stage::example("hello-web");
        let ((zone, _), fallbacks) = chosen(&stage);
        scenario(&stage, &format!("stock:\n- {{ place: {zone}, stock: misreported }}\n"));
        let wanted = if address == "vswitch" { format!("vswitch.{}", fallbacks[0].0) } else { address.to_owned() };
        let mut child = stage.spawn(&["apply", "--auto-approve", "--output", "ndjson"]);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let reached =
            lines.map_while(Result::ok).any(|line| line.contains(&format!("\"{event}\"")) && line.contains(&format!("\"{wanted}\"")));
        assert!(reached, "{event} of {wanted} did not come");
        child.kill().unwrap();
        child.wait().unwrap();
        stage.apply();
        assert_eq!(stands(&stage), fallbacks[0], "after {event} of {wanted}");
        one_of_each(&stage);
    }
}

const SCRIPT: &str = "print('ran')\n";
const RUN: &[&str] = &["run", "train.py", "--cpu", "2", "--memory", "4GiB", "--timeout", "10m", "--budget", "1 CNY"];
const NO_STOCK: &str = "stock:\n- { place: cn-hangzhou, stock: misreported }\n";

fn script(text: &str) -> Stage {
    let stage = Stage::empty();
    stage.write("train.py", SCRIPT);
    stage.write("all.yaml", text);
    stage.run(&["cloud", "start", "--scenario", "all.yaml"]).expect(0);
    stage
}

#[test]
fn a_run_whose_region_is_sold_out_gets_a_new_plan_in_the_next() {
    let stage = script(NO_STOCK);
    let ran = stage.run(&[RUN, &["--auto-approve"]].concat()).expect(0);
    for said in ["sold out in `cn-hangzhou`", "new plan in `cn-shanghai`, within the same budget", "`--auto-approve` approves it too"] {
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
    }
    assert!(ran.stdout.contains("cn-shanghai"), "{}", ran.stdout);
    assert!(stage.resources().is_empty(), "{:?}", stage.resources());
}

#[test]
fn a_new_plan_in_another_region_has_to_be_approved_again() {
    let stage = script(NO_STOCK);
    let ran = stage.type_in(RUN, "yes\n").expect(1);
    assert!(ran.stderr.contains("it has to be approved again") && ran.stderr.contains("not approved"), "{}", ran.stderr);
    assert!(stage.resources().is_empty(), "{:?}", stage.resources());
}

#[test]
fn a_region_that_was_named_is_never_left() {
    let stage = script(NO_STOCK);
    let ran = stage.run(&[RUN, &["--region", "cn-hangzhou", "--auto-approve"]].concat()).expect(1);
    assert!(!ran.stderr.contains("cn-shanghai") && !ran.stdout.contains("cn-shanghai"), "{}", ran.stderr);
    assert!(ran.stderr.contains("nothing else that was approved is left"), "{}", ran.stderr);
    assert!(stage.resources().is_empty(), "{:?}", stage.resources());
}
