//! A run that goes on without this program: what it is, what it costs until when, and which commands come next.

use aliform::model::address::{Address, Kind};
use aliform::model::cost::Total;
use aliform::resources::registry;
use aliform::state::contents::State;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde::Serialize;

use super::money;
use super::receipt::{Failure, Receipt, Result, place};
use super::style::{Role, Style, one_line, visible};

/// A run that goes on, for people and programs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Detached {
    /// The stack that the run has to itself.
    pub(crate) stack: String,
    /// The job.
    pub(crate) job: String,
    /// What runs.
    pub(crate) command: String,
    /// `detached`.
    pub(crate) result: Result,
    /// The runs that go on.
    pub(crate) runs: Vec<Address>,
    /// What failed all the same, and why.
    pub(crate) failed: Vec<Failure>,
    /// When it was begun.
    pub(crate) begun_at: Option<String>,
    /// The region.
    pub(crate) region: String,
    /// What it runs on.
    pub(crate) product: &'static str,
    /// The zone of the machine; null where the product knows none.
    pub(crate) zone: Option<String>,
    /// The type of the machine.
    pub(crate) instance_type: Option<String>,
    /// The cluster it runs in, if it runs in one.
    pub(crate) cluster: Option<String>,
    /// What it costs an hour.
    pub(crate) hourly: Total,
    /// What it costs if nobody does anything; null where nothing ends it.
    pub(crate) at_most: Option<Total>,
    /// When the cloud itself ends it; null where it does not.
    pub(crate) ends_at: Option<String>,
    /// Whether everything that costs money by the hour ends then.
    pub(crate) ends_all: bool,
    /// The command that follows its output.
    pub(crate) follow: String,
    /// The command that brings it to its end: outputs, receipt, everything released.
    pub(crate) resume: String,
    /// The command that ends it and releases everything.
    pub(crate) release: String,
    /// Where it runs, in words.
    #[serde(skip)]
    place: Option<String>,
}

/// When the cloud itself ends a run: as it was told when it began.
fn ends_at(state: &State, run: &Address) -> Option<String> {
    let resource = state.resources.get(run)?;
    let begun: Timestamp = resource.attributes["begun_at"].as_str()?.parse().ok()?;
    let seconds = registry::run(run.kind)?.ends_after(run, &resource.spec).ok()??;
    let end = begun.checked_add(SignedDuration::from_secs(i64::try_from(seconds).ok()?)).ok()?;
    Some(end.strftime("%Y-%m-%dT%H:%MZ").to_string())
}

impl Detached {
    /// From what the receipt would say now, and what the state remembers of the runs that were left.
    pub(crate) fn new(receipt: Receipt, most: Total, state: &State, runs: &[Address], program: &str) -> Self {
        let first = runs.first();
        let own_cluster = receipt.left.iter().any(|left| left.address.kind == Kind::Cluster);
        let ends_at = first.and_then(|run| ends_at(state, run)).or_else(|| receipt.ends_at.clone());
        let ends_all = ends_at.is_some() && !own_cluster;
        let stack = &receipt.stack;
        Detached {
            at_most: Some(most).filter(|total| ends_all && !total.is_nothing()),
            begun_at: first.and_then(|run| state.resources.get(run)?.attributes["begun_at"].as_str().map(str::to_owned)),
            follow: format!("{program} logs {stack} -f"),
            resume: format!("{program} run --resume {stack}"),
            release: format!("{program} run --release {stack}"),
            place: place(&receipt).map(|(_, place)| place),
            ends_at,
            ends_all,
            runs: runs.to_vec(),
            stack: receipt.stack,
            job: receipt.job,
            command: receipt.command,
            result: Result::Detached,
            failed: receipt.failed,
            region: receipt.region,
            product: receipt.product,
            zone: receipt.zone,
            instance_type: receipt.instance_type,
            cluster: receipt.cluster,
            hourly: receipt.hourly.times(Decimal::from(receipt.machines.max(1))),
        }
    }

    /// When it ends, in words.
    fn ends(&self) -> String {
        let Some(at) = &self.ends_at else {
            return "nothing ends it but you: no end was set for what it runs on".to_owned();
        };
        match self.product {
            "ecs" => format!("the cloud ends the machine itself at {at}, about; what nobody has fetched by then is lost"),
            "ack" => format!("the cluster ends the Job itself at {at}; it forgets a day after the end what the Job wrote"),
            _ => format!("the cloud ends it itself at {at}, about; what it wrote stays until it is fetched"),
        }
    }

