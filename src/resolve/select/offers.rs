//! What each product asks for running something in a region. Machines are asked for; functions have a tariff.

use rust_decimal::Decimal;

use super::machine::{self, Candidate, Market, cheap_first, generation, hourly};
use super::rank::Row;
use super::wants::{Wants, X86};
use crate::manifest::Product;
use crate::model::cost::HOURS_A_MONTH;
use crate::model::money::Money;
use crate::model::offer::Offer;
use crate::model::units::Size;
use crate::pricing::estimate::{self, FunctionGpu};
use crate::pricing::lookup::{InstancePrice, Lookup, LookupError};

/// The largest function; Function Compute's limits page.
const FUNCTION_VCPU: u32 = 16;
/// GiB.
const FUNCTION_MEMORY: u32 = 32;
/// The longest that one runs, in seconds.
const FUNCTION_LONGEST: u64 = 86_400;
/// What a node of a cluster has at least: below that its own pods leave no room.
const NODE: (u32, u32) = (2, 4);

/// What is to run.
#[derive(Clone, Debug)]
pub struct Subject {
    /// What it needs.
    pub wants: Wants,
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
        Subject { wants, seconds, longest: seconds, keeps: true }
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

fn size(gibibytes: Decimal) -> Size {
    Size::of((gibibytes * Decimal::from(1024)).try_into().unwrap_or(u64::MAX))
}

/// Something that can't be had, and why.
fn obstacle(product: Product, region: &str, subject: &Subject, because: String) -> Row {
    let offer = Offer { stock: "none".to_owned(), ..offer(product, region, subject, "-", None) };
    Row { offer, generation: 0, obstacle: Some(because) }
}

fn unanswered(product: Product, region: &str, subject: &Subject, error: &LookupError) -> Row {
    obstacle(product, region, subject, format!("it could not be asked for: {error}"))
}

/// Types of machines as offers of a product, at these prices.
fn machines(product: Product, region: &str, subject: &Subject, found: &[Candidate], more: Money) -> Vec<Row> {
    let row = |candidate: &Candidate| {
        let shape = &candidate.shape;
        let hourly = candidate.hourly.map(|money| Money { amount: money.amount + more.converted(money.currency).amount, ..money });
        let plain = offer(product, region, subject, &shape.instance_type, hourly);
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
        Row { offer, generation: generation(&shape.instance_type), obstacle: None }
    };
    found.iter().map(row).collect()
}

fn free() -> Money {
    Money::cny(Decimal::ZERO)
}

/// Machines of a region that were asked for already.
pub fn of_market(region: &str, subject: &Subject, market: &Market) -> Vec<Row> {
    machines(Product::Ecs, region, subject, &market.ranked, free())
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
    Ok(of_market(region, subject, &market))
}

/// A node that is large enough, and what its cluster costs besides.
async fn ack(lookup: &dyn Lookup, region: &str, subject: &Subject, most: usize) -> Result<Vec<Row>, LookupError> {
    let least =
        Wants { vcpu: subject.wants.vcpu.max(NODE.0), memory: subject.wants.memory.max(Decimal::from(NODE.1)), ..subject.wants.clone() };
    let market = machine::market(lookup, region, &least, most).await?;
    Ok(machines(Product::Ack, region, subject, &market.ranked, estimate::cluster(region, false)))
}

/// Types that PAI runs jobs on, at the price of a machine without a disk.
async fn pai(lookup: &dyn Lookup, region: &str, subject: &Subject, most: usize) -> Result<Vec<Row>, LookupError> {
    let wants = &subject.wants;
    if wants.architecture != X86 {
        return Ok(vec![obstacle(Product::Pai, region, subject, format!("training jobs don't run on {}", wants.architecture))]);
    }
    let (types, stock) = futures_util::future::join(lookup.types(region), lookup.stock(region, false)).await;
    let (types, stock) = (types?, stock?);
    let fitting = machine::fitting(wants, &types, &stock);
    let names: Vec<String> = fitting.iter().map(|candidate| candidate.shape.instance_type.clone()).take(100).collect();
    let Some(smallest) = names.first() else { return Ok(Vec::new()) };
    let (able, cheap) = futures_util::future::join(lookup.training_types(region, &names), lookup.alike(region, smallest)).await;
    let able = able?;
    let fitting: Vec<Candidate> = fitting.into_iter().filter(|candidate| able.contains(&candidate.shape.instance_type)).collect();
    let likely = cheap_first(fitting, &cheap.unwrap_or_default());
    let priced = likely.into_iter().take(most).map(|candidate| async move {
        // DLC knows no zones.
        let hourly = bare(lookup, region, wants, &candidate.shape.instance_type).await;
        Candidate { zones: Vec::new(), hourly, ..candidate }
    });
    let priced = futures_util::future::join_all(priced).await;
    Ok(machines(Product::Pai, region, subject, &machine::rank(priced), free()))
}

/// What an hour of the type costs by itself.
async fn bare(lookup: &dyn Lookup, region: &str, wants: &Wants, instance_type: &str) -> Option<Money> {
    let wanted = InstancePrice {
        instance_type: instance_type.to_owned(),
        zone: String::new(),
        disk_category: machine::DISK_CATEGORY.to_owned(),
        disk_level: Some(machine::DISK_LEVEL.to_owned()),
        disk_size: wants.disk,
        bandwidth: 0,
        spot: false,
    };
    let parts = lookup.price(region, &wanted).await.ok()?;
    match parts.into_iter().find(|part| part.item == instance_type) {
        Some(part) => Some(part.price),
        None => hourly(lookup, region, wants, instance_type, "").await,
    }
}

/// A function that is large enough: between one and four GiB for a vCPU.
fn fc(region: &str, subject: &Subject) -> Row {
    let refused = |because: &str| obstacle(Product::Fc, region, subject, because.to_owned());
    let wants = &subject.wants;
    let memory = wants.memory.max(Decimal::from(wants.vcpu)).ceil();
    let vcpu = wants.vcpu.max((memory / Decimal::from(4)).ceil().try_into().unwrap_or(u32::MAX));
    let gpu = match &wants.gpu {
        None => None,
        Some(gpu) if gpu.count > 1 => return refused("a function has one GPU at most"),
        // A card as a whole: 16 GiB of a T4, 24 GiB of an A10.
        Some(gpu) if gpu.is_model("NVIDIA T4") => Some((FunctionGpu::Tesla, 16)),
        Some(gpu) if gpu.is_model("NVIDIA A10") => Some((FunctionGpu::Ada, 24)),
        Some(_) => return refused("functions have no such GPU"),
    };
    if wants.architecture != X86 {
        return refused("functions run on x86");
    }
    if vcpu > FUNCTION_VCPU || memory > Decimal::from(FUNCTION_MEMORY) {
        return refused("a function has at most 16 vCPU and 32 GiB");
    }
    if subject.longest > FUNCTION_LONGEST {
        return refused("a function runs for a day at most");
    }
    if subject.keeps {
        return refused("a function has no machine that could stay");
    }
    let hourly = Some(estimate::function(region, vcpu, memory, gpu));
    let mut offer = offer(Product::Fc, region, subject, "function", hourly);
    (offer.vcpu, offer.memory) = (vcpu, size(memory));
    offer.gpu = gpu.map(|(kind, _)| format!("1 x {}", if kind == FunctionGpu::Tesla { "NVIDIA T4" } else { "NVIDIA A10" }));
    Row { offer, generation: 0, obstacle: None }
}
