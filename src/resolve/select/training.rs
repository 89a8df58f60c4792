//! What the pods of a training job can run on: what PAI has for it, the cheapest first. For the offer and for the job alike,
//! so that the two can't differ.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use rust_decimal::Decimal;

use super::machine::generation;
use super::wants::{Accelerators, Wants, has_whole_cards};
use crate::model::money::Money;
use crate::pricing::lookup::{Lookup, LookupError};
use crate::pricing::training::{self, Spec};

/// How many of the smallest specs that fit are priced.
const PRICED: usize = 16;

/// What there is.
#[derive(Clone, Debug, Default)]
pub struct Pods {
    /// What fits and can be had with its price an hour, the cheapest first.
    pub priced: Vec<(Option<Money>, Spec)>,
    /// What would fit and is sold out.
    pub sold_out: Vec<String>,
    /// The models of accelerators that there are.
    pub models: BTreeSet<String>,
}

/// Whether accelerators are of a model: `NVIDIA V100` is, whoever made it, and so is `NVIDIA V100 32G`; an A100 is no A10.
fn is_model(gpu: &str, model: &str) -> bool {
    let plain = |text: &str| text.trim().to_ascii_lowercase().trim_start_matches("nvidia").trim_start().to_owned();
    let (gpu, model) = (plain(gpu), plain(model));
    gpu.strip_prefix(&model).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
}

/// Whether a spec has what is needed, and no accelerator that nobody asked for.
fn fits(spec: &Spec, wants: &Wants) -> bool {
    let has = |gpu: &Accelerators| {
        spec.gpus >= gpu.count && has_whole_cards(&spec.instance_type) && gpu.model.as_ref().is_none_or(|model| is_model(&spec.gpu, model))
    };
    let accelerated = wants.gpu.as_ref().map_or(spec.gpus == 0, has);
    accelerated && spec.vcpu >= wants.vcpu && Decimal::from(spec.memory) >= wants.memory
}

/// Asks for the specs, and for the prices of the smallest that fit.
pub async fn pods(lookup: &dyn Lookup, region: &str, wants: &Wants) -> Result<Pods, LookupError> {
    let all = lookup.training_specs(region, wants.gpu.is_some()).await?;
    let models = all.iter().filter(|spec| spec.gpus > 0).map(|spec| spec.gpu.clone()).collect();
    let (mut fitting, sold_out): (Vec<Spec>, Vec<Spec>) = all.into_iter().filter(|spec| fits(spec, wants)).partition(|spec| spec.available);
    fitting.sort_by(|a, b| (a.gpus, a.vcpu, a.memory, &a.instance_type).cmp(&(b.gpus, b.vcpu, b.memory, &b.instance_type)));
    fitting.truncate(PRICED);
    let prices = join_all(fitting.iter().map(|spec| training::price(lookup, region, &spec.instance_type))).await;
    let mut priced: Vec<(Option<Money>, Spec)> = prices.into_iter().map(Result::ok).zip(fitting).collect();
    // The cheapest; of equals the newer generation, then the name. What has no price comes last, the smallest first.
    priced.sort_by_key(|(price, spec)| {
        let rank = price.map(|price| (price.amount, u32::MAX - generation(&spec.instance_type), spec.instance_type.clone()));
        (rank.is_none(), rank)
    });
    Ok(Pods { priced, sold_out: sold_out.into_iter().map(|spec| spec.instance_type).collect(), models })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_named_with_or_without_its_maker() {
        for (gpu, model, is) in [
            ("NVIDIA T4", "NVIDIA T4", true),
            ("NVIDIA T4", "t4", true),
            ("NVIDIA V100 32G", "V100", true),
            ("NVIDIA A100", "NVIDIA A10", false),
            ("NVIDIA A10", "NVIDIA A100", false),
            ("", "NVIDIA T4", false),
        ] {
            assert_eq!(is_model(gpu, model), is, "{gpu} {model}");
        }
    }
}
