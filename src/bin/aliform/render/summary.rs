//! How an apply ended: what was done, what runs where, what it costs from now on, and which commands come next.

use std::collections::BTreeMap;

use aliform::apply::run::Outcome;
use aliform::model::address::{Address, Kind};
use aliform::model::change::Action;
use aliform::model::cost::Total;
use aliform::plan::saved::Plan;
use aliform::resources::registry;
use aliform::resources::release::ReleaseSpec;
use aliform::resources::runs::goes_on;
use aliform::state::contents::{Resource, State, Status};
use serde::{Deserialize, Serialize};

use super::jobs::{self, Job};
use super::money;
use super::style::{Role, Style, one_line, visible};

/// The page of an instance in the console.
const CONSOLE: &str = "https://ecs.console.aliyun.com/server";

/// The end of an apply, for people and programs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    /// The stack.
    pub(crate) stack: String,
    /// Its region.
    pub(crate) region: String,
    /// Whether everything was to be taken down.
    pub(crate) destroy: bool,
    /// Steps done.
    pub(crate) done: usize,
    /// Steps failed.
    pub(crate) failed: Vec<Failure>,
    /// Steps not begun.
    pub(crate) skipped: usize,
    /// Whether the user stopped it.
    pub(crate) interrupted: bool,
    /// The jobs of which a run began, and how they ended.
    pub(crate) jobs: Vec<Job>,
    /// What runs where.
    pub(crate) running: Vec<Running>,
    /// The outputs that are known.
    pub(crate) outputs: BTreeMap<String, String>,
    /// What exists costs so much an hour.
    pub(crate) hourly: Total,
    /// Resources that exist.
    pub(crate) resources: usize,
}

/// A step that failed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Failure {
    /// The resource.
    pub(crate) address: Address,
    /// Why.
    pub(crate) error: String,
}

/// An application on an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Running {
    /// The release.
    pub(crate) address: Address,
    /// The application.
    pub(crate) app: String,
    /// The instance's identifier.
    pub(crate) instance: String,
    /// How to reach it, if its instance's address is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    /// Whether that is an address of the internet.
    pub(crate) public: bool,
    /// Why it may not run, if the last apply of it did not come to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unfinished: Option<String>,
    /// The instance's page in the console.
    pub(crate) console: String,
}

impl Summary {
    /// Gathers it from what was planned, how it went and what the state holds now.
    pub(crate) fn new(plan: &Plan, outcome: &Outcome, state: &State, jobs: Vec<Job>, outputs: BTreeMap<String, String>) -> Self {
        let mut hourly = Total::default();
        let paid = |address: &Address| {
            let ended = |resource: &Resource| registry::kind(address.kind).ends() && !goes_on(&resource.attributes);
            state.resources.get(address).is_some_and(|resource| !ended(resource))
        };
        for change in plan.changes.iter().filter(|change| paid(&change.address)) {
            // What was to be deleted and is there still costs what it did.
            let cost = if change.action == Action::Delete { &change.cost_before } else { &change.cost_after };
            hourly.merge(&cost.hourly());
        }
        let failed = outcome.failed.iter().map(|(address, error)| Failure { address: address.clone(), error: error.clone() });
        Summary {
            stack: plan.basis.stack.clone(),
            region: plan.region.clone(),
            destroy: plan.basis.destroy,
            done: outcome.done,
            failed: failed.collect(),
            skipped: outcome.skipped,
            interrupted: outcome.interrupted,
            jobs,
            running: running(state),
            outputs,
            hourly,
            resources: state.resources.len(),
        }
    }
}

/// What runs where, as far as the state knows.
pub(crate) fn running(state: &State) -> Vec<Running> {
    let releases = state.resources.iter().filter(|(address, _)| address.kind == Kind::Release);
    releases.filter_map(|(address, resource)| one(address, resource, state)).collect()
}

fn one(address: &Address, release: &Resource, state: &State) -> Option<Running> {
    let spec = ReleaseSpec::deserialize(&release.spec).ok()?;
    let instance = spec.instance_id.known()?.clone();
    let attribute = |kind: Kind, key: &str, attribute: &str| {
        let found = state.resources.iter().find(|(other, resource)| other.kind == kind && resource.attributes[key] == instance.as_str());
        found.and_then(|(_, resource)| resource.attributes[attribute].as_str()).filter(|ip| !ip.is_empty()).map(str::to_owned)
    };
    let public = attribute(Kind::Eip, "instance_id", "public_ip").or_else(|| attribute(Kind::Instance, "id", "public_ip"));
    let host = public.clone().or_else(|| attribute(Kind::Instance, "id", "private_ip"));
    let port = spec.port.filter(|port| *port != 80).map(|port| format!(":{port}")).unwrap_or_default();
    Some(Running {
        address: address.clone(),
        app: spec.app,
        url: host.filter(|_| spec.port.is_some()).map(|host| format!("http://{host}{port}")),
        public: public.is_some(),
        unfinished: match &release.status {
            Status::Ready => None,
            Status::Unfinished { because } => Some(because.clone()),
        },
        console: format!("{CONSOLE}/{instance}/detail?regionId={}", release.region),
        instance,
    })
}

