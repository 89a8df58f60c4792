//! What each product asks for running something in a region. Machines are asked for; functions have a tariff.

use rust_decimal::Decimal;

use super::function::{self, Card, Size};
use super::machine::{self, Candidate, Market, generation};
use super::rank::Row;
use super::training::{self, Pods};
use super::wants::{Wants, X86};
use crate::manifest::Product;
use crate::model::cost::{Cost, HOURS_A_MONTH, Total};
use crate::model::money::Money;
use crate::model::offer::Offer;
use crate::model::units;
use crate::pricing::lookup::{Lookup, LookupError};
use crate::pricing::tariff;
use crate::pricing::training::Spec;
use crate::resources::kind::FunctionGpu;

/// MiB of the disk that a function has for nothing.
const SMALL_DISK: u32 = 512;
/// The longest that a function runs, in seconds.
const FUNCTION_LONGEST: u64 = 86_400;
/// The longest that a training job runs here, in seconds: a link to where its outputs go is good for seven days, and it
/// has to wait for its place before.
pub(in crate::resolve) const TRAINING_LONGEST: u64 = 6 * 86_400;
/// What a node of a cluster has at least: below that its own pods leave no room.
pub(in crate::resolve) const NODE: (u32, u32) = (2, 4);

/// What somebody named, without what is usual for what nobody did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// vCPU.
    pub cpu: Option<u32>,
    /// MiB.
    pub memory: Option<u64>,
    /// The container image.
    pub image: Option<String>,
    /// How many pods run at once.
    pub workers: u32,
}

/// What is to run.
#[derive(Clone, Debug)]
pub struct Subject {
    /// What it needs.
    pub wants: Wants,
    /// What of that was named.
    pub named: Named,
    /// How long it is reckoned to run, all runs together.
    pub seconds: u64,
    /// How long each run may take.
    pub longest: u64,
    /// Whether what it ran on has to stay.
    pub keeps: bool,
}

impl Subject {
    /// Something that stays; it is reckoned by the month.
    pub fn staying(wants: Wants) -> Subject {
        let seconds = u64::from(HOURS_A_MONTH) * 3600;
        Subject { wants, named: Named::default(), seconds, longest: seconds, keeps: true }
    }
}

/// How products are called in offers and decisions.
pub fn word(product: Product) -> &'static str {
    match product {
        Product::Ecs => "ecs",
        Product::Fc => "fc",
        Product::Ack => "ack",
        Product::Pai => "pai",
    }
}

/// How long a product takes until something runs, what has to be set up, and what goes again. From the products' pages
/// and what their consoles show; a rule of thumb that compares, not a promise.
fn habits(product: Product) -> (u64, &'static str, &'static str) {
    match product {
        Product::Ecs => {
            (60, "a machine in a network of its own", "all of it is released with the run; the cloud ends it by itself otherwise")
        }
        Product::Fc => (5, "a function; no machine, no network", "the function is deleted; nothing else was there"),
        Product::Ack => (600, "a cluster with a node, unless one is there", "the cluster is deleted, unless it was there before"),
        Product::Pai => (180, "a job in a workspace; no machine to look after", "the job is deleted; a workspace that was there stays"),
    }
}

/// What goes again of something that is to stay.
const STAYS: &str = "it stays, and costs money, until it is taken down with `aliform destroy`";

fn total(hourly: Option<Money>, seconds: u64) -> Option<Money> {
    hourly.map(|money| money.times(Decimal::from(seconds) / Decimal::from(3600)))
}

/// An offer without a reason yet.
fn offer(product: Product, region: &str, subject: &Subject, what: &str, hourly: Option<Money>) -> Offer {
    let (starts_in, set_up, clean_up) = habits(product);
    let gpu = subject.wants.gpu.as_ref().map(|gpu| format!("{} x {}", gpu.count, gpu.model.as_deref().unwrap_or("any")));
    Offer {
        product: word(product).to_owned(),
        region: region.to_owned(),
        zone: None,
        what: what.to_owned(),
        vcpu: subject.wants.vcpu,
        memory: size(subject.wants.memory),
        gpu,
        architecture: subject.wants.architecture.to_owned(),
        hourly,
        total: total(hourly, subject.seconds),
        seconds: subject.seconds,
        stock: "on demand".to_owned(),
        starts_in,
        set_up: set_up.to_owned(),
        clean_up: if subject.keeps { STAYS } else { clean_up }.to_owned(),
        chosen: false,
        because: String::new(),
    }
}

