//! `aliform quote`: what could run it, side by side, with live prices and stock. It writes no state and makes nothing.

use std::collections::BTreeMap;

use aliform::manifest::Manifest;
use aliform::model::offer::Comparison;
use aliform::model::region;
use aliform::pricing::avoiding::Avoiding;
use aliform::pricing::lookup::CloudLookup;
use aliform::resolve::Surroundings;
use aliform::resolve::select::quote::quote;
use aliform::state::shortages;

use super::run::manifest;
use crate::args::{self, Script};
use crate::error::{CommandError, POLICY, USAGE};
use crate::output::Output;
use crate::workspace::{Workspace, clock};

pub(crate) async fn run(workspace: &Workspace, arguments: &args::Quote, out: &Output) -> Result<u8, CommandError> {
    let mut script = arguments.script.clone();
    let several = script.region.take_if(|region| region == "all" || region.contains(','));
    let regions = several.map(|text| regions(&text)).transpose()?.unwrap_or_default();
    let manifest = read(workspace, arguments.target.as_deref(), &script)?;
    let client = workspace.connect(out).await?;
    // What was sold out a moment ago is no offer, here as in a plan.
    let sold_out = shortages::read(&workspace.state_directory(), clock().now());
    let (lookup, none) = (Avoiding::new(CloudLookup::new(&client), sold_out), BTreeMap::new());
    let around = Surroundings { lookup: &lookup, decided: &none, lineage: "" };
    let found = quote(&manifest, &regions, &around).await?;
    if found.is_empty() {
        return Err(CommandError::failed("the manifest wants nothing that could be compared")
            .hint("name a script, or say what is needed: `aliform quote --cpu 4 --memory 8GiB`"));
    }
    out.offers(&found);
    judge(&manifest, &found)?;
    Ok(0)
}

/// The table is the answer to what there is; whether that is any use is the exit code's.
fn judge(manifest: &Manifest, found: &BTreeMap<String, Comparison>) -> Result<(), CommandError> {
    for (name, comparison) in found {
        let Some(offer) = comparison.offers.iter().find(|offer| offer.chosen) else {
            return Err(
                CommandError::failed(format!("nothing that fits `{name}` is to be had")).hint("ask for less, or look in `--region all`")
            );
        };
        let of_job = name.strip_prefix("jobs.").and_then(|name| manifest.jobs.get(name)).and_then(|job| job.budget.total.as_ref());
        for budget in [manifest.budget.total.as_ref(), of_job].into_iter().flatten().map(|budget| budget.value) {
            if let Some(total) = offer.total.map(|total| total.converted(budget.currency)).filter(|total| total.amount > budget.amount) {
                return Err(CommandError::new(
                    POLICY,
                    format!("the total budget of {budget} would be exceeded by `{name}`: {}", total.rounded(4)),
                )
                .hint("shorten `timeout`, or ask for less"));
            }
        }
    }
    Ok(())
}

/// What is to be compared.
fn read(workspace: &Workspace, target: Option<&str>, script: &Script) -> Result<Manifest, CommandError> {
    match target {
        Some(target) => manifest::read(workspace, target, script),
        None if *script == Script::default() && workspace.manifest.exists() => workspace.load(),
        None => manifest::anything(workspace, script),
    }
}

/// The regions of `all` or of a list.
pub(super) fn regions(text: &str) -> Result<Vec<String>, CommandError> {
    if text == "all" {
        return Ok(region::REGIONS.iter().filter(|region| !region.closing).map(|region| region.id.to_owned()).collect());
    }
    let one = |name: &str| match region::find(name) {
        Some(found) => Ok(found.id.to_owned()),
        None => {
            let error = CommandError::new(USAGE, format!("`{name}` is not a region that aliform knows"));
            Err(region::nearest(name).into_iter().fold(error, |error, near| error.hint(format!("did you mean `{}`?", near.id))))
        }
    };
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_regions_or_some() {
        assert_eq!(regions("cn-beijing, us-east-1").unwrap(), ["cn-beijing", "us-east-1"]);
        assert_eq!(regions("all").unwrap().len(), 30, "those that are being closed down are no offer");
        assert!(regions("cn-beijin,us-east-1").unwrap_err().hints[0].contains("cn-beijing"));
    }
}
