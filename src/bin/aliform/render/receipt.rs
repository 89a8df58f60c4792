//! How a run ended: what ran, where, for how long, what that cost, and what is left of it.

use std::collections::BTreeMap;

use aliform::apply::lives::{self, Lives};
use aliform::apply::run::Outcome;
use aliform::model::address::{Address, Kind};
use aliform::model::change::Action;
use aliform::model::cost::Total;
use aliform::plan::saved::Plan;
use aliform::pricing::tariff::least_seconds;
use aliform::resources::error::ResourceError;
use aliform::state::contents::{Resource, State};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::money;
use super::style::{Role, Style, one_line, visible};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Result {
    /// With exit code 0.
    Succeeded,
    /// With another one, or it never came to run.
    Failed,
    /// By the user.
    Interrupted,
    /// By this program: going on would have cost more than the budget.
    OverBudget,
}

/// One run of a matrix.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Run {
    /// Which.
    pub(crate) address: Address,
    /// Its parameters.
    pub(crate) parameters: BTreeMap<String, String>,
    /// What it exited with, if it came to its end.
    pub(crate) exit_code: Option<i64>,
    /// The machine.
    pub(crate) machine: Address,
    /// How long it ran, in whole seconds; null if it never began.
    pub(crate) seconds: Option<u64>,
    /// What its machine cost for that time: booting and waiting are in the receipt's sum only.
    pub(crate) cost: Total,
    /// Where its outputs are; null if there are none.
    pub(crate) outputs: Option<String>,
}

/// The receipt of a run, for people and programs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Receipt {
    /// The stack that the run had to itself.
    pub(crate) stack: String,
    /// The job.
    pub(crate) job: String,
    /// What ran.
    pub(crate) command: String,
    /// How it ended.
    pub(crate) result: Result,
    /// What it exited with, if it came to its end.
    pub(crate) exit_code: Option<i64>,
    /// What failed, and why.
    pub(crate) failed: Vec<Failure>,
    /// The region.
    pub(crate) region: String,
    /// The zone of the machine.
    pub(crate) zone: Option<String>,
    /// The type of the machine.
    pub(crate) instance_type: Option<String>,
    /// How many machines there were.
    pub(crate) machines: usize,
    /// How long they were there, in whole seconds, all together; null if there was none.
    pub(crate) seconds: Option<u64>,
    /// What one of them costs an hour.
    pub(crate) hourly: Total,
    /// What the run cost: each line of its bill by the second, by the cloud's own time, rounded to six digits.
    pub(crate) cost: Total,
    /// What it would cost where the cloud bills a machine for some minutes at least; absent if it lived longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) least: Option<Total>,
    /// The runs of a matrix; absent if there was one run only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) runs: Vec<Run>,
    /// Where the outputs are; null if there are none.
    pub(crate) outputs: Option<String>,
    /// What is left in the cloud.
    pub(crate) left: Vec<Left>,
    /// What that costs an hour.
    pub(crate) left_hourly: Total,
    /// When the cloud itself ends a machine that is left.
    pub(crate) ends_at: Option<String>,
    /// The command that releases what is left.
    pub(crate) release: Option<String>,
}

/// Something that failed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Failure {
    /// The resource.
    pub(crate) address: Address,
    /// Why.
    pub(crate) error: String,
}

/// Something that is left.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Left {
    /// The resource.
    pub(crate) address: Address,
    /// Its identifier, if it is known.
    pub(crate) id: Option<String>,
}

/// What a receipt is made from.
pub(crate) struct Facts<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) outcome: &'a Outcome,
    /// The state before the run, and after it.
    pub(crate) before: &'a State,
    pub(crate) after: &'a State,
    pub(crate) job: &'a str,
    /// The runs, and what costs most of all that one needs.
    pub(crate) runs: &'a [Address],
    pub(crate) payer: &'a Address,
    pub(crate) command: String,
    pub(crate) result: Result,
    pub(crate) exit_code: Option<i64>,
    pub(crate) lives: &'a Lives<'a>,
    /// How the next commands begin.
    pub(crate) program: &'a str,
}

