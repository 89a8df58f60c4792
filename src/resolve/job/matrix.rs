//! The runs of a job: one, or one for each combination of the parameters of its matrix, dealt out to a few machines. Pure.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::Task;
use crate::manifest::Job;
use crate::model::address::Address;
use crate::resolve::Draft;
use crate::resolve::error::ResolveError;
use crate::resources::part::Part;

/// A run of a job.
pub(super) struct Share {
    /// What it is called: the job's name, with its number if there are several.
    pub(super) name: String,
    /// The machine it runs on, counted from 0.
    pub(super) machine: usize,
    /// Which of several it is.
    pub(super) part: Option<Part>,
}

/// The runs, and the names of the machines that share them.
pub(super) fn shares(job: &Job) -> (Vec<Share>, Vec<String>) {
    let name = &job.name.value;
    if job.matrix.is_empty() {
        return (vec![Share { name: name.clone(), machine: 0, part: None }], vec![name.clone()]);
    }
    let combinations = combinations(&job.matrix);
    let count = combinations.len().min(usize::try_from(job.max_parallel).unwrap_or(usize::MAX)).max(1);
    let numbered = |number: usize, of: usize| format!("{:0width$}", number + 1, width = of.to_string().len());
    let of = combinations.len();
    let share = |(at, parameters): (usize, BTreeMap<String, String>)| {
        let number = numbered(at, of);
        let folder = folder(&job.matrix, &parameters);
        Share {
            name: format!("{name}-{number}"),
            machine: at % count,
            part: Some(Part { job: name.clone(), number, parameters, folder, at_once: None }),
        }
    };
    let machines = (0..count).map(|at| format!("{name}-{}", numbered(at, count))).collect();
    (combinations.into_iter().enumerate().map(share).collect(), machines)
}

/// The runs of a job that have no machines to share: as many go on at once as machines would.
pub(super) fn runs(job: &Job) -> Vec<Share> {
    let (mut shares, machines) = shares(job);
    for part in shares.iter_mut().filter_map(|share| share.part.as_mut()) {
        part.at_once = u32::try_from(machines.len()).ok();
    }
    shares
}

/// How many runs of a job go on at once.
pub(super) fn at_once(job: &Job) -> u64 {
    if job.matrix.is_empty() { 1 } else { job.runs().min(u64::from(job.max_parallel)).max(1) }
}

/// Notes of which job a run is, if it is one of several.
pub(super) fn remember(draft: &mut Draft<'_>, run: &Address, share: &Share) {
    if let Some(part) = &share.part {
        draft.desired.parts.insert(run.clone(), part.job.clone());
    }
}

/// No run of a matrix may be called as another job or app is.
pub(super) fn check_names(draft: &Draft<'_>, task: &Task<'_>, shares: &[Share]) -> Result<(), ResolveError> {
    let manifest = draft.manifest;
    let taken =
        |share: &&Share| share.part.is_some() && (manifest.jobs.contains_key(&share.name) || manifest.apps.contains_key(&share.name));
    match shares.iter().find(taken) {
        Some(share) => {
            let message = format!("`{}` is a run of the matrix of `{}`, and the name of something else", share.name, task.job.name.value);
            Err(super::impossible(task.job, message, "give the other one another name"))
        }
        None => Ok(()),
    }
}

/// Every combination; the last parameter changes first.
fn combinations(matrix: &[(String, Vec<String>)]) -> Vec<BTreeMap<String, String>> {
    let mut all = vec![BTreeMap::new()];
    for (name, values) in matrix {
        let with = |known: &BTreeMap<String, String>, value: &String| {
            let mut known = known.clone();
            known.insert(name.clone(), value.clone());
            known
        };
        all = all.iter().flat_map(|known| values.iter().map(move |value| with(known, value))).collect();
    }
    all
}

/// A folder that names the parameters in their order: `lr=0.1,seed=2`. What a name of a folder can't hold is told apart by a
/// digest.
fn folder(matrix: &[(String, Vec<String>)], parameters: &BTreeMap<String, String>) -> String {
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "._+-".contains(c)) && text.len() <= 60 && !text.is_empty();
    let one = |name: &String| {
        let value = parameters.get(name).map_or("", String::as_str);
        if plain(value) {
            return format!("{name}={value}");
        }
        let kept: String = value.chars().filter(|c| c.is_ascii_alphanumeric()).take(20).collect();
        let digest = hex::encode(Sha256::digest(value));
        format!("{name}={kept}~{}", digest.get(..8).unwrap_or_default())
    };
    matrix.iter().map(|(name, _)| one(name)).collect::<Vec<_>>().join(",")
}

/// What tells a run from others: that of its job, and its parameters.
pub(super) fn digest(job: &str, share: &Share) -> String {
    let Some(part) = &share.part else { return job.to_owned() };
    let mut sum = Sha256::new();
    sum.update(job);
    for (name, value) in &part.parameters {
        sum.update(format!("\n{}:{name}{}:{value}", name.len(), value.len()));
    }
    hex::encode(sum.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_has_a_folder_of_its_own_that_sorts_as_it_is_written() {
        let list = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
        let matrix = [("lr".to_owned(), list(&["0.1", "0.01"])), ("text".to_owned(), list(&["a b", "a/b", ""]))];
        let folders: Vec<String> = combinations(&matrix).iter().map(|parameters| folder(&matrix, parameters)).collect();
        assert_eq!(folders.len(), 6);
        assert!(folders[0].starts_with("lr=0.1,text=ab~") && folders[3].starts_with("lr=0.01,text=ab~"), "{folders:?}");
        let distinct: std::collections::BTreeSet<&String> = folders.iter().collect();
        assert_eq!(distinct.len(), 6, "{folders:?}");
    }
}
