//! How the jobs of an apply ended: what each run exited with, what all of a job cost, where its outputs and its log are.

use std::collections::BTreeMap;

use aliform::apply::lives::{Lives, job_of};
use aliform::model::address::Address;
use aliform::model::change::Action;
use aliform::model::cost::{Span, Total};
use aliform::plan::saved::Plan;
use aliform::resources::registry;
use aliform::state::contents::State;
use serde::{Deserialize, Serialize};

use super::money;
use super::receipt::{lacking, remark};
use super::style::{Role, Style, one_line};

/// A job, with what began of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Job {
    /// Its name.
    pub(crate) job: String,
    /// Its runs: one, or those of its matrix.
    pub(crate) runs: Vec<Run>,
    /// What everything that was there for it cost, by the cloud's own time.
    pub(crate) cost: Total,
}

/// A run of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Run {
    /// Which.
    pub(crate) address: Address,
    /// Its parameters, if it is one of a matrix.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) parameters: BTreeMap<String, String>,
    /// What it exited with; null if it did not come to its end.
    pub(crate) exit_code: Option<i64>,
    /// Where its outputs are; null if there are none.
    pub(crate) outputs: Option<String>,
    /// Promised outputs that were not there.
    pub(crate) missing: Vec<String>,
    /// Where what it wrote is kept, beside the state; null if it wrote nothing.
    pub(crate) log: Option<String>,
}

/// The jobs of which a plan began a run.
pub(crate) fn jobs(plan: &Plan, after: &State, lives: &Lives<'_>, log: &dyn Fn(&Address) -> Option<String>) -> Vec<Job> {
    let mut jobs: BTreeMap<&str, Vec<Run>> = BTreeMap::new();
    let begun = |address: &Address| registry::kind(address.kind).ends() && lives.of(address).is_some();
    for change in plan.changes.iter().filter(|change| matches!(change.action, Action::Create | Action::Replace)) {
        if begun(&change.address) {
            jobs.entry(job_of(plan, &change.address)).or_default().push(run(plan, after, &change.address, log));
        }
    }
    jobs.into_iter().map(|(job, runs)| Job { job: job.to_owned(), cost: cost(plan, after, lives, job, &runs), runs }).collect()
}

/// What everything that was there for a job cost. What the cloud says that it counted is better than what was seen of it.
fn cost(plan: &Plan, after: &State, lives: &Lives<'_>, job: &str, runs: &[Run]) -> Total {
    let mut total = lives.spending(plan, Some(job)).spent;
    for run in runs {
        let counted = after.resources.get(&run.address).and_then(|run| run.attributes["billed_ms"].as_u64());
        if let (Some(milliseconds), Some(life)) = (counted, lives.of(&run.address)) {
            let seen = life.span(lives.now());
            total = total.minus(&lives.cost(plan, &run.address, seen));
            total.merge(&lives.cost(plan, &run.address, Span { milliseconds, ..seen }));
        }
    }
    total
}

fn run(plan: &Plan, after: &State, address: &Address, log: &dyn Fn(&Address) -> Option<String>) -> Run {
    let part = plan.wanted.get(address).and_then(|wanted| wanted.spec["part"].get("parameters"));
    let resource = after.resources.get(address);
    Run {
        address: address.clone(),
        parameters: part.and_then(|parameters| BTreeMap::deserialize(parameters).ok()).unwrap_or_default(),
        exit_code: resource.and_then(|run| run.attributes["exit_code"].as_i64()),
        outputs: resource.and_then(|run| run.attributes["outputs"].as_str()).map(str::to_owned),
        missing: lacking(after, address),
        log: log(address),
    }
}

/// All of them as text.
pub(crate) fn text(jobs: &[Job], style: &Style) -> String {
    jobs.iter().map(|job| one(job, style)).collect()
}

fn one(job: &Job, style: &Style) -> String {
    let name = style.paint(Role::Strong, &one_line(&job.job));
    // What stays is no cost of a run.
    let spent = !job.cost.sums.is_empty() || job.cost.unknown;
    let cost = if spent { format!("; about {}", money::amounts(&job.cost, money::HOURLY)) } else { String::new() };
    if let [run] = &*job.runs
        && run.parameters.is_empty()
    {
        return format!("  {name}: {}{cost}\n{}", ending(run, style), places(run));
    }
    let good = job.runs.iter().filter(|run| run.exit_code == Some(0)).count();
    let head = format!("  {name}: {good} of {} runs with exit code 0{cost}\n", job.runs.len());
    head + &job.runs.iter().map(|run| member(run, style)).collect::<String>()
}

/// A run of a matrix.
fn member(run: &Run, style: &Style) -> String {
    let parameters: Vec<String> = run.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let outputs = run.outputs.as_ref().map(|outputs| format!("; outputs {}", one_line(outputs))).unwrap_or_default();
    format!("    {}: {}{outputs}\n", one_line(&parameters.join(", ")), ending(run, style))
}

fn ending(run: &Run, style: &Style) -> String {
    match run.exit_code {
        Some(0) if run.missing.is_empty() => "exit code 0".to_owned(),
        Some(0) => style.paint(Role::Error, &format!("exit code 0, but without {}", one_line(&run.missing.join(", ")))),
        Some(code) => style.paint(Role::Error, &format!("exit code {code}")),
        None => style.paint(Role::Error, "it did not come to its end"),
    }
}

fn places(run: &Run) -> String {
    let outputs = run.outputs.iter().map(|outputs| format!("    outputs  {}{}\n", one_line(outputs), remark(outputs)));
    let log = run.log.iter().map(|log| format!("    log      {}\n", one_line(log)));
    outputs.chain(log).collect()
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::render::samples::address;

    fn sample(name: &str, exit_code: Option<i64>, parameters: &[(&str, &str)]) -> Run {
        Run {
            address: address(&format!("run.{name}")),
            parameters: parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            exit_code,
            outputs: (exit_code == Some(0)).then(|| format!("outputs/{name}")),
            missing: Vec::new(),
            log: Some(format!(".aliform/runs/lab/{name}.log")),
        }
    }

    #[test]
    fn each_job_says_how_it_ended_what_it_cost_and_where_things_are() {
        let cost = Total { sums: vec!["0.0004 CNY".parse().unwrap()], ..Total::default() };
        let job = |job: &str, runs| Job { job: job.to_owned(), runs, cost: cost.clone() };
        let sweep = vec![sample("sweep-1", Some(0), &[("LR", "0.1")]), sample("sweep-2", Some(3), &[("LR", "1")])];
        let lacking = Run { missing: vec!["model/".to_owned()], ..sample("lacks", Some(0), &[]) };
        let jobs = [job("train", vec![sample("train", Some(0), &[])]), job("sweep", sweep), job("lacks", vec![lacking])];
        assert_snapshot!(text(&jobs, &Style::plain(80)), @r"
          train: exit code 0; about 0.0004 CNY
            outputs  outputs/train
            log      .aliform/runs/lab/train.log
          sweep: 1 of 2 runs with exit code 0; about 0.0004 CNY
            LR=0.1: exit code 0; outputs outputs/sweep-1
            LR=1: exit code 3
          lacks: exit code 0, but without model/; about 0.0004 CNY
            outputs  outputs/lacks
            log      .aliform/runs/lab/lacks.log
        ");
    }
}
