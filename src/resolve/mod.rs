//! From intent to resources: region, zone, type, image, network, scripts. It asks for stock, types, images and
//! prices through [`crate::pricing::lookup::Lookup`] and creates nothing. Each choice is a decision with its reasons,
//! taken once and then kept.

pub mod app;
pub mod bundles;
pub mod choose;
pub mod error;
pub mod job;
pub mod network;
pub mod outputs;
pub mod region;
mod release;
pub mod reopen;
pub mod select;
mod service;

use std::collections::BTreeMap;

use crate::manifest::Manifest;
use crate::model::address::Address;
use crate::model::decision::Decision;
use crate::model::offer::place_key;
use crate::pricing::lookup::Lookup;
use crate::resources::desired::{Desired, Used};
use bundles::Bundles;
use error::ResolveError;

/// What a resolution follows from besides the manifest.
pub struct Surroundings<'a> {
    /// Who answers questions about the cloud.
    pub lookup: &'a dyn Lookup,
    /// What was decided before; empty to decide everything anew.
    pub decided: &'a BTreeMap<String, Decision>,
    /// The lineage of the stack's state.
    pub lineage: &'a str,
}

/// Everything wanted, and the packed sources it needs.
#[derive(Debug)]
pub struct Resolved {
    /// The resources.
    pub desired: Desired,
    /// The packed sources.
    pub bundles: Bundles,
}

/// What is being put together.
pub(crate) struct Draft<'a> {
    pub(crate) manifest: &'a Manifest,
    pub(crate) around: &'a Surroundings<'a>,
    pub(crate) desired: Desired,
    pub(crate) bundles: Bundles,
    /// Whether the decisions of before are of another region: zones, types and images of one mean nothing in another.
    pub(crate) moved: bool,
    /// Runs that leave nothing behind.
    pub(crate) passing: release::Passing,
}

impl Draft<'_> {
    /// What was decided before under `key`, taken over as it is.
    pub(crate) fn decided(&mut self, key: &str) -> Option<String> {
        if self.moved {
            return None;
        }
        let decision = self.around.decided.get(key)?.clone();
        let chosen = decision.chosen.clone();
        self.desired.decisions.insert(key.to_owned(), decision);
        Some(chosen)
    }

    /// Where an instance stands: where it was chosen to, unless a fallback was taken when it was made.
    pub(crate) fn placed(&mut self, address: &Address, mut machine: choose::Machine) -> choose::Machine {
        let key = place_key(address, &machine.zone, &machine.instance_type);
        if let Some(place) = self.decided(&key)
            && let Some((zone, instance_type)) = place.split_once(' ')
        {
            (machine.zone, machine.instance_type) = (zone.to_owned(), instance_type.to_owned());
        }
        machine
    }

    pub(crate) fn decide(&mut self, key: &str, decision: Decision) -> String {
        let chosen = decision.chosen.clone();
        self.desired.decisions.insert(key.to_owned(), decision);
        chosen
    }

    pub(crate) fn uses(&mut self, what: &str, id: &str, note: String) {
        let used = Used { what: what.to_owned(), id: id.to_owned(), note };
        if !self.desired.used.contains(&used) {
            self.desired.used.push(used);
        }
    }
}

/// What everything else follows from: the sources, the jobs and the region.
type Begun<'a> = (Draft<'a>, Vec<(String, app::Project)>, Vec<job::Task<'a>>);

/// Reads the sources and chooses the region.
fn begin<'a>(manifest: &'a Manifest, around: &'a Surroundings<'a>) -> Result<Begun<'a>, ResolveError> {
    let (desired, bundles) = (Desired::default(), Bundles::at(manifest.base.clone()));
    let mut draft = Draft { manifest, around, desired, bundles, moved: false, passing: release::Passing::new() };
    let (projects, tasks) = (app::projects(manifest)?, job::tasks(manifest)?);
    let apps = projects.iter().map(|(name, project)| project.fetcher(&manifest.apps[name]));
    let fetchers: Vec<region::Fetcher> = apps.chain(tasks.iter().map(job::Task::fetcher)).collect();
    draft.desired.region = region::choose(&mut draft, &fetchers);
    let before = around.decided.get(region::KEY).map(|decision| &decision.chosen);
    draft.moved = before.is_some_and(|before| *before != draft.desired.region);
    Ok((draft, projects, tasks))
}

/// Reads the sources, and refuses what can be told of them without asking anyone.
pub fn read(manifest: &Manifest) -> Result<(), ResolveError> {
    app::projects(manifest)?;
    job::tasks(manifest)?;
    Ok(())
}

/// Resolves the manifest.
pub async fn resolve(manifest: &Manifest, around: &Surroundings<'_>) -> Result<Resolved, ResolveError> {
    let (mut draft, projects, tasks) = begin(manifest, around)?;
    let network = network::network(&mut draft).await?;
    for (name, project) in projects {
        app::add(&mut draft, &network, &manifest.apps[&name], project).await?;
    }
    for task in tasks {
        job::add(&mut draft, &network, task).await?;
    }
    network.stand_by(&mut draft);
    draft.desired.released = release::released(&draft.desired, &draft.passing);
    outputs::add(&mut draft);
    Ok(Resolved { desired: draft.desired, bundles: draft.bundles })
}
