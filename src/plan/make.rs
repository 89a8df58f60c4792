//! Making a plan.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value as Json;

use super::cost::{self, Limits, Passing};
use super::diff::{self, Difference};
use super::saved::{Basis, Plan, Wanted};
use super::{fallback, past, worn};
use crate::graph::{Graph, GraphError};
use crate::model::address::{Address, Kind};
use crate::model::change::{Action, Change, Effect, FieldDiff, Reason};
use crate::model::cost::{Charge, Cost, CostLine, Total};
use crate::model::finding::{Finding, Severity};
use crate::model::money::{CNY_A_DOLLAR, Money};
use crate::model::offer::Fallback;
use crate::model::value::{self, Reference};
use crate::pricing::quote::Quotes;
use crate::pricing::tariff::{self, LEAST_BALANCE};
use crate::resources::desired::{Desired, Node};
use crate::resources::error::ResourceError;
use crate::resources::kind::Priced;
use crate::resources::refresh::{Observed, Remembered};
use crate::resources::registry;

/// Everything that a plan follows from.
pub struct Inputs<'a> {
    /// What is wanted; nothing at all for a destroy.
    pub desired: &'a Desired,
    /// What the state remembers.
    pub prior: &'a BTreeMap<Address, Remembered>,
    /// What the cloud says of it.
    pub observed: &'a Observed,
    /// Prices of everything that `to_price` named.
    pub quotes: &'a Quotes,
    /// The manifest's limits.
    pub limits: Limits,
    /// What the account can spend, or why that is not known; `None` if nobody asked.
    pub balance: Option<Result<Money, String>>,
    /// Resources to be made anew although nothing differs.
    pub replace: &'a BTreeSet<Address>,
    /// What the plan is made from; a saved plan is refused once that moved.
    pub basis: Basis,
    /// When.
    pub now: Timestamp,
}

/// No plan can be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A resource's data does not fit its kind.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// Resources need each other in a circle, or need one that is not there.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

/// What has to be priced before a plan can be made: everything that is there and everything that is wanted.
pub fn to_price(desired: &Desired, prior: &BTreeMap<Address, Remembered>, observed: &Observed) -> Result<BTreeSet<Priced>, ResourceError> {
    let mut wanted = BTreeSet::new();
    for (address, node) in &desired.nodes {
        wanted.extend(registry::kind(address.kind).priced(address, &node.spec)?);
    }
    for (address, remembered) in prior {
        if let Some(Some(attributes)) = observed.get(address) {
            let spec = registry::kind(address.kind).observed(address, &remembered.spec, attributes)?;
            wanted.extend(registry::kind(address.kind).priced(address, &spec)?);
        }
    }
    Ok(wanted)
}

/// Makes the plan.
pub fn plan(inputs: Inputs<'_>) -> Result<Plan, PlanError> {
    match past::without_past(inputs.desired, inputs.prior)? {
        Some(left) => plan_ahead(Inputs { desired: &left, ..inputs }),
        None => plan_ahead(inputs),
    }
}

/// Plans what is not a matter of the past.
fn plan_ahead(inputs: Inputs<'_>) -> Result<Plan, PlanError> {
    let desired = Graph::build(inputs.desired.nodes.iter().map(|(address, node)| (address.clone(), node.depends_on.iter().cloned())))?;
    let mut maker = Maker { inputs: &inputs, settled: BTreeMap::new(), replaced: BTreeMap::new(), seen: BTreeMap::new() };
    let mut changes = Vec::with_capacity(desired.len());
    for address in desired.order() {
        changes.push(maker.change(address)?);
    }
    let prior =
        Graph::build_among_known(inputs.prior.iter().map(|(address, remembered)| (address.clone(), remembered.depends_on.clone())))?;
    for address in prior.order().rev().filter(|address| !inputs.desired.nodes.contains_key(*address)) {
        changes.push(maker.deletion(address)?);
    }
    let wanted = inputs.desired.nodes.iter().map(|(address, node)| (address.clone(), wanted(node))).collect();
    let passing = passing(inputs.desired);
    let traffic = cost::traffic(&changes, &passing, &inputs.desired.traffic);
    let uncounted = uncounted(&inputs, &changes, &passing, &traffic);
    let cost = cost::summarise(&changes, &passing, &inputs.limits, traffic);
    let fallbacks = fallback::within(&inputs.desired.fallbacks, &changes, &passing, &inputs.limits, &cost);
    let lasting = passing.keys().any(|address| address.kind == Kind::Cluster);
    let doubts = doubt(&inputs.limits, &cost, lasting).into_iter().chain(uncounted).chain(poverty(inputs.balance.as_ref(), &changes));
    let findings = inputs.desired.findings.iter().cloned().chain(doubts).collect();
    let plan = Plan {
        format: Plan::FORMAT,
        digest: String::new(),
        basis: inputs.basis.clone(),
        made_at: inputs.now,
        region: inputs.desired.region.clone(),
        cost,
        observed: maker.seen,
        changes,
        wanted,
        released: inputs.desired.released.clone(),
        offers: inputs.desired.offers.clone(),
        standby: standby(&fallbacks, inputs.desired),
        fallbacks,
        decisions: inputs.desired.decisions.clone(),
        used: inputs.desired.used.clone(),
        findings,
        outputs: inputs.desired.outputs.clone(),
    };
    Ok(plan.sealed())
}

