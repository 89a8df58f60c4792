//! Jobs: what is there for a run only, and what a run that is over means for the next plan.

use std::sync::{Arc, Mutex};

use aliform::apply::lives::{DIGITS, Lives};
use aliform::cloud::dates::Dates;
use aliform::model::change::{Action, Reason};
use aliform::model::clock::Clock;
use aliform::model::cost::Span;
use aliform::model::event::{Event, EventSink, Silent};
use aliform::state::contents::State;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::stage::{Stage, address, change};

/// A clock that is set.
struct Set(Mutex<Timestamp>);

impl Clock for Set {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

fn lab(lines: &str) -> String {
    let indented: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "version: 1\nstack: lab\nregion: cn-hangzhou\njobs:\n  train:\n    product: ecs\n    run: echo hello\n    timeout: 30m\n{indented}"
    )
}

fn actions(stage: &Stage) -> Vec<String> {
    let plan = stage.plan();
    plan.changes.iter().map(|change| format!("{} {:?}", change.address, change.action)).collect()
}

#[test]
fn everything_that_a_job_needs_is_released_with_its_run() {
    let plan = Stage::new(&lab("needs: { cpu: 2, memory: 8GiB }")).plan();
    let released: Vec<String> = plan.released.keys().map(ToString::to_string).collect();
    let all = ["vpc.main", "vswitch.cn-hangzhou-h", "security_group.train", "instance.train", "bucket.main", "bundle.train"];
    assert_eq!(released, all);
    // 0.50 CNY an hour for at most half an hour; nothing of it stays.
    assert_eq!(plan.cost.once.sums[0].rounded(2).to_string(), "0.25 CNY");
    assert!(plan.cost.after.sums.is_empty());
    // The cloud itself ends the machine if nobody else does.
    assert_eq!(plan.wanted[&address("instance.train")].spec["release_after"], json!(3600));
}

#[test]
fn what_an_app_needs_too_stays_and_a_kept_machine_stays() {
    let both =
        lab("needs: { cpu: 2, memory: 8GiB }") + "apps:\n  web:\n    source: web\n    port: 80\n    instance: { type: ecs.g7.large }\n";
    let released: Vec<String> = Stage::new(&both).plan().released.keys().map(ToString::to_string).collect();
    assert_eq!(released, ["security_group.train", "instance.train", "bundle.train"]);
    let kept = Stage::new(&lab("keep: true")).plan();
    assert!(kept.offers["jobs.train"].iter().all(|offer| offer.clean_up.contains("it stays, and costs money")));
    assert!(kept.released.is_empty() && kept.wanted[&address("instance.train")].spec.get("release_after").is_none());
}

#[test]
fn a_run_that_is_over_wants_nothing_and_a_changed_one_runs_again() {
    let mut stage = Stage::new(&lab(""));
    stage.applied();
    let only_the_run = |stage: &mut Stage| stage.prior.retain(|address, _| address.to_string() == "run.train");
    only_the_run(&mut stage);
    assert_eq!(actions(&stage), ["run.train Keep"]);
    // Another command is another run, on a machine of its own.
    stage.manifest(&lab("env: { EPOCHS: '2' }"));
    let plan = stage.plan();
    assert_eq!(change(&plan, "run.train").action, Action::Replace);
    assert_eq!(change(&plan, "instance.train").action, Action::Create);
}

#[test]
fn what_was_left_behind_by_a_run_that_is_over_goes() {
    let mut stage = Stage::new(&lab(""));
    stage.applied();
    let plan = stage.plan();
    assert_eq!(change(&plan, "run.train").action, Action::Keep);
    assert_eq!(change(&plan, "instance.train").action, Action::Delete);
    assert_eq!(change(&plan, "vpc.main").action, Action::Delete);
}

#[test]
fn a_run_that_failed_is_repeated_with_the_reason() {
    let mut stage = Stage::new(&lab(""));
    stage.applied();
    stage.prior.retain(|address, _| address.to_string() == "run.train");
    let run = address("run.train");
    stage.prior.get_mut(&run).unwrap().attributes["exit_code"] = json!(3);
    let observed = stage.prior[&run].attributes.clone();
    stage.observed.insert(run, Some(observed));
    let plan = stage.plan();
    let change = change(&plan, "run.train");
    assert_eq!(change.action, Action::Replace);
    assert!(change.reasons.contains(&Reason::RunFailed { because: "exit code 3".to_owned() }), "{:?}", change.reasons);
}