impl Receipt {
    pub(crate) fn new(facts: Facts<'_>) -> Self {
        let Facts { plan, after, .. } = facts;
        let payer = facts.payer;
        let (wanted, held) = (plan.wanted.get(payer).map(|wanted| &wanted.spec), facts.before.resources.get(payer));
        let spec = wanted.or(held.map(|held| &held.spec));
        let part = |key: &str| spec.and_then(|spec| spec[key].as_str()).map(str::to_owned);
        let is_run = |address: &Address| facts.runs.contains(address);
        let mut left: Vec<Left> = Vec::new();
        for (address, resource) in after.resources.iter().filter(|(address, _)| !is_run(address)) {
            left.push(Left { address: address.clone(), id: Some(resource.id.clone()) });
        }
        for address in after.open.keys().filter(|address| !after.resources.contains_key(*address) && !is_run(address)) {
            left.push(Left { address: address.clone(), id: None });
        }
        let now = facts.lives.now();
        let lived = |address: &Address| facts.lives.of(address).map(|life| life.seconds(now));
        // Whatever is like the one that costs most: a matrix has several machines.
        let payers = plan.changes.iter().map(|change| &change.address).filter(|address| *address == payer || address.kind == payer.kind);
        let payers: Vec<(&Address, u64)> = payers.filter_map(|address| Some((address, lived(address)?))).collect();
        let (mut cost, mut least) = (Total::default(), Total::default());
        for (address, seconds) in &payers {
            cost.merge(&lives::cost(plan, address, *seconds));
            let shortest = part("instance_type").map_or(0, |name| least_seconds(&name));
            least.merge(&lives::cost(plan, address, shortest.max(*seconds)));
        }
        let outputs = |run: &Address| after.resources.get(run).and_then(|run| run.attributes["outputs"].as_str()).map(str::to_owned);
        let runs = matrix(&facts, &lived, &outputs);
        Receipt {
            stack: plan.basis.stack.clone(),
            job: facts.job.to_owned(),
            command: facts.command,
            result: facts.result,
            exit_code: facts.exit_code,
            failed: facts
                .outcome
                .failed
                .iter()
                .map(|(address, error)| Failure { address: address.clone(), error: reason(error, facts.result) })
                .collect(),
            region: plan.region.clone(),
            zone: part("zone"),
            instance_type: part("instance_type"),
            machines: payers.len(),
            seconds: (!payers.is_empty()).then(|| payers.iter().map(|(_, seconds)| seconds).sum()),
            hourly: hourly(plan, |address| address == payer),
            least: (least != cost).then_some(least),
            cost,
            outputs: if runs.iter().any(|run| run.outputs.is_some()) {
                Some(format!("outputs/{}", facts.job))
            } else {
                facts.runs.first().and_then(outputs)
            },
            runs,
            left_hourly: hourly(plan, |address| after.resources.contains_key(address)),
            ends_at: after.resources.get(payer).and_then(|machine| ends_at(machine, facts.lives.of(payer)?.born)),
            release: (!left.is_empty()).then(|| format!("{} run --release {}", facts.program, plan.basis.stack)),
            left,
        }
    }
}

/// Why something failed. What this program stopped was not stopped by a person.
fn reason(error: &str, result: Result) -> String {
    if result == Result::OverBudget && error == ResourceError::Stopped.to_string() {
        return "stopped: its budget is spent".to_owned();
    }
    error.to_owned()
}

/// The runs of a matrix, in its order.
fn matrix(facts: &Facts<'_>, lived: &dyn Fn(&Address) -> Option<u64>, outputs: &dyn Fn(&Address) -> Option<String>) -> Vec<Run> {
    let line = |address: &Address| {
        let wanted = facts.plan.wanted.get(address)?;
        let parameters = BTreeMap::deserialize(wanted.spec["part"].get("parameters")?).ok()?;
        let machine = wanted.depends_on.iter().find(|dependency| dependency.kind == Kind::Instance)?.clone();
        let resource = facts.after.resources.get(address);
        let seconds = lived(address);
        Some(Run {
            address: address.clone(),
            parameters,
            exit_code: resource.and_then(|resource| resource.attributes["exit_code"].as_i64()),
            cost: lives::cost(facts.plan, &machine, seconds.unwrap_or_default()),
            machine,
            seconds,
            outputs: outputs(address),
        })
    };
    facts.runs.iter().filter_map(line).collect()
}