/// The subnets that the fallbacks which are left may need.
fn standby(fallbacks: &BTreeMap<Address, Vec<Fallback>>, desired: &Desired) -> BTreeMap<Address, Wanted> {
    let zones: BTreeSet<&str> = fallbacks.values().flatten().map(|fallback| fallback.zone.as_str()).collect();
    let needed = desired.standby.iter().filter(|(address, _)| zones.contains(address.name.as_str()));
    needed.map(|(address, node)| (address.clone(), wanted(node))).collect()
}

fn wanted(node: &Node) -> Wanted {
    Wanted { spec: node.spec.clone(), depends_on: node.depends_on.iter().cloned().collect() }
}

/// What passes, with the time that it may take: runs, and what is released after its own. A machine runs its queue one by
/// one; everything else serves its jobs at once, and of each as many runs as may go on together.
fn passing(desired: &Desired) -> BTreeMap<&Address, Passing> {
    let number = |address: &Address, field: &str| desired.nodes.get(address)?.spec.get(field)?.as_u64();
    let limit = |run: &Address| number(run, "limit");
    let job = |run: &Address| desired.parts.get(run).unwrap_or(&run.name).clone();
    let runs = desired.nodes.keys().filter(|address| registry::kind(address.kind).ends());
    // The cloud itself ends an invocation, and a training job.
    let ends_after = |run: &Address| number(run, "timeout").or(number(run, "max_minutes").map(|minutes| minutes * 60));
    let at_once = |run: &Address| desired.nodes.get(run)?.spec["part"]["at_once"].as_u64();
    let of_job =
        |run: &Address| desired.parts.get(run).map_or(1, |job| desired.parts.values().filter(|other| *other == job).count() as u64);
    let runs = runs.map(|run| {
        let together = at_once(run).map_or((1, 1), |most| (most, of_job(run)));
        let (seconds, jobs) = (limit(run).unwrap_or_default(), BTreeSet::from([job(run)]));
        (run, Passing { seconds, ends_after: ends_after(run), jobs, together })
    });
    // How long the runs of each job take, so many at once.
    let turns = |runs: &BTreeSet<Address>| {
        let jobs: BTreeSet<String> = runs.iter().map(job).collect();
        let of = |name: &String| {
            let own = || runs.iter().filter(|run| job(run) == *name);
            let most = own().filter_map(at_once).max().unwrap_or(own().count() as u64).max(1);
            own().filter_map(limit).max().unwrap_or_default() * (own().count() as u64).div_ceil(most)
        };
        jobs.iter().map(of).max().unwrap_or_default()
    };
    let released = desired.released.iter().map(|(address, runs)| {
        let seconds = if address.kind == Kind::Instance { runs.iter().filter_map(limit).sum() } else { turns(runs) };
        let instance_type = desired.nodes.get(address).and_then(|node| node.spec.get("instance_type")?.as_str());
        let seconds = instance_type.map_or(seconds, |name| seconds.max(tariff::least_seconds(name)));
        // Nobody ends a cluster by itself: that is how long it may take to come, to serve and to go.
        let ends_after = number(address, "release_after").or(number(address, "needed_for"));
        (address, Passing { seconds, ends_after, jobs: runs.iter().map(job).collect(), together: (1, 1) })
    });
    runs.chain(released).collect()
}