#[test]
fn a_machine_that_ends_too_soon_is_replaced_with_that_reason_and_both_are_paid() {
    let mut stage = Stage::new(&lab(""));
    stage.applied();
    let (run, machine) = (address("run.train"), address("instance.train"));
    stage.prior.remove(&run);
    stage.observed.remove(&run);
    stage.drift("instance.train", "release_at", json!("2026-01-02T03:30Z"));
    stage.replace.insert(machine.clone());
    let plan = stage.plan();
    let replaced = change(&plan, "instance.train");
    assert_eq!(
        (replaced.action, &replaced.reasons[..]),
        (Action::Replace, &[Reason::EndsTooSoon { at: "2026-01-02T03:30Z".to_owned() }][..])
    );

    let clock = Arc::new(Set(Mutex::new("2026-01-02T03:04:05Z".parse().unwrap())));
    let dates = Dates::new(clock.clone());
    let lives = Lives::new(&Silent, &dates, &State::new("lab", "0123"));
    let later = |seconds: i64| {
        let mut now = clock.0.lock().unwrap();
        *now = now.saturating_add(SignedDuration::from_secs(seconds)).unwrap();
    };
    let span = |seconds| Span::seconds(Timestamp::UNIX_EPOCH, seconds);
    lives.emit(Event::StepIdentified { address: machine.clone(), id: "i-1".to_owned() });
    later(100);
    lives.emit(Event::StepFinished { address: machine.clone(), action: Action::Delete, milliseconds: 1 });
    lives.emit(Event::StepIdentified { address: machine.clone(), id: "i-2".to_owned() });
    later(10);
    let past: Vec<u64> = lives.past(&plan).iter().map(|past| past.life.seconds(lives.now())).collect();
    assert_eq!((past, lives.of(&machine).unwrap().seconds(lives.now())), (vec![100], 10));
    let (first, second) = (replaced.cost_before.billed(span(100), DIGITS), lives.cost(&plan, &machine, span(10)));
    let mut both = first.clone();
    both.merge(&second);
    assert!(!first.sums.is_empty() && lives.spending(&plan, None).spent == both);
}

#[test]
fn a_total_budget_holds_for_all_runs_together() {
    let exceeded = |budget: &str| {
        let plan = Stage::new(&(lab("needs: { cpu: 2, memory: 8GiB }") + budget)).plan();
        plan.cost.exceeded.iter().map(|exceeded| format!("{} {}", exceeded.period, exceeded.would_be.rounded(2))).collect::<Vec<_>>()
    };
    assert_eq!(exceeded("budget: { total: 0.25 CNY }\n"), Vec::<String>::new());
    assert_eq!(exceeded("budget: { total: 0.24 CNY }\n"), ["total 0.25 CNY"]);
}

#[test]
fn the_runs_of_a_matrix_share_machines_that_live_as_long_as_their_queue() {
    let plan = Stage::new(&lab("needs: { cpu: 2, memory: 8GiB }\nmatrix: { lr: [0.1, 0.01], seed: [1, 2, 3] }\nmax_parallel: 4")).plan();
    let addresses =
        |word: &str| plan.wanted.keys().filter(|address| address.kind.word() == word).map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(addresses("instance"), ["instance.train-1", "instance.train-2", "instance.train-3", "instance.train-4"]);
    assert_eq!(addresses("run").len(), 6);
    let spec = |name: &str| &plan.wanted[&address(name)].spec;
    assert_eq!(spec("run.train-5")["part"]["parameters"], json!({ "lr": "0.01", "seed": "2" }));
    assert_eq!(spec("run.train-5")["part"]["folder"], "lr=0.01,seed=2");
    assert_eq!(spec("run.train-5")["instance_id"], json!({ "$pending": "instance.train-1.id" }));
    assert_ne!(spec("run.train-1")["digest"], spec("run.train-5")["digest"]);
    assert_eq!(spec("run.train-1")["start_script"], spec("run.train-5")["start_script"]);
    // Two runs of half an hour one after another, and half an hour for all else; the other two machines have one.
    let ends = |name: &str| spec(name)["release_after"].as_u64().unwrap();
    assert_eq!((ends("instance.train-1"), ends("instance.train-2"), ends("instance.train-3")), (5400, 5400, 3600));
    // 0.50 CNY an hour for six times half an hour.
    assert_eq!(plan.cost.once.sums[0].rounded(4).to_string(), "1.5000 CNY");
    assert_eq!(plan.cost.unattended.sums[0].rounded(4).to_string(), "2.5000 CNY");
}

