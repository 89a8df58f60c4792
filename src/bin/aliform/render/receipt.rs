//! How a run ended: what ran, where, for how long, what that cost, and what is left of it.

use std::collections::BTreeMap;

use aliform::apply::lives::{DIGITS, Life, Lives, Past, prices};
use aliform::apply::run::Outcome;
use aliform::model::address::{Address, Kind};
use aliform::model::cost::{Charge, Cost, CostLine, Metering, Span, Total};
use aliform::model::money::Money;
use aliform::plan::saved::{Plan, Wanted};
use aliform::pricing::tariff::least_seconds;
use aliform::resources::error::ResourceError;
use aliform::resources::home;
use aliform::state::contents::{Resource, State};
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

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
    /// Not yet: it goes on without this program.
    Detached,
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
    /// The machine; null where the product shows none.
    pub(crate) machine: Option<Address>,
    /// How long it ran, in whole seconds; null if it never began.
    pub(crate) seconds: Option<u64>,
    /// What it, its machine or its node cost for that time: booting and waiting are in the receipt's sum only.
    pub(crate) cost: Total,
    /// Where its outputs are; null if there are none.
    pub(crate) outputs: Option<String>,
    /// Promised outputs that were not there.
    pub(crate) missing: Vec<String>,
    /// Where what it wrote is kept; null if it wrote nothing.
    pub(crate) log: Option<String>,
}

/// What was there before what the run ended on.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Earlier {
    /// How many.
    pub(crate) machines: usize,
    /// How long they were there, in whole seconds, all together.
    pub(crate) seconds: u64,
    /// What that cost.
    pub(crate) cost: Total,
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
    /// When it ended, if that was before this command began; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended_before: Option<String>,
    /// What failed, and why.
    pub(crate) failed: Vec<Failure>,
    /// The region.
    pub(crate) region: String,
    /// What it ran on.
    pub(crate) product: &'static str,
    /// How many workers it had.
    pub(crate) workers: u64,
    /// The zone of the machine; null where the product knows none.
    pub(crate) zone: Option<String>,
    /// The type of the machine.
    pub(crate) instance_type: Option<String>,
    /// The cluster it ran in, if it ran in one.
    pub(crate) cluster: Option<String>,
    /// What the function has, where it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) function: Option<String>,
    /// How many machines there were, or of whatever else it was that it paid for.
    pub(crate) machines: usize,
    /// How long they were there, in whole seconds, all together; null if there was none.
    pub(crate) seconds: Option<u64>,
    /// How long exactly, where that is billed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) milliseconds: Option<u64>,
    /// What of that time is billed, in words.
    pub(crate) billed: String,
    /// What one of them costs an hour.
    pub(crate) hourly: Total,
    /// What the run cost: each line of its bill by the cloud's own time, rounded to six digits.
    pub(crate) cost: Total,
    /// What of all that was of machines of an earlier command, which are gone or were replaced; absent if there were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) earlier: Option<Earlier>,
    /// What it would cost where the cloud bills a machine for some minutes at least; absent if it lived longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) least: Option<Total>,
    /// What of it was spent in regions that turned out to be sold out; absent if nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) elsewhere: Option<Total>,
    /// The runs of a matrix; absent if there was one run only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) runs: Vec<Run>,
    /// Where the outputs are; null if there are none.
    pub(crate) outputs: Option<String>,
    /// Promised outputs that were not there, of any of the runs.
    pub(crate) missing: Vec<String>,
    /// The command that fetches outputs that could not be written here; null if there are none.
    pub(crate) fetch: Option<String>,
    /// Where what the script wrote is kept, beside the state; null if it wrote nothing.
    pub(crate) log: Option<String>,
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
    /// What an earlier command made of that.
    pub(crate) stood: Option<&'a Json>,
    /// When the runs ended, if that was before this command began.
    pub(crate) ended_before: Option<String>,
    pub(crate) command: String,
    pub(crate) result: Result,
    pub(crate) exit_code: Option<i64>,
    pub(crate) lives: &'a Lives<'a>,
    /// Where what a run wrote is kept.
    pub(crate) log: &'a dyn Fn(&Address) -> Option<String>,
    /// What was spent in other regions before.
    pub(crate) elsewhere: &'a Total,
    /// How the next commands begin.
    pub(crate) program: &'a str,
}