/// A budget that can't be held against every price as it is: one is unknown, or in another currency. `lasting` is whether
/// there is something for the runs that the cloud never ends by itself.
fn doubt(limits: &Limits, cost: &cost::Summary, lasting: bool) -> Vec<Finding> {
    let set = limits.all();
    let Some(limit) = set.first() else { return Vec::new() };
    let mut findings = Vec::new();
    let finding = |id: &str, severity, message, hint: &str| Finding {
        id: id.to_owned(),
        severity,
        address: None,
        message,
        evidence: None,
        hint: Some(hint.to_owned()),
    };
    let sums = || cost.after.sums.iter().chain(&cost.once.sums).filter(|sum| !sum.amount.is_zero());
    if let Some((limit, sum)) = set.iter().find_map(|limit| Some((limit, sums().find(|sum| sum.currency != limit.currency)?))) {
        let here = |total: &Total| total.converted(limit.currency).rounded(4);
        let message = format!(
            "the budget is in {}, and prices are in {}: held against it at {CNY_A_DOLLAR} CNY a dollar, that is {} an hour and {} once",
            limit.currency,
            sum.currency,
            here(&cost.after),
            here(&cost.once)
        );
        let hint = "the rate is aliform's own round figure; for certainty set the budget in the currency of the prices";
        findings.push(finding("budget-converted", Severity::Info, message, hint));
    }
    if cost.after.unknown || cost.once.unknown {
        let message =
            format!("the budget is in {}, and the price of something is unknown: whether it holds is not certain", limit.currency);
        findings.push(finding("budget-uncertain", Severity::Warning, message, "look at the prices above"));
    }
    let totals = limits.total.iter().chain(limits.jobs.values().filter_map(|limits| limits.total.as_ref()));
    let passed = |limit: &&Money| {
        cost.once.converted(limit.currency).amount <= limit.amount && cost.unattended.converted(limit.currency).amount > limit.amount
    };
    if let Some(limit) = totals.filter(passed).min_by_key(|limit| limit.amount) {
        let most = cost.unattended.converted(limit.currency).rounded(4);
        let message = match lasting {
            true => format!(
                "a cluster may take long to come and to go: it would be {most} then, and the budget is {limit}; the run is stopped before that, \
                 but should this program die and never be run again, the cloud goes on with the cluster"
            ),
            false => format!(
                "should this program die and never be run again, the cloud itself ends the machines only when {most} are spent, and the \
                 budget is {limit}"
            ),
        };
        findings.push(finding(
            "budget-unattended",
            Severity::Info,
            message,
            "the next `aliform` command in this folder releases them at once",
        ));
    }
    findings
}

/// Traffic of jobs that their budgets don't count: nobody said how much it is, or nothing has a price for it.
fn uncounted(
    inputs: &Inputs<'_>,
    changes: &[Change],
    passing: &BTreeMap<&Address, Passing>,
    counted: &BTreeMap<String, Money>,
) -> Vec<Finding> {
    let finding = |id: &str, message, hint: &str| Finding {
        id: id.to_owned(),
        severity: Severity::Info,
        address: None,
        message,
        evidence: None,
        hint: Some(hint.to_owned()),
    };
    let said = &inputs.desired.traffic;
    let mut findings = Vec::new();
    for job in said.keys().filter(|job| !counted.contains_key(*job)) {
        let message = format!("the `traffic` of job `{job}` is not counted: nothing that is made for it has a price for traffic");
        findings.push(finding(
            "traffic-uncounted",
            message,
            "what goes to the bucket and back stays inside of the region and costs nothing",
        ));
    }
    let limited =
        |job: &&String| inputs.limits.total.is_some() || inputs.limits.jobs.get(*job).is_some_and(|limits| limits.total.is_some());
    let jobs: BTreeSet<&String> = passing.values().flat_map(|passes| &passes.jobs).collect();
    for job in jobs.into_iter().filter(limited).filter(|job| !said.contains_key(*job)) {
        // As if it sent something: is that paid for?
        if cost::traffic(changes, passing, &BTreeMap::from([(job.clone(), 1)])).is_empty() {
            continue;
        }
        let message = format!("the budget counts no traffic to the internet for job `{job}`, which does not say how much it sends");
        findings.push(finding(
            "budget-without-traffic",
            message,
            "downloads cost nothing; of what it sends say for instance `traffic: 5GiB`",
        ));
    }
    findings
}