fn size(gibibytes: Decimal) -> units::Size {
    units::Size::of((gibibytes * Decimal::from(1024)).try_into().unwrap_or(u64::MAX))
}

/// Something that can't be had, and why.
fn obstacle(product: Product, region: &str, subject: &Subject, because: String) -> Row {
    let offer = Offer { stock: "none".to_owned(), ..offer(product, region, subject, "-", None) };
    Row { offer, generation: 0, obstacle: Some(because) }
}

fn unanswered(product: Product, region: &str, subject: &Subject, error: &LookupError) -> Row {
    obstacle(product, region, subject, format!("it could not be asked for: {error}"))
}

/// What a price is with others on top of it.
fn plus(money: Money, more: &Total) -> Money {
    Money { amount: money.amount + more.sums.iter().map(|sum| sum.converted(money.currency).amount).sum::<Decimal>(), ..money }
}

/// Types of machines as offers of a product, at these prices, and at what else there has to be for one.
fn machines(product: Product, region: &str, subject: &Subject, found: &[Candidate], more: &Cost) -> Vec<Row> {
    let row = |candidate: &Candidate| {
        let shape = &candidate.shape;
        let hourly = candidate.hourly.map(|money| plus(money, &more.hourly()));
        let alone = offer(product, region, subject, &shape.instance_type, candidate.hourly);
        // What is paid by hours of the clock costs more than its share of one.
        let whole = alone.total.map(|total| plus(total, &more.at_most(subject.seconds)));
        let plain = Offer { hourly, total: whole, ..alone };
        let stock = match candidate.zones.as_slice() {
            [] => plain.stock.clone(),
            [zone] => format!("in {zone}"),
            zones => format!("in {} zones", zones.len()),
        };
        let offer = Offer {
            zone: candidate.zones.first().cloned(),
            vcpu: shape.vcpu,
            memory: size(shape.memory),
            gpu: (shape.gpus > 0).then(|| format!("{} x {}", shape.gpus, shape.gpu)),
            architecture: shape.architecture.clone(),
            stock,
            ..plain
        };
        let over = subject.wants.cap.filter(|_| candidate.hourly.is_none());
        let obstacle = over.map(|cap| format!("no price of up to {cap} an hour is known, as its `spot` asks"));
        Row { offer, generation: generation(&shape.instance_type), obstacle }
    };
    found.iter().map(row).collect()
}

/// Machines of a region that were asked for already.
pub fn of_market(product: Product, region: &str, subject: &Subject, market: &Market) -> Vec<Row> {
    if let Some(because) = machine::unknown_model(&subject.wants, &market.types) {
        return vec![obstacle(product, region, subject, because)];
    }
    let lines = if product == Product::Ack { tariff::cluster(region, false) } else { Vec::new() };
    machines(product, region, subject, &market.ranked, &Cost { lines })
}

/// What a product offers in a region, at most `most` of a kind.
pub async fn of(lookup: &dyn Lookup, product: Product, region: &str, subject: &Subject, most: usize) -> Vec<Row> {
    let rows = match product {
        Product::Ecs => ecs(lookup, region, subject, most).await,
        Product::Ack => ack(lookup, region, subject, most).await,
        Product::Pai => pai(lookup, region, subject, most).await,
        Product::Fc => Ok(vec![fc(region, subject)]),
    };
    let rows = rows.unwrap_or_else(|error| vec![unanswered(product, region, subject, &error)]);
    if rows.is_empty() {
        let because = format!("nothing with {} is in stock there", subject.wants.words());
        return vec![obstacle(product, region, subject, because)];
    }
    rows
}