/// What some resources of a plan cost an hour.
fn hourly(plan: &Plan, which: impl Fn(&Address) -> bool) -> Total {
    let mut total = Total::default();
    for change in plan.changes.iter().filter(|change| which(&change.address)) {
        let cost = if change.action == Action::Delete { &change.cost_before } else { &change.cost_after };
        total.merge(&cost.hourly());
    }
    total
}

/// When the cloud ends the machine: as it said itself, else as it was told to.
fn ends_at(machine: &Resource, born: Timestamp) -> Option<String> {
    if let Some(said) = machine.attributes["release_at"].as_str().filter(|said| !said.is_empty()) {
        return Some(said.to_owned());
    }
    let end = born.checked_add(SignedDuration::from_secs(i64::try_from(machine.spec["release_after"].as_u64()?).ok()?)).ok()?;
    Some(end.strftime("%Y-%m-%dT%H:%MZ").to_string())
}

/// A time in words: `2h 5m 10s`.
fn words(seconds: u64) -> String {
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let parts = [(hours, 'h'), (minutes, 'm'), (seconds % 60, 's')];
    let words: Vec<String> = parts.iter().filter(|(number, _)| *number > 0).map(|(number, unit)| format!("{number}{unit}")).collect();
    if words.is_empty() { "0s".to_owned() } else { words.join(" ") }
}

/// The receipt as text.
pub(crate) fn receipt(receipt: &Receipt, style: &Style) -> String {
    let mut text = heading(receipt, style);
    for failure in &receipt.failed {
        text += &format!("  {} {}: {}\n", style.paint(Role::Error, "✗"), failure.address, visible(&failure.error).replace('\n', "\n    "));
    }
    let mut line = |name: &str, what: &str| text += &format!("  {}  {what}\n", style.paint(Role::Dim, &format!("{name:<7}")));
    line("ran", &one_line(&receipt.command));
    let stays = receipt.left.iter().any(|left| left.address.kind == Kind::Instance);
    if let (Some(seconds), Some(zone), Some(kind)) = (receipt.seconds, &receipt.zone, &receipt.instance_type) {
        let count = if receipt.machines > 1 { format!("{} x ", receipt.machines) } else { String::new() };
        line("where", &format!("{count}{kind} in {zone}, {}", receipt.region));
        let together = if receipt.machines > 1 { " together" } else { "" };
        line("machine", &format!("lived {}{together}{}", words(seconds), if stays { " so far" } else { "" }));
        line("cost", &cost(receipt, seconds));
        if let Some(least) = &receipt.least {
            line("", &format!("{} where so short a time is billed for some minutes", money::amounts(least, money::HOURLY)));
        }
    } else {
        line("cost", "nothing: no machine was started");
    }
    for (at, run) in receipt.runs.iter().enumerate() {
        let parameters: Vec<String> = run.parameters.iter().map(|(name, value)| format!("{name}={}", one_line(value))).collect();
        let code = run.exit_code.map_or_else(|| "no end".to_owned(), |code| format!("exit code {code}"));
        let (took, cost) = (run.seconds.map_or_else(|| "never begun".to_owned(), words), money::amounts(&run.cost, money::HOURLY));
        line(if at == 0 { "runs" } else { "" }, &format!("{}: {code}, {took}, {cost}, {}", parameters.join(", "), run.machine));
    }
    if let Some(outputs) = &receipt.outputs {
        line("outputs", &one_line(outputs));
    }
    if receipt.left.is_empty() {
        line("left", "nothing: no resource of it is in the state any more");
        return text;
    }
    let left: Vec<String> = receipt.left.iter().map(|left| left.address.to_string()).collect();
    line("left", &style.paint(Role::Warning, &left.join(", ")));
    line("", &format!("{} an hour until it is released", money::amounts(&receipt.left_hourly, money::HOURLY)));
    if let Some(end) = &receipt.ends_at {
        line("", &format!("the cloud ends the machine itself at {end}, about"));
    }
    if let Some(release) = &receipt.release {
        line("", &format!("release it with: {}", style.paint(Role::Hint, release)));
    }
    text
}