/// An account with too little money for what is to be created: said now, because the cloud would say it half way through.
fn poverty(balance: Option<&Result<Money, String>>, changes: &[Change]) -> Option<Finding> {
    let buys = |change: &Change| matches!(change.action, Action::Create | Action::Replace) && !change.cost_after.lines.is_empty();
    let address = changes.iter().find(|change| buys(change)).map(|change| change.address.clone())?;
    let (id, severity, message, hint) = match balance? {
        Ok(balance) if balance.currency != LEAST_BALANCE.currency || balance.amount >= LEAST_BALANCE.amount => return None,
        Ok(balance) => (
            "balance-low",
            Severity::High,
            format!("the account has {balance} left, and the cloud creates what is paid by use only from {LEAST_BALANCE} on"),
            "top up the account before the apply",
        ),
        Err(reason) => (
            "balance-unknown",
            Severity::Info,
            format!("whether the account has money enough is not known: {reason}"),
            "allow `bssapi:QueryAccountBalance`, or look at the account's balance yourself",
        ),
    };
    let (id, hint) = (id.to_owned(), Some(hint.to_owned()));
    Some(Finding { id, severity, address: Some(address), message, evidence: None, hint })
}

struct Maker<'a> {
    inputs: &'a Inputs<'a>,
    /// Resources that stay, with those of their attributes that the apply will change: all others are known already and
    /// will still hold.
    settled: BTreeMap<&'a Address, &'static [&'static str]>,
    /// Resources that are made anew: created, or replaced.
    replaced: BTreeMap<Address, Action>,
    /// What the cloud says of resources that stay, where the state says something else.
    seen: BTreeMap<Address, Json>,
}

impl<'a> Maker<'a> {
    fn cost(&self, address: &Address, spec: &Json) -> Result<Cost, PlanError> {
        let Some(priced) = registry::kind(address.kind).priced(address, spec)? else { return Ok(Cost::FREE) };
        let unknown = || {
            let charge = Charge::Unknown { because: "nobody was asked for its price".to_owned() };
            Cost { lines: vec![CostLine { item: address.to_string(), charge }] }
        };
        Ok(self.inputs.quotes.get(&priced).cloned().unwrap_or_else(unknown))
    }

    /// What the cloud has of a remembered resource: its attributes and its spec as it stands there.
    fn present(&self, address: &Address) -> Result<Option<(&'a Json, Json)>, PlanError> {
        let (Some(remembered), Some(Some(attributes))) = (self.inputs.prior.get(address), self.inputs.observed.get(address)) else {
            return Ok(None);
        };
        let spec = registry::kind(address.kind).observed(address, &remembered.spec, attributes)?;
        Ok(Some((attributes, spec)))
    }

    /// An attribute that is known before the apply.
    fn known(&self, reference: &Reference) -> Option<Json> {
        let unsettled = self.settled.get(&reference.address)?;
        let attributes = self.inputs.observed.get(&reference.address)?.as_ref()?;
        attributes.get(&reference.attribute).filter(|_| !unsettled.contains(&reference.attribute.as_str())).cloned()
    }

    fn change(&mut self, address: &'a Address) -> Result<Change, PlanError> {
        let kind = registry::kind(address.kind);
        let mut wanted = self.inputs.desired.nodes[address].spec.clone();
        value::fill(&mut wanted, &|reference| self.known(reference));
        let remembered = self.inputs.prior.get(address);
        let Some((remembered, (attributes, present))) = remembered.zip(self.present(address)?) else {
            let reason = match remembered.map(|remembered| &remembered.unfinished) {
                None => Reason::NotYetCreated,
                Some(None) => Reason::Gone,
                Some(Some(because)) => Reason::Unfinished { because: because.clone() },
            };
            return self.creation(address, &wanted, reason);
        };
        let mut fields: Vec<FieldDiff> = Vec::new();
        let mut reasons = Vec::new();
        if let Some(because) = &remembered.unfinished {
            reasons.push(Reason::Unfinished { because: because.clone() });
        }
        if remembered.region != self.inputs.desired.region {
            let (path, effect) = ("region".to_owned(), Effect::ForcesReplace);
            reasons.push(Reason::FieldChanged { path: path.clone(), effect });
            let (before, after) = (Json::from(remembered.region.clone()), Json::from(self.inputs.desired.region.clone()));
            fields.push(FieldDiff { path, before, after, effect });
        }
        for Difference { path, before, after } in diff::differences(&present, &wanted) {
            let effect =
                if self.can_not_let_go(address, &path, &after) { Effect::ForcesReplace } else { kind.effect(&path, &before, &after) };
            reasons.push(self.reason(address, remembered, &path, &after, effect));
            fields.push(FieldDiff { path, before, after, effect });
        }
        let failed = past::failure(address, remembered)?;
        reasons.extend(failed.iter().map(|because| Reason::RunFailed { because: because.clone() }));
        if self.inputs.replace.contains(address)
            && reasons.is_empty()
            && let Some(at) = worn::ends_too_soon(&present, attributes, self.inputs.now)
        {
            reasons.push(Reason::EndsTooSoon { at });
        }
        let action = if failed.is_some()
            || fields.iter().any(|field| field.effect == Effect::ForcesReplace)
            || self.inputs.replace.contains(address)
        {
            Action::Replace
        } else if reasons.is_empty() {
            Action::Keep
        } else {
            Action::Update
        };
        let paths: Vec<&str> = fields.iter().map(|field| field.path.as_str()).collect();
        let effects = if action == Action::Update { kind.side_effects(&paths) } else { Vec::new() };
        if action == Action::Replace {
            self.replaced.insert(address.clone(), action);
        } else {
            if *attributes != remembered.attributes {
                self.seen.insert(address.clone(), attributes.clone());
            }
            self.settled.insert(address, kind.unsettles(&paths));
        }
        let mut distinct: Vec<Reason> = Vec::new();
        for reason in reasons {
            if !distinct.contains(&reason) {
                distinct.push(reason);
            }
        }
        let cost_before = if past::has_ended(address, remembered) { Cost::FREE } else { self.cost(address, &present)? };
        let same = fields.is_empty() && action != Action::Replace;
        let cost_after = if same { cost_before.clone() } else { self.cost(address, &wanted)? };
        Ok(Change {
            address: address.clone(),
            action,
            reasons: distinct,
            id: Some(remembered.id.clone()),
            fields,
            effects,
            cost_before,
            cost_after,
        })
    }

