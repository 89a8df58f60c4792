//! Which region: the user's; overseas when something that runs fetches from hosts overseas and no mainland mirror is set; else
//! Hangzhou.

use super::Draft;
use crate::manifest::Region;
use crate::model::decision::{Decision, Rejected};
use crate::project::fetches::{Fetch, Reach};

const MAINLAND: &str = "cn-hangzhou";
const OVERSEAS: &str = "ap-southeast-1";

/// The name of the decision.
pub(super) const KEY: &str = "region";

/// Someone who may fetch from overseas.
pub(super) struct Fetcher {
    /// ``app `web` ``.
    pub(super) who: String,
    /// What it fetches.
    pub(super) fetches: Vec<Fetch>,
}

impl Fetcher {
    /// What needs a way to the internet, if anything does.
    pub(super) fn fetches(&self) -> Option<&Fetch> {
        self.fetches.iter().find(|fetch| fetch.reach > Reach::Inside)
    }

    /// Where something is fetched from overseas: who, the command, and the line it stands in or comes from.
    fn overseas(&self) -> Option<String> {
        let found = self.fetches.iter().find(|fetch| fetch.reach == Reach::Overseas)?;
        Some(format!("{} runs `{}` ({}), which fetches from hosts overseas", self.who, found.text, found.place()))
    }
}

/// Chooses it.
pub(super) fn choose(draft: &mut Draft<'_>, fetchers: &[Fetcher]) -> String {
    if let Region::Named(region) = &draft.manifest.region {
        let because = format!("named at {}:{}", region.location.file, region.location.line);
        return draft.decide(KEY, Decision { chosen: region.value.clone(), because, rejected: Vec::new() });
    }
    if let Some(region) = draft.decided(KEY) {
        return region;
    }
    let decision = match fetchers.iter().find_map(Fetcher::overseas) {
        Some(evidence) => Decision {
            chosen: OVERSEAS.to_owned(),
            because: evidence,
            rejected: vec![Rejected {
                option: MAINLAND.to_owned(),
                because: "hosts overseas are slow or out of reach from there".to_owned(),
            }],
        },
        None => Decision {
            chosen: MAINLAND.to_owned(),
            because: "nothing is fetched from hosts overseas".to_owned(),
            rejected: vec![Rejected { option: OVERSEAS.to_owned(), because: "only needed for fetching from hosts overseas".to_owned() }],
        },
    };
    draft.decide(KEY, decision)
}
