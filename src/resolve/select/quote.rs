//! Offers for everything that a manifest wants, over products and regions, side by side. Nothing is decided by it, and
//! nothing is remembered.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use super::offers::{self, Subject};
use super::product::{considered, excluded, subject};
use super::rank::rank;
use super::wants::{Wants, X86};
use crate::manifest::{App, InstanceChoice, Manifest, Needs, Product, Region};
use crate::model::offer::Comparison;
use crate::resolve::choose::{DISK_SIZE, whole_disk};
use crate::resolve::error::ResolveError;
use crate::resolve::job::limit;
use crate::resolve::{Surroundings, begin};

/// How many types of a product are priced in a region: with the stock of it and what is cheap there, four questions.
const PRICED: usize = 2;

/// What an application needs of each of its machines; none for one that exists.
fn of_app(app: &App) -> Option<Subject> {
    let disk = app.disk.as_ref().map_or(DISK_SIZE, |disk| whole_disk(disk.value));
    let wants = match &app.instance {
        InstanceChoice::Needs(needs) => Wants::new(needs, X86, disk),
        InstanceChoice::Type(name) => Wants { named: Some(name.value.clone()), ..Wants::new(&Needs::default(), X86, disk) },
        InstanceChoice::Existing(_) => return None,
    };
    Some(Subject::staying(wants))
}

/// Asks for everything at the same time. Without `regions` it is the region that a plan would take.
pub async fn quote(
    manifest: &Manifest,
    regions: &[String],
    around: &Surroundings<'_>,
) -> Result<BTreeMap<String, Comparison>, ResolveError> {
    let own = match &manifest.region {
        _ if !regions.is_empty() => Vec::new(),
        Region::Named(named) => vec![named.value.clone()],
        // Which one follows from what is fetched.
        Region::Auto => vec![begin(manifest, around)?.0.desired.region],
    };
    let regions = if regions.is_empty() { own.as_slice() } else { regions };
    let mut wanted: BTreeMap<String, (Vec<Product>, Subject, Comparison)> = BTreeMap::new();
    for (name, job) in &manifest.jobs {
        let (products, verdict) = considered(job, &manifest.base);
        let excluded = excluded(job, &products, verdict.class);
        let comparison = Comparison { because: verdict.because, offers: Vec::new(), excluded };
        wanted.insert(format!("jobs.{name}"), (products, subject(job, &[], limit(job)), comparison));
    }
    for (name, app) in &manifest.apps {
        let because = "an application runs on machines of its own".to_owned();
        let comparison = Comparison { because, offers: Vec::new(), excluded: Vec::new() };
        wanted.extend(of_app(app).map(|subject| (format!("apps.{name}"), (vec![Product::Ecs], subject, comparison))));
    }
    let asked = wanted.iter().map(|(key, (products, subject, comparison))| async move {
        let each = regions.iter().flat_map(|region| products.iter().map(move |product| (region, *product)));
        let rows = join_all(each.map(|(region, product)| offers::of(around.lookup, product, region, subject, PRICED))).await;
        let offers = rank(rows.into_iter().flatten().collect());
        (key.clone(), Comparison { offers, ..comparison.clone() })
    });
    Ok(join_all(asked).await.into_iter().collect())
}
