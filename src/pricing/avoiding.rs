//! Stock without what was sold out a moment ago: the cloud may still call it available, and a new plan must not run
//! into the same refusal.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;

use super::clusters::{ClusterFound, Readiness};
use super::existing::Existing;
use super::lookup::{ImageFound, InstancePrice, Lookup, LookupError, PricePart, Shape, Stock};
use super::training::{Spec, Training, TrainingImage};
use crate::model::money::Money;
use crate::model::shortage::Shortage;

/// A lookup that leaves out what was sold out.
pub struct Avoiding<L> {
    inner: L,
    out: Vec<Shortage>,
}

impl<L> Avoiding<L> {
    /// Leaves `out` out of what `inner` answers.
    pub fn new(inner: L, out: Vec<Shortage>) -> Self {
        Avoiding { inner, out }
    }
}

#[async_trait]
impl<L: Lookup> Lookup for Avoiding<L> {
    async fn types(&self, region: &str) -> Result<Arc<Vec<Shape>>, LookupError> {
        self.inner.types(region).await
    }

    async fn stock(&self, region: &str, spot: bool) -> Result<Arc<Stock>, LookupError> {
        let stock = self.inner.stock(region, spot).await?;
        if self.out.iter().all(|out| out.region != region) {
            return Ok(stock);
        }
        let mut left = Stock::clone(&stock);
        left.retain(|instance_type, zones| {
            zones.retain(|zone| !self.out.iter().any(|out| out.covers(region, zone, instance_type)));
            !zones.is_empty()
        });
        Ok(Arc::new(left))
    }

    async fn alike(&self, region: &str, instance_type: &str) -> Result<Vec<String>, LookupError> {
        self.inner.alike(region, instance_type).await
    }

    async fn training_types(&self, region: &str, among: &[String]) -> Result<BTreeSet<String>, LookupError> {
        self.inner.training_types(region, among).await
    }

    async fn image(&self, region: &str, family: &str) -> Result<Option<ImageFound>, LookupError> {
        self.inner.image(region, family).await
    }

    async fn existing(&self, region: &str, id: &str) -> Result<Option<Existing>, LookupError> {
        self.inner.existing(region, id).await
    }

    async fn clusters(&self, region: &str) -> Result<Vec<ClusterFound>, LookupError> {
        self.inner.clusters(region).await
    }

    async fn readiness(&self, region: &str, cluster: &str, namespace: &str) -> Result<Readiness, LookupError> {
        self.inner.readiness(region, cluster, namespace).await
    }

    async fn price(&self, region: &str, wanted: &InstancePrice) -> Result<Vec<PricePart>, LookupError> {
        self.inner.price(region, wanted).await
    }

    async fn balance(&self, region: &str) -> Result<Money, LookupError> {
        self.inner.balance(region).await
    }
}

#[async_trait]
impl<L: Lookup> Training for Avoiding<L> {
    async fn workspace(&self, region: &str, name: &str) -> Result<Option<String>, LookupError> {
        self.inner.workspace(region, name).await
    }

    async fn training_specs(&self, region: &str, gpu: bool) -> Result<Vec<Spec>, LookupError> {
        let mut specs = self.inner.training_specs(region, gpu).await?;
        // Training jobs know no zones: what is sold out in one of them may well be had.
        let is_out = |out: &Shortage, spec: &Spec| out.zone.is_none() && out.covers(region, "", &spec.instance_type);
        for spec in &mut specs {
            spec.available &= !self.out.iter().any(|out| is_out(out, spec));
        }
        Ok(specs)
    }

    async fn training_images(&self, region: &str, gpu: bool) -> Result<Vec<TrainingImage>, LookupError> {
        self.inner.training_images(region, gpu).await
    }
}