impl Receipt {
    pub(crate) fn new(facts: Facts<'_>) -> Self {
        let Facts { plan, after, .. } = facts;
        let payer = facts.payer;
        let (wanted, held) = (plan.wanted.get(payer).map(|wanted| &wanted.spec), facts.before.resources.get(payer));
        let spec = wanted.or(held.map(|held| &held.spec)).or(facts.stood);
        // The machine of a cluster is its first node.
        let of = |spec: &Json, key: &str| spec[key].as_str().or_else(|| spec["pools"][0][key].as_str()).map(str::to_owned);
        let part = |key: &str| spec.and_then(|spec| of(spec, key));
        let is_run = |address: &Address| facts.runs.contains(address);
        let taken = facts.lives.taken(plan, payer);
        let mut left: Vec<Left> = Vec::new();
        for (address, resource) in after.resources.iter().filter(|(address, _)| !is_run(address)) {
            left.push(Left { address: address.clone(), id: Some(resource.id.clone()) });
        }
        for address in after.open.keys().filter(|address| !after.resources.contains_key(*address) && !is_run(address)) {
            left.push(Left { address: address.clone(), id: None });
        }
        let (zone, instance_type) = match taken {
            Some(taken) => (Some(taken.zone.clone()), Some(taken.instance_type.clone())),
            None => (part("zone"), part("instance_type")),
        };
        let now = facts.lives.now();
        let lived = |address: &Address| {
            let life = facts.lives.of(address)?;
            let run = after.resources.get(address);
            // What went on alone was over when it says, whenever anybody asked.
            let ended = run.filter(|_| facts.before.resources.contains_key(address));
            let ended = ended.and_then(|run| run.attributes["ended_at"].as_str()?.parse::<Timestamp>().ok());
            let seconds = life.seconds(now);
            let seconds = ended.map_or(seconds, |gone| seconds.min(Life { gone: Some(gone), ..life }.seconds(now)));
            // What the cloud itself says that it counted is better than what was seen of it.
            let counted = run.and_then(|run| run.attributes["billed_ms"].as_u64());
            Some(Span { milliseconds: counted.unwrap_or(seconds.saturating_mul(1000)), ..life.span(now) })
        };
        // Whatever is like the one that costs most: a matrix has several machines.
        let pays = |address: &Address| address == payer || address.kind == payer.kind;
        let payers = plan.changes.iter().map(|change| &change.address).filter(|address| pays(address));
        let payers: Vec<(&Address, Span)> = payers.filter_map(|address| Some((address, lived(address)?))).collect();
        let (mut cost, mut least) = (Total::default(), Total::default());
        for (address, span) in &payers {
            cost.merge(&facts.lives.cost(plan, address, *span));
            let shortest = instance_type.as_ref().filter(|_| address.kind == Kind::Instance).map_or(0, |name| least_seconds(name));
            least.merge(&facts.lives.cost(plan, address, span.at_least(shortest)));
        }
        let past: Vec<Past> = facts.lives.past(plan).into_iter().filter(|past| pays(&past.address)).collect();
        let mut earlier = Earlier { machines: past.len(), seconds: 0, cost: Total::default() };
        for Past { address, life, cost: lines } in &past {
            let span = life.span(now);
            earlier.seconds += life.seconds(now);
            earlier.cost.merge(&lines.billed(span, DIGITS));
            let shortest = instance_type.as_ref().filter(|_| address.kind == Kind::Instance).map_or(0, |name| least_seconds(name));
            least.merge(&lines.billed(span.at_least(shortest), DIGITS));
        }
        cost.merge(&earlier.cost);
        let machines = payers.len() + past.len();
        let stood = past.first().map(|past| past.cost.hourly());
        let hourly = stood.filter(|_| payers.is_empty()).unwrap_or_else(|| facts.lives.hourly(plan, payer));
        let milliseconds = earlier.seconds * 1000 + payers.iter().map(|(_, span)| span.milliseconds).sum::<u64>();
        let exact = payer.kind == Kind::Invocation && !payers.is_empty();
        let elsewhere = Some(facts.elsewhere.clone()).filter(|total| total.sums.iter().any(|sum| !sum.amount.is_zero()));
        if let Some(spent) = &elsewhere {
            cost.merge(spent);
            least.merge(spent);
        }
        let outputs = |run: &Address| after.resources.get(run).and_then(|run| run.attributes["outputs"].as_str()).map(str::to_owned);
        let runs = matrix(&facts, &lived, &outputs);
        let mut missing: Vec<String> = Vec::new();
        for output in facts.runs.iter().flat_map(|run| lacking(after, run)) {
            if !missing.contains(&output) {
                missing.push(output);
            }
        }
        let held = facts.runs.iter().filter_map(|run| after.resources.get(run)).any(|run| home::held(&run.attributes).is_some());
        let first = facts.runs.first().and_then(|run| after.resources.get(run));
        // What ran costs nothing any more.
        let mut left_hourly = Total::default();
        for address in after.resources.keys().filter(|address| !is_run(address)) {
            left_hourly.merge(&facts.lives.hourly(plan, address));
        }
        Receipt {
            stack: plan.basis.stack.clone(),
            job: facts.job.to_owned(),
            command: facts.command,
            result: facts.result,
            exit_code: facts.exit_code,
            ended_before: facts.ended_before,
            failed: facts
                .outcome
                .failed
                .iter()
                .map(|(address, error)| Failure { address: address.clone(), error: reason(error, facts.result) })
                .collect(),
            region: plan.region.clone(),
            product: match facts.runs.first().map(|run| run.kind) {
                Some(Kind::Invocation) => "fc",
                Some(Kind::KubernetesJob) => "ack",
                Some(Kind::TrainingJob) => "pai",
                _ => "ecs",
            },
            workers: spec.and_then(|spec| spec["workers"].as_u64()).unwrap_or(1),
            zone,
            instance_type,
            cluster: first.and_then(|run| run.spec["cluster_id"].as_str()).map(str::to_owned),
            function: spec.filter(|_| payer.kind == Kind::Invocation).and_then(function),
            machines,
            seconds: (machines > 0).then(|| milliseconds.div_ceil(1000)),
            milliseconds: exact.then_some(milliseconds),
            billed: billed(plan, payer),
            hourly,
            earlier: (!past.is_empty()).then_some(earlier),
            least: (least != cost).then_some(least),
            elsewhere,
            cost,
            outputs: if runs.iter().any(|run| run.outputs.is_some()) {
                Some(format!("outputs/{}", facts.job))
            } else {
                facts.runs.first().and_then(outputs)
            },
            missing,
            fetch: held.then(|| format!("{} run --resume {}", facts.program, plan.basis.stack)),
            log: facts.runs.iter().find_map(facts.log),
            runs,
            left_hourly,
            ends_at: after.resources.get(payer).and_then(|machine| ends_at(machine, facts.lives.of(payer)?.born)),
            release: (!left.is_empty()).then(|| format!("{} run --release {}", facts.program, plan.basis.stack)),
            left,
        }
    }
}