/// The summary as text. `program` is how the next commands begin, `aliform --local`; the local cloud has no `console`.
pub(crate) fn summary(summary: &Summary, program: &str, console: bool, style: &Style) -> String {
    let mut sections = vec![ending(summary, style)];
    sections.extend(titled("Jobs", jobs::text(&summary.jobs, style), style));
    let list: String = summary.running.iter().map(|running| place(running, console, style)).collect();
    sections.extend(titled("Running", list, style));
    if !summary.destroy {
        let outputs = summary.outputs.iter().map(|(name, value)| format!("  {} = {}\n", one_line(name), one_line(value)));
        sections.extend(titled("Outputs", outputs.collect(), style));
    }
    if summary.resources > 0 {
        sections.push(format!("{} {}\n", style.paint(Role::Strong, "Costs"), money::sentence(&summary.hourly)));
    }
    let next = next(summary, program);
    let width = next.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    let lines = next.iter().map(|(command, what)| format!("  {command:width$}  {}\n", style.paint(Role::Dim, what)));
    sections.extend(titled("Next", lines.collect(), style));
    sections.join("\n")
}

fn titled(title: &str, text: String, style: &Style) -> Option<String> {
    (!text.is_empty()).then(|| format!("{}\n{text}", style.paint(Role::Strong, title)))
}

fn ending(summary: &Summary, style: &Style) -> String {
    let (done, failed, skipped) = (summary.done, summary.failed.len(), summary.skipped);
    let verb = if summary.destroy { "taken down" } else { "applied" };
    let stack = format!("stack `{}`", one_line(&summary.stack));
    let (word, role) = match (failed, summary.interrupted) {
        (0, false) => (format!("{stack} is {verb}"), Role::Added),
        (0, true) => (format!("Interrupted: {stack} is {verb} in part; run the same command again to go on"), Role::Warning),
        _ => (format!("Failed: {stack} is not {verb} completely"), Role::Error),
    };
    let mut first = word.chars();
    let word: String = first.next().map(|c| c.to_uppercase().chain(first).collect()).unwrap_or_default();
    let mut text = format!("{}: {done} done, {failed} failed, {skipped} skipped.\n", style.paint(role, &word));
    for failure in &summary.failed {
        text += &format!("  {} {}: {}\n", style.paint(Role::Error, "✗"), failure.address, visible(&failure.error).replace('\n', "\n    "));
    }
    text
}

fn place(running: &Running, console: bool, style: &Style) -> String {
    let url = match (&running.url, running.public) {
        (Some(url), true) => format!("  {}", style.paint(Role::Strong, url)),
        (Some(url), false) => format!("  {url} inside its network"),
        (None, _) => String::new(),
    };
    let mut text = format!("  {} on {}{url}\n", running.address, one_line(&running.instance));
    if let Some(because) = &running.unfinished {
        text += &format!("    {} {}\n", style.paint(Role::Error, "may not run:"), visible(because).replace('\n', "\n    "));
    }
    if console {
        text += &format!("    {}\n", style.paint(Role::Dim, &running.console));
    }
    text
}

/// The commands that come next, with what each is for.
fn next(summary: &Summary, program: &str) -> Vec<(String, &'static str)> {
    let mut next = Vec::new();
    let mut add = |command: &str, what| next.push((format!("{program} {command}"), what));
    if summary.destroy {
        if summary.resources > 0 {
            add("destroy", "take down the rest");
        }
        return next;
    }
    if !summary.failed.is_empty() || summary.interrupted {
        add("apply", "go on where it ended");
    }
    if let Some(running) = summary.running.first() {
        add("status", "what runs, asked on the machines");
        let several = summary.running.iter().any(|other| other.app != running.app);
        add(&if several { format!("logs {}", running.app) } else { "logs".to_owned() }, "what the application says");
    }
    if summary.resources > 0 {
        add("destroy", "take everything away again");
    }
    next
}