fn heading(receipt: &Receipt, style: &Style) -> String {
    let job = format!("Job `{}`", one_line(&receipt.job));
    let code = receipt.exit_code.map_or_else(|| "it did not come to its end".to_owned(), |code| format!("exit code {code}"));
    let (words, role) = match receipt.result {
        Result::Succeeded => (format!("{job} is done: {code}"), Role::Added),
        Result::Failed => (format!("{job} failed: {code}"), Role::Error),
        Result::Interrupted => (format!("{job} was stopped"), Role::Warning),
        Result::OverBudget => (format!("{job} was stopped: its budget is spent"), Role::Error),
    };
    format!("{}.\n", style.paint(role, &words))
}

/// What it cost, and how that is known.
fn cost(receipt: &Receipt, seconds: u64) -> String {
    if receipt.hourly.sums.is_empty() {
        return money::amounts(&receipt.hourly, money::HOURLY);
    }
    let usage = if receipt.hourly.usage { ", and traffic by usage" } else { "" };
    let hourly = money::amounts(&receipt.hourly, money::HOURLY);
    let about = money::amounts(&receipt.cost, money::HOURLY);
    let each = if receipt.machines > 1 { " each" } else { "" };
    format!("about {about}: {hourly} an hour{each} for {}, billed by the second{usage}", words(seconds))
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn sample() -> Receipt {
        let total = |amount: &str| Total { sums: vec![amount.parse().unwrap()], ..Total::default() };
        Receipt {
            stack: "run-train".to_owned(),
            job: "train".to_owned(),
            command: "train.py".to_owned(),
            result: Result::Succeeded,
            exit_code: Some(0),
            failed: Vec::new(),
            region: "cn-hangzhou".to_owned(),
            zone: Some("cn-hangzhou-b".to_owned()),
            instance_type: Some("ecs.e-c1m2.large".to_owned()),
            machines: 1,
            seconds: Some(3725),
            least: None,
            runs: Vec::new(),
            hourly: total("0.267 CNY"),
            cost: total("0.276271 CNY"),
            outputs: Some("outputs/train".to_owned()),
            left: Vec::new(),
            left_hourly: Total::default(),
            ends_at: None,
            release: None,
        }
    }

    #[test]
    fn a_receipt_says_where_how_long_and_how_the_cost_is_known() {
        assert_snapshot!(receipt(&sample(), &Style::plain(80)), @r"
        Job `train` is done: exit code 0.
          ran      train.py
          where    ecs.e-c1m2.large in cn-hangzhou-b, cn-hangzhou
          machine  lived 1h 2m 5s
          cost     about 0.2763 CNY: 0.2670 CNY an hour for 1h 2m 5s, billed by the second
          outputs  outputs/train
          left     nothing: no resource of it is in the state any more
        ");
    }

    #[test]
    fn what_is_kept_says_its_price_and_the_way_out() {
        let kept = Receipt {
            result: Result::Failed,
            exit_code: Some(3),
            outputs: None,
            left: vec![Left { address: Address::new(Kind::Instance, "train"), id: Some("i-1".to_owned()) }],
            left_hourly: sample().hourly,
            ends_at: Some("2026-11-21T12:00Z".to_owned()),
            release: Some("aliform run --release run-train".to_owned()),
            ..sample()
        };
        assert_snapshot!(receipt(&kept, &Style::plain(80)), @r"
        Job `train` failed: exit code 3.
          ran      train.py
          where    ecs.e-c1m2.large in cn-hangzhou-b, cn-hangzhou
          machine  lived 1h 2m 5s so far
          cost     about 0.2763 CNY: 0.2670 CNY an hour for 1h 2m 5s, billed by the second
          left     instance.train
                   0.2670 CNY an hour until it is released
                   the cloud ends the machine itself at 2026-11-21T12:00Z, about
                   release it with: aliform run --release run-train
        ");
    }

    #[test]
    fn what_never_had_a_machine_cost_nothing() {
        let never = Receipt { result: Result::Interrupted, exit_code: None, seconds: None, ..sample() };
        assert!(receipt(&never, &Style::plain(80)).contains("cost     nothing: no machine was started"));
        assert_eq!((words(0), words(7260)), ("0s".to_owned(), "2h 1m".to_owned()));
    }
}