/// Promised outputs of a run that were not there.
pub(super) fn lacking(after: &State, run: &Address) -> Vec<String> {
    let missing = after.resources.get(run).map(|run| &run.attributes["missing"]);
    missing.and_then(|missing| Vec::deserialize(missing).ok()).unwrap_or_default()
}

/// What a folder of outputs is that is not that of a good run.
pub(super) fn remark(outputs: &str) -> String {
    let kept = |ending: &str| outputs.strip_suffix(ending).map(|good| format!("`{good}` is as it was"));
    match (kept(".failed"), kept(".partial")) {
        (Some(kept), _) => format!(" (of a run that failed; {kept})"),
        (_, Some(kept)) => format!(" (as far as they were when it was stopped; {kept})"),
        (None, None) => String::new(),
    }
}

/// What a function has, in words.
fn function(spec: &Json) -> Option<String> {
    let memory = Decimal::from(spec["memory"].as_u64()?) / Decimal::from(1024);
    Some(format!("{} vCPU, {} GiB", spec["cpu"].as_str()?, memory.normalize()))
}

/// What of its time is billed, in words.
fn billed(plan: &Plan, payer: &Address) -> String {
    let mut words = vec![if payer.kind == Kind::Invocation { "by the millisecond" } else { "by the second" }.to_owned()];
    for line in prices(plan, payer).into_iter().flat_map(|cost| &cost.lines) {
        match &line.charge {
            Charge::Hourly { metering: Metering::BegunHours, .. } => words.push(format!("{} by each hour begun", line.item)),
            Charge::Hourly { metering: Metering::WholeHours, .. } => words.push(format!("{} by whole hours", line.item)),
            _ => {}
        }
    }
    words.join(", ")
}

