//! Which keys of a job mean something on which product. What a product can't do for a key is refused where the key stands,
//! and never left out in silence.

use super::reader::{Fields, Value};
use super::{Architecture, ClusterChoice, Job, Product};

/// A key of a job that does not mean something everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The key, as it is written in the job.
    pub key: &'static str,
    /// The products that it means something on.
    pub products: &'static [Product],
    /// Why it does so only there: a lower-case fragment.
    pub because: &'static str,
}

impl Bound {
    /// Why it means nothing on a product.
    fn lacking(&self, product: Product) -> &'static str {
        match (self.key, product) {
            ("spot", Product::Fc) => "a function has no machine that could be bought on the spot market",
            ("spot", Product::Pai) => "what the spot market asks for pods of PAI no call tells, so no budget could be held against it",
            _ => self.because,
        }
    }
}

const IMAGE: Bound = Bound {
    key: "image",
    products: &[Product::Fc, Product::Ack, Product::Pai],
    because: "`ecs` runs a job on a machine and in no container",
};
const CLUSTER: Bound = Bound { key: "cluster", products: &[Product::Ack], because: "only `ack` runs a job in a cluster" };
const WORKERS: Bound = Bound { key: "workers", products: &[Product::Pai], because: "only a training job has several workers" };
const SPOT: Bound = Bound {
    key: "spot",
    products: &[Product::Ecs, Product::Ack],
    because: "only machines and nodes of clusters are bought on the spot market",
};
const KEEP: Bound = Bound {
    key: "keep",
    products: &[Product::Ecs, Product::Ack, Product::Pai],
    because: "`fc` has no machine that `keep` could leave running",
};
const ARM: Bound = Bound { key: "needs", products: &[Product::Ecs], because: "jobs run on ARM processors on `ecs` only" };

impl Job {
    /// The keys it has that do not mean something everywhere.
    pub fn bounds(&self) -> Vec<Bound> {
        let arm = self.needs.architecture.as_ref().is_some_and(|named| named.value == Architecture::Arm);
        let cluster = self.cluster != ClusterChoice::Own { pro: false };
        let all = [
            (self.image.is_some(), IMAGE),
            (cluster, CLUSTER),
            (self.workers > 1, WORKERS),
            (self.spot.is_some(), SPOT),
            (self.keep, KEEP),
            (arm, ARM),
        ];
        all.into_iter().filter(|(has, _)| *has).map(|(_, bound)| bound).collect()
    }

    /// Why it can't run on the product, if a key says so.
    pub fn refuses(&self, product: Product) -> Option<&'static str> {
        self.bounds().into_iter().find(|bound| !bound.products.contains(&product)).map(|bound| bound.lacking(product))
    }
}

/// `ecs`, `fc`, ...
fn word(product: Product) -> &'static str {
    match product {
        Product::Ecs => "ecs",
        Product::Fc => "fc",
        Product::Ack => "ack",
        Product::Pai => "pai",
    }
}

/// `product: fc`, `ack` or `pai`.
fn choice(products: &[Product]) -> String {
    let (first, others) = products.split_first().map_or(("auto", products), |(first, others)| (word(*first), others));
    let mut text = format!("`product: {first}`");
    for (at, product) in others.iter().enumerate() {
        let between = if at + 1 == others.len() { " or" } else { "," };
        text += &format!("{between} `{}`", word(*product));
    }
    text
}

/// Complains about keys that the named product has no use for, and about keys that no product has a use for together.
pub(super) fn check(value: &Value<'_>, fields: &Fields<'_>, job: &Job) {
    let bounds = job.bounds();
    let place = |bound: &Bound| match (bound.key, &job.needs.architecture) {
        ("needs", Some(arch)) => arch.location.clone(),
        (key, _) => fields.get(key).unwrap_or(value).location(),
    };
    let shown = |bound: &Bound| if bound.key == "needs" { "arch" } else { bound.key };
    if let Some(product) = &job.product {
        for bound in bounds.iter().filter(|bound| !bound.products.contains(&product.value)) {
            let message = format!("a job on `{}` has no `{}`: {}", word(product.value), shown(bound), bound.lacking(product.value));
            let hint = format!("remove `{}`, or write {}", shown(bound), choice(bound.products));
            value.reader.complain_at("conflict", message, &place(bound), hint);
        }
    }
    for (at, bound) in bounds.iter().enumerate() {
        let apart = |other: &&Bound| !bound.products.iter().any(|product| other.products.contains(product));
        if let Some(other) = bounds[..at].iter().find(apart) {
            let message = format!("`{}` and `{}` don't go together: {}, and {}", shown(other), shown(bound), other.because, bound.because);
            value.reader.complain_at("conflict", message, &place(bound), "remove one of the two");
        }
    }
    if let (Some(spot), ClusterChoice::Existing(_)) = (&job.spot, &job.cluster) {
        let message = "nodes of a cluster that exists are not bought for the job, on no market".to_owned();
        value.reader.complain_at("conflict", message, &spot.location, "remove `spot`, or leave `cluster` out");
    }
}
