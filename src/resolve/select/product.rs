//! Which product runs a job. A named one is locked: nothing ever switches it. Otherwise what the job runs says which
//! come into question, and where those are several they are compared by what they ask for now.

use super::classify::{Class, Verdict, classify, lines};
use super::offers::{self, Subject, word};
use super::rank::rank;
use super::wants::{Wants, X86};
use crate::manifest::{Architecture, Job, Product};
use crate::model::decision::{Decision, Rejected};
use crate::model::offer::Offer;
use crate::resolve::Draft;
use crate::resolve::choose::DISK_SIZE;
use crate::resolve::error::ResolveError;

/// All of them, the simplest first.
const PRODUCTS: [Product; 4] = [Product::Ecs, Product::Fc, Product::Pai, Product::Ack];
/// How many types of a product are priced.
const PRICED: usize = 3;

/// What comes into question for a kind of work.
pub fn candidates(class: Class) -> &'static [Product] {
    match class {
        Class::Service => &[Product::Ecs, Product::Ack],
        Class::Training => &[Product::Pai, Product::Fc],
        Class::Containers => &[Product::Ack],
        Class::General => &[Product::Ecs],
    }
}

/// Why a product does not come into question.
fn unfit(product: Product, class: Class) -> &'static str {
    match (product, class) {
        (Product::Ack, _) => "a cluster is for containers and services",
        (Product::Pai, _) => "it is for training",
        (Product::Fc, Class::Service) => "a function is no service that stays",
        (Product::Fc, Class::Containers) => "a function starts no containers",
        (Product::Fc, _) => "functions are weighed for training",
        (Product::Ecs, Class::Containers) => "a machine would have to be taught containers first",
        (Product::Ecs, _) => "training needs no machine to look after",
    }
}

/// What comes into question for a job, and why.
pub(in crate::resolve) fn considered(job: &Job, base: &std::path::Path) -> (Vec<Product>, Verdict) {
    if let Some(named) = &job.product {
        let because = format!("named at {}:{}", named.location.file, named.location.line);
        return (vec![named.value], Verdict { class: Class::General, because });
    }
    let mut verdict = classify(&lines(job, base));
    if job.spot.is_some() {
        verdict.because = "only a machine of its own can be bought on the spot market".to_owned();
        return (vec![Product::Ecs], Verdict { class: Class::General, ..verdict });
    }
    if let Some(image) = job.image.as_ref().filter(|_| verdict.class == Class::General) {
        let because = format!("it names a container image at {}:{}", image.location.file, image.location.line);
        verdict = Verdict { class: Class::Containers, because };
    }
    (candidates(verdict.class).to_vec(), verdict)
}

/// The products that don't come into question, and why.
pub(in crate::resolve) fn excluded(job: &Job, considered: &[Product], class: Class) -> Vec<Rejected> {
    let others = PRODUCTS.into_iter().filter(|product| !considered.contains(product));
    let because = |product| match (&job.product, &job.spot) {
        (Some(named), _) => format!("`{}` is named, and stays", word(named.value)),
        (None, Some(_)) => "it sells nothing on the spot market that a job could be run on".to_owned(),
        (None, None) => unfit(product, class).to_owned(),
    };
    others.map(|product| Rejected { option: word(product).to_owned(), because: because(product) }).collect()
}

/// What a job needs, for comparing products.
pub(in crate::resolve) fn subject(job: &Job, zones: &[String], limit: u64) -> Subject {
    let arm = job.needs.architecture.as_ref().is_some_and(|named| named.value == Architecture::Arm);
    let wants = Wants::new(&job.needs, if arm { super::wants::ARM } else { X86 }, DISK_SIZE);
    let wants = Wants { zones: zones.to_vec(), spot: job.spot.is_some(), cap: job.spot.as_ref().and_then(|spot| spot.value.cap), ..wants };
    Subject { wants, seconds: limit * job.runs(), longest: limit, keeps: job.keep }
}

/// Chooses it. `zones` limits where machines may stand, unless it is empty; `limit` is how long a run of the job may take.
pub(in crate::resolve) async fn choose(draft: &mut Draft<'_>, zones: &[String], job: &Job, limit: u64) -> Result<Product, ResolveError> {
    if let Some(named) = &job.product {
        return Ok(named.value);
    }
    let (products, verdict) = considered(job, &draft.manifest.base);
    let subject = subject(job, zones, limit);
    let name = format!("jobs.{}", job.name.value);
    let key = format!("{name}.product[{}, {}]", verdict.class.word(), subject.wants.words());
    if let Some(decided) = draft.decided(&key)
        && let Some(product) = PRODUCTS.into_iter().find(|product| word(*product) == decided)
    {
        return Ok(product);
    }
    let others = excluded(job, &products, verdict.class);
    // What a machine is and costs is chosen with the machine.
    if let [Product::Ecs] = products.as_slice() {
        let decision = Decision { chosen: word(Product::Ecs).to_owned(), because: verdict.because, rejected: others };
        draft.decide(&key, decision);
        return Ok(Product::Ecs);
    }
    let (lookup, region) = (draft.around.lookup, draft.desired.region.clone());
    let asked = products.iter().map(|product| offers::of(lookup, *product, &region, &subject, PRICED));
    let offers = rank(futures_util::future::join_all(asked).await.into_iter().flatten().collect());
    let best = |product: &Product| offers.iter().find(|offer| offer.product == word(*product));
    let Some(chosen) = products.iter().find(|product| best(product).is_some_and(|offer| offer.chosen)).copied() else {
        return Err(nothing(job, &region, &offers));
    };
    let told = |offer: &Offer| match offer.hourly {
        Some(hourly) => format!("{}, {} an hour: {}", offer.what, hourly.rounded(4), offer.because),
        None => offer.because.clone(),
    };
    let losers = products.iter().filter(|product| **product != chosen).filter_map(best);
    let losers = losers.map(|offer| Rejected { option: offer.product.clone(), because: told(offer) });
    let rejected = losers.chain(others).collect();
    let because = match best(&chosen).filter(|_| products.len() > 1) {
        Some(offer) => format!("{}; {}", verdict.because, told(offer)),
        None => verdict.because,
    };
    draft.decide(&key, Decision { chosen: word(chosen).to_owned(), because, rejected });
    draft.desired.offers.insert(name, offers);
    Ok(chosen)
}

/// None of them can run it.
fn nothing(job: &Job, region: &str, offers: &[Offer]) -> ResolveError {
    let reasons: Vec<String> = offers.iter().map(|offer| format!("{}: {}", offer.product, offer.because)).collect();
    ResolveError::Impossible {
        location: job.name.location.clone(),
        message: format!("nothing in `{region}` can run job `{}`: {}", job.name.value, reasons.join("; ")),
        hint: "ask for less, name a `product`, or compare regions with `aliform quote --region all`".to_owned(),
    }
}