/// Why this program stopped a run.
pub(crate) const OVER_BUDGET: &str = "stopped: its budget is spent";

/// Why something failed. What this program stopped was not stopped by a person.
fn reason(error: &str, result: Result) -> String {
    if result == Result::OverBudget && error == ResourceError::Stopped.to_string() {
        return OVER_BUDGET.to_owned();
    }
    error.to_owned()
}

/// The runs of a matrix, in its order.
fn matrix(facts: &Facts<'_>, lived: &dyn Fn(&Address) -> Option<Span>, outputs: &dyn Fn(&Address) -> Option<String>) -> Vec<Run> {
    let line = |address: &Address| {
        let wanted = facts.plan.wanted.get(address)?;
        let parameters = BTreeMap::deserialize(wanted.spec["part"].get("parameters")?).ok()?;
        let machine = wanted.depends_on.iter().find(|dependency| dependency.kind == Kind::Instance).cloned();
        let resource = facts.after.resources.get(address);
        let span = lived(address);
        Some(Run {
            address: address.clone(),
            parameters,
            exit_code: resource.and_then(|resource| resource.attributes["exit_code"].as_i64()),
            cost: span.map(|span| run_cost(facts, (address, wanted), machine.as_ref(), span)).unwrap_or_default(),
            machine,
            seconds: span.map(|span| span.milliseconds.div_ceil(1000)),
            outputs: outputs(address),
            missing: lacking(facts.after, address),
            log: (facts.log)(address),
        })
    };
    facts.runs.iter().filter_map(line).collect()
}