    /// What it costs, in words.
    fn costs(&self) -> String {
        if self.hourly.sums.is_empty() && !self.hourly.unknown {
            return "nothing by the hour".to_owned();
        }
        let hourly = money::amounts(&self.hourly, money::HOURLY);
        let until = if matches!(self.product, "ecs" | "ack") { "until it is resumed or released" } else { "while it runs" };
        let most = self.at_most.as_ref().map(|most| format!(", {} at most", money::amounts(most, money::HOURLY))).unwrap_or_default();
        format!("{hourly} an hour {until}{most}")
    }
}

/// It as text.
pub(crate) fn detached(shown: &Detached, style: &Style) -> String {
    let mut text = format!("{}.\n", style.paint(Role::Added, &format!("Job `{}` is begun and goes on in the cloud", one_line(&shown.job))));
    for failure in &shown.failed {
        text += &format!("  {} {}: {}\n", style.paint(Role::Error, "✗"), failure.address, visible(&failure.error).replace('\n', "\n    "));
    }
    let mut line = |name: &str, what: &str| text += &format!("  {}  {what}\n", style.paint(Role::Dim, &format!("{name:<7}")));
    line("runs", &one_line(&shown.command));
    if let Some(place) = &shown.place {
        line("where", place);
    }
    line("costs", &shown.costs());
    line("ends", &shown.ends());
    if shown.ends_at.is_some() && !shown.ends_all {
        line("", "the cluster made for it goes on and costs money until it is released: no cloud ends a cluster by itself");
    }
    let command = |command: &str| style.paint(Role::Hint, command);
    line("follow", &command(&shown.follow));
    line("finish", &format!("{}  (brings its outputs, releases everything, writes the receipt)", command(&shown.resume)));
    line("stop", &format!("{}  (ends it and releases everything)", command(&shown.release)));
    text
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn sample() -> Detached {
        let total = |amount: &str| Total { sums: vec![amount.parse().unwrap()], ..Total::default() };
        Detached {
            stack: "run-train".to_owned(),
            job: "train".to_owned(),
            command: "train.py".to_owned(),
            result: Result::Detached,
            runs: vec![Address::new(Kind::Run, "train")],
            failed: Vec::new(),
            begun_at: Some("2026-11-21T12:00:00Z".to_owned()),
            region: "cn-hangzhou".to_owned(),
            product: "ecs",
            zone: Some("cn-hangzhou-b".to_owned()),
            instance_type: Some("ecs.e-c1m2.large".to_owned()),
            cluster: None,
            hourly: total("0.267 CNY"),
            at_most: Some(total("0.4005 CNY")),
            ends_at: Some("2026-11-21T13:30Z".to_owned()),
            ends_all: true,
            follow: "aliform logs run-train -f".to_owned(),
            resume: "aliform run --resume run-train".to_owned(),
            release: "aliform run --release run-train".to_owned(),
            place: Some("ecs.e-c1m2.large in cn-hangzhou-b, cn-hangzhou".to_owned()),
        }
    }

    #[test]
    fn it_says_what_it_costs_until_when_and_what_comes_next() {
        assert_snapshot!(detached(&sample(), &Style::plain(80)), @r"
        Job `train` is begun and goes on in the cloud.
          runs     train.py
          where    ecs.e-c1m2.large in cn-hangzhou-b, cn-hangzhou
          costs    0.2670 CNY an hour until it is resumed or released, 0.4005 CNY at most
          ends     the cloud ends the machine itself at 2026-11-21T13:30Z, about; what nobody has fetched by then is lost
          follow   aliform logs run-train -f
          finish   aliform run --resume run-train  (brings its outputs, releases everything, writes the receipt)
          stop     aliform run --release run-train  (ends it and releases everything)
        ");
    }

    #[test]
    fn what_no_cloud_ends_is_said_to_go_on() {
        let cluster = Detached { product: "ack", at_most: None, ends_all: false, ..sample() };
        let text = detached(&cluster, &Style::plain(80));
        assert!(text.contains("the cluster ends the Job itself at") && text.contains("no cloud ends a cluster by itself"), "{text}");
        let kept = Detached { ends_at: None, at_most: None, ends_all: false, ..sample() };
        assert!(detached(&kept, &Style::plain(80)).contains("nothing ends it but you"));
    }
}