#[cfg(test)]
mod tests {
    use aliform::state::contents::State;
    use insta::assert_snapshot;

    use super::*;
    use crate::render::samples::{Sample, address};

    /// The state after an apply of everything that the sample has.
    fn state(sample: &Sample) -> State {
        let mut state = State::new("shop", "1f2e");
        for (address, remembered) in &sample.prior {
            let at = "2026-11-21T12:00:00Z".parse().unwrap();
            let resource = Resource {
                id: remembered.id.clone(),
                spec: remembered.spec.clone(),
                attributes: remembered.attributes.clone(),
                depends_on: Vec::new(),
                generation: 1,
                region: remembered.region.clone(),
                status: Status::Ready,
                created_at: at,
                updated_at: at,
            };
            state.resources.insert(address.clone(), resource);
        }
        state
    }

    fn outputs() -> BTreeMap<String, String> {
        BTreeMap::from([("url".to_owned(), "http://203.0.113.7:8080".to_owned())])
    }

    #[test]
    fn a_finished_apply_says_where_what_runs_costs_and_comes_next() {
        let plan = Sample::shop(1).plan();
        let state = state(&Sample::shop(1).applied());
        let outcome = Outcome { done: 8, ..Outcome::default() };
        let gathered = Summary::new(&plan, &outcome, &state, Vec::new(), outputs());
        assert_snapshot!(summary(&gathered, "aliform", true, &Style::plain(80)), @r"
        Stack `shop` is applied: 8 done, 0 failed, 0 skipped.

        Running
          release.web-1 on i-bp1web1  http://203.0.113.7:8080
            https://ecs.console.aliyun.com/server/i-bp1web1/detail?regionId=cn-hangzhou

        Outputs
          url = http://203.0.113.7:8080

        Costs 0.2670 CNY an hour, 194.91 CNY a month of 730 h, and what is charged by usage

        Next
          aliform status   what runs, asked on the machines
          aliform logs     what the application says
          aliform destroy  take everything away again
        ");
        let local = summary(&gathered, "aliform --local", false, &Style::plain(80));
        assert!(local.contains("aliform --local status") && !local.contains("console"), "{local}");
        assert_eq!(serde_json::to_value(&gathered).unwrap()["running"][0]["url"], "http://203.0.113.7:8080");
    }

    #[test]
    fn a_failed_apply_says_what_failed_and_counts_only_what_exists() {
        let plan = Sample::shop(2).plan();
        let mut state = state(&Sample::shop(1).applied());
        state.resources.get_mut(&address("release.web-1")).unwrap().status = Status::Unfinished { because: "exit code 1".to_owned() };
        let failed = vec![(address("release.web-1"), "the start script failed: exit code 1".to_owned())];
        let outcome = Outcome { done: 7, failed, skipped: 3, ..Outcome::default() };
        let gathered = Summary::new(&plan, &outcome, &state, Vec::new(), BTreeMap::new());
        assert_snapshot!(summary(&gathered, "aliform", false, &Style::plain(80)), @r"
        Failed: stack `shop` is not applied completely: 7 done, 1 failed, 3 skipped.
          ✗ release.web-1: the start script failed: exit code 1

        Running
          release.web-1 on i-bp1web1  http://203.0.113.7:8080
            may not run: exit code 1

        Costs 0.2670 CNY an hour, 194.91 CNY a month of 730 h, and what is charged by usage

        Next
          aliform apply    go on where it ended
          aliform status   what runs, asked on the machines
          aliform logs     what the application says
          aliform destroy  take everything away again
        ");
    }

    #[test]
    fn nothing_is_left_of_what_was_taken_down() {
        let plan = Sample::shop(1).applied().destroyed().plan();
        let outcome = Outcome { done: 8, ..Outcome::default() };
        let gathered = Summary::new(&plan, &outcome, &State::new("shop", "1f2e"), Vec::new(), outputs());
        assert_snapshot!(summary(&gathered, "aliform", true, &Style::plain(80)), @r"
        Stack `shop` is taken down: 8 done, 0 failed, 0 skipped.
        ");
    }

    #[test]
    fn an_address_that_is_not_of_the_internet_says_so() {
        let mut sample = Sample::shop(1).applied();
        sample.prior.get_mut(&address("instance.web-1")).unwrap().attributes["public_ip"] = serde_json::Value::Null;
        let found = running(&state(&sample));
        assert_eq!((found[0].url.as_deref(), found[0].public), (Some("http://192.168.9.4:8080"), false));
    }
}