    /// Whether the field names a resource that is replaced, and that can't go as long as this one holds it.
    fn can_not_let_go(&self, address: &Address, path: &str, after: &Json) -> bool {
        let replaced = value::reference_in(after).and_then(|reference| self.replaced.get(&reference.address));
        replaced == Some(&Action::Replace) && registry::kind(address.kind).holds(path)
    }

    fn reason(&self, address: &Address, remembered: &Remembered, path: &str, after: &Json, effect: Effect) -> Reason {
        if let Some(reference) = value::reference_in(after)
            && self.replaced.contains_key(&reference.address)
        {
            return Reason::DependencyReplaced { address: reference.address };
        }
        let applied = diff::at(&remembered.spec, path);
        let path = path.to_owned();
        if applied == after || self.moved_in_the_cloud(address, &path, applied, after) {
            Reason::Drifted { path, effect }
        } else {
            Reason::FieldChanged { path, effect }
        }
    }

    /// Whether the field stands for an attribute of another resource which had the value applied and has the new one
    /// now, without anyone asking for that: an instance was started anew.
    fn moved_in_the_cloud(&self, address: &Address, path: &str, applied: &Json, after: &Json) -> bool {
        let Some(reference) = value::reference_in(diff::at(&self.inputs.desired.nodes[address].spec, path)) else { return false };
        let attribute = |attributes: &Json| attributes.get(&reference.attribute).cloned();
        let before = self.inputs.prior.get(&reference.address).and_then(|remembered| attribute(&remembered.attributes));
        let now = self.inputs.observed.get(&reference.address).and_then(Option::as_ref).and_then(attribute);
        before.as_ref() == Some(applied) && now.as_ref() == Some(after)
    }

    fn creation(&mut self, address: &Address, wanted: &Json, reason: Reason) -> Result<Change, PlanError> {
        self.replaced.insert(address.clone(), Action::Create);
        let fields = diff::differences(&Json::Null, wanted)
            .into_iter()
            .filter(|difference| !difference.path.is_empty())
            .map(|Difference { path, before, after }| FieldDiff { path, before, after, effect: Effect::InPlace })
            .collect();
        Ok(Change {
            address: address.clone(),
            action: Action::Create,
            reasons: vec![reason],
            id: None,
            fields,
            effects: Vec::new(),
            cost_before: Cost::FREE,
            cost_after: self.cost(address, wanted)?,
        })
    }

    fn deletion(&self, address: &Address) -> Result<Change, PlanError> {
        let present = self.present(address)?;
        let reason = if present.is_some() { Reason::NotWanted } else { Reason::Gone };
        let paid = present.filter(|_| !past::has_ended(address, &self.inputs.prior[address]));
        let cost_before = paid.map(|(_, spec)| self.cost(address, &spec)).transpose()?.unwrap_or_default();
        Ok(Change {
            address: address.clone(),
            action: Action::Delete,
            reasons: vec![reason],
            id: Some(self.inputs.prior[address].id.clone()),
            fields: Vec::new(),
            effects: Vec::new(),
            cost_before,
            cost_after: Cost::FREE,
        })
    }
}