/// What a run cost: its machine or its own price for that time, or its share of the nodes that were made for it.
fn run_cost(facts: &Facts<'_>, (run, wanted): (&Address, &Wanted), machine: Option<&Address>, span: Span) -> Total {
    let Some(cluster) = wanted.depends_on.iter().find(|dependency| dependency.kind == Kind::Cluster) else {
        return facts.lives.cost(facts.plan, machine.unwrap_or(run), span);
    };
    let pools = facts.plan.wanted.get(cluster).and_then(|cluster| cluster.spec["pools"].as_array());
    let nodes: u64 = pools.into_iter().flatten().filter_map(|pool| pool["nodes"].as_u64()).sum();
    // What the cluster has besides its nodes is nobody's own.
    let fixed = |line: &&CostLine| !matches!(&line.charge, Charge::Hourly { metering: Metering::Parts, .. });
    let besides = prices(facts.plan, cluster).map(|cost| Cost { lines: cost.lines.iter().filter(fixed).cloned().collect() });
    let hourly = facts.lives.hourly(facts.plan, cluster).minus(&besides.unwrap_or_default().hourly());
    let sums = hourly.sums.iter().map(|price| {
        let share = Money { amount: price.amount / Decimal::from(nodes.max(1)), ..*price };
        let paid = Metering::Time.of(share, span);
        Money { amount: paid.amount.round_dp(DIGITS), ..paid }
    });
    Total { sums: sums.collect(), ..Total::default() }
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

/// The same of milliseconds: `1m 2.35s`.
fn exact_words(milliseconds: u64) -> String {
    let part = milliseconds % 1000;
    if part == 0 {
        return words(milliseconds / 1000);
    }
    let minutes = milliseconds / 60_000 * 60;
    let seconds = Decimal::new(i64::try_from(milliseconds % 60_000).unwrap_or_default(), 3).normalize();
    if minutes == 0 { format!("{seconds}s") } else { format!("{} {seconds}s", words(minutes)) }
}

/// The receipt as text.
pub(crate) fn receipt(receipt: &Receipt, style: &Style) -> String {
    let mut text = heading(receipt, style);
    for failure in &receipt.failed {
        text += &format!("  {} {}: {}\n", style.paint(Role::Error, "✗"), failure.address, visible(&failure.error).replace('\n', "\n    "));
    }
    let mut line = |name: &str, what: &str| text += &format!("  {}  {what}\n", style.paint(Role::Dim, &format!("{name:<7}")));
    line("ran", &one_line(&receipt.command));
    let stays = receipt.left.iter().any(|left| matches!(left.address.kind, Kind::Instance | Kind::Cluster));
    match (place(receipt), receipt.seconds) {
        (Some((what, place)), Some(seconds)) => {
            line("where", &place);
            let lived = if what == "took" { "" } else { "lived " };
            let together = if receipt.machines > 1 { " together" } else { "" };
            let time = receipt.milliseconds.map_or_else(|| words(seconds), exact_words);
            line(what, &format!("{lived}{time}{together}{}", if stays { " so far" } else { "" }));
            let stood = receipt.cluster.is_some() && receipt.zone.is_none();
            line("cost", &if stood { "nothing besides: no machine was started for it".to_owned() } else { cost(receipt, &time) });
            if let Some(spent) = &receipt.elsewhere {
                line("", &format!("{} of it in regions that turned out to be sold out", money::amounts(spent, money::HOURLY)));
            }
            if let Some(earlier) = receipt.earlier.as_ref().filter(|earlier| earlier.machines < receipt.machines) {
                let cost = money::amounts(&earlier.cost, money::HOURLY);
                line("", &format!("of it {cost} for {} of what stood there before", words(earlier.seconds)));
            }
            if let Some(least) = &receipt.least {
                line("", &format!("{} where so short a time is billed for some minutes", money::amounts(least, money::HOURLY)));
            }
        }
        _ => line("cost", "nothing: no machine was started"),
    }
    for (at, run) in receipt.runs.iter().enumerate() {
        let parameters: Vec<String> = run.parameters.iter().map(|(name, value)| format!("{name}={}", one_line(value))).collect();
        let code = run.exit_code.map_or_else(|| "no end".to_owned(), |code| format!("exit code {code}"));
        let (took, cost) = (run.seconds.map_or_else(|| "never begun".to_owned(), words), money::amounts(&run.cost, money::HOURLY));
        let machine = run.machine.as_ref().map(|machine| format!(", {machine}")).unwrap_or_default();
        line(if at == 0 { "runs" } else { "" }, &format!("{}: {code}, {took}, {cost}{machine}", parameters.join(", ")));
    }
    if let Some(outputs) = &receipt.outputs {
        line("outputs", &format!("{}{}", one_line(outputs), remark(outputs)));
    }
    if !receipt.missing.is_empty() {
        let missing: Vec<String> = receipt.missing.iter().map(|output| one_line(output).into_owned()).collect();
        line("missing", &style.paint(Role::Error, &missing.join(", ")));
    }
    if let Some(log) = &receipt.log {
        line("log", &one_line(log));
    }
    if let Some(fetch) = &receipt.fetch {
        line("fetch", &format!("the outputs are still in the cloud; fetch them with: {}", style.paint(Role::Hint, fetch)));
    }
    if receipt.left.is_empty() {
        line("left", "nothing: no resource of it is in the state any more");
        return text;
    }
    let left: Vec<String> = receipt.left.iter().map(|left| left.address.to_string()).collect();
    line("left", &style.paint(Role::Warning, &left.join(", ")));
    let hourly = &receipt.left_hourly;
    if hourly.sums.is_empty() && !hourly.unknown {
        line("", "costs nothing by the hour, only what is stored");
    } else {
        line("", &format!("{} an hour until it is released", money::amounts(hourly, money::HOURLY)));
    }
    if let Some(end) = &receipt.ends_at {
        line("", &format!("the cloud ends the machine itself at {end}, about"));
    }
    if let Some(release) = &receipt.release {
        line("", &format!("release it with: {}", style.paint(Role::Hint, release)));
    }
    text
}

/// Where it ran, and the word for what it ran on.
pub(super) fn place(receipt: &Receipt) -> Option<(&'static str, String)> {
    let region = &receipt.region;
    let machine = receipt.instance_type.as_ref().zip(receipt.zone.as_ref()).map(|(kind, zone)| format!("{kind} in {zone}"));
    Some(match (&receipt.cluster, &receipt.function, machine, &receipt.instance_type) {
        (Some(cluster), _, Some(machine), _) => ("cluster", format!("cluster {cluster} on {machine}, {region}")),
        (Some(cluster), ..) => ("took", format!("cluster {cluster} in {region}, which was there before and stays as it is")),
        (None, Some(function), ..) => ("took", format!("function of {function} in {region}")),
        (None, None, Some(machine), _) if receipt.machines > 1 => ("machine", format!("{} x {machine}, {region}", receipt.machines)),
        (None, None, Some(machine), _) => ("machine", format!("{machine}, {region}")),
        (None, None, None, Some(kind)) => ("took", format!("{} x {kind} on PAI in {region}", receipt.workers)),
        (None, None, None, None) => return None,
    })
}

fn heading(receipt: &Receipt, style: &Style) -> String {
    let job = format!("Job `{}`", one_line(&receipt.job));
    let code = receipt.exit_code.map_or_else(|| "it did not come to its end".to_owned(), |code| format!("exit code {code}"));
    if let Some(at) = &receipt.ended_before {
        let role = if receipt.exit_code == Some(0) { Role::Added } else { Role::Error };
        let words = format!("{job} had ended before, at {}, with {code}; this command ran nothing", one_line(at));
        return format!("{}.\n", style.paint(role, &words));
    }
    let (words, role) = match receipt.result {
        Result::Succeeded => (format!("{job} is done: {code}"), Role::Added),
        Result::Failed if receipt.exit_code == Some(0) && receipt.fetch.is_some() => {
            (format!("{job} is done, but its outputs could not be written here: {code}"), Role::Error)
        }
        Result::Failed if receipt.exit_code == Some(0) && !receipt.missing.is_empty() => {
            let missing: Vec<String> = receipt.missing.iter().map(|output| format!("`{}`", one_line(output))).collect();
            let (outputs, were) = if missing.len() == 1 { ("output", "was") } else { ("outputs", "were") };
            (format!("{job} failed: {code}, but the {outputs} {} {were} not there", missing.join(", ")), Role::Error)
        }
        Result::Failed => (format!("{job} failed: {code}"), Role::Error),
        Result::Interrupted => (format!("{job} was stopped"), Role::Warning),
        Result::Detached => (format!("{job} goes on"), Role::Added),
        Result::OverBudget => (format!("{job} was stopped: its budget is spent"), Role::Error),
    };
    format!("{}.\n", style.paint(role, &words))
}

/// What it cost, and how that is known.
fn cost(receipt: &Receipt, time: &str) -> String {
    if receipt.hourly.sums.is_empty() {
        return money::amounts(&receipt.hourly, money::HOURLY);
    }
    let usage = if receipt.hourly.usage { ", and traffic by usage" } else { "" };
    let hourly = money::amounts(&receipt.hourly, money::HOURLY);
    let about = money::amounts(&receipt.cost, money::HOURLY);
    let each = if receipt.machines > 1 { " each" } else { "" };
    let call = if receipt.milliseconds.is_some() { " and the call itself" } else { "" };
    format!("about {about}: {hourly} an hour{each} for {time}{call}, billed {}{usage}", receipt.billed)
}

#[cfg(test)]
mod tests;