#[test]
fn a_job_has_a_budget_of_its_own_in_any_currency() {
    let exceeded = |budget: &str| {
        let plan = Stage::new(&lab(&format!("needs: {{ cpu: 2, memory: 8GiB }}\nbudget: {{ {budget} }}"))).plan();
        let said = plan.findings.iter().map(|finding| finding.id.clone()).collect::<Vec<_>>();
        (
            plan.cost
                .exceeded
                .into_iter()
                .map(|one| format!("{:?} {} {}", one.job, one.period, one.would_be.rounded(2)))
                .collect::<Vec<_>>(),
            said,
        )
    };
    assert_eq!(exceeded("total: 0.24 CNY").0, ["Some(\"train\") total 0.25 CNY"]);
    assert_eq!(exceeded("hourly: 0.49 CNY").0, ["Some(\"train\") hourly 0.50 CNY"]);
    // It holds, unless nobody but the cloud ends the machine.
    assert_eq!(exceeded("total: 0.25 CNY"), (Vec::new(), vec!["budget-unattended".to_owned()]));
    assert_eq!(exceeded("total: 0.03 USD").0, ["Some(\"train\") total 0.04 USD"]);
    assert_eq!(exceeded("total: 1 USD"), (Vec::new(), vec!["budget-converted".to_owned()]));
}

#[test]
fn the_runs_of_a_matrix_go_to_what_fits_their_work() {
    let text = lab("needs: { cpu: 2, memory: 8GiB }\nmatrix: { seed: [1, 2, 3] }\nmax_parallel: 2\nbudget: { hourly: 1 CNY }")
        .replace("product: ecs\n    run: echo hello", "product: pai\n    run: python3 train.py");
    let stage = Stage::new(&text);
    stage.write("train.py", "import torch\nmodel.fit(1)\n");
    stage.write("requirements.txt", "torch\n");
    let plan = stage.plan();
    let spec = |name: &str| &plan.wanted[&address(name)].spec;
    assert_eq!(spec("training_job.train-3")["part"]["at_once"], 2);
    assert_eq!(spec("training_job.train-1")["script"], spec("training_job.train-3")["script"]);
    assert_ne!(spec("training_job.train-1")["digest"], spec("training_job.train-3")["digest"]);
    // 0.50 CNY an hour each: three half hours are paid for, and never more than two at once.
    assert_eq!((plan.cost.once.sums[0].rounded(2).to_string().as_str(), plan.cost.exceeded.len()), ("0.75 CNY", 0));
}

#[test]
fn a_cluster_for_a_matrix_has_a_node_for_each_run_at_once() {
    let text = lab("needs: { cpu: 2, memory: 8GiB }\nmatrix: { seed: [1, 2, 3] }\nmax_parallel: 2").replace("product: ecs", "product: ack");
    let plan = Stage::new(&text).plan();
    let spec = |name: &str| &plan.wanted[&address(name)].spec;
    assert_eq!(spec("cluster.main")["pools"][0]["nodes"], 2);
    assert_eq!(spec("kubernetes_job.train-2")["script"], spec("kubernetes_job.train-3")["script"]);
    // Two nodes at 0.50 CNY an hour for two turns of half an hour; the balancer of the API for the two clock hours that this may
    // touch, and its address.
    assert_eq!(plan.cost.once.sums[0].rounded(2).to_string(), "1.31 CNY");
}