async fn ecs(lookup: &dyn Lookup, region: &str, subject: &Subject, most: usize) -> Result<Vec<Row>, LookupError> {
    let market = machine::market(lookup, region, &subject.wants, most).await?;
    Ok(of_market(Product::Ecs, region, subject, &market))
}

/// A node that is large enough, and what its cluster costs besides.
async fn ack(lookup: &dyn Lookup, region: &str, subject: &Subject, most: usize) -> Result<Vec<Row>, LookupError> {
    let least =
        Wants { vcpu: subject.wants.vcpu.max(NODE.0), memory: subject.wants.memory.max(Decimal::from(NODE.1)), ..subject.wants.clone() };
    let market = machine::market(lookup, region, &least, most).await?;
    Ok(of_market(Product::Ack, region, subject, &market))
}

/// Types that PAI runs jobs on, each pod at the price of a machine without a disk.
async fn pai(lookup: &dyn Lookup, region: &str, subject: &Subject, most: usize) -> Result<Vec<Row>, LookupError> {
    let wants = &subject.wants;
    if wants.architecture != X86 {
        return Ok(vec![obstacle(Product::Pai, region, subject, format!("training jobs don't run on {}", wants.architecture))]);
    }
    if !subject.keeps && subject.longest > TRAINING_LONGEST {
        return Ok(vec![obstacle(Product::Pai, region, subject, "a training job runs for six days at most here".to_owned())]);
    }
    let Pods { priced, .. } = training::pods(lookup, region, wants).await?;
    let row = |(price, spec): (Option<Money>, Spec)| {
        let hourly = price.map(|price| price.times(Decimal::from(subject.named.workers.max(1))));
        let plain = offer(Product::Pai, region, subject, &spec.instance_type, hourly);
        let offer = Offer {
            vcpu: spec.vcpu,
            memory: size(Decimal::from(spec.memory)),
            gpu: (spec.gpus > 0).then(|| format!("{} x {}", spec.gpus, spec.gpu)),
            ..plain
        };
        Row { offer, generation: generation(&spec.instance_type), obstacle: None }
    };
    Ok(priced.into_iter().take(most).map(row).collect())
}

/// What keeps a function from running it, if anything does; or how large one would be, and its card.
fn function_of(region: &str, subject: &Subject) -> Result<(Size, Option<&'static Card>), String> {
    let (wants, named) = (&subject.wants, &subject.named);
    let card = wants.gpu.as_ref().map(Card::of).transpose()?;
    match &named.image {
        None if card.is_some() => return Err(function::NO_IMAGE.to_owned()),
        Some(image) if !function::is_in_registry(image, region) => return Err(function::elsewhere(image, region)),
        _ => {}
    }
    if wants.architecture != X86 {
        return Err("functions run on x86".to_owned());
    }
    if subject.longest > FUNCTION_LONGEST {
        return Err("a function runs for a day at most".to_owned());
    }
    if subject.keeps {
        return Err("a function has no machine that could stay".to_owned());
    }
    let size = Size::fitting(named.cpu.map(|cpu| u64::from(cpu) * 100), named.memory, card).ok_or_else(|| function::most(card))?;
    Ok((size, card))
}

/// A function that is large enough, at its tariff.
fn fc(region: &str, subject: &Subject) -> Row {
    let (found, card) = match function_of(region, subject) {
        Ok(found) => found,
        Err(because) => return obstacle(Product::Fc, region, subject, because),
    };
    let memory = u32::try_from(found.memory).unwrap_or(u32::MAX);
    let gpu = card.map(|card| FunctionGpu { name: card.name().to_owned(), kind: card.kind.to_owned(), memory: card.mebibytes() });
    let lines = tariff::function(region, found.vcpu(), (memory, SMALL_DISK), gpu.as_ref());
    let hourly = Cost { lines }.hourly().sums.first().copied();
    let mut offer = offer(Product::Fc, region, subject, "function", hourly);
    (offer.vcpu, offer.memory) = (found.vcpu().ceil().try_into().unwrap_or(u32::MAX), units::Size::of(found.memory));
    offer.gpu = card.map(|card| format!("1 x {}", card.name()));
    Row { offer, generation: 0, obstacle: None }
}
