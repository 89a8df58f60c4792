//! Questions about training jobs of PAI: workspaces, what pods can run on, images, and what a pod costs.

use async_trait::async_trait;

use super::lookup::{CloudLookup, InstancePrice, Lookup, LookupError};
use crate::cloud::aiworkspace::{Image, ListImages, ListWorkspaces};
use crate::cloud::api::ask;
use crate::cloud::dlc::ListEcsSpecs;
use crate::model::money::Money;

/// The largest page of these lists.
const PAGE: u32 = 100;
/// The status of a workspace that can be used.
const ENABLED: &str = "ENABLED";

/// What a pod can run on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// `ecs.g7.large`.
    pub instance_type: String,
    /// Cores.
    pub vcpu: u32,
    /// GiB.
    pub memory: u32,
    /// How many accelerators it has.
    pub gpus: u32,
    /// Their model, `NVIDIA T4`; empty without.
    pub gpu: String,
    /// Whether there is any of it now.
    pub available: bool,
}

/// An image that pods can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainingImage {
    /// `pytorch:2.8.0-cpu-py312-ubuntu22.04`.
    pub name: String,
    /// Where it is pulled from.
    pub uri: String,
    /// Framework and version, `PyTorch 2.8.0`.
    pub framework: String,
}

/// Asks PAI.
#[async_trait]
pub trait Training: Send + Sync {
    /// The workspace of exactly that name that can be used; `None` if there is none.
    async fn workspace(&self, region: &str, name: &str) -> Result<Option<String>, LookupError>;
    /// Everything that pods can run on, with accelerators or without.
    async fn training_specs(&self, region: &str, gpu: bool) -> Result<Vec<Spec>, LookupError>;
    /// The official images, for accelerators or without.
    async fn training_images(&self, region: &str, gpu: bool) -> Result<Vec<TrainingImage>, LookupError>;
}

fn chip(gpu: bool) -> &'static str {
    if gpu { "GPU" } else { "CPU" }
}

fn image(found: Image) -> TrainingImage {
    let framework = found.labels.iter().find(|label| label.key == "system.framework").map(|label| label.value.clone());
    // An image without the label says it by its name: `pytorch:2.8.0-...`.
    let framework = framework.unwrap_or_else(|| found.name.split('-').next().unwrap_or_default().replace(':', " "));
    TrainingImage { name: found.name, uri: found.image_uri, framework }
}

#[async_trait]
impl Training for CloudLookup<'_> {
    async fn workspace(&self, region: &str, name: &str) -> Result<Option<String>, LookupError> {
        let query = ListWorkspaces { workspace_name: Some(name.to_owned()), page_number: 1, page_size: PAGE };
        let found = ask(self.cloud, region, &query).await?.workspaces;
        // The name is looked for as a part.
        let fits = found.into_iter().find(|workspace| workspace.workspace_name == name && workspace.status == ENABLED);
        Ok(fits.map(|workspace| workspace.workspace_id))
    }

    async fn training_specs(&self, region: &str, gpu: bool) -> Result<Vec<Spec>, LookupError> {
        let mut all = Vec::new();
        for page in 1.. {
            let query =
                ListEcsSpecs { accelerator_type: Some(chip(gpu).to_owned()), instance_types: None, page_number: page, page_size: PAGE };
            let answer = ask(self.cloud, region, &query).await?;
            let more = !answer.ecs_specs.is_empty();
            all.extend(answer.ecs_specs.into_iter().map(|found| Spec {
                instance_type: found.instance_type,
                vcpu: found.cpu,
                memory: found.memory,
                gpus: found.gpu,
                gpu: found.gpu_type,
                available: found.is_available,
            }));
            if !more || i64::try_from(all.len()).unwrap_or(i64::MAX) >= answer.total_count {
                break;
            }
        }
        Ok(all)
    }

    async fn training_images(&self, region: &str, gpu: bool) -> Result<Vec<TrainingImage>, LookupError> {
        let labels = format!("system.official=true,system.supported.dlc=true,system.chipType={}", chip(gpu));
        let mut all = Vec::new();
        for page in 1.. {
            let query =
                ListImages { labels: Some(labels.clone()), page_number: page, page_size: PAGE, verbose: true, ..Default::default() };
            let answer = ask(self.cloud, region, &query).await?;
            let more = !answer.images.is_empty();
            all.extend(answer.images.into_iter().map(image));
            if !more || i64::try_from(all.len()).unwrap_or(i64::MAX) >= answer.total_count {
                break;
            }
        }
        Ok(all)
    }
}

/// What a pod on that type costs an hour: as much as an instance of it, without a disk.
///
/// # Errors
/// In words, if the price can't be had.
pub async fn price(lookup: &dyn Lookup, region: &str, instance_type: &str) -> Result<Money, String> {
    let wanted = InstancePrice {
        instance_type: instance_type.to_owned(),
        zone: String::new(),
        disk_category: "cloud_essd".to_owned(),
        disk_level: Some("PL0".to_owned()),
        disk_size: 40,
        bandwidth: 0,
        spot: false,
    };
    let parts = lookup.price(region, &wanted).await.map_err(|error| error.to_string())?;
    let part = parts.into_iter().find(|part| part.item == instance_type);
    part.map(|part| part.price).ok_or_else(|| format!("the price of `{instance_type}` is not told"))
}
